//! Who is calling, from where, with what right: before any handler.

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::caller::{Caller, Permission};
use crate::error::{Error, Kind};
use crate::operators;

/// Header that a page of another site cannot send without asking first.
pub(super) const OWN_HEADER: &str = "x-sealgate-request";

/// What a route needs.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) app: App,
    pub(super) permission: Permission,
}

/// Lets a request through with a [`Permit`](crate::caller::Permit) in its extensions, or refuses and counts it.
pub(super) async fn permit(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let route = format!("{} {}", request.method(), route(&request));
    let caller = match authenticate(&guard.app, request.method(), request.headers()).await {
        Ok(caller) => caller,
        Err(error) => return refuse(&guard.app, "anonymous", &route, error),
    };
    let actor = caller.actor();
    match caller.require(guard.permission) {
        Ok(permit) => {
            request.extensions_mut().insert(permit);
            next.run(request).await
        }
        Err(error) => refuse(&guard.app, actor.as_str(), &route, error),
    }
}

/// Refuses what a page of another site sends; for routes that need no caller.
pub(super) async fn same_origin(State(app): State<App>, request: Request, next: Next) -> Response {
    match own_origin(&app, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            let route = format!("{} {}", request.method(), route(&request));
            refuse(&app, "anonymous", &route, error)
        }
    }
}

fn refuse(app: &App, actor: &str, route: &str, error: Error) -> Response {
    // That the database does not answer is nobody's attempt.
    if matches!(error.kind(), Kind::Unauthenticated | Kind::Forbidden) {
        app.denials.count(actor, route, error.problem_code());
    }
    error.into_response()
}

/// The template of the route, never the path that a stranger chose.
fn route(request: &Request) -> String {
    let matched = request.extensions().get::<axum::extract::MatchedPath>();
    matched.map_or_else(|| "(unknown)".to_owned(), |path| path.as_str().to_owned())
}

/// A bearer token, or else the session's cookie. One that is given and does not hold is refused, never passed over.
async fn authenticate(app: &App, method: &Method, headers: &HeaderMap) -> Result<Caller, Error> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let token = token
            .ok_or_else(|| Error::new(Kind::Unauthenticated, "Authorization must be `Bearer` and an API token."))?;
        return operators::by_token(&app.db, token).await?.ok_or_else(|| {
            Error::new(Kind::Unauthenticated, "This API token is not known, was revoked, or has expired.")
                .code("token-refused")
        });
    }
    let Some(cookie) = session_cookie(headers) else {
        return Err(Error::new(Kind::Unauthenticated, "Log in, or send an API token."));
    };
    if !method.is_safe() {
        own_origin(app, headers)?;
        if !headers.contains_key(OWN_HEADER) {
            return Err(Error::new(
                Kind::Forbidden,
                "With a cookie, a request that changes something needs the header X-Sealgate-Request.",
            )
            .code("cross-site"));
        }
    }
    operators::by_session(&app.db, cookie, app.config.sessions.idle)
        .await?
        .ok_or_else(|| Error::new(Kind::Unauthenticated, "The session is over. Log in again.").code("session-over"))
}

fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == operators::rest::COOKIE)
        .map(|(_, value)| value)
}

/// An `Origin`, where one is sent, must be that of the console.
fn own_origin(app: &App, headers: &HeaderMap) -> Result<(), Error> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let same = origin.split_once("://").is_some_and(|(scheme, authority)| {
        matches!(scheme, "http" | "https") && !host.is_empty() && authority.eq_ignore_ascii_case(host)
    });
    if same || app.config.public.origins.iter().any(|known| known == origin) {
        return Ok(());
    }
    Err(Error::new(Kind::Forbidden, "The request comes from a page of another site. See public.origins.")
        .code("cross-site"))
}
