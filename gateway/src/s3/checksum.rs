//! The client's own checks of its body: `Content-MD5` and `x-amz-checksum-*`, in a header or in a trailer.
//!
//! ```text
//! headers ──▶ Declared ──▶ Verifier ── update(plaintext)* ──▶ finish(trailers) ──▶ Verified values, or a refusal
//! ```
//! They are computed over the plaintext. A checksum that was announced and does not come is a refusal too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crc_fast::CrcAlgorithm;
use envelope::ChecksumAlgorithm;
use http::{HeaderMap, HeaderValue};
use md5::Digest as _;

use super::error::Error;

/// Prefix of the headers that carry checksums.
const PREFIX: &str = "x-amz-checksum-";

/// The header that carries this checksum.
pub fn header_name(algorithm: ChecksumAlgorithm) -> &'static str {
    match algorithm {
        ChecksumAlgorithm::Crc32 => "x-amz-checksum-crc32",
        ChecksumAlgorithm::Crc32c => "x-amz-checksum-crc32c",
        ChecksumAlgorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
        ChecksumAlgorithm::Sha1 => "x-amz-checksum-sha1",
        ChecksumAlgorithm::Sha256 => "x-amz-checksum-sha256",
        ChecksumAlgorithm::Md5 => "content-md5",
    }
}

/// The algorithm that S3 calls so, in any case: `CRC32`, `CRC32C`, `CRC64NVME`, `SHA1`, `SHA256`.
pub fn by_name(name: &str) -> Option<ChecksumAlgorithm> {
    Some(match name.to_ascii_uppercase().as_str() {
        "CRC32" => ChecksumAlgorithm::Crc32,
        "CRC32C" => ChecksumAlgorithm::Crc32c,
        "CRC64NVME" => ChecksumAlgorithm::Crc64Nvme,
        "SHA1" => ChecksumAlgorithm::Sha1,
        "SHA256" => ChecksumAlgorithm::Sha256,
        _ => return None,
    })
}

fn by_header(name: &str) -> Option<ChecksumAlgorithm> {
    name.strip_prefix(PREFIX).and_then(by_name)
}

/// What the client says of its body before it sends it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declared {
    /// With its value: known before the body.
    values: Vec<(ChecksumAlgorithm, Vec<u8>)>,
    /// Announced for the trailer.
    trailing: Option<ChecksumAlgorithm>,
}

impl Declared {
    /// Reads the headers. `InvalidDigest` or `InvalidRequest` for what is not well-formed.
    pub fn read(headers: &HeaderMap) -> Result<Self, Error> {
        let mut declared = Self::default();
        if let Some(value) = headers.get("content-md5") {
            declared.values.push((ChecksumAlgorithm::Md5, decode(ChecksumAlgorithm::Md5, value)?));
        }
        for (name, value) in headers {
            let name = name.as_str();
            if !name.starts_with(PREFIX) || matches!(name, "x-amz-checksum-algorithm" | "x-amz-checksum-type") {
                continue;
            }
            let Some(algorithm) = by_header(name) else {
                return Err(Error::invalid_request(format!("The checksum {name} is not supported.")));
            };
            if declared.values.iter().any(|(known, _)| *known == algorithm) {
                return Err(Error::invalid_request(format!("{name} is there twice.")));
            }
            declared.values.push((algorithm, decode(algorithm, value)?));
        }
        for value in headers.get_all("x-amz-trailer") {
            for name in value.to_str().unwrap_or_default().split(',').map(str::trim) {
                let name = name.to_ascii_lowercase();
                if name.is_empty() {
                    continue;
                }
                let Some(algorithm) = by_header(&name) else {
                    return Err(Error::invalid_request(format!("The trailer {name} is not supported.")));
                };
                if declared.trailing.replace(algorithm).is_some() {
                    return Err(Error::invalid_request("Only one checksum may be in the trailer."));
                }
            }
        }
        let plain = declared.values.iter().filter(|(algorithm, _)| *algorithm != ChecksumAlgorithm::Md5).count();
        if plain + usize::from(declared.trailing.is_some()) > 1 {
            return Err(Error::invalid_request("Only one checksum may be given."));
        }
        Ok(declared)
    }

