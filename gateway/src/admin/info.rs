//! Who this gateway is, whether it is well, and which policies it holds.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ids::{Direction, Outcome};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::problem::Problem;
use super::{Admin, FailedStart, Shared, rfc3339};
use crate::config::Floor;
use crate::keys::KmsState;
use crate::scan::{Jobs, due_anywhere};
use crate::stats::{CountKey, Cumulative};
use crate::uplink::Status;

/// What this gateway is.
#[derive(Serialize, ToSchema)]
pub(super) struct Info {
    /// Version of the program.
    version: &'static str,
    /// UUID of the group.
    group: String,
    /// Revision of the group document.
    revision: u64,
    /// UUID of the storage.
    storage_id: String,
    /// Does this member accept writes?
    writable: bool,
    /// How long ago the group document was known to be current.
    document_age_ms: u64,
    /// `enforced`, or `not-enforced`: then only one gateway may run.
    conditional_writes: &'static str,
    /// The KMS under which new objects are encrypted.
    active_kms: Option<String>,
    /// The bucket that clients do not see.
    system_bucket: String,
    /// Kind of the home backend: `directory` or `s3`.
    backend: &'static str,
    /// Everything that is not as it should be; empty where all is well.
    troubles: Vec<PartTrouble>,
    /// The last start before this one that came to nothing, and why; none where the last one went well.
    failed_start: Option<FailedStart>,
    /// What the gateway does without being asked.
    jobs: Jobs,
}

/// What is not as it should be with one part of the gateway.
#[derive(Serialize, ToSchema)]
pub(super) struct PartTrouble {
    /// `group`, `kms`, `kms ID`, `storage NAME`, `central`, `certificate`, `policies`, `statistics`, `jobs`.
    part: String,
    /// What happened and what it means.
    message: String,
}

/// What this gateway is.
#[utoipa::path(get, path = "/info", tag = "gateway", responses((status = 200, body = Info), (status = 401, body = Problem)))]
pub(super) async fn info(State(admin): Shared) -> Json<Info> {
    let document = admin.group.document();
    let system = admin.group.system();
    Json(Info {
        version: env!("CARGO_PKG_VERSION"),
        group: document.group.to_string(),
        revision: document.revision,
        storage_id: system.storage_id().to_string(),
        writable: admin.group.writable().is_ok(),
        document_age_ms: u64::try_from(admin.group.age().as_millis()).unwrap_or(u64::MAX),
        conditional_writes: if system.is_conditional() { "enforced" } else { "not-enforced" },
        active_kms: document.active_kms.as_ref().map(ToString::to_string),
        system_bucket: system.bucket().to_owned(),
        backend: admin.upstreams.home().kind(),
        troubles: troubles(&admin),
        failed_start: admin.failed_start.clone(),
        jobs: admin.scan.jobs(),
    })
}

/// Everything that is not as it should be, as it is known without asking anybody.
pub(super) fn troubles(admin: &Admin) -> Vec<PartTrouble> {
    let mut found = Vec::new();
    let mut tell = |part: &str, message: String| found.push(PartTrouble { part: part.to_owned(), message });
    if let Err(stale) = admin.group.writable() {
        tell("group", stale.to_string());
    }
    let document = admin.group.document();
    for (id, entry) in &document.kms {
        if let Some(KmsState::Broken(reason)) = admin.keys.kms(id) {
            tell(&format!("kms {id}"), reason);
        }
        let alone = entry.made.iter().filter(|(_, made)| made.backup.is_none());
        for (key, _) in alone {
            let message = format!(
                "key {key} was made in place, and no backup of it is recorded: if it is lost, what was encrypted under it is lost"
            );
            tell(&format!("kms {id}"), message);
        }
    }
    let floor = admin.floor == Floor::Encrypt;
    if document.active_kms.is_none() && due_anywhere(&document, &admin.policies.current(), floor) {
        let message = "encryption is asked for and no KMS is active: writes that are due are refused until one is added or activated";
        tell("kms", message.to_owned());
    }
    if let (Some(active), Some(error)) = (&document.active_kms, admin.keys.failing()) {
        tell(&format!("kms {active}"), format!("no new key can be had: {error}"));
    }
    for name in admin.upstreams.names() {
        if let Some(trouble) = admin.upstreams.get(name).and_then(crate::upstream::Upstream::trouble) {
            tell(&format!("storage {name}"), trouble);
        }
    }
    let status = admin.uplink.status();
    if let Some(error) = status.error {
        tell("central", format!("{} ({})", error.message, error.code));
    }
    if status.quarantined {
        let message =
            "Central takes this gateway for a clone and keeps its reports aside until an administrator settles it";
        tell("central", message.to_owned());
    }
    if let Some(error) = status.renewal_error {
        tell("certificate", format!("{} ({})", error.message, error.code));
    }
    if let Some(refusal) = status.refusal {
        let (revision, reason) = (refusal.revision, refusal.reason);
        tell("policies", format!("revision {revision} is refused, the one before is in force: {reason}"));
    }
    if status.journal_failing {
        let message = "the journal cannot be written: what is counted now would not survive a kill";
        tell("statistics", message.to_owned());
    }
    if let Some(error) = admin.scan.jobs().error {
        tell("jobs", error);
    }
    found
}

