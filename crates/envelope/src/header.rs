//! The header of an object: what is recorded of it, and its data key, wrapped and bound to that record.

use crate::error::{FormatError, OpenError};
use crate::fields::{Cause, Expected, PolicyRef};
use crate::keys::{DataKey, Kek};
use crate::object::Object;

/// A header as it was read: well-formed, **not yet authenticated**. [`open`](Self::open) authenticates all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {}

impl Header {
    /// Reads a header from its canonical coding; at most 8 KiB.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        unimplemented!("{bytes:?}")
    }

    /// The canonical coding, as it is in the footer and, in base64, in `x-amz-meta-gse-h`.
    pub fn to_bytes(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// KMS whose key opens [`kek_record`](Self::kek_record).
    pub fn kms_id(&self) -> &str {
        unimplemented!()
    }

    /// The wrapped KEK, for the KMS.
    pub fn kek_record(&self) -> &[u8] {
        unimplemented!()
    }

    /// Why the object was sealed.
    pub fn cause(&self) -> Cause {
        unimplemented!()
    }

    /// The policy that decided, where one did.
    pub fn policy(&self) -> Option<&PolicyRef> {
        unimplemented!()
    }

    /// When it was sealed, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn sealed_at_ms(&self) -> u64 {
        unimplemented!()
    }

    /// The program that sealed it.
    pub fn writer(&self) -> &str {
        unimplemented!()
    }

    /// Whether the client stored it as a multipart upload.
    pub fn is_multipart(&self) -> bool {
        unimplemented!()
    }

    /// Plaintext length in bytes, where the header has it (the compact form of a single PUT). Otherwise it follows from
    /// the stored length: [`Metadata::plaintext_len`](crate::Metadata::plaintext_len).
    pub fn plaintext_len(&self) -> Option<u64> {
        unimplemented!()
    }

    /// Unwraps the data key, and with that authenticates every field of the header; then checks commitment and place.
    /// `OpenError::DataKey`, `Commitment`, `WrongPlace`.
    pub fn open(&self, kek: &Kek, expected: &Expected<'_>) -> Result<DataKey, OpenError> {
        unimplemented!("{expected:?}{:?}", std::ptr::from_ref(kek))
    }

    /// As [`open`](Self::open), and gives the object to read from. `None` where the header alone is not enough (padded
    /// form) and the footer is needed.
    pub fn open_object(&self, kek: &Kek, expected: &Expected<'_>) -> Result<Option<Object>, OpenError> {
        unimplemented!("{expected:?} {:?}", std::ptr::from_ref(kek))
    }
}
