use std::collections::BTreeMap;

use serde_json::Value;

use crate::caller::Role;
use crate::routes::testing::Rest;

const FLEET: &[&str] = &[
    "insert into gateways (id, name, state, stream_open, last_seen_at)
     select gen_random_uuid(), name, state, state = 'active' and name <> 'late' and name <> 'lost',
            now() - case name when 'late' then interval '30 s' when 'lost' then interval '1 day' else interval '0 s' end
     from (values ('fine', 'active'), ('late', 'active'), ('lost', 'active'), ('refusing', 'active'), ('cloned', 'quarantined'),
                  ('expiring', 'active'), ('kms', 'active'), ('gap', 'active'), ('ahead', 'active'), ('gone', 'retired'),
                  ('off', 'suspended'), ('keyless', 'active')) as t (name, state)",
    "insert into gateway_refusals (gateway_id, lineage, number, digest, code, item, reason, epoch, version)
     select g.id, h.lineage, 1, h.digest, 'x', 'payroll: spec.when', 'it is too new', gen_random_uuid(), '1'
     from gateways g, policy_head h where g.name in ('refusing', 'gone')",
    "insert into gateway_certificates (serial, gateway_id, authority, key_digest, issued_at, not_after)
     select uuid_send(g.id), g.id, 1, sha256('x'), now() - interval '6 days',
            now() + case name when 'expiring' then interval '1 day' else interval '6 days' end
     from gateways g where name in ('expiring', 'fine')",
    "insert into inventories (storage_id, gateway_id, taken_at, content)
     select gen_random_uuid(), id, now(),
            '{\"buckets\": [], \"backends\": [], \"kms\": [{\"id\": \"vault-hr\", \"state\": \"error\"}, {\"id\": \"ok\", \"state\": \"ok\"}]}'
     from gateways where name = 'kms'",
    "insert into inventories (storage_id, gateway_id, taken_at, content)
     select gen_random_uuid(), id, now(),
            case name when 'keyless' then
                '{\"buckets\": [{\"because\": \"toggle\"}], \"backends\": [], \"kms\": [{\"id\": \"k\", \"state\": \"ok\", \"active\": false}]}'
            else '{\"buckets\": [{\"because\": \"toggle\"}], \"backends\": [], \"kms\": [{\"id\": \"k\", \"state\": \"ok\", \"active\": true}]}' end::jsonb
     from gateways where name in ('keyless', 'fine')",
    "insert into report_series (gateway_id, series, gap_at)
     select id, id, now() - case name when 'gap' then interval '1 day' else interval '8 days' end
     from gateways where name in ('gap', 'fine')",
    "insert into gateways_ahead (gateway_id, lineage, number, digest)
     select g.id, h.lineage, 7, h.digest from gateways g, policy_head h where name = 'ahead'",
];

async fn told(rest: &Rest, role: Role) -> (BTreeMap<String, String>, String) {
    let token = rest.token(role).await;
    let answer = rest.ask(&token, "GET /notifications", &[], "").await;
    let list: Vec<Value> = answer.json()["notifications"].as_array().expect("a list").clone();
    assert_eq!(answer.json()["total"], list.len());
    let pairs = list.iter().map(|one| {
        let text = |field: &str| one[field].as_str().unwrap_or_else(|| panic!("no {field} in {one}")).to_owned();
        assert!(text("id").starts_with(&text("kind")) && !text("message").is_empty(), "{one}");
        (text("subject") + " " + &text("kind"), text("severity"))
    });
    (pairs.collect(), answer.text)
}

#[tokio::test]
async fn everything_that_is_the_matter_is_told_once_and_nothing_else() {
    let rest = Rest::start().await;
    assert!(told(&rest, Role::Admin).await.0.is_empty());
    for statement in FLEET {
        sqlx::query(*statement).execute(&rest.db).await.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    let (found, text) = told(&rest, Role::Admin).await;
    let expected = [
        ("ahead behind-the-fleet", "error"),
        ("cloned gateway-late", "warning"),
        ("cloned quarantine", "error"),
        ("expiring certificate", "warning"),
        ("gap statistics-gap", "warning"),
        ("keyless no-kms", "error"),
        ("kms kms", "error"),
        ("late gateway-late", "warning"),
        ("lost gateway-lost", "error"),
        ("refusing refusal", "error"),
    ];
    let found: Vec<_> = found.iter().map(|(what, severity)| (what.as_str(), severity.as_str())).collect();
    assert_eq!(found, expected);
    assert!(text.contains("vault-hr") && text.contains("it is too new"), "{text}");
}

#[tokio::test]
async fn a_viewer_is_told_names_of_gateways_and_no_others() {
    let rest = Rest::start().await;
    for statement in FLEET {
        sqlx::query(*statement).execute(&rest.db).await.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    let (found, text) = told(&rest, Role::Viewer).await;
    assert_eq!(found.len(), 10);
    for name in ["vault-hr", "payroll", "too new"] {
        assert!(!text.contains(name), "{name}: {text}");
    }
}
