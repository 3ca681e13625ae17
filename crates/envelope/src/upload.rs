//! A multipart upload: its header is made at Create, its footer at Complete.

use crate::cbor::{self, Reader};
use crate::checksums::Checksums;
use crate::entropy::Entropy;
use crate::error::{FormatError, SealError};
use crate::fields::{Place, Recorded};
use crate::footer::{self, SealedFooter, decode_carried, encode_carried};
use crate::header::{Body, Header};
use crate::keys::{DataKey, Kek};
use crate::layout::{Part, SegmentSize};
use crate::metadata::{MetadataForm, UserMetadata, settle};

const MAX_LEN: usize = 16 * 1024;
const PART: &str = "upload record";

/// What must be kept of an upload between Create and Complete. Holds no secret.
pub struct Upload {
    header: Header,
    carried: Option<UserMetadata>,
    metadata: UserMetadata,
    form: MetadataForm,
}

impl Upload {
    /// Draws and wraps the data key, and decides the form of the metadata.
    pub fn create(recorded: &Recorded, kek: &Kek, client: &UserMetadata) -> Result<(Self, DataKey), SealError> {
        Self::drawing(recorded, kek, client, &mut Entropy::system())
    }

    pub(crate) fn drawing(
        recorded: &Recorded,
        kek: &Kek,
        client: &UserMetadata,
        entropy: &mut Entropy,
    ) -> Result<(Self, DataKey), SealError> {
        let data_key = DataKey::draw(entropy)?;
        let body = Body { size: SegmentSize::WRITTEN, multipart: true, compact: None };
        let settled = settle(recorded, body, &data_key, kek, client, entropy)?;
        let carried = settled.carried(client).cloned();
        Ok((Self { header: settled.header, carried, metadata: settled.metadata, form: settled.form }, data_key))
    }

    /// **All** user metadata of the upstream's `CreateMultipartUpload`: ours, and the client's unless it is carried.
    /// Empty after [`from_bytes`](Self::from_bytes): it has been stored then.
    pub fn metadata(&self) -> &UserMetadata {
        &self.metadata
    }

    /// How much is told in the metadata. After [`from_bytes`](Self::from_bytes) only whether it is carried.
    pub fn form(&self) -> MetadataForm {
        self.form
    }

    /// The header; [`Header::open`] gives the data key again.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What to keep, at most 16 KiB. Not sealed: the header is under the data key's wrap, the carried client metadata is
    /// not (seal the whole as a [record](crate::seal_record) where that matters).
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(|e| {
            e.array(2)?.bytes(&self.header.to_bytes())?;
            match &self.carried {
                None => {
                    e.array(0)?;
                }
                Some(carried) => {
                    e.array(1)?;
                    encode_carried(e, carried)?;
                }
            }
            Ok(())
        })
    }

    /// Reads what [`to_bytes`](Self::to_bytes) gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut r = Reader::new(bytes, PART);
        if bytes.len() > MAX_LEN {
            return Err(r.malformed("longer than 16 KiB"));
        }
        r.array(2)?;
        let header = Header::from_bytes(r.bytes()?)?;
        let carried = match r.any_array()? {
            0 => None,
            1 => Some(decode_carried(&mut r)?),
            _ => return Err(r.malformed("an array has a wrong length")),
        };
        let form = if carried.is_some() { MetadataForm::Carried } else { MetadataForm::Full };
        let upload = Self { header, carried, metadata: Vec::new(), form };
        if upload.to_bytes() != bytes || !upload.header.is_multipart() {
            return Err(r.malformed("not in the canonical coding"));
        }
        Ok(upload)
    }

    /// The end of the object, to be uploaded behind the parts in this order (a held-back part may be joined in front).
    ///
    /// Parts strictly ascending in number and of any size, as long as the closed form holds: it does whenever every part
    /// but the last has at least [`MIN_PART`](crate::MIN_PART) of plaintext, otherwise `SealError::PartsTooSmall`.
    pub fn footer(
        &self,
        data_key: &DataKey,
        place: &Place,
        parts: &[Part],
        checksums: &Checksums,
    ) -> Result<SealedFooter, SealError> {
        let entropy = &mut Entropy::system();
        footer::seal(&self.header, data_key, place, parts, checksums, self.carried.as_ref(), entropy)
    }
}
