//! The system bucket of the home backend: the only place in the storage where the gateways keep state of their own.
//!
//! ```text
//! storage-id          the UUID of this storage, written once
//! group/NNNN…         revisions of the group document
//! mp/…                records of multipart uploads
//! lease/…             who does a job that one member does for all
//! probe/…             written and removed at start: does the storage enforce If-None-Match?
//! ```
//! Everything in it is small, and read and written whole. Every call has a deadline. **A failed look-up is an error,
//! never "absent"**; absent is only what the storage says is absent.

mod lease;
mod list;
mod probe;

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use ids::StorageId;
use tokio::time::{Instant, timeout_at};

use crate::upstream::{Body, Upstream, UpstreamError, full, is_overload, request, uri};

pub use lease::Lease;
pub use list::{Entry, Page};

/// The longest error document that is read.
const MAX_ERROR: usize = 64 * 1024;
const ATTEMPTS: u32 = 4;

/// How the system bucket is used.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its name.
    pub bucket: String,
    /// The region in which it is created, `us-east-1` for the default one.
    pub region: String,
    /// Start although the storage does not enforce `If-None-Match`. Then only one gateway may ever run.
    pub allow_unconditional: bool,
    /// Every operation, retries included, ends by then.
    pub deadline: Duration,
}

impl Options {
    /// The usual behaviour, over this bucket.
    pub fn new(bucket: &str, region: &str) -> Self {
        let deadline = Duration::from_secs(10);
        Self { bucket: bucket.to_owned(), region: region.to_owned(), allow_unconditional: false, deadline }
    }
}

/// What became of a write that must not replace anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The object is there with our bytes.
    Ours,
    /// The name was taken by other bytes, which were left alone.
    Taken,
}

/// The system bucket could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// No answer of the storage.
    #[error("system bucket, {operation} {key}: {source}")]
    Upstream {
        /// What was asked.
        operation: &'static str,
        /// Of which object.
        key: String,
        /// Why.
        source: UpstreamError,
    },
    /// The storage refused.
    #[error("system bucket, {operation} {key}: the storage answered {status} {code}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// Of which object.
        key: String,
        /// The status.
        status: u16,
        /// The S3 error code, where there was one.
        code: String,
    },
    /// Not done by the deadline. Of a write it is unknown whether it was done.
    #[error("system bucket, {operation} {key}: the storage did not answer in time")]
    Deadline {
        /// What was asked.
        operation: &'static str,
        /// Of which object.
        key: String,
    },
    /// The answer is not what S3 would say.
    #[error("system bucket, {operation} {key}: the storage's answer cannot be read")]
    Malformed {
        /// What was asked.
        operation: &'static str,
        /// Of which object.
        key: String,
    },
    /// A list goes on behind as many objects as are taken.
    #[error("system bucket, list {prefix}: more than {most} objects")]
    TooMany {
        /// What their keys begin with.
        prefix: String,
        /// So many were wanted at most.
        most: usize,
    },
    /// The storage replaces objects in spite of `If-None-Match: *`.
    #[error(
        "the storage does not enforce If-None-Match: * in bucket {bucket}{}, so gateways would overwrite each other's changes. Use a storage that does, or run a single gateway and say so: storage.single_gateway = true",
        if *versioned { " (versioning is enabled there; suspend it)" } else { "" }
    )]
    Unconditional {
        /// The system bucket.
        bucket: String,
        /// Versioning is known to lift the enforcement on some storages.
        versioned: bool,
    },
}

/// The system bucket, found or made, and probed. Cheap to clone.
#[derive(Clone)]
pub struct System {
    upstream: Upstream,
    bucket: String,
    deadline: Duration,
    conditional: bool,
    storage_id: StorageId,
}

