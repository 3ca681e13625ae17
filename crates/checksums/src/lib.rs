//! S3's checksums: names, running computation, and the checksum of a whole from those of its parts. Pure.
//!
//! ```text
//! headers ─▶ choose() ─▶ (Algorithm, Kind)          what an upload in parts keeps
//! bytes ─▶ Hasher ─▶ value of a part ─▶ whole()     FULL_OBJECT: combined │ COMPOSITE: over the parts' values
//! ```
//! S3 user guide, "Checking object integrity".
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on panics"))]

use crc_fast::CrcAlgorithm;
use md5::Digest as _;
use twox_hash::{XxHash3_64, XxHash3_128, XxHash64};

/// A checksum algorithm of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
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
    /// SHA-512, 64 bytes.
    Sha512,
    /// MD5, 16 bytes. `Content-MD5` is a check of one request, and no checksum of an object.
    Md5,
    /// XXH64 with seed 0, 8 bytes.
    XxHash64,
    /// XXH3 of 64 bits with seed 0, 8 bytes.
    XxHash3,
    /// XXH3 of 128 bits with seed 0, 16 bytes.
    XxHash128,
}

/// Every one, in S3's order.
pub const ALL: [Algorithm; 10] = [
    Algorithm::Crc32,
    Algorithm::Crc32c,
    Algorithm::Crc64Nvme,
    Algorithm::Sha1,
    Algorithm::Sha256,
    Algorithm::Sha512,
    Algorithm::Md5,
    Algorithm::XxHash64,
    Algorithm::XxHash3,
    Algorithm::XxHash128,
];

/// The one that S3 makes where a client asks for none.
pub const DEFAULT: Algorithm = Algorithm::Crc64Nvme;

impl Algorithm {
    /// S3's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Md5 => "MD5",
            Self::XxHash64 => "XXHASH64",
            Self::XxHash3 => "XXHASH3",
            Self::XxHash128 => "XXHASH128",
        }
    }

    /// The header that carries a value.
    pub const fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha512 => "x-amz-checksum-sha512",
            Self::Md5 => "x-amz-checksum-md5",
            Self::XxHash64 => "x-amz-checksum-xxhash64",
            Self::XxHash3 => "x-amz-checksum-xxhash3",
            Self::XxHash128 => "x-amz-checksum-xxhash128",
        }
    }

    /// The element that carries a value.
    pub const fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
            Self::Sha512 => "ChecksumSHA512",
            Self::Md5 => "ChecksumMD5",
            Self::XxHash64 => "ChecksumXXHASH64",
            Self::XxHash3 => "ChecksumXXHASH3",
            Self::XxHash128 => "ChecksumXXHASH128",
        }
    }

    /// Bytes of a value.
    pub const fn value_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::XxHash64 | Self::XxHash3 => 8,
            Self::Md5 | Self::XxHash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// By S3's name in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// By the name of its header, in lower case.
    pub fn by_header(name: &str) -> Option<Self> {
        ALL.into_iter().find(|algorithm| algorithm.header() == name)
    }

    /// By the name of its element.
    pub fn by_element(name: &str) -> Option<Self> {
        ALL.into_iter().find(|algorithm| algorithm.element() == name)
    }

    /// The kinds that an object of parts may have, S3's default first.
    const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Crc64Nvme => &[Kind::FullObject],
            Self::Crc32 | Self::Crc32c => &[Kind::Composite, Kind::FullObject],
            _ => &[Kind::Composite],
        }
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            _ => None,
        }
    }
}

/// Over what the checksum of an object was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Over its bytes.
    FullObject,
    /// Over the checksums of its parts, in order; S3 shows it with the number of parts behind it.
    Composite,
}

impl Kind {
    /// S3's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    /// By S3's name in any case.
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::FullObject, Self::Composite].into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

/// Why S3 refuses a choice (`InvalidRequest`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

impl Refused {
    /// There is no algorithm of that name.
    pub fn unknown() -> Self {
        let names = ALL.map(Algorithm::name).join(", ");
        Self(format!(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [{names}]"
        ))
    }
}

