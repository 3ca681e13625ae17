//! The one error of Central: what kind, what the caller may read, what only the log may read.
//!
//! ```text
//! slice ──▶ Error {kind, code, public, errors | source} ──▶ REST: RFC 9457 problem    (table `Kind::status`)
//!                                                       ──▶ gRPC: status              (table `Kind::grpc`)
//! ```
//! The source never leaves the process: neither conversion reads it.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Closed list of what can go wrong, as a caller sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is malformed.
    Invalid,
    /// The request is well-formed, its content is not acceptable; positions are in `errors`.
    Rejected,
    /// Nobody is known to be calling.
    Unauthenticated,
    /// The caller has no right to it.
    Forbidden,
    /// There is no such thing (it was looked for and is not there).
    NotFound,
    /// The route does not know the method.
    WrongMethod,
    /// It exists already, or its state forbids the change.
    Conflict,
    /// What the caller knew is no longer so (`If-Match`).
    Stale,
    /// The change needs a precondition and has none.
    Unconditional,
    /// More bytes or items than are taken.
    TooLarge,
    /// Too many attempts; later.
    TooMany,
    /// Cannot be done now; it may work on another try.
    Unavailable,
    /// Our fault.
    Internal,
}

impl Kind {
    /// HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Rejected => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Stale => StatusCode::PRECONDITION_FAILED,
            Self::Unconditional => StatusCode::PRECONDITION_REQUIRED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// gRPC code.
    pub const fn grpc(self) -> tonic::Code {
        match self {
            Self::Invalid | Self::Rejected | Self::WrongMethod => tonic::Code::InvalidArgument,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
            Self::Forbidden => tonic::Code::PermissionDenied,
            Self::NotFound => tonic::Code::NotFound,
            Self::Conflict => tonic::Code::AlreadyExists,
            Self::Stale | Self::Unconditional => tonic::Code::FailedPrecondition,
            Self::TooLarge | Self::TooMany => tonic::Code::ResourceExhausted,
            Self::Unavailable => tonic::Code::Unavailable,
            Self::Internal => tonic::Code::Internal,
        }
    }

    /// The default `code` of the problem.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Rejected => "rejected",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::WrongMethod => "wrong-method",
            Self::Conflict => "conflict",
            Self::Stale => "stale",
            Self::Unconditional => "precondition-required",
            Self::TooLarge => "too-large",
            Self::TooMany => "too-many",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The title of the problem: the same for every problem of the kind.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Invalid => "The request is malformed",
            Self::Rejected => "The content is not acceptable",
            Self::Unauthenticated => "Log-in or token needed",
            Self::Forbidden => "Not allowed",
            Self::NotFound => "Not found",
            Self::WrongMethod => "Wrong method",
            Self::Conflict => "In conflict with what is there",
            Self::Stale => "Changed in the meantime",
            Self::Unconditional => "A precondition is needed",
            Self::TooLarge => "Too large",
            Self::TooMany => "Too many attempts",
            Self::Unavailable => "Not available now",
            Self::Internal => "Internal error",
        }
    }
}

/// One thing that is wrong in a document, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Issue {
    /// Line in the text that was sent, from 1; 0 where there is no text.
    pub line: u32,
    /// Column in characters, from 1; 0 where there is no text.
    pub column: u32,
    /// Field path, such as `spec.when`; empty for the document itself.
    pub path: String,
    /// Stable code.
    pub code: String,
    /// For a person.
    pub message: String,
}

impl From<&policy::Problem> for Issue {
    fn from(problem: &policy::Problem) -> Self {
        Self {
            line: problem.line,
            column: problem.column,
            path: problem.path.clone(),
            code: problem.code.as_str().to_owned(),
            message: problem.message.clone(),
        }
    }
}

/// Why something was not done. `public` may be shown to whoever asked; `source` is for the log alone.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    code: &'static str,
    public: Cow<'static, str>,
    errors: Vec<Issue>,
    source: Option<Source>,
    conflict: bool,
    retry_after_s: Option<u64>,
}

