//! The files of the journal: numbered segments, appended by plain writes.
//!
//! ```text
//! journal/00000000000000000007.log:  "SGJOURN1" | series (16 bytes) | records
//! ```
//! A process begins a segment of its own and never appends to one of an earlier life, whose end may be torn.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::record::{self, Record};

const MAGIC: &[u8; 8] = b"SGJOURN1";
/// Bytes before the first record.
pub(super) const HEADER: u64 = 24;
/// A segment is left for a new one when it is longer.
pub(super) const ROTATE: u64 = 4 * 1024 * 1024;

/// A place in the journal: everything before it is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Position {
    /// Number of the segment, from 1.
    pub(crate) segment: u64,
    /// Bytes from its begin.
    pub(crate) offset: u64,
}

/// The segment that is written.
pub(super) struct Writer {
    folder: PathBuf,
    series: Uuid,
    file: File,
    at: Position,
    /// A write failed half-way: what follows in this file could not be read.
    broken: bool,
    buffer: Vec<u8>,
}

impl Writer {
    pub(super) fn begin(folder: &Path, series: Uuid, segment: u64) -> io::Result<Self> {
        let (file, at) = create(folder, series, segment)?;
        Ok(Self { folder: folder.to_owned(), series, file, at, broken: false, buffer: Vec::with_capacity(512) })
    }

    /// Appends a record by one write. It is in the page cache when this returns, so that it survives the process.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        if self.broken {
            self.rotate()?;
        }
        self.buffer.clear();
        record.encode(&mut self.buffer);
        if let Err(error) = self.file.write_all(&self.buffer) {
            self.broken = true;
            return Err(error);
        }
        self.at.offset += self.buffer.len() as u64;
        Ok(())
    }

    /// Where the next record goes.
    pub(super) fn position(&self) -> Position {
        self.at
    }

    pub(super) fn is_long(&self) -> bool {
        self.at.offset > ROTATE
    }

    /// A writer of the next segment, for another series. This one is left as it is.
    pub(super) fn next_series(&self, series: Uuid) -> io::Result<Self> {
        Self::begin(&self.folder, series, self.at.segment + 1)
    }

    /// Removes the segment of a writer that was not used.
    pub(super) fn discard(self) -> io::Result<()> {
        fs::remove_file(path(&self.folder, self.at.segment))
    }

    pub(super) fn rotate(&mut self) -> io::Result<()> {
        let (file, at) = create(&self.folder, self.series, self.at.segment + 1)?;
        self.file = file;
        self.at = at;
        self.broken = false;
        Ok(())
    }
}

fn create(folder: &Path, series: Uuid, segment: u64) -> io::Result<(File, Position)> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(path(folder, segment))?;
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(series.as_bytes());
    if let Err(error) = file.write_all(&header) {
        // So that the number is free for the next attempt.
        let _ = fs::remove_file(path(folder, segment));
        return Err(error);
    }
    Ok((file, Position { segment, offset: HEADER }))
}

/// Records from `from` on, in order, and the number of the last segment that is there. `damaged` is set where a segment
/// ends before its file does.
pub(super) struct Replay {
    pub(super) records: Vec<Record>,
    pub(super) last: u64,
    pub(super) damaged: bool,
}

/// Reads what the store does not have yet. Segments of another series are passed over.
pub(super) fn replay(folder: &Path, series: Uuid, from: Position) -> io::Result<Replay> {
    let mut replay = Replay { records: Vec::new(), last: from.segment, damaged: false };
    for segment in list(folder)? {
        replay.last = replay.last.max(segment);
        if segment < from.segment {
            continue;
        }
        let bytes = fs::read(path(folder, segment))?;
        let of_series = bytes.strip_prefix(MAGIC).is_some_and(|rest| rest.starts_with(series.as_bytes()));
        if !of_series {
            continue;
        }
        let start = if segment == from.segment { from.offset.max(HEADER) } else { HEADER };
        let mut rest = usize::try_from(start).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
        while let Some((record, length)) = record::decode(rest) {
            replay.records.push(record);
            rest = &rest[length..];
        }
        replay.damaged |= !rest.is_empty();
    }
    Ok(replay)
}

/// Removes the segments before `until`.
pub(super) fn remove_before(folder: &Path, until: u64) -> io::Result<()> {
    for segment in list(folder)?.into_iter().filter(|segment| *segment < until) {
        fs::remove_file(path(folder, segment))?;
    }
    Ok(())
}

/// Numbers of the segments, ascending.
pub(super) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|digits| digits.parse::<u64>().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn path(folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("{segment:020}.log"))
}

#[cfg(test)]
impl Writer {
    /// Writes go to a file that refuses them.
    pub(super) fn break_for_test(&mut self, file: File) {
        self.file = file;
    }
}
