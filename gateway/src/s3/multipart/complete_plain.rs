//! `CompleteMultipartUpload` of an upload that began plain: judged by its size, journalled, and passed on.

use envelope::ChecksumAlgorithm;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, Response};
use ids::Outcome;

use super::super::access::Granted;
use super::super::checksum::Hasher;
use super::super::error::Error;
use super::super::headers::client_response;
use super::super::list::push_reference;
use super::super::request::Request;
use super::super::{Front, headers};
use super::complete::{Named, parse};
use super::field;
use super::state::{UploadId, state_id};
use crate::state::ledger::Known;
use crate::stats::{Fact, Intent};
use crate::upstream::{self, Body};

impl Front {
    /// Completes an upload that began plain. A policy that needs the size judges now.
    pub(super) async fn complete_plain(
        &self,
        request: Request,
        granted: &Granted,
        id: &UploadId,
        document: bytes::Bytes,
    ) -> Result<Response<Body>, Error> {
        let note = self.check_plain(&request, granted, &id.upstream).await?;
        let state = state_id(granted, &request.key, &id.upstream);
        let becomes = self.plain_object(&request, granted, &id.upstream, &document).await?;
        let bytes = becomes.as_ref().map_or(0, |(bytes, _)| *bytes);
        if let Some(note) = note.as_ref().filter(|note| note.judge_at_complete) {
            if becomes.is_none() {
                return Err(Error::slow_down("The parts of the upload cannot be looked up. Try again."));
            }
            self.judge(&request, granted, note, &state, &id.upstream, bytes).await?;
        }
        let mut head = headers::to_storage(&request.headers);
        head.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
        let outcome = note.as_ref().and_then(|note| note.outcome).unwrap_or(Outcome::Plain);
        let pending = self.stats.intent(Intent {
            bucket: &request.bucket,
            key: &request.key,
            policy: note.as_ref().and_then(|note| note.policy.as_deref()),
            outcome,
            bytes,
            fact: becomes.as_ref().map_or(Fact::None, |(size, etag)| Fact::Etag { etag: etag.clone(), size: *size }),
        });
        let response = self.forward(&request, granted, head, upstream::full(document)).await?;
        let (mut head, body) = response.into_parts();
        let body = self.answer(body).await?;
        head.headers = headers::to_client(&head.headers);
        let etag = field(&body, b"ETag");
        if let Some(etag) = etag.filter(|_| head.status.is_success()) {
            if becomes.is_some() {
                pending.done();
            } else {
                pending.ended(outcome, self.stored_len(&request, granted).await);
            }
            let etag = HeaderValue::from_str(&etag).ok().filter(|etag| !etag.is_empty());
            if becomes.is_some() {
                self.learn(&request, etag.as_ref(), Known { encrypted: false, size: bytes, kms: None });
            }
            self.policies.upload_ended(&state);
            self.forget_upload(&state).await;
        } else if head.status.is_server_error() {
            drop(pending);
        } else {
            pending.ended(Outcome::Failed, 0);
        }
        Ok(client_response(head.status, head.headers, upstream::full(body)))
    }

    /// What a plain upload becomes by this document: bytes and `ETag` of the object. None where the storage does not tell,
    /// or does not have the parts: it will refuse by itself.
    async fn plain_object(
        &self,
        request: &Request,
        granted: &Granted,
        upstream_id: &str,
        document: &[u8],
    ) -> Result<Option<(u64, String)>, Error> {
        let Ok(named) = parse(document) else { return Ok(None) };
        let mut parts = Vec::new();
        let mut marker = String::from("0");
        loop {
            let query = [("max-parts", "1000"), ("part-number-marker", marker.as_str()), ("uploadId", upstream_id)];
            let target = upstream::uri(&granted.place.bucket, Some(&request.key), &query);
            let response = self.send(&granted.place.upstream, upstream::request(Method::GET, target)).await?;
            if upstream::is_overload(response.status()) {
                return Err(Error::slow_down("The storage is busy. Try again."));
            }
            if !response.status().is_success() {
                return Ok(None);
            }
            let Some(page) = listed(&self.answer(response.into_body()).await?) else { return Ok(None) };
            let last = page.last().map(|part| part.number);
            let full = page.len() >= 1000;
            parts.extend(page);
            match last {
                Some(last) if full && parts.len() < usize::from(super::LAST) => marker = last.to_string(),
                _ => break,
            }
        }
        Ok(joined(&named, &parts))
    }

