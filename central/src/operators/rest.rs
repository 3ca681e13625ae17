//! Log-in, accounts and API tokens over REST.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Account, Changes, Token};
use crate::app::App;
use crate::caller::{Caller, Permit, Role, Via};
use crate::error::{Error, Problem};

/// Name of the session's cookie.
pub const COOKIE: &str = "sealgate_session";

/// A text that is a secret: not shown, wiped.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String)]
pub struct Secret(Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// Name and password.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    name: String,
    password: Secret,
}

/// Who is calling.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Who {
    /// Name of the account or token.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// session or token.
    pub via: &'static str,
    /// What the role may: read-overview, read-gateways, manage-gateways, read-policies, edit-policies, read-audit,
    /// manage-operators, manage-fleet.
    pub permissions: Vec<&'static str>,
    /// When the session ends, in use or not; absent with a token.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<OffsetDateTime>,
}

impl Who {
    fn of(caller: &Caller) -> Self {
        let (via, expires_at) = match caller.via {
            Via::Session { expires_at, .. } => ("session", Some(expires_at)),
            Via::Token { .. } => ("token", None),
        };
        let permissions = caller.role.permissions();
        Self { name: caller.name.clone(), role: caller.role, via, permissions, expires_at }
    }
}

/// A new account.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOperator {
    name: String,
    role: Role,
    password: Secret,
}

/// What is to be another.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OperatorChanges {
    role: Option<Role>,
    password: Option<Secret>,
    disabled: Option<bool>,
}

/// An account.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Operator {
    /// Identity.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// It cannot log in.
    pub disabled: bool,
    /// Locked after failed log-ins until then.
    #[serde(with = "time::serde::rfc3339::option")]
    pub locked_until: Option<OffsetDateTime>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// The accounts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Operators {
    /// In the order of their names, at most 10,000.
    pub operators: Vec<Operator>,
    /// There are more.
    pub truncated: bool,
}

/// A new token.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiToken {
    name: String,
    role: Role,
    /// 1 to 31,622,400; by default a quarter of that.
    ttl_seconds: Option<u64>,
}

/// An API token. Its text is there only in the answer that made it.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ApiToken {
    /// Identity.
    pub id: Uuid,
    /// Name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The text; a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Until when it holds; null: for ever.
    #[serde(with = "time::serde::rfc3339::option")]
    pub expires_at: Option<OffsetDateTime>,
    /// When it was last used, to the minute.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_used_at: Option<OffsetDateTime>,
}

/// The tokens.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ApiTokens {
    /// In the order of their names, at most 10,000.
    pub tokens: Vec<ApiToken>,
    /// There are more.
    pub truncated: bool,
}

/// Logs in: answers with the session's cookie.
#[utoipa::path(
    post, path = "/session", tag = "session", request_body = LogIn,
    responses((status = 200, body = Who), (status = 401, body = Problem), (status = 429, body = Problem))
)]
pub async fn log_in(State(app): State<App>, Json(request): Json<LogIn>) -> Result<Response, Error> {
    let sessions = &app.config.sessions;
    let done = super::log_in(&app.db, sessions, &app.denials, &request.name, request.password.0).await?;
    let cookie = cookie(&done.secret, sessions.lifetime, app.config.public.secure_cookies)?;
    let body = Json(Who::of(&done.caller));
    Ok(([(SET_COOKIE, cookie), (CACHE_CONTROL, HeaderValue::from_static("no-store"))], body).into_response())
}

/// Who is calling.
#[utoipa::path(get, path = "/session", tag = "session", responses((status = 200, body = Who)))]
pub async fn who(Extension(permit): Extension<Permit>) -> Json<Who> {
    Json(Who::of(permit.caller()))
}

/// Logs out.
#[utoipa::path(delete, path = "/session", tag = "session", responses((status = 204)))]
pub async fn log_out(State(app): State<App>, Extension(permit): Extension<Permit>) -> Result<Response, Error> {
    super::log_out(&app.db, &permit).await?;
    let gone = cookie("", Duration::ZERO, app.config.public.secure_cookies)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, gone)]).into_response())
}

/// The present password and the one to be.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    current: Secret,
    new: Secret,
}

