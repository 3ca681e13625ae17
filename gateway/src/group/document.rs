//! What the members of a group share, as values: questions that requests ask, and pure edits that administrators make.
//!
//! ```text
//! Document ─┬─ buckets      name → Bucket      toggle, anonymous reads, mapping …
//!           ├─ credentials  access key → Credential → grants
//!           ├─ tokens       id → Token         of the admin API
//!           ├─ kms          KMS ID → KmsEntry  kind, secret state, copies; one may be active
//!           ├─ floor        what is encrypted whatever else says
//!           └─ former_places
//! ```
//! An edit either leaves the document valid or refuses and says why; it reads no clock and draws no randomness, since
//! it is run again on a newer document when another member was faster.

mod edits;

pub(crate) use edits::not_made;

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use ids::KmsId;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::config::Secret;

/// Why an edit was refused. The text is for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The thing is not in the document.
    #[error("{0}")]
    NotFound(String),
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// It is not well-formed.
    #[error("{0}")]
    Invalid(String),
    /// A key or passphrase is refused.
    #[error("{0}")]
    Key(#[from] kms::KeyError),
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type UnixMillis = u64;

/// The group document as the members use it. Secrets inside cannot be printed, cloned or serialised.
pub struct Document {
    /// The group's identity, drawn at its first start.
    pub group: Uuid,
    /// Number of this revision, from 1, without gaps.
    pub revision: u64,
    /// When this revision was written, by the clock of its writer.
    pub written: UnixMillis,
    /// Settings of buckets, by the name that clients use. A bucket without settings is not in here.
    pub buckets: BTreeMap<String, Bucket>,
    /// S3 credentials, by access key.
    pub credentials: BTreeMap<String, Credential>,
    /// Tokens of the admin API, by their public ID.
    pub tokens: BTreeMap<String, Token>,
    /// Configured KMS.
    pub kms: BTreeMap<KmsId, KmsEntry>,
    /// The KMS under which new objects are encrypted; always one of `kms`.
    pub active_kms: Option<KmsId>,
    /// Counts the orders to drop every cached KEK.
    pub kms_flushes: u64,
    /// What is encrypted whatever toggles and policies say.
    pub floor: Floor,
    /// Places from which objects were brought here by other ways than this gateway.
    pub former_places: Vec<FormerPlace>,
}

/// Settings of one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent settings, each with its own meaning")]
pub struct Bucket {
    /// The toggle.
    pub encrypt: bool,
    /// When the toggle was last switched on; none when it is off.
    pub encrypt_since: Option<UnixMillis>,
    /// When encryption first was due in this bucket, by whatever reason; never taken back while the bucket exists.
    pub ever_due: Option<UnixMillis>,
    /// Unsigned requests may read objects and list.
    pub anonymous_reads: bool,
    /// Objects that are stored plain are not read.
    pub refuse_plain_reads: bool,
    /// A copy into this bucket is decrypted if nothing says that it must be encrypted.
    pub decrypt_on_copy: bool,
    /// Where the bucket lies, if not under its own name in the home backend.
    pub mapping: Option<Mapping>,
}

/// Where a bucket that clients see really lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Name of a backend in the configuration of every member.
    pub backend: String,
    /// The bucket's name there.
    pub backing_bucket: String,
}

/// One operation class of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Read objects and what belongs to them.
    Read,
    /// Write objects and what belongs to them.
    Write,
    /// Delete objects.
    Delete,
    /// List objects, uploads, versions; see the bucket.
    List,
    /// Everything about the bucket itself, and what gives rights away.
    Manage,
}

/// A bucket name in which `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    /// Does the whole name match?
    pub fn matches(&self, name: &str) -> bool {
        glob(&self.0, name)
    }
}

