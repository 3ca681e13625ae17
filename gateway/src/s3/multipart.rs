//! Multipart uploads. The decision is taken at Create and holds for the upload.
//!
//! ```text
//! Create   ─▶ plain: noted, passes  │ encrypted: header made, noted; the client sees gse1.ID
//! Part     ─▶ sealed under a fresh salt ─▶ storage ─▶ part record, durable ─▶ 200
//!             smaller than 5 MiB, or number 10,000: held back in the system bucket
//! Complete ─▶ the records that match the client's ETags ─▶ [held part] footer as the last part ─▶ storage ─▶ done record
//! ```
//! State that cannot be read is an error, never "plain".

pub(super) mod checksums;
mod choose;
mod commit;
mod complete;
mod complete_plain;
mod show;
mod state;
mod stored;
mod sweep;

use envelope::{ChecksumKind, MIN_PART, PartSealer, Upload as EnvelopeUpload};
use http::header::{CONTENT_LENGTH, ETAG, HeaderValue};
use http::{HeaderMap, Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::BodyExt as _;

use self::state::{Note, Opened, PREFIX, PartRecord, UploadId, gone, held_name};
use super::access::{Granted, Permit, Protection, metadata_facts, parse_tags, text_fact};
use super::checksum::{self, Declared, kind_name, name_of};
use super::error::{Error, escape};
use super::headers::client_response;
use super::request::Request;
use super::service::xml;
use super::upload::{Ending, Sink, Upload, Verified, broken};
use super::write::mark_of_entries;
use super::{Front, headers};
use crate::upstream::{self, Body};

pub use state::Uploads;
pub(super) use state::{About, state_id};
pub(crate) use sweep::Ages;

/// The longest answer of the storage about an upload, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// The largest part, in stored bytes: what S3 allows.
const MAX_PART: u64 = 5 << 30;
/// The last number: never given to the storage, since the footer comes behind it.
const LAST: u16 = 10_000;

/// The upload that a part goes to, with the storage's ID of it.
pub(super) enum PartTarget {
    /// Begun plain.
    Plain(String),
    /// Begun encrypted.
    Sealed(std::sync::Arc<Opened>, String),
}

impl PartTarget {
    /// Begun plain.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl Front {
    pub(super) async fn create_upload(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        headers::refuse_reserved(&request.headers)?;
        let permit = self.permit(&request, &granted, None)?;
        match permit.protection() {
            Protection::Plain => self.create_plain(request, &granted, &permit).await,
            Protection::Sealed(cause) => self.create_sealed(request, &granted, &permit, cause).await,
        }
    }

    async fn create_plain(
        &self,
        request: Request,
        granted: &Granted,
        permit: &Permit,
    ) -> Result<Response<Body>, Error> {
        let note = note(&request, permit)?;
        let head = headers::to_storage(&request.headers);
        let (head, body, id) = self.create_upstream(&request, granted, head).await?;
        let Some(id) = id else {
            return Ok(client_response(head.status, headers::to_client(&head.headers), upstream::full(body)));
        };
        let about = About::new(granted, &request.key, &id, permit.guard().revision);
        if let Err(error) = self.keep_plain(about, note).await {
            self.abort_upstream(granted, &request.key, &id).await;
            return Err(error);
        }
        self.policies.upload_begun(&state_id(granted, &request.key, &id), permit.guard());
        let body = upstream::full(renamed(&request, &id));
        let mut shown = headers::to_client(&head.headers);
        shown.remove(CONTENT_LENGTH);
        Ok(client_response(head.status, shown, body))
    }

    async fn create_sealed(
        &self,
        request: Request,
        granted: &Granted,
        permit: &Permit,
        cause: ids::Cause,
    ) -> Result<Response<Body>, Error> {
        if !headers::customer_keys(&request.headers).is_empty() {
            // Its last part is ours, made at Complete, when the client no longer gives its key.
            return Err(Error::not_implemented(
                "An upload in parts with a key of the client's own (SSE-C) is not offered where the gateway encrypts. \
                 Leave the key out, or store the object by one PUT.",
            ));
        }
        let wrapping = self.wrapping().await?;
        self.remember_due(&granted.document, &request.bucket).await?;
        let recorded = Self::recorded(&granted.place, &request.key, cause, permit, &wrapping)?;
        let note = note(&request, permit)?;
        let chosen = checksum::chosen(&request.headers)?;
        let client = headers::user_metadata(&request.headers);
        headers::refuse_long(&client)?;
        let (upload, data_key) = EnvelopeUpload::create(&recorded, &wrapping.kek, &client)
            .map_err(|error| Error::internal("The upload could not be begun.").because(error))?;
        let note = Note {
            checksum: chosen.map(|(algorithm, _)| name_of(algorithm).to_owned()),
            full_object: chosen.is_some_and(|(_, kind)| kind == ChecksumKind::FullObject),
            unmarked: mark_of_entries(upload.metadata()).is_none(),
            ..note
        };
        let mut head = headers::to_storage(&request.headers);
        headers::drop_checks(&mut head);
        let mut carrier = HttpRequest::new(upstream::empty());
        *carrier.headers_mut() = head;
        headers::set_user_metadata(&mut carrier, upload.metadata())?;
        let head = std::mem::take(carrier.headers_mut());
        let (head, body, id) = self.create_upstream(&request, granted, head).await?;
        let Some(id) = id else {
            return Ok(client_response(head.status, headers::to_client(&head.headers), upstream::full(body)));
        };
        let id_of_state = state_id(granted, &request.key, &id);
        let opened = Opened { id: id_of_state, upload, data_key, place: recorded.place, note };
        let about = About {
            checksum: chosen.map(|(algorithm, kind)| (name_of(algorithm).to_owned(), kind_name(kind).to_owned())),
            ..About::new(granted, &request.key, &id, permit.guard().revision)
        };
        if let Err(error) = self.keep_upload(&opened, about).await {
            self.abort_upstream(granted, &request.key, &id).await;
            return Err(error);
        }
        self.policies.upload_begun(&opened.id, permit.guard());
        self.uploads.keep(&std::sync::Arc::new(opened));
        let mut shown = headers::to_client(&head.headers);
        shown.remove(CONTENT_LENGTH);
        let of_storage = granted.place.upstream.takes_sse().then_some(&head.headers);
        headers::append_encryption(&mut shown, Some(wrapping.kms.as_str()), of_storage);
        headers::drop_checks(&mut shown);
        if let Some((algorithm, kind)) = chosen {
            shown.insert("x-amz-checksum-algorithm", HeaderValue::from_static(name_of(algorithm)));
            shown.insert("x-amz-checksum-type", HeaderValue::from_static(kind_name(kind)));
        }
        Ok(client_response(head.status, shown, upstream::full(renamed(&request, &format!("{PREFIX}{id}")))))
    }

    /// Begins the upload at the storage; the ID is there when it succeeded.
    pub(super) async fn create_upstream(
        &self,
        request: &Request,
        granted: &Granted,
        mut head: HeaderMap,
    ) -> Result<(http::response::Parts, bytes::Bytes, Option<String>), Error> {
        head.insert(CONTENT_LENGTH, HeaderValue::from(0));
        let response = self.forward(request, granted, head, upstream::empty()).await?;
        let (head, body) = response.into_parts();
        let body = self.answer(body).await?;
        let id = if head.status.is_success() {
            let id = field(&body, b"UploadId").filter(|id| !id.is_empty() && !id.starts_with(PREFIX));
            Some(id.ok_or_else(|| Error::internal("The storage names no upload."))?)
        } else {
            None
        };
        Ok((head, body, id))
    }

    /// A short answer of the storage.
    pub(super) async fn answer(&self, body: Body) -> Result<bytes::Bytes, Error> {
        let body = upstream::collect(body, MAX_ANSWER).await;
        let body = body.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
        body.ok_or_else(|| Error::internal("The storage's answer is too long."))
    }

    async fn abort_upstream(&self, granted: &Granted, key: &str, id: &str) {
        let target = upstream::uri(&granted.place.bucket, Some(key), &[("uploadId", id)]);
        if let Err(error) = self.send(&granted.place.upstream, upstream::request(Method::DELETE, target)).await {
            tracing::warn!(cause = error.cause().unwrap_or_default(), "upload that could not be noted is left over");
        }
    }

    pub(super) async fn upload_part(&self, mut request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        headers::refuse_reserved(&request.headers)?;
        let number = part_number(&request)?;
        let id = UploadId::parse(request.query("uploadId").unwrap_or_default());
        let declared = Declared::read(&request.headers)?;
        let len = request.body_length()?;
        let body = request.take_body();
        if !id.sealed {
            return self.plain_part(request, &granted, &id, body, len, &declared).await;
        }
        let opened = self.opened(&granted, &request.key, &id.upstream).await?.ok_or_else(gone)?;
        self.sealed_part(&request, &granted, &opened, &id.upstream, number, body, len, &declared).await
    }

    async fn plain_part(
        &self,
        request: Request,
        granted: &Granted,
        id: &UploadId,
        body: Body,
        len: u64,
        declared: &Declared,
    ) -> Result<Response<Body>, Error> {
        self.check_plain(&request, granted, &id.upstream).await?;
        let (start, body) = super::prefix::peek(body, envelope::MAGIC.len()).await.map_err(|error| broken(&error))?;
        refuse_lookalike(&start)?;
        let mut head = headers::to_storage(&request.headers);
        declared.announce(&mut head);
        head.insert(CONTENT_LENGTH, HeaderValue::from(len));
        let trailers = request.trailers.clone();
        let (mut upload, ending) =
            Upload::new(body, len, declared, trailers, Sink::Plain(len), false, Box::new(|_| ()));
        upload.verify_if_empty().await?;
        let result = self.forward(&request, granted, head, upload.boxed_unsync()).await;
        verified(&ending, &result)?;
        let (head, body) = result?.into_parts();
        Ok(client_response(head.status, headers::to_client(&head.headers), body))
    }

    /// Seals one part and notes it; also the parts of copies.
    #[expect(clippy::too_many_arguments, reason = "one straight path")]
    pub(super) async fn sealed_part(
        &self,
        request: &Request,
        granted: &Granted,
        opened: &Opened,
        upstream_id: &str,
        number: u16,
        body: Body,
        len: u64,
        declared: &Declared,
    ) -> Result<Response<Body>, Error> {
        let sealer = PartSealer::new(&opened.data_key, number, len)
            .map_err(|error| Error::internal("The part could not be sealed; nothing was stored.").because(error))?;
        let (part, stored_len) = (sealer.part(), sealer.stored_len());
        if stored_len > MAX_PART {
            return Err(Error::entity_too_large("Your proposed upload exceeds the maximum allowed size."));
        }
        let salt = *part.salt.as_bytes();
        let held = len < MIN_PART || number == LAST;
        if held {
            self.still_open(opened).await?;
        }
        let trailers = request.trailers.clone();
        let sink = Sink::Part(Box::new(sealer));
        let declared = declared.clone().with(opened.note.checksum_kept().0);
        let (mut upload, ending) = Upload::new(body, len, &declared, trailers, sink, false, Box::new(|_| ()));
        upload.verify_if_empty().await?;
        let mut sent = HttpRequest::new(upload.boxed_unsync());
        *sent.method_mut() = Method::PUT;
        sent.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(stored_len));
        let result = if held {
            let system = self.group.system();
            *sent.uri_mut() = upstream::uri(system.bucket(), Some(&held_name(&opened.id, &salt)), &[]);
            self.send(self.upstreams.home(), sent).await
        } else {
            let query = [("partNumber", number.to_string()), ("uploadId", upstream_id.to_owned())];
            let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
            *sent.uri_mut() = upstream::uri(&granted.place.bucket, Some(&request.key), &query);
            sent.headers_mut().extend(headers::customer_keys(&request.headers));
            self.send(&granted.place.upstream, sent).await
        };
        let verified = verified(&ending, &result)?;
        let (head, body) = result?.into_parts();
        if !head.status.is_success() {
            return Ok(client_response(head.status, headers::to_client(&head.headers), body));
        }
        let etag = head.headers.get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default();
        let etag = etag.trim_matches('"').to_owned();
        if etag.is_empty() {
            return Err(Error::internal("The storage names no ETag of the part."));
        }
        let record = PartRecord {
            number,
            etag: etag.clone(),
            salt,
            plaintext_len: len,
            at_ms: crate::state::now_ms(),
            held,
            checksums: verified.checksums.clone(),
        };
        self.keep_part(opened, &record).await?;
        let mut shown = HeaderMap::new();
        if let Ok(etag) = HeaderValue::from_str(&format!("\"{etag}\"")) {
            shown.insert(ETAG, etag);
        }
        let of_storage = granted.place.upstream.takes_sse().then_some(&head.headers);
        headers::append_encryption(&mut shown, Some(opened.upload.header().kms_id()), of_storage);
        for (algorithm, value) in &verified.checksums {
            shown.insert(checksum::header_name(*algorithm), checksum::encode(value));
        }
        Ok(client_response(StatusCode::OK, shown, upstream::empty()))
    }

    /// The upload that a part goes to.
    pub(super) async fn part_target(&self, request: &Request, granted: &Granted) -> Result<PartTarget, Error> {
        let id = UploadId::parse(request.query("uploadId").unwrap_or_default());
        if id.sealed {
            let opened = self.opened(granted, &request.key, &id.upstream).await?.ok_or_else(gone)?;
            return Ok(PartTarget::Sealed(opened, id.upstream));
        }
        self.check_plain(request, granted, &id.upstream).await?;
        Ok(PartTarget::Plain(id.upstream))
    }

    /// Stores plaintext that does not come from the client as a part.
    pub(super) async fn store_part(
        &self,
        request: &Request,
        granted: &Granted,
        target: &PartTarget,
        number: u16,
        body: Body,
        len: u64,
    ) -> Result<Response<Body>, Error> {
        match target {
            PartTarget::Sealed(opened, id) => {
                self.sealed_part(request, granted, opened, id, number, body, len, &Declared::default()).await
            }
            PartTarget::Plain(id) => {
                let (start, body) =
                    super::prefix::peek(body, envelope::MAGIC.len()).await.map_err(|error| broken(&error))?;
                refuse_lookalike(&start)?;
                let query = [("partNumber", number.to_string()), ("uploadId", id.clone())];
                let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let none = Box::new(|_: &Verified| ());
                let (upload, ending) =
                    Upload::new(body, len, &Declared::default(), None, Sink::Plain(len), false, none);
                let mut sent = HttpRequest::new(upload.boxed_unsync());
                *sent.method_mut() = Method::PUT;
                *sent.uri_mut() = upstream::uri(&granted.place.bucket, Some(&request.key), &query);
                sent.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
                let result = self.send(&granted.place.upstream, sent).await;
                verified(&ending, &result)?;
                let (head, body) = result?.into_parts();
                Ok(client_response(head.status, headers::to_client(&head.headers), body))
            }
        }
    }

    pub(super) async fn abort_upload(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let id = UploadId::parse(request.query("uploadId").unwrap_or_default());
        let state = state_id(&granted, &request.key, &id.upstream);
        let target = upstream::uri(&granted.place.bucket, Some(&request.key), &[("uploadId", &id.upstream)]);
        let response = self.send(&granted.place.upstream, upstream::request(Method::DELETE, target)).await?;
        let (head, body) = response.into_parts();
        if head.status.is_success() || head.status == StatusCode::NOT_FOUND {
            self.policies.upload_ended(&state);
            self.forget_upload(&state).await;
        }
        Ok(client_response(head.status, headers::to_client(&head.headers), body))
    }
}

