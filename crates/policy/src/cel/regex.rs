//! Regular expressions of conditions: compiled once, bounded in size and time.

use regex::RegexBuilder;
use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind};

use crate::limits::{MAX_REGEX_BYTES, MAX_REGEX_DEPTH, MAX_REGEX_POSITIONS};

/// A compiled regular expression, and what bounds the time of a search.
#[derive(Debug)]
pub(super) struct Regex {
    compiled: regex::Regex,
    positions: u64,
}

impl Regex {
    /// Compiles a pattern, or says what is wrong with it. The syntax is that of the `regex` crate, which has no
    /// back-references and no look-around.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        let parsed = ParserBuilder::new().nest_limit(MAX_REGEX_DEPTH).build().parse(pattern);
        let hir = parsed.map_err(|error| invalid(&error.to_string()))?;
        let positions = positions(&hir);
        if positions > MAX_REGEX_POSITIONS {
            return Err(format!(
                "the regular expression is too large: with its repetitions written out it may have \
                 {MAX_REGEX_POSITIONS} characters, this one has {positions}"
            ));
        }
        let compiled = RegexBuilder::new(pattern)
            .size_limit(MAX_REGEX_BYTES)
            .dfa_size_limit(MAX_REGEX_BYTES)
            .nest_limit(MAX_REGEX_DEPTH)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(limit) => {
                    format!("the regular expression is too large: compiled it may have {limit} bytes")
                }
                other => invalid(&other.to_string()),
            })?;
        Ok(Self { compiled, positions })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.compiled.is_match(text)
    }

    /// Characters and classes with every repetition written out. A search takes at worst this many steps for each byte
    /// of the text: that is how many places of the pattern can be possible at once.
    pub(super) fn positions(&self) -> u64 {
        self.positions
    }
}

/// The library's text shows the pattern with a marker over several lines; its last line says what is wrong.
fn invalid(text: &str) -> String {
    let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("the regular expression is not valid: {last}")
}

/// Recursion is bounded by [`MAX_REGEX_DEPTH`].
fn positions(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(_) => 1,
        HirKind::Capture(capture) => positions(&capture.sub),
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min).max(1);
            positions(&repetition.sub).saturating_mul(times.into())
        }
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(positions).fold(0, u64::saturating_add)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_count_as_often_as_they_may_happen() {
        for (pattern, expected) in [
            ("", 0),
            ("^abc$", 3),
            ("[a-z]+", 1),
            ("ä", 2),
            ("(?:ab|cd){2,5}", 20),
            (r"\w{3,}", 3),
            ("(a{10}){10}", 100),
            ("^(invoices|orders)/[0-9]{4}/", 20),
        ] {
            assert_eq!(Regex::compile(pattern).map(|regex| regex.positions()), Ok(expected), "{pattern}");
        }
    }

    #[test]
    fn what_a_person_would_write_is_allowed() {
        for pattern in [r"^\w{3,20}-\d{8}\.csv$", r"(?i)\.(docx?|xlsx?|pdf)$", r"^[^/]+/\d{4}/\d{2}/", r"\bsecret\b"] {
            assert!(Regex::compile(pattern).is_ok(), "{pattern}");
        }
    }
}
