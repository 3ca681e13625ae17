//! The checksums of S3 that are kept with an object and with a part: verified when it is stored, given back when it is
//! read.
//!
//! ```text
//! headers ─▶ Declared ─▶ Sink computes ─▶ verify(trailers) ─▶ Checksum in record.json; of parts in `parts`
//! ```
//! An object always has one: the one that its client declares, else CRC64NVME, as at S3.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checksums::{Algorithm, DEFAULT, Kind, whole};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::error::{Code, S3Error, invalid_argument};
use crate::request::text;
use crate::xml::{Element, Writer};

/// Beside an object of parts: the checksums of the parts, one after the other.
pub(crate) const PARTS: &str = "parts";

/// A computed value with its algorithm.
pub(crate) type Value = (Algorithm, Vec<u8>);

/// The checksum of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub(crate) struct Checksum {
    pub(crate) algorithm: Algorithm,
    pub(crate) kind: Kind,
    pub(crate) value: Vec<u8>,
}

/// As it stands in a record.
#[derive(Serialize, Deserialize)]
struct Written {
    algorithm: String,
    kind: String,
    value: String,
}

impl From<Checksum> for Written {
    fn from(checksum: Checksum) -> Self {
        Self {
            algorithm: checksum.algorithm.name().to_owned(),
            kind: checksum.kind.name().to_owned(),
            value: STANDARD.encode(checksum.value),
        }
    }
}

impl TryFrom<Written> for Checksum {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        let algorithm = Algorithm::by_name(&written.algorithm).ok_or("a checksum of an unknown algorithm")?;
        let kind = Kind::by_name(&written.kind).ok_or("a checksum of an unknown kind")?;
        let value = STANDARD.decode(&written.value).ok().filter(|value| value.len() == algorithm.value_len());
        Ok(Self { algorithm, kind, value: value.ok_or("a checksum that is none")? })
    }
}

impl Checksum {
    /// Of bytes that were stored in one piece.
    pub(crate) fn of_object((algorithm, value): Value) -> Self {
        Self { algorithm, kind: Kind::FullObject, value }
    }

    /// Whether it is of the bytes themselves, by this algorithm.
    pub(crate) fn is_of_object_by(&self, algorithm: Algorithm) -> bool {
        self.kind == Kind::FullObject && self.algorithm == algorithm
    }

    /// As S3 writes it: of parts with their number behind it.
    fn text(&self, parts: u32) -> String {
        let value = STANDARD.encode(&self.value);
        if self.kind == Kind::Composite { format!("{value}-{parts}") } else { value }
    }

    /// Shows it in an answer's headers.
    pub(crate) fn show(&self, parts: u32, headers: &mut HeaderMap) {
        insert(headers, self.algorithm.header(), &self.text(parts));
        insert(headers, "x-amz-checksum-type", self.kind.name());
    }

    /// Shows in an answer's headers that of a part of this object.
    pub(crate) fn show_part(&self, value: &[u8], headers: &mut HeaderMap) {
        insert(headers, self.algorithm.header(), &STANDARD.encode(value));
        insert(headers, "x-amz-checksum-type", self.kind.name());
    }

    /// Writes it into a document.
    pub(crate) fn write(&self, parts: u32, xml: &mut Writer) {
        xml.text(self.algorithm.element(), &self.text(parts));
        xml.text("ChecksumType", self.kind.name());
    }
}

/// Writes the values of a part into a document.
pub(crate) fn write_values(values: &[Value], xml: &mut Writer) {
    for (algorithm, value) in values {
        xml.text(algorithm.element(), &STANDARD.encode(value));
    }
}

