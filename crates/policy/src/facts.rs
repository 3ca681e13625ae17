//! What is known about one incoming object: the input of a decision.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Labels of a gateway, as Central gave them.
pub type Labels = BTreeMap<String, String>;

/// The facts of one request. Borrowed; nothing is copied unless a condition asks for it.
///
/// Where [`crate::Engine::needs_tags`] or [`crate::Engine::needs_metadata`] says no for the bucket, the slices may be
/// left empty. Of a name that is there twice, the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// `bucket.name`.
    pub bucket: &'a str,
    /// `object.key`.
    pub key: &'a str,
    /// `object.size` in bytes of plaintext. `None`: not known yet (`CreateMultipartUpload`).
    pub size: Option<u64>,
    /// `object.contentType`; empty when the client sent none.
    pub content_type: &'a str,
    /// `object.metadata`: user metadata without the `x-amz-meta-` prefix, names in lower case.
    pub metadata: &'a [(String, String)],
    /// `object.tags`.
    pub tags: &'a [(String, String)],
    /// `object.storageClass`; `STANDARD` when the client sent none.
    pub storage_class: &'a str,
    /// `request.principal`: the access key ID; empty for anonymous requests.
    pub principal: &'a str,
    /// `request.operation`: the S3 operation, such as `PutObject`, `CopyObject`, `CreateMultipartUpload`, `PostObject`.
    /// When an upload is judged again at its completion, the operation stays `CreateMultipartUpload`.
    pub operation: &'a str,
    /// `request.time` in milliseconds since 1970-01-01T00:00:00Z.
    pub time_unix_ms: i64,
    /// `request.sourceIp`; `None` reads as the empty text.
    pub source_ip: Option<IpAddr>,
}

impl<'a> Facts<'a> {
    /// Facts of a `PutObject` of an empty object with nothing else known; a base to override.
    pub const fn new(bucket: &'a str, key: &'a str) -> Self {
        Self {
            bucket,
            key,
            size: Some(0),
            content_type: "",
            metadata: &[],
            tags: &[],
            storage_class: "STANDARD",
            principal: "",
            operation: "PutObject",
            time_unix_ms: 0,
            source_ip: None,
        }
    }
}
