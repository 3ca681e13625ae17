use ids::Lineage;
use proptest::prelude::*;

use super::*;
use crate::parse::{parse_one, tests::SAMPLE};

fn set(texts: &[String]) -> PolicySet {
    let item = |(uid, text): (usize, &String)| Item {
        uid: PolicyUid(uuid::Uuid::from_u128(uid as u128)),
        policy: parse_one(text).unwrap_or_else(|problems| panic!("{problems}\n{text}")),
    };
    let revision = Revision { lineage: Lineage(uuid::Uuid::from_u128(9)), number: 12 };
    PolicySet::new(revision, texts.iter().enumerate().map(item).collect()).expect("unique names")
}

/// A policy with this name and spec.
fn policy(name: &str, spec: &str) -> String {
    format!("apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
}

fn engine(policies: &[(&str, &str)]) -> Engine {
    let texts: Vec<String> = policies.iter().map(|(name, spec)| policy(name, spec)).collect();
    Engine::compile(&set(&texts), &Labels::new())
}

fn recorded(decision: &Decision) -> Option<&str> {
    decision.policy.as_ref().map(|policy| policy.name.as_str())
}

fn tagged(value: &str) -> Vec<(String, String)> {
    vec![("classification".to_owned(), value.to_owned())]
}

#[test]
fn the_sample_policy_encrypts_what_is_tagged_or_under_payroll_and_leaves_the_rest() {
    let labels = Labels::from([("region".to_owned(), "eu-1".to_owned())]);
    let engine = Engine::compile(&set(&[SAMPLE.to_owned()]), &labels);
    let verdict = |facts: Facts<'_>| engine.decide(&facts).verdict;
    assert_eq!(verdict(Facts::new("hr-data", "a.txt")), Verdict::Pass);
    assert_eq!(verdict(Facts { tags: &tagged("public"), ..Facts::new("hr-data", "a.txt") }), Verdict::Pass);
    assert_eq!(verdict(Facts { tags: &tagged("pii"), ..Facts::new("hr-data", "a.txt") }), Verdict::Encrypt);
    assert_eq!(verdict(Facts::new("finance", "payroll/a.txt")), Verdict::Encrypt);
    assert_eq!(verdict(Facts::new("sales", "payroll/a.txt")), Verdict::Pass, "another bucket");
    assert!(engine.needs_tags("hr-data") && !engine.needs_tags("sales") && !engine.needs_metadata("hr-data"));

    let decision = engine.decide(&Facts::new("finance", "payroll/a.txt"));
    let policy = decision.policy.expect("it is recorded");
    assert_eq!((policy.name.as_str(), policy.revision.number), ("payroll-secure-handling", 12));

    for labels in [Labels::new(), Labels::from([("region".to_owned(), "us-1".to_owned())])] {
        let elsewhere = Engine::compile(&set(&[SAMPLE.to_owned()]), &labels);
        assert_eq!(elsewhere.decide(&Facts::new("finance", "payroll/a.txt")).verdict, Verdict::Pass);
        assert_eq!((elsewhere.policies(), elsewhere.needs_tags("finance")), (0, false));
    }
}

#[test]
fn only_enforced_policies_act_and_only_on_the_buckets_that_they_cover() {
    let engine = engine(&[
        ("exact", "buckets: [finance], effect: encrypt, when: \"true\""),
        ("prefix", "buckets: [\"hr-*\"], effect: deny, when: \"object.size > 5\""),
        ("audit", "buckets: [sales], effect: encrypt, mode: audit, when: \"true\""),
    ]);
    for (bucket, acts) in [("finance", true), ("hr-data", true), ("sales", false), ("finance2", false), ("hr", false)] {
        assert_eq!(engine.acts_on(bucket), acts, "{bucket}");
    }
}

#[test]
fn no_policy_and_disabled_policies_let_everything_pass() {
    let empty = Engine::compile(&PolicySet::empty(Lineage(uuid::Uuid::nil())), &Labels::new());
    assert_eq!(empty.decide(&Facts::new("b", "k")), Decision::pass());
    let disabled = engine(&[("a", "effect: deny, mode: disabled")]);
    assert_eq!(disabled.decide(&Facts::new("b", "k")), Decision::pass());
}

#[test]
fn labels_are_joined_by_and_across_keys_and_by_or_within_one() {
    let texts = [policy("a", "effect: encrypt, gateways: {region: [eu, us], tier: [gold]}")];
    let selected = |labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Engine::compile(&set(&texts), &labels).policies() == 1
    };
    assert!(selected(&[("region", "us"), ("tier", "gold"), ("other", "x")]));
    assert!(!selected(&[("region", "us")]));
    assert!(!selected(&[("region", "us"), ("tier", "tin")]));
}

