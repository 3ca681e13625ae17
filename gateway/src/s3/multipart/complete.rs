//! `CompleteMultipartUpload`.

#![expect(clippy::format_push_string, reason = "the XML is short, and reads best as it is written")]

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use envelope::{Checksum, ChecksumAlgorithm, ChecksumKind, Checksums, PartChecksums};
use http::header::{CONTENT_LENGTH, ETAG, HeaderValue};
use http::{HeaderMap, Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::BodyExt as _;
use ids::Outcome;

use super::super::access::Granted;
use super::super::checksum::{Hasher, header_name};
use super::super::error::{Error, escape};
use super::super::headers::client_response;
use super::super::list::push_reference;
use super::super::request::Request;
use super::super::write::{kms_of, mark_of_headers};
use super::super::{Front, headers};
use super::state::{Done, Note, Opened, PartRecord, UploadId, algorithm, algorithm_name, gone, held_name, state_id};
use super::{answer_xml, field};
use crate::state::ledger::Known;
use crate::stats::{Fact, Intent};
use crate::upstream::{self, Body};

/// 10,000 parts with their checksums take about 2 MiB.
const MAX_DOCUMENT: usize = 8 << 20;

/// One part as the client names it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) number: u16,
    pub(super) etag: String,
}

impl Front {
    pub(in super::super) async fn complete_upload(&self, mut request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let document = self.small_body(&mut request, MAX_DOCUMENT).await?;
        let id = UploadId::parse(request.query("uploadId").unwrap_or_default());
        if !id.sealed {
            return self.complete_plain(request, &granted, &id, document).await;
        }
        let named = parse(&document)?;
        let asked = hex::encode(digest(&SHA256, format!("{named:?}").as_bytes()));
        let state = state_id(&granted, &request.key, &id.upstream);
        // The record is written last: where it is, the upload is over.
        if let Some(done) = self.done(&state).await? {
            return if done.request == asked { Ok(Self::completed(&request, &done)) } else { Err(gone()) };
        }
        let opened = self.opened(&granted, &request.key, &id.upstream).await?.ok_or_else(gone)?;
        let done = self.complete_sealed(&request, &granted, &opened, &id.upstream, &named, asked).await?;
        match done {
            Ok(done) => {
                self.keep_done(&state, &done).await?;
                self.policies.upload_ended(&state);
                self.forget_upload(&state).await;
                Ok(Self::completed(&request, &done))
            }
            Err(refused) => Ok(refused),
        }
    }

    /// `Ok(Err(_))`: the storage's refusal, for the client.
    async fn complete_sealed(
        &self,
        request: &Request,
        granted: &Granted,
        opened: &Arc<Opened>,
        upstream_id: &str,
        named: &[Named],
        asked: String,
    ) -> Result<Result<Done, Response<Body>>, Error> {
        let records = self.parts(opened).await?;
        let chosen = choose(named, &records)?;
        let bytes = chosen.iter().map(|record| record.plaintext_len).sum();
        self.judge(request, granted, &opened.note, &opened.id, upstream_id, bytes).await?;
        let now = self.policies.current().revision.map(|r| (r.lineage.to_string(), r.number));
        let outcome = if opened.note.revision == now { Outcome::Encrypted } else { Outcome::Grandfathered };
        let parts: Vec<_> = chosen.iter().map(|record| record.part()).collect();
        let checksums = combine(opened.note.checksum.as_deref(), opened.note.full_object, &chosen);
        refuse_other_checksum(request, &checksums, chosen.len())?;
        let footer = opened.upload.footer(&opened.data_key, &opened.place, &parts, &checksums).map_err(|error| {
            Error::entity_too_small("Your proposed upload is smaller than the minimum allowed size").because(error)
        })?;
        let highest = records.iter().map(|record| record.number).max().unwrap_or_default();
        let number = highest.saturating_add(1).min(super::LAST);
        let last = chosen.last().filter(|record| record.held);
        let etag = self.put_end(request, granted, opened, upstream_id, number, last.copied(), footer.bytes).await?;
        let mut text = String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        let stored = chosen.iter().filter(|record| !record.held).map(|record| (record.number, record.etag.as_str()));
        for (number, etag) in stored.chain([(number, etag.as_str())]) {
            text.push_str(&format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{}&quot;</ETag></Part>",
                escape(etag)
            ));
        }
        text.push_str("</CompleteMultipartUpload>");

