//! Intents and outcomes: what a kill -9 must not make uncounted, nor counted twice.
//!
//! ```text
//!  intent ──append──▶ segment ──▶ upstream commits ──▶ done | ended ──append──▶ segment
//!     │                  │                                 │
//!     │ dropped          └───────────── Totals ◀───────────┘   one fold, live and at replay
//!     ▼                                   │ flush, each second: counts, open intents and position in one transaction
//!  unsettled ──look upstream──▶ stored    ▼
//!                  │            └▶ as intended        counters.redb; segments before the position are removed
//!                  └▶ cannot be told ▶ indeterminate
//! ```
//! Appends are plain writes, without fsync: they survive the process. What the machine's power takes is at most
//! [`FLUSH`] and is declared as a gap. A disk that refuses writes stops no request: counting goes on in
//! memory, and the failure is shown.

mod record;
mod segment;
#[cfg(test)]
mod tests;
mod totals;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ids::Outcome;
use tokio::sync::Notify;
use uuid::Uuid;

use super::counters::Stored;
use super::{FLUSH, StateError, boot_id, now_ms};
use record::Record;
pub use record::{Fact, Key, Open};
pub(crate) use segment::Position;
use segment::Writer;
pub(crate) use totals::{Changes, Totals};
pub use totals::{Count, OTHER};

/// Tolerance between the storage's clock, which counts seconds, and ours.
const CLOCK_MS: i64 = 2_000;
/// How long after the end of its request a write may still be committed by the storage.
const GRACE_MS: i64 = 5_000;
const GRACE: Duration = Duration::from_millis(GRACE_MS.unsigned_abs());
/// Bounds of what a record holds; longer texts are cut, since they only identify.
const MAX_TEXT: usize = 4 * 1024;

/// Handle to the journal; clones share it.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    inner: Mutex<Inner>,
    /// Eight bytes: when this process was last known to live.
    alive: File,
    /// Wakes whoever settles.
    unsettled: Notify,
}

struct Inner {
    totals: Totals,
    writer: Writer,
    /// Open intents whose request is at work in this process.
    live: HashSet<u64>,
    /// How many open intents each object has, by the hash of its place: nearly always one.
    places: HashMap<u64, u32>,
    hasher: RandomState,
    gap_ms: u64,
    failing: bool,
}

/// What a flush has to write; see [`Journal::take`].
#[derive(Default)]
pub(crate) struct Taken {
    pub(crate) changes: Changes,
    pub(crate) position: Position,
    pub(crate) gap_ms: u64,
    /// Counts for a report, where one was asked for and there is something to tell.
    pub(crate) report: Option<Vec<(Key, Count)>>,
}

/// A write that is about to be committed upstream. Say what became of it by [`Pending::done`] or [`Pending::ended`]; one
/// that is dropped, with its request, is settled by a look at the storage.
#[must_use = "dropped without an outcome, it costs a look at the storage"]
pub struct Pending {
    journal: Journal,
    id: u64,
    told: bool,
    held: Option<Box<dyn Send + Sync>>,
}

/// An object as the storage shows it to a HEAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Without quotes.
    pub etag: String,
    /// Stored bytes.
    pub size: u64,
    /// Last-Modified, Unix milliseconds.
    pub modified_ms: i64,
    /// The text of [`Fact::Mark`], where the object has one.
    pub mark: Option<String>,
}

/// What a look at the storage says of an open intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// This write took place.
    Stored,
    /// It cannot be told, and never will be.
    Indeterminate,
    /// The storage may still be at work.
    LookAgain,
}

