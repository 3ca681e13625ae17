//! What each storage holds, as one of its gateways last told, and how much of it is encrypted.

use ids::GatewayId;
use proto::report::{BackendState, Inventory};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::Error;

/// What a storage holds, unless something newer is known.
pub(super) async fn put(tx: &mut Tx, gateway: GatewayId, inventory: &Inventory) -> Result<(), Error> {
    let known =
        sqlx::query_scalar!("select content from inventories where storage_id = $1 for update", inventory.storage_id.0)
            .fetch_optional(&mut **tx)
            .await
            .map_err(|error| Error::database("read an inventory", error))?;
    let taken = OffsetDateTime::from_unix_timestamp_nanos(i128::from(inventory.taken_ms) * 1_000_000)
        .map_err(|error| Error::internal("the time of an inventory", error))?
        // A clock that is ahead must not shut out the gateways that take the inventory after it.
        .min(OffsetDateTime::now_utc());
    sqlx::query!(
        "insert into inventories as known (storage_id, gateway_id, taken_at, content) values ($1, $2, $3, $4)
         on conflict (storage_id) do update
         set gateway_id = excluded.gateway_id, taken_at = excluded.taken_at, received_at = now(),
             content = excluded.content
         where known.taken_at <= excluded.taken_at",
        inventory.storage_id.0,
        gateway.0,
        taken,
        content(inventory, taken, known.as_ref())
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("store an inventory", error))?;
    Ok(())
}

/// When a backend was added: as it is told, else as it was known before, else now that it is heard of.
fn added(backend: &BackendState, taken: OffsetDateTime, known: Option<&serde_json::Value>) -> i64 {
    if backend.added_ms > 0 {
        return backend.added_ms;
    }
    let before = known.and_then(|known| known["backends"].as_array()).into_iter().flatten();
    let since = before.filter(|one| one["name"] == backend.name.as_str()).find_map(|one| one["added_ms"].as_i64());
    since.filter(|&since| since > 0).unwrap_or(taken.unix_timestamp() * 1_000)
}

fn content(inventory: &Inventory, taken: OffsetDateTime, known: Option<&serde_json::Value>) -> serde_json::Value {
    let buckets: Vec<_> = inventory
        .buckets
        .iter()
        .map(|bucket| {
            serde_json::json!({
                "bucket": bucket.bucket, "toggle": bucket.toggle, "encrypting": bucket.encrypting,
                "because": bucket.because, "objects_encrypted": bucket.objects_encrypted,
                "objects_plain": bucket.objects_plain, "objects_unknown": bucket.objects_unknown,
                "bytes_encrypted": bucket.bytes_encrypted, "bytes_plain": bucket.bytes_plain,
                "looked_ms": bucket.looked_ms,
            })
        })
        .collect();
    let kms: Vec<_> = inventory
        .kms
        .iter()
        .map(|kms| {
            serde_json::json!({
                "id": kms.id, "provider": kms.provider, "state": kms.state, "active": kms.active,
                "key_versions": kms.key_versions, "newest_key_ms": kms.newest_key_ms,
                "objects": kms.objects,
            })
        })
        .collect();
    let backends: Vec<_> = inventory
        .backends
        .iter()
        .map(|backend| {
            serde_json::json!({
                "name": backend.name, "kind": backend.kind,
                "added_ms": added(backend, taken, known),
                "buckets": backend.buckets, "region": backend.region,
            })
        })
        .collect();
    serde_json::json!({ "buckets": buckets, "kms": kms, "backends": backends })
}

/// A storage as it was last seen.
pub(super) struct InventoryRow {
    pub(super) storage_id: Uuid,
    pub(super) gateway: String,
    pub(super) taken_at: OffsetDateTime,
    pub(super) received_at: OffsetDateTime,
    pub(super) content: serde_json::Value,
}

