//! To Central: identity, policies, reports. The gateway works without any of it for ever.
//!
//! ```text
//!  token ──▶ enrol ──▶ identity (key and certificate, sealed on disk) ──▶ line (mutual TLS, one channel)
//!              │ renews at half-life                                        │
//!              ▼                                                ┌───────────┴───────────┐
//!        the old one is kept until                        watch │                report │
//!        the new one has served                bundles ▼  acks ▲│  spool ──▶ Central, until acknowledged
//!                                              snapshot::Policies
//! ```
//! Three loops, each: connect, back off with full jitter and the server's hint, reconcile from state. A loop owns what it
//! starts; [`Uplink::run`] owns the loops.

mod backoff;
mod enrol;
mod identity;
mod line;
mod report;
#[cfg(test)]
mod tests;
mod token;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ids::StorageId;
use proto::report::Inventory;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;
use utoipa::ToSchema;

use crate::sealing::SealingKey;
use crate::snapshot::Policies;
use crate::state::counters::Counters;
use crate::state::{State, now_ms};
use crate::stats::Stats;

pub use enrol::{EnrolError, Enrolled, enrol_now};
pub use token::TokenError;

/// What the configuration says of Central.
pub struct UplinkOptions {
    /// Overrides the address of the token.
    pub address: Option<Url>,
    /// The enrolment token; not needed once enrolled.
    pub token: Option<crate::config::Secret>,
    /// A file that holds the token; it may appear later.
    pub token_file: Option<PathBuf>,
    /// The name that is proposed to Central.
    pub name: Option<String>,
    /// Time between two reports until Central says otherwise.
    pub report_interval: Duration,
    /// Version of the gateway.
    pub version: String,
}

/// What Central may ask of the rest of the gateway.
#[derive(Clone)]
pub struct Hooks {
    /// Drops every cached key.
    pub flush_keys: Arc<dyn Fn() + Send + Sync>,
    /// Takes an inventory; none while there is none to be had.
    pub inventory: Arc<dyn Fn() -> BoxFuture<'static, Option<Inventory>> + Send + Sync>,
    /// The storage behind the group; none while it is not known.
    pub storage_id: Arc<dyn Fn() -> Option<StorageId> + Send + Sync>,
}

/// How things stand with Central, for the admin API.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as JSON shows them")]
pub struct Status {
    /// Central is configured.
    pub configured: bool,
    /// The gateway has an identity there.
    pub enrolled: bool,
    /// Its ID.
    pub gateway_id: Option<String>,
    /// Its name, as Central gave it.
    pub name: Option<String>,
    /// Its labels, as Central gave them.
    pub labels: BTreeMap<String, String>,
    /// Where Central is.
    pub address: Option<String>,
    /// The policy stream is open.
    pub connected: bool,
    /// Since when it is, or is not; Unix milliseconds.
    pub since_ms: i64,
    /// What went wrong last; none once the stream is open.
    pub error: Option<Trouble>,
    /// Why the certificate could not be renewed, or why a renewed one is not in use; none once one has served. Until the
    /// certificate expires, everything goes on.
    pub renewal_error: Option<Trouble>,
    /// When the certificate expires, Unix milliseconds.
    pub certificate_until_ms: Option<i64>,
    /// Lineage of the policy set.
    pub lineage: Option<String>,
    /// Number of the policy set.
    pub revision: Option<u64>,
    /// Number of the set that every write is decided by; none while older decisions are at work.
    pub effective_revision: Option<u64>,
    /// Seconds since the set was received.
    pub age_s: Option<u64>,
    /// The set that was refused; none once one was applied.
    pub refusal: Option<Refused>,
    /// Uploads begun under an older revision that are still open.
    pub uploads_from_before: u64,
    /// Reports that wait for Central.
    pub reports_waiting: u64,
    /// Their bytes.
    pub spool_bytes: u64,
    /// When Central last acknowledged a report, Unix milliseconds.
    pub reported_ms: Option<i64>,
    /// Central takes this gateway for a clone of itself, and keeps its reports aside until an administrator has settled it.
    pub quarantined: bool,
    /// Milliseconds of which no statistics are known, after losses of power.
    pub gap_ms: u64,
    /// Writes whose outcome is still being looked up.
    pub unsettled: u64,
    /// The disk refuses the journal of the statistics: what is counted meanwhile would not survive a kill.
    pub journal_failing: bool,
    /// Uploads of earlier lives and other members are known; if not, `uploads_from_before` has only what began here.
    pub uploads_counted: bool,
}

