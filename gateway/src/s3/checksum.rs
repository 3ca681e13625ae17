//! The client's own checks of its body: `Content-MD5` and `x-amz-checksum-*`, in a header or in a trailer.
//!
//! ```text
//! headers ──▶ Declared ──▶ Verifier ── update(plaintext)* ──▶ finish(trailers) ──▶ Verified values, or a refusal
//! ```
//! They are computed over the plaintext. A checksum that was announced and does not come is a refusal too. What nobody
//! declared may be computed all the same: an object that is sealed always keeps a checksum of its plaintext.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checksums::{Algorithm, Kind, Refused};
use envelope::{ChecksumAlgorithm, ChecksumKind};
use http::{HeaderMap, HeaderValue};

use super::error::Error;

/// Prefix of the headers that carry checksums.
const PREFIX: &str = "x-amz-checksum-";

/// The header that carries this checksum.
pub fn header_name(algorithm: ChecksumAlgorithm) -> &'static str {
    named(algorithm).header()
}

/// The algorithm that S3 calls so, in any case.
pub fn by_name(name: &str) -> Option<ChecksumAlgorithm> {
    Algorithm::by_name(name).map(sealed)
}

/// S3's name of an algorithm.
pub fn name_of(algorithm: ChecksumAlgorithm) -> &'static str {
    named(algorithm).name()
}

/// S3's name of a kind.
pub fn kind_name(kind: ChecksumKind) -> &'static str {
    match kind {
        ChecksumKind::FullObject => Kind::FullObject.name(),
        ChecksumKind::Composite => Kind::Composite.name(),
    }
}

/// What S3 makes where a client asks for nothing.
pub const DEFAULT: ChecksumAlgorithm = ChecksumAlgorithm::Crc64Nvme;

/// The algorithm as S3 has it.
pub fn named(algorithm: ChecksumAlgorithm) -> Algorithm {
    match algorithm {
        ChecksumAlgorithm::Crc32 => Algorithm::Crc32,
        ChecksumAlgorithm::Crc32c => Algorithm::Crc32c,
        ChecksumAlgorithm::Crc64Nvme => Algorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1 => Algorithm::Sha1,
        ChecksumAlgorithm::Sha256 => Algorithm::Sha256,
        ChecksumAlgorithm::Sha512 => Algorithm::Sha512,
        ChecksumAlgorithm::Md5 => Algorithm::Md5,
        ChecksumAlgorithm::XxHash64 => Algorithm::XxHash64,
        ChecksumAlgorithm::XxHash3 => Algorithm::XxHash3,
        ChecksumAlgorithm::XxHash128 => Algorithm::XxHash128,
    }
}

/// The algorithm as the format of sealed objects has it.
pub fn sealed(algorithm: Algorithm) -> ChecksumAlgorithm {
    match algorithm {
        Algorithm::Crc32 => ChecksumAlgorithm::Crc32,
        Algorithm::Crc32c => ChecksumAlgorithm::Crc32c,
        Algorithm::Crc64Nvme => ChecksumAlgorithm::Crc64Nvme,
        Algorithm::Sha1 => ChecksumAlgorithm::Sha1,
        Algorithm::Sha256 => ChecksumAlgorithm::Sha256,
        Algorithm::Sha512 => ChecksumAlgorithm::Sha512,
        Algorithm::Md5 => ChecksumAlgorithm::Md5,
        Algorithm::XxHash64 => ChecksumAlgorithm::XxHash64,
        Algorithm::XxHash3 => ChecksumAlgorithm::XxHash3,
        Algorithm::XxHash128 => ChecksumAlgorithm::XxHash128,
    }
}

/// The checksum that a client chooses for an upload in parts, with S3's defaults; none: it chooses nothing.
/// `InvalidRequest` for what S3 refuses.
pub fn chosen(headers: &HeaderMap) -> Result<Option<(ChecksumAlgorithm, ChecksumKind)>, Error> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    let chosen = checksums::choose(text("x-amz-checksum-algorithm"), text("x-amz-checksum-type"))
        .map_err(|refused| Error::invalid_request(refused.0))?;
    Ok(chosen.map(|(algorithm, kind)| match kind {
        Kind::FullObject => (sealed(algorithm), ChecksumKind::FullObject),
        Kind::Composite => (sealed(algorithm), ChecksumKind::Composite),
    }))
}

