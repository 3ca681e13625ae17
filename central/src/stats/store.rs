//! The tables of statistics.

#[cfg(test)]
use std::collections::HashMap;
use std::time::Duration;

use ids::{Direction, GatewayId, Outcome};
use prost::Message as _;
use proto::report::Report;
use proto::wire;
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::traffic::Traffic;
use crate::db::{self, Tx};
use crate::error::{Error, Kind};
use crate::gateways::{self, Connection, Ended, State};
use crate::pki::Presented;

/// The state of the gateway that presents this certificate, or why it may not report.
pub(super) async fn bearer(tx: &mut Tx, presented: &Presented) -> Result<State, Error> {
    let row = sqlx::query!(
        r#"select g.state, c.revoked_at is not null as "revoked!"
           from gateways g join gateway_certificates c on c.gateway_id = g.id
           where g.id = $1 and c.serial = $2"#,
        presented.gateway.0,
        presented.serial
    )
    .fetch_optional(&mut **tx)
    .await
    .map_err(|error| Error::database("read the reporter", error))?
    .ok_or_else(|| {
        Error::new(Kind::Unauthenticated, "Central does not know this certificate. Enrol with a new token.")
            .code("certificate-unknown")
    })?;
    let state = State::read(&row.state)?;
    state.admit()?;
    if row.revoked {
        return Err(gateways::refusal(Ended::Revoked));
    }
    Ok(state)
}

/// Locks the mark of a series, made where it is new, until the transaction ends.
pub(super) async fn lock_mark(tx: &mut Tx, gateway: GatewayId, series: Uuid) -> Result<u64, Error> {
    let mark = sqlx::query_scalar!(
        "insert into report_series (gateway_id, series) values ($1, $2)
         on conflict (gateway_id, series) do update set reported_at = now() returning high_water",
        gateway.0,
        series
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| Error::database("lock the mark of a series", error))?;
    db::unsigned("report_series", "high_water", mark)
}

/// Everything up to this report is merged.
pub(super) async fn raise_mark(tx: &mut Tx, gateway: GatewayId, report: &Report, missing: u64) -> Result<(), Error> {
    let end = OffsetDateTime::from_unix_timestamp_nanos(i128::from(report.end_ms) * 1_000_000).ok();
    let done = sqlx::query!(
        "update report_series set high_water = $3, covered_to = $4, missing = missing + $5,
             gap_at = case when $5 > 0 or $6 > unknown_ms then now() else gap_at end,
             unknown_ms = greatest(unknown_ms, $6)
         where gateway_id = $1 and series = $2 and high_water < $3",
        gateway.0,
        report.series,
        db::signed("a sequence", report.sequence)?,
        end,
        db::signed("a gap", missing)?,
        db::signed("a gap", report.gap_ms)?
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("raise the mark of a series", error))?;
    db::exactly_one("raise the mark of a series", &done)
}

/// A report came again.
pub(super) async fn note_replay(tx: &mut Tx, gateway: GatewayId, series: Uuid) -> Result<(), Error> {
    let done = sqlx::query!(
        "update report_series set replays = replays + 1 where gateway_id = $1 and series = $2",
        gateway.0,
        series
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("count a replay", error))?;
    db::exactly_one("count a replay", &done)
}

