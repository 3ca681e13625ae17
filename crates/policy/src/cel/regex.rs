//! Regular expressions of conditions: compiled once, bounded in size and time.

use regex::{Regex, RegexBuilder};

use crate::limits::{MAX_REGEX_BYTES, MAX_REGEX_DEPTH};

/// Compiles a pattern, or says what is wrong with it. The syntax is that of the `regex` crate, which has no
/// back-references and no look-around: search time is linear in the text.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .size_limit(MAX_REGEX_BYTES)
        .dfa_size_limit(8 * MAX_REGEX_BYTES)
        .nest_limit(MAX_REGEX_DEPTH)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("the regular expression is too large: compiled it may have {limit} bytes")
            }
            // The crate's text shows the pattern with a marker over several lines; its last line says what is wrong.
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                format!("the regular expression is not valid: {last}")
            }
        })
}
