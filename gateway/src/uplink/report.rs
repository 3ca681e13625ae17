//! Reports: made at each interval, kept in the spool, sent oldest first, again and again until acknowledged.
//!
//! Values are cumulative, so that a report may be late, repeated or left out: the next one heals. While Central is away
//! fewer and fewer are made, and the spool stays small; the last one tells everything.

use std::sync::atomic::Ordering;
use std::time::Duration;

use proto::report::{Inventory, Report, ReportAck};
use proto::wire;
use proto::wire::reports_client::ReportsClient;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::{Backoff, random};
use super::line::Failure;
use super::{Shared, off_thread};
use crate::state::now_ms;

/// Time for one report to be acknowledged; a late one is Central's way to slow its gateways down.
const CALL: Duration = Duration::from_mins(1);
/// At a stop, the last report has this long; in tests, which look for it, as long as a busy machine takes.
const LAST: Duration = if cfg!(test) { Duration::from_mins(1) } else { Duration::from_secs(3) };
/// The inventory is taken at every so many reports, within these bounds.
const INVENTORY: u32 = 5;
const INVENTORY_SOONEST: Duration = Duration::from_secs(2);
const INVENTORY_LATEST: Duration = Duration::from_secs(30);
/// Reports that wait are made at every interval up to this many,
const DENSE: u64 = 600;
/// and once a minute up to this many; further ones would tell nothing that the next does not.
const SPARSE: u64 = 3_000;
const MINUTE: Duration = Duration::from_mins(1);

pub(super) struct Reporter<'a> {
    shared: &'a Shared,
    last_made: Instant,
    /// How many of the requests for a full report are answered.
    full_answered: u64,
    inventory: Option<Inventory>,
    inventory_taken: Option<Instant>,
    backoff: Backoff,
}

/// Makes and sends reports until `stop`; then one more of each.
pub(super) async fn run(shared: &Shared, stop: CancellationToken) {
    // Without an identity there is nobody to report to; the counters keep everything.
    tokio::select! {
        _ = shared.line.channel() => {}
        () = stop.cancelled() => return,
    }
    let mut reporter = Reporter::new(shared);
    // So that gateways that started together do not report together.
    let mut wait = shared.report_interval().mul_f64(random());
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.report_soon.notified() => {}
            () = stop.cancelled() => break,
        }
        tokio::select! {
            next = reporter.round() => wait = next,
            () = stop.cancelled() => break,
        }
    }
    let _ = tokio::time::timeout(LAST, reporter.round()).await;
}

