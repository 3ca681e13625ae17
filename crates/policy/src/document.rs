//! The governance policy as a value. It is made only by parsing a text, see [`crate::parse()`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

/// The one `apiVersion` that is read.
pub const API_VERSION: &str = "sealgate.dev/v1";
/// The one `kind` that is read.
pub const KIND: &str = "GovernancePolicy";

/// A governance policy of Central: which incoming objects have to be encrypted or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GovernancePolicy {
    /// Always `sealgate.dev/v1`.
    pub api_version: ApiVersion,
    /// Always `GovernancePolicy`.
    pub kind: Kind,
    /// How it is called.
    pub metadata: Metadata,
    /// What it says.
    pub spec: Spec,
}

/// The version of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum ApiVersion {
    /// The first version.
    #[serde(rename = "sealgate.dev/v1")]
    V1,
}

/// The kind of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum Kind {
    /// A governance policy.
    GovernancePolicy,
}

/// How a policy is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// DNS label: 1 to 63 of `a-z 0-9 -`, beginning and ending with a letter or digit. Unique in a set.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"))]
    pub name: String,
    /// For people; at most 1,024 characters.
    #[schemars(length(max = 1024))]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
}

/// What a policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Whether it acts, only counts, or rests.
    #[serde(default)]
    pub mode: Mode,
    /// Among policies that match, the highest priority is recorded, then the first name; 0 to 1,000,000.
    #[schemars(range(min = 0, max = 1_000_000))]
    #[serde(default)]
    pub priority: u32,
    /// Gateways by label: every key must be there with one of its values. Empty: all gateways.
    #[schemars(extend("maxProperties" = 16))]
    #[serde(default)]
    pub gateways: BTreeMap<String, Vec<String>>,
    /// Buckets by name, `*` stands for any characters. Empty: all buckets.
    #[schemars(length(max = 256))]
    #[serde(default)]
    pub buckets: Vec<String>,
    /// Condition in the bounded dialect of CEL, at most 2,048 bytes. Absent: always.
    #[schemars(with = "String", length(min = 1, max = 2048))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What is to happen to an object that matches.
    pub effect: Effect,
    /// What is to happen to what is stored already.
    #[serde(default)]
    pub existing: Existing,
}

/// Whether a policy acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It acts.
    #[default]
    Enforce,
    /// It is evaluated, counted and reported, and changes nothing.
    Audit,
    /// It is not evaluated.
    Disabled,
}

/// What a policy does to an object that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The object is stored encrypted.
    Encrypt,
    /// The request is refused.
    Deny,
}

/// What a policy does to objects that are stored already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Existing {
    /// They stay as they are.
    #[default]
    Leave,
    /// They are encrypted too.
    Encrypt,
}
