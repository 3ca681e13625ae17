//! `sealgate.control.v1.Policies`: the stream on which a gateway holds the policy set.
//!
//! ```text
//! Hello ──welcome──▶ Assignment, Directives, then: Current (it has the head) | Bundle | nothing (refused, or ahead)
//! feed ──latest value──▶ Bundle            one slot per stream, never a queue
//! Ack, Heartbeat ──▶ Fleet (flushed in aggregate)      Refusal ──▶ the database, once per pushed bundle
//! ```

use std::sync::Arc;
use std::time::Duration;

use ids::Epoch;
use prost::Message as _;
use proto::watch::{Ack, Assignment, Directives, Held, Hello, Progress, Refusal, WatchDown, WatchUp};
use proto::wire;
use proto::wire::policies_server::Policies;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::enrolment;
use crate::error::{Error, Kind};
use crate::feed::{Feed, Head};
use crate::gateways::{self, Attached, Ended, Fleet, Reached};
use crate::pki::{Pki, Presented};
use crate::rpc;

/// A stream says hello within this time.
const HELLO: Duration = Duration::from_secs(10);
/// Messages that a gateway may send within a minute.
const MESSAGES_PER_MINUTE: u32 = 1_200;

/// The service.
pub struct Service {
    db: PgPool,
    pki: Arc<Pki>,
    feed: Arc<Feed>,
    fleet: Arc<Fleet>,
}

impl Service {
    /// Over the shared parts.
    pub fn new(db: PgPool, pki: Arc<Pki>, feed: Arc<Feed>, fleet: Arc<Fleet>) -> Self {
        Self { db, pki, feed, fleet }
    }
}

type Down = mpsc::Sender<Result<wire::WatchDown, Status>>;

#[tonic::async_trait]
impl Policies for Service {
    type WatchStream = ReceiverStream<Result<wire::WatchDown, Status>>;