/// Shows the values of a part in an answer's headers.
pub(crate) fn show_values(values: &[Value], headers: &mut HeaderMap) {
    for (algorithm, value) in values {
        insert(headers, algorithm.header(), &STANDARD.encode(value));
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Whether a read is to show checksums.
pub(crate) fn asked(headers: &HeaderMap) -> Result<bool, S3Error> {
    Ok(text(headers, "x-amz-checksum-mode")?.is_some_and(|mode| mode.eq_ignore_ascii_case("ENABLED")))
}

/// What the client says of a body before it comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    given: Option<Value>,
    /// Comes in the trailer.
    trailing: Option<Algorithm>,
}

impl Declared {
    /// `x-amz-checksum-*`, or its name in `x-amz-trailer`.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, S3Error> {
        let mut declared = Self::default();
        for algorithm in checksums::ALL {
            if let Some(value) = text(headers, algorithm.header())?
                && declared.given.replace((algorithm, value_of(algorithm, value)?)).is_some()
            {
                return Err(single());
            }
        }
        let names = text(headers, "x-amz-trailer")?.unwrap_or_default().to_ascii_lowercase();
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let algorithm = Algorithm::by_header(name).ok_or_else(|| {
                S3Error::new(Code::InvalidRequest, "The value specified in the x-amz-trailer header is not supported")
            })?;
            if declared.given.is_some() || declared.trailing.replace(algorithm).is_some() {
                return Err(single());
            }
        }
        Ok(declared)
    }

    fn algorithm(&self) -> Option<Algorithm> {
        self.given.as_ref().map(|(algorithm, _)| *algorithm).or(self.trailing)
    }

    /// What is computed of an object.
    pub(crate) fn of_object(&self) -> Vec<Algorithm> {
        vec![self.algorithm().unwrap_or(DEFAULT)]
    }

    /// What is computed of a part: its upload's, and what its client declares besides.
    pub(crate) fn of_part(&self, upload: Algorithm) -> Vec<Algorithm> {
        let mut algorithms = vec![upload];
        algorithms.extend(self.algorithm().filter(|algorithm| *algorithm != upload));
        algorithms
    }

    /// `BadDigest` where what was computed is not what is declared.
    pub(crate) fn verify(&self, computed: &[Value], trailers: Option<&HeaderMap>) -> Result<(), S3Error> {
        let Some(algorithm) = self.algorithm() else { return Ok(()) };
        let name = algorithm.header();
        let expected = if let Some((_, value)) = &self.given {
            value.clone()
        } else {
            let value = trailers.map(|trailers| text(trailers, name)).transpose()?.flatten();
            let missing = || S3Error::new(Code::InvalidRequest, format!("The trailer {name} did not come."));
            value_of(algorithm, value.ok_or_else(missing)?)?
        };
        if computed.iter().any(|(known, value)| *known == algorithm && *value == expected) {
            return Ok(());
        }
        Err(S3Error::new(Code::BadDigest, format!("The {name} you specified did not match the calculated checksum.")))
    }
}

fn single() -> S3Error {
    S3Error::new(
        Code::InvalidRequest,
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    )
}

fn value_of(algorithm: Algorithm, text: &str) -> Result<Vec<u8>, S3Error> {
    let value = STANDARD.decode(text).ok().filter(|value| value.len() == algorithm.value_len());
    value.ok_or_else(|| S3Error::new(Code::BadDigest, format!("Value for {} header is invalid.", algorithm.header())))
}

/// The checksum that an upload in parts keeps, as chosen at Create.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Choice {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum_algorithm: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum_type: Option<String>,
}

impl Choice {
    /// What the headers of Create choose. `InvalidRequest` for what S3 refuses.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, S3Error> {
        let (algorithm, kind) = (text(headers, "x-amz-checksum-algorithm")?, text(headers, "x-amz-checksum-type")?);
        let chosen =
            checksums::choose(algorithm, kind).map_err(|refused| S3Error::new(Code::InvalidRequest, refused.0))?;
        Ok(chosen.map_or_else(Self::default, |(algorithm, kind)| Self {
            checksum_algorithm: Some(algorithm.name().to_owned()),
            checksum_type: Some(kind.name().to_owned()),
        }))
    }

    /// What was chosen; none: nothing.
    pub(crate) fn chosen(&self) -> Option<(Algorithm, Kind)> {
        let algorithm = self.checksum_algorithm.as_deref().and_then(Algorithm::by_name)?;
        Some((algorithm, self.checksum_type.as_deref().and_then(Kind::by_name)?))
    }

    /// What every part has and the object will have.
    pub(crate) fn kept(&self) -> (Algorithm, Kind) {
        self.chosen().unwrap_or((DEFAULT, Kind::FullObject))
    }

    /// Shows in an answer's headers what was chosen.
    pub(crate) fn show(&self, headers: &mut HeaderMap) {
        if let Some((algorithm, kind)) = self.chosen() {
            insert(headers, "x-amz-checksum-algorithm", algorithm.name());
            insert(headers, "x-amz-checksum-type", kind.name());
        }
    }

    /// Writes into a document what was chosen.
    pub(crate) fn write(&self, xml: &mut Writer) {
        if let Some((algorithm, kind)) = self.chosen() {
            xml.text("ChecksumAlgorithm", algorithm.name());
            xml.text("ChecksumType", kind.name());
        }
    }
}

