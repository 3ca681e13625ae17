//! Multipart uploads.

use std::path::PathBuf;

use crate::client::{Client, Home, Reply, quote};

const MIN: usize = 5 << 20;

async fn with_bucket(home: &Home) -> Client {
    let client = home.open();
    client.make("bucket").await;
    client
}

async fn create(client: &Client, key: &str, headers: &[(&str, &str)]) -> String {
    client.send("POST", &format!("/bucket/{}?uploads", quote(key)), headers, "").await.one("UploadId")
}

async fn part(client: &Client, key: &str, id: &str, number: u32, bytes: Vec<u8>) -> Reply {
    client.send("PUT", &format!("/bucket/{}?partNumber={number}&uploadId={id}", quote(key)), &[], bytes).await
}

async fn complete(client: &Client, key: &str, id: &str, headers: &[(&str, &str)], parts: &[(u32, &str)]) -> Reply {
    let parts: Vec<String> = parts
        .iter()
        .map(|(n, etag)| format!("<Part><PartNumber>{n}</PartNumber><ETag>\"{etag}\"</ETag></Part>"))
        .collect();
    let document = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.concat());
    client.send("POST", &format!("/bucket/{}?uploadId={id}", quote(key)), headers, document).await
}

#[tokio::test]
async fn parts_become_one_file_with_the_etag_of_s3() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    let id = create(&client, "a/b", &[("x-amz-meta-m", "1"), ("content-type", "x/y"), ("x-amz-tagging", "t=1")]).await;
    let (one, two, three) = (vec![1u8; MIN], vec![2u8; MIN + 3], vec![3u8; 10]);
    // In any order; numbers need not be dense.
    let three_etag = part(&client, "a/b", &id, 10_000, three.clone()).await.etag();
    let one_etag = part(&client, "a/b", &id, 2, one.clone()).await.etag();
    let two_etag = part(&client, "a/b", &id, 7, two.clone()).await.etag();
    assert_eq!(client.get("bucket", "a/b").await.code(), "NoSuchKey");
    let reply = complete(&client, "a/b", &id, &[], &[(2, &one_etag), (7, &two_etag), (10_000, &three_etag)]).await;
    assert_eq!((reply.one("Bucket"), reply.one("Key")), ("bucket".into(), "a/b".into()));

    let hashes = [&one, &two, &three].map(|bytes| md5(bytes)).concat();
    let expected = format!("{}-3", hex(&md5(&hashes)));
    assert_eq!(reply.one("ETag"), format!("\"{expected}\""));
    let got = client.get("bucket", "a/b").await;
    assert_eq!(got.body, [one.clone(), two.clone(), three.clone()].concat());
    assert_eq!(std::fs::read(client.directory.object_path("bucket", "a/b")).unwrap(), got.body);
    assert_eq!((got.etag(), got.header("x-amz-meta-m"), got.header("content-type")), (expected, "1", "x/y"));
    assert_eq!(got.header("x-amz-tagging-count"), "1");

    for (number, bytes) in [(1, &one), (2, &two), (3, &three)] {
        let reply = client.send("GET", &format!("/bucket/a%2Fb?partNumber={number}"), &[], "").await;
        assert_eq!((reply.status.as_u16(), reply.header("x-amz-mp-parts-count")), (206, "3"));
        assert_eq!(&reply.body, bytes);
    }
    let beyond = client.send("GET", "/bucket/a%2Fb?partNumber=4", &[], "").await;
    assert_eq!((beyond.status.as_u16(), beyond.code().as_str()), (416, "InvalidPartNumber"));
    // Nothing of the upload is left, and it is known no more.
    assert_eq!(home.entries("bucket/uploads"), Vec::<PathBuf>::new());
    assert_eq!(home.staged(), Vec::<PathBuf>::new());
    assert_eq!(complete(&client, "a/b", &id, &[], &[(2, &one_etag)]).await.code(), "NoSuchUpload");
}

#[tokio::test]
async fn a_last_part_without_bytes_reads_as_that() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    let id = create(&client, "k", &[]).await;
    let full = part(&client, "k", &id, 1, vec![1u8; MIN]).await.etag();
    let empty = part(&client, "k", &id, 2, Vec::new()).await.etag();
    assert_eq!(complete(&client, "k", &id, &[], &[(1, &full), (2, &empty)]).await.status.as_u16(), 200);
    for method in ["GET", "HEAD"] {
        let reply = client.send(method, "/bucket/k?partNumber=2", &[], "").await;
        let told = (reply.status.as_u16(), reply.header("content-length"), reply.header("x-amz-mp-parts-count"));
        assert_eq!(told, (206, "0", "2"), "{method}");
        assert!(reply.body.is_empty() && !reply.headers.contains_key("content-range"), "{method}");
    }
}

