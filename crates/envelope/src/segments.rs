//! Segments: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015) over AES-256-GCM. The nonce is the
//! segment's index within its part and whether it is the last, so order and end are authenticated.

use aws_lc_rs::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use bytes::{Bytes, BytesMut};

use crate::error::SealError;
use crate::keys::TAG_LEN;
use crate::layout::SegmentSize;

/// Index in 11 bytes, big-endian; then 1 for the last segment, else 0.
fn nonce(index: u64, last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[3..11].copy_from_slice(&index.to_be_bytes());
    bytes[11] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

/// Segments of one part, in either direction: the part's key, and where we are.
///
/// Each index is sealed at most once: `index` only ever grows, and the key is of one part upload alone.
pub(crate) struct Segments {
    key: LessSafeKey,
    size: SegmentSize,
    plaintext_len: u64,
    index: u64,
    spare: Spare,
}

impl Segments {
    pub(crate) fn new(key: LessSafeKey, size: SegmentSize, plaintext_len: u64) -> Self {
        Self { key, size, plaintext_len, index: 0, spare: Spare::default() }
    }

    /// As [`new`](Self::new), from the segment at `index` on; for reading.
    pub(crate) fn starting_at(key: LessSafeKey, size: SegmentSize, plaintext_len: u64, index: u64) -> Self {
        Self { key, size, plaintext_len, index, spare: Spare::default() }
    }

    /// Index of the next segment.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    pub(crate) fn done(&self) -> bool {
        self.index == self.size.count(self.plaintext_len)
    }

    /// Whether the next segment is the last.
    pub(crate) fn at_last(&self) -> bool {
        self.index + 1 == self.size.count(self.plaintext_len)
    }

    /// Plaintext length of the next segment.
    pub(crate) fn next_len(&self) -> usize {
        self.size.len_at(self.plaintext_len, self.index)
    }

    fn next_nonce(&mut self) -> Nonce {
        let nonce = nonce(self.index, self.at_last());
        self.index += 1;
        nonce
    }

    /// Seals the next segment from a slice of exactly its length.
    pub(crate) fn seal(&mut self, plaintext: &[u8]) -> Result<Bytes, SealError> {
        debug_assert_eq!(plaintext.len(), self.next_len());
        let nonce = self.next_nonce();
        let mut sealed = self.spare.take(plaintext.len() + TAG_LEN);
        let (body, tag) = sealed.split_at_mut(plaintext.len());
        self.key
            .seal_out_of_place_scatter(nonce, Aad::empty(), plaintext, body, &[], tag)
            .map_err(|_| SealError::Crypto)?;
        Ok(self.spare.lend(sealed))
    }

    /// Seals the next segment in place.
    pub(crate) fn seal_in_place(&mut self, mut segment: BytesMut) -> Result<Bytes, SealError> {
        debug_assert_eq!(segment.len(), self.next_len());
        let nonce = self.next_nonce();
        let tag =
            self.key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut segment).map_err(|_| SealError::Crypto)?;
        segment.extend_from_slice(tag.as_ref());
        Ok(segment.freeze())
    }

    /// Opens the next segment from a slice of exactly its stored length. `None`: it is not authentic.
    pub(crate) fn open(&mut self, stored: &[u8]) -> Option<Bytes> {
        let (body, tag) = stored.split_at(self.next_len());
        let nonce = self.next_nonce();
        let mut plaintext = self.spare.take(body.len());
        self.key.open_separate_gather(nonce, Aad::empty(), body, tag, &mut plaintext).ok()?;
        Some(self.spare.lend(plaintext))
    }

    /// Opens the next segment in place. `None`: it is not authentic.
    pub(crate) fn open_in_place(&mut self, mut stored: BytesMut) -> Option<Bytes> {
        let nonce = self.next_nonce();
        let len = self.key.open_in_place(nonce, Aad::empty(), &mut stored).ok()?.len();
        stored.truncate(len);
        Some(stored.freeze())
    }
}

/// A few buffers that were given out, to be used again once the caller has dropped them: saves clearing fresh memory for
/// each segment, which costs a tenth of the rate.
#[derive(Default)]
struct Spare {
    lent: [Option<Bytes>; 2],
}

impl Spare {
    fn take(&mut self, len: usize) -> BytesMut {
        for slot in &mut self.lent {
            if slot.as_ref().is_some_and(|buffer| buffer.len() == len && buffer.is_unique()) {
                match slot.take().map(Bytes::try_into_mut) {
                    Some(Ok(buffer)) => return buffer,
                    Some(Err(still_lent)) => *slot = Some(still_lent),
                    None => {}
                }
            }
        }
        BytesMut::zeroed(len)
    }

    fn lend(&mut self, buffer: BytesMut) -> Bytes {
        let buffer = buffer.freeze();
        self.lent.swap(0, 1);
        self.lent[0] = Some(buffer.clone());
        buffer
    }
}
