//! The built-in KMS: RSA private keys that the operator uploaded or had generated.
//!
//! ```text
//! wrapped KEK = RSA-OAEP(SHA-256, MGF1-SHA-256, label "sealgate kek v1")
//! MAC key     = HKDF-SHA256(no salt, the primes, "sealgate kek record mac v1" | fingerprint), 32 bytes
//! the primes  = the smaller, then the larger, each as length (4 bytes, big-endian) and big-endian bytes without leading zeros
//! fingerprint = SHA-256(SubjectPublicKeyInfo in DER)
//! ```
//! The primes are what a private key has one of, whichever of its exponents a tool wrote into the file.

use std::fmt;
use std::ops::RangeInclusive;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::{digest, hkdf, hmac};
use ids::KmsId;
use minicbor::decode::Decoder;
use minicbor::encode::Encoder;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use rsa::traits::{PrivateKeyParts as _, PublicKeyParts as _};
use zeroize::Zeroizing;

use crate::error::{Error, KeyError};
use crate::pem;
use crate::provider::{Inventory, KeyVersion, RSA};
use crate::record::{KekRecord, mac_input};
use crate::secret::{KekBytes, Passphrase};

/// Permitted sizes of the modulus, in bits.
pub const RSA_BITS: RangeInclusive<u32> = 2048..=8192;
/// How many keys one KMS holds at most.
pub const MAX_KEYS: usize = 64;
const OAEP_LABEL: &[u8] = b"sealgate kek v1";
const MAC_KEY_LABEL: &[u8] = b"sealgate kek record mac v1";
const STATE_VERSION: u64 = 1;
/// 64 keys of 8192 bits, with room.
const MAX_STATE: usize = 1024 * 1024;

/// SHA-256 of a public key's `SubjectPublicKeyInfo` in DER; shown as `sha256:HEX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