    /// The MD5 that the body must have, where the client says so.
    pub fn md5(&self) -> Option<&[u8]> {
        let found = self.values.iter().find(|(algorithm, _)| *algorithm == ChecksumAlgorithm::Md5);
        found.map(|(_, value)| value.as_slice())
    }

    /// Every algorithm that is computed, without MD5.
    pub fn algorithms(&self) -> Vec<ChecksumAlgorithm> {
        let values = self.values.iter().map(|(algorithm, _)| *algorithm);
        values.chain(self.trailing).filter(|algorithm| *algorithm != ChecksumAlgorithm::Md5).collect()
    }

    /// Begins the computation.
    pub fn verifier(&self) -> Verifier {
        let values = self.values.iter().map(|(algorithm, value)| (*algorithm, Some(value.clone())));
        let trailing = self.trailing.map(|algorithm| (algorithm, None));
        let checks = values
            .chain(trailing)
            .map(|(algorithm, expected)| Check { algorithm, expected, hasher: Hasher::new(algorithm) })
            .collect();
        Verifier { checks }
    }
}

fn decode(algorithm: ChecksumAlgorithm, value: &HeaderValue) -> Result<Vec<u8>, Error> {
    let decoded = STANDARD.decode(value.as_bytes()).ok().filter(|bytes| bytes.len() == algorithm.value_len());
    decoded.ok_or_else(|| {
        let name = header_name(algorithm);
        if algorithm == ChecksumAlgorithm::Md5 {
            Error::invalid_digest("The Content-MD5 you specified is not valid.")
        } else {
            Error::invalid_request(format!("Value for {name} header is invalid."))
        }
    })
}

/// Computes what was declared.
pub struct Verifier {
    checks: Vec<Check>,
}

struct Check {
    algorithm: ChecksumAlgorithm,
    /// None: comes in the trailer.
    expected: Option<Vec<u8>>,
    hasher: Hasher,
}

impl Verifier {
    /// Takes the next plaintext.
    pub fn update(&mut self, bytes: &[u8]) {
        for check in &mut self.checks {
            check.hasher.update(bytes);
        }
    }

    /// Compares, and gives the values without MD5. `BadDigest` where one is wrong; `InvalidRequest` where an announced
    /// trailer is missing or no checksum.
    pub fn finish(self, trailers: Option<&HeaderMap>) -> Result<Vec<(ChecksumAlgorithm, Vec<u8>)>, Error> {
        let mut values = Vec::new();
        for check in self.checks {
            let name = header_name(check.algorithm);
            let expected = if let Some(expected) = check.expected {
                expected
            } else {
                let value = trailers.and_then(|trailers| trailers.get(name));
                let value = value.ok_or_else(|| {
                    Error::invalid_request(format!("The trailer {name} was announced and did not come."))
                })?;
                decode(check.algorithm, value)?
            };
            let computed = check.hasher.finish();
            if computed != expected {
                return Err(Error::bad_digest(if check.algorithm == ChecksumAlgorithm::Md5 {
                    "The Content-MD5 you specified did not match what we received.".to_owned()
                } else {
                    format!("The {name} you specified did not match what we received.")
                }));
            }
            if check.algorithm != ChecksumAlgorithm::Md5 {
                values.push((check.algorithm, computed));
            }
        }
        Ok(values)
    }
}

/// One running checksum.
pub enum Hasher {
    /// CRC of 32 bits.
    Crc32(crc_fast::Digest),
    /// CRC of 64 bits.
    Crc64(crc_fast::Digest),
    /// SHA-1.
    Sha1(sha1::Sha1),
    /// SHA-256.
    Sha256(aws_lc_rs::digest::Context),
    /// MD5.
    Md5(md5::Md5),
}

