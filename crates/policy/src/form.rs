//! Reading fields out of a document's tree: strict, and never stopping at the first mistake.

use crate::limits::MAX_PROBLEMS;
use crate::problem::{Code, Position, Problem, Problems};
use crate::text::{Key, Kind, Node, Part, Scalar};

/// Collects what is wrong with one document while its fields are read.
pub(crate) struct Form<'a> {
    part: Part<'a>,
    problems: Vec<Problem>,
}

/// The fields of one mapping; duplicates are told already, the first one is kept.
pub(crate) struct Fields<'n> {
    at: Position,
    path: String,
    entries: Vec<(&'n Key, &'n Node)>,
}

/// A field's value and its path.
#[derive(Clone)]
pub(crate) struct Field<'n> {
    pub(crate) node: &'n Node,
    pub(crate) path: String,
}

impl<'a> Form<'a> {
    pub(crate) fn new(part: Part<'a>) -> Self {
        Self { part, problems: Vec::new() }
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Notes a problem; the answer is always `None`, for use as a value.
    pub(crate) fn problem<T>(&mut self, at: Position, path: &str, code: Code, message: impl Into<String>) -> Option<T> {
        self.problems.push(Problem::new(at, path, code, message));
        None
    }

    /// Place of an offset within a text.
    pub(crate) fn place(&self, scalar: &Scalar, offset: usize) -> Position {
        self.part.place(scalar, offset)
    }

    /// Notes a problem at an offset within a text.
    pub(crate) fn problem_within(&mut self, scalar: &Scalar, offset: usize, path: &str, code: Code, message: String) {
        let at = self.part.place(scalar, offset);
        self.problems.push(Problem::new(at, path, code, message));
    }

    fn wrong_type<T>(&mut self, field: &Field<'_>, wanted: &str) -> Option<T> {
        let message = format!("`{}` must be {wanted}, this is {}", field.path, field.node.kind.describe());
        self.problem(field.node.at, &field.path, Code::WrongType, message)
    }

    /// The document itself as a mapping with these fields.
    pub(crate) fn root<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<Fields<'n>> {
        let Kind::Map(entries) = &node.kind else {
            let message = format!("the document must be a mapping, this is {}", node.kind.describe());
            return self.problem(node.at, "", Code::WrongType, message);
        };
        Some(self.known(node.at, String::new(), entries, known))
    }

    /// A field as a mapping with these fields.
    pub(crate) fn mapping<'n>(&mut self, field: &Field<'n>, known: &[&str]) -> Option<Fields<'n>> {
        let Kind::Map(entries) = &field.node.kind else { return self.wrong_type(field, "a mapping") };
        Some(self.known(field.node.at, field.path.clone(), entries, known))
    }

    /// A field as a mapping with any names.
    pub(crate) fn named<'n>(&mut self, field: &Field<'n>) -> Option<Vec<(&'n Key, Field<'n>)>> {
        let Kind::Map(entries) = &field.node.kind else { return self.wrong_type(field, "a mapping") };
        let fields = self.unique(field.node.at, field.path.clone(), entries);
        let with_path = |(key, node): (&'n Key, &'n Node)| (key, Field { node, path: join(&field.path, &key.name) });
        Some(fields.entries.into_iter().map(with_path).collect())
    }

    fn known<'n>(&mut self, at: Position, path: String, entries: &'n [(Key, Node)], known: &[&str]) -> Fields<'n> {
        let mut fields = self.unique(at, path, entries);
        fields.entries.retain(|(key, _)| {
            let is_known = known.contains(&key.name.as_str());
            if !is_known {
                let path = join(&fields.path, &key.name);
                let message = format!("there is no field `{path}`; known here: {}", known.join(", "));
                self.problems.push(Problem::new(key.at, path, Code::UnknownField, message));
            }
            is_known
        });
        fields
    }

    fn unique<'n>(&mut self, at: Position, path: String, entries: &'n [(Key, Node)]) -> Fields<'n> {
        let mut unique: Vec<(&Key, &Node)> = Vec::with_capacity(entries.len());
        let mut seen = std::collections::HashMap::with_capacity(entries.len());
        for (key, node) in entries {
            if let Some(first) = seen.insert(key.name.as_str(), key.at) {
                let path = join(&path, &key.name);
                let message = format!("`{path}` is there already, on line {}", first.line);
                self.problems.push(Problem::new(key.at, path, Code::Duplicate, message));
                seen.insert(key.name.as_str(), first);
            } else {
                unique.push((key, node));
            }
        }
        Fields { at, path, entries: unique }
    }

    /// A field that must be there.
    pub(crate) fn required<'n>(&mut self, fields: &Fields<'n>, name: &str) -> Option<Field<'n>> {
        let field = fields.get(name);
        if field.is_none() {
            let path = join(&fields.path, name);
            let message = format!("`{path}` must be there");
            return self.problem(fields.at, &path, Code::MissingField, message);
        }
        field
    }

    pub(crate) fn text<'n>(&mut self, field: &Field<'n>) -> Option<&'n Scalar> {
        match &field.node.kind {
            Kind::Text(scalar) => Some(scalar),
            Kind::Bool | Kind::Int(_) | Kind::Other(_) => self.wrong_type(field, "a text (put it in quotes)"),
            _ => self.wrong_type(field, "a text"),
        }
    }

    pub(crate) fn number(&mut self, field: &Field<'_>) -> Option<i64> {
        match &field.node.kind {
            Kind::Int(value) => Some(*value),
            _ => self.wrong_type(field, "a whole number"),
        }
    }

    pub(crate) fn list<'n>(&mut self, field: &Field<'n>) -> Option<Vec<Field<'n>>> {
        let Kind::List(items) = &field.node.kind else { return self.wrong_type(field, "a list") };
        let item = |(at, node): (usize, &'n Node)| Field { node, path: format!("{}[{at}]", field.path) };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// One of these words.
    pub(crate) fn word<T: Copy>(&mut self, field: &Field<'_>, words: &[(&str, T)]) -> Option<T> {
        let scalar = self.text(field)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == scalar.value) {
            return Some(*value);
        }
        let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let message = format!("`{}` must be one of {known}; this is {:?}", field.path, shorten(&scalar.value));
        self.problem(field.node.at, &field.path, Code::InvalidValue, message)
    }
}

impl<'n> Fields<'n> {
    pub(crate) fn get(&self, name: &str) -> Option<Field<'n>> {
        let (_, node) = self.entries.iter().find(|(key, _)| key.name == name)?;
        Some(Field { node, path: join(&self.path, name) })
    }
}

fn join(path: &str, name: &str) -> String {
    let name = shorten(name);
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// Text of a stranger within a message.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// In the order of the text, bounded.
pub(crate) fn sorted(mut problems: Vec<Problem>) -> Problems {
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems.truncate(MAX_PROBLEMS);
    Problems(problems)
}
