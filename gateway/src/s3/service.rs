//! From HTTP to a verified request, and back to an answer.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Request as HttpRequest, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use s3s::auth::{S3Auth, SecretKey};
use s3s::host::VirtualHost;
use s3s::route::S3Route;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result};

use super::address::Address;
use super::checksum::Declared;
use super::cors::Asking;
use super::error::Error;
use super::guard::Guarded;
use super::linger::Lingering;
use super::operations::{Data, Operation};
use super::request::{Principal, Request, is_bucket_name, parse_query};
use super::signed::{self, Mechanism};
use super::upload::broken;
use super::{Front, form};
use crate::upstream::{self, Body, with_deadline};

/// Answers requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Service {
    front: Arc<Front>,
    verified: S3Service,
}

/// The longest refusal of s3s that is read, in bytes.
const MAX_REFUSAL: usize = 64 << 10;

/// The longest code of a refusal that the log takes over, in bytes; those of S3 have up to 50.
const MAX_CODE: usize = 64;

/// Names a request in the log and to its client.
#[derive(Clone)]
struct RequestId(String);

#[derive(Clone, Copy)]
struct Peer(SocketAddr);

/// What the log says of a request, filled in where it is known.
#[derive(Clone, Default)]
pub(super) struct Note(Arc<std::sync::Mutex<Noted>>);

#[derive(Default)]
struct Noted {
    operation: &'static str,
    code: Cow<'static, str>,
    cause: Option<String>,
}

impl Note {
    fn lock(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Says which operation it is.
    pub(super) fn is_for(&self, operation: Operation) {
        self.is_called(operation.name());
    }

    /// Says what it is, where that is no operation of S3.
    fn is_called(&self, name: &'static str) {
        self.lock().operation = name;
    }

    /// Says why it is refused.
    pub(super) fn refused(&self, error: &Error) {
        let mut noted = self.lock();
        noted.code = error.code.into();
        noted.cause = error.cause();
    }
}

impl Service {
    pub(super) fn new(front: Arc<Front>) -> Self {
        let mut builder = S3ServiceBuilder::new(Nothing);
        builder.set_auth(Credentials(Arc::clone(&front)));
        builder.set_route(Route(Arc::clone(&front)));
        builder.set_validation(AnyName);
        builder.set_host(Hosts(Arc::clone(&front)));
        Self { front, verified: builder.build() }
    }

    pub(super) async fn answer(&self, request: HttpRequest<hyper::body::Incoming>, peer: SocketAddr) -> Response<Body> {
        let begun = Instant::now();
        let id = request_id();
        let note = Note::default();
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let asking = Asking::read(&self.front, &request);
        let answered = match self.respond(request, peer, &id, &note).await {
            Ok(response) => under_one_id(response, &method, &id, &note).await,
            Err(error) => Err(error),
        };
        let mut response = answered.unwrap_or_else(|error| {
            note.refused(&error);
            error.response(&path, &id)
        });
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert("x-amz-request-id", value);
        }
        if let Some(asking) = asking {
            self.front.show_rules(asking, &mut response).await;
        }
        self.front.answered(&id, &method, &path, response.status(), &note, begun);
        response
    }

    /// What s3s cannot verify is answered before it.
    async fn respond(
        &self,
        request: HttpRequest<hyper::body::Incoming>,
        peer: SocketAddr,
        id: &str,
        note: &Note,
    ) -> Result<Response<Body>, Error> {
        let (head, body) = request.into_parts();
        let expects = head.headers.contains_key(http::header::EXPECT);
        let body = with_deadline(body, self.front.settings.limits.body_timeout);
        let body = Lingering::new(body, expects).boxed_unsync();
        refuse_early(&head)?;
        if head.method == Method::OPTIONS {
            note.is_called("Preflight");
            return self.front.preflight(&head).await;
        }
        let request = HttpRequest::from_parts(head, body);
        if form::is_upload(request.method(), request.headers()) {
            return self.front.post_object(request, peer, id, note).await;
        }
        Ok(self.verify(request, peer, id, note).await)
    }

