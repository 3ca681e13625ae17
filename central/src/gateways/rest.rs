//! The gateways over REST.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use axum_extra::extract::Query;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Connection, Order, list};
use crate::caller::{Permission, Permit};
use crate::db;
use crate::error::{Error, Kind, Problem};
use crate::overview::rest::chosen;
use crate::rpc::Services;
use crate::stats::traffic::Traffic;

/// Gateways on one page, at most.
const PAGE: i64 = 1_000;
/// Longest reason, in characters.
const REASON: usize = 500;

/// A gateway as an administrator sees it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Gateway {
    /// Its name in the fleet.
    pub name: String,
    /// Its identity, as its certificates carry it.
    pub id: Uuid,
    /// pending, active, quarantined, suspended or retired.
    pub state: super::State,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub state_since: OffsetDateTime,
    /// Why, for a person; empty where nobody said.
    pub state_because: String,
    /// connected, late or lost.
    pub connection: Connection,
    /// Since when it is connected, or when it was last heard; null where it never was.
    #[serde(with = "time::serde::rfc3339::option")]
    pub since: Option<OffsetDateTime>,
    /// Version of the gateway.
    pub version: String,
    /// Where it calls from.
    pub address: String,
    /// Labels that Central gave.
    pub labels: BTreeMap<String, String>,
    /// The policy revision that it received; 0: none.
    pub revision: u64,
    /// The one by which it decides new requests.
    pub applied_revision: u64,
    /// The one under which no older decision is still being carried out.
    pub effective_revision: u64,
    /// The history that these numbers belong to.
    pub lineage: Option<Uuid>,
    /// What it cannot apply; null where nothing.
    pub refusal: Option<Refusal>,
    /// It holds a newer revision than Central has: edits are blocked.
    pub ahead_of_central: bool,
    /// Uploads begun under an older revision that are still open.
    pub uploads_open: u64,
    /// When the oldest of them was begun.
    #[serde(with = "time::serde::rfc3339::option")]
    pub oldest_upload: Option<OffsetDateTime>,
    /// The storage behind its group.
    pub storage_id: Option<Uuid>,
    /// Its clock less Central's, in milliseconds.
    pub clock_skew_ms: i64,
    /// When it was enrolled, the last time.
    #[serde(with = "time::serde::rfc3339")]
    pub enrolled_at: OffsetDateTime,
    /// When its newest certificate ends.
    #[serde(with = "time::serde::rfc3339::option")]
    pub certificate_not_after: Option<OffsetDateTime>,
    /// The life that is known.
    pub epoch: Option<Uuid>,
    /// The other life, while it is in quarantine.
    pub clone: Option<Clone>,
    /// Bytes of plaintext that it stored since ever, encrypted or not.
    pub bytes_in: u64,
    /// Bytes of plaintext that clients read from it since ever.
    pub bytes_out: u64,
}

/// A policy set that a gateway cannot apply.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Refusal {
    /// The revision that it refused.
    pub revision: u64,
    /// Its lineage.
    pub lineage: Uuid,
    /// Stable word.
    pub code: String,
    /// Which item of the set; empty for the whole.
    pub item: String,
    /// For a person.
    pub reason: String,
    /// The revision that it kept; null where it had none.
    pub kept_revision: Option<u64>,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// A life that does not follow from the known one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Clone {
    /// Its epoch.
    pub epoch: Uuid,
    /// Where it calls from.
    pub address: String,
    /// When it last said hello.
    #[serde(with = "time::serde::rfc3339::option")]
    pub at: Option<OffsetDateTime>,
}

/// A page of gateways.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Gateways {
    /// In the order that was asked for.
    pub gateways: Vec<Gateway>,
    /// Give it as `after` for the next page; null on the last.
    pub next: Option<String>,
    /// How many there are on all pages.
    pub total: u64,
}

/// What gateways are sorted by; those that are alike by their names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// By name.
    #[default]
    Name,
    /// By when it was last heard: those that never were, then those not heard for longest; all that are connected are
    /// heard now.
    Seen,
    /// Connected, late, lost.
    Connection,
    /// By the numbers of its version.
    Version,
    /// By the policy revision that it received.
    Revision,
}

