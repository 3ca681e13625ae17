//! `CompleteMultipartUpload` of an upload that began plain: judged by its size, journalled, and passed on.

use envelope::ChecksumAlgorithm;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, Response};
use ids::Outcome;

use super::super::access::Granted;
use super::super::checksum::Hasher;
use super::super::error::{Error, escape};
use super::super::headers::client_response;
use super::super::request::Request;
use super::super::write::standing_of;
use super::super::{Front, headers};
use super::choose::in_order;
use super::complete::{Named, asked, parse};
use super::field;
use super::state::{Done, UploadId, state_id};
use super::stored::Listed;
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
        let state = state_id(granted, &request.key, &id.upstream);
        let note = match self.check_plain(&request, granted, &id.upstream).await {
            Err(error) if error.code == "NoSuchUpload" => {
                let done = self.done_plain(&state, &document).await?;
                return done.map(|done| self.completed(&request, &done)).ok_or(error);
            }
            note => note?,
        };
        let becomes = self.plain_object(&request, granted, &id.upstream, &document).await?;
        if becomes.is_none()
            && let Some(done) = self.done_plain(&state, &document).await?
        {
            return Ok(self.completed(&request, &done));
        }
        let bytes = becomes.as_ref().map_or(0, |(bytes, _)| *bytes);
        if let Some(note) = note.as_ref().filter(|note| note.judge_at_complete) {
            if becomes.is_none() {
                return Err(Error::slow_down("The parts of the upload cannot be looked up. Try again."));
            }
            self.judge(&request, granted, note, &state, &id.upstream, bytes).await?;
        }
        let mut head = headers::to_storage(&request.headers);
        head.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
        headers::set_conditions(&mut head, self.complete_conditions(&request, granted).await?);
        let outcome = note.as_ref().and_then(|note| note.outcome).unwrap_or(Outcome::Plain);
        let intent = Intent {
            bucket: &request.bucket,
            key: &request.key,
            policy: note.as_ref().and_then(|note| note.policy.as_deref()),
            outcome,
            bytes,
            fact: becomes.as_ref().map_or(Fact::None, |(size, etag)| Fact::Etag { etag: etag.clone(), size: *size }),
        };
        // Dropped without an outcome, where it is not known what the storage did, it is settled by a look.
        let mut pending = self.is_counted_here(&state).await?.then(|| self.stats.intent(intent));
        let response = self.forward(&request, granted, head, upstream::full(document.clone())).await?;
        let (mut head, body) = response.into_parts();
        let body = self.answer(body).await?;
        head.headers = headers::to_client(&head.headers);
        let body = as_asked(&body, &request, &self.location(&request));
        if head.headers.contains_key(CONTENT_LENGTH) {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let etag = field(&body, b"ETag");
        if field(&body, b"Code").as_deref() == Some("NoSuchUpload")
            && let Some(done) = self.completed_plain_before(&request, granted, &state, &document).await?
        {
            // The try that did it counts it.
            if let Some(pending) = pending.take() {
                pending.withdrawn();
            }
            return Ok(self.completed(&request, &done));
        }
        if let Some(etag) = etag.filter(|_| head.status.is_success()) {
            let told = Some(etag.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty());
            let told = told.or_else(|| becomes.as_ref().map(|(_, etag)| etag.clone()));
            let version = head.headers.get("x-amz-version-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
            match pending.take() {
                Some(pending) if becomes.is_some() => pending.done(),
                Some(pending) => pending.ended(outcome, self.stored_len(&request, granted).await),
                None => {}
            }
            let (etag, standing) = (etag.trim_matches('"'), standing_of(&head.headers, true));
            if becomes.is_some() && !etag.is_empty() {
                let known = Known { encrypted: false, size: bytes, kms: None };
                self.ledger.record(&request.bucket, &request.key, etag, known, standing);
            }
            if let (Some(etag), Ok(named)) = (told, parse(&document)) {
                self.keep_done(&state, &Done::plain(&named, etag, version)).await?;
            }
            self.policies.upload_ended(&state);
            self.forget_upload(&state).await;
        } else if !head.status.is_server_error()
            && let Some(pending) = pending.take()
        {
            pending.ended(Outcome::Failed, 0);
            self.try_failed(&state).await;
        }
        Ok(client_response(head.status, head.headers, upstream::full(body)))
    }

    /// What an earlier Complete with the same parts answered.
    async fn done_plain(&self, state: &str, document: &[u8]) -> Result<Option<Done>, Error> {
        let Ok(named) = parse(document) else { return Ok(None) };
        let done = self.done(state).await?;
        Ok(done.filter(|done| done.request == asked(&named)))
    }

    /// What a Complete with the same parts came to whose answer was lost: the object is there, made of these parts, and
    /// nobody has ended the upload since.
    async fn completed_plain_before(
        &self,
        request: &Request,
        granted: &Granted,
        state: &str,
        document: &[u8],
    ) -> Result<Option<Done>, Error> {
        // In this order: who ends the upload keeps what it came to before it is no longer open.
        let open = self.is_open_plain(state).await?;
        if let Some(done) = self.done_plain(state, document).await? {
            return Ok(Some(done));
        }
        let (Ok(named), true) = (parse(document), open) else { return Ok(None) };
        let ordered = in_order(&named, granted.place.upstream.quirks().parts_in_any_order);
        let expected = ordered.ok().and_then(|named| etag_of(named.iter().map(|part| part.etag.as_str()), named.len()));
        let Some(expected) = expected else { return Ok(None) };
        let mut head = upstream::request(Method::HEAD, upstream::uri(&granted.place.bucket, Some(&request.key), &[]));
        head.headers_mut().extend(headers::customer_keys(&request.headers));
        let (seen, _) = self.send(&granted.place.upstream, head).await?.into_parts();
        if upstream::is_overload(seen.status) {
            return Err(Error::slow_down("The storage is busy. Try again."));
        }
        let text = |name: &str| seen.headers.get(name).and_then(|value| value.to_str().ok());
        let etag = text("etag").map(|etag| etag.trim_matches('"'));
        if !seen.status.is_success() || etag != Some(expected.as_str()) {
            return Ok(None);
        }
        let done = Done::plain(&named, expected, text("x-amz-version-id").map(str::to_owned));
        self.keep_done(state, &done).await?;
        self.policies.upload_ended(state);
        self.forget_upload(state).await;
        Ok(Some(done))
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
        let Ok(named) = in_order(&named, granted.place.upstream.quirks().parts_in_any_order) else { return Ok(None) };
        let Some(parts) = self.stored_parts(request, granted, upstream_id).await? else { return Ok(None) };
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

/// The storage's answer with the bucket and the object's address as the client calls them: the storage's own are none
/// of its business.
fn as_asked(answer: &[u8], request: &Request, location: &str) -> Vec<u8> {
    let renamed = with_text(answer, "Bucket", &request.bucket);
    with_text(&renamed, "Location", location)
}

/// The document with another text in the first element of this name; as it is where there is none.
pub(super) fn with_text(document: &[u8], name: &str, text: &str) -> Vec<u8> {
    let find = |tag: &str| document.windows(tag.len()).position(|window| window == tag.as_bytes());
    let begin = format!("<{name}>");
    match (find(&begin), find(&format!("</{name}>"))) {
        (Some(at), Some(end)) if at + begin.len() <= end => {
            [&document[..at + begin.len()], escape(text).as_bytes(), &document[end..]].concat()
        }
        _ => document.to_vec(),
    }
}

/// Bytes and `ETag` of an object of these parts; none where one of them is not there, or the `ETags` are no MD5.
fn joined(named: &[Named], parts: &[Listed]) -> Option<(u64, String)> {
    let mut bytes = 0_u64;
    for one in named {
        let at = parts.binary_search_by_key(&one.number, |part| part.number).ok()?;
        let part = parts.get(at).filter(|part| part.etag == one.etag)?;
        bytes = bytes.checked_add(part.size)?;
    }
    Some((bytes, etag_of(named.iter().map(|part| part.etag.as_str()), named.len())?))
}

/// The `ETag` of an object of parts that have these; none where they are no MD5.
fn etag_of<'a>(etags: impl Iterator<Item = &'a str>, count: usize) -> Option<String> {
    let mut md5 = Hasher::new(ChecksumAlgorithm::Md5);
    for etag in etags {
        md5.update(&hex::decode(etag).ok().filter(|digest| digest.len() == 16)?);
    }
    Some(format!("{}-{count}", hex::encode(md5.finish())))
}

#[cfg(test)]
mod tests {
    use super::super::stored::listed;
    use super::*;

    fn named(parts: &[(u16, &str)]) -> Vec<Named> {
        parts
            .iter()
            .map(|(number, etag)| Named { number: *number, etag: (*etag).into(), checksums: Vec::new() })
            .collect()
    }

    #[test]
    fn the_first_element_of_a_name_gets_another_text_and_nothing_else_changes() {
        let document = b"<A><Location>http://storage/b/k</Location><Bucket>b</Bucket></A>";
        let changed = with_text(document, "Location", "/b/a&b");
        assert_eq!(changed, b"<A><Location>/b/a&amp;b</Location><Bucket>b</Bucket></A>");
        assert_eq!(with_text(document, "Key", "k"), document);
        assert_eq!(with_text(b"</Key><Key>", "Key", "k"), b"</Key><Key>");
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
    }
}
