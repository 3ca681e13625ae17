//! The storage behind the gateway: an S3 request in, an S3 response out, whatever the storage is.
//!
//! ```text
//!  s3/*, system ──▶ Request ──▶ Upstream ─┬─ Http        re-signed, over a pool of connections   ──▶ S3 service
//!                  (path-style)           └─ Directory   in process                              ──▶ files
//! ```
//!
//! A request is path-style ([`uri`] makes its target) and says the length of its body, by `Content-Length` or by the
//! body's exact size. **Nothing is committed unless the request's body ends cleanly with that length**: a body that
//! ends in an error, or is dropped, leaves nothing at the storage. That is what lets a writer hold its last bytes back
//! until it has verified all of them.
//!
//! A body may end in one checksum of itself as a trailer, announced by `x-amz-trailer`: the storage gets it where it can
//! verify it.

mod http;
mod quirks;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use ::http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config;

pub(crate) use self::http::{KEPT, WHOLE, with_deadline};
pub use self::quirks::Quirks;
pub use directory::Body;

/// What a body's stream may fail with.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// On a request whose body is not to be asked for before the storage said that it takes it, however short it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskFirst;

type Exchange<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, UpstreamError>> + Send + 'a>>;

/// Why no response of the storage can be had. An S3 error that the storage answers is a response.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The storage could not be reached; nothing was sent.
    #[error("the storage {backend} cannot be reached")]
    Unreachable {
        /// Name of the backend.
        backend: String,
        /// Why.
        source: BodyError,
    },
    /// The connection broke, or the request's own body failed, after sending began. What the storage did is unknown,
    /// except that a body that did not end cleanly was not committed.
    #[error("the exchange with the storage {backend} broke off")]
    Broken {
        /// Name of the backend.
        backend: String,
        /// Why.
        source: BodyError,
    },
    /// The storage got something else than was sent, and stored nothing.
    #[error(
        "what was sent to the storage {backend} was changed on its way, or its secret key is another: it answers {code}"
    )]
    Changed {
        /// Name of the backend.
        backend: String,
        /// The storage's error code.
        code: String,
    },
    /// The storage takes no bodies in signed chunks, and this one is too long to be signed as a whole. Nothing was sent.
    #[error(
        "the storage {backend} takes no bodies in signed chunks, and this one is too long to be signed as a whole: reach \
         the storage by TLS (backends.{backend}.endpoint), or let long bodies go without a check of their own \
         (backends.{backend}.long_bodies)"
    )]
    SignedChunks {
        /// Name of the backend.
        backend: String,
    },
    /// The storage did not answer in time.
    #[error("the storage {backend} did not answer in time")]
    Deadline {
        /// Name of the backend.
        backend: String,
    },
    /// The storage sent the gateway elsewhere, which means that its endpoint or region is configured wrongly.
    #[error("the storage {backend} redirects elsewhere; check its endpoint and region")]
    Redirect {
        /// Name of the backend.
        backend: String,
    },
    /// The request cannot be expressed for the storage.
    #[error("a request for the storage {backend} could not be made")]
    Request {
        /// Name of the backend.
        backend: String,
        /// Why.
        source: BodyError,
    },
    /// A response was longer than the reader allows.
    #[error("the storage {backend} answered with more than {limit} bytes")]
    TooLarge {
        /// Name of the backend.
        backend: String,
        /// The bound in bytes.
        limit: usize,
    },
}

/// Why a backend of the configuration cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The storage directory.
    #[error("backends.{name}")]
    Directory {
        /// Name of the backend.
        name: String,
        /// Why.
        source: directory::OpenError,
    },
    /// The file of CAs, or the system's CAs, cannot be used.
    #[error("backends.{name}: the certificate authorities of {from} cannot be used")]
    Authorities {
        /// Name of the backend.
        name: String,
        /// The file, or `the system`.
        from: String,
        /// Why.
        source: io::Error,
    },
}

/// One storage. Cheap to clone.
#[derive(Clone)]
pub enum Upstream {
    /// An S3 service.
    Http(self::http::Http),
    /// Files, in process.
    Directory {
        /// Name of the backend.
        name: std::sync::Arc<str>,
        /// The storage.
        directory: directory::Directory,
    },
}

