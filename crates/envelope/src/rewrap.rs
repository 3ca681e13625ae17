//! A new header and footer over a body that stays: copies, re-wraps, new client metadata.

use std::ops::Range;

use bytes::Bytes;

use crate::entropy::Entropy;
use crate::error::SealError;
use crate::fields::Recorded;
use crate::footer;
use crate::header::{Body, Header};
use crate::keys::Kek;
use crate::metadata::{MetadataForm, UserMetadata, settle};
use crate::object::Object;

/// The new ends of an object: store `source.body()` of the old object, then [`footer`](Self::footer).
pub struct Rewrap {
    header: Header,
    metadata: UserMetadata,
    form: MetadataForm,
    body: Range<u64>,
    footer: Bytes,
    stored_len: u64,
}

impl Rewrap {
    /// `source` must have been opened from its footer (the checksums are needed), otherwise `SealError::Checksums`.
    /// `client` is the client's metadata of the new object.
    pub fn new(source: &Object, recorded: &Recorded, kek: &Kek, client: &UserMetadata) -> Result<Self, SealError> {
        Self::drawing(source, recorded, kek, client, &mut Entropy::system())
    }

    pub(crate) fn drawing(
        source: &Object,
        recorded: &Recorded,
        kek: &Kek,
        client: &UserMetadata,
        entropy: &mut Entropy,
    ) -> Result<Self, SealError> {
        let checksums = source.checksums().ok_or(SealError::Checksums)?;
        let data_key = &source.opened.data_key;
        let Body { size, multipart, .. } = source.header().body();
        let compact = source.parts().first().filter(|_| !multipart).map(|part| (part.plaintext_len, part.salt));
        let body = Body { size, multipart, compact };
        let settled = settle(recorded, body, data_key, kek, client, entropy)?;
        let carried = settled.carried(client);
        let place = &recorded.place;
        let footer = footer::seal(&settled.header, data_key, place, source.parts(), checksums, carried, entropy)?;
        Ok(Self {
            header: settled.header,
            metadata: settled.metadata,
            form: settled.form,
            body: source.body(),
            footer: footer.bytes,
            stored_len: footer.stored_len,
        })
    }

    /// **All** user metadata to store: ours, and the client's unless it is carried.
    pub fn metadata(&self) -> &UserMetadata {
        &self.metadata
    }

    /// How much is told in the metadata.
    pub fn form(&self) -> MetadataForm {
        self.form
    }

    /// The new header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Offsets of the old object's stored bytes that the new object begins with, unchanged.
    pub fn body(&self) -> Range<u64> {
        self.body.clone()
    }

    /// The bytes behind the body.
    pub fn footer(&self) -> &Bytes {
        &self.footer
    }

    /// Length in bytes of the new stored object.
    pub fn stored_len(&self) -> u64 {
        self.stored_len
    }
}
