//! What storages do otherwise than S3, and how it is known. Upstreams are probed, not trusted.

use std::sync::atomic::{AtomicU8, Ordering};

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

/// What is known of one storage. It is learnt from what the storage itself answers: a balancer before it, which may answer
/// first, says nothing of it, and what was once seen to be Ceph stays so.
#[derive(Default)]
pub(super) struct Known(AtomicU8);

const UNKNOWN: u8 = 0;
const S3: u8 = 1;
const CEPH: u8 = 2;

impl Known {
    /// Learns from the headers of any answer.
    pub(super) fn learn(&self, headers: &http::HeaderMap) {
        let Some(id) = headers.get("x-amz-request-id") else { return };
        if is_ceph(id.to_str().unwrap_or_default()) {
            self.0.store(CEPH, Ordering::Relaxed);
        } else {
            // Where it is known already, it is what it is.
            let _ = self.0.compare_exchange(UNKNOWN, S3, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// As its answers have shown; until the first one, as S3.
    pub(super) fn quirks(&self) -> &'static Quirks {
        if self.0.load(Ordering::Relaxed) == CEPH { &CEPH_16 } else { &NONE }
    }
}

/// Whether a request ID is one of Ceph RGW's, which names itself nowhere: they begin with `tx` and end in the name of the
/// zone.
fn is_ceph(request_id: &str) -> bool {
    request_id.starts_with("tx0") && request_id.split('-').count() >= 4
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceph_is_known_by_its_request_id_whoever_answered_before() {
        let answer = |id: Option<&str>| -> http::HeaderMap {
            id.map(|id| ("x-amz-request-id".parse().unwrap(), id.parse().unwrap())).into_iter().collect()
        };
        let (ceph, other) = (Some("tx00000b2fd0a1c1a5b0a4e-0067447a3e-1034-default"), Some("18B2F4C9A7D3E610"));
        let known = Known::default();
        for (id, is_ceph) in [(None, false), (other, false), (None, false), (ceph, true), (other, true), (None, true)] {
            known.learn(&answer(id));
            assert_eq!(*known.quirks() == CEPH_16, is_ceph, "{id:?}");
        }
        let known = Known::default();
        known.learn(&answer(other));
        assert_eq!(*known.quirks(), NONE);
    }
}