impl From<Sort> for list::Sort {
    fn from(sort: Sort) -> Self {
        match sort {
            Sort::Name => Self::Name,
            Sort::Seen => Self::Seen,
            Sort::Connection => Self::Connection,
            Sort::Version => Self::Version,
            Sort::Revision => Self::Revision,
        }
    }
}

impl Sort {
    /// A cursor: of a place, what a page after it must know.
    fn cursor(self, place: &list::Place) -> String {
        match self {
            Self::Name => place.name.clone(),
            Self::Version => format!("{}/{}", place.word, place.name),
            Self::Seen | Self::Connection | Self::Revision => format!("{}/{}", place.number, place.name),
        }
    }

    /// The place of a cursor; none where it is not one.
    fn place(self, cursor: &str) -> Option<list::Place> {
        let at = |number, word: &str, name: &str| list::Place { name: name.to_owned(), number, word: word.to_owned() };
        if self == Self::Name {
            return Some(at(0, "", cursor));
        }
        // No name has a slash.
        let (key, name) = cursor.rsplit_once('/')?;
        match self {
            Self::Version => Some(at(0, key, name)),
            _ => Some(at(key.parse().ok()?, "", name)),
        }
    }
}

/// Which gateways, which page. What is given holds together.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// `next` of the page before, of the same order.
    #[serde(default)]
    after: String,
    /// How many, at most 1,000.
    limit: Option<i64>,
    /// A part of the name; or `key=value`: those with this label, whose value begins so.
    #[serde(default)]
    q: String,
    /// Of this name; several may be given.
    #[serde(default)]
    gateway: Vec<String>,
    /// In this state; several may be given.
    #[serde(default)]
    #[param(inline)]
    state: Vec<super::State>,
    /// Connected so; several may be given. A retired gateway is never among them.
    #[serde(default)]
    #[param(inline)]
    connection: Vec<Connection>,
    /// true: only those that refuse a policy set and are not retired.
    #[serde(default)]
    refusing: bool,
    /// true: only those that should have the head of the policies and at which it is not effective.
    #[serde(default)]
    behind: bool,
    /// false: without the retired ones.
    retired: Option<bool>,
    /// The order; by name where it is absent.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
    /// true: the other way round.
    #[serde(default)]
    down: bool,
}

/// Why an order was given.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// For a person; at most 500 characters.
    #[serde(default)]
    reason: String,
}

impl Gateway {
    fn read(row: list::Row, traffic: &Traffic, heartbeat: std::time::Duration) -> Result<Self, Error> {
        let number = |column, value| db::unsigned("gateways", column, value);
        let refusal = row
            .refusal
            .map(|refusal| {
                Ok(Refusal {
                    revision: db::unsigned("gateway_refusals", "number", refusal.number)?,
                    lineage: refusal.lineage,
                    code: refusal.code,
                    item: refusal.item,
                    reason: refusal.reason,
                    kept_revision: refusal
                        .kept_number
                        .map(|kept| db::unsigned("gateway_refusals", "kept_number", kept))
                        .transpose()?,
                    at: refusal.at,
                })
            })
            .transpose()?;
        let connection = Connection::judge(row.stream_open, row.last_seen_at, row.now, heartbeat);
        Ok(Self {
            state: super::State::read(&row.state)?,
            connection,
            since: if connection == Connection::Connected { row.stream_since } else { row.last_seen_at },
            revision: number("received", row.received)?,
            applied_revision: number("applied", row.applied)?,
            effective_revision: number("effective", row.effective)?,
            uploads_open: number("uploads_open", row.uploads_open)?,
            clone: row.intruder_epoch.map(|epoch| Clone {
                epoch,
                address: row.intruder_address.unwrap_or_default(),
                at: row.intruder_at,
            }),
            name: row.name,
            id: row.id,
            state_since: row.state_since,
            state_because: row.state_because,
            version: row.version,
            address: row.address,
            labels: row.labels,
            lineage: row.lineage,
            refusal,
            ahead_of_central: row.ahead,
            oldest_upload: row.oldest_upload_at,
            storage_id: row.storage_id,
            clock_skew_ms: row.clock_skew_ms,
            enrolled_at: row.enrolled_at,
            certificate_not_after: row.certificate_not_after,
            epoch: row.epoch,
            bytes_in: number("bytes", traffic.encrypted.bytes + traffic.plain.bytes + traffic.other.bytes)?,
            bytes_out: number("bytes", traffic.out.bytes)?,
        })
    }

