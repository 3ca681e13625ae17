//! What a command prints: a table for a person, or one JSON object.

use std::io::{ErrorKind, Write};

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::failure::{Context, Failure};

/// How results are written to standard output.
pub(crate) struct Output {
    /// One JSON object instead of text.
    pub(crate) json: bool,
}

impl Output {
    /// Prints `value` as JSON, or what `text` makes of it. A reader that has read enough, as `head` has, is no failure;
    /// a full disk is one.
    pub(crate) fn print(&self, value: &Value, text: impl FnOnce(&Value) -> String) -> Result<(), Failure> {
        let text = if self.json { value.to_string() } else { text(value).trim_end().to_owned() };
        if text.is_empty() {
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{text}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.or_refuse(|| "standard output cannot be written".to_owned()),
        }
    }
}

/// One line to standard error. Where that is closed there is nobody to tell.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The rows of an array of objects under a line of headings; `columns` are names of fields. Of numbers of bytes, which
/// are told by the name, a person sees the size.
pub(crate) fn table(rows: &Value, columns: &[&str]) -> String {
    let heading: Vec<String> = columns.iter().map(|c| c.to_uppercase().replace('_', " ")).collect();
    let mut lines = vec![heading];
    for row in rows.as_array().map(Vec::as_slice).unwrap_or_default() {
        lines.push(columns.iter().map(|column| named_cell(column, row.get(*column))).collect());
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

fn named_cell(column: &str, value: Option<&Value>) -> String {
    let is_size = column == "bytes" || column.starts_with("bytes_") || column.ends_with("_bytes");
    match value.and_then(Value::as_u64).filter(|_| is_size) {
        Some(bytes) => size(bytes),
        None => cell(value),
    }
}

/// A number of bytes, in the greatest binary unit of which there is one.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let unit = UNITS.iter().zip(1..).take_while(|(_, power)| bytes >> (10 * power) > 0).last();
    let Some((unit, power)) = unit else { return format!("{bytes} B") };
    // One digit behind the point, cut off: nothing is shown as greater than it is.
    let tenths = (u128::from(bytes) * 10) >> (10 * power);
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// How long ago something was.
pub(crate) fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// A Unix time in milliseconds as RFC 3339, to the second; none where there is no such time.
pub(crate) fn rfc3339(milliseconds: i64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(milliseconds.div_euclid(1_000)).ok()?.format(&Rfc3339).ok()
}

/// What becomes of the new objects of a bucket: all are encrypted, those for which there is a reason, or none.
pub(crate) fn new_objects(bucket: &Value) -> &'static str {
    let asked = bucket["because"].as_str().is_some_and(|because| !because.is_empty());
    match bucket["encrypting"].as_bool() {
        Some(true) => "encrypted",
        _ if asked => "by policy",
        _ => "as they are",
    }
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

    #[test]
    fn sizes_ages_and_times_are_written_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in [(59, "59 s ago"), (150, "2 min ago"), (86_400, "24 h ago"), (259_200, "3 d ago")] {
            assert_eq!(ago(seconds), text);
        }
        assert_eq!(rfc3339(1_767_323_045_678).as_deref(), Some("2026-01-02T03:04:05Z"));
        assert_eq!(rfc3339(i64::MAX), None);
        let rows = json!([{ "bucket": "a", "bytes": 2048, "objects": 2048 }]);
        assert_eq!(table(&rows, &["bucket", "bytes", "objects"]), "BUCKET  BYTES    OBJECTS\na       2.0 KiB  2048\n");
    }

    #[test]
    fn both_tables_of_buckets_say_the_same_of_new_objects() {
        assert_eq!(new_objects(&json!({ "encrypting": true, "because": "toggle" })), "encrypted");
        assert_eq!(new_objects(&json!({ "encrypting": false, "because": "policy pay" })), "by policy");
        assert_eq!(new_objects(&json!({ "encrypting": false, "because": "" })), "as they are");
    }
}
