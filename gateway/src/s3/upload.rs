//! The body of an upload on its way to the storage: checked, sealed if that is due, and held back at its end.
//!
//! ```text
//! client's body ─▶ length, checksums ─▶ Sink: plain | PartSealer | SingleSealer ─▶ storage
//!                        │ at the end: verified? ─ no ─▶ the body ends in an error, and nothing is committed
//!                        └ yes: the intent is journalled, then the last bytes go
//! ```
//! The storage commits only a body of the announced length, and the last bytes of it leave here only after everything
//! was verified.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use envelope::{ChecksumAlgorithm, Checksums, PartSealer, SingleSealer};
use http::{HeaderMap, HeaderName};
use http_body::{Body as HttpBody, Frame, SizeHint};
use s3s::TrailingHeaders;

use super::checksum::{Declared, Hasher, Verifier, encode, header_name};
use super::error::Error;
use super::form::FormError;
use super::guard::ChunkError;
use super::open::ReadFailed;
use crate::upstream::{Body, BodyError};

/// What is made of the plaintext.
pub(super) enum Sink {
    /// It stays as it is; so many bytes.
    Plain(u64),
    /// A whole object.
    Single(Box<SingleSealer>),
    /// A part of a multipart upload.
    Part(Box<PartSealer>),
}

/// What an upload came to, once its body was taken to the end.
#[derive(Default)]
pub(super) struct Verified {
    /// The checksums that the client gave, verified.
    pub checksums: Vec<(ChecksumAlgorithm, Vec<u8>)>,
    /// MD5 of the plaintext in hex, where it was computed.
    pub md5: Option<String>,
}

/// Told once everything was verified, before the last bytes leave.
pub(super) type BeforeCommit = Box<dyn FnOnce(&Verified) + Send>;

/// How the body ended; shared with whoever waits for the storage's answer.
#[derive(Clone, Default)]
pub(super) struct Ending(Arc<Mutex<Option<Result<Verified, Error>>>>);

impl Ending {
    /// Takes it. None: the body was not taken to its end.
    pub(super) fn take(&self) -> Option<Result<Verified, Error>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, ending: Result<Verified, Error>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ending);
    }
}

/// An upload's body; see the module.
pub(super) struct Upload {
    body: Body,
    declared_len: u64,
    received: u64,
    declared: Declared,
    verifier: Option<Verifier>,
    trailers: Option<TrailingHeaders>,
    md5: Option<Hasher>,
    sink: Option<Sink>,
    stored_left: u64,
    /// Ready for the storage.
    out: VecDeque<Bytes>,
    /// The end of a plain body, until it is verified.
    held: Option<Bytes>,
    /// Of a plain body: the checksum behind it, which the storage verifies too.
    announced: Option<ChecksumAlgorithm>,
    behind: Option<HeaderMap>,
    before_commit: Option<BeforeCommit>,
    ending: Ending,
    done: bool,
}

/// The body failed; the reason is in the [`Ending`].
#[derive(Debug, thiserror::Error)]
#[error("the upload was refused or broke off before its end")]
struct Refused;

impl Upload {
    /// `declared_len` plaintext bytes are to come. With `md5` the plaintext's MD5 is computed.
    pub(super) fn new(
        body: Body,
        declared_len: u64,
        declared: &Declared,
        trailers: Option<TrailingHeaders>,
        sink: Sink,
        md5: bool,
        before_commit: BeforeCommit,
    ) -> (Self, Ending) {
        let stored_left = match &sink {
            Sink::Plain(len) => *len,
            Sink::Single(sealer) => sealer.stored_len(),
            Sink::Part(sealer) => sealer.stored_len(),
        };
        let announced = declared.behind().filter(|_| matches!(sink, Sink::Plain(_)));
        let ending = Ending::default();
        let upload = Self {
            body,
            declared_len,
            received: 0,
            declared: declared.clone(),
            verifier: Some(declared.verifier()),
            trailers,
            md5: md5.then(|| Hasher::new(ChecksumAlgorithm::Md5)),
            sink: Some(sink),
            stored_left,
            out: VecDeque::new(),
            held: None,
            announced,
            behind: None,
            before_commit: Some(before_commit),
            ending: ending.clone(),
            done: false,
        };
        (upload, ending)
    }

    fn take(&mut self, data: Bytes) -> Result<(), Error> {
        if data.is_empty() {
            return Ok(());
        }
        self.received += data.len() as u64;
        if self.received > self.declared_len {
            return Err(Error::incomplete_body("The body has more bytes than its declared length."));
        }
        if let Some(verifier) = &mut self.verifier {
            verifier.update(&data);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(&data);
        }
        let mut ready = Vec::new();
        match self.sink.as_mut().expect("the sink is taken at the end only") {
            Sink::Plain(_) => ready.extend(self.held.replace(data)),
            Sink::Single(sealer) => sealer.push(data, &mut ready).map_err(unsealed)?,
            Sink::Part(sealer) => sealer.push(data, &mut ready).map_err(unsealed)?,
        }
        self.out.extend(ready);
        Ok(())
    }

