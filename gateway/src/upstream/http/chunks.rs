//! A long body on its way, in chunks that the storage verifies before it commits (S3 API reference, "Signature
//! Calculations for the Authorization Header: Transferring Payload in Multiple Chunks", and the page on trailing headers).
//!
//! ```text
//! body ─▶ LENGTH;chunk-signature=… CRLF 128 KiB CRLF … 0;chunk-signature=… CRLF [checksum, its signature] CRLF
//!                       └ over the chunk's SHA-256 and the signature before it; the first follows that of the headers
//! ```
//! A byte that was changed on the wire, or a chunk that was dropped, moved or put in, is a refusal, and nothing is stored.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_lc_rs::digest::{self, SHA256};
use aws_lc_rs::hmac;
use bytes::Bytes;
use checksums::Algorithm;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;

use super::super::{Body, BodyError};

/// Bytes of a chunk, but for the last.
const CHUNK: usize = 128 << 10;
/// SHA-256 of nothing, in hex.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Digits of a signature.
const SIGNATURE: usize = 64;

/// How a long body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// Whether its chunks are signed.
    pub(super) signed: bool,
    /// The checksum in its trailer.
    pub(super) trailer: Option<Algorithm>,
}

impl Framing {
    /// What `x-amz-content-sha256` says of it.
    pub(super) fn content(self) -> &'static str {
        match (self.signed, self.trailer) {
            (true, None) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            (true, Some(_)) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            (false, Some(_)) => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            (false, None) => "UNSIGNED-PAYLOAD",
        }
    }

    /// Whether the body is in chunks at all.
    pub(super) fn is_chunked(self) -> bool {
        self.signed || self.trailer.is_some()
    }

    /// Bytes on the wire of a body of `len` bytes.
    pub(super) fn wire_len(self, len: u64) -> u64 {
        if !self.is_chunked() {
            return len;
        }
        let line = |chunk: u64| {
            let digits = u64::from((64 - chunk.leading_zeros()).div_ceil(4).max(1));
            digits + if self.signed { (";chunk-signature=".len() + SIGNATURE) as u64 } else { 0 } + 2
        };
        let (whole, rest) = (len / CHUNK as u64, len % CHUNK as u64);
        let mut wire = whole * (line(CHUNK as u64) + CHUNK as u64 + 2);
        if rest > 0 {
            wire += line(rest) + rest + 2;
        }
        wire += line(0);
        if let Some(algorithm) = self.trailer {
            wire += (algorithm.header().len() + 1 + algorithm.value_len().div_ceil(3) * 4 + 2) as u64;
            if self.signed {
                wire += ("x-amz-trailer-signature:".len() + SIGNATURE + 2) as u64;
            }
        }
        wire + 2
    }
}

/// What the signature of the first chunk follows.
pub(super) struct Seed {
    pub(super) key: hmac::Key,
    /// As in `x-amz-date`.
    pub(super) date: String,
    /// Day, region, service.
    pub(super) scope: String,
    /// The signature of the headers, then that of the chunk before.
    pub(super) signature: String,
}

impl Seed {
    fn next(&mut self, algorithm: &str, digest: &str) -> &str {
        let (date, scope, before) = (&self.date, &self.scope, &self.signature);
        let text = format!("{algorithm}\n{date}\n{scope}\n{before}\n{digest}");
        self.signature = hex::encode(hmac::sign(&self.key, text.as_bytes()));
        &self.signature
    }
}

/// The body of `len` bytes in chunks. A body of another length, or without the checksum that it announces, ends in an
/// error.
pub(super) fn framed(body: Body, len: u64, framing: Framing, seed: Seed) -> Body {
    let chunks = Chunks {
        body,
        left: len,
        wire_left: framing.wire_len(len),
        framing,
        seed,
        gathered: VecDeque::new(),
        gathered_len: 0,
        trailers: None,
        out: VecDeque::new(),
        done: false,
    };
    chunks.boxed_unsync()
}

struct Chunks {
    body: Body,
    /// Bytes of the body that are to come.
    left: u64,
    wire_left: u64,
    framing: Framing,
    seed: Seed,
    /// What will be the next chunk.
    gathered: VecDeque<Bytes>,
    gathered_len: usize,
    trailers: Option<HeaderMap>,
    out: VecDeque<Bytes>,
    done: bool,
}

impl Chunks {
    fn take(&mut self, data: Bytes) -> Result<(), BodyError> {
        self.left = self.left.checked_sub(data.len() as u64).ok_or("the body is longer than announced")?;
        self.gathered_len += data.len();
        self.gathered.push_back(data);
        while self.gathered_len >= CHUNK {
            self.emit(CHUNK);
        }
        Ok(())
    }

