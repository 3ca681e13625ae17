//! The dashboard, policies as they were received, the log, and the hints that something changed.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::TOKEN;
use super::objects::{json_of, with_buckets};
use crate::state::now_ms;

#[tokio::test]
async fn the_dashboard_says_what_was_done_and_agrees_with_the_counts() {
    let bench = with_buckets().await;
    bench.upload("/api/v1/buckets/vault/object?key=k", &[], b"12345").await;
    bench.upload("/api/v1/buckets/files/object?key=k", &[], b"123").await;
    let (status, overview) = bench.call(Method::GET, "/overview", None).await;
    assert_eq!(status, StatusCode::OK, "{overview}");
    for sums in ["all_time", "since_start"] {
        let sums = &overview[sums];
        assert_eq!((&sums["objects_encrypted"], &sums["bytes_encrypted"]), (&json!(1), &json!(5)), "{overview}");
        assert_eq!((&sums["objects_plain"], &sums["bytes_in"]), (&json!(1), &json!(8)));
    }
    assert_eq!(overview["buckets"], json!({ "total": 2, "encrypting": 1 }));
    assert_eq!((&overview["kms"]["active"], &overview["kms"]["healthy"]), (&json!("main"), &json!(1)));
    assert_eq!(overview["troubles"], json!([]));
    assert_eq!(overview["outcomes"].as_array().unwrap().len(), 2, "{overview}");

    bench.admin.recent.take(bench.admin.front.stats.totals(), now_ms());
    bench.admin.recent.take(bench.admin.front.stats.totals(), now_ms());
    let (status, series) = bench.call(Method::GET, "/series?minutes=5", None).await;
    assert_eq!((status, &series["step_s"]), (StatusCode::OK, &json!(10)));
    let points = series["points"].as_array().unwrap();
    assert_eq!((&points[0]["bytes_in"], &points[1]["bytes_in"]), (&json!(8), &json!(0)), "{series}");
    let (status, long) = bench.call(Method::GET, "/series?minutes=2880", None).await;
    assert_eq!(
        (status, &long["step_s"], &long["points"]),
        (StatusCode::OK, &json!(300), &json!([])),
        "none is over yet"
    );
    assert!(long["begun"].as_str().is_some_and(|begun| begun.ends_with('Z')), "{long}");
    for wrong in ["0", "2881"] {
        let path = format!("/series?minutes={wrong}");
        assert_eq!(bench.call(Method::GET, &path, None).await.1["code"], json!("invalid"), "{wrong}");
    }
}

#[tokio::test]
async fn every_backend_is_shown_with_whether_it_answers() {
    let bench = with_buckets().await;
    bench.upload("/api/v1/buckets/files/object?key=k", &[], b"123").await;
    let (status, shown) = bench.call(Method::GET, "/backends", None).await;
    assert_eq!(status, StatusCode::OK);
    let disk = &shown["backends"][0];
    assert_eq!((&disk["name"], &disk["kind"], &disk["home"]), (&json!("disk"), &json!("directory"), &json!(true)));
    assert_eq!(
        (&disk["reachable"], &disk["buckets"], &disk["errors"]),
        (&json!(true), &json!(2), &json!(0)),
        "{shown}"
    );
    assert!(disk["requests"].as_u64() > Some(0), "{shown}");
    assert_eq!((&disk["region"], disk["answered_ms"].is_u64()), (&Value::Null, true), "{shown}");
}

#[tokio::test]
async fn a_policy_is_shown_with_whether_it_applies_here_and_what_it_did() {
    let bench = with_buckets().await;
    bench.apply("buckets: [files], effect: encrypt");
    bench.upload("/api/v1/buckets/files/object?key=k", &[], b"123").await;
    let shown = bench.call(Method::GET, "/policies", None).await.1;
    let rule = &shown["policies"][0];
    assert_eq!(
        (&rule["name"], &rule["applies_here"], &rule["not_because"]),
        (&json!("rule"), &json!(true), &Value::Null)
    );
    let hits = json!({ "encrypted": 1, "would_encrypt": 0, "denied": 0, "would_deny": 0, "error": 0 });
    assert_eq!(rule["hits"], hits);
    let bucket = |status: &Value| (status["effective"] == true, status["encrypting"] == true);
    assert_eq!(bucket(&bench.call(Method::GET, "/buckets/files", None).await.1), (true, true));
    let bench = with_buckets().await;
    bench.apply("buckets: [files], when: 'object.size > 3', effect: encrypt");
    let part = bench.call(Method::GET, "/buckets/files", None).await.1;
    assert_eq!(bucket(&part), (true, false), "it asks for a part of the bucket: {part}");
    for (spec, why) in
        [("gateways: {site: [elsewhere]}, effect: encrypt", "labels"), ("mode: disabled, effect: encrypt", "disabled")]
    {
        let bench = super::bench().await;
        bench.apply(spec);
        let shown = bench.call(Method::GET, "/policies", None).await.1;
        let rule = &shown["policies"][0];
        assert_eq!((&rule["applies_here"], &rule["not_because"]), (&json!(false), &json!(why)), "{shown}");
    }
}

