//! What is kept of an upload between Create and Complete, in the system bucket.
//!
//! ```text
//! mp/ID/upload              an encrypted upload: its header, and a sealed note
//! mp/ID/part/NNNNN-RECORD   one record of each part upload, in its name, sealed; the object is empty
//! mp/ID/held/SALT           the sealed bytes of a part that is held back
//! mp/ID/try                 the member that first tried to complete it, and counts the object
//! mp/ID/done                when it was completed, and sealed by the group's key, what was answered, for repeats
//! mp/ID/plain               an upload that began plain, with a note
//! mp/ID/copy                an upload of the gateway's own, by which the storage copies an object; see `copy/rewrap`
//! mp/ID/gone                since when the storage is known not to know the upload; see `sweep`
//! ```
//! ID is derived from backend, backing bucket, key and the storage's upload ID. Nothing here is secret: keys are wrapped,
//! records sealed. **A look-up that fails is an error, never "plain"**.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use envelope::{ChecksumAlgorithm, DataKey, Expected, Salt, open_record, seal_record};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use ids::Revision;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::super::Front;
use super::super::access::Granted;
use super::super::checksum::{by_name, name_of};
use super::super::error::Error;
use super::super::open::{no_key, unopened};
use super::super::request::Request;
use super::complete::{Named, asked};
use crate::system::{SystemError, Written};

/// What clients see of an encrypted upload begins so.
pub(super) const PREFIX: &str = "gse1.";
/// The longest state of an upload, in bytes.
pub(super) const MAX_STATE: usize = 64 << 10;
/// Part records of one upload: every number a few times over. A page of a list more may be taken.
const MAX_RECORDS: usize = if cfg!(test) { 1_500 } else { 50_000 };
/// Lists of parts that are made at once; further ones wait.
const LISTS: usize = 8;
/// Opened uploads that are kept at hand.
const CACHED: usize = 1024;

/// The client's upload ID: encrypted or plain, and what the storage calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UploadId {
    pub(super) sealed: bool,
    pub(super) upstream: String,
}

impl UploadId {
    pub(super) fn parse(text: &str) -> Self {
        match text.strip_prefix(PREFIX) {
            Some(upstream) => Self { sealed: true, upstream: upstream.to_owned() },
            None => Self { sealed: false, upstream: text.to_owned() },
        }
    }
}

/// What is noted of an upload: of an encrypted one sealed, beside its header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// What the object counts as, unless the policies have changed since; none: encrypted.
    #[serde(default)]
    pub(super) outcome: Option<ids::Outcome>,
    pub(super) policy: Option<String>,
    /// Lineage and number of the set that decided.
    pub(super) revision: Option<(String, u64)>,
    pub(super) judge_at_complete: bool,
    pub(super) principal: String,
    pub(super) content_type: String,
    pub(super) storage_class: String,
    pub(super) tags: Vec<(String, String)>,
    pub(super) metadata: Vec<(String, String)>,
    /// `CRC32` and so on, as the client announced it.
    pub(super) checksum: Option<String>,
    /// `FULL_OBJECT` rather than composite.
    pub(super) full_object: bool,
    /// The metadata has no room for what the object could be told by.
    #[serde(default)]
    pub(super) unmarked: bool,
}

/// What an upload is about, in clear: for whoever counts and sweeps uploads without asking a KMS. What a request needs
/// comes from [`Note`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in super::super) struct About {
    pub(super) backend: String,
    /// As the storage calls it.
    pub(super) bucket: String,
    pub(super) key: String,
    /// The storage's ID.
    pub(super) upload: String,
    /// The set that decided; none: before any was received.
    pub(super) revision: Option<Revision>,
    pub(super) begun_ms: i64,
    /// Algorithm and kind of the checksum that its client chose, by S3's names; of an encrypted upload.
    #[serde(default)]
    pub(super) checksum: Option<(String, String)>,
    /// Begun as another than the gateway.
    #[serde(default)]
    pub(super) foreign: bool,
}

