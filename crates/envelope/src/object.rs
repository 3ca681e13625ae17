//! An object whose key is open and whose layout is authenticated: which stored bytes hold a plaintext range.

use std::ops::Range;

use crate::checksums::Checksums;
use crate::error::OpenError;
use crate::header::Header;
use crate::layout::Part;
use crate::metadata::UserMetadata;
use crate::opener::Opener;

/// An authenticated object, ready to be read. Holds the data key.
pub struct Object {}

/// Which stored bytes to fetch, and what opens them.
pub struct Read {
    /// Offsets of the stored bytes to fetch, end exclusive; never empty.
    pub stored: Range<u64>,
    /// To be fed with exactly those bytes.
    pub opener: Opener,
}

impl Object {
    /// The header.
    pub fn header(&self) -> &Header {
        unimplemented!()
    }

    /// Plaintext length in bytes.
    pub fn plaintext_len(&self) -> u64 {
        unimplemented!()
    }

    /// The parts in order. A single PUT has one, with number 1.
    pub fn parts(&self) -> &[Part] {
        unimplemented!()
    }

    /// The plaintext range of the part with this number, for reads by `partNumber`. `None`: no such part.
    pub fn part_range(&self, number: u16) -> Option<Range<u64>> {
        unimplemented!("{number}")
    }

    /// The sealed checksums; `None` where the object was opened from its header alone (they are in the footer).
    pub fn checksums(&self) -> Option<&Checksums> {
        unimplemented!()
    }

    /// The client's metadata, where it is carried in the footer.
    pub fn carried(&self) -> Option<&UserMetadata> {
        unimplemented!()
    }

    /// Offsets of the stored body: all parts, without padding and footer. What a server-side copy copies.
    pub fn body(&self) -> Range<u64> {
        unimplemented!()
    }

    /// A read of everything, the footer included. `stored_len` as the storage reports it for this read.
    pub fn read_whole(&self, stored_len: u64) -> Result<Read, OpenError> {
        unimplemented!("{stored_len}")
    }

    /// A read of a plaintext range that is not empty and lies within the plaintext: only the segments that it touches.
    pub fn read_range(&self, range: Range<u64>) -> Result<Read, OpenError> {
        unimplemented!("{range:?}")
    }
}
