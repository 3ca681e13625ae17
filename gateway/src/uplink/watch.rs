//! The policy stream: holds what Central's head is, and says how far this gateway has come with it.
//!
//! ```text
//!  hello ──▶ assignment, directives ──▶ current | bundle ──apply──▶ received ▸ applied ▸ effective
//!                                                  └──────────────▶ refusal; the set before stays in force
//! ```
//! Only the newest word counts: an ack that could not be sent is replaced, never queued. A stream that ends is begun
//! again; what is held is said in the hello, so that nothing is sent twice.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use proto::watch::{Ack, Assignment, Directives, Heartbeat, Hello, PolicyBundle, Progress, WatchDown, WatchUp};
use proto::wire;
use proto::wire::policies_client::PoliciesClient;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::backoff::Backoff;
use super::identity::Identity;
use super::line::{Failure, InUse};
use super::{Refused, Shared, enrol, off_thread};
use crate::snapshot::{Bundle, Refusal, Snapshot};
use crate::state::{StateError, now_ms};

/// Time for Central's first word.
const FIRST: Duration = Duration::from_secs(20);
/// Time between two heartbeats until Central says otherwise.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Wait after a refusal that an administrator has to lift.
const SLOW: Duration = Duration::from_mins(1);
/// A bundle that the local disk refused is tried again after this.
const RETRY_LOCAL: Duration = Duration::from_secs(10);
/// The note of the last epoch that Central is known to know.
const CONFIRMED: &str = "confirmed_epoch";

/// Holds the stream until `stop`.
pub(super) async fn run(shared: &Shared, stop: CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
    loop {
        let mut hint = None;
        let mut line = tokio::select! {
            line = shared.line.in_use() => line,
            () = stop.cancelled() => break,
        };
        let ended = tokio::select! {
            ended = stream(shared, &mut line, &mut backoff, &mut hint) => ended,
            () = stop.cancelled() => break,
        };
        shared.connected(false);
        let wait = match ended {
            // Another identity is in use.
            Ok(()) => continue,
            Err(failure) => {
                shared.trouble(&failure.code, &failure.message);
                let another = failure.is_identity_refused() && enrol::refused(shared, &line.identity);
                let wait = backoff.next(hint);
                if failure.is_slow() && !another { wait + SLOW } else { wait }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // Another identity is tried at once, also one that came into use since this stream began.
            _ = line.changes.changed() => {}
            () = stop.cancelled() => break,
        }
    }
    shared.connected(false);
}

/// One stream, from hello to its end. `Ok` where another identity came into use.
async fn stream(
    shared: &Shared,
    line: &mut InUse,
    backoff: &mut Backoff,
    hint: &mut Option<Duration>,
) -> Result<(), Failure> {
    let (up, outgoing) = mpsc::channel(4);
    let hello = hello(shared).await.map_err(|error| Failure::new("local", error.to_string()))?;
    up.send(WatchUp::Hello(hello).into()).await.expect("the channel has room for its first word");
    let mut client = PoliciesClient::new(line.channel.clone()).max_decoding_message_size(proto::limits::MESSAGE_BYTES);
    let first = async {
        let mut down = client.watch(ReceiverStream::new(outgoing)).await?.into_inner();
        let first = down.message().await?;
        Ok::<_, tonic::Status>((down, first))
    };
    let (down, first) = tokio::time::timeout(FIRST, first)
        .await
        .map_err(|_| Failure::new("timeout", format!("no word from Central within {} s", FIRST.as_secs())))??;
    let first = first.ok_or_else(|| Failure::new("unreachable", "Central ended the stream"))?;
    confirm(shared, &line.identity).await?;
    backoff.reset();
    shared.connected(true);
    let mut watching = Watching::new(shared, up, hint);
    watching.hear(first).await?;
    watching.run(down, &mut line.changes).await
}

/// Who speaks, and what is held.
async fn hello(shared: &Shared) -> Result<Hello, StateError> {
    let counters = Arc::clone(&shared.counters);
    let confirmed = off_thread(move || counters.note(CONFIRMED)).await?;
    Ok(Hello {
        epoch: shared.epoch,
        predecessor: confirmed.and_then(|text| text.parse().ok()).filter(|epoch| *epoch != shared.epoch),
        version: shared.options().version.clone(),
        capabilities: Vec::new(),
        held: shared.policies.current().held(),
        clock_ms: now_ms(),
        storage_id: (shared.hooks.storage_id)(),
    })
}

/// Central knows this epoch and this identity. Both are on the disk before anything more is said: the next life names this
/// epoch as the one before.
async fn confirm(shared: &Shared, identity: &Identity) -> Result<(), Failure> {
    enrol::served(shared, identity);
    let counters = Arc::clone(&shared.counters);
    let epoch = shared.epoch.to_string();
    let noted = off_thread(move || match counters.note(CONFIRMED)? {
        Some(known) if known == epoch => Ok(()),
        _ => counters.set_note(CONFIRMED, &epoch),
    });
    noted.await.map_err(|error: StateError| Failure::new("local", error.to_string()))
}

type Applying = BoxFuture<'static, (Bundle, Result<Arc<Snapshot>, Refusal>)>;
type Waiting<'a> = Pin<Box<dyn Future<Output = bool> + Send + 'a>>;

/// An open stream.
struct Watching<'a> {
    shared: &'a Shared,
    up: mpsc::Sender<wire::WatchUp>,
    hint: &'a mut Option<Duration>,
    heartbeat: tokio::time::Interval,
    applying: Option<Applying>,
    /// Becomes true when the set in force is effective.
    waiting: Option<Waiting<'a>>,
    /// The newest progress that was not said yet.
    ack: Option<(proto::watch::Held, Progress)>,
    /// The newest refusal that was not said yet.
    refusal: Option<proto::watch::Refusal>,
    /// A bundle that the local disk refused.
    again: Option<(Instant, Bundle)>,
}