impl About {
    pub(in super::super) fn new(granted: &Granted, key: &str, upload: &str, revision: Option<Revision>) -> Self {
        Self {
            backend: granted.place.upstream.name().to_owned(),
            bucket: granted.place.bucket.clone(),
            key: key.to_owned(),
            upload: upload.to_owned(),
            revision,
            begun_ms: crate::state::now_ms(),
            checksum: None,
            foreign: granted.place.upstream.is_foreign(),
        }
    }

    /// Whether what is not seen so is not there: to another its bucket's name may be that of another bucket.
    pub(super) fn is_seen_by(&self, upstream: &crate::upstream::Upstream) -> bool {
        !self.foreign || upstream.is_foreign()
    }

    /// The ID of the state of this upload.
    pub(in super::super) fn id(&self) -> String {
        id_of(&self.backend, &self.bucket, &self.key, &self.upload)
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    upload: String,
    note: String,
    about: About,
}

#[derive(Serialize, Deserialize)]
struct StoredPlain {
    note: Note,
    about: About,
}

/// An encrypted upload whose data key is open.
pub(in super::super) struct Opened {
    pub(super) id: String,
    pub(super) upload: envelope::Upload,
    pub(super) data_key: DataKey,
    pub(super) place: envelope::Place,
    pub(super) note: Note,
}

/// Opened uploads, the least recently opened dropped first.
pub struct Uploads {
    held: Mutex<Vec<(String, Arc<Opened>)>>,
    /// Lists of parts that are made at once: each has every record of its upload in memory.
    pub(super) lists: Semaphore,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { held: Mutex::default(), lists: Semaphore::new(LISTS) }
    }
}

impl Uploads {
    fn get(&self, id: &str) -> Option<Arc<Opened>> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.iter().find(|(known, _)| known == id).map(|(_, opened)| Arc::clone(opened))
    }

    pub(super) fn keep(&self, opened: &Arc<Opened>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= CACHED {
            held.remove(0);
        }
        held.push((opened.id.clone(), Arc::clone(opened)));
    }

    pub(super) fn drop(&self, id: &str) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != id);
    }
}

/// One upload of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartRecord {
    pub(super) number: u16,
    pub(super) etag: String,
    pub(super) salt: [u8; 32],
    pub(super) plaintext_len: u64,
    pub(super) at_ms: i64,
    /// The storage does not have it: it lies in the system bucket.
    pub(super) held: bool,
    /// By the upload's algorithm, and by the client's own where that is another one.
    pub(super) checksums: Vec<(ChecksumAlgorithm, Vec<u8>)>,
}

impl PartRecord {
    /// Its checksum by this algorithm.
    pub(super) fn checksum(&self, algorithm: ChecksumAlgorithm) -> Option<&[u8]> {
        self.checksums.iter().find(|(known, _)| *known == algorithm).map(|(_, value)| value.as_slice())
    }

    pub(super) fn part(&self) -> envelope::Part {
        envelope::Part { number: self.number, plaintext_len: self.plaintext_len, salt: Salt::from_bytes(self.salt) }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(160);
        let mut e = minicbor::Encoder::new(&mut out);
        let infallible = "a vector takes every byte";
        e.array(7).and_then(|e| e.u16(self.number)).and_then(|e| e.str(&self.etag)).expect(infallible);
        e.bytes(&self.salt).and_then(|e| e.u64(self.plaintext_len)).expect(infallible);
        e.i64(self.at_ms).and_then(|e| e.bool(self.held)).expect(infallible);
        // Name and value in turn.
        e.array(2 * self.checksums.len() as u64).expect(infallible);
        for (algorithm, value) in &self.checksums {
            e.str(name_of(*algorithm)).and_then(|e| e.bytes(value)).expect(infallible);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut d = minicbor::Decoder::new(bytes);
        d.array().ok()?;
        let (number, etag) = (d.u16().ok()?, d.str().ok()?.to_owned());
        let salt = d.bytes().ok()?.try_into().ok()?;
        let (plaintext_len, at_ms, held) = (d.u64().ok()?, d.i64().ok()?, d.bool().ok()?);
        let mut checksums = Vec::new();
        // A record without any was null once.
        if d.datatype().ok()? != minicbor::data::Type::Null {
            for _ in 0..d.array().ok()?? / 2 {
                checksums.push((by_name(d.str().ok()?)?, d.bytes().ok()?.to_vec()));
            }
        }
        Some(Self { number, etag, salt, plaintext_len, at_ms, held, checksums })
    }
}

/// What Complete answered.
///
/// Nothing for the storage to see: a checksum of plaintext, or the digest of parts that were named by theirs, would confirm
/// a guess. The key of the upload is gone by then, so it is the group's that seals it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// SHA-256 of the parts that were named, in hex.
    pub(super) request: String,
    pub(super) etag: String,
    pub(super) version: Option<String>,
    pub(super) kms: Option<String>,
    pub(super) checksum: Option<(String, String, bool)>,
}

