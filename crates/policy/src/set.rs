//! The fleet's set of policies, and the bytes in which it travels.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use ids::{Lineage, PolicyUid, Revision};
use serde::{Deserialize, Serialize};

use crate::form::shorten;
use crate::limits::{MAX_DOCUMENT_BYTES, MAX_POLICIES, MAX_SET_BYTES};
use crate::parse::{Policy, parse_one};

/// Version of the encoding of a set; the `format` of a policy bundle.
pub const FORMAT: u32 = 1;

/// One policy of a set. Its name is that of the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Identity of the policy for its whole life.
    pub uid: PolicyUid,
    /// What it says.
    pub policy: Policy,
}

/// All policies of the fleet at one revision.
///
/// Invariant, kept by [`PolicySet::new`]: items are in the order of their names; names and UIDs are unique; the bounds
/// of [`crate::limits`] hold. Hence the encoding of a set is a function of its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySet {
    revision: Revision,
    items: Vec<Item>,
}

/// SHA-256 of an encoded set. Displays as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

/// Why a set is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {path}: {reason}")]
pub struct Refusal {
    /// What kind of refusal.
    pub code: RefusalCode,
    /// Which item, and which field of it: `items[3] payroll: spec.when`; empty for the set as a whole.
    pub path: String,
    /// For a person; for a document that does not parse, `line:column: code: message` of its first problems.
    pub reason: String,
}

/// Closed list of reasons to refuse a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RefusalCode {
    /// The bytes are not an encoded set.
    Malformed,
    /// The set is in a format that this version does not read.
    UnknownFormat,
    /// The bytes do not have the digest that was announced.
    DigestMismatch,
    /// The revision inside the bytes is not the one that was announced.
    RevisionMismatch,
    /// A bound is exceeded.
    TooLarge,
    /// Two items have the same name or UID.
    Duplicate,
    /// A document of the set is not one that this version accepts.
    InvalidPolicy,
}

impl PolicySet {
    /// A set of these items in any order.
    pub fn new(revision: Revision, items: Vec<Item>) -> Result<Self, Refusal> {
        let mut items = items;
        if items.len() > MAX_POLICIES {
            let reason = format!("a set may have {MAX_POLICIES} policies, this one has {}", items.len());
            return Err(Refusal::new(RefusalCode::TooLarge, "", reason));
        }
        items.sort_by(|a, b| a.policy.name().cmp(b.policy.name()));
        if let Some(at) = (1..items.len()).find(|&at| items[at - 1].policy.name() == items[at].policy.name()) {
            let reason = "another policy has the same name".to_owned();
            return Err(Refusal::new(RefusalCode::Duplicate, &path(at, items[at].policy.name()), reason));
        }
        let mut uids = HashMap::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            if let Some(other) = uids.insert(item.uid, item.policy.name()) {
                let reason = format!("the policy `{other}` has the same UID {}", item.uid);
                return Err(Refusal::new(RefusalCode::Duplicate, &path(at, item.policy.name()), reason));
            }
        }
        Ok(Self { revision, items })
    }

    /// The empty set before the first revision of a lineage.
    pub fn empty(lineage: Lineage) -> Self {
        Self { revision: Revision { lineage, number: 0 }, items: Vec::new() }
    }

    /// Lineage and number.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The policies in the order of their names.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The policy of that name.
    pub fn get(&self, name: &str) -> Option<&Item> {
        self.items.binary_search_by(|item| item.policy.name().cmp(name)).ok().map(|at| &self.items[at])
    }

    /// Canonical bytes in [`FORMAT`]: the same set always gives the same bytes.
    pub fn encode(&self) -> Vec<u8> {
        let items = self.items.iter().map(|item| WireItem {
            uid: item.uid,
            name: Cow::Borrowed(item.policy.name()),
            text: Cow::Borrowed(item.policy.source()),
        });
        let Revision { lineage, number } = self.revision;
        let wire = Wire { format: FORMAT, lineage, number, items: items.collect() };
        serde_json::to_vec(&wire).expect("texts, numbers and lists can always be written as JSON")
    }

    /// Digest of the canonical bytes. Where the bytes are at hand, [`Digest::of`] is cheaper.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.encode())
    }

    /// Reads and checks an encoded set. Nothing of it is used unless all of it is acceptable.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        Self::decode_onto(bytes, None)
    }

    /// As [`PolicySet::decode`]; documents whose text is the same in `previous` are not parsed again.
    pub fn decode_onto(bytes: &[u8], previous: Option<&Self>) -> Result<Self, Refusal> {
        if bytes.len() > MAX_SET_BYTES {
            let reason = format!("a set may have {MAX_SET_BYTES} bytes, this one has {}", bytes.len());
            return Err(Refusal::new(RefusalCode::TooLarge, "", reason));
        }
        let malformed = |error: serde_json::Error| Refusal::new(RefusalCode::Malformed, "", error.to_string());
        // The format first: another one may have other fields.
        let WireFormat { format } = serde_json::from_slice(bytes).map_err(malformed)?;
        known_format(format)?;
        let wire: Wire<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
        if wire.items.len() > MAX_POLICIES {
            let reason = format!("a set may have {MAX_POLICIES} policies, this one has {}", wire.items.len());
            return Err(Refusal::new(RefusalCode::TooLarge, "", reason));
        }
        let mut items = Vec::with_capacity(wire.items.len());
        for (at, item) in wire.items.iter().enumerate() {
            items.push(Item { uid: item.uid, policy: read_item(at, item, previous)? });
        }
        Self::new(Revision { lineage: wire.lineage, number: wire.number }, items)
    }

    /// Reads a bundle as it was announced: the digest is checked before anything else, then the format, then the
    /// content, then the revision inside.
    pub fn decode_bundle(
        format: u32,
        revision: Revision,
        digest: Digest,
        bytes: &[u8],
        previous: Option<&Self>,
    ) -> Result<Self, Refusal> {
        let actual = Digest::of(bytes);
        if actual != digest {
            let reason = format!("the announced digest is {digest}, that of the bytes is {actual}");
            return Err(Refusal::new(RefusalCode::DigestMismatch, "", reason));
        }
        known_format(format)?;
        let set = Self::decode_onto(bytes, previous)?;
        if set.revision != revision {
            let reason = format!("the announced revision is {revision}, that of the set is {}", set.revision);
            return Err(Refusal::new(RefusalCode::RevisionMismatch, "", reason));
        }
        Ok(set)
    }
}

