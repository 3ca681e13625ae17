//! The gateways of the fleet: their states, their lives, how far each has come.
//!
//! ```text
//! enrolment ──▶ pending ──first hello──▶ active ◀──resume── suspended
//!                                          │  ▲                 ▲
//!                              a clone     ▼  │ release         │ suspend (from any state but retired)
//!                                      quarantined          retired: for good
//!
//! policies::grpc ──hello──▶ welcome (one transaction: the life, the state, what it holds)
//!                ──acks, heartbeats──▶ Fleet (memory) ──flush, in aggregate──▶ gateways
//! suspend, retire ──▶ the transaction ──▶ Fleet ends the stream; other replicas see it at their next tick
//! ```

pub mod detail;
pub(crate) mod events;
mod fleet;
mod life;
mod list;
pub mod rest;
pub(crate) mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ids::{Epoch, GatewayId, Revision};
use proto::watch::{Held, Hello, Refusal};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use fleet::below;
pub use fleet::{Attached, Ended, Fleet, News, Reached};
pub use life::{Known, Verdict};

use crate::audit::{self, Actor};
use crate::caller::Permit;
use crate::config;
use crate::db::{self, Tx};
use crate::enrolment;
use crate::error::{Error, Kind};
use crate::pki::Presented;

/// What Central thinks of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Enrolled, never connected.
    Pending,
    /// In service.
    Active,
    /// Two lives speak under one identity. Both are served, their reports are kept aside, an administrator settles it.
    Quarantined,
    /// Refused until an administrator resumes it.
    Suspended,
    /// Refused for good.
    Retired,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Active, Self::Quarantined, Self::Suspended, Self::Retired];

    /// The spelling in SQL, JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Quarantined => "quarantined",
            Self::Suspended => "suspended",
            Self::Retired => "retired",
        }
    }

    /// The state of that spelling, from the database.
    pub(crate) fn read(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| Error::corrupt("gateways", "state", anyhow::anyhow!("{text:?} is no state")))
    }

    /// An error where a gateway in this state may not call.
    pub(crate) fn admit(self) -> Result<(), Error> {
        match self {
            Self::Pending | Self::Active | Self::Quarantined => Ok(()),
            Self::Suspended => Err(refusal(Ended::Suspended)),
            Self::Retired => Err(refusal(Ended::Retired)),
        }
    }
}

/// Is a gateway heard?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    /// Its stream is open and it speaks.
    Connected,
    /// Its stream is closed, or silent for more than three heartbeats and 2 s.
    Late,
    /// Never heard, or not for a minute or six heartbeats, whichever is longer.
    Lost,
}

impl Connection {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Connected, Self::Late, Self::Lost];

    /// The spelling in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Late => "late",
            Self::Lost => "lost",
        }
    }

    /// Silence beyond which a gateway is late, and beyond which it is lost.
    pub(crate) fn bounds(heartbeat: std::time::Duration) -> (std::time::Duration, std::time::Duration) {
        // What is flushed is up to two seconds old.
        let late = heartbeat * 3 + std::time::Duration::from_secs(2);
        (late, (heartbeat * 6).max(std::time::Duration::from_mins(1)))
    }

    /// Judges by the newest news; `heartbeat` as gateways are told.
    pub fn judge(
        open: bool,
        seen: Option<OffsetDateTime>,
        now: OffsetDateTime,
        heartbeat: std::time::Duration,
    ) -> Self {
        let Some(silence) = seen.map(|seen| now - seen) else { return Self::Lost };
        let (late, lost) = Self::bounds(heartbeat);
        if open && silence <= late {
            Self::Connected
        } else if silence <= lost {
            Self::Late
        } else {
            Self::Lost
        }
    }
}

/// The error that a refused gateway reads.
pub(crate) fn refusal(why: Ended) -> Error {
    match why {
        Ended::Suspended => Error::new(
            Kind::Forbidden,
            "An administrator suspended this gateway at Central. It serves on by its last policies.",
        )
        .code("gateway-suspended"),
        Ended::Retired => {
            Error::new(Kind::Forbidden, "An administrator retired this gateway at Central.").code("gateway-retired")
        }
        Ended::Revoked => Error::new(
            Kind::Unauthenticated,
            "This certificate was revoked by a newer enrolment. Enrol again with a new token.",
        )
        .code("certificate-revoked"),
        Ended::Superseded => {
            Error::new(Kind::Unavailable, "A newer stream of this gateway took over.").code("superseded")
        }
        Ended::GoingAway(_) => {
            Error::new(Kind::Unavailable, "This replica of Central stops. Connect again.").code("going-away")
        }
    }
}

/// What a gateway is told when it comes, and what Central then knows of it.
#[derive(Debug, Clone)]
pub struct Welcome {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Two lives speak under this identity.
    pub quarantined: bool,
    /// The bundle that it refused in this life and version.
    pub refused: Option<[u8; 32]>,
    /// It holds more than the head: nothing is pushed, edits are blocked.
    pub ahead: bool,
}

