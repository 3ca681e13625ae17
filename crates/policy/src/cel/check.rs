//! From the parser's tree to a typed one: names, types and the limits of the dialect.
//!
//! Each sub-expression that has a problem reports it and yields nothing; what contains it stays silent, so that one
//! mistake is told once and independent mistakes are told together.

use cel::common::ast::{CallExpr, EntryExpr, Expr, LiteralValue, SelectExpr, SourceInfo, operators};
use cel::parser::Expression;

use super::ir::{Arithmetic, Comparison, Fact, Map, Node, Quantifier, Range, TimePart, Type};
use super::regex::Regex;
use super::{CelProblem, eval};
use crate::limits::{MAX_CEL_DEPTH, MAX_CEL_LIST, MAX_REGEXES};
use crate::problem::Code;

/// A node with its type.
struct Typed {
    node: Node,
    ty: Type,
}

/// What an expression denotes before its type is asked for.
enum Denoted {
    Value(Typed),
    Map(Map),
    Root(Root),
}

#[derive(Clone, Copy)]
enum Root {
    Object,
    Request,
    Bucket,
    Gateway,
}

const ROOTS: &str = "object, request, bucket and gateway";

impl Root {
    const fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Request => "request",
            Self::Bucket => "bucket",
            Self::Gateway => "gateway",
        }
    }

    const fn fields(self) -> &'static str {
        match self {
            Self::Object => "key, size, contentType, metadata, tags and storageClass",
            Self::Request => "principal, operation, time and sourceIp",
            Self::Bucket => "name",
            Self::Gateway => "labels",
        }
    }

    fn field(self, name: &str) -> Option<Denoted> {
        let fact = match (self, name) {
            (Self::Object, "metadata") => return Some(Denoted::Map(Map::Metadata)),
            (Self::Object, "tags") => return Some(Denoted::Map(Map::Tags)),
            (Self::Gateway, "labels") => return Some(Denoted::Map(Map::Labels)),
            (Self::Object, "key") => Fact::Key,
            (Self::Object, "size") => Fact::Size,
            (Self::Object, "contentType") => Fact::ContentType,
            (Self::Object, "storageClass") => Fact::StorageClass,
            (Self::Request, "principal") => Fact::Principal,
            (Self::Request, "operation") => Fact::Operation,
            (Self::Request, "time") => Fact::Time,
            (Self::Request, "sourceIp") => Fact::SourceIp,
            (Self::Bucket, "name") => Fact::Bucket,
            _ => return None,
        };
        Some(Denoted::Value(Typed { node: Node::Fact(fact), ty: fact.ty() }))
    }
}

/// The variable of a comprehension.
struct Variable {
    name: String,
    ty: Type,
}

pub(super) struct Checker<'a> {
    source: &'a SourceInfo,
    problems: Vec<CelProblem>,
    variable: Option<Variable>,
    depth: usize,
    deepest_told: bool,
    regexes: usize,
}

impl<'a> Checker<'a> {
    pub(super) fn new(source: &'a SourceInfo) -> Self {
        Self { source, problems: Vec::new(), variable: None, depth: 0, deepest_told: false, regexes: 0 }
    }

    /// The whole condition, which must be a bool.
    pub(super) fn condition(mut self, expression: &Expression) -> Result<Node, Vec<CelProblem>> {
        let node = self.expect(expression, Type::Bool, "a condition");
        match node {
            Some(node) if self.problems.is_empty() => Ok(node),
            _ => Err(self.problems),
        }
    }

    fn problem<T>(&mut self, at: &Expression, code: Code, message: impl Into<String>) -> Option<T> {
        let offset = self.source.offset_for(at.id).map_or(0, |(start, _)| start as usize);
        self.problems.push(CelProblem { offset, code, message: message.into() });
        None
    }

    fn expect(&mut self, at: &Expression, ty: Type, what: &str) -> Option<Node> {
        let typed = self.value(at)?;
        if typed.ty == ty {
            Some(typed.node)
        } else {
            self.problem(at, Code::CelType, format!("{what} must be a {ty}, this is a {}", typed.ty))
        }
    }

