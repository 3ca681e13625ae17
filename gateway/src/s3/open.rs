//! A stored object on its way to the client: found out what it is, opened, and read.
//!
//! ```text
//! response's head ─▶ Stored ─▶ open(): header in the metadata │ footer by a suffix range ─▶ KMS ─▶ Object
//!                                                                             │ read() ─▶ Opening: authenticated bytes
//! ```
//! Each request after the first names the `ETag` and the version that were seen; [`Failed::Changed`] means that the object
//! is another one by now, and the caller starts again.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use envelope::{
    ChecksumAlgorithm, ChecksumKind, Expected, FOOTER_GUESS, Footer, FooterRead, FormatError, Metadata, Object,
    OpenError, Opener,
};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, RANGE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use ids::{Direction, Outcome};

use super::Front;
use super::access::{Granted, Place};
use super::error::Error;
use super::footers::Known;
use super::headers;
use super::multipart::checksums::text_of;
use super::multipart::field;
use super::range::parse_content_range;
use crate::group::Document;
use crate::stats::{Count, Stats};
use crate::upstream::{self, Body, BodyError};

/// An object as a response of the storage shows it.
pub(super) struct Stored {
    /// The response's headers.
    pub headers: HeaderMap,
    /// Bytes of the whole stored object.
    pub len: u64,
    /// The version that was seen, where there are versions.
    pub version: Option<String>,
    /// The version that the client asked for; none: the latest.
    pub asked: Option<String>,
    /// Keys of the client's own, without which the storage does not give it.
    pub keys: HeaderMap,
}

