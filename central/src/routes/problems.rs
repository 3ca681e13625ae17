//! Every refusal is an RFC 9457 problem, also those of the framework.

use std::any::Any;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use axum::http::{Response as HttpResponse, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::error::{Error, Kind};

/// Longest message of the framework that is taken over, in bytes.
const MESSAGE: usize = 4 * 1024;

/// Turns a refusal in plain text (unknown field, wrong type, wrong method, body too large) into a problem.
pub(super) async fn only_problems(request: Request, next: Next) -> Response {
    let health = request.uri().path().ends_with("/readyz");
    let response = next.run(request).await;
    let status = response.status();
    let is_problem = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == HeaderValue::from_static("application/problem+json"));
    if health || is_problem || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let allow = response.headers().get(ALLOW).cloned();
    let text = match axum::body::to_bytes(response.into_body(), MESSAGE).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    };
    let (kind, fallback) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => (Kind::TooLarge, "The body is too large; nothing was changed."),
        StatusCode::NOT_FOUND => (Kind::NotFound, "There is no such route."),
        StatusCode::METHOD_NOT_ALLOWED => (Kind::WrongMethod, "The route does not know this method."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (Kind::Invalid, "Content-Type must be application/json."),
        StatusCode::SERVICE_UNAVAILABLE => (Kind::Unavailable, "It took too long; look whether it was done."),
        _ if status.is_server_error() => (Kind::Internal, "Central could not do this because of an error of its own."),
        _ => (Kind::Invalid, "The request is malformed; nothing was changed."),
    };
    let message = if status.is_client_error() && !text.is_empty() { text } else { fallback.to_owned() };
    let mut problem = Error::new(kind, message).into_response();
    if let Some(allow) = allow {
        problem.headers_mut().insert(ALLOW, allow);
    }
    problem
}

/// A handler panicked: the caller learns that, the log learns why.
#[expect(clippy::needless_pass_by_value, reason = "the shape that the layer asks for")]
pub(super) fn after_panic(panic: Box<dyn Any + Send + 'static>) -> HttpResponse<Body> {
    let why = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Error::internal("a request panicked", anyhow::anyhow!("{why}")).into_response()
}
