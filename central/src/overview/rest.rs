//! The overview and its graphs over REST. Of gateways they give numbers and names, nothing else: a viewer may read them.

use axum::extract::State;
use axum::{Extension, Json};
use axum_extra::extract::Query;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::store;
use crate::caller::Permit;
use crate::db;
use crate::error::{Error, Kind, Problem};
use crate::rpc::Services;
use crate::stats::store::one_moment;
use crate::stats::traffic::{self, Amount, Span, Traffic};

/// Longest time that a graph covers.
const LONGEST: Duration = Duration::days(36_600);

/// Of which gateways.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Of {
    /// Names of gateways, one a parameter; none: all of them.
    #[serde(default)]
    pub(crate) gateway: Vec<String>,
}

/// A choice of gateways; none where it is all of them.
pub(crate) fn chosen(names: &[String]) -> Option<&[String]> {
    (!names.is_empty()).then_some(names)
}

/// The fleet at one moment. With gateways chosen, every number is of these.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Overview {
    /// Rows of `/gateways`.
    pub gateways: GatewayNumbers,
    /// Objects that were sent towards the storage, as counted since ever; sums of `objects` of `/stats`.
    pub objects: Shares,
    /// Their bytes of plaintext; sums of `bytes` of `/stats`.
    pub bytes: Shares,
    /// What the storages hold, each once; sums over `/coverage`.
    pub stored: Stored,
    /// Rows of `/coverage`.
    pub buckets: Buckets,
    /// How far the policies are; sums over `/convergence`.
    pub convergence: Progress,
    /// KMS of all storages, each once; rows of `/inventories`, and sums over `/stats/kms`.
    pub kms: Kms,
    /// When this was so.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// Gateways, by what is to be said of them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GatewayNumbers {
    /// All but the retired ones: `/gateways?retired=false`.
    pub total: u64,
    /// `/gateways?connection=connected`
    pub connected: u64,
    /// `/gateways?connection=late`
    pub late: u64,
    /// `/gateways?connection=lost`
    pub lost: u64,
    /// That refuse a policy set: `/gateways?refusing=true`
    pub refusing: u64,
    /// `/gateways?state=quarantined`
    pub quarantined: u64,
    /// `/gateways?state=suspended`
    pub suspended: u64,
    /// `/gateways?state=retired`
    pub retired: u64,
}

/// What was stored, by how.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Shares {
    /// Encrypted: outcome encrypted.
    pub encrypted: u64,
    /// As it was: outcomes plain, would-encrypt, would-deny, error.
    pub plain: u64,
    /// The outcome does not tell: grandfathered, indeterminate.
    pub other: u64,
}

/// What the storages hold.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Stored {
    /// Objects known to be encrypted.
    pub objects_encrypted: u64,
    /// Objects known to be plain.
    pub objects_plain: u64,
    /// Objects of which it could not be told, in the buckets that were looked through; null where none was.
    pub objects_unknown: Option<u64>,
    /// Bytes of plaintext of the encrypted ones.
    pub bytes_encrypted: u64,
    /// Bytes of the plain ones.
    pub bytes_plain: u64,
}

/// Buckets behind the gateways.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Buckets {
    /// All that are known.
    pub total: u64,
    /// In which every new object is encrypted.
    pub encrypting: u64,
    /// Of which nothing is known but what was seen passing: there may be any number of other objects.
    pub not_looked_through: u64,
}

/// How far the gateways have come with the head of the policies.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Progress {
    /// The history of the number.
    pub lineage: Uuid,
    /// The head.
    pub revision: u64,
    /// When it was made; null for the empty set before the first.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// Gateways that should have it.
    pub gateways: u64,
    /// That received it.
    pub received: u64,
    /// That decide new requests by it.
    pub applied: u64,
    /// Under which no older decision is still being carried out.
    pub effective: u64,
    /// That refuse it.
    pub refused: u64,
}

/// Key management services.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Kms {
    /// All that are set up.
    pub total: u64,
    /// That answer.
    pub healthy: u64,
    /// That do not.
    pub failing: u64,
    /// Calls since ever: sum of `calls` of `/stats/kms`.
    pub calls: u64,
    /// Of which failed: the rows whose result is error.
    pub errors: u64,
}

