//! What a command prints: a table for a person, or one JSON object.

use serde_json::Value;

/// How results are written to standard output.
pub(crate) struct Output {
    /// One JSON object instead of text.
    pub(crate) json: bool,
}

impl Output {
    /// Prints `value` as JSON, or what `text` makes of it.
    #[expect(clippy::print_stdout, reason = "this is what standard output is for")]
    pub(crate) fn print(&self, value: &Value, text: impl FnOnce(&Value) -> String) {
        if self.json {
            println!("{value}");
        } else {
            let text = text(value);
            if !text.is_empty() {
                println!("{}", text.trim_end());
            }
        }
    }
}

/// The rows of an array of objects under a line of headings; `columns` are names of fields.
pub(crate) fn table(rows: &Value, columns: &[&str]) -> String {
    let heading: Vec<String> = columns.iter().map(|c| c.to_uppercase().replace('_', " ")).collect();
    let mut lines = vec![heading];
    for row in rows.as_array().map(Vec::as_slice).unwrap_or_default() {
        lines.push(columns.iter().map(|column| cell(row.get(*column))).collect());
    }
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// One line per field of an object.
pub(crate) fn fields(value: &Value) -> String {
    let Some(object) = value.as_object() else { return cell(Some(value)) };
    let width = object.keys().map(String::len).max().unwrap_or(0);
    let line = |(name, value): (&String, &Value)| format!("{name:<width$}  {}", cell(Some(value)));
    object.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A value as a person reads it.
fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = json!([{ "id": "a", "key_versions": 12 }, { "id": "longer", "key_versions": null }]);
        assert_eq!(table(&rows, &["id", "key_versions"]), "ID      KEY VERSIONS\na       12\nlonger  -\n");
    }
}
