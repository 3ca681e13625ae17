//! What can be wrong with stored bytes, with an opening, and with a sealing.

use crate::fields::Place;

/// The bytes or metadata are not a well-formed sealed object of a version that this program knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The footer's magic is missing: the object was truncated, something was appended, or it was never sealed.
    #[error("the object does not end in a sealgate footer: truncated, appended to, or never sealed")]
    NoFooter,
    /// The object does not begin with a part header, although its metadata says that it is sealed.
    #[error("the metadata says that the object is sealed, but its bytes do not begin with a sealed part")]
    NotSealed,
    /// A format version that this program does not know.
    #[error("format version {0} is not known to this program, which reads version 1")]
    UnknownVersion(u64),
    /// An algorithm suite that this program does not know.
    #[error("algorithm suite {0} is not known to this program, which reads suite 1 (AES-256-GCM with HKDF-SHA-256)")]
    UnknownAlgorithm(u64),
    /// A segment size that is not a power of two from 4 KiB to 1 MiB.
    #[error("segment size {0} is not a power of two from 4096 to 1048576")]
    SegmentSize(u64),
    /// A field is missing, has another type, is out of its bounds, or is not in the canonical coding.
    #[error("the {part} is malformed: {reason}")]
    Malformed {
        /// Which part of the format, for example `footer`.
        part: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two entries of the metadata contradict each other, or the metadata contradicts the stored length.
    #[error("the object's metadata contradicts itself or the stored length: {0}")]
    Contradiction(&'static str),
    /// No plaintext has this stored length: truncated, or appended to.
    #[error("no plaintext has the stored length {stored_len}: truncated, or appended to")]
    StoredLength {
        /// Stored length in bytes as the storage reports it.
        stored_len: u64,
    },
}

/// A sealed object that cannot be opened. No plaintext that was not authenticated has been released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The bytes are not a well-formed sealed object.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The data key does not unwrap: the KEK is another one, or a field of the header was changed.
    #[error("the data key does not open: the key-encryption key is another one, or the object's header was changed")]
    DataKey,
    /// The data key unwrapped but is not the one that the object committed to.
    #[error("the data key is not the one that the object committed to")]
    Commitment,
    /// The object was sealed for another place. Nothing else is wrong with its header.
    #[error("the object was sealed for {}, not for {}", named(recorded.as_ref()), named(expected.as_ref()))]
    WrongPlace {
        /// The place that the object names; `None` where only metadata without it was read (the footer has it).
        recorded: Option<Place>,
        /// The place from which it was read.
        expected: Option<Place>,
    },
    /// The footer's MAC does not verify.
    #[error("the footer is not authentic: changed, or of another object")]
    Footer,
    /// The footer's header is not the one in the metadata: one of the two is of another object or an older one.
    #[error("the footer and the metadata are not of the same object")]
    FooterDisagrees,
    /// A part header is not the one that the footer or the metadata lists for this position.
    #[error("part {number} is not the one that the object lists: dropped, moved, replaced or of another upload")]
    PartHeader {
        /// Part number that was expected at this position.
        number: u16,
    },
    /// A segment does not authenticate.
    #[error("segment {index} of part {number} is not authentic: changed, moved or of another object")]
    Segment {
        /// Part number.
        number: u16,
        /// Index of the segment within the part, from 0.
        index: u64,
    },
    /// The zeros between the parts and the footer are not zeros.
    #[error("the padding in front of the footer was changed")]
    Padding,
    /// The stored bytes ended too early.
    #[error("the stored bytes end {missing} bytes too early")]
    Truncated {
        /// How many stored bytes are missing.
        missing: u64,
    },
    /// More stored bytes came than the object has.
    #[error("there are more stored bytes than the object has")]
    Appended,
    /// The stored length is not the one that follows from the authenticated layout.
    #[error("the object has {actual} stored bytes where its layout demands {expected}")]
    StoredLength {
        /// Stored length in bytes that follows from the layout.
        expected: u64,
        /// Stored length in bytes that the storage reports.
        actual: u64,
    },
    /// The range does not lie within the plaintext.
    #[error("the range {start}..{end} does not lie within the {plaintext_len} bytes of plaintext")]
    Range {
        /// First byte asked for.
        start: u64,
        /// One past the last byte asked for.
        end: u64,
        /// Plaintext length in bytes.
        plaintext_len: u64,
    },
    /// A sealed block (checksums, a record) does not authenticate in its context.
    #[error("a sealed record is not authentic: changed, moved or of another upload")]
    Record,
}

/// A sealing that cannot be done. What was produced so far must not be committed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A field is outside its bounds.
    #[error("{field} is out of bounds: {bounds}")]
    Bounds {
        /// The field.
        field: &'static str,
        /// The bounds.
        bounds: &'static str,
    },
    /// The place is not the one that the header was made for.
    #[error("the header was made for another place than {0}")]
    Place(Place),
    /// More plaintext than announced.
    #[error("more plaintext than the {announced} bytes announced")]
    TooLong {
        /// Plaintext length in bytes that the length was computed from.
        announced: u64,
    },
    /// Less plaintext than announced.
    #[error("only {received} of the {announced} bytes of plaintext announced")]
    TooShort {
        /// Plaintext length in bytes that the length was computed from.
        announced: u64,
        /// What came, in bytes.
        received: u64,
    },
    /// The checksums at the end are not of the algorithms announced, or a value has a wrong length.
    #[error("the checksums are not of the algorithms announced at the beginning")]
    Checksums,
    /// Parts that are not strictly ascending in number, none at all, or more than 10,000.
    #[error("an object has 1 to 10000 parts in strictly ascending order")]
    PartOrder,
    /// So many parts are smaller than 5 MiB that the closed form of the stored length does not hold.
    #[error("too many parts have less than 5 MiB")]
    PartsTooSmall,
    /// The system's random number generator failed.
    #[error("the system's random number generator failed")]
    Random,
    /// The cryptographic library refused; cannot happen within the bounds of this crate, and is never ignored.
    #[error("the cryptographic library refused to seal")]
    Crypto,
}

fn named(place: Option<&Place>) -> String {
    place.map_or_else(|| "another place".to_owned(), Place::to_string)
}
