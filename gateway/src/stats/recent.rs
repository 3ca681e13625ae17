//! The figures of the last two days, in memory: for the gateway's own console. What is kept is in the journal.
//!
//! ```text
//! the last hour   360 points of ten seconds  ─┐ 120 bytes each: 112 KB in all, whatever the traffic
//! the last 48 h   576 points of five minutes ─┘
//! ```
//! A start begins anew; what is older, or from before a start, Central has.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ids::{Direction, Outcome};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::Stats;
use crate::state::now_ms;

/// Seconds of one point.
pub const STEP_S: u64 = 10;
/// Points that are kept: an hour.
pub(super) const POINTS: usize = 360;
/// Seconds of one point of the longer ranges.
pub const LONG_STEP_S: u64 = 300;
/// Points of the longer ranges that are kept: 48 hours.
pub(super) const LONG_POINTS: usize = 576;

/// Sums over everything that is counted. Cumulative, or of one period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Totals {
    /// Objects that were stored encrypted.
    pub objects_encrypted: u64,
    /// Objects that were stored as they are.
    pub objects_plain: u64,
    /// Plaintext bytes of the former.
    pub bytes_encrypted: u64,
    /// Bytes of the latter.
    pub bytes_plain: u64,
    /// Objects from clients towards the storage.
    pub objects_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Objects that were read.
    pub objects_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Refused by a policy.
    pub denied: u64,
    /// Failed, or of unknown outcome.
    pub failed: u64,
    /// Calls of a KMS.
    pub kms_calls: u64,
    /// Those that failed.
    pub kms_errors: u64,
    /// Requests to the storage.
    pub upstream_requests: u64,
    /// Those that it did not answer, or with a fault of its own.
    pub upstream_errors: u64,
}

macro_rules! each {
    ($a:expr, $b:expr, $of:expr) => {
        Totals {
            objects_encrypted: $of($a.objects_encrypted, $b.objects_encrypted),
            objects_plain: $of($a.objects_plain, $b.objects_plain),
            bytes_encrypted: $of($a.bytes_encrypted, $b.bytes_encrypted),
            bytes_plain: $of($a.bytes_plain, $b.bytes_plain),
            objects_in: $of($a.objects_in, $b.objects_in),
            bytes_in: $of($a.bytes_in, $b.bytes_in),
            objects_out: $of($a.objects_out, $b.objects_out),
            bytes_out: $of($a.bytes_out, $b.bytes_out),
            denied: $of($a.denied, $b.denied),
            failed: $of($a.failed, $b.failed),
            kms_calls: $of($a.kms_calls, $b.kms_calls),
            kms_errors: $of($a.kms_errors, $b.kms_errors),
            upstream_requests: $of($a.upstream_requests, $b.upstream_requests),
            upstream_errors: $of($a.upstream_errors, $b.upstream_errors),
        }
    };
}

impl Totals {
    /// What was added since `before`. A new series of counts begins at zero.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        each!(self, before, |now: u64, before: u64| now.saturating_sub(before))
    }
}

/// Calls of one KMS, and requests to one backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// How many.
    pub count: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Body bytes that came back.
    pub received: u64,
    /// Body bytes that were sent.
    pub sent: u64,
}

impl Stats {
    /// The sums of now.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (key, count) in self.counts() {
            let sums = match (key.direction, key.outcome) {
                (_, Outcome::Denied) => {
                    totals.denied += count.objects;
                    continue;
                }
                (_, Outcome::Failed | Outcome::Indeterminate) => {
                    totals.failed += count.objects;
                    continue;
                }
                (Direction::Out, _) => {
                    totals.objects_out += count.objects;
                    totals.bytes_out += count.bytes;
                    continue;
                }
                (Direction::In, Outcome::Encrypted) => (&mut totals.objects_encrypted, &mut totals.bytes_encrypted),
                (Direction::In, _) => (&mut totals.objects_plain, &mut totals.bytes_plain),
            };
            *sums.0 += count.objects;
            *sums.1 += count.bytes;
        }
        totals.objects_in = totals.objects_encrypted + totals.objects_plain;
        totals.bytes_in = totals.bytes_encrypted + totals.bytes_plain;
        let calls = self.calls();
        for ((_, _, result), count) in &calls.kms {
            totals.kms_calls += count;
            totals.kms_errors += if result == "ok" { 0 } else { *count };
        }
        for ((_, result), (requests, ..)) in &calls.upstreams {
            totals.upstream_requests += requests;
            totals.upstream_errors += if is_error(result) { *requests } else { 0 };
        }
        totals
    }

    /// What was sent to one backend.
    pub fn backend_calls(&self, name: &str) -> Calls {
        let mut sum = Calls::default();
        for ((backend, result), (requests, received, sent)) in &self.calls().upstreams {
            if backend == name {
                sum.count += requests;
                sum.errors += if is_error(result) { *requests } else { 0 };
                sum.received += received;
                sum.sent += sent;
            }
        }
        sum
    }
}

/// Whether a result of a request to the storage is the storage's fault.
fn is_error(result: &str) -> bool {
    matches!(result, "server_error" | "unreachable")
}

/// One period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When it ended, Unix milliseconds.
    pub at_ms: i64,
    /// What was added in it.
    pub added: Totals,
}

/// The last hour, and the last two days.
pub struct Recent {
    begun_ms: i64,
    at_begin: Totals,
    kept: Mutex<Kept>,
}

