//! The tables `enrolment_tokens` and `gateway_certificates`, and the making of a row of `gateways`.

use std::collections::BTreeMap;

use ids::GatewayId;
use sqlx::PgPool;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::NewToken;
use crate::db::{self, Tx};
use crate::error::{Error, Kind};
use crate::gateways::State;
use crate::pki::{ClientCertificate, Presented};

/// A token whose row is locked until the transaction ends, so that it is used once.
pub(super) struct LockedToken {
    pub(super) id: Uuid,
    pub(super) name: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) created_by: String,
    pub(super) used: bool,
    pub(super) expired: bool,
    pub(super) revoked: bool,
}

/// Who renews; its row is locked until the transaction ends.
pub(super) struct Bearer {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) revoked: bool,
    pub(super) issued_last_hour: i64,
}

/// A token as it is listed.
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) name: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) created_by: String,
    pub(super) created_at: OffsetDateTime,
    pub(super) expires_at: OffsetDateTime,
    pub(super) used_at: Option<OffsetDateTime>,
    pub(super) used_by: Option<String>,
    pub(super) revoked_at: Option<OffsetDateTime>,
}

/// Stores a token; gives back when it expires, by the database's clock.
pub(super) async fn insert_token(
    tx: &mut Tx,
    id: Uuid,
    hash: &[u8; 32],
    new: &NewToken,
    created_by: &str,
) -> Result<OffsetDateTime, Error> {
    sqlx::query_scalar!(
        "insert into enrolment_tokens (id, secret_hash, name, labels, created_by, expires_at)
         values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6)) returning expires_at",
        id,
        hash.as_slice(),
        new.name,
        Json(&new.labels) as _,
        created_by,
        new.ttl.as_seconds_f64()
    )
    .fetch_one(&mut **tx)
    .await
    .map_err(|error| Error::database("store an enrolment token", error))
}

/// Locks the token with that hash.
pub(super) async fn lock_token(tx: &mut Tx, hash: &[u8; 32]) -> Result<Option<LockedToken>, Error> {
    let row = sqlx::query!(
        r#"select id, name, labels as "labels: Json<BTreeMap<String, String>>", created_by,
                  used_at is not null as "used!", expires_at <= now() as "expired!", revoked_at is not null as "revoked!"
           from enrolment_tokens where secret_hash = $1 for update"#,
        hash.as_slice()
    )
    .fetch_optional(&mut **tx)
    .await
    .map_err(|error| Error::database("lock an enrolment token", error))?;
    Ok(row.map(|row| LockedToken {
        id: row.id,
        name: row.name,
        labels: row.labels.0,
        created_by: row.created_by,
        used: row.used,
        expired: row.expired,
        revoked: row.revoked,
    }))
}

/// The token is used.
pub(super) async fn use_token(tx: &mut Tx, id: Uuid, gateway: GatewayId) -> Result<(), Error> {
    let done = sqlx::query!(
        "update enrolment_tokens set used_at = now(), used_by = $2 where id = $1 and used_at is null",
        id,
        gateway.0
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("use an enrolment token", error))?;
    db::exactly_one("use an enrolment token", &done)
}

/// Revokes a token; false where there is none that could still be used.
pub(super) async fn revoke_token(tx: &mut Tx, id: Uuid) -> Result<bool, Error> {
    let done = sqlx::query!(
        "update enrolment_tokens set revoked_at = now() where id = $1 and used_at is null and revoked_at is null",
        id
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("revoke an enrolment token", error))?;
    Ok(done.rows_affected() == 1)
}

/// The newest tokens, at most `limit`.
pub(super) async fn tokens(db: &PgPool, limit: i64) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query!(
        r#"select t.id, t.name, t.labels as "labels: Json<BTreeMap<String, String>>", t.created_by, t.created_at,
                  t.expires_at, t.used_at, g.name as "used_by?", t.revoked_at
           from enrolment_tokens t left join gateways g on g.id = t.used_by
           order by t.created_at desc, t.id desc limit $1"#,
        limit
    )
    .fetch_all(db)
    .await
    .map_err(|error| Error::database("list enrolment tokens", error))?;
    Ok(rows
        .into_iter()
        .map(|row| Row {
            id: row.id,
            name: row.name,
            labels: row.labels.0,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            used_at: row.used_at,
            used_by: row.used_by,
            revoked_at: row.revoked_at,
        })
        .collect())
}

