//! Evaluation. Total: every condition on every input ends with an answer, in time bounded by its static cost.
//!
//! Logic is three-valued as CEL has it: `false && error` is false, `true || error` is true. A size that is not known
//! is an unknown, which absorbs likewise and outranks an error.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::cmp::Ordering;
use std::fmt;

use chrono::{DateTime, Datelike, SecondsFormat, TimeDelta, Timelike, Utc};

use super::ir::{Arithmetic, Comparison, Fact, Map, Node, Quantifier, Range, TimePart, Type};
use super::time;
use crate::facts::{Facts, Labels};

/// Why an evaluation has no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It depends on the size, which is not known yet.
    SizeUnknown,
    /// The result does not fit.
    Overflow,
    /// Division or remainder by zero.
    DivisionByZero,
    /// The gateway does not have the label.
    NoSuchLabel,
    /// A text that is not a number, a timestamp or a duration.
    Conversion,
    /// An operand of a type that checking excludes.
    Internal,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SizeUnknown => "the size of the object is not known yet",
            Self::Overflow => "a number, timestamp or duration is out of range",
            Self::DivisionByZero => "division by zero",
            Self::NoSuchLabel => "the gateway does not have the label that is asked for",
            Self::Conversion => "a text cannot be converted into a number, timestamp or duration",
            Self::Internal => "an operand has an unexpected type",
        })
    }
}

impl std::error::Error for Fault {}

/// What a condition is evaluated on.
pub(crate) struct Scope<'a> {
    facts: &'a Facts<'a>,
    labels: &'a Labels,
    /// The only fact that has to be written out; done when the first condition asks.
    source_ip: OnceCell<String>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(facts: &'a Facts<'a>, labels: &'a Labels) -> Self {
        Self { facts, labels, source_ip: OnceCell::new() }
    }

    fn pairs(&self, map: Map) -> Option<&'a [(String, String)]> {
        match map {
            Map::Metadata => Some(self.facts.metadata),
            Map::Tags => Some(self.facts.tags),
            Map::Labels => None,
        }
    }

    fn get(&self, map: Map, name: &str) -> Option<&'a str> {
        match self.pairs(map) {
            Some(pairs) => pairs.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()),
            None => self.labels.get(name).map(String::as_str),
        }
    }

    /// Names in their order, each once.
    fn names(&self, map: Map) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        match self.pairs(map) {
            Some(pairs) => Box::new(
                pairs
                    .iter()
                    .enumerate()
                    .filter(|(at, (name, _))| !pairs[..*at].iter().any(|(n, _)| n == name))
                    .map(|(_, (name, _))| name.as_str()),
            ),
            None => Box::new(self.labels.keys().map(String::as_str)),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Bool(bool),
    Int(i64),
    Str(Cow<'a, str>),
    Time(DateTime<Utc>),
    Span(TimeDelta),
}

type Outcome<'a> = Result<Value<'a>, Fault>;

pub(super) fn truth<'a>(node: &'a Node, scope: &'a Scope<'a>) -> Result<bool, Fault> {
    boolean(node, scope, None)
}

/// Value of a node that uses no fact.
pub(super) fn constant(node: &Node) -> Result<Node, Fault> {
    let (facts, labels) = (Facts::new("", ""), Labels::new());
    let scope = Scope::new(&facts, &labels);
    Ok(match evaluate(node, &scope, None)? {
        Value::Bool(b) => Node::Bool(b),
        Value::Int(i) => Node::Int(i),
        Value::Str(s) => Node::Str(s.into()),
        Value::Time(t) => Node::Time(t),
        Value::Span(s) => Node::Span(s),
    })
}

