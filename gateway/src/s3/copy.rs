//! `CopyObject`: all four pairs of plain and encrypted.
//!
//! ```text
//! source ─▶ HEAD ─▶ plain → plain       copied by the storage
//!                ├▶ sealed → sealed     from 5 MiB on: its body is copied by the storage, header and footer are new (`rewrap`)
//!                └▶ anything else       read as a client would read it, and stored as a client would store it
//! ```
//! An encrypted source stays encrypted, unless the destination bucket says that copies are decrypted.

#![expect(clippy::format_push_string, reason = "the XML is short, and reads best as it is written")]

mod part;
mod rewrap;
mod source;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ETAG, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use ids::Cause;
use policy::Facts;

use self::source::{Source, judge_source, set_source};
use super::access::{Granted, Permit, Protection, metadata_facts, parse_tags, text_fact, wishes};
use super::checksum::{self, Declared};
use super::error::{Error, escape};
use super::headers::client_response;
use super::multipart::field;
use super::open::{Failed, Opening, Stored, Tally, unopened};
use super::patience::PATIENCE;
use super::request::Request;
use super::service::xml;
use super::write::Slot;
use super::{Front, headers};
use crate::upstream::{self, Body};

pub(super) use source::parse_tag_set;

/// What a copy is to become, decided.
struct Copy<'a> {
    request: &'a Request,
    granted: &'a Granted,
    source: &'a Source,
    permit: Permit,
    /// The client's headers describe it, not those of the source.
    replace: bool,
    tags: &'a [(String, String)],
    slot: &'a Slot,
}

/// Its plaintext, on its way.
struct Plaintext {
    stored: Stored,
    body: Body,
    len: u64,
    carried: Option<envelope::UserMetadata>,
    /// Of the whole, as they are sealed in it.
    checksums: Declared,
}

/// Headers of an object that a copy takes along.
const DESCRIBING: &[&str] =
    &["content-type", "content-encoding", "content-language", "content-disposition", "cache-control", "expires"];

impl Front {
    pub(super) async fn copy_object(self: &Arc<Self>, request: Request) -> Result<Response<Body>, Error> {
        let (front, resource, id) = (Arc::clone(self), request.resource(), request.request_id.clone());
        let copy = Box::pin(async move { front.copy(request).await });
        self.work.patiently(PATIENCE, resource, id, copy).await
    }

    async fn copy(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        headers::refuse_reserved(&request.headers)?;
        let replace = directive(&request, "x-amz-metadata-directive")?;
        let mut tags = directive(&request, "x-amz-tagging-directive")?
            .then(|| parse_tags(request.header("x-amz-tagging")))
            .transpose()?;
        let source = self.source(&request, &granted)?;
        let (stored, sealed) = self.look_at_source(&request, &granted, &source).await?;
        if source.is(&request) && !replace && !changes_something(&request) {
            return Err(Error::invalid_request(
                "This copy request is illegal because it is trying to copy an object to itself without changing the \
                 object's metadata, storage class, website redirect location or encryption attributes.",
            ));
        }
        let len = match &sealed {
            None => stored.len,
            Some(metadata) => Self::sealed_len(metadata, stored.len)?,
        };
        // From here on by one policy set: what it asks for is looked up before it decides.
        let guard = self.begin_decision()?;
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
        let wish = wishes(&request, &granted.place)? || keeps;
        let permit = self.decide(guard, &granted.document, &facts, wish)?;
        let one_storage = source.place.upstream.name() == granted.place.upstream.name();
        let plain = sealed.is_none() && permit.protection() == Protection::Plain;
        if plain && one_storage && !unheeded_conditions(&request, &granted) {
            return self.copy_plain(&request, &granted, &source, &stored, &permit).await;
        }
        let slot = Slot::new(&self.stats, &request.bucket);
        // The data passes here, or its footer does, and its tags with it.
        let tags = match tags {
            Some(tags) => tags,
            None => self.source_tags(&source).await?,
        };
        let (request, granted, source) = (&request, &granted, &source);
        let mut copy = Copy { request, granted, source, permit, replace, tags: &tags, slot: &slot };
        if let (Some(metadata), Protection::Sealed(cause)) = (&sealed, copy.permit.protection())
            && one_storage
            && let Some(answer) = self.rewrap(&copy, cause, &stored, metadata, len).await?
        {
            return Ok(answer);
        }
        let mut plaintext =
            self.plaintext(&source.granted(granted), &source.key, stored, sealed.as_ref(), None).await?;
        if copy.permit.protection() == Protection::Plain {
            let start;
            (start, plaintext.body) =
                super::prefix::peek(plaintext.body, envelope::MAGIC.len()).await.map_err(broken_off)?;
            if envelope::begins_with_magic(&start) == Some(true) {
                copy.permit = copy.permit.sealed_as_lookalike();
            }
        }
        let cause = match copy.permit.protection() {
            Protection::Sealed(cause) => Some(cause),
            Protection::Plain => None,
        };
        self.store_copy(&copy, cause, plaintext).await
    }

