//! The gateway's metrics. Objects, bytes and calls are read from the cumulative counts at each scrape, so that `/metrics`
//! and Central never disagree; they go on over restarts.

use std::fmt;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Stats;

/// Seconds, from a cached HEAD to a slow upload of many GiB.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

/// Metrics that are set, not collected.
pub(super) struct Metrics {
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
    pub(super) kek_wraps: Gauge,
    pub(super) central_connected: Gauge,
    pub(super) spool_bytes: Gauge,
    pub(super) unseen_in_lists: Counter,
    revision: Family<StateLabels, Gauge<i64, AtomicI64>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            kek_wraps: Gauge::default(),
            central_connected: Gauge::default(),
            spool_bytes: Gauge::default(),
            unseen_in_lists: Counter::default(),
            revision: Family::default(),
        }
    }
}

impl Metrics {
    pub(super) fn request(&self, operation: &'static str, outcome: &'static str, duration: Duration) {
        self.requests.get_or_create(&RequestLabels { operation, outcome }).observe(duration.as_secs_f64());
    }

    pub(super) fn show_revision(&self, held: Option<u64>, effective: Option<u64>) {
        for (state, number) in [("held", held), ("effective", effective)] {
            let number = number.and_then(|number| i64::try_from(number).ok()).unwrap_or(0);
            self.revision.get_or_create(&StateLabels { state }).set(number);
        }
    }
}

pub(super) fn register(stats: &Stats, registry: &mut Registry) {
    let metrics = &stats.shared.metrics;
    metrics.show_revision(None, None);
    registry.register_with_unit(
        "request_duration",
        "Time from the head of an S3 request to the head of its response: an upload with its body, a download without",
        Unit::Seconds,
        metrics.requests.clone(),
    );
    registry.register(
        "kek_wraps",
        "Data keys that the present key-encryption key has wrapped",
        metrics.kek_wraps.clone(),
    );
    registry.register(
        "policy_revision",
        "Number of the policy set, by state: held or effective; 0 before the first",
        metrics.revision.clone(),
    );
    registry.register(
        "central_connected",
        "1 while the policy stream to Central is open",
        metrics.central_connected.clone(),
    );
    registry.register_with_unit(
        "spool",
        "Reports that Central has not acknowledged",
        Unit::Bytes,
        metrics.spool_bytes.clone(),
    );
    registry.register(
        "list_objects_unseen",
        "Objects of lists that could not be looked at, and were shown with the size that is stored",
        metrics.unseen_in_lists.clone(),
    );
    registry.register_collector(Box::new(Collected(stats.clone())));
}

/// Reads the cumulative counts at a scrape.
struct Collected(Stats);

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = self.0.counts();
        let labelled = |key: &super::Key| {
            [
                ("bucket", key.bucket.to_string()),
                ("policy", key.policy.to_string()),
                ("outcome", key.outcome.as_str().to_owned()),
                ("direction", key.direction.as_str().to_owned()),
            ]
        };
        let objects = counts.iter().map(|(key, count)| (labelled(key), count.objects));
        family(&mut encoder, "objects", "Objects by what became of them", None, objects)?;
        let bytes = counts.iter().map(|(key, count)| (labelled(key), count.bytes));
        family(&mut encoder, "bytes", "Plaintext bytes of these objects", None, bytes)?;

        let (kms, upstreams) = {
            let calls = self.0.calls();
            (calls.kms.clone(), calls.upstreams.clone())
        };
        let kms = kms.into_iter().map(|((kms, operation, result), calls)| {
            ([("kms", kms), ("operation", operation), ("result", result)], calls)
        });
        family(&mut encoder, "kms_calls", "Calls of a KMS", None, kms)?;
        let labelled = |backend: &str, result: &str| [("backend", backend.to_owned()), ("result", result.to_owned())];
        let requests = upstreams.iter().map(|((backend, result), calls)| (labelled(backend, result), calls.0));
        family(&mut encoder, "upstream_requests", "Requests to the storage", None, requests)?;
        let received = upstreams.iter().map(|((backend, result), calls)| (labelled(backend, result), calls.1));
        family(&mut encoder, "upstream_received", "Body bytes from the storage", Some(&Unit::Bytes), received)?;
        let sent = upstreams.iter().map(|((backend, result), calls)| (labelled(backend, result), calls.2));
        family(&mut encoder, "upstream_sent", "Body bytes to the storage", Some(&Unit::Bytes), sent)?;
        let gap = ConstCounter::new(std::time::Duration::from_millis(self.0.gap_ms()).as_secs_f64());
        let gap_encoder = encoder.encode_descriptor(
            "statistics_gap",
            "Time of which nothing is known, after losses of power",
            Some(&Unit::Seconds),
            MetricType::Counter,
        )?;
        gap.encode(gap_encoder)
    }
}

fn family<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    values: impl Iterator<Item = ([(&'static str, String); N], u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
    for (labels, value) in values {
        ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}