    /// An expression with one value.
    fn value(&mut self, at: &Expression) -> Option<Typed> {
        match self.denoted(at)? {
            Denoted::Value(typed) => Some(self.fold(at, typed)?),
            Denoted::Map(_) => {
                self.problem(at, Code::CelType, "this is a map(string, string); take a value by its name")
            }
            Denoted::Root(root) => {
                let message = format!("`{}` has no value of its own; its fields are {}", root.name(), root.fields());
                self.problem(at, Code::CelType, message)
            }
        }
    }

    /// Replaces a part without facts by its value; what can only fail is refused.
    fn fold(&mut self, at: &Expression, typed: Typed) -> Option<Typed> {
        let mut constant = !typed.node.is_literal();
        typed.node.walk(&mut |node| {
            let bound = matches!(node, Node::Fact(_) | Node::Variable | Node::MapGet(..) | Node::MapHas(..));
            let ranges = matches!(node, Node::MapSize(_) | Node::Quantify(..));
            constant &= !bound && !ranges;
        });
        if !constant {
            return Some(Typed { node: simplify(typed.node), ty: typed.ty });
        }
        match eval::constant(&typed.node) {
            Ok(node) => Some(Typed { node, ty: typed.ty }),
            Err(fault) => self.problem(at, Code::CelConstant, format!("this can only fail: {fault}")),
        }
    }

