//! Bodies that a storage does not take as they were sent, and how they are sent instead.
//!
//! ```text
//! refusal ─▶ the body was changed on its way     told as that
//!         ├▶ it must have a check of its own     it gets one, and so has every body from then on
//!         └▶ no chunks that are signed are known kept whole up to 16 MiB and signed with its SHA-256, from then on;
//!                                                a longer one is refused
//! ```
//! Where the storage knows `Expect` it refuses before anything of the body was sent, and then the same request goes again.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use checksums::{Algorithm, Hasher};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::super::{Body, BodyError};

/// The longest body that is kept whole for a storage that takes no signed chunks, in bytes: two parts of the size that
/// clients like best.
pub(crate) const WHOLE: u64 = 16 << 20;
/// Such bodies in memory at once; further ones wait.
const TURNS: usize = 8;
/// What a storage says of a body that is not the one that was signed: the first of any, the others of one in chunks.
const CHANGED: [&str; 3] = ["XAmzContentSHA256Mismatch", "SignatureDoesNotMatch", "IncompleteBody"];
/// The check of a long body that must have one.
pub(super) const CHECK: Algorithm = Algorithm::Crc32;

/// How a body was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Not whole.
    pub(super) streamed: bool,
    /// In chunks that are signed.
    pub(super) signed_chunks: bool,
    /// Without an MD5 or a checksum of its own, which it could have.
    pub(super) may_lack_check: bool,
}

/// What a storage refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// What it got is not what was signed; it says so by this code.
    Changed(&'static str),
    /// A body without a check of its own.
    Unchecked,
    /// Chunks that are signed.
    SignedChunks,
}

impl Refusal {
    /// What the document refuses of a body that was sent so; none: something else.
    pub(super) fn read(document: &[u8], sent: Sent) -> Option<Self> {
        let code = text(document, "Code").unwrap_or_default();
        let changed = if sent.streamed { &CHANGED[..] } else { &CHANGED[..1] };
        if let Some(code) = changed.iter().find(|known| **known == code) {
            return Some(Self::Changed(code));
        }
        // The codes are general ones, and may be of anything else in the request.
        let message = text(document, "Message").unwrap_or_default().to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
        if sent.signed_chunks && says(&["aws-chunked", "streaming-aws4-hmac-sha256-payload", "x-amz-content-sha256"]) {
            return Some(Self::SignedChunks);
        }
        (sent.may_lack_check && says(&["content-md5"])).then_some(Self::Unchecked)
    }
}

fn text<'a>(document: &'a [u8], element: &str) -> Option<&'a str> {
    let document = std::str::from_utf8(document).ok()?;
    let (_, rest) = document.split_once(&format!("<{element}>"))?;
    rest.split_once("</").map(|(text, _)| text)
}

/// What a storage was found to refuse, for as long as the process lives.
pub(super) struct Found {
    signed_chunks: AtomicBool,
    unchecked: AtomicBool,
    turns: Semaphore,
}

impl Default for Found {
    fn default() -> Self {
        Self { signed_chunks: AtomicBool::new(false), unchecked: AtomicBool::new(false), turns: Semaphore::new(TURNS) }
    }
}

impl Found {
    /// Learns from a refusal.
    pub(super) fn learn(&self, backend: &str, refusal: Refusal) {
        let known = match refusal {
            Refusal::SignedChunks => self.signed_chunks.swap(true, Ordering::AcqRel),
            Refusal::Unchecked => self.unchecked.swap(true, Ordering::AcqRel),
            Refusal::Changed(_) => true,
        };
        if !known {
            tracing::warn!(backend, ?refusal, "storage refuses bodies as they were sent, and is sent them otherwise");
        }
    }

    /// Whether it refuses chunks that are signed.
    pub(super) fn refuses_signed_chunks(&self) -> bool {
        self.signed_chunks.load(Ordering::Acquire)
    }

    /// Whether a request needs a check of its body that it does not have. One that locks an object does, at AWS; what
    /// else does, a bucket that locks by itself for example, is found out.
    pub(super) fn lacks_check(&self, head: &Parts) -> bool {
        let locks = || head.headers.keys().any(|name| name.as_str().starts_with("x-amz-object-lock-"));
        may_lack_check(head) && (locks() || self.unchecked.load(Ordering::Acquire))
    }

    /// Room for one body that is kept whole.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        self.turns.acquire().await.expect("the semaphore is never closed")
    }
}

/// Whether a request stores a body, and does not say what it must be.
pub(super) fn may_lack_check(head: &Parts) -> bool {
    let is_check = |name: &HeaderName| {
        matches!(name.as_str(), "content-md5" | "x-amz-trailer" | "x-amz-copy-source")
            || Algorithm::by_header(name.as_str()).is_some()
    };
    head.method == Method::PUT && !head.headers.keys().any(is_check)
}

/// `Content-MD5` of a body.
pub(super) fn md5(body: &[u8]) -> HeaderValue {
    value_of(&checksums::of(Algorithm::Md5, body))
}

fn value_of(digest: &[u8]) -> HeaderValue {
    HeaderValue::from_str(&STANDARD.encode(digest)).expect("Base64 is a header value")
}

/// The body with its checksum behind it.
pub(super) fn summed(body: Body) -> Body {
    Summed { body, hasher: Some(Hasher::new(CHECK)) }.boxed_unsync()
}

struct Summed {
    body: Body,
    hasher: Option<Hasher>,
}

impl HttpBody for Summed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(data), Some(hasher)) = (frame.data_ref(), &mut self.hasher) {
                    hasher.update(data);
                }
            }
            Some(Err(_)) => self.hasher = None,
            None => {
                let trailers = self.hasher.take().map(|hasher| {
                    HeaderMap::from_iter([(HeaderName::from_static(CHECK.header()), value_of(&hasher.finish()))])
                });
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
            }
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_what_the_storage_says_of_the_body() {
        let streamed = Sent { streamed: true, signed_chunks: true, may_lack_check: true };
        let kept = Sent { streamed: false, signed_chunks: false, may_lack_check: true };
        let read = |code: &str, message: &str, sent| {
            let document = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            Refusal::read(document.as_bytes(), sent)
        };
        // As OpenStack Swift and AWS word it.
        let chunks = "Transfering payloads in multiple chunks using aws-chunked is not supported.";
        assert_eq!(read("NotImplemented", chunks, streamed), Some(Refusal::SignedChunks));
        assert_eq!(read("NotImplemented", chunks, kept), None);
        let lock = "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters";
        for sent in [streamed, kept] {
            assert_eq!(read("InvalidRequest", lock, sent), Some(Refusal::Unchecked));
            assert_eq!(read("InvalidRequest", lock, Sent { may_lack_check: false, ..sent }), None);
            assert_eq!(read("AccessDenied", "Access Denied.", sent), None);
        }
        let mismatch = "The provided 'x-amz-content-sha256' header does not match what was computed.";
        let changed = Some(Refusal::Changed("XAmzContentSHA256Mismatch"));
        assert_eq!(read("XAmzContentSHA256Mismatch", mismatch, streamed), changed);
        assert_eq!(read("SignatureDoesNotMatch", "", kept), None, "the secret key is another one");
        // What a client chose is no word of the storage.
        let document = b"<Error><Code>InvalidArgument</Code><Key>aws-chunked</Key></Error>";
        assert_eq!(Refusal::read(document, streamed), None);
    }
}