    /// What the overview shows of it: nothing that tells where it is or what it holds.
    fn for_overview(self) -> Self {
        Self {
            state_because: String::new(),
            address: String::new(),
            labels: BTreeMap::new(),
            refusal: None,
            storage_id: None,
            certificate_not_after: None,
            epoch: None,
            clone: None,
            ..self
        }
    }
}

/// The gateways. Whoever may only read the overview gets names, states and numbers; labels, addresses and
/// refusals are empty.
#[utoipa::path(
    get, path = "/gateways", tag = "gateways", params(Page),
    responses((status = 200, body = Gateways), (status = 401, body = Problem), (status = 403, body = Problem))
)]
pub async fn list(
    State(services): State<Services>,
    Extension(permit): Extension<Permit>,
    Query(page): Query<Page>,
) -> Result<Json<Gateways>, Error> {
    let whole = permit.caller().role.may(Permission::ReadGateways);
    let limit = page.limit.unwrap_or(PAGE).clamp(1, PAGE);
    let heartbeat = services.fleet.heartbeat();
    let after = match page.after.as_str() {
        "" => None,
        cursor => {
            let place = page.sort.place(cursor);
            Some(place.ok_or_else(|| Error::new(Kind::Invalid, "`after` is not the `next` of a page in this order."))?)
        }
    };
    let label = page.q.split_once('=');
    if label.is_some() && !whole {
        return Err(Error::new(Kind::Forbidden, "Your role does not show labels; look for a part of the name."));
    }
    let states: Vec<_> = page.state.iter().map(|state| state.as_str().to_owned()).collect();
    let connections: Vec<_> = page.connection.iter().map(|connection| connection.as_str().to_owned()).collect();
    let filter = list::Filter {
        names: chosen(&page.gateway),
        part: if label.is_some() { "" } else { &page.q },
        label,
        states: chosen(&states),
        connections: chosen(&connections),
        refusing: page.refusing,
        behind: page.behind,
        retired: page.retired.unwrap_or(true),
        ..list::Filter::all(heartbeat)
    };
    let order = (page.sort.into(), page.down);
    let mut places = list::places(&services.db, filter, order, after.as_ref(), limit + 1).await?;
    let more = places.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if more {
        places.pop();
    }
    let next = places.last().filter(|_| more).map(|last| page.sort.cursor(last));
    let names: Vec<_> = places.into_iter().map(|place| place.name).collect();
    let rows = list::rows(&services.db, &names).await?;
    let total = db::unsigned("gateways", "count", list::count(&services.db, filter).await?)?;
    let gateways = with_traffic(&services, rows).await?;
    let gateways: Vec<_> = if whole { gateways } else { gateways.into_iter().map(Gateway::for_overview).collect() };
    Ok(Json(Gateways { gateways, next, total }))
}

async fn with_traffic(services: &Services, rows: Vec<list::Row>) -> Result<Vec<Gateway>, Error> {
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let mut traffic = list::traffic(&services.db, &ids).await?;
    let heartbeat = services.fleet.heartbeat();
    let read = |row: list::Row| {
        let traffic = traffic.remove(&row.id).unwrap_or_default();
        Gateway::read(row, &traffic, heartbeat)
    };
    rows.into_iter().map(read).collect()
}

async fn one(services: &Services, name: &str) -> Result<Json<Gateway>, Error> {
    let rows = list::rows(&services.db, &[name.to_owned()]).await?;
    let gateway = with_traffic(services, rows).await?.pop();
    gateway.map(Json).ok_or_else(|| Error::not_found("gateway", name))
}