    /// The source as it is now, judged by the client's conditions, and what it says of itself.
    async fn look_at_source(
        &self,
        request: &Request,
        granted: &Granted,
        source: &Source,
    ) -> Result<(Stored, Option<envelope::Metadata>), Error> {
        let head = self.head_source(request, source).await?;
        let sealed = self.source_metadata(granted, source, &head).await?;
        judge_source(request, &head, sealed.is_some())?;
        let stored = Stored::read(head, source.version.as_deref(), headers::source_keys(&request.headers))?;
        Ok((stored, sealed))
    }

    /// The same, and the first of its stored bytes from `at` on, as many as tell whether they begin as a sealed object does:
    /// by one request. None where there are none.
    async fn begin_source(
        &self,
        request: &Request,
        granted: &Granted,
        source: &Source,
        at: u64,
    ) -> Result<(Stored, Option<envelope::Metadata>, Bytes), Error> {
        let Some((head, start)) = self.read_source_at(request, source, at).await? else {
            let (stored, sealed) = self.look_at_source(request, granted, source).await?;
            return Ok((stored, sealed, Bytes::new()));
        };
        let sealed = self.source_metadata(granted, source, &head).await?;
        judge_source(request, &head, sealed.is_some())?;
        let stored = Stored::read(head, source.version.as_deref(), headers::source_keys(&request.headers))?;
        Ok((stored, sealed, start))
    }

    /// The storage copies by itself; nothing of the object passes here.
    async fn copy_plain(
        &self,
        request: &Request,
        granted: &Granted,
        source: &Source,
        stored: &Stored,
        permit: &Permit,
    ) -> Result<Response<Body>, Error> {
        let mut head = headers::to_storage(&request.headers);
        set_source(&mut head, request, source, stored, source.version.as_deref())?;
        headers::set_conditions(&mut head, self.put_conditions(request, granted).await?);
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
        if head.status == StatusCode::PRECONDITION_FAILED && !self.source_is_still(request, source, stored).await? {
            pending.ended(ids::Outcome::Failed, 0);
            return Err(overwritten());
        }
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
        let failed = |failed: Failed| match failed {
            Failed::Changed => overwritten(),
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
            return Ok(Plaintext { stored, body, len, carried: None, checksums: Declared::default() });
        };
        // The footer has the checksums, which are of the whole.
        let with_footer = range.is_none() || metadata.header().is_none();
        let object = self.open(granted, key, &stored, Some(metadata), with_footer).await.map_err(failed)?;
        let carried = object.carried().cloned();
        let checksums = object.checksums().filter(|_| range.is_none()).map(Declared::of_source).unwrap_or_default();
        let read = match range.filter(|range| *range != (0..object.plaintext_len())) {
            None => object.read_whole(stored.len).map_err(unopened)?,
            Some(range) => object.read_range(range).map_err(unopened)?,
        };
        let len = read.opener.plaintext_len();
        let fetched = self.fetch(&granted.place, key, &stored, read.stored.clone()).await.map_err(failed)?;
        let mut opening = Opening::new(fetched.into_body(), read.opener, Tally::silent());
        opening.prime().await?;
        Ok(Plaintext { stored, body: opening.boxed_unsync(), len, carried, checksums })
    }

    /// Stores the plaintext as a PUT with its headers would.
    async fn store_copy(
        &self,
        copy: &Copy<'_>,
        cause: Option<Cause>,
        plaintext: Plaintext,
    ) -> Result<Response<Body>, Error> {
        let Copy { request, granted, permit, slot, .. } = copy;
        let Plaintext { stored, body, len, carried, checksums } = plaintext;
        let described = copy.described(&stored, carried.as_ref())?;
        let mut stored_as = copy.stored_as(Method::PUT, Vec::new(), described);
        // Not of a PUT, which has the checksum itself.
        stored_as.headers.remove("x-amz-checksum-algorithm");
        let conditions = self.put_conditions(request, granted).await?;
        let declared = checksums.with_wished(&request.headers)?;
        let response = match cause {
            Some(cause) => {
                self.put_sealed(&stored_as, granted, permit, cause, body, len, &declared, conditions, slot).await?
            }
            None => self.put_plain(&stored_as, granted, permit, body, len, &declared, conditions, slot).await?,
        };
        if !response.status().is_success() {
            return Ok(response);
        }
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        let mut shown = HeaderMap::new();
        for (name, value) in response.headers() {
            let text = name.as_str();
            if text.starts_with("x-amz-") && !text.starts_with("x-amz-checksum-") {
                shown.insert(name.clone(), value.clone());
            }
        }
        let sums = shown_sums(response.headers());
        tracing::debug!(sealed = cause.is_some(), "object is copied through the gateway");
        Ok(copied("CopyObjectResult", &etag, &sums, shown, stored.version.as_deref()))
    }
}

