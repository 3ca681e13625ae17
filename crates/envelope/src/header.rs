//! The header of an object: what is recorded of it, and its data key, wrapped and bound to that record.

use std::sync::Arc;

use crate::cbor::{self, Reader};
use crate::entropy::Entropy;
use crate::error::{FormatError, OpenError, SealError};
use crate::fields::{
    Cause, Expected, MAX_KEK_RECORD, MAX_POLICY_NAME, MAX_WRITER, Place, PolicyRef, Recorded, is_kms_id,
};
use crate::keys::{DataKey, KEY_LEN, Kek, Salt, WRAPPED_LEN};
use crate::layout::{MAX_PLAINTEXT, Part, SegmentSize};
use crate::object::Object;
use crate::part::{SUITE, VERSION};

/// Longest header in bytes.
pub(crate) const MAX_HEADER: usize = 8 * 1024;
const PART: &str = "header";

/// What the core says of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) size: SegmentSize,
    pub(crate) multipart: bool,
    /// Compact form: the only part's plaintext length and salt. Without it: padded form, and only the footer knows.
    pub(crate) compact: Option<(u64, Salt)>,
}

/// A header as it was read: well-formed, **not yet authenticated**. [`open`](Self::open) authenticates all of it. Cheap to
/// clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    core: Arc<Core>,
    wrapped: [u8; WRAPPED_LEN],
    /// The place itself, where the footer or the metadata named it and its digest fits. Not part of the coding.
    place: Option<Place>,
}

/// What the data key is bound to.
#[derive(Debug, PartialEq, Eq)]
struct Core {
    commitment: [u8; KEY_LEN],
    place_digest: [u8; 32],
    kms_id: String,
    kek_record: Vec<u8>,
    cause: Cause,
    sealed_at_ms: u64,
    writer: String,
    policy: Option<PolicyRef>,
    body: Body,
    /// The canonical coding of all of this.
    coded: Vec<u8>,
}

impl Header {
    /// Makes a header and wraps the data key under it. `recorded` has been checked.
    pub(crate) fn make(
        recorded: &Recorded,
        body: Body,
        data_key: &DataKey,
        kek: &Kek,
        entropy: &mut Entropy,
    ) -> Result<Self, SealError> {
        let mut header = Self::unwrapped(recorded, body, data_key);
        header.wrapped = kek.wrap(data_key, &header.associated_data(), entropy)?;
        Ok(header)
    }

    /// A header whose data key is not wrapped yet: as long as the finished one.
    pub(crate) fn unwrapped(recorded: &Recorded, body: Body, data_key: &DataKey) -> Self {
        let mut core = Core {
            commitment: data_key.commitment(),
            place_digest: recorded.place.digest(),
            kms_id: recorded.kms_id.clone(),
            kek_record: recorded.kek_record.clone(),
            cause: recorded.cause,
            sealed_at_ms: recorded.sealed_at_ms,
            writer: recorded.writer.clone(),
            policy: recorded.policy.clone(),
            body,
            coded: Vec::new(),
        };
        core.coded = core.encode();
        Self { core: Arc::new(core), wrapped: [0; WRAPPED_LEN], place: Some(recorded.place.clone()) }
    }

    fn associated_data(&self) -> Vec<u8> {
        [b"sealgate data key v1", self.core.coded.as_slice()].concat()
    }