/// Raises the totals of a series to the report's cumulative counts, and books the differences in `minute`; they are
/// added to `traffic` too.
///
/// One statement; the mark's lock keeps other reports of the series out between reading and writing the totals.
pub(super) async fn merge_objects(
    tx: &mut Tx,
    gateway: GatewayId,
    report: &Report,
    minute: OffsetDateTime,
    traffic: &mut Traffic,
) -> Result<(), Error> {
    let counts = &report.objects;
    if counts.is_empty() {
        return Ok(());
    }
    let buckets: Vec<_> = counts.iter().map(|count| count.bucket.clone()).collect();
    let policies: Vec<_> = counts.iter().map(|count| count.policy.clone()).collect();
    let outcomes: Vec<_> = counts.iter().map(|count| count.outcome.as_str().to_owned()).collect();
    let directions: Vec<_> = counts.iter().map(|count| count.direction.as_str().to_owned()).collect();
    let objects = numbers(counts.iter().map(|count| count.objects))?;
    let bytes = numbers(counts.iter().map(|count| count.bytes))?;
    let added = sqlx::query!(
        r#"with told as (
             select * from unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[])
             as told (bucket, policy, outcome, direction, objects, bytes)),
         difference as (
             select told.bucket, told.policy, told.outcome, told.direction,
                    greatest(told.objects - coalesce(total.objects, 0), 0) as objects,
                    greatest(told.bytes - coalesce(total.bytes, 0), 0) as bytes
             from told left join object_totals total
               on total.gateway_id = $1 and total.series = $2 and total.bucket = told.bucket
              and total.policy = told.policy and total.outcome = told.outcome and total.direction = told.direction),
         raised as (
             insert into object_totals as total
                 (gateway_id, series, bucket, policy, outcome, direction, objects, bytes)
             select $1, $2, bucket, policy, outcome, direction, objects, bytes from told
             on conflict (gateway_id, series, bucket, policy, outcome, direction) do update
             set objects = greatest(total.objects, excluded.objects), bytes = greatest(total.bytes, excluded.bytes)),
         booked as (
             insert into object_rollups as rollup
                 (period, starts_at, gateway_id, bucket, policy, outcome, direction, objects, bytes)
             select 'minute', $9, $1, bucket, policy, outcome, direction, objects, bytes from difference
             where objects > 0 or bytes > 0
             on conflict (period, starts_at, gateway_id, bucket, policy, outcome, direction) do update
             set objects = rollup.objects + excluded.objects, bytes = rollup.bytes + excluded.bytes)
         select outcome as "outcome!", direction as "direction!", sum(objects)::bigint as "objects!",
                sum(bytes)::bigint as "bytes!"
         from difference where objects > 0 or bytes > 0 group by outcome, direction"#,
        gateway.0,
        report.series,
        &buckets,
        &policies,
        &outcomes,
        &directions,
        &objects,
        &bytes,
        minute
    )
    .fetch_all(&mut **tx)
    .await
    .map_err(|error| Error::database("merge counts of objects", error))?;
    for row in added {
        traffic.add(outcome(&row.outcome)?, direction(&row.direction)?, row.objects, row.bytes);
    }
    Ok(())
}

/// An outcome as the tables spell it.
pub(crate) fn outcome(text: &str) -> Result<Outcome, Error> {
    text.parse().map_err(|error| Error::corrupt("object_totals", "outcome", error))
}

/// A direction as the tables spell it.
pub(crate) fn direction(text: &str) -> Result<Direction, Error> {
    text.parse().map_err(|error| Error::corrupt("object_totals", "direction", error))
}

/// Raises the totals of KMS calls; the differences are added to `traffic`.
pub(super) async fn merge_kms(
    tx: &mut Tx,
    gateway: GatewayId,
    report: &Report,
    traffic: &mut Traffic,
) -> Result<(), Error> {
    if report.kms.is_empty() {
        return Ok(());
    }
    let kms: Vec<_> = report.kms.iter().map(|count| count.kms.clone()).collect();
    let operations: Vec<_> = report.kms.iter().map(|count| count.operation.clone()).collect();
    let results: Vec<_> = report.kms.iter().map(|count| count.result.clone()).collect();
    let calls = numbers(report.kms.iter().map(|count| count.calls))?;
    let added = sqlx::query!(
        r#"with told as (
             select * from unnest($3::text[], $4::text[], $5::text[], $6::bigint[])
             as told (kms, operation, result, calls)),
         difference as (
             select told.result, greatest(told.calls - coalesce(total.calls, 0), 0) as calls
             from told left join kms_totals total
               on total.gateway_id = $1 and total.series = $2 and total.kms = told.kms
              and total.operation = told.operation and total.result = told.result),
         raised as (
             insert into kms_totals as total (gateway_id, series, kms, operation, result, calls)
             select $1, $2, kms, operation, result, calls from told
             on conflict (gateway_id, series, kms, operation, result) do update
             set calls = greatest(total.calls, excluded.calls))
         select coalesce(sum(calls), 0)::bigint as "calls!",
                coalesce(sum(calls) filter (where result <> 'ok'), 0)::bigint as "errors!"
         from difference"#,
        gateway.0,
        report.series,
        &kms,
        &operations,
        &results,
        &calls
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| Error::database("merge counts of KMS calls", error))?;
    traffic.kms_calls += added.calls;
    traffic.kms_errors += added.errors;
    Ok(())
}

