//! The tables `gateways`, `gateway_refusals`, `gateways_ahead`.

use std::collections::{BTreeMap, HashMap};

use ids::{Epoch, GatewayId, Lineage, Revision};
use proto::watch::{Held, Hello, Refusal};
use sqlx::PgPool;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::fleet::{News, Refused};
use super::{Ahead, Known, State};
use crate::db::{self, Tx};
use crate::error::Error;

/// Wakes the other replicas; they read what changed.
pub(crate) const CHANNEL: &str = "sealgate_gateways";

/// A gateway whose row is locked until the transaction ends.
pub(crate) struct Locked {
    pub(crate) id: GatewayId,
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) known: Known,
    /// The certificate that was presented is revoked.
    pub(crate) revoked: bool,
}

/// Locks the gateway that presents the certificate of that serial; none where Central did not issue it to this gateway.
pub(super) async fn lock(tx: &mut Tx, gateway: GatewayId, serial: &[u8]) -> Result<Option<Locked>, Error> {
    let row = sqlx::query!(
        r#"select g.id, g.name, g.state, g.labels as "labels: Json<BTreeMap<String, String>>",
                  g.epoch, g.predecessor, g.epoch_confirmed, c.revoked_at is not null as "revoked!"
           from gateways g join gateway_certificates c on c.gateway_id = g.id
           where g.id = $1 and c.serial = $2 for update of g"#,
        gateway.0,
        serial
    )
    .fetch_optional(&mut **tx)
    .await
    .map_err(|error| Error::database("lock a gateway", error))?;
    row.map(|row| {
        Ok(Locked {
            id: GatewayId(row.id),
            name: row.name,
            state: State::read(&row.state)?,
            labels: row.labels.0,
            known: Known {
                epoch: row.epoch.map(Epoch),
                predecessor: row.predecessor.map(Epoch),
                confirmed: row.epoch_confirmed,
            },
            revoked: row.revoked,
        })
    })
    .transpose()
}

/// Locks the gateway of that name.
pub(crate) async fn lock_by_name(tx: &mut Tx, name: &str) -> Result<Option<Locked>, Error> {
    let row = sqlx::query!(
        r#"select id, name, state, labels as "labels: Json<BTreeMap<String, String>>", epoch, predecessor,
                  epoch_confirmed
           from gateways where name = $1 for update"#,
        name
    )
    .fetch_optional(&mut **tx)
    .await
    .map_err(|error| Error::database("lock a gateway by name", error))?;
    row.map(|row| {
        Ok(Locked {
            id: GatewayId(row.id),
            name: row.name,
            state: State::read(&row.state)?,
            labels: row.labels.0,
            known: Known {
                epoch: row.epoch.map(Epoch),
                predecessor: row.predecessor.map(Epoch),
                confirmed: row.epoch_confirmed,
            },
            revoked: false,
        })
    })
    .transpose()
}

/// The known life is over, this one has begun.
pub(super) async fn new_life(
    tx: &mut Tx,
    gateway: GatewayId,
    epoch: Epoch,
    predecessor: Option<Epoch>,
) -> Result<(), Error> {
    let done = sqlx::query!(
        "update gateways set epoch = $2, predecessor = $3, epoch_confirmed = false where id = $1",
        gateway.0,
        epoch.0,
        predecessor.map(|epoch| epoch.0)
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("begin a life of a gateway", error))?;
    db::exactly_one("begin a life of a gateway", &done)
}

/// A life spoke that does not follow from the known one.
pub(super) async fn note_intruder(tx: &mut Tx, gateway: GatewayId, epoch: Epoch, address: &str) -> Result<(), Error> {
    let done = sqlx::query!(
        "update gateways set intruder_epoch = $2, intruder_address = $3, intruder_at = now() where id = $1",
        gateway.0,
        epoch.0,
        address
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("note a clone", error))?;
    db::exactly_one("note a clone", &done)
}

