//! The dashboard: what this gateway did, what is stored, how the parts stand; and the figures of the last two days.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use futures_util::future::join_all;
use http::Method;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::info::{PartTrouble, troubles};
use super::problem::{Problem, Query};
use super::{Admin, Shared, rfc3339};
use crate::config::Floor;
use crate::keys::KmsState;
use crate::scan::{bucket_names, due};
use crate::state::now_ms;
use crate::stats::{LONG_STEP_S, STEP_S, Totals};
use crate::uplink;
use crate::upstream::{Upstream, is_overload, request, uri};

/// A storage that does not list its buckets by then is shown as not answering.
const LOOK: Duration = Duration::from_secs(3);
/// A list of all buckets of the largest accounts.
const MAX_LIST: usize = 16 * 1024 * 1024;

/// What this gateway did, and how its parts stand.
#[derive(Serialize, ToSchema)]
pub(super) struct Overview {
    /// Now (RFC 3339).
    at: String,
    /// When the process was started.
    started: String,
    /// What this process counted.
    since_start: Totals,
    /// What was counted over the lifetime of the local store: what `/metrics` and Central show.
    all_time: Totals,
    /// The latter by outcome and direction.
    outcomes: Vec<Counted>,
    /// What is known to be stored, in all buckets; none where the local store cannot say.
    stored: Option<Known>,
    /// None where the storage does not answer.
    buckets: Option<BucketTotals>,
    kms: KmsHealth,
    policies: PolicyHealth,
    central: uplink::Status,
    /// Does this member accept writes?
    writable: bool,
    /// Everything that is not as it should be; empty where all is well.
    troubles: Vec<PartTrouble>,
}

/// What became of objects.
#[derive(Serialize, ToSchema)]
pub(super) struct Counted {
    /// `encrypted`, `plain`, `would-encrypt`, `would-deny`, `denied`, `failed`, `error`, `grandfathered`, `indeterminate`.
    outcome: &'static str,
    /// `in` or `out`.
    direction: &'static str,
    objects: u64,
    bytes: u64,
}

/// What is known to be stored.
#[derive(Serialize, ToSchema)]
pub(super) struct Known {
    objects_encrypted: u64,
    objects_plain: u64,
    bytes_encrypted: u64,
    bytes_plain: u64,
}

/// Buckets that clients see.
#[derive(Serialize, ToSchema)]
pub(super) struct BucketTotals {
    total: usize,
    /// Those in which encryption is due, at least for a part.
    encrypting: usize,
}

/// How the KMS stand.
#[derive(Serialize, ToSchema)]
pub(super) struct KmsHealth {
    active: Option<String>,
    total: usize,
    /// Those whose configuration can be used.
    healthy: usize,
    /// Calls over the lifetime of the local store.
    calls: u64,
    errors: u64,
    /// Why no new key can be had; none where it can, or nobody asked.
    error: Option<String>,
}

/// How the policies stand.
#[derive(Serialize, ToSchema)]
pub(super) struct PolicyHealth {
    revision: Option<u64>,
    effective_revision: Option<u64>,
    total: usize,
    /// Those that apply to this gateway and are not disabled.
    applying: usize,
}

