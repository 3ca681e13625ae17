//! Secrets that leave this crate: neither printable, nor copyable, nor serialisable, and wiped when dropped.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::Error;

/// A key-encryption key: 32 bytes, used with AES-256-GCM to wrap data keys.
///
/// It lives on the heap, so that moving the value leaves no copy behind.
#[derive(ZeroizeOnDrop)]
pub struct KekBytes(Box<[u8; 32]>);

impl KekBytes {
    /// A fresh random key. Fails only when the system has no randomness to give.
    pub(crate) fn random() -> Result<Self, Error> {
        let mut bytes = Box::new([0_u8; 32]);
        aws_lc_rs::rand::fill(&mut bytes[..]).map_err(|_| Error::Crypto("no randomness"))?;
        Ok(Self(bytes))
    }

    /// Takes the key from `bytes` and wipes them; `None` if they are not 32.
    pub(crate) fn take(bytes: &mut [u8]) -> Option<Self> {
        let mut key = Box::new([0_u8; 32]);
        let right = bytes.len() == key.len();
        if right {
            key.copy_from_slice(bytes);
        }
        bytes.zeroize();
        right.then_some(Self(key))
    }

    /// The key itself, for the cipher.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The passphrase of an encrypted private key, at most 1,024 bytes of any encoding.
#[derive(ZeroizeOnDrop)]
pub struct Passphrase(Vec<u8>);

impl Passphrase {
    /// The longest passphrase that is accepted, in bytes.
    pub const MAX: usize = 1024;
    /// The shortest passphrase under which a copy of a key is given out, in bytes.
    pub const MIN: usize = 12;

    /// Takes the bytes as they are. Whoever reads a file cuts the final line break, see [`Passphrase::from_file`].
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The content of a passphrase file: one final line break (LF or CR LF) is not part of it.
    pub fn from_file(mut content: Vec<u8>) -> Self {
        if content.last() == Some(&b'\n') {
            content.pop();
            if content.last() == Some(&b'\r') {
                content.pop();
            }
        }
        Self(content)
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}
