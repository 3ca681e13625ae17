//! Any key of S3 is a key here, and no two are one.

use crate::client::Home;

fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "a",
        "a/",
        "a/b",
        "a//b",
        "a//",
        "/a",
        "/",
        "//",
        "///",
        "A",
        ".",
        "..",
        "../..",
        "../../etc/passwd",
        "./a",
        "a/.",
        "a/..",
        "a/../b",
        "%",
        "%2F",
        "%2f",
        "a%",
        "a@",
        "a@/data",
        "a~",
        "data",
        "record.json",
        "a/data",
        "a@/b",
        "~",
        "@",
        "\u{0}",
        "\u{1}\u{1f}\u{7f}",
        "\n",
        "\r\n",
        "\t",
        " ",
        " a ",
        "a+b",
        "a b",
        "ü",
        "u\u{308}",
        "ﬁ",
        "fi",
        "日本/語",
        "🦀",
        "\u{ffff}",
        "\\",
        "a\\b",
        "'\"<>&",
        ".sealgate/tmp",
        "objects",
        "bucket.json",
    ]
    .map(str::to_owned)
    .to_vec();
    for byte in ["x", "/", "é", "\u{1}", "."] {
        keys.push(byte.repeat(1024 / byte.len()));
    }
    keys.extend([80, 81, 160, 161, 255, 256, 1023].map(|length| "k".repeat(length)));
    keys.extend([79, 80, 81].map(|length| format!("{}/x", "k".repeat(length))));
    keys
}

#[tokio::test]
async fn every_key_holds_its_own_bytes_and_is_listed_as_it_is() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    let mut keys = odd_keys();
    for (index, key) in keys.iter().enumerate() {
        let reply = client.put("bucket", key, index.to_string()).await;
        assert_eq!(reply.status, 200, "{key:?}: {}", reply.text());
    }
    let inside = home.path().canonicalize().unwrap().join("bucket/objects");
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(client.get("bucket", key).await.body, index.to_string(), "{key:?}");
        let path = client.directory.object_path("bucket", key);
        assert!(path.starts_with(&inside), "{key:?}");
        assert_eq!(std::fs::read_to_string(path.canonicalize().unwrap()).unwrap(), index.to_string());
    }
    keys.sort();
    assert_eq!(client.list("bucket", "", 7).await.0, keys);
    // Not one entry beside those of the storage itself.
    let mut top: Vec<_> = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    top.sort();
    assert_eq!(top, [".sealgate", "bucket"]);
    for key in &keys {
        assert_eq!(client.delete("bucket", key).await.status, 204, "{key:?}");
    }
    assert_eq!(home.entries("bucket/objects"), Vec::<std::path::PathBuf>::new());
    assert_eq!(client.send("DELETE", "/bucket", &[], "").await.status, 204);
}

#[tokio::test]
async fn keys_that_s3_does_not_have_are_refused() {
    let home = Home::new();
    let client = home.open();
    client.make("bucket").await;
    assert_eq!(client.put("bucket", &"k".repeat(1025), "x").await.code(), "KeyTooLongError");
    assert_eq!(client.put("bucket", &"é".repeat(513), "x").await.code(), "KeyTooLongError");
    assert_eq!(client.send("PUT", "/bucket/%ff", &[], "x").await.code(), "InvalidURI");
    assert_eq!(home.entries("bucket/objects"), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_name_that_is_no_bucket_has_no_file() {
    let home = Home::new();
    let client = home.open();
    for bucket in ["..", ".", "", "a/b", ".sealgate"] {
        let path = client.directory.object_path(bucket, "../../x");
        assert!(path.starts_with(home.path().canonicalize().unwrap().join(".no-bucket/objects")), "{bucket}");
    }
}