/// What the body of a part came to. The client's own fault explains whatever the storage says; and what the storage has
/// taken before the end of the body is no part.
fn verified(ending: &Ending, result: &Result<Response<Body>, Error>) -> Result<Verified, Error> {
    match ending.take() {
        Some(ended) => ended,
        None if result.as_ref().is_ok_and(|response| response.status().is_success()) => {
            Err(Error::slow_down("The storage answered before it had the part. Try again."))
        }
        None => Ok(Verified::default()),
    }
}

/// What is noted of an upload: the facts by which it is judged again at Complete, and what it counts as.
fn note(request: &Request, permit: &Permit) -> Result<Note, Error> {
    Ok(Note {
        outcome: Some(permit.outcome()),
        policy: permit.counted_policy().map(str::to_owned),
        revision: permit.guard().revision.map(|r| (r.lineage.to_string(), r.number)),
        judge_at_complete: permit.judge_at_complete(),
        principal: request.principal.access_key().to_owned(),
        content_type: text_fact(&request.headers, "content-type"),
        storage_class: request.header("x-amz-storage-class").unwrap_or("STANDARD").to_owned(),
        tags: parse_tags(request.header("x-amz-tagging"))?,
        metadata: metadata_facts(&request.headers),
        checksum: None,
        full_object: false,
        unmarked: false,
    })
}

