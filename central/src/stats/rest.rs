//! Figures, inventories and convergence over REST.

use axum::extract::State;
use axum::{Extension, Json};
use axum_extra::extract::Query;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{inventories, store};
use crate::caller::Permit;
use crate::db;
use crate::error::{Error, Kind, Problem};
use crate::gateways::{Connection, State as GatewayState};
use crate::overview::rest::{Of, chosen};
use crate::rpc::Services;

/// Rows of one answer, at most.
const ROWS: i64 = 10_000;
/// Storages of one answer, at most.
const STORAGES: i64 = 1_000;
/// Gateways of one answer, at most.
const PAGE: i64 = 1_000;

/// What figures are summed by.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// One row a gateway.
    Gateway,
    /// One row a bucket.
    Bucket,
    /// One row a policy.
    Policy,
    /// One row an outcome.
    Outcome,
    /// One row a policy and outcome.
    #[serde(rename = "policy-outcome")]
    PolicyOutcome,
}

impl By {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Bucket => "bucket",
            Self::Policy => "policy",
            Self::Outcome => "outcome",
            Self::PolicyOutcome => "policy-outcome",
        }
    }
}

/// Which figures.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Sum by this; absent: a row for each key.
    #[param(inline)]
    by: Option<By>,
    /// Counted since this (RFC 3339), rounded down to a period; absent: for all time. Periods are minutes for two days,
    /// hours for ninety, then days.
    #[serde(default, with = "time::serde::rfc3339::option")]
    since: Option<OffsetDateTime>,
    /// Only of these gateways, one name a parameter.
    #[serde(default)]
    gateway: Vec<String>,
    /// Only of these buckets.
    #[serde(default)]
    bucket: Vec<String>,
    /// Only under these policies; the empty name: where none was recorded.
    #[serde(default)]
    policy: Vec<String>,
    /// Only of these outcomes.
    #[serde(default)]
    outcome: Vec<String>,
}

/// Figures.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Figures {
    /// At most 10,000.
    pub rows: Vec<Row>,
    /// There are more rows.
    pub truncated: bool,
}

/// What was counted under one key. A part of the key over which was summed is null; an object without a policy has the
/// empty one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Row {
    /// Name of the gateway.
    pub gateway: Option<String>,
    /// The bucket.
    pub bucket: Option<String>,
    /// Name of the policy that was recorded; empty where none was.
    pub policy: Option<String>,
    /// One of encrypted, plain, would-encrypt, would-deny, denied, failed, error, grandfathered, indeterminate.
    pub outcome: Option<String>,
    /// Objects towards the storage.
    pub objects: u64,
    /// Their bytes of plaintext.
    pub bytes: u64,
    /// Objects towards the clients.
    pub objects_read: u64,
    /// Their bytes of plaintext.
    pub bytes_read: u64,
}

impl Row {
    pub(crate) fn read(row: store::Figures) -> Result<Self, Error> {
        let number = |column, value| db::unsigned("object_totals", column, value);
        Ok(Self {
            gateway: row.gateway,
            bucket: row.bucket,
            policy: row.policy,
            outcome: row.outcome,
            objects: number("objects", row.objects)?,
            bytes: number("bytes", row.bytes)?,
            objects_read: number("objects", row.objects_read)?,
            bytes_read: number("bytes", row.bytes_read)?,
        })
    }
}

/// What all gateways counted, each request once.
#[utoipa::path(
    get, path = "/stats", tag = "statistics", params(Question),
    responses((status = 200, body = Figures), (status = 400, body = Problem))
)]
pub async fn figures(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
    Query(question): Query<Question>,
) -> Result<Json<Figures>, Error> {
    let asked = store::Asked {
        by: question.by.map(By::as_str),
        gateways: chosen(&question.gateway),
        buckets: chosen(&question.bucket),
        policies: chosen(&question.policy),
        outcomes: chosen(&question.outcome),
    };
    let found = match question.since {
        Some(since) => store::since(&services.db, asked, since, ROWS + 1).await?,
        None => store::totals(&services.db, asked, ROWS + 1).await?,
    };
    let (found, truncated) = db::at_most(found, ROWS);
    let rows = found.into_iter().map(Row::read).collect::<Result<_, Error>>()?;
    Ok(Json(Figures { rows, truncated }))
}