impl Error {
    /// An error whose message the caller may read: what happened, what was kept, what to do.
    pub fn new(kind: Kind, public: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            code: kind.code(),
            public: public.into(),
            errors: Vec::new(),
            source: None,
            conflict: false,
            retry_after_s: None,
        }
    }

    /// There is no such thing.
    pub fn not_found(what: &str, name: &str) -> Self {
        Self::new(Kind::NotFound, format!("There is no {what} {name:?}."))
    }

    /// Something of ours failed. `what` goes to the log with the source; the caller reads only that it is internal.
    pub fn internal(what: &'static str, source: impl Into<Source>) -> Self {
        Self {
            source: Some(Box::new(Context { what, source: source.into() })),
            ..Self::new(
                Kind::Internal,
                "Central could not do this because of an error of its own; nothing was changed. The log says more.",
            )
        }
    }

    /// A row does not make sense. A corrupt row is never shown as absent.
    pub fn corrupt(table: &'static str, column: &'static str, source: impl Into<Source>) -> Self {
        Self::internal(table, anyhow::Error::from_boxed(source.into()).context(format!("column {column} is corrupt")))
    }

    /// A statement failed for a reason that no constraint of the slice explains. `what` names the statement.
    ///
    /// A conflict between transactions and a database that does not answer are [`Kind::Unavailable`].
    pub fn database(what: &'static str, source: sqlx::Error) -> Self {
        let state = source.as_database_error().and_then(sqlx::error::DatabaseError::code);
        // serialization_failure, deadlock_detected
        let conflict = matches!(state.as_deref(), Some("40001" | "40P01"));
        let class = state.as_deref().and_then(|state| state.get(..2));
        let away = matches!(source, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_))
            // connection exception, insufficient resources, operator intervention, lock_not_available
            || matches!(class, Some("08" | "53" | "57"))
            // and idle_in_transaction_session_timeout, after which the connection is gone
            || matches!(state.as_deref(), Some("55P03" | "25P03"));
        if conflict || away {
            return Self {
                source: Some(Box::new(Context { what, source: source.into() })),
                conflict,
                ..Self::new(Kind::Unavailable, "The database does not answer now; nothing was changed. Try again.")
            };
        }
        Self::internal(what, source)
    }

    /// The same with a code of its own, from a closed list in the API's documentation.
    #[must_use]
    pub fn code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// The same with the places that are wrong.
    #[must_use]
    pub fn issues(self, errors: Vec<Issue>) -> Self {
        Self { errors, ..self }
    }

    /// The same said of one field of what was sent, so that a form can show it there. After [`Self::code`].
    #[must_use]
    pub fn at(self, field: &str) -> Self {
        let issue = Issue {
            line: 0,
            column: 0,
            path: field.to_owned(),
            code: self.code.to_owned(),
            message: self.public.clone().into_owned(),
        };
        self.issues(vec![issue])
    }

    /// The same with what caused it, for the log.
    #[must_use]
    pub fn because(self, source: impl Into<Source>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// The same with a time after which another attempt makes sense, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The stable code of the problem.
    pub fn problem_code(&self) -> &'static str {
        self.code
    }

    /// What the caller may read.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The transaction lost against another and may be tried again.
    pub(crate) fn is_conflict(&self) -> bool {
        self.conflict
    }

    /// Writes it to the log where it is our fault. Called once, where it is handled.
    fn log(&self) {
        match (self.kind, &self.source) {
            (Kind::Internal, Some(source)) => {
                tracing::error!(error = %Chain(source.as_ref()), "request fails");
            }
            (Kind::Unavailable, Some(source)) => {
                tracing::warn!(error = %Chain(source.as_ref()), "request cannot be served now");
            }
            (_, Some(source)) => {
                tracing::debug!(code = self.code, error = %Chain(source.as_ref()), "request is refused");
            }
            (_, None) => tracing::debug!(code = self.code, "request is refused"),
        }
    }
}

impl std::fmt::Display for Error {
    /// With the source: for logs and for `main`, never for a caller.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {}", self.kind.title(), Chain(source.as_ref())),
            None => write!(f, "{}: {}", self.kind.title(), self.public),
        }
    }
}

impl std::error::Error for Error {}

/// An RFC 9457 problem.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// `https://sealgate.dev/problems/CODE`; an identifier, not an address.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of the kind.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened, what was kept, what to do.
    pub detail: String,
    /// Stable word for scripts.
    pub code: String,
    /// Places in a document that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Issue>,
}

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        Self {
            kind: format!("https://sealgate.dev/problems/{}", error.code),
            title: error.kind.title().to_owned(),
            status: error.kind.status().as_u16(),
            detail: error.public.clone().into_owned(),
            code: error.code.to_owned(),
            errors: error.errors.clone(),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.log();
        let mut response = (self.kind.status(), axum::Json(Problem::from(&self))).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.kind == Kind::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        error.log();
        Self::new(error.kind.grpc(), error.public.into_owned())
    }
}

/// A source with what was being done.
#[derive(Debug)]
struct Context {
    what: &'static str,
    source: Source,
}

impl std::fmt::Display for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.what)
    }
}

impl std::error::Error for Context {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref())
    }
}

/// An error and what caused it, on one line.
struct Chain<'a>(&'a (dyn std::error::Error + Send + Sync + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}
