//! The gateways' figures over time: what one report adds, booked under every length of period at once.
//!
//! A row of `traffic_rollups` has what a graph shows, of one gateway in one period, whatever the number of its buckets;
//! `object_rollups` beside it has the same counts bucket by bucket.

use ids::{Direction, GatewayId, Outcome};
use sqlx::PgPool;
use time::{Duration, OffsetDateTime};

use crate::db::Tx;
use crate::error::Error;

/// How long the rows of a period are kept, in days; those of days as the configuration says.
const KEPT_DAYS: [(Period, i32); 3] = [(Period::Minute, 2), (Period::Quarter, 8), (Period::Hour, 100)];

/// A length of time under which traffic is booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Period {
    /// 60 s; kept for two days.
    Minute,
    /// Of an hour; kept for eight days.
    Quarter,
    /// Kept for a hundred days.
    Hour,
    /// In UTC; kept as configured.
    Day,
}

impl Period {
    /// Every one, shortest first.
    pub(crate) const ALL: [Self; 4] = [Self::Minute, Self::Quarter, Self::Hour, Self::Day];

    /// The spelling in SQL.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Quarter => "quarter",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Its length.
    pub(crate) const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Quarter => 900,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// How long its rows are there at least; none: as long as the configuration says.
    pub(crate) fn kept(self) -> Option<Duration> {
        KEPT_DAYS.iter().find(|(period, _)| *period == self).map(|(_, days)| Duration::days((*days).into()))
    }

    fn begin(self, at: OffsetDateTime) -> OffsetDateTime {
        floor(at, self.seconds())
    }
}

/// The last multiple of `seconds` since 1970 that is not after `at`.
pub(crate) fn floor(at: OffsetDateTime, seconds: i64) -> OffsetDateTime {
    let unix = at.unix_timestamp();
    OffsetDateTime::from_unix_timestamp(unix - unix.rem_euclid(seconds)).unwrap_or(at)
}

/// What became of the data of an object that was sent towards the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Encrypted.
    Encrypted,
    /// As it was.
    Plain,
    /// By which the outcome does not tell: decided under an earlier revision, or cut off by a kill.
    Other,
    /// Not at all: refused, or failed.
    Not,
}

impl Stored {
    /// What an outcome towards the storage means.
    pub(crate) const fn by(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Encrypted => Self::Encrypted,
            Outcome::Plain | Outcome::WouldEncrypt | Outcome::WouldDeny | Outcome::Error => Self::Plain,
            Outcome::Grandfathered | Outcome::Indeterminate => Self::Other,
            Outcome::Denied | Outcome::Failed => Self::Not,
        }
    }
}

/// Objects and their bytes of plaintext.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) objects: i64,
    pub(crate) bytes: i64,
}

impl Amount {
    fn add(&mut self, objects: i64, bytes: i64) {
        self.objects += objects;
        self.bytes += bytes;
    }
}

/// What went through a gateway, or through many, in some time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Stored encrypted.
    pub(crate) encrypted: Amount,
    /// Stored as it was.
    pub(crate) plain: Amount,
    /// Stored, and the outcome does not tell how.
    pub(crate) other: Amount,
    /// Towards the clients.
    pub(crate) out: Amount,
    /// Refused by a policy.
    pub(crate) denied: i64,
    /// Failed.
    pub(crate) failed: i64,
    pub(crate) kms_calls: i64,
    pub(crate) kms_errors: i64,
    pub(crate) upstream_requests: i64,
    pub(crate) upstream_errors: i64,
    /// Received from the storage.
    pub(crate) upstream_bytes_in: i64,
    /// Sent to the storage.
    pub(crate) upstream_bytes_out: i64,
}

impl Traffic {
    /// Adds objects of one outcome.
    pub(crate) fn add(&mut self, outcome: Outcome, direction: Direction, objects: i64, bytes: i64) {
        match (outcome, direction, Stored::by(outcome)) {
            (Outcome::Denied, ..) => self.denied += objects,
            (Outcome::Failed, ..) => self.failed += objects,
            (_, Direction::Out, _) => self.out.add(objects, bytes),
            (_, Direction::In, Stored::Encrypted) => self.encrypted.add(objects, bytes),
            (_, Direction::In, Stored::Plain) => self.plain.add(objects, bytes),
            (_, Direction::In, Stored::Other | Stored::Not) => self.other.add(objects, bytes),
        }
    }
}

