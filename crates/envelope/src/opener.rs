//! Opening of stored bytes as they come.

use bytes::Bytes;

use crate::error::OpenError;

/// Opens the stored bytes of one read. Gives out authenticated plaintext only.
///
/// In a whole read the plaintext of the last segment is held back until the padding and the footer were verified, so a
/// caller that has announced a length cannot complete a body that turns out to be changed behind its end. An empty
/// object has no plaintext to hold back: call [`finish`](Self::finish) before answering.
pub struct Opener {}

impl Opener {
    /// How many plaintext bytes the read gives in all.
    pub fn plaintext_len(&self) -> u64 {
        unimplemented!()
    }

    /// Takes stored bytes, cut in any way, and appends to `out` the plaintext that is authenticated. After an error
    /// nothing more comes: what was appended before is authentic, but the read failed.
    pub fn push(&mut self, stored: Bytes, out: &mut Vec<Bytes>) -> Result<(), OpenError> {
        unimplemented!("{stored:?}{out:?}")
    }

    /// Ends the read and gives what was held back. `OpenError::Truncated` if stored bytes are missing.
    pub fn finish(self, out: &mut Vec<Bytes>) -> Result<(), OpenError> {
        unimplemented!("{out:?}")
    }
}