impl Fleet {
    /// Reads who is refused; nothing is served before that is known.
    pub async fn open(db: PgPool, config: &config::Gateways) -> Result<Arc<Self>, Error> {
        let fleet = Arc::new(Self::new(config));
        fleet.reread(&db).await?;
        Ok(fleet)
    }

    /// Reads states again and ends what must end.
    pub(crate) async fn reread(&self, db: &PgPool) -> Result<(), Error> {
        let before = self.settled();
        let refused = store::refused(db).await?;
        let mut living: Vec<_> = before.values().map(|gateway| gateway.0).collect();
        living.sort_unstable();
        living.dedup();
        let newest = if living.is_empty() { HashMap::new() } else { store::newest_streams(db, &living).await? };
        self.reconcile(refused, &before, &newest);
        Ok(())
    }

    /// Writes what gateways said since the last time, in one statement for all.
    pub(crate) async fn flush(&self, db: &PgPool) -> Result<(), Error> {
        let news = self.take_news();
        if news.is_empty() {
            return Ok(());
        }
        if let Err(error) = store::flush(db, &news).await {
            self.put_back(news);
            return Err(error);
        }
        Ok(())
    }
}

/// Takes in a hello: the life is judged, the state looked up, what is held written down, in one transaction.
///
/// `head` is what Central would push.
pub async fn welcome(
    db: &PgPool,
    presented: &Presented,
    hello: &Hello,
    stream: Uuid,
    address: &str,
    head: &Held,
) -> Result<Welcome, Error> {
    let gateway = presented.gateway;
    db::transaction!(db, "welcome", async |tx| {
        let row = store::lock(tx, gateway, &presented.serial).await?.ok_or_else(unknown)?;
        row.state.admit()?;
        if row.revoked {
            return Err(refusal(Ended::Revoked));
        }
        let verdict = row.known.judge(hello.epoch, hello.predecessor);
        let quarantined = row.state == State::Quarantined || verdict == Verdict::Clone;
        match verdict {
            Verdict::Clone => store::note_intruder(tx, gateway, hello.epoch, address).await?,
            Verdict::SameLife | Verdict::NewLife if row.state == State::Quarantined => {}
            Verdict::SameLife => {}
            Verdict::NewLife => store::new_life(tx, gateway, hello.epoch, hello.predecessor).await?,
        }
        store::arrived(tx, gateway, hello, stream, address).await?;
        let detail = serde_json::json!({ "version": hello.version, "address": address });
        events::note(tx, gateway, events::Kind::Connected, &detail).await?;
        let ahead = is_ahead(hello.held.as_ref(), head);
        match &hello.held {
            Some(held) if ahead => store::note_ahead(tx, gateway, held).await?,
            _ => store::forget_ahead(tx, gateway).await?,
        }
        let refused = store::standing_refusal(tx, gateway, hello.epoch, &hello.version).await?;
        if quarantined && row.state != State::Quarantined {
            store::set_state(tx, gateway, State::Quarantined, "Two lives speak under this identity: a clone?").await?;
            let detail = serde_json::json!({
                "known_epoch": row.known.epoch,
                "other_epoch": hello.epoch,
                "other_predecessor": hello.predecessor,
                "other_address": address,
            });
            let event = serde_json::json!({ "from": row.state, "to": State::Quarantined, "because": "a clone?" });
            events::note(tx, gateway, events::Kind::State, &event).await?;
            audit::record(tx, &Actor::system(), "gateway.quarantined", &row.name, &detail).await?;
        }
        Ok(Welcome { name: row.name, labels: row.labels, quarantined, refused, ahead })
    })
    .await
}

fn unknown() -> Error {
    Error::new(Kind::Unauthenticated, "Central does not know this certificate. Enrol with a new token.")
        .code("certificate-unknown")
}

/// Does somebody hold what this Central never gave, as far as the head tells?
fn is_ahead(held: Option<&Held>, head: &Held) -> bool {
    held.is_some_and(|held| {
        held.revision.lineage == head.revision.lineage
            && (held.revision.number > head.revision.number
                || held.revision.number == head.revision.number && held.digest != head.digest)
    })
}

/// Writes down that a gateway cannot apply a bundle.
pub async fn note_refusal(
    db: &PgPool,
    gateway: GatewayId,
    epoch: Epoch,
    version: &str,
    refusal: &Refusal,
) -> Result<(), Error> {
    store::note_refusal(db, gateway, epoch, version, refusal).await
}

/// A gateway that is ahead of Central.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ahead {
    /// Its name.
    gateway: String,
    /// What it holds.
    revision: Revision,
}

