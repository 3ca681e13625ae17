//! The published JSON Schema of the document.

/// JSON Schema (draft 2020-12) of a governance policy. Editors complete and check with it; the parser is stricter.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(crate::document::GovernancePolicy).to_value()
}
