//! YAML and JSON text as a tree of nodes with places, before anything is known about what it should say.
//!
//! ```text
//! text ──documents──▶ parts, cut at `---` lines ──read──▶ Node (places in the whole text) | Problem
//!                                                            └── Scalar::place: offset in the value ──▶ place in the text
//! ```
//! Read by serde-saphyr into a tree of our own instead of the target types, because a deserializer stops at the first
//! mistake and this tells all of them. Anchors, aliases, merge keys and tags are refused: a policy should read as it
//! stands.

mod place;
mod read;

pub(crate) use read::{documents, read};

use crate::problem::Position;

/// One node of a document.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it begins.
    pub(crate) at: Position,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Null,
    Bool,
    /// A whole number that fits; beyond, it is an [`Kind::Other`].
    Int(i64),
    /// A fraction or a number that does not fit.
    Other(&'static str),
    Text(Scalar),
    List(Vec<Node>),
    /// In the order of the text, duplicates included.
    Map(Vec<(Key, Node)>),
}

/// A field's name.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) at: Position,
    pub(crate) name: String,
}

/// A text and how it stands in the source.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub(crate) value: String,
    /// Byte offset of its first character (quote, block indicator or text) in the document's text.
    pub(crate) start: usize,
}

impl Kind {
    /// What it is, with an article, for messages.
    pub(crate) const fn describe(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool => "a boolean",
            Self::Int(_) => "a number",
            Self::Other(what) => what,
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// One document within a text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'a> {
    /// Its text, comments included.
    pub(crate) text: &'a str,
    /// Lines of the whole text before it.
    pub(crate) lines_before: u32,
}

impl Part<'_> {
    /// Place of an offset into the value of a scalar of this part; exact for every style of YAML and JSON. Where value
    /// and source cannot be brought together, it is the start of the scalar.
    pub(crate) fn place(&self, scalar: &Scalar, offset: usize) -> Position {
        let at = place::source_offset(self.text, scalar, offset).unwrap_or(scalar.start);
        self.position(at)
    }

    /// Place of a byte offset into this part.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let before = &self.text[..offset.min(self.text.len())];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let lines = before.bytes().filter(|&b| b == b'\n').count();
        Position {
            line: self.lines_before.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX)).saturating_add(1),
            column: u32::try_from(before[line_start..].chars().count()).unwrap_or(u32::MAX).saturating_add(1),
        }
    }
}