/// The algorithm that a client wants a copy to have. `InvalidRequest` for one that is none.
pub fn wished(headers: &HeaderMap) -> Result<Option<ChecksumAlgorithm>, Error> {
    let Some(name) = headers.get("x-amz-checksum-algorithm") else { return Ok(None) };
    let algorithm = name.to_str().ok().and_then(by_name);
    algorithm.map(Some).ok_or_else(|| Error::invalid_request(Refused::unknown().0))
}

/// The `ETag` of an object that is made of these parts, as S3 makes it; none where one of theirs is no MD5.
pub fn etag_of_parts<T: AsRef<str>>(etags: &[T]) -> Option<String> {
    let mut md5 = Hasher::new(ChecksumAlgorithm::Md5);
    for etag in etags {
        md5.update(&hex::decode(etag.as_ref()).ok().filter(|digest| digest.len() == 16)?);
    }
    Some(format!("{}-{}", hex::encode(md5.finish()), etags.len()))
}

fn by_header(name: &str) -> Option<ChecksumAlgorithm> {
    Algorithm::by_header(name).map(sealed)
}

/// What the client says of its body before it sends it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Declared {
    /// `Content-MD5`: a check of this request, which no object keeps.
    content_md5: Option<Vec<u8>>,
    /// With its value: known before the body.
    values: Vec<(ChecksumAlgorithm, Vec<u8>)>,
    /// Announced for the trailer.
    trailing: Option<ChecksumAlgorithm>,
    /// Computed though nobody says what it must be.
    computed: Option<ChecksumAlgorithm>,
    /// Asked for, of a copy.
    wished: Option<ChecksumAlgorithm>,
}

impl Declared {
    /// What is known of the source of a copy: its plaintext must be the same. Where only its parts were summed, the copy has
    /// a checksum of the whole by the same algorithm, as at S3.
    pub fn of_source(sealed: &envelope::Checksums) -> Self {
        let whole = sealed.object.iter().filter(|sum| sum.kind == ChecksumKind::FullObject);
        let values: Vec<_> = whole.map(|sum| (sum.algorithm, sum.value.clone())).collect();
        let computed = sealed.object.first().filter(|_| values.is_empty()).map(|sum| sum.algorithm);
        Self { values, computed, ..Self::default() }
    }

    /// The same, with the checksum that the client wants the copy to have.
    pub fn with_wished(mut self, headers: &HeaderMap) -> Result<Self, Error> {
        let wished = wished(headers)?;
        if let Some(wished) = wished {
            // Only this one, as S3 does.
            self.values.retain(|(known, _)| *known == wished);
            self.computed = self.values.is_empty().then_some(wished);
            self.wished = Some(wished);
        }
        Ok(self)
    }

    /// Reads the headers. `InvalidDigest` or `InvalidRequest` for what is not well-formed.
    pub fn read(headers: &HeaderMap) -> Result<Self, Error> {
        let mut declared = Self::of_document(headers)?;
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
        if declared.values.len() + usize::from(declared.trailing.is_some()) > 1 {
            return Err(Error::invalid_request("Only one checksum may be given."));
        }
        Ok(declared)
    }

    /// Of a document whose request names the checksums of something else: `Content-MD5` alone.
    pub fn of_document(headers: &HeaderMap) -> Result<Self, Error> {
        let content_md5 = headers.get("content-md5").map(|value| {
            let refused = || Error::invalid_digest("The Content-MD5 you specified is not valid.");
            value_of(ChecksumAlgorithm::Md5, value).ok_or_else(refused)
        });
        Ok(Self { content_md5: content_md5.transpose()?, ..Self::default() })
    }

    /// The MD5 that the body must have, where the client says so.
    pub fn md5(&self) -> Option<&[u8]> {
        self.content_md5.as_deref()
    }

    /// Computes this one too, unless it is declared.
    #[must_use]
    pub fn with(mut self, algorithm: ChecksumAlgorithm) -> Self {
        if !self.algorithms().contains(&algorithm) {
            self.computed = Some(algorithm);
        }
        self
    }