    /// The client's body ended cleanly: verify it, then let the rest go.
    fn finish(&mut self) -> Result<(), Error> {
        if self.received != self.declared_len {
            return Err(Error::incomplete_body(
                "You did not provide the number of bytes specified by the Content-Length HTTP header",
            ));
        }
        let trailers = self.trailers.as_ref().and_then(TrailingHeaders::take);
        if let Some(trailers) = &trailers {
            self.declared.check_trailers(trailers)?;
        }
        let verifier = self.verifier.take().expect("a body ends once");
        let checksums = verifier.finish(trailers.as_ref())?;
        let behind = self.announced.and_then(|announced| checksums.iter().find(|(known, _)| *known == announced));
        self.behind = behind.map(|(algorithm, value)| {
            HeaderMap::from_iter([(HeaderName::from_static(header_name(*algorithm)), encode(value))])
        });
        let md5 = self.md5.take().map(|md5| hex::encode(md5.finish()));
        let verified = Verified { checksums, md5 };
        let mut ready = Vec::new();
        match self.sink.take().expect("a body ends once") {
            Sink::Plain(_) => ready.extend(self.held.take()),
            Sink::Single(sealer) => {
                let checksums = Checksums::full_object(verified.checksums.iter().cloned());
                sealer.finish(&checksums, &mut ready).map_err(unsealed)?;
            }
            Sink::Part(sealer) => sealer.finish(&mut ready).map_err(unsealed)?,
        }
        if let Some(before_commit) = self.before_commit.take() {
            before_commit(&verified);
        }
        self.out.extend(ready);
        self.ending.set(Ok(verified));
        Ok(())
    }

    /// Takes an empty body to its end, so that an object without bytes is verified before the storage is asked at all.
    pub(super) async fn verify_if_empty(&mut self) -> Result<(), Error> {
        if self.declared_len > 0 {
            return Ok(());
        }
        loop {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await;
            match frame {
                None => break,
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.take(data)?;
                    }
                }
                Some(Err(error)) => return Err(broken(&error)),
            }
        }
        self.done = true;
        self.finish()
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(bytes) = this.out.pop_front() {
                this.stored_left = this.stored_left.saturating_sub(bytes.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if this.done {
                return Poll::Ready(this.behind.take().map(|trailers| Ok(Frame::trailers(trailers))));
            }
            let result = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => {
                    this.done = true;
                    this.finish()
                }
                Some(Ok(frame)) => frame.into_data().map_or(Ok(()), |data| this.take(data)),
                Some(Err(error)) => Err(broken(&error)),
            };
            if let Err(error) = result {
                this.done = true;
                this.out.clear();
                this.held = None;
                this.ending.set(Err(error));
                return Poll::Ready(Some(Err(Refused.into())));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done && self.out.is_empty() && self.behind.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.stored_left)
    }
}

fn unsealed(error: envelope::SealError) -> Error {
    match error {
        envelope::SealError::TooLong { .. } | envelope::SealError::TooShort { .. } => {
            Error::incomplete_body("The body is not as long as declared.").because(error)
        }
        other => Error::internal("The object could not be sealed; nothing was stored.").because(other),
    }
}

/// What a client did wrong whose body failed. s3s says it by the text of its errors only.
pub(super) fn broken(error: &BodyError) -> Error {
    let text = error.to_string();
    // s3s hands on what the framing check said as text.
    let said = |chunk: &&ChunkError| text.contains(&chunk.to_string());
    if let Some(chunk) = error.downcast_ref().or_else(|| ChunkError::ALL.iter().find(said)) {
        return match chunk {
            ChunkError::Incomplete => Error::incomplete_body(chunk.to_string()),
            ChunkError::Malformed | ChunkError::TooLarge => Error::invalid_request(chunk.to_string()),
        };
    }
    if let Some(read) = error.downcast_ref::<ReadFailed>() {
        return read.refusal();
    }
    if let Some(form) = error.downcast_ref::<FormError>() {
        return form.refusal();
    }
    if text.contains("Sha256Mismatch") {
        Error::sha256_mismatch("The provided 'x-amz-content-sha256' header does not match what was computed.")
    } else if text.contains("SignatureMismatch") {
        Error::new(
            http::StatusCode::FORBIDDEN,
            "SignatureDoesNotMatch",
            "The signature of a chunk of the body does not match.",
        )
    } else if text.contains("FormatError") {
        Error::invalid_request(ChunkError::Malformed.to_string())
    } else {
        Error::incomplete_body("The request body broke off.").because(text)
    }
}

#[cfg(test)]
mod tests;