/// Raises the totals of upstream requests; the differences are added to `traffic`.
pub(super) async fn merge_upstreams(
    tx: &mut Tx,
    gateway: GatewayId,
    report: &Report,
    traffic: &mut Traffic,
) -> Result<(), Error> {
    if report.upstreams.is_empty() {
        return Ok(());
    }
    let backends: Vec<_> = report.upstreams.iter().map(|count| count.backend.clone()).collect();
    let results: Vec<_> = report.upstreams.iter().map(|count| count.result.clone()).collect();
    let requests = numbers(report.upstreams.iter().map(|count| count.requests))?;
    let bytes_in = numbers(report.upstreams.iter().map(|count| count.bytes_in))?;
    let bytes_out = numbers(report.upstreams.iter().map(|count| count.bytes_out))?;
    let added = sqlx::query!(
        r#"with told as (
             select * from unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
             as told (backend, result, requests, bytes_in, bytes_out)),
         difference as (
             select told.result, greatest(told.requests - coalesce(total.requests, 0), 0) as requests,
                    greatest(told.bytes_in - coalesce(total.bytes_in, 0), 0) as bytes_in,
                    greatest(told.bytes_out - coalesce(total.bytes_out, 0), 0) as bytes_out
             from told left join upstream_totals total
               on total.gateway_id = $1 and total.series = $2 and total.backend = told.backend
              and total.result = told.result),
         raised as (
             insert into upstream_totals as total
                 (gateway_id, series, backend, result, requests, bytes_in, bytes_out)
             select $1, $2, backend, result, requests, bytes_in, bytes_out from told
             on conflict (gateway_id, series, backend, result) do update
             set requests = greatest(total.requests, excluded.requests),
                 bytes_in = greatest(total.bytes_in, excluded.bytes_in),
                 bytes_out = greatest(total.bytes_out, excluded.bytes_out))
         select coalesce(sum(requests), 0)::bigint as "requests!",
                coalesce(sum(requests) filter (where result not in ('ok', 'client_error')), 0)::bigint as "errors!",
                coalesce(sum(bytes_in), 0)::bigint as "bytes_in!", coalesce(sum(bytes_out), 0)::bigint as "bytes_out!"
         from difference"#,
        gateway.0,
        report.series,
        &backends,
        &results,
        &requests,
        &bytes_in,
        &bytes_out
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| Error::database("merge counts of upstream requests", error))?;
    traffic.upstream_requests += added.requests;
    traffic.upstream_errors += added.errors;
    traffic.upstream_bytes_in += added.bytes_in;
    traffic.upstream_bytes_out += added.bytes_out;
    Ok(())
}

fn numbers(values: impl Iterator<Item = u64>) -> Result<Vec<i64>, Error> {
    values.map(|value| db::signed("a count", value)).collect()
}

/// Keeps a report of a gateway in quarantine, at most `limit` of one gateway; further ones are dropped, since a later
/// one has their counts.
pub(super) async fn keep_aside(tx: &mut Tx, gateway: GatewayId, report: &Report, limit: i64) -> Result<(), Error> {
    let bytes = wire::Report::from(report.clone()).encode_to_vec();
    sqlx::query!(
        "insert into reports_aside (gateway_id, series, sequence, epoch, report)
         select $1, $2, $3, $4, $5
         where (select count(*) from reports_aside where gateway_id = $1) < $6
         on conflict do nothing",
        gateway.0,
        report.series,
        db::signed("a sequence", report.sequence)?,
        report.epoch.0,
        bytes,
        limit
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("keep a report aside", error))?;
    Ok(())
}

/// What a row of figures is about; none where the question sums over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(super) gateway: Option<String>,
    pub(super) bucket: Option<String>,
    pub(crate) policy: Option<String>,
    pub(crate) outcome: Option<String>,
    pub(crate) objects: i64,
    pub(super) bytes: i64,
    pub(super) objects_read: i64,
    pub(super) bytes_read: i64,
}

