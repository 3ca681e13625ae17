//! The fleet in one scrape: consolidated counters from the totals, gauges of gateways, what became of reports.
//!
//! A scrape reads memory; a job refreshes it from the database. Buckets beyond [`TOP_BUCKETS`] are summed as
//! `__other__`, so that the number of series is bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use sqlx::PgPool;
use time::OffsetDateTime;

use super::{Outcome, Stats, store};
use crate::error::{Error, Kind};
use crate::feed::Feed;
use crate::gateways::{Connection, Fleet, State};
use crate::overview::store as overview;
use crate::pki::Pki;

/// Buckets with counters of their own.
pub const TOP_BUCKETS: i64 = 200;

/// What became of reports since this replica started.
pub struct Outcomes {
    results: Family<[(&'static str, &'static str); 1], Counter>,
    gaps: Counter,
}

impl Default for Outcomes {
    /// Every result from the start, so that a rate over the first report is one.
    fn default() -> Self {
        let results = Family::<_, Counter>::default();
        for word in ["merged", "gap", "replayed", "aside", "refused", "failed"] {
            let _zero = results.get_or_create(&[("result", word)]);
        }
        Self { results, gaps: Counter::default() }
    }
}

impl Outcomes {
    pub(super) fn count(&self, outcome: Outcome, missing: u64) {
        let word = match outcome {
            Outcome::Merged => "merged",
            Outcome::Gap => "gap",
            Outcome::Replayed => "replayed",
            Outcome::Aside => "aside",
        };
        self.results.get_or_create(&[("result", word)]).inc();
        if missing > 0 {
            self.gaps.inc();
        }
    }

    pub(super) fn failed(&self, error: &Error) {
        let word = match error.kind() {
            Kind::Internal | Kind::Unavailable => "failed",
            _ => "refused",
        };
        self.results.get_or_create(&[("result", word)]).inc();
    }

    /// Reports with that result.
    pub fn of(&self, result: &'static str) -> u64 {
        self.results.get_or_create(&[("result", result)]).get()
    }
}

/// What `/metrics` shows of the database.
#[derive(Default)]
pub(crate) struct Snapshot {
    counts: Vec<store::FleetCount>,
    kms: Vec<store::KmsCount>,
    gateways: BTreeMap<(&'static str, &'static str), i64>,
    refusals: i64,
    /// Gateways by how far they are with the head.
    progress: BTreeMap<&'static str, i64>,
    /// KMS of all storages, each once.
    inventory: BTreeMap<&'static str, i64>,
}

/// The newest snapshot.
#[derive(Default)]
pub(crate) struct Shared(Mutex<Arc<Snapshot>>);

impl Stats {
    /// Reads what `/metrics` shows, all of it at one moment: figures of one scrape agree with each other.
    pub(crate) async fn refresh(&self, db: &PgPool, heartbeat: Duration) -> Result<(), Error> {
        let mut moment = store::one_moment(db).await?;
        let state = store::fleet_state(&mut moment).await?;
        let mut gateways = BTreeMap::new();
        for known in State::ALL {
            for connection in Connection::ALL {
                gateways.insert((known.as_str(), connection.as_str()), 0);
            }
        }
        for (known, open, seen) in state.gateways {
            let connection = Connection::judge(open, seen, state.now, heartbeat);
            *gateways.entry((known.as_str(), connection.as_str())).or_default() += 1;
        }
        let head = overview::convergence(&mut moment, None).await?;
        let found = overview::kms(&mut moment, None).await?;
        let snapshot = Snapshot {
            counts: store::fleet_counts(&mut moment, TOP_BUCKETS).await?,
            kms: store::kms_counts(&mut moment, None).await?,
            gateways,
            refusals: state.refusals,
            progress: BTreeMap::from([
                ("expected", head.gateways),
                ("received", head.received),
                ("applied", head.applied),
                ("effective", head.effective),
                ("refused", head.refused),
            ]),
            inventory: BTreeMap::from([("ready", found.healthy), ("failing", found.total - found.healthy)]),
        };
        *self.snapshot.0.lock().expect("no holder of the lock panics") = Arc::new(snapshot);
        Ok(())
    }
}