struct Kept {
    fine: Series,
    long: Series,
    /// Points of ten seconds that were taken.
    taken: u64,
}

/// Points of one length, the newest last.
struct Series {
    last: Totals,
    points: VecDeque<Point>,
    most: usize,
}

impl Series {
    fn new(last: Totals, most: usize) -> Self {
        Self { last, points: VecDeque::with_capacity(most), most }
    }

    fn push(&mut self, totals: Totals, at_ms: i64) {
        let added = totals.since(&self.last);
        self.last = totals;
        if self.points.len() == self.most {
            self.points.pop_front();
        }
        self.points.push_back(Point { at_ms, added });
    }

    fn since(&self, since_ms: i64) -> Vec<Point> {
        self.points.iter().filter(|point| point.at_ms > since_ms).copied().collect()
    }
}

impl Recent {
    /// Begins now.
    pub fn new(stats: &Stats) -> Self {
        let totals = stats.totals();
        let kept = Kept { fine: Series::new(totals, POINTS), long: Series::new(totals, LONG_POINTS), taken: 0 };
        Self { begun_ms: now_ms(), at_begin: totals, kept: Mutex::new(kept) }
    }

    /// When it began, Unix milliseconds.
    pub fn begun_ms(&self) -> i64 {
        self.begun_ms
    }

    /// The sums when it began.
    pub fn at_begin(&self) -> Totals {
        self.at_begin
    }

    /// The points of ten seconds that ended after `since_ms`, oldest first.
    pub fn points(&self, since_ms: i64) -> Vec<Point> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).fine.since(since_ms)
    }

    /// The same of five minutes. The one that is under way is not among them.
    pub fn long_points(&self, since_ms: i64) -> Vec<Point> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).long.since(since_ms)
    }

    /// Ends a period.
    pub(crate) fn take(&self, totals: Totals, at_ms: i64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.fine.push(totals, at_ms);
        kept.taken += 1;
        if kept.taken.is_multiple_of(LONG_STEP_S / STEP_S) {
            kept.long.push(totals, at_ms);
        }
    }

    /// Takes a point each ten seconds until `stop`.
    pub async fn run(&self, stats: &Stats, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(Duration::from_secs(STEP_S));
        ticks.tick().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.take(stats.totals(), now_ms()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Count;
    use super::*;
    use crate::state::State;

    #[test]
    fn figures_are_told_apart_by_what_became_of_the_object_and_the_hour_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let stats = Stats::open(&state).unwrap();
        let recent = Recent::new(&stats);
        let count =
            |outcome, direction, bytes| stats.count(Count { bucket: "b", policy: None, outcome, direction, bytes });
        count(Outcome::Encrypted, Direction::In, 10);
        count(Outcome::WouldEncrypt, Direction::In, 20);
        count(Outcome::Encrypted, Direction::Out, 40);
        count(Outcome::Denied, Direction::In, 80);
        count(Outcome::Failed, Direction::Out, 0);
        stats.kms_call("main", "wrap", false);
        stats.upstream("disk", super::super::UpstreamResult::ClientError, 1, 2);
        stats.upstream("disk", super::super::UpstreamResult::Unreachable, 0, 0);
        recent.take(stats.totals(), 10_000);
        let added = recent.points(0)[0].added;
        assert_eq!((added.objects_encrypted, added.bytes_encrypted), (1, 10));
        assert_eq!((added.objects_plain, added.bytes_plain, added.objects_in, added.bytes_in), (1, 20, 2, 30));
        assert_eq!((added.objects_out, added.bytes_out, added.denied, added.failed), (1, 40, 1, 1));
        assert_eq!((added.kms_calls, added.kms_errors, added.upstream_requests, added.upstream_errors), (1, 1, 2, 1));
        for number in 2..=i64::try_from(POINTS).unwrap() + 50 {
            recent.take(stats.totals(), number * 10_000);
        }
        let points = recent.points(0);
        assert_eq!(points.len(), POINTS);
        assert!(points.iter().all(|point| point.added == Totals::default()), "an empty period has zeros");
        assert_eq!(recent.points(points[POINTS - 2].at_ms).len(), 1);
    }

    #[test]
    fn five_minutes_are_the_sum_of_their_points_and_two_days_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let stats = Stats::open(&state).unwrap();
        let recent = Recent::new(&stats);
        let totals = |objects_in| Totals { objects_in, ..Totals::default() };
        let per = i64::try_from(LONG_STEP_S / STEP_S).unwrap();
        for number in 1..per {
            recent.take(totals(u64::try_from(number).unwrap()), number * 10_000);
        }
        assert_eq!(recent.long_points(0), [], "the period is not over");
        recent.take(totals(100), per * 10_000);
        assert_eq!(recent.long_points(0), [Point { at_ms: 300_000, added: totals(100) }]);
        for number in per + 1..=per * (i64::try_from(LONG_POINTS).unwrap() + 5) {
            recent.take(totals(100), number * 10_000);
        }
        let points = recent.long_points(0);
        assert_eq!(points.len(), LONG_POINTS);
        assert_eq!((points[0].added, points[1].at_ms - points[0].at_ms), (Totals::default(), 300_000));
        // What the page of this module says.
        assert_eq!(size_of::<Point>() * (POINTS + LONG_POINTS), 112_320);
    }
}