/// What a client chooses for an upload in parts by `x-amz-checksum-algorithm` and `x-amz-checksum-type`, with S3's
/// defaults and refusals. None: it chooses nothing.
pub fn choose(algorithm: Option<&str>, kind: Option<&str>) -> Result<Option<(Algorithm, Kind)>, Refused> {
    let refused = |why: String| Err(Refused(why));
    let kind = match kind.map(|name| (name, Kind::by_name(name))) {
        None => None,
        Some((_, Some(kind))) => Some(kind),
        Some((_, None)) => return refused("Value for x-amz-checksum-type header is invalid.".to_owned()),
    };
    let Some(name) = algorithm else {
        return match kind {
            None => Ok(None),
            Some(_) => refused(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.".to_owned(),
            ),
        };
    };
    let Some(algorithm) = Algorithm::by_name(name) else {
        return Err(Refused::unknown());
    };
    let kind = kind.unwrap_or(algorithm.kinds()[0]);
    if !algorithm.kinds().contains(&kind) {
        return refused(format!(
            "The {} checksum type cannot be used with the {} checksum algorithm.",
            kind.name(),
            algorithm.name().to_ascii_lowercase()
        ));
    }
    Ok(Some((algorithm, kind)))
}

/// The value of a whole from those of its parts and their lengths in bytes, in order. A digest has no full-object value
/// that could be had so: it is composite whatever `kind` says.
pub fn whole<'a>(algorithm: Algorithm, kind: Kind, parts: impl IntoIterator<Item = (&'a [u8], u64)>) -> Vec<u8> {
    let Some(crc) = algorithm.crc().filter(|_| kind == Kind::FullObject) else {
        let mut hasher = Hasher::new(algorithm);
        parts.into_iter().for_each(|(value, _)| hasher.update(value));
        return hasher.finish();
    };
    let number = |value: &[u8]| value.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let whole = parts
        .into_iter()
        .map(|(value, len)| (number(value), len))
        .reduce(|(before, len), (value, more)| (crc_fast::checksum_combine(crc, before, value, more), len + more));
    whole.map_or(0, |(value, _)| value).to_be_bytes()[8 - algorithm.value_len()..].to_vec()
}

/// One running checksum.
pub struct Hasher {
    running: Running,
    len: usize,
}

enum Running {
    Crc(crc_fast::Digest),
    Sha1(sha1::Sha1),
    /// SHA-256 and SHA-512.
    Sha2(aws_lc_rs::digest::Context),
    Md5(md5::Md5),
    XxHash64(XxHash64),
    XxHash3(XxHash3_64),
    XxHash128(XxHash3_128),
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hasher").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Hasher {
    /// Begins.
    pub fn new(algorithm: Algorithm) -> Self {
        use aws_lc_rs::digest;
        let running = match algorithm {
            Algorithm::Crc32 => Running::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc)),
            Algorithm::Crc32c => Running::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
            Algorithm::Crc64Nvme => Running::Crc(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme)),
            Algorithm::Sha1 => Running::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => Running::Sha2(digest::Context::new(&digest::SHA256)),
            Algorithm::Sha512 => Running::Sha2(digest::Context::new(&digest::SHA512)),
            Algorithm::Md5 => Running::Md5(md5::Md5::new()),
            Algorithm::XxHash64 => Running::XxHash64(XxHash64::with_seed(0)),
            Algorithm::XxHash3 => Running::XxHash3(XxHash3_64::new()),
            Algorithm::XxHash128 => Running::XxHash128(XxHash3_128::new()),
        };
        Self { running, len: algorithm.value_len() }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.running {
            Running::Crc(digest) => digest.update(bytes),
            Running::Sha1(digest) => digest.update(bytes),
            Running::Sha2(digest) => digest.update(bytes),
            Running::Md5(digest) => digest.update(bytes),
            Running::XxHash64(digest) => std::hash::Hasher::write(digest, bytes),
            Running::XxHash3(digest) => std::hash::Hasher::write(digest, bytes),
            Running::XxHash128(digest) => digest.write(bytes),
        }
    }

    /// The raw value; big-endian for CRCs and XXH (the canonical form of the XXH specification).
    pub fn finish(self) -> Vec<u8> {
        match self.running {
            Running::Crc(digest) => digest.finalize().to_be_bytes()[8 - self.len..].to_vec(),
            Running::Sha1(digest) => digest.finalize().to_vec(),
            Running::Sha2(digest) => digest.finish().as_ref().to_vec(),
            Running::Md5(digest) => digest.finalize().to_vec(),
            Running::XxHash64(digest) => std::hash::Hasher::finish(&digest).to_be_bytes().to_vec(),
            Running::XxHash3(digest) => std::hash::Hasher::finish(&digest).to_be_bytes().to_vec(),
            Running::XxHash128(digest) => digest.finish_128().to_be_bytes().to_vec(),
        }
    }
}