/// Changes the caller's own password and ends their other sessions; this one goes on.
#[utoipa::path(
    post, path = "/session/password", tag = "session", request_body = NewPassword,
    responses((status = 204), (status = 403, body = Problem), (status = 422, body = Problem))
)]
pub async fn own_password(
    State(app): State<App>,
    Extension(permit): Extension<Permit>,
    Json(request): Json<NewPassword>,
) -> Result<StatusCode, Error> {
    let NewPassword { current, new } = request;
    let sessions = &app.config.sessions;
    super::change_own_password(&app.db, sessions, &app.denials, &permit, current.0, new.0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The accounts.
#[utoipa::path(get, path = "/operators", tag = "operators", responses((status = 200, body = Operators)))]
pub async fn list(State(app): State<App>, Extension(_permit): Extension<Permit>) -> Result<Json<Operators>, Error> {
    let (accounts, truncated) = super::list(&app.db).await?;
    Ok(Json(Operators { operators: accounts.into_iter().map(Operator::from).collect(), truncated }))
}

/// Makes an account.
#[utoipa::path(
    post, path = "/operators", tag = "operators", request_body = NewOperator,
    responses((status = 201, body = Operator), (status = 400, body = Problem), (status = 409, body = Problem))
)]
pub async fn create(
    State(app): State<App>,
    Extension(permit): Extension<Permit>,
    Json(new): Json<NewOperator>,
) -> Result<(StatusCode, Json<Operator>), Error> {
    let account = super::create(&app.db, &permit, &new.name, new.role, new.password.0).await?;
    Ok((StatusCode::CREATED, Json(account.into())))
}

/// Changes an account: role, password, disabled.
#[utoipa::path(
    patch, path = "/operators/{name}", tag = "operators", params(("name" = String, Path)),
    request_body = OperatorChanges,
    responses((status = 200, body = Operator), (status = 404, body = Problem), (status = 409, body = Problem))
)]
pub async fn change(
    State(app): State<App>,
    Extension(permit): Extension<Permit>,
    Path(name): Path<String>,
    Json(changes): Json<OperatorChanges>,
) -> Result<Json<Operator>, Error> {
    let changes = Changes {
        role: changes.role,
        password: changes.password.map(|password| password.0),
        disabled: changes.disabled,
    };
    super::change(&app.db, &permit, &name, changes).await.map(Operator::from).map(Json)
}

/// The API tokens, without their texts.
#[utoipa::path(get, path = "/tokens", tag = "tokens", responses((status = 200, body = ApiTokens)))]
pub async fn tokens(State(app): State<App>, Extension(_permit): Extension<Permit>) -> Result<Json<ApiTokens>, Error> {
    let (tokens, truncated) = super::tokens(&app.db).await?;
    Ok(Json(ApiTokens { tokens: tokens.into_iter().map(|token| ApiToken::of(token, None)).collect(), truncated }))
}

/// Makes an API token; its text is shown this once.
#[utoipa::path(
    post, path = "/tokens", tag = "tokens", request_body = NewApiToken,
    responses((status = 201, body = ApiToken), (status = 400, body = Problem), (status = 409, body = Problem))
)]
pub async fn create_token(
    State(app): State<App>,
    Extension(permit): Extension<Permit>,
    Json(new): Json<NewApiToken>,
) -> Result<Response, Error> {
    let ttl = new.ttl_seconds.map(Duration::from_secs);
    let (token, secret) = super::create_token(&app.db, &permit, &new.name, new.role, ttl).await?;
    let body = Json(ApiToken::of(token, Some(secret.to_string())));
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], body).into_response())
}

/// Revokes an API token.
#[utoipa::path(
    delete, path = "/tokens/{name}", tag = "tokens", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = Problem))
)]
pub async fn revoke_token(
    State(app): State<App>,
    Extension(permit): Extension<Permit>,
    Path(name): Path<String>,
) -> Result<StatusCode, Error> {
    super::revoke_token(&app.db, &permit, &name).await.map(|()| StatusCode::NO_CONTENT)
}

fn cookie(secret: &str, lifetime: Duration, secure: bool) -> Result<HeaderValue, Error> {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", lifetime.as_secs());
    let mut value = HeaderValue::try_from(text).map_err(|error| Error::internal("a cookie", error))?;
    value.set_sensitive(true);
    Ok(value)
}

impl From<Account> for Operator {
    fn from(account: Account) -> Self {
        Self {
            id: account.id,
            name: account.name,
            role: account.role,
            disabled: account.disabled,
            locked_until: account.locked_until,
            created_at: account.created_at,
        }
    }
}

impl ApiToken {
    fn of(token: Token, text: Option<String>) -> Self {
        Self {
            id: token.id,
            name: token.name,
            role: token.role,
            token: text,
            created_by: token.created_by,
            created_at: token.created_at,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
        }
    }
}
