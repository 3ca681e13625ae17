//! What the tiles are made of, read from the tables of gateways, statistics and policies.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::db::Tx;
use crate::error::Error;
use crate::gateways::Connection;
use crate::stats::store::{direction, outcome};
use crate::stats::traffic::Traffic;

/// Gateways by what is to be said of them; retired ones are in none but their own number.
pub(super) struct Gateways {
    pub(super) total: i64,
    pub(super) connected: i64,
    pub(super) late: i64,
    pub(super) lost: i64,
    pub(super) refusing: i64,
    pub(super) quarantined: i64,
    pub(super) suspended: i64,
    pub(super) retired: i64,
    pub(super) now: OffsetDateTime,
}

/// Counts the gateways of these names, all where `None`.
pub(super) async fn gateways(tx: &mut Tx, names: Option<&[String]>, heartbeat: Duration) -> Result<Gateways, Error> {
    let (late, lost) = Connection::bounds(heartbeat);
    sqlx::query_as!(
        Gateways,
        r#"select count(*) filter (where g.state <> 'retired') as "total!",
                  count(*) filter (where g.state <> 'retired' and c.word = 'connected') as "connected!",
                  count(*) filter (where g.state <> 'retired' and c.word = 'late') as "late!",
                  count(*) filter (where g.state <> 'retired' and c.word = 'lost') as "lost!",
                  count(*) filter (where g.state <> 'retired' and r.gateway_id is not null) as "refusing!",
                  count(*) filter (where g.state = 'quarantined') as "quarantined!",
                  count(*) filter (where g.state = 'suspended') as "suspended!",
                  count(*) filter (where g.state = 'retired') as "retired!",
                  now() as "now!"
           from gateways g
           left join gateway_refusals r on r.gateway_id = g.id
           cross join lateral (
               select case when g.last_seen_at is null then 'lost'
                           when g.stream_open and now() - g.last_seen_at <= make_interval(secs => $2) then 'connected'
                           when now() - g.last_seen_at <= make_interval(secs => $3) then 'late'
                           else 'lost' end as word) c
           where $1::text[] is null or g.name = any($1)"#,
        names,
        late.as_secs_f64(),
        lost.as_secs_f64()
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| Error::database("count the gateways", error))
}

/// What the gateways of these names counted since ever.
pub(super) async fn totals(tx: &mut Tx, names: Option<&[String]>) -> Result<Traffic, Error> {
    let rows = sqlx::query!(
        r#"select t.outcome, t.direction, sum(t.objects)::bigint as "objects!", sum(t.bytes)::bigint as "bytes!"
           from object_totals t
           where $1::text[] is null or t.gateway_id in (select id from gateways where name = any($1))
           group by t.outcome, t.direction"#,
        names
    )
    .fetch_all(&mut **tx)
    .await
    .map_err(|error| Error::database("sum the totals of objects", error))?;
    let mut traffic = Traffic::default();
    for row in rows {
        traffic.add(outcome(&row.outcome)?, direction(&row.direction)?, row.objects, row.bytes);
    }
    let kms = sqlx::query!(
        r#"select coalesce(sum(t.calls), 0)::bigint as "calls!",
                  coalesce(sum(t.calls) filter (where t.result <> 'ok'), 0)::bigint as "errors!"
           from kms_totals t
           where $1::text[] is null or t.gateway_id in (select id from gateways where name = any($1))"#,
        names
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| Error::database("sum the calls of KMS", error))?;
    (traffic.kms_calls, traffic.kms_errors) = (kms.calls, kms.errors);
    Ok(traffic)
}

/// What is stored, as the inventories say, each storage once.
pub(super) struct Stored {
    pub(super) buckets: i64,
    pub(super) encrypting: i64,
    pub(super) not_looked_through: i64,
    pub(super) objects_encrypted: i64,
    pub(super) objects_plain: i64,
    /// Of the buckets that were looked through; none where none was.
    pub(super) objects_unknown: Option<i64>,
    pub(super) bytes_encrypted: i64,
    pub(super) bytes_plain: i64,
}

