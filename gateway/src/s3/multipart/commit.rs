//! An upload becomes an object: its end is stored as the last part, the storage joins them, and the object is counted once.

#![expect(clippy::format_push_string, reason = "the XML is short, and reads best as it is written")]

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use envelope::{Header, Part};
use http::header::{CONTENT_LENGTH, ETAG, HeaderValue};
use http::{HeaderMap, Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::BodyExt as _;
use ids::Outcome;

use super::super::access::Granted;
use super::super::checksum;
use super::super::error::{Error, escape, unreadable};
use super::super::headers::client_response;
use super::super::open::{Failed, Stored};
use super::super::request::Request;
use super::super::write::{mark_of_headers, standing_of};
use super::super::{Front, headers};
use super::field;
use super::state::{Opened, PartRecord, gone, held_name};
use crate::state::ledger::Standing;
use crate::stats::{Fact, Intent, Pending};
use crate::upstream::{self, Body};

/// How often a Complete is tried at most whose end another one has replaced.
const TRIES: usize = 8;

/// The object that an upload is to become.
pub(super) struct Object<'a> {
    pub(super) upstream_id: &'a str,
    /// The records of the parts that were named.
    pub(super) chosen: &'a [&'a PartRecord],
    /// The same as the footer lists them.
    pub(super) parts: &'a [Part],
    pub(super) footer: bytes::Bytes,
    /// Where its end goes; see [`end_number`].
    pub(super) end: u16,
    /// Plaintext bytes.
    pub(super) bytes: u64,
}

impl Object<'_> {
    /// The parts as the storage has them before the end: number and `ETag`.
    fn stored(&self) -> impl Iterator<Item = (u16, &str)> {
        let stored = self.chosen.iter().filter(|record| !record.held);
        stored.map(|record| (record.number, record.etag.as_str()))
    }

    /// The `ETag` that S3 gives an object of these parts and an end that has this one.
    fn etag(&self, end: &str) -> Option<String> {
        let etags: Vec<_> = self.stored().map(|(_, etag)| etag).chain([end]).collect();
        checksum::etag_of_parts(&etags)
    }
}

/// What the storage made of it.
pub(super) struct Committed {
    pub(super) etag: String,
    pub(super) version: Option<String>,
    pub(super) standing: Standing,
}

