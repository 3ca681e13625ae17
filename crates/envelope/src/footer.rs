//! The footer: everything that is needed to read the object, besides the KMS key.
//!
//! ```text
//! footer = CBOR {0: version, 1: header, 2: bucket, 3: key, 4: part table, 5: sealed checksums, 6: carried metadata}
//!          | MAC (32) | length of the footer (4) | magic (8)
//! ```
//! The MAC covers all of the footer but itself.

use aws_lc_rs::hmac;
use bytes::{BufMut, Bytes, BytesMut};
use subtle::ConstantTimeEq;

use crate::cbor::{self, Reader};
use crate::checksums::Checksums;
use crate::entropy::Entropy;
use crate::error::{FormatError, OpenError, SealError};
use crate::fields::{Expected, Place};
use crate::header::Header;
use crate::keys::{DataKey, KEY_LEN, Kek};
use crate::layout::{FOOTER_FIXED, MAX_FOOTER, MAX_PARTS, MAX_PLAINTEXT, MIN_PART, Part, TABLE_ENTRY_LEN};
use crate::metadata::{MAX_CARRIED, PREFIX, UserMetadata};
use crate::object::Object;
use crate::part::{VERSION, decode_entry, encode_entry};
use crate::record::{BLOCK_OVERHEAD, open_block, seal_block};

/// What every sealed object ends with.
const FOOTER_MAGIC: [u8; 8] = *b"\x89SEALFT\n";
/// MAC, length, magic.
const TAIL_LEN: usize = KEY_LEN + 4 + 8;
/// Length and magic.
const END_LEN: usize = 4 + 8;
/// No footer is shorter.
pub(crate) const MIN_FOOTER: u64 = TAIL_LEN as u64 + 1;
const CHECKSUMS: &[u8] = b"sealgate checksums v1";
const PART: &str = "footer";

/// What came of reading an object's last bytes.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is matched at once, never stored")]
pub enum FooterRead {
    /// The whole footer.
    Footer(Footer),
    /// The footer is longer: read this many bytes from the object's end.
    NeedSuffix(u64),
}

/// A footer as it was read: well-formed and fitting the stored length, **not yet authenticated**. Holds no secret, so it
/// may be cached.
#[derive(Debug, Clone)]
pub struct Footer {
    bytes: Vec<u8>,
    header: Header,
    place: Place,
    parts: Vec<Part>,
    sealed_checksums: Vec<u8>,
    carried: Option<UserMetadata>,
    plaintext_len: u64,
    stored_len: u64,
}

impl Footer {
    /// Reads the footer from the last bytes of an object of `stored_len` bytes. `suffix` is best of
    /// [`FOOTER_GUESS`](crate::FOOTER_GUESS) bytes, or the whole object where that is shorter.
    pub fn parse(suffix: &[u8], stored_len: u64) -> Result<FooterRead, FormatError> {
        let malformed = |reason| FormatError::Malformed { part: PART, reason };
        let (rest, magic) = suffix.split_last_chunk::<8>().ok_or(FormatError::NoFooter)?;
        if *magic != FOOTER_MAGIC {
            return Err(FormatError::NoFooter);
        }
        let (_, len) = rest.split_last_chunk::<4>().ok_or(FormatError::NoFooter)?;
        let len = u64::from(u32::from_be_bytes(*len));
        if !(MIN_FOOTER..=MAX_FOOTER).contains(&len) || len > stored_len {
            return Err(malformed("its length is out of bounds"));
        }
        let usable = usize::try_from(len).expect("a footer is shorter than 2 MiB");
        let Some(start) = suffix.len().checked_sub(usable) else {
            return Ok(FooterRead::NeedSuffix(len));
        };
        Self::decode(&suffix[start..], stored_len).map(FooterRead::Footer)
    }