/// Calls to KMS.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct KmsCalls {
    /// By gateway, KMS, operation and result.
    pub rows: Vec<KmsRow>,
}

/// Calls that ended alike.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct KmsRow {
    /// Name of the gateway.
    pub gateway: String,
    /// The KMS ID.
    pub kms: String,
    /// wrap, unwrap or probe.
    pub operation: String,
    /// ok or error.
    pub result: String,
    /// How many since ever.
    pub calls: u64,
}

impl KmsRow {
    pub(crate) fn read(row: store::KmsCount) -> Result<Self, Error> {
        Ok(Self {
            gateway: row.gateway,
            kms: row.kms,
            operation: row.operation,
            result: row.result,
            calls: db::unsigned("kms_totals", "calls", row.calls)?,
        })
    }
}

/// Calls to KMS since ever.
#[utoipa::path(get, path = "/stats/kms", tag = "statistics", params(Of), responses((status = 200, body = KmsCalls)))]
pub async fn kms(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
    Query(of): Query<Of>,
) -> Result<Json<KmsCalls>, Error> {
    let mut moment = store::one_moment(&services.db).await?;
    let rows = store::kms_counts(&mut moment, chosen(&of.gateway)).await?.into_iter().map(KmsRow::read);
    Ok(Json(KmsCalls { rows: rows.collect::<Result<_, Error>>()? }))
}

/// Which revision, of which gateways.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Its number; absent: the head.
    revision: Option<u64>,
    /// Only of these gateways, one name a parameter.
    #[serde(default)]
    gateway: Vec<String>,
    /// In `by_gateway` only those that are so far; the numbers are of all.
    #[param(inline)]
    progress: Option<Reached>,
    /// `next` of the page before.
    #[serde(default)]
    after: String,
    /// Rows of `by_gateway`, at most 1,000; 0: only the numbers.
    limit: Option<i64>,
}

/// How far a gateway is with a revision.
#[derive(Debug, Clone, Copy, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reached {
    /// No older decision is still being carried out.
    Effective,
    /// On its way, or not to be reached.
    Waiting,
    /// It refuses it.
    Refused,
}

impl Reached {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Effective => "effective",
            Self::Waiting => "waiting",
            Self::Refused => "refused",
        }
    }
}

/// How far the fleet has come with a revision. Counted are the gateways that should have it: not the suspended and
/// retired ones.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Convergence {
    /// The history of the number.
    pub lineage: Uuid,
    /// The revision, or a later one that came after it.
    pub revision: u64,
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
    /// That have not come to the end, do not refuse it, and are not connected.
    pub unreached: u64,
    /// Gateway by gateway, in the order of their names.
    pub by_gateway: Vec<GatewayProgress>,
    /// Give it as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// One gateway's progress with a revision.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct GatewayProgress {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: GatewayState,
    /// Is it heard?
    pub connection: Connection,
    /// It received it.
    pub received: bool,
    /// It decides new requests by it.
    pub applied: bool,
    /// No older decision is still being carried out, save in open uploads.
    pub effective: bool,
    /// Uploads begun under an older revision that are still open.
    pub uploads_open: u64,
    /// Why it refuses it; null where it does not.
    pub refusal: Option<WhyRefused>,
}

/// Why a gateway refuses a revision.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WhyRefused {
    /// Stable word.
    pub code: String,
    /// Which item of the set; empty for the whole.
    pub item: String,
    /// For a person.
    pub reason: String,
}