/// An error where Central is behind the fleet, as after a restore from an older backup: a gateway would refuse lower
/// numbers than it holds. Called within the transaction of every edit, under the lock of the head.
pub async fn refuse_when_behind(tx: &mut Tx) -> Result<(), Error> {
    let ahead = store::ahead(tx).await?;
    let Some(first) = ahead.first() else { return Ok(()) };
    Err(Error::new(
        Kind::Conflict,
        format!(
            "Central is behind the fleet: gateway {:?} holds revision {} of this lineage, which is newer than Central's own. \
             Was Central restored from an older backup? Nothing was changed. Look whether Central's set is what shall \
             hold, then begin a new lineage with it: sealgate policy begin-lineage.",
            first.gateway, first.revision.number
        ),
    )
    .code("behind-the-fleet"))
}

/// An order of an administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Refuse it until it is resumed.
    Suspend,
    /// Take it into service again.
    Resume,
    /// Refuse it for good.
    Retire,
    /// The clone is dealt with: the next life that speaks is the gateway.
    Release,
}

impl Order {
    fn action(self) -> &'static str {
        match self {
            Self::Suspend => "gateway.suspended",
            Self::Resume => "gateway.resumed",
            Self::Retire => "gateway.retired",
            Self::Release => "gateway.released",
        }
    }

    /// The state after it, where it is legal.
    fn apply(self, state: State) -> Result<State, Error> {
        use State::{Active, Pending, Quarantined, Retired, Suspended};
        match (self, state) {
            (Self::Suspend, Pending | Active | Quarantined | Suspended) => Ok(Suspended),
            (Self::Resume, Suspended | Active) | (Self::Release, Quarantined) => Ok(Active),
            (Self::Retire, _) => Ok(Retired),
            (_, state) => Err(Error::new(
                Kind::Conflict,
                format!("The gateway is {}; this does not apply. Nothing was changed.", state.as_str()),
            )),
        }
    }
}

/// Carries out an order, with its record in the audit; streams of this replica end before it returns.
pub async fn order(
    db: &PgPool,
    fleet: &Fleet,
    permit: &Permit,
    name: &str,
    order: Order,
    because: &str,
) -> Result<(), Error> {
    let gateway = db::transaction!(db, "order-gateway", async |tx| {
        let row = store::lock_by_name(tx, name).await?.ok_or_else(|| Error::not_found("gateway", name))?;
        let mut state = order.apply(row.state)?;
        if order == Order::Resume && store::has_intruder(tx, row.id).await? {
            // The suspension did not settle the quarantine.
            state = State::Quarantined;
        }
        if state == row.state {
            return Ok(row.id);
        }
        store::set_state(tx, row.id, state, because).await?;
        if order == Order::Release {
            store::settle(tx, row.id).await?;
        }
        let detail = serde_json::json!({ "from": row.state, "to": state, "because": because });
        let event = serde_json::json!({
            "from": row.state, "to": state, "because": because, "by": permit.actor().as_str(),
        });
        events::note(tx, row.id, events::Kind::State, &event).await?;
        audit::record(tx, &permit.actor(), order.action(), name, &detail).await?;
        store::notify(tx).await?;
        Ok(row.id)
    })
    .await?;
    match order {
        Order::Suspend => fleet.end(gateway, Ended::Suspended),
        Order::Retire => fleet.end(gateway, Ended::Retired),
        // Both lives say hello again; the one that is the gateway alone does so.
        Order::Release => fleet.end(gateway, Ended::Superseded),
        Order::Resume => {}
    }
    fleet.changed.notify_one();
    Ok(())
}

/// Gives a gateway these labels and no others. Its streams end, so that it says hello again and learns them: until then
/// it decides by the old ones, and Central does not count it as having applied anything.
pub async fn relabel(
    db: &PgPool,
    fleet: &Fleet,
    permit: &Permit,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<(), Error> {
    enrolment::legal_labels(labels)?;
    let gateway = db::transaction!(db, "relabel-gateway", async |tx| {
        let row = store::lock_by_name(tx, name).await?.ok_or_else(|| Error::not_found("gateway", name))?;
        if row.state == State::Retired {
            return Err(Error::new(Kind::Conflict, "The gateway is retired. Nothing was changed."));
        }
        if row.labels == *labels {
            return Ok(None);
        }
        store::set_labels(tx, row.id, labels).await?;
        let detail = serde_json::json!({ "from": row.labels, "to": labels });
        let event = serde_json::json!({ "from": row.labels, "to": labels, "by": permit.actor().as_str() });
        events::note(tx, row.id, events::Kind::Labels, &event).await?;
        audit::record(tx, &permit.actor(), "gateway.relabelled", name, &detail).await?;
        store::notify(tx).await?;
        Ok(Some(row.id))
    })
    .await?;
    if let Some(gateway) = gateway {
        fleet.end(gateway, Ended::Superseded);
        fleet.changed.notify_one();
    }
    Ok(())
}
