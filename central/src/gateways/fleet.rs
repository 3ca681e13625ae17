//! What this replica knows of living gateways: the open streams, and news of them that is not yet in the database.
//!
//! In memory only. What is lost when the process dies: who was seen in the last second, and acks of the last tenth of
//! one, which gateways say again when they reconnect.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ids::{Epoch, GatewayId, Lineage};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use proto::watch::{Directives, OpenUploads};
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Why Central ends a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A newer stream of the same gateway.
    Superseded,
    /// An administrator suspended the gateway.
    Suspended,
    /// An administrator retired the gateway.
    Retired,
    /// Its certificate was revoked by a new enrolment.
    Revoked,
    /// This replica stops; come back after so many milliseconds.
    GoingAway(u64),
}

/// How far one gateway has come with the policy set, in numbers of one lineage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// The history of the numbers.
    pub lineage: Lineage,
    /// The bytes arrived.
    pub received: u64,
    /// New requests are decided by it.
    pub applied: u64,
    /// No write decided under an older one is still going on.
    pub effective: u64,
}

impl Reached {
    /// The further of both, in each respect; a new lineage counts from what is told.
    fn merge(self, newer: Self) -> Self {
        if self.lineage != newer.lineage {
            return newer;
        }
        Self {
            lineage: newer.lineage,
            received: self.received.max(newer.received),
            applied: self.applied.max(newer.applied),
            effective: self.effective.max(newer.effective),
        }
    }
}

/// News of one gateway in one life.
#[derive(Debug, Clone)]
pub struct News {
    /// When it was last heard.
    pub seen: Instant,
    /// Acks since the last flush, by the stream on which they came: those of one that is no longer the gateway's, as after
    /// a change of its labels, are not what it has reached.
    pub reached: HashMap<Uuid, Reached>,
    /// As it last said.
    pub uploads: Option<OpenUploads>,
    /// Its clock less ours, where it said the time.
    pub skew_ms: Option<i64>,
    /// The stream that ended, where one did.
    pub closed: Option<Uuid>,
}

struct Live {
    stream: Uuid,
    epoch: Epoch,
    serial: Vec<u8>,
    end: watch::Sender<Option<Ended>>,
    /// The database knows it.
    settled: bool,
}

/// An open stream. Dropped, it is no longer open.
pub struct Attached<'a> {
    fleet: &'a Fleet,
    gateway: GatewayId,
    /// Fresh for each stream.
    pub stream: Uuid,
    epoch: Epoch,
    /// Changes once, when the stream must end.
    pub end: watch::Receiver<Option<Ended>>,
}

/// Open streams and unflushed news of one replica.
pub struct Fleet {
    streams: Mutex<HashMap<GatewayId, Vec<Live>>>,
    news: Mutex<HashMap<(GatewayId, Epoch), News>>,
    /// Acks are waiting: flush soon.
    pub(crate) urgent: Notify,
    /// The state of a gateway changed: read it now.
    pub(crate) changed: Notify,
    refused: Mutex<Refused>,
    /// Streams' tasks, joined at the end.
    pub(crate) tasks: TaskTracker,
    directives: Directives,
    open: AtomicU64,
    /// Seconds from the making of a revision until it was effective, gateway by gateway.
    pub(crate) convergence: Histogram,
    /// Bytes of policy sets that were pushed: nothing where a gateway came back with what it has.
    pub(crate) pushed_bytes: Counter,
}

/// Who may not call, as last read. Every use case that writes looks in the database as well.
#[derive(Default)]
pub(crate) struct Refused {
    pub(crate) suspended: HashSet<GatewayId>,
    pub(crate) retired: HashSet<GatewayId>,
    pub(crate) serials: HashSet<Vec<u8>>,
}

impl Fleet {
    pub(crate) fn new(config: &crate::config::Gateways) -> Self {
        let ms = |length: std::time::Duration| u64::try_from(length.as_millis()).ok();
        Self {
            streams: Mutex::default(),
            news: Mutex::default(),
            urgent: Notify::new(),
            changed: Notify::new(),
            refused: Mutex::default(),
            tasks: TaskTracker::new(),
            directives: Directives {
                report_interval_ms: ms(config.report_interval),
                heartbeat_interval_ms: ms(config.heartbeat_interval),
                ..Directives::default()
            },
            open: AtomicU64::new(0),
            convergence: Histogram::new([0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0]),
            pushed_bytes: Counter::default(),
        }
    }

