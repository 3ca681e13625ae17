//! Pages as AWS and Ceph write them.

use super::*;

const PAGE: &str = concat!(
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix></Prefix>",
    "<Contents><Key>a&amp;b</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>",
    "<ETag>&quot;00112233445566778899aabbccddeeff&quot;</ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm>",
    "<Size>70000</Size><Owner><ID>x</ID></Owner></Contents>",
    "<Contents><Key>plain</Key><ETag>\"ff112233445566778899aabbccddeeff\"</ETag><Size>5</Size></Contents>",
    "</ListBucketResult>"
);

/// Two versions and a delete marker, as Ceph writes them with url-encoded keys.
const VERSIONS: &str = concat!(
    "<ListVersionsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><EncodingType>url</EncodingType>",
    "<Name>b</Name><DeleteMarker><Key>a%20%2B%01</Key><VersionId>v3</VersionId><IsLatest>true</IsLatest></DeleteMarker>",
    "<Version><Key>a%20%2B%01</Key><VersionId>v2</VersionId><IsLatest>false</IsLatest><Size>70000</Size>",
    "<ETag>&quot;11&quot;</ETag></Version>",
    "<Version><Key>b</Key><VersionId>null</VersionId><IsLatest>true</IsLatest><Size>9</Size>",
    "<ETag>&quot;22&quot;</ETag></Version></ListVersionsResult>"
);

fn seen(page: &str, known: &[Option<Known>]) -> Vec<Seen> {
    let entries = entries(page.as_bytes()).unwrap();
    assert_eq!(entries.len(), known.len());
    entries.into_iter().zip(known).map(|(entry, known)| Seen { entry, known: known.clone(), another: false }).collect()
}

fn sealed(size: u64) -> Known {
    Known { encrypted: true, size, kms: None }
}

fn plain(size: u64) -> Known {
    Known { encrypted: false, size, kms: None }
}

fn rewritten(page: &str, seen: &[Seen], name: Option<&str>) -> String {
    String::from_utf8(rewrite(page.as_bytes(), seen, name).unwrap().to_vec()).unwrap()
}

#[test]
fn entries_are_found_with_what_identifies_them() {
    let entries = entries(PAGE.as_bytes()).unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!((entries[0].key.as_str(), entries[0].size, entries[0].latest), ("a&b", 70_000, true));
    assert_eq!(entries[0].bare_etag(), "00112233445566778899aabbccddeeff");
}

#[test]
fn versions_are_found_with_their_ids_and_delete_markers_are_no_objects() {
    let entries = entries(VERSIONS.as_bytes()).unwrap();
    let found: Vec<_> =
        entries.iter().map(|e| (e.key.as_str(), e.version.as_deref().unwrap(), e.latest, e.bare_etag())).collect();
    assert_eq!(found, [("a +\u{1}", "v2", false, "11"), ("b", "null", true, "22")]);
}

#[test]
fn only_encrypted_entries_are_rewritten() {
    let out = rewritten(PAGE, &seen(PAGE, &[Some(sealed(123)), Some(plain(5))]), None);
    let expected = PAGE
        .replace("<Size>70000</Size>", "<Size>123</Size>")
        .replace(
            "<ETag>&quot;00112233445566778899aabbccddeeff&quot;",
            "<ETag>&quot;00112233445566778899aabbccddeeff-1&quot;",
        )
        .replace("<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>", "");
    assert_eq!(out, expected);
    let out = rewritten(VERSIONS, &seen(VERSIONS, &[Some(sealed(7)), Some(plain(9))]), None);
    assert_eq!(out, VERSIONS.replace("<Size>70000</Size>", "<Size>7</Size>").replace("11&quot;", "11-1&quot;"));
}

#[test]
fn a_page_without_encrypted_entries_stays_byte_for_byte() {
    assert_eq!(rewritten(PAGE, &seen(PAGE, &[None, Some(plain(5))]), None), PAGE);
    assert_eq!(rewritten(VERSIONS, &seen(VERSIONS, &[None, None]), None), VERSIONS);
}

#[test]
fn a_mapped_bucket_keeps_the_name_that_clients_know() {
    let out = rewritten(PAGE, &seen(PAGE, &[None, None]), Some("mine"));
    assert_eq!(out, PAGE.replace("<Name>b</Name>", "<Name>mine</Name>"));
}

#[test]
fn what_is_another_object_by_now_is_shown_as_it_is() {
    let entry = Entry {
        etag: "\"9f\"".to_owned(),
        size: 80_000,
        modified: "2026-02-02T00:00:00.000Z".to_owned(),
        ..Entry::default()
    };
    let mut shown = seen(PAGE, &[None, Some(plain(5))]);
    shown[0] = Seen { entry, known: Some(sealed(456)), another: true };
    let out = rewritten(PAGE, &shown, None);
    let now = "<Key>a&amp;b</Key><LastModified>2026-02-02T00:00:00.000Z</LastModified>\
               <ETag>&quot;9f-1&quot;</ETag><Size>456</Size>";
    assert!(out.contains(now) && out.contains("<Size>5</Size>"), "{out}");
}

#[test]
fn what_is_too_short_to_be_sealed_is_plain_without_a_look() {
    let entry = |size| Entry { size, ..Entry::default() };
    assert_eq!(entry(0).too_short(), Some(plain(0)));
    assert_eq!(entry(envelope::MIN_STORED - 1).too_short(), Some(plain(envelope::MIN_STORED - 1)));
    assert_eq!(entry(envelope::MIN_STORED).too_short(), None);
}
