//! Plaintext sizes for lists: (bucket, key, `ETag`) → encrypted or not, size, KMS ID.
//!
//! ```text
//!  record ──▶ overlay (memory, visible at once) ──each 200 ms or 1,000 objects──▶ ledger.redb: a Row of each key
//!  look_up ──▶ overlay, then database ──▶ Found | a miss: the caller looks at the storage
//!  counts by bucket and by KMS change in the transaction that changes an object: asking for them reads no objects
//! ```
//! Filled by writes and by what lists had to look up. An entry is bound to its `ETag`, so that one that is out of date is a
//! miss and not a wrong size; that also tells versions of one key apart. Nothing here has to be kept: the file may be deleted
//! at any time, an error inside is a miss. Buckets and keys are the client's.

mod row;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ids::KmsId;
use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition, TableHandle as _};
use tokio_util::sync::CancellationToken;

use super::StateError;
use row::{Looked, Row, Step};

pub use row::Standing;

/// The overlay is written when it holds this many keys.
const BATCH: usize = 1_000;
/// Keys in the overlay beyond which nothing more is remembered, where the disk does not keep up.
const MAX_OVERLAY: usize = 200_000;
const WRITE_EVERY: Duration = Duration::from_millis(200);

const OBJECTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("objects-2");
/// Bucket → (encrypted, their bytes, plain, their bytes) of the current object of each key.
const BUCKETS: TableDefinition<'_, &str, (u64, u64, u64, u64)> = TableDefinition::new("buckets-2");
/// KMS → current objects that need it.
const KMS: TableDefinition<'_, &str, u64> = TableDefinition::new("kms-2");
/// What versions before this one wrote, which did not tell current objects from older versions.
const OUTDATED: [&str; 3] = ["objects-1", "buckets-1", "kms-1"];

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

/// What the ledger has of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub known: Known,
    /// It counts as what a read without a version gives.
    pub current: bool,
}

/// Current objects of a bucket that the ledger knows; not more than there are, but possibly fewer.
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

