//! The S3 listener.
//!
//! ```text
//! connection ─▶ hyper ─▶ what must not reach s3s ─▶ guard: bounded chunks ─▶ s3s: signature, decoded body
//!                                                                                 │ one catch-all route
//!    response ◀─ one log line ◀─ put │ get │ head │ list │ delete │ … │ passthrough ◀─ request ◀─┘
//! ```
//! The table of operations is [`operations`]. s3s verifies signatures and decodes aws-chunked bodies; every other check of
//! a request is ours, and a request without a signature is refused by [`access`] unless its bucket was opened.

pub mod access;
pub mod address;
pub mod checksum;
pub mod error;
pub mod guard;
pub mod headers;
pub mod operations;
pub mod range;
pub mod request;

mod attributes;
mod bucket_encryption;
mod buckets;
mod conditions;
mod console;
mod copy;
mod cors;
mod delete;
mod footers;
mod form;
mod get;
mod head;
mod linger;
mod list;
mod multipart;
mod open;
mod passthrough;
mod patience;
mod prefix;
mod put;
mod service;
mod signed;
mod stall;
mod status;
mod upload;
mod write;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request as HttpRequest, Response};
use http_body::Body as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Limits;
use crate::group::Group;
use crate::keys::Keys;
use crate::snapshot::Policies;
use crate::state::ledger::Ledger;
use crate::stats::{Stats, UpstreamResult};
use crate::upstream::{Body, Upstream, UpstreamError, Upstreams};
use error::Error;

pub(crate) use console::{Asked, Refused, announced_len};
pub use footers::Footers;
pub(crate) use list::Tally;
pub(crate) use multipart::Ages;
pub use multipart::Uploads;
#[cfg(test)]
pub(crate) use multipart::field as multipart_field;
pub use patience::Work;
pub(crate) use put::Sealed;
pub(crate) use status::ObjectStatus;
pub use write::mark_of_headers;

/// Read and write buffers of a client's connection, in bytes: small, since there may be a thousand.
const BUFFER: usize = 64 << 10;
/// Headers of one request: user metadata of 2 KiB may be a thousand entries. [`BUFFER`] bounds their bytes.
const HEADERS: usize = 1200;

/// What requests need, shared by all of them.
pub struct Front {
    /// The storage.
    pub upstreams: Arc<Upstreams>,
    /// Credentials, toggles, mappings.
    pub group: Arc<Group>,
    /// Key-encryption keys.
    pub keys: Keys,
    /// Central's policies.
    pub policies: Policies,
    /// Counters and journal.
    pub stats: Stats,
    /// Sizes for lists.
    pub ledger: Ledger,
    /// Encrypted uploads whose keys are at hand.
    pub uploads: multipart::Uploads,
    /// What is known of sealed objects that were read.
    pub footers: Footers,
    /// Copies and completions at work, which do not end with their clients.
    pub work: Work,
    /// What the configuration says.
    pub settings: Settings,
}

/// The part of the configuration that requests need.
pub struct Settings {
    /// The region that clients are told.
    pub region: String,
    /// Below which a bucket may stand in the host.
    pub domains: address::Domains,
    /// Never shown to clients.
    pub system_bucket: String,
    /// Everything is encrypted.
    pub floor: bool,
    /// Bounds and deadlines.
    pub limits: Limits,
}

impl Front {
    /// Sends a request to a storage and counts it, with the bytes that were announced both ways.
    pub(crate) async fn send(
        &self,
        upstream: &Upstream,
        mut request: HttpRequest<Body>,
    ) -> Result<Response<Body>, Error> {
        if !upstream.takes_sse() {
            headers::drop_encryption(request.headers_mut());
        }
        let sent = request.body().size_hint().exact().unwrap_or_default();
        let result = upstream.call(request).await;
        let (result_word, got) = match &result {
            Ok(response) => {
                let word = match response.status() {
                    status if status.is_client_error() => UpstreamResult::ClientError,
                    status if status.is_server_error() => UpstreamResult::ServerError,
                    _ => UpstreamResult::Ok,
                };
                (word, response.body().size_hint().exact().unwrap_or_default())
            }
            // The request's own body may have failed: that is no fault of the storage.
            Err(UpstreamError::Broken { .. } | UpstreamError::Request { .. }) => (UpstreamResult::Broken, 0),
            Err(_) => (UpstreamResult::Unreachable, 0),
        };
        self.stats.upstream(upstream.name(), result_word, got, sent);
        result.map_err(Error::from)
    }
}

/// Serves S3 on `listener` until `stop`; then takes no new connections, and gives requests in flight the configured time.
pub async fn serve(listener: TcpListener, front: Arc<Front>, stop: CancellationToken) {
    let limits = front.settings.limits.clone();
    let service = service::Service::new(Arc::clone(&front));
    let slots = Arc::new(Semaphore::new(limits.connections));
    let tasks = TaskTracker::new();
    let abort = CancellationToken::new();
    loop {
        let slot = tokio::select! {
            () = stop.cancelled() => break,
            slot = Arc::clone(&slots).acquire_owned() => slot.expect("the semaphore is never closed"),
        };
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, for example: others must end first.
                    tracing::warn!(%error, "connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let connection = connection(stream, peer, service.clone(), &limits, stop.clone(), abort.clone());
        tasks.spawn(async move {
            connection.await;
            drop(slot);
        });
    }
    drop(listener);
    tasks.close();
    let ended = async {
        tasks.wait().await;
        front.work.ended().await;
    };
    if tokio::time::timeout(limits.drain, ended).await.is_err() {
        tracing::warn!(open = tasks.len(), "requests in flight are cut off");
        abort.cancel();
        front.work.cut_off();
        tasks.wait().await;
        front.work.ended().await;
    }
}

fn connection(
    stream: tokio::net::TcpStream,
    peer: SocketAddr,
    service: service::Service,
    limits: &Limits,
    stop: CancellationToken,
    abort: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(BUFFER)
        .max_headers(HEADERS)
        .half_close(false);
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    let answer = hyper::service::service_fn(move |request: HttpRequest<hyper::body::Incoming>| {
        let service = service.clone();
        async move {
            // hyper sends no `100 Continue` where there is no body to read. botocore, which asks for it also before an
            // empty body, then misreads the next answer on the connection: it gets no next one. A body that was refused
            // before it was sent does not come at all, and hyper closes: whoever keeps connections must know.
            let expects = request.headers().contains_key(http::header::EXPECT);
            let empty = request.body().is_end_stream();
            let mut response = service.answer(request, peer).await;
            if expects && (empty || !response.status().is_success()) {
                let close = http::HeaderValue::from_static("close");
                response.headers_mut().insert(http::header::CONNECTION, close);
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let stream = stall::Stalling::new(stream, limits.body_timeout);
    let serving = http.serve_connection(TokioIo::new(stream), answer);
    async move {
        tokio::pin!(serving);
        let mut draining = false;
        loop {
            tokio::select! {
                result = serving.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "connection ends in an error");
                    }
                    return;
                }
                () = stop.cancelled(), if !draining => {
                    draining = true;
                    serving.as_mut().graceful_shutdown();
                }
                () = abort.cancelled() => return,
            }
        }
    }
}
