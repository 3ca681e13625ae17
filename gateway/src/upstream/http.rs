//! An S3 service over HTTP: a pool of connections, every request signed anew.
//!
//! ```text
//!  body ≤ 1 MiB   kept ▶ signed with its SHA-256 ▶ sent, and sent again where that is safe
//!  body > 1 MiB   Expect: 100-continue ▶ streamed once the storage says "continue"; over TLS as it is, else chunk by
//!                 chunk signed with its SHA-256
//! ```
//!
//! So what was changed on its way is refused by the storage before anything is committed: TLS authenticates every byte,
//! and without it every chunk is signed (docs/decisions, "Integrity on the way to the storage").

mod chunks;
mod refusal;
mod sign;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use checksums::Algorithm;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{Body, BodyError, OpenError, Quirks, UpstreamError, full, quirks};
use crate::config;
pub(crate) use refusal::WHOLE;
use refusal::{Refusal, Sent};
pub(crate) use stream::with_deadline;

/// Bodies up to this many bytes are kept, so that they can be hashed and replayed.
pub(crate) const KEPT: u64 = 1 << 20;

/// How long a storage may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a storage may take to begin its answer once it has the whole request. Copies of large objects and the
/// completion of long uploads take minutes.
const ANSWER: Duration = Duration::from_mins(5);
/// How often a kept request is sent at most.
const ATTEMPTS: u32 = 3;
/// The longest refusal that is read, in bytes.
const MAX_REFUSAL: usize = 64 << 10;
/// Read and write buffers of a connection: small, since there may be hundreds.
const BUFFER: usize = 64 << 10;
/// Headers of one answer: user metadata of 2 KiB may be a thousand entries. [`BUFFER`] bounds their bytes.
const HEADERS: usize = 1200;

/// One S3 service, spoken to as somebody. Cheap to clone.
#[derive(Clone)]
pub struct Http {
    service: Arc<Service>,
    /// Signs as whoever speaks; none: nobody, and nothing is signed.
    signer: Option<Arc<sign::Signer>>,
    /// As another than the gateway.
    foreign: bool,
}

struct Service {
    name: String,
    scheme: Scheme,
    authority: Authority,
    path_style: bool,
    region: String,
    passes_unsigned: bool,
    takes_sse: bool,
    long_bodies: config::LongBodies,
    found: refusal::Found,
    client: Client<HttpsConnector<HttpConnector>, Body>,
    idle: Duration,
    quirks: quirks::Known,
}

impl Service {
    /// Whether long bodies go in chunks that are signed: where there is no TLS.
    fn signs_chunks(&self) -> bool {
        self.scheme == Scheme::HTTP && self.long_bodies == config::LongBodies::Signed
    }
}

