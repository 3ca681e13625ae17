//! The listener: places, TLS, HTTP/2, and an end that spreads the reconnects.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::service::Routes;
use tower::Service as _;

use super::{Peer, REPORT, STREAM, Services, UNARY, admit, routes};
use crate::error::Error;
use crate::pki::Presented;

/// Longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Longest life of a connection without a certificate: enough to enrol.
const STRANGER: Duration = Duration::from_mins(1);
/// Connections without a certificate at the same time.
const STRANGERS: usize = 256;
/// Reports in memory at the same time. Further ones wait; a late acknowledgement is the back-pressure.
const REPORTS: usize = 32;
/// Calls at the same time on one connection: the stream, a report, a renewal, and some room.
const CALLS: u32 = 16;
/// Silence after which the peer is asked whether it lives, and how long it has to answer.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// How long an ending replica waits for its connections.
const DRAIN: Duration = Duration::from_secs(5);

/// How many peers are taken in.
#[derive(Debug, Clone, Copy)]
pub struct Admission {
    /// Connections at the same time; further ones are closed at once.
    pub connections: usize,
    /// Handshakes at the same time; further ones wait their turn.
    pub handshakes: usize,
}

struct Shared {
    services: Services,
    routes: Routes,
    handshakes: Semaphore,
    strangers: Arc<Semaphore>,
    reports: Semaphore,
    stop: CancellationToken,
    /// The drain is over.
    kill: CancellationToken,
}

/// Serves gateways until `stop`, then ends the streams with a hint and waits at most five seconds for them.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    admission: Admission,
    stop: CancellationToken,
) -> Result<(), Error> {
    let fleet = services.fleet.clone();
    let shared = Arc::new(Shared {
        routes: routes(&services),
        services,
        handshakes: Semaphore::new(admission.handshakes),
        strangers: Arc::new(Semaphore::new(STRANGERS)),
        reports: Semaphore::new(REPORTS),
        stop: stop.clone(),
        kill: CancellationToken::new(),
    });
    let places = Arc::new(Semaphore::new(admission.connections));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            // Before any work is spent on it.
            Ok((socket, address)) => {
                if let Ok(place) = places.clone().try_acquire_owned() {
                    connections.spawn(connection(shared.clone(), socket, address, place));
                } else {
                    tracing::warn!(%address, "a connection is closed: all places are taken");
                }
            }
            Err(error) => {
                // The reason lies with the process (no more file descriptors) and passes.
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    // As many milliseconds as it takes to come back at some hundreds a second.
    fleet.go_away((fleet.open_streams() * 5).clamp(1_000, 120_000));
    connections.close();
    fleet.tasks.close();
    let drained = timeout(DRAIN, async {
        connections.wait().await;
        fleet.tasks.wait().await;
    });
    if drained.await.is_err() {
        tracing::warn!("connections that did not end in time are cut");
    }
    shared.kill.cancel();
    connections.wait().await;
    fleet.tasks.wait().await;
    Ok(())
}

async fn connection(shared: Arc<Shared>, socket: TcpStream, address: SocketAddr, place: OwnedSemaphorePermit) {
    let served = tokio::select! {
        served = handshake_and_serve(&shared, socket, address) => served,
        () = shared.kill.cancelled() => Ok(()),
    };
    if let Err(error) = served {
        tracing::debug!(%address, %error, "a connection ends");
    }
    drop(place);
}

async fn handshake_and_serve(
    shared: &Arc<Shared>,
    socket: TcpStream,
    address: SocketAddr,
) -> Result<(), anyhow::Error> {
    socket.set_nodelay(true)?;
    let secured = timeout(HANDSHAKE, async {
        // Who connects and stays silent takes no turn from others.
        let begun = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await?;
        let _turn = shared.handshakes.acquire().await?;
        Ok::<_, anyhow::Error>(begun.into_stream(shared.services.pki.server_config()).await?)
    });
    let stream = tokio::select! {
        secured = secured => secured??,
        () = shared.stop.cancelled() => return Ok(()),
    };
    let presented = match stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()) {
        Some(certificate) => Some(Arc::new(Presented::read(certificate)?)),
        None => None,
    };
    let stranger = match presented {
        Some(_) => None,
        None => Some(shared.strangers.clone().try_acquire_owned()?),
    };
    let peer = Peer { presented, address };
    let served = http2(shared, stream, peer);
    if stranger.is_some() { timeout(STRANGER, served).await? } else { served.await }
}

async fn http2(shared: &Arc<Shared>, stream: TlsStream<TcpStream>, peer: Peer) -> Result<(), anyhow::Error> {
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let (shared, mut routes) = (shared.clone(), shared.routes.clone());
        async move {
            // Before a byte of the message is read.
            if let Err(status) = admit(request.uri().path(), request.extensions(), &shared.services) {
                return Ok(status.into_http());
            }
            if request.uri().path() == STREAM {
                return routes.call(request).await;
            }
            let answer = async {
                let _slot = match request.uri().path() {
                    REPORT => shared.reports.acquire().await.ok(),
                    _ => None,
                };
                routes.call(request).await
            };
            timeout(UNARY, answer).await.unwrap_or_else(|_| {
                let late: Response<tonic::body::Body> =
                    Status::deadline_exceeded("The call took too long.").into_http();
                Ok::<_, Infallible>(late)
            })
        }
    });
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS)
        .max_header_list_size(16 * 1024)
        .max_pending_accept_reset_streams(32)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        served = connection.as_mut() => return Ok(served?),
        () = shared.stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    Ok(connection.await?)
}