/// One checked RSA private key of 2048 to 8192 bits, ready for use.
pub struct RsaKey {
    private: OaepPrivateDecryptingKey,
    public: OaepPublicEncryptingKey,
    mac: hmac::Key,
    fingerprint: Fingerprint,
    bits: u32,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl RsaKey {
    /// Reads an operator's PEM: PKCS#1, PKCS#8, or encrypted PKCS#8 with its passphrase.
    ///
    /// # Errors
    /// A [`KeyError`] that says what the file is instead, and what to do.
    pub fn from_pem(pem: &[u8], passphrase: Option<&Passphrase>) -> Result<Self, KeyError> {
        Self::checked(&pem::read(pem, passphrase)?)
    }

    /// A fresh key. `bits` is 2048, 3072, 4096 or 8192; takes from 0.1 s to tens of seconds of computation.
    pub fn generate(bits: u32) -> Result<Self, KeyError> {
        Self::from_pkcs8(&generate_pkcs8(bits)?)
    }

    /// The key's name in records.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Size of the modulus in bits.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The key as PKCS#8 PEM, encrypted under a passphrase of 12 to 1,024 bytes, for an operator to keep: what
    /// [`RsaKey::from_pem`] reads. Takes about a second of computation.
    pub fn to_encrypted_pem(&self, passphrase: &Passphrase) -> Result<Zeroizing<String>, KeyError> {
        pem::write(&self.pkcs8, passphrase)
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let state = |_| KeyError::State("a key is damaged".into());
        let info = rsa::pkcs8::PrivateKeyInfoRef::try_from(der).map_err(state)?;
        let key = rsa::PrivateKey::from_pkcs1_der(info.private_key.as_bytes())
            .map_err(|_| KeyError::Unsound("its numbers do not belong together"))?;
        Self::checked(&key)
    }

    fn checked(key: &rsa::PrivateKey) -> Result<Self, KeyError> {
        let bits = key.n().bit_width_vartime();
        if !RSA_BITS.contains(&bits) {
            return Err(KeyError::Size(bits));
        }
        key.validate().map_err(|_| KeyError::Unsound("its numbers do not belong together"))?;
        let der = key.to_pkcs8_der().map_err(|_| KeyError::Unsound("it cannot be written as PKCS#8"))?;
        let pkcs8 = der.to_bytes();
        let unusable = |_| KeyError::Unsound("the crypto library refuses it");
        let private = PrivateDecryptingKey::from_pkcs8(&pkcs8).map_err(unusable)?;
        let public = private.public_key();
        let spki: PublicKeyX509Der<'_> = public.as_der().map_err(|_| KeyError::Crypto("encoding the public key"))?;
        let mut fingerprint = Fingerprint([0; 32]);
        fingerprint.0.copy_from_slice(digest::digest(&digest::SHA256, spki.as_ref()).as_ref());
        let mac = mac_key(key, fingerprint)?;
        let failed = |_| KeyError::Crypto("preparing OAEP");
        Ok(Self {
            public: OaepPublicEncryptingKey::new(public).map_err(failed)?,
            private: OaepPrivateDecryptingKey::new(private).map_err(failed)?,
            mac,
            fingerprint,
            bits,
            pkcs8,
        })
    }

    /// A fresh KEK of the KMS `id`, wrapped by this key.
    pub fn new_kek(&self, id: &KmsId) -> Result<(KekBytes, KekRecord), Error> {
        let kek = KekBytes::random()?;
        let mut wrapped = vec![0; self.public.ciphertext_size()];
        let length = self
            .public
            .encrypt(&OAEP_SHA256_MGF1SHA256, kek.expose(), &mut wrapped, Some(OAEP_LABEL))
            .map_err(|_| Error::Crypto("RSA-OAEP encryption"))?
            .len();
        wrapped.truncate(length);
        let key = self.fingerprint.0.to_vec();
        let mac = hmac::sign(&self.mac, &mac_input(id, RSA, &key, &wrapped));
        let record = KekRecord::build(id.clone(), RSA.to_owned(), key, wrapped, mac.as_ref().to_vec())?;
        Ok((kek, record))
    }

    /// The KEK of a record that was wrapped by this very key, whatever KMS ID it carries.
    ///
    /// # Errors
    /// [`Error::OtherKey`] names both keys; [`Error::Forged`] if the MAC does not verify, before anything is decrypted.
    pub fn open(&self, record: &KekRecord) -> Result<KekBytes, Error> {
        let (kms, key) = (record.kms_id().clone(), record.key_text());
        if record.provider() != RSA {
            return Err(Error::OtherProvider { kms, record: record.provider().to_owned(), here: RSA });
        }
        if record.key() != self.fingerprint.0 {
            return Err(Error::OtherKey { kms, wanted: key, held: vec![self.fingerprint.to_string()] });
        }
        if hmac::verify(&self.mac, &record.mac_input(), record.mac()).is_err() {
            return Err(Error::Forged { kms, key });
        }
        let mut clear = Zeroizing::new(vec![0; self.private.min_output_size()]);
        let opened = self.private.decrypt(&OAEP_SHA256_MGF1SHA256, record.wrapped(), &mut clear, Some(OAEP_LABEL));
        opened.ok().and_then(KekBytes::take).ok_or(Error::Unwrap { kms, key })
    }
}

fn mac_key(key: &rsa::PrivateKey, fingerprint: Fingerprint) -> Result<hmac::Key, KeyError> {
    let [p, q] = key.primes() else { return Err(KeyError::Unsound("it has more than two primes")) };
    let bytes = |prime: &rsa::BoxedUint| Zeroizing::new(prime.to_be_bytes_trimmed_vartime().to_vec());
    let (p, q) = (bytes(p), bytes(q));
    let (small, large) = if (p.len(), &p[..]) < (q.len(), &q[..]) { (p, q) } else { (q, p) };
    let mut secret = Zeroizing::new(Vec::with_capacity(small.len() + large.len() + 8));
    for prime in [&small, &large] {
        let length = u32::try_from(prime.len()).map_err(|_| KeyError::Unsound("a prime is too long"))?;
        secret.extend_from_slice(&length.to_be_bytes());
        secret.extend_from_slice(prime);
    }
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&secret);
    let info = [MAC_KEY_LABEL, &fingerprint.0[..]];
    let okm = prk.expand(&info, hmac::HMAC_SHA256).map_err(|_| KeyError::Crypto("HKDF"))?;
    Ok(hmac::Key::from(okm))
}