    fn denoted(&mut self, at: &Expression) -> Option<Denoted> {
        if self.depth == MAX_CEL_DEPTH {
            if self.deepest_told {
                return None;
            }
            self.deepest_told = true;
            let message = format!("a condition may be nested {MAX_CEL_DEPTH} deep; this one goes deeper here");
            return self.problem(at, Code::CelDepth, message);
        }
        self.depth += 1;
        let denoted = match &at.expr {
            Expr::Literal(literal) => self.literal(at, literal).map(Denoted::Value),
            Expr::Ident(name) => self.name(at, name),
            Expr::Select(select) => self.select(at, select),
            Expr::Call(call) => self.call(at, call),
            Expr::List(_) => self.problem(
                at,
                Code::CelUnsupported,
                "a list may stand after `in`, before `.exists` and the like, and in size()",
            ),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.denoted(&entry.value);
                    }
                }
                self.problem(at, Code::CelUnsupported, "map literals are not part of the dialect")
            }
            Expr::Struct(_) => self.problem(at, Code::CelUnsupported, "message literals are not part of the dialect"),
            Expr::Comprehension(_) | Expr::Unspecified => {
                self.problem(at, Code::CelUnsupported, "this is not part of the dialect")
            }
        };
        self.depth -= 1;
        denoted
    }

    fn literal(&mut self, at: &Expression, literal: &LiteralValue) -> Option<Typed> {
        let (node, ty) = match literal {
            LiteralValue::Boolean(value) => (Node::Bool(*value.inner()), Type::Bool),
            LiteralValue::Int(value) => (Node::Int(*value.inner()), Type::Int),
            LiteralValue::String(value) => (Node::Str(value.inner().into()), Type::Str),
            LiteralValue::UInt(_) => {
                return self.unsupported_literal(at, "unsigned numbers are", "write the number without `u`");
            }
            LiteralValue::Double(_) => return self.unsupported_literal(at, "fractions are", "facts are whole numbers"),
            LiteralValue::Bytes(_) => return self.unsupported_literal(at, "bytes are", "facts are texts"),
            LiteralValue::Null => {
                return self.unsupported_literal(at, "null is", "no fact is ever null; an absent tag reads \"\"");
            }
        };
        Some(Typed { node, ty })
    }

    fn unsupported_literal(&mut self, at: &Expression, what: &str, instead: &str) -> Option<Typed> {
        self.problem(at, Code::CelUnsupported, format!("{what} not part of the dialect: {instead}"))
    }

    fn name(&mut self, at: &Expression, name: &str) -> Option<Denoted> {
        if let Some(variable) = self.variable.as_ref().filter(|variable| variable.name == name) {
            return Some(Denoted::Value(Typed { node: Node::Variable, ty: variable.ty }));
        }
        match root(name) {
            Some(root) => Some(Denoted::Root(root)),
            None => self.problem(at, Code::CelUnknownName, format!("there is no fact `{name}`; facts are {ROOTS}")),
        }
    }

    fn select(&mut self, at: &Expression, select: &SelectExpr) -> Option<Denoted> {
        match self.denoted(&select.operand)? {
            Denoted::Root(root) => root.field(&select.field).or_else(|| {
                let (name, fields) = (root.name(), root.fields());
                let message = format!("`{name}` has no field `{}`; its fields are {fields}", select.field);
                self.problem(at, Code::CelUnknownName, message)
            }),
            Denoted::Map(map) => Some(Denoted::Value(get(map, Node::Str(select.field.as_str().into())))),
            Denoted::Value(typed) => {
                self.problem(at, Code::CelType, format!("a {} has no field `{}`", typed.ty, select.field))
            }
        }
    }

    fn call(&mut self, at: &Expression, call: &CallExpr) -> Option<Denoted> {
        if call.target.is_none() && call.func_name == operators::INDEX {
            return self.index(at, call).map(Denoted::Value);
        }
        let typed = match &call.target {
            Some(target) => self.method(at, target, call),
            None => self.function(at, call),
        };
        typed.map(Denoted::Value)
    }

    fn index(&mut self, at: &Expression, call: &CallExpr) -> Option<Typed> {
        let [operand, index] = call.args.as_slice() else {
            return self.problem(at, Code::CelUnsupported, "an index takes one name");
        };
        let operand_denoted = self.denoted(operand);
        let name = self.expect(index, Type::Str, "the name of a value in a map");
        match operand_denoted? {
            Denoted::Map(map) => Some(get(map, name?)),
            Denoted::Root(root) => self.problem(
                at,
                Code::CelUnsupported,
                format!("write `{}.FIELD`; fields are {}", root.name(), root.fields()),
            ),
            Denoted::Value(typed) => self.problem(at, Code::CelType, format!("a {} cannot be indexed", typed.ty)),
        }
    }

    fn function(&mut self, at: &Expression, call: &CallExpr) -> Option<Typed> {
        let args = call.args.as_slice();
        match (call.func_name.as_str(), args) {
            (operators::LOGICAL_AND, [a, b]) => self.logic(a, b, "&&", Node::And),
            (operators::LOGICAL_OR, [a, b]) => self.logic(a, b, "||", Node::Or),
            (operators::LOGICAL_NOT, [a]) => {
                let a = self.expect(a, Type::Bool, "the operand of `!`")?;
                Some(Typed { node: Node::Not(Box::new(a)), ty: Type::Bool })
            }
            (operators::NEGATE, [a]) => self.negate(a),
            (operators::CONDITIONAL, [condition, then, otherwise]) => self.conditional(at, condition, then, otherwise),
            (operators::IN, [item, list]) => self.membership(at, item, list),
            ("has", [presence]) => self.presence(at, presence),
            ("size", [a]) => self.size(a),
            ("matches", [a, pattern]) => self.matches(a, pattern),
            ("int", [a]) => self.convert(a, "int", Type::Int, &[Type::Int, Type::Str, Type::Time], Node::ToInt),
            ("string", [a]) => {
                let from = [Type::Str, Type::Bool, Type::Int, Type::Time, Type::Span];
                self.convert(a, "string", Type::Str, &from, Node::ToStr)
            }
            ("timestamp", [a]) => self.convert(a, "timestamp", Type::Time, &[Type::Time, Type::Str], Node::ToTime),
            ("duration", [a]) => self.convert(a, "duration", Type::Span, &[Type::Span, Type::Str], Node::ToSpan),
            (name, [a, b]) => {
                if let Some(comparison) = comparison(name) {
                    self.compare(at, comparison, a, b)
                } else if let Some(arithmetic) = arithmetic(name) {
                    self.arithmetic(at, arithmetic, a, b)
                } else {
                    self.unknown_function(at, name, args)
                }
            }
            (name, args) => self.unknown_function(at, name, args),
        }
    }

    fn unknown_function(&mut self, at: &Expression, name: &str, args: &[Expression]) -> Option<Typed> {
        for arg in args {
            self.denoted(arg);
        }
        let known = [
            "has",
            "size",
            "matches",
            "int",
            "string",
            "timestamp",
            "duration",
            "startsWith",
            "endsWith",
            "contains",
            "lowerAscii",
            "upperAscii",
            "all",
            "exists",
            "exists_one",
        ];
        if known.contains(&name) {
            let message = format!("`{name}` does not take {} arguments, or is called as `x.{name}()`", args.len());
            return self.problem(at, Code::CelType, message);
        }
        let written = name.trim_matches('_');
        self.problem(at, Code::CelUnknownName, format!("there is no function `{written}` in the dialect"))
    }

    fn method(&mut self, at: &Expression, target: &Expression, call: &CallExpr) -> Option<Typed> {
        match (call.func_name.as_str(), call.args.as_slice()) {
            ("startsWith", [a]) => self.search(target, a, "startsWith", Node::StartsWith),
            ("endsWith", [a]) => self.search(target, a, "endsWith", Node::EndsWith),
            ("contains", [a]) => self.search(target, a, "contains", Node::Contains),
            ("matches", [pattern]) => self.matches(target, pattern),
            ("size", []) => self.size(target),
            ("lowerAscii", []) => self.change_case(target, "lowerAscii", Node::LowerAscii),
            ("upperAscii", []) => self.change_case(target, "upperAscii", Node::UpperAscii),
            ("all", [name, body]) => self.quantify(at, Quantifier::All, target, name, body),
            ("exists", [name, body]) => self.quantify(at, Quantifier::Exists, target, name, body),
            ("exists_one" | "existsOne", [name, body]) => self.quantify(at, Quantifier::ExistsOne, target, name, body),
            ("map" | "filter", _) => {
                let message = format!("`{}` is not part of the dialect; use exists, all or exists_one", call.func_name);
                self.problem(at, Code::CelUnsupported, message)
            }
            (name, []) if time_part(name).is_some() => self.time_part(at, target, name),
            (name, [_]) if time_part(name).is_some() => self.problem(
                at,
                Code::CelUnsupported,
                "time zones are not part of the dialect; parts of a timestamp are in UTC",
            ),
            (name, args) => {
                self.range_or_value(target);
                self.unknown_function(at, name, args)
            }
        }
    }

    fn range_or_value(&mut self, at: &Expression) {
        if !matches!(at.expr, Expr::List(_)) {
            self.denoted(at);
        }
    }

    fn logic(&mut self, a: &Expression, b: &Expression, sign: &str, make: fn(Vec<Node>) -> Node) -> Option<Typed> {
        let what = format!("an operand of `{sign}`");
        let (a, b) = (self.expect(a, Type::Bool, &what), self.expect(b, Type::Bool, &what));
        Some(Typed { node: make(vec![a?, b?]), ty: Type::Bool })
    }

    fn negate(&mut self, a: &Expression) -> Option<Typed> {
        let typed = self.value(a)?;
        match typed.ty {
            Type::Int | Type::Span => Some(Typed { node: Node::Negate(Box::new(typed.node)), ty: typed.ty }),
            ty => self.problem(a, Code::CelType, format!("`-` takes an int or a duration, this is a {ty}")),
        }
    }

    fn conditional(
        &mut self,
        at: &Expression,
        condition: &Expression,
        then: &Expression,
        otherwise: &Expression,
    ) -> Option<Typed> {
        let condition = self.expect(condition, Type::Bool, "the condition before `?`");
        let (then, otherwise) = (self.value(then), self.value(otherwise));
        let (condition, then, otherwise) = (condition?, then?, otherwise?);
        if then.ty != otherwise.ty {
            let message = format!("both sides of `:` must have one type, these are {} and {}", then.ty, otherwise.ty);
            return self.problem(at, Code::CelType, message);
        }
        Some(Typed { ty: then.ty, node: Node::If(Box::new([condition, then.node, otherwise.node])) })
    }

    fn compare(&mut self, at: &Expression, comparison: Comparison, a: &Expression, b: &Expression) -> Option<Typed> {
        let (a, b) = (self.value(a), self.value(b));
        let (a, b) = (a?, b?);
        if a.ty != b.ty {
            return self.problem(at, Code::CelType, format!("a {} cannot be compared with a {}", a.ty, b.ty));
        }
        Some(Typed { node: Node::Compare(comparison, a.ty, Box::new([a.node, b.node])), ty: Type::Bool })
    }

    fn arithmetic(&mut self, at: &Expression, operator: Arithmetic, a: &Expression, b: &Expression) -> Option<Typed> {
        let (a, b) = (self.value(a), self.value(b));
        let (a, b) = (a?, b?);
        let ty = match (operator, a.ty, b.ty) {
            (_, Type::Int, Type::Int) => Type::Int,
            (Arithmetic::Add, Type::Str, Type::Str) => Type::Str,
            (Arithmetic::Add, Type::Span, Type::Time)
            | (Arithmetic::Add | Arithmetic::Subtract, Type::Time, Type::Span) => Type::Time,
            (Arithmetic::Add | Arithmetic::Subtract, Type::Span, Type::Span)
            | (Arithmetic::Subtract, Type::Time, Type::Time) => Type::Span,
            (_, a, b) => {
                return self.problem(at, Code::CelType, format!("this operator does not take a {a} and a {b}"));
            }
        };
        Some(Typed { node: Node::Arithmetic(operator, Box::new([a.node, b.node])), ty })
    }

    fn membership(&mut self, at: &Expression, item: &Expression, list: &Expression) -> Option<Typed> {
        let item_typed = self.value(item);
        let node = if let Expr::List(_) = &list.expr {
            let (elements, ty) = self.list(list)?;
            let item = item_typed?;
            let Some(ty) = ty else {
                return self.problem(list, Code::CelConstant, "nothing is in an empty list");
            };
            if item.ty != ty {
                return self.problem(at, Code::CelType, format!("a {} is never in a list of {ty}", item.ty));
            }
            match literal_texts(&elements) {
                Some(texts) => Node::InTexts(Box::new(item.node), texts),
                None => Node::In(Box::new(item.node), elements),
            }
        } else {
            match self.denoted(list)? {
                Denoted::Map(map) => {
                    let item = item_typed?;
                    if item.ty != Type::Str {
                        return self.problem(
                            at,
                            Code::CelType,
                            format!("names in a map are strings, this is a {}", item.ty),
                        );
                    }
                    Node::MapHas(map, Box::new(item.node))
                }
                _ => {
                    return self.problem(
                        list,
                        Code::CelType,
                        "`in` takes a list, or object.tags, object.metadata or gateway.labels",
                    );
                }
            }
        };
        Some(Typed { node, ty: Type::Bool })
    }

    /// Elements of a list literal and their one type; no type when it is empty.
    fn list(&mut self, at: &Expression) -> Option<(Vec<Node>, Option<Type>)> {
        let Expr::List(list) = &at.expr else {
            return self.problem(at, Code::CelType, "this is not a list");
        };
        if list.elements.len() > MAX_CEL_LIST {
            let message = format!("a list may have {MAX_CEL_LIST} elements, this one has {}", list.elements.len());
            return self.problem(at, Code::CelTooLarge, message);
        }
        let mut nodes = Vec::with_capacity(list.elements.len());
        let mut ty = None;
        let mut sound = true;
        for element in &list.elements {
            match self.value(element) {
                None => sound = false,
                Some(typed) if *ty.get_or_insert(typed.ty) != typed.ty => {
                    let first = ty.unwrap_or(typed.ty);
                    let message =
                        format!("all elements must have one type; the first is a {first}, this is a {}", typed.ty);
                    self.problem::<()>(element, Code::CelType, message);
                    sound = false;
                }
                Some(typed) => nodes.push(typed.node),
            }
        }
        sound.then_some((nodes, ty))
    }

    fn presence(&mut self, at: &Expression, presence: &Expression) -> Option<Typed> {
        let message = "has() asks for a tag, a metadata name or a label, such as has(object.tags.classification)";
        if let Expr::Select(select) = &presence.expr
            && let Denoted::Map(map) = self.denoted(&select.operand)?
        {
            let node = Node::MapHas(map, Box::new(Node::Str(select.field.as_str().into())));
            return Some(Typed { node, ty: Type::Bool });
        }
        self.problem(at, Code::CelUnsupported, message)
    }

    fn size(&mut self, at: &Expression) -> Option<Typed> {
        let node = if let Expr::List(_) = &at.expr {
            let (elements, _) = self.list(at)?;
            if !elements.iter().all(Node::is_literal) {
                return self.problem(at, Code::CelUnsupported, "the size of this list is known: write the number");
            }
            Node::Int(i64::try_from(elements.len()).unwrap_or(i64::MAX))
        } else {
            match self.denoted(at)? {
                Denoted::Map(map) => Node::MapSize(map),
                Denoted::Value(Typed { node, ty: Type::Str }) => Node::Length(Box::new(node)),
                Denoted::Value(Typed { ty, .. }) => {
                    return self.problem(at, Code::CelType, format!("size() takes a string or a map, this is a {ty}"));
                }
                Denoted::Root(_) => return self.problem(at, Code::CelType, "size() takes a string or a map"),
            }
        };
        Some(Typed { node, ty: Type::Int })
    }

    fn search(
        &mut self,
        target: &Expression,
        arg: &Expression,
        name: &str,
        make: fn(Box<[Node; 2]>) -> Node,
    ) -> Option<Typed> {
        let target = self.expect(target, Type::Str, &format!("what `{name}` looks at"));
        let arg = self.expect(arg, Type::Str, &format!("what `{name}` looks for"));
        Some(Typed { node: make(Box::new([target?, arg?])), ty: Type::Bool })
    }

    fn change_case(&mut self, target: &Expression, name: &str, make: fn(Box<Node>) -> Node) -> Option<Typed> {
        let target = self.expect(target, Type::Str, &format!("what `{name}` changes"))?;
        Some(Typed { node: make(Box::new(target)), ty: Type::Str })
    }

    fn matches(&mut self, target: &Expression, pattern: &Expression) -> Option<Typed> {
        let target = self.expect(target, Type::Str, "what `matches` looks at");
        let Expr::Literal(LiteralValue::String(literal)) = &pattern.expr else {
            return self.problem(pattern, Code::CelRegex, "the regular expression must be a literal text");
        };
        self.regexes += 1;
        if self.regexes > MAX_REGEXES {
            return self.problem(
                pattern,
                Code::CelRegex,
                format!("a condition may have {MAX_REGEXES} regular expressions"),
            );
        }
        match Regex::compile(literal.inner()) {
            Ok(regex) => Some(Typed { node: Node::Matches(Box::new(target?), Box::new(regex)), ty: Type::Bool }),
            Err(message) => self.problem(pattern, Code::CelRegex, message),
        }
    }

    fn convert(
        &mut self,
        arg: &Expression,
        name: &str,
        to: Type,
        from: &[Type],
        make: fn(Box<Node>) -> Node,
    ) -> Option<Typed> {
        let typed = self.value(arg)?;
        if !from.contains(&typed.ty) {
            return self.problem(arg, Code::CelType, format!("{name}() does not take a {}", typed.ty));
        }
        Some(Typed { node: make(Box::new(typed.node)), ty: to })
    }

    fn time_part(&mut self, at: &Expression, target: &Expression, name: &str) -> Option<Typed> {
        let typed = self.value(target)?;
        let part = time_part(name)?;
        let of_spans = matches!(part, TimePart::Hours | TimePart::Minutes | TimePart::Seconds | TimePart::Milliseconds);
        match typed.ty {
            Type::Time => {}
            Type::Span if of_spans => {}
            ty => return self.problem(at, Code::CelType, format!("a {ty} has no `{name}`")),
        }
        Some(Typed { node: Node::Part(part, Box::new(typed.node)), ty: Type::Int })
    }

    fn quantify(
        &mut self,
        at: &Expression,
        quantifier: Quantifier,
        target: &Expression,
        name: &Expression,
        body: &Expression,
    ) -> Option<Typed> {
        if self.variable.is_some() {
            return self.problem(at, Code::CelNested, "a comprehension may not stand inside another");
        }
        let range = if let Expr::List(_) = &target.expr {
            self.list(target).map(|(nodes, ty)| (Range::List(nodes), ty.unwrap_or(Type::Bool)))
        } else {
            match self.denoted(target) {
                Some(Denoted::Map(map)) => Some((Range::Names(map), Type::Str)),
                Some(_) => self.problem(
                    target,
                    Code::CelType,
                    "a comprehension runs over a list, object.tags, object.metadata or gateway.labels",
                ),
                None => None,
            }
        };
        let Expr::Ident(variable) = &name.expr else {
            return self.problem(name, Code::CelSyntax, "the first argument names the variable");
        };
        if root(variable).is_some() {
            return self.problem(
                name,
                Code::CelUnsupported,
                format!("`{variable}` is a fact; name the variable otherwise"),
            );
        }
        let (range, ty) = range?;
        self.variable = Some(Variable { name: variable.clone(), ty });
        let body = self.expect(body, Type::Bool, "the condition of a comprehension");
        self.variable = None;
        Some(Typed { node: Node::Quantify(quantifier, Box::new((range, body?))), ty: Type::Bool })
    }
}

