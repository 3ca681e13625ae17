//! A sealed object copied without its data: the storage copies the body, and only header and footer are new.
//!
//! ```text
//! footer of the source ─▶ its data key, wrapped anew for the new place under the active KEK
//! Create ─▶ noted as a copy ─▶ UploadPartCopy of the body by ranges, pinned to the source ─▶ footer as the last part
//!        ─▶ is the source still the one that was opened? ─▶ Complete
//! ```
//! What fails before Complete is aborted. Where a kill comes in between, or it is not known what Complete did, the note
//! tells the sweep which upload to abort. (A kill between Create and the note leaves an upload without parts, which only
//! the storage's own rule for incomplete uploads removes.)

#![expect(clippy::format_push_string, reason = "the XML is short, and reads best as it is written")]

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use envelope::{ChecksumKind, MIN_PART, Metadata, Rewrap};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, ETAG, HeaderValue};
use http::{HeaderMap, Method, Request as HttpRequest, Response, StatusCode};

use super::super::checksum::{self, encode};
use super::super::error::{Error, escape};
use super::super::headers::{self, client_response};
use super::super::multipart::{About, field, state_id};
use super::super::open::{Failed, Stored};
use super::super::upload::Verified;
use super::super::write::mark_of_entries;
use super::super::{Front, access};
use super::{Copy, copied, overwritten, set_source};
use crate::state::ledger::{Known, Standing};
use crate::stats::Fact;
use crate::upstream::{self, Body};

/// What is copied by one request, in bytes: few enough for its deadline. S3 allows 5 GiB.
const RANGE: u64 = 1 << 30;
/// Ranges of one object: the last number is the footer's.
const MOST_RANGES: u64 = 9_999;
/// Ranges on their way at once.
const PARALLEL: usize = 4;
/// How often the note of a copy under way is written again, so that the sweep does not take it for a left-over one.
const RENEW: Duration = Duration::from_hours(1);

/// Why a copy stops.
enum Stopped {
    /// The storage cannot do it, and has nothing of it.
    Unable,
    /// Nothing was committed.
    Before(Error),
    /// The storage refuses to commit it.
    Refused(Box<Response<Body>>),
    /// The storage may have committed it.
    Unknown(Error),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Before(error)
    }
}

/// An upload at the storage that becomes a copy.
struct Begun<'a> {
    copy: &'a Copy<'a>,
    /// The source as it was seen.
    stored: &'a Stored,
    rewrap: &'a Rewrap,
    upload: String,
    len: u64,
}

