//! One look at everything that consoles show.

use std::time::Duration;

use sqlx::PgPool;

use crate::db;
use crate::error::Error;
use crate::gateways::Connection;

/// The head's number, and texts that differ when gateways or statistics do.
pub(super) async fn marks(db: &PgPool, heartbeat: Duration) -> Result<(u64, String, String), Error> {
    let (late, lost) = Connection::bounds(heartbeat);
    let row = sqlx::query!(
        r#"select (select number from policy_head) as "number!",
                  (select coalesce(md5(string_agg(concat_ws('|', g.id, g.state, g.version, g.labels, g.lineage, g.received,
                              g.applied, g.effective, g.uploads_open, r.digest, r.at,
                              case when g.last_seen_at is null then 'lost'
                                   when g.stream_open and now() - g.last_seen_at <= make_interval(secs => $1)
                                   then 'connected'
                                   when now() - g.last_seen_at <= make_interval(secs => $2) then 'late'
                                   else 'lost' end), ',' order by g.id)), '')
                   from gateways g left join gateway_refusals r on r.gateway_id = g.id) as "gateways!",
                  concat_ws('|', (select sum(high_water) from report_series), (select count(*) from report_series),
                            (select max(received_at) from inventories)) as "statistics!""#,
        late.as_secs_f64(),
        lost.as_secs_f64()
    )
    .fetch_one(db)
    .await
    .map_err(|error| Error::database("look for what changed", error))?;
    Ok((db::unsigned("policy_head", "number", row.number)?, row.gateways, row.statistics))
}
