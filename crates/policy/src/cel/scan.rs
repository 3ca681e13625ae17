//! A look at the text before the parser sees it: how deep could the syntax tree become?
//!
//! The parser recurses on the text. Its own limit counts only some of its recursion, so what it is given is bounded
//! here first, by an upper estimate that needs no grammar: per bracket level, the operators and postfixes that stand
//! in one chain. The exact depth is measured on the tree afterwards.

use std::ops::Range;

use super::CelProblem;
use crate::limits::{MAX_CEL_BYTES, MAX_CEL_DEPTH};
use crate::problem::Code;

/// Longest chain that is given to the parser. A tree within [`MAX_CEL_DEPTH`] stays far below.
const MAX_CHAIN: usize = 4 * MAX_CEL_DEPTH;

/// What stands in one bracket level so far.
#[derive(Default)]
struct Level {
    /// Conditionals nest to the right until the level ends.
    conditionals: usize,
    /// Arithmetic and relations nest to the left until `&&`, `||`, `,`, `?` or `:`; those two are balanced by the parser.
    operators: usize,
    /// `.field`, `[index]` and `(call)` on one operand.
    postfixes: usize,
}

impl Level {
    fn chain(&self) -> usize {
        self.conditionals + self.operators + self.postfixes
    }

    fn next_operand(&mut self) {
        self.postfixes = 0;
    }

    fn next_term(&mut self) {
        self.operators = 0;
        self.postfixes = 0;
    }
}

/// Refuses text that is too long or could be nested too deeply to be parsed.
pub(super) fn check(text: &str) -> Result<(), CelProblem> {
    if text.len() > MAX_CEL_BYTES {
        let mut offset = MAX_CEL_BYTES;
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let message = format!("a condition may have {MAX_CEL_BYTES} bytes, this one has {}", text.len());
        return Err(CelProblem { offset, code: Code::CelTooLarge, message });
    }
    let bytes = text.as_bytes();
    let mut levels = vec![Level::default()];
    let mut closed: usize = 0; // chains of the enclosing levels
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let (end, kind) = token(bytes, at);
        at = end;
        let nested = levels.len() > 1;
        let level = levels.last_mut().expect("the outermost level is never popped");
        match bytes[start] {
            b'(' | b'[' | b'{' => {
                level.postfixes += 1;
                closed += level.chain();
                levels.push(Level::default());
            }
            b')' | b']' | b'}' if nested => {
                levels.pop();
                closed = closed.saturating_sub(levels.last().map_or(0, Level::chain));
            }
            b'.' => level.postfixes += 1,
            b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'!' if kind == Token::Sign => {
                if bytes.get(at) == Some(&b'=') {
                    at += 1;
                }
                level.operators += 1;
                level.next_operand();
            }
            b'i' if &bytes[start..at] == b"in" => {
                level.operators += 1;
                level.next_operand();
            }
            b'&' | b'|' | b':' => level.next_term(),
            b',' => *level = Level::default(),
            b'?' => {
                level.conditionals += 1;
                level.next_term();
            }
            _ => {}
        }
        let brackets = levels.len() - 1;
        let chain = closed + levels.last().map_or(0, Level::chain);
        if brackets > MAX_CEL_DEPTH || chain > MAX_CHAIN {
            let message = format!("a condition may be nested {MAX_CEL_DEPTH} deep; this one goes deeper here");
            return Err(CelProblem { offset: start, code: Code::CelDepth, message });
        }
    }
    Ok(())
}

/// Where comments are: from their `//` to the end of their line.
pub(super) fn comments(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut comments = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (end, kind) = token(bytes, at);
        if kind == Token::Comment {
            comments.push(at..end);
        }
        at = end;
    }
    comments
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    Text,
    Comment,
    Word,
    Sign,
}

/// The end of the token at `at`, and what it is.
fn token(bytes: &[u8], at: usize) -> (usize, Token) {
    match bytes[at] {
        b'"' | b'\'' => (skip_string(bytes, at, false), Token::Text),
        b'r' | b'R' if matches!(bytes.get(at + 1), Some(b'"' | b'\'')) => {
            (skip_string(bytes, at + 1, true), Token::Text)
        }
        b'/' if bytes.get(at + 1) == Some(&b'/') => {
            let end = bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| at + n);
            (end, Token::Comment)
        }
        b if b.is_ascii_alphanumeric() || b == b'_' => (skip_word(bytes, at), Token::Word),
        _ => (at + 1, Token::Sign),
    }
}

fn skip_word(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|b| !(b.is_ascii_alphanumeric() || *b == b'_')).map_or(bytes.len(), |n| at + n)
}

/// Index after the string that begins with the quote at `at`; the end of the text where it is not closed.
fn skip_string(bytes: &[u8], at: usize, raw: bool) -> usize {
    let quote = bytes[at];
    let width = if bytes[at..].starts_with(&[quote; 3]) { 3 } else { 1 };
    let mut i = at + width;
    while i < bytes.len() {
        if bytes[i] == b'\\' && !raw {
            i += 2;
        } else if bytes[i..].starts_with(&[quote; 3][..width]) {
            return i + width;
        } else if width == 1 && bytes[i] == b'\n' {
            return i; // not a string of CEL: the parser says so
        } else {
            i += 1;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_conditions_pass_however_long() {
        let long = (0..80).map(|i| format!("object.key == '{i}'")).collect::<Vec<_>>().join(" || ");
        let list = format!("object.key in [{}]", (0..250).map(|i| format!("'{i}'")).collect::<Vec<_>>().join(", "));
        for text in ["true", &long, &list, "object.tags[\"a\"] in [\"x\", '(((((((((((((((((((((((((']"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn brackets_and_chains_beyond_the_limit_are_found_where_they_begin() {
        let deep = format!("{}a{}", "(".repeat(17), ")".repeat(17));
        assert_eq!(check(&deep).expect_err("too deep").offset, 16);
        for unit in ["+a", ".a", "[0]", ".a()", "<a", "- -a", "?a:a", " in a"] {
            let text = format!("a{}", unit.repeat(MAX_CHAIN + 1));
            assert_eq!(check(&text).expect_err(unit).code, Code::CelDepth, "{unit}");
        }
    }

    #[test]
    fn nesting_within_strings_and_comments_does_not_count() {
        let brackets = "(".repeat(100);
        for text in [
            format!("'{brackets}'"),
            format!("\"\"\"\"{brackets}\"\"\""),
            format!("r'\\' == '{brackets}'"),
            format!("true // {brackets}"),
        ] {
            assert_eq!(check(&text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_text_over_the_limit_is_refused_on_a_character_boundary() {
        let text = format!("'{}'", "ä".repeat(MAX_CEL_BYTES));
        let problem = check(&text).expect_err("too long");
        assert_eq!(problem.code, Code::CelTooLarge);
        assert!(text.is_char_boundary(problem.offset));
    }
}
