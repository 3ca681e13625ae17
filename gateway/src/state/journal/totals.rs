//! The fold of the journal: cumulative counts and open intents. Pure; live and replayed records take the same path.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::record::{Key, Open, Record};

/// Stands for every bucket, or policy, beyond the bound.
pub const OTHER: &str = "__other__";
/// Distinct keys with a bucket and policy of their own.
const MAX_KEYS: usize = 8_192;
/// Distinct keys at which policies are summed too; together with what is left a report takes all.
const MAX_KEYS_BY_POLICY: usize = 16_384;

/// Cumulative count of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Objects.
    pub objects: u64,
    /// Plaintext bytes.
    pub bytes: u64,
}

/// Cumulative counts by key, and intents without an outcome.
#[derive(Debug, Default, Clone)]
pub(crate) struct Totals {
    counts: HashMap<Key, Count>,
    open: BTreeMap<u64, Open>,
    next_id: u64,
    /// Counts that changed since they were last written to the store.
    unsaved: BTreeSet<Key>,
    /// Counts that changed since they were last reported.
    unreported: BTreeSet<Key>,
    /// Intents that the store may have as open: never fewer than it has, or one that is closed would stay there, be
    /// settled after a restart, and count twice.
    saved_open: BTreeSet<u64>,
    /// Of these, the ones that it has otherwise than they are.
    changed_open: BTreeSet<u64>,
}

/// What the store has to write to catch up.
#[derive(Debug, Default, Clone)]
pub(crate) struct Changes {
    pub(crate) counts: Vec<(Key, Count)>,
    pub(crate) opened: Vec<(u64, Open)>,
    pub(crate) closed: Vec<u64>,
    pub(crate) next_id: u64,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.opened.is_empty() && self.closed.is_empty()
    }
}

impl Totals {
    /// As the store has it.
    pub(crate) fn restore(counts: HashMap<Key, Count>, open: BTreeMap<u64, Open>, next_id: u64) -> Self {
        let saved_open = open.keys().copied().collect();
        let unreported = counts.keys().cloned().collect();
        Self { counts, open, next_id, unsaved: BTreeSet::new(), unreported, saved_open, changed_open: BTreeSet::new() }
    }

    /// The next intent's number; not used before, also not by an earlier life.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Takes one record.
    pub(super) fn apply(&mut self, record: Record) {
        match record {
            Record::Count { key, objects, bytes } => self.add(key, objects, bytes),
            Record::Intent { id, open } => {
                self.next_id = self.next_id.max(id + 1);
                self.open.insert(id, open);
            }
            // An outcome whose intent is not open was told twice, or its intent was lost with the power: it counts
            // nothing, so that nothing counts twice.
            Record::Outcome { id, other } => {
                if let Some(open) = self.open.remove(&id) {
                    let (outcome, bytes) = other.unwrap_or((open.key.outcome, open.bytes));
                    self.add(Key { outcome, ..open.key }, 1, bytes);
                }
            }
            Record::Withdrawn { id } => {
                self.open.remove(&id);
            }
        }
    }

    fn add(&mut self, key: Key, objects: u64, bytes: u64) {
        let key = self.bounded(key);
        let count = self.counts.entry(key.clone()).or_default();
        count.objects = count.objects.saturating_add(objects);
        count.bytes = count.bytes.saturating_add(bytes);
        if !self.unsaved.contains(&key) {
            self.unsaved.insert(key.clone());
        }
        if !self.unreported.contains(&key) {
            self.unreported.insert(key);
        }
    }

    fn bounded(&self, key: Key) -> Key {
        if self.counts.len() < MAX_KEYS || self.counts.contains_key(&key) {
            return key;
        }
        let by_policy = Key { bucket: OTHER.into(), ..key };
        if self.counts.len() < MAX_KEYS_BY_POLICY || by_policy.policy.is_empty() || self.counts.contains_key(&by_policy)
        {
            return by_policy;
        }
        Key { policy: OTHER.into(), ..by_policy }
    }

    /// Open intents in the order in which they were begun.
    pub(crate) fn open(&self) -> &BTreeMap<u64, Open> {
        &self.open
    }

