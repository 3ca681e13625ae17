//! Properties that hold for any plaintext, split, range and part sizes.

use bytes::Bytes;
use proptest::prelude::*;

use super::fixtures::{
    Single, Stored, decrypt, feed, get, get_range, kek, object, pattern, place, recorded, seal_upload,
};
use crate::layout::SegmentSize;
use crate::{
    Checksums, Footer, Header, MAX_PLAINTEXT, Metadata, SingleSealer, Upload, padded_stored_len,
    plaintext_len_of_padded,
};

/// Lengths around the edges of 4 KiB segments, and any other up to 20,000.
fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(0_usize),
        (0_usize..5, -1_isize..=1).prop_map(|(n, d)| (n * 4096).saturating_add_signed(d)),
        0_usize..20_000,
    ]
}

/// One part of 5 to 15 MiB, then as many of any size as the closed form grants.
fn part_sizes() -> impl Strategy<Value = Vec<(u16, usize)>> {
    (5_usize << 20..15 << 20, proptest::collection::vec((1_u16..50, 0_usize..200_000), 0..3), 1_u16..100).prop_map(
        |(big, small, first)| {
            let granted = big / (5 << 20);
            let mut number = first;
            let mut parts = vec![(number, big)];
            for (gap, len) in small.into_iter().take(granted) {
                number += gap;
                parts.push((number, len));
            }
            parts
        },
    )
}

