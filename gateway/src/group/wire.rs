//! The group document as it is written: JSON under the seal, one object for each revision.
//!
//! ```text
//! group/00000000000000000017 = seal("group document 17", {"format":1, "revision":17, …, "body":{…}})
//! ```
//! Only this file turns secrets into text. A reader refuses a format, and any field, that it does not know: to edit
//! what one only half understands would lose the other half.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ids::KmsId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::{Zeroize as _, Zeroizing};

use super::document::{
    Bucket, Credential, Document, Floor, FormerPlace, Grant, Identity, KmsEntry, MadeKey, Pattern, Token, UnixMillis,
};
use crate::config::Secret;
use crate::sealing::{SealingError, SealingKey};

/// The format that is written, and the only one that is read.
const FORMAT: u32 = 1;
/// The longest document, in bytes of JSON.
pub(super) const MAX_DOCUMENT: usize = 8 * 1024 * 1024;
/// The longest stored revision.
pub(super) const MAX_SEALED: usize = MAX_DOCUMENT + crate::sealing::OVERHEAD;
/// How many earlier revisions a document names.
const RECENT: usize = 128;

/// A stored revision cannot be read, or a document cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It does not open.
    #[error(transparent)]
    Sealed(#[from] SealingError),
    /// Written by a newer version.
    #[error("group document {revision} has format {format}, this program reads format 1; upgrade this gateway")]
    Format {
        /// The revision.
        revision: u64,
        /// Its format.
        format: u32,
    },
    /// It opens, and is not a group document that this version knows.
    #[error("group document {revision} is not valid: {reason}")]
    Invalid {
        /// The revision.
        revision: u64,
        /// What is wrong, without content.
        reason: String,
    },
    /// Longer than 8 MiB.
    #[error("the group document would have {0} bytes; at most 8 MiB are kept")]
    TooLong(usize),
}

/// Which write made a revision: what tells a revision from another of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) revision: u64,
    pub(super) nonce: Uuid,
}

/// A document with its history, and its JSON, from which an edit starts afresh.
pub(super) struct Revision {
    pub(super) document: Arc<Document>,
    pub(super) mark: Mark,
    pub(super) recent: Vec<Mark>,
    body: Zeroizing<Vec<u8>>,
}

impl Revision {
    /// The first revision of a new group.
    pub(super) fn first(document: Document) -> Result<Self, DocumentError> {
        let body = body(&document)?;
        let mark = Mark { revision: 1, nonce: Uuid::new_v4() };
        Ok(Self { document: Arc::new(Document { revision: 1, ..document }), mark, recent: Vec::new(), body })
    }

    /// Opens what was stored as revision `number`.
    pub(super) fn open(number: u64, sealed: &[u8], key: &SealingKey) -> Result<Self, DocumentError> {
        let invalid = |reason: String| DocumentError::Invalid { revision: number, reason };
        let json = key.open(&context(number), sealed)?;
        let format: Format = serde_json::from_slice(&json).map_err(|error| invalid(shape(&error)))?;
        if format.format != FORMAT {
            return Err(DocumentError::Format { revision: number, format: format.format });
        }
        let envelope: Envelope<Body> = serde_json::from_slice(&json).map_err(|error| invalid(shape(&error)))?;
        if envelope.revision != number {
            return Err(invalid(format!("it says that it is revision {}", envelope.revision)));
        }
        let mark = Mark { revision: number, nonce: envelope.nonce };
        let document = envelope.body.into_document(envelope.group, number, envelope.written).map_err(invalid)?;
        let body = body(&document)?;
        Ok(Self { document: Arc::new(document), mark, recent: envelope.recent, body })
    }

    /// The document once more, for an edit to change.
    pub(super) fn copy(&self) -> Result<Document, DocumentError> {
        let number = self.mark.revision;
        let invalid = |reason: String| DocumentError::Invalid { revision: number, reason };
        let parsed: Body = serde_json::from_slice(&self.body).map_err(|error| invalid(shape(&error)))?;
        parsed.into_document(self.document.group, number, self.document.written).map_err(invalid)
    }