/// Which figures, and how they are summed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    /// One of gateway, bucket, policy, outcome, policy-outcome; none: a row for each key.
    pub(crate) by: Option<&'a str>,
    /// Names; none: all.
    pub(crate) gateways: Option<&'a [String]>,
    /// Names; none: all.
    pub(crate) buckets: Option<&'a [String]>,
    /// Names; none: all.
    pub(crate) policies: Option<&'a [String]>,
    /// Words; none: all.
    pub(crate) outcomes: Option<&'a [String]>,
}

/// Totals; at most `limit` rows.
pub(crate) async fn totals(db: &PgPool, asked: Asked<'_>, limit: i64) -> Result<Vec<Figures>, Error> {
    sqlx::query_as!(
        Figures,
        r#"select case when $1::text is null or $1 = 'gateway' then g.name end as gateway,
                  case when $1::text is null or $1 = 'bucket' then t.bucket end as bucket,
                  case when $1::text is null or $1 in ('policy', 'policy-outcome') then t.policy end as policy,
                  case when $1::text is null or $1 in ('outcome', 'policy-outcome') then t.outcome end as outcome,
                  coalesce(sum(t.objects) filter (where t.direction = 'in'), 0)::bigint as "objects!",
                  coalesce(sum(t.bytes) filter (where t.direction = 'in'), 0)::bigint as "bytes!",
                  coalesce(sum(t.objects) filter (where t.direction = 'out'), 0)::bigint as "objects_read!",
                  coalesce(sum(t.bytes) filter (where t.direction = 'out'), 0)::bigint as "bytes_read!"
           from object_totals t join gateways g on g.id = t.gateway_id
           where ($2::text[] is null or g.name = any($2)) and ($3::text[] is null or t.bucket = any($3))
             and ($4::text[] is null or t.policy = any($4)) and ($5::text[] is null or t.outcome = any($5))
           group by 1, 2, 3, 4 order by 1, 2, 3, 4 limit $6"#,
        asked.by,
        asked.gateways,
        asked.buckets,
        asked.policies,
        asked.outcomes,
        limit
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("sum the totals", error))
}

/// The same since a time, from the rollups: periods that were not over then, so that nothing since is missing.
pub(super) async fn since(
    db: &PgPool,
    asked: Asked<'_>,
    from: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Figures>, Error> {
    sqlx::query_as!(
        Figures,
        r#"select case when $1::text is null or $1 = 'gateway' then g.name end as gateway,
                  case when $1::text is null or $1 = 'bucket' then t.bucket end as bucket,
                  case when $1::text is null or $1 in ('policy', 'policy-outcome') then t.policy end as policy,
                  case when $1::text is null or $1 in ('outcome', 'policy-outcome') then t.outcome end as outcome,
                  coalesce(sum(t.objects) filter (where t.direction = 'in'), 0)::bigint as "objects!",
                  coalesce(sum(t.bytes) filter (where t.direction = 'in'), 0)::bigint as "bytes!",
                  coalesce(sum(t.objects) filter (where t.direction = 'out'), 0)::bigint as "objects_read!",
                  coalesce(sum(t.bytes) filter (where t.direction = 'out'), 0)::bigint as "bytes_read!"
           from object_rollups t join gateways g on g.id = t.gateway_id
           where ($2::text[] is null or g.name = any($2)) and ($3::text[] is null or t.bucket = any($3))
             and ($4::text[] is null or t.policy = any($4)) and ($5::text[] is null or t.outcome = any($5))
             and t.starts_at > $6::timestamptz - interval '1 day'
             and t.starts_at + ('1 ' || t.period)::interval > $6
           group by 1, 2, 3, 4 order by 1, 2, 3, 4 limit $7"#,
        asked.by,
        asked.gateways,
        asked.buckets,
        asked.policies,
        asked.outcomes,
        from,
        limit
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("sum the rollups", error))
}

/// One counter of `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FleetCount {
    pub(super) gateway: String,
    pub(super) bucket: String,
    pub(super) policy: String,
    pub(super) outcome: String,
    pub(super) direction: String,
    pub(super) objects: i64,
    pub(super) bytes: i64,
}

