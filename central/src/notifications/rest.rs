//! Notifications over REST. Whoever may only read the overview gets names of gateways and nothing beyond.

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use time::OffsetDateTime;

use super::{Kind, store::Found};
use crate::caller::{Permission, Permit};
use crate::error::Error;
use crate::rpc::Services;

/// What an administrator should look at now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Notifications {
    /// Newest first, at most 200.
    pub notifications: Vec<Notification>,
    /// How many there are.
    pub total: u64,
}

/// Something that is the matter.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Notification {
    /// The same as long as the same is the matter.
    pub id: String,
    /// What is the matter.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// Name of the gateway.
    pub subject: String,
    /// For a person: what happened, what to do.
    pub message: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Somebody must do something.
    Error,
    /// It may pass.
    Warning,
}

/// What an administrator should look at now.
#[utoipa::path(
    get, path = "/notifications", tag = "overview", responses((status = 200, body = Notifications))
)]
pub async fn list(
    State(services): State<Services>,
    Extension(permit): Extension<Permit>,
) -> Result<Json<Notifications>, Error> {
    let role = permit.caller().role;
    let whole = role.may(Permission::ReadGateways) && role.may(Permission::ReadPolicies);
    let (found, total) = super::present(&services.db, services.fleet.heartbeat()).await?;
    let notifications = found.into_iter().map(|found| Notification::of(found, whole)).collect();
    Ok(Json(Notifications { notifications, total }))
}

impl Notification {
    fn of(found: Found, whole: bool) -> Self {
        let Found { kind, subject, detail, since } = found;
        let detail = if whole { detail } else { String::new() };
        let severity = match kind {
            Kind::GatewayLate | Kind::Certificate | Kind::StatisticsGap => Severity::Warning,
            _ => Severity::Error,
        };
        let more = |before: &str| if detail.is_empty() { String::new() } else { format!("{before}{detail}") };
        let message = match kind {
            Kind::GatewayLost => {
                "It is not heard any more. If it runs, it serves on by its last policies: see whether it does, and \
                 whether it reaches Central."
                    .to_owned()
            }
            Kind::GatewayLate => "It is silent. It may come back by itself.".to_owned(),
            Kind::Refusal => {
                format!("It cannot apply the policies and keeps its last ones. Mend there what it says{}", more(": "))
            }
            Kind::Quarantine => {
                "Two lives speak under its identity: a clone? Both are served, their figures are kept aside. Find the \
                 copy, end it, then release the gateway."
                    .to_owned()
            }
            Kind::Certificate => "Its certificate ends soon and was not renewed. Look at the gateway's log.".to_owned(),
            Kind::Kms => {
                format!("The KMS{} does not answer. Writes that need it are refused: look at where it runs.", more(" "))
            }
            Kind::NoKms => {
                "Encryption is asked for and no KMS is active: these writes are refused. Add or activate a KMS at the \
                 gateway."
                    .to_owned()
            }
            Kind::StatisticsGap => {
                "Reports were missing, or figures were lost with power. Totals are right again with the next full \
                 report; the gap in time stays."
                    .to_owned()
            }
            Kind::BehindTheFleet => {
                format!(
                    "It holds a newer revision of the policies than Central has{}. Edits are blocked until you \
                         begin a new lineage in the settings, or restore a newer backup.",
                    more(": ")
                )
            }
        };
        let id = match kind {
            Kind::Kms => format!("{}:{subject}:{detail}", kind.as_str()),
            _ => format!("{}:{subject}", kind.as_str()),
        };
        Self { id, kind, severity, subject, message, since }
    }
}
