//! An S3 service over HTTP: a pool of connections, every request signed anew.
//!
//! ```text
//!  body ≤ 1 MiB   kept ▶ signed with its SHA-256 ▶ sent, and sent again where that is safe
//!  body > 1 MiB   UNSIGNED-PAYLOAD, Expect: 100-continue ▶ streamed once the storage says "continue"
//! ```
//!
//! A streamed body is not hashed: its SHA-256 would have to be known before its first byte. What it carries is
//! protected on its way by TLS, and if it is sealed by its own authentication tags, which every reader verifies.

mod sign;
mod stream;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::{Body, BodyError, OpenError, Quirks, UpstreamError, full, quirks};
use crate::config;
pub(crate) use stream::with_deadline;

/// Bodies up to this many bytes are kept, so that they can be hashed and replayed.
pub(super) const KEPT: u64 = 1 << 20;

/// How long a storage may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a storage may take to begin its answer once it has the whole request. Copies of large objects and the
/// completion of long uploads take minutes.
const ANSWER: Duration = Duration::from_mins(5);
/// How often a kept request is sent at most.
const ATTEMPTS: u32 = 3;
/// Read and write buffers of a connection: small, since there may be hundreds.
const BUFFER: usize = 64 << 10;

/// One S3 service. Cheap to clone.
#[derive(Clone)]
pub struct Http(Arc<Inner>);

struct Inner {
    name: String,
    scheme: Scheme,
    authority: Authority,
    path_style: bool,
    region: String,
    signer: sign::Signer,
    client: Client<HttpsConnector<HttpConnector>, Body>,
    idle: Duration,
    quirks: OnceLock<Quirks>,
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
            .build(connector);
        let authority = s3.endpoint.authority().parse().expect("a URL's authority is one of a URI");
        let scheme = if s3.endpoint.scheme() == "https" { Scheme::HTTPS } else { Scheme::HTTP };
        Ok(Self(Arc::new(Inner {
            name: name.to_owned(),
            scheme,
            authority,
            path_style: s3.path_style,
            region: s3.region.clone(),
            signer: sign::Signer::new(&s3.access_key, &s3.secret_key, &s3.region),
            client,
            idle: limits.body_timeout,
            quirks: OnceLock::new(),
        })))
    }

    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    pub(super) fn endpoint(&self) -> String {
        // An authority may hold a name and a password.
        let authority = self.0.authority.as_str();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        format!("{}://{host}", self.0.scheme)
    }

    pub(super) fn region(&self) -> &str {
        &self.0.region
    }

    pub(super) fn names_buckets_in_hosts(&self) -> bool {
        !self.0.path_style
    }

    /// As the storage's responses have shown; until the first one, as S3.
    pub(super) fn quirks(&self) -> &Quirks {
        self.0.quirks.get().unwrap_or(&quirks::NONE)
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
        if length <= KEPT { self.call_kept(head, body, length).await } else { self.call_streamed(head, body).await }
    }

    async fn call_kept(
        &self,
        head: http::request::Parts,
        body: Body,
        length: u64,
    ) -> Result<Response<Body>, UpstreamError> {
        let limit = usize::try_from(KEPT).expect("1 MiB fits");
        let collected = super::collect(body, limit).await.map_err(|source| self.broken(source))?;
        let body = collected.ok_or_else(|| self.broken("the body is longer than announced".into()))?;
        if body.len() as u64 != length {
            return Err(self.broken(format!("the body has {} bytes, {length} were announced", body.len()).into()));
        }
        let replayable = is_replayable(&head);
        let mut attempt = 1;
        loop {
            let request = Request::from_parts(head.clone(), full(body.clone()));
            let request = self.0.signer.sign(request, &sign::Payload::Hashed(&body)).map_err(|e| self.request(e))?;
            let result = self.send(request, ANSWER).await;
            let again = match &result {
                Ok(response) => response.status() == StatusCode::SERVICE_UNAVAILABLE,
                Err(UpstreamError::Unreachable { .. }) => true,
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

    async fn call_streamed(&self, mut head: http::request::Parts, body: Body) -> Result<Response<Body>, UpstreamError> {
        head.headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        let (body, gate, progress) = stream::gated(body);
        let request = Request::from_parts(head, body);
        let mut request = self.0.signer.sign(request, &sign::Payload::Unsigned).map_err(|e| self.request(e))?;
        hyper::ext::on_informational(&mut request, move |_| gate.open());
        tokio::select! {
            result = self.send(request, Duration::MAX) => result,
            () = progress.ended_for(ANSWER, self.0.idle) => {
                Err(UpstreamError::Deadline { backend: self.0.name.clone() })
            }
        }
    }

    async fn send(&self, request: Request<Body>, deadline: Duration) -> Result<Response<Body>, UpstreamError> {
        let response = tokio::time::timeout(deadline, self.0.client.request(request))
            .await
            .map_err(|_| UpstreamError::Deadline { backend: self.0.name.clone() })?
            .map_err(|error| {
                if error.is_connect() {
                    UpstreamError::Unreachable { backend: self.0.name.clone(), source: error.into() }
                } else {
                    self.broken(error.into())
                }
            })?;
        if response.status().is_redirection() && response.status() != StatusCode::NOT_MODIFIED {
            return Err(UpstreamError::Redirect { backend: self.0.name.clone() });
        }
        self.0.quirks.get_or_init(|| Quirks::of_response(response.headers()));
        let idle = self.0.idle;
        Ok(response.map(|body| with_deadline(body, idle)))
    }

    /// The target at the service: path-style as it is, or with the bucket moved into the host.
    fn absolute(&self, target: &Uri) -> Result<Uri, UpstreamError> {
        let path_and_query = target.path_and_query().map_or("/", PathAndQuery::as_str);
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.0.scheme.clone());
        let bucket_end = path_and_query[1..].find(['/', '?']).map_or(path_and_query.len(), |at| at + 1);
        let bucket = &path_and_query[1..bucket_end];
        if self.0.path_style || bucket.is_empty() {
            parts.authority = Some(self.0.authority.clone());
            parts.path_and_query = Some(path_and_query.parse().map_err(|_| self.unmade("the target is no path"))?);
        } else {
            let rest = &path_and_query[bucket_end..];
            let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
            let host = format!("{bucket}.{}", self.0.authority);
            parts.authority = Some(host.parse().map_err(|_| self.unmade("the bucket is no host name"))?);
            parts.path_and_query = Some(rest.parse().map_err(|_| self.unmade("the target is no path"))?);
        }
        Uri::from_parts(parts).map_err(|error| self.request(error.into()))
    }

    fn broken(&self, source: BodyError) -> UpstreamError {
        UpstreamError::Broken { backend: self.0.name.clone(), source }
    }

    fn request(&self, source: BodyError) -> UpstreamError {
        UpstreamError::Request { backend: self.0.name.clone(), source }
    }

    fn unmade(&self, why: &'static str) -> UpstreamError {
        self.request(why.into())
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