/// One gateway.
#[utoipa::path(
    get, path = "/gateways/{name}", tag = "gateways", params(("name" = String, Path)),
    responses((status = 200, body = Gateway), (status = 404, body = Problem))
)]
pub async fn get(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
    Path(name): Path<String>,
) -> Result<Json<Gateway>, Error> {
    one(&services, &name).await
}

async fn carry_out(
    services: &Services,
    permit: &Permit,
    name: &str,
    order: Order,
    reason: Option<Json<Reason>>,
) -> Result<Json<Gateway>, Error> {
    let because = reason.map(|Json(reason)| reason.reason).unwrap_or_default();
    if because.chars().count() > REASON || because.chars().any(char::is_control) {
        let why = "The reason has at most 500 characters and no control characters.";
        return Err(Error::new(Kind::Invalid, why).at("reason"));
    }
    super::order(&services.db, &services.fleet, permit, name, order, &because).await?;
    one(services, name).await
}

/// Which labels a gateway is to have.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// All of them; policies select by them.
    labels: BTreeMap<String, String>,
}

/// Gives it these labels and no others. It decides by the old ones until it is connected again, a moment later.
#[utoipa::path(
    put, path = "/gateways/{name}/labels", tag = "gateways", params(("name" = String, Path)), request_body = Labels,
    responses(
        (status = 200, body = Gateway), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)
    )
)]
pub async fn relabel(
    State(services): State<Services>,
    Extension(permit): Extension<Permit>,
    Path(name): Path<String>,
    Json(order): Json<Labels>,
) -> Result<Json<Gateway>, Error> {
    super::relabel(&services.db, &services.fleet, &permit, &name, &order.labels).await?;
    one(&services, &name).await
}

/// Ends its stream at once and refuses it until it is resumed. It serves on by its last policies.
#[utoipa::path(
    post, path = "/gateways/{name}/suspend", tag = "gateways", params(("name" = String, Path)),
    request_body = Option<Reason>,
    responses((status = 200, body = Gateway), (status = 404, body = Problem), (status = 409, body = Problem))
)]
pub async fn suspend(
    State(services): State<Services>,
    Extension(permit): Extension<Permit>,
    Path(name): Path<String>,
    reason: Option<Json<Reason>>,
) -> Result<Json<Gateway>, Error> {
    carry_out(&services, &permit, &name, Order::Suspend, reason).await
}

/// Takes a suspended gateway into service again.
#[utoipa::path(
    post, path = "/gateways/{name}/resume", tag = "gateways", params(("name" = String, Path)),
    request_body = Option<Reason>,
    responses((status = 200, body = Gateway), (status = 404, body = Problem), (status = 409, body = Problem))
)]
pub async fn resume(
    State(services): State<Services>,
    Extension(permit): Extension<Permit>,
    Path(name): Path<String>,
    reason: Option<Json<Reason>>,
) -> Result<Json<Gateway>, Error> {
    carry_out(&services, &permit, &name, Order::Resume, reason).await
}

/// Ends its stream at once and refuses it for good.
#[utoipa::path(
    post, path = "/gateways/{name}/retire", tag = "gateways", params(("name" = String, Path)),
    request_body = Option<Reason>,
    responses((status = 200, body = Gateway), (status = 404, body = Problem))
)]
pub async fn retire(
    State(services): State<Services>,
    Extension(permit): Extension<Permit>,
    Path(name): Path<String>,
    reason: Option<Json<Reason>>,
) -> Result<Json<Gateway>, Error> {
    carry_out(&services, &permit, &name, Order::Retire, reason).await
}

/// Settles a quarantine, once the clone is dealt with: the next life that says hello is the gateway.
#[utoipa::path(
    post, path = "/gateways/{name}/release", tag = "gateways", params(("name" = String, Path)),
    request_body = Option<Reason>,
    responses((status = 200, body = Gateway), (status = 404, body = Problem), (status = 409, body = Problem))
)]
pub async fn release(
    State(services): State<Services>,
    Extension(permit): Extension<Permit>,
    Path(name): Path<String>,
    reason: Option<Json<Reason>>,
) -> Result<Json<Gateway>, Error> {
    carry_out(&services, &permit, &name, Order::Release, reason).await
}
