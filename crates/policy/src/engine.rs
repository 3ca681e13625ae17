//! Decisions: one policy set as one gateway sees it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ids::{PolicyUid, Revision};
use serde::Serialize;

use crate::bucket;
use crate::cel::{Fault, Reads, Scope};
use crate::document::{Effect, Existing, Mode, Spec};
use crate::facts::{Facts, Labels};
use crate::parse::Policy;
use crate::set::{Item, PolicySet};

/// The policies of a set that apply to one gateway, ready to decide. Immutable; share it in an `Arc`.
#[derive(Debug)]
pub struct Engine {
    revision: Revision,
    labels: Labels,
    rules: Vec<Rule>,
    index: Index,
}

/// What is to be done with an object, as far as governance policies go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// No enforced policy matches.
    Pass,
    /// It has to be stored encrypted.
    Encrypt,
    /// The request has to be refused.
    Deny,
}

/// A policy as it is recorded in objects and statistics.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct PolicyRef {
    /// Identity of the policy.
    pub uid: PolicyUid,
    /// Its name at this revision.
    pub name: String,
    /// Revision of the set.
    pub revision: Revision,
}

/// A policy in audit mode that would have acted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditMatch {
    /// Which one.
    pub policy: Arc<PolicyRef>,
    /// What it would have done.
    pub effect: Effect,
}

/// A policy whose condition could not be evaluated on these facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvaluationError {
    /// Which one.
    pub policy: Arc<PolicyRef>,
    /// Its effect: `encrypt` was counted as a match, `deny` was not.
    pub effect: Effect,
    /// Why, for a person.
    pub message: String,
}

/// The answer for one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// What is to be done.
    pub verdict: Verdict,
    /// The policy to be recorded; there exactly when the verdict is not [`Verdict::Pass`].
    pub policy: Option<Arc<PolicyRef>>,
    /// A deny policy depends on the size, which is not known yet: judge again with the true size at Complete.
    pub judge_at_complete: bool,
    /// A matching enforced encrypt policy asks to encrypt what is stored already.
    pub encrypt_existing: bool,
    /// Policies in audit mode that match: deny before encrypt, then by priority and name. The first is the one to count.
    pub audit: Vec<AuditMatch>,
    /// Policies that could not be evaluated, in the same order.
    pub errors: Vec<EvaluationError>,
}

impl Engine {
    /// Selects the policies for a gateway with these labels. Cannot fail: a set holds only checked policies.
    pub fn compile(set: &PolicySet, labels: &Labels) -> Self {
        let mut rules: Vec<Rule> = set
            .items()
            .iter()
            .filter(|item| item.policy.document().spec.mode != Mode::Disabled)
            .filter(|item| selects(&item.policy.document().spec.gateways, labels))
            .map(|item| Rule::new(item, set.revision()))
            .collect();
        rules.sort_by(Rule::order);
        let index = Index::new(&rules);
        Self { revision: set.revision(), labels: labels.clone(), rules, index }
    }

    /// Lineage and number of the set.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Policies that apply to this gateway and are not disabled.
    pub fn policies(&self) -> usize {
        self.rules.len()
    }

    /// Whether an enforced policy of either effect covers the bucket: what is stored there has to be judged.
    pub fn acts_on(&self, bucket: &str) -> bool {
        self.index.candidates(bucket).any(|at| self.rules[at].spec().mode == Mode::Enforce)
    }

    /// Judges one object.
    pub fn decide(&self, facts: &Facts<'_>) -> Decision {
        let scope = Scope::new(facts, &self.labels);
        let mut decision = Decision::pass();
        for at in self.index.candidates(facts.bucket) {
            let rule = &self.rules[at];
            decision.add(rule, rule.evaluate(&scope));
        }
        decision
    }

    /// Whether a policy for this bucket reads `object.tags`. If not, the tags need not be fetched.
    pub fn needs_tags(&self, bucket: &str) -> bool {
        self.reads(bucket, |reads| reads.tags)
    }

    /// Whether a policy for this bucket reads `object.metadata`.
    pub fn needs_metadata(&self, bucket: &str) -> bool {
        self.reads(bucket, |reads| reads.metadata)
    }

    fn reads(&self, bucket: &str, wanted: impl Fn(Reads) -> bool) -> bool {
        let mut candidates = self.index.candidates(bucket);
        candidates.any(|at| self.rules[at].policy.condition().is_some_and(|condition| wanted(condition.reads())))
    }
}

/// One policy of an engine. Rules are ordered: deny before encrypt, then by priority (highest first), then by name.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) recorded: Arc<PolicyRef>,
    pub(crate) policy: Policy,
}

impl Rule {
    pub(crate) fn new(item: &Item, revision: Revision) -> Self {
        let recorded = PolicyRef { uid: item.uid, name: item.policy.name().to_owned(), revision };
        Self { recorded: Arc::new(recorded), policy: item.policy.clone() }
    }