/// The stream is open; what is held is what the hello says, whatever was acked before.
pub(super) async fn arrived(
    tx: &mut Tx,
    gateway: GatewayId,
    hello: &Hello,
    stream: Uuid,
    address: &str,
) -> Result<(), Error> {
    let lineage = hello.held.map(|held| held.revision.lineage.0);
    let number = db::signed("a held revision", hello.held.map_or(0, |held| held.revision.number))?;
    let now_ms = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    let skew = i64::try_from(i128::from(hello.clock_ms) - now_ms).unwrap_or(i64::MAX);
    let done = sqlx::query!(
        "update gateways set
             state_since = case when state = 'pending' then now() else state_since end,
             state = case when state = 'pending' then 'active' else state end,
             version = $2, capabilities = $3, storage_id = coalesce($4, storage_id), address = $5,
             stream_open = true, stream_since = now(), stream = $6, last_seen_at = now(), clock_skew_ms = $7,
             effective = case when lineage = $8 then least(effective, $9) else 0 end,
             lineage = $8, received = $9, applied = $9
         where id = $1",
        gateway.0,
        hello.version,
        &hello.capabilities,
        hello.storage_id.map(|id| id.0),
        address,
        stream,
        skew,
        lineage,
        number
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("note the arrival of a gateway", error))?;
    db::exactly_one("note the arrival of a gateway", &done)
}

/// A gateway holds more than the head.
pub(super) async fn note_ahead(tx: &mut Tx, gateway: GatewayId, held: &Held) -> Result<(), Error> {
    let number = db::signed("a held revision", held.revision.number)?;
    sqlx::query!(
        "insert into gateways_ahead (gateway_id, lineage, number, digest) values ($1, $2, $3, $4)
         on conflict (gateway_id) do update
         set lineage = excluded.lineage, number = excluded.number, digest = excluded.digest, at = now()",
        gateway.0,
        held.revision.lineage.0,
        number,
        held.digest.as_slice()
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("note a gateway ahead of Central", error))?;
    Ok(())
}

/// It does not.
pub(super) async fn forget_ahead(tx: &mut Tx, gateway: GatewayId) -> Result<(), Error> {
    sqlx::query!("delete from gateways_ahead where gateway_id = $1", gateway.0)
        .execute(&mut **tx)
        .await
        .map_err(|error| Error::database("forget a gateway ahead of Central", error))?;
    Ok(())
}

/// Who holds more than the head says, the furthest first.
pub(super) async fn ahead(tx: &mut Tx) -> Result<Vec<Ahead>, Error> {
    let rows = sqlx::query!(
        "select g.name, a.lineage, a.number
         from gateways_ahead a
         join policy_head h on h.lineage = a.lineage
         join gateways g on g.id = a.gateway_id
         where (a.number > h.number or (a.number = h.number and a.digest <> h.digest)) and g.state <> 'retired'
         order by a.number desc, g.name limit 100"
    )
    .fetch_all(&mut **tx)
    .await
    .map_err(|error| Error::database("read the gateways ahead of Central", error))?;
    rows.into_iter()
        .map(|row| {
            let number = db::unsigned("gateways_ahead", "number", row.number)?;
            Ok(Ahead { gateway: row.name, revision: Revision { lineage: Lineage(row.lineage), number } })
        })
        .collect()
}

/// The digest that the gateway refused in this life and version, for a reason that lies in the set: a disk that was
/// full may have room again.
pub(super) async fn standing_refusal(
    tx: &mut Tx,
    gateway: GatewayId,
    epoch: Epoch,
    version: &str,
) -> Result<Option<[u8; 32]>, Error> {
    let digest = sqlx::query_scalar!(
        "select digest from gateway_refusals
         where gateway_id = $1 and epoch = $2 and version = $3 and code <> 'storage'",
        gateway.0,
        epoch.0,
        version
    )
    .fetch_optional(&mut **tx)
    .await
    .map_err(|error| Error::database("read the refusal of a gateway", error))?;
    digest
        .map(|digest| {
            <[u8; 32]>::try_from(digest).map_err(|_| {
                Error::corrupt("gateway_refusals", "digest", anyhow::anyhow!("it has not the length of a SHA-256"))
            })
        })
        .transpose()
}

