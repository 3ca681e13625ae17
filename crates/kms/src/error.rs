//! What can go wrong with a KMS, and with a key that an operator hands in.

use ids::KmsId;

use crate::record::RecordError;

/// A KEK could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not a KEK record.
    #[error("not a KEK record: {0}")]
    Record(#[from] RecordError),
    /// The record names another KMS than the one that was asked.
    #[error("the KEK belongs to KMS {record}, this is KMS {here}")]
    OtherKms {
        /// The KMS that the record names.
        record: KmsId,
        /// The KMS that was asked.
        here: KmsId,
    },
    /// The record names another kind of provider than the one that was asked.
    #[error("the KEK of KMS {kms} was made by a provider of kind {record}, this one is of kind {here}")]
    OtherProvider {
        /// The KMS that the record names.
        kms: KmsId,
        /// The kind that the record names.
        record: String,
        /// The kind that was asked.
        here: &'static str,
    },
    /// The KMS has the right ID, but not the key that wrapped this KEK.
    #[error("the KEK of KMS {kms} was wrapped by key {wanted}; the keys held here are {}", held.join(", "))]
    OtherKey {
        /// The KMS that the record names.
        kms: KmsId,
        /// The key that the record names.
        wanted: String,
        /// Every key that the provider holds.
        held: Vec<String>,
    },
    /// The record has no valid MAC: it was changed, or made by someone who does not hold the private key.
    #[error("the KEK record of KMS {kms} is not authentic: it was changed, or made without the private key {key}")]
    Forged {
        /// The KMS that the record names.
        kms: KmsId,
        /// The key that the record names.
        key: String,
    },
    /// The record is authentic, and what it wraps is not a KEK.
    #[error("the KEK of KMS {kms} does not unwrap under key {key}")]
    Unwrap {
        /// The KMS that the record names.
        kms: KmsId,
        /// The key that the record names.
        key: String,
    },
    /// Wrapping and unwrapping a fresh key did not give the same key back.
    #[error("KMS {kms} does not give back what it wrapped")]
    Probe {
        /// The KMS that was probed.
        kms: KmsId,
    },
    /// The KMS could not be reached, or answered that it is not able to serve now.
    #[error("KMS {kms} is unavailable: {reason}")]
    Unavailable {
        /// The KMS that was asked.
        kms: KmsId,
        /// What is known about the cause, without secrets.
        reason: String,
    },
    /// The crypto library failed where it cannot for valid input.
    #[error("cryptography failed: {0}")]
    Crypto(&'static str),
}

impl Error {
    /// True where trying again later may help; everything else stays as it is until someone acts.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Crypto(_))
    }
}

/// An RSA key that an operator handed in, or the stored state of a provider, is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM block at all.
    #[error("no PEM block found: expected -----BEGIN RSA PRIVATE KEY-----, PRIVATE KEY or ENCRYPTED PRIVATE KEY")]
    NotPem,
    /// Longer than any key of the permitted sizes.
    #[error("the file has {0} bytes, more than any key of 8192 bits (at most 64 KiB)")]
    TooLong(usize),
    /// A PEM block that begins but does not end, or is not Base64.
    #[error("the PEM block {0:?} is damaged")]
    DamagedPem(String),
    /// The old encryption of OpenSSL (MD5-based, no integrity).
    #[error(
        "the key is encrypted in the legacy way (Proc-Type: 4,ENCRYPTED), which is not supported; convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW"
    )]
    LegacyEncryption,
    /// A public key or a certificate where the private key is needed.
    #[error("this is a {0}; the RSA private key is needed")]
    Public(&'static str),
    /// A private key of another kind.
    #[error("this is a {0} key; an RSA key is needed")]
    OtherAlgorithm(String),
    /// A PEM block that is no key.
    #[error("a PEM block {0:?} is not a private key")]
    OtherBlock(String),
    /// Encrypted, and no passphrase was given.
    #[error("the key is encrypted: a passphrase is needed")]
    PassphraseNeeded,
    /// The passphrase does not open it (or the file is damaged, which looks the same).
    #[error("the passphrase does not open the key")]
    WrongPassphrase,
    /// The passphrase of a copy has so many bytes, which are too few or too many.
    #[error("the passphrase has {0} bytes; a copy of a key is encrypted under one of 12 to 1024")]
    Passphrase(usize),
    /// Encrypted with an algorithm that is not supported, or with a cost that no honest tool writes.
    #[error(
        "the encryption of the key is not supported ({0}); convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD -out NEW"
    )]
    UnsupportedEncryption(String),
    /// Fewer or more bits than permitted.
    #[error("the key has {0} bits; 2048 to 8192 are supported")]
    Size(u32),
    /// It parses, and is not a sound two-prime RSA key.
    #[error("the RSA key is not sound: {0}")]
    Unsound(&'static str),
    /// The provider holds as many keys as it can.
    #[error("the KMS holds {0} keys already; remove one that no object needs")]
    TooMany(usize),
    /// No key with this version or fingerprint.
    #[error("the KMS has no key {0}")]
    NoSuchKey(String),
    /// The active key cannot be removed.
    #[error("key version {0} is the active one; rotate to another first")]
    Active(u32),
    /// The stored state of the provider cannot be read.
    #[error("the stored keys of the KMS cannot be read: {0}")]
    State(String),
    /// The crypto library failed.
    #[error("cryptography failed: {0}")]
    Crypto(&'static str),
}
