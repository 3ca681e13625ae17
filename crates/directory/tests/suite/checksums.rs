//! Checksums in headers and trailers, of objects, parts and copies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checksums::{Algorithm, Kind, of, whole};
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;

use crate::client::{Client, Home, Reply, body};

const MODE: (&str, &str) = ("x-amz-checksum-mode", "ENABLED");
const MIN: usize = 5 << 20;

fn text(algorithm: Algorithm, bytes: &[u8]) -> String {
    STANDARD.encode(of(algorithm, bytes))
}

async fn with_trailer(client: &Client, key: &str, bytes: &[u8], trailers: &[(&str, &str)]) -> Reply {
    let trailers: HeaderMap = trailers.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect();
    let sent = body(bytes.to_vec()).with_trailers(std::future::ready(Some(Ok(trailers)))).boxed_unsync();
    let request = Request::builder()
        .method("PUT")
        .uri(format!("/bucket/{key}"))
        .header("content-length", bytes.len())
        .header("x-amz-trailer", "x-amz-checksum-crc32c");
    client.request(request.body(sent).unwrap()).await
}

#[tokio::test]
async fn a_checksum_in_the_trailer_is_verified_before_the_commit() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    for size in [0, 10, 1_000_000] {
        let bytes = vec![7; size];
        let right = text(Algorithm::Crc32c, &bytes);
        let name = "x-amz-checksum-crc32c";
        assert_eq!(with_trailer(&client, "k", &bytes, &[(name, "AAAAAQ==")]).await.code(), "BadDigest", "{size}");
        assert_eq!(with_trailer(&client, "k", &bytes, &[]).await.code(), "InvalidRequest", "{size}");
        assert_eq!(client.get("bucket", "k").await.code(), "NoSuchKey", "{size}");
        let put = with_trailer(&client, "k", &bytes, &[(name, &right)]).await;
        assert_eq!((put.code().as_str(), put.header(name)), ("200", right.as_str()), "{size}");
        let read = client.get_with("bucket", "k", &[MODE]).await;
        assert_eq!((read.header(name), read.header("x-amz-checksum-type")), (right.as_str(), "FULL_OBJECT"));
        assert_eq!(client.get("bucket", "k").await.header(name), "");
        client.delete("bucket", "k").await;
    }
    assert!(home.staged().is_empty());
}

#[tokio::test]
async fn one_request_has_one_checksum() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    let two =
        [("x-amz-checksum-crc32", text(Algorithm::Crc32, b"x")), ("x-amz-checksum-sha1", text(Algorithm::Sha1, b"x"))];
    let two = two.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(client.put_with("bucket", "k", &two, "x").await.code(), "InvalidRequest");
    assert_eq!(
        client.put_with("bucket", "k", &[("x-amz-trailer", "x-amz-meta-x")], "x").await.code(),
        "InvalidRequest"
    );
    assert_eq!(client.put_with("bucket", "k", &two[..1], "y").await.code(), "BadDigest");
    assert_eq!(client.put_with("bucket", "k", &two[..1], "x").await.code(), "200");
    let list = client.send("GET", "/bucket?list-type=2", &[], "").await;
    assert_eq!((list.one("ChecksumAlgorithm"), list.one("ChecksumType")), ("CRC32".into(), "FULL_OBJECT".into()));
}

#[tokio::test]
async fn copies_of_objects_and_parts_have_checksums_of_their_own_bytes() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    let (one, two) = (vec![1; MIN], vec![2; 100]);
    let both = [&one[..], &two].concat();
    client.put_with("bucket", "two", &[("x-amz-checksum-sha256", &text(Algorithm::Sha256, &two))], two.clone()).await;
    client.put("bucket", "both", both.clone()).await;
    for (source, asked, algorithm, bytes) in [
        ("two", None, Algorithm::Sha256, &two),
        ("two", Some("CRC32"), Algorithm::Crc32, &two),
        ("both", None, Algorithm::Crc64Nvme, &both),
    ] {
        let from = format!("bucket/{source}");
        let mut headers = vec![("x-amz-copy-source", from.as_str())];
        headers.extend(asked.map(|name| ("x-amz-checksum-algorithm", name)));
        let copy = client.put_with("bucket", "copy", &headers, "").await;
        assert_eq!(copy.one(algorithm.element()), text(algorithm, bytes), "{source} {asked:?}");
        let read = client.get_with("bucket", "copy", &[MODE]).await;
        assert_eq!(read.header(algorithm.header()), text(algorithm, bytes), "{source} {asked:?}");
    }

    let create = client.send("POST", "/bucket/m?uploads", &[("x-amz-checksum-algorithm", "SHA1")], "").await;
    let id = create.one("UploadId");
    let mut named = String::new();
    let range = format!("bytes=0-{}", MIN - 1);
    let sources = [(1, "bucket/both", Some(range.as_str()), &one), (2, "bucket/two", None, &two)];
    for (number, source, range, bytes) in sources {
        let mut headers = vec![("x-amz-copy-source", source)];
        headers.extend(range.map(|range| ("x-amz-copy-source-range", range)));
        let uri = format!("/bucket/m?partNumber={number}&uploadId={id}");
        let part = client.send("PUT", &uri, &headers, "").await;
        assert_eq!(part.one("ChecksumSHA1"), text(Algorithm::Sha1, bytes), "{number}");
        let checksum = part.one("ChecksumSHA1");
        let etag = part.one("ETag");
        named.extend([
            format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag>"),
            format!("<ChecksumSHA1>{checksum}</ChecksumSHA1></Part>"),
        ]);
    }
    let document = format!("<CompleteMultipartUpload>{named}</CompleteMultipartUpload>");
    let done = client.send("POST", &format!("/bucket/m?uploadId={id}"), &[], document).await;
    let values = [of(Algorithm::Sha1, &one), of(Algorithm::Sha1, &two)];
    let value = whole(Algorithm::Sha1, Kind::Composite, values.iter().map(|value| (value.as_slice(), 0)));
    assert_eq!(done.one("ChecksumSHA1"), format!("{}-2", STANDARD.encode(value)));
    assert_eq!(client.get("bucket", "m").await.body, both);
}

#[tokio::test]
async fn the_two_longest_checksums_of_a_part_are_kept_together() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    let create = client.send("POST", "/bucket/m?uploads", &[("x-amz-checksum-algorithm", "SHA512")], "").await;
    let id = create.one("UploadId");
    let (sha512, sha256) = (text(Algorithm::Sha512, b"part"), text(Algorithm::Sha256, b"part"));
    let uri = format!("/bucket/m?partNumber=10000&uploadId={id}");
    let part = client.send("PUT", &uri, &[("x-amz-checksum-sha256", &sha256)], "part").await;
    assert_eq!((part.header("x-amz-checksum-sha512"), part.header("x-amz-checksum-sha256")), (&*sha512, &*sha256));
    let list = client.send("GET", &format!("/bucket/m?uploadId={id}"), &[], "").await;
    assert_eq!((list.one("ChecksumSHA512"), list.one("ChecksumSHA256")), (sha512, sha256));
}
