//! Secrets at rest: what Central keeps in its database and must not be readable there.
//!
//! ```text
//! sealing.key = credential:NAME | file:PATH | env:NAME ──load──▶ SealingKey ──seal/open──▶ bytes in a column
//! ```
//! Sealed form, version 1: `01 ‖ salt (32) ‖ AES-256-GCM ciphertext and tag`. Key and nonce come from
//! HKDF-SHA-256(sealing key, salt, "sealgate central sealing v1"), so that no nonce is ever used twice under a key; the
//! context (which column, which row) is authenticated, so that a value moved to another place does not open.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use base64::Engine as _;
use zeroize::Zeroizing;

use crate::config::KeySource;

const VERSION: u8 = 1;
const SALT_BYTES: usize = 32;
const INFO: &[u8] = b"sealgate central sealing v1";

/// Why the sealing key could not be read. None of the texts holds the key.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The named source cannot be read or made.
    #[error("sealing.key: {source_name} cannot be read: {reason}")]
    Unreadable {
        /// The source as configured.
        source_name: String,
        /// What the system said.
        reason: String,
    },
    /// The source does not hold a key.
    #[error("sealing.key: {source_name} must hold 32 bytes, raw, as 64 hexadecimal digits or as base64")]
    Shape {
        /// The source as configured.
        source_name: String,
    },
}

/// A sealed value does not open: another sealing key, another place, or changed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open: was it sealed under another sealing_key, or changed?")]
pub struct OpenError;

/// The key under which secrets are sealed, the same for all replicas. 32 bytes, wiped when dropped.
pub struct SealingKey(Zeroizing<[u8; 32]>);

impl SealingKey {
    /// Reads the key. A file that does not exist is made, readable by its owner alone: where the database holds secrets
    /// already, they then do not open, and Central does not start.
    pub fn load(source: &KeySource) -> Result<Self, LoadError> {
        let unreadable = |reason: String| LoadError::Unreadable { source_name: source.to_string(), reason };
        let read = |path: &Path| std::fs::read(path).map_err(|error| unreadable(error.to_string()));
        let bytes = Zeroizing::new(match source {
            KeySource::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY")
                    .ok_or_else(|| unreadable("CREDENTIALS_DIRECTORY is not set".to_owned()))?;
                read(&Path::new(&folder).join(name))?
            }
            KeySource::File(path) => {
                make_when_missing(path).map_err(|error| unreadable(error.to_string()))?;
                read(path)?
            }
            KeySource::Env(name) => std::env::var(name).map_err(|error| unreadable(error.to_string()))?.into_bytes(),
        });
        decode(&bytes).map(Self).ok_or_else(|| LoadError::Shape { source_name: source.to_string() })
    }

    /// A key made of the given bytes.
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Seals `plaintext` for the place that `context` names, for example `certificate_authorities/1`.
    pub fn seal(&self, context: &str, plaintext: &[u8]) -> Vec<u8> {
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt).expect("the system's random source works");
        let (key, nonce) = self.derive(&salt);
        let mut sealed = plaintext.to_vec();
        key.seal_in_place_append_tag(nonce, Aad::from(context.as_bytes()), &mut sealed)
            .expect("a secret is far below the bound of AES-GCM");
        let mut bytes = Vec::with_capacity(1 + SALT_BYTES + sealed.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&salt);
        bytes.append(&mut sealed);
        bytes
    }

    /// Gives back what [`seal`](Self::seal) was given with the same context.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let Some((&VERSION, rest)) = sealed.split_first() else { return Err(OpenError) };
        let (salt, ciphertext) = rest.split_at_checked(SALT_BYTES).ok_or(OpenError)?;
        let (key, nonce) = self.derive(salt);
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let length = key.open_in_place(nonce, Aad::from(context.as_bytes()), &mut buffer).map_err(|_| OpenError)?.len();
        buffer.truncate(length);
        Ok(buffer)
    }

    fn derive(&self, salt: &[u8]) -> (LessSafeKey, Nonce) {
        struct Length;
        impl KeyType for Length {
            fn len(&self) -> usize {
                32 + 12
            }
        }
        let mut material = Zeroizing::new([0; 44]);
        Salt::new(HKDF_SHA256, salt)
            .extract(self.0.as_slice())
            .expand(&[INFO], Length)
            .and_then(|output| output.fill(material.as_mut_slice()))
            .expect("44 bytes are within the bound of HKDF");
        let key = UnboundKey::new(&AES_256_GCM, &material[..32]).expect("the key has the length of the algorithm");
        let nonce = Nonce::try_assume_unique_for_key(&material[32..]).expect("12 bytes");
        (LessSafeKey::new(key), nonce)
    }
}

