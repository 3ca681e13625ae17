//! What an edit changes.

use ids::Revision;
use serde::Serialize;
use serde_json::Value;

use crate::parse::Policy;
use crate::set::PolicySet;

/// What became of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It says something else.
    Changed,
    /// The text differs, what it says does not (comments, layout).
    Reworded,
    /// The text is the same.
    Unchanged,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FieldChange {
    /// Path in the document, such as `spec.priority`.
    pub path: String,
    /// Value before; absent when the field was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// Value after; absent when the field is no longer there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// How two versions of one policy differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyDiff {
    /// The name (after the edit, where it changes).
    pub name: String,
    /// What became of it.
    pub change: Change,
    /// Fields that differ, in the order of their paths.
    pub fields: Vec<FieldChange>,
    /// Unified diff of the texts; empty when they are the same.
    pub text: String,
}

/// How two sets differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetDiff {
    /// The earlier.
    pub from: Revision,
    /// The later.
    pub to: Revision,
    /// Policies that differ, by name; unchanged ones are left out.
    pub policies: Vec<PolicyDiff>,
}

/// Compares two versions of a policy; `None` is one that does not exist.
pub fn diff(before: Option<&Policy>, after: Option<&Policy>) -> PolicyDiff {
    let _ = (before, after);
    unimplemented!()
}

/// Compares two sets, policy by policy; a policy is the same when its UID is.
pub fn diff_sets(from: &PolicySet, to: &PolicySet) -> SetDiff {
    let _ = (from, to);
    unimplemented!()
}
