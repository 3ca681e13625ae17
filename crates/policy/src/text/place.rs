//! From an offset in the value of a scalar to the place where that character was written.
//!
//! YAML changes only white space (folding, indentation, chomping) and escapes; every other character of the value
//! stands in the source in the same order. So value and source are walked together, white space skipped on both sides.

use super::Scalar;

#[derive(Clone, Copy)]
enum Style {
    /// Plain, literal and folded: characters stand for themselves.
    Bare,
    Single,
    Double,
}

/// Byte offset in `source` of the character at `offset` in the value; of the end of the character before it, where it
/// is white space or the end. `None`: value and source do not correspond.
pub(super) fn source_offset(source: &str, scalar: &Scalar, offset: usize) -> Option<usize> {
    let written = source.get(scalar.start..)?;
    let (style, mut at) = match written.chars().next() {
        Some('"') => (Style::Double, scalar.start + 1),
        Some('\'') => (Style::Single, scalar.start + 1),
        Some('|' | '>') => (Style::Bare, scalar.start + written.find('\n')? + 1),
        _ => (Style::Bare, scalar.start),
    };
    for (index, wanted) in scalar.value.char_indices() {
        let here = index >= offset;
        if wanted.is_whitespace() {
            if here {
                return Some(at);
            }
            continue;
        }
        loop {
            let (found, length) = next(source.get(at..)?, style)?;
            if found.is_some_and(|found| !found.is_whitespace()) {
                if found != Some(wanted) {
                    return None;
                }
                if here {
                    return Some(at);
                }
                at += length;
                break;
            }
            at += length;
        }
    }
    Some(at)
}

/// The character that the source goes on with, and how many bytes it is written in. No character: a continued line.
fn next(source: &str, style: Style) -> Option<(Option<char>, usize)> {
    let first = source.chars().next()?;
    let single = (Some(first), first.len_utf8());
    match (style, first) {
        (Style::Single, '\'') => source.starts_with("''").then_some((Some('\''), 2)),
        (Style::Double, '"') => None,
        (Style::Double, '\\') => escape(source),
        _ => Some(single),
    }
}

fn escape(source: &str) -> Option<(Option<char>, usize)> {
    let kind = source[1..].chars().next()?;
    let decoded = match kind {
        'x' => return hexadecimal(source, 2),
        'u' => return hexadecimal(source, 4),
        'U' => return hexadecimal(source, 8),
        '\n' | '\r' => return Some((None, 1 + kind.len_utf8())),
        '0' => '\0',
        'a' => '\u{7}',
        'b' => '\u{8}',
        't' => '\t',
        'n' => '\n',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        other => other,
    };
    Some((Some(decoded), 1 + kind.len_utf8()))
}

/// `\xNN`, `\uNNNN`, `\UNNNNNNNN`, and JSON's two `\u` for one character beyond the basic plane.
fn hexadecimal(source: &str, digits: usize) -> Option<(Option<char>, usize)> {
    let unit = |at: usize| u32::from_str_radix(source.get(at..at + digits)?, 16).ok();
    let first = unit(2)?;
    let length = 2 + digits;
    if let Some(c) = char::from_u32(first) {
        return Some((Some(c), length));
    }
    if digits != 4 || !source.get(length..)?.starts_with("\\u") {
        return None;
    }
    let second = unit(length + 2)?;
    let both = 0x1_0000 + ((first & 0x3ff) << 10) + (second & 0x3ff);
    Some((Some(char::from_u32(both)?), 2 * length))
}
