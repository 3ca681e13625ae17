//! The KEK record: everything that a provider needs to open a KEK again, bound together by a MAC.
//!
//! ```text
//! record = [ 1, KMS ID, provider, key, wrapped KEK, MAC ]     deterministic CBOR (RFC 8949, 4.2.1), at most 4 KiB
//! MAC    = HMAC-SHA256(key of the provider, "sealgate kek record v1" | [ 1, KMS ID, provider, key, wrapped KEK ])
//! ```
//!
//! What wraps a KEK may be public (RSA), so a record that unwraps proves nothing by itself. The MAC key is derived from
//! the *private* key: whoever has the public key alone cannot make a record that opens. A provider whose wrapping is
//! authenticated by itself leaves the MAC empty.
//!
//! For the RSA provider, `provider` is `rsa`, `key` the SHA-256 digest of the `SubjectPublicKeyInfo` in DER (32 bytes),
//! and `MAC` 32 bytes; the rest is in the `rsa` module.

use std::sync::Arc;

use ids::KmsId;
use minicbor::decode::Decoder;
use minicbor::encode::Encoder;

/// The longest record that is read or written, in bytes.
pub const MAX_RECORD: usize = 4096;
/// The version that is written, and the only one that is read.
pub const VERSION: u64 = 1;
const MAC_LABEL: &[u8] = b"sealgate kek record v1";
const MAX_PROVIDER: usize = 16;
const MAX_KEY: usize = 256;
const MAX_WRAPPED: usize = 3072;
const MAX_MAC: usize = 64;

/// The bytes are not a record that this version reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// Empty, or longer than [`MAX_RECORD`].
    #[error("{0} bytes, expected 1 to 4096")]
    Length(usize),
    /// Not CBOR, or not the array that is expected.
    #[error("malformed CBOR")]
    Malformed,
    /// Understandable, but not the one permitted coding of what it says.
    #[error("not canonical")]
    NotCanonical,
    /// Written by a version that this one does not know.
    #[error("record version {0} is unknown, this program reads version 1")]
    Version(u64),
    /// A field is too long, or holds what it must not.
    #[error("field {0} is not valid")]
    Field(&'static str),
}

/// A KEK as it is stored beside what it protects. Public; changing any byte makes it useless.
///
/// Every value of this type is canonical: [`KekRecord::parse`] of [`KekRecord::as_bytes`] gives it back.
#[derive(Clone, PartialEq, Eq)]
pub struct KekRecord {
    kms: KmsId,
    provider: String,
    key: Vec<u8>,
    wrapped: Vec<u8>,
    mac: Vec<u8>,
    encoded: Arc<[u8]>,
}

impl std::fmt::Debug for KekRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KekRecord").field("kms", &self.kms).field("key", &self.key_text()).finish_non_exhaustive()
    }
}

impl KekRecord {
    /// Reads a record without any key: what it claims is not proven before a provider has opened it.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.is_empty() || bytes.len() > MAX_RECORD {
            return Err(RecordError::Length(bytes.len()));
        }
        let mut decoder = Decoder::new(bytes);
        let malformed = |_| RecordError::Malformed;
        if decoder.array().map_err(malformed)?.is_none() {
            return Err(RecordError::NotCanonical);
        }
        let version = decoder.u64().map_err(malformed)?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let kms = decoder.str().map_err(malformed)?.parse().map_err(|_| RecordError::Field("KMS ID"))?;
        let provider = decoder.str().map_err(malformed)?.to_owned();
        let key = decoder.bytes().map_err(malformed)?.to_vec();
        let wrapped = decoder.bytes().map_err(malformed)?.to_vec();
        let mac = decoder.bytes().map_err(malformed)?.to_vec();
        let record = Self::build(kms, provider, key, wrapped, mac)?;
        // Covers a wrong array length, longer-than-needed integers, and bytes after the end.
        if record.encoded[..] != *bytes {
            return Err(RecordError::NotCanonical);
        }
        Ok(record)
    }

    /// A record whose MAC is `mac` over [`mac_input`]; empty where the provider's wrapping is authenticated.
    pub(crate) fn build(
        kms: KmsId,
        provider: String,
        key: Vec<u8>,
        wrapped: Vec<u8>,
        mac: Vec<u8>,
    ) -> Result<Self, RecordError> {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if provider.is_empty() || provider.len() > MAX_PROVIDER || !provider.chars().all(legal) {
            return Err(RecordError::Field("provider"));
        }
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(RecordError::Field("key"));
        }
        if wrapped.is_empty() || wrapped.len() > MAX_WRAPPED {
            return Err(RecordError::Field("wrapped KEK"));
        }
        if mac.len() > MAX_MAC {
            return Err(RecordError::Field("MAC"));
        }
        let encoded = encode(&kms, &provider, &key, &wrapped, Some(&mac)).into();
        Ok(Self { kms, provider, key, wrapped, mac, encoded })
    }

    /// The canonical bytes, at most [`MAX_RECORD`].
    pub fn as_bytes(&self) -> &[u8] {
        &self.encoded
    }

    /// The KMS that made the KEK, as claimed.
    pub fn kms_id(&self) -> &KmsId {
        &self.kms
    }

    /// The kind of provider, as claimed: `rsa`.
    pub fn provider(&self) -> &str {
        &self.provider
    }

    /// Which key of the KMS wrapped the KEK, as claimed; its meaning is the provider's.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The key for people: `sha256:HEX` for the RSA provider, the text itself where it is printable, else hexadecimal.
    pub fn key_text(&self) -> String {
        if self.provider == crate::RSA {
            return format!("sha256:{}", hex::encode(&self.key));
        }
        match std::str::from_utf8(&self.key) {
            Ok(text) if text.chars().all(|c| c.is_ascii_graphic()) => text.to_owned(),
            _ => hex::encode(&self.key),
        }
    }

    pub(crate) fn wrapped(&self) -> &[u8] {
        &self.wrapped
    }

    pub(crate) fn mac(&self) -> &[u8] {
        &self.mac
    }

    /// What the MAC of this record covers.
    pub(crate) fn mac_input(&self) -> Vec<u8> {
        mac_input(&self.kms, &self.provider, &self.key, &self.wrapped)
    }
}