/// The fleet on one page.
#[utoipa::path(
    get, path = "/overview", tag = "overview", params(Of),
    responses((status = 200, body = Overview), (status = 403, body = Problem))
)]
pub async fn overview(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
    Query(of): Query<Of>,
) -> Result<Json<Overview>, Error> {
    let names = chosen(&of.gateway);
    let mut moment = one_moment(&services.db).await?;
    let gateways = store::gateways(&mut moment, names, services.fleet.heartbeat()).await?;
    let totals = store::totals(&mut moment, names).await?;
    let stored = store::stored(&mut moment, names).await?;
    let kms = store::kms(&mut moment, names).await?;
    let convergence = store::convergence(&mut moment, names).await?;
    drop(moment);

    let number = |what, value| db::unsigned(what, "count", value);
    let shares = |of: fn(&Amount) -> i64| {
        Ok::<_, Error>(Shares {
            encrypted: number("object_totals", of(&totals.encrypted))?,
            plain: number("object_totals", of(&totals.plain))?,
            other: number("object_totals", of(&totals.other))?,
        })
    };
    Ok(Json(Overview {
        gateways: GatewayNumbers {
            total: number("gateways", gateways.total)?,
            connected: number("gateways", gateways.connected)?,
            late: number("gateways", gateways.late)?,
            lost: number("gateways", gateways.lost)?,
            refusing: number("gateways", gateways.refusing)?,
            quarantined: number("gateways", gateways.quarantined)?,
            suspended: number("gateways", gateways.suspended)?,
            retired: number("gateways", gateways.retired)?,
        },
        objects: shares(|amount| amount.objects)?,
        bytes: shares(|amount| amount.bytes)?,
        stored: Stored {
            objects_encrypted: number("inventories", stored.objects_encrypted)?,
            objects_plain: number("inventories", stored.objects_plain)?,
            objects_unknown: stored.objects_unknown.map(|unknown| number("inventories", unknown)).transpose()?,
            bytes_encrypted: number("inventories", stored.bytes_encrypted)?,
            bytes_plain: number("inventories", stored.bytes_plain)?,
        },
        buckets: Buckets {
            total: number("inventories", stored.buckets)?,
            encrypting: number("inventories", stored.encrypting)?,
            not_looked_through: number("inventories", stored.not_looked_through)?,
        },
        convergence: Progress {
            lineage: convergence.lineage,
            revision: number("policy_head", convergence.number)?,
            since: convergence.since,
            gateways: number("gateways", convergence.gateways)?,
            received: number("gateways", convergence.received)?,
            applied: number("gateways", convergence.applied)?,
            effective: number("gateways", convergence.effective)?,
            refused: number("gateways", convergence.refused)?,
        },
        kms: Kms {
            total: number("inventories", kms.total)?,
            healthy: number("inventories", kms.healthy)?,
            failing: number("inventories", kms.total - kms.healthy)?,
            calls: number("kms_totals", totals.kms_calls)?,
            errors: number("kms_totals", totals.kms_errors)?,
        },
        at: gateways.now,
    }))
}

/// Which time, of which gateways.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// From when (RFC 3339); absent: an hour before `to`.
    #[serde(default, with = "time::serde::rfc3339::option")]
    from: Option<OffsetDateTime>,
    /// Until when; absent: now.
    #[serde(default, with = "time::serde::rfc3339::option")]
    to: Option<OffsetDateTime>,
    /// Names of gateways, one a parameter; none: all of them.
    #[serde(default)]
    gateway: Vec<String>,
}

/// Figures over time, step by step without a hole. The step is chosen so that there are at most 400; what is as old as
/// that has rows of that length.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Series {
    /// Where the first step begins.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// Where the last step ends; it may lie in the future.
    #[serde(with = "time::serde::rfc3339")]
    pub to: OffsetDateTime,
    /// Length of a step in seconds.
    pub step_s: u32,
    /// In the order of time; zeros where nothing was counted.
    pub points: Vec<Point>,
}