impl Journal {
    /// Replays what the last life left, and begins a segment of its own.
    pub(crate) fn open(state_dir: &Path, stored: &mut Stored) -> Result<Self, StateError> {
        let folder = state_dir.join("journal");
        let failed = |source| StateError::Io { path: folder.clone(), source };
        fs::create_dir_all(&folder).map_err(failed)?;
        let replay = segment::replay(&folder, stored.series, stored.position).map_err(failed)?;
        let mut totals =
            Totals::restore(std::mem::take(&mut stored.counts), std::mem::take(&mut stored.open), stored.next_id);
        let alive_path = folder.join("alive");
        let mut last_alive = read_alive(&alive_path).unwrap_or(0).max(stored.flushed_ms);
        for record in replay.records {
            if let Record::Intent { open: new, .. } = &record {
                last_alive = last_alive.max(new.at_ms);
                // As `contest` did when it was written; what it did to the earlier one is not in the journal.
                let contested =
                    |open: &Open| open.same_object(new) && (new.fact == Fact::None || new.fact == open.fact);
                let ids: Vec<u64> =
                    totals.open().iter().filter(|(_, open)| contested(open)).map(|(id, _)| *id).collect();
                for id in ids {
                    totals.make_unrecognisable_by_etag(id);
                }
            }
            if let Record::Outcome { id, other: None } = &record {
                for twin in totals.twins(*id) {
                    totals.apply(Record::Withdrawn { id: twin });
                }
            }
            totals.apply(record);
        }
        let until = last_alive.saturating_add(i64::try_from(FLUSH.as_millis()).unwrap_or(1_000));
        let left: Vec<u64> = totals.open().keys().copied().collect();
        for id in left {
            totals.bound(id, until);
        }
        let same_boot = stored.boot.is_some() && stored.boot == boot_id();
        let first_life = stored.flushed_ms == 0;
        let gap = if first_life || stored.clean || same_boot {
            0
        } else {
            tracing::warn!("the machine stopped without notice: up to one flush interval of statistics is lost");
            u64::try_from(FLUSH.as_millis()).unwrap_or(1_000)
        };
        if replay.damaged {
            tracing::info!("the journal ends in a torn record, as after a kill; it is passed over");
        }
        let writer = Writer::begin(&folder, stored.series, replay.last + 1).map_err(failed)?;
        let alive = File::options().create(true).truncate(false).write(true).open(&alive_path).map_err(failed)?;
        let mut inner = Inner {
            totals,
            writer,
            live: HashSet::new(),
            places: HashMap::new(),
            hasher: RandomState::new(),
            gap_ms: stored.gap_ms.saturating_add(gap),
            failing: false,
        };
        inner.contest_left();
        let shared = Shared { folder, inner: Mutex::new(inner), alive, unsettled: Notify::new() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Counts objects that have no commit upstream.
    pub fn count(&self, key: Key, objects: u64, bytes: u64) {
        self.shared.lock().append(Record::Count { key: key.bounded(), objects, bytes });
    }

    /// Writes down that a write is about to be committed. Call it before the last byte that lets the storage commit.
    pub fn intent(&self, key: Key, object: &str, bytes: u64, fact: Fact) -> Pending {
        let open = Open {
            at_ms: now_ms(),
            until_ms: None,
            key: key.bounded(),
            object: cut(object),
            bytes,
            fact: fact.bounded(),
        };
        let mut inner = self.shared.lock();
        let id = inner.totals.next_id();
        let open = inner.contest(open);
        inner.live.insert(id);
        inner.append(Record::Intent { id, open });
        Pending { journal: self.clone(), id, told: false, held: None }
    }

    fn outcome(&self, id: u64, other: Option<(Outcome, u64)>) {
        let mut inner = self.shared.lock();
        inner.live.remove(&id);
        inner.close(Record::Outcome { id, other });
    }

    fn withdraw(&self, id: u64) {
        let mut inner = self.shared.lock();
        inner.live.remove(&id);
        inner.close(Record::Withdrawn { id });
    }

    fn abandon(&self, id: u64) {
        let mut inner = self.shared.lock();
        inner.live.remove(&id);
        inner.totals.bound(id, now_ms());
        drop(inner);
        self.shared.unsettled.notify_one();
    }

    /// Intents whose request is over and whose outcome is not known.
    pub(crate) fn unsettled(&self) -> BTreeMap<u64, Open> {
        let inner = self.shared.lock();
        inner.unsettled().map(|(id, open)| (id, open.clone())).collect()
    }

    /// Waits until a request ends without an outcome.
    pub(crate) async fn abandoned(&self) {
        self.shared.unsettled.notified().await;
    }

    /// Settles an intent by what a look at the storage found.
    pub(crate) fn settle(&self, id: u64, seen: Option<&Seen>) -> Verdict {
        let mut inner = self.shared.lock();
        let Some(open) = inner.totals.open().get(&id).filter(|_| !inner.live.contains(&id)) else {
            return Verdict::Indeterminate;
        };
        let (verdict, bytes) = (open.judge(seen, now_ms()), open.bytes);
        match verdict {
            Verdict::Stored => inner.close(Record::Outcome { id, other: None }),
            Verdict::Indeterminate => {
                inner.close(Record::Outcome { id, other: Some((Outcome::Indeterminate, bytes)) });
            }
            Verdict::LookAgain => {}
        }
        verdict
    }

    /// Every cumulative count, in the order of the keys.
    pub fn counts(&self) -> Vec<(Key, Count)> {
        let inner = self.shared.lock();
        let mut counts: Vec<(Key, Count)> = inner.totals.counts().map(|(key, count)| (key.clone(), *count)).collect();
        drop(inner);
        counts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        counts
    }

    /// Milliseconds of which nothing is known, cumulative.
    pub(crate) fn gap_ms(&self) -> u64 {
        self.shared.lock().gap_ms
    }

    /// Are writes to the journal refused by the disk?
    pub fn failing(&self) -> bool {
        self.shared.lock().failing
    }

    /// Is there a count that no report has told?
    pub(crate) fn has_unreported(&self) -> bool {
        self.shared.lock().totals.has_unreported()
    }

    /// Takes what the store does not have, as of one position of the journal; with `report`, the counts of a report
    /// (`Some(true)`: every count). End it by [`Journal::saved`] or [`Journal::not_saved`].
    pub(crate) fn take(&self, report: Option<bool>) -> Taken {
        let mut inner = self.shared.lock();
        if inner.writer.is_long()
            && let Err(error) = inner.writer.rotate()
        {
            inner.fails(&error);
        }
        Taken {
            changes: inner.totals.take_changes(),
            position: inner.writer.position(),
            gap_ms: inner.gap_ms,
            report: report.map(|full| inner.totals.take_report(full)),
        }
    }

    /// What was taken is in the store: the segments before its position have served.
    pub(crate) fn saved(&self, taken: &Taken) {
        if let Err(error) = segment::remove_before(&self.shared.folder, taken.position.segment) {
            tracing::warn!(%error, "old segments of the journal cannot be removed");
        }
    }

    /// What was taken is not in the store, and is taken again next time.
    pub(crate) fn not_saved(&self, taken: Taken) {
        let mut inner = self.shared.lock();
        if let Some(counts) = &taken.report {
            inner.totals.not_reported(counts);
        }
        inner.totals.not_saved(taken.changes);
    }

    /// Begins a new series: `base` and `base_gap_ms` were told by the one before and are taken away; what is open stays
    /// open. `save` writes all of it to the store; where it fails, nothing has changed. Requests wait meanwhile: it is done
    /// once in the life of a store, if ever.
    pub(crate) fn begin_series(
        &self,
        series: Uuid,
        base: &HashMap<Key, Count>,
        base_gap_ms: u64,
        save: impl FnOnce(Changes, Position, u64) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let mut inner = self.shared.lock();
        let failed = |source| StateError::Io { path: self.shared.folder.clone(), source };
        let writer = inner.writer.next_series(series).map_err(failed)?;
        let before = inner.totals.clone();
        inner.totals.subtract(base);
        let changes = inner.totals.take_changes();
        let gap_ms = inner.gap_ms.saturating_sub(base_gap_ms);
        if let Err(error) = save(changes, writer.position(), gap_ms) {
            inner.totals = before;
            writer.discard().map_err(failed)?;
            return Err(error);
        }
        inner.gap_ms = gap_ms;
        inner.writer = writer;
        Ok(())
    }

    /// Writes down that this process lives now; bounds when an open intent may have been committed, after a kill.
    pub(crate) fn tick(&self) {
        if let Err(error) = self.shared.alive.write_at(&now_ms().to_be_bytes(), 0) {
            self.shared.lock().fails(&error);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn append(&mut self, record: Record) {
        match self.writer.append(&record) {
            Ok(()) => self.failing = false,
            Err(error) => self.fails(&error),
        }
        self.totals.apply(record);
    }

    fn fails(&mut self, error: &io::Error) {
        if !self.failing {
            tracing::error!(%error, "the journal cannot be written: statistics since the last flush would not survive a kill");
        }
        self.failing = true;
    }

    fn unsettled(&self) -> impl Iterator<Item = (u64, &Open)> {
        self.totals.open().iter().map(|(id, open)| (*id, open)).filter(|(id, _)| !self.live.contains(id))
    }

    /// Two writes of the same bytes to the same object, open at the same time, cannot be told apart by their `ETag`: the
    /// client tries again, or two clients do the same. Neither is recognised then.
    fn contest(&mut self, mut new: Open) -> Open {
        let others = self.places.entry(new.place(&self.hasher)).or_default();
        *others += 1;
        if *others > 1 && matches!(new.fact, Fact::Etag { .. }) {
            let same = |(_, open): &(&u64, &Open)| open.same_object(&new) && open.fact == new.fact;
            let contested: Vec<u64> = self.totals.open().iter().filter(same).map(|(id, _)| *id).collect();
            for id in &contested {
                self.totals.make_unrecognisable_by_etag(*id);
            }
            if !contested.is_empty() {
                new.fact = Fact::None;
            }
        }
        new
    }

    /// The same, among what the last life left.
    fn contest_left(&mut self) {
        let mut seen: HashMap<u64, Vec<u64>> = HashMap::new();
        for (id, open) in self.totals.open() {
            let place = open.place(&self.hasher);
            *self.places.entry(place).or_default() += 1;
            seen.entry(place).or_default().push(*id);
        }
        for ids in seen.into_values().filter(|ids| ids.len() > 1) {
            for id in ids {
                self.totals.make_unrecognisable_by_etag(id);
            }
        }
    }

    /// Takes the record that ends an intent. One that took place ends its twins.
    fn close(&mut self, end: Record) {
        let (Record::Outcome { id, .. } | Record::Withdrawn { id }) = end else { return };
        let alone = |open: &Open| self.places.get(&open.place(&self.hasher)).is_none_or(|others| *others < 2);
        let took_place = matches!(end, Record::Outcome { other: None, .. });
        let twins = match self.totals.open().get(&id) {
            Some(open) if took_place && !alone(open) => self.totals.twins(id),
            _ => Vec::new(),
        };
        self.leave(id);
        self.append(end);
        for twin in twins {
            self.leave(twin);
            self.append(Record::Withdrawn { id: twin });
        }
    }

    /// The intent is not open any more.
    fn leave(&mut self, id: u64) {
        if let Some(open) = self.totals.open().get(&id) {
            let place = open.place(&self.hasher);
            if let Some(others) = self.places.get_mut(&place) {
                *others -= 1;
                if *others == 0 {
                    self.places.remove(&place);
                }
            }
        }
    }
}

impl Open {
    fn place(&self, hasher: &RandomState) -> u64 {
        hasher.hash_one((&self.key.bucket, &self.object))
    }

    fn same_object(&self, other: &Self) -> bool {
        self.object == other.object && self.key.bucket == other.key.bucket
    }

    /// Never guesses: an object that is not there, or is another one, may have been overwritten or deleted since.
    fn judge(&self, seen: Option<&Seen>, now_ms: i64) -> Verdict {
        let until = self.until_ms.unwrap_or(now_ms);
        let recognised = match (&self.fact, seen) {
            (Fact::None, _) => return Verdict::Indeterminate,
            (_, None) => false,
            (Fact::Mark(mark), Some(seen)) => seen.mark.as_ref() == Some(mark),
            (Fact::Etag { etag, size }, Some(seen)) => {
                let written = self.at_ms.saturating_sub(CLOCK_MS)..=until.saturating_add(CLOCK_MS);
                seen.etag == *etag && seen.size == *size && written.contains(&seen.modified_ms)
            }
        };
        if recognised {
            Verdict::Stored
        } else if now_ms <= until.saturating_add(GRACE_MS) {
            Verdict::LookAgain
        } else {
            Verdict::Indeterminate
        }
    }
}

impl Pending {
    /// Holds `what` for as long as the write may take place: until its outcome, or, where it is dropped without one, for
    /// as long as the storage may still be at work.
    pub fn holding(mut self, what: impl Send + Sync + 'static) -> Self {
        self.held = Some(Box::new(what));
        self
    }

    /// The storage committed the write: it counts as intended.
    pub fn done(mut self) {
        self.told = true;
        self.journal.outcome(self.id, None);
    }

    /// The storage did not commit the write, or something else became of it.
    pub fn ended(mut self, outcome: Outcome, bytes: u64) {
        self.told = true;
        self.journal.outcome(self.id, Some((outcome, bytes)));
    }

    /// The write had taken place before, by an intent that was journalled then and counts it: this one counts nothing.
    pub fn withdrawn(mut self) {
        self.told = true;
        self.journal.withdraw(self.id);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        self.journal.abandon(self.id);
        if let (Some(held), Ok(runtime)) = (self.held.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                tokio::time::sleep(GRACE).await;
                drop(held);
            });
        }
    }
}

impl Key {
    fn bounded(self) -> Self {
        if self.bucket.len() <= MAX_TEXT && self.policy.len() <= MAX_TEXT {
            return self;
        }
        Self { bucket: cut(&self.bucket).into(), policy: cut(&self.policy).into(), ..self }
    }
}

impl Fact {
    fn bounded(self) -> Self {
        match self {
            Self::Mark(mark) if mark.len() > MAX_TEXT => Self::None,
            Self::Etag { etag, .. } if etag.len() > MAX_TEXT => Self::None,
            fact => fact,
        }
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

fn read_alive(path: &Path) -> Option<i64> {
    let bytes = fs::read(path).ok()?;
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
impl Journal {
    fn take_position(&self) -> Position {
        self.shared.lock().writer.position()
    }
}
