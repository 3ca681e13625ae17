//! Figures, inventories and convergence over REST.

use axum::extract::{Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::store;
use crate::caller::Permit;
use crate::db;
use crate::error::{Error, Problem};
use crate::gateways::{Connection, State as GatewayState};
use crate::rpc::Services;

/// Rows of one answer, at most.
const ROWS: i64 = 10_000;

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
}

impl By {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Bucket => "bucket",
            Self::Policy => "policy",
            Self::Outcome => "outcome",
        }
    }
}

/// Which figures.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Sum by this; absent: a row for each key.
    #[param(inline)]
    by: Option<By>,
    /// Counted since this (RFC 3339), rounded down to a period; absent: for all time. Periods are minutes for two days,
    /// hours for ninety, then days.
    #[serde(default, with = "time::serde::rfc3339::option")]
    since: Option<OffsetDateTime>,
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
    let by = question.by.map(By::as_str);
    let found = match question.since {
        Some(since) => store::since(&services.db, by, since, ROWS + 1).await?,
        None => store::totals(&services.db, by, ROWS + 1).await?,
    };
    let number = |column, value| db::unsigned("object_totals", column, value);
    let mut rows = found
        .into_iter()
        .map(|row| {
            Ok(Row {
                gateway: row.gateway,
                bucket: row.bucket,
                policy: row.policy,
                outcome: row.outcome,
                objects: number("objects", row.objects)?,
                bytes: number("bytes", row.bytes)?,
                objects_read: number("objects", row.objects_read)?,
                bytes_read: number("bytes", row.bytes_read)?,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let limit = usize::try_from(ROWS).unwrap_or(usize::MAX);
    let truncated = rows.len() > limit;
    rows.truncate(limit);
    Ok(Json(Figures { rows, truncated }))
}

/// Which revision.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Its number; absent: the head.
    revision: Option<u64>,
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
    /// Gateway by gateway.
    pub by_gateway: Vec<GatewayProgress>,
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
    let (lineage, head) = store::head(&services.db).await?;
    let revision = which.revision.unwrap_or(head);
    if revision > head {
        return Err(Error::not_found("policy revision", &revision.to_string()));
    }
    let heartbeat = services.fleet.heartbeat();
    let by_gateway = store::convergence(&services.db, lineage, revision)
        .await?
        .into_iter()
        .map(|row| {
            Ok(GatewayProgress {
                connection: Connection::judge(row.stream_open, row.last_seen_at, row.now, heartbeat),
                name: row.name,
                state: row.state,
                received: row.received,
                applied: row.applied,
                effective: row.effective,
                uploads_open: db::unsigned("gateways", "uploads_open", row.uploads_open)?,
                refusal: row.refusal.filter(|_| !row.applied).map(|(code, item, reason)| WhyRefused {
                    code,
                    item,
                    reason,
                }),
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let count = |is: fn(&GatewayProgress) -> bool| by_gateway.iter().filter(|gateway| is(gateway)).count() as u64;
    Ok(Json(Convergence {
        lineage,
        revision,
        gateways: by_gateway.len() as u64,
        received: count(|gateway| gateway.received),
        applied: count(|gateway| gateway.applied),
        effective: count(|gateway| gateway.effective),
        refused: count(|gateway| gateway.refusal.is_some()),
        by_gateway,
    }))
}

/// Every storage behind the gateways, as one of its gateways last saw it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Inventories {
    /// At most 1,000.
    pub inventories: Vec<Inventory>,
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
#[utoipa::path(get, path = "/inventories", tag = "statistics", responses((status = 200, body = Inventories)))]
pub async fn inventories(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
) -> Result<Json<Inventories>, Error> {
    let inventories = store::inventories(&services.db)
        .await?
        .into_iter()
        .map(|row| Inventory {
            storage_id: row.storage_id,
            gateway: row.gateway,
            taken_at: row.taken_at,
            received_at: row.received_at,
            content: row.content,
        })
        .collect();
    Ok(Json(Inventories { inventories }))
}

/// How much of what is stored is encrypted, bucket by bucket.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Coverage {
    /// At most 10,000.
    pub coverage: Vec<BucketCoverage>,
    /// There are more rows.
    pub truncated: bool,
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
    /// Every new object is encrypted.
    pub encrypting: bool,
    /// What asks for encryption, of all objects or of some.
    pub because: String,
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

/// A bucket in the content of an inventory, as the store writes it.
#[derive(Debug, Deserialize)]
struct StoredBucket {
    bucket: String,
    toggle: bool,
    encrypting: bool,
    because: String,
    objects_encrypted: u64,
    objects_plain: u64,
    objects_unknown: u64,
    bytes_encrypted: u64,
    bytes_plain: u64,
    /// Absent in what was stored before gateways told it.
    #[serde(default)]
    looked_ms: i64,
}

#[derive(Debug, Deserialize)]
struct StoredContent {
    buckets: Vec<StoredBucket>,
}

/// How much of each bucket is encrypted, and how old that knowledge is.
#[utoipa::path(get, path = "/coverage", tag = "statistics", responses((status = 200, body = Coverage)))]
pub async fn coverage(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
) -> Result<Json<Coverage>, Error> {
    let now = OffsetDateTime::now_utc();
    let mut coverage = Vec::new();
    for row in store::inventories(&services.db).await? {
        let content: StoredContent =
            serde_json::from_value(row.content).map_err(|error| Error::corrupt("inventories", "content", error))?;
        let age_s = u64::try_from((now - row.received_at).whole_seconds()).unwrap_or(0);
        // Both by the gateway's clock.
        let looked_before = |looked_ms: i64| {
            let taken_s = row.taken_at.unix_timestamp();
            u64::try_from(taken_s - looked_ms / 1_000).unwrap_or(0)
        };
        coverage.extend(content.buckets.into_iter().map(|bucket| {
            let looked = bucket.looked_ms > 0;
            BucketCoverage {
                storage_id: row.storage_id,
                gateway: row.gateway.clone(),
                bucket: bucket.bucket,
                toggle: bucket.toggle,
                encrypting: bucket.encrypting,
                because: bucket.because,
                objects_encrypted: bucket.objects_encrypted,
                objects_plain: bucket.objects_plain,
                objects_unknown: looked.then_some(bucket.objects_unknown),
                bytes_encrypted: bucket.bytes_encrypted,
                bytes_plain: bucket.bytes_plain,
                age_s,
                looked_age_s: looked.then(|| age_s.saturating_add(looked_before(bucket.looked_ms))),
            }
        }));
    }
    let limit = usize::try_from(ROWS).unwrap_or(usize::MAX);
    let truncated = coverage.len() > limit;
    coverage.truncate(limit);
    Ok(Json(Coverage { coverage, truncated }))
}