impl Upstream {
    /// Opens the backend called `name`. Blocks on file I/O; reaches over no network.
    pub fn open(name: &str, backend: &config::Backend, limits: &config::Limits) -> Result<Self, OpenError> {
        match backend {
            config::Backend::Directory { path } => Self::directory(name, path),
            config::Backend::S3(s3) => self::http::Http::new(name, s3, limits).map(Self::Http),
        }
    }

    /// The storage directory at `path` as the backend called `name`.
    pub fn directory(name: &str, path: &std::path::Path) -> Result<Self, OpenError> {
        let directory = directory::Directory::open(path)
            .map_err(|source| OpenError::Directory { name: name.to_owned(), source })?;
        Ok(Self::Directory { name: name.into(), directory })
    }

    /// Name of the backend.
    pub fn name(&self) -> &str {
        match self {
            Self::Http(http) => http.name(),
            Self::Directory { name, .. } => name,
        }
    }

    /// Kind of the backend: `directory` or `s3`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "s3",
            Self::Directory { .. } => "directory",
        }
    }

    /// The same storage, spoken to as the holder of this access key. A directory knows nobody.
    #[must_use]
    pub fn spoken_to_by(&self, access_key: &str, secret_key: &config::Secret) -> Self {
        match self {
            Self::Http(http) => Self::Http(http.spoken_to_by(Some((access_key, secret_key)))),
            Self::Directory { .. } => self.clone(),
        }
    }

    /// The same storage, spoken to as nobody, where requests without a signature are for it to judge.
    pub fn spoken_to_by_nobody(&self) -> Option<Self> {
        match self {
            Self::Http(http) if http.passes_unsigned() => Some(Self::Http(http.spoken_to_by(None))),
            Self::Http(_) | Self::Directory { .. } => None,
        }
    }

    /// Whether it is spoken to as another than the gateway, who may see other buckets there.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Http(http) if http.is_foreign())
    }

    /// Whether it is the storage that encrypts where a client asks the service to.
    pub fn takes_sse(&self) -> bool {
        match self {
            Self::Http(http) => http.takes_sse(),
            Self::Directory { .. } => false,
        }
    }

    /// Where an S3 service is, without credentials.
    pub fn endpoint(&self) -> Option<String> {
        match self {
            Self::Http(http) => Some(http.endpoint()),
            Self::Directory { .. } => None,
        }
    }

    /// The region that requests to an S3 service are signed for.
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Http(http) => Some(http.region()),
            Self::Directory { .. } => None,
        }
    }

    /// What this storage does otherwise than S3.
    pub fn quirks(&self) -> &Quirks {
        match self {
            Self::Http(http) => http.quirks(),
            Self::Directory { .. } => &quirks::NONE,
        }
    }

    /// What is not as it should be with the storage, as far as its answers have shown.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Self::Http(http) if http.refuses_signed_chunks() => Some(format!(
                "it refuses bodies in signed chunks: bodies up to {} MiB are signed as a whole, longer ones are refused. \
                 Reach it by TLS (backends.{name}.endpoint), or let long bodies go without a check of their own \
                 (backends.{name}.long_bodies)",
                self::http::WHOLE >> 20,
                name = self.name()
            )),
            Self::Http(_) | Self::Directory { .. } => None,
        }
    }

    /// Whether a bucket becomes part of a host name, in which case makes no difference.
    pub fn names_buckets_in_hosts(&self) -> bool {
        match self {
            Self::Http(http) => http.names_buckets_in_hosts(),
            Self::Directory { .. } => false,
        }
    }

    /// The file with the stored bytes of an object, where the storage is a directory.
    pub fn object_path(&self, bucket: &str, key: &str) -> Option<PathBuf> {
        match self {
            Self::Http(_) => None,
            Self::Directory { directory, .. } => Some(directory.object_path(bucket, key)),
        }
    }

    /// Sends one request. The head of the response, of whatever status, is `Ok`; its body streams.
    ///
    /// Dropping the future, or the response's body, ends the exchange. An upload whose future is dropped is not
    /// committed unless its body had already been read to the end.
    pub async fn call(&self, request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        // Boxed: the compiler does not find these futures `Send` where a handler awaits them as they are.
        let exchange: Exchange<'_> = match self {
            Self::Http(http) => Box::pin(http.call(request)),
            Self::Directory { directory, .. } => Box::pin(async { Ok(directory.call(request).await) }),
        };
        exchange.await
    }

    /// Sends one request and collects a response of at most `limit` bytes.
    pub async fn collect(&self, request: Request<Body>, limit: usize) -> Result<Response<Bytes>, UpstreamError> {
        let (head, body) = self.call(request).await?.into_parts();
        match collect(body, limit).await {
            Ok(Some(bytes)) => Ok(Response::from_parts(head, bytes)),
            Ok(None) => Err(UpstreamError::TooLarge { backend: self.name().to_owned(), limit }),
            Err(source) => Err(UpstreamError::Broken { backend: self.name().to_owned(), source }),
        }
    }
}