/// A [`Done`] as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredDone {
    pub(super) at_ms: i64,
    /// Base64 of the sealed JSON.
    sealed: String,
}

impl Done {
    /// Of an upload that began plain.
    pub(super) fn plain(named: &[Named], etag: String, version: Option<String>) -> Self {
        Self { request: asked(named), etag, version, kms: None, checksum: None }
    }
}

/// The ID of an upload's state.
pub(in super::super) fn state_id(granted: &Granted, key: &str, upstream_id: &str) -> String {
    id_of(granted.place.upstream.name(), &granted.place.bucket, key, upstream_id)
}

fn id_of(backend: &str, bucket: &str, key: &str, upload: &str) -> String {
    let mut text = Vec::new();
    for part in [backend, bucket, key, upload] {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    hex::encode(&digest(&SHA256, &text).as_ref()[..20])
}

pub(super) fn name(id: &str, what: &str) -> String {
    format!("mp/{id}/{what}")
}

pub(super) fn held_name(id: &str, salt: &[u8; 32]) -> String {
    name(id, &format!("held/{}", URL_SAFE_NO_PAD.encode(salt)))
}

fn note_context(id: &str, upload: &[u8]) -> Vec<u8> {
    [b"upload|", id.as_bytes(), b"|", digest(&SHA256, upload).as_ref()].concat()
}

fn done_context(id: &str) -> String {
    format!("done|{id}")
}

fn part_context(id: &str) -> Vec<u8> {
    format!("part|{id}").into_bytes()
}

pub(super) fn unreachable(error: SystemError) -> Error {
    Error::slow_down("The state of the upload cannot be reached. Try again.").because(error)
}

fn unreadable(reason: &'static str) -> Error {
    Error::internal("The state of the upload cannot be read; nothing was stored.").because(reason)
}

pub(super) fn gone() -> Error {
    Error::no_such_upload(
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
    )
}

impl Front {
    /// Notes an encrypted upload; durable when this returns.
    pub(super) async fn keep_upload(&self, opened: &Opened, about: About) -> Result<(), Error> {
        let upload = opened.upload.to_bytes();
        let note = serde_json::to_vec(&opened.note).map_err(|e| Error::internal("Not noted.").because(e))?;
        let note = seal_record(&opened.data_key, &note_context(&opened.id, &upload), &note)
            .map_err(|error| Error::internal("The upload could not be noted.").because(error))?;
        let stored = Stored { upload: STANDARD.encode(&upload), note: STANDARD.encode(note), about };
        let text = serde_json::to_vec(&stored).map_err(|e| Error::internal("Not noted.").because(e))?;
        self.group.system().put(&name(&opened.id, "upload"), text).await.map_err(unreachable)
    }

    /// The encrypted upload of an ID; none: there is none, or none any more.
    pub(super) async fn opened(
        &self,
        granted: &Granted,
        key: &str,
        upstream_id: &str,
    ) -> Result<Option<Arc<Opened>>, Error> {
        let id = state_id(granted, key, upstream_id);
        if let Some(opened) = self.uploads.get(&id) {
            return Ok(Some(opened));
        }
        let stored = self.group.system().get(&name(&id, "upload"), MAX_STATE).await.map_err(unreachable)?;
        let Some(stored) = stored else { return Ok(None) };
        let stored: Stored = serde_json::from_slice(&stored).map_err(|_| unreadable("not the JSON of an upload"))?;
        let upload = STANDARD.decode(&stored.upload).map_err(|_| unreadable("not Base64"))?;
        let note = STANDARD.decode(&stored.note).map_err(|_| unreadable("not Base64"))?;
        let parsed = envelope::Upload::from_bytes(&upload).map_err(|error| unopened(error.into()))?;
        let place = envelope::Place::new(granted.place.bucket.as_bytes(), key.as_bytes())
            .map_err(|error| Error::internal("The key is no place for an object.").because(error))?;
        let kek = self.keys.open(parsed.header().kek_record()).await.map_err(no_key)?;
        let data_key = parsed.header().open(&kek, &Expected::At(&place)).map_err(unopened)?;
        let note = open_record(&data_key, &note_context(&id, &upload), &note).map_err(unopened)?;
        let note = serde_json::from_slice(&note).map_err(|_| unreadable("not the JSON of a note"))?;
        let opened = Arc::new(Opened { id, upload: parsed, data_key, place, note });
        self.uploads.keep(&opened);
        Ok(Some(opened))
    }

    /// `NoSuchUpload` where an upload that is remembered here has ended at another member. Asked where the storage
    /// would not say so by itself.
    pub(super) async fn still_open(&self, opened: &Opened) -> Result<(), Error> {
        let state = self.group.system().get(&name(&opened.id, "upload"), MAX_STATE).await.map_err(unreachable)?;
        if state.is_none() {
            self.uploads.drop(&opened.id);
            return Err(gone());
        }
        Ok(())
    }

    /// Notes that an upload began plain.
    pub(super) async fn keep_plain(&self, about: About, note: Note) -> Result<(), Error> {
        let object = name(&about.id(), "plain");
        let text = serde_json::to_vec(&StoredPlain { note, about });
        let text = text.map_err(|error| Error::internal("Not noted.").because(error))?;
        self.group.system().put(&object, text).await.map_err(unreachable)
    }

    /// Notes an upload of the gateway's own: clients do not see it, and the sweep aborts what is left of it.
    pub(in super::super) async fn keep_copy(&self, about: &About) -> Result<(), Error> {
        let text = serde_json::to_vec(about).map_err(|error| Error::internal("Not noted.").because(error))?;
        self.group.system().put(&name(&about.id(), "copy"), text).await.map_err(unreachable)
    }

    /// A bare ID passes as plain only if the upload is known to have begun plain, or if nothing can be due. Gives what was
    /// noted, where it was looked up.
    pub(super) async fn check_plain(
        &self,
        request: &Request,
        granted: &Granted,
        upstream_id: &str,
    ) -> Result<Option<Note>, Error> {
        if !self.may_be_due(&granted.document, &request.bucket) {
            return Ok(None);
        }
        let id = state_id(granted, &request.key, upstream_id);
        let note = self.group.system().get(&name(&id, "plain"), MAX_STATE).await.map_err(unreachable)?;
        let note = note.ok_or_else(gone)?;
        let stored = serde_json::from_slice::<StoredPlain>(&note);
        stored.map(|stored| Some(stored.note)).map_err(|_| unreadable("not the JSON of a note"))
    }

    /// Whether an upload that began plain was neither completed nor aborted through a gateway.
    pub(super) async fn is_open_plain(&self, id: &str) -> Result<bool, Error> {
        let note = self.group.system().get(&name(id, "plain"), MAX_STATE).await.map_err(unreachable)?;
        Ok(note.is_some())
    }

    /// Notes one upload of one part; durable when this returns.
    pub(super) async fn keep_part(&self, opened: &Opened, record: &PartRecord) -> Result<(), Error> {
        let sealed = seal_record(&opened.data_key, &part_context(&opened.id), &record.encode())
            .map_err(|error| Error::internal("The part could not be noted.").because(error))?;
        let object = name(&opened.id, &format!("part/{:05}-{}", record.number, URL_SAFE_NO_PAD.encode(sealed)));
        self.group.system().put(&object, bytes::Bytes::new()).await.map_err(unreachable)
    }

    /// Every record of an upload's parts, the later ones of a number last.
    pub(super) async fn parts(&self, opened: &Opened) -> Result<Vec<PartRecord>, Error> {
        let prefix = name(&opened.id, "part/");
        let entries = self.group.system().list_all(&prefix, None, MAX_RECORDS).await.map_err(|error| match error {
            SystemError::TooMany { most, .. } => Error::invalid_request(format!(
                "Parts of this upload were sent more than {most} times, and more are not told apart: it can only be \
                 aborted. Send the object again in another upload."
            )),
            error => unreachable(error),
        })?;
        let mut records = Vec::with_capacity(entries.len());
        for entry in entries {
            let coded = entry.key.rsplit_once('-').map_or("", |_| &entry.key[prefix.len() + 6..]);
            let sealed = URL_SAFE_NO_PAD.decode(coded).map_err(|_| unreadable("a part record is not Base64"))?;
            let plain = open_record(&opened.data_key, &part_context(&opened.id), &sealed).map_err(unopened)?;
            records.push(PartRecord::decode(&plain).ok_or_else(|| unreadable("a part record is not one"))?);
        }
        if records.is_empty() {
            self.still_open(opened).await?;
        }
        records.sort_by_key(|record| (record.number, record.at_ms));
        Ok(records)
    }

    /// Whether the object that this upload becomes is counted here: by the member that tried first, since several may try,
    /// and one that was killed settles its own try when it is there again.
    pub(super) async fn is_counted_here(&self, id: &str) -> Result<bool, Error> {
        let member = self.stats.series().to_string();
        let tried = self.group.system().put_new(&name(id, "try"), member).await.map_err(unreachable)?;
        Ok(tried == Written::Ours)
    }

    /// The try came to nothing: the next one counts.
    pub(super) async fn try_failed(&self, id: &str) {
        if let Err(error) = self.group.system().delete(&name(id, "try")).await {
            tracing::warn!(%error, "an upload that is completed by another member is not counted");
        }
    }

    pub(super) async fn keep_done(&self, id: &str, done: &Done) -> Result<(), Error> {
        let text = serde_json::to_vec(done).map_err(|e| Error::internal("Not noted.").because(e))?;
        let sealed = self.group.sealing_key().seal(&done_context(id), &text);
        let sealed = STANDARD.encode(sealed.map_err(|e| Error::internal("Not noted.").because(e))?);
        let stored = StoredDone { at_ms: crate::state::now_ms(), sealed };
        let text = serde_json::to_vec(&stored).map_err(|e| Error::internal("Not noted.").because(e))?;
        self.group.system().put(&name(id, "done"), text).await.map_err(unreachable)
    }

    pub(super) async fn done(&self, id: &str) -> Result<Option<Done>, Error> {
        let stored = self.group.system().get(&name(id, "done"), MAX_STATE).await.map_err(unreachable)?;
        let Some(stored) = stored else { return Ok(None) };
        let stored: StoredDone = serde_json::from_slice(&stored).map_err(|_| unreadable("not a done record"))?;
        let sealed = STANDARD.decode(stored.sealed).map_err(|_| unreadable("a done record is not Base64"))?;
        let text = self.group.sealing_key().open(&done_context(id), &sealed);
        let text = text.map_err(|_| unreadable("a done record does not open"))?;
        serde_json::from_slice(&text).map(Some).map_err(|_| unreadable("not what a done record holds"))
    }

    /// Removes an upload's state, but for its `done` record. What is left after a failure does no harm.
    pub(in super::super) async fn forget_upload(&self, id: &str) {
        self.uploads.drop(id);
        let (system, prefix, done) = (self.group.system(), name(id, ""), name(id, "done"));
        let mut after: Option<String> = None;
        loop {
            let page = match system.list(&prefix, after.as_deref()).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::warn!(%error, "state of an ended upload is left over");
                    return;
                }
            };
            after = page.entries.last().map(|entry| entry.key.clone());
            // Futures in a list: the compiler does not find a stream that makes them `Send`.
            let mut removals: Vec<BoxFuture<'_, Result<(), SystemError>>> = Vec::with_capacity(page.entries.len());
            for entry in page.entries.into_iter().filter(|entry| entry.key != done) {
                removals.push(Box::pin(async move { system.delete(&entry.key).await }));
            }
            let mut removing = futures_util::stream::iter(removals).buffer_unordered(16);
            let mut failed = None;
            while let Some(removed) = removing.next().await {
                failed = failed.or(removed.err());
            }
            if let Some(error) = failed {
                tracing::warn!(%error, "state of an ended upload is left over");
                return;
            }
            if !page.more {
                return;
            }
        }
    }

    /// What each of these uploads (key, ID) of a bucket is, by its place in the list.
    pub(super) async fn look_at_uploads(
        &self,
        granted: &Granted,
        uploads: &[(String, String)],
    ) -> Result<HashMap<usize, Looked>, Error> {
        let mut looks: Vec<BoxFuture<'_, Result<(usize, Looked), Error>>> = Vec::with_capacity(uploads.len());
        for (index, (key, id)) in uploads.iter().enumerate() {
            let id = state_id(granted, key, id);
            looks.push(Box::pin(async move { Ok((index, self.look_at_upload(&id).await?)) }));
        }
        let mut looks = futures_util::stream::iter(looks).buffer_unordered(16);
        let mut looked = HashMap::new();
        while let Some(found) = looks.next().await {
            let (index, found) = found?;
            looked.insert(index, found);
        }
        Ok(looked)
    }

    async fn look_at_upload(&self, id: &str) -> Result<Looked, Error> {
        let system = self.group.system();
        for (what, kind) in [("upload", Kind::Sealed), ("copy", Kind::Copy)] {
            if let Some(stored) = system.get(&name(id, what), MAX_STATE).await.map_err(unreachable)? {
                return Ok((kind, about(id, &stored, kind).and_then(|about| about.checksum)));
            }
        }
        Ok((Kind::Plain, None))
    }
}

