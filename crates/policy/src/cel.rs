//! Conditions: a bounded dialect of the Common Expression Language.
//!
//! ```text
//! text ──scan──▶ short enough, shallow enough to parse ──cel crate──▶ syntax tree
//!      ──check──▶ typed tree: facts and fields exist, types agree, limits hold, constants folded, regexes compiled
//!      ──cost───▶ below the limit ──▶ Condition ── evaluate(Scope) ──▶ true | false | Fault
//! ```
//!
//! What is in the dialect, with the meaning that the language definition gives it:
//! - literals `true`, `12`, `"text"` (all ways of quoting), lists of one type after `in` and before a comprehension;
//! - facts (`object.key` string, `.size` int, `.contentType` string, `.metadata` and `.tags` maps of strings,
//!   `.storageClass` string; `request.principal`, `.operation`, `.sourceIp` strings, `.time` timestamp;
//!   `bucket.name` string; `gateway.labels` map of strings);
//! - `&& || ! ?: == != < <= > >= + - * / %`, `in`, `has()`;
//! - `size`, `startsWith`, `endsWith`, `contains`, `matches`, `lowerAscii`, `upperAscii`;
//!   `int()`, `string()`, `timestamp()`, `duration()`, `getHours()` and the like (UTC);
//! - `all`, `exists`, `exists_one` over a list or the names of a map, not inside one another.
//!
//! `object.tags` and `object.metadata` are total: an absent name reads as `""`; `has()` and `in` tell the difference.
//! A label that the gateway does not have is an evaluation error. All limits are in [`crate::limits`].
//!
//! The syntax is the `cel` crate's; evaluation is not, because that crate compiles a regular expression at each
//! evaluation and has no bound on time. Tests hold the two against each other.

mod check;
mod cost;
mod eval;
mod ir;
mod regex;
mod scan;
mod time;

use cel::Env;

pub use eval::Fault;
pub(crate) use eval::Scope;
pub(crate) use time::parse_timestamp;

use crate::form::shorten;
use crate::limits::MAX_CEL_COST;
use crate::problem::Code;

/// A checked and compiled condition. Evaluation cannot panic and takes time in proportion to [`Condition::cost`].
#[derive(Debug)]
pub struct Condition {
    node: ir::Node,
    cost: u64,
    reads: Reads,
}

/// Which costly facts a condition reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reads {
    /// `object.tags`.
    pub tags: bool,
    /// `object.metadata`.
    pub metadata: bool,
    /// `object.size`.
    pub size: bool,
}

/// A problem in a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CelProblem {
    /// Byte offset into the condition.
    pub offset: usize,
    /// What kind of problem.
    pub code: Code,
    /// For a person.
    pub message: String,
}

impl Condition {
    /// Checks and compiles a condition. All independent problems are told.
    pub fn compile(text: &str) -> Result<Self, Vec<CelProblem>> {
        scan::check(text).map_err(|problem| vec![problem])?;
        let parsed = Env::default().parser().parse_with_source_info(text);
        let (expression, source) = parsed.map_err(|errors| vec![syntax_problem(text, &errors)])?;
        let node = check::Checker::new(&source).condition(&expression)?;
        let cost = cost::of(&node);
        if cost > MAX_CEL_COST {
            let message = format!("the condition could cost {cost} units, {MAX_CEL_COST} are allowed");
            return Err(vec![CelProblem { offset: 0, code: Code::CelCost, message }]);
        }
        let mut reads = Reads::default();
        node.walk(&mut |node| reads.add(node));
        Ok(Self { node, cost, reads })
    }

    /// Where the comments of a text are, as byte ranges.
    pub(crate) fn comments(text: &str) -> Vec<std::ops::Range<usize>> {
        scan::comments(text)
    }

    /// Evaluates on facts.
    pub(crate) fn evaluate<'a>(&'a self, scope: &'a Scope<'a>) -> Result<bool, Fault> {
        eval::truth(&self.node, scope)
    }

    /// Upper estimate of one evaluation, in units of about a nanosecond.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// Which costly facts it reads.
    pub fn reads(&self) -> Reads {
        self.reads
    }

    /// The answer, where it does not depend on any fact.
    pub fn constant(&self) -> Option<bool> {
        if let ir::Node::Bool(value) = self.node { Some(value) } else { None }
    }

    /// Literal names that it looks up in `object.metadata`.
    pub(crate) fn metadata_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.node.walk(&mut |node| {
            if let ir::Node::MapGet(ir::Map::Metadata, name) | ir::Node::MapHas(ir::Map::Metadata, name) = node
                && let ir::Node::Str(name) = name.as_ref()
            {
                names.push(name.to_string());
            }
        });
        names
    }
}

impl Reads {
    fn add(&mut self, node: &ir::Node) {
        let mut map = |map: &ir::Map| match map {
            ir::Map::Tags => self.tags = true,
            ir::Map::Metadata => self.metadata = true,
            ir::Map::Labels => {}
        };
        match node {
            ir::Node::MapGet(m, _) | ir::Node::MapHas(m, _) | ir::Node::MapSize(m) => map(m),
            ir::Node::Quantify(_, inner) => {
                if let ir::Range::Names(m) = &inner.0 {
                    map(m);
                }
            }
            ir::Node::Fact(ir::Fact::Size) => self.size = true,
            _ => {}
        }
    }
}

/// The first of the parser's errors; the others follow from it.
fn syntax_problem(text: &str, errors: &cel::ParseErrors) -> CelProblem {
    let first = errors.errors.iter().min_by_key(|error| offset_of(text, error.pos));
    let (offset, message) = match first {
        Some(error) => (offset_of(text, error.pos), for_people(&error.msg)),
        None => (0, "this is not an expression".to_owned()),
    };
    CelProblem { offset, code: Code::CelSyntax, message: shorten(&message) }
}

/// Without the grammar's list of what could stand there.
fn for_people(message: &str) -> String {
    let message = message.trim_start_matches("Syntax error: ");
    let message = message.split(" expecting ").next().unwrap_or(message);
    let found = message.strip_prefix("mismatched input ").or_else(|| message.strip_prefix("extraneous input "));
    match found {
        Some("'<EOF>'") => "the condition ends too early".to_owned(),
        Some(found) => format!("{found} is not expected here"),
        None => message.to_owned(),
    }
}

/// Byte offset of a line and column, both from 1, the column in characters.
fn offset_of(text: &str, (line, column): (isize, isize)) -> usize {
    let (line, column) = (usize::try_from(line).unwrap_or(1).max(1), usize::try_from(column).unwrap_or(1).max(1));
    let mut start = 0;
    for (at, content) in text.split_inclusive('\n').enumerate() {
        if at + 1 == line {
            return start + content.char_indices().nth(column - 1).map_or(content.trim_end().len(), |(at, _)| at);
        }
        start += content.len();
    }
    text.trim_end().len()
}

#[cfg(test)]
mod tests;