/// Books what a report added, at the time at which the gateway counted it.
pub(super) async fn book(tx: &mut Tx, gateway: GatewayId, at: OffsetDateTime, traffic: &Traffic) -> Result<(), Error> {
    if *traffic == Traffic::default() {
        return Ok(());
    }
    let periods: Vec<_> = Period::ALL.iter().map(|period| period.as_str().to_owned()).collect();
    let starts: Vec<_> = Period::ALL.iter().map(|period| period.begin(at)).collect();
    sqlx::query!(
        "insert into traffic_rollups as rollup
             (period, starts_at, gateway_id, objects_encrypted, bytes_encrypted, objects_plain, bytes_plain,
              objects_other, bytes_other, objects_out, bytes_out, denied, failed, kms_calls, kms_errors,
              upstream_requests, upstream_errors, upstream_bytes_in, upstream_bytes_out)
         select period, starts_at, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19
         from unnest($1::text[], $2::timestamptz[]) as t (period, starts_at)
         on conflict (period, starts_at, gateway_id) do update set
             objects_encrypted = rollup.objects_encrypted + excluded.objects_encrypted,
             bytes_encrypted = rollup.bytes_encrypted + excluded.bytes_encrypted,
             objects_plain = rollup.objects_plain + excluded.objects_plain,
             bytes_plain = rollup.bytes_plain + excluded.bytes_plain,
             objects_other = rollup.objects_other + excluded.objects_other,
             bytes_other = rollup.bytes_other + excluded.bytes_other,
             objects_out = rollup.objects_out + excluded.objects_out,
             bytes_out = rollup.bytes_out + excluded.bytes_out,
             denied = rollup.denied + excluded.denied,
             failed = rollup.failed + excluded.failed,
             kms_calls = rollup.kms_calls + excluded.kms_calls,
             kms_errors = rollup.kms_errors + excluded.kms_errors,
             upstream_requests = rollup.upstream_requests + excluded.upstream_requests,
             upstream_errors = rollup.upstream_errors + excluded.upstream_errors,
             upstream_bytes_in = rollup.upstream_bytes_in + excluded.upstream_bytes_in,
             upstream_bytes_out = rollup.upstream_bytes_out + excluded.upstream_bytes_out",
        &periods,
        &starts,
        gateway.0,
        traffic.encrypted.objects,
        traffic.encrypted.bytes,
        traffic.plain.objects,
        traffic.plain.bytes,
        traffic.other.objects,
        traffic.other.bytes,
        traffic.out.objects,
        traffic.out.bytes,
        traffic.denied,
        traffic.failed,
        traffic.kms_calls,
        traffic.kms_errors,
        traffic.upstream_requests,
        traffic.upstream_errors,
        traffic.upstream_bytes_in,
        traffic.upstream_bytes_out
    )
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(|error| Error::database("book the traffic of a gateway", error))
}

/// Removes periods that nobody asks for any more, and days of every rollup older than `retention`.
pub(crate) async fn prune(db: &PgPool, retention: std::time::Duration) -> Result<(), Error> {
    let failed = |error| Error::database("remove old statistics", error);
    for (period, days) in KEPT_DAYS {
        sqlx::query!(
            "delete from traffic_rollups where period = $1 and starts_at < now() - make_interval(days => $2)",
            period.as_str(),
            days
        )
        .execute(db)
        .await
        .map_err(failed)?;
    }
    let seconds = retention.as_secs_f64();
    sqlx::query!(
        "delete from traffic_rollups where period = 'day' and starts_at < now() - make_interval(secs => $1)",
        seconds
    )
    .execute(db)
    .await
    .map_err(failed)?;
    sqlx::query!(
        "delete from object_rollups where period = 'day' and starts_at < now() - make_interval(secs => $1)",
        seconds
    )
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Where a span of time begins and ends, and by which step it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// A multiple of the step since 1970.
    pub(crate) from: OffsetDateTime,
    /// The same; not itself in the span.
    pub(crate) to: OffsetDateTime,
    /// Seconds.
    pub(crate) step: i64,
    /// The rows that it is read from.
    pub(crate) period: Period,
}

/// Steps of a graph in seconds, with the rows that each is read from.
const STEPS: [(i64, Period); 8] = [
    (60, Period::Minute),
    (900, Period::Quarter),
    (3_600, Period::Hour),
    (6 * 3_600, Period::Hour),
    (86_400, Period::Day),
    (7 * 86_400, Period::Day),
    (28 * 86_400, Period::Day),
    (364 * 86_400, Period::Day),
];

