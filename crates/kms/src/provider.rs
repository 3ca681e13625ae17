//! A configured KMS of any kind: the one place that knows which kinds there are.

use ids::KmsId;

use crate::error::{Error, KeyError};
use crate::record::KekRecord;
use crate::rsa::RsaKms;
use crate::secret::KekBytes;

/// The built-in RSA provider, as records, JSON and the command line spell it.
pub const RSA: &str = "rsa";

/// A configured KMS.
pub enum Provider {
    /// The built-in one: RSA keys that the operator uploaded. Its calls compute; run them on a blocking thread.
    Rsa(RsaKms),
}

/// One version of a KMS's master key, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVersion {
    /// Counts from 1 in the order in which keys were added; never used twice.
    pub number: u32,
    /// The key as KEK records and `object inspect` show it: `sha256:HEX` for RSA.
    pub key: String,
    /// Size in bits; 0 where it does not apply.
    pub bits: u32,
    /// When it was added, in seconds since 1970-01-01T00:00:00Z.
    pub added_unix_s: u64,
    /// New KEKs are wrapped by this one; exactly one version is active.
    pub active: bool,
}

/// What a KMS holds, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Its ID.
    pub id: KmsId,
    /// Its kind: [`RSA`].
    pub provider: &'static str,
    /// Every version of its key, in order of number.
    pub keys: Vec<KeyVersion>,
}

impl Provider {
    /// A provider from its stored state, see [`Provider::state`]. `kind` is what [`Provider::kind`] gave.
    pub fn from_state(id: KmsId, kind: &str, state: &[u8]) -> Result<Self, KeyError> {
        match kind {
            RSA => RsaKms::from_state(id, state).map(Self::Rsa),
            other => Err(KeyError::State(format!("a KMS of kind {other:?} is unknown to this version"))),
        }
    }

    /// Everything that must be kept to have the provider again, secrets included; the caller seals it.
    pub fn state(&self) -> zeroize::Zeroizing<Vec<u8>> {
        match self {
            Self::Rsa(kms) => kms.state(),
        }
    }

    /// The operator's name for it.
    pub fn id(&self) -> &KmsId {
        match self {
            Self::Rsa(kms) => kms.id(),
        }
    }

    /// Its kind as records and JSON spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Rsa(_) => RSA,
        }
    }

    /// What it holds, without secrets.
    pub fn inventory(&self) -> Inventory {
        match self {
            Self::Rsa(kms) => kms.inventory(),
        }
    }

    /// A fresh KEK, wrapped by the active version of the key.
    #[expect(clippy::unused_async, reason = "other kinds of KMS are reached over a network")]
    pub async fn new_kek(&self) -> Result<(KekBytes, KekRecord), Error> {
        match self {
            Self::Rsa(kms) => kms.new_kek(),
        }
    }

    /// The KEK of a record that this KMS made, by whichever version of its key.
    #[expect(clippy::unused_async, reason = "other kinds of KMS are reached over a network")]
    pub async fn open(&self, record: &KekRecord) -> Result<KekBytes, Error> {
        match self {
            Self::Rsa(kms) => kms.open(record),
        }
    }

    /// Proves that the KMS works: wraps a fresh KEK, opens it, compares.
    pub async fn probe(&self) -> Result<(), Error> {
        let (kek, record) = self.new_kek().await?;
        // From the stored form, so that what is proven is what will be read.
        let again = self.open(&KekRecord::parse(record.as_bytes())?).await?;
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&kek.expose()[..], &again.expose()[..])) {
            return Err(Error::Probe { kms: self.id().clone() });
        }
        Ok(())
    }
}