/// The fleet's counters; buckets beyond the `top` with the most objects are summed as `__other__`.
pub(super) async fn fleet_counts(tx: &mut Tx, top: i64) -> Result<Vec<FleetCount>, Error> {
    sqlx::query_as!(
        FleetCount,
        r#"with ranked as (
               select bucket, row_number() over (order by sum(objects) desc, bucket) as rank
               from object_totals group by bucket)
           select g.name as gateway,
                  case when r.rank <= $1 then t.bucket else '__other__' end as "bucket!",
                  t.policy, t.outcome, t.direction,
                  sum(t.objects)::bigint as "objects!", sum(t.bytes)::bigint as "bytes!"
           from object_totals t
           join ranked r on r.bucket = t.bucket
           join gateways g on g.id = t.gateway_id
           group by 1, 2, 3, 4, 5 order by 1, 2, 3, 4, 5"#,
        top
    )
    .fetch_all(&mut **tx)
    .await
    .map_err(|error| Error::database("read the fleet's counters", error))
}

/// KMS calls of `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KmsCount {
    pub(super) gateway: String,
    pub(super) kms: String,
    pub(super) operation: String,
    pub(super) result: String,
    pub(super) calls: i64,
}

/// The KMS calls of the gateways of these names, of all where `None`.
pub(crate) async fn kms_counts(tx: &mut Tx, gateways: Option<&[String]>) -> Result<Vec<KmsCount>, Error> {
    sqlx::query_as!(
        KmsCount,
        r#"select g.name as gateway, t.kms, t.operation, t.result, sum(t.calls)::bigint as "calls!"
           from kms_totals t join gateways g on g.id = t.gateway_id
           where $1::text[] is null or g.name = any($1)
           group by 1, 2, 3, 4 order by 1, 2, 3, 4"#,
        gateways
    )
    .fetch_all(&mut **tx)
    .await
    .map_err(|error| Error::database("read the fleet's KMS calls", error))
}

/// Requests of a gateway to its storages.
pub(crate) struct UpstreamCount {
    pub(crate) backend: String,
    pub(crate) result: String,
    pub(crate) requests: i64,
    pub(crate) bytes_in: i64,
    pub(crate) bytes_out: i64,
}

/// The requests of the gateway of this name to its storages.
pub(crate) async fn upstream_counts(tx: &mut Tx, gateway: &str) -> Result<Vec<UpstreamCount>, Error> {
    sqlx::query_as!(
        UpstreamCount,
        r#"select t.backend, t.result, sum(t.requests)::bigint as "requests!", sum(t.bytes_in)::bigint as "bytes_in!",
                  sum(t.bytes_out)::bigint as "bytes_out!"
           from upstream_totals t join gateways g on g.id = t.gateway_id
           where g.name = $1 group by 1, 2 order by 1, 2"#,
        gateway
    )
    .fetch_all(&mut **tx)
    .await
    .map_err(|error| Error::database("read the upstream requests of a gateway", error))
}

/// How the reports of a gateway came, in all of its series.
pub(crate) struct Reports {
    pub(crate) last_at: Option<OffsetDateTime>,
    pub(crate) covered_to: Option<OffsetDateTime>,
    pub(crate) missing: i64,
    pub(crate) replays: i64,
    pub(crate) unknown_ms: i64,
}

/// The same for the gateway of this name; none where there is none.
pub(crate) async fn reports(db: &PgPool, gateway: &str) -> Result<Option<Reports>, Error> {
    sqlx::query_as!(
        Reports,
        r#"select max(s.reported_at) as last_at, max(s.covered_to) as covered_to,
                  coalesce(sum(s.missing), 0)::bigint as "missing!", coalesce(sum(s.replays), 0)::bigint as "replays!",
                  coalesce(sum(s.unknown_ms), 0)::bigint as "unknown_ms!"
           from gateways g left join report_series s on s.gateway_id = g.id
           where g.name = $1 group by g.id"#,
        gateway
    )
    .fetch_optional(db)
    .await
    .map_err(|error| Error::database("read how the reports of a gateway came", error))
}