fn root(name: &str) -> Option<Root> {
    [Root::Object, Root::Request, Root::Bucket, Root::Gateway].into_iter().find(|root| root.name() == name)
}

fn get(map: Map, name: Node) -> Typed {
    Typed { node: Node::MapGet(map, Box::new(name)), ty: Type::Str }
}

/// The elements in their order, each once, where all are literal texts.
fn literal_texts(nodes: &[Node]) -> Option<Vec<Box<str>>> {
    let text = |node: &Node| if let Node::Str(text) = node { Some(text.clone()) } else { None };
    let mut texts: Vec<Box<str>> = nodes.iter().map(text).collect::<Option<_>>()?;
    texts.sort_unstable();
    texts.dedup();
    Some(texts)
}

/// Flattens `&&` and `||`, and drops operands that decide nothing.
fn simplify(node: Node) -> Node {
    match node {
        Node::And(all) => flatten(all, true),
        Node::Or(all) => flatten(all, false),
        Node::If(parts) => {
            let [condition, then, otherwise] = *parts;
            match condition {
                Node::Bool(true) => then,
                Node::Bool(false) => otherwise,
                condition => Node::If(Box::new([condition, then, otherwise])),
            }
        }
        node => node,
    }
}

fn flatten(all: Vec<Node>, and: bool) -> Node {
    let mut flat = Vec::with_capacity(all.len());
    for node in all {
        match node {
            Node::Bool(value) if value == and => {}
            Node::Bool(value) => return Node::Bool(value),
            Node::And(inner) if and => flat.extend(inner),
            Node::Or(inner) if !and => flat.extend(inner),
            node => flat.push(node),
        }
    }
    match flat.len() {
        0 => Node::Bool(and),
        1 => flat.remove(0),
        _ if and => Node::And(flat),
        _ => Node::Or(flat),
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}

fn time_part(name: &str) -> Option<TimePart> {
    Some(match name {
        "getFullYear" => TimePart::FullYear,
        "getMonth" => TimePart::Month,
        "getDate" => TimePart::Date,
        "getDayOfMonth" => TimePart::DayOfMonth,
        "getDayOfYear" => TimePart::DayOfYear,
        "getDayOfWeek" => TimePart::DayOfWeek,
        "getHours" => TimePart::Hours,
        "getMinutes" => TimePart::Minutes,
        "getSeconds" => TimePart::Seconds,
        "getMilliseconds" => TimePart::Milliseconds,
        _ => return None,
    })
}
