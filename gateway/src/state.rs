//! The local store: what a gateway keeps on its own disk. All of it can be had again but the statistics that Central has
//! not acknowledged.
//!
//! ```text
//! state_dir/lock          one process at a time
//!          /journal/      intents and outcomes, appended; survives kill -9        state/journal
//!          /counters.redb cumulative counters, open intents, report spool          state/counters
//!          /ledger.redb   plaintext sizes for lists; may be deleted at any time    state/ledger
//!          /policies/     last known good policy sets                              snapshot/disk
//!          /identity/     key and certificate for Central, sealed                  uplink/identity
//! ```
//! Durable when the call returns: policy sets, the identity, a made report. Durable after at most [`FLUSH`]: counters and
//! intents, which survive a kill of the process at once. Never promised: the ledger.

pub mod counters;
pub mod journal;
pub mod ledger;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use counters::Counters;
use ids::Epoch;
use ledger::Ledger;

/// At most this much of the statistics is lost when the machine loses power, and is declared then.
pub const FLUSH: Duration = Duration::from_secs(1);

/// The local store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file or folder cannot be read or written.
    #[error("local store at {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process has it.
    #[error("local store at {0}: another gateway uses it")]
    InUse(PathBuf),
    /// The database refuses.
    #[error("local store at {path}: {reason}")]
    Database {
        /// Which file.
        path: PathBuf,
        /// The database's reason.
        reason: String,
    },
    /// A record that this version did not write.
    #[error("local store, table {table}: {reason}")]
    Record {
        /// Which table.
        table: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// The local store of one gateway process.
pub struct State {
    folder: PathBuf,
    epoch: Epoch,
    counters: Arc<Counters>,
    ledger: Ledger,
    /// Held for the life of the process: the kernel gives it back when the process ends, whichever way.
    _lock: File,
}

impl State {
    /// Opens or makes the store below `folder`, and takes it for this process.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let at = |path: &Path, source| StateError::Io { path: path.to_owned(), source };
        fs::create_dir_all(folder).map_err(|source| at(folder, source))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(|source| at(&path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(StateError::InUse(folder.to_owned())),
            Err(fs::TryLockError::Error(source)) => return Err(at(&path, source)),
        }
        let counters = Arc::new(Counters::open(&folder.join("counters.redb"))?);
        let ledger = Ledger::open(&folder.join("ledger.redb"))?;
        Ok(Self { folder: folder.to_owned(), epoch: Epoch::random(), counters, ledger, _lock: lock })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// This life of the process.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Plaintext sizes for lists.
    pub fn ledger(&self) -> Ledger {
        self.ledger.clone()
    }

    /// What outlives the process of the statistics.
    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

/// Unix milliseconds of a time; 0 before 1970.
pub(crate) fn unix_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time of Unix milliseconds; 1970 for what is before.
pub(crate) fn unix_time(ms: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// Unix milliseconds of now.
pub(crate) fn now_ms() -> i64 {
    unix_ms(SystemTime::now())
}

/// Identity of this run of the machine; none where the system does not tell.
pub(crate) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}