    /// What a gateway is told when it comes.
    pub fn directives(&self) -> Directives {
        self.directives
    }

    /// Between two heartbeats, as gateways are told.
    pub fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.directives.heartbeat_interval_ms.unwrap_or(0))
    }

    /// Streams that are open at this replica.
    pub fn open_streams(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Enters a stream, before the database hears of it, so that an order that comes in between ends it.
    pub fn attach(&self, gateway: GatewayId, epoch: Epoch, serial: Vec<u8>) -> Attached<'_> {
        let (sender, end) = watch::channel(None);
        let stream = Uuid::new_v4();
        let mut streams = self.streams.lock().expect("no holder of the lock panics");
        streams.entry(gateway).or_default().push(Live { stream, epoch, serial, end: sender, settled: false });
        self.open.fetch_add(1, Ordering::Relaxed);
        Attached { fleet: self, gateway, stream, epoch, end }
    }

    /// Ends every stream of a gateway.
    pub fn end(&self, gateway: GatewayId, why: Ended) {
        let streams = self.streams.lock().expect("no holder of the lock panics");
        for live in streams.get(&gateway).into_iter().flatten() {
            live.end.send_replace(Some(why));
        }
    }

    /// Ends every stream, each with a random hint within `spread_ms`.
    pub fn go_away(&self, spread_ms: u64) {
        let streams = self.streams.lock().expect("no holder of the lock panics");
        for live in streams.values().flatten() {
            live.end.send_replace(Some(Ended::GoingAway(below(spread_ms))));
        }
    }

    /// Streams here that the database knows, with their gateways.
    pub(crate) fn settled(&self) -> HashMap<Uuid, GatewayId> {
        let streams = self.streams.lock().expect("no holder of the lock panics");
        let of = |(gateway, live): (&GatewayId, &Vec<Live>)| {
            let gateway = *gateway;
            live.iter().filter(|live| live.settled).map(move |live| (live.stream, gateway)).collect::<Vec<_>>()
        };
        streams.iter().flat_map(of).collect()
    }

    /// It took so long from the making of a revision until it was effective at a gateway.
    pub(crate) fn converged(&self, took: time::Duration) {
        self.convergence.observe(took.as_seconds_f64().max(0.0));
    }

    /// Ends streams that the database says must end: those of refused gateways and revoked certificates, and those of
    /// `before` (what [`settled`](Self::settled) gave before the database was read) that are not the `newest` any more.
    pub(crate) fn reconcile(
        &self,
        refused: Refused,
        before: &HashMap<Uuid, GatewayId>,
        newest: &HashMap<GatewayId, Uuid>,
    ) {
        let streams = self.streams.lock().expect("no holder of the lock panics");
        for (gateway, live) in streams.iter() {
            for stream in live {
                let why = if refused.retired.contains(gateway) {
                    Ended::Retired
                } else if refused.suspended.contains(gateway) {
                    Ended::Suspended
                } else if refused.serials.contains(&stream.serial) {
                    Ended::Revoked
                } else if before.contains_key(&stream.stream)
                    && newest.get(gateway).is_some_and(|newest| *newest != stream.stream)
                {
                    Ended::Superseded
                } else {
                    continue;
                };
                stream.end.send_replace(Some(why));
            }
        }
        drop(streams);
        *self.refused.lock().expect("no holder of the lock panics") = refused;
    }

    /// Why this bearer may not call, as far as was last read.
    pub fn refuses(&self, gateway: GatewayId, serial: &[u8]) -> Option<Ended> {
        let refused = self.refused.lock().expect("no holder of the lock panics");
        if refused.retired.contains(&gateway) {
            Some(Ended::Retired)
        } else if refused.suspended.contains(&gateway) {
            Some(Ended::Suspended)
        } else {
            refused.serials.contains(serial).then_some(Ended::Revoked)
        }
    }

    fn tell(&self, key: (GatewayId, Epoch), change: impl FnOnce(&mut News)) {
        let mut news = self.news.lock().expect("no holder of the lock panics");
        let seen = Instant::now();
        let entry = news.entry(key).or_insert_with(|| News {
            seen,
            reached: HashMap::new(),
            uploads: None,
            skew_ms: None,
            closed: None,
        });
        entry.seen = seen;
        change(entry);
    }

    /// Takes what is not flushed.
    pub(crate) fn take_news(&self) -> HashMap<(GatewayId, Epoch), News> {
        std::mem::take(&mut *self.news.lock().expect("no holder of the lock panics"))
    }

    /// Puts back what could not be flushed; what came since is newer.
    pub(crate) fn put_back(&self, old: HashMap<(GatewayId, Epoch), News>) {
        let mut news = self.news.lock().expect("no holder of the lock panics");
        for (key, old) in old {
            match news.entry(key) {
                Entry::Vacant(place) => {
                    place.insert(old);
                }
                Entry::Occupied(new) => {
                    let new = new.into_mut();
                    for (stream, old) in old.reached {
                        new.reached.entry(stream).and_modify(|new| *new = old.merge(*new)).or_insert(old);
                    }
                    new.uploads = new.uploads.or(old.uploads);
                    new.skew_ms = new.skew_ms.or(old.skew_ms);
                    new.closed = new.closed.or(old.closed);
                }
            }
        }
    }
}

