//! The one use of the YAML library.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::{Key, Kind, Node, Part, Position, Scalar};
use crate::limits::{MAX_DOCUMENT_BYTES, MAX_NODE_DEPTH, MAX_NODES};
use crate::problem::{Code, Problem};

/// Cuts a text into its documents at lines that begin with `---`; these are document marks wherever they stand, also
/// inside quotes and block texts. A part without content (blank, comments) is dropped, but what stands before the first
/// mark belongs to the first document. A line that is the mark and nothing else belongs to none.
pub(crate) fn documents(text: &str) -> Vec<Part<'_>> {
    let mut starts = vec![0];
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if line.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) {
            starts.push(offset);
        }
        offset += line.len();
    }
    starts.push(text.len());
    let mut parts: Vec<(usize, usize)> = starts.windows(2).map(|ends| (ends[0], ends[1])).collect();
    if parts.len() > 1 && !has_content(&text[parts[0].0..parts[0].1]) {
        let (start, _) = parts.remove(0);
        parts[0].0 = start;
    }
    parts
        .into_iter()
        .filter(|&(start, end)| has_content(&text[start..end]))
        .map(|(start, end)| {
            let first = text[start..end].split_inclusive('\n').next().unwrap_or_default();
            let start = if first.trim_end() == "---" { start + first.len() } else { start };
            let lines = text[..start].bytes().filter(|&b| b == b'\n').count();
            Part { text: &text[start..end], lines_before: u32::try_from(lines).unwrap_or(u32::MAX) }
        })
        .collect()
}

/// Anything but blank lines, comments, directives and document marks.
fn has_content(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.strip_prefix("---").or_else(|| line.strip_prefix("...")).unwrap_or(line);
        let line = line.trim_start_matches('\u{feff}').trim();
        !(line.is_empty() || line.starts_with('#') || line.starts_with('%'))
    })
}

/// Reads one document.
pub(crate) fn read(part: &Part<'_>) -> Result<Node, Problem> {
    if part.text.len() > MAX_DOCUMENT_BYTES {
        let message = format!("a document may have {MAX_DOCUMENT_BYTES} bytes, this one has {}", part.text.len());
        return Err(Problem::new(part.position(0), "", Code::TooLarge, message));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_NODE_DEPTH,
            flow_nesting_limit: MAX_NODE_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_anchors: 0,
            max_aliases: 0,
            max_documents: 1,
            max_total_scalar_bytes: MAX_DOCUMENT_BYTES,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    let read: Result<Spanned<Raw>, _> = serde_saphyr::from_str_with_options(part.text, options);
    match read {
        Ok(raw) => Ok(node(part, raw)),
        Err(error) => {
            let at = error.location().map_or(Position::START, |location| position(part, location));
            let (code, message) = explain(error.without_snippet());
            Err(Problem::new(at, "", code, message))
        }
    }
}

fn explain(error: &serde_saphyr::Error) -> (Code, String) {
    match error {
        serde_saphyr::Error::Budget { breach: BudgetBreach::Anchors { .. } | BudgetBreach::Aliases { .. }, .. } => {
            (Code::Syntax, "anchors and aliases are not part of the document".to_owned())
        }
        serde_saphyr::Error::Budget { breach: BudgetBreach::Documents { .. }, .. }
        | serde_saphyr::Error::MultipleDocuments { .. } => {
            (Code::Syntax, "another document begins here: it must be separated by a line `---`".to_owned())
        }
        serde_saphyr::Error::Budget { .. } => {
            let message = format!("a document may have {MAX_NODES} parts, nested {MAX_NODE_DEPTH} deep");
            (Code::TooLarge, message)
        }
        other => (Code::Syntax, without_place(&other.to_string())),
    }
}

/// The library's messages end in their place, which is told beside the message here.
fn without_place(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.find(" at line ").map_or(line, |at| &line[..at]).trim_end_matches(':').to_owned()
}

fn position(part: &Part<'_>, location: Location) -> Position {
    let clamp = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    Position { line: part.lines_before.saturating_add(clamp(location.line())), column: clamp(location.column()) }
}

fn node(part: &Part<'_>, raw: Spanned<Raw>) -> Node {
    let at = position(part, raw.referenced);
    let kind = match raw.value {
        Raw::Null => Kind::Null,
        Raw::Bool(_) => Kind::Bool,
        Raw::Int(value) => Kind::Int(value),
        Raw::Other(what) => Kind::Other(what),
        Raw::Text(value) => {
            let start = raw.referenced.span().byte_offset().and_then(|at| usize::try_from(at).ok()).unwrap_or(0);
            Kind::Text(Scalar { value, start })
        }
        Raw::List(items) => Kind::List(items.into_iter().map(|item| node(part, item)).collect()),
        Raw::Map(entries) => Kind::Map(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let at = position(part, key.referenced);
                    (Key { at, name: key.value.into_name() }, node(part, value))
                })
                .collect(),
        ),
    };
    Node { at, kind }
}

/// A node as the library delivers it.
enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Other(&'static str),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl Raw {
    /// A field's name; what is not a text is no known field, whatever it says.
    fn into_name(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Other(_) | Self::List(_) | Self::Map(_) => "(not a text)".to_owned(),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping, a list, a text, a number, a boolean or nothing")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(i64::try_from(value).map_or(Raw::Other("a number that is too large"), Raw::Int))
    }

    fn visit_i128<E>(self, _value: i128) -> Result<Raw, E> {
        Ok(Raw::Other("a number that is too large"))
    }

    fn visit_u128<E>(self, _value: u128) -> Result<Raw, E> {
        Ok(Raw::Other("a number that is too large"))
    }

    fn visit_f64<E>(self, _value: f64) -> Result<Raw, E> {
        Ok(Raw::Other("a fraction"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_bytes<E>(self, _value: &[u8]) -> Result<Raw, E> {
        Ok(Raw::Other("binary data"))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}
