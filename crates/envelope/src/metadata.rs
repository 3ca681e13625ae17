//! Our entries in an object's user metadata, and how plain and sealed objects are told apart.
//!
//! ```text
//! x-amz-meta-gse-v     "1": sealed, format version 1. Always there
//! x-amz-meta-gse-kms   KMS ID in clear
//! x-amz-meta-gse-size  plaintext bytes, compact form only
//! x-amz-meta-gse-h     the header, base64
//! x-amz-meta-gse-at    the place, base64, where there is room: names the former place of a moved object
//! ```

use crate::error::FormatError;
use crate::fields::Place;
use crate::header::Header;

/// What every sealed object begins with.
pub const MAGIC: [u8; 8] = *b"\x89SEALGT\n";

/// User metadata as it goes upstream: full lower-case header names (`x-amz-meta-…`) and raw values.
pub type UserMetadata = Vec<(String, Vec<u8>)>;

/// How much of an object is told in its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataForm {
    /// The header is there: a single object opens with no second request.
    Full,
    /// The client's own metadata leaves room for a short marker only; the rest is in the footer.
    Marker,
    /// The client's own metadata leaves no room at all: it is carried in the footer, and only the marker is left.
    Carried,
}

/// Our entries of a sealed object's metadata: well-formed, **not authenticated**.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {}

impl Metadata {
    /// Reads our entries among an object's user metadata (full names, any case; all other names are passed over).
    /// `None`: the metadata says that the object is plain. Anything of ours that is not well-formed is an error, never
    /// "plain".
    pub fn parse<N: AsRef<str>, V: AsRef<[u8]>>(
        entries: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Option<Self>, FormatError> {
        let _ = entries.into_iter().map(|(n, v)| (n.as_ref().len(), v.as_ref().len())).count();
        unimplemented!()
    }

    /// The header, in the full form.
    pub fn header(&self) -> Option<&Header> {
        unimplemented!()
    }

    /// KMS ID in clear, where there was room.
    pub fn kms_id(&self) -> Option<&str> {
        unimplemented!()
    }

    /// The place that the object names, where there was room.
    pub fn place(&self) -> Option<&Place> {
        unimplemented!()
    }

    /// Plaintext length in bytes of the object, given its stored length: from the header, or by inversion.
    /// `FormatError::StoredLength` where no plaintext has that stored length, `Contradiction` where it cannot be right.
    pub fn plaintext_len(&self, stored_len: u64) -> Result<u64, FormatError> {
        unimplemented!("{stored_len}")
    }
}

/// Whether a user metadata name (full, any case) is ours: never shown to a client, refused from one.
pub fn is_reserved(name: &str) -> bool {
    const PREFIX: &[u8] = b"x-amz-meta-gse-";
    name.as_bytes().get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Whether bytes begin as a sealed object does. `None`: fewer than 8 bytes, all of them as in the magic; with no more
/// to come that means no.
///
/// A client's plain body that begins so must be sealed or refused; a stored object that begins so without our metadata
/// was stripped of it and is recovered through its footer, never served as if plain.
pub fn begins_with_magic(start: &[u8]) -> Option<bool> {
    let common = start.len().min(MAGIC.len());
    if start[..common] != MAGIC[..common] {
        return Some(false);
    }
    (common == MAGIC.len()).then_some(true)
}
