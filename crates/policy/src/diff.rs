//! What an edit changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use ids::{PolicyUid, Revision};
use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

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
    let fields_of = |policy: Option<&Policy>| {
        let mut fields = BTreeMap::new();
        if let Some(policy) = policy {
            let value = serde_json::to_value(policy.document()).expect("a policy can always be written as JSON");
            flatten(String::new(), value, &mut fields);
        }
        fields
    };
    let (mut old, mut new) = (fields_of(before), fields_of(after));
    let paths: BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
    let changed = paths.into_iter().filter_map(|path| {
        let (before, after) = (old.remove(&path), new.remove(&path));
        (before != after).then_some(FieldChange { path, before, after })
    });
    let fields: Vec<FieldChange> = changed.collect();
    let (old_text, new_text) = (before.map_or("", Policy::source), after.map_or("", Policy::source));
    let change = match (before, after) {
        (None, Some(_)) => Change::Added,
        (Some(_), None) => Change::Removed,
        _ if !fields.is_empty() => Change::Changed,
        _ if old_text != new_text => Change::Reworded,
        _ => Change::Unchanged,
    };
    let name = after.or(before).map_or_else(String::new, |policy| policy.name().to_owned());
    PolicyDiff { name, change, fields, text: unified(old_text, new_text) }
}

/// Compares two sets, policy by policy; a policy is the same when its UID is.
pub fn diff_sets(from: &PolicySet, to: &PolicySet) -> SetDiff {
    let by_uid = |set: &PolicySet| -> HashMap<PolicyUid, Policy> {
        set.items().iter().map(|item| (item.uid, item.policy.clone())).collect()
    };
    let (old, new) = (by_uid(from), by_uid(to));
    let mut policies: Vec<PolicyDiff> = Vec::new();
    for item in to.items() {
        let before = old.get(&item.uid);
        if before != Some(&item.policy) {
            policies.push(diff(before, Some(&item.policy)));
        }
    }
    let removed = from.items().iter().filter(|item| !new.contains_key(&item.uid));
    policies.extend(removed.map(|item| diff(Some(&item.policy), None)));
    policies.sort_by(|a, b| (&a.name, a.change == Change::Added).cmp(&(&b.name, b.change == Change::Added)));
    SetDiff { from: from.revision(), to: to.revision(), policies }
}

/// Leaves by path; a list is a leaf, because the order in it says nothing worth a line of its own.
fn flatten(path: String, value: Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let below = if path.is_empty() { name } else { format!("{path}.{name}") };
                flatten(below, value, into);
            }
        }
        leaf => {
            into.insert(path, leaf);
        }
    }
}

/// Lines kept around a change.
const CONTEXT: usize = 3;

fn unified(old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    TextDiff::configure()
        .timeout(Duration::from_millis(200))
        .diff_lines(old, new)
        .unified_diff()
        .context_radius(CONTEXT)
        .header("before", "after")
        .to_string()
}

#[cfg(test)]
mod tests;