/// The storages behind the gateways of these names, all where `None`; at most `limit`.
pub(super) async fn list(db: &PgPool, names: Option<&[String]>, limit: i64) -> Result<Vec<InventoryRow>, Error> {
    let rows = sqlx::query!(
        "select i.storage_id, g.name, i.taken_at, i.received_at, i.content
         from inventories i join gateways g on g.id = i.gateway_id
         where $1::text[] is null or g.name = any($1)
            or i.storage_id in (select storage_id from gateways where name = any($1))
         order by i.storage_id limit $2",
        names,
        limit
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("read the inventories", error))?;
    Ok(rows
        .into_iter()
        .map(|row| InventoryRow {
            storage_id: row.storage_id,
            gateway: row.name,
            taken_at: row.taken_at,
            received_at: row.received_at,
            content: row.content,
        })
        .collect())
}

/// What is known of a bucket of a storage.
pub(super) struct CoverageRow {
    pub(super) storage_id: Uuid,
    pub(super) gateway: String,
    pub(super) taken_at: OffsetDateTime,
    pub(super) received_at: OffsetDateTime,
    pub(super) bucket: String,
    pub(super) toggle: bool,
    pub(super) encrypting: bool,
    pub(super) differing: i64,
    pub(super) because: String,
    pub(super) objects_encrypted: i64,
    pub(super) objects_plain: i64,
    pub(super) objects_unknown: i64,
    pub(super) bytes_encrypted: i64,
    pub(super) bytes_plain: i64,
    /// 0 in what was stored before gateways told it, too.
    pub(super) looked_ms: i64,
    pub(super) kms_id: Option<String>,
    pub(super) now: OffsetDateTime,
}

/// Which buckets.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct CoverageAsked<'a> {
    /// Of the storages behind the gateways of these names; none: of all.
    pub(super) gateways: Option<&'a [String]>,
    /// A part of the bucket's name; empty: all.
    pub(super) part: &'a str,
    /// Those after this bucket and storage.
    pub(super) after: Option<(&'a str, Uuid)>,
}

/// The buckets of the storages, each once, by name and storage; at most `limit`.
pub(super) async fn coverage(db: &PgPool, asked: CoverageAsked<'_>, limit: i64) -> Result<Vec<CoverageRow>, Error> {
    sqlx::query_as!(
        CoverageRow,
        r#"select i.storage_id, g.name as gateway, i.taken_at, i.received_at, b.bucket as "bucket!",
                  b.toggle as "toggle!", b.encrypting and (o.differing = 0 or b.because ~ '(^|, )(toggle|floor)(,|$)')
                      as "encrypting!", o.differing as "differing!", b.because as "because!",
                  b.objects_encrypted as "objects_encrypted!", b.objects_plain as "objects_plain!",
                  b.objects_unknown as "objects_unknown!", b.bytes_encrypted as "bytes_encrypted!",
                  b.bytes_plain as "bytes_plain!", coalesce(b.looked_ms, 0) as "looked_ms!",
                  (select k.id from jsonb_to_recordset(i.content -> 'kms') as k (id text, active boolean)
                   where k.active limit 1) as kms_id,
                  now() as "now!"
           from inventories i
           join gateways g on g.id = i.gateway_id
           cross join lateral jsonb_to_recordset(i.content -> 'buckets') as b (
               bucket text, toggle boolean, encrypting boolean, because text, objects_encrypted bigint,
               objects_plain bigint, objects_unknown bigint, bytes_encrypted bigint, bytes_plain bigint,
               looked_ms bigint)
           cross join lateral (
               select count(*) as differing from gateways m, policy_head h
               where m.storage_id = i.storage_id and m.state <> 'retired'
                 and (m.lineage is distinct from h.lineage or m.effective < h.number or m.labels <> g.labels)) o
           where ($1::text[] is null or g.name = any($1)
                  or i.storage_id in (select storage_id from gateways where name = any($1)))
             and ($2 = '' or position($2 in b.bucket) > 0)
             and ($3::text is null or (b.bucket collate "C", i.storage_id) > ($3 collate "C", $4::uuid))
           order by b.bucket collate "C", i.storage_id limit $5"#,
        asked.gateways,
        asked.part,
        asked.after.map(|(bucket, _)| bucket),
        asked.after.map(|(_, storage)| storage),
        limit
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("read the coverage", error))
}
