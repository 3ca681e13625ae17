//! The current policy set: what requests are decided by, how old it is, and since when nothing older is at work.
//!
//! ```text
//!  uplink/watch ── apply(bundle) ──▶ checks: digest, format, content, never a lower number in its lineage
//!                     │                 │ Refusal: the last good one is kept
//!                     ▼                 ▼
//!                  snapshot/disk     Snapshot {engine, revision, digest}
//!                  two generations      │ begin()
//!                                       ▼
//!                              DecisionGuard, held by each single-request write until it ends
//!                                       │ last guard of every older snapshot dropped
//!                                       ▼
//!                                   effective
//! ```
//! A gateway that has never heard of Central decides by the empty set. One that has starts from what is on its disk.

mod disk;
#[cfg(test)]
mod tests;
mod uploads;

use std::collections::BTreeSet;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ids::{Lineage, Revision};
use policy::{Digest, Engine, Labels, PolicySet};
use tokio::sync::watch;

pub use disk::DiskError;
use disk::{Disk, Saved};
use uploads::Uploads;
pub use uploads::{OpenUploads, Upload};

/// Lineages whose highest number is remembered; a fleet begins a new one by an administrator's order only.
const LINEAGES: usize = 64;

/// One policy set, ready to decide. Immutable.
#[derive(Debug)]
pub struct Snapshot {
    /// Decides. Compiled for [`Snapshot::labels`].
    pub engine: Engine,
    /// The set, with the texts of its policies.
    pub set: Arc<PolicySet>,
    /// Lineage and number; none while no set was ever received.
    pub revision: Option<Revision>,
    /// SHA-256 of the encoded set; none while none was ever received.
    pub digest: Option<Digest>,
    /// When the set was received; the epoch of Unix while none was.
    pub received_at: SystemTime,
    /// Labels of this gateway, as Central gave them.
    pub labels: Labels,
}

impl Snapshot {
    /// Time since the set was received; zero when the clock went back.
    pub fn age(&self) -> Duration {
        self.received_at.elapsed().unwrap_or_default()
    }

    /// Revision and digest as the protocol has them.
    pub fn held(&self) -> Option<proto::watch::Held> {
        Some(proto::watch::Held { revision: self.revision?, digest: self.digest?.0 })
    }
}

/// A policy set as it was announced and received.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Announced revision.
    pub revision: Revision,
    /// Announced digest of the document.
    pub digest: Digest,
    /// Encoding of the document.
    pub format: u32,
    /// The encoded set.
    pub document: Bytes,
}

/// Why a bundle was not applied. What was in force before still is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The set itself is not acceptable.
    #[error(transparent)]
    Set(#[from] policy::Refusal),
    /// A lower number than was held in the same lineage.
    #[error("lower-revision: number {offered} was offered, {highest} was held before in lineage {lineage}")]
    LowerRevision {
        /// Which history.
        lineage: Lineage,
        /// The number that was refused.
        offered: u64,
        /// The highest number ever held in it.
        highest: u64,
    },
    /// The number that is held, with other content.
    #[error("revision-conflict: revision {0} is held already, with another digest")]
    Conflict(Revision),
    /// It could not be written to the local disk, and so would not survive a restart.
    #[error("storage: {0}")]
    Storage(String),
}

impl Refusal {
    /// The stable code, as the control protocol has it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Set(refusal) => refusal.code.as_str(),
            Self::LowerRevision { .. } => "lower-revision",
            Self::Conflict(_) => "revision-conflict",
            Self::Storage(_) => "storage",
        }
    }

    /// Which item of the set, empty for the whole.
    pub fn item(&self) -> &str {
        match self {
            Self::Set(refusal) => &refusal.path,
            _ => "",
        }
    }

    /// For a person.
    pub fn reason(&self) -> String {
        match self {
            Self::Set(refusal) => refusal.reason.clone(),
            other => other.to_string(),
        }
    }
}

/// Handle to the policy set; clones share it.
#[derive(Clone)]
pub struct Policies {
    shared: Arc<Shared>,
}

struct Shared {
    current: RwLock<Current>,
    /// Serialises changes; holds what only a change needs.
    change: Mutex<Change>,
    generations: Arc<Generations>,
    uploads: Mutex<Uploads>,
    changed: watch::Sender<u64>,
}

struct Current {
    snapshot: Arc<Snapshot>,
    generation: Arc<Generation>,
}

struct Change {
    disk: Disk,
    /// Encoded set of the current snapshot, as it lies on the disk; none while none was ever received.
    document: Option<(u32, Bytes)>,
    /// Highest number ever held, by lineage, the most recent last.
    highest: Vec<Revision>,
    generation: u64,
}

/// The generations that something still decides by.
struct Generations {
    live: Mutex<BTreeSet<u64>>,
    oldest: watch::Sender<u64>,
}

/// One swap of the snapshot. Lives as long as it is current or a guard holds it.
struct Generation {
    number: u64,
    generations: Arc<Generations>,
}

