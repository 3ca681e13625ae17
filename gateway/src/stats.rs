//! What the gateway counts, for `/metrics` and for Central.
//!
//! ```text
//!  s3/* ── count, intent ──▶ state/journal ──┐
//!  keys ── kms_call ──▶ memory ──────────────┼── flush, each second ──▶ state/counters ──▶ spool ──▶ uplink/report
//!  upstream ── upstream ──▶ memory ──────────┘                 └── a report is made in the same transaction
//!       └───────────────────────────────────▶ stats/metrics: the same numbers in the registry
//! ```
//! Objects and bytes are counted exactly once, also across a kill (see [`crate::state::journal`]). Calls of KMS and
//! upstream are written with each flush, and a kill may take the last second of them. All are cumulative over the lifetime
//! of the local store, the *series*.

mod metrics;
mod recent;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ids::{Direction, Epoch, Outcome};
use prometheus_client::registry::Registry;
use proto::report::{Inventory, KmsCount, ObjectCount, Report, UpstreamCount};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::state::counters::{Counters, Flush, KmsCalls, Spooled, UpstreamCalls};
use crate::state::journal::{Journal, Key, Taken};
use crate::state::{FLUSH, State, StateError, boot_id, now_ms};
use metrics::Metrics;

pub use crate::state::journal::{Count as Cumulative, Fact, Key as CountKey, OTHER, Pending, Seen};
pub use recent::{LONG_STEP_S, Recent, STEP_S, Totals};
pub use settle::Look;

/// Distinct backends, and distinct KMS, that are counted apart.
const MAX_NAMES: usize = 1_000;

/// One object in one request that has no commit upstream.
#[derive(Debug, Clone, Copy)]
pub struct Count<'a> {
    /// Bucket as the client calls it.
    pub bucket: &'a str,
    /// Name of the recorded policy.
    pub policy: Option<&'a str>,
    /// What became of it.
    pub outcome: Outcome,
    /// Which way it went.
    pub direction: Direction,
    /// Plaintext bytes.
    pub bytes: u64,
}

/// One object that is about to be committed upstream.
#[derive(Debug, Clone)]
pub struct Intent<'a> {
    /// Bucket as the client calls it.
    pub bucket: &'a str,
    /// Key of the object.
    pub key: &'a str,
    /// Name of the recorded policy.
    pub policy: Option<&'a str>,
    /// What it counts as when the storage commits it.
    pub outcome: Outcome,
    /// Plaintext bytes.
    pub bytes: u64,
    /// How a later look at the storage recognises this write.
    pub fact: Fact,
}

/// How a backend answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamResult {
    /// 1xx, 2xx, 3xx.
    Ok,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// No answer: the storage cannot be reached, or does not answer in time.
    Unreachable,
    /// The exchange broke off: the connection, or the body that a client sent.
    Broken,
}

impl UpstreamResult {
    /// The stable spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Unreachable => "unreachable",
            Self::Broken => "broken",
        }
    }
}

/// Handle to the statistics; clones share them.
#[derive(Clone)]
pub struct Stats {
    shared: Arc<Shared>,
}

struct Shared {
    journal: Journal,
    counters: Arc<Counters>,
    epoch: Epoch,
    calls: Mutex<Calls>,
    /// Serialises flushes.
    kept: Mutex<Kept>,
    metrics: Metrics,
}

/// Cumulative calls, and whether they changed since they were last written or reported.
#[derive(Default)]
struct Calls {
    kms: KmsCalls,
    upstreams: UpstreamCalls,
    unsaved: bool,
    unreported: bool,
}

/// What the store has, as far as the next flush needs it.
struct Kept {
    series: Uuid,
    /// The store has a baseline, and whether it was taken at the start of this life.
    baseline: Option<bool>,
    sequence: u64,
    reported_ms: i64,
    spooled: Spooled,
    boot: Option<String>,
    /// Something was written by this process, so that the store says which boot it is of.
    begun: bool,
    /// The last flush was made: what is written after it, the last report, leaves nothing unwritten either.
    closed: bool,
}

