//! Opening of stored bytes as they come.

use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};

use crate::error::{FormatError, OpenError};
use crate::footer::{Footer, FooterRead};
use crate::keys::TAG_LEN;
use crate::layout::PART_HEADER_LEN;
use crate::metadata::MAGIC;
use crate::object::Opened;
use crate::part::{VERSION, encode_header};
use crate::segments::Segments;

/// Opens the stored bytes of one read. Gives out authenticated plaintext only.
///
/// In a whole read the plaintext of the last segment is held back until the padding and the footer were verified, so a
/// caller that has announced a length cannot complete a body that turns out to be changed behind its end. An empty
/// object has no plaintext to hold back: call [`finish`](Self::finish) before answering.
pub struct Opener {
    opened: Arc<Opened>,
    phase: Phase,
    /// `Some` in a whole read: what follows the parts.
    whole: Option<Whole>,
    /// Index of the last part to read.
    last: usize,
    plaintext_len: u64,
    /// Plaintext bytes to drop before the first that was asked for.
    skip: u64,
    /// Plaintext bytes still to give.
    left: u64,
    /// Stored bytes still to come.
    missing: u64,
    /// The stored bytes of the next part header or of the footer, as far as they came.
    pending: BytesMut,
    held: Option<Bytes>,
    failed: Option<OpenError>,
}

struct Whole {
    stored_len: u64,
    padding: u64,
    footer_len: usize,
}

/// What the next stored byte belongs to.
enum Phase {
    /// The header of the part at this index.
    Header(usize),
    /// A segment of the part at this index.
    Segment(usize, Box<Segments>),
    /// So many zeros.
    Padding(u64),
    Footer,
    Done,
}

impl Opener {
    pub(crate) fn whole(opened: Arc<Opened>, stored_len: u64, padding: u64, footer_len: u64) -> Self {
        let last = opened.parts.len() - 1;
        let plaintext_len = opened.plain_start(last + 1);
        let footer_len = usize::try_from(footer_len).expect("a footer is shorter than 2 MiB");
        let whole = Some(Whole { stored_len, padding, footer_len });
        Self::new(opened, Phase::Header(0), whole, last, 0, plaintext_len, stored_len)
    }

    /// `range` begins in the part at `first` and ends in the part at `last`.
    pub(crate) fn range(opened: Arc<Opened>, first: usize, last: usize, range: Range<u64>, stored_len: u64) -> Self {
        let size = opened.size();
        let part = opened.parts[first];
        let within = range.start - opened.plain_start(first);
        let index = within / size.plain();
        let key = opened.data_key.part_key(&part.salt, &encode_header(&part, size));
        let segments = Segments::starting_at(key, size, part.plaintext_len, index);
        let skip = within % size.plain();
        Self::new(
            opened,
            Phase::Segment(first, Box::new(segments)),
            None,
            last,
            skip,
            range.end - range.start,
            stored_len,
        )
    }

    fn new(
        opened: Arc<Opened>,
        phase: Phase,
        whole: Option<Whole>,
        last: usize,
        skip: u64,
        plaintext_len: u64,
        missing: u64,
    ) -> Self {
        Self {
            opened,
            phase,
            whole,
            last,
            plaintext_len,
            skip,
            left: plaintext_len,
            missing,
            pending: BytesMut::new(),
            held: None,
            failed: None,
        }
    }

