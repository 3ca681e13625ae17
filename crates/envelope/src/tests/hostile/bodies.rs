//! Changed bodies: segments, parts, padding, and what is in front of or behind them.

use super::{Bases, Case, of, raw};
use crate::entropy::Entropy;
use crate::tests::fixtures::{Single, footer, kek, pattern, seal_part, seal_upload};
use crate::{Expected, Place};

/// Stored length of a segment of 4 KiB.
const SEGMENT: usize = 4096 + 16;
const HEADER: usize = 60;

pub(super) fn cases(bases: &Bases) -> Vec<Case> {
    let mut cases = segments(bases);
    cases.extend(ends(bases));
    cases.extend(parts(bases));
    cases
}

/// `name` with one bit changed at `at`.
fn flipped(bases: &Bases, name: &str, at: usize) -> Vec<super::Piece> {
    let bytes = &bases.get(name).bytes;
    vec![of(name, 0, at), raw(&[bytes[at] ^ 1]), of(name, at + 1, bytes.len())]
}

fn segments(bases: &Bases) -> Vec<Case> {
    let base = "three_segments";
    let len = bases.get(base).bytes.len();
    let at = |n: usize| HEADER + n * SEGMENT;
    let mut other = Single::new("of another object", pattern(10_000));
    other.recorded.place = bases.get(base).place.clone();
    let other = other.seal();
    let every = ["whole", "file", "4000-9000"];
    vec![
        bases.case(base, "a_bit_changed_in_a_segment_is_refused").stored(flipped(bases, base, at(1) + 7)).reads(&[
            "whole",
            "file",
            "4000-9000",
            "5000-5001",
        ]),
        bases.case(base, "a_bit_changed_in_a_tag_is_refused").stored(flipped(bases, base, at(2) - 1)).reads(&[
            "whole",
            "file",
            "4096-4097",
        ]),
        bases
            .case(base, "a_bit_changed_in_the_last_segment_is_refused")
            .stored(flipped(bases, base, at(2) + 100))
            .reads(&["whole", "file", "9999-10000"]),
        bases
            .case(base, "two_segments_swapped_are_refused")
            .stored(vec![of(base, 0, at(0)), of(base, at(1), at(2)), of(base, at(0), at(1)), of(base, at(2), len)])
            .reads(&every),
        bases
            .case(base, "a_segment_twice_in_place_of_the_next_is_refused")
            .stored(vec![of(base, 0, at(1)), of(base, at(0), at(1)), of(base, at(2), len)])
            .reads(&every),
        bases
            .case(base, "a_segment_of_another_object_is_refused")
            .stored(vec![of(base, 0, at(1)), raw(&other.bytes[at(1)..at(2)]), of(base, at(2), len)])
            .reads(&every),
        bases
            .case(base, "a_segment_dropped_in_front_of_the_footer_is_refused")
            .stored(vec![of(base, 0, at(1)), of(base, at(2), len)]),
        bases
            .case(base, "the_body_of_another_object_is_refused")
            .stored(vec![raw(&other.bytes[..other.part_ends[0]]), of(base, other.part_ends[0], len)])
            .reads(&every),
        bases
            .case("one_full_segment", "a_last_segment_that_is_said_to_have_a_successor_is_refused")
            .stored(vec![
                raw(&not_last(bases)),
                of("one_full_segment", at(1), bases.get("one_full_segment").bytes.len()),
            ])
            .reads(&["whole", "file", "0-4096"]),
        bases.case(base, "a_bit_changed_in_the_part_header_is_refused").stored(flipped(bases, base, 40)),
        bases.case(base, "an_unknown_version_of_a_part_is_named").stored(vec![
            of(base, 0, 8),
            raw(&[0, 2]),
            of(base, 10, len),
        ]),
        bases
            .case(base, "sealed_by_metadata_but_without_our_magic_is_refused")
            .stored(vec![raw(b"plain..."), of(base, 8, len)])
            .reads(&["whole"]),
        bases
            .case(base, "plain_bytes_with_our_metadata_are_refused")
            .stored(vec![raw(&pattern(10_000))])
            .reads(&["whole"]),
    ]
}

/// The header and only segment of `one_full_segment`, sealed by whoever has the key but as if another followed.
fn not_last(bases: &Bases) -> Vec<u8> {
    use aws_lc_rs::aead::{Aad, Nonce};
    let stored = bases.get("one_full_segment");
    let object = footer(&stored.bytes).unwrap().open(&kek(), &Expected::At(&stored.place)).unwrap();
    let header = &stored.bytes[..HEADER];
    let key = object.opened.data_key.part_key(&object.parts()[0].salt, header);
    let mut segment = stored.plaintext.clone();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut segment).unwrap();
    [header, &segment].concat()
}

