//! Changed footers: of another object, older, changed in a field, malformed.

use super::{Bases, Case, of, raw};
use crate::entropy::Entropy;
use crate::tests::fixtures::{Single, footer, kek, pattern, recorded};
use crate::{DataKey, Expected, Rewrap};

const BASE: &str = "three_segments";
const MARKER: &str = "marker_form";
/// MAC, length, magic.
const TAIL: usize = 44;

pub(super) fn cases(bases: &Bases) -> Vec<Case> {
    let mut cases = of_others(bases);
    cases.extend(fields(bases));
    cases.extend(coding(bases));
    cases
}

fn footer_of(bases: &Bases, base: &str) -> Vec<u8> {
    let bytes = &bases.get(base).bytes;
    let len = usize::try_from(footer(bytes).unwrap().len()).unwrap();
    bytes[bytes.len() - len..].to_vec()
}

/// The base with this footer in place of its own of the same length.
fn with_footer(bases: &Bases, base: &'static str, sentence: &str, footer: &[u8]) -> Case {
    let start = bases.get(base).bytes.len() - footer_of(bases, base).len();
    bases.case(base, sentence).stored(vec![of(base, 0, start), raw(footer)])
}

fn data_key(bases: &Bases, base: &str) -> std::sync::Arc<crate::object::Opened> {
    let stored = bases.get(base);
    footer(&stored.bytes).unwrap().open(&kek(), &Expected::At(&stored.place)).unwrap().opened
}

