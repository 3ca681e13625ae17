//! What was written is what is read: bytes, headers, ranges, conditions.

use crate::client::{Home, Reply};

async fn stored(home: &Home, bytes: &[u8]) -> crate::client::Client {
    let client = home.open();
    client.make("bucket").await;
    let reply = client.put("bucket", "key", bytes.to_vec()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    client
}

#[tokio::test]
async fn the_stored_file_holds_exactly_the_bytes_and_goes_with_the_object() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    for size in [0, 1, 4096, 128 << 10, (128 << 10) + 1, (1 << 20) + 17] {
        let bytes: Vec<u8> = (0..=250u8).cycle().take(size).collect();
        let put = client.put("bucket", "a/key", bytes.clone()).await;
        let path = client.directory.object_path("bucket", "a/key");
        assert!(path.starts_with(home.path().canonicalize().unwrap().join("bucket")));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        let got = client.get("bucket", "a/key").await;
        assert_eq!((got.status.as_u16(), &got.body[..]), (200, &bytes[..]));
        assert_eq!(got.header("content-length"), size.to_string());
        assert_eq!(got.etag(), put.etag());
        let head = client.head("bucket", "a/key").await;
        assert_eq!((head.header("content-length"), head.body.len()), (size.to_string().as_str(), 0));
    }
    assert_eq!(client.delete("bucket", "a/key").await.status, 204);
    assert_eq!(client.get("bucket", "a/key").await.code(), "NoSuchKey");
    assert_eq!(client.delete("bucket", "a/key").await.status, 204);
    assert_eq!(home.entries("bucket/objects"), Vec::<std::path::PathBuf>::new());
    assert_eq!(home.staged(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn an_etag_is_the_md5_of_the_bytes() {
    let home = Home::new();
    let client = stored(&home, b"hello world").await;
    assert_eq!(client.head("bucket", "key").await.header("etag"), "\"5eb63bbbe01eeed093cb22bb8f5acdc3\"");
}

#[tokio::test]
async fn headers_and_metadata_are_given_back_as_they_came() {
    let home = Home::new();
    let client = stored(&home, b"x").await;
    let headers = [
        ("content-type", "text/csv; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("content-disposition", "attachment; filename=\"a b\""),
        ("content-encoding", "gzip"),
        ("content-language", "de"),
        ("expires", "not even a date"),
        ("x-amz-meta-one", "1"),
        ("x-amz-meta-utf8", "grün"),
        ("x-amz-website-redirect-location", "/other"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-tagging", "a=1&b=two%20words"),
    ];
    assert_eq!(client.put_with("bucket", "key", &headers, "y").await.status, 200);
    for reply in [client.get("bucket", "key").await, client.head("bucket", "key").await] {
        for (name, value) in &headers[..10] {
            assert_eq!(reply.headers[*name].as_bytes(), value.as_bytes(), "{name}");
        }
        assert_eq!(reply.header("x-amz-tagging-count"), "2");
        assert_eq!(reply.header("accept-ranges"), "bytes");
    }
    // An overwrite takes nothing over.
    client.put("bucket", "key", "z").await;
    let reply = client.head("bucket", "key").await;
    assert_eq!(reply.header("content-type"), "binary/octet-stream");
    for name in ["cache-control", "x-amz-meta-one", "x-amz-storage-class", "x-amz-tagging-count"] {
        assert!(!reply.headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn too_much_metadata_is_refused() {
    let home = Home::new();
    let client = stored(&home, b"x").await;
    let reply = client.put_with("bucket", "key", &[("x-amz-meta-a", &"v".repeat(8192))], "y").await;
    assert_eq!(reply.code(), "MetadataTooLarge");
    assert_eq!(client.get("bucket", "key").await.body, "x");
}

#[tokio::test]
async fn ranges_give_their_bytes_and_say_which() {
    let home = Home::new();
    let bytes: Vec<u8> = (0..=252u8).cycle().take(300_000).collect();
    let client = stored(&home, &bytes).await;
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=0-", 0, 299_999),
        ("bytes=131071-131072", 131_071, 131_072),
        ("bytes=100000-299998", 100_000, 299_998),
        ("bytes=-1", 299_999, 299_999),
        ("bytes=-1000000", 0, 299_999),
        ("bytes=299999-400000", 299_999, 299_999),
    ] {
        let reply = client.get_with("bucket", "key", &[("range", range)]).await;
        assert_eq!(reply.status, 206, "{range}");
        assert_eq!(reply.header("content-range"), format!("bytes {first}-{last}/300000"));
        assert_eq!(reply.header("content-length"), (last - first + 1).to_string());
        assert_eq!(&reply.body[..], &bytes[first..=last], "{range}");
    }
    let reply = client.get_with("bucket", "key", &[("range", "bytes=300000-")]).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (416, "InvalidRange"));
    assert_eq!(reply.header("content-range"), "bytes */300000");
    let reply = client.get_with("bucket", "key", &[("range", "bytes=1-2"), ("if-range", "\"other\"")]).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 300_000));
}

#[tokio::test]
async fn conditions_of_reads_hold_as_the_table_says() {
    let home = Home::new();
    let client = stored(&home, b"x").await;
    let etag = client.head("bucket", "key").await.header("etag").to_owned();
    let (past, future) = ("Thu, 01 Jan 2015 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
    let bare = etag.trim_matches('"').to_owned();
    for (headers, status) in [
        (vec![("if-match", etag.as_str())], 200),
        (vec![("if-match", bare.as_str())], 200),
        (vec![("if-match", "*")], 200),
        (vec![("if-match", "\"other\"")], 412),
        (vec![("if-match", "\"other\", \"more\"")], 412),
        (vec![("if-none-match", etag.as_str())], 304),
        (vec![("if-none-match", "*")], 304),
        (vec![("if-none-match", "\"other\"")], 200),
        (vec![("if-modified-since", past)], 200),
        (vec![("if-modified-since", future)], 304),
        (vec![("if-unmodified-since", past)], 412),
        (vec![("if-unmodified-since", future)], 200),
        (vec![("if-match", etag.as_str()), ("if-unmodified-since", past)], 200),
        (vec![("if-none-match", "\"other\""), ("if-modified-since", future)], 200),
        (vec![("if-modified-since", "no date")], 200),
    ] {
        for method in ["GET", "HEAD"] {
            let reply = client.send(method, "/bucket/key", &headers, "").await;
            assert_eq!(reply.status, status, "{method} {headers:?}");
            if status == 304 {
                assert_eq!(reply.header("etag"), etag);
                assert!(reply.body.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn headers_of_the_answer_can_be_replaced_by_the_query() {
    let home = Home::new();
    let client = stored(&home, b"x").await;
    let uri = "/bucket/key?response-content-type=text%2Fplain&response-content-disposition=inline&response-expires=0";
    let reply = client.send("GET", uri, &[], "").await;
    assert_eq!(
        [reply.header("content-type"), reply.header("content-disposition"), reply.header("expires")],
        ["text/plain", "inline", "0"]
    );
    let reply = client.send("GET", "/bucket/key?response-content-type=a%0Ab", &[], "").await;
    assert_eq!(reply.code(), "InvalidArgument");
}

#[tokio::test]
async fn a_reader_gets_one_version_to_its_end_whatever_happens_to_the_key() {
    use http_body_util::BodyExt as _;
    let home = Home::new();
    let old = vec![1u8; 3 << 20];
    let client = stored(&home, &old).await;
    let request = || http::Request::get("/bucket/key").body(crate::client::body("")).unwrap();
    let (overwritten, deleted) = (client.directory.call(request()).await, client.directory.call(request()).await);
    client.put("bucket", "key", vec![2u8; 1 << 20]).await;
    assert_eq!(overwritten.into_body().collect().await.unwrap().to_bytes(), old);
    client.delete("bucket", "key").await;
    assert_eq!(deleted.into_body().collect().await.unwrap().to_bytes(), old);
}

#[tokio::test]
async fn files_that_were_changed_from_outside_are_an_error_and_not_an_answer() {
    let home = Home::new();
    let client = stored(&home, b"twelve bytes").await;
    client.put("bucket", "other", "other").await;
    let data = client.directory.object_path("bucket", "key");
    let record = data.with_file_name("record.json");
    let (bytes, json) = (std::fs::read(&data).unwrap(), std::fs::read(&record).unwrap());
    let error = |reply: Reply, what: &str| {
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (500, "InternalError"));
        assert!(reply.one("Message").contains(what), "{}", reply.text());
    };
    std::fs::write(&data, "short").unwrap();
    error(client.get("bucket", "key").await, "has 5 bytes, its record says 12");
    std::fs::remove_file(&data).unwrap();
    error(client.get("bucket", "key").await, "missing");
    std::fs::write(&data, &bytes).unwrap();
    std::fs::copy(client.directory.object_path("bucket", "other").with_file_name("record.json"), &record).unwrap();
    error(client.get("bucket", "key").await, "another key");
    error(client.send("GET", "/bucket?list-type=2", &[], "").await, "another key");
    std::fs::write(&record, "{").unwrap();
    error(client.get("bucket", "key").await, "cannot be read");
    std::fs::write(&record, String::from_utf8(json.clone()).unwrap().replace("\"version\":1", "\"version\":9"))
        .unwrap();
    error(client.get("bucket", "key").await, "version 9");
    std::fs::remove_file(&record).unwrap();
    error(client.get("bucket", "key").await, "missing");
    std::fs::write(&record, &json).unwrap();
    assert_eq!(client.get("bucket", "key").await.body, "twelve bytes");
    // A damaged object can still be removed and replaced.
    std::fs::remove_file(&record).unwrap();
    assert_eq!(client.put("bucket", "key", "new").await.status, 200);
    assert_eq!(client.get("bucket", "key").await.body, "new");
}