fn ends(bases: &Bases) -> Vec<Case> {
    let (base, marker) = ("three_segments", "marker_form");
    let (len, marker_len) = (bases.get(base).bytes.len(), bases.get(marker).bytes.len());
    let body = bases.get(base).part_ends[0];
    let padding = bases.get(marker).part_ends[0] + 5;
    let footer_len = |name: &str| usize::try_from(footer(&bases.get(name).bytes).unwrap().len()).unwrap();
    let marker_footer = marker_len - footer_len(marker);
    vec![
        bases.case(base, "an_object_truncated_at_a_segment_is_refused").stored(vec![of(base, 0, HEADER + 2 * SEGMENT)]),
        bases.case(base, "an_object_without_its_footer_is_refused").stored(vec![of(base, 0, body)]),
        bases.case(base, "an_object_without_its_last_byte_is_refused").stored(vec![of(base, 0, len - 1)]),
        bases.case(base, "an_object_of_no_bytes_at_all_is_refused").stored(Vec::new()),
        bases.case(base, "a_byte_appended_is_refused").stored(vec![of(base, 0, len), raw(&[0])]),
        bases
            .case(base, "the_footer_appended_once_more_is_refused")
            .stored(vec![of(base, 0, len), of(base, body, len)]),
        bases.case(base, "bytes_between_body_and_footer_are_refused").stored(vec![
            of(base, 0, body),
            raw(&[0; 16]),
            of(base, body, len),
        ]),
        bases.case(marker, "padding_that_is_not_zero_is_refused").stored(vec![
            of(marker, 0, padding),
            raw(&[1]),
            of(marker, padding + 1, marker_len),
        ]),
        bases
            .case(marker, "padding_that_was_shortened_is_refused")
            .stored(vec![of(marker, 0, padding), of(marker, padding + 1, marker_len)]),
        bases.case(marker, "padding_taken_from_in_front_and_given_behind_is_refused").stored(vec![
            of(marker, 0, padding),
            of(marker, marker_footer, marker_len),
            raw(&vec![0; marker_footer - padding]),
        ]),
    ]
}

fn parts(bases: &Bases) -> Vec<Case> {
    let base = "many_parts";
    let stored = bases.get(base);
    let len = stored.bytes.len();
    let [first, second, third] = stored.part_ends[..] else { panic!("three parts") };
    let across = ["whole", "file", "5242879-5242881"];
    let other = seal_upload("another upload", &[(3, 1000)]);
    let one = bases.get("one_part");
    vec![
        bases.case(base, "a_part_dropped_is_refused").stored(vec![of(base, 0, first), of(base, second, len)]),
        bases
            .case(base, "the_last_part_dropped_and_its_place_filled_is_refused")
            .stored(vec![of(base, 0, second), raw(&vec![0; third - second]), of(base, third, len)])
            .reads(&["whole", "file", "10485759-10485761"]),
        bases
            .case(base, "two_parts_swapped_are_refused")
            .stored(vec![of(base, first, second), of(base, 0, first), of(base, second, len)])
            .reads(&["whole", "file", "0-1", "5242879-5242881"]),
        bases
            .case(base, "a_part_twice_in_place_of_the_next_is_refused")
            .stored(vec![of(base, 0, first), of(base, 0, first), of(base, second, len)])
            .reads(&across),
        bases
            .case(base, "the_segments_of_one_part_under_the_header_of_another_are_refused")
            .stored(vec![of(base, 0, first + HEADER), of(base, HEADER, first), of(base, second, len)])
            .reads(&across),
        bases
            .case("one_part", "an_older_upload_of_a_part_is_refused")
            .stored(vec![raw(&older_upload(bases)), of("one_part", one.part_ends[0], one.bytes.len())])
            .reads(&["whole", "file", "10-20"]),
        bases
            .case("one_part", "a_part_of_another_upload_is_refused")
            .stored(vec![raw(&other.bytes[..other.part_ends[0]]), of("one_part", one.part_ends[0], one.bytes.len())])
            .reads(&["whole", "file", "10-20"]),
    ]
}

/// Part 3 of the same upload, number and plaintext as in `one_part`, uploaded once more.
fn older_upload(bases: &Bases) -> Vec<u8> {
    let stored = bases.get("one_part");
    let place: &Place = &stored.place;
    let object = footer(&stored.bytes).unwrap().open(&kek(), &Expected::At(place)).unwrap();
    seal_part(&object.opened.data_key, 3, &stored.plaintext, &mut Entropy::fixed("an older upload")).1
}
