//! Decisions: one policy set as one gateway sees it.

use std::sync::Arc;

use ids::{PolicyUid, Revision};
use serde::Serialize;

use crate::document::Effect;
use crate::facts::{Facts, Labels};
use crate::set::PolicySet;

/// The policies of a set that apply to one gateway, ready to decide. Immutable; share it in an `Arc`.
#[derive(Debug)]
pub struct Engine {
    revision: Revision,
}

/// What is to be done with an object, as far as governance policies go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No enforced policy matches.
    Pass,
    /// It has to be stored encrypted.
    Encrypt,
    /// The request has to be refused.
    Deny,
}

/// A policy as it is recorded in objects and statistics.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct PolicyRef {
    /// Identity of the policy.
    pub uid: PolicyUid,
    /// Its name at this revision.
    pub name: String,
    /// Revision of the set.
    pub revision: Revision,
}

/// A policy in audit mode that would have acted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditMatch {
    /// Which one.
    pub policy: Arc<PolicyRef>,
    /// What it would have done.
    pub effect: Effect,
}

/// A policy whose condition could not be evaluated on these facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvaluationError {
    /// Which one.
    pub policy: Arc<PolicyRef>,
    /// Its effect: `encrypt` was counted as a match, `deny` was not.
    pub effect: Effect,
    /// Why, for a person.
    pub message: String,
}

/// The answer for one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What is to be done.
    pub verdict: Verdict,
    /// The policy to be recorded; there exactly when the verdict is not [`Verdict::Pass`].
    pub policy: Option<Arc<PolicyRef>>,
    /// A deny policy depends on the size, which is not known yet: judge again with the true size at Complete.
    pub judge_at_complete: bool,
    /// A matching enforced encrypt policy asks to encrypt what is stored already.
    pub encrypt_existing: bool,
    /// Policies in audit mode that match: deny before encrypt, then by priority and name. The first is the one to count.
    pub audit: Vec<AuditMatch>,
    /// Policies that could not be evaluated, in the same order.
    pub errors: Vec<EvaluationError>,
}

impl Engine {
    /// Selects the policies for a gateway with these labels. Cannot fail: a set holds only checked policies.
    pub fn compile(set: &PolicySet, labels: &Labels) -> Self {
        let _ = labels;
        Self { revision: set.revision() }
    }

    /// Lineage and number of the set.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Policies that apply to this gateway and are not disabled.
    pub fn policies(&self) -> usize {
        unimplemented!()
    }

    /// Judges one object.
    pub fn decide(&self, facts: &Facts<'_>) -> Decision {
        let _ = facts;
        unimplemented!()
    }

    /// Whether a policy for this bucket reads `object.tags`. If not, the tags need not be fetched.
    pub fn needs_tags(&self, bucket: &str) -> bool {
        let _ = bucket;
        unimplemented!()
    }

    /// Whether a policy for this bucket reads `object.metadata`.
    pub fn needs_metadata(&self, bucket: &str) -> bool {
        let _ = bucket;
        unimplemented!()
    }
}