    /// Puts a chunk of the next `len` gathered bytes out.
    fn emit(&mut self, len: usize) {
        let mut digest = digest::Context::new(&SHA256);
        let (mut chunk, mut wanted) = (Vec::new(), len);
        while wanted > 0 {
            let Some(mut piece) = self.gathered.pop_front() else { break };
            if piece.len() > wanted {
                self.gathered.push_front(piece.split_off(wanted));
            }
            wanted -= piece.len();
            if self.framing.signed {
                digest.update(&piece);
            }
            chunk.push(piece);
        }
        self.gathered_len -= len;
        let line = if self.framing.signed {
            let digest = format!("{NOTHING}\n{}", hex::encode(digest.finish()));
            format!("{len:x};chunk-signature={}\r\n", self.seed.next("AWS4-HMAC-SHA256-PAYLOAD", &digest))
        } else {
            format!("{len:x}\r\n")
        };
        self.out.push_back(line.into());
        if len > 0 {
            self.out.extend(chunk);
            self.out.push_back(Bytes::from_static(b"\r\n"));
        }
    }

    fn end(&mut self) -> Result<(), BodyError> {
        if self.left > 0 {
            return Err("the body is shorter than announced".into());
        }
        if self.gathered_len > 0 {
            self.emit(self.gathered_len);
        }
        self.emit(0);
        let mut end = String::new();
        if let Some(algorithm) = self.framing.trailer {
            let name = algorithm.header();
            let value = self.trailers.as_ref().and_then(|trailers| trailers.get(name)?.to_str().ok());
            let value = value.ok_or("the body ends without the checksum that it announces")?;
            end = format!("{name}:{value}\r\n");
            if self.framing.signed {
                let digest = digest::digest(&SHA256, format!("{name}:{value}\n").as_bytes());
                let signature = self.seed.next("AWS4-HMAC-SHA256-TRAILER", &hex::encode(digest));
                end = format!("{end}x-amz-trailer-signature:{signature}\r\n");
            }
        }
        self.out.push_back((end + "\r\n").into());
        Ok(())
    }
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(bytes) = this.out.pop_front() {
                this.wire_left = this.wire_left.saturating_sub(bytes.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if this.done {
                return Poll::Ready(None);
            }
            let result = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => {
                    this.done = true;
                    this.end()
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.take(data),
                    Err(frame) => {
                        this.trailers = frame.into_trailers().ok();
                        Ok(())
                    }
                },
                Some(Err(error)) => Err(error),
            };
            if let Err(error) = result {
                this.done = true;
                this.out.clear();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done && self.out.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.wire_left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;

    fn seed() -> Seed {
        Seed {
            key: hmac::Key::new(hmac::HMAC_SHA256, b"key"),
            date: "20130524T000000Z".to_owned(),
            scope: "20130524/us-east-1/s3/aws4_request".to_owned(),
            signature: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9".to_owned(),
        }
    }

    async fn sent(pieces: Vec<Frame<Bytes>>, len: u64, framing: Framing, seed: Seed) -> Result<Bytes, String> {
        let body = StreamBody::new(futures_util::stream::iter(pieces.into_iter().map(Ok::<_, BodyError>)));
        let collected = framed(body.boxed_unsync(), len, framing, seed).collect().await;
        collected.map(http_body_util::Collected::to_bytes).map_err(|error| error.to_string())
    }

    fn data(len: usize) -> Frame<Bytes> {
        Frame::data(Bytes::from(vec![b'a'; len]))
    }

    #[tokio::test]
    async fn the_length_on_the_wire_is_known_before_the_first_byte() {
        let value = http::HeaderValue::from_static("AAAAAA==");
        for framing in [
            Framing { signed: true, trailer: None },
            Framing { signed: true, trailer: Some(Algorithm::Crc32) },
            Framing { signed: false, trailer: Some(Algorithm::Crc32) },
        ] {
            for len in [0, 1, 15, 16, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 4096] {
                let mut pieces = vec![data(len / 3), data(len - len / 3)];
                let trailers = HeaderMap::from_iter([("x-amz-checksum-crc32".parse().unwrap(), value.clone())]);
                pieces.push(Frame::trailers(trailers));
                let wire = sent(pieces, len as u64, framing, seed()).await.unwrap();
                assert_eq!(wire.len() as u64, framing.wire_len(len as u64), "{framing:?} {len}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_is_not_what_was_announced_ends_in_an_error() {
        let signed = Framing { signed: true, trailer: None };
        assert!(sent(vec![data(9)], 10, signed, seed()).await.is_err());
        assert!(sent(vec![data(11)], 10, signed, seed()).await.is_err());
        let trailer = Framing { signed: true, trailer: Some(Algorithm::Crc32) };
        assert!(sent(vec![data(10)], 10, trailer, seed()).await.is_err());
    }
}