fn generate_pkcs8(bits: u32) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        4096 => KeySize::Rsa4096,
        8192 => KeySize::Rsa8192,
        other => return Err(KeyError::Size(other)),
    };
    let failed = |_| KeyError::Crypto("generating an RSA key");
    let key = PrivateDecryptingKey::generate(size).map_err(failed)?;
    let der: Pkcs8V1Der<'_> = key.as_der().map_err(failed)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// A fresh key as unencrypted PKCS#8 PEM, for an operator to keep. Wiped when dropped.
pub type GeneratedPem = Zeroizing<String>;

/// Generates a key for an operator to keep outside the gateway; sizes as for [`RsaKey::generate`].
pub fn generate_pem(bits: u32) -> Result<GeneratedPem, KeyError> {
    let der = generate_pkcs8(bits)?;
    let document = rsa::pkcs8::SecretDocument::try_from(&der[..]).map_err(|_| KeyError::Crypto("encoding PEM"))?;
    document.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|_| KeyError::Crypto("encoding PEM"))
}

struct Version {
    number: u32,
    added_unix_s: u64,
    key: RsaKey,
}

/// The built-in KMS: one or more RSA keys, exactly one of them active. New KEKs use the active one; all of them open.
pub struct RsaKms {
    id: KmsId,
    versions: Vec<Version>,
    active: u32,
    next: u32,
}

impl RsaKms {
    /// A KMS with one key, which is active.
    pub fn new(id: KmsId, key: RsaKey, added_unix_s: u64) -> Self {
        Self { id, versions: vec![Version { number: 1, added_unix_s, key }], active: 1, next: 2 }
    }

    /// The operator's name for it.
    pub fn id(&self) -> &KmsId {
        &self.id
    }

    /// Adds a key and makes it the active one; the others still open. A key that is held already only becomes active.
    /// Returns its version.
    pub fn add(&mut self, key: RsaKey, added_unix_s: u64) -> Result<u32, KeyError> {
        if let Some(held) = self.versions.iter().find(|version| version.key.fingerprint == key.fingerprint) {
            self.active = held.number;
            return Ok(held.number);
        }
        if self.versions.len() >= MAX_KEYS {
            return Err(KeyError::TooMany(MAX_KEYS));
        }
        let number = self.next;
        self.next = number.checked_add(1).ok_or(KeyError::TooMany(MAX_KEYS))?;
        self.versions.push(Version { number, added_unix_s, key });
        self.active = number;
        Ok(number)
    }

    /// A version's key.
    pub fn key(&self, number: u32) -> Result<&RsaKey, KeyError> {
        let version = self.versions.iter().find(|version| version.number == number);
        version.map(|version| &version.key).ok_or_else(|| KeyError::NoSuchKey(format!("version {number}")))
    }

    /// Removes a version that is not active: what only it opens is lost to this KMS until the key is added again.
    pub fn remove(&mut self, number: u32) -> Result<Fingerprint, KeyError> {
        if number == self.active {
            return Err(KeyError::Active(number));
        }
        let at = self.versions.iter().position(|version| version.number == number);
        let at = at.ok_or_else(|| KeyError::NoSuchKey(format!("version {number}")))?;
        Ok(self.versions.remove(at).key.fingerprint)
    }

    /// What it holds, without secrets.
    pub fn inventory(&self) -> Inventory {
        let keys = self.versions.iter().map(|version| KeyVersion {
            number: version.number,
            key: version.key.fingerprint.to_string(),
            bits: version.key.bits,
            added_unix_s: version.added_unix_s,
            active: version.number == self.active,
        });
        Inventory { id: self.id.clone(), provider: RSA, keys: keys.collect() }
    }