impl Stats {
    /// Restores the counters and replays the journal. What the last life left open waits to be settled.
    pub fn open(state: &State) -> Result<Self, StateError> {
        let counters = state.counters();
        let mut stored = counters.load()?;
        let journal = Journal::open(state.folder(), &mut stored)?;
        let calls = Calls { kms: stored.kms, upstreams: stored.upstreams, unsaved: false, unreported: true };
        let kept = Kept {
            series: stored.series,
            baseline: counters.baseline()?.map(|_| false),
            sequence: stored.sequence,
            reported_ms: stored.reported_ms,
            spooled: stored.spooled,
            boot: boot_id(),
            begun: false,
            closed: false,
        };
        let metrics = Metrics::default();
        metrics.spool_bytes.set(i64::try_from(stored.spooled.bytes).unwrap_or(i64::MAX));
        let shared = Shared {
            journal,
            counters,
            epoch: state.epoch(),
            calls: Mutex::new(calls),
            kept: Mutex::new(kept),
            metrics,
        };
        let stats = Self { shared: Arc::new(shared) };
        // At once: from here on a power loss is found out, and what was replayed is in the store.
        stats.flush(false)?;
        if stats.kept().baseline.is_none() {
            stats.take_baseline()?;
        }
        Ok(stats)
    }

    /// Holds what is counted now for what was there before this life.
    fn take_baseline(&self) -> Result<(), StateError> {
        let mut kept = self.kept();
        let report = self.cumulative(&kept);
        self.shared.counters.set_baseline(Some(&report.to_bytes()))?;
        kept.baseline = Some(true);
        Ok(())
    }

    /// Every cumulative value, as a report.
    fn cumulative(&self, kept: &Kept) -> Report {
        let calls = self.calls();
        Report {
            epoch: self.shared.epoch,
            series: kept.series,
            sequence: kept.sequence.max(1),
            start_ms: 0,
            end_ms: now_ms(),
            full: true,
            objects: self.shared.journal.counts().iter().map(|(key, count)| object_count(key, *count)).collect(),
            kms: calls.kms.iter().map(kms_count).collect(),
            upstreams: calls.upstreams.iter().map(upstream_count).collect(),
            inventory: None,
            gap_ms: self.shared.journal.gap_ms(),
        }
    }

    /// Registers every metric of the gateway.
    pub fn register(&self, registry: &mut Registry) {
        metrics::register(self, registry);
    }

    /// Counts one object that has no commit upstream: a read at the end of its body, a refusal, a failure before the
    /// commit.
    pub fn count(&self, count: Count<'_>) {
        let key = key(count.bucket, count.policy, count.outcome, count.direction);
        self.shared.journal.count(key, 1, count.bytes);
    }

    /// Names the local store that counts here; another member has another.
    pub(crate) fn series(&self) -> Uuid {
        self.kept().series
    }

    /// Writes down that an object is about to be committed upstream: before the last byte that lets the storage do so.
    pub fn intent(&self, intent: Intent<'_>) -> Pending {
        let key = key(intent.bucket, intent.policy, intent.outcome, Direction::In);
        self.shared.journal.intent(key, intent.key, intent.bytes, intent.fact)
    }

    /// Counts a call of a KMS; `operation` is `wrap`, `unwrap` or `probe`.
    pub fn kms_call(&self, kms: &str, operation: &str, ok: bool) {
        let mut calls = self.calls();
        let kms = known_or_other(calls.kms.keys().map(|(id, _, _)| id.as_str()), kms);
        let result = if ok { "ok" } else { "error" };
        *calls.kms.entry((kms, operation.to_owned(), result.to_owned())).or_default() += 1;
        calls.unsaved = true;
        calls.unreported = true;
    }

    /// Says how many data keys the present KEK has wrapped.
    pub fn kek_wraps(&self, wraps: u64) {
        self.shared.metrics.kek_wraps.set(i64::try_from(wraps).unwrap_or(i64::MAX));
    }

    /// Counts a request to a backend, with the bytes of the body that it answered and of the one that it was sent.
    pub fn upstream(&self, backend: &str, result: UpstreamResult, received: u64, sent: u64) {
        let mut calls = self.calls();
        let backend = known_or_other(calls.upstreams.keys().map(|(name, _)| name.as_str()), backend);
        let entry = calls.upstreams.entry((backend, result.as_str().to_owned())).or_default();
        entry.0 += 1;
        entry.1 = entry.1.saturating_add(received);
        entry.2 = entry.2.saturating_add(sent);
        calls.unsaved = true;
        calls.unreported = true;
    }

