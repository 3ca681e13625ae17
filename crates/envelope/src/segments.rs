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
    gathered: Gathered,
    spare: Spare,
}

/// What has come of the next segment.
enum Gathered {
    Nothing,
    /// One piece, where it came: with a second that completes the segment it is sealed without a copy.
    Piece(Bytes),
    /// More: a buffer with room for the whole and its tag, and how much of it is filled.
    Copied(BytesMut, usize),
}

impl Segments {
    pub(crate) fn new(key: LessSafeKey, size: SegmentSize, plaintext_len: u64) -> Self {
        Self::starting_at(key, size, plaintext_len, 0)
    }

    /// As [`new`](Self::new), from the segment at `index` on; for reading.
    pub(crate) fn starting_at(key: LessSafeKey, size: SegmentSize, plaintext_len: u64, index: u64) -> Self {
        Self { key, size, plaintext_len, index, gathered: Gathered::Nothing, spare: Spare::default() }
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

    /// Whether nothing of the next segment has come yet, so that it can be taken whole from its slice.
    pub(crate) fn fresh(&self) -> bool {
        matches!(self.gathered, Gathered::Nothing)
    }

    /// Moves bytes of the next segment, which has `len`, out of `input`; true once all of them have come.
    pub(crate) fn fill(&mut self, input: &mut Bytes, len: usize) -> bool {
        let (mut buffer, filled) = self.copied();
        let some = input.split_to((len - filled).min(input.len()));
        buffer[filled..filled + some.len()].copy_from_slice(&some);
        let filled = filled + some.len();
        self.gathered = Gathered::Copied(buffer, filled);
        filled == len
    }

    /// What was gathered, in a buffer with room for the whole segment and its tag, and how much that is.
    fn copied(&mut self) -> (BytesMut, usize) {
        let room = self.next_len() + TAG_LEN;
        match std::mem::replace(&mut self.gathered, Gathered::Nothing) {
            Gathered::Nothing => (self.spare.take(room), 0),
            Gathered::Piece(piece) => {
                let mut buffer = self.spare.take(room);
                buffer[..piece.len()].copy_from_slice(&piece);
                (buffer, piece.len())
            }
            Gathered::Copied(buffer, filled) => (buffer, filled),
        }
    }

    fn next_nonce(&mut self) -> Nonce {
        let nonce = nonce(self.index, self.at_last());
        self.index += 1;
        nonce
    }

    /// Takes of `input` what belongs to the next segment, and gives that sealed once all of it has come. With `keep` the
    /// first piece of a segment may be kept as it came: a small piece keeps the whole buffer that it is cut from.
    pub(crate) fn seal(&mut self, input: &mut Bytes, keep: bool) -> Result<Option<Bytes>, SealError> {
        let len = self.next_len();
        let before = match &self.gathered {
            Gathered::Nothing => 0,
            Gathered::Piece(piece) => piece.len(),
            Gathered::Copied(_, filled) => *filled,
        };
        let rest = len - before;
        if input.len() < rest {
            if before == 0 && keep {
                self.gathered = Gathered::Piece(std::mem::take(input));
            } else {
                self.fill(input, len);
            }
            return Ok(None);
        }
        let rest = input.split_to(rest);
        let nonce = self.next_nonce();
        let sealed = match std::mem::replace(&mut self.gathered, Gathered::Nothing) {
            Gathered::Copied(mut buffer, filled) => {
                let (start, end) = buffer.split_at_mut(filled);
                self.key.seal_in_place_scatter(nonce, Aad::empty(), start, &rest, end).map(|()| buffer)
            }
            gathered => {
                let piece = if let Gathered::Piece(piece) = gathered { piece } else { Bytes::new() };
                let (first, second) = if piece.is_empty() { (&rest, &piece) } else { (&piece, &rest) };
                let mut buffer = self.spare.take(len + TAG_LEN);
                let (start, end) = buffer.split_at_mut(first.len());
                self.key.seal_out_of_place_scatter(nonce, Aad::empty(), first, start, second, end).map(|()| buffer)
            }
        };
        Ok(Some(self.spare.lend(sealed.map_err(|_| SealError::Crypto)?)))
    }

    /// Seals the last segment, all of which was [filled](Self::fill) in.
    pub(crate) fn seal_filled(&mut self) -> Result<Bytes, SealError> {
        let (mut sealed, _) = self.copied();
        let len = self.next_len();
        let nonce = self.next_nonce();
        let (body, room) = sealed.split_at_mut(len);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::empty(), body).map_err(|_| SealError::Crypto)?;
        room.copy_from_slice(tag.as_ref());
        Ok(self.spare.lend(sealed))
    }

    /// Opens the next segment from a slice of exactly its stored length. `None`: it is not authentic.
    pub(crate) fn open(&mut self, stored: &[u8]) -> Option<Bytes> {
        let len = self.next_len();
        let (body, tag) = stored.split_at(len);
        let mut opened = self.spare.take(stored.len());
        let nonce = self.next_nonce();
        self.key.open_separate_gather(nonce, Aad::empty(), body, tag, &mut opened[..len]).ok()?;
        Some(self.spare.lend(opened).split_to(len))
    }

    /// Opens the next segment, all of which was [filled](Self::fill) in. `None`: it is not authentic.
    pub(crate) fn open_filled(&mut self) -> Option<Bytes> {
        let (mut opened, _) = self.copied();
        let nonce = self.next_nonce();
        let len = self.key.open_in_place(nonce, Aad::empty(), &mut opened).ok()?.len();
        Some(self.spare.lend(opened).split_to(len))
    }
}

/// A few buffers that were given out, to be used again once the caller has dropped them: fresh memory for each segment
/// would have to be cleared, which costs a tenth of the rate.
#[derive(Default)]
struct Spare {
    lent: [Option<Bytes>; 4],
    oldest: usize,
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
        let slot = self.lent.iter().position(Option::is_none).unwrap_or(self.oldest);
        self.lent[slot] = Some(buffer.clone());
        self.oldest = (slot + 1) % self.lent.len();
        buffer
    }
}