    /// A fresh KEK under the active key.
    pub fn new_kek(&self) -> Result<(KekBytes, KekRecord), Error> {
        let active = self.versions.iter().find(|version| version.number == self.active);
        active.expect("the constructors and methods keep the active version in the list").key.new_kek(&self.id)
    }

    /// The KEK of a record that any key of this KMS wrapped.
    ///
    /// # Errors
    /// [`Error::OtherKms`] for another ID; [`Error::OtherKey`] if the ID is ours and the key is not; the rest as for
    /// [`RsaKey::open`].
    pub fn open(&self, record: &KekRecord) -> Result<KekBytes, Error> {
        if *record.kms_id() != self.id {
            return Err(Error::OtherKms { record: record.kms_id().clone(), here: self.id.clone() });
        }
        if record.provider() != RSA {
            let (kms, provider) = (record.kms_id().clone(), record.provider().to_owned());
            return Err(Error::OtherProvider { kms, record: provider, here: RSA });
        }
        let version = self.versions.iter().find(|version| version.key.fingerprint.0 == record.key());
        let Some(version) = version else {
            let held = self.versions.iter().map(|version| version.key.fingerprint.to_string()).collect();
            return Err(Error::OtherKey { kms: self.id.clone(), wanted: record.key_text(), held });
        };
        version.key.open(record)
    }

    /// Everything that must be kept, private keys included: the caller seals it.
    ///
    /// `[1, next, active, [number, added, PKCS#8 DER]*]` in CBOR.
    pub fn state(&self) -> Zeroizing<Vec<u8>> {
        // Reserved in one piece: a buffer that grows leaves copies of keys behind.
        let room = self.versions.iter().map(|version| version.key.pkcs8.len() + 32).sum::<usize>() + 64;
        let mut out = Encoder::new(Vec::with_capacity(room));
        let infallible = "writing to memory cannot fail";
        out.array(3 + self.versions.len() as u64).expect(infallible).u64(STATE_VERSION).expect(infallible);
        out.u32(self.next).expect(infallible).u32(self.active).expect(infallible);
        for version in &self.versions {
            out.array(3).expect(infallible).u32(version.number).expect(infallible);
            out.u64(version.added_unix_s).expect(infallible).bytes(&version.key.pkcs8).expect(infallible);
        }
        Zeroizing::new(out.into_writer())
    }

    /// A KMS from [`RsaKms::state`]; every key is checked again.
    pub fn from_state(id: KmsId, state: &[u8]) -> Result<Self, KeyError> {
        let damaged = || KeyError::State("damaged".into());
        if state.len() > MAX_STATE {
            return Err(damaged());
        }
        let mut decoder = Decoder::new(state);
        let bad = |_| KeyError::State("damaged".into());
        let count = decoder.array().map_err(bad)?.ok_or_else(damaged)?;
        let version = decoder.u64().map_err(bad)?;
        if version != STATE_VERSION {
            return Err(KeyError::State(format!("version {version} is unknown, this program reads version 1")));
        }
        let (next, active) = (decoder.u32().map_err(bad)?, decoder.u32().map_err(bad)?);
        let count = usize::try_from(count).ok().and_then(|count| count.checked_sub(3)).ok_or_else(damaged)?;
        if count == 0 || count > MAX_KEYS {
            return Err(damaged());
        }
        let mut versions: Vec<Version> = Vec::with_capacity(count);
        for _ in 0..count {
            if decoder.array().map_err(bad)? != Some(3) {
                return Err(damaged());
            }
            let (number, added_unix_s) = (decoder.u32().map_err(bad)?, decoder.u64().map_err(bad)?);
            let key = RsaKey::from_pkcs8(decoder.bytes().map_err(bad)?)?;
            let twice = versions.iter().any(|other| other.number == number || other.key.fingerprint == key.fingerprint);
            if twice || number >= next {
                return Err(damaged());
            }
            versions.push(Version { number, added_unix_s, key });
        }
        let ends = decoder.position() == state.len();
        if !ends || !versions.iter().any(|version| version.number == active) {
            return Err(damaged());
        }
        Ok(Self { id, versions, active, next })
    }
}

#[cfg(test)]
mod tests;