impl<'a> Watching<'a> {
    fn new(shared: &'a Shared, up: mpsc::Sender<wire::WatchUp>, hint: &'a mut Option<Duration>) -> Self {
        Self {
            shared,
            up,
            hint,
            heartbeat: heartbeat(HEARTBEAT),
            applying: None,
            waiting: None,
            ack: None,
            refusal: None,
            again: None,
        }
    }

    async fn run(
        &mut self,
        mut down: Streaming<wire::WatchDown>,
        changes: &mut tokio::sync::watch::Receiver<u64>,
    ) -> Result<(), Failure> {
        loop {
            let again = self.again.as_ref().map(|(at, _)| *at);
            tokio::select! {
                // One bundle at a time: Central keeps only the latest for us.
                word = down.message(), if self.applying.is_none() => {
                    let word = word?.ok_or_else(|| Failure::new("unreachable", "Central ended the stream"))?;
                    self.hear(word).await?;
                }
                (bundle, result) = maybe(&mut self.applying) => {
                    self.applying = None;
                    self.applied(bundle, result);
                }
                done = maybe(&mut self.waiting) => {
                    self.waiting = None;
                    if done {
                        self.ack = self.held().map(|held| (held, Progress::Effective));
                    } else {
                        self.reconcile();
                    }
                }
                room = self.up.clone().reserve_owned(), if self.ack.is_some() || self.refusal.is_some() => {
                    let room = room.map_err(|_| Failure::new("unreachable", "Central ended the stream"))?;
                    let word = self.next_word();
                    if let Some(word) = word {
                        room.send(word.into());
                    }
                }
                _ = self.heartbeat.tick() => {
                    let beat = Heartbeat { clock_ms: now_ms(), uploads: self.shared.policies.uploads_from_before().into() };
                    // Where there is no room, other words are on their way, and each says that we live.
                    let _ = self.up.try_send(WatchUp::Heartbeat(beat).into());
                }
                () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() && self.applying.is_none() => {
                    if let Some((_, bundle)) = self.again.take() {
                        self.apply(bundle);
                    }
                }
                _ = changes.changed() => return Ok(()),
            }
        }
    }

    /// Takes one word of Central.
    async fn hear(&mut self, word: wire::WatchDown) -> Result<(), Failure> {
        let word = WatchDown::try_from(word).map_err(|error| Failure::new("protocol", error.to_string()))?;
        match word {
            WatchDown::Assignment(assignment) => self.assigned(assignment).await,
            WatchDown::Directives(directives) => {
                self.directed(&directives);
                Ok(())
            }
            WatchDown::Current(held) => {
                if self.held() == Some(held) {
                    self.shared.noted().refusal = None;
                    self.again = None;
                    self.reconcile();
                }
                Ok(())
            }
            WatchDown::Bundle(bundle) => {
                self.bundle(bundle);
                Ok(())
            }
            WatchDown::Unknown => Ok(()),
        }
    }

