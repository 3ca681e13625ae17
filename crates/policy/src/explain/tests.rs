use ids::{Lineage, PolicyUid};

use super::*;
use crate::parse::{parse, tests::SAMPLE};
use crate::set::Item;

const REQUEST: &str = r#"{"bucket": "hr-data",
 "object": {"key": "a.csv", "size": 10, "contentType": "text/csv", "tags": {"classification": "pii"}, "metadata": {"Owner": "ann"}},
 "request": {"principal": "ann"}, "gateway": {"labels": {"region": "eu-1"}}}"#;

fn sample_set(more: &str) -> PolicySet {
    let policies = parse(&format!("{SAMPLE}{more}")).expect("policies");
    let item = |(uid, policy)| Item { uid: PolicyUid(uuid::Uuid::from_u128(uid)), policy };
    let revision = Revision { lineage: Lineage(uuid::Uuid::nil()), number: 1 };
    PolicySet::new(revision, (1..).zip(policies).map(item).collect()).expect("unique names")
}

#[test]
fn a_request_of_the_documented_shape_is_read() {
    let request = ExplainRequest::parse(REQUEST, 5).expect("a request");
    let facts = request.facts();
    assert_eq!((facts.bucket, facts.key, facts.size, facts.content_type), ("hr-data", "a.csv", Some(10), "text/csv"));
    assert_eq!((facts.principal, facts.operation, facts.time_unix_ms), ("ann", "PutObject", 5));
    assert_eq!(facts.metadata, [("owner".to_owned(), "ann".to_owned())], "as S3 hands it on");
    assert_eq!(request.labels()["region"], "eu-1");

    let unknown =
        ExplainRequest::parse(r#"{"bucket": "b", "object": {"key": "k", "size": null}}"#, 0).expect("a request");
    assert_eq!(unknown.facts().size, None);
    let full = "bucket: b\nobject: {key: k}\nrequest: {time: '2026-01-02T03:04:05Z', sourceIp: '::1', operation: CopyObject}\n";
    let full = ExplainRequest::parse(full, 0).expect("YAML too");
    assert_eq!((full.facts().time_unix_ms, full.facts().operation), (1_767_323_045_000, "CopyObject"));
}

#[test]
fn a_malformed_request_is_refused_with_every_place() {
    let text = "{\"bucket\": 1,\n\"object\": {\"size\": -1, \"tags\": {\"a\": 2}},\n\"request\": {\"time\": \"now\", \"sourceIp\": \"x\", \"who\": \"\"},\n\"gateway\": {\"labels\": {\"\": \"\"}}}";
    let problems = ExplainRequest::parse(text, 0).expect_err("malformed");
    let told: Vec<String> = problems.0.iter().map(|p| format!("{}:{}:{}", p.line, p.column, p.code)).collect();
    assert_eq!(
        told,
        [
            "1:12:wrong-type",
            "2:11:missing-field",
            "2:20:invalid-value",
            "2:38:wrong-type",
            "3:21:invalid-value",
            "3:40:invalid-value",
            "3:45:unknown-field",
            "4:23:invalid-label"
        ]
    );
    for text in ["", "[]", "a: 1\n---\nb: 2\n"] {
        assert!(ExplainRequest::parse(text, 0).is_err(), "{text}");
    }
}

#[test]
fn every_policy_says_why_it_applies_or_not() {
    let more = |name: &str, spec: &str| {
        format!(
            "---\napiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
        )
    };
    let set = sample_set(
        &[
            more("always", "effect: encrypt, mode: audit"),
            more("broken", "effect: encrypt, when: int(object.key) == 1"),
            more("elsewhere", "effect: deny, buckets: [finance]"),
            more("resting", "effect: deny, mode: disabled"),
            more("sized", "effect: deny, when: object.size > 1000"),
            more("us", "effect: deny, gateways: {region: [us-1]}"),
        ]
        .concat(),
    );
    let request = ExplainRequest::parse(REQUEST, 0).expect("a request");
    let explanation = explain(&set, request.labels(), &request.facts());
    let told: Vec<_> =
        explanation.policies.iter().map(|p| (p.name.as_str(), p.applies, p.recorded, p.reason)).collect();
    assert_eq!(
        told,
        [
            ("elsewhere", false, false, Reason::Bucket),
            ("resting", false, false, Reason::Disabled),
            ("sized", false, false, Reason::ConditionFalse),
            ("us", false, false, Reason::GatewayLabels),
            ("payroll-secure-handling", true, true, Reason::Matches),
            ("always", true, false, Reason::Matches),
            ("broken", true, false, Reason::Error),
        ]
    );
    let json = serde_json::to_value(&explanation).expect("JSON");
    assert_eq!(json["decision"]["verdict"], "encrypt");
    assert_eq!(json["decision"]["policy"]["name"], "payroll-secure-handling");
    assert_eq!(
        json["policies"][3]["message"],
        "the policy is for gateways whose label `region` is us-1; this one has `eu-1`"
    );

    let unknown = Facts { size: None, ..request.facts() };
    let sized = explain(&set, request.labels(), &unknown).policies.into_iter().find(|p| p.name == "sized");
    assert_eq!(sized.map(|p| (p.applies, p.reason)), Some((false, Reason::SizeUnknown)));
}