/// A new gateway, pending.
pub(super) async fn insert_gateway(
    tx: &mut Tx,
    id: GatewayId,
    name: &str,
    labels: &BTreeMap<String, String>,
    version: &str,
) -> Result<(), Error> {
    let done = sqlx::query!(
        "insert into gateways (id, name, state, labels, version) values ($1, $2, 'pending', $3, $4)",
        id.0,
        name,
        Json(labels) as _,
        version
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| match db::constraint(&error) {
        Some("gateways_name_key") => {
            Error::new(Kind::Conflict, format!("There is a gateway {name:?} already. The token was not used."))
                .code("name-taken")
        }
        _ => Error::database("store a gateway", error),
    })?;
    db::exactly_one("store a gateway", &done)
}

/// A known gateway has a new identity; it is pending until it connects, and out of quarantine.
pub(super) async fn enrolled_again(
    tx: &mut Tx,
    id: GatewayId,
    labels: &BTreeMap<String, String>,
    version: &str,
) -> Result<(), Error> {
    let done = sqlx::query!(
        "update gateways set state = 'pending', state_since = now(), state_because = '', labels = $2, version = $3,
             enrolled_at = now()
         where id = $1",
        id.0,
        Json(labels) as _,
        version
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("enrol a gateway again", error))?;
    db::exactly_one("enrol a gateway again", &done)
}

/// Every certificate of the gateway is refused from now on.
pub(super) async fn revoke_certificates(tx: &mut Tx, gateway: GatewayId) -> Result<(), Error> {
    sqlx::query!(
        "update gateway_certificates set revoked_at = now() where gateway_id = $1 and revoked_at is null",
        gateway.0
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("revoke the certificates of a gateway", error))?;
    Ok(())
}

/// A certificate was issued.
pub(super) async fn insert_certificate(tx: &mut Tx, certificate: &ClientCertificate) -> Result<(), Error> {
    let presented = &certificate.presented;
    let done = sqlx::query!(
        "insert into gateway_certificates (serial, gateway_id, authority, key_digest, not_after)
         values ($1, $2, $3, $4, $5)",
        presented.serial,
        presented.gateway.0,
        certificate.issued_by,
        presented.key_digest.as_slice(),
        presented.not_after
    )
    .execute(&mut **tx)
    .await
    .map_err(|error| Error::database("store a certificate", error))?;
    db::exactly_one("store a certificate", &done)
}

/// Locks the gateway that presents this certificate; none where Central did not issue it.
pub(super) async fn lock_bearer(tx: &mut Tx, presented: &Presented) -> Result<Option<Bearer>, Error> {
    let row = sqlx::query!(
        r#"select g.name, g.state, c.revoked_at is not null as "revoked!",
                  (select count(*) from gateway_certificates recent
                   where recent.gateway_id = g.id and recent.issued_at > now() - interval '1 hour') as "issued!"
           from gateways g join gateway_certificates c on c.gateway_id = g.id
           where g.id = $1 and c.serial = $2 for update of g"#,
        presented.gateway.0,
        presented.serial
    )
    .fetch_optional(&mut **tx)
    .await
    .map_err(|error| Error::database("lock the bearer of a certificate", error))?;
    row.map(|row| {
        Ok(Bearer {
            name: row.name,
            state: State::read(&row.state)?,
            revoked: row.revoked,
            issued_last_hour: row.issued,
        })
    })
    .transpose()
}

/// Forgets certificates that can no longer be presented, and tokens that were settled a year ago.
pub(crate) async fn prune(db: &PgPool, window: time::Duration) -> Result<(), Error> {
    sqlx::query!(
        "delete from gateway_certificates where not_after < now() - make_interval(secs => $1)",
        window.as_seconds_f64() + 86_400.0
    )
    .execute(db)
    .await
    .map_err(|error| Error::database("prune certificates", error))?;
    sqlx::query!("delete from enrolment_tokens where expires_at < now() - interval '365 days'")
        .execute(db)
        .await
        .map_err(|error| Error::database("prune enrolment tokens", error))?;
    Ok(())
}
