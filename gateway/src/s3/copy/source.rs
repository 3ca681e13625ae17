//! The source of a copy: named by the client, looked up, judged by the client's conditions, and pinned.

use bytes::Bytes;
use http::header::{ETAG, HeaderValue, LAST_MODIFIED, RANGE};
use http::{HeaderMap, Method, StatusCode};

use super::super::access::{Granted, Place};
use super::super::error::{Error, unreadable};
use super::super::get::Conditions;
use super::super::list::push_reference;
use super::super::multipart::field;
use super::super::open::{Stored, condition};
use super::super::request::{Request, is_bucket_name};
use super::super::{Front, headers};
use crate::group::Action;
use crate::upstream;

/// Where a copy comes from.
pub(super) struct Source {
    pub(super) bucket: String,
    pub(super) key: String,
    /// The one that the client names.
    pub(super) version: Option<String>,
    pub(super) place: Place,
}

impl Source {
    /// Whether it is the object that the request is about, as it is now.
    pub(super) fn is(&self, request: &Request) -> bool {
        self.bucket == request.bucket && self.key == request.key && self.version.is_none()
    }

    /// Its bucket, as a request about it is granted.
    pub(super) fn granted(&self, granted: &Granted) -> Granted {
        Granted { place: self.place.clone(), document: granted.document.clone() }
    }

    /// Whether the storage can be told to take the source of a part from here. What it would take for another key is
    /// streamed.
    pub(super) fn can_be_part(&self) -> bool {
        let misread = self.key.contains('%') || self.key.contains("?versionId=");
        !(self.place.upstream.quirks().copy_part_decodes_twice && misread)
    }
}

impl Front {
    /// What `x-amz-copy-source` names, which the principal must be allowed to read.
    pub(super) fn source(&self, request: &Request, granted: &Granted) -> Result<Source, Error> {
        let wrong =
            || Error::invalid_argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
        let text = request.headers.get(headers::COPY_SOURCE).ok_or_else(wrong)?;
        let text = std::str::from_utf8(text.as_bytes()).map_err(|_| wrong())?;
        let (path, version) = match text.split_once("?versionId=") {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().map(String::from);
        let path = decode(path).map_err(|_| wrong())?;
        let (bucket, key) = path.trim_start_matches('/').split_once('/').ok_or_else(wrong)?;
        if !is_bucket_name(bucket) || key.is_empty() {
            return Err(wrong());
        }
        let version = version.map(|version| decode(version).map_err(|_| wrong())).transpose()?;
        self.allow(&granted.document, request, Action::Read, bucket)?;
        let place = self.place_for(request, &granted.document, bucket)?;
        Ok(Source { bucket: bucket.to_owned(), key: key.to_owned(), version, place })
    }

    /// Asks for the head of the source, as it is now.
    pub(super) async fn head_source(&self, request: &Request, source: &Source) -> Result<HeaderMap, Error> {
        let version = source.version.as_deref().map(|version| ("versionId", version));
        let target = upstream::uri(&source.place.bucket, Some(&source.key), version.as_slice());
        let mut sent = upstream::request(Method::HEAD, target);
        sent.headers_mut().extend(headers::source_keys(&request.headers));
        let response = self.send(&source.place.upstream, sent).await?;
        let status = response.status();
        match status {
            StatusCode::OK => Ok(response.headers().clone()),
            StatusCode::NOT_FOUND => Err(self.no_source(source).await?),
            StatusCode::METHOD_NOT_ALLOWED => Err(Error::invalid_request(
                "The source of a copy request may not specifically refer to a delete marker by version id.",
            )),
            StatusCode::BAD_REQUEST => Err(Error::invalid_request(
                "The source of the copy cannot be read as it is asked for: by this version, or without its key.",
            )),
            status if upstream::is_overload(status) => {
                Err(Error::slow_down("The source of the copy cannot be reached. Try again."))
            }
            status => {
                Err(Error::access_denied("The source of the copy cannot be read.").because(format!("HEAD: {status}")))
            }
        }
    }

    /// The head of the source and the first of its stored bytes from `at` on. None where the storage does not answer with
    /// those: a HEAD tells why.
    pub(super) async fn read_source_at(
        &self,
        request: &Request,
        source: &Source,
        at: u64,
    ) -> Result<Option<(HeaderMap, Bytes)>, Error> {
        let len = envelope::MAGIC.len();
        let Some(end) = at.checked_add(len as u64 - 1) else { return Ok(None) };
        let version = source.version.as_deref().map(|version| ("versionId", version));
        let target = upstream::uri(&source.place.bucket, Some(&source.key), version.as_slice());
        let mut sent = upstream::request(Method::GET, target);
        sent.headers_mut().extend(headers::source_keys(&request.headers));
        let range = HeaderValue::from_str(&format!("bytes={at}-{end}")).expect("digits are a header value");
        sent.headers_mut().insert(RANGE, range);
        let response = self.send(&source.place.upstream, sent).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(None);
        }
        let (head, body) = response.into_parts();
        let bytes = upstream::collect(body, len).await;
        let bytes = bytes.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
        let bytes = bytes.ok_or_else(|| Error::internal("The storage gives more than it was asked for."))?;
        Ok(Some((head.headers, bytes)))
    }

