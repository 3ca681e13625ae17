//! Our entries in an object's user metadata, and how plain and sealed objects are told apart.
//!
//! ```text
//! x-amz-meta-gse-v     "1": sealed, format version 1. Always there
//! x-amz-meta-gse-kms   KMS ID in clear, where there is room
//! x-amz-meta-gse-size  plaintext bytes, compact form only
//! x-amz-meta-gse-h     the header, base64, full form only
//! x-amz-meta-gse-at    the place, base64, full form, where there is room: names the former place of a moved object
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::entropy::Entropy;
use crate::error::{FormatError, SealError};
use crate::fields::{Place, Recorded, is_kms_id};
use crate::footer::MIN_FOOTER;
use crate::header::{Body, Header};
use crate::keys::{DataKey, Kek};
use crate::layout::{FOOTER_FIXED, SegmentSize};

/// What every sealed object begins with.
pub const MAGIC: [u8; 8] = *b"\x89SEALGT\n";

/// User metadata as it goes upstream: full lower-case header names (`x-amz-meta-…`) and raw values.
pub type UserMetadata = Vec<(String, Vec<u8>)>;

/// What S3 allows for all user metadata of an object, in bytes. Services differ in whether the prefix of the names
/// counts; here it does, so that ours never makes an object fail anywhere.
const BUDGET: usize = 2048;
pub(crate) const PREFIX: &str = "x-amz-meta-";
const VERSION: &str = "x-amz-meta-gse-v";
const KMS: &str = "x-amz-meta-gse-kms";
const SIZE: &str = "x-amz-meta-gse-size";
const HEADER: &str = "x-amz-meta-gse-h";
const PLACE: &str = "x-amz-meta-gse-at";
const PART: &str = "metadata";

/// How much of an object is told in its metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataForm {
    /// The header is there: a single object opens with no second request.
    Full,
    /// The client's own metadata leaves room for a short marker only; the rest is in the footer.
    Marker,
    /// The client's own metadata leaves no room at all: it is carried in the footer, and only the marker is left.
    Carried,
}

/// Our entries of a sealed object's metadata: well-formed, **not authenticated**.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    kms_id: Option<String>,
    header: Option<Header>,
}