/// The gateway cannot apply a bundle.
pub(super) async fn note_refusal(
    db: &PgPool,
    gateway: GatewayId,
    epoch: Epoch,
    version: &str,
    refusal: &Refusal,
) -> Result<(), Error> {
    let number = db::signed("a refused revision", refusal.refused.revision.number)?;
    let kept = refusal.kept.map(|kept| db::signed("a kept revision", kept.revision.number)).transpose()?;
    let done = sqlx::query!(
        "with noted as (
             insert into gateway_events (gateway_id, kind, detail)
             values ($1, 'refused', jsonb_build_object(
                 'revision', $3::bigint, 'code', $5::text, 'item', $6::text, 'reason', $7::text,
                 'kept_revision', $8::bigint)))
         insert into gateway_refusals
             (gateway_id, lineage, number, digest, code, item, reason, kept_number, epoch, version)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (gateway_id) do update set
             lineage = excluded.lineage, number = excluded.number, digest = excluded.digest, code = excluded.code,
             item = excluded.item, reason = excluded.reason, kept_number = excluded.kept_number,
             epoch = excluded.epoch, version = excluded.version, at = now()",
        gateway.0,
        refusal.refused.revision.lineage.0,
        number,
        refusal.refused.digest.as_slice(),
        refusal.code,
        refusal.item,
        refusal.reason,
        kept,
        epoch.0,
        version
    )
    .execute(db)
    .await
    .map_err(|error| Error::database("note the refusal of a gateway", error))?;
    db::exactly_one("note the refusal of a gateway", &done)
}

/// Sets the state, with the reason for a person.
pub(crate) async fn set_state(tx: &mut Tx, gateway: GatewayId, state: State, because: &str) -> Result<(), Error> {
    let done = sqlx::query!(
        "update gateways set state = $2, state_since = now(), state_because = $3 where id = $1",
        gateway.0,
        state.as_str(),
        because
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("set the state of a gateway", error))?;
    db::exactly_one("set the state of a gateway", &done)
}

/// Sets the labels. Open streams are no longer the newest and end; what was applied was selected by the old labels.
pub(super) async fn set_labels(
    tx: &mut Tx,
    gateway: GatewayId,
    labels: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let done = sqlx::query!(
        "update gateways set labels = $2, applied = 0, effective = 0, stream = gen_random_uuid() where id = $1",
        gateway.0,
        Json(labels) as _
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("set the labels of a gateway", error))?;
    db::exactly_one("set the labels of a gateway", &done)
}