/// What was counted within one step.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Point {
    /// Where the step begins.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Objects stored encrypted.
    pub objects_encrypted: u64,
    /// Objects stored as they were.
    pub objects_plain: u64,
    /// Objects stored, of which the outcome does not tell how.
    pub objects_other: u64,
    /// Bytes of plaintext of the encrypted ones.
    pub bytes_encrypted: u64,
    /// Bytes of the plain ones.
    pub bytes_plain: u64,
    /// Bytes of the others.
    pub bytes_other: u64,
    /// Objects from the clients to the storage, however stored.
    pub objects_in: u64,
    /// Their bytes of plaintext.
    pub bytes_in: u64,
    /// Objects to the clients.
    pub objects_out: u64,
    /// Their bytes of plaintext.
    pub bytes_out: u64,
    /// Objects that a policy refused.
    pub denied: u64,
    /// Objects whose request failed.
    pub failed: u64,
    /// Calls to KMS.
    pub kms_calls: u64,
    /// Of which failed.
    pub kms_errors: u64,
    /// Requests to the storage.
    pub upstream_requests: u64,
    /// Of which failed by the storage's fault.
    pub upstream_errors: u64,
    /// Bytes received from the storage, as stored.
    pub upstream_bytes_in: u64,
    /// Bytes sent to the storage, as stored.
    pub upstream_bytes_out: u64,
}

impl Point {
    fn of(at: OffsetDateTime, traffic: &Traffic) -> Result<Self, Error> {
        let number = |column, value| db::unsigned("traffic_rollups", column, value);
        let Traffic { encrypted, plain, other, out, .. } = traffic;
        Ok(Self {
            at,
            objects_encrypted: number("objects_encrypted", encrypted.objects)?,
            objects_plain: number("objects_plain", plain.objects)?,
            objects_other: number("objects_other", other.objects)?,
            bytes_encrypted: number("bytes_encrypted", encrypted.bytes)?,
            bytes_plain: number("bytes_plain", plain.bytes)?,
            bytes_other: number("bytes_other", other.bytes)?,
            objects_in: number("objects_other", encrypted.objects + plain.objects + other.objects)?,
            bytes_in: number("bytes_other", encrypted.bytes + plain.bytes + other.bytes)?,
            objects_out: number("objects_out", out.objects)?,
            bytes_out: number("bytes_out", out.bytes)?,
            denied: number("denied", traffic.denied)?,
            failed: number("failed", traffic.failed)?,
            kms_calls: number("kms_calls", traffic.kms_calls)?,
            kms_errors: number("kms_errors", traffic.kms_errors)?,
            upstream_requests: number("upstream_requests", traffic.upstream_requests)?,
            upstream_errors: number("upstream_errors", traffic.upstream_errors)?,
            upstream_bytes_in: number("upstream_bytes_in", traffic.upstream_bytes_in)?,
            upstream_bytes_out: number("upstream_bytes_out", traffic.upstream_bytes_out)?,
        })
    }
}

/// Figures over time, for graphs.
#[utoipa::path(
    get, path = "/stats/series", tag = "overview", params(When),
    responses((status = 200, body = Series), (status = 400, body = Problem))
)]
pub async fn series(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
    Query(when): Query<When>,
) -> Result<Json<Series>, Error> {
    let now = OffsetDateTime::now_utc();
    let to = when.to.unwrap_or(now);
    let from = match when.from {
        Some(from) => from,
        None => to.checked_sub(Duration::HOUR).ok_or_else(out_of_bounds)?,
    };
    if from >= to || to - from > LONGEST || to > now + Duration::days(366) {
        return Err(out_of_bounds());
    }
    let span = Span::of(from, to, now);
    let mut counted = traffic::series(&services.db, span, chosen(&when.gateway)).await?.into_iter().peekable();
    let mut points = Vec::new();
    for at in span.steps() {
        let traffic = counted.next_if(|(counted, _)| *counted == at).map(|(_, traffic)| traffic);
        points.push(Point::of(at, &traffic.unwrap_or_default())?);
    }
    let step_s = u32::try_from(span.step).map_err(|error| Error::internal("a step", error))?;
    Ok(Json(Series { from: span.from, to: span.to, step_s, points }))
}

fn out_of_bounds() -> Error {
    Error::new(
        Kind::Invalid,
        "`from` must lie before `to`, at most a hundred years, and `to` not beyond a year from now.",
    )
}