    /// Bytes of an object that was just completed; none are told where it cannot be seen.
    async fn stored_len(&self, request: &Request, granted: &Granted) -> u64 {
        let mut head = upstream::request(Method::HEAD, upstream::uri(&granted.place.bucket, Some(&request.key), &[]));
        head.headers_mut().extend(headers::customer_keys(&request.headers));
        let Ok(response) = self.send(&granted.place.upstream, head).await else { return 0 };
        let len = response.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        len.unwrap_or_default()
    }
}

/// A part as the storage lists it.
struct Listed {
    number: u16,
    etag: String,
    size: u64,
}

/// The parts of one page of `ListParts`; none where it is no such page.
fn listed(document: &[u8]) -> Option<Vec<Listed>> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_reader(document);
    let (mut parts, mut part, mut text, mut ended) = (Vec::new(), None::<Listed>, String::new(), false);
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                if start.local_name().as_ref() == b"Part" {
                    part = Some(Listed { number: 0, etag: String::new(), size: 0 });
                }
                text.clear();
            }
            Event::Text(piece) => text.push_str(&piece.decode().ok()?),
            Event::GeneralRef(reference) => push_reference(&reference, &mut text).ok()?,
            Event::End(end) => match (end.local_name().as_ref(), &mut part) {
                (b"PartNumber", Some(part)) => part.number = text.trim().parse().ok()?,
                (b"ETag", Some(part)) => text.trim().trim_matches('"').clone_into(&mut part.etag),
                (b"Size", Some(part)) => part.size = text.trim().parse().ok()?,
                (b"Part", _) => parts.extend(part.take()),
                (b"ListPartsResult", _) => ended = true,
                _ => {}
            },
            Event::Eof => return ended.then_some(parts),
            _ => {}
        }
    }
}

/// Bytes and `ETag` of an object of these parts; none where one of them is not there, or the `ETags` are no MD5.
fn joined(named: &[Named], parts: &[Listed]) -> Option<(u64, String)> {
    let mut md5 = Hasher::new(ChecksumAlgorithm::Md5);
    let mut bytes = 0_u64;
    for one in named {
        let at = parts.binary_search_by_key(&one.number, |part| part.number).ok()?;
        let part = parts.get(at).filter(|part| part.etag == one.etag)?;
        md5.update(&hex::decode(&part.etag).ok().filter(|digest| digest.len() == 16)?);
        bytes = bytes.checked_add(part.size)?;
    }
    Some((bytes, format!("{}-{}", hex::encode(md5.finish()), named.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(parts: &[(u16, &str)]) -> Vec<Named> {
        parts.iter().map(|(number, etag)| Named { number: *number, etag: (*etag).into() }).collect()
    }

    #[test]
    fn the_etag_of_a_plain_upload_is_known_before_it_is_completed() {
        let page = "<ListPartsResult><Part><PartNumber>1</PartNumber><ETag>&quot;900150983cd24fb0d6963f7d28e17f72&quot;</ETag>\
                    <Size>3</Size></Part><Part><PartNumber>7</PartNumber><ETag>d41d8cd98f00b204e9800998ecf8427e</ETag>\
                    <Size>0</Size></Part></ListPartsResult>";
        let parts = listed(page.as_bytes()).unwrap();
        let (one, seven) = ("900150983cd24fb0d6963f7d28e17f72", "d41d8cd98f00b204e9800998ecf8427e");
        let found = joined(&named(&[(1, one), (7, seven)]), &parts).unwrap();
        assert_eq!(found.0, 3);
        // MD5 of the two raw digests, as S3 makes it.
        let mut md5 = Hasher::new(ChecksumAlgorithm::Md5);
        md5.update(&hex::decode(format!("{one}{seven}")).unwrap());
        assert_eq!(found.1, format!("{}-2", hex::encode(md5.finish())));
        assert_eq!(joined(&named(&[(1, seven)]), &parts), None);
        assert_eq!(joined(&named(&[(2, one)]), &parts), None);
        assert!(listed(b"<Error/>").is_none() && listed(b"<ListPartsResult><Part>").is_none());
    }
}
