//! What a gateway does without being asked: counts open uploads, sweeps what is left of those that are over, and takes the
//! inventory of the storage.
//!
//! ```text
//! each member   open uploads ─▶ snapshot::Policies              at the start, then each minute
//! one member    lease `sweep` ─▶ s3/multipart/sweep             ten minutes apart, so many states at a time
//! one member    lease `inventory` ─▶ look through every bucket, page by page, a quarter of an hour apart
//!                                  ─▶ inventory ─▶ uplink/report  while Central is there to be told
//! ```

mod buckets;
mod inventory;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use proto::report::Inventory;
use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::config;
use crate::s3::{Ages, Front, Tally};
use crate::state::now_ms;
use crate::system::Lease;

pub(crate) use buckets::{Due, NamesError, bucket_names, due, due_anywhere};

/// At a start, clients wait at most so long for the count.
const FIRST_COUNT: Duration = Duration::from_secs(10);
/// States that one part of a sweep looks at.
const SWEPT: usize = 1_000;
/// A sweep that is wanted more often than leases are renewed looks for its lease no more often than this.
const TICK: Duration = Duration::from_secs(1);
/// How long an inventory that is asked for waits for the lease.
const SOON: Duration = Duration::from_secs(2);
/// HEAD requests of one look: what is beyond them is unknown until the next, which finds these in the ledger.
const HEADS: u64 = 100_000;

/// How often what is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Open uploads are counted so often.
    pub(crate) count: Duration,
    /// Between two sweeps.
    pub(crate) sweep: Duration,
    /// Between the parts of one.
    pub(crate) sweep_on: Duration,
    /// How long what is kept.
    pub(crate) ages: Ages,
    /// How long a lease holds without being renewed.
    pub(crate) term: Duration,
    /// Between two looks through all buckets.
    pub(crate) look: Duration,
    /// Between two pages of one.
    pub(crate) page: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            count: Duration::from_mins(1),
            sweep: Duration::from_mins(10),
            sweep_on: Duration::from_secs(10),
            ages: Ages::default(),
            term: Duration::from_secs(45),
            look: Duration::from_mins(15),
            page: Duration::from_millis(50),
        }
    }
}

/// What the jobs last did, for the admin API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Jobs {
    /// Open uploads were counted since the start. Before, uploads of earlier lives and other members are not known.
    pub uploads_counted: bool,
    /// This member sweeps for the group.
    pub sweeping: bool,
    /// When this member last ended a sweep, Unix milliseconds; none: never since its start.
    pub swept_ms: Option<i64>,
    /// States of ended uploads that this member removed since its start.
    pub states_removed: u64,
    /// States that the last sweep could not read. They are kept; the log names them.
    pub states_unreadable: u64,
    /// This member takes the inventory for the group.
    pub inventory: bool,
    /// Why a job failed last; none once it works again.
    pub error: Option<String>,
}

/// The jobs of one gateway.
pub struct Scan {
    front: Arc<Front>,
    pace: Pace,
    jobs: Mutex<Jobs>,
    looked: Mutex<BTreeMap<String, inventory::Looked>>,
    /// Wakes the inventory: somebody wants to tell Central.
    asked: Notify,
    /// Until when the inventory is this member's to take.
    ours_until: watch::Sender<Option<Instant>>,
}

impl Scan {
    /// Jobs that are not started.
    pub fn new(front: Arc<Front>, uploads: &config::Uploads) -> Arc<Self> {
        let config::Uploads { sweep, repeatable, unknown, abort_after } = *uploads;
        let ages = Ages { done: repeatable, gone: unknown, open: abort_after, ..Ages::default() };
        Self::with(front, Pace { sweep, ages, ..Pace::default() })
    }

    pub(crate) fn with(front: Arc<Front>, pace: Pace) -> Arc<Self> {
        Arc::new(Self {
            front,
            pace,
            jobs: Mutex::default(),
            looked: Mutex::default(),
            asked: Notify::new(),
            ours_until: watch::Sender::new(None),
        })
    }

    /// What the jobs last did.
    pub fn jobs(&self) -> Jobs {
        self.lock().clone()
    }

    /// Counts open uploads before clients and Central are spoken to: until then, uploads begun under an older policy set
    /// by an earlier life or another member would be passed over. Where the storage does not answer in time, [`Scan::run`]
    /// tries again.
    pub async fn start(&self) {
        if tokio::time::timeout(FIRST_COUNT, self.count_uploads()).await.is_err() {
            tracing::warn!("open uploads are not counted yet: those of an earlier life are not shown");
        }
    }