    /// How many plaintext bytes the read gives in all.
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// Takes stored bytes, cut in any way, and appends to `out` the plaintext that is authenticated. After an error
    /// nothing more comes: what was appended before is authentic, but the read failed.
    pub fn push(&mut self, stored: Bytes, out: &mut Vec<Bytes>) -> Result<(), OpenError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        self.take(stored, out).inspect_err(|error| {
            self.held = None;
            self.failed = Some(error.clone());
        })
    }

    /// Ends the read and gives what was held back. `OpenError::Truncated` if stored bytes are missing.
    pub fn finish(mut self, out: &mut Vec<Bytes>) -> Result<(), OpenError> {
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        if !matches!(self.phase, Phase::Done) || self.missing > 0 || self.left > 0 {
            return Err(OpenError::Truncated { missing: self.missing });
        }
        out.extend(self.held.take());
        Ok(())
    }

    fn take(&mut self, mut stored: Bytes, out: &mut Vec<Bytes>) -> Result<(), OpenError> {
        while !stored.is_empty() {
            let before = stored.len();
            // A phase that goes on is put back; after an error it stays `Done`, and nothing is opened any more.
            self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
                Phase::Done => return Err(OpenError::Appended),
                Phase::Header(at) => match gather(&mut self.pending, &mut stored, PART_HEADER_LEN) {
                    None => Phase::Header(at),
                    Some(header) => Phase::Segment(at, Box::new(self.check_header(at, &header)?)),
                },
                Phase::Segment(at, segments) => self.segment(at, segments, &mut stored, out)?,
                Phase::Padding(left) => match skip_zeros(left, &mut stored)? {
                    0 => Phase::Footer,
                    left => Phase::Padding(left),
                },
                Phase::Footer => {
                    let len = self.behind()?.footer_len;
                    match gather(&mut self.pending, &mut stored, len) {
                        None => Phase::Footer,
                        Some(footer) => {
                            self.check_footer(&footer)?;
                            Phase::Done
                        }
                    }
                }
            };
            self.missing = self.missing.saturating_sub((before - stored.len()) as u64);
        }
        Ok(())
    }

    /// Opens the next segment of the part at index `at`, once all of it has come.
    fn segment(
        &mut self,
        at: usize,
        mut segments: Box<Segments>,
        stored: &mut Bytes,
        out: &mut Vec<Bytes>,
    ) -> Result<Phase, OpenError> {
        let len = segments.next_len() + TAG_LEN;
        let index = segments.index();
        let plaintext = if segments.fresh() && stored.len() >= len {
            segments.open(&stored.split_to(len))
        } else if segments.fill(stored, len) {
            segments.open_filled()
        } else {
            return Ok(Phase::Segment(at, segments));
        };
        let number = self.opened.parts[at].number;
        self.give(plaintext.ok_or(OpenError::Segment { number, index })?, out);
        Ok(self.after_segment(at, segments))
    }

    /// What follows the parts; a range read never gets there.
    fn behind(&self) -> Result<&Whole, OpenError> {
        self.whole.as_ref().ok_or(OpenError::Appended)
    }

    fn after_segment(&self, at: usize, segments: Box<Segments>) -> Phase {
        match &self.whole {
            None if self.left == 0 => Phase::Done,
            _ if !segments.done() => Phase::Segment(at, segments),
            _ if at < self.last => Phase::Header(at + 1),
            Some(whole) if whole.padding > 0 => Phase::Padding(whole.padding),
            Some(_) => Phase::Footer,
            None => Phase::Done,
        }
    }

    fn check_header(&self, at: usize, stored: &[u8]) -> Result<Segments, OpenError> {
        let (size, part) = (self.opened.size(), self.opened.parts[at]);
        let header = encode_header(&part, size);
        if stored != header {
            if at == 0 && stored[..MAGIC.len()] != MAGIC {
                return Err(FormatError::NotSealed.into());
            }
            let version = u16::from_be_bytes([stored[8], stored[9]]);
            if stored[..MAGIC.len()] == MAGIC && version != VERSION {
                return Err(FormatError::UnknownVersion(version.into()).into());
            }
            return Err(OpenError::PartHeader { number: part.number });
        }
        let key = self.opened.data_key.part_key(&part.salt, &header);
        Ok(Segments::new(key, size, part.plaintext_len))
    }

    /// The footer must be authentic, and the one of the header that the object was opened by.
    fn check_footer(&self, stored: &[u8]) -> Result<(), OpenError> {
        let whole = self.behind()?;
        let FooterRead::Footer(footer) = Footer::parse(stored, whole.stored_len)? else {
            return Err(OpenError::Footer);
        };
        footer.verify(&self.opened.data_key)?;
        let same = footer.len() == stored.len() as u64
            && footer.header().is_same(&self.opened.header)
            && footer.parts() == self.opened.parts;
        if same { Ok(()) } else { Err(OpenError::FooterDisagrees) }
    }

    /// Trims authenticated plaintext to what was asked for; holds back the end of a whole read.
    fn give(&mut self, mut plaintext: Bytes, out: &mut Vec<Bytes>) {
        let dropped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(plaintext.len());
        plaintext.advance(dropped);
        self.skip -= dropped as u64;
        plaintext.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= plaintext.len() as u64;
        if plaintext.is_empty() {
            return;
        }
        if self.whole.is_some() && self.left == 0 {
            self.held = Some(plaintext);
        } else {
            out.push(plaintext);
        }
    }
}

/// Takes a unit of `len` bytes out of `stored`, if with `pending` there are so many; otherwise keeps what there is.
fn gather(pending: &mut BytesMut, stored: &mut Bytes, len: usize) -> Option<Bytes> {
    if pending.is_empty() && stored.len() >= len {
        return Some(stored.split_to(len));
    }
    pending.reserve(len - pending.len());
    pending.extend_from_slice(&stored.split_to((len - pending.len()).min(stored.len())));
    (pending.len() == len).then(|| std::mem::take(pending).freeze())
}

/// Passes over at most `left` bytes of padding, and gives how many are still to come.
fn skip_zeros(left: u64, stored: &mut Bytes) -> Result<u64, OpenError> {
    let zeros = stored.split_to(usize::try_from(left).unwrap_or(usize::MAX).min(stored.len()));
    if zeros.iter().any(|byte| *byte != 0) {
        return Err(OpenError::Padding);
    }
    Ok(left - zeros.len() as u64)
}