        let mark = Self::mark_of_upload(opened);
        let conditions = self.put_conditions(request, granted).await?;
        let pending = self.stats.intent(Intent {
            bucket: &request.bucket,
            key: &request.key,
            policy: opened.note.policy.as_deref(),
            outcome,
            bytes,
            fact: mark.clone().map_or(Fact::None, Fact::Mark),
        });
        let mut sent = HttpRequest::new(upstream::full(text.clone()));
        *sent.method_mut() = Method::POST;
        *sent.uri_mut() = upstream::uri(&granted.place.bucket, Some(&request.key), &[("uploadId", upstream_id)]);
        sent.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
        sent.headers_mut().extend(conditions);
        let response = self.send(&granted.place.upstream, sent).await?;
        let (head, body) = response.into_parts();
        let body = self.answer(body).await?;
        let code = field(&body, b"Code");
        let failed = !head.status.is_success() || code.is_some();
        let version = head.headers.get("x-amz-version-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut etag = field(&body, b"ETag").map(|etag| etag.trim_matches('"').to_owned()).unwrap_or_default();
        if (failed && code.as_deref() == Some("NoSuchUpload")) || (!failed && etag.is_empty()) {
            // Done by an earlier try whose answer was lost, or by a storage that tells no ETag.
            if let Some(found) = self.completed_before(request, granted, mark.as_deref()).await? {
                etag = found;
                if failed {
                    pending.withdrawn();
                } else {
                    pending.done();
                }
            } else {
                pending.ended(Outcome::Failed, 0);
                return Err(gone());
            }
        } else if failed {
            if head.status.is_server_error() {
                drop(pending);
            } else {
                pending.ended(Outcome::Failed, 0);
            }
            let status = if head.status.is_success() { StatusCode::INTERNAL_SERVER_ERROR } else { head.status };
            return Ok(Err(client_response(status, headers::to_client(&head.headers), upstream::full(body))));
        } else {
            pending.done();
        }
        self.footers.forget(&granted.place, &request.key, None);
        let kms = opened.upload.header().kms_id();
        let known = Known { encrypted: true, size: bytes, kms: kms_of(Some(kms)) };
        self.ledger.record(&request.bucket, &request.key, &etag, known);
        let checksum = checksums.object.first().map(|checksum| {
            let full = checksum.kind == ChecksumKind::FullObject;
            let value = STANDARD.encode(&checksum.value);
            let value = if full { value } else { format!("{value}-{}", chosen.len()) };
            (algorithm_name(checksum.algorithm).to_owned(), value, full)
        });
        Ok(Ok(Done {
            request: asked,
            etag,
            version,
            kms: Some(kms.to_owned()),
            checksum,
            at_ms: crate::state::now_ms(),
        }))
    }

    /// A policy that needs the true size judges now, and may refuse: then the upload is aborted.
    pub(super) async fn judge(
        &self,
        request: &Request,
        granted: &Granted,
        note: &Note,
        state: &str,
        upstream_id: &str,
        bytes: u64,
    ) -> Result<(), Error> {
        if !note.judge_at_complete {
            return Ok(());
        }
        let facts = policy::Facts {
            size: Some(bytes),
            content_type: &note.content_type,
            metadata: &note.metadata,
            tags: &note.tags,
            storage_class: &note.storage_class,
            principal: &note.principal,
            operation: "CreateMultipartUpload",
            time_unix_ms: crate::state::now_ms(),
            source_ip: request.source_ip,
            ..policy::Facts::new(&request.bucket, &request.key)
        };
        if let Err(error) = self.decide(self.begin_decision()?, &granted.document, &facts, false) {
            if error.code == "AccessDenied" {
                let target = upstream::uri(&granted.place.bucket, Some(&request.key), &[("uploadId", upstream_id)]);
                self.send(&granted.place.upstream, upstream::request(Method::DELETE, target)).await?;
                self.policies.upload_ended(state);
                self.forget_upload(state).await;
            }
            return Err(error);
        }
        Ok(())
    }

