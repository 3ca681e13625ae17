//! The `cel` crate's own interpreter as the second implementation that must agree.

use std::collections::BTreeMap;

use cel::{Context, Program, Value};
use proptest::prelude::*;
use serde::Serialize;

use crate::cel::{Condition, Fault, Scope};
use crate::facts::{Facts, Labels};

#[derive(Serialize)]
struct Object {
    key: String,
    size: i64,
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Gateway {
    labels: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Request {
    time: cel::Timestamp,
}

fn theirs(text: &str, facts: &Facts<'_>, labels: &Labels) -> Option<bool> {
    let program = Program::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut context = Context::default();
    let tags = facts.tags.iter().cloned().collect();
    let size = i64::try_from(facts.size.unwrap_or(0)).expect("a small size");
    context.add_variable("object", Object { key: facts.key.to_owned(), size, tags }).expect("an object");
    context.add_variable("gateway", Gateway { labels: labels.clone() }).expect("labels");
    let time = chrono::DateTime::from_timestamp_millis(facts.time_unix_ms).expect("in range");
    context.add_variable("request", Request { time: cel::Timestamp(time.into()) }).expect("a time");
    match program.execute(&context) {
        Ok(Value::Bool(value)) => Some(value),
        Ok(other) => panic!("{text}: {other:?} is not a bool"),
        Err(_) => None,
    }
}

/// Whole numbers.
fn int(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("object.size".to_owned()),
        (-3i64..6).prop_map(|n| n.to_string()),
        Just("9223372036854775807".to_owned()),
        Just("size(object.key)".to_owned()),
        Just("size(object.tags)".to_owned()),
        Just("int(object.tags['n'])".to_owned()),
        Just("request.time.getHours()".to_owned()),
        Just("request.time.getDayOfYear()".to_owned()),
        Just("(request.time - timestamp('2026-01-01T00:00:00Z')).getMinutes()".to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let sign = prop::sample::select(vec!["+", "-", "*", "/", "%"]);
    prop_oneof![
        2 => leaf,
        3 => (int(depth - 1), sign, int(depth - 1)).prop_map(|(a, sign, b)| format!("({a} {sign} {b})")),
        1 => int(depth - 1).prop_map(|a| format!("-({a})")),
    ]
    .boxed()
}

/// Texts.
fn text(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("object.key".to_owned()),
        prop::sample::select(vec!["'a'", "'ab'", "''", "'ä'", "'7'"]).prop_map(str::to_owned),
        prop::sample::select(vec!["a", "n", "empty"]).prop_map(|name| format!("object.tags['{name}']")),
        prop::sample::select(vec!["region", "none"]).prop_map(|name| format!("gateway.labels['{name}']")),
        Just("string(object.size)".to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    prop_oneof![
        3 => leaf,
        1 => (text(depth - 1), text(depth - 1)).prop_map(|(a, b)| format!("({a} + {b})")),
        1 => (condition(depth - 1), text(depth - 1), text(depth - 1)).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
    ]
    .boxed()
}

fn condition(depth: u32) -> BoxedStrategy<String> {
    let comparison = || prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let below = depth.saturating_sub(1);
    let search = prop::sample::select(vec!["startsWith", "endsWith", "contains"]);
    let leaf = prop_oneof![
        (int(below), comparison(), int(below)).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (text(below), comparison(), text(below)).prop_map(|(a, sign, b)| format!("{a} {sign} {b}")),
        (text(below), search, text(below)).prop_map(|(a, name, b)| format!("{a}.{name}({b})")),
        text(below).prop_map(|a| format!("{a}.matches('^a+$')")),
        (text(below), text(below)).prop_map(|(a, b)| format!("{a} in ['a', {b}]")),
        text(below).prop_map(|a| format!("{a} in ['a', '', 'ab']")),
        (int(below), int(below)).prop_map(|(a, b)| format!("{a} in [0, {b}]")),
        Just("'a' in object.tags".to_owned()),
        Just("'zz' in object.tags".to_owned()),
        Just("has(object.tags.a) && !has(gateway.labels.none)".to_owned()),
        Just("request.time < timestamp('2026-01-02T00:00:00Z') + duration('1h30m')".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    let quantifier = || prop::sample::select(vec!["all", "exists", "exists_one"]);
    prop_oneof![
        3 => leaf,
        2 => (condition(depth - 1), condition(depth - 1)).prop_map(|(a, b)| format!("({a} && {b})")),
        2 => (condition(depth - 1), condition(depth - 1)).prop_map(|(a, b)| format!("({a} || {b})")),
        1 => condition(depth - 1).prop_map(|a| format!("!({a})")),
        1 => (quantifier(), int(1)).prop_map(|(q, a)| format!("[0, 1, 2].{q}(x, {a} / x > x)")),
        1 => (quantifier(), text(1)).prop_map(|(q, a)| format!("object.tags.{q}(x, x < {a} || object.tags[x] == 'a')")),
        1 => (quantifier(), text(1), text(1)).prop_map(|(q, a, b)| format!("[{a}, {b}].{q}(x, x == 'a')")),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 3_000, ..Default::default() })]

    #[test]
    fn both_implementations_decide_alike(
        text in condition(3), key in "[aä/]{0,3}", size in 0u64..5, a in "[ab]{0,2}", n in "[0-9x]{1,2}", hour in 0i64..90
    ) {
        let tags: Vec<(String, String)> =
            [("a", a.as_str()), ("n", n.as_str()), ("empty", "")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let time_unix_ms = 1_767_225_600_000 + hour * 3_600_000;
        let facts = Facts { size: Some(size), tags: &tags, time_unix_ms, ..Facts::new("b", &key) };
        let labels = Labels::from([("region".to_owned(), "a".to_owned())]);
        // What can only fail, or is too deep, has no second opinion: it is refused before.
        if let Ok(condition) = Condition::compile(&text) {
            let ours = condition.evaluate(&Scope::new(&facts, &labels));
            prop_assert_ne!(ours, Err(Fault::Internal), "{}", text);
            prop_assert_eq!(ours.ok(), theirs(&text, &facts, &labels), "{}", text);
        }
    }
}