/// A transaction that only reads, and sees the database as it is at its first look whatever is committed meanwhile.
/// Dropping it ends it.
pub(crate) async fn one_moment(db: &PgPool) -> Result<Tx, Error> {
    let begin = "begin isolation level repeatable read read only";
    db.begin_with(begin).await.map_err(|error| Error::database("begin the look at the fleet", error))
}

/// What the gauges of the fleet are made of.
pub(super) struct FleetState {
    /// State, stream open, last seen: of each gateway.
    pub(super) gateways: Vec<(State, bool, Option<OffsetDateTime>)>,
    pub(super) refusals: i64,
    pub(super) now: OffsetDateTime,
}

/// The state of the fleet for `/metrics`.
pub(super) async fn fleet_state(tx: &mut Tx) -> Result<FleetState, Error> {
    let rows = sqlx::query!(r#"select state, stream_open, last_seen_at from gateways"#)
        .fetch_all(&mut **tx)
        .await
        .map_err(|error| Error::database("read the state of the fleet", error))?;
    let gateways = rows
        .into_iter()
        .map(|row| Ok((State::read(&row.state)?, row.stream_open, row.last_seen_at)))
        .collect::<Result<_, Error>>()?;
    let counts = sqlx::query!(
        r#"select (select count(*) from gateway_refusals r join gateways g on g.id = r.gateway_id
                    where g.state <> 'retired') as "refusals!", now() as "now!""#
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| Error::database("count the refusals", error))?;
    Ok(FleetState { gateways, refusals: counts.refusals, now: counts.now })
}

/// How far each gateway has come with one revision.
#[expect(clippy::struct_excessive_bools, reason = "three steps and a connection, each of which is so or not")]
pub(super) struct Progress {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) stream_open: bool,
    pub(super) last_seen_at: Option<OffsetDateTime>,
    pub(super) received: bool,
    pub(super) applied: bool,
    pub(super) effective: bool,
    pub(super) uploads_open: i64,
    pub(super) refusal: Option<(String, String, String)>,
    pub(super) now: OffsetDateTime,
}

/// The head's lineage and number.
pub(super) async fn head(tx: &mut Tx) -> Result<(Uuid, u64), Error> {
    let row = sqlx::query!("select lineage, number from policy_head")
        .fetch_one(&mut **tx)
        .await
        .map_err(|error| Error::database("read the head of the policies", error))?;
    Ok((row.lineage, db::unsigned("policy_head", "number", row.number)?))
}

/// With which revision, of which gateways: those of these names that should have it, not the suspended and retired ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProgressAsked<'a> {
    pub(super) lineage: Uuid,
    pub(super) number: u64,
    /// None: of all.
    pub(super) names: Option<&'a [String]>,
}

/// How many have come how far.
pub(super) struct ProgressSums {
    pub(super) gateways: i64,
    pub(super) received: i64,
    pub(super) applied: i64,
    pub(super) effective: i64,
    pub(super) refused: i64,
    /// Neither effective nor refused, and not connected.
    pub(super) unreached: i64,
}

/// The rows of [`progress`], counted.
pub(super) async fn progress_sums(
    tx: &mut Tx,
    asked: ProgressAsked<'_>,
    heartbeat: Duration,
) -> Result<ProgressSums, Error> {
    let (late, _) = Connection::bounds(heartbeat);
    sqlx::query_as!(
        ProgressSums,
        r#"with told as (
               select coalesce(g.lineage = $1 and g.received >= $2, false) as received,
                      coalesce(g.lineage = $1 and g.applied >= $2, false) as applied,
                      coalesce(g.lineage = $1 and g.effective >= $2, false) as effective,
                      r.gateway_id is not null as refuses,
                      g.stream_open and coalesce(now() - g.last_seen_at <= make_interval(secs => $4), false)
                          as connected
               from gateways g
               left join gateway_refusals r on r.gateway_id = g.id and r.lineage = $1 and r.number >= $2
               where g.state in ('pending', 'active', 'quarantined') and ($3::text[] is null or g.name = any($3)))
           select count(*) as "gateways!", count(*) filter (where received) as "received!",
                  count(*) filter (where applied) as "applied!", count(*) filter (where effective) as "effective!",
                  count(*) filter (where refuses and not applied) as "refused!",
                  count(*) filter (where not effective and not (refuses and not applied) and not connected)
                      as "unreached!"
           from told"#,
        asked.lineage,
        db::signed("a revision", asked.number)?,
        asked.names,
        late.as_secs_f64()
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| Error::database("count the convergence", error))
}