    /// What it is that is not there. A HEAD does not say so.
    pub(super) async fn no_source(&self, source: &Source) -> Result<Error, Error> {
        let bucket = upstream::request(Method::HEAD, upstream::uri(&source.place.bucket, None, &[]));
        if self.send(&source.place.upstream, bucket).await?.status() == StatusCode::NOT_FOUND {
            return Ok(Error::no_such_bucket("The specified bucket does not exist"));
        }
        Ok(match source.version {
            None => Error::no_such_key("The specified key does not exist."),
            Some(_) => Error::no_such_version("The specified version does not exist."),
        })
    }

    /// Whether the source is still what was seen. A storage that takes no notice of the condition on the source of a part
    /// would have copied bytes of another object.
    pub(super) async fn source_is_still(
        &self,
        request: &Request,
        source: &Source,
        stored: &Stored,
    ) -> Result<bool, Error> {
        let now = self.head_source(request, source).await?;
        Ok([ETAG, LAST_MODIFIED].iter().all(|name| now.get(name) == stored.headers.get(name)))
    }

    /// What the source says of itself. Plain is only what may be read as such.
    pub(super) async fn source_metadata(
        &self,
        granted: &Granted,
        source: &Source,
        head: &HeaderMap,
    ) -> Result<Option<envelope::Metadata>, Error> {
        let sealed = headers::sealed_metadata(head).map_err(unreadable)?;
        if sealed.is_none() {
            if self.known_sealed(&granted.document, &source.bucket, &source.key, head).await {
                return Err(Error::internal("The source of the copy is encrypted, and its metadata is missing."));
            }
            if granted.document.bucket(&source.bucket).refuse_plain_reads {
                return Err(Error::access_denied("Objects that are not encrypted are not read from this bucket."));
            }
        }
        Ok(sealed)
    }

    /// The tags of the source, as the storage has them.
    pub(super) async fn source_tags(&self, source: &Source) -> Result<Vec<(String, String)>, Error> {
        let mut query = vec![("tagging", "")];
        query.extend(source.version.as_deref().map(|version| ("versionId", version)));
        let target = upstream::uri(&source.place.bucket, Some(&source.key), &query);
        let response = self.send(&source.place.upstream, upstream::request(Method::GET, target)).await?;
        let status = response.status();
        let body = self.answer(response.into_body()).await?;
        let what = "The tags of the copy's source cannot be read";
        let unread = || Error::slow_down(format!("{what}. Try again."));
        // It answers with no document at all where it has lost those that an upload in parts was begun with.
        let lost = body.is_empty() && source.place.upstream.quirks().uploads_lose_tags_and_locks;
        match status {
            StatusCode::OK if lost => Ok(Vec::new()),
            StatusCode::OK => parse_tag_set(&body).ok_or_else(|| unread().because("GET ?tagging: no set of tags")),
            // A storage without tags has none.
            StatusCode::NOT_IMPLEMENTED => Ok(Vec::new()),
            StatusCode::NOT_FOUND if field(&body, b"Code").is_some_and(|code| code.starts_with("NoSuchTagSet")) => {
                Ok(Vec::new())
            }
            StatusCode::NOT_FOUND => Err(Error::no_such_key("The specified key does not exist.")),
            status => Err(Error::unseen(status, what)),
        }
    }
}

