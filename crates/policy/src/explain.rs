//! Why a set decides as it does.

use ids::{PolicyUid, Revision};
use serde::Serialize;

use crate::cel::{Fault, Scope, parse_timestamp};
use crate::document::{Effect, Mode};
use crate::engine::{Decision, Engine, Rule, covers, selects};
use crate::facts::{Facts, Labels};
use crate::form::{Field, Form, sorted};
use crate::limits::MAX_DOCUMENT_BYTES;
use crate::parse::is_label_text;
use crate::problem::{Code, Position, Problem, Problems};
use crate::set::PolicySet;
use crate::text::{self, Kind, Node};

/// The question, as the command line and the REST interface take it:
/// `{"bucket", "object": {"key", "size", "contentType", "tags", "metadata", "storageClass"},
/// "request": {"principal", "operation", "time", "sourceIp"}, "gateway": {"labels"}}`.
/// `bucket` and `object.key` must be there; an absent size is 0, `object.size: null` is a size that is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainRequest {
    bucket: String,
    object: Object,
    request: Request,
    labels: Labels,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    key: String,
    size: Option<u64>,
    content_type: String,
    storage_class: String,
    metadata: Vec<(String, String)>,
    tags: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Request {
    principal: String,
    operation: String,
    time_unix_ms: i64,
    source_ip: Option<std::net::IpAddr>,
}

impl ExplainRequest {
    /// Reads a request, JSON or YAML, as strictly as a policy. `now_unix_ms` is used when `request.time` is absent.
    pub fn parse(text: &str, now_unix_ms: i64) -> Result<Self, Problems> {
        let refuse = |code, message: String| Err(Problems(vec![Problem::new(Position::START, "", code, message)]));
        if text.len() > MAX_DOCUMENT_BYTES {
            return refuse(Code::TooLarge, format!("a request may have {MAX_DOCUMENT_BYTES} bytes"));
        }
        let parts = text::documents(text);
        let [part] = parts.as_slice() else {
            return refuse(Code::DocumentCount, format!("one request is expected, there are {}", parts.len()));
        };
        let node = text::read(part).map_err(|problem| Problems(vec![problem]))?;
        let mut form = Form::new(*part);
        let request = read(&mut form, &node, now_unix_ms);
        let problems = form.into_problems();
        match request {
            Some(request) if problems.is_empty() => Ok(request),
            _ => Err(sorted(problems)),
        }
    }

    /// The facts in it.
    pub fn facts(&self) -> Facts<'_> {
        Facts {
            bucket: &self.bucket,
            key: &self.object.key,
            size: self.object.size,
            content_type: &self.object.content_type,
            metadata: &self.object.metadata,
            tags: &self.object.tags,
            storage_class: &self.object.storage_class,
            principal: &self.request.principal,
            operation: &self.request.operation,
            time_unix_ms: self.request.time_unix_ms,
            source_ip: self.request.source_ip,
        }
    }

    /// `gateway.labels`.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }
}

fn read(form: &mut Form<'_>, node: &Node, now_unix_ms: i64) -> Option<ExplainRequest> {
    let root = form.root(node, &["bucket", "object", "request", "gateway"])?;
    let bucket = form.required(&root, "bucket").and_then(|field| owned(form, &field));
    let object = form.required(&root, "object").and_then(|field| object(form, &field));
    let request = match root.get("request") {
        Some(field) => request(form, &field, now_unix_ms),
        None => Some(Request {
            principal: String::new(),
            operation: "PutObject".to_owned(),
            time_unix_ms: now_unix_ms,
            source_ip: None,
        }),
    };
    let labels = root.get("gateway").map_or(Some(Labels::new()), |field| labels(form, &field));
    Some(ExplainRequest { bucket: bucket?, object: object?, request: request?, labels: labels? })
}

fn owned(form: &mut Form<'_>, field: &Field<'_>) -> Option<String> {
    form.text(field).map(|scalar| scalar.value.clone())
}