/// Whether the upload that a request names seals its parts.
pub(super) fn is_sealed_upload(request: &Request) -> bool {
    UploadId::parse(request.query("uploadId").unwrap_or_default()).sealed
}

/// Refuses a plain part that begins as a sealed object does: as the object's first, which is known at Complete only, it
/// would make the object look sealed, and unreadable.
pub(super) fn refuse_lookalike(start: &[u8]) -> Result<(), Error> {
    if envelope::begins_with_magic(start) == Some(true) {
        return Err(Error::invalid_request(
            "The part begins as an encrypted object of the gateway does, and the upload was begun without encryption. \
             Begin an encrypted one, for example with x-amz-server-side-encryption: aws:kms.",
        ));
    }
    Ok(())
}

/// The part number of an upload: 1 to 10,000.
pub(super) fn part_number(request: &Request) -> Result<u16, Error> {
    let number = request.query("partNumber").and_then(|text| text.parse().ok()).filter(|n| (1..=LAST).contains(n));
    number.ok_or_else(|| Error::invalid_argument("Part number must be an integer between 1 and 10000, inclusive"))
}

/// The answer to Create, with the bucket and the ID as the client is to see them.
fn renamed(request: &Request, id: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InitiateMultipartUploadResult \
         xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>{}</Bucket><Key>{}</Key><UploadId>{}</UploadId>\
         </InitiateMultipartUploadResult>",
        escape(&request.bucket),
        escape(&request.key),
        escape(id)
    )
}

/// The text of the first element of that name.
pub(crate) fn field(document: &[u8], name: &[u8]) -> Option<String> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_reader(document);
    let (mut inside, mut text) = (false, String::new());
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) if start.local_name().as_ref() == name => inside = true,
            Event::Text(part) if inside => text.push_str(&part.decode().ok()?),
            Event::GeneralRef(reference) if inside => super::list::push_reference(&reference, &mut text).ok()?,
            Event::End(end) if inside && end.local_name().as_ref() == name => return Some(text),
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// XML with status 200.
fn answer_xml(text: String, shown: HeaderMap) -> Response<Body> {
    let mut response = xml(StatusCode::OK, text);
    response.headers_mut().extend(shown);
    response
}