/// Any node. Conditions and texts, which are nearly all of what is evaluated, have ways of their own without a [`Value`].
fn evaluate<'a>(node: &'a Node, scope: &'a Scope<'a>, var: Option<&Value<'a>>) -> Outcome<'a> {
    Ok(match node {
        Node::Variable => return var.cloned().ok_or(Fault::Internal),
        Node::Int(i) => Value::Int(*i),
        Node::Time(t) => Value::Time(*t),
        Node::Span(s) => Value::Span(*s),
        Node::Fact(Fact::Size) => Value::Int(size(scope)?),
        Node::Fact(Fact::Time) => {
            let time = DateTime::from_timestamp_millis(scope.facts.time_unix_ms).filter(time::is_in_range);
            Value::Time(time.ok_or(Fault::Overflow)?)
        }
        Node::Str(_)
        | Node::Fact(_)
        | Node::MapGet(..)
        | Node::LowerAscii(_)
        | Node::UpperAscii(_)
        | Node::ToStr(_) => Value::Str(text(node, scope, var)?),
        Node::MapSize(map) => Value::Int(length(scope.names(*map).count())?),
        Node::If(parts) => {
            let [condition, then, otherwise] = parts.as_ref();
            return evaluate(if boolean(condition, scope, var)? { then } else { otherwise }, scope, var);
        }
        Node::Arithmetic(operator, both) => {
            let (a, b) = pair(evaluate(&both[0], scope, var), evaluate(&both[1], scope, var))?;
            return calculate(*operator, a, b);
        }
        Node::Negate(a) => match evaluate(a, scope, var)? {
            Value::Int(i) => Value::Int(i.checked_neg().ok_or(Fault::Overflow)?),
            Value::Span(s) => Value::Span(time::in_range(-s).ok_or(Fault::Overflow)?),
            _ => return Err(Fault::Internal),
        },
        Node::Length(a) => Value::Int(length(text(a, scope, var)?.chars().count())?),
        Node::ToInt(a) => Value::Int(match evaluate(a, scope, var)? {
            Value::Int(i) => i,
            Value::Str(s) => s.parse().map_err(|_| Fault::Conversion)?,
            Value::Time(t) => t.timestamp(),
            _ => return Err(Fault::Internal),
        }),
        Node::ToTime(a) => match evaluate(a, scope, var)? {
            Value::Time(t) => Value::Time(t),
            Value::Str(s) => Value::Time(time::parse_timestamp(&s).ok_or(Fault::Conversion)?),
            _ => return Err(Fault::Internal),
        },
        Node::ToSpan(a) => match evaluate(a, scope, var)? {
            Value::Span(s) => Value::Span(s),
            Value::Str(s) => Value::Span(time::parse_span(&s).ok_or(Fault::Conversion)?),
            _ => return Err(Fault::Internal),
        },
        Node::Part(part, a) => Value::Int(match evaluate(a, scope, var)? {
            Value::Time(t) => part_of_time(*part, t),
            Value::Span(s) => part_of_span(*part, s).ok_or(Fault::Internal)?,
            _ => return Err(Fault::Internal),
        }),
        Node::Bool(_)
        | Node::MapHas(..)
        | Node::Not(_)
        | Node::And(_)
        | Node::Or(_)
        | Node::Compare(..)
        | Node::StartsWith(_)
        | Node::EndsWith(_)
        | Node::Contains(_)
        | Node::Matches(..)
        | Node::InTexts(..)
        | Node::In(..)
        | Node::Quantify(..) => Value::Bool(boolean(node, scope, var)?),
    })
}

