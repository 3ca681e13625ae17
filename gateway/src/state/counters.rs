//! What outlives the process of the statistics: one database, one transaction per flush.
//!
//! ```text
//! meta     series, position in the journal, next intent, sequence, boot, clean, gap, baseline
//! counts   Key → (objects, bytes)          cumulative as of `position`
//! intents  id → Open                       without an outcome as of `position`
//! kms, upstreams                           cumulative
//! spool    sequence → encoded report       until Central acknowledges it
//! ```
//! Counts and position change in one transaction: a record of the journal is in the counts exactly when it lies before
//! the position, so that no replay counts it twice.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, TableDefinition};
use uuid::Uuid;

use super::StateError;
use super::journal::{Changes, Count, Key, Open, Position};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const COUNTS: TableDefinition<'_, &[u8], (u64, u64)> = TableDefinition::new("counts");
const INTENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("intents");
const KMS: TableDefinition<'_, (&str, &str, &str), u64> = TableDefinition::new("kms");
const UPSTREAMS: TableDefinition<'_, (&str, &str), (u64, u64, u64)> = TableDefinition::new("upstreams");
const SPOOL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("spool");

/// What the counts were before the lives of which Central has merged nothing: an encoded report; empty: nothing. Absent
/// while Central has merged something of this life.
const BASELINE: &str = "baseline";

/// Format of the tables; another one is refused, not guessed.
const FORMAT: u64 = 1;

/// The database of the counters.
pub(crate) struct Counters {
    db: Database,
    path: PathBuf,
}

/// Calls by (KMS, operation, result).
pub(crate) type KmsCalls = BTreeMap<(String, String, String), u64>;
/// (Requests, bytes in, bytes out) by (backend, result).
pub(crate) type UpstreamCalls = BTreeMap<(String, String), (u64, u64, u64)>;

/// Everything as it was last written.
pub(crate) struct Stored {
    pub(crate) series: Uuid,
    pub(crate) position: Position,
    pub(crate) counts: HashMap<Key, Count>,
    pub(crate) open: BTreeMap<u64, Open>,
    pub(crate) next_id: u64,
    pub(crate) kms: KmsCalls,
    pub(crate) upstreams: UpstreamCalls,
    /// Of the last report that was made; 0 before the first.
    pub(crate) sequence: u64,
    /// End of the last report, Unix milliseconds.
    pub(crate) reported_ms: i64,
    pub(crate) spooled: Spooled,
    pub(crate) gap_ms: u64,
    /// The run of the machine in which it was last written; none where that was not known.
    pub(crate) boot: Option<String>,
    /// The last process wrote all that it had.
    pub(crate) clean: bool,
    /// When it was last written, Unix milliseconds.
    pub(crate) flushed_ms: i64,
}

/// What is to be written at once.
#[derive(Default)]
pub(crate) struct Flush {
    pub(crate) changes: Changes,
    pub(crate) position: Position,
    pub(crate) kms: KmsCalls,
    pub(crate) upstreams: UpstreamCalls,
    pub(crate) gap_ms: u64,
    pub(crate) boot: Option<String>,
    pub(crate) clean: bool,
    pub(crate) now_ms: i64,
    /// A report made of exactly these counts: sequence, end, bytes.
    pub(crate) report: Option<(u64, i64, Vec<u8>)>,
    /// A new series begins with these counts, which are all: what the store has of the one before goes.
    pub(crate) series: Option<Uuid>,
}

/// How much waits for Central.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Spooled {
    pub(crate) reports: u64,
    pub(crate) bytes: u64,
}

