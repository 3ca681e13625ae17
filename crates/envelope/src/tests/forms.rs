//! How much is told in the metadata, and that an object reads in each form.

use super::fixtures::{Single, decrypt, footer, get, kek, object, pattern, place, recorded, seal_upload};
use crate::entropy::Entropy;
use crate::{
    ChecksumAlgorithm, Checksums, DataKey, Expected, FormatError, MAX_FOOTER, Metadata, MetadataForm, OpenError, Part,
    PartSealer, Place, Rewrap, Salt, SealError, SingleSealer, Upload, UserMetadata, begins_with_magic, is_reserved,
    open_record, padded_stored_len, plaintext_len_of_padded, seal_record,
};

fn client(bytes: usize) -> UserMetadata {
    let name = "x-amz-meta-note".to_owned();
    let value = vec![b'n'; bytes - name.len()];
    vec![(name, value)]
}

fn total(metadata: &UserMetadata) -> usize {
    metadata.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn single(client: &UserMetadata, key: &str) -> SingleSealer {
    let recorded = recorded(place("records", key));
    SingleSealer::new(&recorded, &kek(), 10, client, &[]).unwrap()
}

#[test]
fn whatever_room_the_client_leaves_its_metadata_and_ours_stay_within_2048_bytes() {
    let mut seen = Vec::new();
    for bytes in 15..=2048 {
        let client = client(bytes);
        let sealer = single(&client, "a");
        assert!(total(sealer.metadata()) <= 2048, "{bytes} bytes of the client");
        let kept = client.iter().all(|entry| sealer.metadata().contains(entry));
        assert_eq!(kept, sealer.form() != MetadataForm::Carried, "{bytes} bytes of the client");
        let parsed = Metadata::parse(sealer.metadata().iter().map(|(n, v)| (n, v))).unwrap().unwrap();
        assert_eq!(parsed.header().is_some(), sealer.form() == MetadataForm::Full);
        assert_eq!(parsed.plaintext_len(sealer.stored_len()), Ok(10));
        if seen.last() != Some(&sealer.form()) {
            seen.push(sealer.form());
        }
    }
    assert_eq!(seen, [MetadataForm::Full, MetadataForm::Marker, MetadataForm::Carried]);
}

#[test]
fn the_kms_id_stands_in_clear_wherever_there_is_room() {
    for bytes in [15, 700, 1500] {
        let sealer = single(&client(bytes), "a");
        let entry = ("x-amz-meta-gse-kms".to_owned(), b"prod-rsa-2026".to_vec());
        assert!(sealer.metadata().contains(&entry), "{bytes} bytes of the client");
    }
}

#[test]
fn a_key_of_1024_bytes_leaves_the_full_form_and_only_drops_the_place() {
    let sealer = single(&Vec::new(), &"k".repeat(1024));
    assert_eq!(sealer.form(), MetadataForm::Full);
    assert!(!sealer.metadata().iter().any(|(name, _)| name == "x-amz-meta-gse-at"));
}

#[test]
fn every_form_reads_back_by_metadata_and_by_footer_alone() {
    for (bytes, form) in [(15, MetadataForm::Full), (1900, MetadataForm::Marker), (2040, MetadataForm::Carried)] {
        let mut single = Single::new("forms", pattern(200_000));
        single.segment = 65536;
        single.client = client(bytes);
        let client = single.client.clone();
        let stored = single.seal();
        let opened = footer(&stored.bytes).unwrap().open(&kek(), &Expected::At(&stored.place)).unwrap();
        assert_eq!(opened.carried(), (form == MetadataForm::Carried).then_some(&client));
        for (result, plaintext) in
            [get(&stored.bytes, &stored.metadata, &kek(), &stored.place), decrypt(&stored.bytes, &kek())]
        {
            assert_eq!(result, Ok(()), "{form:?}");
            assert!(plaintext == stored.plaintext, "{form:?}");
        }
    }
}

#[test]
fn metadata_beyond_what_s3_allows_is_left_to_the_storage_to_refuse() {
    let client = client(5000);
    let sealer = single(&client, "a");
    assert_eq!(sealer.form(), MetadataForm::Marker);
    assert!(sealer.metadata().contains(&client[0]));
}

#[test]
fn a_client_cannot_send_our_entries() {
    assert!(is_reserved("X-Amz-Meta-GSE-H") && !is_reserved("x-amz-meta-gse") && !is_reserved("x-amz-meta-owner"));
    let client = vec![("x-amz-meta-gse-v".to_owned(), b"1".to_vec())];
    let recorded = recorded(place("b", "k"));
    assert!(matches!(SingleSealer::new(&recorded, &kek(), 1, &client, &[]), Err(SealError::Bounds { .. })));
    assert!(matches!(Upload::create(&recorded, &kek(), &client), Err(SealError::Bounds { .. })));
}

#[test]
fn a_single_object_costs_less_than_1536_bytes_and_3_per_10_000() {
    for len in [0, 1, 65_536, 1 << 20] {
        let recorded = recorded(place("records", "payroll/2026/november.csv"));
        let algorithms = [ChecksumAlgorithm::Crc64Nvme, ChecksumAlgorithm::Sha256];
        let sealer = SingleSealer::new(&recorded, &kek(), len, &Vec::new(), &algorithms).unwrap();
        assert!(sealer.stored_len() - len < 1536 + len * 3 / 10_000, "{len}: {}", sealer.stored_len());
    }
}

#[test]
fn the_largest_of_everything_fits_the_padded_form() {
    let mut recorded = recorded(Place::new(vec![b'b'; 255], vec![0xff; 1024]).unwrap());
    recorded.kms_id = "k".repeat(64);
    recorded.kek_record = vec![1; 4096];
    recorded.writer = "w".repeat(64);
    recorded.sealed_at_ms = u64::MAX;
    let policy = recorded.policy.as_mut().unwrap();
    policy.name = "p".repeat(253);
    policy.revision = u64::MAX;
    let client: UserMetadata = vec![("x-amz-meta-n".to_owned(), vec![b'v'; 2040])];
    let (upload, data_key) = Upload::create(&recorded, &kek(), &client).unwrap();
    assert_eq!(upload.form(), MetadataForm::Carried);
    let upload = Upload::from_bytes(&upload.to_bytes()).unwrap();
    let parts: Vec<_> = (1..=10_000)
        .map(|number| {
            let plaintext_len = if number == 10_000 { 1 } else { crate::MIN_PART };
            Part { number, plaintext_len, salt: Salt::from_bytes([1; 32]) }
        })
        .collect();
    let mut checksums =
        Checksums::full_object(ChecksumAlgorithm::ALL.map(|algorithm| (algorithm, vec![5; algorithm.value_len()])));
    checksums.parts =
        Some(crate::PartChecksums { algorithm: ChecksumAlgorithm::Sha512, values: vec![vec![5; 64]; parts.len()] });
    let sealed = upload.footer(&data_key, &recorded.place, &parts, &checksums).unwrap();
    let plaintext_len = 9_999 * crate::MIN_PART + 1;
    assert_eq!(sealed.stored_len, padded_stored_len(plaintext_len));
    assert!(sealed.bytes.len() as u64 <= 2 * MAX_FOOTER);
    assert_eq!(plaintext_len_of_padded(sealed.stored_len), Some(plaintext_len));
    // The footer is read from the end of an object whose body we need not have.
    let tail = &sealed.bytes[..];
    let len = u32::from_be_bytes(tail[tail.len() - 12..tail.len() - 8].try_into().unwrap());
    let suffix = &tail[tail.len() - len as usize..];
    let Ok(crate::FooterRead::Footer(footer)) = crate::Footer::parse(suffix, sealed.stored_len) else {
        panic!("the footer parses");
    };
    let object = footer.open(&kek(), &Expected::At(&recorded.place)).unwrap();
    assert_eq!(object.checksums(), Some(&checksums));
    assert_eq!(object.carried(), Some(&client));
    assert_eq!(object.part_range(10_000), Some(plaintext_len - 1..plaintext_len));
    assert_eq!(object.part_range(10_001), None);
}

#[test]
fn more_small_parts_than_the_closed_form_grants_are_refused() {
    let recorded = recorded(place("b", "k"));
    let (upload, data_key) = Upload::create(&recorded, &kek(), &Vec::new()).unwrap();
    let part = |number, plaintext_len| Part { number, plaintext_len, salt: Salt::from_bytes([1; 32]) };
    let footer = |parts: &[Part]| upload.footer(&data_key, &recorded.place, parts, &Checksums::default()).err();
    assert_eq!(footer(&[part(1, 100), part(2, 100)]), Some(SealError::PartsTooSmall));
    assert_eq!(footer(&[part(1, 5 << 20), part(2, 0)]), None);
    assert_eq!(footer(&[]), Some(SealError::PartOrder));
    assert_eq!(footer(&[part(2, 5 << 20), part(1, 0)]), Some(SealError::PartOrder));
    assert_eq!(footer(&[part(1, 5 << 20), part(1, 5 << 20)]), Some(SealError::PartOrder));
    let elsewhere = upload.footer(&data_key, &place("b", "other"), &[part(1, 1)], &Checksums::default());
    assert_eq!(elsewhere.err(), Some(SealError::Place(place("b", "other"))));
}

#[test]
fn a_body_of_another_length_than_announced_is_never_finished() {
    let recorded = recorded(place("b", "k"));
    let checksums = Checksums::default();
    let mut out = Vec::new();
    let mut sealer = SingleSealer::new(&recorded, &kek(), 70_000, &Vec::new(), &[]).unwrap();
    sealer.push(vec![1; 69_999].into(), &mut out).unwrap();
    let before = out.concat().len();
    let short = SealError::TooShort { announced: 70_000, received: 69_999 };
    assert_eq!(sealer.finish(&checksums, &mut out), Err(short));
    assert_eq!(out.concat().len(), before, "nothing comes out of a finish that failed");

    let mut sealer = SingleSealer::new(&recorded, &kek(), 70_000, &Vec::new(), &[]).unwrap();
    let long = SealError::TooLong { announced: 70_000 };
    assert_eq!(sealer.push(vec![1; 70_001].into(), &mut out), Err(long.clone()));
    assert_eq!(sealer.push(vec![1; 70_000].into(), &mut out), Err(long.clone()), "it stays failed");
    assert_eq!(sealer.finish(&checksums, &mut out), Err(long));

    let mut sealer = SingleSealer::new(&recorded, &kek(), 1, &Vec::new(), &[ChecksumAlgorithm::Crc32]).unwrap();
    sealer.push(vec![1].into(), &mut out).unwrap();
    assert_eq!(sealer.finish(&checksums, &mut out), Err(SealError::Checksums), "an announced checksum is missing");
}

#[test]
fn the_last_segment_is_held_back_until_finish() {
    for len in [1_usize, 65_536, 65_537, 131_072] {
        let recorded = recorded(place("b", "k"));
        let mut sealer = SingleSealer::new(&recorded, &kek(), len as u64, &Vec::new(), &[]).unwrap();
        let mut out = Vec::new();
        sealer.push(pattern(len).into(), &mut out).unwrap();
        let given: usize = out.iter().map(bytes::Bytes::len).sum();
        assert_eq!(given, 60 + (len - 1) / 65_536 * 65_552, "{len} bytes");
    }
}

#[test]
fn two_uploads_of_one_part_share_no_key() {
    let data_key = DataKey::draw(&mut Entropy::fixed("two uploads")).unwrap();
    let seal = || {
        let mut sealer = PartSealer::new(&data_key, 5, 1000).unwrap();
        let mut out = Vec::new();
        sealer.push(vec![0; 1000].into(), &mut out).unwrap();
        let salt = sealer.salt();
        sealer.finish(&mut out).unwrap();
        (salt, out.concat())
    };
    let (first, second) = (seal(), seal());
    assert_ne!(first.0, second.0);
    assert_ne!(first.1[60..], second.1[60..]);
}

#[test]
fn a_rewrap_keeps_the_body_and_retires_place_kek_and_policy() {
    let whole = seal_upload("rewrap", &[(2, 5 << 20), (7, 1000)]);
    let compact = Single::new("rewrap", pattern(20_000)).seal();
    for stored in [whole, compact] {
        let source = footer(&stored.bytes).unwrap().open(&kek(), &Expected::At(&stored.place)).unwrap();
        let (new_place, new_kek) = (place("copies", "elsewhere"), crate::Kek::new(&[9; 32]));
        let mut recorded = recorded(new_place.clone());
        recorded.kms_id = "other-kms".to_owned();
        recorded.policy = None;
        let rewrap = Rewrap::new(&source, &recorded, &new_kek, &Vec::new()).unwrap();
        let body = usize::try_from(rewrap.body().end).unwrap();
        let mut bytes = stored.bytes[..body].to_vec();
        bytes.extend_from_slice(rewrap.footer());
        assert_eq!(bytes.len() as u64, rewrap.stored_len());
        let (result, plaintext) = get(&bytes, rewrap.metadata(), &new_kek, &new_place);
        assert_eq!(result, Ok(()));
        assert!(plaintext == stored.plaintext);
        let copy = footer(&bytes).unwrap();
        assert_eq!((copy.header().kms_id(), copy.header().policy()), ("other-kms", None));
        assert_eq!(get(&bytes, rewrap.metadata(), &kek(), &new_place).0, Err(OpenError::DataKey), "the old KEK");
    }
}

#[test]
fn a_rewrap_can_move_to_the_marker_form_and_back() {
    let mut single = Single::new("marker and back", pattern(100_000));
    single.segment = 65536;
    let stored = single.seal();
    let source = footer(&stored.bytes).unwrap().open(&kek(), &Expected::At(&stored.place)).unwrap();
    let recorded = recorded(stored.place.clone());
    let marker = Rewrap::new(&source, &recorded, &kek(), &client(1900)).unwrap();
    assert_eq!((marker.form(), marker.stored_len()), (MetadataForm::Marker, padded_stored_len(100_000)));
    let bytes = [&stored.bytes[..stored.part_ends[0]], marker.footer()].concat();
    assert!(get(&bytes, marker.metadata(), &kek(), &stored.place) == (Ok(()), stored.plaintext.clone()));
    let source = footer(&bytes).unwrap().open(&kek(), &Expected::At(&stored.place)).unwrap();
    let full = Rewrap::new(&source, &recorded, &kek(), &Vec::new()).unwrap();
    assert_eq!(full.header().plaintext_len(), Some(100_000));
    let from_header = object(&stored.bytes, &stored.metadata, &kek(), &stored.place).unwrap();
    assert!(matches!(Rewrap::new(&from_header, &recorded, &kek(), &Vec::new()), Err(SealError::Checksums)));
}

#[test]
fn an_object_of_a_former_place_opens_only_where_that_place_is_accepted() {
    let stored = Single::new("former place", pattern(10)).seal();
    let here = place("replica", "payroll/2026/november.csv");
    let opened = footer(&stored.bytes).unwrap();
    let formerly = Expected::AtOrFormerly { at: &here, formerly: &stored.place };
    assert!(opened.open(&kek(), &formerly).is_ok());
    let error = opened.open(&kek(), &Expected::At(&here)).err().unwrap();
    assert_eq!(
        error.to_string(),
        "the object was sealed for records/payroll/2026/november.csv, not for replica/payroll/2026/november.csv"
    );
    let metadata = Metadata::parse(stored.metadata.iter().map(|(n, v)| (n, v))).unwrap().unwrap();
    assert_eq!(metadata.header().unwrap().open(&kek(), &Expected::At(&here)).err(), Some(error));
    assert!(metadata.header().unwrap().open(&kek(), &formerly).is_ok());
}

#[test]
fn an_object_stripped_of_its_metadata_is_recovered_through_its_footer() {
    let stored = Single::new("stripped", pattern(10_000)).seal();
    assert_eq!(Metadata::parse([("x-amz-meta-owner", "anna")]), Ok(None));
    assert_eq!(begins_with_magic(&stored.bytes), Some(true));
    let (result, plaintext) = get(&stored.bytes, &Vec::new(), &kek(), &stored.place);
    assert_eq!((result, plaintext == stored.plaintext), (Ok(()), true));
}

#[test]
fn a_storage_that_gives_more_than_it_was_asked_for_is_found_out() {
    let stored = Single::new("more than asked for", pattern(10_000)).seal();
    let object = object(&stored.bytes, &stored.metadata, &kek(), &stored.place).unwrap();
    for read in [object.read_whole(stored.bytes.len() as u64), object.read_range(5000..6000)] {
        let crate::Read { stored: range, mut opener } = read.unwrap();
        let (start, end) = (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
        let mut bytes = stored.bytes[start..end].to_vec();
        bytes.push(0);
        assert_eq!(opener.push(bytes.into(), &mut Vec::new()), Err(OpenError::Appended));
        assert_eq!(opener.finish(&mut Vec::new()), Err(OpenError::Appended));
    }
}

#[test]
fn the_size_that_metadata_tell_is_refused_where_the_stored_length_cannot_be_right() {
    let stored = Single::new("size", pattern(10_000)).seal();
    let metadata = Metadata::parse(stored.metadata.iter().map(|(n, v)| (n, v))).unwrap().unwrap();
    let (len, body) = (stored.bytes.len() as u64, stored.part_ends[0] as u64);
    assert_eq!(metadata.plaintext_len(len), Ok(10_000));
    for stored_len in [0, 10_000, body, body + 44, body + 12_289, u64::MAX] {
        assert_eq!(metadata.plaintext_len(stored_len), Err(FormatError::StoredLength { stored_len }));
    }
}

#[test]
fn a_record_opens_under_its_key_and_in_its_context_only() {
    let draw = |name| DataKey::draw(&mut Entropy::fixed(name)).unwrap();
    let (key, other) = (draw("a record"), draw("another record"));
    let sealed = seal_record(&key, b"upload 1, part 5", b"salt and length").unwrap();
    assert_eq!(sealed.len(), 48 + 15);
    assert_eq!(open_record(&key, b"upload 1, part 5", &sealed), Ok(b"salt and length".to_vec()));
    assert_eq!(open_record(&key, b"upload 1, part 6", &sealed), Err(OpenError::Record));
    assert_eq!(open_record(&other, b"upload 1, part 5", &sealed), Err(OpenError::Record));
    assert_eq!(crate::record::open_block(&key, b"another label", b"upload 1, part 5", &sealed), Err(OpenError::Record));
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(open_record(&key, b"upload 1, part 5", &changed), Err(OpenError::Record), "byte {at}");
        assert_eq!(open_record(&key, b"upload 1, part 5", &sealed[..at]), Err(OpenError::Record), "cut to {at}");
    }
    assert_ne!(seal_record(&key, b"upload 1, part 5", b"salt and length").unwrap(), sealed, "a fresh key each time");
}

#[test]
fn the_magic_is_recognised_from_its_first_eight_bytes() {
    assert_eq!(begins_with_magic(b""), None);
    assert_eq!(begins_with_magic(b"\x89SEALGT"), None);
    assert_eq!(begins_with_magic(b"\x89SEALGT\n"), Some(true));
    assert_eq!(begins_with_magic(b"\x89SEALGT\nmore"), Some(true));
    assert_eq!(begins_with_magic(b"\x89PNG"), Some(false));
}

#[test]
fn a_version_to_come_is_named() {
    let error = Metadata::parse([("x-amz-meta-gse-v", "2")]).unwrap_err();
    assert_eq!(error, FormatError::UnknownVersion(2));
    assert_eq!(error.to_string(), "format version 2 is not known to this program, which reads version 1");
}
