//! Keys, and how they are derived from each other. None of them can be printed, cloned or serialised; all are wiped.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::entropy::Entropy;
use crate::error::{OpenError, SealError};

/// Length in bytes of every key, salt, commitment and MAC of the format.
pub const KEY_LEN: usize = 32;
/// Length in bytes of an AES-GCM tag.
pub(crate) const TAG_LEN: usize = 16;
/// Length in bytes of a wrapped data key: nonce, ciphertext, tag.
pub(crate) const WRAPPED_LEN: usize = NONCE_LEN + KEY_LEN + TAG_LEN;

/// A key-encryption key: wraps the data keys of many objects. Callers count their wraps and replace it long before
/// 2^32 (random 96-bit nonces, NIST SP 800-38D section 8.3).
pub struct Kek(LessSafeKey);

impl Kek {
    /// Takes the key's 32 bytes; the caller wipes its own copy.
    pub fn new(bytes: &[u8; KEY_LEN]) -> Self {
        Self(aes(bytes))
    }

    pub(crate) fn wrap(
        &self,
        key: &DataKey,
        aad: &[u8],
        entropy: &mut Entropy,
    ) -> Result<[u8; WRAPPED_LEN], SealError> {
        let nonce = entropy.draw::<NONCE_LEN>()?;
        let mut wrapped = [0; WRAPPED_LEN];
        wrapped[..NONCE_LEN].copy_from_slice(&nonce[..]);
        let (body, tag) = wrapped[NONCE_LEN..].split_at_mut(KEY_LEN);
        body.copy_from_slice(&key.0[..]);
        let made = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), body)
            .map_err(|_| SealError::Crypto)?;
        tag.copy_from_slice(made.as_ref());
        Ok(wrapped)
    }

    pub(crate) fn unwrap(&self, wrapped: &[u8; WRAPPED_LEN], aad: &[u8]) -> Result<DataKey, OpenError> {
        let (nonce, rest) = wrapped.split_at(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::DataKey)?;
        let mut key = Zeroizing::new([0; KEY_LEN]);
        let (body, tag) = rest.split_at(KEY_LEN);
        self.0
            .open_separate_gather(nonce, Aad::from(aad), body, tag, key.as_mut_slice())
            .map_err(|_| OpenError::DataKey)?;
        Ok(DataKey(key))
    }
}

/// The key of one object. Everything in the object is sealed under keys derived from it, each for one purpose.
pub struct DataKey(Zeroizing<[u8; KEY_LEN]>);

impl DataKey {
    pub(crate) fn draw(entropy: &mut Entropy) -> Result<Self, SealError> {
        entropy.draw().map(Self)
    }

    #[cfg(test)]
    pub(crate) fn expose_for_test(&self) -> &[u8; KEY_LEN] {
        &self.0
    }

    /// What the header stores so that no second key can open the same object (key commitment).
    pub(crate) fn commitment(&self) -> [u8; KEY_LEN] {
        *derive::<KEY_LEN>(&self.0[..], &[], &[b"sealgate commitment v1"])
    }

    pub(crate) fn matches(&self, commitment: &[u8; KEY_LEN]) -> bool {
        self.commitment().ct_eq(commitment).into()
    }

    /// The key of one upload of one part; `header` is the part's encoded header, which ends in its salt.
    pub(crate) fn part_key(&self, salt: &Salt, header: &[u8]) -> LessSafeKey {
        aes(&derive(&self.0[..], &salt.0, &[b"sealgate part v1", header]))
    }

    pub(crate) fn footer_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &derive::<KEY_LEN>(&self.0[..], &[], &[b"sealgate footer v1"])[..])
    }

    /// The key of one sealed block, used for exactly one message.
    pub(crate) fn block_key(&self, salt: &Salt, label: &[u8]) -> LessSafeKey {
        aes(&derive(&self.0[..], &salt.0, &[label]))
    }
}

/// A fresh random value of 256 bits from which, with the data key, the key of one part upload is derived. Not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub(crate) [u8; KEY_LEN]);

impl Salt {
    pub(crate) fn draw(entropy: &mut Entropy) -> Result<Self, SealError> {
        entropy.draw().map(|bytes| Self(*bytes))
    }

    /// Reads a salt that [`PartSealer::salt`](crate::PartSealer::salt) gave, from the record of the part.
    pub fn from_bytes(bytes: [u8; KEY_LEN]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, for the record of the part.
    pub fn as_bytes(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

/// HKDF-SHA-256 (RFC 5869): extract with `salt`, expand with the concatenation of `info`.
pub(crate) fn derive<const N: usize>(key: &[u8], salt: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    struct Len(usize);
    impl hkdf::KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let mut out = Zeroizing::new([0; N]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(key)
        .expand(info, Len(N))
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .expect("HKDF-SHA-256 gives up to 8160 bytes, and every caller asks for at most 32");
    out
}

fn aes(bytes: &[u8; KEY_LEN]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("a key of 32 bytes is an AES-256 key"))
}
