//! `CopyObject`.

use crate::client::{Home, quote};

#[tokio::test]
async fn a_copy_has_the_bytes_and_what_the_directives_say() {
    let home = Home::new();
    let client = home.open();
    client.make("from").await;
    client.make("into").await;
    let bytes = vec![5u8; 3_000_000];
    let given = [("content-type", "text/plain"), ("x-amz-meta-m", "old"), ("x-amz-tagging", "t=old")];
    let etag = client.put_with("from", "a b/ü", &given, bytes.clone()).await.etag();
    let source = format!("/from/{}", quote("a b/ü"));
    let source = ("x-amz-copy-source", source.as_str());

    let reply = client.put_with("into", "kept", &[source, ("x-amz-meta-m", "ignored")], "").await;
    assert_eq!(reply.one("ETag"), format!("\"{etag}\""));
    let kept = client.get("into", "kept").await;
    assert_eq!(
        (&kept.body[..], kept.header("x-amz-meta-m"), kept.header("content-type")),
        (&bytes[..], "old", "text/plain")
    );
    assert_eq!(kept.header("x-amz-tagging-count"), "1");

    let replace = [
        source,
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-meta-n", "new"),
        ("x-amz-tagging-directive", "REPLACE"),
    ];
    assert_eq!(client.put_with("into", "replaced", &replace, "").await.status, 200);
    let replaced = client.get("into", "replaced").await;
    assert_eq!((&replaced.body[..], replaced.header("x-amz-meta-n"), replaced.etag()), (&bytes[..], "new", etag));
    assert!(!replaced.headers.contains_key("x-amz-meta-m") && !replaced.headers.contains_key("x-amz-tagging-count"));

    // One file for each object: changing one by hand changes no other.
    std::fs::write(client.directory.object_path("into", "kept"), "changed").unwrap();
    assert_eq!(client.get("from", "a b/ü").await.body, bytes);
    assert_eq!(home.staged(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_copy_onto_itself_must_change_something() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    client.put_with("bucket", "key", &[("x-amz-meta-m", "1")], "x").await;
    let source = ("x-amz-copy-source", "bucket/key");
    assert_eq!(client.put_with("bucket", "key", &[source], "").await.code(), "InvalidRequest");
    let replace = [source, ("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-m", "2")];
    assert_eq!(client.put_with("bucket", "key", &replace, "").await.status, 200);
    let reply = client.get("bucket", "key").await;
    assert_eq!((reply.header("x-amz-meta-m"), &reply.body[..]), ("2", &b"x"[..]));
}

#[tokio::test]
async fn conditions_on_source_and_target_hold() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    let etag = client.put("bucket", "key", "x").await.etag();
    let source = ("x-amz-copy-source", "bucket/key");
    let (past, future) = ("Thu, 01 Jan 2015 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT");
    for (name, value, code) in [
        ("x-amz-copy-source-if-match", etag.as_str(), "200"),
        ("x-amz-copy-source-if-match", "other", "PreconditionFailed"),
        ("x-amz-copy-source-if-none-match", etag.as_str(), "PreconditionFailed"),
        ("x-amz-copy-source-if-none-match", "other", "200"),
        ("x-amz-copy-source-if-modified-since", future, "PreconditionFailed"),
        ("x-amz-copy-source-if-unmodified-since", past, "PreconditionFailed"),
        ("x-amz-copy-source-if-unmodified-since", future, "200"),
        ("if-none-match", "*", "PreconditionFailed"),
        ("if-match", "*", "200"),
        ("x-amz-metadata-directive", "SOMETHING", "InvalidArgument"),
    ] {
        assert_eq!(
            client.put_with("bucket", "copy", &[source, (name, value)], "").await.code(),
            code,
            "{name}: {value}"
        );
    }
    for (source, code) in [
        ("bucket/none", "NoSuchKey"),
        ("bucket", "InvalidArgument"),
        ("bucket/", "InvalidArgument"),
        ("../key", "InvalidArgument"),
        ("bucket/key?versionId=7", "InvalidArgument"),
        ("bucket/key?versionId=null", "200"),
    ] {
        assert_eq!(
            client.put_with("bucket", "copy", &[("x-amz-copy-source", source)], "").await.code(),
            code,
            "{source}"
        );
    }
    assert_eq!(home.staged(), Vec::<std::path::PathBuf>::new());
}