#[test]
fn deny_beats_encrypt_and_priority_then_name_decide_what_is_recorded() {
    let facts = Facts::new("b", "k");
    let decide = |policies: &[(&str, &str)]| {
        let decision = engine(policies).decide(&facts);
        (decision.verdict, recorded(&decision).map(str::to_owned))
    };
    let high = ("high", "effect: encrypt, priority: 9");
    assert_eq!(decide(&[high, ("low", "effect: deny")]), (Verdict::Deny, Some("low".to_owned())));
    assert_eq!(decide(&[("b", "effect: encrypt"), ("a", "effect: encrypt"), high]).1.as_deref(), Some("high"));
    assert_eq!(decide(&[("b", "effect: encrypt"), ("a", "effect: encrypt")]).1.as_deref(), Some("a"));
    assert_eq!(decide(&[high, ("no", "effect: deny, buckets: [other]")]).0, Verdict::Encrypt);
}

#[test]
fn audit_changes_nothing_and_tells_everything() {
    let engine = engine(&[
        ("e", "effect: encrypt, mode: audit, priority: 5"),
        ("d", "effect: deny, mode: audit"),
        ("f", "effect: encrypt"),
    ]);
    let decision = engine.decide(&Facts::new("b", "k"));
    assert_eq!((decision.verdict, recorded(&decision)), (Verdict::Encrypt, Some("f")));
    let audit: Vec<_> = decision.audit.iter().map(|found| (found.policy.name.as_str(), found.effect)).collect();
    assert_eq!(audit, [("d", Effect::Deny), ("e", Effect::Encrypt)]);
}

#[test]
fn an_error_encrypts_and_does_not_deny() {
    let facts = Facts::new("b", "k");
    let encrypts = engine(&[("a", "effect: encrypt, when: 'int(object.key) > 1'")]).decide(&facts);
    assert_eq!((encrypts.verdict, recorded(&encrypts), encrypts.errors.len()), (Verdict::Encrypt, Some("a"), 1));
    let denies = engine(&[("a", "effect: deny, when: 'int(object.key) > 1'")]).decide(&facts);
    assert_eq!((denies.verdict, denies.errors.len(), denies.judge_at_complete), (Verdict::Pass, 1, false));
    assert_eq!(denies.errors[0].policy.name, "a");
}

#[test]
fn an_unknown_size_encrypts_at_once_and_denies_at_completion() {
    let engine = engine(&[
        ("big", "effect: deny, when: 'object.size > 100'"),
        ("small", "effect: encrypt, when: 'object.size < 10'"),
    ]);
    let at_begin = engine.decide(&Facts { size: None, ..Facts::new("b", "k") });
    assert_eq!(
        (at_begin.verdict, recorded(&at_begin), at_begin.judge_at_complete),
        (Verdict::Encrypt, Some("small"), true)
    );
    assert!(at_begin.errors.is_empty(), "not knowing is no error");
    assert_eq!(engine.decide(&Facts { size: Some(101), ..Facts::new("b", "k") }).verdict, Verdict::Deny);
    let certain = super::tests::engine(&[("a", "effect: deny, when: 'object.size > 1 || object.key == \"k\"'")]);
    let decision = certain.decide(&Facts { size: None, ..Facts::new("b", "k") });
    assert_eq!((decision.verdict, decision.judge_at_complete), (Verdict::Deny, false));
}

#[test]
fn existing_objects_are_encrypted_when_an_enforced_match_says_so() {
    let decide =
        |spec: &str| engine(&[("a", "effect: encrypt, priority: 9"), ("b", spec)]).decide(&Facts::new("x", "k"));
    assert!(decide("effect: encrypt, existing: encrypt").encrypt_existing);
    assert!(!decide("effect: encrypt, existing: encrypt, mode: audit").encrypt_existing);
    assert!(!decide("effect: encrypt, existing: encrypt, buckets: [other]").encrypt_existing);
}

