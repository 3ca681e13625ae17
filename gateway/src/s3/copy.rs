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

use super::access::{Granted, Place, Protection, metadata_facts, parse_tags, text_fact};
use super::checksum::Declared;
use super::error::{Error, escape, unreadable};
use super::get::Conditions;
use super::headers::client_response;
use super::multipart::{self, field};
use super::open::{Failed, Opening, Stored, Tally, condition, unopened};
use super::range::Wanted;
use super::request::Request;
use super::service::xml;
use super::write::Slot;
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
        if !super::request::is_bucket_name(bucket) || key.is_empty() {
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
        sent.headers_mut().extend(headers::source_keys(&request.headers));
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

    /// What the source says of itself. Plain is only what may be read as such.
    async fn source_metadata(
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

    pub(super) async fn copy_object(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        headers::refuse_reserved(&request.headers)?;
        let source = self.source(&request, &granted)?;
        let head = self.head_source(&request, &source).await?;
        let sealed = self.source_metadata(&granted, &source, &head).await?;
        judge_source(&request, &head, sealed.is_some())?;
        let replace = request.header("x-amz-metadata-directive").is_some_and(|d| d.eq_ignore_ascii_case("REPLACE"));
        let same = source.bucket == request.bucket && source.key == request.key && source.version.is_none();
        if same && !replace && !Self::changes_something(&request) {
            return Err(Error::invalid_request(
                "This copy request is illegal because it is trying to copy an object to itself without changing the \
                 object's metadata, storage class, website redirect location or encryption attributes.",
            ));
        }
        let stored = Stored::read(head, source.version.as_deref(), headers::source_keys(&request.headers))?;
        let len = match &sealed {
            None => stored.len,
            Some(metadata) => Self::sealed_len(metadata, stored.len)?,
        };
        // From here on by one policy set: what it asks for is looked up before it decides.
        let guard = self.begin_decision()?;
        let mut tags = replaced_tags(&request)?;
        if tags.is_none() && guard.engine.needs_tags(&request.bucket) {
            tags = Some(self.source_tags(&source).await?);
        }
        // What the object will be, as a PUT of it would say.
        let describing = if replace { request.headers.clone() } else { stored.headers.clone() };
        let metadata = metadata_facts(&describing);
        let content_type = text_fact(&describing, "content-type");
        let facts = Facts {
            size: Some(len),
            content_type: &content_type,
            metadata: &metadata,
            tags: tags.as_deref().unwrap_or_default(),
            storage_class: request.header("x-amz-storage-class").unwrap_or("STANDARD"),
            principal: request.principal.access_key(),
            operation: request.operation.name(),
            time_unix_ms: crate::state::now_ms(),
            source_ip: request.source_ip,
            ..Facts::new(&request.bucket, &request.key)
        };
        let keeps = sealed.is_some() && !granted.document.bucket(&request.bucket).decrypt_on_copy;
        let wish = headers::wishes_encryption(&request.headers)? || keeps;
        let mut permit = self.decide(guard, &granted.document, &facts, wish)?;
        let one_storage = source.place.upstream.name() == granted.place.upstream.name();
        if sealed.is_none() && permit.protection() == Protection::Plain && one_storage {
            return self.copy_plain(&request, &granted, &source, &stored, &permit).await;
        }
        let slot = Slot::new(&self.stats, &request.bucket);
        // The data passes here, and its tags with it.
        let tags = match tags {
            Some(tags) => tags,
            None => self.source_tags(&source).await?,
        };
        let source_granted = Granted { place: source.place.clone(), document: granted.document.clone() };
        let mut plaintext = self.plaintext(&source_granted, &source.key, stored, sealed.as_ref(), None).await?;
        if permit.protection() == Protection::Plain {
            let start;
            (start, plaintext.body) =
                super::prefix::peek(plaintext.body, envelope::MAGIC.len()).await.map_err(broken_off)?;
            if envelope::begins_with_magic(&start) == Some(true) {
                permit = permit.sealed_as_lookalike();
            }
        }
        let cause = match permit.protection() {
            Protection::Sealed(cause) => Some(cause),
            Protection::Plain => None,
        };
        self.store_copy(&request, &granted, &source, &permit, cause, plaintext, replace, &tags, &slot).await
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
        set_source(&mut head, request, source, stored)?;
        let etag = stored.headers.get(ETAG).and_then(|etag| etag.to_str().ok()).map(|etag| etag.trim_matches('"'));
        // A copy onto itself has the ETag of before, by which nothing could be told.
        let itself = source.bucket == request.bucket && source.key == request.key;
        let fact = match etag.filter(|_| !itself) {
            Some(etag) => crate::stats::Fact::Etag { etag: etag.to_owned(), size: stored.len },
            None => crate::stats::Fact::None,
        };
        let intent = crate::stats::Intent {
            bucket: &request.bucket,
            key: &request.key,
            policy: permit.counted_policy(),
            outcome: permit.outcome(),
            bytes: stored.len,
            fact,
        };
        let pending = self.stats.intent(intent).holding(permit.guard().share());
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
                super::prefix::peek(body, envelope::MAGIC.len()).await.map_err(broken_off)?
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
        slot: &Slot,
    ) -> Result<Response<Body>, Error> {
        let Plaintext { stored, body, len, sealed, carried } = plaintext;
        let mut described = request.headers.clone();
        for name in request.headers.keys() {
            let text = name.as_str();
            let of_copy = text.starts_with(headers::COPY_SOURCE) || text.ends_with("-directive");
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
            Some(cause) => {
                self.put_sealed(stored_as, granted, permit, cause, body, len, &declared, conditions, slot).await?
            }
            None => self.put_plain(stored_as, granted, permit, body, len, &declared, conditions, slot).await?,
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

    /// The tags of the source, as the storage has them.
    async fn source_tags(&self, source: &Source) -> Result<Vec<(String, String)>, Error> {
        let mut query = vec![("tagging", "")];
        query.extend(source.version.as_deref().map(|version| ("versionId", version)));
        let target = upstream::uri(&source.place.bucket, Some(&source.key), &query);
        let response = self.send(&source.place.upstream, upstream::request(Method::GET, target)).await?;
        let status = response.status();
        let body = self.answer(response.into_body()).await?;
        let unread = || Error::slow_down("The tags of the copy's source cannot be read. Try again.");
        match status {
            StatusCode::OK => parse_tag_set(&body).ok_or_else(|| unread().because("GET ?tagging: no set of tags")),
            // A storage without tags has none.
            StatusCode::NOT_IMPLEMENTED => Ok(Vec::new()),
            StatusCode::NOT_FOUND if field(&body, b"Code").is_some_and(|code| code.starts_with("NoSuchTagSet")) => {
                Ok(Vec::new())
            }
            StatusCode::NOT_FOUND => Err(Error::no_such_key("The specified key does not exist.")),
            status => Err(unread().because(format!("GET ?tagging: {status}"))),
        }
    }

    pub(super) async fn upload_part_copy(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        headers::refuse_reserved(&request.headers)?;
        let number = multipart::part_number(&request)?;
        let source = self.source(&request, &granted)?;
        let head = self.head_source(&request, &source).await?;
        let sealed = self.source_metadata(&granted, &source, &head).await?;
        judge_source(&request, &head, sealed.is_some())?;
        let stored = Stored::read(head, source.version.as_deref(), headers::source_keys(&request.headers))?;
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
            set_source(&mut head, &request, &source, &stored)?;
            if let Some(range) = request.headers.get("x-amz-copy-source-range") {
                head.insert("x-amz-copy-source-range", range.clone());
            }
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

/// Names the source as the storage has it, with its keys, and pins it to the object that was judged.
fn set_source(head: &mut HeaderMap, request: &Request, source: &Source, stored: &Stored) -> Result<(), Error> {
    let version = source.version.as_deref().map(|version| format!("?versionId={version}")).unwrap_or_default();
    let text = format!("{}/{}{version}", source.place.bucket, upstream::encode_key(&source.key));
    let value = HeaderValue::from_str(&text).map_err(|_| Error::invalid_argument("The copy source is malformed."))?;
    head.insert(headers::COPY_SOURCE, value);
    if let Some(etag) = stored.headers.get(ETAG) {
        head.insert("x-amz-copy-source-if-match", condition(&source.place, etag));
    }
    for (name, value) in &request.headers {
        if name.as_str().starts_with("x-amz-copy-source-server-side-encryption-customer-") {
            head.insert(name.clone(), value.clone());
        }
    }
    Ok(())
}

fn broken_off(error: crate::upstream::BodyError) -> Error {
    Error::slow_down("The storage broke off. Try again.").because(error)
}

/// The tags of the request itself, where they are to replace those of the source.
fn replaced_tags(request: &Request) -> Result<Option<Vec<(String, String)>>, Error> {
    let replaced = request.header("x-amz-tagging-directive").is_some_and(|d| d.eq_ignore_ascii_case("REPLACE"));
    replaced.then(|| parse_tags(request.header("x-amz-tagging"))).transpose()
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

/// The tags of a `Tagging` document; none where it is not a whole one.
pub(super) fn parse_tag_set(document: &[u8]) -> Option<Vec<(String, String)>> {
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
            Event::GeneralRef(reference) => super::list::push_reference(&reference, &mut text).ok()?,
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