/// Names the source as the storage has it, with its keys, and pins it to the object that was judged.
pub(super) fn set_source(
    head: &mut HeaderMap,
    request: &Request,
    source: &Source,
    stored: &Stored,
    version: Option<&str>,
) -> Result<(), Error> {
    let version = version.map(|version| ("versionId", version));
    let text = upstream::uri(&source.place.bucket, Some(&source.key), version.as_slice()).to_string();
    let value =
        HeaderValue::from_str(&text[1..]).map_err(|_| Error::invalid_argument("The copy source is malformed."))?;
    head.insert(headers::COPY_SOURCE, value);
    if let Some(etag) = stored.headers.get(ETAG) {
        head.insert("x-amz-copy-source-if-match", condition(&source.place, etag));
        if source.place.upstream.quirks().copy_conditions_misnamed {
            head.insert("x-amz-copy-if-match", condition(&source.place, etag));
        }
    }
    for (name, value) in &request.headers {
        if name.as_str().starts_with("x-amz-copy-source-server-side-encryption-customer-") {
            head.insert(name.clone(), value.clone());
        }
    }
    Ok(())
}

/// The conditions on the source, judged by the `ETag` that clients see.
pub(super) fn judge_source(request: &Request, head: &HeaderMap, sealed: bool) -> Result<(), Error> {
    let text = |name: &str| request.header(name).map(str::to_owned);
    let conditions = Conditions::new(text("x-amz-copy-source-if-match"), text("x-amz-copy-source-if-none-match"));
    let refused = || Error::precondition_failed("At least one of the pre-conditions you specified did not hold");
    if conditions.judge(head, sealed)?.is_some() {
        return Err(refused());
    }
    let parse = |text: &str| time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc2822).ok();
    let modified = head.get("last-modified").and_then(|value| parse(value.to_str().ok()?));
    let (since, until) = (text("x-amz-copy-source-if-modified-since"), text("x-amz-copy-source-if-unmodified-since"));
    if let Some(modified) = modified {
        let by_etag = request.headers.contains_key("x-amz-copy-source-if-match");
        if until.as_deref().and_then(parse).is_some_and(|until| modified > until) && !by_etag {
            return Err(refused());
        }
        let by_etag = request.headers.contains_key("x-amz-copy-source-if-none-match");
        if since.as_deref().and_then(parse).is_some_and(|since| modified <= since) && !by_etag {
            return Err(refused());
        }
    }
    Ok(())
}

/// The tags of a `Tagging` document; none where it is not a whole one.
pub(in super::super) fn parse_tag_set(document: &[u8]) -> Option<Vec<(String, String)>> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_reader(document);
    let (mut tags, mut key, mut value, mut text) = (Vec::new(), None, None, String::new());
    let (mut depth, mut ended) = (0_usize, false);
    loop {
        match reader.read_event().ok()? {
            Event::Start(_) => {
                depth += 1;
                text.clear();
            }
            Event::Text(part) => text.push_str(&part.decode().ok()?),
            Event::CData(part) => text.push_str(&part.decode().ok()?),
            Event::GeneralRef(reference) => push_reference(&reference, &mut text).ok()?,
            Event::End(end) => {
                depth -= 1;
                match end.local_name().as_ref() {
                    b"Key" => key = Some(std::mem::take(&mut text)),
                    b"Value" => value = Some(std::mem::take(&mut text)),
                    b"Tag" => tags.push((key.take()?, value.take().unwrap_or_default())),
                    b"TagSet" => ended = true,
                    _ => {}
                }
            }
            Event::Empty(empty) => match empty.local_name().as_ref() {
                b"Value" => value = Some(String::new()),
                b"TagSet" => ended = true,
                _ => return None,
            },
            Event::Eof => return (ended && depth == 0).then_some(tags),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_from_their_document() {
        let document = b"<Tagging><TagSet><Tag><Key>a&amp;b</Key><Value></Value></Tag><Tag><Key>c</Key><Value>d</Value></Tag></TagSet></Tagging>";
        let tags = vec![("a&b".to_owned(), String::new()), ("c".to_owned(), "d".to_owned())];
        assert_eq!(parse_tag_set(document), Some(tags));
        assert_eq!(parse_tag_set(b"<Tagging><TagSet/></Tagging>"), Some(Vec::new()));
    }

    #[test]
    fn a_document_of_tags_that_is_not_whole_is_not_fewer_tags() {
        let document = b"<Tagging><TagSet><Tag><Key>classification</Key><Value>pii</Value></Tag></TagSet></Tagging>";
        for end in 0..document.len() {
            assert_eq!(parse_tag_set(&document[..end]), None, "cut at {end}");
        }
        for bad in
            ["<Error><Code>x</Code></Error>", "<Tagging><TagSet><Tag><Value>b</Value></Tag></TagSet></Tagging>", "tags"]
        {
            assert_eq!(parse_tag_set(bad.as_bytes()), None, "{bad}");
        }
    }
}