/// Steps that a graph has at most.
pub(crate) const MOST_STEPS: i64 = 400;

impl Span {
    /// The finest step at which there are rows since `from` and no more than [`MOST_STEPS`] steps.
    pub(crate) fn of(from: OffsetDateTime, to: OffsetDateTime, now: OffsetDateTime) -> Self {
        let fits = |(step, period): &&(i64, Period)| {
            let there = period.kept().is_none_or(|kept| floor(from, *step) >= now - kept);
            // One more at each end, since the span is widened to whole steps.
            there && (to - from).whole_seconds() / step + 2 <= MOST_STEPS
        };
        let (step, period) = STEPS.iter().find(fits).copied().unwrap_or(STEPS[STEPS.len() - 1]);
        let end = floor(to, step);
        let end = if end < to { end + Duration::seconds(step) } else { end };
        Self { from: floor(from, step), to: end, step, period }
    }

    /// When each step begins.
    pub(crate) fn steps(self) -> impl Iterator<Item = OffsetDateTime> {
        let step = Duration::seconds(self.step);
        std::iter::successors(Some(self.from), move |at| at.checked_add(step)).take_while(move |at| *at < self.to)
    }
}

/// The traffic of the gateways of these names, of all where `None`, by the beginnings of the steps; none where nothing
/// was counted.
pub(crate) async fn series(
    db: &PgPool,
    span: Span,
    gateways: Option<&[String]>,
) -> Result<Vec<(OffsetDateTime, Traffic)>, Error> {
    // Periods are put into steps here: the arithmetic of times is dear where it is done row by row.
    let rows = sqlx::query!(
        r#"select t.starts_at,
                  sum(t.objects_encrypted)::bigint as "objects_encrypted!",
                  sum(t.bytes_encrypted)::bigint as "bytes_encrypted!",
                  sum(t.objects_plain)::bigint as "objects_plain!", sum(t.bytes_plain)::bigint as "bytes_plain!",
                  sum(t.objects_other)::bigint as "objects_other!", sum(t.bytes_other)::bigint as "bytes_other!",
                  sum(t.objects_out)::bigint as "objects_out!", sum(t.bytes_out)::bigint as "bytes_out!",
                  sum(t.denied)::bigint as "denied!", sum(t.failed)::bigint as "failed!",
                  sum(t.kms_calls)::bigint as "kms_calls!", sum(t.kms_errors)::bigint as "kms_errors!",
                  sum(t.upstream_requests)::bigint as "upstream_requests!",
                  sum(t.upstream_errors)::bigint as "upstream_errors!",
                  sum(t.upstream_bytes_in)::bigint as "upstream_bytes_in!",
                  sum(t.upstream_bytes_out)::bigint as "upstream_bytes_out!"
           from traffic_rollups t
           where t.period = $1 and t.starts_at >= $2 and t.starts_at < $3
             and ($4::text[] is null or t.gateway_id in (select id from gateways where name = any($4)))
           group by t.starts_at order by t.starts_at"#,
        span.period.as_str(),
        span.from,
        span.to,
        gateways
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("read the traffic over time", error))?;
    let mut steps: Vec<(OffsetDateTime, Traffic)> = Vec::new();
    for row in rows {
        let at = floor(row.starts_at, span.step);
        if steps.last().is_none_or(|(last, _)| *last != at) {
            steps.push((at, Traffic::default()));
        }
        let Some((_, traffic)) = steps.last_mut() else { continue };
        traffic.encrypted.add(row.objects_encrypted, row.bytes_encrypted);
        traffic.plain.add(row.objects_plain, row.bytes_plain);
        traffic.other.add(row.objects_other, row.bytes_other);
        traffic.out.add(row.objects_out, row.bytes_out);
        traffic.denied += row.denied;
        traffic.failed += row.failed;
        traffic.kms_calls += row.kms_calls;
        traffic.kms_errors += row.kms_errors;
        traffic.upstream_requests += row.upstream_requests;
        traffic.upstream_errors += row.upstream_errors;
        traffic.upstream_bytes_in += row.upstream_bytes_in;
        traffic.upstream_bytes_out += row.upstream_bytes_out;
    }
    Ok(steps)
}
