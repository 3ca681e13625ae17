//! Plaintext sizes for lists: (bucket, key, `ETag`) → encrypted or not, size, KMS ID.
//!
//! ```text
//!  record ──▶ overlay (memory, visible at once) ──each 200 ms or 1,000 objects──▶ ledger.redb
//!  look_up ──▶ overlay, then database ──▶ Known | a miss: the caller looks at the storage
//!  counts by bucket and by KMS change in the transaction that changes an object: asking for them reads no objects
//! ```
//! Filled by writes and by what lists had to look up. An entry is bound to its `ETag`, so that one that is out of date is a
//! miss and not a wrong size. Nothing here has to be kept: the file may be deleted at any time, an error inside is a miss.
//! Buckets and keys are the client's. Of one key, the last [`VERSIONS`] `ETags` are kept.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ids::KmsId;
use minicbor::{Decoder, Encoder};
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use tokio_util::sync::CancellationToken;

use super::StateError;

/// `ETags` kept of one key: versions in a versioned bucket.
pub const VERSIONS: usize = 8;
/// The overlay is written when it holds this many keys.
const BATCH: usize = 1_000;
/// Keys in the overlay beyond which nothing more is remembered, where the disk does not keep up.
const MAX_OVERLAY: usize = 200_000;
const WRITE_EVERY: Duration = Duration::from_millis(200);

/// Versions of a key, the most recent last; empty: forgotten.
type Versions = Vec<(Box<str>, Known)>;

const OBJECTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("objects-1");
/// Bucket → (encrypted, their bytes, plain, their bytes) of the most recent version of each key.
const BUCKETS: TableDefinition<'_, &str, (u64, u64, u64, u64)> = TableDefinition::new("buckets-1");
/// KMS → objects whose most recent version needs it.
const KMS: TableDefinition<'_, &str, u64> = TableDefinition::new("kms-1");

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Stored encrypted.
    pub encrypted: bool,
    /// Plaintext bytes.
    pub size: u64,
    /// The KMS that protects it; none where it is plain.
    pub kms: Option<KmsId>,
}

/// Objects of a bucket that the ledger knows; not more than there are, but possibly fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BucketCounts {
    /// Encrypted objects.
    pub encrypted: u64,
    /// Their plaintext bytes.
    pub encrypted_bytes: u64,
    /// Plain objects.
    pub plain: u64,
    /// Their bytes.
    pub plain_bytes: u64,
}

/// Handle to the ledger; clones share it.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

struct Shared {
    db: Database,
    overlay: Mutex<Overlay>,
    /// One writer at a time, so that an older batch never lands on a newer one.
    writing: Mutex<()>,
    full: tokio::sync::Notify,
}

/// What is not in the database yet. `writing` is the batch on its way there, still visible.
#[derive(Default)]
struct Overlay {
    fresh: Batch,
    writing: Arc<Batch>,
}

/// Changes by (bucket, key).
type Batch = HashMap<(Box<str>, Box<str>), Change>;

/// What a batch does to one key.
#[derive(Debug, Clone, Default)]
struct Change {
    /// Forget what the database has of the key.
    clear: bool,
    /// Then add these, the most recent last.
    added: Versions,
}

