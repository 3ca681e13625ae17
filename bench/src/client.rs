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
pub(crate) struct Service {
    pid: u32,
    address: SocketAddr,
    identity: Identity,
    region: String,
}

impl Service {
    pub(crate) fn new(pid: u32, address: SocketAddr, access_key: &str, secret_key: &str, region: &str) -> Self {
        let identity = Credentials::new(access_key, secret_key, None, None, "bench").into();
        Self { pid, address, identity, region: region.to_owned() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A request that can be sent any number of times within the quarter of an hour for which a signature holds.
    /// `target` is canonical as it stands: `/bucket/key`. The payload is not part of the signature.
    pub(crate) fn prepare(&self, method: Method, target: &str, body: Payload) -> anyhow::Result<Prepared> {
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
        let sent = if method == Method::PUT { body.clone() } else { Payload::none() };
        let mut request = Request::builder().method(method).uri(target).header("host", self.address.to_string());
        for (name, value) in sent.headers() {
            request = request.header(name, value);
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
        Ok(Connection { sender, task })
    }

    /// One request on a connection of its own; its status must be 200. The body of the answer.
    pub(crate) async fn ask(&self, method: Method, target: &str) -> anyhow::Result<(HeaderMap, Bytes)> {
        let request = self.prepare(method, target, Payload::none())?;
        let mut connection = self.connect().await?;
        let response = connection.sender.send_request(request.request()?).await?;
        let status = response.status();
        let (head, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        ensure!(status == StatusCode::OK, "{target}: {status}: {}", String::from_utf8_lossy(&body));
        Ok((head.headers, body))
    }
}

/// What is sent: the same bytes again and again.
#[derive(Clone)]
pub(crate) struct Payload {
    pattern: Bytes,
    len: u64,
    chunked: bool,
}

/// Bytes of the pattern. Smaller bodies are one frame.
const PATTERN: usize = 1 << 20;
/// Data bytes of one chunk in aws-chunked coding: what boto3 sends.
const CHUNK: usize = PATTERN;

impl Payload {
    pub(crate) fn none() -> Self {
        Self { pattern: Bytes::new(), len: 0, chunked: false }
    }

    /// `len` bytes that do not compress.
    pub(crate) fn new(len: u64) -> anyhow::Result<Self> {
        let mut pattern = vec![0; PATTERN];
        aws_lc_rs::rand::fill(&mut pattern).ok().context("random bytes")?;
        Ok(Self { pattern: pattern.into(), len, chunked: false })
    }

    /// The same in aws-chunked coding with a CRC32 in a trailer, as current SDKs send over TLS. `len` is a whole number
    /// of chunks.
    pub(crate) fn chunked(self) -> Self {
        Self { chunked: true, ..self }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn headers(&self) -> Vec<(&'static str, String)> {
        if !self.chunked {
            return Vec::new();
        }
        vec![
            ("content-encoding", "aws-chunked".to_owned()),
            ("x-amz-trailer", "x-amz-checksum-crc32".to_owned()),
            ("x-amz-decoded-content-length", self.len.to_string()),
        ]
    }

    fn signable(&self) -> SignableBody<'static> {
        match (self.chunked, self.len) {
            (true, _) => SignableBody::StreamingUnsignedPayloadTrailer,
            (false, 0) => SignableBody::Bytes(&[]),
            (false, _) => SignableBody::UnsignedPayload,
        }
    }

    fn body(&self) -> Sent {
        let mut frames = Vec::new();
        if self.chunked {
            let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32IsoHdlc);
            let line = Bytes::from(format!("{CHUNK:x}\r\n"));
            for _ in 0..self.len / CHUNK as u64 {
                crc.update(&self.pattern);
                frames.extend([line.clone(), self.pattern.clone(), Bytes::from_static(b"\r\n")]);
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
    fn holds(&self, mut offset: u64, mut bytes: &[u8]) -> bool {
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

/// One connection, with one request at a time.
pub(crate) struct Connection {
    sender: SendRequest<Sent>,
    task: JoinHandle<()>,
}

impl Connection {
    /// Sends the request, and reads the answer to its end. A GET must give the payload's bytes. How long it took.
    pub(crate) async fn call(&mut self, prepared: &Prepared) -> anyhow::Result<Duration> {
        let request = prepared.request()?;
        let begun = Instant::now();
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        if status != StatusCode::OK {
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

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}