/// What the storages behind the gateways of these names hold.
pub(super) async fn stored(tx: &mut Tx, names: Option<&[String]>) -> Result<Stored, Error> {
    sqlx::query_as!(
        Stored,
        r#"select count(*) as "buckets!", count(*) filter (
                      where b.encrypting and (o.differing = 0 or b.because ~ '(^|, )(toggle|floor)(,|$)')) as "encrypting!",
                  count(*) filter (where coalesce(b.looked_ms, 0) <= 0) as "not_looked_through!",
                  coalesce(sum(b.objects_encrypted), 0)::bigint as "objects_encrypted!",
                  coalesce(sum(b.objects_plain), 0)::bigint as "objects_plain!",
                  sum(b.objects_unknown) filter (where b.looked_ms > 0)::bigint as objects_unknown,
                  coalesce(sum(b.bytes_encrypted), 0)::bigint as "bytes_encrypted!",
                  coalesce(sum(b.bytes_plain), 0)::bigint as "bytes_plain!"
           from inventories i
           join gateways g on g.id = i.gateway_id
           cross join lateral jsonb_to_recordset(i.content -> 'buckets') as b (
               encrypting boolean, because text, objects_encrypted bigint, objects_plain bigint, objects_unknown bigint,
               bytes_encrypted bigint, bytes_plain bigint, looked_ms bigint)
           cross join lateral (
               select count(*) as differing from gateways m, policy_head h
               where m.storage_id = i.storage_id and m.state <> 'retired'
                 and (m.lineage is distinct from h.lineage or m.effective < h.number or m.labels <> g.labels)) o
           where $1::text[] is null
              or i.gateway_id in (select id from gateways where name = any($1))
              or i.storage_id in (select storage_id from gateways where name = any($1))"#,
        names
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| Error::database("sum the inventories", error))
}

/// KMS as the inventories say, each storage's once.
pub(crate) struct Kms {
    pub(crate) total: i64,
    pub(crate) healthy: i64,
}

/// KMS of the storages behind the gateways of these names.
pub(crate) async fn kms(tx: &mut Tx, names: Option<&[String]>) -> Result<Kms, Error> {
    sqlx::query_as!(
        Kms,
        r#"select count(*) as "total!", count(*) filter (where k.state = 'ok') as "healthy!"
           from inventories i
           cross join lateral jsonb_to_recordset(i.content -> 'kms') as k (state text)
           where $1::text[] is null
              or i.gateway_id in (select id from gateways where name = any($1))
              or i.storage_id in (select storage_id from gateways where name = any($1))"#,
        names
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| Error::database("count the KMS", error))
}

/// How far the gateways that should have the head have come with it.
pub(crate) struct Convergence {
    pub(crate) lineage: Uuid,
    pub(crate) number: i64,
    pub(crate) since: Option<OffsetDateTime>,
    pub(crate) gateways: i64,
    pub(crate) received: i64,
    pub(crate) applied: i64,
    pub(crate) effective: i64,
    pub(crate) refused: i64,
}

/// The same numbers as the convergence has gateway by gateway.
pub(crate) async fn convergence(tx: &mut Tx, names: Option<&[String]>) -> Result<Convergence, Error> {
    sqlx::query_as!(
        Convergence,
        r#"select h.lineage, h.number, max(p.created_at) as since, count(g.id) as "gateways!",
                  count(g.id) filter (where g.lineage = h.lineage and g.received >= h.number) as "received!",
                  count(g.id) filter (where g.lineage = h.lineage and g.applied >= h.number) as "applied!",
                  count(g.id) filter (where g.lineage = h.lineage and g.effective >= h.number) as "effective!",
                  count(r.gateway_id) filter (
                      where not coalesce(g.lineage = h.lineage and g.applied >= h.number, false)) as "refused!"
           from policy_head h
           left join policy_revisions p on p.lineage = h.lineage and p.number = h.number
           left join gateways g on g.state in ('pending', 'active', 'quarantined')
                and ($1::text[] is null or g.name = any($1))
           left join gateway_refusals r on r.gateway_id = g.id and r.lineage = h.lineage and r.number >= h.number
           group by h.lineage, h.number"#,
        names
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| Error::database("sum the convergence", error))
}
