//! Sealing of a single PUT, whose plaintext length is known before the first byte.

use bytes::Bytes;

use crate::checksums::{ChecksumAlgorithm, ChecksumKind, Checksums};
use crate::entropy::Entropy;
use crate::error::SealError;
use crate::fields::{Place, Recorded};
use crate::footer;
use crate::header::{Body, Header};
use crate::keys::{DataKey, Kek};
use crate::layout::SegmentSize;
use crate::metadata::{MetadataForm, UserMetadata, settle};
use crate::part::PartSealer;

/// Seals one object from a body of announced length. Cannot be cloned or rewound: a body that is sent again is sealed
/// again, with a new data key.
///
/// The last segment and the footer come out of [`finish`](Self::finish) only, so a caller that verifies the client's
/// checksums first never gives the storage a complete body that failed.
pub struct SingleSealer {
    header: Header,
    metadata: UserMetadata,
    form: MetadataForm,
    place: Place,
    carried: Option<UserMetadata>,
    algorithms: Vec<ChecksumAlgorithm>,
    stored_len: u64,
    part: PartSealer,
    data_key: DataKey,
    entropy: Entropy,
}

impl SingleSealer {
    /// Draws the data key, wraps it, and decides the form of the metadata from what the client's own takes.
    /// `algorithms`: the checksums that [`finish`](Self::finish) will be given, all full-object, in any order.
    pub fn new(
        recorded: &Recorded,
        kek: &Kek,
        plaintext_len: u64,
        client: &UserMetadata,
        algorithms: &[ChecksumAlgorithm],
    ) -> Result<Self, SealError> {
        Self::drawing(recorded, kek, plaintext_len, client, algorithms, SegmentSize::WRITTEN, Entropy::system())
    }

    pub(crate) fn drawing(
        recorded: &Recorded,
        kek: &Kek,
        plaintext_len: u64,
        client: &UserMetadata,
        algorithms: &[ChecksumAlgorithm],
        size: SegmentSize,
        mut entropy: Entropy,
    ) -> Result<Self, SealError> {
        let data_key = DataKey::draw(&mut entropy)?;
        let part = PartSealer::drawing(&data_key, 1, plaintext_len, size, &mut entropy)?;
        let body = Body { size, multipart: false, compact: Some((plaintext_len, part.salt())) };
        let settled = settle(recorded, body, &data_key, kek, client, &mut entropy)?;
        let carried = settled.carried(client).cloned();
        let mut algorithms = algorithms.to_vec();
        algorithms.sort_unstable();
        algorithms.dedup();
        let checksums_len = Checksums::encoded_len(&algorithms);
        let stored_len =
            footer::stored_len(&settled.header, &recorded.place, &[part.part()], checksums_len, carried.as_ref())?;
        Ok(Self {
            header: settled.header,
            metadata: settled.metadata,
            form: settled.form,
            place: recorded.place.clone(),
            carried,
            algorithms,
            stored_len,
            part,
            data_key,
            entropy,
        })
    }

    /// **All** user metadata to store: ours, and the client's unless the form is [`MetadataForm::Carried`].
    pub fn metadata(&self) -> &UserMetadata {
        &self.metadata
    }

    /// How much is told in the metadata.
    pub fn form(&self) -> MetadataForm {
        self.form
    }

    /// The header that the object gets.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Length in bytes of the whole stored object: all that [`push`](Self::push) and [`finish`](Self::finish) give.
    pub fn stored_len(&self) -> u64 {
        self.stored_len
    }

    /// Takes plaintext, cut in any way, and appends to `out` what is ready. Holds at most one segment.
    /// `SealError::TooLong` beyond the announced length.
    pub fn push(&mut self, plaintext: Bytes, out: &mut Vec<Bytes>) -> Result<(), SealError> {
        self.part.push(plaintext, out)
    }

    /// Ends the body: the last segment and the footer. `SealError::TooShort` if plaintext is missing, `Checksums` if
    /// they are not of the algorithms announced. After an error nothing must be committed.
    pub fn finish(mut self, checksums: &Checksums, out: &mut Vec<Bytes>) -> Result<(), SealError> {
        let given = checksums.object.iter().map(|checksum| checksum.algorithm);
        let full = checksums.object.iter().all(|checksum| checksum.kind == ChecksumKind::FullObject);
        if !full || checksums.parts.is_some() || !given.eq(self.algorithms.iter().copied()) {
            return Err(SealError::Checksums);
        }
        let parts = [self.part.part()];
        let footer = footer::seal(
            &self.header,
            &self.data_key,
            &self.place,
            &parts,
            checksums,
            self.carried.as_ref(),
            &mut self.entropy,
        )?;
        debug_assert_eq!(footer.stored_len, self.stored_len);
        self.part.finish(out)?;
        out.push(footer.bytes);
        Ok(())
    }
}
