//! Plaintext checksums, as they are sealed into the footer. In clear they would let the storage confirm a guess.

use crate::error::{FormatError, SealError};

/// A checksum algorithm of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumAlgorithm {
    /// CRC-32 (ISO-HDLC), 4 bytes.
    Crc32,
    /// CRC-32C (Castagnoli), 4 bytes.
    Crc32c,
    /// CRC-64/NVME, 8 bytes.
    Crc64Nvme,
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// MD5, 16 bytes.
    Md5,
    /// SHA-512, 64 bytes.
    Sha512,
    /// XXH64, 8 bytes.
    XxHash64,
    /// XXH3 of 64 bits, 8 bytes.
    XxHash3,
    /// XXH3 of 128 bits, 16 bytes.
    XxHash128,
}

impl ChecksumAlgorithm {
    pub(crate) const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Md5,
        Self::Sha512,
        Self::XxHash64,
        Self::XxHash3,
        Self::XxHash128,
    ];

    /// Length in bytes of a value.
    pub fn value_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::XxHash64 | Self::XxHash3 => 8,
            Self::Md5 | Self::XxHash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Crc32 => 1,
            Self::Crc32c => 2,
            Self::Crc64Nvme => 3,
            Self::Sha1 => 4,
            Self::Sha256 => 5,
            Self::Md5 => 6,
            Self::Sha512 => 7,
            Self::XxHash64 => 8,
            Self::XxHash3 => 9,
            Self::XxHash128 => 10,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.code() == code)
    }
}

/// Over what a checksum of an object was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumKind {
    /// Over the plaintext.
    FullObject,
    /// Over the checksums of the parts, in order (S3 shows it with `-N` behind it).
    Composite,
}

/// A checksum of a whole object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// Algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// Over what.
    pub kind: ChecksumKind,
    /// The raw value, as long as [`ChecksumAlgorithm::value_len`] says.
    pub value: Vec<u8>,
}

/// The checksums of the parts, all by one algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartChecksums {
    /// Algorithm.
    pub algorithm: ChecksumAlgorithm,
    /// One raw value for each part, in the order of the parts.
    pub values: Vec<Vec<u8>>,
}

/// All checksums that an object keeps. Empty is fine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checksums {
    /// Of the whole object: in the order of [`ChecksumAlgorithm`], each algorithm at most once.
    pub object: Vec<Checksum>,
    /// Of the parts, for a multipart upload.
    pub parts: Option<PartChecksums>,
}

impl Checksums {
    /// Full-object checksums of a single PUT, in any order.
    pub fn full_object(values: impl IntoIterator<Item = (ChecksumAlgorithm, Vec<u8>)>) -> Self {
        let mut object: Vec<_> = values
            .into_iter()
            .map(|(algorithm, value)| Checksum { algorithm, kind: ChecksumKind::FullObject, value })
            .collect();
        object.sort_by_key(|checksum| checksum.algorithm);
        Self { object, parts: None }
    }

    /// count | (algorithm, kind, value)* | algorithm of the parts or 0 | value*
    pub(crate) fn encode(&self, parts: usize) -> Result<Vec<u8>, SealError> {
        let ascending = self.object.is_sorted_by(|a, b| a.algorithm < b.algorithm);
        let lengths = self.object.iter().all(|checksum| checksum.value.len() == checksum.algorithm.value_len());
        let of_parts = self.parts.as_ref().is_none_or(|of| {
            of.values.len() == parts && of.values.iter().all(|value| value.len() == of.algorithm.value_len())
        });
        if !(ascending && lengths && of_parts) {
            return Err(SealError::Checksums);
        }
        let count = u8::try_from(self.object.len()).expect("each of the ten algorithms comes at most once");
        let mut out = vec![count];
        for checksum in &self.object {
            out.extend([checksum.algorithm.code(), u8::from(checksum.kind == ChecksumKind::Composite)]);
            out.extend_from_slice(&checksum.value);
        }
        match &self.parts {
            None => out.push(0),
            Some(of) => {
                out.push(of.algorithm.code());
                of.values.iter().for_each(|value| out.extend_from_slice(value));
            }
        }
        Ok(out)
    }

    /// Length in bytes of what [`encode`](Self::encode) gives for full-object checksums by these algorithms.
    pub(crate) fn encoded_len(algorithms: &[ChecksumAlgorithm]) -> usize {
        2 + algorithms.iter().map(|algorithm| 2 + algorithm.value_len()).sum::<usize>()
    }

    pub(crate) fn decode(bytes: &[u8], parts: usize) -> Result<Self, FormatError> {
        let malformed = || FormatError::Malformed { part: "sealed checksums", reason: "not as the format has them" };
        let mut rest = bytes;
        let mut take = |len: usize| -> Result<&[u8], FormatError> {
            let (taken, left) = rest.split_at_checked(len).ok_or_else(malformed)?;
            rest = left;
            Ok(taken)
        };
        let mut object: Vec<Checksum> = Vec::new();
        for _ in 0..take(1)?[0] {
            let algorithm = ChecksumAlgorithm::from_code(take(1)?[0]).ok_or_else(malformed)?;
            let kind = match take(1)?[0] {
                0 => ChecksumKind::FullObject,
                1 => ChecksumKind::Composite,
                _ => return Err(malformed()),
            };
            if object.last().is_some_and(|last| last.algorithm >= algorithm) {
                return Err(malformed());
            }
            object.push(Checksum { algorithm, kind, value: take(algorithm.value_len())?.to_vec() });
        }
        let parts = match take(1)?[0] {
            0 => None,
            code => {
                let algorithm = ChecksumAlgorithm::from_code(code).ok_or_else(malformed)?;
                let values = (0..parts)
                    .map(|_| Ok(take(algorithm.value_len())?.to_vec()))
                    .collect::<Result<_, FormatError>>()?;
                Some(PartChecksums { algorithm, values })
            }
        };
        if rest.is_empty() { Ok(Self { object, parts }) } else { Err(malformed()) }
    }
}
