//! What the gateway does not have to touch: query, headers and body as they were, re-signed for the storage.

use base64::Engine as _;
use envelope::ChecksumAlgorithm;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, Response, StatusCode};
use http_body_util::BodyExt as _;
use policy::Facts;

use super::access::{Granted, Protection, metadata_facts, text_fact};
use super::checksum::{Declared, Hasher};
use super::copy::parse_tag_set;
use super::error::{Error, unreadable};
use super::headers::client_response;
use super::open::Stored;
use super::operations::Operation;
use super::request::Request;
use super::upload::{Sink, Upload};
use super::{Front, headers, multipart};
use crate::upstream::{self, Body};

/// Documents about a bucket or an object: the largest that S3 takes are below this, in bytes.
const MAX_DOCUMENT: usize = 4 << 20;

impl Front {
    /// Passes a request that carries no object data, or is in no row of the table and yet may pass.
    pub(super) async fn pass(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        self.pass_granted(request, &granted).await
    }

    /// Tags are facts of policies: what they make of the object is judged before the storage takes them. Denied: refused.
    /// An object that is stored plain and is to be encrypted by its new tags stays as it is, and is told.
    pub(super) async fn tagging(&self, mut request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let guard = self.begin_decision()?;
        if !guard.engine.needs_tags(&request.bucket) {
            return self.pass_granted(request, &granted).await;
        }
        headers::refuse_reserved(&request.headers)?;
        let (document, tags) = if request.method == Method::PUT {
            let document = self.small_body(&mut request, MAX_DOCUMENT).await?;
            let malformed = || Error::malformed_xml("The XML you provided was not well-formed or did not validate.");
            let tags = parse_tag_set(&document).ok_or_else(malformed)?;
            (Some(document), tags)
        } else {
            (None, Vec::new())
        };
        let version = request.query("versionId").map(|version| ("versionId", version));
        let target = upstream::uri(&granted.place.bucket, Some(&request.key), version.as_slice());
        let seen = self.send(&granted.place.upstream, upstream::request(Method::HEAD, target)).await?;
        // Held until the tags are stored: it keeps the policy set that decided in force.
        let mut permit = None;
        match seen.status() {
            StatusCode::OK => {
                let stored = Stored::read(seen.headers().clone(), None, HeaderMap::new())?;
                let sealed = headers::sealed_metadata(&stored.headers).map_err(unreadable)?;
                let size = match &sealed {
                    None => stored.len,
                    Some(metadata) => Self::sealed_len(metadata, stored.len)?,
                };
                let metadata = metadata_facts(&stored.headers);
                let content_type = text_fact(&stored.headers, "content-type");
                let class = text_fact(&stored.headers, "x-amz-storage-class");
                let facts = Facts {
                    size: Some(size),
                    content_type: &content_type,
                    metadata: &metadata,
                    tags: &tags,
                    storage_class: if class.is_empty() { "STANDARD" } else { &class },
                    principal: request.principal.access_key(),
                    operation: request.operation.name(),
                    time_unix_ms: crate::state::now_ms(),
                    source_ip: request.source_ip,
                    ..Facts::new(&request.bucket, &request.key)
                };
                let decided = self.decide(guard, &granted.document, &facts, false)?;
                if sealed.is_none() && decided.protection() == Protection::Sealed(ids::Cause::Policy) {
                    tracing::warn!(
                        request_id = request.request_id,
                        bucket = request.bucket,
                        policy = decided.counted_policy().unwrap_or_default(),
                        "object is stored plain, and its new tags ask for encryption"
                    );
                }
                permit = Some(decided);
            }
            // There is nothing to judge, and the storage says so itself.
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {}
            status => return Err(Error::unseen(status, "The object could not be looked up")),
        }
        let head = headers::to_storage(&request.headers);
        let answer = match document {
            Some(document) => self.forward_document(&request, &granted, head, document).await,
            None => self.forward(&request, &granted, head, upstream::empty()).await,
        };
        drop(permit);
        let (head, body) = answer?.into_parts();
        Ok(client_response(head.status, headers::to_client(&head.headers), body))
    }

    pub(super) async fn pass_granted(&self, mut request: Request, granted: &Granted) -> Result<Response<Body>, Error> {
        headers::refuse_reserved(&request.headers)?;
        let mut head = headers::to_storage(&request.headers);
        let response = if matches!(request.method, Method::PUT | Method::POST) {
            let len = request.body_length().unwrap_or_default();
            if len <= MAX_DOCUMENT as u64 {
                let document = self.small_body(&mut request, MAX_DOCUMENT).await?;
                refuse_output(&request, &document)?;
                self.forward_document(&request, granted, head, document).await?
            } else {
                let body = Self::long_body(&mut request, &mut head, len)?;
                self.forward(&request, granted, head, body).await?
            }
        } else {
            self.forward(&request, granted, head, upstream::empty()).await?
        };
        let (head, body) = response.into_parts();
        Ok(client_response(head.status, headers::to_client(&head.headers), body))
    }

    /// The request as it is, with a document that was verified.
    async fn forward_document(
        &self,
        request: &Request,
        granted: &Granted,
        mut head: HeaderMap,
        document: bytes::Bytes,
    ) -> Result<Response<Body>, Error> {
        headers::drop_checks(&mut head);
        head.insert("content-md5", md5_of(&document));
        head.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
        self.forward(request, granted, head, upstream::full(document)).await
    }

    fn long_body(request: &mut Request, head: &mut HeaderMap, len: u64) -> Result<Body, Error> {
        let declared = Declared::read(&request.headers)?;
        declared.announce(head);
        head.insert(CONTENT_LENGTH, HeaderValue::from(len));
        let (body, trailers) = (request.take_body(), request.trailers.clone());
        let (upload, _) = Upload::new(body, len, &declared, trailers, Sink::Plain(len), false, Box::new(|_| ()));
        Ok(upload.boxed_unsync())
    }

    /// The request as it is, to where its bucket lies, with these headers and this body.
    pub(super) async fn forward(
        &self,
        request: &Request,
        granted: &Granted,
        head: HeaderMap,
        body: Body,
    ) -> Result<Response<Body>, Error> {
        let key = Some(request.key.as_str()).filter(|key| !key.is_empty());
        let mut sent = HttpRequest::new(body);
        *sent.method_mut() = request.method.clone();
        *sent.uri_mut() = upstream::uri(&granted.place.bucket, key, &request.pairs());
        *sent.headers_mut() = head;
        self.send(&granted.place.upstream, sent).await
    }
}

/// A restore may say that a query runs over the object, and into which bucket its result goes.
fn refuse_output(request: &Request, document: &[u8]) -> Result<(), Error> {
    let asks = |name: &[u8]| multipart::field(document, name).is_some();
    if request.operation == Operation::RestoreObject && (asks(b"OutputLocation") || asks(b"SelectParameters")) {
        return Err(Error::not_implemented("RestoreObject with a query is not offered."));
    }
    Ok(())
}

/// `Content-MD5` of a document, which some operations demand.
pub(super) fn md5_of(document: &[u8]) -> HeaderValue {
    let mut md5 = Hasher::new(ChecksumAlgorithm::Md5);
    md5.update(document);
    let text = base64::engine::general_purpose::STANDARD.encode(md5.finish());
    HeaderValue::from_str(&text).expect("base64 is a header value")
}
