//! An S3 service on a socket over a storage, that notes what it is asked and may be told to answer otherwise.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::gateway::Storage;
use crate::upstream::{Body, Upstream};

/// What is done with one request.
pub(super) enum Act {
    /// It is passed on.
    Pass,
    /// It gets this answer, and the storage never sees it.
    Answer(Response<Body>),
    /// It is passed on, and the connection breaks before the answer.
    Lose,
    /// It is passed on without its condition, and answered with this `ETag`.
    Lie(http::HeaderValue),
    /// It is passed on, and answered with an `ETag` element that says nothing.
    Untold,
    /// It is passed on with another head.
    Change(Change),
    /// It is passed on, and the connection breaks after so many bytes of the answer's body.
    Break(usize),
    /// It is passed on, and after so many bytes of the answer's body nothing more comes.
    Stall(usize),
    /// It gets this answer once its body was taken, and the storage never sees it.
    Take(Response<Body>),
    /// The connection breaks after so many bytes of the request's body, and the storage never sees it.
    Cut(usize),
    /// It is passed on after this has happened.
    After(BoxFuture<'static, ()>),
}

type Change = Box<dyn FnOnce(&mut Request<Body>) + Send>;
type Rule = Box<dyn FnMut(&Request<Body>) -> Act + Send>;

/// A running service.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    storage: Upstream,
    rule: Mutex<Option<Rule>>,
    seen: Mutex<Vec<(Method, String)>>,
    /// Requests for the group document.
    group: AtomicU64,
    /// Bytes of all bodies, both ways, as they are announced.
    moved: AtomicU64,
    /// Those of answers to GET.
    fetched: AtomicU64,
    /// It answers as Ceph RGW 16 does.
    ceph: AtomicBool,
}

impl Relay {
    /// Serves the storage without looking at signatures.
    pub(super) async fn start(storage: &Storage) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let storage = storage.upstream.clone();
        let shared = Arc::new(Shared {
            storage,
            rule: Mutex::new(None),
            seen: Mutex::default(),
            group: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            fetched: AtomicU64::new(0),
            ceph: AtomicBool::new(false),
        });
        let of_server = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&of_server);
                connections.spawn(async move {
                    let answer = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                        answer(Arc::clone(&shared), request.map(|body| body.map_err(Into::into).boxed_unsync()))
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .max_headers(1200)
                        .serve_connection(TokioIo::new(stream), answer);
                    // An upload that is broken off ends its connection in an error.
                    drop(connection.await);
                });
            }
        });
        Self { address, shared, server }
    }

    /// Decides about every request from now on.
    pub(super) fn rule(&self, rule: impl FnMut(&Request<Body>) -> Act + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// Takes what was asked since the last call, but for the group document: method, and target without the host.
    pub(super) fn seen(&self) -> Vec<(Method, String)> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }

    /// Takes how often the group document was asked for since the last call.
    pub(super) fn looked_at_group(&self) -> u64 {
        self.shared.group.swap(0, Ordering::AcqRel)
    }

    /// Takes how many bytes of bodies went both ways since the last call.
    pub(super) fn moved(&self) -> u64 {
        self.shared.moved.swap(0, Ordering::AcqRel)
    }

    /// Is taken for Ceph RGW 16 from the next answer on.
    pub(super) fn is_ceph(&self) {
        self.shared.ceph.store(true, Ordering::Release);
    }

    /// Body bytes that answers to GET announced since the last call.
    pub(super) fn fetched(&self) -> u64 {
        self.shared.fetched.swap(0, Ordering::SeqCst)
    }

    pub(super) async fn end(self) {
        self.server.abort();
        assert!(self.server.await.unwrap_err().is_cancelled());
    }
}

/// A body that comes in chunks, as the storage takes it: nobody looks at their signatures either.
async fn unchunked(request: Request<Body>) -> Result<Request<Body>, std::io::Error> {
    let content = request.headers().get("x-amz-content-sha256").map(http::HeaderValue::as_bytes);
    if !content.is_some_and(|content| content.starts_with(b"STREAMING-")) {
        return Ok(request);
    }
    let (mut head, body) = request.into_parts();
    let wire = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let (data, trailers) = decoded(&wire).ok_or_else(|| std::io::Error::other("the chunks are malformed"))?;
    head.headers.insert("content-length", data.len().into());
    head.headers.remove("x-amz-content-sha256");
    let trailers = (!trailers.is_empty()).then_some(Ok(trailers));
    let body = http_body_util::Full::new(bytes::Bytes::from(data)).with_trailers(std::future::ready(trailers));
    Ok(Request::from_parts(head, body.map_err(|never: std::convert::Infallible| match never {}).boxed_unsync()))
}

