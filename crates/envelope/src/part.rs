//! A part: its header, and its sealing.

use bytes::Bytes;

use crate::error::SealError;
use crate::keys::{DataKey, Salt};

/// Seals one upload of one part from a body of announced length. Draws a fresh salt, so that no two uploads share a key,
/// whatever number they have and through whichever gateway they come.
pub struct PartSealer {}

impl PartSealer {
    /// `number` is the client's, 1 to 10,000.
    pub fn new(data_key: &DataKey, number: u16, plaintext_len: u64) -> Result<Self, SealError> {
        unimplemented!("{:?}{number}{plaintext_len}", std::ptr::from_ref(data_key))
    }

    /// For the record of the part, which must be durable before the client is answered.
    pub fn salt(&self) -> Salt {
        unimplemented!()
    }

    /// Length in bytes of the whole stored part.
    pub fn stored_len(&self) -> u64 {
        unimplemented!()
    }

    /// Takes plaintext, cut in any way, and appends to `out` what is ready. Holds at most one segment.
    pub fn push(&mut self, plaintext: Bytes, out: &mut Vec<Bytes>) -> Result<(), SealError> {
        unimplemented!("{plaintext:?}{out:?}")
    }

    /// Ends the part: its last segment. `SealError::TooShort` if plaintext is missing.
    pub fn finish(self, out: &mut Vec<Bytes>) -> Result<(), SealError> {
        unimplemented!("{out:?}")
    }
}
