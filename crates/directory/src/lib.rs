//! S3 storage over files, in process: an `http::Request` in, an `http::Response` out.
//!
//! ```text
//!  Request ─▶ request.rs      bucket, key, query, headers
//!             operations.rs   which S3 operation is it? the closed table; anything else is 501 NotImplemented
//!      ┌──────────┴───────────────────────────────────────────────┐
//!      ▼                                                          ▼
//!  put.rs copy.rs multipart.rs tagging.rs delete.rs            get.rs attributes.rs list.rs buckets.rs
//!      │  body ─▶ transfer.rs: OBJECT DIRECTORY under .sealgate/tmp/INSTANCE/                │
//!      ▼                                                          ▼
//!  commit.rs  one rename below BUCKET/objects/ is the commit   walk.rs  keys in byte order
//! ```
//!
//! **An object is one directory** of two files: `data`, exactly the stored bytes, and `record.json`, everything else
//! (`ETag`, size, checksum, headers, tags, part sizes); of an object of parts there is `parts`, too, their checksums, which
//! few reads want. It is written and synced aside, then moved to its place by one
//! `renameat2`: `RENAME_NOREPLACE` where the key is new, `RENAME_EXCHANGE` where it replaces. So bytes and record are
//! always of one version, also after `kill -9`, and what was replaced lies among the temporary files, which the next
//! [`Directory::open`] sweeps once their owner is dead. A reader holds the directory open and reads one version to
//! its end.
//!
//! **Many processes share one directory.** Nothing is kept in memory. A writer of a key holds a `flock` for the
//! moment of its commit, so that conditional writes are atomic between processes.
//!
//! The caller is trusted: there is no authentication here.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on panics"))]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;

use crate::error::Answer;
use crate::request::Call;
use crate::storage::Storage;

mod acl;
mod answer;
mod attributes;
mod buckets;
mod checksum;
mod commit;
mod conditions;
mod copy;
mod delete;
mod error;
mod get;
mod list;
mod multipart;
mod operations;
mod put;
mod range;
mod record;
mod request;
mod storage;
mod tagging;
mod transfer;
mod unset;
mod walk;
mod xml;

pub use operations::{OPERATIONS, Operation};

/// A request's or a response's body: streamed, in frames of at most a few hundred KiB.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Why a storage directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory could not be made, read or written.
    #[error("the storage directory {path} cannot be used: {source}")]
    Io {
        /// What was being used.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The directory was written by another version of the layout.
    #[error("the storage directory {path} has layout {found}, this program knows layout {known}")]
    Layout {
        /// The storage directory.
        path: PathBuf,
        /// What its layout file says.
        found: String,
        /// The layout of this program.
        known: u32,
    },
    /// The directory holds something, but is no storage directory.
    #[error("{path} is not empty and is not a storage directory; give an empty or new directory")]
    Foreign {
        /// The directory.
        path: PathBuf,
    },
    /// The file system lacks what atomic commits need.
    #[error("the file system of {path} {lacks}; ext4, XFS, Btrfs, tmpfs and ZFS since 2.2 have it")]
    FileSystem {
        /// The storage directory.
        path: PathBuf,
        /// What is missing.
        lacks: &'static str,
    },
}

/// S3 storage below one directory. Cheap to clone; any number of instances, in any number of processes of one
/// machine, may serve the same directory at the same time.
#[derive(Clone, Debug)]
pub struct Directory {
    storage: Arc<Storage>,
}

impl Directory {
    /// Opens the storage directory at `path`, made if it does not exist, and sweeps what dead processes left behind.
    ///
    /// Blocks on file I/O. Meant to be called once per process and cloned, not once per request.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Ok(Self { storage: Arc::new(Storage::open(path.as_ref())?) })
    }

    /// Answers one S3 request: path-style URI (`/bucket/key?query`, key percent-encoded), `Content-Length` or a body
    /// of known size on uploads. Never fails otherwise than by an S3 error response. Must run inside a tokio runtime.
    ///
    /// If the returned future is dropped, or the request body ends in an error or too early, nothing is stored and no
    /// temporary file stays, unless the commit had already begun. How long to wait for a body that does not come is
    /// the caller's to decide.
    pub async fn call(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let resource = parts.uri.path().to_owned();
        let head = parts.method == Method::HEAD;
        let request_id = uuid::Uuid::new_v4().simple().to_string();
        let answer = self.answer(parts, body).await;
        let mut response = answer.unwrap_or_else(|error| error.into_response(&resource, &request_id, head));
        if let Ok(id) = HeaderValue::try_from(request_id) {
            response.headers_mut().insert("x-amz-request-id", id);
        }
        response
    }

    async fn answer(&self, parts: http::request::Parts, body: Body) -> Answer {
        let method = parts.method.clone();
        let call = Call::new(parts, body)?;
        let operation = operations::route(&method, &call.bucket, &call.key, &call.query, &call.headers)?;
        let storage = Arc::clone(&self.storage);
        match operation.name {
            "ListBuckets" => buckets::list(storage, call).await,
            "CreateBucket" => buckets::create(storage, call).await,
            "HeadBucket" => buckets::head(storage, call).await,
            "DeleteBucket" => buckets::delete(storage, call).await,
            "GetBucketLocation" => buckets::location(storage, call).await,
            "ListObjects" => list::objects(storage, call).await,
            "ListObjectsV2" => list::objects_v2(storage, call).await,
            "ListObjectVersions" => list::versions(storage, call).await,
            "GetBucketVersioning" => buckets::versioning(storage, call).await,
            "DeleteObjects" => delete::objects(storage, call).await,
            "PutObject" => put::object(storage, call).await,
            "CopyObject" => copy::object(storage, call).await,
            "GetObject" => get::object(storage, call).await,
            "HeadObject" => get::head(storage, call).await,
            "GetObjectAttributes" => attributes::get(storage, call).await,
            "DeleteObject" => delete::object(storage, call).await,
            "GetObjectTagging" => tagging::get(storage, call).await,
            "PutObjectTagging" => tagging::put(storage, call).await,
            "DeleteObjectTagging" => tagging::delete(storage, call).await,
            "CreateMultipartUpload" => multipart::create(storage, call).await,
            "UploadPart" => multipart::upload_part(storage, call).await,
            "UploadPartCopy" => multipart::copy_part(storage, call).await,
            "CompleteMultipartUpload" => multipart::complete(storage, call).await,
            "AbortMultipartUpload" => multipart::abort(storage, call).await,
            "ListParts" => multipart::parts(storage, call).await,
            "ListMultipartUploads" => multipart::uploads(storage, call).await,
            "GetBucketAcl" | "GetObjectAcl" => acl::get(storage, call).await,
            "PutBucketAcl" | "PutObjectAcl" => acl::put(storage, call).await,
            other => match unset::get(other, storage, call).await {
                Some(answer) => answer,
                None => Err(operations::not_implemented(other)),
            },
        }
    }

    /// The file that holds the stored bytes of an object, whether or not that object exists. The path of a key never
    /// changes; an overwrite replaces the file (another inode). Pure: nothing is looked up.
    ///
    /// `bucket` must be the name of a bucket; what is no name of a bucket gives a path at which nothing ever is.
    pub fn object_path(&self, bucket: &str, key: &str) -> PathBuf {
        let bucket = if request::is_bucket_name(bucket) { bucket } else { ".no-bucket" };
        self.storage.place(bucket, key).join(layout::DATA)
    }
}
