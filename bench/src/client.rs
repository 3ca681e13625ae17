//! A lean S3 client, so that the service is what is measured: one connection a worker, requests signed beforehand, bodies
//! without a hash, responses compared with what was stored and dropped.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An S3 service and the process that it is.
#[derive(Clone)]
pub(crate) struct Service {
    pid: u32,
    address: SocketAddr,
    credential: (String, String),
    identity: Identity,
    region: String,
}

impl Service {
    pub(crate) fn new(pid: u32, address: SocketAddr, access_key: &str, secret_key: &str, region: &str) -> Self {
        let identity = Credentials::new(access_key, secret_key, None, None, "bench").into();
        let credential = (access_key.to_owned(), secret_key.to_owned());
        Self { pid, address, credential, identity, region: region.to_owned() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Access key and secret key.
    pub(crate) fn credential(&self) -> (&str, &str) {
        (&self.credential.0, &self.credential.1)
    }

    /// A request that can be sent any number of times within the quarter of an hour for which a signature holds.
    /// `target` is canonical as it stands: `/bucket/key`. The payload is not part of the signature.
    pub(crate) fn prepare(&self, method: Method, target: &str, body: Payload) -> anyhow::Result<Prepared> {
        self.prepare_with(method, target, &[], body)
    }

    /// The same with more headers.
    pub(crate) fn prepare_with(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Payload,
    ) -> anyhow::Result<Prepared> {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let sent = if method == Method::GET { Payload::none() } else { body.clone() };
        let mut request = Request::builder().method(method).uri(target).header("host", self.address.to_string());
        for (name, value) in sent.headers() {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(())?;
        let headers: Vec<_> = request.headers().iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap_or(""))).collect();
        let uri = format!("http://{}{target}", self.address);
        let signable = SignableRequest::new(request.method().as_str(), &uri, headers.into_iter(), sent.signable())?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        let (head, ()) = request.into_parts();
        Ok(Prepared { method: head.method, target: target.to_owned(), headers: head.headers, sent, body })
    }

    pub(crate) async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { sender, task, retried: 0 })
    }

    /// One request on a connection of its own; it must succeed. The body of the answer.
    pub(crate) async fn ask(&self, method: Method, target: &str) -> anyhow::Result<(HeaderMap, Bytes)> {
        self.connect().await?.ask(&self.prepare(method, target, Payload::none())?).await
    }
}

/// What is sent: the same bytes again and again.
#[derive(Clone)]
pub(crate) struct Payload {
    pattern: Bytes,
    len: u64,
    /// Data bytes of one chunk, in aws-chunked coding.
    chunk: Option<u64>,
}

/// Bytes of the pattern. Smaller bodies are one frame.
const PATTERN: usize = 1 << 20;
/// Data bytes of one chunk in aws-chunked coding: what boto3 sends.
pub(crate) const CHUNK: u64 = PATTERN as u64;

impl Payload {
    pub(crate) fn none() -> Self {
        Self::of(Bytes::new())
    }

    /// These bytes, of which there are at most as many as in the pattern.
    pub(crate) fn of(bytes: Bytes) -> Self {
        Self { len: bytes.len() as u64, pattern: bytes, chunk: None }
    }

    /// `len` bytes that do not compress.
    pub(crate) fn new(len: u64) -> anyhow::Result<Self> {
        let mut pattern = vec![0; PATTERN];
        aws_lc_rs::rand::fill(&mut pattern).ok().context("random bytes")?;
        Ok(Self { pattern: pattern.into(), len, chunk: None })
    }

    /// The same in aws-chunked coding with a CRC32 in a trailer, as current SDKs send over TLS. `len` is a whole number
    /// of chunks, and a chunk of `bytes` one of patterns.
    pub(crate) fn chunked(self, bytes: u64) -> Self {
        Self { chunk: Some(bytes), ..self }
    }

    /// Its first `len` bytes.
    pub(crate) fn first(self, len: u64) -> Self {
        Self { len, ..self }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        if self.chunk.is_none() {
            return Vec::new();
        }
        vec![
            ("content-encoding", "aws-chunked".to_owned()),
            ("x-amz-trailer", "x-amz-checksum-crc32".to_owned()),
            ("x-amz-decoded-content-length", self.len.to_string()),
        ]
    }