impl Attached<'_> {
    /// The database knows the stream. Older ones of the gateway end; while it is in quarantine, only those of the same
    /// life do, so that both lives are served.
    pub fn settle(&self, quarantined: bool) {
        let mut streams = self.fleet.streams.lock().expect("no holder of the lock panics");
        for live in streams.get_mut(&self.gateway).into_iter().flatten() {
            if live.stream == self.stream {
                live.settled = true;
            } else if live.settled && (!quarantined || live.epoch == self.epoch) {
                live.end.send_replace(Some(Ended::Superseded));
            }
        }
    }

    /// It was heard.
    pub fn seen(&self, uploads: Option<OpenUploads>, skew_ms: Option<i64>) {
        self.fleet.tell((self.gateway, self.epoch), |news| {
            news.uploads = uploads.or(news.uploads);
            news.skew_ms = skew_ms.or(news.skew_ms);
        });
    }

    /// It came further with the policy set.
    pub fn reached(&self, reached: Reached, uploads: OpenUploads) {
        self.fleet.tell((self.gateway, self.epoch), |news| {
            news.reached.entry(self.stream).and_modify(|before| *before = before.merge(reached)).or_insert(reached);
            news.uploads = Some(uploads);
        });
        self.fleet.urgent.notify_one();
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        let mut streams = self.fleet.streams.lock().expect("no holder of the lock panics");
        if let Some(live) = streams.get_mut(&self.gateway) {
            live.retain(|live| live.stream != self.stream);
            if live.is_empty() {
                streams.remove(&self.gateway);
            }
        }
        drop(streams);
        self.fleet.open.fetch_sub(1, Ordering::Relaxed);
        self.fleet.tell((self.gateway, self.epoch), |news| news.closed = Some(self.stream));
        self.fleet.urgent.notify_one();
    }
}

