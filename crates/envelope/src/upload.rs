//! A multipart upload: its header is made at Create, its footer at Complete.

use bytes::Bytes;

use crate::checksums::Checksums;
use crate::error::{FormatError, SealError};
use crate::fields::{Place, Recorded};
use crate::header::Header;
use crate::keys::{DataKey, Kek};
use crate::layout::Part;
use crate::metadata::{MetadataForm, UserMetadata};

/// What must be kept of an upload between Create and Complete. Holds no secret.
pub struct Upload {}

impl Upload {
    /// Draws and wraps the data key, and decides the form of the metadata.
    pub fn create(recorded: &Recorded, kek: &Kek, client: &UserMetadata) -> Result<(Self, DataKey), SealError> {
        unimplemented!("{recorded:?}{:?}{client:?}", std::ptr::from_ref(kek))
    }

    /// **All** user metadata of the upstream's CreateMultipartUpload: ours, and the client's unless it is carried.
    pub fn metadata(&self) -> &UserMetadata {
        unimplemented!()
    }

    /// How much is told in the metadata.
    pub fn form(&self) -> MetadataForm {
        unimplemented!()
    }

    /// The header; [`Header::open`] gives the data key again.
    pub fn header(&self) -> &Header {
        unimplemented!()
    }

    /// What to keep, at most 16 KiB. Not sealed: everything but the carried client metadata is under the data key's wrap.
    pub fn to_bytes(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) gave. Its [`metadata`](Self::metadata) is empty: it has been stored.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        unimplemented!("{bytes:?}")
    }

    /// The end of the object, to be uploaded behind the parts in this order (a held-back part may be joined in front).
    ///
    /// Parts strictly ascending in number and of any size, as long as the closed form holds: it does whenever every part
    /// but the last has at least [`MIN_PART`](crate::MIN_PART) of plaintext, otherwise `SealError::PartsTooSmall`.
    pub fn footer(
        &self,
        data_key: &DataKey,
        place: &Place,
        parts: &[Part],
        checksums: &Checksums,
    ) -> Result<SealedFooter, SealError> {
        unimplemented!("{:?}{place:?}{parts:?}{checksums:?}", std::ptr::from_ref(data_key))
    }
}

/// The end of an object: padding (in the padded form) and footer.
pub struct SealedFooter {
    /// The bytes; at most some 2.4 MiB.
    pub bytes: Bytes,
    /// Length in bytes of the whole stored object: parts and these bytes.
    pub stored_len: u64,
}
