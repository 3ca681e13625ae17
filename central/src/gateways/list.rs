//! Lists of gateways: which, page by page, how many, and what went through each.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Connection;
use crate::error::Error;
use crate::stats::store::{direction, outcome};
use crate::stats::traffic::Traffic;

/// Which gateways.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter<'a> {
    /// Those of these names; none: of any.
    pub(super) names: Option<&'a [String]>,
    /// A part of the name; empty: any.
    pub(super) part: &'a str,
    /// With this label, whose value begins so.
    pub(super) label: Option<(&'a str, &'a str)>,
    /// In one of these states; none: in any.
    pub(super) states: Option<&'a [String]>,
    /// Connected so, and not retired; none: however.
    pub(super) connections: Option<&'a [String]>,
    /// Only those that refuse a policy set, and are not retired.
    pub(super) refusing: bool,
    /// Only those that should have the head and at which it is not effective.
    pub(super) behind: bool,
    /// The retired ones too.
    pub(super) retired: bool,
    /// As gateways are told, to judge the connection.
    pub(super) heartbeat: Duration,
}

impl Filter<'_> {
    /// All gateways.
    pub(super) fn all(heartbeat: Duration) -> Self {
        Self {
            names: None,
            part: "",
            label: None,
            states: None,
            connections: None,
            refusing: false,
            behind: false,
            retired: true,
            heartbeat,
        }
    }
}

/// One gateway as an administrator sees it.
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) state_since: OffsetDateTime,
    pub(super) state_because: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) enrolled_at: OffsetDateTime,
    pub(super) version: String,
    pub(super) address: String,
    pub(super) storage_id: Option<Uuid>,
    pub(super) epoch: Option<Uuid>,
    pub(super) intruder_epoch: Option<Uuid>,
    pub(super) intruder_address: Option<String>,
    pub(super) intruder_at: Option<OffsetDateTime>,
    pub(super) stream_open: bool,
    pub(super) stream_since: Option<OffsetDateTime>,
    pub(super) last_seen_at: Option<OffsetDateTime>,
    pub(super) clock_skew_ms: i64,
    pub(super) uploads_open: i64,
    pub(super) oldest_upload_at: Option<OffsetDateTime>,
    pub(super) lineage: Option<Uuid>,
    pub(super) received: i64,
    pub(super) applied: i64,
    pub(super) effective: i64,
    pub(super) refusal: Option<RefusalRow>,
    pub(super) ahead: bool,
    pub(super) certificate_not_after: Option<OffsetDateTime>,
    pub(super) now: OffsetDateTime,
}

/// What it refuses.
pub(super) struct RefusalRow {
    pub(super) lineage: Uuid,
    pub(super) number: i64,
    pub(super) code: String,
    pub(super) item: String,
    pub(super) reason: String,
    pub(super) kept_number: Option<i64>,
    pub(super) at: OffsetDateTime,
}

/// What gateways are put in order by; those that are alike by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    /// When it was last heard, those that never were first; all that are connected are heard now.
    Seen,
    /// Connected, late, lost.
    Connection,
    /// The numbers of its version, then the rest of it.
    Version,
    /// The policy revision that it received.
    Revision,
}

impl Sort {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Seen => "seen",
            Self::Connection => "connection",
            Self::Version => "version",
            Self::Revision => "revision",
        }
    }
}

/// Where a gateway stands in an order, so that a page can begin after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    /// What it is sorted by where that is a number, otherwise 0.
    pub(super) number: i64,
    /// Where it is a word, otherwise empty.
    pub(super) word: String,
}