fn optional(form: &mut Form<'_>, field: Option<Field<'_>>, absent: &str) -> Option<String> {
    field.map_or_else(|| Some(absent.to_owned()), |field| owned(form, &field))
}

fn object(form: &mut Form<'_>, field: &Field<'_>) -> Option<Object> {
    let fields = form.mapping(field, &["key", "size", "contentType", "tags", "metadata", "storageClass"])?;
    let key = form.required(&fields, "key").and_then(|field| owned(form, &field));
    let size = fields.get("size").map_or(Some(Some(0)), |field| size(form, &field));
    let content_type = optional(form, fields.get("contentType"), "");
    let storage_class = optional(form, fields.get("storageClass"), "STANDARD");
    let metadata = fields.get("metadata").map_or(Some(Vec::new()), |field| pairs(form, &field));
    let tags = fields.get("tags").map_or(Some(Vec::new()), |field| pairs(form, &field));
    // S3 hands names of metadata on in lower case.
    let metadata = metadata?.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    Some(Object {
        key: key?,
        size: size?,
        content_type: content_type?,
        storage_class: storage_class?,
        metadata,
        tags: tags?,
    })
}

#[expect(clippy::option_option, reason = "outside: was it readable; inside: is the size known")]
fn size(form: &mut Form<'_>, field: &Field<'_>) -> Option<Option<u64>> {
    if matches!(field.node.kind, Kind::Null) {
        return Some(None);
    }
    let number = form.number(field)?;
    match u64::try_from(number) {
        Ok(size) => Some(Some(size)),
        Err(_) => form.problem(field.node.at, &field.path, Code::InvalidValue, "a size is not negative"),
    }
}

fn pairs(form: &mut Form<'_>, field: &Field<'_>) -> Option<Vec<(String, String)>> {
    let mut sound = true;
    let mut pairs = Vec::new();
    for (key, field) in form.named(field)? {
        match owned(form, &field) {
            Some(value) => pairs.push((key.name.clone(), value)),
            None => sound = false,
        }
    }
    sound.then_some(pairs)
}

fn request(form: &mut Form<'_>, field: &Field<'_>, now_unix_ms: i64) -> Option<Request> {
    let fields = form.mapping(field, &["principal", "operation", "time", "sourceIp"])?;
    let principal = optional(form, fields.get("principal"), "");
    let operation = optional(form, fields.get("operation"), "PutObject");
    let time = fields.get("time").map_or(Some(now_unix_ms), |field| {
        let scalar = form.text(&field)?;
        match parse_timestamp(&scalar.value) {
            Some(time) => Some(time.timestamp_millis()),
            None => form.problem(
                field.node.at,
                &field.path,
                Code::InvalidValue,
                "a time is written as in RFC 3339, such as 2026-01-31T08:00:00Z",
            ),
        }
    });
    let source_ip = fields.get("sourceIp").map_or(Some(None), |field| {
        let scalar = form.text(&field)?;
        match scalar.value.parse() {
            Ok(ip) => Some(Some(ip)),
            Err(_) => form.problem(field.node.at, &field.path, Code::InvalidValue, "this is not an IP address"),
        }
    });
    Some(Request { principal: principal?, operation: operation?, time_unix_ms: time?, source_ip: source_ip? })
}

fn labels(form: &mut Form<'_>, field: &Field<'_>) -> Option<Labels> {
    let fields = form.mapping(field, &["labels"])?;
    let Some(field) = fields.get("labels") else { return Some(Labels::new()) };
    let mut labels = Labels::new();
    for (name, value) in pairs(form, &field)? {
        if !is_label_text(&name) || !is_label_text(&value) {
            return form.problem(field.node.at, &field.path, Code::InvalidLabel, format!("`{name}` is no label"));
        }
        labels.insert(name, value);
    }
    Some(labels)
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The set that was asked.
    pub revision: Revision,
    /// What a gateway with these labels would do.
    pub decision: Decision,
    /// Every policy of the set: deny before encrypt, then by priority and name.
    pub policies: Vec<PolicyExplanation>,
}