impl Hasher {
    /// Begins.
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        match algorithm {
            ChecksumAlgorithm::Crc32 => Self::Crc32(crc_fast::Digest::new(CrcAlgorithm::Crc32IsoHdlc)),
            ChecksumAlgorithm::Crc32c => Self::Crc32(crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
            ChecksumAlgorithm::Crc64Nvme => Self::Crc64(crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme)),
            ChecksumAlgorithm::Sha1 => Self::Sha1(sha1::Sha1::new()),
            ChecksumAlgorithm::Sha256 => Self::Sha256(aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256)),
            ChecksumAlgorithm::Md5 => Self::Md5(md5::Md5::new()),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(digest) | Self::Crc64(digest) => digest.update(bytes),
            Self::Sha1(digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
            Self::Md5(digest) => digest.update(bytes),
        }
    }

    /// The raw value, big-endian for CRCs.
    pub fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc32(digest) => digest.finalize().to_be_bytes()[4..].to_vec(),
            Self::Crc64(digest) => digest.finalize().to_be_bytes().to_vec(),
            Self::Sha1(digest) => digest.finalize().to_vec(),
            Self::Sha256(digest) => digest.finish().as_ref().to_vec(),
            Self::Md5(digest) => digest.finalize().to_vec(),
        }
    }
}

/// A raw value as S3 writes it.
pub fn encode(value: &[u8]) -> HeaderValue {
    HeaderValue::from_str(&STANDARD.encode(value)).expect("base64 is a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<HeaderMap>()
    }

    fn check(pairs: &[(&'static str, &str)], trailers: Option<&HeaderMap>) -> Result<(), &'static str> {
        let mut verifier = Declared::read(&headers(pairs)).map_err(|error| error.code)?.verifier();
        verifier.update(b"1234");
        verifier.update(b"56789");
        verifier.finish(trailers).map(|_| ()).map_err(|error| error.code)
    }

    // The check values of the CRC catalogue and of RFC 1321, for "123456789".
    const RIGHT: [(&str, &str); 6] = [
        ("x-amz-checksum-crc32", "y/Q5Jg=="),
        ("x-amz-checksum-crc32c", "4waSgw=="),
        ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
        ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
        ("x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ("content-md5", "JfnnlDI7RTiF9RgfG2JNCw=="),
    ];

    #[test]
    fn right_checksums_are_content_in_header_and_trailer() {
        for (name, value) in RIGHT {
            assert_eq!(check(&[(name, value)], None), Ok(()), "{name}");
            if name != "content-md5" {
                let trailers = headers(&[(name, value)]);
                assert_eq!(check(&[("x-amz-trailer", name)], Some(&trailers)), Ok(()), "{name}");
            }
        }
    }

    #[test]
    fn wrong_checksums_are_refused_in_header_and_trailer() {
        for (name, value) in RIGHT {
            let mut wrong = STANDARD.decode(value).unwrap();
            wrong[0] ^= 1;
            let wrong = STANDARD.encode(wrong);
            assert_eq!(check(&[(name, &wrong)], None), Err("BadDigest"), "{name}");
            if name != "content-md5" {
                let trailers = headers(&[(name, &wrong)]);
                assert_eq!(check(&[("x-amz-trailer", name)], Some(&trailers)), Err("BadDigest"), "{name}");
            }
        }
    }

    #[test]
    fn an_announced_trailer_that_does_not_come_is_refused() {
        let announced = [("x-amz-trailer", "x-amz-checksum-crc32")];
        assert_eq!(check(&announced, None), Err("InvalidRequest"));
        let other = headers(&[("x-amz-checksum-sha1", RIGHT[3].1)]);
        assert_eq!(check(&announced, Some(&other)), Err("InvalidRequest"));
    }

    #[test]
    fn digests_that_are_none_are_refused_before_the_body() {
        assert_eq!(check(&[("content-md5", "nonsense")], None), Err("InvalidDigest"));
        assert_eq!(check(&[("x-amz-checksum-crc32", "AAA=")], None), Err("InvalidRequest"));
        assert_eq!(check(&[("x-amz-checksum-md4", "AAA=")], None), Err("InvalidRequest"));
        assert_eq!(check(&[RIGHT[0], RIGHT[1]], None), Err("InvalidRequest"));
    }
}