impl Front {
    /// Copies the source. None: it must be streamed, and nothing was stored.
    pub(super) async fn rewrap(
        &self,
        copy: &Copy<'_>,
        cause: ids::Cause,
        stored: &Stored,
        metadata: &Metadata,
        len: u64,
    ) -> Result<Option<Response<Body>>, Error> {
        let Copy { request, granted, source, permit, .. } = copy;
        if len < MIN_PART || !self.keeps_everything(copy).await? {
            return Ok(None);
        }
        let place = source.granted(granted);
        let object = match self.open(&place, &source.key, stored, Some(metadata), true).await {
            Ok(object) => object,
            Err(Failed::Changed) => return Err(overwritten()),
            Err(Failed::Error(error)) => return Err(error),
        };
        let sums = object.checksums().cloned().unwrap_or_default();
        let wished = checksum::wished(&request.headers)?;
        if wished.is_some_and(|wished| sums.object.iter().all(|sum| sum.algorithm != wished)) {
            return Ok(None);
        }
        let wrapping = self.wrapping().await?;
        self.remember_due(&granted.document, &request.bucket).await?;
        let recorded = Self::recorded(&granted.place, &request.key, cause, permit, &wrapping)?;
        let described = copy.described(stored, object.carried())?;
        let rewrap = Rewrap::new(&object, &recorded, &wrapping.kek, &headers::user_metadata(&described))
            .map_err(|error| Error::internal("The copy could not be sealed; nothing was stored.").because(error))?;
        let mut head = headers::to_storage(&described);
        headers::drop_checks(&mut head);
        headers::set_conditions(&mut head, HeaderMap::new());
        let mut carrier = HttpRequest::new(upstream::empty());
        *carrier.headers_mut() = head;
        headers::set_user_metadata(&mut carrier, rewrap.metadata())?;
        let head = std::mem::take(carrier.headers_mut());
        let creating = copy.stored_as(Method::POST, vec![("uploads".to_owned(), String::new())], described);
        let (head, body, upload) = self.create_upstream(&creating, granted, head).await?;
        let Some(upload) = upload else {
            return Ok(Some(client_response(head.status, headers::to_client(&head.headers), upstream::full(body))));
        };
        let begun = Begun { copy, stored, rewrap: &rewrap, upload, len };
        let (etag, version) = match self.build(&begun).await {
            Ok(done) => done,
            Err(stopped) => return self.give_up(&begun, stopped).await,
        };
        self.forget_upload(&state_id(granted, &request.key, &begun.upload)).await;
        self.footers.forget(&granted.place, &request.key, None);
        let known = Known { encrypted: true, size: len, kms: Some(wrapping.kms.clone()) };
        let standing = if version.is_some() { Standing::Latest } else { Standing::Only };
        self.ledger.record(&request.bucket, &request.key, &etag, known, standing);
        let mut shown = HeaderMap::new();
        shown.extend(version.map(|version| (http::HeaderName::from_static("x-amz-version-id"), version)));
        headers::append_encryption(&mut shown, Some(wrapping.kms.as_str()), None);
        let parts = object.parts().len();
        let sums: Vec<_> = sums
            .object
            .iter()
            .map(|sum| {
                let full = sum.kind == ChecksumKind::FullObject;
                let value = encode(&sum.value).to_str().unwrap_or_default().to_owned();
                (sum.algorithm, if full { value } else { format!("{value}-{parts}") }, full)
            })
            .collect();
        tracing::debug!(size_bytes = len, "object is copied by its storage");
        Ok(Some(copied("CopyObjectResult", &etag, &sums, shown, stored.version.as_deref())))
    }

    /// Whether the copy can be made of parts, and the storage then keeps all that the client says of it.
    async fn keeps_everything(&self, copy: &Copy<'_>) -> Result<bool, Error> {
        let Copy { request, granted, source, tags, .. } = copy;
        let customer = request.headers.keys().any(|name| name.as_str().contains("server-side-encryption-customer"));
        if customer || !source.can_be_part() || super::unheeded_conditions(request, granted) {
            return Ok(false);
        }
        if !granted.place.upstream.quirks().uploads_lose_tags_and_locks {
            return Ok(true);
        }
        let locked = request.headers.keys().any(|name| name.as_str().starts_with("x-amz-object-lock-"));
        if locked || !tags.is_empty() {
            return Ok(false);
        }
        // The bucket may lock what says nothing of a lock; a storage without locks has none.
        let target = upstream::uri(&granted.place.bucket, None, &[("object-lock", "")]);
        let lock = self.send(&granted.place.upstream, upstream::request(Method::GET, target)).await?;
        Ok(matches!(lock.status(), StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED))
    }

    /// Body, footer, and Complete; gives `ETag` and version of the copy.
    async fn build(&self, begun: &Begun<'_>) -> Result<(String, Option<HeaderValue>), Stopped> {
        let Copy { request, source, .. } = begun.copy;
        self.note_copy(begun).await?;
        let mut noted = Instant::now();
        let ranges = ranges(begun.rewrap.body().end);
        let mut etags = Vec::with_capacity(ranges.len() + 1);
        let go_on = AtomicBool::new(true);
        // Futures in a list: the compiler does not find a stream that makes them `Send`.
        let mut parts: Vec<BoxFuture<'_, Option<Result<String, Stopped>>>> = Vec::with_capacity(ranges.len());
        for (index, range) in ranges.into_iter().enumerate() {
            let go_on = &go_on;
            parts.push(Box::pin(async move {
                if !go_on.load(Ordering::Acquire) {
                    return None;
                }
                Some(self.copy_range(begun, index + 1, range).await)
            }));
        }
        let (mut copying, mut stopped) = (futures_util::stream::iter(parts).buffered(PARALLEL), None);
        while let Some(copied) = copying.next().await {
            match copied {
                Some(Ok(etag)) => etags.push(etag),
                // Those on their way end before the upload is aborted, or they might outlive it.
                Some(Err(error)) => stopped = stopped.or(Some(error)),
                None => {}
            }
            if stopped.is_none() && noted.elapsed() > RENEW {
                stopped = self.note_copy(begun).await.err().map(Stopped::from);
                noted = Instant::now();
            }
            go_on.store(stopped.is_none(), Ordering::Release);
        }
        drop(copying);
        if let Some(stopped) = stopped {
            return Err(stopped);
        }
        etags.push(self.put_footer(begun, etags.len() + 1).await?);
        if !self.source_is_still(request, source, begun.stored).await? {
            return Err(overwritten().into());
        }
        self.commit(begun, &etags).await
    }