/// Why a read came to nothing.
pub(super) enum Failed {
    /// The object is another one by now.
    Changed,
    /// For the client.
    Error(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Stored {
    /// Reads the head of a 200 or 206. `keys`: of the client's own, as a read needs them.
    pub(super) fn read(headers: HeaderMap, asked_version: Option<&str>, keys: HeaderMap) -> Result<Self, Error> {
        let unclear = || Error::internal("The storage does not say how long the object is.");
        let len = if let Some(range) = headers.get(CONTENT_RANGE) {
            parse_content_range(range).ok_or_else(unclear)?.1
        } else {
            let len = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
            len.and_then(|text| text.parse().ok()).ok_or_else(unclear)?
        };
        let seen = headers.get("x-amz-version-id").and_then(|value| value.to_str().ok());
        let version = asked_version.or(seen).map(str::to_owned);
        Ok(Self { headers, len, version, asked: asked_version.map(str::to_owned), keys })
    }

    fn etag(&self) -> Option<&HeaderValue> {
        self.headers.get(ETAG)
    }
}

impl Front {
    /// Opens a sealed object: from the header in its metadata where that is enough, else from its footer.
    pub(super) async fn open(
        &self,
        granted: &Granted,
        key: &str,
        stored: &Stored,
        metadata: Option<&Metadata>,
        with_footer: bool,
    ) -> Result<Object, Failed> {
        let header = metadata.and_then(Metadata::header);
        let (place, asked) = (&granted.place, stored.asked.as_deref());
        if !with_footer
            && let Some(header) = header
            && let Some(object) = self.open_header(granted, key, header).await?
        {
            if let Some(etag) = stored.etag() {
                let known =
                    Known { etag: etag.clone(), stored_len: stored.len, metadata: metadata.cloned(), footer: None };
                self.footers.remember(place, key, asked, known);
            }
            return Ok(object);
        }
        let cached = self.footers.get(place, key, asked);
        let cached = cached.filter(|known| Some(&known.etag) == stored.etag() && known.stored_len == stored.len);
        let footer = match cached.and_then(|known| known.footer.clone()) {
            Some(footer) => footer,
            None => self.footer(place, key, stored).await?,
        };
        Ok(self.open_by_footer(granted, key, stored, metadata, footer).await?)
    }

    /// Opens a sealed object by the footer that was read of it, which must be that of its metadata.
    pub(super) async fn open_by_footer(
        &self,
        granted: &Granted,
        key: &str,
        stored: &Stored,
        metadata: Option<&Metadata>,
        footer: Footer,
    ) -> Result<Object, Error> {
        let header = metadata.and_then(Metadata::header);
        if header.is_some_and(|header| !header.is_same(footer.header())) {
            return Err(unopened(OpenError::FooterDisagrees));
        }
        let object = self.open_footer(granted, key, &footer).await?;
        if let Some(etag) = stored.etag() {
            let (etag, footer) = (etag.clone(), Some(footer));
            let known = Known { etag, stored_len: stored.len, metadata: metadata.cloned(), footer };
            self.footers.remember(&granted.place, key, stored.asked.as_deref(), known);
        }
        Ok(object)
    }

    /// Opens an object by the header in its metadata; none where that is not enough.
    pub(super) async fn open_header(
        &self,
        granted: &Granted,
        key: &str,
        header: &envelope::Header,
    ) -> Result<Option<Object>, Error> {
        let places = Places::of(granted, key)?;
        let kek = self.keys.open(header.kek_record()).await.map_err(no_key)?;
        header.open_object(&kek, &places.expected()).map_err(unopened)
    }

    /// Opens an object by its footer, and authenticates that.
    pub(super) async fn open_footer(&self, granted: &Granted, key: &str, footer: &Footer) -> Result<Object, Error> {
        let places = Places::of(granted, key)?;
        let kek = self.keys.open(footer.header().kek_record()).await.map_err(no_key)?;
        footer.open(&kek, &places.expected()).map_err(unopened)
    }

    pub(super) async fn footer(&self, place: &Place, key: &str, stored: &Stored) -> Result<Footer, Failed> {
        let mut suffix = FOOTER_GUESS;
        for _ in 0..2 {
            let start = stored.len.saturating_sub(suffix);
            if start >= stored.len {
                return Err(unopened(FormatError::NoFooter.into()).into());
            }
            let response = self.fetch(place, key, stored, start..stored.len).await?;
            let bytes = collect(response.into_body(), suffix).await?;
            match Footer::parse(&bytes, stored.len).map_err(|error| unopened(error.into()))? {
                FooterRead::Footer(footer) => return Ok(footer),
                FooterRead::NeedSuffix(len) => suffix = len,
            }
        }
        Err(unopened(FormatError::NoFooter.into()).into())
    }

    /// The storage's answer to such a request.
    async fn fetch_version(
        &self,
        place: &Place,
        key: &str,
        stored: &Stored,
        range: &Range<u64>,
        version: Option<&str>,
    ) -> Result<Response<Body>, Error> {
        let version = version.map(|version| ("versionId", version));
        let target = upstream::uri(&place.bucket, Some(key), version.as_slice());
        let mut request = upstream::request(Method::GET, target);
        let text = format!("bytes={}-{}", range.start, range.end - 1);
        request.headers_mut().insert(RANGE, HeaderValue::from_str(&text).expect("digits are a header value"));
        request.headers_mut().extend(stored.keys.clone());
        if let Some(etag) = stored.etag() {
            request.headers_mut().insert("if-match", condition(place, etag));
        }
        self.send(&place.upstream, request).await
    }

    /// A range of the very object that was seen.
    pub(super) async fn fetch(
        &self,
        place: &Place,
        key: &str,
        stored: &Stored,
        range: Range<u64>,
    ) -> Result<Response<Body>, Failed> {
        if range.end > stored.len {
            // Not a change under our feet: there is less than the layout demands.
            return Err(unopened(OpenError::Truncated { missing: range.end - stored.len }).into());
        }
        let mut response = self.fetch_version(place, key, stored, &range, stored.version.as_deref()).await?;
        if response.status() == StatusCode::FORBIDDEN && stored.asked.is_none() && stored.version.is_some() {
            // Who may read the object need not have the right to read versions, which the client did not ask for.
            response = self.fetch_version(place, key, stored, &range, None).await?;
        }
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                let got = response.headers().get(CONTENT_RANGE).and_then(parse_content_range);
                if got != Some((range.start, stored.len)) || response.headers().get(ETAG) != stored.etag() {
                    return Err(Failed::Changed);
                }
                Ok(response)
            }
            StatusCode::OK if range == (0..stored.len) && response.headers().get(ETAG) == stored.etag() => Ok(response),
            StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE => {
                Err(Failed::Changed)
            }
            StatusCode::FORBIDDEN => Err(forbidden(&self.answer(response.into_body()).await?).into()),
            status => {
                let busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status);
                let error = if busy {
                    Error::slow_down("The storage is busy. Try again.")
                } else {
                    // Another one than that is no matter of time: what lies there may be damaged.
                    Error::internal("The storage refuses a part of the object.")
                };
                Err(error.because(format!("range request: {status}")).into())
            }
        }
    }
}