impl System {
    /// Finds or makes the bucket, probes that it enforces conditions, and reads or draws the storage's UUID.
    pub async fn open(upstream: Upstream, options: &Options) -> Result<Self, SystemError> {
        let mut system = Self {
            upstream,
            bucket: options.bucket.clone(),
            deadline: options.deadline,
            conditional: true,
            storage_id: StorageId::random(),
        };
        system.ensure_bucket(&options.region).await?;
        system.conditional = system.probe_conditions().await?;
        if !system.conditional {
            if !options.allow_unconditional {
                let versioned = system.is_versioned().await;
                return Err(SystemError::Unconditional { bucket: system.bucket, versioned });
            }
            tracing::warn!(
                bucket = system.bucket,
                "the storage does not enforce conditions: run a single gateway only"
            );
        }
        system.storage_id = system.read_storage_id().await?;
        Ok(system)
    }

    /// The UUID of the storage, for ever the same.
    pub fn storage_id(&self) -> StorageId {
        self.storage_id
    }

    /// Does the storage enforce `If-None-Match: *`? If not, a second gateway must not run.
    pub fn is_conditional(&self) -> bool {
        self.conditional
    }

    /// Name of the system bucket, which clients must not see.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The object, or `None` if the storage says that there is none. At most `limit` bytes.
    pub async fn get(&self, key: &str, limit: usize) -> Result<Option<Bytes>, SystemError> {
        let make = || request(Method::GET, self.target(key));
        let response = self.retried("get", key, limit.max(MAX_ERROR), make).await?;
        match response.status() {
            StatusCode::OK if response.body().len() > limit => Err(malformed("get", key)),
            StatusCode::OK => Ok(Some(response.into_body())),
            StatusCode::NOT_FOUND if error_code(response.body()) != "NoSuchBucket" => Ok(None),
            _ => Err(refused("get", key, &response)),
        }
    }

    /// Writes an object whose name must be free. `bytes` must be unlike any other writer's (they hold something random):
    /// an answer that got lost is settled by reading the object and comparing.
    pub async fn put_new(&self, key: &str, bytes: impl Into<Bytes>) -> Result<Written, SystemError> {
        let bytes = bytes.into();
        let deadline = Instant::now() + self.deadline;
        let mut last = SystemError::Deadline { operation: "put", key: key.to_owned() };
        for attempt in 0..ATTEMPTS {
            pause(attempt, deadline).await;
            if !self.conditional && self.get(key, MAX_ERROR).await?.is_some_and(|there| there != bytes) {
                return Ok(Written::Taken);
            }
            let condition = self.conditional.then_some(("*", header::IF_NONE_MATCH));
            match self.once("put", key, deadline, MAX_ERROR, self.upload(key, &bytes, condition)).await {
                Ok(response) if response.status().is_success() => return Ok(Written::Ours),
                Ok(response) => {
                    let status = response.status();
                    last = refused("put", key, &response);
                    // 409: another conditional write of the same name is under way.
                    let undecided = status == StatusCode::PRECONDITION_FAILED || status == StatusCode::CONFLICT;
                    if !undecided && !is_overload(status) {
                        return Err(last);
                    }
                }
                Err(error) => last = error,
            }
            // Whatever was answered, what lies there now decides: an earlier attempt may have done it.
            match self.get(key, bytes.len()).await {
                Ok(Some(there)) if there == bytes => return Ok(Written::Ours),
                // What is longer than ours is not ours.
                Ok(Some(_))
                | Err(
                    SystemError::Malformed { .. }
                    | SystemError::Upstream { source: UpstreamError::TooLarge { .. }, .. },
                ) => return Ok(Written::Taken),
                Ok(None) => {}
                Err(error) => last = error,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(last)
    }

    /// Writes an object, whatever was there.
    pub async fn put(&self, key: &str, bytes: impl Into<Bytes>) -> Result<(), SystemError> {
        let bytes = bytes.into();
        let response = self.retried("put", key, MAX_ERROR, || self.upload(key, &bytes, None)).await?;
        if response.status().is_success() { Ok(()) } else { Err(refused("put", key, &response)) }
    }

    /// Removes an object; one that is not there is removed already.
    pub async fn delete(&self, key: &str) -> Result<(), SystemError> {
        let make = || request(Method::DELETE, self.target(key));
        let response = self.retried("delete", key, MAX_ERROR, make).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND if error_code(response.body()) != "NoSuchBucket" => Ok(()),
            _ => Err(refused("delete", key, &response)),
        }
    }

    fn target(&self, key: &str) -> http::Uri {
        uri(&self.bucket, Some(key), &[])
    }

    fn upload(&self, key: &str, bytes: &Bytes, condition: Option<(&str, header::HeaderName)>) -> Request<Body> {
        let mut upload = request(Method::PUT, self.target(key));
        *upload.body_mut() = full(bytes.clone());
        upload.headers_mut().insert(header::CONTENT_LENGTH, bytes.len().into());
        upload.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/octet-stream"));
        if let Some((value, name)) = condition {
            let value = header::HeaderValue::from_str(value).expect("a condition is visible ASCII");
            upload.headers_mut().insert(name, value);
        }
        upload
    }

    /// One exchange within the deadline.
    async fn once(
        &self,
        operation: &'static str,
        key: &str,
        deadline: Instant,
        limit: usize,
        request: Request<Body>,
    ) -> Result<Response<Bytes>, SystemError> {
        let key = key.to_owned();
        match timeout_at(deadline, self.upstream.collect(request, limit)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(source)) => Err(SystemError::Upstream { operation, key, source }),
            Err(_) => Err(SystemError::Deadline { operation, key }),
        }
    }

