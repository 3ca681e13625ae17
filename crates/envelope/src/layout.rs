//! Arithmetic of the stored bytes: which length follows from which, and where a plaintext range lies.

use std::ops::Range;

use crate::keys::{Salt, TAG_LEN};

/// Plaintext bytes of a segment as this program writes them. Readers take it from the header.
pub const SEGMENT_SIZE: u32 = 64 * 1024;
/// Least plaintext of every part but the last, in bytes, as S3 demands it: what the closed form rests on.
pub const MIN_PART: u64 = 5 * 1024 * 1024;
/// Most parts of one object.
pub const MAX_PARTS: u16 = 10_000;
/// Most plaintext of one object, in bytes: 256 TiB, far above what any S3 service takes.
pub const MAX_PLAINTEXT: u64 = 1 << 48;
/// Largest footer in bytes: a table and checksums of 10,000 parts, and 12 KiB for everything else.
pub const MAX_FOOTER: u64 = MAX_PARTS as u64 * (TABLE_ENTRY_LEN as u64 + MAX_PART_CHECKSUM) + FOOTER_FIXED;
/// How much of an object's end is worth reading first: the whole footer of all objects of up to some 300 parts,
/// and 150 where each has a checksum of 64 bytes.
pub const FOOTER_GUESS: u64 = 16 * 1024;

/// No stored object is shorter, in bytes: an empty segment behind its header, and the least footer.
pub const MIN_STORED: u64 = PART_HEADER_LEN as u64 + TAG_LEN as u64 + crate::footer::MIN_FOOTER;

/// Length in bytes of the header in front of each part.
pub(crate) const PART_HEADER_LEN: usize = 60;
/// Length in bytes of a part's entry in the footer: number, plaintext length, salt.
pub(crate) const TABLE_ENTRY_LEN: usize = 2 + 8 + 32;
/// Longest checksum of a part, in bytes (SHA-512).
const MAX_PART_CHECKSUM: u64 = 64;
/// What the closed form grants each part: header, odd tag, table entry, checksum, and 10 bytes of reserve.
const PER_PART: u64 = 192;
const _: () = assert!(
    (PART_HEADER_LEN + TAG_LEN + TABLE_ENTRY_LEN) as u64 + MAX_PART_CHECKSUM <= PER_PART,
    "the closed form grants each part its header, odd tag, entry and checksum"
);
/// What the closed form grants the footer besides its per-part entries.
pub(crate) const FOOTER_FIXED: u64 = 12 * 1024;

/// One part of an object, as the footer lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The client's part number, 1 to 10,000.
    pub number: u16,
    /// Plaintext length in bytes.
    pub plaintext_len: u64,
    /// The salt of the upload that was taken.
    pub salt: Salt,
}

/// A power of two from 4 KiB to 1 MiB: plaintext bytes of each segment but the last of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentSize(u32);

impl SegmentSize {
    pub(crate) const WRITTEN: Self = Self(SEGMENT_SIZE);

    pub(crate) fn new(bytes: u32) -> Option<Self> {
        (bytes.is_power_of_two() && (4096..=1 << 20).contains(&bytes)).then_some(Self(bytes))
    }

    pub(crate) fn get(self) -> u32 {
        self.0
    }

    pub(crate) fn plain(self) -> u64 {
        u64::from(self.0)
    }

    /// Stored length in bytes of a full segment.
    pub(crate) fn stored(self) -> u64 {
        self.plain() + TAG_LEN as u64
    }

    /// How many segments a part has: an empty part has one, which is empty.
    pub(crate) fn count(self, plaintext_len: u64) -> u64 {
        plaintext_len.div_ceil(self.plain()).max(1)
    }

    /// Plaintext length of the segment at `index` of a part.
    pub(crate) fn len_at(self, plaintext_len: u64, index: u64) -> usize {
        let len = plaintext_len.saturating_sub(index * self.plain()).min(self.plain());
        usize::try_from(len).expect("a segment has at most 1 MiB")
    }

    /// Stored length in bytes of a part: header, segments, tags.
    pub(crate) fn part_stored_len(self, plaintext_len: u64) -> u64 {
        PART_HEADER_LEN as u64 + plaintext_len + TAG_LEN as u64 * self.count(plaintext_len)
    }

    /// Where the segments that `range` touches lie within the stored part. `range` is not empty and within the part.
    pub(crate) fn stored_segments(self, plaintext_len: u64, range: &Range<u64>) -> Range<u64> {
        let first = range.start / self.plain();
        let last = (range.end - 1) / self.plain();
        let start = PART_HEADER_LEN as u64 + first * self.stored();
        let end =
            PART_HEADER_LEN as u64 + last * self.stored() + self.len_at(plaintext_len, last) as u64 + TAG_LEN as u64;
        start..end
    }

    /// Stored length of a padded object: strictly increasing in the plaintext length.
    pub(crate) fn padded_stored_len(self, plaintext_len: u64) -> u64 {
        let parts = (plaintext_len / MIN_PART + 1).min(u64::from(MAX_PARTS));
        plaintext_len + TAG_LEN as u64 * plaintext_len.div_ceil(self.plain()) + PER_PART * parts + FOOTER_FIXED
    }

    /// The plaintext length that has this padded stored length; `None` where there is none.
    pub(crate) fn plaintext_len_of_padded(self, stored_len: u64) -> Option<u64> {
        let (mut low, mut high) = (0, MAX_PLAINTEXT.min(stored_len));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.padded_stored_len(middle) < stored_len { low = middle + 1 } else { high = middle }
        }
        (self.padded_stored_len(low) == stored_len).then_some(low)
    }
}

/// Stored length in bytes of a part of `plaintext_len` bytes as this program writes it.
pub fn part_stored_len(plaintext_len: u64) -> u64 {
    SegmentSize::WRITTEN.part_stored_len(plaintext_len)
}

/// Stored length in bytes of a whole object in the padded form (multipart and marker form) as this program writes it:
/// P + 16·⌈P/65536⌉ + 192·min(⌊P/5242880⌋+1, 10000) + 12288.
pub fn padded_stored_len(plaintext_len: u64) -> u64 {
    SegmentSize::WRITTEN.padded_stored_len(plaintext_len)
}

/// The inverse of [`padded_stored_len`]: exact; `None` where no plaintext length has this stored length.
pub fn plaintext_len_of_padded(stored_len: u64) -> Option<u64> {
    SegmentSize::WRITTEN.plaintext_len_of_padded(stored_len)
}
