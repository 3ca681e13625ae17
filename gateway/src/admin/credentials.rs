//! S3 credentials with their grants, and tokens of this API.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::problem::{Body, Hidden, Problem, Shown};
use super::{Shared, rfc3339};
use crate::config::Secret;
use crate::group::{self, Grant, now, random_hex, random_text, token_digest};

/// Every credential, without secrets.
#[derive(Serialize, ToSchema)]
pub(super) struct Credentials {
    credentials: Vec<Credential>,
}

/// One credential, without its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct Credential {
    access_key: String,
    name: String,
    /// May use the admin listener.
    admin: bool,
    created: String,
    grants: Vec<Grant>,
}

/// A credential that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeCredential {
    #[serde(flatten)]
    credential: Credential,
    /// Shown this once.
    secret_key: Shown,
}

/// A new credential.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddCredential {
    name: String,
    #[serde(default)]
    admin: bool,
    grants: Vec<Grant>,
    /// Drawn at random where missing.
    access_key: Option<String>,
    /// Drawn at random where missing.
    secret_key: Option<Hidden>,
}

/// What changes; what is missing stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeCredential {
    name: Option<String>,
    admin: Option<bool>,
    grants: Option<Vec<Grant>>,
}

/// Lists the credentials.
#[utoipa::path(get, path = "/credentials", tag = "credentials", responses((status = 200, body = Credentials)))]
pub(super) async fn list(State(admin): Shared) -> Json<Credentials> {
    let document = admin.group.document();
    let credentials = document.credentials.iter().map(|(key, credential)| view(key, credential)).collect();
    Json(Credentials { credentials })
}

/// Makes a credential.
#[utoipa::path(post, path = "/credentials", tag = "credentials", request_body = AddCredential,
    responses((status = 201, body = MadeCredential), (status = 400, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn add(
    State(admin): Shared,
    Body(body): Body<AddCredential>,
) -> Result<(StatusCode, Json<MadeCredential>), Problem> {
    let access_key = match body.access_key {
        Some(key) => key,
        None => format!("SG{}", random_hex(9)?.to_uppercase()),
    };
    let secret = match body.secret_key {
        Some(secret) => Secret::new(secret.expose().to_owned()),
        None => Secret::new(random_text(30)?),
    };
    let created = now();
    let made = || group::Credential {
        secret: Secret::new(secret.expose().to_owned()),
        name: body.name.clone(),
        admin: body.admin,
        created,
        grants: body.grants.clone(),
    };
    admin.edit(|document| document.add_credential(&access_key, made())).await?;
    tracing::info!(access_key, "credential is made");
    let credential = view(&access_key, &made());
    Ok((StatusCode::CREATED, Json(MadeCredential { credential, secret_key: Shown(secret) })))
}

/// Changes name, rights or the admin mark of a credential.
#[utoipa::path(put, path = "/credentials/{access_key}", tag = "credentials", params(("access_key" = String, Path)),
    request_body = ChangeCredential, responses((status = 200, body = Credential), (status = 404, body = Problem)))]
pub(super) async fn change(
    State(admin): Shared,
    Path(access_key): Path<String>,
    Body(body): Body<ChangeCredential>,
) -> Result<Json<Credential>, Problem> {
    let (name, grants) = (body.name.as_deref(), body.grants.as_deref());
    admin.edit(|document| document.change_credential(&access_key, name, body.admin, grants)).await?;
    let document = admin.group.document();
    let missing = || Problem::not_found(format!("there is no credential {access_key}"));
    document.credential(&access_key).map(|credential| Json(view(&access_key, credential))).ok_or_else(missing)
}

/// Removes a credential; not the last administrator's.
#[utoipa::path(delete, path = "/credentials/{access_key}", tag = "credentials", params(("access_key" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn remove(State(admin): Shared, Path(access_key): Path<String>) -> Result<StatusCode, Problem> {
    admin.edit(|document| document.remove_credential(&access_key)).await?;
    tracing::info!(access_key, "credential is removed");
    Ok(StatusCode::NO_CONTENT)
}

fn view(access_key: &str, credential: &group::Credential) -> Credential {
    Credential {
        access_key: access_key.to_owned(),
        name: credential.name.clone(),
        admin: credential.admin,
        created: rfc3339(credential.created),
        grants: credential.grants.clone(),
    }
}

/// Every token, without the tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
}

/// One token, without itself.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    id: String,
    name: String,
    created: String,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeToken {
    #[serde(flatten)]
    about: Token,
    /// Shown this once.
    token: Shown,
}

/// A new token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddToken {
    name: String,
}

/// Lists the tokens of this API.
#[utoipa::path(get, path = "/tokens", tag = "tokens", responses((status = 200, body = Tokens)))]
pub(super) async fn list_tokens(State(admin): Shared) -> Json<Tokens> {
    let document = admin.group.document();
    let token = |(id, token): (&String, &group::Token)| Token {
        id: id.clone(),
        name: token.name.clone(),
        created: rfc3339(token.created),
    };
    Json(Tokens { tokens: document.tokens.iter().map(token).collect() })
}

/// Makes a token of this API.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = AddToken,
    responses((status = 201, body = MadeToken), (status = 400, body = Problem)))]
pub(super) async fn add_token(
    State(admin): Shared,
    Body(body): Body<AddToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    let (id, secret) = (Uuid::new_v4().to_string(), Secret::new(format!("sgt_{}", random_text(32)?)));
    let (created, digest) = (now(), token_digest(secret.expose()));
    admin.edit(|document| document.add_token(&id, group::Token { name: body.name.clone(), created, digest })).await?;
    let about = Token { id, name: body.name, created: rfc3339(created) };
    Ok((StatusCode::CREATED, Json(MadeToken { about, token: Shown(secret) })))
}

/// Removes a token; not the last one.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn remove_token(State(admin): Shared, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    admin.edit(|document| document.remove_token(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