    fn signable(&self) -> SignableBody<'static> {
        match (self.chunk, self.len) {
            (Some(_), _) => SignableBody::StreamingUnsignedPayloadTrailer,
            (None, 0) => SignableBody::Bytes(&[]),
            (None, _) => SignableBody::UnsignedPayload,
        }
    }

    fn body(&self) -> Sent {
        let mut frames = Vec::new();
        if let Some(chunk) = self.chunk {
            let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32IsoHdlc);
            let line = Bytes::from(format!("{chunk:x}\r\n"));
            for _ in 0..self.len / chunk {
                frames.push(line.clone());
                for _ in 0..chunk / CHUNK {
                    crc.update(&self.pattern);
                    frames.push(self.pattern.clone());
                }
                frames.push(Bytes::from_static(b"\r\n"));
            }
            let crc = base64::engine::general_purpose::STANDARD.encode(&crc.finalize().to_be_bytes()[4..]);
            frames.push(format!("0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n").into());
        } else {
            let mut left = self.len;
            while left > 0 {
                let frame = self.pattern.slice(..usize::try_from(left).unwrap_or(PATTERN).min(PATTERN));
                left -= frame.len() as u64;
                frames.push(frame);
            }
        }
        frames.reverse();
        let left = frames.iter().map(|frame| frame.len() as u64).sum();
        Sent { frames, left }
    }

    /// Whether `bytes` are what stands at `offset`.
    pub(crate) fn holds(&self, mut offset: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let start = usize::try_from(offset % PATTERN as u64).unwrap_or(0);
            let some = bytes.len().min(PATTERN - start);
            if bytes[..some] != self.pattern[start..start + some] {
                return false;
            }
            offset += some as u64;
            bytes = &bytes[some..];
        }
        offset <= self.len
    }
}

/// A body of frames that are there already.
struct Sent {
    /// The next is the last.
    frames: Vec<Bytes>,
    left: u64,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.frames.pop();
        self.left -= frame.as_ref().map_or(0, |frame| frame.len() as u64);
        Poll::Ready(frame.map(|frame| Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A signed request.
pub(crate) struct Prepared {
    method: Method,
    target: String,
    headers: HeaderMap,
    sent: Payload,
    /// What a GET must give.
    body: Payload,
}

impl Prepared {
    fn request(&self) -> anyhow::Result<Request<Sent>> {
        let mut request = Request::new(self.sent.body());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.parse()?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }
}

/// How often requests of one connection are sent again, and how long after the refusal.
const RETRIES: u32 = 30;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One connection, with one request at a time.
pub(crate) struct Connection {
    sender: SendRequest<Sent>,
    task: JoinHandle<()>,
    /// How often a request was sent again.
    pub(crate) retried: u32,
}

impl Connection {
    /// Whether the service has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends the request; it must succeed. Head and body of the answer. Where the service is too busy for it (503), it is
    /// sent again, as every SDK does.
    pub(crate) async fn ask(&mut self, prepared: &Prepared) -> anyhow::Result<(HeaderMap, Bytes)> {
        loop {
            self.sender.ready().await?;
            let response = self.sender.send_request(prepared.request()?).await?;
            let status = response.status();
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            if status == StatusCode::SERVICE_UNAVAILABLE && self.retried < RETRIES {
                self.retried += 1;
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
            ensure!(status.is_success(), "{}: {status}: {}", prepared.target, String::from_utf8_lossy(&body));
            return Ok((head.headers, body));
        }
    }

    /// Sends the request, and reads the answer to its end. A GET must give the payload's bytes. How long it took.
    pub(crate) async fn call(&mut self, prepared: &Prepared) -> anyhow::Result<Duration> {
        let request = prepared.request()?;
        let begun = Instant::now();
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        if !status.is_success() {
            let body = body.collect().await?.to_bytes();
            anyhow::bail!("{} {}: {status}: {}", prepared.method, prepared.target, String::from_utf8_lossy(&body));
        }
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                ensure!(prepared.body.holds(read, &data), "{}: other bytes than were stored", prepared.target);
                read += data.len() as u64;
            }
        }
        let wanted = if prepared.method == Method::GET { prepared.body.len() } else { 0 };
        ensure!(read == wanted, "{}: {read} bytes instead of {wanted}", prepared.target);
        Ok(begun.elapsed())
    }
}

/// What a service without signatures says at this path.
pub(crate) async fn read(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let (mut sender, connection) = handshake(TokioIo::new(TcpStream::connect(address).await?)).await?;
    let task = tokio::spawn(async move { drop(connection.await) });
    let request = Request::get(path).header("host", address.to_string()).body(Payload::none().body())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    task.abort();
    ensure!(status == StatusCode::OK, "{path}: {status}");
    Ok(String::from_utf8(body.to_vec())?)
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}
