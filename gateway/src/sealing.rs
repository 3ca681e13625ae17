//! Secrets at rest: everything secret that the gateway stores is sealed under the operator's sealing key.
//!
//! ```text
//! sealed = 1 (format) | salt (24 random bytes) | AES-256-GCM ciphertext | tag (16)
//! key, nonce = HKDF-SHA256(sealing key, salt, "sealgate seal v1" | context), 44 bytes, used once
//! associated data = context
//! ```
//! The context says what is sealed and where it belongs ("group document 17"), so that a sealed secret put in the place of
//! another does not open. A fresh key for each message leaves no limit on their number.

use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use base64::Engine as _;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::config::SealingKey as Source;

const FORMAT: u8 = 1;
const SALT: usize = 24;
const TAG: usize = 16;
const KEY: usize = 32;
const LABEL: &[u8] = b"sealgate seal v1";
/// A sealed message is longer than its plaintext by this many bytes.
pub const OVERHEAD: usize = 1 + SALT + TAG;

/// The sealing key cannot be had, or a sealed message does not open.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// `credential:` outside a systemd unit that passes credentials.
    #[error(
        "sealing key credential {0}: CREDENTIALS_DIRECTORY is not set; is the service started by systemd with LoadCredential=?"
    )]
    NoCredentials(String),
    /// The file or variable cannot be read.
    #[error("sealing key {from}: {reason}")]
    Unreadable {
        /// Where the key should come from.
        from: String,
        /// The system's reason.
        reason: String,
    },
    /// Read, and not a key.
    #[error("sealing key {0}: it must be 32 random bytes, as they are or as 64 hexadecimal digits or as Base64")]
    NotAKey(String),
    /// Sealed by a version that this one does not know.
    #[error("{context}: sealed in format {format}, this program reads format 1")]
    Format {
        /// What should have been opened.
        context: String,
        /// The format byte.
        format: u8,
    },
    /// Wrong sealing key, or the bytes were changed, or they belong elsewhere.
    #[error("{context} does not open: it was changed or moved, or the sealing key is another")]
    Refused {
        /// What should have been opened.
        context: String,
    },
    /// The crypto library failed.
    #[error("cryptography failed while sealing")]
    Crypto,
}

/// The operator's 32 bytes. Everything of ours that is secret at rest opens with it, and with nothing less.
#[derive(ZeroizeOnDrop)]
pub struct SealingKey(Box<[u8; KEY]>);

impl SealingKey {
    /// Reads the key from where the configuration says.
    pub fn load(source: &Source) -> Result<Self, SealingError> {
        let from = match source {
            Source::Credential(name) => format!("credential:{name}"),
            Source::File(path) => format!("file:{}", path.display()),
            Source::Env(name) => format!("env:{name}"),
        };
        let unreadable = |reason: String| SealingError::Unreadable { from: from.clone(), reason };
        let mut content = match source {
            Source::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY")
                    .ok_or_else(|| SealingError::NoCredentials(name.clone()))?;
                std::fs::read(PathBuf::from(folder).join(name)).map_err(|error| unreadable(error.to_string()))?
            }
            Source::File(path) => {
                warn_if_open(path);
                std::fs::read(path).map_err(|error| unreadable(error.to_string()))?
            }
            Source::Env(name) => {
                std::env::var(name).map_err(|_| unreadable("the variable is not set".into()))?.into_bytes()
            }
        };
        let key = Self::from_content(&content);
        content.zeroize();
        key.ok_or(SealingError::NotAKey(from))
    }

    /// The key in what a file or variable holds: 32 raw bytes, 64 hexadecimal digits or Base64, a line break after it.
    fn from_content(content: &[u8]) -> Option<Self> {
        if content.len() == KEY {
            return Self::from_slice(content);
        }
        let text = content.trim_ascii();
        let mut bytes = Zeroizing::new([0_u8; KEY + 1]);
        let hexadecimal = text.len() == 2 * KEY && hex::decode_to_slice(text, &mut bytes[..KEY]).is_ok();
        if hexadecimal {
            return Self::from_slice(&bytes[..KEY]);
        }
        let decoded = base64::engine::general_purpose::STANDARD.decode_slice(text, &mut bytes[..]).ok()?;
        Self::from_slice(&bytes[..decoded])
    }

    fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Box::new([0; KEY]);
        if bytes.len() != KEY || bytes.iter().all(|byte| *byte == bytes[0]) {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// A fresh random key, for tests and for whoever writes one to a file.
    pub fn random() -> Result<Self, SealingError> {
        let mut key = Box::new([0; KEY]);
        aws_lc_rs::rand::fill(&mut key[..]).map_err(|_| SealingError::Crypto)?;
        Ok(Self(key))
    }

    /// Seals `plaintext` for the place that `context` names.
    pub fn seal(&self, context: &str, plaintext: &[u8]) -> Result<Vec<u8>, SealingError> {
        let mut sealed = vec![FORMAT; 1 + SALT];
        aws_lc_rs::rand::fill(&mut sealed[1..]).map_err(|_| SealingError::Crypto)?;
        let (key, nonce) = self.once(context, &sealed[1..])?;
        // Encrypted in its own buffer of the final size: one that grows would leave plaintext behind.
        let mut body = Zeroizing::new(Vec::with_capacity(plaintext.len() + TAG));
        body.extend_from_slice(plaintext);
        key.seal_in_place_append_tag(nonce, Aad::from(context.as_bytes()), &mut *body)
            .map_err(|_| SealingError::Crypto)?;
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Opens what [`SealingKey::seal`] made for the same context.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealingError> {
        let refused = || SealingError::Refused { context: context.to_owned() };
        if sealed.len() < OVERHEAD {
            return Err(refused());
        }
        if sealed[0] != FORMAT {
            return Err(SealingError::Format { context: context.to_owned(), format: sealed[0] });
        }
        let (salt, body) = sealed[1..].split_at(SALT);
        let (key, nonce) = self.once(context, salt)?;
        let mut body = Zeroizing::new(body.to_vec());
        let length = key.open_in_place(nonce, Aad::from(context.as_bytes()), &mut body).map_err(|_| refused())?.len();
        body.truncate(length);
        Ok(body)
    }

    fn once(&self, context: &str, salt: &[u8]) -> Result<(LessSafeKey, Nonce), SealingError> {
        struct Length;
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                KEY + NONCE_LEN
            }
        }
        let mut material = Zeroizing::new([0_u8; KEY + NONCE_LEN]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
            .extract(&self.0[..])
            .expand(&[LABEL, context.as_bytes()], Length)
            .and_then(|okm| okm.fill(&mut material[..]))
            .map_err(|_| SealingError::Crypto)?;
        let key = UnboundKey::new(&AES_256_GCM, &material[..KEY]).map_err(|_| SealingError::Crypto)?;
        let nonce = Nonce::try_assume_unique_for_key(&material[KEY..]).map_err(|_| SealingError::Crypto)?;
        Ok((LessSafeKey::new(key), nonce))
    }
}

