//! The encrypted object, format version 1: how plaintext becomes stored bytes and comes back. Pure and sans-IO: callers
//! move the bytes, this crate says which, and never gives out plaintext that it has not authenticated.
//! The normative text is `docs/FORMAT.md`.
//!
//! ```text
//! PUT        SingleSealer::new(Recorded, Kek, length, client metadata, checksum algorithms)
//!              metadata(), stored_len()  before the first byte;  push(Bytes)*, finish(Checksums)
//! multipart  Create    Upload::create(Recorded, Kek, client metadata) -> Upload, DataKey; metadata(); to_bytes() is kept
//!            Part      PartSealer::new(DataKey, number, length): salt(), stored_len(), push*, finish
//!            Complete  Upload::footer(DataKey, Place, [Part], Checksums) -> SealedFooter: uploaded as the last part
//! read       Metadata::parse(user metadata) -> plain, or Metadata: sizes, KMS ID, and the Header where there was room
//!            Header --open_object(Kek, Expected)--> Object         single objects: no second request
//!            Footer::parse(suffix) --open(Kek, Expected)--> Object  everything: multipart, marker form, bare files
//!            Object --read_whole | read_range--> Read { stored range, Opener }; push(Bytes)*, finish()
//! copy       Rewrap::new(Object, Recorded, Kek, client metadata): new metadata and footer over the same body
//! ```
//!
//! ```text
//! object   = part{1..N} | zeros (padded form) | footer
//! part     = part header (60 bytes) | segment*            key = HKDF(data key, salt, part header)
//! segment  = AES-256-GCM(nonce = counter | last), at most 64 KiB of plaintext | tag
//! footer   = CBOR {header, place, part table, sealed checksums, carried metadata} | MAC | length | magic
//! header   = wrapped data key | core (CBOR): the associated data of the wrap; also in x-amz-meta-gse-h
//! ```

mod cbor;
mod checksums;
mod entropy;
mod error;
mod fields;
mod footer;
mod header;
mod keys;
mod layout;
mod metadata;
mod object;
mod opener;
mod part;
mod record;
mod rewrap;
mod segments;
mod single;
mod upload;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]
mod tests;

pub use checksums::{Checksum, ChecksumAlgorithm, ChecksumKind, Checksums, PartChecksums};
pub use error::{FormatError, OpenError, SealError};
pub use fields::{
    Cause, Expected, MAX_BUCKET, MAX_KEK_RECORD, MAX_KEY, MAX_KMS_ID, MAX_POLICY_NAME, MAX_WRITER, Place, PolicyRef,
    Recorded,
};
pub use footer::{Footer, FooterRead, SealedFooter};
pub use header::Header;
pub use keys::{DataKey, KEY_LEN, Kek, Salt};
pub use layout::{
    FOOTER_GUESS, MAX_FOOTER, MAX_PARTS, MAX_PLAINTEXT, MIN_PART, MIN_STORED, Part, SEGMENT_SIZE, padded_stored_len,
    part_stored_len, plaintext_len_of_padded,
};
pub use metadata::{MAGIC, Metadata, MetadataForm, UserMetadata, begins_with_magic, is_reserved};
pub use object::{Object, Read};
pub use opener::Opener;
pub use part::PartSealer;
pub use record::{open_record, seal_record};
pub use rewrap::Rewrap;
pub use single::SingleSealer;
pub use upload::Upload;