/// The places of the gateways after `after`, at most `limit`.
pub(super) async fn places(
    db: &PgPool,
    filter: Filter<'_>,
    (sort, down): (Sort, bool),
    after: Option<&Place>,
    limit: i64,
) -> Result<Vec<Place>, Error> {
    let (late, lost) = Connection::bounds(filter.heartbeat);
    sqlx::query_as!(
        Place,
        r#"with placed as (
               select g.name,
                      case $12
                          when 'seen' then case
                              when c.word = 'connected' then 9223372036854775807
                              else coalesce((extract(epoch from g.last_seen_at) * 1000000)::bigint, -1) end
                          when 'connection' then array_position(array['connected', 'late', 'lost'], c.word)
                          when 'revision' then g.received
                          else 0 end as number,
                      case when $12 = 'version' then g.version else '' end as word
               from gateways g
               cross join lateral (select case
                       when g.last_seen_at is null then 'lost'
                       when g.stream_open and now() - g.last_seen_at <= make_interval(secs => $7) then 'connected'
                       when now() - g.last_seen_at <= make_interval(secs => $8) then 'late'
                       else 'lost' end as word) c
               where ($1::text[] is null or g.name = any($1))
                 and ($2 = '' or position($2 in g.name) > 0)
                 and ($3::text is null or starts_with(g.labels ->> $3, $4))
                 and ($5::text[] is null or g.state = any($5))
                 and ($6::text[] is null or g.state <> 'retired' and c.word = any($6))
                 and (not $9 or g.state <> 'retired' and exists (
                         select 1 from gateway_refusals f where f.gateway_id = g.id))
                 and (not $10 or g.state in ('pending', 'active', 'quarantined') and exists (
                         select 1 from policy_head h
                         where g.lineage is distinct from h.lineage or g.effective < h.number))
                 and ($11 or g.state <> 'retired')),
           keyed as (
               select p.*, coalesce(string_to_array(substring(p.word from '^[0-9]+(?:[.][0-9]+)*'), '.'), '{}')::numeric[]
                           as numbers
               from placed p)
           select k.name, k.number as "number!", k.word as "word!"
           from keyed k
           cross join (select coalesce(string_to_array(substring($16 from '^[0-9]+(?:[.][0-9]+)*'), '.'), '{}')::numeric[]
                              as numbers) a
           where $14::text is null
              or not $13 and (k.number, k.numbers, k.word, k.name) > ($15::bigint, a.numbers, $16::text, $14)
              or $13 and (k.number, k.numbers, k.word, k.name) < ($15, a.numbers, $16, $14)
           order by case when not $13 then k.number end, case when not $13 then k.numbers end,
                    case when not $13 then k.word end, case when not $13 then k.name end,
                    case when $13 then k.number end desc, case when $13 then k.numbers end desc,
                    case when $13 then k.word end desc, case when $13 then k.name end desc
           limit $17"#,
        filter.names,
        filter.part,
        filter.label.map(|(key, _)| key),
        filter.label.map_or("", |(_, value)| value),
        filter.states,
        filter.connections,
        late.as_secs_f64(),
        lost.as_secs_f64(),
        filter.refusing,
        filter.behind,
        filter.retired,
        sort.as_str(),
        down,
        after.map(|place| place.name.as_str()),
        after.map_or(0, |place| place.number),
        after.map_or("", |place| place.word.as_str()),
        limit
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("put gateways in order", error))
}