    async fn verify(&self, request: HttpRequest<Body>, peer: SocketAddr, id: &str, note: &Note) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let content = request.headers().get("x-amz-content-sha256").map(HeaderValue::as_bytes);
        let chunked = content.is_some_and(|value| value.starts_with(b"STREAMING-"));
        let signed = content != Some(b"STREAMING-UNSIGNED-PAYLOAD-TRAILER");
        let mut request = request.map(|body| {
            s3s::Body::http_body_unsync(if chunked { Guarded::new(body, signed).boxed_unsync() } else { body })
        });
        request.extensions_mut().insert(RequestId(id.to_owned()));
        request.extensions_mut().insert(Peer(peer));
        request.extensions_mut().insert(note.clone());
        match self.verified.call(request).await {
            Ok(response) => {
                let by_s3s = {
                    let noted = note.lock();
                    noted.operation.is_empty() && noted.code.is_empty() && !response.status().is_success()
                };
                let response = response.map(|body| body.map_err(Into::into).boxed_unsync());
                if by_s3s { worded(response, &path, id, note).await } else { response }
            }
            Err(error) => {
                let error =
                    Error::internal("The request could not be processed.")
                        .because(Box::<dyn std::error::Error + Send + Sync>::from(error));
                note.refused(&error);
                error.response(&path, id)
            }
        }
    }
}

/// A refusal of s3s, which says so in a short document without words for a person.
async fn worded(response: Response<Body>, path: &str, id: &str, note: &Note) -> Response<Body> {
    let (head, body) = response.into_parts();
    let body = upstream::collect(body, MAX_REFUSAL).await.ok().flatten().unwrap_or_default();
    let said = |name: &[u8]| super::multipart::field(&body, name).filter(|text| !text.is_empty());
    let code = said(b"Code").unwrap_or_else(|| "InvalidRequest".to_owned());
    note.lock().code = code.clone().into();
    let words = match code.as_str() {
        "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        }
        "InvalidAccessKeyId" => "The AWS Access Key Id you provided does not exist in our records.",
        "RequestTimeTooSkewed" => "The difference between the request time and the current time is too large.",
        "AccessDenied" => "Access Denied",
        "InvalidBucketName" => {
            "A bucket's name has 3 to 63 characters: lower-case letters, digits, hyphens and dots, a letter or digit at both ends."
        }
        _ => "The request is malformed, or its signature cannot be verified.",
    };
    let message = said(b"Message").unwrap_or_else(|| words.to_owned());
    // The code may be any of S3's, and the document is written as ours are.
    let mut worded = Error::new(head.status, "", message).response_of(&code, path, id);
    for (name, value) in &head.headers {
        worded.headers_mut().entry(name).or_insert_with(|| value.clone());
    }
    worded.headers_mut().remove(CONTENT_LENGTH);
    worded
}

/// A refusal of the storage names the storage's own request. Its client knows the request by the ID in the header, and
/// looks for that one in the document.
async fn under_one_id(
    response: Response<Body>,
    method: &Method,
    id: &str,
    note: &Note,
) -> Result<Response<Body>, Error> {
    let refused = response.status().is_client_error() || response.status().is_server_error();
    let kind = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if !refused || method == Method::HEAD || !(kind.starts_with(b"application/xml") || kind.starts_with(b"text/xml")) {
        return Ok(response);
    }
    let (mut head, body) = response.into_parts();
    let document = upstream::collect(body, MAX_REFUSAL).await;
    let document = document.map_err(|error| Error::slow_down("The storage broke off. Try again.").because(error))?;
    let document = document.ok_or_else(|| Error::internal("The storage's refusal is too long to be passed on."))?;
    if let Some(code) = element(&document, "Code").filter(|code| code.len() <= MAX_CODE) {
        let mut noted = note.lock();
        if noted.code.is_empty() {
            noted.code = String::from_utf8_lossy(&document[code]).into_owned().into();
        }
    }
    let document = match element(&document, "RequestId") {
        Some(place) => [&document[..place.start], id.as_bytes(), &document[place.end..]].concat().into(),
        None => document,
    };
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
    Ok(Response::from_parts(head, upstream::full(document)))
}