/// What is to be done with each (bucket, key), in order.
type Batch = HashMap<(Box<str>, Box<str>), Vec<Step>>;

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
        if let Err(error) = drop_outdated(&db).and_then(|()| count_all(&db)) {
            return Err(StateError::Database { path: path.to_owned(), reason: error.to_string() });
        }
        let shared =
            Shared { db, overlay: Mutex::default(), writing: Mutex::new(()), full: tokio::sync::Notify::new() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Remembers an object; the next look-up sees it. `etag` without quotes, as the storage says it.
    pub fn record(&self, bucket: &str, key: &str, etag: &str, known: Known, standing: Standing) {
        let mut overlay = self.shared.lock();
        let place = (Box::from(bucket), Box::from(key));
        if overlay.fresh.len() >= MAX_OVERLAY && !overlay.fresh.contains_key(&place) {
            return;
        }
        overlay.fresh.entry(place).or_default().push(Step::Add(etag.into(), known, standing));
        if overlay.fresh.len() >= BATCH {
            self.shared.full.notify_one();
        }
    }

    /// Forgets every version of a key, after it was deleted in a bucket without versions.
    pub fn forget(&self, bucket: &str, key: &str) {
        self.shared.lock().fresh.insert((Box::from(bucket), Box::from(key)), vec![Step::Clear]);
    }

    /// No version of a key counts as current, after one was deleted or hidden by a delete marker. Their sizes stay.
    pub fn hide(&self, bucket: &str, key: &str) {
        self.shared.lock().fresh.entry((Box::from(bucket), Box::from(key))).or_default().push(Step::Hide);
    }

    /// What is known of (key, `ETag`) pairs of one bucket, in their order. A miss says nothing about the object.
    pub async fn look_up(&self, bucket: &str, items: Vec<(String, String)>) -> Vec<Option<Found>> {
        let ledger = self.clone();
        let bucket = bucket.to_owned();
        let count = items.len();
        // The database is read on a thread that may wait for the disk.
        let work = tokio::task::spawn_blocking(move || ledger.look_up_blocking(&bucket, &items));
        work.await.unwrap_or_else(|_| vec![None; count])
    }

    /// What a read of a key without a version gives, as far as it is known: a hint, since others may have overwritten it.
    pub async fn current(&self, bucket: &str, key: &str) -> Option<Known> {
        let place: (Box<str>, Box<str>) = (bucket.into(), key.into());
        // From the overlay first: what moves from it to the database in between is then done twice, which changes nothing.
        let steps: Vec<Step> = {
            let overlay = self.shared.lock();
            let batches = [&*overlay.writing, &overlay.fresh].into_iter().filter_map(|batch| batch.get(&place));
            batches.flatten().cloned().collect()
        };
        let ledger = self.clone();
        let work = tokio::task::spawn_blocking(move || -> Result<Option<Known>, redb::Error> {
            let mut row = match ledger.shared.db.begin_read()?.open_table(OBJECTS) {
                Ok(table) => {
                    table.get((&*place.0, &*place.1))?.map(|value| Row::decode(value.value())).unwrap_or_default()
                }
                Err(redb::TableError::TableDoesNotExist(_)) => Row::default(),
                Err(error) => return Err(error.into()),
            };
            for step in &steps {
                row.apply(step);
            }
            Ok(row.current().cloned())
        });
        work.await.ok()?.ok()?
    }

    fn look_up_blocking(&self, bucket: &str, items: &[(String, String)]) -> Vec<Option<Found>> {
        // From the overlay first: what moves from it to the database in between is then found in the database.
        let mut answers: Vec<Looked> = {
            let overlay = self.shared.lock();
            items.iter().map(|(key, etag)| overlay.find(bucket, key, etag)).collect()
        };
        if answers.iter().any(|answer| matches!(answer, Looked::AskDatabase { .. }))
            && let Err(error) = self.read_into(bucket, items, &mut answers)
        {
            tracing::warn!(%error, "the ledger cannot be read; the list looks at the storage");
        }
        answers.into_iter().map(Looked::found).collect()
    }

    fn read_into(&self, bucket: &str, items: &[(String, String)], answers: &mut [Looked]) -> Result<(), redb::Error> {
        let tx = self.shared.db.begin_read()?;
        let table = match tx.open_table(OBJECTS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        // A page of versions names a key again and again.
        let mut last: Option<(&str, Row)> = None;
        for ((key, etag), answer) in items.iter().zip(answers) {
            let Looked::AskDatabase { displaced } = *answer else { continue };
            if last.as_ref().is_none_or(|(name, _)| name != key) {
                let row = table.get((bucket, key.as_str()))?.map(|value| Row::decode(value.value()));
                last = Some((key, row.unwrap_or_default()));
            }
            if let Some((known, current)) = last.as_ref().and_then(|(_, row)| row.find(etag)) {
                *answer = Looked::Found(Found { known: known.clone(), current: current && !displaced });
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

    /// Objects that the ledger knows to need each KMS, of those that any needs.
    pub async fn objects_by_kms(&self) -> Result<BTreeMap<String, u64>, StateError> {
        self.read(|tx| {
            let table = match tx.open_table(KMS) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
                Err(error) => return Err(error.into()),
            };
            let mut counts = BTreeMap::new();
            for row in table.iter()? {
                let (kms, count) = row?;
                counts.insert(kms.value().to_owned(), count.value());
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
            for ((bucket, key), steps) in batch {
                let place = (&**bucket, &**key);
                let mut row = table.get(place)?.map(|value| Row::decode(value.value())).unwrap_or_default();
                if let Some(known) = row.current() {
                    shifts.take(bucket, known, false);
                }
                for step in steps {
                    row.apply(step);
                }
                if let Some(known) = row.current() {
                    shifts.take(bucket, known, true);
                }
                if row.is_empty() {
                    table.remove(place)?;
                } else {
                    table.insert(place, row.encode().as_slice())?;
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

/// Removes what an older version wrote: lists look at the storage once more.
fn drop_outdated(db: &Database) -> Result<(), redb::Error> {
    let tx = db.begin_read()?;
    let names: Vec<_> = tx.list_tables()?.map(|table| table.name().to_owned()).collect();
    if !names.iter().any(|name| OUTDATED.contains(&name.as_str())) {
        return Ok(());
    }
    drop(tx);
    let tx = db.begin_write()?;
    for table in tx.list_tables()?.collect::<Vec<_>>() {
        if OUTDATED.contains(&table.name()) {
            tx.delete_table(table)?;
        }
    }
    tx.commit()?;
    Ok(())
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
        if let Some(known) = Row::decode(value.value()).current() {
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

impl Overlay {
    fn find(&self, bucket: &str, key: &str, etag: &str) -> Looked {
        let place = (Box::from(bucket), Box::from(key));
        let batches = [&self.fresh, &*self.writing].into_iter().filter_map(|batch| batch.get(&place));
        row::find(batches.flat_map(|steps| steps.iter().rev()), etag)
    }
}