/// What this gateway did, and how its parts stand.
#[utoipa::path(get, path = "/overview", tag = "gateway", responses((status = 200, body = Overview), (status = 401, body = Problem)))]
pub(super) async fn overview(State(admin): Shared) -> Json<Overview> {
    let document = admin.group.document();
    let snapshot = admin.policies.current();
    let (stats, recent) = (&admin.front.stats, &admin.recent);
    let all_time = stats.totals();
    let names = bucket_names(&admin.upstreams, &document, admin.group.system().bucket());
    let names = tokio::time::timeout(LOOK, names).await.ok().and_then(Result::ok);
    let floor = admin.floor == Floor::Encrypt;
    let encrypting = |name: &&String| !due(&document, &snapshot, floor, name).because.is_empty();
    let stored = admin.ledger.all_counts().await.ok().map(|counts| {
        let mut known = Known { objects_encrypted: 0, objects_plain: 0, bytes_encrypted: 0, bytes_plain: 0 };
        for counts in counts.values() {
            known.objects_encrypted += counts.encrypted;
            known.bytes_encrypted += counts.encrypted_bytes;
            known.objects_plain += counts.plain;
            known.bytes_plain += counts.plain_bytes;
        }
        known
    });
    let ready = |id: &&ids::KmsId| matches!(admin.keys.kms(id), Some(KmsState::Ready(_)));
    let number = snapshot.revision.map(|revision| revision.number);
    Json(Overview {
        at: time_of(now_ms()),
        started: time_of(recent.begun_ms()),
        since_start: all_time.since(&recent.at_begin()),
        outcomes: outcomes(&admin),
        stored,
        buckets: names
            .map(|names| BucketTotals { total: names.len(), encrypting: names.iter().filter(encrypting).count() }),
        kms: KmsHealth {
            active: document.active_kms.as_ref().map(ToString::to_string),
            total: document.kms.len(),
            healthy: document.kms.keys().filter(ready).count(),
            calls: all_time.kms_calls,
            errors: all_time.kms_errors,
            error: admin.keys.failing(),
        },
        policies: PolicyHealth {
            revision: number,
            effective_revision: number.filter(|_| admin.policies.is_effective()),
            total: snapshot.set.items().len(),
            applying: snapshot.engine.policies(),
        },
        central: admin.uplink.status(),
        writable: admin.group.writable().is_ok(),
        troubles: troubles(&admin),
        all_time,
    })
}

fn outcomes(admin: &Admin) -> Vec<Counted> {
    let mut sums: Vec<Counted> = Vec::new();
    for (key, count) in admin.front.stats.counts() {
        let (outcome, direction) = (key.outcome.as_str(), key.direction.as_str());
        match sums.iter_mut().find(|sum| sum.outcome == outcome && sum.direction == direction) {
            Some(sum) => {
                sum.objects += count.objects;
                sum.bytes += count.bytes;
            }
            None => sums.push(Counted { outcome, direction, objects: count.objects, bytes: count.bytes }),
        }
    }
    sums
}

/// Minutes that are kept by ten seconds.
const HOUR: u16 = 60;
/// Minutes that are kept by five minutes: two days.
const MINUTES: u16 = 2880;

fn time_of(unix_ms: i64) -> String {
    rfc3339(u64::try_from(unix_ms).unwrap_or_default())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    /// So many minutes back from now, 1 to 2880; 60 where it is missing.
    minutes: Option<u16>,
}

/// What was counted over time.
#[derive(Serialize, ToSchema)]
pub(super) struct Series {
    /// Where the first point begins (RFC 3339): no earlier than the process.
    from: String,
    /// Where the last one ends.
    to: String,
    /// Since when there are figures at all: the start of this process.
    begun: String,
    /// Seconds of each point: 10 up to an hour, 300 beyond.
    step_s: u64,
    /// Oldest first, without gaps.
    points: Vec<SeriesPoint>,
}

/// What was counted in one period.
#[derive(Serialize, ToSchema)]
pub(super) struct SeriesPoint {
    /// When it ended (RFC 3339).
    at: String,
    #[serde(flatten)]
    added: Totals,
}

/// What this process counted: in the last hour by ten seconds, in the last 48 hours by five minutes. Kept in memory only:
/// it begins with the process.
#[utoipa::path(get, path = "/series", tag = "gateway", params(Span),
    responses((status = 200, body = Series), (status = 400, body = Problem)))]