    /// Stores the held part, if there is one, and the footer as the upload's last part; gives its `ETag`.
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
    ) -> Result<String, Error> {
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
            Some(etag) if status.is_success() => Ok(etag.trim_matches('"').to_owned()),
            _ if status == StatusCode::NOT_FOUND => Ok(String::from("none")),
            _ => Err(Error::slow_down("The end of the object could not be stored. Try again.")
                .because(format!("footer part: {status}"))),
        }
    }

    fn mark_of_upload(opened: &Opened) -> Option<String> {
        // As in the metadata: Base64 of the header, of which the mark is the beginning.
        let header = base64::engine::general_purpose::STANDARD_NO_PAD.encode(opened.upload.header().to_bytes());
        let mut map = HeaderMap::new();
        map.insert("x-amz-meta-gse-h", HeaderValue::from_str(&header).ok()?);
        mark_of_headers(&map)
    }

    /// The `ETag` of the object, if it is the one of this upload.
    async fn completed_before(
        &self,
        request: &Request,
        granted: &Granted,
        mark: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let head = upstream::request(Method::HEAD, upstream::uri(&granted.place.bucket, Some(&request.key), &[]));
        let response = self.send(&granted.place.upstream, head).await?;
        let found = mark_of_headers(response.headers());
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
        let same = response.status() == StatusCode::OK && found.is_some() && found.as_deref() == mark;
        Ok(etag.filter(|_| same).map(|etag| etag.trim_matches('"').to_owned()))
    }

    fn completed(request: &Request, done: &Done) -> Response<Body> {
        let mut shown = HeaderMap::new();
        headers::append_encryption(&mut shown, done.kms.as_deref());
        if let Some(version) = done.version.as_deref().and_then(|version| HeaderValue::from_str(version).ok()) {
            shown.insert("x-amz-version-id", version);
        }
        let checksum = done.checksum.as_ref().map(|(name, value, full)| {
            let kind = if *full { "FULL_OBJECT" } else { "COMPOSITE" };
            format!("<Checksum{name}>{}</Checksum{name}><ChecksumType>{kind}</ChecksumType>", escape(value))
        });
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUploadResult \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Location>/{}/{}</Location><Bucket>{}</Bucket>\
             <Key>{}</Key><ETag>&quot;{}&quot;</ETag>{}</CompleteMultipartUploadResult>",
            escape(&request.bucket),
            escape(&upstream::encode_key(&request.key)),
            escape(&request.bucket),
            escape(&request.key),
            escape(&headers::visible_etag_text(&done.etag)),
            checksum.unwrap_or_default()
        );
        answer_xml(text, shown)
    }
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

/// The record of each part that the client names, by number and `ETag`.
fn choose<'a>(named: &[Named], records: &'a [PartRecord]) -> Result<Vec<&'a PartRecord>, Error> {
    if named.is_empty() {
        return Err(Error::malformed_xml("You must specify at least one part"));
    }
    if !named.is_sorted_by(|a, b| a.number < b.number) {
        return Err(Error::invalid_part_order("The list of parts was not in ascending order."));
    }
    let mut chosen = Vec::with_capacity(named.len());
    for part in named {
        let matches = |record: &&PartRecord| record.number == part.number && record.etag == part.etag;
        let record = records.iter().rev().find(matches).ok_or_else(|| {
            Error::invalid_part("One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.")
        })?;
        chosen.push(record);
    }
    let early = &chosen[..chosen.len() - 1];
    if early.iter().any(|record| record.held) {
        return Err(Error::entity_too_small("Your proposed upload is smaller than the minimum allowed size"));
    }
    Ok(chosen)
}

/// The checksums of the object from those of its parts, where all parts have one of the same kind.
fn combine(announced: Option<&str>, full: bool, chosen: &[&PartRecord]) -> Checksums {
    let of_parts: Option<Vec<_>> = chosen.iter().map(|record| algorithm(record)).collect();
    let Some(of_parts) = of_parts else { return Checksums::default() };
    let kind = of_parts[0].0;
    if of_parts.iter().any(|(algorithm, _)| *algorithm != kind) {
        return Checksums::default();
    }
    let crc = match kind {
        ChecksumAlgorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        ChecksumAlgorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        ChecksumAlgorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        _ => None,
    };
    let full = full || (announced.is_none() && kind == ChecksumAlgorithm::Crc64Nvme);
    let object = if let Some(crc) = crc.filter(|_| full) {
        let mut combined = None;
        for ((_, value), record) in of_parts.iter().zip(chosen) {
            let value = value.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
            combined = Some(match combined {
                None => value,
                Some(before) => crc_fast::checksum_combine(crc, before, value, record.plaintext_len),
            });
        }
        let bytes = combined.unwrap_or_default().to_be_bytes();
        Checksum { algorithm: kind, kind: ChecksumKind::FullObject, value: bytes[8 - kind.value_len()..].to_vec() }
    } else {
        let mut hasher = Hasher::new(kind);
        for (_, value) in &of_parts {
            hasher.update(value);
        }
        Checksum { algorithm: kind, kind: ChecksumKind::Composite, value: hasher.finish() }
    };
    let values = of_parts.iter().map(|(_, value)| value.to_vec()).collect();
    Checksums { object: vec![object], parts: Some(PartChecksums { algorithm: kind, values }) }
}

/// A checksum of the whole that the client gives at Complete must be the one of the parts.
fn refuse_other_checksum(request: &Request, checksums: &Checksums, parts: usize) -> Result<(), Error> {
    for checksum in &checksums.object {
        let Some(given) = request.header(header_name(checksum.algorithm)) else { continue };
        let value = STANDARD.encode(&checksum.value);
        if given != value && given != format!("{value}-{parts}") {
            return Err(Error::bad_digest("The checksum of the object does not match those of its parts."));
        }
    }
    Ok(())
}