impl Http {
    pub(super) fn new(name: &str, s3: &config::S3Backend, limits: &config::Limits) -> Result<Self, OpenError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_keepalive(Some(Duration::from_secs(30)));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls(name, s3)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(64)
            .http1_max_buf_size(BUFFER)
            .http1_max_headers(HEADERS)
            .build(connector);
        let authority = s3.endpoint.authority().parse().expect("a URL's authority is one of a URI");
        let scheme = if s3.endpoint.scheme() == "https" { Scheme::HTTPS } else { Scheme::HTTP };
        let signer = sign::Signer::new(&s3.access_key, &s3.secret_key, &s3.region);
        let service = Service {
            name: name.to_owned(),
            long_bodies: s3.long_bodies,
            found: refusal::Found::default(),
            scheme,
            authority,
            path_style: s3.path_style,
            region: s3.region.clone(),
            passes_unsigned: s3.unsigned == config::Unsigned::Pass,
            takes_sse: s3.sse == config::Sse::Storage,
            client,
            idle: limits.body_timeout,
            quirks: quirks::Known::default(),
        };
        Ok(Self { service: Arc::new(service), signer: Some(Arc::new(signer)), foreign: false })
    }

    pub(super) fn is_foreign(&self) -> bool {
        self.foreign
    }

    /// The same service, spoken to as the holder of this key, or as nobody.
    pub(super) fn spoken_to_by(&self, identity: Option<(&str, &config::Secret)>) -> Self {
        let signer = identity.map(|(key, secret)| Arc::new(sign::Signer::new(key, secret, &self.service.region)));
        Self { service: Arc::clone(&self.service), signer, foreign: true }
    }

    pub(super) fn takes_sse(&self) -> bool {
        self.service.takes_sse
    }

    pub(super) fn passes_unsigned(&self) -> bool {
        self.service.passes_unsigned
    }

    pub(super) fn name(&self) -> &str {
        &self.service.name
    }

    pub(super) fn endpoint(&self) -> String {
        // An authority may hold a name and a password.
        let authority = self.service.authority.as_str();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        format!("{}://{host}", self.service.scheme)
    }

    pub(super) fn region(&self) -> &str {
        &self.service.region
    }

    /// Whether it was found to take no signed chunks, which it is to take.
    pub(super) fn refuses_signed_chunks(&self) -> bool {
        self.service.signs_chunks() && self.service.found.refuses_signed_chunks()
    }

    pub(super) fn names_buckets_in_hosts(&self) -> bool {
        !self.service.path_style
    }

    /// As the storage's responses have shown; until the first one, as S3.
    pub(super) fn quirks(&self) -> &Quirks {
        self.service.quirks.quirks()
    }

    pub(super) async fn call(&self, request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        let (mut head, body) = request.into_parts();
        let length = match head.headers.get(CONTENT_LENGTH) {
            Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()),
            None => body.size_hint().exact(),
        };
        let Some(length) = length else {
            return Err(self.unmade("a body needs a length"));
        };
        for hop in [CONNECTION, TRANSFER_ENCODING, EXPECT, HOST] {
            head.headers.remove(hop);
        }
        if length > 0 || matches!(head.method, Method::PUT | Method::POST) {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        } else {
            head.headers.remove(CONTENT_LENGTH);
        }
        head.uri = self.absolute(&head.uri)?;
        if length == 0 || (length <= KEPT && head.extensions.get::<super::AskFirst>().is_none()) {
            return self.call_kept(head, body, length).await;
        }
        // Who is nobody signs no chunks either.
        let somebody = self.signer.is_some();
        let signed = somebody && self.service.signs_chunks();
        let mut body = body;
        loop {
            if signed && self.service.found.refuses_signed_chunks() {
                return self.call_whole(head, body, length).await;
            }
            let trails = somebody && !self.quirks().refuses_trailers;
            let lacks_check = trails && self.lacks_check(&head);
            let announced =
                head.headers.get("x-amz-trailer").and_then(|name| Algorithm::by_header(name.to_str().ok()?));
            let trailer = if lacks_check { Some(refusal::CHECK) } else { announced.filter(|_| trails) };
            let framing = chunks::Framing { signed, trailer };
            let may_lack_check = trails && !lacks_check && refusal::may_lack_check(&head);
            let sent = Sent { streamed: true, signed_chunks: signed, may_lack_check };
            let sum = if lacks_check { refusal::summed } else { std::convert::identity };
            match self.call_streamed(head.clone(), body, length, framing, sum, sent).await? {
                Ok(response) => return Ok(response),
                // What it has refused is sent otherwise from now on.
                Err(untouched) => body = untouched,
            }
        }
    }

    fn lacks_check(&self, head: &http::request::Parts) -> bool {
        self.service.found.lacks_check(head)
    }

    /// Sends a long body to a storage that takes no signed chunks.
    async fn call_whole(
        &self,
        head: http::request::Parts,
        body: Body,
        length: u64,
    ) -> Result<Response<Body>, UpstreamError> {
        if length > WHOLE {
            return Err(UpstreamError::SignedChunks { backend: self.service.name.clone() });
        }
        let _turn = self.service.found.turn().await;
        self.call_kept(head, body, length).await
    }

    async fn call_kept(
        &self,
        mut head: http::request::Parts,
        body: Body,
        length: u64,
    ) -> Result<Response<Body>, UpstreamError> {
        let limit = usize::try_from(length).map_err(|_| self.unmade("the body is too long to be kept"))?;
        let collected = super::collect_all(body, limit).await.map_err(|source| self.broken(source))?;
        let (body, trailers) = collected.ok_or_else(|| self.broken("the body is longer than announced".into()))?;
        // What is known now need not come behind.
        head.headers.remove("x-amz-trailer");
        head.headers.extend(trailers.unwrap_or_default());
        if body.len() as u64 != length {
            return Err(self.broken(format!("the body has {} bytes, {length} were announced", body.len()).into()));
        }
        let replayable = is_replayable(&head);
        let mut attempt = 1;
        loop {
            if self.lacks_check(&head) {
                head.headers.insert("content-md5", refusal::md5(&body));
            }
            let request = Request::from_parts(head.clone(), full(body.clone()));
            let request = self.sign(request, &sign::Payload::Hashed(&body))?;
            let sent = Sent { streamed: false, signed_chunks: false, may_lack_check: refusal::may_lack_check(&head) };
            let judged = match self.send(request, ANSWER).await {
                Ok(response) => self.judged(response, sent).await,
                Err(error) => Err(error),
            };
            let result = match judged {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(Refusal::Changed(code))) => Err(self.changed(code)),
                // Now with what was missing.
                Ok(Err(_)) => continue,
                Err(error) => Err(error),
            };
            let again = match &result {
                Ok(response) => match response.status() {
                    StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => true,
                    status => replayable && super::is_overload(status) && status != StatusCode::NOT_IMPLEMENTED,
                },
                Err(UpstreamError::Unreachable { .. } | UpstreamError::Changed { .. }) => true,
                Err(UpstreamError::Broken { .. }) => replayable,
                Err(_) => false,
            };
            if !again || attempt == ATTEMPTS {
                return result;
            }
            tokio::time::sleep(pause(attempt)).await;
            attempt += 1;
        }
    }

    /// The answer; or the body, where the storage refuses it as it is sent, and nothing of it was taken.
    async fn call_streamed(
        &self,
        mut head: http::request::Parts,
        body: Body,
        length: u64,
        framing: chunks::Framing,
        sum: fn(Body) -> Body,
        sent: Sent,
    ) -> Result<Result<Response<Body>, Body>, UpstreamError> {
        head.headers.remove("x-amz-trailer");
        head.headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        if framing.is_chunked() {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(framing.wire_len(length)));
            head.headers.insert("x-amz-decoded-content-length", HeaderValue::from(length));
        }
        if let Some(algorithm) = framing.trailer {
            head.headers.insert("x-amz-trailer", HeaderValue::from_static(algorithm.header()));
            add_encoding(&mut head.headers);
        }
        let request = Request::from_parts(head, super::empty());
        let (body, gate, progress, untouched) = stream::gated(body);
        let body = sum(body);
        let (request, body) = match &self.signer {
            Some(signer) => {
                let (request, seed) = signer.sign_chunks(request, framing).map_err(|error| self.request(error))?;
                (request, if framing.is_chunked() { chunks::framed(body, length, framing, seed) } else { body })
            }
            None => (sign::unsigned(request), body),
        };
        let mut request = request.map(|_| body);
        hyper::ext::on_informational(&mut request, move |_| gate.open());
        let response = tokio::select! {
            result = self.send(request, Duration::MAX) => result?,
            () = progress.ended_for(ANSWER, self.service.idle) => {
                return Err(UpstreamError::Deadline { backend: self.service.name.clone() });
            }
        };
        match self.judged(response, sent).await? {
            Ok(response) => Ok(Ok(response)),
            Err(Refusal::Changed(code)) => Err(self.changed(code)),
            // Some of it was taken: whoever has it sends it again.
            Err(refusal) => {
                untouched.take().map(Err).ok_or_else(|| self.broken(format!("refused: {refusal:?}").into()))
            }
        }
    }

    fn sign(&self, request: Request<Body>, payload: &sign::Payload<'_>) -> Result<Request<Body>, UpstreamError> {
        match &self.signer {
            Some(signer) => signer.sign(request, payload).map_err(|error| self.request(error)),
            None => Ok(sign::unsigned(request)),
        }
    }

    async fn send(&self, request: Request<Body>, deadline: Duration) -> Result<Response<Body>, UpstreamError> {
        let response = tokio::time::timeout(deadline, self.service.client.request(request))
            .await
            .map_err(|_| UpstreamError::Deadline { backend: self.service.name.clone() })?
            .map_err(|error| {
                if error.is_connect() {
                    UpstreamError::Unreachable { backend: self.service.name.clone(), source: error.into() }
                } else {
                    self.broken(error.into())
                }
            })?;
        if response.status().is_redirection() && response.status() != StatusCode::NOT_MODIFIED {
            return Err(UpstreamError::Redirect { backend: self.service.name.clone() });
        }
        self.service.quirks.learn(response.headers());
        let idle = self.service.idle;
        Ok(response.map(|body| with_deadline(body, idle)))
    }

    /// The answer, unless it refuses the body as it was sent. What is learnt from that holds from now on.
    async fn judged(
        &self,
        response: Response<Body>,
        sent: Sent,
    ) -> Result<Result<Response<Body>, Refusal>, UpstreamError> {
        let refusing = [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN, StatusCode::NOT_IMPLEMENTED];
        if !refusing.contains(&response.status()) {
            return Ok(Ok(response));
        }
        let (head, body) = response.into_parts();
        let document = super::collect(body, MAX_REFUSAL).await.map_err(|source| self.broken(source))?;
        let document = document.ok_or_else(|| self.broken("the refusal is too long".into()))?;
        Ok(match Refusal::read(&document, sent) {
            Some(refusal) => {
                self.service.found.learn(&self.service.name, refusal);
                Err(refusal)
            }
            None => Ok(Response::from_parts(head, full(document))),
        })
    }

    /// The target at the service: path-style as it is, or with the bucket moved into the host.
    fn absolute(&self, target: &Uri) -> Result<Uri, UpstreamError> {
        let path_and_query = target.path_and_query().map_or("/", PathAndQuery::as_str);
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.service.scheme.clone());
        let bucket_end = path_and_query[1..].find(['/', '?']).map_or(path_and_query.len(), |at| at + 1);
        let bucket = &path_and_query[1..bucket_end];
        if self.service.path_style || bucket.is_empty() {
            parts.authority = Some(self.service.authority.clone());
            parts.path_and_query = Some(path_and_query.parse().map_err(|_| self.unmade("the target is no path"))?);
        } else {
            let rest = &path_and_query[bucket_end..];
            let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
            let host = format!("{bucket}.{}", self.service.authority);
            parts.authority = Some(host.parse().map_err(|_| self.unmade("the bucket is no host name"))?);
            parts.path_and_query = Some(rest.parse().map_err(|_| self.unmade("the target is no path"))?);
        }
        Uri::from_parts(parts).map_err(|error| self.request(error.into()))
    }

    fn changed(&self, code: &str) -> UpstreamError {
        UpstreamError::Changed { backend: self.service.name.clone(), code: code.to_owned() }
    }

    fn broken(&self, source: BodyError) -> UpstreamError {
        UpstreamError::Broken { backend: self.service.name.clone(), source }
    }

    fn request(&self, source: BodyError) -> UpstreamError {
        UpstreamError::Request { backend: self.service.name.clone(), source }
    }

    fn unmade(&self, why: &'static str) -> UpstreamError {
        self.request(why.into())
    }
}

