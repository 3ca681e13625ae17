//! S3's error codes with their statuses, and the XML in which they are answered.

use std::borrow::Cow;
use std::io;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use crate::Body;
use crate::answer;
use crate::xml::Writer;

/// What every operation returns.
pub(crate) type Answer = Result<Response<Body>, S3Error>;

/// The error codes of S3 that this storage answers (S3 API reference, "Error responses").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    AccessControlListNotSupported,
    /// Of CORS: no rule allows it.
    AccessForbidden,
    BadDigest,
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    EntityTooLarge,
    EntityTooSmall,
    IncompleteBody,
    /// Not of S3: the file system is full.
    InsufficientStorage,
    InternalError,
    InvalidArgument,
    InvalidBucketName,
    InvalidDigest,
    InvalidPart,
    InvalidPartNumber,
    InvalidPartOrder,
    InvalidRange,
    InvalidRequest,
    InvalidTag,
    InvalidUri,
    KeyTooLong,
    MalformedXml,
    MetadataTooLarge,
    MissingContentLength,
    MissingSecurityHeader,
    NoSuchBucket,
    NoSuchBucketPolicy,
    NoSuchCorsConfiguration,
    NoSuchKey,
    NoSuchLifecycleConfiguration,
    NoSuchPublicAccessBlockConfiguration,
    NoSuchTagSet,
    NoSuchUpload,
    NoSuchWebsiteConfiguration,
    NotImplemented,
    /// 304: a condition of a read says that the caller has the object already.
    NotModified,
    ObjectLockConfigurationNotFound,
    PreconditionFailed,
    ReplicationConfigurationNotFound,
    SlowDown,
}

impl Code {
    /// The code as it is written in the answer, and its HTTP status.
    fn row(self) -> (&'static str, StatusCode) {
        use StatusCode as S;
        match self {
            Self::AccessControlListNotSupported => ("AccessControlListNotSupported", S::BAD_REQUEST),
            Self::AccessForbidden => ("AccessForbidden", S::FORBIDDEN),
            Self::BadDigest => ("BadDigest", S::BAD_REQUEST),
            Self::BucketAlreadyOwnedByYou => ("BucketAlreadyOwnedByYou", S::CONFLICT),
            Self::BucketNotEmpty => ("BucketNotEmpty", S::CONFLICT),
            Self::EntityTooLarge => ("EntityTooLarge", S::BAD_REQUEST),
            Self::EntityTooSmall => ("EntityTooSmall", S::BAD_REQUEST),
            Self::IncompleteBody => ("IncompleteBody", S::BAD_REQUEST),
            Self::InsufficientStorage => ("InsufficientStorage", S::INSUFFICIENT_STORAGE),
            Self::InternalError => ("InternalError", S::INTERNAL_SERVER_ERROR),
            Self::InvalidArgument => ("InvalidArgument", S::BAD_REQUEST),
            Self::InvalidBucketName => ("InvalidBucketName", S::BAD_REQUEST),
            Self::InvalidDigest => ("InvalidDigest", S::BAD_REQUEST),
            Self::InvalidPart => ("InvalidPart", S::BAD_REQUEST),
            Self::InvalidPartNumber => ("InvalidPartNumber", S::RANGE_NOT_SATISFIABLE),
            Self::InvalidPartOrder => ("InvalidPartOrder", S::BAD_REQUEST),
            Self::InvalidRange => ("InvalidRange", S::RANGE_NOT_SATISFIABLE),
            Self::InvalidRequest => ("InvalidRequest", S::BAD_REQUEST),
            Self::InvalidTag => ("InvalidTag", S::BAD_REQUEST),
            Self::InvalidUri => ("InvalidURI", S::BAD_REQUEST),
            Self::KeyTooLong => ("KeyTooLongError", S::BAD_REQUEST),
            Self::MalformedXml => ("MalformedXML", S::BAD_REQUEST),
            Self::MetadataTooLarge => ("MetadataTooLarge", S::BAD_REQUEST),
            Self::MissingContentLength => ("MissingContentLength", S::LENGTH_REQUIRED),
            Self::MissingSecurityHeader => ("MissingSecurityHeader", S::BAD_REQUEST),
            Self::NoSuchBucket => ("NoSuchBucket", S::NOT_FOUND),
            Self::NoSuchBucketPolicy => ("NoSuchBucketPolicy", S::NOT_FOUND),
            Self::NoSuchCorsConfiguration => ("NoSuchCORSConfiguration", S::NOT_FOUND),
            Self::NoSuchKey => ("NoSuchKey", S::NOT_FOUND),
            Self::NoSuchLifecycleConfiguration => ("NoSuchLifecycleConfiguration", S::NOT_FOUND),
            Self::NoSuchPublicAccessBlockConfiguration => ("NoSuchPublicAccessBlockConfiguration", S::NOT_FOUND),
            Self::NoSuchTagSet => ("NoSuchTagSet", S::NOT_FOUND),
            Self::NoSuchUpload => ("NoSuchUpload", S::NOT_FOUND),
            Self::NoSuchWebsiteConfiguration => ("NoSuchWebsiteConfiguration", S::NOT_FOUND),
            Self::ObjectLockConfigurationNotFound => ("ObjectLockConfigurationNotFoundError", S::NOT_FOUND),
            Self::ReplicationConfigurationNotFound => ("ReplicationConfigurationNotFoundError", S::NOT_FOUND),
            Self::NotImplemented => ("NotImplemented", S::NOT_IMPLEMENTED),
            Self::NotModified => ("NotModified", S::NOT_MODIFIED),
            Self::PreconditionFailed => ("PreconditionFailed", S::PRECONDITION_FAILED),
            Self::SlowDown => ("SlowDown", S::SERVICE_UNAVAILABLE),
        }
    }