fn boolean<'a>(node: &'a Node, scope: &'a Scope<'a>, var: Option<&Value<'a>>) -> Result<bool, Fault> {
    Ok(match node {
        Node::Bool(b) => *b,
        Node::MapHas(map, name) => scope.get(*map, &text(name, scope, var)?).is_some(),
        Node::Not(a) => !boolean(a, scope, var)?,
        Node::And(all) => absorb(all, scope, var, false)?,
        Node::Or(all) => absorb(all, scope, var, true)?,
        // Equality need not find out which is greater.
        Node::Compare(Comparison::Equal, Type::Str, both) => hold(both, scope, var, |a, b| a == b)?,
        Node::Compare(Comparison::NotEqual, Type::Str, both) => hold(both, scope, var, |a, b| a != b)?,
        Node::Compare(comparison, Type::Str, both) => hold(both, scope, var, |a, b| holds(*comparison, a.cmp(b)))?,
        Node::Compare(comparison, Type::Int, both) => {
            let (a, b) = pair(int(&both[0], scope, var), int(&both[1], scope, var))?;
            holds(*comparison, a.cmp(&b))
        }
        Node::Compare(comparison, _, both) => {
            let (a, b) = pair(evaluate(&both[0], scope, var), evaluate(&both[1], scope, var))?;
            holds(*comparison, compare(&a, &b)?)
        }
        Node::StartsWith(both) => hold(both, scope, var, |a, b| a.starts_with(b))?,
        Node::EndsWith(both) => hold(both, scope, var, |a, b| a.ends_with(b))?,
        Node::Contains(both) => hold(both, scope, var, |a, b| a.contains(b))?,
        Node::Matches(a, regex) => match plain(a, scope) {
            Some(a) => regex.is_match(a),
            None => regex.is_match(&text(a, scope, var)?),
        },
        Node::InTexts(a, sorted) => {
            let found = |a: &str| sorted.binary_search_by(|element| element.as_ref().cmp(a)).is_ok();
            match plain(a, scope) {
                Some(a) => found(a),
                None => found(&text(a, scope, var)?),
            }
        }
        Node::In(a, list) => is_member(a, list, scope, var)?,
        Node::Quantify(quantifier, inner) => quantify(*quantifier, &inner.0, &inner.1, scope)?,
        _ => match evaluate(node, scope, var)? {
            Value::Bool(b) => b,
            _ => return Err(Fault::Internal),
        },
    })
}

fn text<'a>(node: &'a Node, scope: &'a Scope<'a>, var: Option<&Value<'a>>) -> Result<Cow<'a, str>, Fault> {
    if let Some(plain) = plain(node, scope) {
        return Ok(Cow::Borrowed(plain));
    }
    Ok(Cow::Borrowed(match node {
        Node::Fact(Fact::SourceIp) => match scope.facts.source_ip {
            Some(ip) => scope.source_ip.get_or_init(|| ip.to_string()),
            None => "",
        },
        Node::MapGet(map, name) => match (scope.get(*map, &text(name, scope, var)?), map) {
            (Some(value), _) => value,
            (None, Map::Metadata | Map::Tags) => "",
            (None, Map::Labels) => return Err(Fault::NoSuchLabel),
        },
        Node::LowerAscii(a) => return Ok(Cow::Owned(text(a, scope, var)?.to_ascii_lowercase())),
        Node::UpperAscii(a) => return Ok(Cow::Owned(text(a, scope, var)?.to_ascii_uppercase())),
        Node::ToStr(a) => {
            return Ok(match evaluate(a, scope, var)? {
                Value::Str(s) => s,
                Value::Bool(b) => Cow::Borrowed(if b { "true" } else { "false" }),
                Value::Int(i) => Cow::Owned(i.to_string()),
                Value::Time(t) => Cow::Owned(t.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
                Value::Span(s) => Cow::Owned(time::format_span(s)),
            });
        }
        Node::Variable | Node::If(_) | Node::Arithmetic(..) => match evaluate(node, scope, var)? {
            Value::Str(s) => return Ok(s),
            _ => return Err(Fault::Internal),
        },
        _ => return Err(Fault::Internal),
    }))
}

fn size(scope: &Scope<'_>) -> Result<i64, Fault> {
    let size = scope.facts.size.ok_or(Fault::SizeUnknown)?;
    Ok(i64::try_from(size).unwrap_or(i64::MAX))
}

/// An unknown outranks an error, whichever side it is on.
fn pair<T>(a: Result<T, Fault>, b: Result<T, Fault>) -> Result<(T, T), Fault> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(a), Err(b)) => Err(worse(Some(a), b)),
        (Err(fault), _) | (_, Err(fault)) => Err(fault),
    }
}

fn worse(earlier: Option<Fault>, now: Fault) -> Fault {
    match earlier {
        Some(earlier) if now != Fault::SizeUnknown => earlier,
        _ => now,
    }
}

/// The text of a node that only has to be pointed at; `None` says nothing about other nodes.
#[inline]
fn plain<'a>(node: &'a Node, scope: &'a Scope<'a>) -> Option<&'a str> {
    let facts = scope.facts;
    match node {
        Node::Str(s) => Some(s),
        Node::Fact(Fact::Key) => Some(facts.key),
        Node::Fact(Fact::ContentType) => Some(facts.content_type),
        Node::Fact(Fact::StorageClass) => Some(facts.storage_class),
        Node::Fact(Fact::Principal) => Some(facts.principal),
        Node::Fact(Fact::Operation) => Some(facts.operation),
        Node::Fact(Fact::Bucket) => Some(facts.bucket),
        Node::MapGet(map @ (Map::Tags | Map::Metadata), name) => match name.as_ref() {
            Node::Str(name) => Some(scope.get(*map, name).unwrap_or("")),
            _ => None,
        },
        _ => None,
    }
}