/// The code of an object that is to be restored before it can be read.
pub(super) const ARCHIVED: &str = "InvalidObjectState";

/// What it means that the storage gives no bytes of an object that it has shown: archived ones are to be restored first.
fn forbidden(document: &[u8]) -> Error {
    let of = |name: &'static str| field(document, name.as_bytes()).map(|text| (name, text));
    if of("Code").is_none_or(|(_, code)| code != ARCHIVED) {
        return Error::access_denied("Access Denied").because("range request: 403");
    }
    let elements = ["StorageClass", "AccessTier"].into_iter().filter_map(of).collect();
    let message = "The operation is not valid for the object's storage class";
    Error { elements, ..Error::new(StatusCode::FORBIDDEN, ARCHIVED, message) }
}

/// Where an object may have been sealed for.
struct Places {
    at: envelope::Place,
    formerly: Option<envelope::Place>,
}

impl Places {
    fn of(granted: &Granted, key: &str) -> Result<Self, Error> {
        let at = envelope::Place::new(granted.place.bucket.as_bytes(), key.as_bytes())
            .map_err(|error| Error::internal("The key is no place for an object.").because(error))?;
        Ok(Self { at, formerly: former_place(&granted.document, &granted.place.bucket, key) })
    }

    fn expected(&self) -> Expected<'_> {
        match &self.formerly {
            None => Expected::At(&self.at),
            Some(formerly) => Expected::AtOrFormerly { at: &self.at, formerly },
        }
    }
}

/// An `ETag` as the storage wants it in a condition.
pub(super) fn condition(place: &Place, etag: &HeaderValue) -> HeaderValue {
    let bare = place.upstream.quirks().bare_etag_conditions;
    let trimmed = etag.to_str().ok().filter(|_| bare).map(|text| text.trim_matches('"'));
    trimmed.and_then(|text| HeaderValue::from_str(text).ok()).unwrap_or_else(|| etag.clone())
}

async fn collect(body: Body, limit: u64) -> Result<Bytes, Error> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let collected = upstream::collect(body, limit).await;
    let collected = collected.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
    collected.ok_or_else(|| Error::internal("The storage gives more than it was asked for."))
}

fn former_place(document: &Document, bucket: &str, key: &str) -> Option<envelope::Place> {
    let former = document.former_places.iter().find(|p| p.bucket == bucket && key.starts_with(&p.prefix))?;
    let key = format!("{}{}", former.former_prefix, &key[former.prefix.len()..]);
    envelope::Place::new(former.former_bucket.as_bytes(), key.as_bytes()).ok()
}

/// The KEK cannot be had: for now, or because its record is not authentic.
pub(super) fn no_key(error: crate::keys::KeysError) -> Error {
    let message = format!("The object is encrypted, and its key cannot be had: {error}.");
    if error.is_transient() {
        Error::slow_down(message).because(error)
    } else {
        Error::internal(message).because(error)
    }
}