/// The value of these bytes.
pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_catalogues() {
        // CRC catalogue, RFC 1321, FIPS 180, xxHash's own command (`xxhsum -H1`, `-H3`, `-H2`), for "123456789".
        for (algorithm, value) in [
            (Algorithm::Crc32, &[0xcb, 0xf4, 0x39, 0x26][..]),
            (Algorithm::Crc32c, &[0xe3, 0x06, 0x92, 0x83]),
            (Algorithm::Crc64Nvme, &[0xae, 0x8b, 0x14, 0x86, 0x0a, 0x79, 0x98, 0x88]),
            (Algorithm::Sha1, &[0xf7, 0xc3, 0xbc, 0x1d]),
            (Algorithm::Sha256, &[0x15, 0xe2, 0xb0, 0xd3]),
            (Algorithm::Sha512, &[0xd9, 0xe6, 0x76, 0x2d]),
            (Algorithm::Md5, &[0x25, 0xf9, 0xe7, 0x94]),
            (Algorithm::XxHash64, &[0x8c, 0xb8, 0x41, 0xdb]),
            (Algorithm::XxHash3, &[0x72, 0xdc, 0xb1, 0x8b]),
            (Algorithm::XxHash128, &[0x33, 0x11, 0x94, 0x77]),
        ] {
            let found = of(algorithm, b"123456789");
            assert!(found.starts_with(value), "{algorithm:?} {found:02x?}");
            assert_eq!(found.len(), algorithm.value_len());
        }
    }

    #[test]
    fn long_values_are_those_of_xxhash_however_the_bytes_are_cut() {
        let bytes: Vec<u8> = (0..5000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        for (algorithm, value) in [
            (Algorithm::XxHash64, 0xa683_3d64_8fd6_a332),
            (Algorithm::XxHash3, 0xb418_500f_c423_20ee),
            (Algorithm::XxHash128, 0xb92e_c02c_39d3_3ce7_b418_500f_c423_20ee),
        ] {
            for piece in [1, 240, 1024, 5000] {
                let mut hasher = Hasher::new(algorithm);
                bytes.chunks(piece).for_each(|piece| hasher.update(piece));
                let found = hasher.finish().iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte));
                assert_eq!(found, value, "{algorithm:?} in pieces of {piece}: {found:x}");
            }
        }
    }

    #[test]
    fn crcs_of_parts_combine_to_that_of_the_whole_and_composites_are_over_the_values() {
        for algorithm in ALL {
            let parts = [&b"12345"[..], b"", b"6789"].map(|part| (of(algorithm, part), part.len() as u64));
            let parts = || parts.iter().map(|(value, len)| (value.as_slice(), *len));
            let values: Vec<u8> = parts().flat_map(|(value, _)| value.to_vec()).collect();
            assert_eq!(whole(algorithm, Kind::Composite, parts()), of(algorithm, &values), "{algorithm:?}");
            if algorithm.crc().is_some() {
                assert_eq!(whole(algorithm, Kind::FullObject, parts()), of(algorithm, b"123456789"), "{algorithm:?}");
            }
        }
    }

    #[test]
    fn an_upload_has_the_checksums_that_s3_gives_it_and_no_other_pair() {
        assert_eq!(choose(None, None), Ok(None));
        for (algorithm, kind) in [
            (Algorithm::Crc32, Kind::Composite),
            (Algorithm::Crc32c, Kind::Composite),
            (Algorithm::Crc64Nvme, Kind::FullObject),
            (Algorithm::Sha1, Kind::Composite),
            (Algorithm::Sha256, Kind::Composite),
            (Algorithm::Sha512, Kind::Composite),
            (Algorithm::Md5, Kind::Composite),
            (Algorithm::XxHash64, Kind::Composite),
            (Algorithm::XxHash3, Kind::Composite),
            (Algorithm::XxHash128, Kind::Composite),
        ] {
            assert_eq!(choose(Some(algorithm.name()), None), Ok(Some((algorithm, kind))));
            let lower = algorithm.name().to_ascii_lowercase();
            assert_eq!(choose(Some(&lower), Some(kind.name())), Ok(Some((algorithm, kind))));
        }
        assert_eq!(choose(Some("CRC32"), Some("FULL_OBJECT")), Ok(Some((Algorithm::Crc32, Kind::FullObject))));
        for (algorithm, kind) in [
            (Some("CRC64NVME"), Some("COMPOSITE")),
            (Some("SHA1"), Some("FULL_OBJECT")),
            (Some("SHA256"), Some("FULL_OBJECT")),
            (None, Some("COMPOSITE")),
            (Some("MD5"), Some("FULL_OBJECT")),
            (Some("XXHASH3"), Some("FULL_OBJECT")),
            (Some("MD4"), None),
            (Some("CRC32"), Some("PARTIAL")),
        ] {
            assert!(choose(algorithm, kind).is_err(), "{algorithm:?} {kind:?}");
        }
    }
}