/// Enters everything that this half of Central counts.
pub fn register(registry: &mut Registry, stats: &Arc<Stats>, fleet: &Arc<Fleet>, feed: &Arc<Feed>, pki: &Arc<Pki>) {
    registry.register("reports", "Reports of gateways, by what became of them", stats.outcomes.results.clone());
    registry.register("report_gaps", "Reports before which others never came", stats.outcomes.gaps.clone());
    registry.register_with_unit(
        "policy_convergence",
        "Time from a revision until it was effective at a gateway",
        Unit::Seconds,
        fleet.convergence.clone(),
    );
    registry.register_with_unit(
        "policy_pushed",
        "Policy sets pushed to gateways",
        Unit::Bytes,
        fleet.pushed_bytes.clone(),
    );
    registry.register_collector(Box::new(View {
        stats: stats.clone(),
        fleet: fleet.clone(),
        feed: feed.clone(),
        pki: pki.clone(),
    }));
}

struct View {
    stats: Arc<Stats>,
    fleet: Arc<Fleet>,
    feed: Arc<Feed>,
    pki: Arc<Pki>,
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("View")
    }
}

impl Collector for View {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = self.stats.snapshot.0.lock().expect("no holder of the lock panics").clone();
        let labels = |count: &store::FleetCount| {
            [
                ("gateway", count.gateway.clone()),
                ("bucket", count.bucket.clone()),
                ("policy", count.policy.clone()),
                ("outcome", count.outcome.clone()),
                ("direction", count.direction.clone()),
            ]
        };
        let objects = snapshot.counts.iter().map(|count| (labels(count), count.objects));
        counters(&mut encoder, "fleet_objects", "Objects of all gateways, as they reported", objects)?;
        let bytes = snapshot.counts.iter().map(|count| (labels(count), count.bytes));
        counters(&mut encoder, "fleet_bytes", "Bytes of plaintext of all gateways, as they reported", bytes)?;
        let kms = snapshot.kms.iter().map(|count| {
            let labels = [
                ("gateway", count.gateway.clone()),
                ("kms", count.kms.clone()),
                ("operation", count.operation.clone()),
                ("result", count.result.clone()),
            ];
            (labels, count.calls)
        });
        counters(&mut encoder, "fleet_kms_calls", "Calls to KMS of all gateways, as they reported", kms)?;
        let gateways = snapshot
            .gateways
            .iter()
            .map(|((state, connection), number)| ([("state", *state), ("connection", *connection)], *number));
        gauges(&mut encoder, "gateways", "Gateways by state and connection", gateways)?;
        let progress = snapshot.progress.iter().map(|(word, number)| ([("progress", *word)], *number));
        let help =
            "Gateways that should have the newest policy revision, and how many of them have come how far with it";
        gauges(&mut encoder, "policy_gateways", help, progress)?;
        let inventory = snapshot.inventory.iter().map(|(word, number)| ([("state", *word)], *number));
        gauges(&mut encoder, "fleet_kms", "KMS of all storages, each once", inventory)?;
        let one = |number: i64| std::iter::once(([("scope", "fleet"); 0], number));
        let head = i64::try_from(self.feed.head().held.revision.number).unwrap_or(i64::MAX);
        gauges(&mut encoder, "policy_head_revision", "Newest revision of the policy set", one(head))?;
        gauges(&mut encoder, "refusals", "Gateways that refuse a policy set", one(snapshot.refusals))?;
        let streams = i64::try_from(self.fleet.open_streams()).unwrap_or(i64::MAX);
        gauges(&mut encoder, "streams", "Policy streams open at this replica", one(streams))?;
        let ends = (self.pki.authorities().present.not_after - OffsetDateTime::now_utc()).whole_seconds();
        let help = "Time until the certificate authority ends";
        gauges(&mut encoder, "certificate_authority_remaining_seconds", help, one(ends))
    }
}

fn counters<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, i64)>,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, value) in values {
        // The database holds no negative count.
        let counter = ConstCounter::new(u64::try_from(value).unwrap_or(0));
        counter.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauges<L: EncodeLabelSet>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (L, i64)>,
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in values {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}
