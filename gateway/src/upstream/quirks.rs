//! What storages do otherwise than S3, and how it is known. Upstreams are probed, not trusted.

/// What one storage does otherwise than S3.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// The `ETag` of `If-Match` and `If-None-Match` is compared without its quotes (Ceph RGW 16): send it bare.
    pub bare_etag_conditions: bool,
    /// The source key of `UploadPartCopy` is percent-decoded twice (Ceph RGW 16): a `%` in the key names another
    /// object or kills the process, and `?versionId=` in it is taken for a version. Such a source is streamed instead.
    pub copy_part_decodes_twice: bool,
    /// `CopyObject` knows the conditions on its source as `x-amz-copy-if-match` and so on, and passes over S3's names
    /// (Ceph RGW 16); `UploadPartCopy` knows none of them.
    pub copy_conditions_misnamed: bool,
    /// Tags and object locks that a multipart upload is begun with are lost, and the bucket's default retention is not
    /// applied to it (Ceph RGW 16). A copy that has any is streamed. Asked for such tags, it answers 200 and nothing.
    pub uploads_lose_tags_and_locks: bool,
    /// `CompleteMultipartUpload` answers with an empty `ETag` (Ceph RGW 16): a HEAD tells it.
    pub complete_without_etag: bool,
    /// Only `PutObject` looks at `If-Match` and `If-None-Match`; those of `CompleteMultipartUpload`, `CopyObject` and
    /// `DeleteObject` have no effect (Ceph RGW 16).
    pub only_put_is_conditional: bool,
    /// A read takes the text of `If-Match` and `If-None-Match` for one `ETag`: it knows no list, and nothing has the
    /// `ETag` `*` (Ceph RGW 16).
    pub reads_name_one_etag: bool,
    /// `Range: bytes=-0` of a read asks for everything (Ceph RGW 16); to S3 it asks for nothing, and is refused.
    pub no_last_bytes_are_all: bool,
    /// Bodies in chunks with a trailer are refused (Ceph RGW 16, which takes chunks without one, and ignores checksums).
    pub refuses_trailers: bool,
    /// `CompleteMultipartUpload` takes parts in any order, and of a number that is named twice the last (Ceph RGW 16).
    pub parts_in_any_order: bool,
}

/// A storage that does as S3 does.
pub(super) const NONE: Quirks = Quirks {
    bare_etag_conditions: false,
    copy_part_decodes_twice: false,
    copy_conditions_misnamed: false,
    uploads_lose_tags_and_locks: false,
    complete_without_etag: false,
    only_put_is_conditional: false,
    reads_name_one_etag: false,
    no_last_bytes_are_all: false,
    refuses_trailers: false,
    parts_in_any_order: false,
};

/// Ceph RGW up to 16, as found on 16.2.15.
const CEPH_16: Quirks = Quirks {
    bare_etag_conditions: true,
    copy_part_decodes_twice: true,
    copy_conditions_misnamed: true,
    uploads_lose_tags_and_locks: true,
    complete_without_etag: true,
    only_put_is_conditional: true,
    reads_name_one_etag: true,
    no_last_bytes_are_all: true,
    refuses_trailers: true,
    parts_in_any_order: true,
};

impl Quirks {
    /// What the headers of any response of the storage say about it. Ceph RGW names itself nowhere, but its request
    /// IDs begin with `tx` and end in the name of its zone.
    pub(super) fn of_response(headers: &http::HeaderMap) -> Self {
        let request_id = headers.get("x-amz-request-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if request_id.starts_with("tx0") && request_id.split('-').count() >= 4 { CEPH_16 } else { NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceph_is_known_by_its_request_id() {
        let mut headers = http::HeaderMap::new();
        headers.insert("x-amz-request-id", "tx00000b2fd0a1c1a5b0a4e-0067447a3e-1034-default".parse().unwrap());
        assert!(Quirks::of_response(&headers).bare_etag_conditions);
        headers.insert("x-amz-request-id", "18B2F4C9A7D3E610".parse().unwrap());
        assert_eq!(Quirks::of_response(&headers), NONE);
    }
}
