//! A part: its header, and its sealing.

use bytes::{BufMut, Bytes};

use crate::entropy::Entropy;
use crate::error::SealError;
use crate::keys::{DataKey, KEY_LEN, Salt};
use crate::layout::{MAX_PARTS, MAX_PLAINTEXT, PART_HEADER_LEN, Part, SegmentSize};
use crate::metadata::MAGIC;
use crate::segments::Segments;

/// Format version of everything that this program writes, and the only one that it reads.
pub(crate) const VERSION: u16 = 1;
/// AES-256-GCM segments, HKDF-SHA-256, HMAC-SHA-256.
pub(crate) const SUITE: u8 = 1;

/// magic (8) | version (2) | suite (1) | 0 (1) | segment size (4) | part number (4) | plaintext length (8) | salt (32),
/// integers big-endian. The part's key is derived from all of it.
pub(crate) fn encode_header(part: &Part, size: SegmentSize) -> [u8; PART_HEADER_LEN] {
    let mut out = [0; PART_HEADER_LEN];
    let mut rest = out.as_mut_slice();
    rest.put_slice(&MAGIC);
    rest.put_u16(VERSION);
    rest.put_u8(SUITE);
    rest.put_u8(0);
    rest.put_u32(size.get());
    rest.put_u32(u32::from(part.number));
    rest.put_u64(part.plaintext_len);
    rest.put_slice(&part.salt.0);
    out
}

/// Seals one upload of one part from a body of announced length. Draws a fresh salt, so that no two uploads share a key,
/// whatever number they have and through whichever gateway they come. Cannot be cloned or rewound: a body that is sent
/// again is sealed again, under another salt.
pub struct PartSealer {
    part: Part,
    size: SegmentSize,
    /// Given out with the first bytes.
    header: Option<[u8; PART_HEADER_LEN]>,
    segments: Segments,
    received: u64,
    failed: Option<SealError>,
}

impl PartSealer {
    /// `number` is the client's, 1 to 10,000; at most [`MAX_PLAINTEXT`] bytes.
    pub fn new(data_key: &DataKey, number: u16, plaintext_len: u64) -> Result<Self, SealError> {
        Self::drawing(data_key, number, plaintext_len, SegmentSize::WRITTEN, &mut Entropy::system())
    }

    pub(crate) fn drawing(
        data_key: &DataKey,
        number: u16,
        plaintext_len: u64,
        size: SegmentSize,
        entropy: &mut Entropy,
    ) -> Result<Self, SealError> {
        if !(1..=MAX_PARTS).contains(&number) {
            return Err(SealError::Bounds { field: "part number", bounds: "1 to 10000" });
        }
        if plaintext_len > MAX_PLAINTEXT {
            return Err(SealError::Bounds { field: "plaintext length", bounds: "at most 2^48 bytes" });
        }
        let part = Part { number, plaintext_len, salt: Salt::draw(entropy)? };
        let header = encode_header(&part, size);
        let segments = Segments::new(data_key.part_key(&part.salt, &header), size, plaintext_len);
        Ok(Self { part, size, header: Some(header), segments, received: 0, failed: None })
    }

    /// For the record of the part, which must be durable before the client is answered.
    pub fn salt(&self) -> Salt {
        self.part.salt
    }

    /// The part as the footer will list it.
    pub fn part(&self) -> Part {
        self.part
    }

    /// Length in bytes of the whole stored part.
    pub fn stored_len(&self) -> u64 {
        self.size.part_stored_len(self.part.plaintext_len)
    }

    /// Takes plaintext, cut in any way, and appends to `out` what is ready. Holds at most one segment. The last segment
    /// comes out of [`finish`](Self::finish) only. `SealError::TooLong` beyond the announced length.
    pub fn push(&mut self, plaintext: Bytes, out: &mut Vec<Bytes>) -> Result<(), SealError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        self.take(plaintext, out).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn take(&mut self, mut plaintext: Bytes, out: &mut Vec<Bytes>) -> Result<(), SealError> {
        self.received += plaintext.len() as u64;
        if self.received > self.part.plaintext_len {
            return Err(SealError::TooLong { announced: self.part.plaintext_len });
        }
        self.begin(out);
        let keep = plaintext.len() as u64 <= self.size.plain();
        while !plaintext.is_empty() {
            if self.segments.at_last() {
                let len = self.segments.next_len();
                self.segments.fill(&mut plaintext, len);
            } else {
                out.extend(self.segments.seal(&mut plaintext, keep)?);
            }
        }
        Ok(())
    }

    fn begin(&mut self, out: &mut Vec<Bytes>) {
        out.extend(self.header.take().map(|header| Bytes::copy_from_slice(&header)));
    }

    /// Ends the part: its last segment. `SealError::TooShort` if plaintext is missing.
    pub fn finish(mut self, out: &mut Vec<Bytes>) -> Result<(), SealError> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        if self.received < self.part.plaintext_len {
            return Err(SealError::TooShort { announced: self.part.plaintext_len, received: self.received });
        }
        self.begin(out);
        out.push(self.segments.seal_filled()?);
        Ok(())
    }
}

/// A part's entry in the footer: number (2) | plaintext length (8) | salt (32), integers big-endian.
pub(crate) fn encode_entry(part: &Part, out: &mut Vec<u8>) {
    out.extend_from_slice(&part.number.to_be_bytes());
    out.extend_from_slice(&part.plaintext_len.to_be_bytes());
    out.extend_from_slice(&part.salt.0);
}

/// The inverse of [`encode_entry`]; `None` for a part longer than [`MAX_PLAINTEXT`]. The number is not checked.
pub(crate) fn decode_entry(bytes: &[u8]) -> Option<Part> {
    let (number, rest) = bytes.split_first_chunk::<2>()?;
    let (len, salt) = rest.split_first_chunk::<8>()?;
    let salt: [u8; KEY_LEN] = salt.try_into().ok()?;
    let part = Part {
        number: u16::from_be_bytes(*number),
        plaintext_len: u64::from_be_bytes(*len),
        salt: Salt::from_bytes(salt),
    };
    (part.plaintext_len <= MAX_PLAINTEXT).then_some(part)
}