/// How far the fleet has come with a revision.
#[utoipa::path(
    get, path = "/convergence", tag = "policies", params(Which),
    responses((status = 200, body = Convergence), (status = 404, body = Problem))
)]
pub async fn convergence(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
    Query(which): Query<Which>,
) -> Result<Json<Convergence>, Error> {
    let mut moment = store::one_moment(&services.db).await?;
    let (lineage, head) = store::head(&mut moment).await?;
    let revision = which.revision.unwrap_or(head);
    if revision > head {
        return Err(Error::not_found("policy revision", &revision.to_string()));
    }
    let heartbeat = services.fleet.heartbeat();
    let limit = which.limit.unwrap_or(PAGE).clamp(0, PAGE);
    let asked = store::ProgressAsked { lineage, number: revision, names: chosen(&which.gateway) };
    let sums = store::progress_sums(&mut moment, asked, heartbeat).await?;
    let reached = which.progress.map(Reached::as_str);
    let mut rows = store::progress(&mut moment, asked, reached, &which.after, limit + 1).await?;
    drop(moment);
    let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        rows.pop();
    }
    let next = rows.last().filter(|_| more).map(|last| last.name.clone());
    let by_gateway = rows.into_iter().map(|row| GatewayProgress::read(row, heartbeat)).collect::<Result<_, Error>>()?;
    let number = |value| db::unsigned("gateways", "count", value);
    Ok(Json(Convergence {
        lineage,
        revision,
        gateways: number(sums.gateways)?,
        received: number(sums.received)?,
        applied: number(sums.applied)?,
        effective: number(sums.effective)?,
        refused: number(sums.refused)?,
        unreached: number(sums.unreached)?,
        by_gateway,
        next,
    }))
}

impl GatewayProgress {
    fn read(row: store::Progress, heartbeat: std::time::Duration) -> Result<Self, Error> {
        Ok(Self {
            connection: Connection::judge(row.stream_open, row.last_seen_at, row.now, heartbeat),
            name: row.name,
            state: row.state,
            received: row.received,
            applied: row.applied,
            effective: row.effective,
            uploads_open: db::unsigned("gateways", "uploads_open", row.uploads_open)?,
            refusal: row.refusal.map(|(code, item, reason)| WhyRefused { code, item, reason }),
        })
    }
}

/// Every storage behind the gateways, as one of its gateways last saw it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Inventories {
    /// At most 1,000.
    pub inventories: Vec<Inventory>,
    /// There are more storages: ask for some gateways only.
    pub truncated: bool,
}

/// What a storage holds.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Inventory {
    /// The storage.
    pub storage_id: Uuid,
    /// The gateway that looked.
    pub gateway: String,
    /// When it looked, by its clock.
    #[serde(with = "time::serde::rfc3339")]
    pub taken_at: OffsetDateTime,
    /// When Central heard.
    #[serde(with = "time::serde::rfc3339")]
    pub received_at: OffsetDateTime,
    /// `{"buckets": […], "kms": […], "backends": […]}` as in the control protocol.
    pub content: serde_json::Value,
}

/// Buckets, KMS and backends of each storage.
#[utoipa::path(
    get, path = "/inventories", tag = "statistics", params(Of), responses((status = 200, body = Inventories))
)]
pub async fn inventories(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
    Query(of): Query<Of>,
) -> Result<Json<Inventories>, Error> {
    let found = inventories::list(&services.db, chosen(&of.gateway), STORAGES + 1).await?;
    let (found, truncated) = db::at_most(found, STORAGES);
    let inventories = found
        .into_iter()
        .map(|row| Inventory {
            storage_id: row.storage_id,
            gateway: row.gateway,
            taken_at: row.taken_at,
            received_at: row.received_at,
            content: row.content,
        })
        .collect();
    Ok(Json(Inventories { inventories, truncated }))
}

/// How much of what is stored is encrypted, bucket by bucket.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Coverage {
    /// At most 10,000.
    pub coverage: Vec<BucketCoverage>,
    /// There are more rows.
    pub truncated: bool,
    /// Give it as `after` for the next page; null on the last.
    pub next: Option<String>,
}