impl Front {
    /// Has the storage make the object, and counts it. `Ok(Err(_))`: the storage's refusal, for the client.
    pub(super) async fn commit_upload(
        &self,
        request: &Request,
        granted: &Granted,
        opened: &Arc<Opened>,
        object: &Object<'_>,
    ) -> Result<Result<Committed, Response<Body>>, Error> {
        let conditions = self.complete_conditions(request, granted).await?;
        let now = self.policies.current().revision.map(|r| (r.lineage.to_string(), r.number));
        let intent = Intent {
            bucket: &request.bucket,
            key: &request.key,
            policy: opened.note.policy.as_deref(),
            outcome: if opened.note.revision == now { Outcome::Encrypted } else { Outcome::Grandfathered },
            bytes: object.bytes,
            fact: Self::mark_of_upload(opened).map_or(Fact::None, Fact::Mark),
        };
        // Dropped without an outcome, where it is not known what the storage did, it is settled by a look.
        let pending = self.is_counted_here(&opened.id).await?.then(|| self.stats.intent(intent));
        let mut attempt = 1;
        loop {
            let Some((end, head, body)) = self.try_upload(request, granted, opened, object, &conditions).await? else {
                // Done by an earlier try whose answer was lost, and which counts it.
                let before = self.completed_before(request, granted, opened, Some(object.parts)).await?;
                if before.is_none() {
                    self.count_failed(&opened.id, pending).await;
                } else if let Some(pending) = pending {
                    pending.withdrawn();
                }
                let standing = Standing::Latest;
                let etag = before.ok_or_else(gone)?;
                return Ok(Ok(Committed { etag, version: None, standing }));
            };
            let code = field(&body, b"Code");
            if head.status.is_success() && code.is_none() {
                let version =
                    head.headers.get("x-amz-version-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
                let told = field(&body, b"ETag").map(|etag| etag.trim_matches('"').to_owned());
                let etag = match told.filter(|etag| !etag.is_empty()) {
                    Some(etag) => Some(etag),
                    // A storage that tells none. Where another object lies there by now, this one was there before it.
                    None => self.completed_before(request, granted, opened, None).await?,
                };
                let etag = etag.or_else(|| object.etag(&end)).unwrap_or_default();
                if let Some(pending) = pending {
                    pending.done();
                }
                let standing = standing_of(&head.headers, true);
                return Ok(Ok(Committed { etag, version, standing }));
            }
            // By another Complete at the same time: the next try sees what it came to.
            let unknown = code.as_deref() == Some("NoSuchUpload");
            let replaced =
                code.as_deref() == Some("InvalidPart") && self.end_was_replaced(request, granted, object, &end).await?;
            if (unknown || replaced) && attempt < TRIES {
                attempt += 1;
                tokio::time::sleep(Duration::from_millis(crate::system::jitter(200))).await;
                continue;
            }
            if !head.status.is_server_error() {
                self.count_failed(&opened.id, pending).await;
            }
            let status = if head.status.is_success() { StatusCode::INTERNAL_SERVER_ERROR } else { head.status };
            return Ok(Err(client_response(status, headers::to_client(&head.headers), upstream::full(body))));
        }
    }

    /// The try came to nothing, and the next one counts.
    async fn count_failed(&self, id: &str, pending: Option<Pending>) {
        if let Some(pending) = pending {
            pending.ended(Outcome::Failed, 0);
            self.try_failed(id).await;
        }
    }

    /// Stores the end of the object, and asks the storage to make the object: the `ETag` of the end, and the answer. None:
    /// the storage does not know the upload.
    async fn try_upload(
        &self,
        request: &Request,
        granted: &Granted,
        opened: &Opened,
        object: &Object<'_>,
        conditions: &HeaderMap,
    ) -> Result<Option<(String, http::response::Parts, bytes::Bytes)>, Error> {
        let number = object.end;
        let held = object.chosen.last().filter(|record| record.held);
        let footer = object.footer.clone();
        let id = object.upstream_id;
        let etag = self.put_end(request, granted, opened, id, number, held.copied(), footer).await?;
        let Some(etag) = etag else { return Ok(None) };
        let mut text = String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        for (number, etag) in object.stored().chain([(number, etag.as_str())]) {
            text.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{}&quot;</ETag></Part>",
                escape(etag)
            ));
        }
        text.push_str("</CompleteMultipartUpload>");
        let mut sent = HttpRequest::new(upstream::full(text.clone()));
        *sent.method_mut() = Method::POST;
        *sent.uri_mut() = upstream::uri(&granted.place.bucket, Some(&request.key), &[("uploadId", id)]);
        sent.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        sent.headers_mut().extend(conditions.clone());
        let (head, body) = self.send(&granted.place.upstream, sent).await?.into_parts();
        Ok(Some((etag, head, self.answer(body).await?)))
    }

    /// Whether another Complete at the same time has put its own end in place of the one with this `ETag`.
    async fn end_was_replaced(
        &self,
        request: &Request,
        granted: &Granted,
        object: &Object<'_>,
        etag: &str,
    ) -> Result<bool, Error> {
        let before = (object.end - 1).to_string();
        let query = [("max-parts", "1"), ("part-number-marker", before.as_str()), ("uploadId", object.upstream_id)];
        let target = upstream::uri(&granted.place.bucket, Some(&request.key), &query);
        let (head, body) =
            self.send(&granted.place.upstream, upstream::request(Method::GET, target)).await?.into_parts();
        if upstream::is_overload(head.status) {
            return Err(Error::slow_down("The storage is busy. Try again."));
        }
        let there = field(&self.answer(body).await?, b"ETag");
        Ok(there.is_none_or(|there| there.trim_matches('"') != etag))
    }

    /// Stores the held part, if there is one, and the footer as the upload's last part; gives its `ETag`. None: the storage
    /// does not know the upload.
    #[expect(clippy::too_many_arguments, reason = "one straight path, called once")]
    async fn put_end(
        &self,
        request: &Request,
        granted: &Granted,
        opened: &Opened,
        upstream_id: &str,
        number: u16,
        held: Option<&PartRecord>,
        footer: bytes::Bytes,
    ) -> Result<Option<String>, Error> {
        let (mut len, mut body) = (footer.len() as u64, upstream::full(footer.clone()));
        if let Some(record) = held {
            let system = self.group.system();
            let target = upstream::uri(system.bucket(), Some(&held_name(&opened.id, &record.salt)), &[]);
            let response = self.send(self.upstreams.home(), upstream::request(Method::GET, target)).await?;
            if response.status() != StatusCode::OK {
                return Err(Error::slow_down("A part of the upload cannot be reached. Try again.")
                    .because(format!("held part: {}", response.status())));
            }
            let stored = envelope::part_stored_len(record.plaintext_len);
            len += stored;
            body = chained(response.into_body(), footer, len);
        }
        let query = [("partNumber", number.to_string()), ("uploadId", upstream_id.to_owned())];
        let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut sent = HttpRequest::new(body);
        *sent.method_mut() = Method::PUT;
        *sent.uri_mut() = upstream::uri(&granted.place.bucket, Some(&request.key), &query);
        sent.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(len));
        let response = self.send(&granted.place.upstream, sent).await?;
        let status = response.status();
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        match etag {
            Some(etag) if status.is_success() => Ok(Some(etag.trim_matches('"').to_owned())),
            _ if status == StatusCode::NOT_FOUND => Ok(None),
            _ => Err(Error::slow_down("The end of the object could not be stored. Try again.")
                .because(format!("footer part: {status}"))),
        }
    }

    /// What tells the object to whoever settles its count; none where its metadata had no room for that.
    fn mark_of_upload(opened: &Opened) -> Option<String> {
        if opened.note.unmarked {
            return None;
        }
        // As in the metadata: Base64 of the header, of which the mark is the beginning.
        let header = base64::engine::general_purpose::STANDARD_NO_PAD.encode(opened.upload.header().to_bytes());
        let mut map = HeaderMap::new();
        map.insert("x-amz-meta-gse-h", HeaderValue::from_str(&header).ok()?);
        mark_of_headers(&map)
    }

    /// The `ETag` of the object, if it is the one of this upload, and made of these parts where that is asked: another
    /// Complete may have named others.
    async fn completed_before(
        &self,
        request: &Request,
        granted: &Granted,
        opened: &Opened,
        parts: Option<&[Part]>,
    ) -> Result<Option<String>, Error> {
        let mut head = upstream::request(Method::HEAD, upstream::uri(&granted.place.bucket, Some(&request.key), &[]));
        let keys = headers::customer_keys(&request.headers);
        head.headers_mut().extend(keys.clone());
        let response = self.send(&granted.place.upstream, head).await?;
        if upstream::is_overload(response.status()) {
            return Err(Error::slow_down("The storage is busy. Try again."));
        }
        if response.status() != StatusCode::OK {
            return Ok(None);
        }
        let Some(metadata) = headers::sealed_metadata(response.headers()).map_err(unreadable)? else { return Ok(None) };
        let is_ours = |header: &Header| header.is_same(opened.upload.header());
        if metadata.header().is_some_and(|header| !is_ours(header)) {
            return Ok(None);
        }
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).map(str::to_owned);
        // Where the client's metadata leaves no room for the header, only the end of the object has it.
        if parts.is_some() || metadata.header().is_none() {
            let stored = Stored::read(response.into_parts().0.headers, None, keys)?;
            match self.open(granted, &request.key, &stored, Some(&metadata), true).await {
                Ok(object) if is_ours(object.header()) && parts.is_none_or(|parts| object.parts() == parts) => {}
                Ok(_) | Err(Failed::Changed) => return Ok(None),
                Err(Failed::Error(error)) => return Err(error),
            }
        }
        Ok(etag.map(|etag| etag.trim_matches('"').to_owned()))
    }
}

