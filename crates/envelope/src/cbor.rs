//! Deterministic CBOR (RFC 8949 section 4.2.1) within bounds. A reader decodes leniently, encodes what it understood, and
//! accepts only if that gives the same bytes: so there is exactly one coding of each value.

use minicbor::decode::Decoder;
use minicbor::encode::Encoder;

use crate::error::FormatError;

/// An encoder into memory, which cannot fail.
pub(crate) type Writer = Encoder<Vec<u8>>;
/// What every call on a [`Writer`] gives.
pub(crate) type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

/// What is encoded is seldom longer, in bytes: a header, or the footer of an object of one part.
const USUAL: usize = 1024;

/// Encodes with `write`.
pub(crate) fn encode(write: impl FnOnce(&mut Writer) -> Written) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(USUAL));
    write(&mut encoder).expect("encoding into memory does not fail");
    encoder.into_writer()
}

/// A reader of one item, whose every complaint names the part of the format that is malformed.
pub(crate) struct Reader<'b> {
    decoder: Decoder<'b>,
    part: &'static str,
}

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b [u8], part: &'static str) -> Self {
        Self { decoder: Decoder::new(bytes), part }
    }

    pub(crate) fn malformed(&self, reason: &'static str) -> FormatError {
        FormatError::Malformed { part: self.part, reason }
    }

    /// The number of entries of a map of definite length.
    pub(crate) fn map(&mut self) -> Result<u64, FormatError> {
        self.decoder.map().ok().flatten().ok_or_else(|| self.malformed("no map of definite length"))
    }

    /// Demands an array of exactly `len` items.
    pub(crate) fn array(&mut self, len: u64) -> Result<(), FormatError> {
        let found = self.any_array()?;
        if found == len { Ok(()) } else { Err(self.malformed("an array has a wrong length")) }
    }

    /// The number of items of an array of definite length.
    pub(crate) fn any_array(&mut self) -> Result<u64, FormatError> {
        self.decoder.array().ok().flatten().ok_or_else(|| self.malformed("no array of definite length"))
    }

    /// Demands the next key of a map.
    pub(crate) fn key(&mut self, key: u64) -> Result<(), FormatError> {
        if self.uint()? == key { Ok(()) } else { Err(self.malformed("a field is missing or unknown")) }
    }

    pub(crate) fn uint(&mut self) -> Result<u64, FormatError> {
        self.decoder.u64().map_err(|_| self.malformed("no unsigned integer where one belongs"))
    }

    pub(crate) fn bool(&mut self) -> Result<bool, FormatError> {
        self.decoder.bool().map_err(|_| self.malformed("no boolean where one belongs"))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'b [u8], FormatError> {
        self.decoder.bytes().map_err(|_| self.malformed("no byte string where one belongs"))
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        self.bytes()?.try_into().map_err(|_| self.malformed("a byte string has a wrong length"))
    }

    pub(crate) fn text(&mut self) -> Result<&'b str, FormatError> {
        self.decoder.str().map_err(|_| self.malformed("no text where one belongs"))
    }
}