    pub(crate) fn spec(&self) -> &Spec {
        &self.policy.document().spec
    }

    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let (a, b) = (self.spec(), other.spec());
        (a.effect == Effect::Encrypt)
            .cmp(&(b.effect == Effect::Encrypt))
            .then(b.priority.cmp(&a.priority))
            .then_with(|| self.recorded.name.cmp(&other.recorded.name))
    }

    pub(crate) fn evaluate<'a>(&'a self, scope: &'a Scope<'a>) -> Result<bool, Fault> {
        self.policy.condition().map_or(Ok(true), |condition| condition.evaluate(scope))
    }
}

/// AND across keys, OR within one; no keys: every gateway.
pub(crate) fn selects(selector: &BTreeMap<String, Vec<String>>, labels: &Labels) -> bool {
    selector.iter().all(|(key, values)| labels.get(key).is_some_and(|label| values.contains(label)))
}

/// No patterns: every bucket.
pub(crate) fn covers(patterns: &[String], bucket: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| bucket::matches(pattern, bucket))
}

impl Decision {
    fn pass() -> Self {
        Self {
            verdict: Verdict::Pass,
            policy: None,
            judge_at_complete: false,
            encrypt_existing: false,
            audit: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Takes the result of one rule; rules come in their order, so the first that matches is the one to record.
    fn add(&mut self, rule: &Rule, result: Result<bool, Fault>) {
        let Spec { effect, mode, existing, .. } = *rule.spec();
        let matched = match (result, effect) {
            (Ok(matched), _) => matched,
            (Err(Fault::SizeUnknown), Effect::Encrypt) => true,
            (Err(Fault::SizeUnknown), Effect::Deny) => {
                self.judge_at_complete = true;
                false
            }
            (Err(fault), effect) => {
                let policy = Arc::clone(&rule.recorded);
                self.errors.push(EvaluationError { policy, effect, message: fault.to_string() });
                effect == Effect::Encrypt
            }
        };
        if !matched {
            return;
        }
        if mode == Mode::Audit {
            self.audit.push(AuditMatch { policy: Arc::clone(&rule.recorded), effect });
            return;
        }
        if self.policy.is_none() {
            self.policy = Some(Arc::clone(&rule.recorded));
            self.verdict = match effect {
                Effect::Encrypt => Verdict::Encrypt,
                Effect::Deny => Verdict::Deny,
            };
        }
        self.encrypt_existing |= effect == Effect::Encrypt && existing == Existing::Encrypt;
    }
}

/// Which rules could apply to a bucket, without looking at each of them.
///
/// Names without a wildcard are looked up whole; patterns with one are looked up by what stands before the first
/// wildcard, once for each length in which there is such a prefix.
#[derive(Debug, Default)]
struct Index {
    /// Rules for every bucket.
    all: Vec<usize>,
    exact: HashMap<String, Vec<usize>>,
    /// Prefix → each pattern that begins so → rules with the pattern.
    prefixes: HashMap<String, Vec<(String, Vec<usize>)>>,
    /// Lengths of the prefixes, each once.
    lengths: Vec<usize>,
}

impl Index {
    fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            let patterns = &rule.spec().buckets;
            if patterns.is_empty() || patterns.iter().any(|pattern| pattern == "*") {
                index.all.push(at);
                continue;
            }
            for pattern in patterns {
                let (prefix, wild) = bucket::literal_prefix(pattern);
                if wild {
                    let patterns = index.prefixes.entry(prefix.to_owned()).or_default();
                    match patterns.iter_mut().find(|(known, _)| known == pattern) {
                        Some((_, rules)) => rules.push(at),
                        None => patterns.push((pattern.clone(), vec![at])),
                    }
                } else {
                    index.exact.entry(prefix.to_owned()).or_default().push(at);
                }
            }
        }
        index.lengths = index.prefixes.keys().map(String::len).collect();
        index.lengths.sort_unstable();
        index.lengths.dedup();
        index
    }

    /// Rules that cover the bucket, each once, in their order. Nothing is collected where one list has them all.
    fn candidates(&self, bucket: &str) -> Candidates<'_> {
        let mut lists: Vec<&[usize]> = Vec::new();
        for length in self.lengths.iter().take_while(|&&length| length <= bucket.len()) {
            let Some(patterns) = bucket.get(..*length).and_then(|prefix| self.prefixes.get(prefix)) else { continue };
            let matching = patterns.iter().filter(|(pattern, _)| bucket::matches(pattern, bucket));
            lists.extend(matching.map(|(_, rules)| rules.as_slice()));
        }
        lists.extend(self.exact.get(bucket).map(Vec::as_slice));
        if !self.all.is_empty() {
            lists.push(&self.all);
        }
        if let [one] = lists.as_slice() {
            return Candidates::Listed(one.iter());
        }
        let mut merged = lists.concat();
        merged.sort_unstable();
        merged.dedup();
        Candidates::Merged(merged.into_iter())
    }
}

/// Indices of rules.
enum Candidates<'a> {
    Listed(std::slice::Iter<'a, usize>),
    Merged(std::vec::IntoIter<usize>),
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match self {
            Self::Listed(list) => list.next().copied(),
            Self::Merged(list) => list.next(),
        }
    }
}

#[cfg(test)]
mod tests;
