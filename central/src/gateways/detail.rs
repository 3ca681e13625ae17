//! What the page of one gateway shows besides the gateway: what happened to it, what it counted.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use axum_extra::extract::Query;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::events;
use crate::caller::Permit;
use crate::db;
use crate::error::{Error, Problem};
use crate::rpc::Services;
use crate::stats::rest::{KmsRow, Row};
use crate::stats::store;

/// Events of one page, at most.
const PAGE: i64 = 1_000;
/// Rows of figures of one gateway, at most.
const ROWS: i64 = 10_000;

/// Which events.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// `next` of the page before.
    before: Option<i64>,
    /// At most so many; 1 to 1,000, by default 100.
    limit: Option<i64>,
}

/// What happened to a gateway in the last thirty days.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GatewayEvents {
    /// Newest first.
    pub events: Vec<GatewayEvent>,
    /// `before` of the next page; null at the end.
    pub next: Option<i64>,
}

/// Something that happened to a gateway.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GatewayEvent {
    /// Rises with time.
    pub id: i64,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// enrolled, connected, disconnected, refused, state or labels.
    pub kind: String,
    /// connected: version, address. refused: revision, code, item, reason, `kept_revision`. state: from, to, because, by.
    /// labels: from, to, by. enrolled: version, address, again.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

/// What happened to a gateway.
#[utoipa::path(
    get, path = "/gateways/{name}/events", tag = "gateways", params(("name" = String, Path), Before),
    responses((status = 200, body = GatewayEvents), (status = 404, body = Problem))
)]
pub async fn happened(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
    Path(name): Path<String>,
    Query(page): Query<Before>,
) -> Result<Json<GatewayEvents>, Error> {
    let limit = page.limit.unwrap_or(100).clamp(1, PAGE);
    let rows = events::list(&services.db, &name, page.before, limit + 1).await?;
    let mut rows = rows.ok_or_else(|| Error::not_found("gateway", &name))?;
    let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        rows.pop();
    }
    let next = rows.last().filter(|_| more).map(|last| last.id);
    let events =
        rows.into_iter().map(|row| GatewayEvent { id: row.id, at: row.at, kind: row.kind, detail: row.detail });
    Ok(Json(GatewayEvents { events: events.collect(), next }))
}

/// What a gateway counted since ever.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GatewayFigures {
    /// Objects by bucket, policy and outcome; at most 10,000 rows.
    pub objects: Vec<Row>,
    /// There are more rows of objects.
    pub truncated: bool,
    /// Calls to KMS.
    pub kms: Vec<KmsRow>,
    /// Requests to its storages.
    pub upstreams: Vec<UpstreamRow>,
    /// How its reports came.
    pub reports: Reports,
}

/// Requests to a storage that ended alike.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UpstreamRow {
    /// Name of the backend.
    pub backend: String,
    /// ok, `client_error`, `server_error`, unreachable or broken.
    pub result: String,
    /// How many.
    pub requests: u64,
    /// Bytes received from it, as stored.
    pub bytes_in: u64,
    /// Bytes sent to it, as stored.
    pub bytes_out: u64,
}

/// How the reports of a gateway came.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Reports {
    /// When the last one came; null: none did.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_at: Option<OffsetDateTime>,
    /// Up to when its figures are here, by its clock.
    #[serde(with = "time::serde::rfc3339::option")]
    pub covered_to: Option<OffsetDateTime>,
    /// Reports that never came; the next full one brought their counts.
    pub missing: u64,
    /// Reports that came again and changed nothing.
    pub replays: u64,
    /// Time of which nothing is known, after losses of power.
    pub unknown_ms: u64,
}

/// What a gateway counted since ever.
#[utoipa::path(
    get, path = "/gateways/{name}/figures", tag = "gateways", params(("name" = String, Path)),
    responses((status = 200, body = GatewayFigures), (status = 404, body = Problem))
)]
pub async fn figures(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
    Path(name): Path<String>,
) -> Result<Json<GatewayFigures>, Error> {
    let names = [name];
    let reports = store::reports(&services.db, &names[0]).await?;
    let reports = reports.ok_or_else(|| Error::not_found("gateway", &names[0]))?;
    let number = |column, value| db::unsigned("report_series", column, value);
    let reports = Reports {
        last_at: reports.last_at,
        covered_to: reports.covered_to,
        missing: number("missing", reports.missing)?,
        replays: number("replays", reports.replays)?,
        unknown_ms: number("unknown_ms", reports.unknown_ms)?,
    };
    let asked = store::Asked { gateways: Some(&names), ..store::Asked::default() };
    let (objects, truncated) = db::at_most(store::totals(&services.db, asked, ROWS + 1).await?, ROWS);
    let mut moment = store::one_moment(&services.db).await?;
    let kms = store::kms_counts(&mut moment, Some(&names)).await?.into_iter().map(KmsRow::read);
    let upstreams = store::upstream_counts(&mut moment, &names[0]).await?.into_iter().map(|row| {
        let number = |column, value| db::unsigned("upstream_totals", column, value);
        Ok(UpstreamRow {
            backend: row.backend,
            result: row.result,
            requests: number("requests", row.requests)?,
            bytes_in: number("bytes_in", row.bytes_in)?,
            bytes_out: number("bytes_out", row.bytes_out)?,
        })
    });
    Ok(Json(GatewayFigures {
        objects: objects.into_iter().map(Row::read).collect::<Result<_, Error>>()?,
        truncated,
        kms: kms.collect::<Result<_, Error>>()?,
        upstreams: upstreams.collect::<Result<_, Error>>()?,
        reports,
    }))
}