    /// The revision after this one, with an edited copy of its document; `None` if the edit changed nothing.
    pub(super) fn next(&self, edited: Document, now: UnixMillis) -> Result<Option<Self>, DocumentError> {
        let body = body(&edited)?;
        if body == self.body {
            return Ok(None);
        }
        let revision = self.mark.revision + 1;
        let mark = Mark { revision, nonce: Uuid::new_v4() };
        let mut recent = self.recent.clone();
        recent.push(self.mark);
        recent.drain(..recent.len().saturating_sub(RECENT));
        let document = Arc::new(Document { revision, written: now, ..edited });
        Ok(Some(Self { document, mark, recent, body }))
    }

    /// What is stored.
    pub(super) fn seal(&self, key: &SealingKey) -> Result<Vec<u8>, DocumentError> {
        let envelope = Envelope {
            format: FORMAT,
            group: self.document.group,
            revision: self.mark.revision,
            nonce: self.mark.nonce,
            written: self.document.written,
            recent: self.recent.clone(),
            body: Body::from_document(&self.document),
        };
        let json = to_json(&envelope)?;
        Ok(key.seal(&context(self.mark.revision), &json)?)
    }
}

/// The label under which a revision is sealed.
fn context(revision: u64) -> String {
    format!("group document {revision}")
}

/// What is wrong with JSON, without its content: serde's messages may quote values.
fn shape(error: &serde_json::Error) -> String {
    format!("JSON at line {} column {}", error.line(), error.column())
}

fn body(document: &Document) -> Result<Zeroizing<Vec<u8>>, DocumentError> {
    to_json(&Body::from_document(document))
}

/// Written twice, first to learn the length: a buffer that grows leaves copies of secrets behind.
fn to_json(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, DocumentError> {
    let never = "maps with text keys and plain values always serialise";
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).expect(never);
    if length.0 > MAX_DOCUMENT {
        return Err(DocumentError::TooLong(length.0));
    }
    let mut json = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *json, value).expect(never);
    Ok(json)
}

struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<B> {
    format: u32,
    group: Uuid,
    revision: u64,
    nonce: Uuid,
    written: UnixMillis,
    recent: Vec<Mark>,
    body: B,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    buckets: BTreeMap<String, Bucket>,
    credentials: BTreeMap<String, WireCredential>,
    tokens: BTreeMap<String, WireToken>,
    kms: BTreeMap<KmsId, WireKms>,
    active_kms: Option<KmsId>,
    kms_flushes: u64,
    floor: Floor,
    former_places: Vec<FormerPlace>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCredential {
    secret: WireSecret,
    name: String,
    admin: bool,
    created: UnixMillis,
    grants: Vec<Grant>,
    /// Absent where there is none, so that members of before read the document until it is used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    identities: BTreeMap<String, WireIdentity>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireIdentity {
    access_key: String,
    secret: WireSecret,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireToken {
    name: String,
    created: UnixMillis,
    digest: String,
    /// Absent: a token of before there was the right, when each could do everything.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    may_copy_keys: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_yes(value: &bool) -> bool {
    *value
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireKms {
    provider: String,
    added: UnixMillis,
    state: WireSecret,
    /// Absent where there is none, as before there were copies: so a document is read by members of before until it is used.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    made: BTreeMap<String, MadeKey>,
}

/// A secret on its way into or out of the sealed document.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct WireSecret(String);

impl Drop for WireSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Body {
    fn from_document(document: &Document) -> Self {
        let identity = |identity: &Identity| WireIdentity {
            access_key: identity.access_key.clone(),
            secret: WireSecret(identity.secret.expose().to_owned()),
        };
        let credential = |credential: &Credential| WireCredential {
            secret: WireSecret(credential.secret.expose().to_owned()),
            name: credential.name.clone(),
            admin: credential.admin,
            created: credential.created,
            grants: credential.grants.clone(),
            identities: credential.identities.iter().map(|(name, one)| (name.clone(), identity(one))).collect(),
        };
        let token = |token: &Token| WireToken {
            name: token.name.clone(),
            created: token.created,
            digest: hex::encode(token.digest),
            may_copy_keys: token.may_copy_keys,
        };
        let kms = |entry: &KmsEntry| WireKms {
            provider: entry.provider.clone(),
            added: entry.added,
            state: WireSecret(STANDARD.encode(&entry.state)),
            made: entry.made.clone(),
        };
        Self {
            buckets: document.buckets.clone(),
            credentials: document.credentials.iter().map(|(key, value)| (key.clone(), credential(value))).collect(),
            tokens: document.tokens.iter().map(|(key, value)| (key.clone(), token(value))).collect(),
            kms: document.kms.iter().map(|(key, value)| (key.clone(), kms(value))).collect(),
            active_kms: document.active_kms.clone(),
            kms_flushes: document.kms_flushes,
            floor: document.floor.clone(),
            former_places: document.former_places.clone(),
        }
    }

    fn into_document(self, group: Uuid, revision: u64, written: UnixMillis) -> Result<Document, String> {
        let mut credentials = BTreeMap::new();
        for (access_key, wire) in self.credentials {
            let secret = Secret::new(wire.secret.0.clone());
            let WireCredential { name, admin, created, grants, identities, .. } = wire;
            let identity = |wire: WireIdentity| Identity {
                access_key: wire.access_key.clone(),
                secret: Secret::new(wire.secret.0.clone()),
            };
            let identities = identities.into_iter().map(|(name, wire)| (name, identity(wire))).collect();
            credentials.insert(access_key, Credential { secret, name, admin, created, grants, identities });
        }
        let mut tokens = BTreeMap::new();
        for (id, wire) in self.tokens {
            let mut digest = [0; 32];
            hex::decode_to_slice(&wire.digest, &mut digest).map_err(|_| format!("digest of token {id}"))?;
            let WireToken { name, created, may_copy_keys, .. } = wire;
            tokens.insert(id, Token { name, created, digest, may_copy_keys });
        }
        let mut kms = BTreeMap::new();
        for (id, wire) in self.kms {
            let state = Zeroizing::new(STANDARD.decode(&wire.state.0).map_err(|_| format!("state of KMS {id}"))?);
            let WireKms { provider, added, made, .. } = wire;
            kms.insert(id, KmsEntry { provider, added, state, made });
        }
        if let Some(active) = &self.active_kms
            && !kms.contains_key(active)
        {
            return Err(format!("the active KMS {active} is not configured"));
        }
        Ok(Document {
            group,
            revision,
            written,
            buckets: self.buckets,
            credentials,
            tokens,
            kms,
            active_kms: self.active_kms,
            kms_flushes: self.kms_flushes,
            floor: self.floor,
            former_places: self.former_places,
        })
    }
}

/// The document of a group that begins: one administrator with every right, one token, nothing encrypted, no KMS.
pub(super) fn beginning(
    access_key: &str,
    secret: Secret,
    token: &str,
    now: UnixMillis,
) -> Result<Document, super::document::Refusal> {
    use super::document::Action::{Delete, List, Manage, Read, Write};
    let everything = Pattern::try_from("*".to_owned())?;
    let grants = vec![Grant { buckets: vec![everything], actions: vec![Read, Write, Delete, List, Manage] }];
    let mut document = Document {
        group: Uuid::new_v4(),
        revision: 0,
        written: now,
        buckets: BTreeMap::new(),
        credentials: BTreeMap::new(),
        tokens: BTreeMap::new(),
        kms: BTreeMap::new(),
        active_kms: None,
        kms_flushes: 0,
        floor: Floor::default(),
        former_places: Vec::new(),
    };
    let (name, identities) = ("administrator".into(), BTreeMap::new());
    let credential = Credential { secret, name, admin: true, created: now, grants, identities };
    document.add_credential(access_key, credential)?;
    let digest = super::document::token_digest(token);
    let token = Token { name: "first start".into(), created: now, digest, may_copy_keys: true };
    document.add_token("first", token)?;
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_with_everything_in_it_reads_back_as_it_was() {
        let key = SealingKey::random().expect("random");
        let secret = Secret::new("secret-of-admin".into());
        let mut document = beginning("ADMIN", secret, "token", 5).expect("legal");
        document.set_encryption("on", true, 6).expect("edits");
        let mapping = super::super::document::Mapping { backend: "far".into(), backing_bucket: "b".into() };
        document.change_bucket("mapped", |bucket| bucket.mapping = Some(mapping)).expect("edits");
        let id: KmsId = "prod".parse().expect("legal");
        let backup = super::super::document::Backup { at: 8, by: "operator".into() };
        let made = BTreeMap::from([("sha256:1".to_owned(), MadeKey { backup: Some(backup) })]);
        let state = Zeroizing::new(vec![0, 255, 1]);
        let entry = KmsEntry { provider: "rsa".into(), added: 7, state, made: made.clone() };
        document.add_kms(&id, entry).expect("adds");
        document.activate_kms(&id).expect("activates");
        let pattern = Pattern::try_from("pay*".to_owned()).expect("legal");
        document.set_floor(Floor { encrypt: vec![pattern] }).expect("edits");
        let place = FormerPlace {
            bucket: "now".into(),
            prefix: "a/".into(),
            former_bucket: "then".into(),
            former_prefix: String::new(),
        };
        document.set_former_places(vec![place.clone()]).expect("edits");
        let first = Revision::first(document).expect("encodes");
        let read = Revision::open(1, &first.seal(&key).expect("seals"), &key).expect("opens");
        assert_eq!(read.mark, first.mark);
        assert_eq!(read.body, first.body);
        let document = &read.document;
        assert_eq!(document.credential("ADMIN").expect("there").secret.expose(), "secret-of-admin");
        assert_eq!(document.token("token"), Some("first"));
        assert_eq!(document.kms[&id].state[..], [0, 255, 1]);
        assert_eq!(document.kms[&id].made, made);
        assert_eq!(document.active_kms, Some(id));
        assert_eq!(document.former_places, [place]);
        assert!(document.toggled("on") && document.floor_covers("payroll"));
        let copy = read.copy().expect("copies");
        assert!(read.next(copy, 9).expect("encodes").is_none(), "a copy that was not changed is the same");
    }

    #[test]
    fn what_was_written_before_there_were_copies_of_keys_reads_and_is_written_as_it_was() {
        let json = br#"{"buckets":{},"credentials":{},"tokens":{"first":{"name":"n","created":1,"digest":"DIGEST"}},"kms":{"prod":{"provider":"rsa","added":7,"state":"AP8B"}},"active_kms":"prod","kms_flushes":0,"floor":{"encrypt":[]},"former_places":[]}"#;
        let json = String::from_utf8_lossy(json).replace("DIGEST", &"00".repeat(32));
        let parsed: Body = serde_json::from_str(&json).expect("reads");
        let document = parsed.into_document(Uuid::nil(), 1, 0).expect("is valid");
        assert!(document.tokens["first"].may_copy_keys, "a token of before may do what it could do");
        assert_eq!(String::from_utf8_lossy(&body(&document).expect("writes")), json);
    }

    #[test]
    fn a_history_is_bounded_and_names_the_newest() {
        let mut revision = Revision::first(super::super::document::tests::empty()).expect("encodes");
        for _ in 0..RECENT + 10 {
            let mut copy = revision.copy().expect("copies");
            copy.kms_flushes += 1;
            revision = revision.next(copy, 1).expect("encodes").expect("changed");
        }
        assert_eq!(revision.recent.len(), RECENT);
        assert_eq!(revision.recent.last().map(|mark| mark.revision + 1), Some(revision.mark.revision));
    }

    #[test]
    fn a_document_beyond_its_bound_is_not_written() {
        let mut document = super::super::document::tests::empty();
        let state = Zeroizing::new(vec![0; MAX_DOCUMENT]);
        let entry = KmsEntry { provider: "rsa".into(), added: 0, state, made: BTreeMap::new() };
        document.add_kms(&"prod".parse().expect("legal"), entry).expect("adds");
        assert!(matches!(Revision::first(document), Err(DocumentError::TooLong(_))));
    }
}