    /// Reads a header from its canonical coding; at most 8 KiB.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let malformed = |reason| FormatError::Malformed { part: PART, reason };
        if bytes.len() > MAX_HEADER {
            return Err(malformed("longer than 8 KiB"));
        }
        let (wrapped, core) = bytes.split_first_chunk::<WRAPPED_LEN>().ok_or_else(|| malformed("too short"))?;
        Ok(Self { core: Arc::new(Core::decode(core)?), wrapped: *wrapped, place: None })
    }

    /// The canonical coding, as it is in the footer and, in base64, in `x-amz-meta-gse-h`.
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.wrapped, self.core.coded.as_slice()].concat()
    }

    /// Whether it has the same coding; it may name its place where the other does not.
    pub fn is_same(&self, other: &Self) -> bool {
        self.wrapped == other.wrapped && self.core.coded == other.core.coded
    }

    /// KMS whose key opens [`kek_record`](Self::kek_record).
    pub fn kms_id(&self) -> &str {
        &self.core.kms_id
    }

    /// The wrapped KEK, for the KMS.
    pub fn kek_record(&self) -> &[u8] {
        &self.core.kek_record
    }

    /// Why the object was sealed.
    pub fn cause(&self) -> Cause {
        self.core.cause
    }

    /// The policy that decided, where one did.
    pub fn policy(&self) -> Option<&PolicyRef> {
        self.core.policy.as_ref()
    }

    /// When it was sealed, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn sealed_at_ms(&self) -> u64 {
        self.core.sealed_at_ms
    }

    /// The program that sealed it.
    pub fn writer(&self) -> &str {
        &self.core.writer
    }

    /// Whether the client stored it as a multipart upload.
    pub fn is_multipart(&self) -> bool {
        self.core.body.multipart
    }

    /// Plaintext length in bytes, where the header has it (the compact form of a single PUT). Otherwise it follows from
    /// the stored length: [`Metadata::plaintext_len`](crate::Metadata::plaintext_len).
    pub fn plaintext_len(&self) -> Option<u64> {
        self.core.body.compact.map(|(len, _)| len)
    }

    pub(crate) fn body(&self) -> Body {
        self.core.body
    }

    /// The place for which the object was sealed, where it was named beside the header.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    pub(crate) fn is_for(&self, place: &Place) -> bool {
        place.digest() == self.core.place_digest
    }

    /// Remembers the place that was named beside the header. `None` if the header is bound to another one.
    pub(crate) fn with_place(self, place: Place) -> Option<Self> {
        self.is_for(&place).then_some(Self { place: Some(place), ..self })
    }

    /// The only part, in the compact form.
    pub(crate) fn compact_part(&self) -> Option<Part> {
        self.core.body.compact.map(|(plaintext_len, salt)| Part { number: 1, plaintext_len, salt })
    }

    /// Unwraps the data key, and with that authenticates every field of the header; then checks commitment and place.
    /// `OpenError::DataKey`, `Commitment`, `WrongPlace`.
    pub fn open(&self, kek: &Kek, expected: &Expected<'_>) -> Result<DataKey, OpenError> {
        let data_key = kek.unwrap(&self.wrapped, &self.associated_data())?;
        if !data_key.matches(&self.core.commitment) {
            return Err(OpenError::Commitment);
        }
        if !expected.accepts(&self.core.place_digest) {
            return Err(OpenError::WrongPlace { recorded: self.place.clone(), expected: expected.at() });
        }
        Ok(data_key)
    }

    /// As [`open`](Self::open), and gives the object to read from. `None` where the header alone is not enough (padded
    /// form) and the footer is needed.
    pub fn open_object(&self, kek: &Kek, expected: &Expected<'_>) -> Result<Option<Object>, OpenError> {
        let data_key = self.open(kek, expected)?;
        Ok(self.compact_part().map(|part| Object::from_header(self.clone(), part, data_key)))
    }
}

impl Core {
    fn encode(&self) -> Vec<u8> {
        let entries = 11 + u64::from(self.policy.is_some()) + u64::from(self.body.compact.is_some());
        cbor::encode(|e| {
            e.map(entries)?;
            e.u8(0)?.u16(VERSION)?;
            e.u8(1)?.u8(SUITE)?;
            e.u8(2)?.u32(self.body.size.get())?;
            e.u8(3)?.bytes(&self.commitment)?;
            e.u8(4)?.bytes(&self.place_digest)?;
            e.u8(5)?.str(&self.kms_id)?;
            e.u8(6)?.bytes(&self.kek_record)?;
            e.u8(7)?.u8(self.cause.code())?;
            e.u8(8)?.u64(self.sealed_at_ms)?;
            e.u8(9)?.str(&self.writer)?;
            e.u8(10)?.bool(self.body.multipart)?;
            if let Some(policy) = &self.policy {
                e.u8(11)?.array(4)?.bytes(&policy.uid)?.str(&policy.name)?;
                e.bytes(&policy.lineage)?.u64(policy.revision)?;
            }
            if let Some((plaintext_len, salt)) = &self.body.compact {
                e.u8(12)?.array(2)?.u64(*plaintext_len)?.bytes(&salt.0)?;
            }
            Ok(())
        })
    }