    /// With at least one checksum for an object that keeps its own: the declared one, else that which
    /// `x-amz-checksum-algorithm` asks for (of a copy), else [`DEFAULT`].
    #[must_use]
    pub fn for_object(self, headers: &HeaderMap) -> Self {
        if !self.algorithms().is_empty() {
            return self;
        }
        let asked = headers.get("x-amz-checksum-algorithm").and_then(|name| by_name(name.to_str().ok()?));
        self.with(asked.unwrap_or(DEFAULT))
    }

    /// The one that a body has behind it which goes on as it is: the client's, or that which a copy is to have.
    pub fn behind(&self) -> Option<ChecksumAlgorithm> {
        self.trailing.or(self.wished)
    }

    /// Tells a storage in its headers which checksum comes behind a body that goes on as it is.
    pub fn announce(&self, headers: &mut HeaderMap) {
        if let Some(algorithm) = self.behind() {
            headers.insert("x-amz-trailer", HeaderValue::from_static(header_name(algorithm)));
        }
    }

    /// Every algorithm of a value that is computed to be kept.
    pub fn algorithms(&self) -> Vec<ChecksumAlgorithm> {
        self.values.iter().map(|(algorithm, _)| *algorithm).chain(self.trailing).chain(self.computed).collect()
    }

    /// Refuses trailers other than the one that was announced, and one that is there twice.
    pub fn check_trailers(&self, trailers: &HeaderMap) -> Result<(), Error> {
        let announced = self.trailing.map(header_name);
        if let Some(name) = trailers.keys().find(|name| Some(name.as_str()) != announced) {
            return Err(Error::invalid_request(format!("The trailer {name} was not announced.")));
        }
        if trailers.len() > 1 {
            return Err(Error::invalid_request("A trailer is there twice."));
        }
        Ok(())
    }

    /// Begins the computation.
    pub fn verifier(&self) -> Verifier {
        let values = self.values.iter().map(|(algorithm, value)| (*algorithm, Expected::Value(value.clone())));
        let trailing = self.trailing.map(|algorithm| (algorithm, Expected::Trailer));
        let computed = self.computed.map(|algorithm| (algorithm, Expected::Nothing));
        let checks = values
            .chain(trailing)
            .chain(computed)
            .map(|(algorithm, expected)| Check { algorithm, expected, hasher: Hasher::new(algorithm) })
            .collect();
        let content_md5 = self.content_md5.clone().map(|value| (value, Hasher::new(ChecksumAlgorithm::Md5)));
        Verifier { content_md5, checks }
    }
}

fn decode(algorithm: ChecksumAlgorithm, value: &HeaderValue) -> Result<Vec<u8>, Error> {
    // S3 says InvalidRequest; Ceph and its test suite say that no body can have such a checksum.
    let refused = || Error::bad_digest(format!("Value for {} header is invalid.", header_name(algorithm)));
    value_of(algorithm, value).ok_or_else(refused)
}

fn value_of(algorithm: ChecksumAlgorithm, value: &HeaderValue) -> Option<Vec<u8>> {
    STANDARD.decode(value.as_bytes()).ok().filter(|bytes| bytes.len() == algorithm.value_len())
}

/// Computes what was declared.
pub struct Verifier {
    content_md5: Option<(Vec<u8>, Hasher)>,
    checks: Vec<Check>,
}

struct Check {
    algorithm: ChecksumAlgorithm,
    expected: Expected,
    hasher: Hasher,
}

/// What a checksum must be.
enum Expected {
    Value(Vec<u8>),
    /// What the trailer will say.
    Trailer,
    /// Whatever it is.
    Nothing,
}

impl Verifier {
    /// Takes the next plaintext.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some((_, hasher)) = &mut self.content_md5 {
            hasher.update(bytes);
        }
        for check in &mut self.checks {
            check.hasher.update(bytes);
        }
    }

    /// Compares, and gives the values that an object keeps. `BadDigest` where one is wrong; `InvalidRequest` where an announced
    /// trailer is missing or no checksum.
    pub fn finish(self, trailers: Option<&HeaderMap>) -> Result<Vec<(ChecksumAlgorithm, Vec<u8>)>, Error> {
        if let Some((expected, hasher)) = self.content_md5
            && hasher.finish() != expected
        {
            return Err(Error::bad_digest("The Content-MD5 you specified did not match what we received."));
        }
        let mut values = Vec::new();
        for check in self.checks {
            let name = header_name(check.algorithm);
            let expected = match check.expected {
                Expected::Value(expected) => Some(expected),
                Expected::Trailer => {
                    let value = trailers.and_then(|trailers| trailers.get(name));
                    let value = value.ok_or_else(|| {
                        Error::invalid_request(format!("The trailer {name} was announced and did not come."))
                    })?;
                    Some(decode(check.algorithm, value)?)
                }
                Expected::Nothing => None,
            };
            let computed = check.hasher.finish();
            if expected.is_some_and(|expected| expected != computed) {
                return Err(Error::bad_digest(format!("The {name} you specified did not match what we received.")));
            }
            values.push((check.algorithm, computed));
        }
        Ok(values)
    }
}

