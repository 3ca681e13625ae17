//! An S3 service for `--upstream`: the directory storage on a socket. It looks at no signature.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use directory::Directory;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Serves until it is dropped.
pub struct Storage {
    /// Where.
    pub address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Storage {
    /// Serves the buckets below `folder`, which is made where it is not there.
    pub fn serve(folder: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let directory = Arc::new(Directory::open(folder)?);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let directory = Arc::clone(&directory);
                tokio::spawn(async move {
                    let answer = service_fn(move |request: http::Request<Incoming>| {
                        let directory = Arc::clone(&directory);
                        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
                        async move { Ok::<_, std::convert::Infallible>(directory.call(request).await) }
                    });
                    let connection =
                        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
                    // An upload that is broken off ends its connection in an error.
                    let _ = connection.await;
                });
            }
        });
        Ok(Self { address, runtime: Some(runtime) })
    }

    /// For `--upstream`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
