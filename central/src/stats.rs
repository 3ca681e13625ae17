//! What the gateways count, consolidated exactly once.
//!
//! ```text
//! Reports.Send ──identity of the certificate──▶ ingest: one transaction
//!     lock the series' mark ──▶ sequence ≤ mark: a replay, nothing changes
//!                           └─▶ else: cumulative counts replace the series' totals where they are higher,
//!                               the differences go into the minute at which the gateway counted them, bucket by
//!                               bucket, and summed into that minute, quarter, hour and day for graphs; the mark rises
//! totals ──▶ snapshot (memory, refreshed by a job) ──▶ /metrics          totals, rollups ──▶ REST
//! ```
//! Counters are cumulative within a series, so a lost report costs nothing but its place in time: the next full report
//! brings the counts. A gateway in quarantine is acknowledged, and its reports kept aside.

pub mod grpc;
mod inventories;
pub mod metrics;
pub mod rest;
pub(crate) mod store;
#[cfg(test)]
mod tests;
pub(crate) mod traffic;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proto::report::{Report, ReportAck};
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::db;
use crate::error::{Error, Kind};
use crate::gateways::State;
use crate::pki::Presented;

pub use metrics::Outcomes;

/// A report is booked no later than this after Central's clock, however wrong the gateway's is.
const AHEAD: Duration = Duration::from_mins(5);
/// Reports of one gateway that are kept aside.
const ASIDE: i64 = 10_000;

/// The ingest of reports, over a pool of its own, so that reports never wait for people nor people for reports.
pub struct Stats {
    pub(crate) db: PgPool,
    /// What became of reports since this replica started.
    pub outcomes: Outcomes,
    /// As last read for `/metrics`.
    pub(crate) snapshot: metrics::Shared,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Merged.
    Merged,
    /// Merged, though earlier ones never came.
    Gap,
    /// Was merged before; nothing changed.
    Replayed,
    /// Kept aside: the gateway is in quarantine.
    Aside,
}

impl Stats {
    /// Over the pool for reports.
    pub fn new(db: PgPool) -> Arc<Self> {
        Arc::new(Self { db, outcomes: Outcomes::default(), snapshot: metrics::Shared::default() })
    }

    /// Takes in one report.
    ///
    /// When this returns, the report is durably merged, and merging it again changes nothing. When it fails or is
    /// dropped, nothing of it is merged.
    pub async fn ingest(&self, from: &Presented, report: &Report) -> Result<ReportAck, Error> {
        no_key_twice(report)?;
        let done = db::transaction!(&self.db, "ingest", async |tx| {
            let state = store::bearer(tx, from).await?;
            if state == State::Quarantined {
                store::keep_aside(tx, from.gateway, report, ASIDE).await?;
                // Where it stands is told also now: a store that was restored finds out by it.
                let mark = store::lock_mark(tx, from.gateway, report.series).await?;
                return Ok((Outcome::Aside, mark, 0));
            }
            let mark = store::lock_mark(tx, from.gateway, report.series).await?;
            if report.sequence <= mark {
                store::note_replay(tx, from.gateway, report.series).await?;
                return Ok((Outcome::Replayed, mark, 0));
            }
            let at = booked_at(report);
            let mut traffic = traffic::Traffic::default();
            store::merge_objects(tx, from.gateway, report, at, &mut traffic).await?;
            store::merge_kms(tx, from.gateway, report, &mut traffic).await?;
            store::merge_upstreams(tx, from.gateway, report, &mut traffic).await?;
            traffic::book(tx, from.gateway, at, &traffic).await?;
            if let Some(inventory) = &report.inventory {
                inventories::put(tx, from.gateway, inventory).await?;
            }
            let missing = report.sequence - mark - 1;
            store::raise_mark(tx, from.gateway, report, missing).await?;
            // A full report leaves nothing open, whatever went missing before it.
            let outcome = if missing == 0 { Outcome::Merged } else { Outcome::Gap };
            Ok((outcome, report.sequence, missing))
        })
        .await;
        match done {
            Ok((outcome, merged_up_to, missing)) => {
                self.outcomes.count(outcome, missing);
                let want_full = outcome == Outcome::Gap && !report.full;
                let aside = outcome == Outcome::Aside;
                Ok(ReportAck { merged_up_to, want_full, next_interval_ms: None, aside })
            }
            Err(error) => {
                self.outcomes.failed(&error);
                Err(error)
            }
        }
    }
}

/// The minute in which a report's differences are booked: that of its end, by the gateway's clock.
fn booked_at(report: &Report) -> OffsetDateTime {
    let latest = OffsetDateTime::now_utc() + AHEAD;
    let end = OffsetDateTime::from_unix_timestamp_nanos(i128::from(report.end_ms) * 1_000_000).unwrap_or(latest);
    let end = end.min(latest);
    let seconds = end.unix_timestamp();
    OffsetDateTime::from_unix_timestamp(seconds - seconds.rem_euclid(60)).unwrap_or(end)
}

/// A key that stands twice in a report has no one value.
fn no_key_twice(report: &Report) -> Result<(), Error> {
    let unique = |total: usize, distinct: usize| total == distinct;
    let objects: HashSet<_> =
        report.objects.iter().map(|count| (&count.bucket, &count.policy, count.outcome, count.direction)).collect();
    let kms: HashSet<_> = report.kms.iter().map(|count| (&count.kms, &count.operation, &count.result)).collect();
    let upstreams: HashSet<_> = report.upstreams.iter().map(|count| (&count.backend, &count.result)).collect();
    if unique(report.objects.len(), objects.len())
        && unique(report.kms.len(), kms.len())
        && unique(report.upstreams.len(), upstreams.len())
    {
        return Ok(());
    }
    Err(Error::new(Kind::Invalid, "A counter stands twice in the report. Nothing of it was merged."))
}
