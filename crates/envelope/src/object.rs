//! An object whose key is open and whose layout is authenticated: which stored bytes hold a plaintext range.

use std::ops::Range;
use std::sync::Arc;

use crate::checksums::Checksums;
use crate::error::{FormatError, OpenError};
use crate::footer::{Footer, MIN_FOOTER};
use crate::header::Header;
use crate::keys::DataKey;
use crate::layout::{FOOTER_FIXED, Part, SegmentSize};
use crate::metadata::UserMetadata;
use crate::opener::Opener;

/// An authenticated object, ready to be read. Holds the data key.
pub struct Object {
    pub(crate) opened: Arc<Opened>,
}

/// What an [`Object`] and the [`Opener`]s of its reads share.
pub(crate) struct Opened {
    pub(crate) data_key: DataKey,
    pub(crate) header: Header,
    pub(crate) parts: Vec<Part>,
    /// For each part, where its plaintext and its stored bytes begin; and one more entry, where the last ends.
    starts: Vec<Start>,
    footer: Option<OpenedFooter>,
}

#[derive(Clone, Copy)]
struct Start {
    plain: u64,
    stored: u64,
}

struct OpenedFooter {
    footer: Footer,
    checksums: Checksums,
}

/// Which stored bytes to fetch, and what opens them.
pub struct Read {
    /// Offsets of the stored bytes to fetch, end exclusive; never empty.
    pub stored: Range<u64>,
    /// To be fed with exactly those bytes.
    pub opener: Opener,
}

impl Object {
    pub(crate) fn from_header(header: Header, part: Part, data_key: DataKey) -> Self {
        Self::new(header, vec![part], data_key, None)
    }

    pub(crate) fn from_footer(footer: Footer, checksums: Checksums, data_key: DataKey) -> Self {
        let (header, parts) = (footer.header().clone(), footer.parts().to_vec());
        Self::new(header, parts, data_key, Some(OpenedFooter { footer, checksums }))
    }

    fn new(header: Header, parts: Vec<Part>, data_key: DataKey, footer: Option<OpenedFooter>) -> Self {
        let size = header.body().size;
        let mut starts = Vec::with_capacity(parts.len() + 1);
        let mut at = Start { plain: 0, stored: 0 };
        starts.push(at);
        for part in &parts {
            at.plain += part.plaintext_len;
            at.stored += size.part_stored_len(part.plaintext_len);
            starts.push(at);
        }
        Self { opened: Arc::new(Opened { data_key, header, parts, starts, footer }) }
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.opened.header
    }

    /// Plaintext length in bytes.
    pub fn plaintext_len(&self) -> u64 {
        self.opened.end().plain
    }

    /// The parts in order. A single PUT has one, with number 1.
    pub fn parts(&self) -> &[Part] {
        &self.opened.parts
    }

    /// The plaintext range of the part with this number, for reads by `partNumber`. `None`: no such part.
    pub fn part_range(&self, number: u16) -> Option<Range<u64>> {
        let index = self.opened.parts.binary_search_by_key(&number, |part| part.number).ok()?;
        Some(self.opened.starts[index].plain..self.opened.starts[index + 1].plain)
    }

    /// The sealed checksums; `None` where the object was opened from its header alone (they are in the footer).
    pub fn checksums(&self) -> Option<&Checksums> {
        self.opened.footer.as_ref().map(|footer| &footer.checksums)
    }

    /// The client's metadata, where it is carried in the footer.
    pub fn carried(&self) -> Option<&UserMetadata> {
        self.opened.footer.as_ref().and_then(|footer| footer.footer.carried())
    }

    /// Offsets of the stored body: all parts, without padding and footer. What a server-side copy copies.
    pub fn body(&self) -> Range<u64> {
        0..self.opened.end().stored
    }

    /// A read of everything, the footer included. `stored_len` as the storage reports it for this read.
    /// `OpenError::StoredLength` or `FormatError::StoredLength` where it cannot be right.
    pub fn read_whole(&self, stored_len: u64) -> Result<Read, OpenError> {
        let body = self.opened.end().stored;
        let footer_len = match &self.opened.footer {
            Some(opened) if opened.footer.stored_len() == stored_len => opened.footer.len(),
            Some(opened) => {
                return Err(OpenError::StoredLength { expected: opened.footer.stored_len(), actual: stored_len });
            }
            None => {
                let plausible = stored_len.checked_sub(body).filter(|len| (MIN_FOOTER..=FOOTER_FIXED).contains(len));
                plausible.ok_or(FormatError::StoredLength { stored_len })?
            }
        };
        let padding = stored_len - body - footer_len;
        Ok(Read { stored: 0..stored_len, opener: Opener::whole(self.opened.clone(), stored_len, padding, footer_len) })
    }

    /// A read of a plaintext range that is not empty and lies within the plaintext: only the segments that it touches
    /// (and the headers of the parts between). `OpenError::Range` for any other range.
    pub fn read_range(&self, range: Range<u64>) -> Result<Read, OpenError> {
        let plaintext_len = self.plaintext_len();
        if range.is_empty() || range.end > plaintext_len {
            return Err(OpenError::Range { start: range.start, end: range.end, plaintext_len });
        }
        let opened = &self.opened;
        let (first, last) = (opened.part_of(range.start), opened.part_of(range.end - 1));
        let start = opened.segments_of(first, &range).start;
        let end = opened.segments_of(last, &range).end;
        Ok(Read { stored: start..end, opener: Opener::range(opened.clone(), first, last, range, end - start) })
    }
}

impl Opened {
    pub(crate) fn size(&self) -> SegmentSize {
        self.header.body().size
    }

    fn end(&self) -> Start {
        *self.starts.last().expect("there is one more start than parts")
    }

    /// Where the plaintext of the part at `index` begins.
    pub(crate) fn plain_start(&self, index: usize) -> u64 {
        self.starts[index].plain
    }

    /// Index of the part that holds the plaintext byte at `offset`; empty parts hold none.
    fn part_of(&self, offset: u64) -> usize {
        self.starts.partition_point(|start| start.plain <= offset) - 1
    }

    /// Offsets of the stored segments of the part at `index` that `range` touches; it touches at least one.
    fn segments_of(&self, index: usize, range: &Range<u64>) -> Range<u64> {
        let plain = self.starts[index].plain;
        let len = self.parts[index].plaintext_len;
        let within = range.start.saturating_sub(plain)..(range.end - plain).min(len);
        let stored = self.size().stored_segments(len, &within);
        let base = self.starts[index].stored;
        base + stored.start..base + stored.end
    }
}