    async fn watch(&self, request: Request<Streaming<wire::WatchUp>>) -> Result<Response<Self::WatchStream>, Status> {
        let presented = rpc::active(request.extensions(), &self.pki, &self.fleet)?;
        let address = rpc::peer(request.extensions())?.address.to_string();
        let (down, stream) = mpsc::channel(1);
        let talk = Talk { db: self.db.clone(), fleet: self.fleet.clone(), presented, address };
        let head = self.feed.subscribe();
        let up = request.into_inner();
        self.fleet.tasks.spawn(async move {
            if let Err(status) = talk.run(up, head, &down).await {
                // The gateway may be gone already.
                let _ = timeout(HELLO, down.send(Err(status))).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// One stream from hello to end.
struct Talk {
    db: PgPool,
    fleet: Arc<Fleet>,
    presented: Arc<Presented>,
    address: String,
}

/// What this stream has pushed and heard.
struct Position {
    epoch: Epoch,
    version: String,
    /// Pushed, or held by the gateway when it came; what it kept, once it refused what was pushed.
    given: Option<Held>,
    /// Pushed last.
    offered: Option<Held>,
    /// When the given bundle was made, where it was pushed here.
    made_at: Option<OffsetDateTime>,
    reached: Option<Reached>,
    /// The digest that the gateway refused; not pushed again.
    refused: Option<[u8; 32]>,
}

impl Talk {
    async fn run(
        &self,
        mut up: Streaming<wire::WatchUp>,
        mut head: watch::Receiver<Arc<Head>>,
        down: &Down,
    ) -> Result<(), Status> {
        let hello = hello(&mut up).await?;
        let first = head.borrow_and_update().clone();
        let gateway = self.presented.gateway;
        // Entered before the database hears of it, so that an order that comes in between ends the stream.
        let mut attached = self.fleet.attach(gateway, hello.epoch, self.presented.serial.clone());
        let welcome = gateways::welcome(&self.db, &self.presented, &hello, attached.stream, &self.address, &first.held)
            .await
            .map_err(rpc::status)?;
        attached.settle(welcome.quarantined);
        let mut position = Position {
            epoch: hello.epoch,
            version: hello.version.clone(),
            given: hello.held,
            offered: None,
            made_at: None,
            reached: None,
            refused: welcome.refused,
        };
        let greeting = [
            WatchDown::Assignment(Assignment { name: welcome.name.clone(), labels: welcome.labels.clone() }),
            WatchDown::Directives(self.fleet.directives()),
        ];
        for message in greeting {
            send(down, message.into()).await?;
        }
        let mut due = position.answer(&first, down).await?;
        let ends_at = Instant::now() + self.remaining();
        let (mut window, mut messages) = (Instant::now(), 0);
        loop {
            tokio::select! {
                biased;
                changed = attached.end.changed() => {
                    let why = attached.end.borrow_and_update().filter(|_| changed.is_ok());
                    return self.farewell(why, down).await;
                }
                () = sleep_until(ends_at) => return Err(rpc::status(enrolment::expired())),
                changed = head.changed() => {
                    if changed.is_err() {
                        return self.farewell(Some(Ended::GoingAway(1_000)), down).await;
                    }
                    due = true;
                }
                // The newest head at the moment when there is room, whatever came in between.
                place = down.reserve(), if due => {
                    let Ok(place) = place else { return Ok(()) };
                    due = false;
                    let newest = head.borrow_and_update().clone();
                    if position.takes(&newest) {
                        position.given = Some(newest.held);
                        position.offered = Some(newest.held);
                        position.made_at = newest.made_at;
                        self.fleet.pushed_bytes.inc_by(newest.bundle.encoded_len() as u64);
                        place.send(Ok(newest.bundle.clone()));
                    }
                }
                message = up.message() => {
                    let Some(message) = message? else { return Ok(()) };
                    if window.elapsed() > Duration::from_mins(1) {
                        (window, messages) = (Instant::now(), 0);
                    }
                    messages += 1;
                    if messages > MESSAGES_PER_MINUTE {
                        return Err(rpc::status(Error::new(Kind::TooMany, "Too many messages on one stream.")));
                    }
                    self.heard(message.try_into()?, &mut position, &attached).await?;
                }
            }
        }
    }

    async fn heard(&self, message: WatchUp, position: &mut Position, attached: &Attached<'_>) -> Result<(), Status> {
        match message {
            WatchUp::Hello(_) => Err(Status::invalid_argument("a stream says hello once")),
            WatchUp::Ack(ack) => {
                let before = position.reached.map_or(0, |before| before.effective);
                if let Some(reached) = position.reach(&ack) {
                    attached.reached(reached, ack.uploads);
                    if let Some(made_at) = position.made_at
                        && reached.effective > before
                        && position.given.is_some_and(|given| given.revision.number == reached.effective)
                    {
                        self.fleet.converged(OffsetDateTime::now_utc() - made_at);
                    }
                } else {
                    attached.seen(Some(ack.uploads), None);
                }
                Ok(())
            }
            WatchUp::Refusal(refusal) => {
                if position.refuse(&refusal) {
                    tracing::warn!(
                        gateway = %self.presented.gateway,
                        revision = refusal.refused.revision.number,
                        code = refusal.code,
                        "a gateway refuses a policy set"
                    );
                    let gateway = self.presented.gateway;
                    gateways::note_refusal(&self.db, gateway, position.epoch, &position.version, &refusal)
                        .await
                        .map_err(rpc::status)?;
                }
                attached.seen(None, None);
                Ok(())
            }
            WatchUp::Heartbeat(beat) => {
                let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
                let skew = i64::try_from(i128::from(beat.clock_ms) - now).ok();
                attached.seen(Some(beat.uploads), skew);
                Ok(())
            }
            WatchUp::Unknown => {
                attached.seen(None, None);
                Ok(())
            }
        }
    }

    /// How long the certificate is still valid.
    fn remaining(&self) -> Duration {
        (self.presented.not_after - OffsetDateTime::now_utc()).try_into().unwrap_or_default()
    }

    async fn farewell(&self, why: Option<Ended>, down: &Down) -> Result<(), Status> {
        let Some(why) = why else { return Ok(()) };
        if let Ended::GoingAway(ms) = why {
            let hint = Directives { reconnect_after_ms: Some(ms.max(1)), ..Directives::default() };
            send(down, WatchDown::Directives(hint).into()).await?;
        }
        Err(rpc::status(gateways::refusal(why)))
    }
}

impl Position {
    /// Answers a hello at once where nothing is to be pushed; true where a bundle is due.
    async fn answer(&mut self, head: &Head, down: &Down) -> Result<bool, Status> {
        if self.given == Some(head.held) {
            send(down, WatchDown::Current(head.held).into()).await?;
            return Ok(false);
        }
        Ok(self.takes(head))
    }

    /// Is this head to be pushed? Never a number that is not higher in the lineage that the gateway holds, also not where
    /// the gateway is ahead of Central.
    fn takes(&self, head: &Head) -> bool {
        let given = self.given.as_ref();
        let backwards = given.is_some_and(|given| {
            given.revision.lineage == head.held.revision.lineage && given.revision.number >= head.held.revision.number
        });
        !backwards && self.refused != Some(head.held.digest)
    }

    /// How far an ack brings the gateway; none where it speaks of a set that it was not given here.
    fn reach(&mut self, ack: &Ack) -> Option<Reached> {
        // What was refused for a reason that passed, a full disk, can be applied after all.
        if self.offered == Some(ack.held) && self.given != self.offered {
            self.given = self.offered;
            self.refused = None;
        }
        let given = self.given?;
        let (told, lineage) = (ack.held.revision, given.revision.lineage);
        if told.lineage != lineage || told.number > given.revision.number {
            return None;
        }
        let mut reached = self.reached.filter(|before| before.lineage == lineage).unwrap_or(Reached {
            lineage,
            received: 0,
            applied: 0,
            effective: 0,
        });
        reached.received = reached.received.max(told.number);
        if ack.progress >= Progress::Applied {
            reached.applied = reached.applied.max(told.number);
        }
        if ack.progress == Progress::Effective {
            reached.effective = reached.effective.max(told.number);
        }
        self.reached = Some(reached);
        Some(reached)
    }

    /// Takes a refusal of what was pushed last, once; anything else is passed over.
    fn refuse(&mut self, refusal: &Refusal) -> bool {
        if self.given != Some(refusal.refused) || self.refused == Some(refusal.refused.digest) {
            return false;
        }
        self.refused = Some(refusal.refused.digest);
        // What it holds is what it kept: a later head is pushed even if its number is the refused one's successor.
        self.given = refusal.kept;
        true
    }
}

async fn hello(up: &mut Streaming<wire::WatchUp>) -> Result<Hello, Status> {
    let first = timeout(HELLO, up.message()).await.map_err(|_| Status::deadline_exceeded("no hello in time"))??;
    match first.map(WatchUp::try_from).transpose()? {
        Some(WatchUp::Hello(hello)) => Ok(hello),
        _ => Err(Status::invalid_argument("a stream begins with a hello")),
    }
}

/// Sends; a gateway that does not take a message within the time of a hello is cut off.
async fn send(down: &Down, message: wire::WatchDown) -> Result<(), Status> {
    match timeout(HELLO, down.send(Ok(message))).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Status::cancelled("the gateway does not listen")),
    }
}