/// What an upload is to clients, and the checksum that was chosen for it: algorithm and kind.
pub(super) type Looked = (Kind, Option<(String, String)>);

/// What an upload of the storage is to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    Sealed,
    /// Of the gateway's own: they do not see it.
    Copy,
}

/// What the note of an upload says it is about; none where it cannot be read, or is another upload's.
pub(super) fn about(id: &str, stored: &[u8], kind: Kind) -> Option<About> {
    let about = match kind {
        Kind::Sealed => serde_json::from_slice::<Stored>(stored).ok()?.about,
        Kind::Plain => serde_json::from_slice::<StoredPlain>(stored).ok()?.about,
        Kind::Copy => serde_json::from_slice::<About>(stored).ok()?,
    };
    (about.id() == id).then_some(about)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_record_reads_back_and_fits_into_a_name() {
        let record = PartRecord {
            number: 10_000,
            etag: "0123456789abcdef0123456789abcdef".into(),
            salt: [7; 32],
            plaintext_len: 5 << 30,
            at_ms: 1_800_000_000_000,
            held: true,
            checksums: vec![(ChecksumAlgorithm::Sha256, vec![9; 32]), (ChecksumAlgorithm::Crc64Nvme, vec![8; 8])],
        };
        let coded = record.encode();
        assert_eq!(PartRecord::decode(&coded), Some(record));
        assert!(URL_SAFE_NO_PAD.encode(&coded).len() + 48 * 2 + 70 < 1024);
    }

    #[test]
    fn only_our_prefix_means_encrypted() {
        assert_eq!(UploadId::parse("gse1.abc"), UploadId { sealed: true, upstream: "abc".into() });
        assert_eq!(UploadId::parse("abc"), UploadId { sealed: false, upstream: "abc".into() });
    }
}
