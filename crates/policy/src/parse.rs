//! From a text to policies.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::bucket;
use crate::cel::Condition;
use crate::document::{API_VERSION, ApiVersion, Effect, Existing, GovernancePolicy, KIND, Kind, Metadata, Mode, Spec};
use crate::form::{Field, Form, shorten, sorted};
use crate::limits::{
    MAX_BUCKETS, MAX_DESCRIPTION_CHARS, MAX_DOCUMENTS, MAX_LABEL_CHARS, MAX_LABEL_KEYS, MAX_LABEL_VALUES,
    MAX_NAME_CHARS, MAX_PRIORITY, MAX_TEXT_BYTES,
};
use crate::problem::{Code, Position, Problem, Problems};
use crate::text::{self, Node, Part, Scalar};

/// A policy: the text as it was written, and what it says. Cheap to clone. Exists only if the text is free of errors.
#[derive(Debug, Clone)]
pub struct Policy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: String,
    document: GovernancePolicy,
    condition: Option<Condition>,
    places: Places,
}

/// Places in the source that advice points to.
#[derive(Debug, Clone, Copy)]
struct Places {
    name: Position,
    spec: Position,
    when: Position,
    buckets: Position,
    existing: Position,
}

impl Policy {
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        &self.0.document.metadata.name
    }

    /// The parsed document.
    pub fn document(&self) -> &GovernancePolicy {
        &self.0.document
    }

    /// The text of this one document as it was written, comments included.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The compiled condition; `None`: always.
    pub fn condition(&self) -> Option<&Condition> {
        self.0.condition.as_ref()
    }
}

