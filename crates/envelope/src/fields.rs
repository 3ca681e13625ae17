//! What is recorded of an object besides its bytes, each with its bounds.

use std::fmt;

use aws_lc_rs::digest;

use crate::error::SealError;

/// Largest bucket name in bytes. S3 allows 63; older regions and other services up to 255.
pub const MAX_BUCKET: usize = 255;
/// Largest object key in bytes, as S3 has it.
pub const MAX_KEY: usize = 1024;
/// Largest KMS ID in bytes.
pub const MAX_KMS_ID: usize = 64;
/// Largest KEK record in bytes.
pub const MAX_KEK_RECORD: usize = 4096;
/// Largest policy name in bytes.
pub const MAX_POLICY_NAME: usize = 253;
/// Largest name of the writing program in bytes.
pub const MAX_WRITER: usize = 64;

/// Where an object lies at the storage: backing bucket and key, as raw bytes, nothing normalised.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    bucket: Vec<u8>,
    key: Vec<u8>,
}

impl Place {
    /// Bucket of 1 to 255 bytes, key of 1 to 1,024 bytes; otherwise [`SealError::Bounds`].
    pub fn new(bucket: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Result<Self, SealError> {
        let (bucket, key) = (bucket.into(), key.into());
        if bucket.is_empty() || bucket.len() > MAX_BUCKET {
            return Err(SealError::Bounds { field: "bucket", bounds: "1 to 255 bytes" });
        }
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(SealError::Bounds { field: "key", bounds: "1 to 1024 bytes" });
        }
        Ok(Self { bucket, key })
    }

    /// The backing bucket.
    pub fn bucket(&self) -> &[u8] {
        &self.bucket
    }

    /// The object key.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Bucket and key, each behind its length in two bytes, big-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.bucket.len() + self.key.len());
        for part in [&self.bucket, &self.key] {
            let len = u16::try_from(part.len()).expect("the constructor bounds both to 1024 bytes");
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }

    /// The inverse of [`encode`](Self::encode); `None` for anything that it does not give.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (bucket, rest) = take(bytes)?;
        let (key, rest) = take(rest)?;
        rest.is_empty().then(|| Self::new(bucket, key).ok()).flatten()
    }

    /// SHA-256 of the encoded place: what the data key's wrap is bound to.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(digest::digest(&digest::SHA256, &self.encode()).as_ref());
        out
    }
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// `bucket/key`, with what is not printable ASCII escaped.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket.escape_ascii(), self.key.escape_ascii())
    }
}

/// From where an object is read, and which recorded place is accepted there.
#[derive(Debug, Clone, Copy)]
pub enum Expected<'a> {
    /// Only an object that was sealed for this place.
    At(&'a Place),
    /// Also one that was sealed for a former place that an operator has named (a replica, a restored copy).
    AtOrFormerly {
        /// Where it is read from.
        at: &'a Place,
        /// The former place that is accepted.
        formerly: &'a Place,
    },
    /// Whatever place the object names: for tools that hold a bare file and show the place to a person.
    Anywhere,
}

impl Expected<'_> {
    pub(crate) fn accepts(&self, digest: &[u8; 32]) -> bool {
        match self {
            Self::At(at) => at.digest() == *digest,
            Self::AtOrFormerly { at, formerly } => at.digest() == *digest || formerly.digest() == *digest,
            Self::Anywhere => true,
        }
    }

    pub(crate) fn at(&self) -> Option<Place> {
        match self {
            Self::At(at) | Self::AtOrFormerly { at, .. } => Some((*at).clone()),
            Self::Anywhere => None,
        }
    }
}

/// Why an object was sealed: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The bucket's toggle is on.
    Toggle,
    /// A policy demanded it.
    Policy,
    /// The client asked for it.
    Client,
    /// The group's floor demanded it.
    Floor,
    /// The plaintext begins as a sealed object does, and stored as it is would be taken for one.
    Lookalike,
}

impl Cause {
    /// `toggle`, `policy`, `client`, `floor` or `lookalike`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Toggle => "toggle",
            Self::Policy => "policy",
            Self::Client => "client",
            Self::Floor => "floor",
            Self::Lookalike => "lookalike",
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Toggle => 1,
            Self::Policy => 2,
            Self::Client => 3,
            Self::Floor => 4,
            Self::Lookalike => 5,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Toggle, Self::Policy, Self::Client, Self::Floor, Self::Lookalike]
            .into_iter()
            .find(|cause| cause.code() == code)
    }
}

/// The policy that decided, and the revision of the set that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRef {
    /// Identifier of the policy, unique for ever.
    pub uid: [u8; 16],
    /// Its name, at most 253 bytes.
    pub name: String,
    /// UUID of the lineage of the policy set.
    pub lineage: [u8; 16],
    /// Revision number of the set within the lineage.
    pub revision: u64,
}

/// What is recorded of an object when it is sealed. All of it is authenticated, and readable without a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Where the object will lie. The data key is bound to it.
    pub place: Place,
    /// KMS whose key opens the KEK record: 1 to 64 visible ASCII characters.
    pub kms_id: String,
    /// The KEK as the KMS wrapped it: 1 to 4,096 bytes, opaque here.
    pub kek_record: Vec<u8>,
    /// Why the object is sealed.
    pub cause: Cause,
    /// The policy that decided, where one did.
    pub policy: Option<PolicyRef>,
    /// When, in milliseconds since 1970-01-01T00:00:00Z.
    pub sealed_at_ms: u64,
    /// Name and version of the writing program, at most 64 bytes.
    pub writer: String,
}

impl Recorded {
    pub(crate) fn check(&self) -> Result<(), SealError> {
        let bounds = |ok: bool, field, bounds| if ok { Ok(()) } else { Err(SealError::Bounds { field, bounds }) };
        bounds(is_kms_id(&self.kms_id), "kms_id", "1 to 64 visible ASCII characters")?;
        bounds((1..=MAX_KEK_RECORD).contains(&self.kek_record.len()), "kek_record", "1 to 4096 bytes")?;
        bounds(self.writer.len() <= MAX_WRITER, "writer", "at most 64 bytes")?;
        bounds(
            self.policy.as_ref().is_none_or(|policy| policy.name.len() <= MAX_POLICY_NAME),
            "policy name",
            "at most 253 bytes",
        )
    }
}

pub(crate) fn is_kms_id(text: &str) -> bool {
    (1..=MAX_KMS_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