/// Does the whole of `name` match `pattern`, in which `*` stands for any run of characters? Linear but for the last star.
pub(crate) fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, n));
            p += 1;
        } else if pattern.get(p) == Some(&name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, from)) = star {
            (p, n) = (at + 1, from + 1);
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

impl TryFrom<String> for Pattern {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self, Refusal> {
        let legal =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_uppercase() || b.is_ascii_digit() || b".-_*".contains(&b);
        if text.is_empty() || text.len() > 63 || !text.bytes().all(legal) {
            let rule = "1 to 63 of a-z A-Z 0-9 . - _ and * for any run of characters";
            return Err(Refusal::Invalid(format!("{text:?} is not a bucket pattern: {rule}")));
        }
        Ok(Self(text))
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

/// What a credential may do in the buckets that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Any of these.
    #[schema(value_type = Vec<String>)]
    pub buckets: Vec<Pattern>,
    /// All of these.
    pub actions: Vec<Action>,
}

/// An S3 credential of the group.
pub struct Credential {
    /// The secret access key.
    pub secret: Secret,
    /// For people.
    pub name: String,
    /// May use the admin listener.
    pub admin: bool,
    /// When it was made.
    pub created: UnixMillis,
    /// What it may do; nothing else.
    pub grants: Vec<Grant>,
    /// Who its holder is at a backend, by the backend's name; the gateway's own identity elsewhere.
    pub identities: BTreeMap<String, Identity>,
}

/// A key of a storage. Whoever may use it there is for the storage to say.
pub struct Identity {
    /// Access key ID.
    pub access_key: String,
    /// Secret access key.
    pub secret: Secret,
}

impl Credential {
    /// May it do `action` in the bucket that clients call `bucket`?
    pub fn allows(&self, action: Action, bucket: &str) -> bool {
        let covers = |grant: &Grant| {
            grant.actions.contains(&action) && grant.buckets.iter().any(|pattern| pattern.matches(bucket))
        };
        self.grants.iter().any(covers)
    }

    /// Is there anything that it may do in the bucket?
    pub fn sees(&self, bucket: &str) -> bool {
        let covers = |grant: &Grant| grant.buckets.iter().any(|pattern| pattern.matches(bucket));
        self.grants.iter().any(covers)
    }
}

/// A token of the admin API; only its digest is kept.
pub struct Token {
    /// For people.
    pub name: String,
    /// When it was made.
    pub created: UnixMillis,
    /// SHA-256 of the token.
    pub digest: [u8; 32],
    /// May have copies of keys that were made in place.
    pub may_copy_keys: bool,
}

/// A configured KMS: what [`kms::Provider::from_state`] needs.
pub struct KmsEntry {
    /// Its kind.
    pub provider: String,
    /// When it was added.
    pub added: UnixMillis,
    /// Its state, master keys included.
    pub state: Zeroizing<Vec<u8>>,
    /// Its keys that were made in place, by fingerprint: no operator has a file of theirs but the copies given out.
    pub made: BTreeMap<String, MadeKey>,
}

/// What is known of the copies of a key that was made in place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MadeKey {
    /// The last time that somebody said to have kept a copy; none: the key exists here only, as far as is known.
    pub backup: Option<Backup>,
}

/// Somebody said to have kept a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    /// When.
    pub at: UnixMillis,
    /// Name of the token that said so.
    pub by: String,
}

/// What is encrypted whatever toggles and policies say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// Every object in the buckets that match.
    #[schema(value_type = Vec<String>)]
    pub encrypt: Vec<Pattern>,
}

/// Objects below `prefix` of `bucket` were encrypted for `former_prefix` of `former_bucket`: a replica, a restored copy.
/// Both buckets are backing buckets, as the storage calls them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FormerPlace {
    /// Where the objects are now.
    pub bucket: String,
    /// Keys that begin so; empty for the whole bucket.
    pub prefix: String,
    /// Where they were.
    pub former_bucket: String,
    /// What their keys began with there.
    pub former_prefix: String,
}

/// SHA-256 of an API token, as [`Token::digest`].
pub fn token_digest(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    bytes
}

/// Questions.
impl Document {
    /// Is the bucket's toggle on?
    pub fn toggled(&self, bucket: &str) -> bool {
        self.buckets.get(bucket).is_some_and(|bucket| bucket.encrypt)
    }

    /// Does the floor ask for encryption in this bucket?
    pub fn floor_covers(&self, bucket: &str) -> bool {
        self.floor.encrypt.iter().any(|pattern| pattern.matches(bucket))
    }

    /// Is encryption due in this bucket by toggle or floor, or was it ever by any reason that was recorded?
    pub fn ever_due(&self, bucket: &str) -> bool {
        self.floor_covers(bucket) || self.buckets.get(bucket).is_some_and(|b| b.encrypt || b.ever_due.is_some())
    }

    /// Was it recorded that encrypted objects may lie in this bucket? It is before the first of them is stored.
    pub fn holds_sealed(&self, bucket: &str) -> bool {
        self.buckets.get(bucket).is_some_and(|bucket| bucket.ever_due.is_some())
    }

    /// The settings of a bucket; the defaults where it has none.
    pub fn bucket(&self, name: &str) -> Bucket {
        self.buckets.get(name).cloned().unwrap_or_default()
    }

    /// The credential of an access key.
    pub fn credential(&self, access_key: &str) -> Option<&Credential> {
        self.credentials.get(access_key)
    }

    /// The public ID of the token, if it is one of ours. Takes the same time whichever it is.
    pub fn token(&self, presented: &str) -> Option<&str> {
        let digest = token_digest(presented);
        let mut found = None;
        for (id, token) in &self.tokens {
            if bool::from(token.digest.ct_eq(&digest)) {
                found = Some(id.as_str());
            }
        }
        found
    }
}

#[cfg(test)]
pub(crate) mod tests;
