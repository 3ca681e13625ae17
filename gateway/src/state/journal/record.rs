//! Records of the journal and their bytes.
//!
//! ```text
//! length u32 | CRC-32C u32 of length and payload | payload (CBOR array, first the kind)
//! ```
//! Little-endian. A record whose checksum does not agree ends the segment: what a kill or a power loss tore is at the end.

use crc_fast::{CrcAlgorithm, checksum};
use ids::{Direction, Outcome};
use minicbor::data::Type;
use minicbor::decode::Error as DecodeError;
use minicbor::encode::Error as EncodeError;
use minicbor::{Decoder, Encoder};

/// Bytes before the payload.
pub(super) const FRAME: usize = 8;
/// Longest payload: a key of 1,024 bytes, a bucket, a policy, a mark, and room.
pub(super) const MAX_PAYLOAD: usize = 32 * 1024;

/// What a count is kept under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Bucket as the client calls it.
    pub bucket: Box<str>,
    /// Name of the recorded policy; empty where none.
    pub policy: Box<str>,
    /// What became of the object.
    pub outcome: Outcome,
    /// Which way it went.
    pub direction: Direction,
}

/// How a later look at the storage tells that it was *this* write which took place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A text unique to this write, that the storage shows again.
    Mark(String),
    /// `ETag` (without quotes) and stored size; together with the time of the write.
    Etag {
        /// As the storage will say it.
        etag: String,
        /// Stored bytes.
        size: u64,
    },
    /// It cannot be told.
    None,
}

/// A write that is about to be committed upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Unix milliseconds of the intent.
    pub at_ms: i64,
    /// The write cannot have been committed after this, Unix milliseconds; none while its request is at work.
    pub until_ms: Option<i64>,
    /// What it counts as when it takes place.
    pub key: Key,
    /// Key of the object.
    pub object: String,
    /// Plaintext bytes.
    pub bytes: u64,
    /// How to recognise it.
    pub fact: Fact,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    /// Something that has no commit upstream.
    Count { key: Key, objects: u64, bytes: u64 },
    /// Before the commit.
    Intent { id: u64, open: Open },
    /// After it. As intended, or what else became of it, with its bytes.
    Outcome { id: u64, other: Option<(Outcome, u64)> },
    /// After it. Another intent counts the object.
    Withdrawn { id: u64 },
}

impl Record {
    /// Appends the framed record.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; FRAME]);
        let mut encoder = Encoder::new(&mut *out);
        self.write(&mut encoder).expect("a vector takes every byte");
        let length = u32::try_from(out.len() - start - FRAME).expect("the parts of a record are bounded");
        out[start..start + 4].copy_from_slice(&length.to_le_bytes());
        let sum = sum(length, &out[start + FRAME..]);
        out[start + 4..start + FRAME].copy_from_slice(&sum.to_le_bytes());
    }

    fn write<W: minicbor::encode::Write>(&self, e: &mut Encoder<W>) -> Result<(), EncodeError<W::Error>> {
        match self {
            Self::Count { key, objects, bytes } => {
                e.array(4)?.u8(0)?;
                write_key(e, key)?;
                e.u64(*objects)?.u64(*bytes)?;
            }
            Self::Intent { id, open } => {
                e.array(3)?.u8(1)?.u64(*id)?;
                write_open(e, open)?;
            }
            Self::Outcome { id, other: None } => {
                e.array(2)?.u8(2)?.u64(*id)?;
            }
            Self::Outcome { id, other: Some((outcome, bytes)) } => {
                e.array(4)?.u8(3)?.u64(*id)?.str(outcome.as_str())?.u64(*bytes)?;
            }
            Self::Withdrawn { id } => {
                e.array(2)?.u8(4)?.u64(*id)?;
            }
        }
        Ok(())
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        d.array()?;
        Ok(match d.u8()? {
            0 => Self::Count { key: read_key(d)?, objects: d.u64()?, bytes: d.u64()? },
            1 => Self::Intent { id: d.u64()?, open: read_open(d)? },
            2 => Self::Outcome { id: d.u64()?, other: None },
            3 => Self::Outcome { id: d.u64()?, other: Some((word(d)?, d.u64()?)) },
            4 => Self::Withdrawn { id: d.u64()? },
            _ => return Err(DecodeError::message("a kind of record that this version does not know")),
        })
    }
}

