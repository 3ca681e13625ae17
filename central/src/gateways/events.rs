//! What happened to each gateway: connections, refusals, states. Kept for a time; the audit has what people did, for good.

use ids::GatewayId;
use sqlx::PgPool;
use time::OffsetDateTime;

use crate::db::Tx;
use crate::error::Error;

/// How long events are kept, in days.
const KEPT_DAYS: i32 = 30;

/// What happened. A closing stream and a refusal are noted with what they change, by the statements that change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It got a certificate.
    Enrolled,
    /// It said hello.
    Connected,
    /// It is in another state.
    State,
    /// It has other labels.
    Labels,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Enrolled => "enrolled",
            Self::Connected => "connected",
            Self::State => "state",
            Self::Labels => "labels",
        }
    }
}

/// Notes an event within the transaction of what happened.
pub(crate) async fn note(tx: &mut Tx, gateway: GatewayId, kind: Kind, detail: &serde_json::Value) -> Result<(), Error> {
    sqlx::query!(
        "insert into gateway_events (gateway_id, kind, detail) values ($1, $2, $3)",
        gateway.0,
        kind.as_str(),
        detail
    )
    .execute(&mut **tx)
    .await
    .map(drop)
    .map_err(|error| Error::database("note an event of a gateway", error))
}

/// Something that happened to a gateway.
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) at: OffsetDateTime,
    pub(super) kind: String,
    pub(super) detail: serde_json::Value,
}

/// Events of the gateway of this name below `before`, newest first; none where there is no such gateway.
pub(super) async fn list(db: &PgPool, name: &str, before: Option<i64>, limit: i64) -> Result<Option<Vec<Row>>, Error> {
    let failed = |error| Error::database("read the events of a gateway", error);
    let gateway = sqlx::query_scalar!("select id from gateways where name = $1", name)
        .fetch_optional(db)
        .await
        .map_err(failed)?;
    let Some(gateway) = gateway else { return Ok(None) };
    sqlx::query_as!(
        Row,
        "select id, at, kind, detail from gateway_events
         where gateway_id = $1 and ($2::bigint is null or id < $2) order by id desc limit $3",
        gateway,
        before,
        limit
    )
    .fetch_all(db)
    .await
    .map(Some)
    .map_err(failed)
}

/// Removes what is old.
pub(crate) async fn prune(db: &PgPool) -> Result<(), Error> {
    sqlx::query!("delete from gateway_events where at < now() - make_interval(days => $1)", KEPT_DAYS)
        .execute(db)
        .await
        .map(drop)
        .map_err(|error| Error::database("remove old events of gateways", error))
}
