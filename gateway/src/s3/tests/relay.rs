//! An S3 service on a socket over a storage, that notes what it is asked and may be told to answer otherwise.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
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
    /// It is passed on with another head.
    Change(Change),
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
}

impl Relay {
    /// Serves the storage without looking at signatures.
    pub(super) async fn start(storage: &Storage) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let storage = storage.upstream.clone();
        let shared = Arc::new(Shared { storage, rule: Mutex::new(None), seen: Mutex::default() });
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
                    let connection =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
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

    pub(super) async fn end(self) {
        self.server.abort();
        assert!(self.server.await.unwrap_err().is_cancelled());
    }
}

async fn answer(shared: Arc<Shared>, mut request: Request<Body>) -> Result<Response<Body>, std::io::Error> {
    let target = request.uri().path_and_query().unwrap().as_str().to_owned();
    let of_group = target.starts_with("/sealgate-system/group") || target.starts_with("/sealgate-system?");
    if !of_group {
        shared.seen.lock().unwrap().push((request.method().clone(), target));
    }
    let act = shared.rule.lock().unwrap().as_mut().map_or(Act::Pass, |rule| rule(&request));
    let (mut lose, mut lie) = (false, None);
    match act {
        Act::Pass => {}
        Act::Answer(response) => return Ok(response),
        Act::Lose => lose = true,
        Act::Lie(etag) => {
            request.headers_mut().remove("if-match");
            lie = Some(etag);
        }
        Act::Change(change) => change(&mut request),
    }
    let mut response = shared.storage.call(request).await.unwrap();
    if let Some(etag) = lie {
        response.headers_mut().insert("etag", etag);
    }
    if lose { Err(std::io::Error::other("the answer is lost")) } else { Ok(response) }
}
