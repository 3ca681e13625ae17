//! `CompleteMultipartUpload`.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use envelope::{ChecksumAlgorithm, ChecksumKind};
use http::header::HeaderValue;
use http::{HeaderMap, Method, Response};

use super::super::access::Granted;
use super::super::checksum::{Declared, name_of};
use super::super::error::{Error, escape};
use super::super::list::push_reference;
use super::super::patience::PATIENCE;
use super::super::request::Request;
use super::super::write::kms_of;
use super::super::{Front, headers};
use super::answer_xml;
use super::checksums::{self, combine, refuse_other, text_of};
use super::choose::{as_stored, choose, in_order, sent_again};
use super::commit::{Object, end_number};
use super::state::{Done, Note, UploadId, gone, state_id};
use crate::state::ledger::Known;
use crate::upstream::{self, Body};

/// 10,000 parts with their checksums take about 2 MiB.
const MAX_DOCUMENT: usize = 8 << 20;

/// One part as the client names it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) number: u16,
    pub(super) etag: String,
    /// Those by which it is named besides.
    pub(super) checksums: Vec<(ChecksumAlgorithm, Vec<u8>)>,
}

impl Front {
    pub(in super::super) async fn complete_upload(
        self: &Arc<Self>,
        mut request: Request,
    ) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        // Checksums in the headers are those of the object that is to be.
        let declared = Declared::of_document(&request.headers)?;
        let document = Self::verified_body(&mut request, MAX_DOCUMENT, &declared).await?;
        let (front, resource, id) = (Arc::clone(self), request.resource(), request.request_id.clone());
        let completion = Box::pin(async move { front.complete(request, granted, document).await });
        self.work.patiently(PATIENCE, resource, id, completion).await
    }

    async fn complete(
        &self,
        request: Request,
        granted: Granted,
        document: bytes::Bytes,
    ) -> Result<Response<Body>, Error> {
        let id = UploadId::parse(request.query("uploadId").unwrap_or_default());
        if !id.sealed {
            return self.complete_plain(request, &granted, &id, document).await;
        }
        let named = parse(&document)?;
        let asked = asked(&named);
        let state = state_id(&granted, &request.key, &id.upstream);
        // The record is written last: where it is, the upload is over.
        if let Some(over) = self.over(&request, &state, &asked).await? {
            return Ok(over);
        }
        match self.complete_sealed(&request, &granted, &id.upstream, &named, &asked).await {
            Ok(Ok(done)) => {
                self.keep_done(&state, &done).await?;
                self.policies.upload_ended(&state);
                self.forget_upload(&state).await;
                Ok(self.completed(&request, &done))
            }
            Ok(Err(refused)) => Ok(refused),
            // Another one at the same time may have ended it: then what was kept of it is taken away piece by piece, and
            // whatever is missing is told as an error of its own.
            Err(error) => self.over(&request, &state, &asked).await?.ok_or(error),
        }
    }

    /// What is answered where an encrypted upload is over; none: nothing says that it is.
    async fn over(&self, request: &Request, state: &str, asked: &str) -> Result<Option<Response<Body>>, Error> {
        match self.done(state).await? {
            Some(done) if done.request == asked => Ok(Some(self.completed(request, &done))),
            Some(_) => Err(gone()),
            None => Ok(None),
        }
    }

    /// `Ok(Err(_))`: the storage's refusal, for the client.
    async fn complete_sealed(
        &self,
        request: &Request,
        granted: &Granted,
        upstream_id: &str,
        named: &[Named],
        asked: &str,
    ) -> Result<Result<Done, Response<Body>>, Error> {
        let opened = &self.opened(granted, &request.key, upstream_id).await?.ok_or_else(gone)?;
        let records = self.parts(opened).await?;
        let named = in_order(named, granted.place.upstream.quirks().parts_in_any_order)?;
        let mut chosen = choose(&named, &records)?;
        if sent_again(&chosen, &records) {
            let stored = self.stored_parts(request, granted, upstream_id).await?.unwrap_or_default();
            as_stored(&mut chosen, &records, &stored);
        }
        let bytes = chosen.iter().map(|record| record.plaintext_len).sum();
        let kept = opened.note.checksum_kept();
        let checksums = combine(kept, &chosen);
        refuse_other(request, kept, &checksums, chosen.len(), bytes)?;
        self.judge(request, granted, &opened.note, &opened.id, upstream_id, bytes).await?;
        let parts: Vec<_> = chosen.iter().map(|record| record.part()).collect();
        let footer = opened.upload.footer(&opened.data_key, &opened.place, &parts, &checksums).map_err(|error| {
            Error::entity_too_small("Your proposed upload is smaller than the minimum allowed size").because(error)
        })?;
        let end = end_number(&chosen, &records);
        let object = Object { upstream_id, chosen: &chosen, parts: &parts, footer: footer.bytes, end, bytes };
        let committed = match self.commit_upload(request, granted, opened, &object).await? {
            Ok(committed) => committed,
            Err(refused) => return Ok(Err(refused)),
        };
        self.footers.forget(&granted.place, &request.key, None);
        let kms = opened.upload.header().kms_id();
        let known = Known { encrypted: true, size: bytes, kms: kms_of(Some(kms)) };
        self.ledger.record(&request.bucket, &request.key, &committed.etag, known, committed.standing);
        let checksum = checksums.object.first().map(|checksum| {
            let full = checksum.kind == ChecksumKind::FullObject;
            (name_of(checksum.algorithm).to_owned(), text_of(checksum, chosen.len()), full)
        });
        Ok(Ok(Done {
            request: asked.to_owned(),
            etag: committed.etag,
            version: committed.version,
            kms: Some(kms.to_owned()),
            checksum,
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

    /// The address of the object, as the client calls it.
    pub(super) fn location(&self, request: &Request) -> String {
        format!("{}/{}", self.url_of(&request.headers, &request.bucket), upstream::encode_key(&request.key))
    }

    pub(super) fn completed(&self, request: &Request, done: &Done) -> Response<Body> {
        let mut shown = HeaderMap::new();
        if done.kms.is_some() {
            headers::append_encryption(&mut shown, done.kms.as_deref(), None);
        }
        if let Some(version) = done.version.as_deref().and_then(|version| HeaderValue::from_str(version).ok()) {
            shown.insert("x-amz-version-id", version);
        }
        let checksum = done.checksum.as_ref().map(|(name, value, full)| {
            let kind = if *full { "FULL_OBJECT" } else { "COMPOSITE" };
            format!("<Checksum{name}>{}</Checksum{name}><ChecksumType>{kind}</ChecksumType>", escape(value))
        });
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUploadResult \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Location>{}</Location><Bucket>{}</Bucket>\
             <Key>{}</Key><ETag>&quot;{}&quot;</ETag>{}</CompleteMultipartUploadResult>",
            escape(&self.location(request)),
            escape(&request.bucket),
            escape(&request.key),
            escape(&headers::visible_etag_text(&done.etag)),
            checksum.unwrap_or_default()
        );
        answer_xml(text, shown)
    }
}

/// What tells a repeated Complete from another one.
pub(super) fn asked(named: &[Named]) -> String {
    hex::encode(digest(&SHA256, format!("{named:?}").as_bytes()))
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
                    (name, Some(part)) if name.starts_with(b"Checksum") => {
                        part.checksums.extend(checksums::named(name, &text));
                    }
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

    fn named(parts: &[(u16, &str)]) -> Vec<Named> {
        parts
            .iter()
            .map(|(number, etag)| Named { number: *number, etag: (*etag).into(), checksums: Vec::new() })
            .collect()
    }

    #[test]
    fn a_document_that_names_no_parts_is_malformed() {
        for bad in ["", "<CompleteMultipartUpload/>", "<x><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></x>"] {
            assert_eq!(parse(bad.as_bytes()).unwrap_err().code, "MalformedXML", "{bad}");
        }
        let good = "<CompleteMultipartUpload><Part><ETag>&quot;a&quot;</ETag><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>";
        assert_eq!(parse(good.as_bytes()).unwrap(), named(&[(1, "a")]));
        let good = good.replace("<PartNumber>", "<ChecksumCRC32>y/Q5Jg==</ChecksumCRC32><PartNumber>");
        let found = parse(good.as_bytes()).unwrap();
        assert_eq!(found[0].checksums, [(ChecksumAlgorithm::Crc32, vec![0xcb, 0xf4, 0x39, 0x26])]);
    }
}
