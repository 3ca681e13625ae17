//! HTTP for people, scripts and Prometheus: consoles, REST interfaces, metrics. S3 and gRPC have servers of their own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// What clients of one listener may take up.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at the same time; further ones are closed at once.
    pub connections: usize,
    /// For the head of a request, from the first moment that it could come: a client that sends none, or that slowly,
    /// would keep its place for nothing.
    pub head: Duration,
}

impl Default for Bounds {
    /// 1,024 connections, 30 s.
    fn default() -> Self {
        Self { connections: 1_024, head: Duration::from_secs(30) }
    }
}

/// Serves a router until `stop` is cancelled, then until the requests in flight are answered; its handlers can ask for
/// the peer's address.
pub async fn serve(listener: TcpListener, router: Router, bounds: Bounds, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(bounds.connections.min(Semaphore::MAX_PERMITS)));
    let open = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(bounds.head);
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, for example: others must end first.
                tracing::warn!(%error, "connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(%peer, "connection is closed: all places are taken");
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let router = router.clone();
        let answer = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
            let router = router.clone();
            async move { Ok::<_, Infallible>(router.oneshot(request).await.unwrap_or_else(|never| match never {})) }
        });
        let serving = open.watch(http.serve_connection(TokioIo::new(stream), answer));
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%error, %peer, "connection ends in an error");
            }
            drop(place);
        });
    }
    drop(listener);
    open.shutdown().await;
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn served(bounds: Bounds) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let stop = CancellationToken::new();
        let here = async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string();
        let router = Router::new().route("/", get(here));
        (address, stop.clone(), tokio::spawn(serve(listener, router, bounds, stop)))
    }

    async fn asked(address: SocketAddr) -> (TcpStream, bool) {
        let mut socket = TcpStream::connect(address).await.expect("the kernel takes it in");
        // A closed connection may refuse the bytes already.
        let _ = socket.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut answer = [0; 12];
        let read = timeout(PATIENCE, socket.read_exact(&mut answer)).await.expect("answered or closed");
        let served = read.is_ok() && answer == *b"HTTP/1.1 200";
        (socket, served)
    }

    #[tokio::test]
    async fn further_connections_are_closed_until_one_ends() {
        let (address, _stop, serving) = served(Bounds { connections: 2, ..Bounds::default() }).await;
        let (first, answered) = asked(address).await;
        assert!(answered);
        let (_second, answered) = asked(address).await;
        assert!(answered);
        assert!(!asked(address).await.1, "two places, three connections");
        drop(first);
        let again = async { while !asked(address).await.1 {} };
        timeout(PATIENCE, again).await.expect("the place of the one that ended is free");
        serving.abort();
    }

    #[tokio::test]
    async fn a_client_that_does_not_finish_the_head_of_its_request_loses_its_place() {
        let (address, _stop, serving) = served(Bounds { connections: 1, head: Duration::from_millis(200) }).await;
        let mut slow = TcpStream::connect(address).await.expect("the kernel takes it in");
        slow.write_all(b"GET / HTTP/1.1\r\nHost:").await.expect("there is a place");
        let again = async { while !asked(address).await.1 {} };
        timeout(PATIENCE, again).await.expect("the place of the slow one is free");
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, slow.read_to_end(&mut rest)).await.expect("closed");
        serving.abort();
    }

    #[tokio::test]
    async fn at_the_end_idle_connections_are_closed_and_it_returns() {
        let (address, stop, serving) = served(Bounds::default()).await;
        let (mut idle, answered) = asked(address).await;
        assert!(answered);
        stop.cancel();
        timeout(PATIENCE, serving).await.expect("nothing is under way").expect("no panic");
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, idle.read_to_end(&mut rest)).await.expect("closed");
    }
}