/// How much of a bucket is encrypted, as one gateway of its group last told. Gateways over one storage are never added
/// up.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BucketCoverage {
    /// The storage.
    pub storage_id: Uuid,
    /// The gateway that told.
    pub gateway: String,
    /// The bucket.
    pub bucket: String,
    /// Its encryption is switched on.
    pub toggle: bool,
    /// Every new object is encrypted, by whichever gateway of this storage it comes. By a policy alone it is not while
    /// some of them decide by other policies: see `differing`.
    pub encrypting: bool,
    /// Gateways of this storage that do not decide by the newest policies, or that have other labels than the one that
    /// told.
    pub differing: u64,
    /// What asks for encryption, of all objects or of some.
    pub because: String,
    /// The KMS by which the storage's gateways encrypt new objects; null where none is active.
    pub kms_id: Option<String>,
    /// Objects known to be encrypted.
    pub objects_encrypted: u64,
    /// Objects known to be plain.
    pub objects_plain: u64,
    /// Objects of which it could not be told; null where the bucket was never looked through: then there may be any
    /// number of others besides those that are known.
    pub objects_unknown: Option<u64>,
    /// Bytes of plaintext of the encrypted ones.
    pub bytes_encrypted: u64,
    /// Bytes of the plain ones.
    pub bytes_plain: u64,
    /// Seconds since the gateway told, by Central's clock.
    pub age_s: u64,
    /// Seconds since all of the bucket was last looked through; null where it never was. What was stored since by other
    /// gateways, and what was deleted since, is not in the numbers.
    pub looked_age_s: Option<u64>,
}

/// Which buckets.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub struct Buckets {
    /// Of the storages behind these gateways, one name a parameter; none: of all.
    gateway: Vec<String>,
    /// A part of the bucket's name.
    bucket: String,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many; 1 to 10,000.
    limit: Option<i64>,
}

/// How much of each bucket is encrypted, and how old that knowledge is.
#[utoipa::path(
    get, path = "/coverage", tag = "statistics", params(Buckets),
    responses((status = 200, body = Coverage), (status = 400, body = Problem))
)]
pub async fn coverage(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
    Query(asked): Query<Buckets>,
) -> Result<Json<Coverage>, Error> {
    let limit = asked.limit.unwrap_or(ROWS).clamp(1, ROWS);
    let after = asked.after.as_deref().map(|cursor| {
        let (bucket, storage) = cursor.rsplit_once('/')?;
        Some((bucket, storage.parse().ok()?))
    });
    let after = match after {
        Some(None) => return Err(Error::new(Kind::Invalid, "`after` is not the `next` of a page.")),
        Some(after) => after,
        None => None,
    };
    let asked = inventories::CoverageAsked { gateways: chosen(&asked.gateway), part: &asked.bucket, after };
    let mut rows = inventories::coverage(&services.db, asked, limit + 1).await?;
    let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        rows.pop();
    }
    let next = rows.last().filter(|_| more).map(|last| format!("{}/{}", last.bucket, last.storage_id));
    let coverage = rows.into_iter().map(BucketCoverage::read).collect::<Result<_, _>>()?;
    Ok(Json(Coverage { coverage, truncated: more, next }))
}

impl BucketCoverage {
    fn read(row: inventories::CoverageRow) -> Result<Self, Error> {
        let number = |value| db::unsigned("inventories", "content", value);
        let age_s = u64::try_from((row.now - row.received_at).whole_seconds()).unwrap_or(0);
        let looked = row.looked_ms > 0;
        // Both by the gateway's clock.
        let looked_before = u64::try_from(row.taken_at.unix_timestamp() - row.looked_ms / 1_000).unwrap_or(0);
        Ok(Self {
            storage_id: row.storage_id,
            gateway: row.gateway,
            bucket: row.bucket,
            toggle: row.toggle,
            encrypting: row.encrypting,
            differing: db::unsigned("gateways", "count", row.differing)?,
            because: row.because,
            kms_id: row.kms_id,
            objects_encrypted: number(row.objects_encrypted)?,
            objects_plain: number(row.objects_plain)?,
            objects_unknown: looked.then(|| number(row.objects_unknown)).transpose()?,
            bytes_encrypted: number(row.bytes_encrypted)?,
            bytes_plain: number(row.bytes_plain)?,
            age_s,
            looked_age_s: looked.then(|| age_s.saturating_add(looked_before)),
        })
    }
}