fn md5(bytes: &[u8]) -> Vec<u8> {
    use md5::Digest as _;
    md5::Md5::digest(bytes).to_vec()
}

fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

#[tokio::test]
async fn a_list_of_parts_that_does_not_fit_is_refused_and_the_upload_stays() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    let id = create(&client, "key", &[]).await;
    let big = part(&client, "key", &id, 1, vec![1; MIN]).await.etag();
    let small = part(&client, "key", &id, 2, vec![2; MIN - 1]).await.etag();
    let last = part(&client, "key", &id, 3, vec![3; 1]).await.etag();
    let other = "0".repeat(32);
    for (parts, code) in [
        (vec![], "MalformedXML"),
        (vec![(1, big.as_str()), (1, big.as_str())], "InvalidPartOrder"),
        (vec![(3, last.as_str()), (1, big.as_str())], "InvalidPartOrder"),
        (vec![(1, other.as_str())], "InvalidPart"),
        (vec![(1, last.as_str())], "InvalidPart"),
        (vec![(4, big.as_str())], "InvalidPart"),
        (vec![(1, big.as_str()), (4, big.as_str())], "InvalidPart"),
        (vec![(2, small.as_str()), (3, last.as_str())], "EntityTooSmall"),
    ] {
        assert_eq!(complete(&client, "key", &id, &[], &parts).await.code(), code, "{parts:?}");
    }
    let wrong = [("x-amz-mp-object-size", "5")];
    assert_eq!(complete(&client, "key", &id, &wrong, &[(3, &last)]).await.code(), "InvalidRequest");
    assert_eq!(complete(&client, "another", &id, &[], &[(3, &last)]).await.code(), "NoSuchUpload");
    let nonsense = client.send("POST", &format!("/bucket/key?uploadId={id}"), &[], "<Delete/>").await;
    assert_eq!(nonsense.code(), "MalformedXML");
    assert_eq!(client.get("bucket", "key").await.code(), "NoSuchKey");
    assert_eq!(home.staged(), Vec::<PathBuf>::new());

    // Only what is named is in the object; the rest goes.
    assert_eq!(complete(&client, "key", &id, &[], &[(1, &big), (3, &last)]).await.status, 200);
    assert_eq!(client.get("bucket", "key").await.body.len(), MIN + 1);
    assert_eq!(home.entries("bucket/uploads"), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn conditions_hold_when_an_upload_is_completed() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    let id = create(&client, "key", &[]).await;
    let etag = part(&client, "key", &id, 1, b"part".to_vec()).await.etag();
    client.put("bucket", "key", "there").await;
    let code = |headers: &'static [(&'static str, &'static str)]| {
        let (client, id, etag) = (&client, &id, &etag);
        async move { complete(client, "key", id, headers, &[(1, etag)]).await.code() }
    };
    assert_eq!(code(&[("if-none-match", "*")]).await, "PreconditionFailed");
    assert_eq!(code(&[("if-match", "\"other\"")]).await, "PreconditionFailed");
    assert_eq!(client.get("bucket", "key").await.body, "there");
    assert_eq!(code(&[("if-match", "*")]).await, "200");
    assert_eq!(client.get("bucket", "key").await.body, "part");
}

