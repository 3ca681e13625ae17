//! One look for everything that is the matter.

use std::time::Duration;

use sqlx::PgPool;
use time::OffsetDateTime;

use super::Kind;
use crate::db;
use crate::error::Error;
use crate::gateways::Connection;

/// Something that is the matter.
pub(crate) struct Found {
    pub(crate) kind: Kind,
    /// Name of the gateway.
    pub(crate) subject: String,
    /// What the kind says more: a refusal's reason, a KMS ID; empty where nothing.
    pub(crate) detail: String,
    pub(crate) since: OffsetDateTime,
}

/// What is the matter, newest first, at most 200; and how much there is.
pub(crate) async fn present(db: &PgPool, heartbeat: Duration) -> Result<(Vec<Found>, u64), Error> {
    let (late, lost) = Connection::bounds(heartbeat);
    let rows = sqlx::query!(
        r#"with found (kind, subject, detail, since) as (
               select case when g.last_seen_at is null or now() - g.last_seen_at > make_interval(secs => $2)
                           then 'gateway-lost' else 'gateway-late' end,
                      g.name, '', coalesce(g.last_seen_at, g.enrolled_at)
               from gateways g
               where g.state in ('active', 'quarantined')
                 and not (g.stream_open and now() - g.last_seen_at <= make_interval(secs => $1))
               union all
               select 'refusal', g.name, concat_ws(': ', nullif(r.item, ''), r.reason), r.at
               from gateway_refusals r join gateways g on g.id = r.gateway_id
               where g.state <> 'retired'
               union all
               select 'quarantine', g.name, '', g.state_since from gateways g where g.state = 'quarantined'
               union all
               select 'certificate', g.name, '', c.not_after - (c.not_after - c.issued_at) / 4
               from gateways g
               join lateral (
                   select issued_at, not_after from gateway_certificates
                   where gateway_id = g.id and revoked_at is null order by not_after desc limit 1) c on true
               where g.state in ('active', 'quarantined') and now() > c.not_after - (c.not_after - c.issued_at) / 4
               union all
               select 'kms', g.name, k.id, i.taken_at
               from inventories i
               join gateways g on g.id = i.gateway_id
               cross join lateral jsonb_to_recordset(i.content -> 'kms') as k (id text, state text)
               where k.state <> 'ok' and g.state <> 'retired'
               union all
               select 'no-kms', g.name, '', i.taken_at
               from inventories i join gateways g on g.id = i.gateway_id
               where g.state <> 'retired'
                 and not exists (select from jsonb_to_recordset(i.content -> 'kms') as k (active boolean) where k.active)
                 and exists (
                     select from jsonb_to_recordset(i.content -> 'buckets') as b (because text) where b.because <> '')
               union all
               select 'statistics-gap', g.name, '', max(s.gap_at)
               from report_series s join gateways g on g.id = s.gateway_id
               where s.gap_at > now() - interval '7 days' and g.state <> 'retired' group by g.name
               union all
               select 'behind-the-fleet', g.name, a.number::text, a.at
               from gateways_ahead a
               join policy_head h on h.lineage = a.lineage
               join gateways g on g.id = a.gateway_id
               where (a.number > h.number or (a.number = h.number and a.digest <> h.digest)) and g.state <> 'retired')
           select kind as "kind!", subject as "subject!", detail as "detail!", since as "since!",
                  count(*) over () as "total!"
           from found order by since desc, kind, subject, detail limit 200"#,
        late.as_secs_f64(),
        lost.as_secs_f64()
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("look for what is the matter", error))?;
    let total = db::unsigned("gateways", "count", rows.first().map_or(0, |row| row.total))?;
    let found = rows.into_iter().map(|row| {
        let kind = Kind::read(&row.kind)
            .ok_or_else(|| Error::internal("a notification", anyhow::anyhow!("{:?} is no kind", row.kind)))?;
        Ok(Found { kind, subject: row.subject, detail: row.detail, since: row.since })
    });
    Ok((found.collect::<Result<_, Error>>()?, total))
}