/// A failure, for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Trouble {
    /// Code of the control protocol, or `unreachable`, `tls`, `local`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// When, Unix milliseconds.
    pub at_ms: i64,
}

/// A policy set that this gateway does not apply; the one before is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Refused {
    /// Number of the refused set.
    pub revision: u64,
    /// Why, from a closed list.
    pub code: String,
    /// Which item of the set; empty for the whole.
    pub item: String,
    /// For a person.
    pub reason: String,
}

/// Handle to the uplink; clones share it.
#[derive(Clone)]
pub struct Uplink {
    shared: Arc<Shared>,
}

/// What the loops share.
pub(crate) struct Shared {
    options: Option<UplinkOptions>,
    folder: PathBuf,
    epoch: ids::Epoch,
    policies: Policies,
    stats: Stats,
    counters: Arc<Counters>,
    sealing: Arc<SealingKey>,
    hooks: Hooks,
    line: line::Line,
    noted: Mutex<Noted>,
    /// Wakes the report loop: a full report is wanted, or the interval changed.
    report_soon: Notify,
    /// How often a full report was asked for.
    full_asked: AtomicU64,
    /// Wakes the enrolment loop: Central does not take the identity any more.
    identity_refused: Notify,
}

/// What only the loops know and the status shows.
#[derive(Default)]
struct Noted {
    connected: bool,
    since_ms: i64,
    error: Option<Trouble>,
    renewal_error: Option<Trouble>,
    name: Option<String>,
    refusal: Option<Refused>,
    reported_ms: Option<i64>,
    quarantined: bool,
    report_interval: Option<Duration>,
}