    /// Counts a request of a client in the histogram of durations. Both words come from closed lists.
    pub fn request(&self, operation: &'static str, outcome: &'static str, duration: Duration) {
        self.shared.metrics.request(operation, outcome, duration);
    }

    /// Counts an object of a list of which it could not be told what it is.
    pub fn unseen_in_list(&self) {
        self.shared.metrics.unseen_in_lists.inc();
    }

    /// Every cumulative count of objects, in the order of the keys.
    pub fn counts(&self) -> Vec<(Key, Cumulative)> {
        self.shared.journal.counts()
    }

    /// Intents without an outcome whose request is over.
    pub fn unsettled(&self) -> usize {
        self.shared.journal.unsettled().len()
    }

    /// Milliseconds of which nothing is known, after losses of power. Cumulative.
    pub fn gap_ms(&self) -> u64 {
        self.shared.journal.gap_ms()
    }

    /// Does the disk refuse the journal? Counting goes on in memory then.
    pub fn journal_failing(&self) -> bool {
        self.shared.journal.failing()
    }

    /// Reports that wait for Central, and their bytes.
    pub fn spooled(&self) -> (u64, u64) {
        let kept = self.kept();
        (kept.spooled.reports, kept.spooled.bytes)
    }

    /// Flushes each second and settles what is open, until `stop`; then flushes a last time.
    pub async fn run(&self, look: Look, stop: CancellationToken) {
        let each_second = || {
            let mut ticks = tokio::time::interval(FLUSH);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let settling = self.settle_until(&look, stop.clone());
        let flushing = async {
            let mut ticks = each_second();
            loop {
                tokio::select! {
                    _ = ticks.tick() => self.flush_off_thread(false).await,
                    () = stop.cancelled() => break,
                }
            }
        };
        // Apart: a flush waits for the disk, and a sign of life that came behind it would tell a stall as a death.
        let living = async {
            let mut ticks = each_second();
            loop {
                tokio::select! {
                    _ = ticks.tick() => self.live_off_thread().await,
                    () = stop.cancelled() => break,
                }
            }
        };
        tokio::join!(settling, flushing, living);
        self.live_off_thread().await;
        self.flush_off_thread(true).await;
    }

    async fn live_off_thread(&self) {
        let stats = self.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || stats.shared.journal.tick()).await {
            tracing::error!(%error, "the sign of life of the statistics failed");
        }
    }

