//! Patterns of bucket names: a name, in which `*` stands for any characters, also none.

/// Whether the name matches. Time is linear in the name for each wildcard, and wildcards are few.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    true
}

/// What stands before the first wildcard, and whether there is one.
pub(crate) fn literal_prefix(pattern: &str) -> (&str, bool) {
    match pattern.find('*') {
        Some(at) => (&pattern[..at], true),
        None => (pattern, false),
    }
}

/// Why this is not a pattern.
pub(crate) fn invalid(pattern: &str) -> Option<String> {
    use crate::limits::{MAX_BUCKET_PATTERN_CHARS, MAX_BUCKET_WILDCARDS};
    if pattern.is_empty() {
        return Some("a bucket pattern may not be empty; `*` stands for every bucket".to_owned());
    }
    if pattern.chars().count() > MAX_BUCKET_PATTERN_CHARS {
        return Some(format!("a bucket pattern may have {MAX_BUCKET_PATTERN_CHARS} characters"));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '*');
    if let Some(c) = pattern.chars().find(|&c| !legal(c)) {
        return Some(format!("a bucket pattern may hold letters, digits, `.`, `-`, `_` and `*`, not {c:?}"));
    }
    if pattern.contains("**") {
        return Some("`**` says no more than `*`".to_owned());
    }
    if pattern.matches('*').count() > MAX_BUCKET_WILDCARDS {
        return Some(format!("a bucket pattern may have {MAX_BUCKET_WILDCARDS} wildcards"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_any_characters_and_nothing_else_is_special() {
        for (pattern, name, expected) in [
            ("finance", "finance", true),
            ("finance", "finance2", false),
            ("hr-*", "hr-", true),
            ("hr-*", "hr-x", true),
            ("hr-*", "xhr-x", false),
            ("*", "", true),
            ("*-logs", "a-logs", true),
            ("*-logs", "a-logs-b", false),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*ab*ab", "ab-ab", true),
            ("*ab*ab", "ab", false),
            ("a.b", "axb", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_said() {
        for pattern in ["", "hr-[ab]", "a?", "ä", "a b", "a**", "*a*a*a*a*", &"a".repeat(64)] {
            assert!(invalid(pattern).is_some(), "{pattern}");
        }
        for pattern in ["*", "hr-*", "My_Bucket.1", "*a*b*c*"] {
            assert_eq!(invalid(pattern), None);
        }
    }
}
