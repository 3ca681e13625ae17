//! The static cost of a condition: an upper estimate of its evaluation, in units of about one nanosecond on a current
//! processor, found without evaluating it.
//!
//! It rests on what S3 admits in a request: keys of 1,024 bytes, 10 tags (names of 128, values of 256 characters),
//! 2 KiB of user metadata. Time grows with these and nothing else, because the dialect has no loops but one
//! comprehension over such a map or a list literal, and no recursion.

use super::ir::{Arithmetic, Fact, Map, Node, Range};

/// One node of the tree.
const STEP: u64 = 10;
/// Making a text of its own instead of borrowing one.
const ALLOCATION: u64 = 50;
/// Start of a regular expression's search, and each byte of it beside one for each position of the pattern.
const REGEX_START: u64 = 100;
const REGEX_BYTE: u64 = 2;

/// The most that S3 puts into a map.
struct Extent {
    entries: u64,
    name_bytes: u64,
    value_bytes: u64,
}

const fn extent(map: Map) -> Extent {
    match map {
        Map::Tags => Extent { entries: 10, name_bytes: 512, value_bytes: 1_024 },
        Map::Metadata => Extent { entries: 64, name_bytes: 128, value_bytes: METADATA_BYTES },
        Map::Labels => Extent { entries: 32, name_bytes: 63, value_bytes: 63 },
    }
}

/// All of an object's metadata, names and values.
const METADATA_BYTES: u64 = 2_048;

/// The variable of the comprehension around.
#[derive(Clone, Copy, Default)]
struct Variable {
    /// The most bytes that it has; over metadata on average, because the bound there is on the whole.
    bytes: u64,
    /// The map whose names it runs over.
    over: Option<Map>,
}

/// Cost of a whole condition.
pub(super) fn of(node: &Node) -> u64 {
    cost(node, Variable::default())
}

fn cost(node: &Node, variable: Variable) -> u64 {
    let below = |node: &Node| cost(node, variable);
    let bytes = |node: &Node| bytes(node, variable);
    let own = match node {
        Node::Bool(_)
        | Node::Int(_)
        | Node::Str(_)
        | Node::Time(_)
        | Node::Span(_)
        | Node::Fact(_)
        | Node::Variable => 0,
        Node::MapGet(map, name) | Node::MapHas(map, name) => {
            below(name) + extent(*map).entries * (2 + bytes(name).min(extent(*map).name_bytes) / 16)
        }
        Node::MapSize(map) => extent(*map).entries * extent(*map).entries * 4,
        Node::Not(a) | Node::Negate(a) | Node::Part(_, a) => below(a),
        Node::And(all) | Node::Or(all) => all.iter().map(below).sum(),
        Node::If(parts) => parts.iter().map(below).sum(),
        Node::Compare(_, _, both) | Node::StartsWith(both) | Node::EndsWith(both) => {
            below(&both[0]) + below(&both[1]) + bytes(&both[0]).min(bytes(&both[1])) / 16
        }
        Node::Contains(both) => below(&both[0]) + below(&both[1]) + ALLOCATION + bytes(&both[0]),
        Node::Arithmetic(_, both) => {
            let joined = bytes(&both[0]) + bytes(&both[1]);
            below(&both[0]) + below(&both[1]) + if joined > 0 { ALLOCATION + joined / 8 } else { 0 }
        }
        Node::Length(a) => below(a) + bytes(a),
        Node::Matches(a, regex) => below(a) + REGEX_START + bytes(a) * (REGEX_BYTE + regex.positions()),
        Node::LowerAscii(a) | Node::UpperAscii(a) => below(a) + ALLOCATION + bytes(a) / 4,
        Node::InTexts(a, list) => below(a) + u64::from(list.len().max(1).ilog2() + 1) * (2 + bytes(a) / 16),
        Node::In(a, list) => {
            let compare = list.iter().map(|element| below(element) + bytes(element).min(bytes(a)) / 16);
            below(a) + compare.sum::<u64>()
        }
        Node::Quantify(_, inner) => {
            let (range, body) = inner.as_ref();
            let (entries, setup, each) = match range {
                Range::List(list) => {
                    let setup = ALLOCATION + list.iter().map(|element| cost(element, Variable::default())).sum::<u64>();
                    let longest = list.iter().map(bytes).max().unwrap_or(0);
                    (list.len() as u64, setup, Variable { bytes: longest, over: None })
                }
                Range::Names(map) => {
                    let extent = extent(*map);
                    let setup = ALLOCATION + extent.entries * extent.entries * 4;
                    let bytes = match map {
                        Map::Metadata => METADATA_BYTES / extent.entries,
                        Map::Tags | Map::Labels => extent.name_bytes,
                    };
                    (extent.entries, setup, Variable { bytes, over: Some(*map) })
                }
            };
            setup.saturating_add(entries.saturating_mul(STEP + cost(body, each)))
        }
        Node::ToInt(a) | Node::ToTime(a) | Node::ToSpan(a) => below(a) + ALLOCATION + bytes(a),
        Node::ToStr(a) => below(a) + 2 * ALLOCATION,
    };
    own.saturating_add(STEP)
}

/// The most bytes that the text of a node can have; 0 for what is not a text.
fn bytes(node: &Node, variable: Variable) -> u64 {
    match node {
        Node::Str(s) => s.len() as u64,
        Node::Fact(fact) => match fact {
            Fact::Key | Fact::ContentType => 1_024,
            Fact::Principal => 256,
            Fact::Bucket | Fact::Operation | Fact::StorageClass | Fact::SourceIp => 64,
            Fact::Size | Fact::Time => 0,
        },
        Node::Variable => variable.bytes,
        Node::MapGet(Map::Metadata, name)
            if matches!(**name, Node::Variable) && matches!(variable.over, Some(Map::Metadata)) =>
        {
            METADATA_BYTES / extent(Map::Metadata).entries
        }
        Node::MapGet(map, _) => extent(*map).value_bytes,
        Node::If(parts) => bytes(&parts[1], variable).max(bytes(&parts[2], variable)),
        Node::Arithmetic(Arithmetic::Add, both) => bytes(&both[0], variable) + bytes(&both[1], variable),
        Node::LowerAscii(a) | Node::UpperAscii(a) => bytes(a, variable),
        Node::ToStr(a) => bytes(a, variable).max(40),
        _ => 0,
    }
}