/// Says that the body is in chunks. Only with trailers: whoever takes those takes this away again, but Ceph RGW 16 keeps it
/// with the object.
fn add_encoding(headers: &mut http::HeaderMap) {
    let before = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let all = before.map_or_else(|| "aws-chunked".to_owned(), |before| format!("aws-chunked,{before}"));
    if let Ok(all) = HeaderValue::from_str(&all) {
        headers.insert(CONTENT_ENCODING, all);
    }
}

/// Whether sending the request twice has the effect of sending it once, seen by whoever asked.
fn is_replayable(head: &http::request::Parts) -> bool {
    let conditional = head.headers.contains_key("if-none-match") || head.headers.contains_key("if-match");
    match head.method {
        Method::GET | Method::HEAD => true,
        Method::PUT => !conditional,
        Method::DELETE => !conditional && head.uri.query().is_none_or(|query| query.contains("uploadId=")),
        _ => false,
    }
}

/// Between attempts: doubling from 50 ms, half of it drawn at random so that clients do not move in step.
fn pause(attempt: u32) -> Duration {
    let whole = 50_u64 << attempt.min(6);
    let mut byte = [0; 1];
    let drawn = aws_lc_rs::rand::fill(&mut byte).map_or(128, |()| u64::from(byte[0]));
    Duration::from_millis(whole / 2 + whole * drawn / 512)
}

