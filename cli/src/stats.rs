//! `sealgate stats`: what all gateways counted, added up by Central.

use std::process::ExitCode;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::args::StatsArgs;
use crate::duration::parse_duration;
use crate::failure::Failure;
use crate::output::{Output, ago, new_objects, table};
use crate::target::Targets;

/// A dash among the numbers is what is not known.
const COVERAGE: [&str; 10] = [
    "bucket",
    "new_objects",
    "because",
    "objects_encrypted",
    "objects_plain",
    "objects_unknown",
    "bytes_encrypted",
    "bytes_plain",
    "looked_through",
    "told",
];

/// Carries the command out.
pub(crate) async fn run(args: StatsArgs, targets: &Targets, out: &Output) -> Result<ExitCode, Failure> {
    if args.coverage {
        let coverage = targets.central()?.get(&["coverage"], &[]).await?;
        out.print(&coverage, |coverage| table(&covered(&coverage["coverage"]), &COVERAGE))?;
        return Ok(ExitCode::SUCCESS);
    }
    let since = args.since.map(|text| since(&text, OffsetDateTime::now_utc())).transpose()?;
    let mut query = Vec::new();
    if let Some(by) = args.by {
        query.push(("by", by.as_str()));
    }
    if let Some(since) = &since {
        query.push(("since", since.as_str()));
    }
    let figures = targets.central()?.get(&["stats"], &query).await?;
    out.print(&figures, |figures| {
        let numbers = ["objects", "bytes", "objects_read", "bytes_read"];
        let keys = match args.by {
            Some(by) => vec![by.as_str()],
            None => vec!["gateway", "bucket", "policy", "outcome"],
        };
        let mut text = table(&figures["rows"], &[keys.as_slice(), &numbers].concat());
        if figures["truncated"].as_bool() == Some(true) {
            text.push_str("There are more rows; add up with --by.\n");
        }
        text
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The rows with what only people are shown.
fn covered(rows: &Value) -> Value {
    let mut rows = rows.clone();
    for row in rows.as_array_mut().into_iter().flatten() {
        row["new_objects"] = json!(new_objects(row));
        row["looked_through"] = json!(row["looked_age_s"].as_u64().map(ago));
        row["told"] = json!(row["age_s"].as_u64().map(ago));
    }
    rows
}

/// RFC 3339 as it is, or a duration before `now`.
fn since(text: &str, now: OffsetDateTime) -> Result<String, Failure> {
    let usage = || Failure::Usage(format!("--since {text:?} is neither RFC 3339 nor a duration such as 2h"));
    let at = match OffsetDateTime::parse(text, &Rfc3339) {
        Ok(at) => at,
        Err(_) => now
            .checked_sub(parse_duration(text).map_err(|_| usage())?.try_into().map_err(|_| usage())?)
            .ok_or_else(usage)?,
    };
    at.format(&Rfc3339).map_err(|_| usage())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_of_the_coverage_are_written_for_people() {
        let rows =
            json!([{ "bucket": "a", "encrypting": true, "age_s": 3, "looked_age_s": null, "bytes_plain": 1024 }]);
        let text = table(&covered(&rows), &COVERAGE);
        for words in ["NEW OBJECTS", "LOOKED THROUGH", "encrypted", "1.0 KiB", "3 s ago"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn since_is_a_time_or_a_duration_before_now() {
        let now = OffsetDateTime::parse("2026-01-02T03:04:05Z", &Rfc3339).expect("legal");
        assert_eq!(since("2h", now).expect("a duration"), "2026-01-02T01:04:05Z");
        assert_eq!(since("2025-12-31T00:00:00+01:00", now).expect("a time"), "2025-12-31T00:00:00+01:00");
        for bad in ["yesterday", "2026-01-02", "", "999999999999d"] {
            assert!(matches!(since(bad, now), Err(Failure::Usage(_))), "{bad}");
        }
    }
}
