//! The footer: everything that is needed to read the object, besides the KMS key.

use crate::error::{FormatError, OpenError};
use crate::fields::{Expected, Place};
use crate::header::Header;
use crate::keys::Kek;
use crate::metadata::UserMetadata;
use crate::object::Object;

/// What came of reading an object's last bytes.
#[derive(Debug)]
pub enum FooterRead {
    /// The whole footer.
    Footer(Footer),
    /// The footer is longer: read this many bytes from the object's end.
    NeedSuffix(u64),
}

/// A footer as it was read: well-formed and fitting the stored length, **not yet authenticated**. Holds no secret, so it
/// may be cached.
#[derive(Debug, Clone)]
pub struct Footer {}

impl Footer {
    /// Reads the footer from the last bytes of an object of `stored_len` bytes. `suffix` is best of
    /// [`FOOTER_GUESS`](crate::FOOTER_GUESS) bytes, or the whole object where that is shorter.
    pub fn parse(suffix: &[u8], stored_len: u64) -> Result<FooterRead, FormatError> {
        unimplemented!("{suffix:?}{stored_len}")
    }

    /// The header.
    pub fn header(&self) -> &Header {
        unimplemented!()
    }

    /// The place for which the object was sealed.
    pub fn place(&self) -> &Place {
        unimplemented!()
    }

    /// Plaintext length in bytes.
    pub fn plaintext_len(&self) -> u64 {
        unimplemented!()
    }

    /// Length in bytes of the whole stored object.
    pub fn stored_len(&self) -> u64 {
        unimplemented!()
    }

    /// How many parts the body has.
    pub fn part_count(&self) -> usize {
        unimplemented!()
    }

    /// The client's metadata, where the object's own had no room for it. Authenticated by [`open`](Self::open).
    pub fn carried(&self) -> Option<&UserMetadata> {
        unimplemented!()
    }

    /// Opens the header (see [`Header::open`]), then verifies the footer's MAC.
    pub fn open(&self, kek: &Kek, expected: &Expected<'_>) -> Result<Object, OpenError> {
        unimplemented!("{:?}{expected:?}", std::ptr::from_ref(kek))
    }
}
