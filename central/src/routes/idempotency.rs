//! The same create sent twice is done once: the second gets the first answer.
//!
//! A key belongs to its caller and to one request (method, path, body). The claim is entered before the work and the
//! answer after it. When Central dies in between, the claim stands for [`CLAIM`] and the caller is told to look first.
//! An answer may show a secret once, so it is kept sealed, and only for a day.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;

use crate::app::App;
use crate::caller::Permit;
use crate::error::{Error, Kind};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest body of a create, in bytes.
const BODY: usize = 64 * 1024;

/// Minutes that a claim without an answer stands.
const CLAIM: &str = "1 minute";

/// Heeds the key of a create.
pub(super) async fn once(State(app): State<App>, request: Request, next: Next) -> Response {
    match guarded(&app, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn guarded(app: &App, request: Request, next: Next) -> Result<Response, Error> {
    let Some(key) = request.headers().get(KEY) else { return Ok(next.run(request).await) };
    let legal = key.to_str().ok().filter(|key| (1..=128).contains(&key.len()));
    let key = legal
        .ok_or_else(|| Error::new(Kind::Invalid, "Idempotency-Key must have 1 to 128 printable characters."))?
        .to_owned();
    let permit = request.extensions().get::<Permit>();
    let permit = permit.ok_or_else(|| Error::internal("a create without a permit", anyhow::anyhow!("{key:?}")))?;
    let caller = permit.actor().as_str().to_owned();

    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY)
        .await
        .map_err(|_| Error::new(Kind::TooLarge, "The body is too large; nothing was changed."))?;
    let mut digest = Sha256::new();
    digest.update(format!("{} {}\n", parts.method, parts.uri.path()));
    digest.update(&body);
    let request_hash: [u8; 32] = digest.finalize().into();

    let context = format!("idempotency {caller} {key}");
    if let Some(answer) = claim(&app.db, &caller, &key, &request_hash).await? {
        return replay(app, &context, &answer);
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if !response.status().is_success() {
        forget(&app.db, &caller, &key).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, BODY).await.map_err(|error| Error::internal("an answer is too large", error))?;
    let sealed = app.sealing.seal(&context, &body);
    remember(&app.db, &caller, &key, parts.status, &sealed).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

struct Answer {
    status: i16,
    sealed: Vec<u8>,
}

fn replay(app: &App, context: &str, answer: &Answer) -> Result<Response, Error> {
    let status = u16::try_from(answer.status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .ok_or_else(|| Error::corrupt("idempotency_keys", "status", anyhow::anyhow!("{}", answer.status)))?;
    let body =
        app.sealing.open(context, &answer.sealed).map_err(|error| Error::corrupt("idempotency_keys", "body", error))?;
    let json = HeaderValue::from_static("application/json");
    Ok((status, [(CONTENT_TYPE, json)], Bytes::copy_from_slice(&body)).into_response())
}

/// Claims the key; the answer where it was used before.
async fn claim(db: &PgPool, caller: &str, key: &str, request_hash: &[u8]) -> Result<Option<Answer>, Error> {
    let failed = |error| Error::database("claim an idempotency key", error);
    let claimed = sqlx::query!(
        "insert into idempotency_keys (caller, key, request_hash) values ($1, $2, $3)
         on conflict (caller, key) do update set created_at = now(), request_hash = excluded.request_hash
         where idempotency_keys.status is null and idempotency_keys.created_at < now() - $4::text::interval
            or idempotency_keys.created_at < now() - interval '1 day'",
        caller,
        key,
        request_hash,
        CLAIM,
    )
    .execute(db)
    .await
    .map_err(failed)?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let row = sqlx::query!(
        "select request_hash, status, body from idempotency_keys where caller = $1 and key = $2",
        caller,
        key
    )
    .fetch_optional(db)
    .await
    .map_err(failed)?;
    let conflict = |code, message| Error::new(Kind::Conflict, message).code(code);
    let Some(row) = row else {
        return Err(conflict("in-progress", "The first request of this key just ended; send it again."));
    };
    if row.request_hash != request_hash {
        return Err(conflict("key-reused", "This Idempotency-Key was used for another request; nothing was changed."));
    }
    match (row.status, row.body) {
        (Some(status), Some(sealed)) => Ok(Some(Answer { status, sealed })),
        _ => Err(conflict("in-progress", "The first request of this key is under way. Look whether it was done.")),
    }
}

async fn forget(db: &PgPool, caller: &str, key: &str) -> Result<(), Error> {
    sqlx::query!("delete from idempotency_keys where caller = $1 and key = $2 and status is null", caller, key)
        .execute(db)
        .await
        .map(drop)
        .map_err(|error| Error::database("forget an idempotency key", error))
}

async fn remember(db: &PgPool, caller: &str, key: &str, status: StatusCode, sealed: &[u8]) -> Result<(), Error> {
    let status = i16::try_from(status.as_u16()).map_err(|error| Error::internal("a status", error))?;
    sqlx::query!(
        "update idempotency_keys set status = $3, body = $4 where caller = $1 and key = $2",
        caller,
        key,
        status,
        sealed
    )
    .execute(db)
    .await
    .map(drop)
    .map_err(|error| Error::database("keep the answer of an idempotency key", error))
}