/// The first record of `bytes` and its framed length; none where the bytes do not begin with a whole, intact record.
pub(super) fn decode(bytes: &[u8]) -> Option<(Record, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (expected, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    let size = usize::try_from(length).ok().filter(|size| (1..=MAX_PAYLOAD).contains(size))?;
    let payload = rest.get(..size)?;
    if sum(length, payload) != u32::from_le_bytes(*expected) {
        return None;
    }
    let record = Record::read(&mut Decoder::new(payload)).ok()?;
    Some((record, FRAME + size))
}

fn sum(length: u32, payload: &[u8]) -> u32 {
    // The length is mixed in, so that a record of zeros is not intact.
    let sum = u32::try_from(checksum(CrcAlgorithm::Crc32Iscsi, payload)).expect("a CRC-32 has 32 bits");
    sum ^ length.wrapping_mul(0x9e37_79b9)
}

fn write_key<W: minicbor::encode::Write>(e: &mut Encoder<W>, key: &Key) -> Result<(), EncodeError<W::Error>> {
    e.array(4)?.str(&key.bucket)?.str(&key.policy)?.str(key.outcome.as_str())?.str(key.direction.as_str())?;
    Ok(())
}

fn read_key(d: &mut Decoder<'_>) -> Result<Key, DecodeError> {
    d.array()?;
    Ok(Key { bucket: d.str()?.into(), policy: d.str()?.into(), outcome: word(d)?, direction: word(d)? })
}

fn write_open<W: minicbor::encode::Write>(e: &mut Encoder<W>, open: &Open) -> Result<(), EncodeError<W::Error>> {
    e.array(6)?.i64(open.at_ms)?;
    match open.until_ms {
        Some(until) => e.i64(until)?,
        None => e.null()?,
    };
    write_key(e, &open.key)?;
    e.str(&open.object)?.u64(open.bytes)?;
    match &open.fact {
        Fact::Mark(mark) => e.array(1)?.str(mark)?,
        Fact::Etag { etag, size } => e.array(2)?.str(etag)?.u64(*size)?,
        Fact::None => e.array(0)?,
    };
    Ok(())
}

fn read_open(d: &mut Decoder<'_>) -> Result<Open, DecodeError> {
    d.array()?;
    let at_ms = d.i64()?;
    let until_ms = if d.datatype()? == Type::Null {
        d.null()?;
        None
    } else {
        Some(d.i64()?)
    };
    let key = read_key(d)?;
    let object = d.str()?.to_owned();
    let bytes = d.u64()?;
    let fact = match d.array()? {
        Some(0) => Fact::None,
        Some(1) => Fact::Mark(d.str()?.to_owned()),
        Some(2) => Fact::Etag { etag: d.str()?.to_owned(), size: d.u64()? },
        _ => return Err(DecodeError::message("a fact that this version does not know")),
    };
    Ok(Open { at_ms, until_ms, key, object, bytes, fact })
}

fn word<T: std::str::FromStr<Err = ids::Invalid>>(d: &mut Decoder<'_>) -> Result<T, DecodeError> {
    d.str()?.parse().map_err(|_| DecodeError::message("a word that this version does not know"))
}

impl Open {
    /// Bytes for the table of open intents.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_open(&mut Encoder::new(&mut bytes), self).expect("a vector takes every byte");
        bytes
    }

    /// Reads [`Open::to_bytes`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        read_open(&mut Decoder::new(bytes))
    }
}

impl Key {
    /// Bytes for the table of counters.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_key(&mut Encoder::new(&mut bytes), self).expect("a vector takes every byte");
        bytes
    }

    /// Reads [`Key::to_bytes`].
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        read_key(&mut Decoder::new(bytes))
    }
}