/// A whole body of at most `limit` bytes; `None` if it is longer.
///
/// By hand: the compiler does not find the future of `http_body_util::Limited` `Send` where a handler awaits it.
pub(crate) async fn collect(body: Body, limit: usize) -> Result<Option<Bytes>, BodyError> {
    Ok(collect_all(body, limit).await?.map(|(bytes, _)| bytes))
}

/// The same with the trailers behind it.
async fn collect_all(mut body: Body, limit: usize) -> Result<Option<(Bytes, Option<HeaderMap>)>, BodyError> {
    let (mut collected, mut trailers) = (bytes::BytesMut::new(), None);
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) if collected.len() + data.len() > limit => return Ok(None),
            Ok(data) => collected.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok(Some((collected.freeze(), trailers)))
}

/// Every backend of the configuration, by name.
pub struct Upstreams {
    home: Upstream,
    by_name: BTreeMap<String, Upstream>,
}

impl Upstreams {
    /// Opens all backends; the first that cannot be used ends it.
    pub fn open(storage: &config::Storage, limits: &config::Limits) -> Result<Self, OpenError> {
        let by_name = storage
            .backends
            .iter()
            .map(|(name, backend)| Ok((name.clone(), Upstream::open(name, backend, limits)?)))
            .collect::<Result<BTreeMap<_, _>, OpenError>>()?;
        let home = by_name.get(&storage.home).cloned().expect("a valid configuration has its home backend");
        Ok(Self { home, by_name })
    }

    /// A single backend that is home.
    pub fn single(home: Upstream) -> Self {
        Self { by_name: BTreeMap::from([(home.name().to_owned(), home.clone())]), home }
    }

    /// The backend that holds the system bucket and every bucket that is mapped to no other.
    pub fn home(&self) -> &Upstream {
        &self.home
    }

    /// The backend of that name.
    pub fn get(&self, name: &str) -> Option<&Upstream> {
        self.by_name.get(name)
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// What `SigV4` leaves as it is; everything else is percent-encoded, so that the target is canonical as it stands.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const IN_KEY: &AsciiSet = &UNRESERVED.remove(b'/');

/// A key as it stands in a path or in `x-amz-copy-source`: percent-encoded, its slashes kept.
pub fn encode_key(key: &str) -> String {
    utf8_percent_encode(key, IN_KEY).to_string()
}

/// The path-style target of a request: `/bucket/key?name=value&name`. A pair without a value is a bare name, such as
/// `uploads`. `bucket` empty is the service itself; `key` none is the bucket itself.
pub fn uri(bucket: &str, key: Option<&str>, query: &[(&str, &str)]) -> Uri {
    let mut target = String::with_capacity(64);
    target.push('/');
    target.extend(utf8_percent_encode(bucket, UNRESERVED));
    if let Some(key) = key {
        target.push('/');
        target.extend(utf8_percent_encode(key, IN_KEY));
    }
    for (index, (name, value)) in query.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.extend(utf8_percent_encode(name, UNRESERVED));
        if !value.is_empty() {
            target.push('=');
            target.extend(utf8_percent_encode(value, UNRESERVED));
        }
    }
    Uri::try_from(target).expect("percent-encoded text of bounded length is a URI")
}

/// A request without a body.
pub fn request(method: Method, target: Uri) -> Request<Body> {
    let mut request = Request::new(empty());
    *request.method_mut() = method;
    *request.uri_mut() = target;
    request
}

/// No bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// These bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Whether the status says that the storage is busy or broken rather than that the request is wrong.
pub fn is_overload(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}