/// A random number below `bound`; 0 where the bound is 0.
pub(crate) fn below(bound: u64) -> u64 {
    let mut random = [0; 8];
    // A failed draw costs jitter, nothing else.
    let _ = aws_lc_rs::rand::fill(&mut random);
    u64::from_le_bytes(random).checked_rem(bound).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet() -> Fleet {
        Fleet::new(&crate::config::Gateways {
            report_interval: std::time::Duration::from_secs(1),
            heartbeat_interval: std::time::Duration::from_secs(1),
            certificate_lifetime: std::time::Duration::from_mins(1),
            renewal_window: std::time::Duration::from_mins(1),
        })
    }

    #[test]
    fn a_newer_stream_ends_the_older_one() {
        let (fleet, gateway) = (fleet(), GatewayId::random());
        let old = fleet.attach(gateway, Epoch::random(), vec![1]);
        old.settle(false);
        let new = fleet.attach(gateway, Epoch::random(), vec![1]);
        assert_eq!(*old.end.borrow(), None, "the database does not know the newer one yet");
        new.settle(false);
        assert_eq!(*old.end.borrow(), Some(Ended::Superseded));
        assert_eq!(*new.end.borrow(), None);
        drop(old);
        assert_eq!(fleet.open_streams(), 1);
        fleet.end(gateway, Ended::Suspended);
        assert_eq!(*new.end.borrow(), Some(Ended::Suspended));
    }

    #[test]
    fn both_lives_of_a_gateway_in_quarantine_are_served() {
        let (fleet, gateway) = (fleet(), GatewayId::random());
        let one = fleet.attach(gateway, Epoch::random(), vec![1]);
        one.settle(true);
        let other = fleet.attach(gateway, Epoch::random(), vec![1]);
        other.settle(true);
        assert_eq!((*one.end.borrow(), *other.end.borrow()), (None, None));
    }

    #[test]
    fn acks_of_one_lineage_only_go_forward_and_a_new_lineage_begins_anew() {
        let (fleet, gateway, lineage) = (fleet(), GatewayId::random(), Lineage::random());
        let stream = fleet.attach(gateway, Epoch::random(), vec![1]);
        let reached = |lineage, received, applied, effective| Reached { lineage, received, applied, effective };
        stream.reached(reached(lineage, 5, 5, 4), OpenUploads::default());
        stream.reached(reached(lineage, 4, 4, 4), OpenUploads::default());
        let told = |news: &HashMap<(GatewayId, Epoch), News>| news.values().next().expect("news").reached.clone();
        let news = fleet.take_news();
        assert_eq!(told(&news), HashMap::from([(stream.stream, reached(lineage, 5, 5, 4))]));
        let other = Lineage::random();
        stream.reached(reached(other, 1, 1, 0), OpenUploads::default());
        fleet.put_back(news);
        assert_eq!(told(&fleet.take_news()), HashMap::from([(stream.stream, reached(other, 1, 1, 0))]));
    }

    #[test]
    fn acks_of_two_streams_of_one_life_are_kept_apart() {
        let (fleet, gateway, lineage) = (fleet(), GatewayId::random(), Lineage::random());
        let epoch = Epoch::random();
        let reached = |number| Reached { lineage, received: number, applied: number, effective: number };
        let old = fleet.attach(gateway, epoch, vec![1]);
        old.reached(reached(5), OpenUploads::default());
        let failed = fleet.take_news();
        let new = fleet.attach(gateway, epoch, vec![1]);
        new.reached(reached(3), OpenUploads::default());
        old.reached(reached(4), OpenUploads::default());
        fleet.put_back(failed);
        let news = fleet.take_news();
        let expected = HashMap::from([(old.stream, reached(5)), (new.stream, reached(3))]);
        assert_eq!(news.values().next().expect("news").reached, expected);
    }

    #[test]
    fn a_stream_that_another_replica_superseded_ends() {
        let (fleet, gateway) = (fleet(), GatewayId::random());
        let stream = fleet.attach(gateway, Epoch::random(), vec![1]);
        stream.settle(false);
        let before = fleet.settled();
        let late = fleet.attach(gateway, Epoch::random(), vec![1]);
        fleet.reconcile(Refused::default(), &before, &HashMap::from([(gateway, stream.stream)]));
        assert_eq!(*stream.end.borrow(), None);
        fleet.reconcile(Refused::default(), &before, &HashMap::from([(gateway, Uuid::new_v4())]));
        assert_eq!(*stream.end.borrow(), Some(Ended::Superseded));
        assert_eq!(*late.end.borrow(), None, "it came after the database was read");
    }

    #[test]
    fn a_revoked_certificate_ends_its_stream_and_is_refused() {
        let (fleet, gateway) = (fleet(), GatewayId::random());
        let stream = fleet.attach(gateway, Epoch::random(), vec![7]);
        let refused = Refused { serials: [vec![7]].into(), ..Refused::default() };
        fleet.reconcile(refused, &HashMap::new(), &HashMap::new());
        assert_eq!(*stream.end.borrow(), Some(Ended::Revoked));
        assert_eq!(fleet.refuses(gateway, &[7]), Some(Ended::Revoked));
        assert_eq!(fleet.refuses(gateway, &[8]), None);
    }
}