impl<'a> Reporter<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            last_made: Instant::now(),
            full_answered: 0,
            inventory: None,
            inventory_taken: None,
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30)),
        }
    }

    /// Makes a report where one is due, and sends what waits. Says how long to wait for the next round.
    async fn round(&mut self) -> Duration {
        self.make().await;
        match self.send_all().await {
            Ok(()) => {
                self.backoff.reset();
                self.shared.report_interval()
            }
            Err(failure) => {
                tracing::debug!(code = failure.code, message = failure.message, "a report waits");
                self.backoff.next(None).max(self.shared.report_interval())
            }
        }
    }

    pub(super) async fn make(&mut self) {
        let (waiting, _) = self.shared.stats.spooled();
        let since = self.last_made.elapsed();
        // One that comes in while this report is made is for the next: it may be about what this one does not tell.
        let full_asked = self.shared.full_asked.load(Ordering::Acquire);
        let full = full_asked != self.full_answered;
        if waiting >= SPARSE || (waiting >= DENSE && since < MINUTE) {
            return;
        }
        let inventory = self.changed_inventory(full).await;
        let stats = self.shared.stats.clone();
        let offered = inventory.clone();
        match off_thread(move || stats.make_report(full, offered)).await {
            Ok(made) => {
                if made.is_some() {
                    self.last_made = Instant::now();
                    self.full_answered = full_asked;
                    if inventory.is_some() {
                        self.inventory = inventory;
                    }
                }
            }
            Err(error) => tracing::error!(%error, "a report cannot be made; it is tried again"),
        }
    }

    /// The inventory where it is not what was last told.
    async fn changed_inventory(&mut self, full: bool) -> Option<Inventory> {
        let every = (self.shared.report_interval() * INVENTORY).clamp(INVENTORY_SOONEST, INVENTORY_LATEST);
        if !full && self.inventory_taken.is_some_and(|taken| taken.elapsed() < every) {
            return None;
        }
        // While Central is away, another member may be the one that can tell it.
        if !self.shared.is_connected() {
            return None;
        }
        self.inventory_taken = Some(Instant::now());
        let found = tokio::time::timeout(CALL, (self.shared.hooks.inventory)()).await.ok().flatten()?;
        let same = |told: &Inventory| Inventory { taken_ms: found.taken_ms, ..told.clone() } == found;
        if !full && self.inventory.as_ref().is_some_and(same) { None } else { Some(found) }
    }

    async fn send_all(&mut self) -> Result<(), Failure> {
        loop {
            let stats = self.shared.stats.clone();
            let oldest = off_thread(move || stats.oldest_report())
                .await
                .map_err(|error| Failure::new("local", error.to_string()))?;
            let Some((sequence, bytes)) = oldest else { return Ok(()) };
            let Ok(report) = Report::from_bytes(&bytes) else {
                tracing::error!(sequence, "a report in the spool cannot be read and is dropped; a full one follows");
                self.shared.want_full_report();
                self.forget(sequence).await?;
                continue;
            };
            match self.send(report).await {
                Ok(ack) => self.acknowledged(sequence, ack).await?,
                Err(failure) if failure.code == "rejected" => {
                    // The same bytes would be rejected for ever. Values are cumulative: the next report tells them.
                    tracing::error!(
                        sequence,
                        message = failure.message,
                        "Central rejects a report; a full one follows"
                    );
                    self.shared.want_full_report();
                    self.forget(sequence).await?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    async fn send(&self, report: Report) -> Result<ReportAck, Failure> {
        let channel = self.shared.line.channel().await;
        let mut client = ReportsClient::new(channel).max_encoding_message_size(proto::limits::MESSAGE_BYTES);
        match tokio::time::timeout(CALL, client.send(wire::Report::from(report))).await {
            Ok(Ok(answer)) => {
                ReportAck::try_from(answer.into_inner()).map_err(|error| Failure::new("protocol", error.to_string()))
            }
            Ok(Err(status)) if status.code() == tonic::Code::InvalidArgument => {
                Err(Failure::new("rejected", status.message()))
            }
            Ok(Err(status)) => Err(status.into()),
            Err(_) => Err(Failure::new("timeout", "Central did not acknowledge the report in time")),
        }
    }

    async fn acknowledged(&self, sequence: u64, ack: ReportAck) -> Result<(), Failure> {
        self.shared.noted().reported_ms = Some(now_ms());
        if let Some(interval) = ack.next_interval_ms {
            self.shared.noted().report_interval = Some(Duration::from_millis(interval));
        }
        if ack.want_full {
            self.shared.full_asked.fetch_add(1, Ordering::Release);
        }
        self.shared.noted().quarantined = ack.aside;
        // Reports are sent one at a time: only a later life of this store can have sent a later one.
        if ack.merged_up_to > sequence {
            tracing::error!(
                merged = ack.merged_up_to,
                sequence,
                "the local store went backwards, as one that was restored from a backup: a new series of counts begins"
            );
            let stats = self.shared.stats.clone();
            let begun = off_thread(move || stats.begin_series()).await;
            begun.map_err(|error| Failure::new("local", error.to_string()))?;
            self.shared.want_full_report();
            return Ok(());
        }
        if ack.aside {
            return self.forget(sequence).await;
        }
        if ack.merged_up_to < sequence {
            return Err(Failure::new("behind", "Central did not merge the report"));
        }
        let stats = self.shared.stats.clone();
        let noted = off_thread(move || stats.merged()).await;
        noted.map_err(|error| Failure::new("local", error.to_string()))?;
        self.forget(sequence).await
    }

    async fn forget(&self, sequence: u64) -> Result<(), Failure> {
        let stats = self.shared.stats.clone();
        off_thread(move || stats.acknowledged(sequence)).await.map_err(|error| Failure::new("local", error.to_string()))
    }
}
