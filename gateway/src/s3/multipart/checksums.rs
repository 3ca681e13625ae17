//! The checksums of an encrypted upload: of its parts, and of the object that they become.
//!
//! ```text
//! Create: chosen, or CRC64NVME ─▶ every part has it ─▶ Complete: combined (FULL_OBJECT) │ of the parts' (COMPOSITE)
//!                                   └ and what its client sent      └ held against what the client says ─▶ sealed
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checksums::Kind;
use envelope::{Checksum, ChecksumAlgorithm, ChecksumKind, Checksums, PartChecksums};

use super::super::checksum::{self, DEFAULT, by_name, header_name, kind_name, name_of};
use super::super::error::Error;
use super::super::request::Request;
use super::complete::Named;
use super::state::{Note, PartRecord};

impl Note {
    /// The checksum that every part has and that the object will have.
    pub(super) fn checksum_kept(&self) -> (ChecksumAlgorithm, ChecksumKind) {
        self.checksum_chosen().unwrap_or((DEFAULT, ChecksumKind::FullObject))
    }

    /// The same, where the client chose it at Create.
    pub(super) fn checksum_chosen(&self) -> Option<(ChecksumAlgorithm, ChecksumKind)> {
        let algorithm = self.checksum.as_deref().and_then(by_name)?;
        let kind = if self.full_object { ChecksumKind::FullObject } else { ChecksumKind::Composite };
        Some((algorithm, kind))
    }
}

/// What a list says of an upload for which its client chose a checksum.
pub(super) fn chosen_xml(chosen: Option<(ChecksumAlgorithm, ChecksumKind)>) -> String {
    chosen.map_or_else(String::new, |(algorithm, kind)| {
        let (algorithm, kind) = (name_of(algorithm), kind_name(kind));
        format!("<ChecksumAlgorithm>{algorithm}</ChecksumAlgorithm><ChecksumType>{kind}</ChecksumType>")
    })
}

/// The element of one checksum; `value` as S3 writes it.
pub(in super::super) fn value_xml(algorithm: ChecksumAlgorithm, value: &str) -> String {
    let name = name_of(algorithm);
    format!("<Checksum{name}>{value}</Checksum{name}>")
}

/// The value of an object's checksum as S3 writes it: a composite one with the number of its parts behind it.
pub(in super::super) fn text_of(checksum: &Checksum, parts: usize) -> String {
    let value = STANDARD.encode(&checksum.value);
    match checksum.kind {
        ChecksumKind::FullObject => value,
        ChecksumKind::Composite => format!("{value}-{parts}"),
    }
}

/// Whether a part has the checksums by which the client names it.
pub(super) fn has_named(record: &PartRecord, named: &Named) -> bool {
    named.checksums.iter().all(|(algorithm, value)| record.checksum(*algorithm) == Some(value.as_slice()))
}

/// A checksum of a part as a Complete document gives it: `ChecksumCRC32` and so on. A value that is none matches nothing.
pub(super) fn named(element: &[u8], text: &str) -> Option<(ChecksumAlgorithm, Vec<u8>)> {
    let algorithm = std::str::from_utf8(element).ok()?.strip_prefix("Checksum").and_then(by_name)?;
    Some((algorithm, STANDARD.decode(text.trim()).unwrap_or_default()))
}

/// The checksums of the object from those of its parts; none where a part lacks its own (begun by an older gateway).
pub(super) fn combine((algorithm, kind): (ChecksumAlgorithm, ChecksumKind), chosen: &[&PartRecord]) -> Checksums {
    let of_parts: Option<Vec<_>> = chosen.iter().map(|record| record.checksum(algorithm)).collect();
    let Some(of_parts) = of_parts.filter(|values| !values.is_empty()) else { return Checksums::default() };
    let parts = of_parts.iter().copied().zip(chosen.iter().map(|record| record.plaintext_len));
    let of_whole = if kind == ChecksumKind::FullObject { Kind::FullObject } else { Kind::Composite };
    let value = checksums::whole(checksum::named(algorithm), of_whole, parts);
    let values = of_parts.iter().map(|value| value.to_vec()).collect();
    Checksums { object: vec![Checksum { algorithm, kind, value }], parts: Some(PartChecksums { algorithm, values }) }
}

