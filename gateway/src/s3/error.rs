//! What a client is told when its request is refused: an S3 error, as XML. Causes stay in the log.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};

use crate::upstream::{self, Body, UpstreamError};

/// A refusal. The message is for the client; the source is logged and never sent.
#[derive(Debug)]
pub struct Error {
    /// HTTP status.
    pub status: StatusCode,
    /// The code that S3 clients know.
    pub code: &'static str,
    /// For a person: what happened, what was kept, what to do.
    pub message: String,
    /// Why, for the log.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// Whether the client is told to try again.
    pub retry: bool,
    /// Of a refused range: how many bytes the object has.
    pub object_len: Option<u64>,
    /// What the document says besides.
    pub elements: Vec<(&'static str, String)>,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal $code:literal;)+) => {
        impl Error {
            $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self {
                Self::new(StatusCode::from_u16($status).expect("the table holds legal statuses"), $code, message)
            })+
        }
    };
}

codes! {
    /// No grant covers it, or a policy denies it.
    access_denied = 403 "AccessDenied";
    /// The body is not what Content-MD5 or a checksum says.
    bad_digest = 400 "BadDigest";
    /// The declared digest is not one.
    invalid_digest = 400 "InvalidDigest";
    /// A part is larger than can be stored.
    entity_too_large = 400 "EntityTooLarge";
    /// A part that is not the last is too small.
    entity_too_small = 400 "EntityTooSmall";
    /// The body ended before its declared length.
    incomplete_body = 400 "IncompleteBody";
    /// An argument is wrong.
    invalid_argument = 400 "InvalidArgument";
    /// No bucket can have this name.
    invalid_bucket_name = 400 "InvalidBucketName";
    /// The request contradicts itself.
    invalid_request = 400 "InvalidRequest";
    /// A part that is named is not there, or has another `ETag`.
    invalid_part = 400 "InvalidPart";
    /// The parts are not in ascending order.
    invalid_part_order = 400 "InvalidPartOrder";
    /// Something of ours or of the storage is broken.
    internal = 500 "InternalError";
    /// The body has no length.
    missing_content_length = 411 "MissingContentLength";
    /// The body is no XML of the kind that is needed.
    malformed_xml = 400 "MalformedXML";
    /// The method does not apply.
    method_not_allowed = 405 "MethodNotAllowed";
    /// The bucket does not exist, or is not for clients.
    no_such_bucket = 404 "NoSuchBucket";
    /// The object does not exist.
    no_such_key = 404 "NoSuchKey";
    /// The version of the object does not exist.
    no_such_version = 404 "NoSuchVersion";
    /// The upload does not exist, or its state is lost.
    no_such_upload = 404 "NoSuchUpload";
    /// The bucket has no default encryption.
    no_encryption_configuration = 404 "ServerSideEncryptionConfigurationNotFoundError";
    /// Not offered here.
    not_implemented = 501 "NotImplemented";
    /// A condition does not hold.
    precondition_failed = 412 "PreconditionFailed";
    /// A signed body is not what was signed.
    sha256_mismatch = 400 "XAmzContentSHA256Mismatch";
}

impl Error {
    /// A refusal without a source.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            source: None,
            retry: false,
            object_len: None,
            elements: Vec::new(),
        }
    }

    /// What could not be looked up at the storage, which answered with `status`: refused there, or to be tried again.
    pub fn unseen(status: StatusCode, what: &str) -> Self {
        let error = if status == StatusCode::FORBIDDEN {
            Self::access_denied(format!("{what}: the storage refuses it."))
        } else {
            Self::slow_down(format!("{what}. Try again."))
        };
        error.because(format!("the storage answers {status}"))
    }

    /// 503 with Retry-After: not now. Nothing was stored.
    pub fn slow_down(message: impl Into<String>) -> Self {
        Self { retry: true, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", message) }
    }

    /// 416: the range has nothing of the object, which has `len` bytes. Clients that read on learn its end from it
    /// (RFC 9110, section 15.5.17), or from the document.
    pub fn invalid_range(len: u64) -> Self {
        let message = format!("The requested range is not satisfiable; the object has {len} bytes");
        let elements = vec![("ActualObjectSize", len.to_string())];
        Self {
            object_len: Some(len),
            elements,
            ..Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange", message)
        }
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The cause and its causes, in one line.
    pub fn cause(&self) -> Option<String> {
        let mut error: Option<&(dyn std::error::Error + 'static)> = match &self.source {
            Some(source) => Some(source.as_ref()),
            None => return None,
        };
        let mut line = String::new();
        while let Some(current) = error {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&current.to_string());
            error = current.source();
        }
        Some(line)
    }

    /// The response. `resource` is the path that was asked for.
    pub fn response(&self, resource: &str, request_id: &str) -> Response<Body> {
        self.response_of(self.code, resource, request_id)
    }

    /// The same with another code.
    pub fn response_of(&self, code: &str, resource: &str, request_id: &str) -> Response<Body> {
        let besides = self.elements.iter().map(|(name, text)| format!("<{name}>{}</{name}>", escape(text)));
        let xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>{}\
             <Resource>{}</Resource><RequestId>{}</RequestId></Error>",
            escape(code),
            escape(&self.message),
            besides.collect::<String>(),
            escape(resource),
            escape(request_id)
        );
        let mut response = Response::new(upstream::full(Bytes::from(xml)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        if self.retry {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        if let Some(len) = self.object_len {
            let range = HeaderValue::from_str(&format!("bytes */{len}")).expect("digits are a header value");
            response.headers_mut().insert(CONTENT_RANGE, range);
        }
        response
    }
}

impl From<UpstreamError> for Error {
    fn from(error: UpstreamError) -> Self {
        match &error {
            UpstreamError::Unreachable { .. } | UpstreamError::Broken { .. } | UpstreamError::Deadline { .. } => {
                Self::slow_down("The storage did not answer. Try again.").because(error)
            }
            UpstreamError::Changed { .. } => {
                Self::slow_down("The request was changed on its way to the storage; nothing was stored. Try again.")
                    .because(error)
            }
            UpstreamError::SignedChunks { .. } => Self::not_implemented(format!(
                "The storage takes no body of more than {} MiB from the gateway. Send smaller parts; or the gateway's \
                 administrator reaches the storage by TLS.",
                upstream::WHOLE >> 20
            ))
            .because(error),
            UpstreamError::Redirect { .. } | UpstreamError::Request { .. } | UpstreamError::TooLarge { .. } => {
                Self::internal("The gateway and its storage do not understand each other.").because(error)
            }
        }
    }
}

/// A stored object whose metadata of ours cannot be read.
pub fn unreadable(error: envelope::FormatError) -> Error {
    Error::internal(format!("The stored object cannot be read: {error}.")).because(error)
}

/// Text for XML. Control characters, which a key may have, are written as references, as S3 does.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in quick_xml::escape::escape(text).chars() {
        if character < ' ' && !matches!(character, '\t' | '\n') {
            // A carriage return too: a reader would take a bare one for a line feed.
            let _ = write!(out, "&#x{:x};", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn text_for_xml_keeps_every_character_of_a_key() {
        assert_eq!(escape("ü & <b>/\u{1}\r%41"), "ü &amp; &lt;b&gt;/&#x1;&#xd;%41");
    }
}
