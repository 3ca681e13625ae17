//! Changed headers and metadata: fields, keys, places, coding, versions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::{Bases, Case};
use crate::entropy::Entropy;
use crate::keys::WRAPPED_LEN;
use crate::tests::fixtures::{Single, kek, pattern, place};
use crate::{DataKey, Metadata, Recorded};

const BASE: &str = "three_segments";

pub(super) fn cases(bases: &Bases) -> Vec<Case> {
    let mut cases = fields(bases);
    cases.extend(keys(bases));
    cases.extend(places(bases));
    cases.extend(coding(bases));
    cases.extend(entries(bases));
    cases
}

/// The header of the base, wrapped key and core.
fn header(bases: &Bases, name: &str) -> Vec<u8> {
    let metadata = Metadata::parse(bases.get(name).metadata.iter().map(|(n, v)| (n, v))).unwrap().unwrap();
    metadata.header().unwrap().to_bytes()
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the field is there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

fn with_header(case: Case, header: &[u8]) -> Case {
    case.entry("h", STANDARD_NO_PAD.encode(header)).reads(&["whole", "4000-9000"])
}

/// Every field of the header, changed to another legal value and consistently in all of the metadata.
fn fields(bases: &Bases) -> Vec<Case> {
    let header = header(bases, BASE);
    let change = |field: &str, from: &[u8], to: &[u8]| {
        let case = bases.case(BASE, &format!("a_changed_{field}_in_the_header_is_refused"));
        with_header(case, &replaced(&header, from, to))
    };
    let wrapped = &header[..WRAPPED_LEN];
    let mut other_wrap = wrapped.to_vec();
    other_wrap[20] ^= 1;
    vec![
        change("wrapped_data_key", wrapped, &other_wrap),
        change("kms_id", b"prod-rsa-2026", b"prod-rsa-2027").entry("kms", "prod-rsa-2027"),
        change("kek_record", &pattern(640)[100..200], &pattern(640)[101..201]),
        change("cause", &[7, 2, 8], &[7, 1, 8]),
        change("time", &1_795_500_000_000_u64.to_be_bytes(), &1_795_500_000_001_u64.to_be_bytes()),
        change("writer", b"sealgate/0.1.0", b"sealgate/0.1.1"),
        change("policy", b"payroll", b"payrolL"),
        change(
            "policy_revision",
            &[0x50, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 24, 41],
            &[0x50, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 24, 42],
        ),
        change("plaintext_length", &[0x82, 25, 0x27, 0x10], &[0x82, 25, 0x27, 0x0f])
            .entry("size", "9999")
            .reads(&["whole", "4000-9000"]),
        change("segment_size", &[2, 25, 0x10, 0], &[2, 25, 0x20, 0]),
        change("salt_of_the_part", &bases.get(BASE).bytes[28..60], &[5; 32]),
    ]
}

fn keys(bases: &Bases) -> Vec<Case> {
    let header = header(bases, BASE);
    let other = DataKey::draw(&mut Entropy::fixed("another data key")).unwrap();
    let aad = [b"sealgate data key v1", &header[WRAPPED_LEN..]].concat();
    let wrapped = kek().wrap(&other, &aad, &mut Entropy::fixed("another wrap")).unwrap();
    let uncommitted = [&wrapped[..], &header[WRAPPED_LEN..]].concat();
    let mut other_kek = bases.case(BASE, "another_kek_is_refused").reads(&["whole", "file", "4000-9000"]);
    other_kek.kek = [0x4c; 32];
    vec![
        other_kek,
        with_header(bases.case(BASE, "a_data_key_that_the_object_did_not_commit_to_is_refused"), &uncommitted),
    ]
}

fn places(bases: &Bases) -> Vec<Case> {
    let moved = |sentence: &str, base, bucket: &str, key: &str| {
        let mut case = bases.case(base, sentence).reads(&["whole", "0-1"]);
        case.place = place(bucket, key);
        case
    };
    let mut stripped = moved("an_object_stripped_and_moved_is_refused", BASE, "records", "elsewhere");
    stripped.metadata.clear();
    let mut single = Single::new("sealed at the other place", pattern(10_000));
    single.recorded.place = place("records", "other");
    let other = single.seal();
    let mut metadata =
        bases.case(BASE, "the_metadata_of_an_object_at_another_place_is_refused").reads(&["whole", "0-1"]);
    metadata.metadata = other.metadata;
    let mut older = Single::new("an older object of the same place", pattern(10_000));
    older.recorded = Recorded { place: bases.get(BASE).place.clone(), ..older.recorded };
    let mut older_metadata = bases.case(BASE, "the_metadata_of_an_older_object_at_the_same_place_is_refused");
    older_metadata.metadata = older.seal().metadata;
    vec![
        moved("an_object_moved_to_another_key_is_refused", BASE, "records", "a/b c/u.txt"),
        moved("an_object_moved_to_another_bucket_is_refused", BASE, "record", "a/b c/ü.txt"),
        moved("a_key_that_only_normalises_to_the_same_is_refused", BASE, "records", "a/b c/u\u{308}.txt"),
        moved("bucket_and_key_that_only_join_to_the_same_are_refused", "copied", "copiesthe", " copy"),
        moved("a_moved_object_in_the_marker_form_is_refused", "marker_form", "records", "other"),
        moved("a_moved_multipart_object_is_refused", "one_part", "archive", "backup.tar"),
        stripped,
        metadata,
        older_metadata.reads(&["whole", "0-1"]),
    ]
}

fn coding(bases: &Bases) -> Vec<Case> {
    let header = header(bases, BASE);
    let core =
        |change: fn(Vec<u8>) -> Vec<u8>| [&header[..WRAPPED_LEN], &change(header[WRAPPED_LEN..].to_vec())].concat();
    let case = |sentence: &str, header: Vec<u8>| with_header(bases.case(BASE, sentence), &header);
    vec![
        case(
            "an_integer_longer_than_needed_is_refused",
            core(|core| replaced(&core, &[0xad, 0, 1], &[0xad, 0, 24, 1])),
        ),
        case("bytes_behind_the_header_are_refused", core(|core| [&core[..], &[0]].concat())),
        case("a_header_of_indefinite_length_is_refused", core(|core| [&[0xbf], &core[1..], &[0xff]].concat())),
        case("a_header_cut_short_is_refused", core(|core| core[..core.len() - 1].to_vec())),
        case("a_header_without_a_field_is_refused", core(|core| replaced(&core, &[0xad, 0, 1, 1, 1], &[0xac, 0, 1]))),
        case("an_unknown_field_is_refused", core(|core| [&[0xae], &core[1..], &[13, 1]].concat())),
        case("an_unknown_cause_is_refused", core(|core| replaced(&core, &[7, 2, 8], &[7, 6, 8]))),
        case("an_unknown_version_of_the_header_is_named", core(|core| replaced(&core, &[0xad, 0, 1], &[0xad, 0, 2]))),
        case("an_unknown_algorithm_is_named", core(|core| replaced(&core, &[0xad, 0, 1, 1, 1], &[0xad, 0, 1, 1, 2]))),
        case(
            "a_segment_size_that_is_no_power_of_two_is_named",
            core(|core| replaced(&core, &[2, 25, 0x10, 0], &[2, 25, 0x10, 1])),
        ),
        case("a_header_longer_than_8_kib_is_refused", vec![0; 8193]),
    ]
}

fn entries(bases: &Bases) -> Vec<Case> {
    let case = |sentence: &str| bases.case(BASE, sentence).reads(&["whole", "0-1"]);
    let mut twice = case("an_entry_twice_is_refused");
    twice.metadata.push(("x-amz-meta-gse-v".to_owned(), b"1".to_vec()));
    let mut unmarked = case("our_entries_without_the_marker_are_refused");
    unmarked.metadata.retain(|(name, _)| name != "x-amz-meta-gse-v");
    let mut headless = case("a_size_without_a_header_is_refused");
    headless.metadata.retain(|(name, _)| name != "x-amz-meta-gse-h" && name != "x-amz-meta-gse-at");
    vec![
        twice,
        unmarked,
        headless,
        case("an_unknown_version_of_the_metadata_is_named").entry("v", "2"),
        case("an_unknown_entry_is_refused").entry("x", "1"),
        case("another_size_than_the_header_says_is_refused").entry("size", "9999"),
        case("another_kms_id_than_the_header_says_is_refused").entry("kms", "prod-rsa-2027"),
        case("another_place_than_the_header_is_bound_to_is_refused")
            .entry("at", STANDARD_NO_PAD.encode(b"\0\x01b\0\x01k")),
        case("an_entry_that_is_not_base64_is_refused").entry("h", "?"),
    ]
}