fn split(bytes: &[u8], cuts: &[usize]) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let at = cuts.next().map_or(rest.len(), |cut| cut.max(&1).min(&rest.len()).to_owned());
        let (piece, left) = rest.split_at(at);
        pieces.push(Bytes::copy_from_slice(piece));
        rest = left;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_plaintext_comes_back_whole(len in lengths(), piece in 1_usize..9000) {
        let stored = Single::new("whole", pattern(len)).seal();
        prop_assert!(get(&stored.bytes, &stored.metadata, &kek(), &stored.place) == (Ok(()), stored.plaintext.clone()));
        prop_assert!(decrypt(&stored.bytes, &kek()) == (Ok(()), stored.plaintext.clone()));
        let read = object(&stored.bytes, &stored.metadata, &kek(), &stored.place).unwrap()
            .read_whole(stored.bytes.len() as u64).unwrap();
        prop_assert!(feed(read, &stored.bytes, piece) == (Ok(()), stored.plaintext));
    }

    #[test]
    fn any_split_of_the_input_gives_the_same_stored_bytes(
        len in 0_usize..200_000, cuts in proptest::collection::vec(1_usize..80_000, 1..6),
    ) {
        let plaintext = pattern(len);
        let seal = |pieces: Vec<Bytes>| {
            let recorded = recorded(place("b", "k"));
            let entropy = crate::entropy::Entropy::fixed("split");
            let size = SegmentSize::WRITTEN;
            let mut sealer =
                SingleSealer::drawing(&recorded, &kek(), len as u64, &Vec::new(), &[], size, entropy).unwrap();
            let mut out = Vec::new();
            for piece in pieces {
                sealer.push(piece, &mut out).unwrap();
            }
            sealer.finish(&Checksums::default(), &mut out).unwrap();
            out.concat()
        };
        prop_assert!(seal(split(&plaintext, &cuts)) == seal(vec![Bytes::from(plaintext.clone())]));
    }

    #[test]
    fn any_range_comes_back_and_fetches_only_the_segments_that_it_touches(
        len in 1_usize..20_000, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(), piece in 1_usize..9000,
    ) {
        let stored = Single::new("range", pattern(len)).seal();
        let (a, b) = (a.index(len), b.index(len));
        let (start, end) = (a.min(b), a.max(b) + 1);
        let object = object(&stored.bytes, &stored.metadata, &kek(), &stored.place).unwrap();
        let read = object.read_range(start as u64..end as u64).unwrap();
        let fetched = read.stored.end - read.stored.start;
        let segments = (end - 1) / 4096 - start / 4096 + 1;
        prop_assert!(fetched <= segments as u64 * 4112);
        let (result, plaintext) = feed(read, &stored.bytes, piece);
        prop_assert_eq!(result, Ok(()));
        prop_assert!(plaintext == stored.plaintext[start..end]);
    }

    #[test]
    fn a_change_of_any_stored_byte_is_found_by_a_whole_read(
        len in lengths(), at in any::<prop::sample::Index>(), flip in 1_u8..=255, padded in any::<bool>(),
    ) {
        let Stored { mut bytes, metadata, place, plaintext, .. } = any_form(len, padded);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        for (result, out) in [get(&bytes, &metadata, &kek(), &place), decrypt(&bytes, &kek())] {
            prop_assert!(result.is_err(), "byte {at} of {}", bytes.len());
            prop_assert!(plaintext.starts_with(&out) && (out.len() < plaintext.len() || len == 0));
        }
    }

    #[test]
    fn any_truncation_and_anything_appended_is_found(
        len in lengths(), at in any::<prop::sample::Index>(), more in 1_usize..5000, padded in any::<bool>(),
    ) {
        let Stored { bytes, metadata, place, plaintext, .. } = any_form(len, padded);
        let at = at.index(bytes.len());
        let longer = [&bytes[..], &vec![0; more]].concat();
        let inserted = [&bytes[..at], &vec![0; more], &bytes[at..]].concat();
        for changed in [&bytes[..at], &longer, &inserted] {
            for (result, out) in [get(changed, &metadata, &kek(), &place), decrypt(changed, &kek())] {
                prop_assert!(result.is_err());
                prop_assert!(plaintext.starts_with(&out) && (out.len() < plaintext.len() || len == 0));
            }
        }
    }

    #[test]
    fn a_storage_that_hangs_up_early_is_never_taken_for_the_end(
        len in lengths(), at in any::<prop::sample::Index>(), padded in any::<bool>(),
    ) {
        let Stored { bytes, metadata, place, plaintext, .. } = any_form(len, padded);
        let read = object(&bytes, &metadata, &kek(), &place).unwrap().read_whole(bytes.len() as u64).unwrap();
        let (result, out) = feed(read, &bytes[..at.index(bytes.len())], 4096);
        prop_assert!(result.is_err());
        prop_assert!(plaintext.starts_with(&out) && (out.len() < plaintext.len() || len == 0));
    }

    #[test]
    fn the_stored_length_is_strictly_increasing_and_inverts(len in 0..MAX_PLAINTEXT) {
        let stored = padded_stored_len(len);
        prop_assert!(stored < padded_stored_len(len + 1));
        prop_assert_eq!(plaintext_len_of_padded(stored), Some(len));
    }

    #[test]
    fn a_stored_length_that_no_plaintext_has_is_never_inverted(stored in any::<u64>()) {
        if let Some(len) = plaintext_len_of_padded(stored) {
            prop_assert_eq!(padded_stored_len(len), stored);
        } else {
            // The greatest plaintext length whose stored length is not above this one misses it.
            let below = (0..48).rev().fold(0_u64, |below, bit| {
                let next = below + (1 << bit);
                if padded_stored_len(next) <= stored { next } else { below }
            });
            prop_assert_ne!(padded_stored_len(below), stored);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_and_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), cut in 0_u32..700) {
        prop_assert!(Header::from_bytes(&bytes).is_err());
        prop_assert!(Upload::from_bytes(&bytes).is_err());
        bytes.extend_from_slice(&cut.to_be_bytes());
        bytes.extend_from_slice(b"\x89SEALFT\n");
        prop_assert!(!matches!(Footer::parse(&bytes, 700), Ok(crate::FooterRead::Footer(_))));
        prop_assert!(Metadata::parse([("x-amz-meta-gse-v", "1".as_bytes()), ("x-amz-meta-gse-h", &bytes)]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_parts_come_back_whole_and_in_any_range(
        parts in part_sizes(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>(),
    ) {
        let stored = seal_upload("parts", &parts);
        let len = stored.plaintext.len();
        prop_assert_eq!(padded_stored_len(len as u64), stored.bytes.len() as u64);
        let (result, plaintext) = get(&stored.bytes, &stored.metadata, &kek(), &stored.place);
        prop_assert_eq!(result, Ok(()));
        prop_assert!(plaintext == stored.plaintext);
        let (a, b) = (a.index(len), b.index(len));
        let boundary = len - parts[1..].iter().map(|(_, len)| len).sum::<usize>();
        for (start, end) in [(a.min(b), a.max(b) + 1), (boundary - 1, len), (len - 1, len), (0, 1), (0, len)] {
            let range = start as u64..end as u64;
            let (result, plaintext) = get_range(&stored.bytes, &stored.metadata, &kek(), &stored.place, range);
            prop_assert_eq!(result, Ok(()));
            prop_assert!(plaintext == stored.plaintext[start..end]);
        }
        let object = object(&stored.bytes, &stored.metadata, &kek(), &stored.place).unwrap();
        let mut at = 0;
        for (number, len) in &parts {
            prop_assert_eq!(object.part_range(*number), Some(at..at + *len as u64));
            at += *len as u64;
        }
    }
}

/// A single object in the compact or in the padded form.
fn any_form(len: usize, padded: bool) -> Stored {
    let mut single = Single::new("any form", pattern(len));
    if padded {
        single.segment = 65536;
        single.client = vec![("x-amz-meta-n".to_owned(), vec![b'v'; 1900])];
    }
    single.seal()
}
