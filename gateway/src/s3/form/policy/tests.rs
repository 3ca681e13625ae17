use serde_json::json;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2030-01-01 00:00:00 UTC);

fn read(document: &Value) -> Result<Policy, &'static str> {
    Policy::read(&STANDARD.encode(document.to_string())).map_err(|error| error.code)
}

fn with(conditions: &Value) -> Result<Policy, &'static str> {
    read(&json!({"expiration": "2030-01-01T00:00:01.5Z", "conditions": conditions}))
}

fn judge(conditions: &Value, fields: &[(&str, &str)]) -> Result<(), &'static str> {
    let fields = Fields(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
    with(conditions)?.judge(&fields, "photos", NOW).map_err(|error| error.code)
}

#[test]
fn what_is_no_policy_is_refused() {
    let conditions = json!([{"bucket": "photos"}]);
    assert!(read(&json!({"expiration": "2030-01-01T00:00:00Z", "conditions": conditions})).is_ok());
    for document in [
        json!([]),
        json!({"expiration": "2030-01-01T00:00:00Z"}),
        json!({"conditions": conditions}),
        json!({"EXPIRATION": "2030-01-01T00:00:00Z", "conditions": conditions}),
        json!({"expiration": "2030-01-01T00:00:00Z", "CONDITIONS": conditions}),
        json!({"expiration": "2030-01-01 00:00:00Z", "conditions": conditions}),
        json!({"expiration": "2030-01-01T00:00:00+01:00", "conditions": conditions}),
        json!({"expiration": "tomorrow", "conditions": conditions}),
        json!({"expiration": 1_893_456_000, "conditions": conditions}),
        json!({"expiration": "2030-01-01T00:00:00Z", "conditions": conditions[0]}),
    ] {
        assert_eq!(read(&document), Err("InvalidPolicyDocument"), "{document}");
    }
    for conditions in [
        json!([{}]),
        json!(["eq"]),
        json!([["eq", "$key"]]),
        json!([["eq", "key", "k"]]),
        json!([["matches", "$key", "k"]]),
        json!([["eq", "$key", null]]),
        json!([{"key": ["k"]}]),
        json!([["content-length-range", 0]]),
        json!([["content-length-range", -1, 5]]),
        json!([["content-length-range", 0, "many"]]),
    ] {
        assert_eq!(with(&conditions), Err("InvalidPolicyDocument"), "{conditions}");
    }
    assert!(Policy::read("no base64!").is_err());
    assert!(Policy::read(&STANDARD.encode("{")).is_err());
}

#[test]
fn every_field_is_as_a_condition_says_and_none_is_left_out() {
    let conditions = json!([
        {"bUcKeT": "photos"},
        ["StArTs-WiTh", "$KeY", "up/"],
        ["eq", "$acl", "private"],
        ["starts-with", "$Content-Type", "image/"],
        ["starts-with", "$x-amz-meta-any", ""],
    ]);
    let good = [("key", "up/a"), ("acl", "private"), ("content-type", "image/png"), ("x-amz-meta-any", "thing")];
    assert_eq!(judge(&conditions, &good), Ok(()));
    let unseen = [("policy", "p"), ("x-amz-signature", "s"), ("x-ignore-me", "i"), ("bucket", "photos")];
    assert_eq!(judge(&conditions, &[&good[..], &unseen].concat()), Ok(()));
    // Which of the conditions fails does not matter.
    for (name, value) in [
        ("key", "down/a"),
        ("acl", "public-read"),
        ("acl", "PRIVATE"),
        ("content-type", "image/png, text/html"),
        ("x-amz-meta-other", ""),
        ("x-amz-storage-class", "STANDARD"),
        ("success_action_redirect", "http://elsewhere"),
        ("bucket", "payroll"),
    ] {
        let kept = good.iter().copied().filter(|(known, _)| *known != name);
        let fields: Vec<_> = kept.chain([(name, value)]).collect();
        assert_eq!(judge(&conditions, &fields), Err("AccessDenied"), "{name} {value}");
    }
    let missing: Vec<_> = good.iter().copied().filter(|(name, _)| *name != "acl").collect();
    assert_eq!(judge(&conditions, &missing), Err("AccessDenied"));
    // A policy that does not speak of the bucket would be good for every bucket.
    assert_eq!(judge(&json!([["starts-with", "$key", ""]]), &[("key", "k")]), Err("AccessDenied"));
    assert_eq!(judge(&json!([{"bucket": "payroll"}, {"key": "k"}]), &[("key", "k")]), Err("AccessDenied"));
}

#[test]
fn a_policy_ends_at_its_expiration() {
    let policy = with(&json!([{"bucket": "photos"}])).unwrap();
    let at = |now| policy.judge(&Fields::default(), "photos", now).map_err(|error| error.code);
    assert_eq!(at(datetime!(2030-01-01 00:00:01.4 UTC)), Ok(()));
    assert_eq!(at(datetime!(2030-01-01 00:00:01.5 UTC)), Err("AccessDenied"));
}

#[test]
fn the_length_of_the_file_is_within_its_bounds() {
    let policy = with(&json!([["content-length-range", 2, "4"], ["Content-Length-Range", 0, 9]])).unwrap();
    let at = |len| policy.judge_length(len).map_err(|error| error.code);
    assert_eq!(at(1), Err("EntityTooSmall"));
    assert_eq!((at(2), at(4)), (Ok(()), Ok(())));
    assert_eq!(at(5), Err("EntityTooLarge"));
}