impl Metadata {
    /// Reads our entries among an object's user metadata (full names, any case; all other names are passed over).
    /// `None`: the metadata says that the object is plain. Anything of ours that is not well-formed is an error, never
    /// "plain".
    pub fn parse<N: AsRef<str>, V: AsRef<[u8]>>(
        entries: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Option<Self>, FormatError> {
        let malformed = |reason| FormatError::Malformed { part: PART, reason };
        let mut found = Found::default();
        for (name, value) in entries {
            if is_reserved(name.as_ref()) {
                let value = std::str::from_utf8(value.as_ref()).map_err(|_| malformed("a value is not text"))?;
                let slot = found.slot(&name.as_ref().to_ascii_lowercase());
                let slot = slot.ok_or_else(|| malformed("an entry is unknown"))?;
                if slot.replace(value.to_owned()).is_some() {
                    return Err(malformed("an entry is there twice"));
                }
            }
        }
        found.check()
    }

    /// The header, in the full form.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// KMS ID in clear, where there was room.
    pub fn kms_id(&self) -> Option<&str> {
        self.kms_id.as_deref()
    }

    /// The place that the object names, where there was room.
    pub fn place(&self) -> Option<&Place> {
        self.header.as_ref().and_then(Header::place)
    }

    /// Plaintext length in bytes of the object, given its stored length: from the header, or by inversion.
    /// `FormatError::StoredLength` where no plaintext has that stored length.
    pub fn plaintext_len(&self, stored_len: u64) -> Result<u64, FormatError> {
        let compact = self.header.as_ref().and_then(|header| Some((header.plaintext_len()?, header.body().size)));
        let Some((plaintext_len, size)) = compact else {
            let inverted = SegmentSize::WRITTEN.plaintext_len_of_padded(stored_len);
            return inverted.ok_or(FormatError::StoredLength { stored_len });
        };
        let footer_len = stored_len.checked_sub(size.part_stored_len(plaintext_len));
        let plausible = footer_len.is_some_and(|len| (MIN_FOOTER..=FOOTER_FIXED).contains(&len));
        if plausible { Ok(plaintext_len) } else { Err(FormatError::StoredLength { stored_len }) }
    }
}

/// Our entries by name.
#[derive(Default)]
struct Found {
    version: Option<String>,
    kms: Option<String>,
    size: Option<String>,
    header: Option<String>,
    place: Option<String>,
}

impl Found {
    fn slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            VERSION => &mut self.version,
            KMS => &mut self.kms,
            SIZE => &mut self.size,
            HEADER => &mut self.header,
            PLACE => &mut self.place,
            _ => return None,
        })
    }

    fn check(self) -> Result<Option<Metadata>, FormatError> {
        let malformed = |reason| FormatError::Malformed { part: PART, reason };
        let decode = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| malformed("an entry is not base64"));
        let others = [&self.kms, &self.size, &self.header, &self.place].into_iter().any(Option::is_some);
        match self.version.as_deref() {
            None if others => return Err(malformed("the entry gse-v is missing")),
            None => return Ok(None),
            Some("1") => {}
            Some(other) => {
                let version = other.parse().map_err(|_| malformed("the entry gse-v is not a number"))?;
                return Err(FormatError::UnknownVersion(version));
            }
        }
        if self.kms.as_deref().is_some_and(|id| !is_kms_id(id)) {
            return Err(malformed("the entry gse-kms is not a KMS ID"));
        }
        let Some(header) = self.header else {
            if self.size.is_some() || self.place.is_some() {
                return Err(malformed("the entry gse-h is missing"));
            }
            return Ok(Some(Metadata { kms_id: self.kms, header: None }));
        };
        let mut header = Header::from_bytes(&decode(&header)?)?;
        if self.kms.as_deref() != Some(header.kms_id()) {
            return Err(FormatError::Contradiction("gse-kms is not the KMS ID of the header"));
        }
        if self.size != header.plaintext_len().map(|len| len.to_string()) {
            return Err(FormatError::Contradiction("gse-size is not the plaintext length of the header"));
        }
        if let Some(place) = self.place {
            let place = Place::decode(&decode(&place)?).ok_or_else(|| malformed("the entry gse-at is not a place"))?;
            let bound = header.with_place(place);
            header = bound.ok_or(FormatError::Contradiction("gse-at is not the place that the header is bound to"))?;
        }
        Ok(Some(Metadata { kms_id: self.kms, header: Some(header) }))
    }
}

/// A header and the metadata that goes with it.
pub(crate) struct Settled {
    pub(crate) header: Header,
    pub(crate) metadata: UserMetadata,
    pub(crate) form: MetadataForm,
}

impl Settled {
    /// The client's metadata, if the footer has to carry it.
    pub(crate) fn carried<'a>(&self, client: &'a UserMetadata) -> Option<&'a UserMetadata> {
        (self.form == MetadataForm::Carried).then_some(client)
    }
}