/// How things stand with Central: connection, certificate, policies, reports.
#[utoipa::path(get, path = "/central", tag = "gateway", responses((status = 200, body = Status), (status = 401, body = Problem)))]
pub(super) async fn central(State(admin): Shared) -> Json<Status> {
    Json(admin.uplink.status())
}

/// The policies as Central sent them.
#[derive(Serialize, ToSchema)]
pub(super) struct Policies {
    /// Lineage of the set; none while no set was received.
    lineage: Option<String>,
    /// Number of the set that is applied.
    revision: Option<u64>,
    /// The same once no request is being decided by an older one.
    effective_revision: Option<u64>,
    /// Time since the set was received.
    age_s: Option<u64>,
    /// When the set was received.
    received: Option<String>,
    /// Labels of this gateway, by which policies choose gateways.
    labels: BTreeMap<String, String>,
    /// The policies, in order of name.
    #[expect(clippy::struct_field_names, reason = "the word of the interface")]
    policies: Vec<ReceivedPolicy>,
}

/// One policy as Central sent it.
#[derive(Serialize, ToSchema)]
pub(super) struct ReceivedPolicy {
    name: String,
    uid: String,
    /// `enforce`, `audit` or `disabled`.
    mode: Value,
    /// The document.
    #[schema(value_type = Object)]
    document: Value,
    /// This gateway is chosen by its labels, and the policy is not disabled.
    applies_here: bool,
    /// Why it does not: `disabled` or `labels`.
    not_because: Option<&'static str>,
    /// What it did here, over the lifetime of the local store.
    hits: Hits,
}

/// Objects that a policy had to do with.
#[derive(Debug, Clone, Copy, Default, Serialize, ToSchema)]
#[schema(as = PolicyHits)]
pub(super) struct Hits {
    /// Stored encrypted.
    encrypted: u64,
    /// Would have been, were it not in audit mode.
    would_encrypt: u64,
    /// Refused.
    denied: u64,
    /// Would have been.
    would_deny: u64,
    /// It could not be evaluated.
    error: u64,
}

impl Hits {
    /// Of every policy, by name.
    fn all(counts: Vec<(CountKey, Cumulative)>) -> BTreeMap<String, Self> {
        let mut all: BTreeMap<String, Self> = BTreeMap::new();
        for (key, count) in counts.into_iter().filter(|(key, _)| key.direction == Direction::In) {
            let hits = all.entry(key.policy.to_string()).or_default();
            let hit = match key.outcome {
                Outcome::Encrypted => &mut hits.encrypted,
                Outcome::WouldEncrypt => &mut hits.would_encrypt,
                Outcome::Denied => &mut hits.denied,
                Outcome::WouldDeny => &mut hits.would_deny,
                Outcome::Error => &mut hits.error,
                _ => continue,
            };
            *hit += count.objects;
        }
        all
    }
}

/// The policies of Central that this gateway applies; they are changed at Central.
#[utoipa::path(get, path = "/policies", tag = "gateway", responses((status = 200, body = Policies), (status = 401, body = Problem)))]
pub(super) async fn policies(State(admin): Shared) -> Result<Json<Policies>, Problem> {
    let snapshot = admin.policies.current();
    let mut policies = Vec::new();
    let hits = Hits::all(admin.front.stats.counts());
    for item in snapshot.set.items() {
        let document = item.policy.document();
        let chosen = |(key, values): (&String, &Vec<String>)| {
            snapshot.labels.get(key).is_some_and(|value| values.contains(value))
        };
        let not_because = if document.spec.mode == policy::Mode::Disabled {
            Some("disabled")
        } else {
            (!document.spec.gateways.iter().all(chosen)).then_some("labels")
        };
        policies.push(ReceivedPolicy {
            name: item.policy.name().to_owned(),
            uid: item.uid.to_string(),
            mode: serde_json::to_value(document.spec.mode).map_err(|error| Problem::internal(&error))?,
            document: serde_json::to_value(document).map_err(|error| Problem::internal(&error))?,
            applies_here: not_because.is_none(),
            not_because,
            hits: hits.get(item.policy.name()).copied().unwrap_or_default(),
        });
    }
    let received = snapshot.revision.map(|_| snapshot.received_at);
    let since_1970 = received.and_then(|at| at.duration_since(std::time::SystemTime::UNIX_EPOCH).ok());
    let number = snapshot.revision.map(|revision| revision.number);
    Ok(Json(Policies {
        lineage: snapshot.revision.map(|revision| revision.lineage.to_string()),
        revision: number,
        effective_revision: number.filter(|_| admin.policies.is_effective()),
        age_s: snapshot.revision.map(|_| snapshot.age().as_secs()),
        received: since_1970.map(|since| rfc3339(u64::try_from(since.as_millis()).unwrap_or(0))),
        labels: snapshot.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        policies,
    }))
}

/// The process runs.
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Requests can be served, writes included.
pub(super) async fn readyz(State(admin): Shared) -> (StatusCode, Json<Value>) {
    match admin.group.writable() {
        Ok(()) => (StatusCode::OK, Json(json!({ "status": "ready" }))),
        Err(stale) => {
            let body = json!({ "status": "not-ready", "reasons": [stale.to_string()] });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body))
        }
    }
}