/// A key that others can read is told, and used: in a container everybody may be the same person.
fn warn_if_open(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map_or(0, |about| about.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(file = %path.display(), "the sealing key can be read by others; set its mode to 0600");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T>(result: Result<T, SealingError>) -> SealingError {
        result.err().expect("refused")
    }

    #[test]
    fn what_was_sealed_opens_under_the_same_key_and_context_only() {
        let key = SealingKey::random().expect("random");
        let sealed = key.seal("group document 7", b"secret").expect("seals");
        assert_eq!(sealed.len(), 6 + OVERHEAD);
        assert_eq!(&key.open("group document 7", &sealed).expect("opens")[..], b"secret");
        assert!(matches!(key.open("group document 8", &sealed), Err(SealingError::Refused { .. })));
        let other = SealingKey::random().expect("random");
        assert!(matches!(other.open("group document 7", &sealed), Err(SealingError::Refused { .. })));
        assert_ne!(key.seal("group document 7", b"secret").expect("seals"), sealed, "no two seals are alike");
    }

    #[test]
    fn every_changed_bit_and_every_truncation_is_refused() {
        let key = SealingKey::random().expect("random");
        let sealed = key.seal("c", b"some secret").expect("seals");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(key.open("c", &changed).is_err(), "bit {bit}");
        }
        for end in 0..sealed.len() {
            assert!(key.open("c", &sealed[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn an_unknown_format_is_named() {
        let key = SealingKey::random().expect("random");
        let mut sealed = key.seal("c", b"").expect("seals");
        sealed[0] = 9;
        assert!(refusal(key.open("c", &sealed)).to_string().contains("format 9"));
    }

    #[test]
    fn the_key_is_read_raw_in_hexadecimal_and_in_base64() {
        let raw: Vec<u8> = (0..32).collect();
        let base64 = base64::engine::general_purpose::STANDARD.encode(&raw);
        let forms = [raw.clone(), hex::encode(&raw).into_bytes(), format!("{base64}\n").into_bytes()];
        for form in forms {
            assert_eq!(SealingKey::from_content(&form).expect("a key").0[..], raw[..]);
        }
        for bad in [&b""[..], &[0; 31], &[0; 32], &[7; 32], b"hello", &[0; 4096], &[b'0'; 64]] {
            assert!(SealingKey::from_content(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_had_is_told_with_its_source() {
        let missing = Source::File("/nonexistent/key".into());
        assert!(refusal(SealingKey::load(&missing)).to_string().contains("file:/nonexistent/key"));
        let unset = Source::Env("SEALGATE_TEST_UNSET_VARIABLE".into());
        assert!(refusal(SealingKey::load(&unset)).to_string().contains("is not set"));
        let folder = tempfile::tempdir().expect("a folder");
        let short = folder.path().join("short");
        std::fs::write(&short, b"too short").expect("writes");
        assert!(refusal(SealingKey::load(&Source::File(short))).to_string().contains("32 random bytes"));
    }
}