/// A footer of these fields with a MAC that verifies: made by whoever has the key.
fn authentic(data_key: &DataKey, fields: &[u8]) -> Vec<u8> {
    let mut end = u32::try_from(fields.len() + TAIL).unwrap().to_be_bytes().to_vec();
    end.extend_from_slice(b"\x89SEALFT\n");
    let message = [fields, &end].concat();
    let mac = aws_lc_rs::hmac::sign(&data_key.footer_key(), &message);
    [fields, mac.as_ref(), &end].concat()
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the field is there");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

fn of_others(bases: &Bases) -> Vec<Case> {
    let stored = bases.get(BASE);
    let mut other = Single::new("an older object of the same place", stored.plaintext.clone());
    other.recorded.place = stored.place.clone();
    let mut checksums = footer(&stored.bytes).unwrap().open(&kek(), &Expected::At(&stored.place)).unwrap();
    other.checksums = checksums.checksums().unwrap().clone();
    let other = other.seal();
    let other_footer = &other.bytes[other.part_ends[0]..];

    // The same object under a newer footer of the same length.
    let mut newer = recorded(stored.place.clone());
    newer.policy.as_mut().unwrap().revision = 42;
    checksums = footer(&stored.bytes).unwrap().open(&kek(), &Expected::At(&stored.place)).unwrap();
    let client = vec![stored.metadata[0].clone()];
    let entropy = &mut Entropy::fixed("a newer footer");
    let rewrap = Rewrap::drawing(&checksums, &newer, &kek(), &client, entropy).unwrap();
    let mut newer_metadata = bases.case(BASE, "an_older_footer_than_the_metadata_is_refused").reads(&["whole"]);
    newer_metadata.metadata = rewrap.metadata().clone();

    let one = bases.get("one_part");
    let upload = crate::tests::fixtures::seal_upload("another upload", &[(3, 1000)]);
    let start = one.bytes.len() - footer_of(bases, "one_part").len();
    vec![
        with_footer(bases, BASE, "the_footer_of_another_object_at_the_same_place_is_refused", other_footer),
        newer_metadata,
        with_footer(bases, BASE, "a_newer_footer_than_the_metadata_is_refused", rewrap.footer()).reads(&["whole"]),
        bases
            .case("one_part", "the_footer_of_another_upload_is_refused")
            .stored(vec![of("one_part", 0, start), raw(&upload.bytes[start..])])
            .reads(&["whole", "file", "0-10"]),
    ]
}

/// Fields that are not in the header: the MAC covers them.
fn fields(bases: &Bases) -> Vec<Case> {
    let footer = footer_of(bases, MARKER);
    let salt = &bases.get(MARKER).bytes[28..60];
    let change = |sentence: &str, from: &[u8], to: &[u8]| {
        let changed = replaced(&footer, from, to);
        with_footer(bases, MARKER, sentence, &changed).reads(&["whole", "file", "0-10"])
    };
    let flip = |at: usize| {
        let mut changed = footer.clone();
        changed[at] ^= 1;
        changed
    };
    let len = footer.len();
    let mut other_note = footer_of(bases, "carried_form");
    let note = other_note.windows(4).position(|window| window == b"nnnn").expect("the client's note");
    other_note[note] = b'm';
    let start = bases.get(MARKER).bytes.len() - len;
    vec![
        change("a_changed_salt_in_the_part_table_is_refused", salt, &[5; 32]),
        bases
            .case(MARKER, "a_salt_changed_in_the_part_and_in_the_table_is_refused")
            .stored(vec![
                of(MARKER, 0, 28),
                raw(&[5; 32]),
                of(MARKER, 60, start),
                raw(&replaced(&footer, salt, &[5; 32])),
            ])
            .reads(&["whole", "file", "0-10"]),
        change("a_changed_place_in_the_footer_is_refused", b"\x46marker", b"\x46markeR"),
        change("a_changed_policy_in_the_footer_is_refused", b"payroll", b"payrolL"),
        with_footer(bases, MARKER, "changed_checksums_in_the_footer_are_refused", &flip(len - TAIL - 20)),
        with_footer(bases, MARKER, "a_changed_mac_is_refused", &flip(len - TAIL)),
        with_footer(bases, "carried_form", "changed_client_metadata_in_the_footer_is_refused", &other_note),
    ]
}

fn coding(bases: &Bases) -> Vec<Case> {
    let footer = footer_of(bases, MARKER);
    let fields = &footer[..footer.len() - TAIL];
    let opened = data_key(bases, MARKER);
    let make = |fields: &[u8]| authentic(&opened.data_key, fields);
    // A longer footer takes its place from the padding in front of it.
    let case_of = |base, sentence: &str, footer: &[u8]| {
        let end = bases.get(base).bytes.len() - footer.len();
        bases.case(base, sentence).stored(vec![of(base, 0, end), raw(footer)])
    };
    let case = |sentence: &str, footer: &[u8]| case_of(MARKER, sentence, footer);
    let with_length = |len: u32| {
        let mut changed = footer.clone();
        let at = changed.len() - 12;
        changed[at..at + 4].copy_from_slice(&len.to_be_bytes());
        changed
    };
    let upload = "one_part";
    let upload_footer = footer_of(bases, upload);
    let upload_fields = &upload_footer[..upload_footer.len() - TAIL];
    let upload_opened = data_key(bases, upload);
    let entry = [&[0, 3][..], &1000_u64.to_be_bytes()].concat();
    let salt = upload_opened.parts[0].salt.as_bytes();
    let with_table = |table: &[u8]| {
        let head = |len: usize| [&[4, 0x58][..], &[u8::try_from(len).unwrap()]].concat();
        let own = [&head(42)[..], &entry, salt].concat();
        let head = if table.is_empty() { vec![4, 0x40] } else { head(table.len()) };
        authentic(&upload_opened.data_key, &replaced(upload_fields, &own, &[&head, table].concat()))
    };
    let renumbered = |number: [u8; 2]| {
        let entry_then = [&number[..], &1000_u64.to_be_bytes()].concat();
        authentic(&upload_opened.data_key, &replaced(upload_fields, &entry, &entry_then))
    };
    vec![
        case("an_unknown_version_of_the_footer_is_named", &make(&replaced(fields, &[0xa6, 0, 1], &[0xa6, 0, 2]))),
        case(
            "a_footer_not_in_the_canonical_coding_is_refused",
            &make(&replaced(fields, &[0xa6, 0, 1], &[0xa6, 0, 24, 1])),
        ),
        case("bytes_behind_the_fields_of_a_footer_are_refused", &make(&[fields, &[0]].concat())),
        case("an_unknown_field_of_the_footer_is_refused", &make(&[&[0xa7], &fields[1..], &[7, 0]].concat())),
        case("a_footer_that_says_it_is_empty_is_refused", &with_length(0)),
        case("a_footer_longer_than_the_object_is_refused", &with_length(700_000)),
        case("a_footer_longer_than_any_is_refused", &with_length(u32::MAX)),
        case("a_footer_that_says_it_is_shorter_is_refused", &with_length(u32::try_from(footer.len()).unwrap() - 1)),
        case_of(upload, "parts_out_of_order_are_refused", &with_table(&[&entry[..], salt, &entry, salt].concat())),
        case_of(upload, "an_object_of_no_parts_is_refused", &with_table(&[])),
        case_of(
            upload,
            "a_table_that_ends_within_an_entry_is_refused",
            &with_table(&[&entry[..], salt, &entry[..5]].concat()),
        ),
        case_of(
            upload,
            "a_part_longer_than_2_to_48_bytes_is_refused",
            &with_table(&[&[0, 3][..], &[0xff; 8], salt].concat()),
        ),
        with_footer(bases, upload, "a_part_number_of_zero_is_refused", &renumbered([0, 0])),
        with_footer(bases, upload, "a_part_number_above_10000_is_refused", &renumbered([0x27, 0x11])),
        with_footer(bases, upload, "another_part_number_than_the_part_has_is_refused", &renumbered([0, 4])),
        case("a_footer_of_noise_is_refused", &[&pattern(1000)[..], &footer[footer.len() - TAIL..]].concat()),
    ]
}