/// Decides how much is told in the metadata beside the client's own, and makes the header accordingly. `body` is in the
/// compact form where it may be; where the metadata has no room for the header, the padded form is taken instead.
pub(crate) fn settle(
    recorded: &Recorded,
    body: Body,
    data_key: &DataKey,
    kek: &Kek,
    client: &UserMetadata,
    entropy: &mut Entropy,
) -> Result<Settled, SealError> {
    recorded.check()?;
    if client.iter().any(|(name, _)| is_reserved(name) || !name.starts_with(PREFIX)) {
        return Err(SealError::Bounds {
            field: "client metadata",
            bounds: "names begin with x-amz-meta- and not with x-amz-meta-gse-",
        });
    }
    let room = BUDGET.checked_sub(cost(client));
    let fits = |entries: &UserMetadata| room.is_some_and(|room| cost(entries) <= room);
    let draft = Header::unwrapped(recorded, body, data_key);
    for place in [Some(&recorded.place), None] {
        if fits(&full(&draft, place)) {
            let header = Header::make(recorded, body, data_key, kek, entropy)?;
            let metadata = client.iter().cloned().chain(full(&header, place)).collect();
            return Ok(Settled { header, metadata, form: MetadataForm::Full });
        }
    }
    if body.size != SegmentSize::WRITTEN {
        return Err(SealError::Bounds { field: "segment size", bounds: "64 KiB in the padded form" });
    }
    let header = Header::make(recorded, Body { compact: None, ..body }, data_key, kek, entropy)?;
    let with_kms = marker(Some(&recorded.kms_id));
    if let Some(ours) = [with_kms.clone(), marker(None)].into_iter().find(fits) {
        let metadata = client.iter().cloned().chain(ours).collect();
        return Ok(Settled { header, metadata, form: MetadataForm::Marker });
    }
    if bare_cost(client) <= BUDGET && carried_len(client) <= MAX_CARRIED {
        return Ok(Settled { header, metadata: with_kms, form: MetadataForm::Carried });
    }
    // More than S3 allows: whether it is too much is for the storage to say, exactly as without us.
    let metadata = client.iter().cloned().chain(marker(None)).collect();
    Ok(Settled { header, metadata, form: MetadataForm::Marker })
}

/// Most bytes of client metadata that a footer carries, coded.
pub(crate) const MAX_CARRIED: usize = 5 * 1024;

/// An upper bound of the coded length of carried metadata.
fn carried_len(client: &UserMetadata) -> usize {
    client.iter().map(|(name, value)| 7 + name.len() - PREFIX.len() + value.len()).sum::<usize>() + 3
}

fn cost(entries: &UserMetadata) -> usize {
    entries.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn bare_cost(entries: &UserMetadata) -> usize {
    cost(entries) - entries.len() * PREFIX.len()
}

fn marker(kms_id: Option<&str>) -> UserMetadata {
    let mut entries = vec![(VERSION.to_owned(), b"1".to_vec())];
    entries.extend(kms_id.map(|id| (KMS.to_owned(), id.as_bytes().to_vec())));
    entries
}

fn full(header: &Header, place: Option<&Place>) -> UserMetadata {
    let base64 = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes).into_bytes();
    let mut entries = marker(Some(header.kms_id()));
    entries.extend(header.plaintext_len().map(|len| (SIZE.to_owned(), len.to_string().into_bytes())));
    entries.push((HEADER.to_owned(), base64(&header.to_bytes())));
    entries.extend(place.map(|place| (PLACE.to_owned(), base64(&place.encode()))));
    entries
}

/// Whether a user metadata name (full, any case) is ours: never shown to a client, refused from one. Also with `_` for
/// `-`: there are storages that make the one of the other.
pub fn is_reserved(name: &str) -> bool {
    const OURS: &[u8] = b"x-amz-meta-gse-";
    let same = |(byte, ours): (&u8, &u8)| byte.eq_ignore_ascii_case(ours) || (*byte, *ours) == (b'_', b'-');
    name.as_bytes().get(..OURS.len()).is_some_and(|start| start.iter().zip(OURS).all(same))
}

/// Whether bytes begin as a sealed object does. `None`: fewer than 8 bytes, all of them as in the magic; with no more
/// to come that means no.
///
/// A client's plain body that begins so must be sealed or refused; a stored object that begins so without our metadata
/// was stripped of it and is recovered through its footer, never served as if plain.
pub fn begins_with_magic(start: &[u8]) -> Option<bool> {
    let common = start.len().min(MAGIC.len());
    if start[..common] != MAGIC[..common] {
        return Some(false);
    }
    (common == MAGIC.len()).then_some(true)
}
