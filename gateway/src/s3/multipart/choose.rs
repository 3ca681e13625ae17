//! Which part uploads an encrypted object is made of.
//!
//! ```text
//! what the client names ─▶ in order ─▶ the record of each ETag ─▶ where a part was sent again: the record that the storage has
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::error::Error;
use super::checksums::has_named;
use super::complete::Named;
use super::state::PartRecord;
use super::stored::Listed;

/// The parts in the order of their numbers. `any`: the storage is one that takes them in any order, and of a number that is
/// named twice the last.
pub(super) fn in_order(named: &[Named], any: bool) -> Result<Cow<'_, [Named]>, Error> {
    if named.is_sorted_by(|a, b| a.number < b.number) {
        return Ok(Cow::Borrowed(named));
    }
    if !any {
        return Err(Error::invalid_part_order("The list of parts was not in ascending order."));
    }
    let by_number: BTreeMap<_, _> = named.iter().map(|part| (part.number, part)).collect();
    Ok(Cow::Owned(by_number.into_values().cloned().collect()))
}

/// The records of one number, of all in order of number: there may be 10,000 numbers.
fn of_number(records: &[PartRecord], number: u16) -> &[PartRecord] {
    let begin = records.partition_point(|record| record.number < number);
    let len = records[begin..].partition_point(|record| record.number == number);
    &records[begin..begin + len]
}

/// The record of each part that the client names, by number and `ETag`. `records` are in order of number.
pub(super) fn choose<'a>(named: &[Named], records: &'a [PartRecord]) -> Result<Vec<&'a PartRecord>, Error> {
    debug_assert!(records.is_sorted_by_key(|record| record.number), "records are in order of number");
    if named.is_empty() {
        return Err(Error::malformed_xml("You must specify at least one part"));
    }
    let mut chosen = Vec::with_capacity(named.len());
    for part in named {
        let matches = |record: &&PartRecord| record.etag == part.etag && has_named(record, part);
        let record = of_number(records, part.number).iter().rev().find(matches).ok_or_else(|| {
            Error::invalid_part("One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.")
        })?;
        chosen.push(record);
    }
    let early = &chosen[..chosen.len() - 1];
    if early.iter().any(|record| record.held) {
        return Err(Error::entity_too_small("Your proposed upload is smaller than the minimum allowed size"));
    }
    Ok(chosen)
}

/// Whether the storage may have, of a part that is named by the `ETag` of one upload, another upload of the same bytes:
/// sealed, equal bytes differ, and so do their `ETags`, which they would not if they were stored as they are.
pub(super) fn sent_again(chosen: &[&PartRecord], records: &[PartRecord]) -> bool {
    let again = |named: &PartRecord| {
        of_number(records, named.number).iter().any(|record| record.salt != named.salt && may_replace(named, record))
    };
    chosen.iter().any(|named| again(named))
}

/// Puts the upload that the storage has in place of one of the same bytes. What has other bytes stays as it was named, and
/// the storage refuses it.
pub(super) fn as_stored<'a>(chosen: &mut [&'a PartRecord], records: &'a [PartRecord], stored: &[Listed]) {
    for named in chosen {
        let there = stored.binary_search_by_key(&named.number, |part| part.number).ok().map(|at| &stored[at].etag);
        let found = |record: &&PartRecord| Some(&record.etag) == there && may_replace(named, record);
        if there != Some(&named.etag)
            && let Some(record) = of_number(records, named.number).iter().rev().find(found)
        {
            *named = record;
        }
    }
}

/// Whether two uploads of one part, both at the storage, have the same bytes: by their length, and by every checksum that
/// both have, of which each has the upload's. Whoever can name one of them could have named the other.
fn may_replace(named: &PartRecord, record: &PartRecord) -> bool {
    let mut alike = named.checksums.iter().filter_map(|(algorithm, value)| Some((value, record.checksum(*algorithm)?)));
    let same = |(one, other): (&Vec<u8>, &[u8])| one == other;
    named.number == record.number
        && !(named.held || record.held)
        && named.plaintext_len == record.plaintext_len
        && alike.next().is_some_and(same)
        && alike.all(same)
}

#[cfg(test)]
mod tests {
    use envelope::ChecksumAlgorithm::{Crc64Nvme, Sha256};

    use super::*;

    fn record(number: u16, etag: &str, held: bool) -> PartRecord {
        let salt = [etag.as_bytes()[0]; 32];
        let checksums = vec![(Crc64Nvme, vec![7; 8])];
        PartRecord { number, etag: etag.into(), salt, plaintext_len: 4, at_ms: 1, held, checksums }
    }

