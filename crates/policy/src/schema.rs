//! The published JSON Schema of the document.

/// JSON Schema (draft 2020-12) of a governance policy. Editors complete and check with it; the parser is stricter.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(crate::document::GovernancePolicy).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checked-in file is what is published. Where this fails after an intended change, put the document that the
    /// failure shows into the file.
    #[test]
    fn the_published_schema_is_the_one_of_the_code() {
        let published = include_str!("../schema/governance-policy.schema.json");
        let published: serde_json::Value = serde_json::from_str(published).unwrap_or_default();
        let current = json_schema();
        assert!(published == current, "the schema has changed; it is now:\n{current:#}");
    }

    #[test]
    fn the_schema_refuses_unknown_fields_and_knows_every_field() {
        let schema = json_schema();
        for part in [&schema, &schema["$defs"]["Spec"], &schema["$defs"]["Metadata"]] {
            assert_eq!(part["additionalProperties"], false, "{part}");
        }
        let fields: Vec<&str> =
            schema["$defs"]["Spec"]["properties"].as_object().expect("fields").keys().map(String::as_str).collect();
        assert_eq!(fields.len(), 7, "{fields:?}");
        assert_eq!(schema["$defs"]["Spec"]["required"], serde_json::json!(["effect"]));
    }
}