impl Uplink {
    /// An uplink that is not started; without options, one that never will be.
    pub fn new(
        options: Option<UplinkOptions>,
        state: &State,
        policies: Policies,
        stats: Stats,
        sealing: Arc<SealingKey>,
        hooks: Hooks,
    ) -> Self {
        let shared = Shared {
            options,
            folder: state.folder().join("identity"),
            epoch: state.epoch(),
            policies,
            stats,
            counters: state.counters(),
            sealing,
            hooks,
            line: line::Line::default(),
            noted: Mutex::new(Noted { since_ms: now_ms(), ..Noted::default() }),
            report_soon: Notify::new(),
            full_asked: AtomicU64::new(0),
            identity_refused: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Runs the three loops until `stop`, and shows policy revisions on `/metrics`. Returns when all have ended.
    pub async fn run(&self, stop: CancellationToken) {
        let shared = &*self.shared;
        let showing = shared.show_revisions(stop.clone());
        if shared.options.is_none() {
            return showing.await;
        }
        tokio::join!(
            showing,
            enrol::run(shared, stop.clone()),
            watch::run(shared, stop.clone()),
            report::run(shared, stop)
        );
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        self.shared.status()
    }
}

impl Shared {
    fn status(&self) -> Status {
        let snapshot = self.policies.current();
        let identity = self.line.identity();
        let (reports_waiting, spool_bytes) = self.stats.spooled();
        let noted = self.noted();
        Status {
            configured: self.options.is_some(),
            enrolled: identity.is_some(),
            gateway_id: identity.as_ref().map(|identity| identity.gateway_id.to_string()),
            name: noted.name.clone().or_else(|| identity.as_ref().map(|identity| identity.name.clone())),
            labels: snapshot.labels.clone(),
            address: identity.as_ref().map(|identity| identity.address.to_string()),
            connected: noted.connected,
            since_ms: noted.since_ms,
            error: noted.error.clone(),
            renewal_error: noted.renewal_error.clone(),
            certificate_until_ms: identity.as_ref().map(|identity| identity.not_after_ms),
            lineage: snapshot.revision.map(|revision| revision.lineage.to_string()),
            revision: snapshot.revision.map(|revision| revision.number),
            effective_revision: snapshot
                .revision
                .filter(|_| self.policies.is_effective())
                .map(|revision| revision.number),
            age_s: snapshot.revision.map(|_| snapshot.age().as_secs()),
            refusal: noted.refusal.clone(),
            uploads_from_before: self.policies.uploads_from_before().count,
            reports_waiting,
            spool_bytes,
            reported_ms: noted.reported_ms,
            quarantined: noted.quarantined,
            gap_ms: self.stats.gap_ms(),
            unsettled: self.stats.unsettled() as u64,
            journal_failing: self.stats.journal_failing(),
            uploads_counted: self.policies.uploads_are_complete(),
        }
    }

    fn options(&self) -> &UplinkOptions {
        self.options.as_ref().expect("the loops run only where Central is configured")
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a failure, and logs it when it is another one than before.
    fn trouble(&self, code: &str, message: &str) {
        let mut noted = self.noted();
        let news = noted.error.as_ref().is_none_or(|error| error.code != code);
        if news {
            tracing::warn!(code, message, "Central cannot be used; requests are served by the last policy set");
        } else {
            tracing::debug!(code, message, "Central cannot be used");
        }
        noted.error = Some(Trouble { code: code.to_owned(), message: message.to_owned(), at_ms: now_ms() });
    }

    /// Notes that the certificate is not renewed, and logs it when it is for another reason than before.
    fn renewal_trouble(&self, code: &str, message: &str) {
        let mut noted = self.noted();
        if noted.renewal_error.as_ref().is_none_or(|error| error.message != message) {
            tracing::warn!(code, message, "the certificate for Central is not renewed");
        }
        noted.renewal_error = Some(Trouble { code: code.to_owned(), message: message.to_owned(), at_ms: now_ms() });
    }

    fn connected(&self, connected: bool) {
        let mut noted = self.noted();
        if noted.connected != connected {
            noted.connected = connected;
            noted.since_ms = now_ms();
            if connected {
                noted.error = None;
                tracing::info!("Central is connected");
            } else {
                tracing::info!("Central is disconnected");
            }
        }
        drop(noted);
        self.stats.show_connected(connected);
    }

    fn want_full_report(&self) {
        self.full_asked.fetch_add(1, Ordering::Release);
        self.report_soon.notify_one();
    }

    fn report_interval(&self) -> Duration {
        self.noted().report_interval.unwrap_or(self.options().report_interval)
    }

    /// Is the policy stream open?
    fn is_connected(&self) -> bool {
        self.noted().connected
    }

    fn set_report_interval(&self, interval: Duration) {
        let mut noted = self.noted();
        let before = noted.report_interval.replace(interval);
        drop(noted);
        if before != Some(interval) {
            self.report_soon.notify_one();
        }
    }

    /// Keeps the metrics of the revision as they are.
    async fn show_revisions(&self, stop: CancellationToken) {
        let mut changed = self.policies.subscribe();
        let mut effective = None;
        loop {
            changed.mark_unchanged();
            let snapshot = self.policies.current();
            let held = snapshot.revision.map(|revision| revision.number);
            if self.policies.is_effective() {
                effective = held;
            }
            self.stats.show_revision(held, effective);
            tokio::select! {
                done = self.policies.effective(&snapshot), if effective != held => {
                    if done {
                        effective = held;
                        self.stats.show_revision(held, effective);
                    }
                }
                changed = changed.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Runs blocking work on its own thread, and waits for it.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The folder of the identity below a state directory.
fn identity_folder(state_dir: &Path) -> PathBuf {
    state_dir.join("identity")
}