/// One policy of the set, and why it applies or not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PolicyExplanation {
    /// Identity.
    pub uid: PolicyUid,
    /// Name.
    pub name: String,
    /// Whether it acts.
    pub mode: Mode,
    /// What it does.
    pub effect: Effect,
    /// Its priority.
    pub priority: u32,
    /// It matches the object (in audit mode: it would act).
    pub applies: bool,
    /// It is the one that is recorded.
    pub recorded: bool,
    /// The first reason that decides.
    pub reason: Reason,
    /// For a person.
    pub message: String,
}

/// Why a policy applies or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It is disabled.
    Disabled,
    /// The gateway's labels are not selected.
    GatewayLabels,
    /// The bucket is not selected.
    Bucket,
    /// The condition is false.
    ConditionFalse,
    /// The condition is true, or there is none.
    Matches,
    /// The condition could not be evaluated: an encrypt policy matches, a deny policy does not.
    Error,
    /// The condition depends on the size, which is not known yet: an encrypt policy matches, a deny policy is judged
    /// at Complete.
    SizeUnknown,
}

/// Asks every policy of the set about one object at a gateway with these labels.
pub fn explain(set: &PolicySet, labels: &Labels, facts: &Facts<'_>) -> Explanation {
    let decision = Engine::compile(set, labels).decide(facts);
    let recorded = decision.policy.as_ref().map(|policy| policy.uid);
    let mut rules: Vec<Rule> = set.items().iter().map(|item| Rule::new(item, set.revision())).collect();
    rules.sort_by(Rule::order);
    let scope = Scope::new(facts, labels);
    let explain_rule = |rule: &Rule| {
        let spec = rule.spec();
        let (applies, reason, message) = judge(rule, labels, facts, &scope);
        PolicyExplanation {
            uid: rule.recorded.uid,
            name: rule.recorded.name.clone(),
            mode: spec.mode,
            effect: spec.effect,
            priority: spec.priority,
            applies,
            recorded: recorded == Some(rule.recorded.uid),
            reason,
            message,
        }
    };
    let policies = rules.iter().map(explain_rule).collect();
    Explanation { revision: set.revision(), decision, policies }
}

fn judge<'a>(rule: &'a Rule, labels: &Labels, facts: &Facts<'_>, scope: &'a Scope<'a>) -> (bool, Reason, String) {
    let spec = rule.spec();
    if spec.mode == Mode::Disabled {
        return (false, Reason::Disabled, "the policy is disabled".to_owned());
    }
    if !selects(&spec.gateways, labels) {
        let unmet = spec.gateways.iter().find(|(key, values)| !labels.get(*key).is_some_and(|l| values.contains(l)));
        let message = unmet.map_or_else(String::new, |(key, values)| {
            let is = labels.get(key).map_or_else(|| "does not have it".to_owned(), |label| format!("has `{label}`"));
            format!("the policy is for gateways whose label `{key}` is {}; this one {is}", values.join(" or "))
        });
        return (false, Reason::GatewayLabels, message);
    }
    if !covers(&spec.buckets, facts.bucket) {
        let message = format!("the policy is for buckets {}, this is `{}`", spec.buckets.join(", "), facts.bucket);
        return (false, Reason::Bucket, message);
    }
    let encrypts = spec.effect == Effect::Encrypt;
    match rule.evaluate(scope) {
        Ok(true) if spec.when.is_none() => (true, Reason::Matches, "the policy has no condition".to_owned()),
        Ok(true) => (true, Reason::Matches, "the condition is true".to_owned()),
        Ok(false) => (false, Reason::ConditionFalse, "the condition is false".to_owned()),
        Err(fault @ Fault::SizeUnknown) => {
            let then = if encrypts { "the policy matches" } else { "the upload is judged when it is completed" };
            (encrypts, Reason::SizeUnknown, format!("{fault}: {then}"))
        }
        Err(fault) => {
            let then = if encrypts { "an encrypt policy matches" } else { "a deny policy does not match" };
            (encrypts, Reason::Error, format!("the condition cannot be evaluated ({fault}): {then}"))
        }
    }
}

#[cfg(test)]
mod tests;
