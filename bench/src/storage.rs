//! `bench storage`: the S3 service that stands behind the measured gateway, and that `direct` talks to.
//!
//! It is the directory storage behind a socket, with the signature of each request verified as any S3 service does. A
//! second gateway could not take its place: it refuses the metadata of sealed objects, which only a gateway may write.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use directory::Directory;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::route::S3Route;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Request, S3Response, S3Result};
use tokio::net::{TcpListener, TcpStream};

/// Read and write buffers of a connection, in bytes: those of the gateway's listener.
const BUFFER: usize = 64 << 10;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The storage directory.
    root: PathBuf,
    /// The credential that requests are signed with.
    #[arg(long, env = "SEALGATE_UPSTREAM_ACCESS_KEY")]
    access_key: String,
    #[arg(long, env = "SEALGATE_UPSTREAM_SECRET_KEY", hide_env_values = true)]
    secret_key: String,
}

/// Serves until standard input ends, so that it cannot outlive who started it. Prints its address first.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let storage = Directory::open(&args.root).context("the storage directory")?;
    let mut builder = S3ServiceBuilder::new(Nothing);
    builder.set_auth(SimpleAuth::from_single(args.access_key.clone(), args.secret_key.clone()));
    builder.set_route(Route(storage));
    let service = builder.build();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", listener.local_addr()?)?;
    out.flush()?;
    runtime.spawn(accept(listener, service));
    let mut nothing = Vec::new();
    std::io::stdin().lock().read_to_end(&mut nothing)?;
    runtime.shutdown_background();
    Ok(())
}

/// Ends only with an error of the listener; whoever waits for an answer then finds the connection refused.
async fn accept(listener: TcpListener, service: S3Service) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let service = service.clone();
        // An upload that breaks off ends its connection in an error.
        tokio::spawn(async move { drop(serve(stream, service).await) });
    }
}

async fn serve(stream: TcpStream, service: S3Service) -> hyper::Result<()> {
    let answer = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let service = service.clone();
        async move { service.call(request.map(s3s::Body::from)).await }
    });
    hyper::server::conn::http1::Builder::new()
        .max_buf_size(BUFFER)
        .half_close(false)
        .serve_connection(TokioIo::new(stream), answer)
        .await
}

/// The headers of a request whose body s3s has verified chunk by chunk and taken apart: of what was in the chunks.
fn of_the_object(mut headers: HeaderMap) -> HeaderMap {
    let Some(len) = headers.remove("x-amz-decoded-content-length") else { return headers };
    headers.insert(CONTENT_LENGTH, len);
    headers.remove("x-amz-content-sha256");
    headers.remove("x-amz-trailer");
    let encoding = headers.remove(CONTENT_ENCODING);
    let encoding = encoding.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kept: Vec<&str> =
        encoding.split(',').map(str::trim).filter(|one| !matches!(*one, "" | "aws-chunked")).collect();
    // What is left of a header value is one.
    if let Some(kept) = HeaderValue::try_from(kept.join(",")).ok().filter(|kept| !kept.is_empty()) {
        headers.insert(CONTENT_ENCODING, kept);
    }
    headers
}

/// The typed operations of s3s are not used.
struct Nothing;

#[async_trait::async_trait]
impl S3 for Nothing {}

/// Every verified request goes to the directory.
struct Route(Directory);

#[async_trait::async_trait]
impl S3Route for Route {
    fn is_match(&self, _: &Method, _: &Uri, _: &HeaderMap, _: &mut http::Extensions) -> bool {
        true
    }

    async fn call(&self, request: S3Request<s3s::Body>) -> S3Result<S3Response<s3s::Body>> {
        let mut sent = Request::new(request.input.map_err(Into::into).boxed_unsync());
        *sent.method_mut() = request.method;
        *sent.uri_mut() = request.uri;
        *sent.headers_mut() = of_the_object(request.headers);
        let (head, body) = self.0.call(sent).await.into_parts();
        let mut answer = S3Response::new(s3s::Body::http_body_unsync(body));
        answer.status = Some(head.status);
        answer.headers = head.headers;
        Ok(answer)
    }
}
