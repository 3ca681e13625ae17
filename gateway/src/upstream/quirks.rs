//! What storages do otherwise than S3, and how it is known. Upstreams are probed, not trusted.

/// What one storage does otherwise than S3.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quirks {
    /// The `ETag` of `If-Match` and `If-None-Match` is compared without its quotes (Ceph RGW 16): send it bare.
    pub bare_etag_conditions: bool,
    /// The source key of `UploadPartCopy` is percent-decoded twice (Ceph RGW 16): a `%` in the key names another
    /// object or kills the process. Such a source is streamed instead.
    pub copy_part_decodes_twice: bool,
    /// `CompleteMultipartUpload` answers with an empty `ETag` (Ceph RGW 16): a HEAD tells it.
    pub complete_without_etag: bool,
    /// Conditions of `CompleteMultipartUpload` and `DeleteObject` have no effect (Ceph RGW 16).
    pub ignores_conditions_on_complete: bool,
}

/// A storage that does as S3 does.
pub(super) const NONE: Quirks = Quirks {
    bare_etag_conditions: false,
    copy_part_decodes_twice: false,
    complete_without_etag: false,
    ignores_conditions_on_complete: false,
};

/// Ceph RGW up to 16, as found on 16.2.15.
const CEPH_16: Quirks = Quirks {
    bare_etag_conditions: true,
    copy_part_decodes_twice: true,
    complete_without_etag: true,
    ignores_conditions_on_complete: true,
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
