//! Who is let in, from where; every route, as a table.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Bench, TOKEN, bench};

const HOST: &str = "127.0.0.1:9001";

/// Routes of the document that anybody may call.
const OPEN: &[(Method, &str)] = &[(Method::POST, "/api/v1/session")];

impl Bench {
    /// Sends a request with these headers besides `Host`.
    async fn browse(&self, method: &Method, path: &str, headers: &[(&str, &str)], body: Body) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, HOST);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap()
    }

    async fn log_in(&self, token: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let headers = [headers, &[("content-type", "application/json")]].concat();
        let body = Body::from(json!({ "token": token }).to_string());
        self.browse(&Method::POST, "/api/v1/session", &headers, body).await
    }

    /// The cookie of a new session, as a browser sends it.
    pub(super) async fn cookie(&self) -> String {
        let answer = self.log_in(TOKEN, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// Every method and path of the document, with something in place of each parameter.
    fn routes(&self) -> Vec<(Method, String)> {
        let mut routes = Vec::new();
        for (template, item) in &self.document.paths.paths {
            let mut path = template.clone();
            for (parameter, value) in [("{id}", "x"), ("{name}", "xyz"), ("{access_key}", "x"), ("{number}", "1")] {
                path = path.replace(parameter, value);
            }
            assert!(!path.contains('{'), "{template} has a parameter that the sweep does not know");
            for (method, there) in [
                (Method::GET, item.get.is_some()),
                (Method::HEAD, item.head.is_some()),
                (Method::POST, item.post.is_some()),
                (Method::PUT, item.put.is_some()),
                (Method::PATCH, item.patch.is_some()),
                (Method::DELETE, item.delete.is_some()),
            ] {
                if there {
                    routes.push((method, path.clone()));
                }
            }
        }
        routes
    }
}

async fn problem(answer: Response<Body>) -> (StatusCode, String) {
    let status = answer.status();
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let problem: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn every_route_lets_in_who_has_a_token_or_a_session_and_nobody_else() {
    let bench = bench().await;
    let unauthorized = (StatusCode::UNAUTHORIZED, "unauthorized".to_owned());
    let mut swept = 0;
    for (method, path) in bench.routes() {
        if OPEN.contains(&(method.clone(), path.as_str())) {
            continue;
        }
        swept += 1;
        let what = format!("{method} {path}");
        assert_eq!(problem(bench.browse(&method, &path, &[], Body::empty()).await).await, unauthorized, "{what}");
        for wrong in ["Bearer", "Bearer ", "Bearer wrong", &format!("Bearer {}", &TOKEN[1..]), "Basic YTpi"] {
            let answer = bench.browse(&method, &path, &[("authorization", wrong)], Body::empty()).await;
            assert_eq!(problem(answer).await, unauthorized, "{what} {wrong}");
        }
        let forged = format!("sealgate_gateway_session_9001={TOKEN}");
        let made_up = [("cookie", forged.as_str()), ("x-sealgate-request", "1")];
        let answer = bench.browse(&method, &path, &made_up, Body::empty()).await;
        assert_eq!(problem(answer).await.0, StatusCode::UNAUTHORIZED, "{what} with a made-up cookie");
        // A session of its own each time: one of the routes ends it.
        let cookie = bench.cookie().await;
        let bearer = format!("Bearer {TOKEN}");
        let by_cookie = vec![("cookie", cookie.as_str()), ("x-sealgate-request", "1")];
        for right in [by_cookie, vec![("authorization", bearer.as_str())]] {
            let (status, _) = head(bench.browse(&method, &path, &right, Body::empty()).await);
            assert!(!matches!(status.as_u16(), 401 | 403 | 405), "{what}: {status}");
        }
        // What holds the right token in one place and a wrong one in the other is not let in.
        let both = [("authorization", "Bearer wrong"), ("cookie", cookie.as_str()), ("x-sealgate-request", "1")];
        let answer = bench.browse(&method, &path, &both, Body::empty()).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{what}");
    }
    assert!(swept >= 30, "{swept} routes");
}

fn head(answer: Response<Body>) -> (StatusCode, HeaderMap) {
    let (head, _) = answer.into_parts();
    (head.status, head.headers)
}

#[tokio::test]
async fn no_route_changes_anything_for_a_page_of_another_site() {
    let bench = bench().await;
    let cookie = bench.cookie().await;
    let cross_site = (StatusCode::FORBIDDEN, "cross-site".to_owned());
    let own = ("x-sealgate-request", "1");
    let mut swept = 0;
    for (method, path) in bench.routes() {
        if method.is_safe() || OPEN.contains(&(method.clone(), path.as_str())) {
            continue;
        }
        swept += 1;
        for hostile in [
            vec![],
            vec![("origin", "http://127.0.0.1:9001")],
            vec![own, ("origin", "https://evil.example")],
            vec![own, ("origin", "http://127.0.0.1:9101")],
            vec![own, ("origin", "http://127.0.0.1")],
            vec![own, ("origin", "null")],
            vec![own, ("origin", "ftp://127.0.0.1:9001")],
        ] {
            let headers = [hostile.clone(), vec![("cookie", cookie.as_str())]].concat();
            let answer = bench.browse(&method, &path, &headers, Body::empty()).await;
            assert_eq!(problem(answer).await, cross_site, "{method} {path} {hostile:?}");
        }
    }
    assert!(swept >= 15, "{swept} routes");
    // Nothing of all that did anything, the session included.
    let answer = bench.browse(&Method::GET, "/api/v1/session", &[("cookie", &cookie)], Body::empty()).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn nobody_is_logged_in_by_another_site() {
    let bench = bench().await;
    for origin in ["https://evil.example", "null", "http://127.0.0.1:9011"] {
        let answer = bench.log_in(TOKEN, &[("origin", origin)]).await;
        assert!(!answer.headers().contains_key(header::SET_COOKIE));
        assert_eq!(problem(answer).await, (StatusCode::FORBIDDEN, "cross-site".to_owned()), "{origin}");
    }
    // A form of another site cannot say that it is JSON.
    let body = Body::from(json!({ "token": TOKEN }).to_string());
    let answer = bench.browse(&Method::POST, "/api/v1/session", &[("content-type", "text/plain")], body).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_cookie_is_for_the_console_alone_and_dies_with_the_session_and_with_its_token() {
    let bench = bench().await;
    let answer = bench.log_in(TOKEN, &[("origin", "http://127.0.0.1:9001")]).await;
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap().to_owned();
    for attribute in ["; Path=/;", "; HttpOnly;", "; SameSite=Strict;", "; Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain") && !cookie.contains("Secure") && !cookie.contains(TOKEN), "{cookie}");
    let who: Value = serde_json::from_slice(&axum::body::to_bytes(answer.into_body(), 4096).await.unwrap()).unwrap();
    assert_eq!((&who["via"], &who["name"]), (&json!("session"), &json!("first start")));
    let tls = bench.log_in(TOKEN, &[("origin", "https://127.0.0.1:9001")]).await;
    assert!(tls.headers()[header::SET_COOKIE].to_str().unwrap().ends_with("; Secure"));

    let cookie = cookie.split(';').next().unwrap();
    let session = [("cookie", cookie), ("x-sealgate-request", "1")];
    let out = bench.browse(&Method::DELETE, "/api/v1/session", &session, Body::empty()).await;
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert!(out.headers()[header::SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    let over = (StatusCode::UNAUTHORIZED, "session-over".to_owned());
    let info = async |cookie: String| {
        problem(bench.browse(&Method::GET, "/api/v1/info", &[("cookie", &cookie)], Body::empty()).await).await
    };
    assert_eq!(info(cookie.to_owned()).await, over);

    let made = bench.call(Method::POST, "/tokens", Some(json!({ "name": "short" }))).await.1;
    let answer = bench.log_in(made["token"].as_str().unwrap(), &[]).await;
    let cookie = answer.headers()[header::SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(info(cookie.clone()).await.0, StatusCode::OK);
    bench.call(Method::DELETE, &format!("/tokens/{}", made["id"].as_str().unwrap()), None).await;
    assert_eq!(info(cookie).await, over);
}

#[tokio::test]
async fn log_ins_with_wrong_tokens_are_limited_and_programs_go_on() {
    let bench = bench().await;
    for _ in 0..10 {
        assert_eq!(
            problem(bench.log_in("wrong", &[]).await).await,
            (StatusCode::UNAUTHORIZED, "token-refused".to_owned())
        );
    }
    // Also the right one: otherwise guessing would go on.
    let answer = bench.log_in(TOKEN, &[]).await;
    assert!(answer.headers().contains_key(header::RETRY_AFTER) && !answer.headers().contains_key(header::SET_COOKIE));
    assert_eq!(problem(answer).await, (StatusCode::TOO_MANY_REQUESTS, "too-many-attempts".to_owned()));
    assert_eq!(bench.call(Method::GET, "/info", None).await.0, StatusCode::OK);
}

#[tokio::test]
async fn every_answer_of_the_interface_is_no_page_and_is_not_kept() {
    let bench = bench().await;
    let bearer = format!("Bearer {TOKEN}");
    for (path, headers) in [
        ("/api/v1/info", vec![("authorization", bearer.as_str())]),
        ("/api/v1/info", vec![]),
        ("/api/v1/openapi.json", vec![]),
        ("/api/v1/nonsense", vec![]),
        ("/healthz", vec![]),
        ("/readyz", vec![]),
    ] {
        let (_, head) = head(bench.browse(&Method::GET, path, &headers, Body::empty()).await);
        for (name, expected) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(head.get(name).unwrap_or_else(|| panic!("{path} has no {name}")), expected, "{path}");
        }
        let policy = head["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
    }
}