fn tls(name: &str, s3: &config::S3Backend) -> Result<rustls::ClientConfig, OpenError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the default protocol versions");
    let failed = |from: String, source| OpenError::Authorities { name: name.to_owned(), from, source };
    match &s3.ca_file {
        Some(file) => {
            let from = || file.display().to_string();
            let mut roots = rustls::RootCertStore::empty();
            let pem = std::fs::read(file).map_err(|error| failed(from(), error))?;
            for certificate in rustls_pki_types::pem::PemObject::pem_slice_iter(&pem) {
                let certificate: rustls_pki_types::CertificateDer<'_> =
                    certificate.map_err(|error| failed(from(), std::io::Error::other(error)))?;
                roots.add(certificate).map_err(|error| failed(from(), std::io::Error::other(error)))?;
            }
            if roots.is_empty() {
                return Err(failed(from(), std::io::Error::other("it holds no certificate")));
            }
            Ok(builder.with_root_certificates(roots).with_no_client_auth())
        }
        // Without TLS nobody is verified, and a machine without CA certificates is no reason to refuse.
        None if s3.endpoint.scheme() == "http" => {
            Ok(builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
        }
        None => {
            use hyper_rustls::ConfigBuilderExt as _;
            let builder = builder.with_native_roots().map_err(|error| failed("the system".to_owned(), error))?;
            Ok(builder.with_no_client_auth())
        }
    }
}