/// One running checksum.
pub struct Hasher(checksums::Hasher);

impl Hasher {
    /// Begins.
    pub fn new(algorithm: ChecksumAlgorithm) -> Self {
        Self(checksums::Hasher::new(named(algorithm)))
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The raw value, big-endian for CRCs.
    pub fn finish(self) -> Vec<u8> {
        self.0.finish()
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

    // The check values of the CRC catalogue, of RFC 1321, of FIPS 180 and of xxHash's own command, for "123456789".
    const RIGHT: [(&str, &str); 11] = [
        ("x-amz-checksum-crc32", "y/Q5Jg=="),
        ("x-amz-checksum-crc32c", "4waSgw=="),
        ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
        ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
        ("x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        (
            "x-amz-checksum-sha512",
            "2eZ2LdHI6vbWGzxhkvxAjU1tXxF20MKRabwk5xw/J0rSf81YEbMT1oH35V7ALXPUmclUVba1u1A6z1dPuo/+hQ==",
        ),
        ("x-amz-checksum-md5", "JfnnlDI7RTiF9RgfG2JNCw=="),
        ("x-amz-checksum-xxhash64", "jLhB20DmroM="),
        ("x-amz-checksum-xxhash3", "ctyxi2ehff8="),
        ("x-amz-checksum-xxhash128", "MxGUd+3l3NXpcWQnaB1YYA=="),
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
        assert_eq!(check(&[("x-amz-checksum-crc32", "AAA=")], None), Err("BadDigest"));
        assert_eq!(check(&[("x-amz-checksum-md4", "AAA=")], None), Err("InvalidRequest"));
        assert_eq!(check(&[RIGHT[0], RIGHT[1]], None), Err("InvalidRequest"));
    }

    #[test]
    fn what_nobody_declares_is_computed_and_shown() {
        let none = Declared::read(&HeaderMap::new()).unwrap();
        assert_eq!(none.clone().for_object(&HeaderMap::new()).algorithms(), [DEFAULT]);
        let asked = headers(&[("x-amz-checksum-algorithm", "sha256")]);
        assert_eq!(none.clone().for_object(&asked).algorithms(), [ChecksumAlgorithm::Sha256]);
        let declared = Declared::read(&headers(&[RIGHT[0]])).unwrap();
        assert_eq!(declared.clone().for_object(&asked), declared);
        assert_eq!(declared.clone().with(ChecksumAlgorithm::Crc32), declared);
        let mut verifier = declared.with(ChecksumAlgorithm::Sha1).verifier();
        verifier.update(b"123456789");
        let values = verifier.finish(None).unwrap();
        let shown: Vec<_> = values.iter().map(|(a, value)| (header_name(*a), STANDARD.encode(value))).collect();
        assert_eq!(shown, [RIGHT[0], RIGHT[3]].map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn every_algorithm_is_the_same_for_s3_and_in_a_sealed_object() {
        for algorithm in checksums::ALL {
            assert_eq!(named(sealed(algorithm)), algorithm);
            assert_eq!(sealed(algorithm).value_len(), algorithm.value_len());
        }
    }

    #[test]
    fn a_choice_that_s3_refuses_is_refused() {
        let pairs = [("x-amz-checksum-algorithm", "SHA256"), ("x-amz-checksum-type", "FULL_OBJECT")];
        assert_eq!(chosen(&headers(&pairs)).unwrap_err().code, "InvalidRequest");
        let found = chosen(&headers(&[("x-amz-checksum-algorithm", "crc32")])).unwrap();
        assert_eq!(found, Some((ChecksumAlgorithm::Crc32, ChecksumKind::Composite)));
    }
}