/// The stored object is not what was stored.
pub(super) fn unopened(error: OpenError) -> Error {
    Error::internal(format!("The stored object cannot be opened: {error}.")).because(error)
}

/// Plaintext as it is authenticated. Ends in an error, never early, when the stored bytes are not what was sealed.
pub(super) struct Opening {
    stored: Body,
    opener: Option<Opener>,
    out: VecDeque<Bytes>,
    left: u64,
    done: bool,
    tally: Tally,
}

impl Opening {
    /// `stored` gives the stored bytes that the opener is to be fed with.
    pub(super) fn new(stored: Body, opener: Opener, tally: Tally) -> Self {
        let left = opener.plaintext_len();
        Self { stored, opener: Some(opener), out: VecDeque::new(), left, done: false, tally }
    }

    /// Waits for the first authenticated bytes, or for the end: what is wrong until then is still told as an S3 error.
    pub(super) async fn prime(&mut self) -> Result<(), Error> {
        while self.out.is_empty() && !self.done {
            std::future::poll_fn(|cx| self.poll_step(cx)).await?;
        }
        Ok(())
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let frame = ready!(Pin::new(&mut self.stored).poll_frame(cx));
        let mut out = Vec::new();
        let result = match frame {
            Some(Ok(frame)) => match (frame.into_data(), &mut self.opener) {
                (Ok(data), Some(opener)) => opener.push(data, &mut out).map_err(unopened),
                _ => Ok(()),
            },
            Some(Err(error)) => {
                Err(Error::slow_down("The storage broke off while the object was read.").because(error))
            }
            None => {
                self.done = true;
                self.opener.take().map_or(Ok(()), |opener| opener.finish(&mut out).map_err(unopened))
            }
        };
        self.out.extend(out);
        if result.is_err() {
            self.tally.failed();
            self.done = true;
            self.opener = None;
        }
        Poll::Ready(result)
    }
}

