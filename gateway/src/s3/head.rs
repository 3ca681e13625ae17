//! `HeadObject`.

use envelope::Metadata;
use http::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, HeaderValue, RANGE};
use http::{HeaderMap, Method, Response, StatusCode};

use super::access::Granted;
use super::error::{Error, unreadable};
use super::get::{Conditions, checksum_of, no_such_part, part_number, part_of, wants_checksums};
use super::headers::client_response;
use super::open::{ARCHIVED, Failed, Stored, shown_headers};
use super::range::{Wanted, content_range};
use super::request::Request;
use super::{Front, headers};
use crate::upstream::{self, Body};

impl Front {
    pub(super) async fn head(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        for _ in 0..3 {
            match self.head_once(&request, &granted).await {
                Ok(response) => return Ok(response),
                Err(Failed::Changed) => {}
                Err(Failed::Error(error)) => return Err(error),
            }
        }
        Err(Error::slow_down("The object is being overwritten again and again. Try again."))
    }

    async fn head_once(&self, request: &Request, granted: &Granted) -> Result<Response<Body>, Failed> {
        let (conditions, mut head) = Conditions::split(self, request, granted);
        let part = part_number(request)?;
        let due = self.may_be_due(&granted.document, &request.bucket);
        if due {
            // The range is of the plaintext; the storage would judge it by the stored length.
            head.remove(RANGE);
        }
        let (head, body) = self.ask_head(request, granted, head, due && part.is_some()).await?.into_parts();
        if due && head.status == StatusCode::NOT_MODIFIED {
            return Ok(self.unmodified(request, granted, &conditions, &head.headers).await?);
        }
        if !head.status.is_success() {
            return Ok(client_response(head.status, headers::to_client(&head.headers), body));
        }
        let metadata = headers::sealed_metadata(&head.headers).map_err(unreadable)?;
        if let Some(answer) = conditions.judge(&head.headers, metadata.is_some())? {
            return Ok(answer);
        }
        let keys = headers::customer_keys(&request.headers);
        let stored = Stored::read(head.headers, request.query("versionId"), keys)?;
        // A date in If-Range is compared as it stands: nobody makes one up.
        let dated = request.header("if-range") == stored.headers.get("last-modified").and_then(|v| v.to_str().ok());
        let by_date = if dated { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
        let applies = conditions.range_applies(&stored.headers, metadata.is_some(), by_date);
        let quirks = granted.place.upstream.quirks();
        let wanted = if applies { Wanted::asked(request, quirks) } else { Wanted::Whole };
        let stripped = metadata.is_none()
            && self.known_sealed(&granted.document, &request.bucket, &request.key, &stored.headers).await;
        if metadata.is_none() && !stripped {
            if granted.document.bucket(&request.bucket).refuse_plain_reads {
                return Err(
                    Error::access_denied("Objects that are not encrypted are not read from this bucket.").into()
                );
            }
            let mut shown = headers::to_client(&stored.headers);
            let mut status = head.status;
            if due && let Some(range) = wanted.of(stored.len)? {
                status = StatusCode::PARTIAL_CONTENT;
                shown.insert("content-length", HeaderValue::from(range.end - range.start));
                shown.insert(CONTENT_RANGE, content_range(&range, stored.len));
            }
            return Ok(client_response(status, shown, upstream::empty()));
        }
        let header = metadata.as_ref().and_then(Metadata::header);
        let footer = wants_checksums(request)
            || header.is_none()
            || (part.is_some() && header.is_some_and(envelope::Header::is_multipart));
        // What the metadata says is verified where that takes no request and no call; without it HEAD still answers.
        let layout_known = || {
            let known = self.footers.get(&granted.place, &request.key, stored.asked.as_deref());
            known.is_some_and(|known| known.footer.is_some() && Some(&known.etag) == stored.headers.get(ETAG))
        };
        let at_hand = header.is_some_and(|header| {
            self.keys.cached(header.kek_record()).is_some() && (!header.is_multipart() || layout_known())
        });
        let object = if footer || at_hand {
            match self.open(granted, &request.key, &stored, metadata.as_ref(), footer).await {
                // What is archived has a HEAD, without what only its end says.
                Err(Failed::Error(error)) if error.code == ARCHIVED && part.is_none() && header.is_some() => None,
                opened => Some(opened?),
            }
        } else {
            None
        };
        let len = match (&object, &metadata) {
            (Some(object), _) => object.plaintext_len(),
            (None, Some(metadata)) => metadata.plaintext_len(stored.len).map_err(unreadable)?,
            // Without metadata there was no header, and the footer was read.
            (None, None) => return Err(Error::internal("The stored object cannot be read.").into()),
        };
        let range = match (part, &object) {
            (Some(number), Some(object)) => Some(part_of(object, number)?),
            // One of a single part: otherwise its footer was read.
            (Some(1), None) => Some(0..len),
            (Some(_), None) => return Err(no_such_part().into()),
            (None, _) => wanted.of(len)?,
        };
        let shown_len = range.as_ref().map_or(len, |range| range.end - range.start);
        let kms = metadata
            .as_ref()
            .and_then(Metadata::kms_id)
            .or_else(|| object.as_ref().map(|object| object.header().kms_id()));
        let checksums = checksum_of(request, part, range.as_ref());
        let by_storage = granted.place.upstream.takes_sse();
        let mut shown = shown_headers(&stored, shown_len, kms, by_storage, object.as_ref(), checksums)?;
        shown.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let mut status = StatusCode::OK;
        if let Some(range) = range.filter(|range| !range.is_empty()) {
            status = StatusCode::PARTIAL_CONTENT;
            shown.insert(CONTENT_RANGE, content_range(&range, len));
        }
        if let (Some(_), Some(object)) = (part, &object)
            && object.header().is_multipart()
        {
            shown.insert("x-amz-mp-parts-count", HeaderValue::from(object.parts().len()));
        }
        Ok(client_response(status, shown, upstream::empty()))
    }

    /// The storage's answer to the same HEAD. Of a part that it does not know, where the object may have parts of its own
    /// (`sealed`): of the whole, if that is encrypted. A copy may have fewer parts at the storage than its client stored.
    async fn ask_head(
        &self,
        request: &Request,
        granted: &Granted,
        head: HeaderMap,
        sealed: bool,
    ) -> Result<Response<Body>, Error> {
        let place = &granted.place;
        let mut sent =
            upstream::request(Method::HEAD, upstream::uri(&place.bucket, Some(&request.key), &request.pairs()));
        sent.headers_mut().extend(head.clone());
        let answer = self.send(&place.upstream, sent).await?;
        if !sealed || !matches!(answer.status(), StatusCode::BAD_REQUEST | StatusCode::RANGE_NOT_SATISFIABLE) {
            return Ok(answer);
        }
        let version = request.query("versionId").map(|version| ("versionId", version));
        let target = upstream::uri(&place.bucket, Some(&request.key), version.as_slice());
        let mut sent = upstream::request(Method::HEAD, target);
        sent.headers_mut().extend(head);
        let whole = self.send(&place.upstream, sent).await?;
        let is_sealed = headers::sealed_metadata(whole.headers()).map_err(unreadable)?.is_some();
        Ok(if whole.status().is_success() && is_sealed { whole } else { answer })
    }

    /// Plaintext length of a sealed object by its metadata alone.
    pub(super) fn sealed_len(metadata: &Metadata, stored_len: u64) -> Result<u64, Error> {
        metadata.plaintext_len(stored_len).map_err(unreadable)
    }
}
