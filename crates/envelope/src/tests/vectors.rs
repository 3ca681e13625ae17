//! Named vectors: what objects of version 1 are, byte for byte. They are made with fixed randomness and checked in;
//! `SEALGATE_WRITE_VECTORS=1` writes them again, which must change nothing.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::fixtures::{KEK, Single, Stored, decrypt, footer, get, kek, pattern, place, recorded, seal_upload};
use crate::entropy::Entropy;
use crate::{ChecksumAlgorithm, Checksums, Expected, Place, Rewrap, UserMetadata};

/// One object. Readers of other languages need nothing else: see `tests/vectors/README.md`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Vector {
    about: String,
    kek_hex: String,
    bucket: String,
    key: String,
    metadata: Vec<(String, String)>,
    /// The plaintext is the pattern of this many bytes.
    plaintext_len: usize,
    plaintext_sha256: String,
    stored_len: usize,
    stored_sha256: String,
    /// The stored bytes in base64; absent where they are too many, then `make_again` says how they come about.
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    make_again: Option<String>,
}

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

pub(super) fn text(metadata: &UserMetadata) -> Vec<(String, String)> {
    metadata.iter().map(|(name, value)| (name.clone(), String::from_utf8(value.clone()).unwrap())).collect()
}

/// Compares a document with the checked-in file, or writes it when told so.
pub(super) fn compare<T: Serialize>(path: &Path, document: &T) {
    let made = serde_json::to_string_pretty(document).unwrap() + "\n";
    if std::env::var_os("SEALGATE_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(kept == made, "{} is not what this program makes", path.display());
}

/// Every named object, with a sentence on what it is for.
pub(super) fn named() -> Vec<(&'static str, &'static str, Stored)> {
    let all_checksums =
        || Checksums::full_object(ChecksumAlgorithm::ALL.map(|algorithm| (algorithm, pattern(algorithm.value_len()))));
    let single = |name, len, segment, key: &str, client: usize, checksums| {
        let mut single = Single::new(name, pattern(len));
        single.segment = segment;
        single.recorded.place = place("records", key);
        single.client = vec![("x-amz-meta-note".to_owned(), vec![b'n'; client])];
        single.checksums = checksums;
        single.seal()
    };
    let none = Checksums::default;
    vec![
        ("empty", "an empty object: one empty last segment", single("empty", 0, 65536, "empty", 4, none())),
        ("one_byte", "a single byte", single("one_byte", 1, 65536, "one", 4, none())),
        (
            "one_full_segment",
            "the only segment is full, and the last",
            single("one_full_segment", 4096, 4096, "full", 4, none()),
        ),
        (
            "three_segments",
            "two full segments and a short last one, every checksum",
            single("three_segments", 10_000, 4096, "a/b c/ü.txt", 4, all_checksums()),
        ),
        (
            "default_segments",
            "one byte more than a segment of 64 KiB",
            single("default_segments", 65_537, 65536, "default", 4, none()),
        ),
        (
            "no_room_for_the_place",
            "a key so long that the metadata leaves the place out",
            single("no_room_for_the_place", 100, 65536, &"k".repeat(1024), 4, none()),
        ),
        (
            "marker_form",
            "the client's metadata leaves room for the marker and the KMS ID: padded form",
            single("marker_form", 70_000, 65536, "marker", 1900, all_checksums()),
        ),
        (
            "carried_form",
            "the client's metadata leaves no room: the footer carries it",
            single("carried_form", 10, 65536, "carried", 2030, none()),
        ),
        ("copied", "a copy to another place: the same body, another footer", copied()),
        ("one_part", "a multipart upload of one part, number 3", seal_upload("one_part", &[(3, 1000)])),
        (
            "many_parts",
            "parts 1, 2 and 7, the last of them small",
            seal_upload("many_parts", &[(1, 5 << 20), (2, 5 << 20), (7, 70_000)]),
        ),
    ]
}

fn copied() -> Stored {
    let mut single = Single::new("copied", pattern(9000));
    single.recorded.place = place("records", "original");
    let source = single.seal();
    let object = footer(&source.bytes).unwrap().open(&kek(), &Expected::At(&source.place)).unwrap();
    let mut recorded = recorded(place("copies", "the copy"));
    recorded.policy = None;
    recorded.cause = crate::Cause::Toggle;
    let client = vec![("x-amz-meta-note".to_owned(), b"copy".to_vec())];
    let rewrap = Rewrap::drawing(&object, &recorded, &kek(), &client, &mut Entropy::fixed("copied, the copy")).unwrap();
    let bytes = [&source.bytes[..source.part_ends[0]], rewrap.footer()].concat();
    Stored { place: recorded.place, metadata: rewrap.metadata().clone(), bytes, ..source }
}

#[test]
fn the_checked_in_vectors_are_made_again_byte_for_byte() {
    let mut names = Vec::new();
    for (name, about, stored) in named() {
        let small = stored.bytes.len() < 200_000;
        let vector = Vector {
            about: about.to_owned(),
            kek_hex: hex::encode(KEK),
            bucket: String::from_utf8(stored.place.bucket().to_vec()).unwrap(),
            key: String::from_utf8(stored.place.key().to_vec()).unwrap(),
            metadata: text(&stored.metadata),
            plaintext_len: stored.plaintext.len(),
            plaintext_sha256: sha256(&stored.plaintext),
            stored_len: stored.bytes.len(),
            stored_sha256: sha256(&stored.bytes),
            stored: small.then(|| STANDARD.encode(&stored.bytes)),
            make_again: (!small).then(|| format!("vectors::named(), {name:?}")),
        };
        compare(&folder().join(format!("{name}.json")), &vector);
        names.push(format!("{name}.json"));
    }
    let mut kept: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    kept.sort();
    names.sort();
    assert_eq!(kept, names, "no vector is left over");
}

#[test]
fn every_vector_opens() {
    for (name, _, _) in named() {
        let file = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        let vector: Vector = serde_json::from_str(&file).unwrap();
        let Some(stored) = &vector.stored else { continue };
        let stored = STANDARD.decode(stored).unwrap();
        let at = Place::new(vector.bucket.as_str(), vector.key.as_str()).unwrap();
        let metadata: UserMetadata =
            vector.metadata.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        for (result, plaintext) in [get(&stored, &metadata, &kek(), &at), decrypt(&stored, &kek())] {
            assert_eq!(result, Ok(()), "{name}");
            assert_eq!(sha256(&plaintext), vector.plaintext_sha256, "{name}");
        }
    }
}
