//! A new header and footer over a body that stays: copies, re-wraps, new client metadata.

use std::ops::Range;

use bytes::Bytes;

use crate::error::SealError;
use crate::fields::Recorded;
use crate::header::Header;
use crate::keys::Kek;
use crate::metadata::{MetadataForm, UserMetadata};
use crate::object::Object;

/// The new ends of an object: store `source.body()` of the old object, then [`footer`](Self::footer).
pub struct Rewrap {}

impl Rewrap {
    /// `source` must have been opened from its footer (the checksums are needed), otherwise `SealError::Checksums`.
    /// `client` is the client's metadata of the new object.
    pub fn new(source: &Object, recorded: &Recorded, kek: &Kek, client: &UserMetadata) -> Result<Self, SealError> {
        let _ = (source.parts(), std::ptr::from_ref(kek));
        unimplemented!("{recorded:?}{client:?}")
    }

    /// **All** user metadata to store: ours, and the client's unless it is carried.
    pub fn metadata(&self) -> &UserMetadata {
        unimplemented!()
    }

    /// How much is told in the metadata.
    pub fn form(&self) -> MetadataForm {
        unimplemented!()
    }

    /// The new header.
    pub fn header(&self) -> &Header {
        unimplemented!()
    }

    /// Offsets of the old object's stored bytes that the new object begins with, unchanged.
    pub fn body(&self) -> Range<u64> {
        unimplemented!()
    }

    /// The bytes behind the body.
    pub fn footer(&self) -> &Bytes {
        unimplemented!()
    }

    /// Length in bytes of the new stored object.
    pub fn stored_len(&self) -> u64 {
        unimplemented!()
    }
}
