//! A condition after checking: typed, so that evaluation needs no run-time types; closed, so that its cost is known.

use std::fmt;

use super::regex::Regex;
use chrono::{DateTime, TimeDelta, Utc};

/// Type of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Str,
    Time,
    Span,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Str => "string",
            Self::Time => "timestamp",
            Self::Span => "duration",
        })
    }
}

/// A fact with one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    Key,
    Size,
    ContentType,
    StorageClass,
    Principal,
    Operation,
    Time,
    SourceIp,
    Bucket,
}

impl Fact {
    pub(super) const fn ty(self) -> Type {
        match self {
            Self::Size => Type::Int,
            Self::Time => Type::Time,
            _ => Type::Str,
        }
    }
}

/// A fact with named values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Map {
    /// Total: an absent name reads as the empty text.
    Metadata,
    /// Total likewise.
    Tags,
    /// Not total: an absent label is an error, so that a policy for labelled gateways fails closed on others.
    Labels,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantifier {
    All,
    Exists,
    ExistsOne,
}

/// Part of a timestamp (in UTC) or of a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimePart {
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfYear,
    DayOfWeek,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
}

#[derive(Debug)]
pub(super) enum Node {
    Bool(bool),
    Int(i64),
    Str(Box<str>),
    Time(DateTime<Utc>),
    Span(TimeDelta),
    Fact(Fact),
    /// The variable of the comprehension around it; there is at most one.
    Variable,
    MapGet(Map, Box<Node>),
    MapHas(Map, Box<Node>),
    MapSize(Map),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
    If(Box<[Node; 3]>),
    /// Of two values of this type.
    Compare(Comparison, Type, Box<[Node; 2]>),
    Arithmetic(Arithmetic, Box<[Node; 2]>),
    Negate(Box<Node>),
    Length(Box<Node>),
    StartsWith(Box<[Node; 2]>),
    EndsWith(Box<[Node; 2]>),
    Contains(Box<[Node; 2]>),
    Matches(Box<Node>, Box<Regex>),
    LowerAscii(Box<Node>),
    UpperAscii(Box<Node>),
    /// Membership in a list of literal texts, which are in their order.
    InTexts(Box<Node>, Vec<Box<str>>),
    In(Box<Node>, Vec<Node>),
    Quantify(Quantifier, Box<(Range, Node)>),
    ToInt(Box<Node>),
    ToStr(Box<Node>),
    ToTime(Box<Node>),
    ToSpan(Box<Node>),
    Part(TimePart, Box<Node>),
}

/// What a comprehension runs over.
#[derive(Debug)]
pub(super) enum Range {
    List(Vec<Node>),
    /// The names in a map.
    Names(Map),
}

fn walk_all(nodes: &[Node], visit: &mut impl FnMut(&Node)) {
    for node in nodes {
        node.walk(visit);
    }
}

impl Node {
    /// It has a value of its own.
    pub(super) fn is_literal(&self) -> bool {
        matches!(self, Self::Bool(_) | Self::Int(_) | Self::Str(_) | Self::Time(_) | Self::Span(_))
    }

    /// Every node below, this one included, in no particular order.
    pub(super) fn walk(&self, visit: &mut impl FnMut(&Node)) {
        visit(self);
        match self {
            Self::Bool(_)
            | Self::Int(_)
            | Self::Str(_)
            | Self::Time(_)
            | Self::Span(_)
            | Self::Fact(_)
            | Self::Variable
            | Self::MapSize(_) => {}
            Self::MapGet(_, a)
            | Self::MapHas(_, a)
            | Self::Not(a)
            | Self::Negate(a)
            | Self::Length(a)
            | Self::Matches(a, _)
            | Self::LowerAscii(a)
            | Self::UpperAscii(a)
            | Self::InTexts(a, _)
            | Self::ToInt(a)
            | Self::ToStr(a)
            | Self::ToTime(a)
            | Self::ToSpan(a)
            | Self::Part(_, a) => a.walk(visit),
            Self::And(all) | Self::Or(all) => walk_all(all, visit),
            Self::If(all) => walk_all(all.as_ref(), visit),
            Self::Compare(_, _, both)
            | Self::Arithmetic(_, both)
            | Self::StartsWith(both)
            | Self::EndsWith(both)
            | Self::Contains(both) => walk_all(both.as_ref(), visit),
            Self::In(a, list) => {
                a.walk(visit);
                walk_all(list, visit);
            }
            Self::Quantify(_, inner) => {
                if let Range::List(list) = &inner.0 {
                    walk_all(list, visit);
                }
                inner.1.walk(visit);
            }
        }
    }
}