#[tokio::test]
async fn of_a_part_sent_twice_the_later_one_counts_and_the_earlier_goes() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    let id = create(&client, "key", &[]).await;
    let first = part(&client, "key", &id, 1, b"first".to_vec()).await.etag();
    let second = part(&client, "key", &id, 1, b"second".to_vec()).await.etag();
    let listed = client.send("GET", &format!("/bucket/key?uploadId={id}"), &[], "").await;
    assert!(listed.one("Part").contains(&second));
    assert_eq!(home.entries("bucket/uploads").len(), 3, "the upload, its record, one part");
    assert_eq!(complete(&client, "key", &id, &[], &[(1, &first)]).await.code(), "InvalidPart");
    assert_eq!(complete(&client, "key", &id, &[], &[(1, &second)]).await.status, 200);
    assert_eq!(client.get("bucket", "key").await.body, "second");
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    let id = create(&client, "key", &[]).await;
    part(&client, "key", &id, 1, b"part".to_vec()).await;
    let uri = format!("/bucket/key?uploadId={id}");
    assert_eq!(client.send("DELETE", &uri, &[], "").await.status, 204);
    assert_eq!(client.send("DELETE", &uri, &[], "").await.code(), "NoSuchUpload");
    assert_eq!(part(&client, "key", &id, 2, b"late".to_vec()).await.code(), "NoSuchUpload");
    assert_eq!(client.send("GET", &uri, &[], "").await.code(), "NoSuchUpload");
    for id in ["", "x", "../../../objects", &"G".repeat(32)] {
        let uri = format!("/bucket/key?uploadId={}", quote(id));
        assert_eq!(client.send("DELETE", &uri, &[], "").await.code(), "NoSuchUpload", "{id}");
    }
    for number in ["0", "10001", "x", "-1"] {
        let uri = format!("/bucket/key?partNumber={number}&uploadId={id}");
        assert_eq!(client.send("PUT", &uri, &[], "x").await.code(), "InvalidArgument", "{number}");
    }
    assert_eq!(home.entries("bucket/uploads"), Vec::<PathBuf>::new());
    assert_eq!(home.staged(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn parts_are_copied_whole_or_by_range_from_other_buckets() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    client.make("from").await;
    let bytes: Vec<u8> = (0..=250u8).cycle().take(MIN + 1000).collect();
    client.put("from", "src", bytes.clone()).await;
    let id = create(&client, "key", &[]).await;
    let copy = |number: u32, headers: Vec<(&'static str, &'static str)>| {
        let (client, uri) = (&client, format!("/bucket/key?partNumber={number}&uploadId={id}"));
        async move {
            let mut all = vec![("x-amz-copy-source", "/from/src")];
            all.extend(headers);
            client.send("PUT", &uri, &all, "").await
        }
    };
    let range = "x-amz-copy-source-range";
    let whole = copy(1, vec![]).await.one("ETag").replace('"', "");
    let some = copy(2, vec![(range, "bytes=10-19")]).await.one("ETag").replace('"', "");
    assert_eq!((whole.clone(), some.clone()), (hex(&md5(&bytes)), hex(&md5(&bytes[10..20]))));
    assert_eq!(copy(3, vec![(range, "bytes=10-9999999")]).await.code(), "InvalidRange");
    assert_eq!(copy(3, vec![(range, "bytes=10-")]).await.code(), "InvalidArgument");
    assert_eq!(copy(3, vec![("x-amz-copy-source-if-match", "other")]).await.code(), "PreconditionFailed");
    assert_eq!(complete(&client, "key", &id, &[], &[(1, &whole), (2, &some)]).await.status, 200);
    assert_eq!(client.get("bucket", "key").await.body, [&bytes[..], &bytes[10..20]].concat());

    // A copy of what was made of parts is one whole, with the MD5 of its bytes.
    let reply = client.put_with("from", "copy", &[("x-amz-copy-source", "bucket/key")], "").await;
    assert_eq!(reply.one("ETag"), format!("\"{}\"", hex(&md5(&[&bytes[..], &bytes[10..20]].concat()))));
    assert_eq!(home.staged(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn parts_and_uploads_are_listed_page_by_page() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    let id = create(&client, "b", &[("x-amz-storage-class", "STANDARD_IA")]).await;
    for number in [1, 2, 5, 9] {
        part(&client, "b", &id, number, vec![1; number as usize]).await;
    }
    let (mut numbers, mut marker) = (Vec::new(), "0".to_owned());
    loop {
        let uri = format!("/bucket/b?uploadId={id}&max-parts=3&part-number-marker={marker}");
        let page = client.send("GET", &uri, &[], "").await;
        numbers.extend(page.all("PartNumber"));
        assert_eq!(page.one("StorageClass"), "STANDARD_IA");
        marker = page.one("NextPartNumberMarker");
        if page.one("IsTruncated") == "false" {
            assert_eq!(page.all("Size"), ["9"]);
            break;
        }
    }
    assert_eq!(numbers, ["1", "2", "5", "9"]);

    let (a1, a2) = (create(&client, "a", &[]).await, create(&client, "a", &[]).await);
    let (c1, c2) = (create(&client, "c/1", &[]).await, create(&client, "c/2", &[]).await);
    let all = vec![a1, a2, id, c1, c2];
    for page in [1, 2, 1000] {
        let (mut ids, mut markers) = (Vec::new(), String::new());
        loop {
            let reply = client.send("GET", &format!("/bucket?uploads&max-uploads={page}{markers}"), &[], "").await;
            ids.extend(reply.all("UploadId"));
            if reply.one("IsTruncated") == "false" {
                break;
            }
            let (key, id) = (reply.one("NextKeyMarker"), reply.one("NextUploadIdMarker"));
            markers = format!("&key-marker={}&upload-id-marker={id}", quote(&key));
        }
        assert_eq!(ids, all, "{page}");
    }
    let grouped = client.send("GET", "/bucket?uploads&delimiter=/", &[], "").await;
    assert_eq!((grouped.all("UploadId").len(), grouped.one("CommonPrefixes")), (3, "<Prefix>c/</Prefix>".into()));
    assert_eq!(client.send("GET", "/bucket?uploads&prefix=c/", &[], "").await.all("UploadId"), &all[3..]);
    // Uploads do not keep a bucket.
    assert_eq!(client.send("DELETE", "/bucket", &[], "").await.status, 204);
}
