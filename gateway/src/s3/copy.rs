//! `CopyObject` and `UploadPartCopy`: all four pairs of plain and encrypted.
//!
//! ```text
//! source ─▶ HEAD ─▶ plain → plain   copied by the storage
//!                   anything else   read as a client would read it, and stored as a client would store it
//! ```
//! An encrypted source stays encrypted, unless the destination bucket says that copies are decrypted.

use http::header::{ETAG, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use ids::Cause;
use policy::Facts;

use super::access::{Granted, Place, Protection, metadata_facts, parse_tags};
use super::checksum::Declared;
use super::error::{Error, escape};
use super::get::Conditions;
use super::multipart::{self, field};
use super::open::{Failed, Opening, Stored, Tally, condition, unopened};
use super::put::{client_response, unreadable};
use super::range::Wanted;
use super::request::Request;
use super::service::xml;
use super::{Front, headers};
use crate::group::Action;
use crate::upstream::{self, Body};

/// Where a copy comes from.
struct Source {
    bucket: String,
    key: String,
    version: Option<String>,
    place: Place,
}

/// Its plaintext, on its way.
struct Plaintext {
    stored: Stored,
    body: Body,
    len: u64,
    sealed: bool,
    carried: Option<envelope::UserMetadata>,
}

/// Headers of an object that a copy takes along.
const DESCRIBING: &[&str] =
    &["content-type", "content-encoding", "content-language", "content-disposition", "cache-control", "expires"];

impl Front {
    fn source(&self, request: &Request, granted: &Granted) -> Result<Source, Error> {
        let wrong =
            || Error::invalid_argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey");
        let text = request.header("x-amz-copy-source").ok_or_else(wrong)?;
        let (path, version) = match text.split_once("?versionId=") {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().map(String::from);
        let path = decode(path).map_err(|_| wrong())?;
        let (bucket, key) = path.trim_start_matches('/').split_once('/').ok_or_else(wrong)?;
        if bucket.is_empty() || key.is_empty() {
            return Err(wrong());
        }
        let version = version.map(|version| decode(version).map_err(|_| wrong())).transpose()?;
        self.allow(&granted.document, request, Action::Read, bucket)?;
        let place = self.place(&granted.document, bucket)?;
        Ok(Source { bucket: bucket.to_owned(), key: key.to_owned(), version, place })
    }

    async fn head_source(&self, request: &Request, source: &Source) -> Result<HeaderMap, Error> {
        let version = source.version.as_deref().map(|version| ("versionId", version));
        let target = upstream::uri(&source.place.bucket, Some(&source.key), version.as_slice());
        let mut sent = upstream::request(Method::HEAD, target);
        for (name, value) in &request.headers {
            let of_source = name.as_str().strip_prefix("x-amz-copy-source-server-side-encryption-customer-");
            if let Some(rest) = of_source
                && let Ok(name) = http::HeaderName::try_from(format!("x-amz-server-side-encryption-customer-{rest}"))
            {
                sent.headers_mut().insert(name, value.clone());
            }
        }
        let response = self.send(&source.place.upstream, sent).await?;
        match response.status() {
            StatusCode::OK => Ok(response.headers().clone()),
            StatusCode::NOT_FOUND => Err(Error::no_such_key("The specified key does not exist.")),
            status if upstream::is_overload(status) => {
                Err(Error::slow_down("The source of the copy cannot be reached. Try again."))
            }
            status => {
                Err(Error::access_denied("The source of the copy cannot be read.").because(format!("HEAD: {status}")))
            }
        }
    }

    pub(super) async fn copy_object(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        headers::refuse_reserved(&request.headers)?;
        let source = self.source(&request, &granted)?;
        let head = self.head_source(&request, &source).await?;
        let sealed = headers::sealed_metadata(&head).map_err(unreadable)?;
        judge_source(&request, &head, sealed.is_some())?;
        let replace = request.header("x-amz-metadata-directive").is_some_and(|d| d.eq_ignore_ascii_case("REPLACE"));
        let same = source.bucket == request.bucket && source.key == request.key && source.version.is_none();
        if same && !replace && !Self::changes_something(&request) {
            return Err(Error::invalid_request(
                "This copy request is illegal because it is trying to copy an object to itself without changing the \
                 object's metadata, storage class, website redirect location or encryption attributes.",
            ));
        }
        let stored = Stored::read(head, source.version.as_deref())?;
        let len = match &sealed {
            None => stored.len,
            Some(metadata) => Self::sealed_len(metadata, stored.len)?,
        };
        let tags = self.source_tags(&request, &granted, &source).await?;
        // What the object will be, as a PUT of it would say.
        let describing = if replace { request.headers.clone() } else { stored.headers.clone() };
        let metadata = metadata_facts(&describing);
        let facts = Facts {
            size: Some(len),
            content_type: describing.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default(),
            metadata: &metadata,
            tags: &tags,
            storage_class: request.header("x-amz-storage-class").unwrap_or("STANDARD"),
            principal: request.principal.access_key(),
            operation: request.operation.name(),
            time_unix_ms: crate::state::now_ms(),
            source_ip: request.source_ip,
            ..Facts::new(&request.bucket, &request.key)
        };
        let keeps = sealed.is_some() && !granted.document.bucket(&request.bucket).decrypt_on_copy;
        let wish = headers::wishes_encryption(&request.headers)? || keeps;
        let permit = self.decide(&granted.document, &facts, wish)?;
        let one_storage = source.place.upstream.name() == granted.place.upstream.name();
        if sealed.is_none() && permit.protection() == Protection::Plain && one_storage {
            return self.copy_plain(&request, &granted, &source, &stored, &permit).await;
        }
        let cause = match permit.protection() {
            Protection::Sealed(cause) => Some(cause),
            Protection::Plain => None,
        };
        let source_granted = Granted { place: source.place.clone(), document: granted.document.clone() };
        let plaintext = self.plaintext(&source_granted, &source.key, stored, sealed.as_ref(), None).await?;
        self.store_copy(&request, &granted, &source, &permit, cause, plaintext, replace, &tags).await
    }

    fn changes_something(request: &Request) -> bool {
        ["x-amz-storage-class", "x-amz-website-redirect-location", "x-amz-server-side-encryption"]
            .iter()
            .any(|name| request.headers.contains_key(*name))
    }

    /// The storage copies by itself; nothing of the object passes here.
    async fn copy_plain(
        &self,
        request: &Request,
        granted: &Granted,
        source: &Source,
        stored: &Stored,
        permit: &super::access::Permit,
    ) -> Result<Response<Body>, Error> {
        let mut head = headers::to_storage(&request.headers);
        for name in ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"] {
            head.remove(format!("x-amz-copy-source-{name}"));
        }
        set_source(&mut head, source)?;
        if let Some(etag) = stored.headers.get(ETAG) {
            head.insert("x-amz-copy-source-if-match", condition(&source.place, etag));
        }
        let pending = self.stats.intent(crate::stats::Intent {
            bucket: &request.bucket,
            key: &request.key,
            policy: permit.counted_policy(),
            outcome: permit.outcome(),
            bytes: stored.len,
            fact: crate::stats::Fact::None,
        });
        let response = self.forward(request, granted, head, upstream::empty()).await?;
        let (head, body) = response.into_parts();
        let body = self.answer(body).await?;
        if head.status.is_success() && field(&body, b"ETag").is_some() {
            pending.done();
        } else if head.status.is_server_error() {
            drop(pending);
        } else {
            pending.ended(ids::Outcome::Failed, 0);
        }
        Ok(client_response(head.status, headers::to_client(&head.headers), upstream::full(body)))
    }

    /// The plaintext of a source, or of a range of it.
    async fn plaintext(
        &self,
        granted: &Granted,
        key: &str,
        stored: Stored,
        sealed: Option<&envelope::Metadata>,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<Plaintext, Error> {
        let changed = || Error::slow_down("The source of the copy is being overwritten. Try again.");
        let failed = |failed: Failed| match failed {
            Failed::Changed => changed(),
            Failed::Error(error) => error,
        };
        let Some(metadata) = sealed else {
            let range = range.unwrap_or(0..stored.len);
            let len = range.end - range.start;
            let body = if len == 0 {
                upstream::empty()
            } else {
                self.fetch(&granted.place, key, &stored, range.clone()).await.map_err(failed)?.into_body()
            };
            let (start, body) = if range.start == 0 {
                super::prefix::peek(body, envelope::MAGIC.len())
                    .await
                    .map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?
            } else {
                (bytes::Bytes::new(), body)
            };
            if envelope::begins_with_magic(&start) == Some(true) {
                return Err(Error::internal("The source of the copy is encrypted, and its metadata is missing."));
            }
            return Ok(Plaintext { stored, body, len, sealed: false, carried: None });
        };
        let with_footer = metadata.header().is_none();
        let object = self.open(granted, key, &stored, Some(metadata), with_footer).await.map_err(failed)?;
        let carried = object.carried().cloned();
        let read = match range.filter(|range| *range != (0..object.plaintext_len())) {
            None => object.read_whole(stored.len).map_err(unopened)?,
            Some(range) => object.read_range(range).map_err(unopened)?,
        };
        let len = read.opener.plaintext_len();
        let fetched = self.fetch(&granted.place, key, &stored, read.stored.clone()).await.map_err(failed)?;
        let mut opening = Opening::new(fetched.into_body(), read.opener, Tally::silent());
        opening.prime().await?;
        Ok(Plaintext { stored, body: opening.boxed_unsync(), len, sealed: true, carried })
    }

    /// Stores the plaintext as a PUT with its headers would.
    #[expect(clippy::too_many_arguments, reason = "one straight path, called once")]
    async fn store_copy(
        &self,
        request: &Request,
        granted: &Granted,
        source: &Source,
        permit: &super::access::Permit,
        cause: Option<Cause>,
        plaintext: Plaintext,
        replace: bool,
        tags: &[(String, String)],
    ) -> Result<Response<Body>, Error> {
        let Plaintext { stored, body, len, sealed, carried } = plaintext;
        let mut described = request.headers.clone();
        for name in request.headers.keys() {
            let text = name.as_str();
            let of_copy = text.starts_with("x-amz-copy-source") || text.ends_with("-directive");
            if of_copy || (!replace && (DESCRIBING.contains(&text) || text.starts_with("x-amz-meta-"))) {
                described.remove(name);
            }
        }
        if !replace {
            for (name, value) in &stored.headers {
                let text = name.as_str();
                let ours = envelope::is_reserved(text);
                if DESCRIBING.contains(&text) || (text.starts_with("x-amz-meta-") && !ours) {
                    described.append(name.clone(), value.clone());
                }
            }
            for (name, value) in carried.iter().flatten() {
                if let (Ok(name), Ok(value)) =
                    (http::HeaderName::try_from(name.as_str()), HeaderValue::from_bytes(value))
                {
                    described.append(name, value);
                }
            }
        }
        if !tags.is_empty() {
            let pairs: Vec<_> = tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let query = upstream::uri("", None, &pairs).query().unwrap_or_default().to_owned();
            described
                .insert("x-amz-tagging", HeaderValue::from_str(&query).map_err(|_| Error::invalid_argument("Tags."))?);
        }
        let stored_as = Request {
            operation: request.operation,
            method: Method::PUT,
            bucket: request.bucket.clone(),
            key: request.key.clone(),
            query: Vec::new(),
            headers: described,
            principal: request.principal.clone(),
            source_ip: request.source_ip,
            body: std::sync::Mutex::new(upstream::empty()),
            trailers: None,
            request_id: request.request_id.clone(),
        };
        let conditions = self.put_conditions(request, granted).await?;
        let declared = Declared::default();
        let response = match cause {
            Some(cause) => self.put_sealed(stored_as, granted, permit, cause, body, len, &declared, conditions).await?,
            None => self.put_plain(stored_as, granted, permit, body, len, &declared, conditions).await?,
        };
        if !response.status().is_success() {
            return Ok(response);
        }
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        let mut answer = xml(StatusCode::OK, result("CopyObjectResult", &etag));
        for name in response.headers().keys() {
            if name.as_str().starts_with("x-amz-") {
                answer.headers_mut().insert(name.clone(), response.headers()[name].clone());
            }
        }
        if let Some(version) = &source.version
            && let Ok(version) = HeaderValue::from_str(version)
        {
            answer.headers_mut().insert("x-amz-copy-source-version-id", version);
        }
        tracing::debug!(sealed, "object is copied");
        Ok(answer)
    }

    /// The tags that the copy will have: fetched where they are kept and a policy reads them, or the data passes here.
    async fn source_tags(
        &self,
        request: &Request,
        granted: &Granted,
        source: &Source,
    ) -> Result<Vec<(String, String)>, Error> {
        let replaced = request.header("x-amz-tagging-directive").is_some_and(|d| d.eq_ignore_ascii_case("REPLACE"));
        if replaced {
            return Ok(parse_tags(request.header("x-amz-tagging").unwrap_or_default()));
        }
        if !self.may_be_due(&granted.document, &request.bucket) && !self.may_be_due(&granted.document, &source.bucket) {
            return Ok(Vec::new());
        }
        let mut query = vec![("tagging", "")];
        query.extend(source.version.as_deref().map(|version| ("versionId", version)));
        let target = upstream::uri(&source.place.bucket, Some(&source.key), &query);
        let response = self.send(&source.place.upstream, upstream::request(Method::GET, target)).await?;
        let status = response.status();
        let body = self.answer(response.into_body()).await?;
        match status {
            StatusCode::OK => Ok(parse_tag_set(&body)),
            // A storage without tags has none.
            StatusCode::NOT_FOUND | StatusCode::NOT_IMPLEMENTED => Ok(Vec::new()),
            status => Err(Error::slow_down("The tags of the copy's source cannot be read. Try again.")
                .because(format!("GET ?tagging: {status}"))),
        }
    }

    pub(super) async fn upload_part_copy(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        headers::refuse_reserved(&request.headers)?;
        self.group.writable().map_err(|stale| {
            Error::slow_down("This gateway has no current configuration and refuses writes.").because(stale)
        })?;
        let number = multipart::part_number(&request)?;
        let source = self.source(&request, &granted)?;
        let head = self.head_source(&request, &source).await?;
        let sealed = headers::sealed_metadata(&head).map_err(unreadable)?;
        judge_source(&request, &head, sealed.is_some())?;
        let stored = Stored::read(head, source.version.as_deref())?;
        let len = match &sealed {
            None => stored.len,
            Some(metadata) => Self::sealed_len(metadata, stored.len)?,
        };
        let range = match request.header("x-amz-copy-source-range") {
            None => None,
            Some(text) => match Wanted::parse(Some(text)) {
                Wanted::From(first, Some(last)) if last < len => Some(first..last + 1),
                _ => {
                    return Err(Error::invalid_argument(
                        "The x-amz-copy-source-range value must be of the form bytes=first-last and lie within the source.",
                    ));
                }
            },
        };
        let target = self.part_target(&request, &granted).await?;
        let one_storage = source.place.upstream.name() == granted.place.upstream.name();
        let copyable = !(source.place.upstream.quirks().copy_part_decodes_twice && source.key.contains('%'));
        if sealed.is_none() && target.is_plain() && one_storage && copyable {
            let mut head = headers::to_storage(&request.headers);
            set_source(&mut head, &source)?;
            let response = self.forward(&request, &granted, head, upstream::empty()).await?;
            let (head, body) = response.into_parts();
            return Ok(client_response(head.status, headers::to_client(&head.headers), body));
        }
        let source_granted = Granted { place: source.place.clone(), document: granted.document.clone() };
        let plaintext = self.plaintext(&source_granted, &source.key, stored, sealed.as_ref(), range).await?;
        let response = self.store_part(&request, &granted, &target, number, plaintext.body, plaintext.len).await?;
        if !response.status().is_success() {
            return Ok(response);
        }
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        let mut answer = xml(StatusCode::OK, result("CopyPartResult", &etag));
        if target.is_plain() {
            return Ok(answer);
        }
        headers::append_encryption(answer.headers_mut(), None);
        Ok(answer)
    }
}

/// Names the source as the storage has it.
fn set_source(head: &mut HeaderMap, source: &Source) -> Result<(), Error> {
    let version = source.version.as_deref().map(|version| format!("?versionId={version}")).unwrap_or_default();
    let text = format!("{}/{}{version}", source.place.bucket, upstream::encode_key(&source.key));
    let value = HeaderValue::from_str(&text).map_err(|_| Error::invalid_argument("The copy source is malformed."))?;
    head.insert("x-amz-copy-source", value);
    Ok(())
}

/// The conditions on the source, judged by the `ETag` that clients see.
fn judge_source(request: &Request, head: &HeaderMap, sealed: bool) -> Result<(), Error> {
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

fn result(name: &str, etag: &str) -> String {
    let now = time::OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let now = now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{name} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <LastModified>{now}</LastModified><ETag>{}</ETag></{name}>",
        escape(etag)
    )
}

/// The tags of a `Tagging` document.
fn parse_tag_set(document: &[u8]) -> Vec<(String, String)> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_reader(document);
    let (mut tags, mut key, mut text) = (Vec::new(), String::new(), String::new());
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(_) => text.clear(),
            Event::Text(part) => text.push_str(&part.decode().unwrap_or_default()),
            Event::GeneralRef(reference) if super::list::push_reference(&reference, &mut text).is_err() => {
                break;
            }
            Event::End(end) => match end.local_name().as_ref() {
                b"Key" => key = std::mem::take(&mut text),
                b"Value" => tags.push((std::mem::take(&mut key), std::mem::take(&mut text))),
                _ => {}
            },
            Event::Eof => break,
            _ => {}
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_from_their_document() {
        let document = b"<Tagging><TagSet><Tag><Key>a&amp;b</Key><Value></Value></Tag><Tag><Key>c</Key><Value>d</Value></Tag></TagSet></Tagging>";
        assert_eq!(parse_tag_set(document), [("a&b".into(), String::new()), ("c".into(), "d".into())]);
    }
}