    async fn assigned(&mut self, assignment: Assignment) -> Result<(), Failure> {
        self.shared.noted().name = Some(assignment.name);
        let policies = self.shared.policies.clone();
        off_thread(move || policies.assign(assignment.labels))
            .await
            .map_err(|refusal| Failure::new("local", refusal.to_string()))?;
        Ok(())
    }

    fn directed(&mut self, directives: &Directives) {
        if let Some(interval) = directives.report_interval_ms {
            self.shared.set_report_interval(Duration::from_millis(interval));
        }
        if let Some(interval) = directives.heartbeat_interval_ms {
            self.heartbeat = heartbeat(Duration::from_millis(interval));
        }
        if let Some(wait) = directives.reconnect_after_ms {
            *self.hint = Some(Duration::from_millis(wait));
        }
        if directives.flush_keys {
            tracing::info!("Central asks to drop every cached key");
            (self.shared.hooks.flush_keys)();
        }
        if directives.full_report {
            self.shared.want_full_report();
        }
    }

    fn bundle(&mut self, bundle: PolicyBundle) {
        let bundle = Bundle {
            revision: bundle.held.revision,
            digest: policy::Digest(bundle.held.digest),
            format: bundle.format,
            document: bundle.document,
        };
        self.again = None;
        if policy::Digest::of(&bundle.document) == bundle.digest {
            self.ack = Some((announced(&bundle), Progress::Received));
        }
        self.apply(bundle);
    }

    fn apply(&mut self, bundle: Bundle) {
        let policies = self.shared.policies.clone();
        self.applying = Some(Box::pin(off_thread(move || {
            let result = policies.apply(&bundle);
            (bundle, result)
        })));
    }

    fn applied(&mut self, bundle: Bundle, result: Result<Arc<Snapshot>, Refusal>) {
        match result {
            Ok(snapshot) => {
                tracing::info!(
                    revision = bundle.revision.number,
                    policies = snapshot.set.items().len(),
                    "policy set is applied"
                );
                self.shared.noted().refusal = None;
                self.refusal = None;
                self.reconcile();
            }
            Err(refusal) => {
                tracing::error!(
                    revision = bundle.revision.number,
                    code = refusal.code(),
                    item = refusal.item(),
                    reason = refusal.reason(),
                    "policy set is refused; the last good one stays in force"
                );
                self.shared.noted().refusal = Some(Refused {
                    revision: bundle.revision.number,
                    code: refusal.code().to_owned(),
                    item: refusal.item().to_owned(),
                    reason: refusal.reason(),
                });
                // Never counted as progress, also where `received` waits to be said.
                self.ack = None;
                self.refusal = Some(proto::watch::Refusal {
                    refused: announced(&bundle),
                    kept: self.held(),
                    code: refusal.code().to_owned(),
                    item: refusal.item().to_owned(),
                    reason: refusal.reason(),
                });
                if matches!(refusal, Refusal::Storage(_)) {
                    self.again = Some((Instant::now() + RETRY_LOCAL, bundle));
                }
            }
        }
    }

    /// Says how far the set in force has come, and waits for what is missing.
    fn reconcile(&mut self) {
        let snapshot = self.shared.policies.current();
        let Some(held) = snapshot.held() else { return };
        self.ack = Some((held, Progress::Applied));
        let policies = self.shared.policies.clone();
        self.waiting = Some(Box::pin(async move { policies.effective(&snapshot).await }));
    }

    fn next_word(&mut self) -> Option<WatchUp> {
        if let Some(refusal) = self.refusal.take() {
            return Some(WatchUp::Refusal(refusal));
        }
        let (held, progress) = self.ack.take()?;
        let uploads = self.shared.policies.uploads_from_before().into();
        Some(WatchUp::Ack(Ack { held, progress, uploads }))
    }

    fn held(&self) -> Option<proto::watch::Held> {
        self.shared.policies.current().held()
    }
}

fn announced(bundle: &Bundle) -> proto::watch::Held {
    proto::watch::Held { revision: bundle.revision, digest: bundle.digest.0 }
}

fn heartbeat(every: Duration) -> tokio::time::Interval {
    let every = every.max(Duration::from_millis(10));
    let mut interval = tokio::time::interval_at(Instant::now() + every, every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// The future where there is one; else never.
async fn maybe<F: Future + Unpin>(future: &mut Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
