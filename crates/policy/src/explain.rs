//! Why a set decides as it does.

use ids::{PolicyUid, Revision};
use serde::Serialize;

use crate::document::{Effect, Mode};
use crate::engine::Decision;
use crate::facts::{Facts, Labels};
use crate::problem::Problems;
use crate::set::PolicySet;

/// The question, as the command line and the REST interface take it:
/// `{"bucket", "object": {"key", "size", "contentType", "tags", "metadata", "storageClass"},
/// "request": {"principal", "operation", "time", "sourceIp"}, "gateway": {"labels"}}`.
/// `bucket` and `object.key` must be there; `object.size: null` is a size that is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainRequest {}

impl ExplainRequest {
    /// Reads a request, JSON or YAML, as strictly as a policy. `now_unix_ms` is used when `request.time` is absent.
    pub fn parse(text: &str, now_unix_ms: i64) -> Result<Self, Problems> {
        let _ = (text, now_unix_ms);
        unimplemented!()
    }

    /// The facts in it.
    pub fn facts(&self) -> Facts<'_> {
        unimplemented!()
    }

    /// `gateway.labels`.
    pub fn labels(&self) -> &Labels {
        unimplemented!()
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The set that was asked.
    pub revision: Revision,
    /// What a gateway with these labels would do.
    pub decision: Decision,
    /// Every policy of the set: deny before encrypt, then by priority and name.
    pub policies: Vec<PolicyExplanation>,
}

/// One policy of the set, and why it applies or not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyExplanation {
    /// Identity.
    pub uid: PolicyUid,
    /// Name.
    pub name: String,
    /// Whether it acts.
    pub mode: Mode,
    /// What it does.
    pub effect: Effect,
    /// Its priority.
    pub priority: u32,
    /// It matches the object (in audit mode: it would act).
    pub applies: bool,
    /// It is the one that is recorded.
    pub recorded: bool,
    /// The first reason that decides.
    pub reason: Reason,
    /// For a person.
    pub message: String,
}

/// Why a policy applies or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It is disabled.
    Disabled,
    /// The gateway's labels are not selected.
    GatewayLabels,
    /// The bucket is not selected.
    Bucket,
    /// The condition is false.
    ConditionFalse,
    /// The condition is true, or there is none.
    Matches,
    /// The condition could not be evaluated: an encrypt policy matches, a deny policy does not.
    Error,
    /// The condition depends on the size, which is not known yet: an encrypt policy matches, a deny policy is judged
    /// at Complete.
    SizeUnknown,
}

/// Asks every policy of the set about one object at a gateway with these labels.
pub fn explain(set: &PolicySet, labels: &Labels, facts: &Facts<'_>) -> Explanation {
    let _ = (set, labels, facts);
    unimplemented!()
}