/// The encoding in format 1: JSON with these fields in this order, without white space.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    format: u32,
    lineage: Lineage,
    number: u64,
    #[serde(borrow)]
    items: Vec<WireItem<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireItem<'a> {
    uid: PolicyUid,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
struct WireFormat {
    format: u32,
}

fn known_format(format: u32) -> Result<(), Refusal> {
    if format == FORMAT {
        return Ok(());
    }
    let reason = format!("the set is in format {format}, this version reads format {FORMAT}");
    Err(Refusal::new(RefusalCode::UnknownFormat, "", reason))
}

fn path(at: usize, name: &str) -> String {
    format!("items[{at}] {}", shorten(name))
}

fn read_item(at: usize, item: &WireItem<'_>, previous: Option<&PolicySet>) -> Result<Policy, Refusal> {
    if let Some(known) = previous.and_then(|set| set.get(&item.name)).filter(|known| known.policy.source() == item.text)
    {
        return Ok(known.policy.clone());
    }
    if item.text.len() > MAX_DOCUMENT_BYTES {
        let reason = format!("a document may have {MAX_DOCUMENT_BYTES} bytes, this one has {}", item.text.len());
        return Err(Refusal::new(RefusalCode::TooLarge, &path(at, &item.name), reason));
    }
    let policy = parse_one(&item.text).map_err(|problems| {
        let first = problems.0.first().map_or("", |problem| problem.path.as_str());
        let place = path(at, &item.name);
        let place = if first.is_empty() { place } else { format!("{place}: {first}") };
        let told = problems.0.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Refusal::new(RefusalCode::InvalidPolicy, &place, told)
    })?;
    if policy.name() != item.name {
        let reason = format!("the document is called `{}`", policy.name());
        return Err(Refusal::new(
            RefusalCode::InvalidPolicy,
            &format!("{}: metadata.name", path(at, &item.name)),
            reason,
        ));
    }
    Ok(policy)
}

impl Refusal {
    fn new(code: RefusalCode, path: &str, reason: String) -> Self {
        Self { code, path: path.to_owned(), reason }
    }
}

impl Digest {
    /// Digest of an encoded set.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ids::Invalid;
    fn from_str(text: &str) -> Result<Self, ids::Invalid> {
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(ids::Invalid {
                what: "digest",
                value: text.chars().take(80).collect(),
                reason: "it must be 64 hexadecimal digits",
            }),
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = ids::Invalid;
    fn try_from(text: String) -> Result<Self, ids::Invalid> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl RefusalCode {
    /// The stable spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownFormat => "unknown-format",
            Self::DigestMismatch => "digest-mismatch",
            Self::RevisionMismatch => "revision-mismatch",
            Self::TooLarge => "too-large",
            Self::Duplicate => "duplicate",
            Self::InvalidPolicy => "invalid-policy",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests;