/// Where the text of the first element of this name stands.
pub(super) fn element(document: &[u8], name: &str) -> Option<std::ops::Range<usize>> {
    let find = |tag: &[u8], from: usize| document[from..].windows(tag.len()).position(|at| at == tag);
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let start = find(open.as_bytes(), 0)? + open.len();
    let len = find(close.as_bytes(), start)?;
    Some(start..start + len)
}

/// What must not reach s3s.
fn refuse_early(head: &Parts) -> Result<(), Error> {
    signed::refuse_expires(&parse_query(head.uri.query())?)?;
    signed::refuse_malformed(&head.headers)
}

/// A path's digest, so that logs tell requests of one object apart from others without naming it.
fn hashed(path: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, path.as_bytes());
    hex::encode(&digest.as_ref()[..6])
}

/// The typed operations of s3s are not used: every request goes by the route.
struct Nothing;

#[async_trait::async_trait]
impl S3 for Nothing {}

/// Bucket names are for the storage to judge.
struct AnyName;

impl s3s::validation::NameValidation for AnyName {
    fn validate_bucket_name(&self, name: &str) -> bool {
        is_bucket_name(name)
    }
}

/// Buckets in the host: the signature is over the host and the path as they came, whichever names the bucket.
struct Hosts(Arc<Front>);

impl s3s::host::S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let found = VirtualHost::new(host);
        Ok(match self.0.settings.domains.bucket(host) {
            Some(bucket) => found.with_bucket(bucket),
            None => found,
        })
    }
}

/// The credentials of the group document.
struct Credentials(Arc<Front>);

#[async_trait::async_trait]
impl S3Auth for Credentials {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let document = self.0.group.document();
        match document.credential(access_key) {
            Some(credential) => Ok(SecretKey::from(credential.secret.expose())),
            None => Err(S3Error::with_message(
                S3ErrorCode::InvalidAccessKeyId,
                "The AWS Access Key Id you provided does not exist in our records.",
            )),
        }
    }
}

/// Every verified request.
struct Route(Arc<Front>);

#[async_trait::async_trait]
impl S3Route for Route {
    fn is_match(&self, _: &Method, _: &Uri, _: &HeaderMap, _: &mut http::Extensions) -> bool {
        true
    }

    async fn check_access(&self, _: &mut S3Request<s3s::Body>) -> S3Result<()> {
        // Grants need the operation, and are judged by it; also for requests without a signature.
        Ok(())
    }

    async fn call(&self, request: S3Request<s3s::Body>) -> S3Result<S3Response<s3s::Body>> {
        let id = request.extensions.get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default();
        let note = request.extensions.get::<Note>().cloned().unwrap_or_default();
        let path = request.uri.path().to_owned();
        let result = match read(&self.0, request, &id) {
            Ok(request) => {
                note.is_for(request.operation);
                self.0.dispatch(request).await
            }
            Err(error) => Err(error),
        };
        let response = result.unwrap_or_else(|error| {
            note.refused(&error);
            error.response(&path, &id)
        });
        let (head, body) = response.into_parts();
        let mut answer = S3Response::new(s3s::Body::http_body_unsync(body));
        answer.status = Some(head.status);
        answer.headers = head.headers;
        Ok(answer)
    }
}