    fn decode(coded: &[u8]) -> Result<Self, FormatError> {
        let mut r = Reader::new(coded, PART);
        let mut entries = r.map()?;
        r.key(0)?;
        match r.uint()? {
            version if version == u64::from(VERSION) => {}
            version => return Err(FormatError::UnknownVersion(version)),
        }
        r.key(1)?;
        match r.uint()? {
            suite if suite == u64::from(SUITE) => {}
            suite => return Err(FormatError::UnknownAlgorithm(suite)),
        }
        r.key(2)?;
        let size = r.uint()?;
        let size = u32::try_from(size).ok().and_then(SegmentSize::new).ok_or(FormatError::SegmentSize(size))?;
        r.key(3)?;
        let commitment = r.fixed()?;
        r.key(4)?;
        let place_digest = r.fixed()?;
        r.key(5)?;
        let kms_id = r.text()?;
        r.key(6)?;
        let kek_record = r.bytes()?;
        r.key(7)?;
        let cause = u8::try_from(r.uint()?).ok().and_then(Cause::from_code);
        let cause = cause.ok_or_else(|| r.malformed("an unknown cause"))?;
        r.key(8)?;
        let sealed_at_ms = r.uint()?;
        r.key(9)?;
        let writer = r.text()?;
        r.key(10)?;
        let multipart = r.bool()?;
        entries = entries.checked_sub(11).ok_or_else(|| r.malformed("a field is missing"))?;
        let mut policy = None;
        let mut compact = None;
        for _ in 0..entries.min(2) {
            match r.uint()? {
                11 if policy.is_none() && compact.is_none() => policy = Some(decode_policy(&mut r)?),
                12 if compact.is_none() => {
                    r.array(2)?;
                    compact = Some((r.uint()?, Salt::from_bytes(r.fixed()?)));
                }
                _ => return Err(r.malformed("a field is unknown")),
            }
        }
        let bounded = is_kms_id(kms_id)
            && (1..=MAX_KEK_RECORD).contains(&kek_record.len())
            && writer.len() <= MAX_WRITER
            && compact.is_none_or(|(len, _)| len <= MAX_PLAINTEXT);
        if !bounded {
            return Err(r.malformed("a field is out of its bounds"));
        }
        let fits = if compact.is_some() { !multipart } else { size == SegmentSize::WRITTEN };
        if !fits {
            return Err(r.malformed("fields contradict each other"));
        }
        let core = Self {
            commitment,
            place_digest,
            kms_id: kms_id.to_owned(),
            kek_record: kek_record.to_vec(),
            cause,
            sealed_at_ms,
            writer: writer.to_owned(),
            policy,
            body: Body { size, multipart, compact },
            coded: coded.to_vec(),
        };
        if core.encode() != coded {
            return Err(r.malformed("not in the canonical coding"));
        }
        Ok(core)
    }
}

fn decode_policy(r: &mut Reader<'_>) -> Result<PolicyRef, FormatError> {
    r.array(4)?;
    let (uid, name, lineage, revision) = (r.fixed()?, r.text()?, r.fixed()?, r.uint()?);
    if name.len() > MAX_POLICY_NAME {
        return Err(r.malformed("a field is out of its bounds"));
    }
    Ok(PolicyRef { uid, name: name.to_owned(), lineage, revision })
}