pub(super) async fn series(State(admin): Shared, Query(span): Query<Span>) -> Result<Json<Series>, Problem> {
    let minutes = span.minutes.unwrap_or(60);
    if !(1..=MINUTES).contains(&minutes) {
        return Err(Problem::invalid(format!("minutes must be 1 to {MINUTES}")));
    }
    let now = now_ms();
    let since_ms = now - i64::from(minutes) * 60_000;
    let (step_s, points) = if minutes <= HOUR {
        (STEP_S, admin.recent.points(since_ms))
    } else {
        (LONG_STEP_S, admin.recent.long_points(since_ms))
    };
    let step_ms = i64::try_from(step_s * 1000).unwrap_or(i64::MAX);
    let from = points.first().map_or(now, |point| point.at_ms - step_ms);
    let to = points.last().map_or(now, |point| point.at_ms);
    let points = points.into_iter().map(|point| SeriesPoint { at: time_of(point.at_ms), added: point.added });
    let begun = time_of(admin.recent.begun_ms());
    Ok(Json(Series { from: time_of(from), to: time_of(to), begun, step_s, points: points.collect() }))
}

/// Every storage of the configuration.
#[derive(Serialize, ToSchema)]
pub(super) struct Backends {
    backends: Vec<Backend>,
}

/// One storage.
#[derive(Serialize, ToSchema)]
pub(super) struct Backend {
    name: String,
    /// `directory` or `s3`.
    kind: &'static str,
    /// It holds the system bucket, and every bucket that is mapped to no other.
    home: bool,
    /// Where an S3 service is; none for a directory.
    endpoint: Option<String>,
    /// The region that requests are signed for; none for a directory.
    region: Option<String>,
    /// It listed its buckets a moment ago.
    reachable: bool,
    /// How long that took; none where it does not answer.
    answered_ms: Option<u64>,
    /// Why not.
    error: Option<String>,
    /// Buckets that clients see there; none where it does not answer.
    buckets: Option<usize>,
    /// Requests over the lifetime of the local store.
    requests: u64,
    /// Those that it did not answer, or with a fault of its own.
    errors: u64,
    /// Body bytes from it.
    bytes_received: u64,
    /// Body bytes to it.
    bytes_sent: u64,
}

/// The storages of the configuration of this gateway, and whether each answers now.
#[utoipa::path(get, path = "/backends", tag = "gateway", responses((status = 200, body = Backends), (status = 401, body = Problem)))]
pub(super) async fn backends(State(admin): Shared) -> Json<Backends> {
    let all: Vec<&Upstream> = admin.upstreams.names().filter_map(|name| admin.upstreams.get(name)).collect();
    let backends = join_all(all.into_iter().map(|upstream| backend(&admin, upstream))).await;
    Json(Backends { backends })
}

async fn backend(admin: &Admin, upstream: &Upstream) -> Backend {
    let home = admin.upstreams.home().name() == upstream.name();
    let look = upstream.collect(request(Method::GET, uri("", None, &[])), MAX_LIST);
    let begun = Instant::now();
    let looked = tokio::time::timeout(LOOK, look).await;
    let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let error = match looked {
        Err(_) => Some(format!("it did not answer within {} s", LOOK.as_secs())),
        Ok(Err(error)) => Some(error.to_string()),
        Ok(Ok(answer)) if is_overload(answer.status()) => Some(format!("it answers {}", answer.status())),
        // One that refuses the list is there all the same.
        Ok(Ok(_)) => None,
    };
    let document = admin.group.document();
    let buckets = if error.is_some() {
        None
    } else {
        let names = bucket_names(&admin.upstreams, &document, admin.group.system().bucket());
        let names = tokio::time::timeout(LOOK, names).await.ok().and_then(Result::ok);
        let here = |name: &&String| match document.buckets.get(*name).and_then(|bucket| bucket.mapping.as_ref()) {
            Some(mapping) => mapping.backend == upstream.name(),
            None => home,
        };
        names.map(|names| names.iter().filter(here).count())
    };
    let calls = admin.front.stats.backend_calls(upstream.name());
    Backend {
        name: upstream.name().to_owned(),
        kind: upstream.kind(),
        home,
        endpoint: upstream.endpoint(),
        region: upstream.region().map(str::to_owned),
        answered_ms: error.is_none().then_some(took_ms),
        reachable: error.is_none(),
        error,
        buckets,
        requests: calls.count,
        errors: calls.errors,
        bytes_received: calls.received,
        bytes_sent: calls.sent,
    }
}