impl Counters {
    /// Opens or makes the database. A damaged one is laid aside, and a new series begins.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        let db = match Database::create(path) {
            Ok(db) => db,
            Err(redb::DatabaseError::Storage(redb::StorageError::Corrupted(reason))) => {
                let aside = path.with_extension("damaged");
                tracing::error!(path = %path.display(), aside = %aside.display(), reason,
                    "the counters are damaged: they are laid aside, and counting begins anew");
                std::fs::rename(path, &aside).map_err(|source| StateError::Io { path: path.to_owned(), source })?;
                Database::create(path).map_err(|error| Self::refused(path, &error))?
            }
            Err(error) => return Err(Self::refused(path, &error)),
        };
        let counters = Self { db, path: path.to_owned() };
        counters.begin()?;
        Ok(counters)
    }

    /// Makes the tables, and the series where there is none.
    fn begin(&self) -> Result<(), StateError> {
        self.write(|tx| {
            let mut meta = tx.open_table(META)?;
            if meta.get("series")?.is_none() {
                meta.insert("series", Uuid::new_v4().as_bytes().as_slice())?;
                meta.insert("format", FORMAT.to_be_bytes().as_slice())?;
            }
            tx.open_table(COUNTS)?;
            tx.open_table(INTENTS)?;
            tx.open_table(KMS)?;
            tx.open_table(UPSTREAMS)?;
            tx.open_table(SPOOL)?;
            Ok(())
        })
    }

    /// Reads everything but the reports.
    pub(crate) fn load(&self) -> Result<Stored, StateError> {
        let read = || -> Result<Stored, Failure> {
            let tx = self.db.begin_read()?;
            let meta = tx.open_table(META)?;
            let bytes = |name: &str| -> Result<Option<Vec<u8>>, Failure> {
                Ok(meta.get(name)?.map(|value| value.value().to_vec()))
            };
            let number = |name: &'static str| -> Result<u64, Failure> {
                let Some(found) = bytes(name)? else { return Ok(0) };
                Ok(u64::from_be_bytes(found.try_into().map_err(|_| Failure::record("meta", &name))?))
            };
            let time = |name| -> Result<i64, Failure> { Ok(i64::try_from(number(name)?).unwrap_or(i64::MAX)) };
            if number("format")? != FORMAT {
                return Err(Failure::record("meta", &"it was written by another version"));
            }
            let series = bytes("series")?
                .and_then(|found| Uuid::from_slice(&found).ok())
                .ok_or_else(|| Failure::record("meta", &"the series is no UUID"))?;
            let mut counts = HashMap::new();
            for row in tx.open_table(COUNTS)?.iter()? {
                let (key, value) = row?;
                let key = Key::from_bytes(key.value()).map_err(|error| Failure::record("counts", &error))?;
                let (objects, bytes) = value.value();
                counts.insert(key, Count { objects, bytes });
            }
            let mut open = BTreeMap::new();
            for row in tx.open_table(INTENTS)?.iter()? {
                let (id, value) = row?;
                let intent = Open::from_bytes(value.value()).map_err(|error| Failure::record("intents", &error))?;
                open.insert(id.value(), intent);
            }
            let mut kms = KmsCalls::new();
            for row in tx.open_table(KMS)?.iter()? {
                let (key, calls) = row?;
                let (id, operation, result) = key.value();
                kms.insert((id.to_owned(), operation.to_owned(), result.to_owned()), calls.value());
            }
            let mut upstreams = UpstreamCalls::new();
            for row in tx.open_table(UPSTREAMS)?.iter()? {
                let (key, calls) = row?;
                let (backend, result) = key.value();
                upstreams.insert((backend.to_owned(), result.to_owned()), calls.value());
            }
            let spool = tx.open_table(SPOOL)?;
            let mut spooled = Spooled { reports: spool.len()?, bytes: 0 };
            for row in spool.iter()? {
                spooled.bytes += row?.1.value().len() as u64;
            }
            Ok(Stored {
                series,
                position: Position { segment: number("segment")?, offset: number("offset")? },
                counts,
                open,
                next_id: number("next_id")?,
                kms,
                upstreams,
                sequence: number("sequence")?,
                reported_ms: time("reported_ms")?,
                spooled,
                gap_ms: number("gap_ms")?,
                boot: bytes("boot")?.and_then(|found| String::from_utf8(found).ok()).filter(|id| !id.is_empty()),
                clean: number("clean")? == 1,
                flushed_ms: time("flushed_ms")?,
            })
        };
        read().map_err(|failure| self.failed(failure))
    }

    /// Writes one flush. All of it is on the disk when this returns, or nothing of it is.
    pub(crate) fn flush(&self, flush: &Flush) -> Result<(), StateError> {
        self.write(|tx| {
            if let Some(series) = flush.series {
                for table in [
                    tx.delete_table(COUNTS)?,
                    tx.delete_table(KMS)?,
                    tx.delete_table(UPSTREAMS)?,
                    tx.delete_table(SPOOL)?,
                ] {
                    debug_assert!(table, "the tables are made with the database");
                }
                tx.open_table(SPOOL)?;
                let mut meta = tx.open_table(META)?;
                meta.insert("series", series.as_bytes().as_slice())?;
                meta.insert("sequence", 0_u64.to_be_bytes().as_slice())?;
                meta.insert(BASELINE, [].as_slice())?;
            }
            let mut counts = tx.open_table(COUNTS)?;
            for (key, count) in &flush.changes.counts {
                counts.insert(key.to_bytes().as_slice(), (count.objects, count.bytes))?;
            }
            let mut intents = tx.open_table(INTENTS)?;
            for id in &flush.changes.closed {
                intents.remove(id)?;
            }
            for (id, open) in &flush.changes.opened {
                intents.insert(id, open.to_bytes().as_slice())?;
            }
            let mut kms = tx.open_table(KMS)?;
            for ((id, operation, result), calls) in &flush.kms {
                kms.insert((id.as_str(), operation.as_str(), result.as_str()), calls)?;
            }
            let mut upstreams = tx.open_table(UPSTREAMS)?;
            for ((backend, result), calls) in &flush.upstreams {
                upstreams.insert((backend.as_str(), result.as_str()), calls)?;
            }
            let mut meta = tx.open_table(META)?;
            let numbers = [
                ("segment", flush.position.segment),
                ("offset", flush.position.offset),
                ("next_id", flush.changes.next_id),
                ("gap_ms", flush.gap_ms),
                ("clean", u64::from(flush.clean)),
                ("flushed_ms", u64::try_from(flush.now_ms).unwrap_or(0)),
            ];
            for (name, number) in numbers {
                meta.insert(name, number.to_be_bytes().as_slice())?;
            }
            meta.insert("boot", flush.boot.as_deref().unwrap_or_default().as_bytes())?;
            if let Some((sequence, end_ms, bytes)) = &flush.report {
                meta.insert("sequence", sequence.to_be_bytes().as_slice())?;
                meta.insert("reported_ms", u64::try_from(*end_ms).unwrap_or(0).to_be_bytes().as_slice())?;
                tx.open_table(SPOOL)?.insert(sequence, bytes.as_slice())?;
            }
            Ok(())
        })
    }

    /// The oldest report that Central has not acknowledged.
    pub(crate) fn oldest_report(&self) -> Result<Option<(u64, Vec<u8>)>, StateError> {
        let read = || -> Result<_, Failure> {
            let spool = self.db.begin_read()?.open_table(SPOOL)?;
            let oldest = spool.first()?.map(|(sequence, bytes)| (sequence.value(), bytes.value().to_vec()));
            Ok(oldest)
        };
        read().map_err(|failure| self.failed(failure))
    }

    /// Forgets the reports up to and including `sequence`; says what is left.
    pub(crate) fn forget_reports(&self, sequence: u64) -> Result<Spooled, StateError> {
        let mut left = Spooled::default();
        self.write(|tx| {
            let mut spool = tx.open_table(SPOOL)?;
            spool.retain(|found, _| found > sequence)?;
            left = Spooled { reports: spool.len()?, bytes: 0 };
            for row in spool.iter()? {
                left.bytes += row?.1.value().len() as u64;
            }
            Ok(())
        })?;
        Ok(left)
    }

    /// The baseline, where there is one.
    pub(crate) fn baseline(&self) -> Result<Option<Vec<u8>>, StateError> {
        let read = || -> Result<_, Failure> {
            let meta = self.db.begin_read()?.open_table(META)?;
            Ok(meta.get(BASELINE)?.map(|value| value.value().to_vec()))
        };
        read().map_err(|failure| self.failed(failure))
    }

    /// Sets the baseline, or removes it.
    pub(crate) fn set_baseline(&self, baseline: Option<&[u8]>) -> Result<(), StateError> {
        self.write(|tx| {
            let mut meta = tx.open_table(META)?;
            match baseline {
                Some(bytes) => meta.insert(BASELINE, bytes)?,
                None => meta.remove(BASELINE)?,
            };
            Ok(())
        })
    }

    /// A text that outlives the process, such as the last epoch that Central confirmed.
    pub(crate) fn note(&self, name: &'static str) -> Result<Option<String>, StateError> {
        let read = || -> Result<_, Failure> {
            let meta = self.db.begin_read()?.open_table(META)?;
            let found = meta.get(name)?.map(|value| String::from_utf8_lossy(value.value()).into_owned());
            Ok(found)
        };
        read().map_err(|failure| self.failed(failure))
    }

    /// Writes such a text; it is on the disk when this returns.
    pub(crate) fn set_note(&self, name: &'static str, text: &str) -> Result<(), StateError> {
        self.write(|tx| {
            tx.open_table(META)?.insert(name, text.as_bytes())?;
            Ok(())
        })
    }

    fn write(&self, work: impl FnOnce(&redb::WriteTransaction) -> Result<(), Failure>) -> Result<(), StateError> {
        let run = || -> Result<(), Failure> {
            let tx = self.db.begin_write()?;
            work(&tx)?;
            tx.commit()?;
            Ok(())
        };
        run().map_err(|failure| self.failed(failure))
    }

    fn refused(path: &Path, error: &redb::DatabaseError) -> StateError {
        StateError::Database { path: path.to_owned(), reason: error.to_string() }
    }

    fn failed(&self, failure: Failure) -> StateError {
        match failure {
            Failure::Database(error) => StateError::Database { path: self.path.clone(), reason: error.to_string() },
            Failure::Record { table, reason } => StateError::Record { table, reason },
        }
    }
}

/// What goes wrong inside a transaction.
enum Failure {
    Database(Box<redb::Error>),
    Record { table: &'static str, reason: String },
}

impl Failure {
    fn record(table: &'static str, reason: &dyn std::fmt::Display) -> Self {
        Self::Record { table, reason: reason.to_string() }
    }
}

macro_rules! failures {
    ($($kind:ty),+) => {
        $(impl From<$kind> for Failure {
            fn from(error: $kind) -> Self {
                Self::Database(Box::new(error.into()))
            }
        })+
    };
}
failures!(redb::TransactionError, redb::TableError, redb::StorageError, redb::CommitError);