/// The checksum of an object from those of its parts, each with its bytes, and the parts' values one after the other.
/// None where a part has none: it was stored before parts had any.
pub(crate) fn join<'a>(
    (algorithm, kind): (Algorithm, Kind),
    parts: impl Iterator<Item = (&'a [Value], u64)>,
) -> Option<(Checksum, Vec<u8>)> {
    let of_upload = |(values, size): (&'a [Value], u64)| {
        values.iter().find(|(known, _)| *known == algorithm).map(|(_, value)| (value.as_slice(), size))
    };
    let parts: Vec<_> = parts.map(of_upload).collect::<Option<_>>()?;
    let all = parts.iter().flat_map(|(value, _)| value.to_vec()).collect();
    Some((Checksum { algorithm, kind, value: whole(algorithm, kind, parts) }, all))
}

/// The checksums by which a Complete document names a part. A value that is none matches nothing.
pub(crate) fn named(part: &Element) -> Vec<Value> {
    let of = |child: &Element| {
        let algorithm = Algorithm::by_element(&child.name)?;
        Some((algorithm, STANDARD.decode(child.text.trim()).unwrap_or_default()))
    };
    part.children.iter().filter_map(of).collect()
}

/// What Complete says of the whole object.
#[derive(Debug, Default)]
pub(crate) struct Claim {
    /// Algorithm, and the value as it was written.
    values: Vec<(Algorithm, String)>,
    kind: Option<String>,
    size: Option<u64>,
}

impl Claim {
    /// Reads the headers of Complete.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, S3Error> {
        let size = text(headers, "x-amz-mp-object-size")?.map(str::parse).transpose();
        let mut claim = Self {
            values: Vec::new(),
            kind: text(headers, "x-amz-checksum-type")?.map(str::to_owned),
            size: size.map_err(|_| invalid_argument("x-amz-mp-object-size must be a number of bytes."))?,
        };
        for algorithm in checksums::ALL {
            claim.values.extend(text(headers, algorithm.header())?.map(|value| (algorithm, value.to_owned())));
        }
        Ok(claim)
    }

    /// `InvalidRequest` or `BadDigest` where the object would be another one.
    pub(crate) fn check(
        &self,
        kept: (Algorithm, Kind),
        checksum: Option<&Checksum>,
        parts: u32,
        size: u64,
    ) -> Result<(), S3Error> {
        let refused = |message: String| Err(S3Error::new(Code::InvalidRequest, message));
        if self.size.is_some_and(|said| said != size) {
            return refused(format!("The parts have {size} bytes; x-amz-mp-object-size says otherwise."));
        }
        if self.kind.as_deref().is_some_and(|said| Kind::by_name(said) != Some(kept.1)) {
            return refused(format!(
                "The upload was created using the {} checksum mode. The complete request must use the same checksum mode.",
                kept.1.name()
            ));
        }
        for (algorithm, said) in &self.values {
            let Some(checksum) = checksum.filter(|checksum| checksum.algorithm == *algorithm) else {
                return refused(format!(
                    "The upload was created using a {} checksum. Its object cannot be checked by {}.",
                    kept.0.name().to_ascii_lowercase(),
                    algorithm.header()
                ));
            };
            if *said != checksum.text(parts) && *said != STANDARD.encode(&checksum.value) {
                return Err(S3Error::new(
                    Code::BadDigest,
                    format!("The {} you specified did not match the calculated checksum.", algorithm.header()),
                ));
            }
        }
        Ok(())
    }
}
