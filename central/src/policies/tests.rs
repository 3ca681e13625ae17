use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::json;

use super::*;
use crate::caller::Role;
use crate::routes::testing::{Rest, permit};

const JSON: (&str, &str) = ("content-type", "application/json");
const NEW: (&str, &str) = ("if-none-match", "*");

fn document(name: &str, priority: u32) -> String {
    format!(
        "# kept as it was written\napiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{ name: {name} }}\n\
         spec:\n  mode: enforce\n  priority: {priority}\n  buckets: [\"*\"]\n  effect: encrypt\n"
    )
}

#[tokio::test]
async fn of_two_editors_the_second_is_told_and_nothing_is_lost() {
    let rest = Rest::start().await;
    let token = rest.token(Role::Editor).await;
    let made = rest.ask(&token, "PUT /policies/payroll", &[NEW], document("payroll", 1)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    // Both have read the same.
    let read = rest.ask(&token, "GET /policies/payroll", &[], "").await;
    let etag = read.header("etag").to_owned();
    let known = [("if-match", etag.as_str())];
    let first = rest.ask(&token, "PUT /policies/payroll", &known, document("payroll", 2)).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.text);
    let second = rest.ask(&token, "PUT /policies/payroll", &known, document("payroll", 3)).await;
    assert_eq!(second.status, StatusCode::PRECONDITION_FAILED, "{}", second.text);
    let problem = second.json();
    assert_eq!(problem["code"], "stale");
    assert!(problem["detail"].as_str().expect("detail").contains("Read it again"), "{problem}");
    let now = rest.ask(&token, "GET /policies/payroll", &[], "").await;
    assert_eq!(now.json()["source"], document("payroll", 2));
    assert_eq!(now.header("etag"), first.header("etag"));
    // With what it learns, the second goes on.
    let known = [("if-match", now.header("etag"))];
    assert_eq!(rest.ask(&token, "PUT /policies/payroll", &known, document("payroll", 3)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_edit_without_a_precondition_is_refused() {
    let rest = Rest::start().await;
    let token = rest.token(Role::Editor).await;
    let bare = rest.ask(&token, "PUT /policies/a", &[], document("a", 1)).await;
    assert_eq!(bare.status, StatusCode::PRECONDITION_REQUIRED, "{}", bare.text);
    rest.ask(&token, "PUT /policies/a", &[NEW], document("a", 1)).await;
    let again = rest.ask(&token, "PUT /policies/a", &[NEW], document("a", 2)).await;
    assert_eq!(again.status, StatusCode::PRECONDITION_FAILED, "{}", again.text);
    assert_eq!(rest.ask(&token, "DELETE /policies/a", &[], "").await.status, StatusCode::PRECONDITION_REQUIRED);
    let other = rest.ask(&token, "PUT /policies/a", &[("if-match", "*")], document("b", 2)).await;
    assert_eq!(other.json()["errors"][0]["code"], "name-mismatch", "{}", other.text);
    let gone = rest.ask(&token, "DELETE /policies/a", &[("if-match", "*")], "").await;
    assert_eq!(gone.json()["deleted"], json!(["a"]));
    // An ETag of a policy that is gone matches nothing, also once the name is used again.
    let etag = format!("\"1@{}\"", gone.json()["lineage"].as_str().expect("a lineage"));
    let known = [("if-match", etag.as_str())];
    assert_eq!(rest.ask(&token, "PUT /policies/a", &known, document("a", 3)).await.status.as_u16(), 412);
    rest.ask(&token, "PUT /policies/a", &[NEW], document("a", 3)).await;
    assert_eq!(rest.ask(&token, "PUT /policies/a", &known, document("a", 4)).await.status.as_u16(), 412);
}

#[tokio::test]
async fn a_malformed_policy_is_refused_with_every_place_and_nothing_is_stored() {
    let rest = Rest::start().await;
    let token = rest.token(Role::Editor).await;
    let text = document("good", 1) + "---\n" + &document("bad", 1).replace("effect: encrypt", "efect: encrypt");
    for route in ["POST /policy-set/apply", "POST /policy-set/check"] {
        let answer = rest.ask(&token, route, &[], text.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        let problem = answer.json();
        let errors = problem["errors"].as_array().expect("errors");
        let unknown = errors.iter().find(|error| error["code"] == "unknown-field").expect("the wrong field");
        assert_eq!((&unknown["line"], &unknown["column"]), (&json!(19), &json!(3)), "{problem}");
        assert_eq!(unknown["path"], "spec.efect");
        assert!(!unknown["message"].as_str().expect("text").is_empty());
    }
    let long = format!("object.key == \\\"{}\\\"", "x".repeat(2_048));
    for (condition, code) in [
        (long.as_str(), "cel-too-large"),
        ("object.tags.exists(a, object.tags.exists(b, a == b))", "cel-nested"),
        ("object.size > \\\"large\\\"", "cel-type"),
    ] {
        let over = document("deep", 1).replace("  effect", &format!("  when: \"{condition}\"\n  effect"));
        let answer = rest.ask(&token, "PUT /policies/deep", &[NEW], over).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
        let first = answer.json()["errors"][0].clone();
        assert_eq!((&first["code"], &first["line"]), (&json!(code), &json!(9)), "{first}");
    }
    let set = rest.ask(&token, "GET /policy-set", &[], "").await.json();
    assert_eq!((&set["revision"], &set["policies"]), (&json!(0), &json!([])), "{set}");
}

#[tokio::test]
async fn several_documents_are_one_revision_and_what_is_unchanged_makes_none() {
    let rest = Rest::start().await;
    let token = rest.token(Role::Editor).await;
    let text = document("a", 1) + "---\n" + &document("b", 1);
    let first = rest.ask(&token, "POST /policy-set/apply", &[], text.clone()).await.json();
    assert_eq!((&first["revision"], &first["changed"]), (&json!(1), &json!(["a", "b"])), "{first}");
    let same = rest.ask(&token, "POST /policy-set/apply", &[], text).await.json();
    assert_eq!((&same["revision"], &same["changed"], &same["unchanged"]), (&json!(1), &json!([]), &json!(["a", "b"])));
    let before = rest.ask(&token, "GET /policies/a", &[], "").await.json();
    let text = document("a", 2) + "---\n" + &document("c", 1);
    let pruned = rest.ask(&token, "POST /policy-set/apply?prune=true", &[], text).await.json();
    assert_eq!(pruned["revision"], 2);
    assert_eq!((&pruned["changed"], &pruned["deleted"]), (&json!(["a", "c"]), &json!(["b"])));
    let after = rest.ask(&token, "GET /policies/a", &[], "").await.json();
    assert_eq!(before["uid"], after["uid"], "an edit keeps the identity");
    let stale = format!("\"1@{}\"", pruned["lineage"].as_str().expect("a lineage"));
    let late = rest.ask(&token, "POST /policy-set/apply", &[("if-match", stale.as_str())], document("d", 1)).await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED, "{}", late.text);
}

#[tokio::test]
async fn a_rollback_publishes_the_old_content_as_a_new_revision() {
    let rest = Rest::start().await;
    let token = rest.token(Role::Editor).await;
    let text = document("a", 1) + "---\n" + &document("b", 1);
    rest.ask(&token, "POST /policy-set/apply", &[], text).await;
    let first = rest.ask(&token, "GET /policy-set", &[], "").await.json();
    rest.ask(&token, "POST /policy-set/apply?prune=true", &[], document("a", 2)).await;
    rest.ask(&token, "POST /policy-set/apply", &[], document("c", 2)).await;
    let back =
        rest.ask(&token, "POST /policy-set/rollback", &[JSON], json!({ "revision": 1 }).to_string()).await.json();
    assert_eq!(back["revision"], 4, "{back}");
    assert_eq!((&back["changed"], &back["deleted"]), (&json!(["a", "b"]), &json!(["c"])), "{back}");
    let now = rest.ask(&token, "GET /policy-set", &[], "").await.json();
    assert_eq!(now["policies"], first["policies"], "text and identity are those of revision 1");
    let history = rest.ask(&token, "GET /policy-set/revisions?limit=1", &[], "").await.json();
    assert_eq!((&history["revisions"][0]["restores"], &history["next"]), (&json!(1), &json!(4)), "{history}");
    let older = rest.ask(&token, "GET /policy-set/revisions?before=4", &[], "").await.json();
    assert_eq!(older["revisions"].as_array().map(Vec::len), Some(3));
    let diff = rest.ask(&token, "GET /policy-set/diff?from=1&to=3", &[], "").await.json();
    let names: Vec<_> = diff["policies"].as_array().expect("policies").iter().map(|p| p["name"].clone()).collect();
    assert_eq!(names, [json!("a"), json!("b"), json!("c")]);
    let beyond = rest.ask(&token, "POST /policy-set/rollback", &[JSON], json!({ "revision": 99 }).to_string()).await;
    assert_eq!(beyond.status, StatusCode::NOT_FOUND, "{}", beyond.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_editors_at_once_leave_no_gap_and_lose_nothing() {
    let rest = Rest::start().await;
    let mut editors = tokio::task::JoinSet::new();
    for editor in 0..16 {
        let policies = rest.app.policies.clone();
        editors.spawn(async move {
            let mut numbers = Vec::new();
            for round in 0..4_u32 {
                let name = format!("p{editor}-{round}");
                let published = policies
                    .put(&permit("editor"), &name, document(&name, round), Precondition::Absent(name.clone()))
                    .await
                    .expect("published");
                numbers.push(published.revision.number);
            }
            numbers
        });
    }
    let numbers: Vec<u64> = editors.join_all().await.into_iter().flatten().collect();
    let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
    assert_eq!(distinct, (1..=64).collect::<BTreeSet<u64>>());
    let stored: Vec<i64> = sqlx::query_scalar("select number from policy_revisions order by number")
        .fetch_all(&rest.db)
        .await
        .expect("revisions");
    assert_eq!(stored, (1..=64).collect::<Vec<i64>>());
    // Read from the database, not from this replica's copy.
    let other = Policies::new(rest.db.clone(), rest.app.services.feed.clone(), false);
    assert_eq!(other.current().await.expect("the head").items().len(), 64);
    for number in 1..=64 {
        assert_eq!(other.at(number).await.expect("a revision").items().len() as u64, number, "each added one");
    }
    let published: i64 = sqlx::query_scalar("select count(*) from audit where action = 'policy.changed'")
        .fetch_one(&rest.db)
        .await
        .expect("a count");
    assert_eq!(published, 64, "a record for each");
}

#[tokio::test]
async fn a_revision_cannot_be_changed_in_the_database() {
    let rest = Rest::start().await;
    rest.app.policies.apply(&permit("x"), document("a", 1), false, Precondition::Any).await.expect("published");
    for statement in ["update policy_revisions set created_by = 'me'", "delete from policy_revisions"] {
        let refused = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&rest.db).await.expect_err("refused");
        assert!(refused.to_string().contains("immutable"), "{refused}");
    }
}

#[tokio::test]
async fn explain_names_the_policy_and_the_reason() {
    let rest = Rest::start().await;
    let token = rest.token(Role::Editor).await;
    let text = document("payroll", 1).replace("  effect", "  when: object.key.startsWith(\"payroll/\")\n  effect");
    rest.ask(&token, "POST /policy-set/apply", &[], text).await;
    for (key, verdict, reason) in [("payroll/x", "encrypt", "matches"), ("other/x", "pass", "condition-false")] {
        let question = json!({ "bucket": "b", "object": { "key": key, "size": 1 } }).to_string();
        let answer = rest.ask(&token, "POST /policy-set/explain", &[], question).await.json();
        assert_eq!(answer["decision"]["verdict"], verdict, "{answer}");
        assert_eq!(answer["policies"][0]["reason"], reason, "{answer}");
    }
    let wrong = rest.ask(&token, "POST /policy-set/explain", &[], r#"{"bucket":"b","bogus":1}"#).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", wrong.text);
}

#[tokio::test]
async fn the_list_is_paged_by_name() {
    let rest = Rest::start().await;
    let token = rest.token(Role::Editor).await;
    let text: Vec<String> = (0..5).map(|n| document(&format!("p{n}"), n)).collect();
    rest.ask(&token, "POST /policy-set/apply", &[], text.join("---\n")).await;
    let (mut after, mut names) = (String::new(), Vec::new());
    loop {
        let page = rest.ask(&token, &format!("GET /policies?limit=2&after={after}"), &[], "").await.json();
        names.extend(page["policies"].as_array().expect("a page").iter().map(|p| p["name"].clone()));
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(names, [json!("p0"), json!("p1"), json!("p2"), json!("p3"), json!("p4")]);
}

#[tokio::test]
async fn edits_wait_while_central_is_behind_the_fleet_until_a_new_lineage_begins() {
    let rest = Rest::start().await;
    let token = rest.token(Role::Admin).await;
    rest.ask(&token, "POST /policy-set/apply", &[], document("a", 1)).await;
    // A gateway says that it holds revision 7, of which this Central knows nothing.
    let lineage = rest.app.policies.current().await.expect("the head").revision().lineage;
    let gateway = uuid::Uuid::new_v4();
    sqlx::query("insert into gateways (id, name, state) values ($1, 'gateway-1', 'active')")
        .bind(gateway)
        .execute(&rest.db)
        .await
        .expect("a gateway");
    sqlx::query("insert into gateways_ahead (gateway_id, lineage, number, digest) values ($1, $2, 7, $3)")
        .bind(gateway)
        .bind(lineage.0)
        .bind([0_u8; 32].as_slice())
        .execute(&rest.db)
        .await
        .expect("ahead");
    let blocked = rest.ask(&token, "POST /policy-set/apply", &[], document("b", 1)).await;
    assert_eq!(blocked.status, StatusCode::CONFLICT, "{}", blocked.text);
    assert_eq!(blocked.json()["code"], "behind-the-fleet");
    let set = rest.ask(&token, "GET /policy-set", &[], "").await.json();
    assert_eq!(set["revision"], 1, "nothing was changed");

    let wrong = json!({ "instead_of": uuid::Uuid::nil() }).to_string();
    assert_eq!(rest.ask(&token, "POST /policy-set/lineage", &[JSON], wrong).await.status.as_u16(), 412);
    let confirmed = json!({ "instead_of": lineage }).to_string();
    let begun = rest.ask(&token, "POST /policy-set/lineage", &[JSON], confirmed).await;
    assert_eq!(begun.status, StatusCode::OK, "{}", begun.text);
    let now = rest.ask(&token, "GET /policy-set", &[], "").await.json();
    assert_ne!(now["lineage"], set["lineage"]);
    assert_eq!((&now["revision"], &now["policies"]), (&json!(1), &set["policies"]));
    let edit = rest.ask(&token, "POST /policy-set/apply", &[], document("b", 1)).await;
    assert_eq!((edit.status, edit.json()["revision"].clone()), (StatusCode::OK, json!(2)), "{}", edit.text);
    assert_eq!(rest.ask(&token, "GET /policies/a", &[], "").await.json()["changed_in"], 1);
}

#[tokio::test]
async fn the_list_has_the_hits_that_the_figures_have_and_can_be_narrowed() {
    let rest = Rest::start().await;
    let token = rest.token(Role::Editor).await;
    for name in ["payroll", "photos"] {
        let made = rest.ask(&token, &format!("PUT /policies/{name}"), &[NEW], document(name, 1)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    }
    let watching = document("watching", 1).replace("enforce", "audit");
    rest.ask(&token, "PUT /policies/watching", &[NEW], watching).await;
    let central = crate::rpc::testing::Central::over(rest.app.services.clone()).await;
    for (gateway, objects) in [("one", 5), ("other", 7)] {
        let mut told = crate::rpc::testing::report(uuid::Uuid::new_v4(), 1, objects, 10);
        let mut denied = crate::rpc::testing::count("other-bucket", "payroll", objects * 2, 0);
        denied.outcome = ids::Outcome::Denied;
        told.objects.push(denied);
        central.gateway(gateway).await.report(&told).await.expect("merged");
    }
    let list = rest.ask(&token, "GET /policies", &[], "").await.json();
    assert_eq!(list["total"], 3);
    let hits = json!({ "encrypted": 12, "would_encrypt": 0, "denied": 24, "would_deny": 0, "error": 0 });
    assert_eq!(list["policies"][0]["hits"], hits, "of both gateways: {list}");
    assert_eq!(list["policies"][1]["hits"]["encrypted"], 0);
    for (query, names) in
        [("q=o", vec!["payroll", "photos"]), ("mode=audit", vec!["watching"]), ("q=pay&mode=audit", vec![])]
    {
        let list = rest.ask(&token, &format!("GET /policies?{query}"), &[], "").await.json();
        let found: Vec<_> =
            list["policies"].as_array().expect("rows").iter().map(|line| line["name"].clone()).collect();
        assert_eq!(
            (found, list["total"].clone()),
            (names.iter().map(|name| json!(name)).collect(), json!(names.len()))
        );
    }
    central.stop().await;
}

#[tokio::test]
async fn a_draft_is_explained_as_if_it_were_published_and_is_not() {
    let rest = Rest::start().await;
    let token = rest.token(Role::Operator).await;
    let editor = rest.token(Role::Editor).await;
    rest.ask(&editor, "PUT /policies/payroll", &[NEW], document("payroll", 1)).await;
    let request = json!({ "bucket": "hr", "object": { "key": "a", "size": 1 } });
    let ask = async |draft: String| {
        let body = json!({ "draft": draft, "request": request }).to_string();
        rest.ask(&token, "POST /policy-set/explain-draft", &[JSON], body).await
    };
    let disabled = document("payroll", 1).replace("enforce", "disabled");
    let replaced = ask(disabled).await;
    assert_eq!(replaced.status, StatusCode::OK, "{}", replaced.text);
    assert_eq!(replaced.json()["decision"]["verdict"], "pass", "the draft stands in for the saved one");
    let added = ask(document("stronger", 9)).await.json();
    assert_eq!(added["policies"].as_array().expect("both").len(), 2);
    assert_eq!(added["decision"]["policy"]["name"], "stronger");
    let wrong = ask("apiVersion: sealgate.dev/v1\nkind: Nonsense\n".to_owned()).await;
    assert_eq!(
        (wrong.status, wrong.json()["code"].clone()),
        (StatusCode::UNPROCESSABLE_ENTITY, json!("invalid-policy"))
    );
    assert!(wrong.json()["errors"][0]["line"].as_u64().expect("a line") >= 1);
    let list = rest.ask(&token, "GET /policies", &[], "").await.json();
    assert_eq!((list["revision"].clone(), list["total"].clone()), (json!(1), json!(1)), "nothing was stored");
}