    async fn note_copy(&self, begun: &Begun<'_>) -> Result<(), Error> {
        let Copy { request, granted, permit, .. } = begun.copy;
        self.keep_copy(&About::new(granted, &request.key, &begun.upload, permit.guard().revision)).await
    }

    /// Has the storage copy a range of the source's stored bytes.
    async fn copy_range(&self, begun: &Begun<'_>, number: usize, range: Range<u64>) -> Result<String, Stopped> {
        let Copy { request, granted, source, .. } = begun.copy;
        let mut sent = upstream::request(Method::PUT, begun.part(number));
        set_source(sent.headers_mut(), request, source, begun.stored, begun.stored.version.as_deref())?;
        let text = format!("bytes={}-{}", range.start, range.end - 1);
        let range = HeaderValue::from_str(&text).expect("digits are a header value");
        sent.headers_mut().insert("x-amz-copy-source-range", range);
        let response = self.send(&granted.place.upstream, sent).await?;
        let status = response.status();
        let body = self.answer(response.into_body()).await?;
        let code = field(&body, b"Code");
        match field(&body, b"ETag").map(|etag| etag.trim_matches('"').to_owned()) {
            Some(etag) if status.is_success() && code.is_none() && !etag.is_empty() => Ok(etag),
            _ => {
                let pinned = begun.stored.version.is_some() && begun.stored.asked.is_none();
                Err(refused(status, code.as_deref(), pinned))
            }
        }
    }