/// Whether two texts stand in a relation.
fn hold<'a>(
    both: &'a [Node; 2],
    scope: &'a Scope<'a>,
    var: Option<&Value<'a>>,
    relation: impl Fn(&str, &str) -> bool,
) -> Result<bool, Fault> {
    if let (Some(a), Some(b)) = (plain(&both[0], scope), plain(&both[1], scope)) {
        return Ok(relation(a, b));
    }
    let (a, b) = pair(text(&both[0], scope, var), text(&both[1], scope, var))?;
    Ok(relation(&a, &b))
}

fn int<'a>(node: &'a Node, scope: &'a Scope<'a>, var: Option<&Value<'a>>) -> Result<i64, Fault> {
    match node {
        Node::Int(i) => Ok(*i),
        Node::Fact(Fact::Size) => size(scope),
        _ => match evaluate(node, scope, var)? {
            Value::Int(i) => Ok(i),
            _ => Err(Fault::Internal),
        },
    }
}

/// `&&` (decided by `false`) and `||` (decided by `true`): one deciding operand outweighs every fault.
fn absorb<'a>(all: &'a [Node], scope: &'a Scope<'a>, var: Option<&Value<'a>>, deciding: bool) -> Result<bool, Fault> {
    let mut fault = None;
    for node in all {
        match boolean(node, scope, var) {
            Ok(value) if value == deciding => return Ok(deciding),
            Ok(_) => {}
            Err(now) => fault = Some(worse(fault, now)),
        }
    }
    fault.map_or(Ok(!deciding), Err)
}

fn is_member<'a>(
    item: &'a Node,
    list: &'a [Node],
    scope: &'a Scope<'a>,
    var: Option<&Value<'a>>,
) -> Result<bool, Fault> {
    let item = evaluate(item, scope, var);
    let mut fault = item.as_ref().err().copied();
    let mut found = false;
    // A list is made before it is searched: a fault in any element is a fault of the whole.
    for node in list {
        match (evaluate(node, scope, var), &item) {
            (Ok(element), Ok(item)) => found |= element == *item,
            (Ok(_), Err(_)) => {}
            (Err(now), _) => fault = Some(worse(fault, now)),
        }
    }
    fault.map_or(Ok(found), Err)
}

fn quantify<'a>(quantifier: Quantifier, range: &'a Range, body: &'a Node, scope: &'a Scope<'a>) -> Result<bool, Fault> {
    let mut tally = Tally { quantifier, held: 0, fault: None };
    match range {
        Range::Names(map) => {
            for name in scope.names(*map) {
                if let Some(answer) = tally.add(boolean(body, scope, Some(&Value::Str(Cow::Borrowed(name))))) {
                    return Ok(answer);
                }
            }
        }
        Range::List(nodes) => {
            let mut values = Vec::with_capacity(nodes.len());
            let mut fault = None;
            for node in nodes {
                match evaluate(node, scope, None) {
                    Ok(value) => values.push(value),
                    Err(now) => fault = Some(worse(fault, now)),
                }
            }
            if let Some(fault) = fault {
                return Err(fault);
            }
            for value in &values {
                if let Some(answer) = tally.add(boolean(body, scope, Some(value))) {
                    return Ok(answer);
                }
            }
        }
    }
    tally.result()
}

struct Tally {
    quantifier: Quantifier,
    held: usize,
    fault: Option<Fault>,
}

impl Tally {
    /// Takes one element's result; an answer here is final.
    fn add(&mut self, result: Result<bool, Fault>) -> Option<bool> {
        match (self.quantifier, result) {
            (Quantifier::All, Ok(false)) => return Some(false),
            (Quantifier::Exists, Ok(true)) => return Some(true),
            (Quantifier::ExistsOne, Ok(true)) => self.held += 1,
            (_, Ok(_)) => {}
            (_, Err(now)) => self.fault = Some(worse(self.fault, now)),
        }
        None
    }