    /// The code as it is written in the answer.
    pub(crate) fn name(self) -> &'static str {
        self.row().0
    }
}

/// A refusal or a failure, as the caller sees it.
#[derive(Debug)]
pub(crate) struct S3Error {
    code: Code,
    message: Cow<'static, str>,
    headers: Vec<(http::HeaderName, HeaderValue)>,
    elements: Vec<(&'static str, String)>,
}

impl S3Error {
    /// An error with a message for the caller.
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), headers: Vec::new(), elements: Vec::new() }
    }

    /// The same error with a header in its response.
    pub(crate) fn with_header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same error with an element in its document.
    pub(crate) fn with_element(mut self, name: &'static str, text: String) -> Self {
        self.elements.push((name, text));
        self
    }

    /// A failure of the file system. The cause goes to the log, not to the caller.
    pub(crate) fn io(doing: &'static str, source: &io::Error) -> Self {
        tracing::error!(doing, error = %source, "storage operation fails");
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::new(Code::InsufficientStorage, "The storage is full. Nothing was stored.");
        }
        if source.kind() == io::ErrorKind::TimedOut {
            return Self::new(Code::SlowDown, "Another process holds a lock for too long. Nothing was changed.");
        }
        Self::new(Code::InternalError, format!("The storage failed while {doing}."))
    }

    /// Stored files that do not fit together: something other than this storage changed them.
    pub(crate) fn damaged(what: impl Into<Cow<'static, str>>) -> Self {
        let error = Self::new(Code::InternalError, what);
        tracing::error!(damage = %error.message, "stored object is damaged");
        error
    }

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The response: S3's error document, or no body where HTTP has none (HEAD, 304).
    pub(crate) fn into_response(self, resource: &str, request_id: &str, head: bool) -> Response<Body> {
        let (name, status) = self.code.row();
        let bodiless = head || status == StatusCode::NOT_MODIFIED;
        let mut response = if bodiless {
            Response::new(answer::empty())
        } else {
            let mut xml = Writer::new();
            xml.open("Error");
            xml.text("Code", name);
            xml.text("Message", &self.message);
            for (name, text) in &self.elements {
                xml.text(name, text);
            }
            xml.text("Resource", resource);
            xml.text("RequestId", request_id);
            xml.close("Error");
            let document = xml.finish();
            let length = document.len();
            let mut response = Response::new(answer::full(document));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
            response
        };
        *response.status_mut() = status;
        response.headers_mut().extend(self.headers);
        response
    }
}

/// The bucket does not exist.
pub(crate) fn no_such_bucket() -> S3Error {
    S3Error::new(Code::NoSuchBucket, "The specified bucket does not exist.")
}

/// The key does not exist in an existing bucket.
pub(crate) fn no_such_key() -> S3Error {
    S3Error::new(Code::NoSuchKey, "The specified key does not exist.")
}

/// The multipart upload does not exist, was completed, or was aborted.
pub(crate) fn no_such_upload() -> S3Error {
    S3Error::new(
        Code::NoSuchUpload,
        "The specified multipart upload does not exist. It may have been completed or aborted.",
    )
}

/// A parameter has a value that S3 does not allow.
pub(crate) fn invalid_argument(message: impl Into<Cow<'static, str>>) -> S3Error {
    S3Error::new(Code::InvalidArgument, message)
}

/// A condition of a write or of a copy's source does not hold.
pub(crate) fn precondition_failed(which: &'static str) -> S3Error {
    S3Error::new(
        Code::PreconditionFailed,
        format!("At least one of the pre-conditions you specified did not hold: {which}."),
    )
}