/// The number of the part that ends the object: behind every part that the client ever sent, so that nothing of the
/// client's is overwritten, and without a gap, since Ceph RGW 16 loses objects that have several of them and a part that
/// was sent twice. It also takes no upload of which it has a part that is not named: where the held part was larger
/// before, the end replaces that.
pub(super) fn end_number(chosen: &[&PartRecord], records: &[PartRecord]) -> u16 {
    let held = chosen.last().filter(|record| record.held).map(|record| record.number);
    let was_stored = |number: &u16| records.iter().any(|record| !record.held && record.number == *number);
    let highest = records.iter().map(|record| record.number).max().unwrap_or_default();
    held.filter(was_stored).unwrap_or_else(|| highest.saturating_add(1).min(super::LAST))
}

/// A held part, and the footer behind it.
fn chained(held: Body, footer: bytes::Bytes, len: u64) -> Body {
    use futures_util::{StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::{BodyStream, StreamBody};
    let frames = BodyStream::new(held).chain(stream::iter([Ok(Frame::data(footer))]));
    let body = StreamBody::new(frames);
    Sized { body, len }.boxed_unsync()
}

/// A stream whose length is known.
struct Sized<B> {
    body: B,
    len: u64,
}

impl<B: http_body::Body + Unpin> http_body::Body for Sized<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(cx)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.len)
    }
}