/// Our request from the one that s3s verified.
fn read(front: &Front, request: S3Request<s3s::Body>, id: &str) -> Result<Request, Error> {
    let mut query = parse_query(request.uri.query())?;
    signed::refuse_ambiguous(&query, &request.headers)?;
    let mut mechanism = None;
    let principal = match request.credentials {
        None => Principal::Anonymous,
        Some(credentials) => {
            if request.service.as_deref() != Some("s3") {
                return Err(Error::access_denied("The request is signed for another service."));
            }
            let found = signed::mechanism(&query, &request.headers)?;
            if !found.is_version_2() {
                signed::refuse_unsigned(found, &query, &request.headers)?;
            }
            mechanism = Some(found);
            Principal::Key(credentials.access_key)
        }
    };
    let version_2 = mechanism.is_some_and(Mechanism::is_version_2);
    let Address { bucket, key, scope } = Address::of(&front.settings.domains, &request.uri, &request.headers)?;
    if key.len() > 1024 {
        return Err(Error::new(StatusCode::BAD_REQUEST, "KeyTooLongError", "Your key is too long"));
    }
    query = signed::without_signature(query);
    let mut headers = request.headers;
    let hoisted = unhoist(&mut query, &mut headers)?;
    super::headers::drop_lookalikes(&mut headers);
    let operation = Operation::of(&request.method, scope, &query, &headers);
    if version_2 {
        signed::refuse_beyond_version_2(hoisted, operation, &headers)?;
    }
    Ok(Request {
        operation,
        method: request.method,
        bucket,
        key,
        query,
        principal,
        source_ip: request.extensions.get::<Peer>().map(|peer| peer.0.ip()),
        body: std::sync::Mutex::new(request.input.map_err(Into::into).boxed_unsync()),
        trailers: request.trailing_headers,
        headers,
        request_id: id.to_owned(),
    })
}

/// Headers that a presigned URL carries in its query are headers again, so that every check sees them. Says whether there
/// were any.
fn unhoist(query: &mut Vec<(String, String)>, headers: &mut HeaderMap) -> Result<bool, Error> {
    let before = query.len();
    let mut kept = Vec::with_capacity(before);
    for (name, value) in query.drain(..) {
        if !name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-")) {
            kept.push((name, value));
            continue;
        }
        let wrong = || Error::invalid_argument(format!("The query parameter {name} cannot be a header."));
        let header = HeaderName::try_from(name.to_ascii_lowercase()).map_err(|_| wrong())?;
        let value = HeaderValue::try_from(value).map_err(|_| wrong())?;
        if headers.get(&header).is_some_and(|there| *there != value) {
            return Err(Error::invalid_argument(format!("{name} is in the query and in a header.")));
        }
        headers.insert(header, value);
    }
    *query = kept;
    Ok(query.len() < before)
}

/// Names a request in the log and to its client.
pub(super) fn request_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()[..16].to_ascii_uppercase()
}

impl Front {
    /// Counts a request that is answered, and writes its line.
    pub(super) fn answered(
        &self,
        id: &str,
        method: &Method,
        path: &str,
        status: StatusCode,
        note: &Note,
        begun: Instant,
    ) {
        let duration = begun.elapsed();
        let noted = note.lock();
        let operation = if noted.operation.is_empty() { "None" } else { noted.operation };
        let outcome = match status.as_u16() {
            ..400 => "ok",
            400..500 => "client_error",
            _ => "server_error",
        };
        self.stats.request(operation, outcome, duration);
        tracing::info!(
            request_id = id,
            operation,
            %method,
            path_hash = hashed(path),
            status = status.as_u16(),
            code = &*noted.code,
            cause = noted.cause.as_deref().unwrap_or_default(),
            duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            "request is answered"
        );
    }