/// What a MAC covers: the label, then the record's fields without the MAC, in the same coding.
pub(crate) fn mac_input(kms: &KmsId, provider: &str, key: &[u8], wrapped: &[u8]) -> Vec<u8> {
    let mut input = MAC_LABEL.to_vec();
    input.extend(encode(kms, provider, key, wrapped, None));
    input
}

fn encode(kms: &KmsId, provider: &str, key: &[u8], wrapped: &[u8], mac: Option<&[u8]>) -> Vec<u8> {
    let mut out = Encoder::new(Vec::with_capacity(wrapped.len() + 256));
    let infallible = "writing to memory cannot fail";
    out.array(if mac.is_some() { 6 } else { 5 }).expect(infallible);
    out.u64(VERSION).expect(infallible).str(kms.as_str()).expect(infallible).str(provider).expect(infallible);
    out.bytes(key).expect(infallible).bytes(wrapped).expect(infallible);
    if let Some(mac) = mac {
        out.bytes(mac).expect(infallible);
    }
    out.into_writer()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> KekRecord {
        let id = "prod".parse().expect("legal");
        KekRecord::build(id, "rsa".into(), vec![1; 32], vec![2; 512], vec![3; 32]).expect("valid")
    }

    #[test]
    fn a_record_parses_back_and_names_kms_and_key_without_any_key() {
        let record = KekRecord::parse(sample().as_bytes()).expect("parses");
        assert_eq!(record, sample());
        assert_eq!(record.kms_id().as_str(), "prod");
        assert_eq!(record.key_text(), format!("sha256:{}", "01".repeat(32)));
    }

    #[test]
    fn every_truncation_and_every_appended_byte_is_refused() {
        let bytes = sample().as_bytes().to_vec();
        for end in 0..bytes.len() {
            assert!(KekRecord::parse(&bytes[..end]).is_err(), "cut at {end}");
        }
        assert_eq!(KekRecord::parse(&[&bytes[..], &[0]].concat()), Err(RecordError::NotCanonical));
    }

    #[test]
    fn a_coding_that_is_not_the_shortest_is_refused() {
        // 0x18 0x01 is 1 in two bytes; 0x9f … 0xff is an array of unknown length.
        let bytes = sample().as_bytes().to_vec();
        let long = [&[bytes[0]], &[0x18, 0x01][..], &bytes[2..]].concat();
        assert_eq!(KekRecord::parse(&long), Err(RecordError::NotCanonical));
        let open = [&[0x9f][..], &bytes[1..], &[0xff]].concat();
        assert_eq!(KekRecord::parse(&open), Err(RecordError::NotCanonical));
        let wrong_count = [&[0x87][..], &bytes[1..]].concat();
        assert_eq!(KekRecord::parse(&wrong_count), Err(RecordError::NotCanonical));
    }

    #[test]
    fn an_unknown_version_is_named_and_length_is_bounded_before_parsing() {
        let mut bytes = sample().as_bytes().to_vec();
        bytes[1] = 2;
        assert_eq!(KekRecord::parse(&bytes), Err(RecordError::Version(2)));
        assert_eq!(KekRecord::parse(&vec![0x86; MAX_RECORD + 1]), Err(RecordError::Length(MAX_RECORD + 1)));
        assert_eq!(KekRecord::parse(&[]), Err(RecordError::Length(0)));
    }

    #[test]
    fn fields_out_of_bounds_are_named() {
        let id: KmsId = "prod".parse().expect("legal");
        let build = |p: &str, k: usize, w: usize, m: usize| {
            KekRecord::build(id.clone(), p.into(), vec![0; k], vec![0; w], vec![0; m]).map(|_| ())
        };
        assert_eq!(build("RSA", 32, 8, 32), Err(RecordError::Field("provider")));
        assert_eq!(build("rsa", 257, 8, 32), Err(RecordError::Field("key")));
        assert_eq!(build("rsa", 32, 0, 32), Err(RecordError::Field("wrapped KEK")));
        assert_eq!(build("rsa", 32, 3073, 32), Err(RecordError::Field("wrapped KEK")));
        assert_eq!(build("rsa", 32, 8, 65), Err(RecordError::Field("MAC")));
        assert_eq!(build("rsa", MAX_KEY, MAX_WRAPPED, MAX_MAC), Ok(()), "the longest fits the bound");
    }
}
