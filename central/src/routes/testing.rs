//! For tests: the whole REST interface over a real database, without sockets.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use sqlx::PgPool;
use tempfile::TempDir;
use tower::ServiceExt as _;
use zeroize::Zeroizing;

use crate::app::App;
use crate::caller::{Caller, Permission, Permit, Role, Via};
use crate::config::Config;
use crate::db::testing::{Database, database};
use crate::operators;

/// The password of the first account.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A Central to ask.
pub(crate) struct Rest {
    pub(crate) app: App,
    pub(crate) db: PgPool,
    router: Router,
    _folder: TempDir,
    _database: Database,
}

/// What it answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// One header as text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}")).to_str().expect("text")
    }
}

/// An administrator's permit, for use cases.
pub(crate) fn permit(name: &str) -> Permit {
    let via = Via::Token { id: uuid::Uuid::nil() };
    let caller = Caller { name: name.to_owned(), role: Role::Admin, via };
    caller.require(Permission::ManageOperators).expect("an administrator may")
}

impl Rest {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With settings `section.key=value`.
    pub(crate) async fn start_with(settings: &[&str]) -> Self {
        let database = database().await;
        let folder = tempfile::tempdir().expect("a folder");
        let key = format!("sealing.key=file:{}", folder.path().join("key").display());
        let password = format!("admin.password={PASSWORD}");
        let fixed = ["database.url=postgres://given/by-the-pool", key.as_str(), password.as_str()];
        let flags = fixed.into_iter().chain(settings.iter().copied());
        let config = Arc::new(Config::load(None, std::iter::empty(), flags).expect("a legal configuration"));
        let db = database.pool.clone();
        let address = "https://127.0.0.1:9101".to_owned();
        let app = App::over(config, db.clone(), db.clone(), address).await.expect("Central opens");
        operators::begin(&db, &app.config.admin).await.expect("the first account");
        let router = super::router(app.clone());
        Self { app, db, router, _folder: folder, _database: database }
    }

    /// A token of that role, made as an administrator would.
    pub(crate) async fn token(&self, role: Role) -> Zeroizing<String> {
        let name = format!("{}-{}", role.as_str(), uuid::Uuid::new_v4().simple());
        operators::create_token(&self.db, &permit("test"), &name, role, None).await.expect("a token").1
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("the router answers");
        let (parts, body) = response.into_parts();
        // Events have no end.
        let events = parts.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream");
        let bytes = if events { Bytes::new() } else { to_bytes(body, 64 << 20).await.expect("a body") };
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// The answer to a GET, whose body is still to come.
    pub(crate) async fn open(&self, path: &str, header: (&str, &str)) -> axum::http::Response<Body> {
        let request = Request::builder().uri(format!("/api/v1{path}")).header(header.0, header.1);
        let request = request.body(Body::empty()).expect("a legal request");
        self.router.clone().oneshot(request).await.expect("the router answers")
    }

    /// A log-in of the first account: its cookie.
    pub(crate) async fn log_in(&self, password: &str) -> Result<String, Answer> {
        let body = serde_json::json!({ "name": "admin", "password": password }).to_string();
        let answer = self.ask("", "POST /session", &[("content-type", "application/json")], body).await;
        if answer.status != StatusCode::OK {
            return Err(answer);
        }
        Ok(answer.header("set-cookie").split(';').next().expect("a cookie").to_owned())
    }

    /// One request with a bearer token and headers.
    pub(crate) async fn ask(
        &self,
        token: &str,
        method_and_path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let (method, path) = method_and_path.split_once(' ').expect("METHOD path");
        let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).expect("a legal request")).await
    }
}
