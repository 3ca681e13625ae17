//! An S3 service for `--upstream`: the directory storage on a socket. It looks at no signature.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use directory::Directory;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Where a write of a client's object stands still until the storage is let go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nowhere.
    Never,
    /// It was received, and is never stored.
    BeforeCommit,
    /// It is stored, and nobody is told yet.
    BeforeAnswer,
}

/// Serves until it is dropped.
pub struct Storage {
    /// Where.
    pub address: SocketAddr,
    runtime: Option<Runtime>,
    hold: watch::Sender<Hold>,
    held: Arc<AtomicUsize>,
}

/// What every connection has.
struct Shared {
    directory: Directory,
    hold: watch::Receiver<Hold>,
    held: Arc<AtomicUsize>,
}

impl Storage {
    /// Serves the buckets below `folder`, which is made where it is not there.
    pub fn serve(folder: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (hold, held) = (watch::Sender::new(Hold::Never), Arc::new(AtomicUsize::new(0)));
        let directory = Directory::open(folder)?;
        let shared = Arc::new(Shared { directory, hold: hold.subscribe(), held: Arc::clone(&held) });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A client that goes away ends no commit, as in a storage of its own.
                    let answer = service_fn(move |request| tokio::spawn(answer(Arc::clone(&shared), request)));
                    let connection =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                    // An upload that is broken off ends its connection in an error.
                    let _ = connection.await;
                });
            }
        });
        Ok(Self { address, runtime: Some(runtime), hold, held })
    }

    /// From now on; with [`Hold::Never`] what is held goes on.
    pub fn hold(&self, hold: Hold) {
        self.held.store(0, Ordering::SeqCst);
        self.hold.send_replace(hold);
    }

    /// Writes that stand still since [`Storage::hold`].
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// For `--upstream`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn answer(shared: Arc<Shared>, request: http::Request<Incoming>) -> http::Response<directory::Body> {
    // The gateways' own bucket is left alone: a group without its document serves nothing.
    let object = request.uri().path().trim_start_matches('/').split_once('/');
    let clients = request.method() == http::Method::PUT
        && object.is_some_and(|(bucket, key)| bucket != "sealgate-system" && !key.is_empty());
    let hold = if clients { *shared.hold.borrow() } else { Hold::Never };
    let (head, body) = request.into_parts();
    let body = match hold {
        Hold::Never => body.map_err(Into::into).boxed_unsync(),
        // Taken whole, so that the client has nothing left to send.
        _ => match body.collect().await {
            Ok(whole) => Full::new(whole.to_bytes()).map_err(|never| match never {}).boxed_unsync(),
            Err(error) => return refused(&error.to_string()),
        },
    };
    let request = http::Request::from_parts(head, body);
    let stands_still = async {
        shared.held.fetch_add(1, Ordering::SeqCst);
        // The sender lives as long as the storage.
        let _ = shared.hold.clone().wait_for(|hold| *hold == Hold::Never).await;
    };
    match hold {
        Hold::Never => shared.directory.call(request).await,
        Hold::BeforeCommit => {
            stands_still.await;
            refused("it was held and is not stored")
        }
        Hold::BeforeAnswer => {
            let response = shared.directory.call(request).await;
            stands_still.await;
            response
        }
    }
}

fn refused(why: &str) -> http::Response<directory::Body> {
    let body = Full::new(why.to_owned().into()).map_err(|never: std::convert::Infallible| match never {});
    let mut response = http::Response::new(body.boxed_unsync());
    *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    response
}

impl Drop for Storage {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