    fn named(parts: &[(u16, &str)]) -> Vec<Named> {
        let named =
            |(number, etag): &(u16, &str)| Named { number: *number, etag: (*etag).into(), checksums: Vec::new() };
        parts.iter().map(named).collect()
    }

    /// What becomes of parts that are named by these, where the storage has those.
    fn resolved(records: &[PartRecord], names: &[(u16, &str)], stored: &[(u16, &str)]) -> Vec<String> {
        let mut chosen = choose(&named(names), records).unwrap();
        let stored = stored.iter().map(|(number, etag)| Listed { number: *number, etag: (*etag).into(), size: 1 });
        as_stored(&mut chosen, records, &stored.collect::<Vec<_>>());
        chosen.iter().map(|record| record.etag.clone()).collect()
    }

    #[test]
    fn complete_takes_the_record_of_the_etag_that_is_named() {
        let records = [record(1, "old", false), record(1, "new", false), record(2, "two", true)];
        let chosen = choose(&named(&[(1, "old"), (2, "two")]), &records).unwrap();
        assert_eq!(chosen[0].etag, "old");
        let code = |parts: &[(u16, &str)]| choose(&named(parts), &records).unwrap_err().code;
        assert_eq!(code(&[(1, "none")]), "InvalidPart");
        assert_eq!(code(&[(3, "two")]), "InvalidPart");
    }

    #[test]
    fn parts_are_in_order_or_put_in_order_as_the_storage_has_it() {
        let good = named(&[(1, "a"), (2, "b")]);
        for any in [false, true] {
            assert_eq!(*in_order(&good, any).unwrap(), good);
        }
        for bad in [&[(2, "b"), (1, "a")][..], &[(1, "x"), (2, "b"), (1, "a")]] {
            assert_eq!(in_order(&named(bad), false).unwrap_err().code, "InvalidPartOrder");
            assert_eq!(*in_order(&named(bad), true).unwrap(), good);
        }
    }

    #[test]
    fn a_held_part_must_be_the_last() {
        let records = [record(1, "a", true), record(2, "b", true)];
        assert_eq!(choose(&named(&[(1, "a"), (2, "b")]), &records).unwrap_err().code, "EntityTooSmall");
        assert!(choose(&named(&[(2, "b")]), &records).is_ok());
    }

    #[test]
    fn of_equal_bytes_that_were_sent_again_the_upload_is_taken_that_the_storage_has() {
        let records = [record(1, "old", false), record(1, "new", false), record(2, "two", false)];
        assert!(sent_again(&choose(&named(&[(1, "old"), (2, "two")]), &records).unwrap(), &records));
        let names = &[(1, "old"), (2, "two")][..];
        assert_eq!(resolved(&records, names, &[(1, "new"), (2, "two")]), ["new", "two"]);
        // Whose clock is behind may have sent it last.
        assert_eq!(resolved(&records, &[(1, "new"), (2, "two")], &[(1, "old"), (2, "two")]), ["old", "two"]);
        assert_eq!(resolved(&records, names, &[(1, "old"), (2, "two")]), ["old", "two"]);
        // The storage will say that it does not have it.
        assert_eq!(resolved(&records, names, &[(1, "other")]), ["old", "two"]);
        assert_eq!(resolved(&records, names, &[]), ["old", "two"]);
    }

    #[test]
    fn other_bytes_never_come_in_place_of_those_that_are_named() {
        let old = || record(1, "old", false);
        let both = |(new, old): (PartRecord, PartRecord)| [old, new];
        for records in [
            both((PartRecord { plaintext_len: 5, ..record(1, "new", false) }, old())),
            both((PartRecord { checksums: vec![(Crc64Nvme, vec![8; 8])], ..record(1, "new", false) }, old())),
            both((PartRecord { checksums: Vec::new(), ..record(1, "new", false) }, old())),
            both((PartRecord { checksums: vec![(Sha256, vec![7; 32])], ..record(1, "new", false) }, old())),
            both((
                PartRecord {
                    checksums: vec![(Crc64Nvme, vec![7; 8]), (Sha256, vec![1; 32])],
                    ..record(1, "new", false)
                },
                PartRecord { checksums: vec![(Crc64Nvme, vec![7; 8]), (Sha256, vec![2; 32])], ..old() },
            )),
            both((record(1, "new", true), old())),
            both((record(2, "new", false), old())),
        ] {
            assert!(!sent_again(&[&records[0]], &records), "{records:?}");
            assert_eq!(resolved(&records, &[(1, "old")], &[(1, "new"), (2, "new")]), ["old"], "{records:?}");
        }
    }
}
