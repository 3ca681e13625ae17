//! What the gateway does not have to touch: query, headers and body as they were, re-signed for the storage.

use base64::Engine as _;
use envelope::ChecksumAlgorithm;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request as HttpRequest, Response};
use http_body_util::BodyExt as _;

use super::access::Granted;
use super::checksum::{Declared, Hasher};
use super::error::Error;
use super::put::client_response;
use super::request::Request;
use super::upload::{Sink, Upload};
use super::{Front, headers};
use crate::upstream::{self, Body};

/// Documents about a bucket or an object: the largest that S3 takes are below this, in bytes.
const MAX_DOCUMENT: usize = 4 << 20;

impl Front {
    /// Passes a request that carries no object data, or is in no row of the table and yet may pass.
    pub(super) async fn pass(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        self.pass_granted(request, &granted).await
    }

    /// Tags are facts of policies, which may deny the object that it becomes.
    pub(super) async fn tagging(&self, request: Request) -> Result<Response<Body>, Error> {
        self.pass(request).await
    }

    pub(super) async fn pass_granted(&self, mut request: Request, granted: &Granted) -> Result<Response<Body>, Error> {
        headers::refuse_reserved(&request.headers)?;
        let mut head = headers::to_storage(&request.headers);
        let has_body = matches!(request.method, Method::PUT | Method::POST);
        let body = if has_body {
            let len = request.body_length().unwrap_or_default();
            if len <= MAX_DOCUMENT as u64 {
                let document = self.small_body(&mut request, MAX_DOCUMENT).await?;
                headers::drop_checks(&mut head);
                head.insert("content-md5", md5_of(&document));
                head.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
                upstream::full(document)
            } else {
                Self::long_body(&mut request, &mut head, len)?
            }
        } else {
            upstream::empty()
        };
        let response = self.forward(&request, granted, head, body).await?;
        let (head, body) = response.into_parts();
        Ok(client_response(head.status, headers::to_client(&head.headers), body))
    }

    fn long_body(request: &mut Request, head: &mut HeaderMap, len: u64) -> Result<Body, Error> {
        let declared = Declared::read(&request.headers)?;
        if request.header("x-amz-trailer").is_some() {
            headers::drop_checks(head);
        }
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

/// `Content-MD5` of a document, which some operations demand.
pub(super) fn md5_of(document: &[u8]) -> HeaderValue {
    let mut md5 = Hasher::new(ChecksumAlgorithm::Md5);
    md5.update(document);
    let text = base64::engine::general_purpose::STANDARD.encode(md5.finish());
    HeaderValue::from_str(&text).expect("base64 is a header value")
}