    /// Other open intents of the very object that this one makes, which only tries of one and the same write are: of these
    /// one takes place.
    pub(super) fn twins(&self, id: u64) -> Vec<u64> {
        let Some(of) = self.open.get(&id) else { return Vec::new() };
        if !matches!(of.fact, super::record::Fact::Mark(_)) {
            return Vec::new();
        }
        let same =
            |other: &Open| other.fact == of.fact && other.object == of.object && other.key.bucket == of.key.bucket;
        self.open.iter().filter(|(other, open)| **other != id && same(open)).map(|(other, _)| *other).collect()
    }

    /// The request of an open intent is over: it cannot commit after `until_ms`.
    pub(super) fn bound(&mut self, id: u64, until_ms: i64) {
        if let Some(open) = self.open.get_mut(&id) {
            open.until_ms.get_or_insert(until_ms);
            self.changed_open.insert(id);
        }
    }

    /// An open intent can no longer be told by its `ETag`.
    pub(super) fn make_unrecognisable_by_etag(&mut self, id: u64) {
        if let Some(open) = self.open.get_mut(&id)
            && matches!(open.fact, super::record::Fact::Etag { .. })
        {
            open.fact = super::record::Fact::None;
            self.changed_open.insert(id);
        }
    }

    /// Every cumulative count.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&Key, &Count)> {
        self.counts.iter()
    }

    /// Takes what the store does not have yet. Give it back by [`Totals::not_saved`] when it cannot be written.
    pub(super) fn take_changes(&mut self) -> Changes {
        let counts = std::mem::take(&mut self.unsaved)
            .into_iter()
            .map(|key| {
                let count = self.counts[&key];
                (key, count)
            })
            .collect();
        let closed: Vec<u64> = self.saved_open.iter().filter(|id| !self.open.contains_key(id)).copied().collect();
        let changed = std::mem::take(&mut self.changed_open);
        let opened: Vec<(u64, Open)> = self
            .open
            .iter()
            .filter(|(id, _)| !self.saved_open.contains(id) || changed.contains(id))
            .map(|(id, open)| (*id, open.clone()))
            .collect();
        for id in &closed {
            self.saved_open.remove(id);
        }
        self.saved_open.extend(opened.iter().map(|(id, _)| *id));
        Changes { counts, opened, closed, next_id: self.next_id }
    }

    /// Takes away what an earlier series has told, and holds everything that is left for unwritten and unreported. Keys
    /// of which nothing is left are gone.
    pub(super) fn subtract(&mut self, base: &HashMap<Key, Count>) {
        self.counts.retain(|key, count| {
            let base = base.get(key).copied().unwrap_or_default();
            count.objects = count.objects.saturating_sub(base.objects);
            count.bytes = count.bytes.saturating_sub(base.bytes);
            *count != Count::default()
        });
        self.unsaved = self.counts.keys().cloned().collect();
        self.unreported = self.unsaved.clone();
    }

    /// The changes were not written.
    pub(super) fn not_saved(&mut self, changes: Changes) {
        self.unsaved.extend(changes.counts.into_iter().map(|(key, _)| key));
        self.changed_open.extend(changes.opened.into_iter().map(|(id, _)| id));
        // They are gone from `open`, so that they are closed again at the next attempt.
        self.saved_open.extend(changes.closed);
    }

    /// Counts for a report: all of them, or what changed since the last. Give the keys back by
    /// [`Totals::not_reported`] when the report cannot be kept.
    pub(super) fn take_report(&mut self, full: bool) -> Vec<(Key, Count)> {
        let changed = std::mem::take(&mut self.unreported);
        let mut counts: Vec<(Key, Count)> = if full {
            self.counts.iter().map(|(key, count)| (key.clone(), *count)).collect()
        } else {
            changed.iter().map(|key| (key.clone(), self.counts[key])).collect()
        };
        counts.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        counts
    }

    /// The report was not kept.
    pub(super) fn not_reported(&mut self, counts: &[(Key, Count)]) {
        self.unreported.extend(counts.iter().map(|(key, _)| key.clone()));
    }

    /// Is there something that was not reported?
    pub(super) fn has_unreported(&self) -> bool {
        !self.unreported.is_empty()
    }
}