    /// Runs the jobs until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let system = self.front.group.system();
        let mut sweep = Lease::new(system, "sweep", self.pace.term);
        let mut inventory = Lease::new(system, "inventory", self.pace.term);
        // None of them ends by itself.
        let jobs: [BoxFuture<'_, ()>; 4] = [
            Box::pin(self.count()),
            Box::pin(self.sweep(&mut sweep)),
            Box::pin(self.keep_inventory(&mut inventory)),
            Box::pin(self.look()),
        ];
        tokio::select! {
            _ = join_all(jobs) => {}
            () = stop.cancelled() => {}
        }
        tokio::join!(sweep.release(), inventory.release());
    }

    /// The inventory of the storage, where it is this member's to take: asked for by whoever can tell Central. One that
    /// is not asked for leaves it to other members.
    pub async fn inventory(&self) -> Option<Inventory> {
        self.asked.notify_one();
        let mut ours = self.ours_until.subscribe();
        let now = |until: &Option<Instant>| until.is_some_and(|until| Instant::now() < until);
        if tokio::time::timeout(SOON, ours.wait_for(now)).await.is_err() {
            return None;
        }
        let looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match inventory::take(&self.front, self.front.group.system().storage_id(), &looked).await {
            Ok(inventory) => Some(inventory),
            Err(error) => {
                self.failed("the inventory cannot be taken", &error);
                None
            }
        }
    }

    /// Holds the lease of the inventory while somebody asks for it.
    async fn keep_inventory(&self, lease: &mut Lease) {
        loop {
            if tokio::time::timeout(self.pace.term, self.asked.notified()).await.is_err() {
                if lease.is_held() {
                    lease.release().await;
                }
                self.ours_until.send_replace(None);
                self.lock().inventory = false;
                continue;
            }
            let begun = Instant::now();
            let held = match lease.hold().await {
                Ok(held) => held,
                Err(error) => {
                    self.failed("the lease of the inventory cannot be had", &error);
                    lease.is_held()
                }
            };
            self.lock().inventory = held;
            self.ours_until.send_replace(held.then(|| begun + self.pace.term / 2));
        }
    }

    /// Looks through the buckets, again and again, while the inventory is this member's.
    async fn look(&self) {
        let mut ours = self.ours_until.subscribe();
        loop {
            // The sender lives in `self`.
            let _ = ours.wait_for(|until| until.is_some_and(|until| Instant::now() < until)).await;
            self.look_through_all().await;
            let again = tokio::time::sleep(self.pace.look);
            tokio::pin!(again);
            tokio::select! {
                () = &mut again => {}
                // What another member has found meanwhile is not known here.
                _ = ours.wait_for(Option::is_none) => {}
            }
        }
    }

    async fn look_through_all(&self) {
        let document = self.front.group.document();
        let names = bucket_names(&self.front.upstreams, &document, self.front.group.system().bucket()).await;
        let names = match names {
            Ok(names) => names,
            Err(error) => return self.failed("buckets cannot be listed", &error),
        };
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| names.contains(name));
        let mut heads = HEADS;
        for name in names {
            let mut tally = Tally::default();
            let due = self.front.may_be_due(&self.front.group.document(), &name);
            let done = loop {
                if self.ours_until.borrow().is_none() {
                    return;
                }
                if let Err(error) = self.front.look_through(&name, &mut tally, heads).await {
                    self.failed("a bucket cannot be looked through", &error.cause().unwrap_or_default());
                    break false;
                }
                if tally.after.is_none() {
                    break true;
                }
                tokio::time::sleep(self.pace.page).await;
            };
            heads = heads.saturating_sub(tally.heads);
            if !done {
                continue;
            }
            let ledger = if due {
                match self.front.ledger.bucket_counts(&name).await {
                    Ok(counts) => Some(counts),
                    Err(error) => return self.failed("the ledger cannot be read", &error),
                }
            } else {
                None
            };
            let looked = inventory::Looked::new(&tally, ledger);
            self.looked.lock().unwrap_or_else(PoisonError::into_inner).insert(name, looked);
        }
    }

    async fn count(&self) {
        loop {
            let counted = self.lock().uploads_counted;
            tokio::time::sleep(if counted { self.pace.count } else { self.pace.count / 12 }).await;
            self.count_uploads().await;
        }
    }

    async fn count_uploads(&self) {
        let policies = &self.front.policies;
        policies.look_at_uploads();
        match self.front.open_uploads().await {
            Ok(open) => {
                policies.replace_uploads(open);
                self.lock().uploads_counted = true;
            }
            Err(error) => self.failed("open uploads cannot be counted", &error),
        }
    }

    async fn sweep(&self, lease: &mut Lease) {
        let (mut after, mut unreadable) = (None, 0);
        let mut due = Instant::now() + self.pace.sweep / 10;
        loop {
            tokio::time::sleep((self.pace.term / 3).min(self.pace.sweep.max(TICK))).await;
            let held = match lease.hold().await {
                Ok(held) => held,
                Err(error) => {
                    self.failed("the lease of the sweep cannot be had", &error);
                    false
                }
            };
            self.lock().sweeping = held;
            if !held || Instant::now() < due {
                continue;
            }
            match self.front.sweep_uploads(after.take(), SWEPT, self.pace.ages, &|| lease.is_held()).await {
                Ok(swept) => {
                    unreadable += swept.unreadable;
                    after = swept.after;
                    let mut jobs = self.lock();
                    jobs.states_removed += swept.removed;
                    jobs.error = None;
                    if after.is_none() {
                        jobs.swept_ms = Some(now_ms());
                        jobs.states_unreadable = std::mem::take(&mut unreadable);
                    }
                    drop(jobs);
                    if swept.removed > 0 {
                        tracing::info!(removed = swept.removed, "state of ended uploads is removed");
                    }
                    due = Instant::now() + if after.is_some() { self.pace.sweep_on } else { self.pace.sweep };
                }
                Err(error) => {
                    self.failed("state of ended uploads cannot be swept", &error);
                    due = Instant::now() + self.pace.sweep_on;
                }
            }
        }
    }

    fn failed(&self, what: &'static str, error: &dyn std::fmt::Display) {
        let text = format!("{what}: {error}");
        let mut jobs = self.lock();
        if jobs.error.is_none() {
            tracing::warn!(%error, "{what}; it is tried again");
        }
        jobs.error = Some(text);
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