/// What the client says at Complete of the whole object must hold: its checksum, the kind of that, its bytes.
pub(super) fn refuse_other(
    request: &Request,
    (algorithm, kind): (ChecksumAlgorithm, ChecksumKind),
    checksums: &Checksums,
    parts: usize,
    bytes: u64,
) -> Result<(), Error> {
    if let Some(said) = request.header("x-amz-mp-object-size") {
        let said: u64 = said
            .parse()
            .map_err(|_| Error::invalid_argument("The x-amz-mp-object-size header must be a number of bytes."))?;
        if said != bytes {
            return Err(Error::invalid_request(format!(
                "The provided 'x-amz-mp-object-size' header value {said} does not match what was computed: {bytes}"
            )));
        }
    }
    if request.header("x-amz-checksum-type").is_some_and(|said| !said.eq_ignore_ascii_case(kind_name(kind))) {
        return Err(Error::invalid_request(format!(
            "The upload was created using the {} checksum mode. The complete request must use the same checksum mode.",
            kind_name(kind)
        )));
    }
    let others = checksums::ALL.into_iter().map(checksum::sealed);
    for other in others.filter(|other| *other != algorithm) {
        if request.headers.contains_key(header_name(other)) {
            return Err(Error::invalid_request(format!(
                "The upload was created using a {} checksum. Its object cannot be checked by {}.",
                name_of(algorithm).to_ascii_lowercase(),
                header_name(other)
            )));
        }
    }
    let Some(said) = request.header(header_name(algorithm)) else { return Ok(()) };
    let right = checksums
        .object
        .iter()
        .any(|checksum| said == text_of(checksum, parts) || said == STANDARD.encode(&checksum.value));
    if right {
        return Ok(());
    }
    let name = header_name(algorithm);
    Err(Error::bad_digest(format!("The {name} you specified did not match the calculated checksum.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [ChecksumAlgorithm; 10] {
        checksums::ALL.map(checksum::sealed)
    }

    fn digest(algorithm: ChecksumAlgorithm, data: &[u8]) -> Vec<u8> {
        checksums::of(checksum::named(algorithm), data)
    }

    fn part(data: &[u8], algorithms: &[ChecksumAlgorithm]) -> PartRecord {
        PartRecord {
            number: 1,
            etag: "x".into(),
            salt: [0; 32],
            plaintext_len: data.len() as u64,
            at_ms: 0,
            held: false,
            checksums: algorithms.iter().map(|algorithm| (*algorithm, digest(*algorithm, data))).collect(),
        }
    }

    #[test]
    fn crcs_of_parts_combine_to_that_of_the_whole() {
        for algorithm in all().into_iter().take(3) {
            let parts = [part(b"12345", &all()), part(b"", &all()), part(b"6789", &all())];
            let parts: Vec<_> = parts.iter().collect();
            let combined = combine((algorithm, ChecksumKind::FullObject), &parts);
            assert_eq!(combined.object[0].value, digest(algorithm, b"123456789"), "{algorithm:?}");
            assert_eq!(combined.parts.unwrap().values[2], digest(algorithm, b"6789"));
        }
    }

    #[test]
    fn a_composite_checksum_is_that_of_the_parts_checksums_in_order() {
        for algorithm in all() {
            let parts = [part(b"12345", &all()), part(b"6789", &all())];
            let combined = combine((algorithm, ChecksumKind::Composite), &[&parts[0], &parts[1]]);
            let both = [digest(algorithm, b"12345"), digest(algorithm, b"6789")].concat();
            assert_eq!(combined.object[0].value, digest(algorithm, &both), "{algorithm:?}");
            assert!(text_of(&combined.object[0], 2).ends_with("=-2"), "{algorithm:?}");
        }
    }

    #[test]
    fn a_part_without_the_checksum_of_its_upload_gives_the_object_none() {
        let parts = [part(b"12345", &all()), part(b"6789", &[ChecksumAlgorithm::Crc32])];
        let combined = combine((ChecksumAlgorithm::Sha256, ChecksumKind::Composite), &[&parts[0], &parts[1]]);
        assert_eq!(combined, Checksums::default());
    }

    #[test]
    fn a_part_that_is_named_with_another_checksum_is_another_part() {
        let record = part(b"12345", &[ChecksumAlgorithm::Crc32]);
        let with = |element: &str, text: &str| Named {
            checksums: named(element.as_bytes(), text).into_iter().collect(),
            ..Named::default()
        };
        let right = STANDARD.encode(digest(ChecksumAlgorithm::Crc32, b"12345"));
        assert!(has_named(&record, &with("ChecksumCRC32", &right)));
        assert!(has_named(&record, &with("Size", "5")));
        assert!(!has_named(&record, &with("ChecksumCRC32", "AAAAAA==")));
        assert!(!has_named(&record, &with("ChecksumCRC32", "nonsense")));
        assert!(!has_named(&record, &with("ChecksumCRC32C", &right)));
    }
}