#[tokio::test]
async fn the_log_tells_what_was_done_and_no_secret() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let bench = with_buckets().await;
    let subscriber = tracing_subscriber::registry().with(bench.admin.log.clone());
    let _kept = tracing::subscriber::set_default(subscriber);
    let made = bench.call(Method::POST, "/credentials", Some(json!({ "name": "app", "grants": [] }))).await.1;
    let token = bench.call(Method::POST, "/tokens", Some(json!({ "name": "ci" }))).await.1;
    let cookie = bench.cookie().await;
    let kms = json!({ "id": "next", "provider": "rsa", "pem": super::pem() });
    bench.call(Method::POST, "/kms", Some(kms)).await;
    bench
        .upload("/api/v1/buckets/vault/object?key=secret-name", &[("x-amz-meta-a", "secret-value")], b"secret-body")
        .await;
    bench.send(Method::GET, "/api/v1/info", Some("wrong-secret"), None).await;
    let (status, log) = bench.call(Method::GET, "/log?limit=1000", None).await;
    assert_eq!(status, StatusCode::OK);
    let text = log.to_string();
    for told in ["credential is made", "log-in succeeds", "KMS is added", "request is answered", "first start"] {
        assert!(text.contains(told), "{told} is not in {text}");
    }
    let secrets = [
        made["secret_key"].as_str().unwrap(),
        token["token"].as_str().unwrap(),
        cookie.split_once('=').unwrap().1,
        TOKEN,
        "secret-name",
        "secret-value",
        "secret-body",
        "wrong-secret",
        "PRIVATE",
        "secret-of-admin",
    ];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let last = log["last"].as_u64().unwrap();
    let none = bench.call(Method::GET, &format!("/log?after={last}"), None).await.1;
    assert_eq!(none["lines"], json!([]));
    let grave = bench.call(Method::GET, "/log?level=error", None).await.1;
    assert_eq!(grave["lines"], json!([]));
    assert_eq!(bench.call(Method::GET, "/log?limit=0", None).await.1["code"], json!("invalid"));
}

/// Reads events until one of this topic comes; none: the stream ended.
async fn topic(body: &mut Body, wanted: &str) -> Option<String> {
    let wait = async {
        loop {
            let frame = body.frame().await?.unwrap();
            let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
            if text.contains(&format!("event: {wanted}\n")) {
                return Some(text);
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), wait).await.expect("in time")
}

#[tokio::test]
async fn events_tell_of_every_topic_at_once_then_of_changes_and_end_with_the_session() {
    let bench = with_buckets().await;
    let cookie = bench.cookie().await;
    let watch = async |cookie: &str| {
        let request =
            Request::get("/api/v1/events").header(header::HOST, "127.0.0.1:9001").header(header::COOKIE, cookie);
        bench.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    };
    let answer = watch(&cookie).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    for first in ["group", "policies", "central", "statistics", "log"] {
        let text = topic(&mut body, first).await.expect("comes at once");
        assert!(text.contains("retry: 2000\n"), "{text}");
    }
    bench.call(Method::PUT, "/buckets/files/encryption", Some(json!({ "encrypt": true }))).await;
    let revision = bench.admin.group.document().revision;
    let told = topic(&mut body, "group").await.expect("comes");
    assert!(told.contains(&format!("data: {{\"revision\":{revision}}}")), "{told}");
    let out = Request::delete("/api/v1/session")
        .header(header::HOST, "127.0.0.1:9001")
        .header(header::COOKIE, &cookie)
        .header("x-sealgate-request", "1");
    let out = bench.router.clone().oneshot(out.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert_eq!(topic(&mut body, "none").await, None, "the stream ends");
    assert_eq!(json_of(watch(&cookie).await).await.0, StatusCode::UNAUTHORIZED);
    // And with the gateway.
    let mut body = watch(&bench.cookie().await).await.into_body();
    topic(&mut body, "group").await.expect("comes");
    bench.admin.transfers.stop().cancel();
    assert_eq!(topic(&mut body, "none").await, None, "the stream ends");
}