impl Copy<'_> {
    /// The headers of a PUT that would store the copy.
    fn described(&self, stored: &Stored, carried: Option<&envelope::UserMetadata>) -> Result<HeaderMap, Error> {
        let mut described = self.request.headers.clone();
        for name in self.request.headers.keys() {
            let text = name.as_str();
            let of_copy = text.starts_with(headers::COPY_SOURCE) || text.ends_with("-directive");
            if of_copy || (!self.replace && (DESCRIBING.contains(&text) || text.starts_with("x-amz-meta-"))) {
                described.remove(name);
            }
        }
        if !self.replace {
            for (name, value) in &stored.headers {
                let text = name.as_str();
                let ours = envelope::is_reserved(text);
                if DESCRIBING.contains(&text) || (text.starts_with("x-amz-meta-") && !ours) {
                    described.append(name.clone(), value.clone());
                }
            }
            for (name, value) in carried.into_iter().flatten() {
                if let (Ok(name), Ok(value)) =
                    (http::HeaderName::try_from(name.as_str()), HeaderValue::from_bytes(value))
                {
                    described.append(name, value);
                }
            }
        }
        described.remove("x-amz-tagging");
        if !self.tags.is_empty() {
            let pairs: Vec<_> = self.tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let query = upstream::uri("", None, &pairs).query().unwrap_or_default().to_owned();
            let value = HeaderValue::from_str(&query).map_err(|_| Error::invalid_argument("Tags."))?;
            described.insert("x-amz-tagging", value);
        }
        Ok(described)
    }

    /// The request that stores it, or begins to.
    fn stored_as(&self, method: Method, query: Vec<(String, String)>, headers: HeaderMap) -> Request {
        Request {
            operation: self.request.operation,
            method,
            bucket: self.request.bucket.clone(),
            key: self.request.key.clone(),
            query,
            headers,
            principal: self.request.principal.clone(),
            source_ip: self.request.source_ip,
            body: std::sync::Mutex::new(upstream::empty()),
            trailers: None,
            request_id: self.request.request_id.clone(),
        }
    }
}

fn changes_something(request: &Request) -> bool {
    ["x-amz-storage-class", "x-amz-website-redirect-location", "x-amz-server-side-encryption"]
        .iter()
        .any(|name| request.headers.contains_key(*name))
}

/// Whether the storage would overwrite what the client's conditions protect: it looks at those of a PUT only.
fn unheeded_conditions(request: &Request, granted: &Granted) -> bool {
    let conditional = request.headers.contains_key("if-match") || request.headers.contains_key("if-none-match");
    conditional && granted.place.upstream.quirks().only_put_is_conditional
}

/// The conditions of the client held: of the object that it was judged by, which is another one by now.
fn overwritten() -> Error {
    Error::slow_down("The source of the copy is being overwritten. Try again.")
}

fn broken_off(error: crate::upstream::BodyError) -> Error {
    Error::slow_down("The storage broke off. Try again.").because(error)
}

/// Whether a directive says that what the request has replaces what the source has.
fn directive(request: &Request, name: &str) -> Result<bool, Error> {
    match request.header(name) {
        None => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("COPY") => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("REPLACE") => Ok(true),
        Some(_) => Err(Error::invalid_argument(format!("Unknown {name}: it is COPY or REPLACE."))),
    }
}

/// The checksums of the whole that a stored object or part answers in its headers.
fn shown_sums(headers: &HeaderMap) -> Vec<(envelope::ChecksumAlgorithm, String, bool)> {
    let named = headers.iter().filter_map(|(name, value)| {
        let algorithm = name.as_str().strip_prefix("x-amz-checksum-").and_then(checksum::by_name)?;
        Some((algorithm, value.to_str().ok()?.to_owned(), true))
    });
    named.collect()
}

/// The answer to a copy. `etag`: as clients see it. `sums`: algorithm, value as it is shown, and whether it is of the whole.
fn copied(
    result: &str,
    etag: &str,
    sums: &[(envelope::ChecksumAlgorithm, String, bool)],
    shown: HeaderMap,
    version: Option<&str>,
) -> Response<Body> {
    let now = time::OffsetDateTime::now_utc().replace_nanosecond(0).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let now = now.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{result} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
         <LastModified>{now}</LastModified><ETag>{}</ETag>",
        escape(&format!("\"{}\"", etag.trim_matches('"')))
    );
    for (algorithm, value, full) in sums {
        let name = checksum::name_of(*algorithm);
        text += &format!("<Checksum{name}>{value}</Checksum{name}>");
        // Those of a part have no kind.
        if result == "CopyObjectResult" {
            let kind = if *full { "FULL_OBJECT" } else { "COMPOSITE" };
            text += &format!("<ChecksumType>{kind}</ChecksumType>");
        }
    }
    let mut answer = xml(StatusCode::OK, text + &format!("</{result}>"));
    answer.headers_mut().extend(shown);
    if let Some(version) = version.and_then(|version| HeaderValue::from_str(version).ok()) {
        answer.headers_mut().insert("x-amz-copy-source-version-id", version);
    }
    answer
}