impl Generations {
    fn begin(self: &Arc<Self>, number: u64) -> Arc<Generation> {
        self.lock().insert(number);
        Arc::new(Generation { number, generations: Arc::clone(self) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        let mut live = self.generations.lock();
        live.remove(&self.number);
        if let Some(oldest) = live.first() {
            self.generations.oldest.send_replace(*oldest);
        }
    }
}

/// The snapshot that one write is decided by. While it lives, no later revision is effective: hold it until the write
/// has ended, whichever way, and no longer. A request that is over may leave a write behind that the storage still
/// commits: its intent holds a share.
pub struct DecisionGuard {
    snapshot: Arc<Snapshot>,
    generation: Arc<Generation>,
}

impl Deref for DecisionGuard {
    type Target = Snapshot;
    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl DecisionGuard {
    /// Another hold on the decision, for what may go on after the request.
    #[must_use]
    pub fn share(&self) -> Self {
        Self { snapshot: Arc::clone(&self.snapshot), generation: Arc::clone(&self.generation) }
    }
}

impl Policies {
    /// Starts from the last known good set below `state_dir`, or from the empty set where none was ever received.
    ///
    /// Fails where sets were received and none of them can be read: deciding by the empty set would store plaintext
    /// where ciphertext is due.
    pub fn open(state_dir: &Path) -> Result<Self, DiskError> {
        let (disk, saved) = Disk::open(&state_dir.join("policies"))?;
        let (snapshot, document, highest) = match saved {
            None => (Snapshot::empty(Labels::new()), None, Vec::new()),
            Some(saved) => {
                let snapshot = match &saved.bundle {
                    None => Snapshot::empty(saved.labels),
                    Some(bundle) => Snapshot::load(bundle, saved.labels, saved.received_at)
                        .map_err(|refusal| DiskError::Unreadable(refusal.to_string()))?,
                };
                (snapshot, saved.bundle.map(|bundle| (bundle.format, bundle.document)), saved.highest)
            }
        };
        let generations = Arc::new(Generations { live: Mutex::new(BTreeSet::new()), oldest: watch::Sender::new(0) });
        let current = Current { snapshot: Arc::new(snapshot), generation: generations.begin(0) };
        Ok(Self {
            shared: Arc::new(Shared {
                current: RwLock::new(current),
                change: Mutex::new(Change { disk, document, highest, generation: 0 }),
                generations,
                uploads: Mutex::new(Uploads::default()),
                changed: watch::Sender::new(0),
            }),
        })
    }

    /// The set in force, for reads and for showing.
    pub fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.read().snapshot)
    }

    /// The set in force, for a write that is decided by it now.
    pub fn begin(&self) -> DecisionGuard {
        let current = self.read();
        DecisionGuard { snapshot: Arc::clone(&current.snapshot), generation: Arc::clone(&current.generation) }
    }

    /// Takes a bundle: checks it, writes it to the disk, and lets new requests be decided by it. Blocks on the disk.
    ///
    /// The revision that is held already is no change and no refusal.
    pub fn apply(&self, bundle: &Bundle) -> Result<Arc<Snapshot>, Refusal> {
        let mut change = self.lock_change();
        let current = self.current();
        let highest = change.highest.iter().find(|held| held.lineage == bundle.revision.lineage);
        if let Some(highest) = highest
            && bundle.revision.number < highest.number
        {
            return Err(Refusal::LowerRevision {
                lineage: highest.lineage,
                offered: bundle.revision.number,
                highest: highest.number,
            });
        }
        if current.revision == Some(bundle.revision) {
            if current.digest == Some(bundle.digest) {
                return Ok(current);
            }
            return Err(Refusal::Conflict(bundle.revision));
        }
        let set = PolicySet::decode_bundle(
            bundle.format,
            bundle.revision,
            bundle.digest,
            &bundle.document,
            Some(&current.set),
        )?;
        let snapshot = Snapshot {
            engine: Engine::compile(&set, &current.labels),
            set: Arc::new(set),
            revision: Some(bundle.revision),
            digest: Some(bundle.digest),
            received_at: SystemTime::now(),
            labels: current.labels.clone(),
        };
        let mut highest = change.highest.clone();
        highest.retain(|held| held.lineage != bundle.revision.lineage);
        highest.push(bundle.revision);
        let surplus = highest.len().saturating_sub(LINEAGES);
        highest.drain(..surplus);
        let document = Some((bundle.format, bundle.document.clone()));
        change.save(&snapshot, document.as_ref(), &highest)?;
        change.document = document;
        change.highest = highest;
        Ok(self.swap(&mut change, snapshot))
    }

    /// Takes the labels that Central gives this gateway: selects the policies of the set anew. Blocks on the disk.
    pub fn assign(&self, labels: Labels) -> Result<Arc<Snapshot>, Refusal> {
        let mut change = self.lock_change();
        let current = self.current();
        if current.labels == labels {
            return Ok(current);
        }
        let snapshot = Snapshot {
            engine: Engine::compile(&current.set, &labels),
            set: Arc::clone(&current.set),
            revision: current.revision,
            digest: current.digest,
            received_at: current.received_at,
            labels,
        };
        let (document, highest) = (change.document.clone(), change.highest.clone());
        change.save(&snapshot, document.as_ref(), &highest)?;
        Ok(self.swap(&mut change, snapshot))
    }

    /// Waits until every write that was decided under an older snapshot than `snapshot` has ended. Returns false when
    /// a newer one came in between, which is then the one to wait for.
    pub async fn effective(&self, snapshot: &Arc<Snapshot>) -> bool {
        let Some(number) = self.generation_of(snapshot) else { return false };
        let mut oldest = self.shared.generations.oldest.subscribe();
        // The sender lives in `self`; an error would mean that the handle is gone, and nobody waits then.
        let _ = oldest.wait_for(|oldest| *oldest >= number).await;
        self.generation_of(snapshot).is_some()
    }

    /// Has every write that was decided under an older snapshot than the current one ended?
    pub fn is_effective(&self) -> bool {
        let number = self.read().generation.number;
        self.shared.generations.lock().first().is_none_or(|oldest| *oldest >= number)
    }

    /// Counts the changes of the snapshot; wakes whoever follows it.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// A multipart upload was begun under `guard`; it finishes as decided.
    pub fn upload_begun(&self, id: &str, guard: &DecisionGuard) {
        let begun_at = SystemTime::now();
        self.lock_uploads().begun(Upload { id: id.to_owned(), revision: guard.revision, begun_at });
    }

    /// An upload was completed or aborted. One that is not known is passed over.
    pub fn upload_ended(&self, id: &str) {
        self.lock_uploads().ended(id);
    }

    /// A look through the system bucket begins, which ends by [`Policies::replace_uploads`]: what is begun and ended here
    /// from now on counts, whatever the look finds.
    pub fn look_at_uploads(&self) {
        self.lock_uploads().look();
    }

    /// The open uploads as the system bucket has them, at a start and whenever it is looked through: members of a
    /// group end uploads that others began.
    pub fn replace_uploads(&self, found: impl IntoIterator<Item = Upload>) {
        self.lock_uploads().replace(found);
    }

    /// The open upload of that ID, where it is known here.
    pub fn known_upload(&self, id: &str) -> Option<Upload> {
        self.lock_uploads().known(id)
    }

    /// Was the system bucket looked through since the start? Before, [`Policies::uploads_from_before`] has only what was
    /// begun here.
    pub fn uploads_are_complete(&self) -> bool {
        self.lock_uploads().is_complete()
    }

    /// Uploads that were begun under another revision than the current one and are still open.
    pub fn uploads_from_before(&self) -> OpenUploads {
        let revision = self.read().snapshot.revision;
        self.lock_uploads().older_than(revision)
    }

    fn swap(&self, change: &mut Change, snapshot: Snapshot) -> Arc<Snapshot> {
        change.generation += 1;
        let snapshot = Arc::new(snapshot);
        let next =
            Current { snapshot: Arc::clone(&snapshot), generation: self.shared.generations.begin(change.generation) };
        let before = {
            let mut current = self.shared.current.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *current, next)
        };
        // Outside the lock: dropping the last holder of a generation wakes whoever waits for it.
        drop(before);
        self.shared.changed.send_replace(change.generation);
        snapshot
    }