/// The parts that a document names, in its order. `MalformedXML` where it is none.
pub(super) fn parse(document: &[u8]) -> Result<Vec<Named>, Error> {
    use quick_xml::events::Event;
    let malformed = || Error::malformed_xml("The XML you provided was not well-formed or did not validate.");
    let mut reader = quick_xml::Reader::from_reader(document);
    let (mut named, mut part, mut field, mut text) = (Vec::new(), None::<Named>, Vec::new(), String::new());
    let mut root = false;
    loop {
        match reader.read_event().map_err(|_| malformed())? {
            Event::Start(start) => {
                field = start.local_name().as_ref().to_vec();
                root |= field == b"CompleteMultipartUpload";
                if field == b"Part" {
                    part = Some(Named::default());
                }
                text.clear();
            }
            Event::Text(piece) => text.push_str(&piece.decode().map_err(|_| malformed())?),
            Event::GeneralRef(reference) => push_reference(&reference, &mut text).map_err(|_| malformed())?,
            Event::End(end) => {
                match (end.local_name().as_ref(), &mut part) {
                    (b"PartNumber", Some(part)) => part.number = text.trim().parse().map_err(|_| malformed())?,
                    (b"ETag", Some(part)) => text.trim().trim_matches('"').clone_into(&mut part.etag),
                    (b"Part", Some(_)) => {
                        let part = part.take().filter(|part| part.number > 0 && !part.etag.is_empty());
                        named.push(part.ok_or_else(malformed)?);
                        if named.len() > usize::from(super::LAST) {
                            return Err(malformed());
                        }
                    }
                    _ => {}
                }
                field.clear();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if !root || named.is_empty() {
        return Err(malformed());
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u16, etag: &str, held: bool, at_ms: i64) -> PartRecord {
        PartRecord { number, etag: etag.into(), salt: [0; 32], plaintext_len: 4, at_ms, held, checksum: None }
    }

    fn named(parts: &[(u16, &str)]) -> Vec<Named> {
        parts.iter().map(|(number, etag)| Named { number: *number, etag: (*etag).into() }).collect()
    }

    #[test]
    fn complete_takes_the_record_of_the_etag_that_is_named() {
        let records = [record(1, "old", false, 1), record(1, "new", false, 2), record(2, "two", true, 3)];
        let chosen = choose(&named(&[(1, "old"), (2, "two")]), &records).unwrap();
        assert_eq!(chosen[0].etag, "old");
        let code = |parts: &[(u16, &str)]| choose(&named(parts), &records).unwrap_err().code;
        assert_eq!(code(&[(1, "none")]), "InvalidPart");
        assert_eq!(code(&[(3, "two")]), "InvalidPart");
        assert_eq!(code(&[(2, "two"), (1, "new")]), "InvalidPartOrder");
        assert_eq!(code(&[(1, "new"), (1, "new")]), "InvalidPartOrder");
    }

    #[test]
    fn a_held_part_must_be_the_last() {
        let records = [record(1, "a", true, 1), record(2, "b", true, 1)];
        assert_eq!(choose(&named(&[(1, "a"), (2, "b")]), &records).unwrap_err().code, "EntityTooSmall");
        assert!(choose(&named(&[(2, "b")]), &records).is_ok());
    }

    #[test]
    fn crcs_of_parts_combine_to_that_of_the_whole() {
        for (kind, crc) in [
            (ChecksumAlgorithm::Crc32, CrcAlgorithm::Crc32IsoHdlc),
            (ChecksumAlgorithm::Crc32c, CrcAlgorithm::Crc32Iscsi),
            (ChecksumAlgorithm::Crc64Nvme, CrcAlgorithm::Crc64Nvme),
        ] {
            let part = |data: &[u8]| {
                let mut hasher = Hasher::new(kind);
                hasher.update(data);
                PartRecord {
                    plaintext_len: data.len() as u64,
                    checksum: Some((algorithm_name(kind).into(), hasher.finish())),
                    ..record(1, "x", false, 0)
                }
            };
            let parts = [part(b"12345"), part(b"6789")];
            let combined = combine(Some(algorithm_name(kind)), true, &[&parts[0], &parts[1]]);
            let whole = crc_fast::checksum(crc, b"123456789").to_be_bytes();
            assert_eq!(combined.object[0].value, whole[8 - kind.value_len()..], "{kind:?}");
        }
    }

    #[test]
    fn a_document_that_names_no_parts_is_malformed() {
        for bad in ["", "<CompleteMultipartUpload/>", "<x><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></x>"] {
            assert_eq!(parse(bad.as_bytes()).unwrap_err().code, "MalformedXML", "{bad}");
        }
        let good = "<CompleteMultipartUpload><Part><ETag>&quot;a&quot;</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>";
        assert_eq!(parse(good.as_bytes()).unwrap(), named(&[(1, "a")]));
    }
}
