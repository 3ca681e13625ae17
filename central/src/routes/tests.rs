use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::testing::{PASSWORD, Rest, permit};
use crate::caller::Role;
use crate::operators;

/// Who may what, route by route: a route that is not here fails, and so does one that is here and not served.
const RIGHTS: &[(&str, &[Role])] = &[
    ("POST /session", EVERYBODY),
    ("GET /session", ALL),
    ("DELETE /session", ALL),
    ("POST /session/password", ALL),
    ("GET /notifications", ALL),
    ("GET /events", ALL),
    ("GET /settings", ADMINS),
    ("GET /overview", ALL),
    ("GET /stats/series", ALL),
    ("GET /stats", READERS),
    ("GET /stats/kms", READERS),
    ("GET /convergence", READERS),
    ("GET /inventories", READERS),
    ("GET /coverage", READERS),
    ("GET /gateways", ALL),
    ("GET /gateways/{name}", READERS),
    ("GET /gateways/{name}/events", READERS),
    ("GET /gateways/{name}/figures", READERS),
    ("PUT /gateways/{name}/labels", KEEPERS),
    ("POST /gateways/{name}/suspend", KEEPERS),
    ("POST /gateways/{name}/resume", KEEPERS),
    ("POST /gateways/{name}/retire", KEEPERS),
    ("POST /gateways/{name}/release", KEEPERS),
    ("GET /enrolment-tokens", KEEPERS),
    ("POST /enrolment-tokens", KEEPERS),
    ("DELETE /enrolment-tokens/{id}", KEEPERS),
    ("GET /policies", READERS),
    ("GET /policies/{name}", READERS),
    ("PUT /policies/{name}", EDITORS),
    ("DELETE /policies/{name}", EDITORS),
    ("GET /policy-set", READERS),
    ("POST /policy-set/apply", EDITORS),
    ("POST /policy-set/rollback", EDITORS),
    ("POST /policy-set/lineage", ADMINS),
    ("POST /policy-set/check", READERS),
    ("POST /policy-set/explain", READERS),
    ("POST /policy-set/explain-draft", READERS),
    ("GET /policy-set/revisions", READERS),
    ("GET /policy-set/revisions/{number}", READERS),
    ("GET /policy-set/diff", READERS),
    ("GET /policy-set/schema", READERS),
    ("GET /audit", AUDITORS),
    ("GET /audit/export", AUDITORS),
    ("GET /operators", ADMINS),
    ("POST /operators", ADMINS),
    ("PATCH /operators/{name}", ADMINS),
    ("GET /tokens", ADMINS),
    ("POST /tokens", ADMINS),
    ("DELETE /tokens/{name}", ADMINS),
];

/// Without any caller too.
const EVERYBODY: &[Role] = &[];
const ALL: &[Role] = &Role::ALL;
const READERS: &[Role] = &[Role::Operator, Role::Editor, Role::Approver, Role::Admin];
const KEEPERS: &[Role] = &[Role::Operator, Role::Admin];
const EDITORS: &[Role] = &[Role::Editor, Role::Admin];
const AUDITORS: &[Role] = &[Role::Approver, Role::Admin];
const ADMINS: &[Role] = &[Role::Admin];

const JSON: (&str, &str) = ("content-type", "application/json");

/// Every route of the document, as `METHOD /path` with parameters filled in.
async fn routes(rest: &Rest) -> BTreeSet<String> {
    let document = rest.ask("", "GET /openapi.json", &[], "").await.json();
    let mut routes = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            let path = path.strip_prefix(super::BASE).expect("below the base");
            routes.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    assert!(routes.len() > 30, "the document is not whole: {routes:?}");
    routes
}

fn filled(route: &str) -> String {
    route.replace("{number}", "1").replace("{id}", "00000000-0000-0000-0000-000000000000").replace("{name}", "nobody")
}