impl PartialEq for Policy {
    /// Two policies are the same when their texts are.
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Policy {}

/// Reads one or several documents (YAML separated by `---`, or JSON), each at most
/// [`limits::MAX_DOCUMENT_BYTES`](crate::limits::MAX_DOCUMENT_BYTES). All that is wrong is told at once; positions are
/// in the whole text.
pub fn parse(text: &str) -> Result<Vec<Policy>, Problems> {
    let refuse = |code, message: String| Err(Problems(vec![Problem::new(Position::START, "", code, message)]));
    if text.len() > MAX_TEXT_BYTES {
        return refuse(Code::TooLarge, format!("a text may have {MAX_TEXT_BYTES} bytes, this one has {}", text.len()));
    }
    let parts = text::documents(text);
    if parts.is_empty() {
        return refuse(Code::DocumentCount, "there is no policy in this text".to_owned());
    }
    if parts.len() > MAX_DOCUMENTS {
        return refuse(
            Code::TooLarge,
            format!("a text may have {MAX_DOCUMENTS} documents, this one has {}", parts.len()),
        );
    }
    let mut policies = Vec::with_capacity(parts.len());
    let mut problems = Vec::new();
    let mut names: HashMap<String, u32> = HashMap::new();
    for part in parts {
        match read_policy(part) {
            Ok(policy) => {
                let at = policy.0.places.name;
                if let Some(line) = names.insert(policy.name().to_owned(), at.line) {
                    let message = format!("the policy `{}` is there already, on line {line}", policy.name());
                    problems.push(Problem::new(at, "metadata.name", Code::Duplicate, message));
                }
                policies.push(policy);
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(policies) } else { Err(sorted(problems)) }
}

/// Reads exactly one document.
pub fn parse_one(text: &str) -> Result<Policy, Problems> {
    let mut policies = parse(text)?;
    match (policies.pop(), policies.len()) {
        (Some(policy), 0) => Ok(policy),
        (_, more) => {
            let message = format!("one policy is expected, there are {}", more + 1);
            Err(Problems(vec![Problem::new(Position::START, "", Code::DocumentCount, message)]))
        }
    }
}

/// Advice on a policy: conditions that never or always hold, selectors that cannot match, and the like. Every problem
/// in the answer has a code with [`Code::is_advice`]; none refuses a policy. Positions are in the policy's own text
/// when it was parsed alone, else in the text that it came in.
pub fn validate(policy: &Policy) -> Vec<Problem> {
    let Inner { document: GovernancePolicy { spec, .. }, condition, places, .. } = policy.0.as_ref();
    let mut advice = Vec::new();
    let mut say = |at: Position, path: &str, code: Code, message: String| {
        advice.push(Problem::new(at, path, code, message));
    };
    match condition.as_ref().and_then(Condition::constant) {
        Some(false) => {
            say(places.when, "spec.when", Code::ConstantCondition, "the condition is always false".to_owned());
        }
        Some(true) => say(
            places.when,
            "spec.when",
            Code::ConstantCondition,
            "the condition is always true; it may be left out".to_owned(),
        ),
        None => {}
    }
    for name in condition.as_ref().map(Condition::metadata_names).unwrap_or_default() {
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            let message = format!("names of metadata arrive in lower case; {:?} is never there", shorten(&name));
            say(places.when, "spec.when", Code::Ineffective, message);
        }
    }
    for (index, pattern) in spec.buckets.iter().enumerate() {
        let path = format!("spec.buckets[{index}]");
        if !pattern.contains('*') && pattern.len() < 3 {
            let message = format!("no bucket has the name `{pattern}`: names have at least 3 characters");
            say(places.buckets, &path, Code::Ineffective, message);
        }
        let covered = spec.buckets.iter().any(|wider| {
            wider != pattern && wider.contains('*') && !pattern.contains('*') && bucket::matches(wider, pattern)
        });
        if covered {
            say(places.buckets, &path, Code::Ineffective, format!("`{pattern}` is covered by a wider pattern"));
        }
    }
    if spec.effect == Effect::Deny && spec.existing == Existing::Encrypt {
        let message = "`existing: encrypt` has no effect on a policy that denies".to_owned();
        say(places.existing, "spec.existing", Code::Ineffective, message);
    }
    if spec.effect == Effect::Deny && spec.mode == Mode::Enforce && spec.buckets.is_empty() && condition.is_none() {
        let message = "this policy refuses every object in every bucket".to_owned();
        say(places.spec, "spec", Code::ConstantCondition, message);
    }
    advice
}

fn read_policy(part: Part<'_>) -> Result<Policy, Vec<Problem>> {
    let node = text::read(&part).map_err(|problem| vec![problem])?;
    let mut form = Form::new(part);
    let read = document(&mut form, &node);
    let problems = form.into_problems();
    match read {
        Some((document, condition, places)) if problems.is_empty() => {
            Ok(Policy(Arc::new(Inner { source: part.text.to_owned(), document, condition, places })))
        }
        _ => Err(problems),
    }
}

fn document(form: &mut Form<'_>, node: &Node) -> Option<(GovernancePolicy, Option<Condition>, Places)> {
    let root = form.root(node, &["apiVersion", "kind", "metadata", "spec"])?;
    let api_version = form.required(&root, "apiVersion").and_then(|field| fixed(form, &field, API_VERSION));
    let kind = form.required(&root, "kind").and_then(|field| fixed(form, &field, KIND));
    let metadata = form.required(&root, "metadata").and_then(|field| metadata(form, &field));
    let spec = form.required(&root, "spec").and_then(|field| spec(form, &field));
    let ((), (), (metadata, name), (spec, condition, places)) = (api_version?, kind?, metadata?, spec?);
    let document = GovernancePolicy { api_version: ApiVersion::V1, kind: Kind::GovernancePolicy, metadata, spec };
    Some((document, condition, Places { name, ..places }))
}

fn fixed(form: &mut Form<'_>, field: &Field<'_>, only: &str) -> Option<()> {
    let scalar = form.text(field)?;
    if scalar.value == only {
        return Some(());
    }
    let message = format!("`{}` must be {only}; this is {:?}", field.path, shorten(&scalar.value));
    form.problem(field.node.at, &field.path, Code::UnknownVersion, message)
}

fn metadata(form: &mut Form<'_>, field: &Field<'_>) -> Option<(Metadata, Position)> {
    let fields = form.mapping(field, &["name", "description"])?;
    let name = form.required(&fields, "name").and_then(|field| {
        let scalar = form.text(&field)?;
        if is_dns_label(&scalar.value) {
            return Some((scalar.value.clone(), field.node.at));
        }
        let message = format!(
            "a name has 1 to {MAX_NAME_CHARS} of a-z, 0-9 and -, beginning and ending with a letter or digit; this is {:?}",
            shorten(&scalar.value)
        );
        form.problem(field.node.at, &field.path, Code::InvalidName, message)
    });
    let description = match fields.get("description") {
        None => Some(String::new()),
        Some(field) => form.text(&field).map(|scalar| scalar.value.clone()).and_then(|text| {
            if text.chars().count() <= MAX_DESCRIPTION_CHARS {
                return Some(text);
            }
            let message = format!("a description may have {MAX_DESCRIPTION_CHARS} characters");
            form.problem(field.node.at, &field.path, Code::TooLarge, message)
        }),
    };
    let (name, at) = name?;
    Some((Metadata { name, description: description? }, at))
}

/// RFC 1123 label.
fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=MAX_NAME_CHARS).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

const SPEC_FIELDS: [&str; 7] = ["mode", "priority", "gateways", "buckets", "when", "effect", "existing"];

fn spec(form: &mut Form<'_>, field: &Field<'_>) -> Option<(Spec, Option<Condition>, Places)> {
    let fields = form.mapping(field, &SPEC_FIELDS)?;
    let modes = [("enforce", Mode::Enforce), ("audit", Mode::Audit), ("disabled", Mode::Disabled)];
    let mode = fields.get("mode").map_or(Some(Mode::default()), |field| form.word(&field, &modes));
    let priority = fields.get("priority").map_or(Some(0), |field| priority(form, &field));
    let gateways = fields.get("gateways").map_or(Some(BTreeMap::new()), |field| selector(form, &field));
    let buckets = fields.get("buckets").map_or(Some(Vec::new()), |field| buckets(form, &field));
    let when = fields.get("when").map_or(Some(None), |field| condition(form, &field).map(Some));
    let effects = [("encrypt", Effect::Encrypt), ("deny", Effect::Deny)];
    let effect = form.required(&fields, "effect").and_then(|field| form.word(&field, &effects));
    let existings = [("leave", Existing::Leave), ("encrypt", Existing::Encrypt)];
    let existing = fields.get("existing").map_or(Some(Existing::default()), |field| form.word(&field, &existings));

    let place = |name: &str| fields.get(name).map_or(field.node.at, |field| field.node.at);
    let spec_at = field.node.at;
    let places = Places {
        name: spec_at,
        spec: spec_at,
        when: place("when"),
        buckets: place("buckets"),
        existing: place("existing"),
    };
    let (when, condition) = when?.unzip();
    let spec = Spec {
        mode: mode?,
        priority: priority?,
        gateways: gateways?,
        buckets: buckets?,
        when,
        effect: effect?,
        existing: existing?,
    };
    Some((spec, condition, places))
}

fn priority(form: &mut Form<'_>, field: &Field<'_>) -> Option<u32> {
    let number = form.number(field)?;
    match u32::try_from(number) {
        Ok(priority) if number <= MAX_PRIORITY => Some(priority),
        _ => {
            let message = format!("a priority is a number from 0 to {MAX_PRIORITY}, this is {number}");
            form.problem(field.node.at, &field.path, Code::InvalidValue, message)
        }
    }
}

/// Whether a text can be the key or a value of a gateway's label: 1 to 63 of `a-z A-Z 0-9 . _ / -`, beginning with a
/// letter or digit.
pub fn is_label_text(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    (1..=MAX_LABEL_CHARS).contains(&text.len())
        && text.chars().all(legal)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

const LABEL_RULE: &str =
    "a label's key or value has 1 to 63 of a-z, A-Z, 0-9, `.`, `_`, `/` and `-`, beginning with a letter or digit";

fn selector(form: &mut Form<'_>, field: &Field<'_>) -> Option<BTreeMap<String, Vec<String>>> {
    let entries = form.named(field)?;
    if entries.len() > MAX_LABEL_KEYS {
        let message = format!("a selector may name {MAX_LABEL_KEYS} labels, this one names {}", entries.len());
        return form.problem(field.node.at, &field.path, Code::TooLarge, message);
    }
    let mut selector = BTreeMap::new();
    let mut sound = true;
    for (key, field) in entries {
        if !is_label_text(&key.name) {
            form.problem::<()>(key.at, &field.path, Code::InvalidLabel, LABEL_RULE);
            sound = false;
        }
        match label_values(form, &field) {
            Some(values) => {
                selector.insert(key.name.clone(), values);
            }
            None => sound = false,
        }
    }
    sound.then_some(selector)
}

fn label_values(form: &mut Form<'_>, field: &Field<'_>) -> Option<Vec<String>> {
    let items = form.list(field)?;
    if items.is_empty() {
        let message = "a label without values selects no gateway; leave the label out to select all";
        return form.problem(field.node.at, &field.path, Code::InvalidValue, message);
    }
    texts(form, field, items, MAX_LABEL_VALUES, |text| {
        (!is_label_text(text)).then(|| (Code::InvalidLabel, LABEL_RULE.to_owned()))
    })
}

fn buckets(form: &mut Form<'_>, field: &Field<'_>) -> Option<Vec<String>> {
    let items = form.list(field)?;
    texts(form, field, items, MAX_BUCKETS, |text| bucket::invalid(text).map(|message| (Code::InvalidPattern, message)))
}

/// A list of different texts.
fn texts(
    form: &mut Form<'_>,
    field: &Field<'_>,
    items: Vec<Field<'_>>,
    most: usize,
    invalid: impl Fn(&str) -> Option<(Code, String)>,
) -> Option<Vec<String>> {
    if items.len() > most {
        let message = format!("`{}` may have {most} entries, this has {}", field.path, items.len());
        return form.problem(field.node.at, &field.path, Code::TooLarge, message);
    }
    let mut texts: Vec<String> = Vec::with_capacity(items.len());
    let mut sound = true;
    for item in items {
        let Some(scalar) = form.text(&item) else {
            sound = false;
            continue;
        };
        let problem = invalid(&scalar.value).or_else(|| {
            let twice = texts.contains(&scalar.value);
            twice.then(|| (Code::Duplicate, format!("{:?} is there already", scalar.value)))
        });
        match problem {
            None => texts.push(scalar.value.clone()),
            Some((code, message)) => {
                form.problem::<()>(item.node.at, &item.path, code, message);
                sound = false;
            }
        }
    }
    sound.then_some(texts)
}

fn condition(form: &mut Form<'_>, field: &Field<'_>) -> Option<(String, Condition)> {
    let scalar = form.text(field)?;
    if scalar.value.trim().is_empty() {
        let message = "the condition is empty; leave `when` out where the policy always applies";
        return form.problem(field.node.at, &field.path, Code::CelSyntax, message);
    }
    if let Some(offset) = swallowing_comment(form, scalar) {
        let message = "where lines are folded, a comment goes on to the end of the condition and hides the lines below; \
                       begin the condition with `|` instead of `>`";
        form.problem_within(scalar, offset, &field.path, Code::CelSyntax, message.to_owned());
        return None;
    }
    match Condition::compile(&scalar.value) {
        Ok(condition) => Some((scalar.value.clone(), condition)),
        Err(problems) => {
            for problem in problems {
                form.problem_within(scalar, problem.offset, &field.path, problem.code, problem.message);
            }
            None
        }
    }
}

/// A comment that stands on several lines of the source, because YAML made one line of them: what was written as a
/// condition would be ignored.
fn swallowing_comment(form: &Form<'_>, scalar: &Scalar) -> Option<usize> {
    Condition::comments(&scalar.value).into_iter().find_map(|comment| {
        let last = comment.start + scalar.value[comment.clone()].trim_end().char_indices().next_back()?.0;
        (form.place(scalar, comment.start).line != form.place(scalar, last).line).then_some(comment.start)
    })
}

#[cfg(test)]
pub(crate) mod tests;