impl Ledger {
    /// Opens or makes the file. A damaged one is made anew.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        let refused =
            |error: redb::DatabaseError| StateError::Database { path: path.to_owned(), reason: error.to_string() };
        let db = match Database::create(path) {
            Ok(db) => db,
            Err(error @ redb::DatabaseError::DatabaseAlreadyOpen) => return Err(refused(error)),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "the ledger cannot be opened and is made anew; lists look at the storage");
                std::fs::remove_file(path).map_err(|source| StateError::Io { path: path.to_owned(), source })?;
                Database::create(path).map_err(refused)?
            }
        };
        if let Err(error) = count_all(&db) {
            return Err(StateError::Database { path: path.to_owned(), reason: error.to_string() });
        }
        let shared =
            Shared { db, overlay: Mutex::default(), writing: Mutex::new(()), full: tokio::sync::Notify::new() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Remembers an object; the next look-up sees it. `etag` without quotes, as the storage says it.
    pub fn record(&self, bucket: &str, key: &str, etag: &str, known: Known) {
        let mut overlay = self.shared.lock();
        let place = (Box::from(bucket), Box::from(key));
        if overlay.fresh.len() >= MAX_OVERLAY && !overlay.fresh.contains_key(&place) {
            return;
        }
        push(&mut overlay.fresh.entry(place).or_default().added, etag.into(), known);
        if overlay.fresh.len() >= BATCH {
            self.shared.full.notify_one();
        }
    }

    /// Forgets every version of a key, after it was deleted.
    pub fn forget(&self, bucket: &str, key: &str) {
        let change = Change { clear: true, added: Versions::new() };
        self.shared.lock().fresh.insert((Box::from(bucket), Box::from(key)), change);
    }

    /// What is known of (key, `ETag`) pairs of one bucket, in their order. A miss says nothing about the object.
    pub async fn look_up(&self, bucket: &str, items: Vec<(String, String)>) -> Vec<Option<Known>> {
        let ledger = self.clone();
        let bucket = bucket.to_owned();
        let count = items.len();
        // The database is read on a thread that may wait for the disk.
        let work = tokio::task::spawn_blocking(move || ledger.look_up_blocking(&bucket, &items));
        work.await.unwrap_or_else(|_| vec![None; count])
    }

    fn look_up_blocking(&self, bucket: &str, items: &[(String, String)]) -> Vec<Option<Known>> {
        // From the overlay first: what moves from it to the database in between is then found in the database.
        let mut answers: Vec<Found> = {
            let overlay = self.shared.lock();
            items.iter().map(|(key, etag)| overlay.find(bucket, key, etag)).collect()
        };
        if answers.contains(&Found::AskDatabase)
            && let Err(error) = self.read_into(bucket, items, &mut answers)
        {
            tracing::warn!(%error, "the ledger cannot be read; the list looks at the storage");
        }
        answers.into_iter().map(Found::known).collect()
    }

    fn read_into(&self, bucket: &str, items: &[(String, String)], answers: &mut [Found]) -> Result<(), redb::Error> {
        let tx = self.shared.db.begin_read()?;
        let table = match tx.open_table(OBJECTS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for ((key, etag), answer) in items.iter().zip(answers) {
            if *answer != Found::AskDatabase {
                continue;
            }
            let Some(value) = table.get((bucket, key.as_str()))? else { continue };
            let versions = decode(value.value());
            if let Some((_, known)) = versions.into_iter().find(|(found, _)| **found == **etag) {
                *answer = Found::Known(known);
            }
        }
        Ok(())
    }

    /// Objects that the ledger knows to need this KMS.
    pub async fn known_objects(&self, kms: &KmsId) -> Result<u64, StateError> {
        let kms = kms.clone();
        self.read(move |tx| match tx.open_table(KMS) {
            Ok(table) => Ok(table.get(kms.as_str())?.map_or(0, |count| count.value())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(0),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// What the ledger knows of a bucket.
    pub async fn bucket_counts(&self, bucket: &str) -> Result<BucketCounts, StateError> {
        let bucket = bucket.to_owned();
        self.read(move |tx| match tx.open_table(BUCKETS) {
            Ok(table) => Ok(table.get(bucket.as_str())?.map_or_else(BucketCounts::default, |row| row.value().into())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(BucketCounts::default()),
            Err(error) => Err(error.into()),
        })
        .await
    }

    /// What the ledger knows of every bucket of which it knows anything.
    pub async fn all_counts(&self) -> Result<BTreeMap<String, BucketCounts>, StateError> {
        self.read(|tx| {
            let table = match tx.open_table(BUCKETS) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
                Err(error) => return Err(error.into()),
            };
            let mut counts = BTreeMap::new();
            for row in table.iter()? {
                let (bucket, row) = row?;
                counts.insert(bucket.value().to_owned(), row.value().into());
            }
            Ok(counts)
        })
        .await
    }

    /// Reads the database, with all that was recorded before.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StateError> {
        let ledger = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            ledger.write()?;
            read(&ledger.shared.db.begin_read()?)
        });
        let failed = |reason: String| StateError::Database { path: "ledger.redb".into(), reason };
        work.await.map_err(|error| failed(error.to_string()))?.map_err(|error: redb::Error| failed(error.to_string()))
    }

    /// Writes the overlay to the database. Blocks on the disk, but waits for no fsync: what a power loss takes is a miss.
    fn write(&self) -> Result<(), redb::Error> {
        let _one = self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = {
            let mut overlay = self.shared.lock();
            if overlay.fresh.is_empty() {
                return Ok(());
            }
            overlay.writing = Arc::new(std::mem::take(&mut overlay.fresh));
            Arc::clone(&overlay.writing)
        };
        let result = self.write_batch(&batch);
        // Also after a failure: what was not written is a miss, and misses are looked up.
        self.shared.lock().writing = Arc::default();
        result
    }

    fn write_batch(&self, batch: &Batch) -> Result<(), redb::Error> {
        let mut tx = self.shared.db.begin_write()?;
        tx.set_durability(Durability::None).map_err(|error| redb::StorageError::Io(std::io::Error::other(error)))?;
        let mut shifts = Shifts::default();
        {
            let mut table = tx.open_table(OBJECTS)?;
            for ((bucket, key), change) in batch {
                let place = (&**bucket, &**key);
                let mut versions = table.get(place)?.map(|value| decode(value.value())).unwrap_or_default();
                if let Some((_, known)) = versions.last() {
                    shifts.take(bucket, known, false);
                }
                if change.clear {
                    versions.clear();
                }
                for (etag, known) in &change.added {
                    push(&mut versions, etag.clone(), known.clone());
                }
                if let Some((_, known)) = versions.last() {
                    shifts.take(bucket, known, true);
                }
                if versions.is_empty() {
                    table.remove(place)?;
                } else {
                    table.insert(place, encode(&versions).as_slice())?;
                }
            }
        }
        shifts.write(&tx)?;
        tx.commit()?;
        Ok(())
    }

    /// Writes everything so that a restart finds it.
    fn sync(&self) -> Result<(), redb::Error> {
        self.write()?;
        let tx = self.shared.db.begin_write()?;
        tx.commit()?;
        Ok(())
    }

    /// Writes batches until `stop`, then all that is left.
    pub async fn run(&self, stop: CancellationToken) {
        let mut synced = tokio::time::Instant::now();
        loop {
            let stopping = tokio::select! {
                () = stop.cancelled() => true,
                () = self.shared.full.notified() => false,
                () = tokio::time::sleep(WRITE_EVERY) => false,
            };
            let sync = stopping || synced.elapsed() > 50 * WRITE_EVERY;
            if sync {
                synced = tokio::time::Instant::now();
            }
            let ledger = self.clone();
            let work = tokio::task::spawn_blocking(move || if sync { ledger.sync() } else { ledger.write() });
            match work.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the ledger cannot be written; lists look at the storage"),
                Err(error) => tracing::error!(%error, "the ledger's writer failed"),
            }
            if stopping {
                return;
            }
        }
    }
}

impl From<(u64, u64, u64, u64)> for BucketCounts {
    fn from((encrypted, encrypted_bytes, plain, plain_bytes): (u64, u64, u64, u64)) -> Self {
        Self { encrypted, encrypted_bytes, plain, plain_bytes }
    }
}

/// By how much counts change; what comes and what goes apart, so that no order of them goes below zero.
#[derive(Default)]
struct Shifts {
    buckets: HashMap<Box<str>, [BucketCounts; 2]>,
    kms: HashMap<KmsId, [u64; 2]>,
}

impl Shifts {
    fn take(&mut self, bucket: &str, known: &Known, comes: bool) {
        let side = usize::from(comes);
        let counts = &mut self.buckets.entry(bucket.into()).or_default()[side];
        let (objects, bytes) = if known.encrypted {
            (&mut counts.encrypted, &mut counts.encrypted_bytes)
        } else {
            (&mut counts.plain, &mut counts.plain_bytes)
        };
        *objects += 1;
        // Modulo, as what goes is: the difference is right whatever the sum.
        *bytes = bytes.wrapping_add(known.size);
        if let Some(kms) = &known.kms {
            self.kms.entry(kms.clone()).or_default()[side] += 1;
        }
    }

    fn write(&self, tx: &redb::WriteTransaction) -> Result<(), redb::Error> {
        let shift = |held: u64, goes: u64, comes: u64| held.wrapping_add(comes).wrapping_sub(goes);
        let mut buckets = tx.open_table(BUCKETS)?;
        for (bucket, [goes, comes]) in &self.buckets {
            let held: BucketCounts = buckets.get(&**bucket)?.map_or_else(Default::default, |row| row.value().into());
            let row = (
                shift(held.encrypted, goes.encrypted, comes.encrypted),
                shift(held.encrypted_bytes, goes.encrypted_bytes, comes.encrypted_bytes),
                shift(held.plain, goes.plain, comes.plain),
                shift(held.plain_bytes, goes.plain_bytes, comes.plain_bytes),
            );
            if row.0 == 0 && row.2 == 0 {
                buckets.remove(&**bucket)?;
            } else {
                buckets.insert(&**bucket, row)?;
            }
        }
        let mut kms = tx.open_table(KMS)?;
        for (id, [goes, comes]) in &self.kms {
            let held = kms.get(id.as_str())?.map_or(0, |count| count.value());
            kms.insert(id.as_str(), shift(held, *goes, *comes))?;
        }
        Ok(())
    }
}

/// Counts a ledger that was written by a version without counts, once.
fn count_all(db: &Database) -> Result<(), redb::Error> {
    let tx = db.begin_read()?;
    let objects = match (tx.open_table(BUCKETS), tx.open_table(OBJECTS)) {
        (Err(redb::TableError::TableDoesNotExist(_)), Ok(objects)) => objects,
        (Err(redb::TableError::TableDoesNotExist(_)) | Ok(_), Err(redb::TableError::TableDoesNotExist(_)))
        | (Ok(_), Ok(_)) => return Ok(()),
        (Err(error), _) | (_, Err(error)) => return Err(error.into()),
    };
    let mut shifts = Shifts::default();
    for row in objects.iter()? {
        let (place, value) = row?;
        if let Some((_, known)) = decode(value.value()).last() {
            shifts.take(place.value().0, known, true);
        }
    }
    let tx = db.begin_write()?;
    shifts.write(&tx)?;
    tx.commit()?;
    Ok(())
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Overlay> {
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Known(Known),
    /// Forgotten since: the database must not be asked.
    Nothing,
    AskDatabase,
}

impl Found {
    fn known(self) -> Option<Known> {
        match self {
            Self::Known(known) => Some(known),
            Self::Nothing | Self::AskDatabase => None,
        }
    }
}

impl Overlay {
    fn find(&self, bucket: &str, key: &str, etag: &str) -> Found {
        let place = (Box::from(bucket), Box::from(key));
        for batch in [&self.fresh, &*self.writing] {
            let Some(change) = batch.get(&place) else { continue };
            if let Some((_, known)) = change.added.iter().find(|(found, _)| &**found == etag) {
                return Found::Known(known.clone());
            }
            if change.clear {
                return Found::Nothing;
            }
        }
        Found::AskDatabase
    }
}

/// Adds a version as the most recent, once.
fn push(versions: &mut Versions, etag: Box<str>, known: Known) {
    versions.retain(|(found, _)| *found != etag);
    versions.push((etag, known));
    let surplus = versions.len().saturating_sub(VERSIONS);
    versions.drain(..surplus);
}

fn encode(versions: &Versions) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut e = Encoder::new(&mut bytes);
    let mut write = || -> Result<(), minicbor::encode::Error<std::convert::Infallible>> {
        e.array(versions.len() as u64)?;
        for (etag, known) in versions {
            let kms = known.kms.as_ref().map_or("", |id| id.as_str());
            e.array(4)?.str(etag)?.bool(known.encrypted)?.u64(known.size)?.str(kms)?;
        }
        Ok(())
    };
    write().expect("a vector takes every byte");
    bytes
}

/// What cannot be read is not known.
fn decode(bytes: &[u8]) -> Versions {
    let mut d = Decoder::new(bytes);
    let mut read = || -> Result<Versions, minicbor::decode::Error> {
        let count = d.array()?.unwrap_or(0);
        let mut versions = Versions::new();
        for _ in 0..count.min(VERSIONS as u64) {
            d.array()?;
            let (etag, encrypted, size, kms) = (d.str()?, d.bool()?, d.u64()?, d.str()?);
            let kms = if kms.is_empty() {
                None
            } else {
                Some(kms.parse().map_err(|_| minicbor::decode::Error::message("no KMS ID"))?)
            };
            versions.push((etag.into(), Known { encrypted, size, kms }));
        }
        Ok(versions)
    };
    read().unwrap_or_default()
}