#[tokio::test]
async fn every_route_is_for_its_roles_and_for_nobody_else() {
    let rest = Rest::start().await;
    let served = routes(&rest).await;
    let listed: BTreeSet<String> = RIGHTS.iter().map(|(route, _)| (*route).to_owned()).collect();
    assert_eq!(served, listed, "each route has its line in the table of rights");
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((role, rest.token(role).await));
    }
    for (route, roles) in RIGHTS {
        let nobody = rest.ask("", &filled(route), &[JSON], "{}").await;
        if roles.is_empty() {
            assert_eq!(nobody.status, StatusCode::BAD_REQUEST, "{route}: {}", nobody.text);
            continue;
        }
        let forged = rest.ask("sgc_forged", &filled(route), &[JSON], "{}").await;
        assert_eq!(nobody.status, StatusCode::UNAUTHORIZED, "{route}: {}", nobody.text);
        assert_eq!(forged.status, StatusCode::UNAUTHORIZED, "{route}: {}", forged.text);
        for (role, token) in &tokens {
            let answer = rest.ask(token, &filled(route), &[JSON], "{}").await;
            let allowed = answer.status != StatusCode::FORBIDDEN;
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{role:?} {route}");
            assert_eq!(allowed, roles.contains(role), "{role:?} {route}: {} {}", answer.status, answer.text);
        }
    }
}

#[tokio::test]
async fn a_session_says_what_it_may_and_when_it_ends() {
    let rest = Rest::start().await;
    let viewer = rest.token(Role::Viewer).await;
    let who = rest.ask(&viewer, "GET /session", &[], "").await.json();
    assert_eq!(who["permissions"], json!(["read-overview"]));
    assert!(who.get("expires_at").is_none(), "{who}");
    let cookie = cookie(&rest).await;
    let who = rest.ask("", "GET /session", &[("cookie", &cookie)], "").await.json();
    assert_eq!(who["permissions"].as_array().expect("a list").len(), 8, "{who}");
    assert!(who["expires_at"].as_str().is_some_and(|at| at.contains('T')), "{who}");
}

#[tokio::test]
async fn the_checked_in_document_is_the_one_that_is_served() {
    let rest = Rest::start().await;
    let served = rest.ask("", "GET /openapi.json", &[], "").await.json();
    assert!(served["openapi"].as_str().expect("a version").starts_with("3.1"));
    let served = serde_json::to_string_pretty(&served).expect("JSON") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboards/console/openapi/central.json");
    if std::env::var_os("SEALGATE_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &served).expect("written");
    }
    let kept = std::fs::read_to_string(path).expect("a checked-in document");
    assert!(kept == served, "{path} is not what is served: `make openapi`, then commit it");
}

