//! Log-in and log-out of the console.

use std::time::Instant;

use axum::extract::{FromRequest as _, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header::ORIGIN};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::guard::{self, Caller};
use super::problem::{Body, Hidden, Problem};
use super::sessions::{LIFETIME, Way, cookie_name};
use super::{Shared, rfc3339};

/// A token of this interface.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogIn {
    token: Hidden,
}

/// Who is calling.
#[derive(Serialize, ToSchema)]
pub(super) struct Who {
    /// Name of the token.
    name: String,
    /// `session` or `token`.
    via: &'static str,
    /// When the session ends at the latest (RFC 3339); without requests it ends half an hour after the last one.
    expires_at: Option<String>,
}

/// Logs in: the answer sets the session's cookie.
#[utoipa::path(post, path = "/session", tag = "session", security(()), request_body = LogIn,
    responses((status = 200, body = Who), (status = 401, body = Problem), (status = 403, body = Problem),
        (status = 429, body = Problem)))]
pub(super) async fn log_in(State(admin): Shared, request: Request) -> Result<Response, Problem> {
    let (from, at) = (guard::address(&request), Instant::now());
    admin.sessions.attempts().admit(from, Way::LogIn, at)?;
    let headers = request.headers().clone();
    let Body(body) = Body::<LogIn>::from_request(request, &admin).await?;
    let document = admin.group.document();
    let Some((secret, session)) = admin.sessions.begin(body.token.expose(), &document, at)? else {
        admin.sessions.attempts().failed(from, Way::LogIn, at);
        tracing::warn!(%from, "log-in is refused");
        return Err(Problem::unauthorized().coded("token-refused", "this token is not known here, or was removed"));
    };
    let name = document.tokens.get(session.token()).map(|token| token.name.clone()).unwrap_or_default();
    tracing::info!(actor = name, %from, "log-in succeeds");
    let who = Who { name, via: "session", expires_at: Some(rfc3339(session.expires_ms())) };
    let cookie = cookie(&headers, secret.expose(), LIFETIME.as_secs())?;
    Ok(([(SET_COOKIE, cookie)], Json(who)).into_response())
}

/// Who is calling.
#[utoipa::path(get, path = "/session", tag = "session", responses((status = 200, body = Who), (status = 401, body = Problem)))]
pub(super) async fn who(Extension(caller): Extension<Caller>) -> Json<Who> {
    let expires_at = caller.session.as_ref().map(|session| rfc3339(session.expires_ms()));
    let via = if caller.session.is_some() { "session" } else { "token" };
    Json(Who { name: caller.name, via, expires_at })
}

/// Logs out: the session is over, and its cookie goes. With a token there is nothing to end.
#[utoipa::path(delete, path = "/session", tag = "session", responses((status = 204), (status = 401, body = Problem)))]
pub(super) async fn log_out(
    State(admin): Shared,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if let Some(session) = &caller.session {
        admin.sessions.end(session);
    }
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie(&headers, "", 0)?)]).into_response())
}

/// Not for scripts, not for other sites, and not without TLS where the page came by TLS.
fn cookie(headers: &HeaderMap, secret: &str, max_age_s: u64) -> Result<HeaderValue, Problem> {
    let by_tls = headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let (name, secure) = (cookie_name(guard::host(headers)), if by_tls { "; Secure" } else { "" });
    let text = format!("{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}");
    let mut value = HeaderValue::try_from(text).map_err(|error| Problem::internal(&error))?;
    value.set_sensitive(true);
    Ok(value)
}
