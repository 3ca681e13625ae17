//! Enrolment tokens over REST.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{NewToken, store};
use crate::caller::Permit;
use crate::db;
use crate::error::{Error, Problem};
use crate::rpc::Services;

/// Tokens that are listed, at most.
const LISTED: i64 = 1_000;
/// A token lives for an hour where nobody says otherwise.
const DEFAULT_TTL_SECONDS: i64 = 3_600;

/// What a token is to be for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Name of the gateway; absent: the gateway proposes one. That of a known gateway: it enrols again.
    name: Option<String>,
    /// How long it may be used; 1 to 7,776,000, by default 3,600.
    ttl_seconds: Option<i64>,
    /// Labels that the gateway gets.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// A new token. Its text is shown this once.
#[derive(Serialize, utoipa::ToSchema)]
pub struct TokenIssued {
    /// By which it is listed and revoked.
    pub id: Uuid,
    /// The text for the gateway; a secret.
    pub token: String,
    /// Name of the gateway; null: the gateway proposes one.
    pub name: Option<String>,
    /// Labels that the gateway gets.
    pub labels: BTreeMap<String, String>,
    /// Until when it may be used.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// A token, without its text.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Token {
    /// By which it is revoked.
    pub id: Uuid,
    /// Name of the gateway; null: the gateway proposes one.
    pub name: Option<String>,
    /// Labels that the gateway gets.
    pub labels: BTreeMap<String, String>,
    /// Who made it.
    pub created_by: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Until when it may be used.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// When it was used.
    #[serde(with = "time::serde::rfc3339::option")]
    pub used_at: Option<OffsetDateTime>,
    /// The gateway that used it.
    pub used_by: Option<String>,
    /// When it was revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
}

/// The newest tokens.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Tokens {
    /// Newest first, at most 1,000.
    pub tokens: Vec<Token>,
    /// There are older ones.
    pub truncated: bool,
}

/// Makes an enrolment token: one use, for a time.
#[utoipa::path(
    post, path = "/enrolment-tokens", tag = "enrolment", request_body = TokenRequest,
    responses((status = 201, body = TokenIssued), (status = 400, body = Problem), (status = 409, body = Problem))
)]
pub async fn create(
    State(services): State<Services>,
    Extension(permit): Extension<Permit>,
    Json(request): Json<TokenRequest>,
) -> Result<(StatusCode, Json<TokenIssued>), Error> {
    let new = NewToken {
        name: request.name,
        labels: request.labels,
        ttl: Duration::seconds(request.ttl_seconds.unwrap_or(DEFAULT_TTL_SECONDS)),
    };
    let issued = super::create_token(&services.db, &services.pki, &services.address, &permit, &new).await?;
    let body = TokenIssued {
        id: issued.id,
        token: issued.text.to_string(),
        name: new.name,
        labels: new.labels,
        expires_at: issued.expires_at,
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// The newest tokens, without their texts.
#[utoipa::path(get, path = "/enrolment-tokens", tag = "enrolment", responses((status = 200, body = Tokens)))]
pub async fn list(
    State(services): State<Services>,
    Extension(_permit): Extension<Permit>,
) -> Result<Json<Tokens>, Error> {
    let (found, truncated) = db::at_most(store::tokens(&services.db, LISTED + 1).await?, LISTED);
    let tokens = found
        .into_iter()
        .map(|row| Token {
            id: row.id,
            name: row.name,
            labels: row.labels,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            used_at: row.used_at,
            used_by: row.used_by,
            revoked_at: row.revoked_at,
        })
        .collect();
    Ok(Json(Tokens { tokens, truncated }))
}

/// Makes a token that was not used useless.
#[utoipa::path(
    delete, path = "/enrolment-tokens/{id}", tag = "enrolment", params(("id" = Uuid, Path)),
    responses((status = 204), (status = 404, body = Problem))
)]
pub async fn revoke(
    State(services): State<Services>,
    Extension(permit): Extension<Permit>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Error> {
    super::revoke_token(&services.db, &permit, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
