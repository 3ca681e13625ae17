//! Sealing of a single PUT, whose plaintext length is known before the first byte.

use bytes::Bytes;

use crate::checksums::{ChecksumAlgorithm, Checksums};
use crate::error::SealError;
use crate::fields::Recorded;
use crate::header::Header;
use crate::keys::Kek;
use crate::metadata::{MetadataForm, UserMetadata};

/// Seals one object from a body of announced length. Cannot be cloned or rewound: a body that is sent again is sealed
/// again, with a new data key.
///
/// The last segment and the footer come out of [`finish`](Self::finish) only, so a caller that verifies the client's
/// checksums first never gives the storage a complete body that failed.
pub struct SingleSealer {}

impl SingleSealer {
    /// Draws the data key, wraps it, and decides the form of the metadata from what the client's own takes.
    /// `algorithms`: the checksums that [`finish`](Self::finish) will be given, all full-object.
    pub fn new(
        recorded: &Recorded,
        kek: &Kek,
        plaintext_len: u64,
        client: &UserMetadata,
        algorithms: &[ChecksumAlgorithm],
    ) -> Result<Self, SealError> {
        unimplemented!("{recorded:?}{:?}{plaintext_len}{client:?}{algorithms:?}", std::ptr::from_ref(kek))
    }

    /// **All** user metadata to store: ours, and the client's unless the form is [`MetadataForm::Carried`].
    pub fn metadata(&self) -> &UserMetadata {
        unimplemented!()
    }

    /// How much is told in the metadata.
    pub fn form(&self) -> MetadataForm {
        unimplemented!()
    }

    /// The header that the object gets.
    pub fn header(&self) -> &Header {
        unimplemented!()
    }

    /// Length in bytes of the whole stored object: all that [`push`](Self::push) and [`finish`](Self::finish) give.
    pub fn stored_len(&self) -> u64 {
        unimplemented!()
    }

    /// Takes plaintext, cut in any way, and appends to `out` what is ready. Holds at most one segment.
    /// `SealError::TooLong` beyond the announced length.
    pub fn push(&mut self, plaintext: Bytes, out: &mut Vec<Bytes>) -> Result<(), SealError> {
        unimplemented!("{plaintext:?}{out:?}")
    }

    /// Ends the body: the last segment and the footer. `SealError::TooShort` if plaintext is missing, `Checksums` if
    /// they are not of the algorithms announced. After an error nothing must be committed.
    pub fn finish(self, checksums: &Checksums, out: &mut Vec<Bytes>) -> Result<(), SealError> {
        unimplemented!("{checksums:?}{out:?}")
    }
}