    fn decode(bytes: &[u8], stored_len: u64) -> Result<Self, FormatError> {
        let fields = &bytes[..bytes.len() - TAIL_LEN];
        let mut r = Reader::new(fields, PART);
        let entries = r.map()?;
        r.key(0)?;
        match r.uint()? {
            version if version == u64::from(VERSION) => {}
            version => return Err(FormatError::UnknownVersion(version)),
        }
        r.key(1)?;
        let header = Header::from_bytes(r.bytes()?)?;
        r.key(2)?;
        let bucket = r.bytes()?;
        r.key(3)?;
        let place = Place::new(bucket, r.bytes()?).map_err(|_| r.malformed("the place is out of its bounds"))?;
        r.key(4)?;
        let table = r.bytes()?;
        r.key(5)?;
        let sealed_checksums = r.bytes()?.to_vec();
        let carried = match entries {
            6 => None,
            7 => {
                r.key(6)?;
                Some(decode_carried(&mut r)?)
            }
            _ => return Err(r.malformed("a field is missing or unknown")),
        };
        let header = header
            .with_place(place.clone())
            .ok_or(FormatError::Contradiction("the footer's place is not the one that its header is bound to"))?;
        let parts = decode_table(table)?;
        if encode_fields(&header, &place, &parts, &sealed_checksums, carried.as_ref()) != fields {
            return Err(r.malformed("not in the canonical coding"));
        }
        let (plaintext_len, expected) = lengths(&header, &parts, bytes.len() as u64)?;
        if expected != Some(stored_len) {
            return Err(FormatError::StoredLength { stored_len });
        }
        Ok(Self { bytes: bytes.to_vec(), header, place, parts, sealed_checksums, carried, plaintext_len, stored_len })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The place for which the object was sealed.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Plaintext length in bytes.
    pub fn plaintext_len(&self) -> u64 {
        self.plaintext_len
    }

    /// Length in bytes of the whole stored object.
    pub fn stored_len(&self) -> u64 {
        self.stored_len
    }

    /// How many parts the body has.
    pub fn part_count(&self) -> usize {
        self.parts.len()
    }

    /// The parts in order, not authenticated before [`open`](Self::open).
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The client's metadata, where the object's own had no room for it. Authenticated by [`open`](Self::open).
    pub fn carried(&self) -> Option<&UserMetadata> {
        self.carried.as_ref()
    }

    /// Opens the header (see [`Header::open`]), then verifies the footer's MAC.
    pub fn open(&self, kek: &Kek, expected: &Expected<'_>) -> Result<Object, OpenError> {
        let data_key = self.header.open(kek, expected)?;
        self.verify(&data_key)?;
        let checksums = open_block(&data_key, CHECKSUMS, &[], &self.sealed_checksums)?;
        let checksums = Checksums::decode(&checksums, self.parts.len())?;
        Ok(Object::from_footer(self.clone(), checksums, data_key))
    }

    /// Verifies the MAC alone. `OpenError::Footer`.
    pub(crate) fn verify(&self, data_key: &DataKey) -> Result<(), OpenError> {
        let (fields, tail) = self.bytes.split_at(self.bytes.len() - TAIL_LEN);
        let (mac, end) = tail.split_at(KEY_LEN);
        let authentic: bool = authenticate(data_key, fields, end).as_ref().ct_eq(mac).into();
        if authentic { Ok(()) } else { Err(OpenError::Footer) }
    }

    /// Length in bytes of the footer itself.
    pub(crate) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
}

/// The end of an object: padding (in the padded form) and footer.
pub struct SealedFooter {
    /// The bytes; at most some 2 MiB.
    pub bytes: Bytes,
    /// Length in bytes of the whole stored object: parts and these bytes.
    pub stored_len: u64,
}

/// Makes the end of an object whose parts are these.
pub(crate) fn seal(
    header: &Header,
    data_key: &DataKey,
    place: &Place,
    parts: &[Part],
    checksums: &Checksums,
    carried: Option<&UserMetadata>,
    entropy: &mut Entropy,
) -> Result<SealedFooter, SealError> {
    if !header.is_for(place) {
        return Err(SealError::Place(place.clone()));
    }
    check_order(parts)?;
    let checksums = checksums.encode(parts.len())?;
    let sealed_checksums = seal_block(data_key, CHECKSUMS, &[], &checksums, entropy)?;
    let fields = encode_fields(header, place, parts, &sealed_checksums, carried);
    let len = fields.len() + TAIL_LEN;
    let (body_len, stored_len) = stored_lengths(header, parts, len as u64)?;
    let all = usize::try_from(stored_len - body_len).map_err(|_| SealError::PartsTooSmall)?;
    let mut bytes = BytesMut::zeroed(all - len);
    bytes.reserve(len);
    bytes.put_slice(&fields);
    let mut end = [0; END_LEN];
    end[..4].copy_from_slice(&u32::try_from(len).expect("a footer is shorter than 2 MiB").to_be_bytes());
    end[4..].copy_from_slice(&FOOTER_MAGIC);
    bytes.put_slice(authenticate(data_key, &fields, &end).as_ref());
    bytes.put_slice(&end);
    Ok(SealedFooter { bytes: bytes.freeze(), stored_len })
}

/// Length in bytes of the whole stored object that [`seal`] will end, its checksums given by their coded length.
pub(crate) fn stored_len(
    header: &Header,
    place: &Place,
    parts: &[Part],
    checksums_len: usize,
    carried: Option<&UserMetadata>,
) -> Result<u64, SealError> {
    let fields = encode_fields(header, place, parts, &vec![0; checksums_len + BLOCK_OVERHEAD], carried);
    stored_lengths(header, parts, (fields.len() + TAIL_LEN) as u64).map(|(_, stored_len)| stored_len)
}

/// Stored length of the body and of the whole object.
fn stored_lengths(header: &Header, parts: &[Part], footer_len: u64) -> Result<(u64, u64), SealError> {
    let (_, stored_len) = lengths(header, parts, footer_len)
        .map_err(|_| SealError::Bounds { field: "plaintext length", bounds: "at most 2^48 bytes" })?;
    let stored_len = stored_len.ok_or(SealError::PartsTooSmall)?;
    let size = header.body().size;
    Ok((parts.iter().map(|part| size.part_stored_len(part.plaintext_len)).sum(), stored_len))
}

/// Plaintext length and stored length of an object of these parts. `None`: there is no stored length, because the padded
/// form has no room for so many parts, or a compact form does not fit.
fn lengths(header: &Header, parts: &[Part], footer_len: u64) -> Result<(u64, Option<u64>), FormatError> {
    let body = header.body();
    let plaintext_len = parts.iter().map(|part| part.plaintext_len).sum::<u64>();
    if plaintext_len > MAX_PLAINTEXT {
        return Err(FormatError::Malformed { part: PART, reason: "more than 2^48 bytes of plaintext" });
    }
    let body_len = parts.iter().map(|part| body.size.part_stored_len(part.plaintext_len)).sum::<u64>();
    if let Some(part) = header.compact_part() {
        let fits = *parts == [part] && footer_len <= FOOTER_FIXED;
        return Ok((plaintext_len, fits.then_some(body_len + footer_len)));
    }
    let single = body.multipart || matches!(parts, [part] if part.number == 1);
    let granted = plaintext_len / MIN_PART + 1;
    let stored_len = body.size.padded_stored_len(plaintext_len);
    let fits = single && parts.len() as u64 <= granted && body_len + footer_len <= stored_len;
    Ok((plaintext_len, fits.then_some(stored_len)))
}

fn check_order(parts: &[Part]) -> Result<(), SealError> {
    let count = (1..=usize::from(MAX_PARTS)).contains(&parts.len());
    let order = parts.is_sorted_by(|a, b| a.number < b.number);
    let numbers = parts.iter().all(|part| (1..=MAX_PARTS).contains(&part.number));
    if count && order && numbers { Ok(()) } else { Err(SealError::PartOrder) }
}

fn authenticate(data_key: &DataKey, fields: &[u8], end: &[u8]) -> hmac::Tag {
    let mut mac = hmac::Context::with_key(&data_key.footer_key());
    mac.update(fields);
    mac.update(end);
    mac.sign()
}

fn encode_fields(
    header: &Header,
    place: &Place,
    parts: &[Part],
    sealed_checksums: &[u8],
    carried: Option<&UserMetadata>,
) -> Vec<u8> {
    let mut table = Vec::with_capacity(parts.len() * TABLE_ENTRY_LEN);
    for part in parts {
        encode_entry(part, &mut table);
    }
    cbor::encode(|e| {
        e.map(6 + u64::from(carried.is_some()))?;
        e.u8(0)?.u16(VERSION)?;
        e.u8(1)?.bytes(&header.to_bytes())?;
        e.u8(2)?.bytes(place.bucket())?;
        e.u8(3)?.bytes(place.key())?;
        e.u8(4)?.bytes(&table)?;
        e.u8(5)?.bytes(sealed_checksums)?;
        if let Some(carried) = carried {
            e.u8(6)?;
            encode_carried(e, carried)?;
        }
        Ok(())
    })
}

/// [[name without x-amz-meta-, value]*], in the client's order.
pub(crate) fn encode_carried(e: &mut cbor::Writer, carried: &UserMetadata) -> cbor::Written {
    e.array(carried.len() as u64)?;
    for (name, value) in carried {
        e.array(2)?.str(name.strip_prefix(PREFIX).unwrap_or(name))?.bytes(value)?;
    }
    Ok(())
}

/// The inverse of [`encode_carried`], at most [`MAX_CARRIED`] bytes.
pub(crate) fn decode_carried(r: &mut Reader<'_>) -> Result<UserMetadata, FormatError> {
    let mut carried = Vec::new();
    let mut len = 3;
    for _ in 0..r.any_array()? {
        r.array(2)?;
        let (name, value) = (r.text()?, r.bytes()?);
        len += 7 + name.len() + value.len();
        if len > MAX_CARRIED {
            return Err(r.malformed("more carried metadata than 5 KiB"));
        }
        carried.push((format!("{PREFIX}{name}"), value.to_vec()));
    }
    Ok(carried)
}

fn decode_table(table: &[u8]) -> Result<Vec<Part>, FormatError> {
    let malformed = FormatError::Malformed {
        part: "part table",
        reason: "not 1 to 10000 parts of bounded length in ascending order",
    };
    let (entries, rest) = table.as_chunks::<TABLE_ENTRY_LEN>();
    let parts: Option<Vec<_>> = entries.iter().map(|entry| decode_entry(entry)).collect();
    let parts = parts.filter(|parts| rest.is_empty() && check_order(parts).is_ok());
    parts.ok_or(malformed)
}