#[tokio::test]
async fn every_refusal_is_a_problem_with_a_code() {
    let rest = Rest::start().await;
    let admin = rest.token(Role::Admin).await;
    let large = "x".repeat(super::BODY_BYTES + 1);
    let cases: [(&str, &str, StatusCode, &str); 7] = [
        ("POST /tokens", r#"{"name":"a","role":"viewer","bogus":1}"#, StatusCode::BAD_REQUEST, "invalid"),
        ("POST /tokens", r#"{"name":"a","role":"king"}"#, StatusCode::BAD_REQUEST, "invalid"),
        ("GET /policies?bogus=1", "", StatusCode::BAD_REQUEST, "invalid"),
        ("PATCH /policies", "", StatusCode::METHOD_NOT_ALLOWED, "wrong-method"),
        ("GET /nowhere", "", StatusCode::NOT_FOUND, "not-found"),
        ("GET /policies/nobody", "", StatusCode::NOT_FOUND, "not-found"),
        ("POST /policy-set/apply", &large, StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
    ];
    for (route, body, status, code) in cases {
        let answer = rest.ask(&admin, route, &[JSON], body.to_owned()).await;
        assert_eq!(answer.status, status, "{route}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{route}");
        let problem = answer.json();
        assert_eq!(problem["code"], code, "{route}");
        assert_eq!(problem["status"], status.as_u16(), "{route}");
        assert!(!problem["detail"].as_str().expect("a detail").is_empty(), "{route}");
    }
}

#[tokio::test]
async fn a_refusal_of_a_form_names_the_field() {
    let rest = Rest::start().await;
    let admin = rest.token(Role::Admin).await;
    assert_eq!(
        rest.ask(&admin, "POST /tokens", &[JSON], r#"{"name":"ci","role":"viewer"}"#).await.status,
        StatusCode::CREATED
    );
    let operators = "POST /operators";
    let tokens = "POST /tokens";
    let enrolment = "POST /enrolment-tokens";
    let cases: [(&str, &str, &str); 9] = [
        (operators, r#"{"name":"ann","password":"short","role":"viewer"}"#, "password"),
        (operators, r#"{"name":"Not A Name","password":"long enough for it","role":"viewer"}"#, "name"),
        (operators, r#"{"name":"admin","password":"long enough for it","role":"viewer"}"#, "name"),
        ("PATCH /operators/admin", r#"{"password":"short"}"#, "password"),
        (tokens, r#"{"name":"ci","role":"viewer"}"#, "name"),
        (tokens, r#"{"name":"ci2","role":"viewer","ttl_seconds":99999999}"#, "ttl_seconds"),
        (enrolment, r#"{"name":"Not A Name","labels":{}}"#, "name"),
        (enrolment, r#"{"name":"gateway-1","labels":{"a b":"c"}}"#, "labels"),
        (enrolment, r#"{"name":"gateway-1","labels":{},"ttl_seconds":99999999}"#, "ttl_seconds"),
    ];
    for (route, body, field) in cases {
        let problem = rest.ask(&admin, route, &[JSON], body).await.json();
        assert_eq!(problem["errors"][0]["path"], field, "{route} {body}: {problem}");
        assert_eq!(problem["errors"][0]["message"], problem["detail"], "{route} {body}: {problem}");
    }
}

async fn cookie(rest: &Rest) -> String {
    let body = json!({ "name": "admin", "password": PASSWORD }).to_string();
    let answer = rest.ask("", "POST /session", &[JSON], body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    cookie.split(';').next().expect("a cookie").to_owned()
}

#[tokio::test]
async fn a_page_of_another_site_cannot_use_the_cookie() {
    let rest = Rest::start().await;
    let cookie = cookie(&rest).await;
    let own = ("x-sealgate-request", "1");
    let (cookie, host) = (("cookie", cookie.as_str()), ("host", "central.example"));
    let create = || json!({ "name": uuid::Uuid::new_v4().to_string(), "role": "viewer" }).to_string();
    let forbidden = [
        vec![cookie, host, JSON],
        vec![cookie, host, JSON, own, ("origin", "https://evil.example")],
        vec![cookie, host, JSON, own, ("origin", "null")],
    ];
    for headers in forbidden {
        let answer = rest.ask("", "POST /tokens", &headers, create()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}: {}", answer.text);
        assert_eq!(answer.json()["code"], "cross-site");
    }
    for headers in [vec![cookie, host, JSON, own], vec![cookie, host, JSON, own, ("origin", "https://central.example")]]
    {
        let answer = rest.ask("", "POST /tokens", &headers, create()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{headers:?}: {}", answer.text);
    }
    let body = json!({ "name": "admin", "password": PASSWORD }).to_string();
    let foreign = rest.ask("", "POST /session", &[JSON, host, ("origin", "https://evil.example")], body).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN, "a foreign page cannot log somebody in");
}

/// Every route that changes something, as the document has them: one that is new is among them.
#[tokio::test]
async fn no_route_that_changes_something_takes_the_cookie_from_a_page_of_another_site() {
    let rest = Rest::start().await;
    let cookie = cookie(&rest).await;
    let unsafe_routes: Vec<_> = routes(&rest)
        .await
        .into_iter()
        .filter(|route| !route.starts_with("GET ") && route != "POST /session")
        .collect();
    assert!(unsafe_routes.len() > 15, "{unsafe_routes:?}");
    let (cookie, host, own) = (("cookie", cookie.as_str()), ("host", "central.example"), ("x-sealgate-request", "1"));
    let foreign = [
        vec![cookie, host, JSON],
        vec![cookie, host, JSON, ("origin", "https://central.example")],
        vec![cookie, host, JSON, own, ("origin", "https://evil.example")],
        vec![cookie, host, JSON, own, ("origin", "null")],
    ];
    for route in &unsafe_routes {
        for headers in &foreign {
            let answer = rest.ask("", &filled(route), headers, "{}").await;
            let told = format!("{route} {headers:?}: {}", answer.text);
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{told}");
            assert_eq!(answer.json()["code"], "cross-site", "{told}");
        }
    }
    // With its own header the page of this site comes through, each time; the log-out comes last.
    let (out, others): (Vec<_>, Vec<_>) = unsafe_routes.iter().partition(|route| *route == "DELETE /session");
    for route in others.into_iter().chain(out) {
        let headers = [cookie, host, JSON, own, ("origin", "https://central.example")];
        let answer = rest.ask("", &filled(route), &headers, "{}").await;
        assert!(!answer.text.contains("cross-site"), "{route}: {}", answer.text);
        assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{route}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_list_that_is_cut_off_says_so() {
    let rest = Rest::start().await;
    let admin = rest.token(Role::Admin).await;
    let policy = "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: { name: p }\nspec: { effect: deny }\n";
    let made = rest.ask(&admin, "POST /policy-set/apply", &[], policy).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text);
    for statement in [
        "insert into gateways (id, name, state) values (gen_random_uuid(), 'gw', 'active')",
        "insert into report_series (gateway_id, series) select id, gen_random_uuid() from gateways",
    ] {
        sqlx::query(statement).execute(&rest.db).await.expect("begun");
    }
    // One row more than is listed, of each; `$1` of them.
    let lists: [(&str, &str, &str, i32, &str); 6] = [
        (
            "GET /operators",
            "operators",
            "",
            10_000,
            "insert into operators (id, name, role, password_hash)
          select gen_random_uuid(), 'o' || n, 'viewer', '' from generate_series(1, $1) n",
        ),
        (
            "GET /tokens",
            "tokens",
            "",
            10_000,
            "insert into api_tokens (id, name, role, token_hash, created_by)
          select gen_random_uuid(), 't' || n, 'viewer', sha256(n::text::bytea), 'x' from generate_series(1, $1) n",
        ),
        (
            "GET /enrolment-tokens",
            "tokens",
            "",
            1_000,
            "insert into enrolment_tokens (id, secret_hash, created_by, expires_at)
          select gen_random_uuid(), sha256(n::text::bytea), 'x', now() from generate_series(1, $1) n",
        ),
        (
            "GET /inventories",
            "inventories",
            "",
            1_000,
            "insert into inventories (storage_id, gateway_id, taken_at, content)
          select gen_random_uuid(), g.id, now(), '{}' from gateways g, generate_series(1, $1) n",
        ),
        (
            "GET /gateways/gw/figures",
            "objects",
            "",
            10_000,
            "insert into object_totals (gateway_id, series, bucket, policy, outcome, direction, objects, bytes)
          select gateway_id, series, 'b' || n, '', 'plain', 'in', 1, 1 from report_series, generate_series(1, $1) n",
        ),
        // The first change is that of the edit.
        (
            "GET /policy-set/revisions",
            "changes",
            "/revisions/0",
            10_000,
            "insert into policy_changes (lineage, number, name, uid, change)
          select lineage, number, 'n' || n, gen_random_uuid(), 'added' from policy_head, generate_series(1, $1) n",
        ),
    ];
    for (route, list, within, most, fill) in lists {
        let ask = async || {
            let answer = rest.ask(&admin, route, &[], "").await.json();
            let of = answer.pointer(within).cloned().unwrap_or_else(|| panic!("{route}: {answer}"));
            (of[list].as_array().map(Vec::len), of["truncated"].clone())
        };
        let (before, truncated) = ask().await;
        let before = i32::try_from(before.expect("a list")).expect("few");
        assert_eq!(truncated, json!(false), "{route}");
        sqlx::query(fill).bind(most - before).execute(&rest.db).await.expect("filled");
        let whole = usize::try_from(most).ok();
        assert_eq!(ask().await, (whole, json!(false)), "{route}: as many as are listed");
        // One more.
        let another = fill.replace("generate_series(1, $1)", "generate_series($1, $1)");
        sqlx::query(sqlx::AssertSqlSafe(another)).bind(most + 1).execute(&rest.db).await.expect("filled");
        assert_eq!(ask().await, (whole, json!(true)), "{route}: one more");
    }
}

#[tokio::test]
async fn a_session_ends_with_the_log_out() {
    let rest = Rest::start().await;
    let cookie = cookie(&rest).await;
    let headers = [("cookie", cookie.as_str()), ("x-sealgate-request", "1")];
    let who = rest.ask("", "GET /session", &headers, "").await;
    assert_eq!(who.json()["via"], "session");
    assert_eq!(rest.ask("", "DELETE /session", &headers, "").await.status, StatusCode::NO_CONTENT);
    let over = rest.ask("", "GET /session", &headers, "").await;
    assert_eq!((over.status, over.json()["code"].clone()), (StatusCode::UNAUTHORIZED, json!("session-over")));
}

#[tokio::test]
async fn a_create_sent_twice_is_done_once_and_answered_alike() {
    let rest = Rest::start().await;
    let admin = rest.token(Role::Admin).await;
    let headers = [JSON, ("idempotency-key", "once-1")];
    let body = json!({ "name": "ci", "role": "editor" }).to_string();
    let first = rest.ask(&admin, "POST /tokens", &headers, body.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let again = rest.ask(&admin, "POST /tokens", &headers, body.clone()).await;
    assert_eq!((again.status, again.text), (first.status, first.text.clone()));

    let other = json!({ "name": "ci2", "role": "editor" }).to_string();
    let reused = rest.ask(&admin, "POST /tokens", &headers, other.clone()).await;
    assert_eq!((reused.status, reused.json()["code"].clone()), (StatusCode::CONFLICT, json!("key-reused")));

    // Keys of different callers never meet.
    let second = rest.token(Role::Admin).await;
    assert_eq!(rest.ask(&second, "POST /tokens", &headers, other).await.status, StatusCode::CREATED);

    // A refused create may be tried again with the same key.
    let headers = [JSON, ("idempotency-key", "once-2")];
    for _ in 0..2 {
        let taken = rest.ask(&admin, "POST /tokens", &headers, body.clone()).await;
        assert_eq!(taken.json()["code"], "name-taken", "{}", taken.text);
    }
    let secret = first.json()["token"].as_str().expect("a token").to_owned();
    let kept: Vec<Vec<u8>> =
        sqlx::query_scalar("select body from idempotency_keys").fetch_all(&rest.db).await.expect("rows");
    assert!(!kept.is_empty());
    assert!(kept.iter().all(|body| !body.windows(16).any(|part| secret.as_bytes()[4..20] == *part)), "kept in clear");
}

#[tokio::test]
async fn what_is_refused_is_counted_in_one_checkpoint() {
    let rest = Rest::start().await;
    let viewer = rest.token(Role::Viewer).await;
    for _ in 0..50 {
        rest.ask(&viewer, "GET /audit", &[], "").await;
        rest.ask("", "GET /audit", &[], "").await;
    }
    let (before, _) = crate::audit::head(&rest.db).await.expect("a head");
    rest.app.denials.checkpoint(&rest.db).await.expect("a checkpoint");
    let records = crate::audit::export_page(&rest.db, before, 10).await.expect("records");
    assert_eq!(records.len(), 1, "{records:?}");
    let detail: Value = serde_json::from_str(&records[0].detail).expect("JSON");
    let counts: Vec<_> = detail["attempts"].as_array().expect("attempts").iter().map(|a| a["count"].clone()).collect();
    assert_eq!(counts, [json!(50), json!(50)], "{detail}");
    rest.app.denials.checkpoint(&rest.db).await.expect("nothing to do");
    assert_eq!(crate::audit::head(&rest.db).await.expect("a head").0, before + 1, "no record for nothing");
}

#[tokio::test]
async fn the_page_allows_no_script_and_health_needs_nobody() {
    let rest = Rest::start().await;
    let page = rest.send(axum::http::Request::get("/").body("".into()).expect("legal")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    for path in ["/healthz", "/readyz", "/api/v1/healthz", "/api/v1/readyz"] {
        let health = rest.send(axum::http::Request::get(path).body("".into()).expect("legal")).await;
        assert_eq!(health.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_revoked_token_holds_no_longer() {
    let rest = Rest::start().await;
    let (token, text) =
        operators::create_token(&rest.db, &permit("x"), "leaked", Role::Admin, None).await.expect("made");
    assert_eq!(rest.ask(&text, "GET /session", &[], "").await.json()["name"], "leaked");
    let gone = rest.ask(&text, &format!("DELETE /tokens/{}", token.name), &[], "").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(rest.ask(&text, "GET /session", &[], "").await.status, StatusCode::UNAUTHORIZED);
}