    fn result(self) -> Result<bool, Fault> {
        match (self.fault, self.quantifier) {
            (Some(fault), _) => Err(fault),
            (None, Quantifier::All) => Ok(true),
            (None, Quantifier::Exists) => Ok(false),
            (None, Quantifier::ExistsOne) => Ok(self.held == 1),
        }
    }
}

fn compare(a: &Value<'_>, b: &Value<'_>) -> Result<Ordering, Fault> {
    Ok(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Str(a), Value::Str(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Span(a), Value::Span(b)) => a.cmp(b),
        _ => return Err(Fault::Internal),
    })
}

fn holds(comparison: Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

fn calculate<'a>(operator: Arithmetic, a: Value<'a>, b: Value<'a>) -> Outcome<'a> {
    let result = match (operator, a, b) {
        (Arithmetic::Divide | Arithmetic::Remainder, Value::Int(_), Value::Int(0)) => {
            return Err(Fault::DivisionByZero);
        }
        (Arithmetic::Add, Value::Int(a), Value::Int(b)) => a.checked_add(b).map(Value::Int),
        (Arithmetic::Subtract, Value::Int(a), Value::Int(b)) => a.checked_sub(b).map(Value::Int),
        (Arithmetic::Multiply, Value::Int(a), Value::Int(b)) => a.checked_mul(b).map(Value::Int),
        (Arithmetic::Divide, Value::Int(a), Value::Int(b)) => a.checked_div(b).map(Value::Int),
        (Arithmetic::Remainder, Value::Int(a), Value::Int(b)) => a.checked_rem(b).map(Value::Int),
        (Arithmetic::Add, Value::Str(a), Value::Str(b)) => Some(Value::Str(a + b)),
        (Arithmetic::Add, Value::Time(t), Value::Span(s)) | (Arithmetic::Add, Value::Span(s), Value::Time(t)) => {
            t.checked_add_signed(s).filter(time::is_in_range).map(Value::Time)
        }
        (Arithmetic::Subtract, Value::Time(t), Value::Span(s)) => {
            t.checked_sub_signed(s).filter(time::is_in_range).map(Value::Time)
        }
        (Arithmetic::Subtract, Value::Time(a), Value::Time(b)) => {
            time::in_range(a.signed_duration_since(b)).map(Value::Span)
        }
        (Arithmetic::Add, Value::Span(a), Value::Span(b)) => {
            a.checked_add(&b).and_then(time::in_range).map(Value::Span)
        }
        (Arithmetic::Subtract, Value::Span(a), Value::Span(b)) => {
            a.checked_sub(&b).and_then(time::in_range).map(Value::Span)
        }
        _ => return Err(Fault::Internal),
    };
    result.ok_or(Fault::Overflow)
}

fn length(count: usize) -> Result<i64, Fault> {
    i64::try_from(count).map_err(|_| Fault::Overflow)
}

fn part_of_time(part: TimePart, time: DateTime<Utc>) -> i64 {
    match part {
        TimePart::FullYear => time.year().into(),
        TimePart::Month => time.month0().into(),
        TimePart::Date => time.day().into(),
        TimePart::DayOfMonth => time.day0().into(),
        TimePart::DayOfYear => time.ordinal0().into(),
        TimePart::DayOfWeek => time.weekday().num_days_from_sunday().into(),
        TimePart::Hours => time.hour().into(),
        TimePart::Minutes => time.minute().into(),
        TimePart::Seconds => time.second().into(),
        TimePart::Milliseconds => time.timestamp_subsec_millis().into(),
    }
}

/// Of a duration: the whole of it in that unit; milliseconds are those beyond the whole seconds.
fn part_of_span(part: TimePart, span: TimeDelta) -> Option<i64> {
    match part {
        TimePart::Hours => Some(span.num_hours()),
        TimePart::Minutes => Some(span.num_minutes()),
        TimePart::Seconds => Some(span.num_seconds()),
        TimePart::Milliseconds => Some(i64::from(span.subsec_nanos() / 1_000_000)),
        _ => None,
    }
}