/// Is a clone of the gateway known that nobody settled?
pub(super) async fn has_intruder(tx: &mut Tx, gateway: GatewayId) -> Result<bool, Error> {
    sqlx::query_scalar!(r#"select intruder_epoch is not null as "known!" from gateways where id = $1"#, gateway.0)
        .fetch_one(&mut **tx)
        .await
        .map_err(|error| Error::database("look for a clone of a gateway", error))
}

/// Forgets both lives of a quarantine and the reports that were kept aside: the next life that speaks is the gateway,
/// and its counters, being cumulative, bring everything. Open streams are no longer the newest and end.
pub(crate) async fn settle(tx: &mut Tx, gateway: GatewayId) -> Result<(), Error> {
    let done = sqlx::query!(
        "update gateways set epoch = null, predecessor = null, epoch_confirmed = false, intruder_epoch = null,
             intruder_address = null, intruder_at = null,
             stream = gen_random_uuid()
         where id = $1",
        gateway.0
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("settle a quarantine", error))?;
    db::exactly_one("settle a quarantine", &done)?;
    sqlx::query!("delete from reports_aside where gateway_id = $1", gateway.0)
        .execute(&mut **tx)
        .await
        .map_err(|error| Error::database("drop the reports kept aside", error))?;
    Ok(())
}

/// Wakes the other replicas when the transaction commits.
pub(crate) async fn notify(tx: &mut Tx) -> Result<(), Error> {
    sqlx::query!("select pg_notify($1, '')", CHANNEL)
        .execute(&mut **tx)
        .await
        .map_err(|error| Error::database("wake the other replicas", error))?;
    Ok(())
}

/// Who may not call.
pub(super) async fn refused(db: &PgPool) -> Result<Refused, Error> {
    let states = sqlx::query!("select id, state from gateways where state in ('suspended', 'retired')")
        .fetch_all(db)
        .await
        .map_err(|error| Error::database("read the refused gateways", error))?;
    let serials = sqlx::query_scalar!("select serial from gateway_certificates where revoked_at is not null")
        .fetch_all(db)
        .await
        .map_err(|error| Error::database("read the revoked certificates", error))?;
    let mut refused = Refused { serials: serials.into_iter().collect(), ..Refused::default() };
    for row in states {
        let set = if row.state == "retired" { &mut refused.retired } else { &mut refused.suspended };
        set.insert(GatewayId(row.id));
    }
    Ok(refused)
}

/// The newest stream of each of these gateways that is not in quarantine.
pub(super) async fn newest_streams(db: &PgPool, gateways: &[Uuid]) -> Result<HashMap<GatewayId, Uuid>, Error> {
    let rows = sqlx::query!(
        r#"select id, stream as "stream!" from gateways
           where id = any($1) and stream is not null and state <> 'quarantined'"#,
        gateways
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("read the newest streams", error))?;
    Ok(rows.into_iter().map(|row| (GatewayId(row.id), row.stream)).collect())
}

/// Writes the news of many gateways in two statements. Acks of a life that is no longer the known one are not progress
/// of the gateway; nor are those of a stream that is no longer the present one, but in quarantine, where both lives have
/// streams.
#[expect(clippy::too_many_lines, reason = "two statements and the columns that they take, read from top to bottom")]
pub(super) async fn flush(db: &PgPool, news: &HashMap<(GatewayId, Epoch), News>) -> Result<(), Error> {
    let mut rows: Vec<_> = news.iter().collect();
    // One order for every replica, so that two flushes cannot wait for each other.
    rows.sort_unstable_by_key(|((gateway, epoch), _)| (*gateway, *epoch));
    let ids: Vec<_> = rows.iter().map(|((gateway, _), _)| gateway.0).collect();
    let epochs: Vec<_> = rows.iter().map(|((_, epoch), _)| epoch.0).collect();
    // By the database's clock, whatever this replica's says.
    let ages: Vec<_> = rows.iter().map(|(_, news)| news.seen.elapsed().as_secs_f64()).collect();
    let skews: Vec<_> = rows.iter().map(|(_, news)| news.skew_ms).collect();
    let closed: Vec<_> = rows.iter().map(|(_, news)| news.closed).collect();
    let uploads: Vec<_> = rows
        .iter()
        .map(|(_, news)| news.uploads.map(|uploads| i64::try_from(uploads.count).unwrap_or(i64::MAX)))
        .collect();
    let oldest: Vec<_> = rows
        .iter()
        .map(|(_, news)| {
            let ms = news.uploads.and_then(|uploads| uploads.oldest_ms)?;
            OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok()
        })
        .collect();
    let acks: Vec<_> = rows
        .iter()
        .flat_map(|(key, news)| news.reached.iter().map(|(stream, reached)| (key.0, key.1, *stream, *reached)))
        .collect();
    let ack_ids: Vec<_> = acks.iter().map(|(gateway, ..)| gateway.0).collect();
    let ack_epochs: Vec<_> = acks.iter().map(|(_, epoch, ..)| epoch.0).collect();
    let ack_streams: Vec<_> = acks.iter().map(|(_, _, stream, _)| *stream).collect();
    let lineages: Vec<_> = acks.iter().map(|(.., reached)| reached.lineage.0).collect();
    let number = |pick: fn(&super::Reached) -> u64| -> Vec<i64> {
        acks.iter().map(|(.., reached)| i64::try_from(pick(reached)).unwrap_or(i64::MAX)).collect()
    };
    let (received, applied, effective) =
        (number(|reached| reached.received), number(|reached| reached.applied), number(|reached| reached.effective));
    // The rows are locked in order before they are written.
    sqlx::query!(
        "with news as (
             select * from unnest($1::uuid[], $2::uuid[], $3::float8[], $4::bigint[], $5::uuid[], $6::bigint[],
                                  $7::timestamptz[])
             as news (id, epoch, age, skew, closed, uploads, oldest)),
         mine as materialized (
             select g.id, g.epoch, g.stream, g.state from gateways g join news on news.id = g.id and news.epoch = g.epoch
             order by g.id for update of g),
         acks as (
             select distinct on (mine.id) mine.id, ack.lineage, ack.received, ack.applied, ack.effective
             from mine join unnest($8::uuid[], $9::uuid[], $10::uuid[], $11::uuid[], $12::bigint[], $13::bigint[],
                                   $14::bigint[])
                  as ack (id, epoch, stream, lineage, received, applied, effective)
                  on ack.id = mine.id and ack.epoch = mine.epoch
                     and (ack.stream = mine.stream or mine.state = 'quarantined')
             order by mine.id, ack.stream is not distinct from mine.stream desc, ack.applied desc),
         gone as (
             insert into gateway_events (gateway_id, at, kind)
             select g.id, now() - make_interval(secs => news.age), 'disconnected'
             from gateways g join news on news.id = g.id and news.epoch = g.epoch
             where g.stream_open and g.stream = news.closed)
         update gateways g set
             last_seen_at = greatest(g.last_seen_at, now() - make_interval(secs => news.age)),
             clock_skew_ms = coalesce(news.skew, g.clock_skew_ms),
             stream_open = g.stream_open and (news.closed is null or g.stream is distinct from news.closed),
             uploads_open = coalesce(news.uploads, g.uploads_open),
             oldest_upload_at = case when news.uploads is null then g.oldest_upload_at else news.oldest end,
             epoch_confirmed = g.epoch_confirmed or news.uploads is not null,
             received = case when acks.lineage is null then g.received
                             when acks.lineage = g.lineage then greatest(g.received, acks.received)
                             else acks.received end,
             applied = case when acks.lineage is null then g.applied
                            when acks.lineage = g.lineage then greatest(g.applied, acks.applied)
                            else acks.applied end,
             effective_at = case when acks.lineage is not null
                                  and (g.lineage is distinct from acks.lineage or acks.effective > g.effective)
                                 then now() - make_interval(secs => news.age) else g.effective_at end,
             effective = case when acks.lineage is null then g.effective
                              when acks.lineage = g.lineage then greatest(g.effective, acks.effective)
                              else acks.effective end,
             lineage = coalesce(acks.lineage, g.lineage)
         from mine join news on news.id = mine.id and news.epoch = mine.epoch left join acks on acks.id = mine.id
         where g.id = mine.id",
        &ids,
        &epochs,
        &ages,
        &skews as &[Option<i64>],
        &closed as &[Option<Uuid>],
        &uploads as &[Option<i64>],
        &oldest as &[Option<OffsetDateTime>],
        &ack_ids,
        &ack_epochs,
        &ack_streams,
        &lineages,
        &received,
        &applied,
        &effective
    )
    .execute(db)
    .await
    .map_err(|error| Error::database("flush the news of gateways", error))?;
    if !acks.is_empty() {
        // What applied a bundle as new as the refused one, or of another lineage, refuses nothing any more.
        sqlx::query!(
            "delete from gateway_refusals r
             using unnest($1::uuid[], $2::uuid[], $3::bigint[]) as news (id, lineage, applied)
             where r.gateway_id = news.id and news.applied > 0
               and (news.lineage <> r.lineage or news.applied >= r.number)",
            &ack_ids,
            &lineages,
            &applied
        )
        .execute(db)
        .await
        .map_err(|error| Error::database("resolve refusals", error))?;
    }
    Ok(())
}