    fn generation_of(&self, snapshot: &Arc<Snapshot>) -> Option<u64> {
        let current = self.read();
        Arc::ptr_eq(&current.snapshot, snapshot).then_some(current.generation.number)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Current> {
        self.shared.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_change(&self) -> std::sync::MutexGuard<'_, Change> {
        self.shared.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_uploads(&self) -> std::sync::MutexGuard<'_, Uploads> {
        self.shared.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Change {
    fn save(
        &mut self,
        snapshot: &Snapshot,
        document: Option<&(u32, Bytes)>,
        highest: &[Revision],
    ) -> Result<(), Refusal> {
        let bundle = match (document, snapshot.revision, snapshot.digest) {
            (Some((format, document)), Some(revision), Some(digest)) => {
                Some(Bundle { revision, digest, format: *format, document: document.clone() })
            }
            _ => None,
        };
        let saved = Saved {
            bundle,
            received_at: snapshot.received_at,
            labels: snapshot.labels.clone(),
            highest: highest.to_vec(),
        };
        self.disk.save(&saved).map_err(|error| Refusal::Storage(error.to_string()))
    }
}

impl Snapshot {
    fn empty(labels: Labels) -> Self {
        let set = PolicySet::empty(Lineage(uuid::Uuid::nil()));
        Self {
            engine: Engine::compile(&set, &labels),
            set: Arc::new(set),
            revision: None,
            digest: None,
            received_at: SystemTime::UNIX_EPOCH,
            labels,
        }
    }

    fn load(bundle: &Bundle, labels: Labels, received_at: SystemTime) -> Result<Self, policy::Refusal> {
        let set = PolicySet::decode_bundle(bundle.format, bundle.revision, bundle.digest, &bundle.document, None)?;
        Ok(Self {
            engine: Engine::compile(&set, &labels),
            set: Arc::new(set),
            revision: Some(bundle.revision),
            digest: Some(bundle.digest),
            received_at,
            labels,
        })
    }
}