fn decoded(mut wire: &[u8]) -> Option<(Vec<u8>, http::HeaderMap)> {
    let line = |wire: &mut &[u8]| {
        let end = wire.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&wire[..end]).ok()?.to_owned();
        *wire = &wire[end + 2..];
        Some(line)
    };
    let mut data = Vec::new();
    loop {
        let first = line(&mut wire)?;
        let len = usize::from_str_radix(first.split(';').next()?, 16).ok()?;
        if len == 0 {
            break;
        }
        data.extend_from_slice(wire.get(..len)?);
        wire = wire[len..].strip_prefix(b"\r\n")?;
    }
    let mut trailers = http::HeaderMap::new();
    while let Some((name, value)) = line(&mut wire)?.split_once(':') {
        trailers.insert(http::HeaderName::try_from(name).ok()?, value.parse().ok()?);
    }
    Some((data, trailers))
}

async fn answer(shared: Arc<Shared>, mut request: Request<Body>) -> Result<Response<Body>, std::io::Error> {
    let target = request.uri().path_and_query().unwrap().as_str().to_owned();
    let of_group = target.starts_with("/sealgate-system/group") || target.starts_with("/sealgate-system?");
    if of_group {
        shared.group.fetch_add(1, Ordering::AcqRel);
    } else {
        shared.seen.lock().unwrap().push((request.method().clone(), target));
    }
    shared.moved.fetch_add(request.body().size_hint().exact().unwrap(), Ordering::AcqRel);
    let reads = request.method() == Method::GET && !of_group;
    let act = shared.rule.lock().unwrap().as_mut().map_or(Act::Pass, |rule| rule(&request));
    let (mut lose, mut untold, mut lie, mut end) = (false, false, None, None);
    match act {
        Act::Pass => {}
        Act::Answer(response) => return Ok(response),
        Act::Take(response) => {
            request.into_body().collect().await.map_err(std::io::Error::other)?;
            return Ok(response);
        }
        Act::Break(after) => end = Some((after, false)),
        Act::Stall(after) => end = Some((after, true)),
        Act::Cut(after) => {
            let mut left = after;
            while let (Some(Ok(frame)), true) = (request.body_mut().frame().await, left > 0) {
                left = left.saturating_sub(frame.data_ref().map_or(0, bytes::Bytes::len));
            }
            return Err(std::io::Error::other("the connection is cut"));
        }
        Act::After(happens) => happens.await,
        Act::Lose => lose = true,
        Act::Lie(etag) => {
            request.headers_mut().remove("if-match");
            lie = Some(etag);
        }
        Act::Untold => untold = true,
        Act::Change(change) => change(&mut request),
    }
    if shared.ceph.load(Ordering::Acquire) {
        // It has its own name for the condition of a copy, and knows none of one of a part.
        request.headers_mut().remove("x-amz-copy-if-match");
        if request.uri().query().is_some_and(|query| query.contains("partNumber")) {
            request.headers_mut().remove("x-amz-copy-source-if-match");
        }
    }
    let request = unchunked(request).await?;
    let mut response = shared.storage.call(request).await.unwrap();
    if let Some(etag) = lie {
        response.headers_mut().insert("etag", etag);
    }
    if untold {
        let document = response.body_mut().collect().await.unwrap().to_bytes();
        let document = String::from_utf8_lossy(&document).into_owned();
        let (before, after) = document.split_once("<ETag>").unwrap();
        let after = after.split_once("</ETag>").unwrap().1;
        *response.body_mut() = crate::upstream::full(format!("{before}<ETag></ETag>{after}"));
        let len = response.body().size_hint().exact().unwrap();
        response.headers_mut().insert("content-length", len.into());
    }
    let len = response.body().size_hint().exact().unwrap();
    shared.moved.fetch_add(len, Ordering::AcqRel);
    if reads {
        shared.fetched.fetch_add(len, Ordering::SeqCst);
    }
    if shared.ceph.load(Ordering::Acquire) {
        let id = http::HeaderValue::from_static("tx00000b2fd0a1c1a5b0a4e-0067447a3e-1034-default");
        response.headers_mut().insert("x-amz-request-id", id);
    }
    if let Some((after, stalls)) = end {
        response = response.map(|body| ending(body, after, stalls));
    }
    if lose { Err(std::io::Error::other("the answer is lost")) } else { Ok(response) }
}

/// A body of which only so many bytes come; then it breaks off, or stalls.
fn ending(body: Body, after: usize, stalls: bool) -> Body {
    let frames = futures_util::stream::unfold((body, after), move |(mut body, left)| async move {
        if left == 0 {
            if stalls {
                std::future::pending::<()>().await;
            }
            let cut: Result<_, crate::upstream::BodyError> = Err(std::io::Error::other("the answer breaks off").into());
            return Some((cut, (body, 0)));
        }
        let mut data = body.frame().await?.ok()?.into_data().ok()?;
        data.truncate(left);
        let left = left - data.len();
        Some((Ok(http_body::Frame::data(data)), (body, left)))
    });
    http_body_util::StreamBody::new(frames).boxed_unsync()
}