    async fn flush_off_thread(&self, clean: bool) {
        let stats = self.clone();
        match tokio::task::spawn_blocking(move || stats.flush(clean)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "statistics cannot be written; counting goes on in memory"),
            Err(error) => tracing::error!(%error, "the flush of the statistics failed"),
        }
    }

    /// Writes what the store does not have. Blocks on the disk.
    pub(crate) fn flush(&self, clean: bool) -> Result<(), StateError> {
        let mut kept = self.kept();
        let taken = self.shared.journal.take(None);
        let must = clean || !kept.begun;
        self.write(&mut kept, taken, None, clean, must)
    }

    /// Makes a report of what changed since the last one (`full`: of everything) and keeps it in the spool. None where
    /// nothing changed and nothing was asked for. Blocks on the disk.
    ///
    /// The report says what the store has in the same transaction: never more, also after a loss of power.
    pub(crate) fn make_report(&self, full: bool, inventory: Option<Inventory>) -> Result<Option<u64>, StateError> {
        let mut kept = self.kept();
        if !full && inventory.is_none() && !self.shared.journal.has_unreported() && !self.calls().unreported {
            return Ok(None);
        }
        // The first of a life tells everything: what the last life had reported is not known exactly.
        let full = full || kept.sequence == 0;
        let taken = self.shared.journal.take(Some(full));
        let end_ms = now_ms().max(kept.reported_ms);
        let report = Report {
            epoch: self.shared.epoch,
            series: kept.series,
            sequence: kept.sequence + 1,
            start_ms: if kept.reported_ms == 0 { end_ms } else { kept.reported_ms },
            end_ms,
            full,
            objects: taken.report.iter().flatten().map(|(key, count)| object_count(key, *count)).collect(),
            kms: Vec::new(),
            upstreams: Vec::new(),
            inventory,
            gap_ms: taken.gap_ms,
        };
        let sequence = report.sequence;
        self.write(&mut kept, taken, Some(report), false, true)?;
        Ok(Some(sequence))
    }

    fn write(
        &self,
        kept: &mut Kept,
        taken: Taken,
        report: Option<Report>,
        clean: bool,
        must: bool,
    ) -> Result<(), StateError> {
        let mut flush = Flush {
            position: taken.position,
            gap_ms: taken.gap_ms,
            boot: kept.boot.clone(),
            clean: clean || kept.closed,
            now_ms: now_ms(),
            ..Flush::default()
        };
        let reporting = report.is_some();
        {
            let mut calls = self.calls();
            if taken.changes.is_empty() && !calls.unsaved && !must {
                return Ok(());
            }
            flush.kms.clone_from(&calls.kms);
            flush.upstreams.clone_from(&calls.upstreams);
            calls.unsaved = false;
            calls.unreported &= !reporting;
        }
        let mut spooled_bytes = 0;
        if let Some(mut report) = report {
            report.kms = flush.kms.iter().map(kms_count).collect();
            report.upstreams = flush.upstreams.iter().map(upstream_count).collect();
            let (sequence, end_ms) = (report.sequence, report.end_ms);
            let bytes = report.to_bytes();
            spooled_bytes = bytes.len() as u64;
            flush.report = Some((sequence, end_ms, bytes));
        }
        flush.changes = taken.changes.clone();
        if let Err(error) = self.shared.counters.flush(&flush) {
            self.shared.journal.not_saved(taken);
            let mut calls = self.calls();
            calls.unsaved = true;
            calls.unreported |= reporting;
            return Err(error);
        }
        self.shared.journal.saved(&taken);
        kept.begun = true;
        kept.closed |= clean;
        if let Some((sequence, end_ms, _)) = flush.report {
            kept.sequence = sequence;
            kept.reported_ms = end_ms;
            kept.spooled.reports += 1;
            kept.spooled.bytes += spooled_bytes;
            self.show_spool(kept.spooled);
        }
        Ok(())
    }

    /// The oldest report that waits for Central. Blocks on the disk.
    pub(crate) fn oldest_report(&self) -> Result<Option<(u64, Vec<u8>)>, StateError> {
        self.shared.counters.oldest_report()
    }

    /// Central has everything up to `sequence`. Blocks on the disk.
    pub(crate) fn acknowledged(&self, sequence: u64) -> Result<(), StateError> {
        let mut kept = self.kept();
        kept.spooled = self.shared.counters.forget_reports(sequence)?;
        self.show_spool(kept.spooled);
        Ok(())
    }

    /// Central has merged a report of this life: what was there before is told, and need not be known apart any more.
    /// Blocks on the disk the first time.
    pub(crate) fn merged(&self) -> Result<(), StateError> {
        let mut kept = self.kept();
        if kept.baseline.is_some() {
            self.shared.counters.set_baseline(None)?;
            kept.baseline = None;
        }
        Ok(())
    }

    /// Begins a new series, after the store went backwards: Central has merged later reports of the series than this store
    /// knows, so that its values mean nothing to Central any more. The new series counts what was counted since: the
    /// lives of which Central has merged nothing. Blocks on the disk.
    pub(crate) fn begin_series(&self) -> Result<(), StateError> {
        let mut kept = self.kept();
        let base = match self.shared.counters.baseline()? {
            Some(bytes) if bytes.is_empty() => None,
            Some(bytes) => Some(
                Report::from_bytes(&bytes)
                    .map_err(|error| StateError::Record { table: "meta", reason: format!("the baseline: {error}") })?,
            ),
            // Of what this life has counted Central has a part: rather none of it than some of it twice.
            None => Some(self.cumulative(&kept)),
        };
        let (mut objects, mut kms, mut upstreams) = (HashMap::new(), KmsCalls::new(), UpstreamCalls::new());
        let mut gap_ms = 0;
        if let Some(base) = base {
            for count in base.objects {
                let key = key(&count.bucket, Some(&count.policy), count.outcome, count.direction);
                objects.insert(key, Cumulative { objects: count.objects, bytes: count.bytes });
            }
            kms.extend(base.kms.into_iter().map(|count| ((count.kms, count.operation, count.result), count.calls)));
            upstreams.extend(
                base.upstreams
                    .into_iter()
                    .map(|count| ((count.backend, count.result), (count.requests, count.bytes_in, count.bytes_out))),
            );
            gap_ms = base.gap_ms;
        }
        let series = Uuid::new_v4();
        let mut calls = self.calls();
        let mut left = (calls.kms.clone(), calls.upstreams.clone());
        left.0.retain(|key, calls| {
            *calls = calls.saturating_sub(kms.get(key).copied().unwrap_or_default());
            *calls > 0
        });
        left.1.retain(|key, (requests, bytes_in, bytes_out)| {
            let (told, told_in, told_out) = upstreams.get(key).copied().unwrap_or_default();
            *requests = requests.saturating_sub(told);
            *bytes_in = bytes_in.saturating_sub(told_in);
            *bytes_out = bytes_out.saturating_sub(told_out);
            *requests > 0
        });
        self.shared.journal.begin_series(series, &objects, gap_ms, |changes, position, gap_ms| {
            self.shared.counters.flush(&Flush {
                changes,
                position,
                kms: left.0.clone(),
                upstreams: left.1.clone(),
                gap_ms,
                boot: kept.boot.clone(),
                now_ms: now_ms(),
                series: Some(series),
                ..Flush::default()
            })
        })?;
        (calls.kms, calls.upstreams, calls.unreported) = (left.0, left.1, true);
        drop(calls);
        kept.series = series;
        kept.baseline = Some(false);
        kept.sequence = 0;
        kept.spooled = Spooled::default();
        self.show_spool(kept.spooled);
        Ok(())
    }

    /// Sequence of the last report that was made.
    #[cfg(test)]
    pub(crate) fn last_sequence(&self) -> u64 {
        self.kept().sequence
    }

    /// Shows on `/metrics` which policy revision is held and which is effective; none: no set.
    pub(crate) fn show_revision(&self, held: Option<u64>, effective: Option<u64>) {
        self.shared.metrics.show_revision(held, effective);
    }

    /// Shows on `/metrics` whether the stream to Central is open.
    pub(crate) fn show_connected(&self, connected: bool) {
        self.shared.metrics.central_connected.set(i64::from(connected));
    }

    fn show_spool(&self, spooled: Spooled) {
        self.shared.metrics.spool_bytes.set(i64::try_from(spooled.bytes).unwrap_or(i64::MAX));
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(bucket: &str, policy: Option<&str>, outcome: Outcome, direction: Direction) -> Key {
    Key { bucket: bucket.into(), policy: policy.unwrap_or_default().into(), outcome, direction }
}

/// The name, or what stands for all names beyond the bound.
fn known_or_other<'a>(known: impl Iterator<Item = &'a str> + Clone, name: &str) -> String {
    if known.clone().any(|known| known == name) || known.count() < MAX_NAMES {
        name.to_owned()
    } else {
        OTHER.to_owned()
    }
}

fn object_count(key: &Key, count: Cumulative) -> ObjectCount {
    ObjectCount {
        bucket: key.bucket.to_string(),
        policy: key.policy.to_string(),
        outcome: key.outcome,
        direction: key.direction,
        objects: count.objects,
        bytes: count.bytes,
    }
}

fn kms_count(((kms, operation, result), calls): (&(String, String, String), &u64)) -> KmsCount {
    KmsCount { kms: kms.clone(), operation: operation.clone(), result: result.clone(), calls: *calls }
}

fn upstream_count(((backend, result), calls): (&(String, String), &(u64, u64, u64))) -> UpstreamCount {
    let (requests, bytes_in, bytes_out) = *calls;
    UpstreamCount { backend: backend.clone(), result: result.clone(), requests, bytes_in, bytes_out }
}