/// What `decide` should say, without an index and without an order of evaluation: each policy by itself.
fn reference(set: &PolicySet, labels: &Labels, facts: &Facts<'_>) -> Decision {
    let mut matches = Vec::new();
    let mut decision = Decision::pass();
    for item in set.items() {
        let spec = &item.policy.document().spec;
        let gateway = spec.gateways.iter().all(|(key, values)| values.iter().any(|v| labels.get(key) == Some(v)));
        let bucket = spec.buckets.is_empty() || spec.buckets.iter().any(|p| bucket::matches(p, facts.bucket));
        if spec.mode == Mode::Disabled || !gateway || !bucket {
            continue;
        }
        let rule = Rule::new(item, set.revision());
        let result = rule.evaluate(&Scope::new(facts, labels));
        let fails = matches!(result, Err(fault) if fault != Fault::SizeUnknown);
        if result == Err(Fault::SizeUnknown) && spec.effect == Effect::Deny {
            decision.judge_at_complete = true;
        }
        if result == Ok(true) || (result.is_err() && spec.effect == Effect::Encrypt) {
            matches.push((rule.recorded.clone(), spec.clone()));
        }
        if fails {
            let message = result.expect_err("it fails").to_string();
            decision.errors.push(EvaluationError { policy: rule.recorded.clone(), effect: spec.effect, message });
        }
    }
    let rank = |name: &str| {
        let spec = &set.get(name).expect("it is in the set").policy.document().spec;
        (spec.effect != Effect::Deny, std::cmp::Reverse(spec.priority), name.to_owned())
    };
    matches.sort_by_key(|(policy, _)| rank(&policy.name));
    decision.errors.sort_by_key(|error| rank(&error.policy.name));
    for (policy, spec) in matches {
        if spec.mode == Mode::Audit {
            decision.audit.push(AuditMatch { policy, effect: spec.effect });
            continue;
        }
        decision.encrypt_existing |= spec.effect == Effect::Encrypt && spec.existing == Existing::Encrypt;
        if decision.policy.is_none() {
            decision.verdict = if spec.effect == Effect::Deny { Verdict::Deny } else { Verdict::Encrypt };
            decision.policy = Some(policy);
        }
    }
    decision
}

fn any_spec() -> impl Strategy<Value = String> {
    let mode = prop::sample::select(vec!["enforce", "enforce", "audit", "disabled"]);
    let effect = prop::sample::select(vec!["encrypt", "deny"]);
    let pattern = prop::sample::select(vec!["*", "hr", "hr-*", "h*", "*-x", "hr-a", "hr-*x", "fin", "f*n"]);
    let buckets = prop::collection::btree_set(pattern, 0..4);
    let when = prop::sample::select(vec![
        "",
        "object.key == 'k'",
        "object.size > 3",
        "object.tags.t == 'v'",
        "int(object.key) == 1",
        "int(object.key) == 1 || object.size > 3",
        "gateway.labels.region == 'eu'",
    ]);
    let gateways = prop::sample::select(vec!["{}", "{region: [eu]}", "{region: [us, eu], tier: [gold]}"]);
    let existing = prop::sample::select(vec!["leave", "encrypt"]);
    (mode, effect, buckets, when, gateways, existing, 0u32..3).prop_map(
        |(mode, effect, buckets, when, gateways, existing, priority)| {
            let buckets = buckets.iter().map(|pattern| format!("'{pattern}'")).collect::<Vec<_>>().join(", ");
            let when = if when.is_empty() { String::new() } else { format!(", when: \"{when}\"") };
            format!(
                "mode: {mode}, effect: {effect}, buckets: [{buckets}], gateways: {gateways}, existing: {existing}, \
                 priority: {priority}{when}"
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..Default::default() })]

    #[test]
    fn the_index_changes_no_decision(
        specs in prop::collection::vec(any_spec(), 0..12),
        bucket in prop::sample::select(vec!["hr", "hr-a", "hr-x", "hr-ax", "fin", "f", "other-x", "", "é"]),
        key in prop::sample::select(vec!["k", "1", "x"]),
        size in prop::option::of(0u64..6),
        tag in prop::sample::select(vec!["v", "w"]),
        labels in prop::sample::select(vec![vec![], vec![("region", "eu")], vec![("region", "us"), ("tier", "gold")]]),
    ) {
        let texts: Vec<String> = specs.iter().enumerate().map(|(n, spec)| policy(&format!("p{n}"), spec)).collect();
        let set = set(&texts);
        let labels: Labels = labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let tags = vec![("t".to_owned(), tag.to_owned())];
        let facts = Facts { size, tags: &tags, ..Facts::new(bucket, key) };
        let engine = Engine::compile(&set, &labels);
        let expected = reference(&set, &labels, &facts);
        prop_assert_eq!(&engine.decide(&facts), &expected);

        let explanation = crate::explain(&set, &labels, &facts);
        prop_assert_eq!(&explanation.decision, &expected);
        let acting = |p: &&crate::PolicyExplanation| p.applies && p.mode == Mode::Enforce;
        let first = explanation.policies.iter().find(acting).map(|p| p.uid);
        prop_assert_eq!(first, expected.policy.as_ref().map(|p| p.uid), "the explanation agrees with the decision");
        prop_assert_eq!(explanation.policies.iter().find(|p| p.recorded).map(|p| p.uid), first);

        let asks = texts.iter().enumerate().any(|(n, text)| {
            let rule = set.get(&format!("p{n}")).expect("there").policy.document().spec.clone();
            text.contains("object.tags") && rule.mode != Mode::Disabled && selects(&rule.gateways, &labels)
                && covers(&rule.buckets, bucket)
        });
        prop_assert_eq!(engine.needs_tags(bucket), asks);
    }
}