impl HttpBody for Opening {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if let Some(bytes) = this.out.pop_front() {
                this.left = this.left.saturating_sub(bytes.len() as u64);
                if this.left == 0 && this.out.is_empty() && this.done {
                    this.tally.delivered();
                }
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if this.done {
                this.tally.delivered();
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(this.poll_step(cx)) {
                this.tally.failed();
                tracing::error!(
                    cause = error.cause().unwrap_or_default(),
                    message = error.message,
                    "read breaks off: the stored object is not what was sealed"
                );
                return Poll::Ready(Some(Err(ReadFailed { message: error.message, retry: error.retry }.into())));
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Why a body that is read ends in an error. Whoever stores it as a copy tells the client so: it is not the client's body
/// that broke off.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct ReadFailed {
    message: String,
    /// The storage broke off: it may go well the next time.
    retry: bool,
}

impl ReadFailed {
    /// For the client of the copy.
    pub(super) fn refusal(&self) -> Error {
        if self.retry { Error::slow_down(&self.message) } else { Error::internal(&self.message) }
    }
}

/// An empty body is not asked for its end, and a client may go away in the middle.
impl Drop for Opening {
    fn drop(&mut self) {
        self.tally.ended(self.left);
    }
}

/// Counts one read, once: delivered, or failed.
pub(super) struct Tally {
    stats: Option<Stats>,
    bucket: String,
    policy: Option<String>,
    outcome: Outcome,
    bytes: u64,
    told: bool,
}

impl Tally {
    /// A read of `bytes` plaintext bytes that counts as `outcome` when it was delivered.
    pub(super) fn new(stats: &Stats, bucket: &str, policy: Option<&str>, outcome: Outcome, bytes: u64) -> Self {
        let (bucket, policy) = (bucket.to_owned(), policy.map(str::to_owned));
        Self { stats: Some(stats.clone()), bucket, policy, outcome, bytes, told: false }
    }

    /// Counts nothing: the read is part of a copy, which counts as a write.
    pub(super) fn silent() -> Self {
        Self { stats: None, bucket: String::new(), policy: None, outcome: Outcome::Plain, bytes: 0, told: true }
    }

    pub(super) fn delivered(&mut self) {
        self.tell(self.outcome, self.bytes);
    }

    fn failed(&mut self) {
        self.tell(Outcome::Failed, 0);
    }

    /// The body is not read any more; `left` bytes of it were not delivered. Says nothing where something was told.
    fn ended(&mut self, left: u64) {
        if left == 0 { self.delivered() } else { self.failed() }
    }

    fn tell(&mut self, outcome: Outcome, bytes: u64) {
        if !std::mem::replace(&mut self.told, true)
            && let Some(stats) = &self.stats
        {
            let policy = self.policy.as_deref();
            stats.count(Count { bucket: &self.bucket, policy, outcome, direction: Direction::Out, bytes });
        }
    }
}

/// A plain body that counts itself when it was delivered.
pub(super) struct Counted {
    body: Body,
    left: u64,
    tally: Tally,
}

impl Counted {
    /// `len` bytes are to be delivered.
    pub(super) fn new(body: Body, len: u64, tally: Tally) -> Self {
        Self { body, left: len, tally }
    }
}

/// See [`Opening`].
impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.ended(self.left);
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let len = frame.data_ref().map_or(0, |data| data.len() as u64);
                this.left = this.left.saturating_sub(len);
                if this.left == 0 {
                    this.tally.delivered();
                }
            }
            None if this.left == 0 => this.tally.delivered(),
            Some(Err(_)) | None => this.tally.failed(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Of what a read shows a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChecksumOf {
    /// Of nothing: none is asked for, or what is read has none.
    Nothing,
    /// Of the whole object.
    Object,
    /// Of the part at this place, from 1 on.
    Part(u16),
}

/// The headers of a sealed object for its client, of `shown_len` plaintext bytes.
pub(super) fn shown_headers(
    stored: &Stored,
    shown_len: u64,
    kms: Option<&str>,
    sse_by_storage: bool,
    object: Option<&Object>,
    of: ChecksumOf,
) -> Result<HeaderMap, Error> {
    let checksums = object.map(|object| shown_checksums(object, of)).unwrap_or_default();
    let shown = headers::Shown {
        plaintext_len: shown_len,
        kms,
        sse_by_storage,
        carried: object.and_then(Object::carried),
        checksums: &checksums,
    };
    headers::to_client_of_sealed(&stored.headers, &shown)
}

/// Algorithm, value as S3 writes it, and whether it is of a whole object.
fn shown_checksums(object: &Object, of: ChecksumOf) -> Vec<(ChecksumAlgorithm, String, bool)> {
    let Some(checksums) = object.checksums() else { return Vec::new() };
    let of_object = checksums.object.iter().map(|checksum| {
        let text = text_of(checksum, object.parts().len());
        (checksum.algorithm, text, checksum.kind == ChecksumKind::FullObject)
    });
    // An object that was not made of parts is its own first part.
    let single = !object.header().is_multipart() && of != ChecksumOf::Nothing;
    match (if single { ChecksumOf::Object } else { of }, &checksums.parts) {
        (ChecksumOf::Object, _) => of_object.collect(),
        (ChecksumOf::Part(number), Some(of_parts)) => {
            // Clients count the parts that they see, in order.
            let index = usize::from(number).checked_sub(1);
            let value = index.and_then(|index| of_parts.values.get(index)).map(|value| STANDARD.encode(value));
            let same = of_object.filter(|(algorithm, ..)| *algorithm == of_parts.algorithm);
            same.zip(value).map(|((algorithm, _, full), value)| (algorithm, value, full)).collect()
        }
        (ChecksumOf::Nothing, _) | (ChecksumOf::Part(_), None) => Vec::new(),
    }
}
