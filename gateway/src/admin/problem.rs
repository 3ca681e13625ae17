//! Refusals of the admin API: RFC 9457 problems with a stable code, and the body that a handler reads.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::{PartialSchema, ToSchema};
use zeroize::Zeroizing;

use crate::config::Secret;
use crate::group::{DocumentError, GroupError, Refusal};
use crate::keys::KeysError;
use crate::upstream::UpstreamError;

/// Why a request was refused (RFC 9457), as `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the code says what kind it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The HTTP status in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// For the person who asked.
    pub detail: String,
    /// Stable, for programs: `unauthorized`, `token-refused`, `session-over`, `cross-site`, `too-many-attempts`,
    /// `denied`, `invalid`, `not-found`, `conflict`, `confirm`, `unprocessable`, `length-required`, `too-large`,
    /// `precondition-failed`, `no-such-range`, `not-supported`, `stale`, `unavailable`, `internal`.
    pub code: &'static str,
    /// Further fields that belong to the code.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    extra: Map<String, Value>,
    /// When to try again.
    #[serde(skip)]
    retry_after_s: Option<u16>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        Self {
            kind: "about:blank",
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code,
            extra: Map::new(),
            retry_after_s: (status == StatusCode::SERVICE_UNAVAILABLE).then_some(2),
        }
    }

    /// No or no valid token.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "a valid API token is needed: Authorization: Bearer TOKEN")
    }

    /// The same with a code and a text of its own.
    #[must_use]
    pub fn coded(mut self, code: &'static str, detail: impl Into<String>) -> Self {
        (self.code, self.detail) = (code, detail.into());
        self
    }

    /// It comes, or could come, from a page of another site.
    pub fn cross_site(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "cross-site", detail)
    }

    /// Too many wrong tokens came from the address of the caller.
    pub fn too_many_attempts(wait_s: u16) -> Self {
        let detail = format!("too many wrong tokens came from this address; try again in {wait_s} s");
        Self { retry_after_s: Some(wait_s), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-attempts", detail) }
    }

    /// The request is not well-formed.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// There is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// It contradicts what is there.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// It has to be confirmed; the impact is told by [`Problem::with`].
    pub fn confirm(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "confirm", detail)
    }

    /// A policy or a rule of the bucket forbids it.
    pub fn denied(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "denied", detail)
    }

    /// It is larger than S3 allows.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    }

    /// The body does not say how long it is.
    pub fn length_required(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::LENGTH_REQUIRED, "length-required", detail)
    }

    /// A condition of the request does not hold.
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", detail)
    }

    /// Nothing of the object is in the range.
    pub fn no_such_range(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "no-such-range", detail)
    }

    /// The gateway failed; the cause was logged where it happened.
    pub fn failed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// Well-formed, and refused for what it holds.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", detail)
    }

    /// This storage or configuration cannot do it.
    pub fn not_supported(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "not-supported", detail)
    }

    /// Something that the gateway depends on does not answer.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    /// The cause is logged; the person gets none of it.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "admin request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the gateway failed; its log says why")
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after_s = self.retry_after_s;
        let mut response = (status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound(text) => Self::not_found(text),
            Refusal::Conflict(text) => Self::conflict(text),
            Refusal::Invalid(text) => Self::invalid(text),
            Refusal::Key(error) => Self::from(error),
        }
    }
}

impl From<kms::KeyError> for Problem {
    fn from(error: kms::KeyError) -> Self {
        use kms::KeyError::{Active, Crypto, NoSuchKey, State, TooMany};
        match error {
            Active(_) | TooMany(_) => Self::conflict(error.to_string()),
            NoSuchKey(_) => Self::not_found(error.to_string()),
            State(_) | Crypto(_) => Self::internal(&error),
            _ => Self::unprocessable(error.to_string()),
        }
    }
}

impl From<GroupError> for Problem {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::Refused(refusal) => refusal.into(),
            GroupError::Contended => Self::unavailable(error.to_string()),
            GroupError::Document(error @ DocumentError::TooLong(_)) => Self::conflict(error.to_string()),
            GroupError::Document(error) => Self::internal(&error),
            GroupError::Storage(_) | GroupError::Deadline => {
                tracing::warn!(%error, "group document cannot be changed");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "stale", error.to_string())
            }
            GroupError::Backwards { .. } | GroupError::OtherGroup { .. } => {
                tracing::error!(%error, "group document cannot be trusted");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "stale", error.to_string())
            }
        }
    }
}

impl From<KeysError> for Problem {
    fn from(error: KeysError) -> Self {
        match error {
            KeysError::UnknownKms(_) => Self::not_found(error.to_string()),
            KeysError::Record(_) => Self::internal(&error),
            _ => Self::unavailable(error.to_string()),
        }
    }
}

impl From<UpstreamError> for Problem {
    fn from(error: UpstreamError) -> Self {
        Self::unavailable(error.to_string())
    }
}

/// A JSON body; what is wrong with it is a problem.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(JsonRejection::BytesRejection(_)) => Err(Problem::invalid("the body is too long or broke off")),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(Problem::invalid("the body must be JSON: Content-Type: application/json"))
            }
            Err(error) => Err(Problem::invalid(error.body_text())),
        }
    }
}

/// The query; what is wrong with it is a problem.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Self(query.0)).map_err(|error: QueryRejection| Problem::invalid(error.body_text()))
    }
}

/// A secret that a client sends: wiped when dropped, never sent back.
pub(super) struct Hidden(Zeroizing<String>);

impl Hidden {
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

impl PartialSchema for Hidden {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

impl ToSchema for Hidden {}

/// A secret that was made a moment ago and is shown this once.
pub(super) struct Shown(pub(super) Secret);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl PartialSchema for Shown {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

impl ToSchema for Shown {}