/// Gateway by gateway after `after`, at most `limit`: those that are effective, refused or waiting, where `reached` says
/// so.
pub(super) async fn progress(
    tx: &mut Tx,
    asked: ProgressAsked<'_>,
    reached: Option<&str>,
    after: &str,
    limit: i64,
) -> Result<Vec<Progress>, Error> {
    let rows = sqlx::query!(
        r#"select g.name, g.state, g.stream_open, g.last_seen_at, g.uploads_open,
                  coalesce(g.lineage = $1 and g.received >= $2, false) as "received!",
                  coalesce(g.lineage = $1 and g.applied >= $2, false) as "applied!",
                  coalesce(g.lineage = $1 and g.effective >= $2, false) as "effective!",
                  r.code as "code?", r.item as "item?", r.reason as "reason?", now() as "now!"
           from gateways g
           left join gateway_refusals r on r.gateway_id = g.id and r.lineage = $1 and r.number >= $2
                and not coalesce(g.lineage = $1 and g.applied >= $2, false)
           where g.state in ('pending', 'active', 'quarantined') and ($3::text[] is null or g.name = any($3))
             and ($4::text is null or $4 = case
                     when g.lineage = $1 and g.effective >= $2 then 'effective'
                     when r.gateway_id is not null then 'refused'
                     else 'waiting' end)
             and g.name > $5
           order by g.name limit $6"#,
        asked.lineage,
        db::signed("a revision", asked.number)?,
        asked.names,
        reached,
        after,
        limit
    )
    .fetch_all(&mut **tx)
    .await
    .map_err(|error| Error::database("read the convergence", error))?;
    rows.into_iter()
        .map(|row| {
            Ok(Progress {
                name: row.name,
                state: State::read(&row.state)?,
                stream_open: row.stream_open,
                last_seen_at: row.last_seen_at,
                received: row.received,
                applied: row.applied,
                effective: row.effective,
                uploads_open: row.uploads_open,
                refusal: match (row.code, row.item, row.reason) {
                    (Some(code), Some(item), Some(reason)) => Some((code, item, reason)),
                    _ => None,
                },
                now: row.now,
            })
        })
        .collect()
}

/// Sums minutes older than two days into hours, hours older than ninety days into days. One replica at a time does it;
/// a second finds nothing left.
pub(crate) async fn roll_up(db: &PgPool) -> Result<(), Error> {
    for (from, to, age_days) in [("minute", "hour", 2), ("hour", "day", 90)] {
        sqlx::query!(
            "with old as (
                 delete from object_rollups
                 where period = $1 and starts_at < date_trunc($2, now() - make_interval(days => $3), 'UTC')
                 returning starts_at, gateway_id, bucket, policy, outcome, direction, objects, bytes)
             insert into object_rollups as rollup
                 (period, starts_at, gateway_id, bucket, policy, outcome, direction, objects, bytes)
             select $2, date_trunc($2, starts_at, 'UTC'), gateway_id, bucket, policy, outcome, direction,
                    sum(objects)::bigint, sum(bytes)::bigint
             from old group by 2, 3, 4, 5, 6, 7
             on conflict (period, starts_at, gateway_id, bucket, policy, outcome, direction) do update
             set objects = rollup.objects + excluded.objects, bytes = rollup.bytes + excluded.bytes",
            from,
            to,
            age_days
        )
        .execute(db)
        .await
        .map_err(|error| Error::database("roll up the statistics", error))?;
    }
    Ok(())
}

/// Mark, missing and replays of each series.
#[cfg(test)]
pub(crate) async fn marks(db: &PgPool) -> Result<HashMap<Uuid, (i64, i64, i64)>, Error> {
    let rows = sqlx::query!("select series, high_water, missing, replays from report_series")
        .fetch_all(db)
        .await
        .map_err(|error| Error::database("read the marks", error))?;
    Ok(rows.into_iter().map(|row| (row.series, (row.high_water, row.missing, row.replays))).collect())
}
