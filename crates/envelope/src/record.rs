//! Small blocks sealed under an object's data key: the checksums in its footer, and the records of an upload's parts.

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};

use crate::entropy::Entropy;
use crate::error::{OpenError, SealError};
use crate::keys::{DataKey, KEY_LEN, Salt, TAG_LEN};

/// By how much a sealed block is longer than its plaintext: salt and tag.
pub(crate) const BLOCK_OVERHEAD: usize = KEY_LEN + TAG_LEN;
const RECORD: &[u8] = b"sealgate record v1";

/// Seals a small record (a part record of an upload) under a key of its own derived from the data key. `context` is bound
/// to it and must be given again. The result is 48 bytes longer than `plaintext`.
pub fn seal_record(data_key: &DataKey, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, SealError> {
    seal_block(data_key, RECORD, context, plaintext, &mut Entropy::system())
}

/// The inverse of [`seal_record`]. `OpenError::Record` if the record is not authentic in this context.
pub fn open_record(data_key: &DataKey, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    open_block(data_key, RECORD, context, sealed)
}

/// salt | ciphertext | tag. The key is of this salt and label, and seals this one message: so the nonce is zero.
pub(crate) fn seal_block(
    data_key: &DataKey,
    label: &[u8],
    context: &[u8],
    plaintext: &[u8],
    entropy: &mut Entropy,
) -> Result<Vec<u8>, SealError> {
    let salt = Salt::draw(entropy)?;
    let mut out = Vec::with_capacity(plaintext.len() + BLOCK_OVERHEAD);
    out.extend_from_slice(&salt.0);
    out.extend_from_slice(plaintext);
    let tag = data_key
        .block_key(&salt, label)
        .seal_in_place_separate_tag(zero_nonce(), Aad::from(context), &mut out[KEY_LEN..])
        .map_err(|_| SealError::Crypto)?;
    out.extend_from_slice(tag.as_ref());
    Ok(out)
}

pub(crate) fn open_block(
    data_key: &DataKey,
    label: &[u8],
    context: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, OpenError> {
    let (salt, body) = sealed.split_first_chunk::<KEY_LEN>().ok_or(OpenError::Record)?;
    let mut body = body.to_vec();
    let len = data_key
        .block_key(&Salt::from_bytes(*salt), label)
        .open_in_place(zero_nonce(), Aad::from(context), &mut body)
        .map_err(|_| OpenError::Record)?
        .len();
    body.truncate(len);
    Ok(body)
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}