/// The gateways of these names, in their order.
pub(super) async fn rows(db: &PgPool, names: &[String]) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query!(
        r#"select g.id, g.name, g.state, g.state_since, g.state_because,
                  g.labels as "labels: Json<BTreeMap<String, String>>", g.enrolled_at, g.version, g.address,
                  g.storage_id, g.epoch, g.intruder_epoch, g.intruder_address, g.intruder_at, g.stream_open,
                  g.stream_since, g.last_seen_at, g.clock_skew_ms, g.uploads_open, g.oldest_upload_at, g.lineage,
                  g.received, g.applied, g.effective,
                  r.lineage as "r_lineage?", r.number as "r_number?", r.code as "r_code?", r.item as "r_item?",
                  r.reason as "r_reason?", r.kept_number, r.at as "r_at?",
                  exists (select 1 from gateways_ahead a where a.gateway_id = g.id) as "ahead!",
                  (select max(c.not_after) from gateway_certificates c
                   where c.gateway_id = g.id and c.revoked_at is null) as certificate_not_after,
                  now() as "now!"
           from gateways g left join gateway_refusals r on r.gateway_id = g.id
           where g.name = any($1)
           order by array_position($1, g.name)"#,
        names
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("list gateways", error))?;
    Ok(rows
        .into_iter()
        .map(|row| Row {
            id: row.id,
            name: row.name,
            state: row.state,
            state_since: row.state_since,
            state_because: row.state_because,
            labels: row.labels.0,
            enrolled_at: row.enrolled_at,
            version: row.version,
            address: row.address,
            storage_id: row.storage_id,
            epoch: row.epoch,
            intruder_epoch: row.intruder_epoch,
            intruder_address: row.intruder_address,
            intruder_at: row.intruder_at,
            stream_open: row.stream_open,
            stream_since: row.stream_since,
            last_seen_at: row.last_seen_at,
            clock_skew_ms: row.clock_skew_ms,
            uploads_open: row.uploads_open,
            oldest_upload_at: row.oldest_upload_at,
            lineage: row.lineage,
            received: row.received,
            applied: row.applied,
            effective: row.effective,
            refusal: match (row.r_lineage, row.r_number, row.r_code, row.r_item, row.r_reason, row.r_at) {
                (Some(lineage), Some(number), Some(code), Some(item), Some(reason), Some(at)) => {
                    Some(RefusalRow { lineage, number, code, item, reason, kept_number: row.kept_number, at })
                }
                _ => None,
            },
            ahead: row.ahead,
            certificate_not_after: row.certificate_not_after,
            now: row.now,
        })
        .collect())
}

/// How many there are on all pages.
pub(super) async fn count(db: &PgPool, filter: Filter<'_>) -> Result<i64, Error> {
    let (late, lost) = Connection::bounds(filter.heartbeat);
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from gateways g
           where ($1::text[] is null or g.name = any($1))
             and ($2 = '' or position($2 in g.name) > 0)
             and ($3::text is null or starts_with(g.labels ->> $3, $4))
             and ($5::text[] is null or g.state = any($5))
             and ($6::text[] is null or g.state <> 'retired' and case
                     when g.last_seen_at is null then 'lost'
                     when g.stream_open and now() - g.last_seen_at <= make_interval(secs => $7) then 'connected'
                     when now() - g.last_seen_at <= make_interval(secs => $8) then 'late'
                     else 'lost' end = any($6))
             and (not $9 or g.state <> 'retired' and exists (
                     select 1 from gateway_refusals f where f.gateway_id = g.id))
             and (not $10 or g.state in ('pending', 'active', 'quarantined') and exists (
                     select 1 from policy_head h
                     where g.lineage is distinct from h.lineage or g.effective < h.number))
             and ($11 or g.state <> 'retired')"#,
        filter.names,
        filter.part,
        filter.label.map(|(key, _)| key),
        filter.label.map_or("", |(_, value)| value),
        filter.states,
        filter.connections,
        late.as_secs_f64(),
        lost.as_secs_f64(),
        filter.refusing,
        filter.behind,
        filter.retired
    )
    .fetch_one(db)
    .await
    .map_err(|error| Error::database("count gateways", error))
}

/// What went through each of these gateways since ever; nothing where nothing did.
pub(super) async fn traffic(db: &PgPool, gateways: &[Uuid]) -> Result<HashMap<Uuid, Traffic>, Error> {
    let rows = sqlx::query!(
        r#"select gateway_id, outcome, direction, sum(objects)::bigint as "objects!", sum(bytes)::bigint as "bytes!"
           from object_totals where gateway_id = any($1) group by gateway_id, outcome, direction"#,
        gateways
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("sum what went through gateways", error))?;
    let mut sums: HashMap<Uuid, Traffic> = HashMap::new();
    for row in rows {
        let traffic = sums.entry(row.gateway_id).or_default();
        traffic.add(outcome(&row.outcome)?, direction(&row.direction)?, row.objects, row.bytes);
    }
    Ok(sums)
}

#[cfg(test)]
mod tests;