    async fn put_footer(&self, begun: &Begun<'_>, number: usize) -> Result<String, Stopped> {
        let footer = begun.rewrap.footer().clone();
        let mut sent = upstream::request(Method::PUT, begun.part(number));
        sent.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(footer.len()));
        *sent.body_mut() = upstream::full(footer);
        let response = self.send(&begun.copy.granted.place.upstream, sent).await?;
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(|etag| etag.trim_matches('"'));
        match etag.filter(|etag| response.status().is_success() && !etag.is_empty()) {
            Some(etag) => Ok(etag.to_owned()),
            None => Err(Error::slow_down("The end of the copy could not be stored. Try again.")
                .because(format!("footer part: {}", response.status()))
                .into()),
        }
    }

    async fn commit(&self, begun: &Begun<'_>, etags: &[String]) -> Result<(String, Option<HeaderValue>), Stopped> {
        let Copy { request, granted, permit, slot, .. } = begun.copy;
        let mut text = String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        for (index, etag) in etags.iter().enumerate() {
            let number = index + 1;
            text += &format!("<Part><PartNumber>{number}</PartNumber><ETag>&quot;{}&quot;</ETag></Part>", escape(etag));
        }
        text.push_str("</CompleteMultipartUpload>");
        let target = upstream::uri(&granted.place.bucket, Some(&request.key), &[("uploadId", &begun.upload)]);
        let mut sent = upstream::request(Method::POST, target);
        sent.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        sent.headers_mut().extend(self.put_conditions(request, granted).await?);
        *sent.body_mut() = upstream::full(text);
        let mark = mark_of_entries(begun.rewrap.metadata());
        self.journal(slot, request, permit, begun.len, mark.map(Fact::Mark))(&Verified::default());
        let pending = slot.take().expect("it was journalled");
        let response = match self.send(&granted.place.upstream, sent).await {
            Ok(response) => response,
            Err(error) => return Err(Stopped::Unknown(error)),
        };
        let (head, body) = response.into_parts();
        let body = self.answer(body).await.map_err(Stopped::Unknown)?;
        let failed = field(&body, b"Code");
        if head.status.is_server_error() || (head.status.is_success() && failed.is_some()) {
            let error = Error::slow_down("The storage could not complete the copy. Try again.");
            return Err(Stopped::Unknown(error.because(format!("Complete: {} {failed:?}", head.status))));
        }
        if !head.status.is_success() {
            pending.ended(ids::Outcome::Failed, 0);
            let shown = headers::to_client(&head.headers);
            return Err(Stopped::Refused(Box::new(client_response(head.status, shown, upstream::full(body)))));
        }
        pending.done();
        let told = field(&body, b"ETag").map(|etag| etag.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty());
        let etag = told.or_else(|| checksum::etag_of_parts(etags)).unwrap_or_default();
        Ok((etag, head.headers.get("x-amz-version-id").cloned()))
    }

    /// Leaves nothing behind, as far as it is known that nothing was committed.
    async fn give_up(&self, begun: &Begun<'_>, stopped: Stopped) -> Result<Option<Response<Body>>, Error> {
        let Copy { request, granted, .. } = begun.copy;
        let answer = match stopped {
            // An abort beside a Complete that is still at work might take parts of a whole object away: the sweep looks
            // again when that is over.
            Stopped::Unknown(error) => return Err(error),
            Stopped::Unable => Ok(None),
            Stopped::Before(error) => Err(error),
            Stopped::Refused(response) => Ok(Some(*response)),
        };
        let about = About::new(granted, &request.key, &begun.upload, None);
        if self.abort(&granted.place.upstream, &about).await {
            self.forget_upload(&about.id()).await;
        }
        answer
    }
}

impl Begun<'_> {
    /// Where a part of it goes.
    fn part(&self, number: usize) -> http::Uri {
        let access::Place { bucket, .. } = &self.copy.granted.place;
        let query = [("partNumber", number.to_string()), ("uploadId", self.upload.clone())];
        let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        upstream::uri(bucket, Some(&self.copy.request.key), &query)
    }
}

/// What it means that a range was not copied. `pinned`: to a version that the client did not ask for.
fn refused(status: StatusCode, code: Option<&str>, pinned: bool) -> Stopped {
    match status {
        StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE => {
            overwritten().into()
        }
        StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => Stopped::Unable,
        // Who may read the object need not have the right to read versions.
        StatusCode::FORBIDDEN if pinned => Stopped::Unable,
        _ => Error::slow_down("The storage could not copy the object. Try again.")
            .because(format!("UploadPartCopy: {status} {}", code.unwrap_or_default()))
            .into(),
    }
}

/// A body of so many bytes, cut into ranges of nearly the same length: as few as may be, so that none is below half of
/// [`RANGE`] unless it is the only one.
fn ranges(body: u64) -> Vec<Range<u64>> {
    let count = body.div_ceil(RANGE.max(body.div_ceil(MOST_RANGES))).max(1);
    (0..count).map(|at| body * at / count..body * (at + 1) / count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_cut_into_ranges_that_the_storage_takes() {
        for body in [MIN_PART, RANGE - 1, RANGE, RANGE + 1, 5 * RANGE + 3, 5 << 40, 48 << 40] {
            let ranges = ranges(body);
            assert!(ranges.len() as u64 <= MOST_RANGES, "{body}");
            assert_eq!((ranges[0].start, ranges.last().unwrap().end), (0, body));
            assert!(ranges.is_sorted_by(|a, b| a.end == b.start), "{body}");
            for range in &ranges {
                assert!((MIN_PART..=5 << 30).contains(&(range.end - range.start)), "{body}: {range:?}");
            }
        }
        assert_eq!(ranges(RANGE).len(), 1);
        assert_eq!(ranges(RANGE + 1).len(), 2);
    }
}