    /// An exchange that may be repeated: again where the storage is busy or gone, until the deadline.
    async fn retried(
        &self,
        operation: &'static str,
        key: &str,
        limit: usize,
        make: impl Fn() -> Request<Body>,
    ) -> Result<Response<Bytes>, SystemError> {
        let deadline = Instant::now() + self.deadline;
        let mut attempt = 0;
        loop {
            let answer = self.once(operation, key, deadline, limit, make()).await;
            attempt += 1;
            let again = match &answer {
                Ok(response) => is_overload(response.status()) && response.status() != StatusCode::NOT_IMPLEMENTED,
                Err(SystemError::Upstream { source, .. }) => {
                    matches!(source, UpstreamError::Unreachable { .. } | UpstreamError::Broken { .. })
                }
                Err(_) => false,
            };
            if !again || attempt >= ATTEMPTS || Instant::now() >= deadline {
                return answer;
            }
            pause(attempt, deadline).await;
        }
    }
}

fn malformed(operation: &'static str, key: &str) -> SystemError {
    SystemError::Malformed { operation, key: key.to_owned() }
}

/// Waits before the attempt with this number: none before the first, then from 50 ms on, doubled, with jitter.
async fn pause(attempt: u32, deadline: Instant) {
    if attempt == 0 {
        return;
    }
    let full = 50_u64 << attempt.min(6);
    let wait = Duration::from_millis(full / 2 + jitter(full / 2));
    tokio::time::sleep_until((Instant::now() + wait).min(deadline)).await;
}

/// A random number up to `most`, for waits only.
pub(crate) fn jitter(most: u64) -> u64 {
    let mut bytes = [0; 8];
    // Without randomness there is no jitter, and waits are as long as they get.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return most;
    }
    u64::from_le_bytes(bytes) % most.saturating_add(1)
}

fn refused(operation: &'static str, key: &str, response: &Response<Bytes>) -> SystemError {
    let code = error_code(response.body());
    SystemError::Refused { operation, key: key.to_owned(), status: response.status().as_u16(), code }
}

/// The code of an S3 error document; empty where there is none.
fn error_code(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Error {
        code: String,
    }
    let parsed: Option<Error> = std::str::from_utf8(body).ok().and_then(|text| quick_xml::de::from_str(text).ok());
    parsed.map(|error| error.code.chars().take(64).collect()).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