/// Writes a random key, as hexadecimal digits, where there is no file. Whole or not at all: written beside and linked,
/// so that of two replicas that start together both read the same key.
fn make_when_missing(path: &Path) -> std::io::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(key.as_mut_slice()).map_err(|_| std::io::Error::other("the system's random source failed"))?;
    let text = Zeroizing::new(hex::encode(key.as_slice()));
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&beside, path);
    std::fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Raw, hexadecimal or base64, with white space around the texts allowed.
fn decode(bytes: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let fixed = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).ok().map(Zeroizing::new);
    if let Some(key) = fixed(bytes) {
        return Some(key);
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let decoded = Zeroizing::new(if text.len() == 64 {
        hex::decode(text).ok()?
    } else {
        let unpadded = text.trim_end_matches('=');
        let engine = if unpadded.contains(['-', '_']) {
            &base64::engine::general_purpose::URL_SAFE_NO_PAD
        } else {
            &base64::engine::general_purpose::STANDARD_NO_PAD
        };
        engine.decode(unpadded).ok()?
    });
    fixed(&decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SealingKey {
        SealingKey::from_bytes(Zeroizing::new([byte; 32]))
    }

    #[test]
    fn what_was_sealed_opens_in_its_place_only() {
        let sealed = key(1).seal("authorities/1", b"secret");
        assert_eq!(key(1).open("authorities/1", &sealed).expect("opens").as_slice(), b"secret");
        assert!(key(1).open("authorities/2", &sealed).is_err(), "another place");
        assert!(key(2).open("authorities/1", &sealed).is_err(), "another key");
        for position in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[position] ^= 1;
            assert!(key(1).open("authorities/1", &changed).is_err(), "byte {position} changed");
        }
        assert!(key(1).open("authorities/1", &sealed[..20]).is_err(), "cut off");
        assert!(key(1).open("authorities/1", b"").is_err(), "empty");
    }

    #[test]
    fn the_same_secret_is_never_sealed_to_the_same_bytes() {
        assert_ne!(key(1).seal("a", b"secret"), key(1).seal("a", b"secret"));
    }

    fn loaded(path: &Path) -> Result<[u8; 32], LoadError> {
        SealingKey::load(&KeySource::File(path.to_owned())).map(|key| *key.0)
    }

    #[test]
    fn a_key_is_read_raw_as_hex_and_as_base64_from_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let raw = [0xfb; 32];
        let forms = [
            raw.to_vec(),
            format!("{}\n", hex::encode(raw)).into_bytes(),
            base64::engine::general_purpose::STANDARD.encode(raw).into_bytes(),
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(raw).into_bytes(),
        ];
        for form in forms {
            std::fs::write(&path, &form).expect("written");
            assert_eq!(loaded(&path).expect("a key"), raw);
        }
        std::fs::write(&path, b"too short").expect("written");
        assert!(matches!(loaded(&path), Err(LoadError::Shape { .. })));
    }

    #[test]
    fn a_file_that_is_not_there_is_made_once_and_only_for_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let first = loaded(&path).expect("made");
        assert_eq!(loaded(&path).expect("read"), first);
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn an_absent_source_is_an_error() {
        let source = KeySource::Env("SEALGATE_TEST_UNSET".to_owned());
        assert!(matches!(SealingKey::load(&source), Err(LoadError::Unreadable { .. })));
        assert!(matches!(loaded(Path::new("/nowhere/at/all")), Err(LoadError::Unreadable { .. })));
    }
}
