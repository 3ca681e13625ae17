//! `UploadPartCopy`: all four pairs. Only plain to plain is copied by the storage: an encrypted part has a key of its own.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::ETAG;
use http::{HeaderMap, Response, StatusCode};

use super::super::Front;
use super::super::error::Error;
use super::super::headers::{self, client_response};
use super::super::multipart;
use super::super::patience::PATIENCE;
use super::super::range::Wanted;
use super::super::request::Request;
use super::{copied, overwritten, set_source, shown_sums};
use crate::upstream::{self, Body};

impl Front {
    pub(in super::super) async fn upload_part_copy(
        self: &Arc<Self>,
        request: Request,
    ) -> Result<Response<Body>, Error> {
        let (front, resource, id) = (Arc::clone(self), request.resource(), request.request_id.clone());
        let copy = Box::pin(async move { front.copy_part(request).await });
        self.work.patiently(PATIENCE, resource, id, copy).await
    }

    async fn copy_part(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        headers::refuse_reserved(&request.headers)?;
        let number = multipart::part_number(&request)?;
        let source = self.source(&request, &granted)?;
        let text = request.header("x-amz-copy-source-range");
        let (stored, sealed, start) = if multipart::is_sealed_upload(&request) {
            let (stored, sealed) = self.look_at_source(&request, &granted, &source).await?;
            (stored, sealed, Bytes::new())
        } else {
            self.begin_source(&request, &granted, &source, first_byte(text)).await?
        };
        let len = match &sealed {
            None => stored.len,
            Some(metadata) => Self::sealed_len(metadata, stored.len)?,
        };
        let range = source_range(text, len)?;
        let target = self.part_target(&request, &granted).await?;
        if target.is_plain() {
            let decrypts = granted.document.bucket(&request.bucket).decrypt_on_copy;
            if sealed.is_some() && !decrypts {
                return Err(Error::invalid_request(
                    "The source of the copy is encrypted, and the upload was begun without encryption: the part would be \
                     stored in clear. Begin an encrypted upload, for example with x-amz-server-side-encryption: \
                     aws:kms, or copy the object with CopyObject, which keeps it encrypted.",
                ));
            }
            if sealed.is_none() {
                multipart::refuse_lookalike(&start)?;
            }
        }
        let one_storage = source.place.upstream.name() == granted.place.upstream.name();
        if sealed.is_none() && target.is_plain() && one_storage && source.can_be_part() {
            let mut head = headers::to_storage(&request.headers);
            set_source(&mut head, &request, &source, &stored, source.version.as_deref())?;
            if let Some(range) = request.headers.get("x-amz-copy-source-range") {
                head.insert("x-amz-copy-source-range", range.clone());
            }
            let response = self.forward(&request, &granted, head, upstream::empty()).await?;
            let (head, body) = response.into_parts();
            // A storage that takes no notice of the condition may have copied what was sealed meanwhile.
            let unheeded = head.status.is_success() && source.place.upstream.quirks().copy_conditions_misnamed;
            if (unheeded || head.status == StatusCode::PRECONDITION_FAILED)
                && !self.source_is_still(&request, &source, &stored).await?
            {
                return Err(overwritten());
            }
            return Ok(client_response(head.status, headers::to_client(&head.headers), body));
        }
        let version = stored.version.clone();
        let plaintext = self.plaintext(&source.granted(&granted), &source.key, stored, sealed.as_ref(), range).await?;
        let response = self.store_part(&request, &granted, &target, number, plaintext.body, plaintext.len).await?;
        if !response.status().is_success() {
            return Ok(response);
        }
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        let mut shown = HeaderMap::new();
        if !target.is_plain() {
            headers::append_encryption(&mut shown, None, None);
        }
        let sums = if target.is_plain() { Vec::new() } else { shown_sums(response.headers()) };
        Ok(copied("CopyPartResult", &etag, &sums, shown, version.as_deref()))
    }
}

/// Where the bytes that are asked for begin, before it is known how many there are.
fn first_byte(range: Option<&str>) -> u64 {
    match Wanted::parse(range) {
        Wanted::From(first, _) => first,
        _ => 0,
    }
}

/// The part of the source that is asked for: only `bytes=first-last`, and all of it must be there.
fn source_range(text: Option<&str>, len: u64) -> Result<Option<Range<u64>>, Error> {
    let Some(text) = text else { return Ok(None) };
    match Wanted::parse(Some(text)) {
        Wanted::From(first, Some(last)) if last < len => Ok(Some(first..last + 1)),
        Wanted::From(_, Some(_)) => Err(Error::invalid_range(len)),
        _ => Err(Error::invalid_argument("The x-amz-copy-source-range value must be of the form bytes=first-last.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_range_that_lies_within_the_source_is_one() {
        let of = |text| source_range(Some(text), 10).map_err(|error| error.code);
        assert_eq!(of("bytes=0-9"), Ok(Some(0..10)));
        assert_eq!(of("bytes=3-3"), Ok(Some(3..4)));
        for behind in ["bytes=0-10", "bytes=10-10", "bytes=0-18446744073709551615"] {
            assert_eq!(of(behind), Err("InvalidRange"), "{behind}");
        }
        for improper in
            ["0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=2-", "bytes=-2", "bytes=0-2,3-5", "bytes=5-1"]
        {
            assert_eq!(of(improper), Err("InvalidArgument"), "{improper}");
        }
        assert_eq!(source_range(None, 10).unwrap(), None);
    }
}