    pub(super) async fn dispatch(self: &Arc<Self>, request: Request) -> Result<Response<Body>, Error> {
        match request.operation {
            Operation::ListBuckets => self.list_buckets(request).await,
            Operation::HeadBucket => self.head_bucket(request).await,
            Operation::CreateBucket => self.create_bucket(request).await,
            Operation::DeleteBucket => self.delete_bucket(request).await,
            Operation::GetBucketLocation => self.bucket_location(request).await,
            Operation::GetBucketEncryption => self.get_bucket_encryption(&request),
            Operation::PutBucketEncryption => self.put_bucket_encryption(request).await,
            Operation::DeleteBucketEncryption => self.delete_bucket_encryption(request).await,
            Operation::ListObjects | Operation::ListObjectVersions => self.list_objects(request).await,
            Operation::GetObject => self.get(request).await,
            Operation::HeadObject => self.head(request).await,
            Operation::PutObject => self.put(request).await,
            // A form was taken before its signature was looked at.
            Operation::PostObject => Err(Error::new(
                StatusCode::PRECONDITION_FAILED,
                "PreconditionFailed",
                "Bucket POST must be of the enclosure-type multipart/form-data",
            )),
            Operation::DeleteObject => self.delete_object(request).await,
            Operation::DeleteObjects => self.delete_objects(request).await,
            Operation::CopyObject => self.copy_object(request).await,
            Operation::GetObjectAttributes => self.object_attributes(request).await,
            Operation::CreateMultipartUpload => self.create_upload(request).await,
            Operation::UploadPart => self.upload_part(request).await,
            Operation::UploadPartCopy => self.upload_part_copy(request).await,
            Operation::CompleteMultipartUpload => self.complete_upload(request).await,
            Operation::AbortMultipartUpload => self.abort_upload(request).await,
            Operation::ListParts => self.list_parts(request).await,
            Operation::ListMultipartUploads => self.list_uploads(request).await,
            Operation::PutObjectTagging | Operation::DeleteObjectTagging => self.tagging(request).await,
            operation => {
                debug_assert!(operation.data() != Data::Own, "{} has no function", operation.name());
                self.pass(request).await
            }
        }
    }

    /// Refuses a request whose body would have to be kept and is longer than `limit`; gives the body otherwise.
    pub(super) async fn small_body(&self, request: &mut Request, limit: usize) -> Result<bytes::Bytes, Error> {
        let declared = Declared::read(&request.headers)?;
        Self::verified_body(request, limit, &declared).await
    }

    /// The same of a request that declares this of its body.
    pub(super) async fn verified_body(
        request: &mut Request,
        limit: usize,
        declared: &Declared,
    ) -> Result<bytes::Bytes, Error> {
        let body = upstream::collect(request.take_body(), limit).await.map_err(|error| broken(&error))?;
        let body = body.ok_or_else(|| {
            Error::new(StatusCode::BAD_REQUEST, "MaxMessageLengthExceeded", "Your request was too big.")
        })?;
        let mut verifier = declared.verifier();
        verifier.update(&body);
        let trailers = request.trailers.as_ref().and_then(s3s::TrailingHeaders::take);
        verifier.finish(trailers.as_ref())?;
        Ok(body)
    }
}

/// XML as a response.
pub(super) fn xml(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(upstream::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhoisted(pairs: &[(&str, &str)], headers: &mut HeaderMap) -> Result<Vec<(String, String)>, &'static str> {
        let mut query = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        unhoist(&mut query, headers).map_err(|error| error.code)?;
        Ok(query)
    }

    #[test]
    fn headers_in_a_query_are_seen_as_headers() {
        let mut headers = HeaderMap::new();
        let query = unhoisted(&[("X-Amz-Acl", "public-read"), ("partNumber", "1")], &mut headers).unwrap();
        assert_eq!(query, [("partNumber".to_owned(), "1".to_owned())]);
        assert!(super::super::headers::gives_rights_away(&headers));
        assert_eq!(unhoisted(&[("x-amz-acl", "private")], &mut headers), Err("InvalidArgument"));
        let mut headers = HeaderMap::new();
        unhoisted(&[("x-amz-meta-gse-v", "1")], &mut headers).unwrap();
        assert!(super::super::headers::refuse_reserved(&headers).is_err());
    }
}
