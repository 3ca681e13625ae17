//! Buckets: made, listed, found, removed.

use crate::client::Home;

#[tokio::test]
async fn a_bucket_is_made_once_listed_found_and_removed_with_nothing_left() {
    let home = Home::new();
    let client = home.open();
    client.make("one").await;
    client.make("two.b-3").await;
    assert_eq!(client.send("PUT", "/one", &[], "").await.code(), "BucketAlreadyOwnedByYou");
    assert_eq!(client.send("GET", "/", &[], "").await.all("Name"), ["one", "two.b-3"]);
    assert_eq!(client.send("HEAD", "/one", &[], "").await.status, 200);
    assert_eq!(client.send("HEAD", "/three", &[], "").await.status, 404);
    assert_eq!(client.send("DELETE", "/three", &[], "").await.code(), "NoSuchBucket");

    client.put("one", "deep/down/key", "x").await;
    assert_eq!(client.send("DELETE", "/one", &[], "").await.code(), "BucketNotEmpty");
    assert_eq!(client.delete("one", "deep/down/key").await.status, 204);
    // What a crash between making folders and committing leaves.
    std::fs::create_dir_all(home.path().join("one/objects/a/b/c")).unwrap();
    assert_eq!(client.send("DELETE", "/one", &[], "").await.status, 204);
    assert_eq!(client.send("GET", "/", &[], "").await.all("Name"), ["two.b-3"]);
    assert!(!home.path().join("one").exists());
    assert_eq!(home.staged(), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_region_is_kept_and_given_back() {
    let home = Home::new();
    let client = home.open();
    let document = "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
                    <LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>";
    assert_eq!(client.send("PUT", "/there", &[], document).await.status, 200);
    client.make("here").await;
    assert!(client.send("GET", "/there?location", &[], "").await.text().ends_with(">eu-west-1</LocationConstraint>"));
    assert!(client.send("GET", "/here?location", &[], "").await.text().ends_with("></LocationConstraint>"));
    assert_eq!(client.send("PUT", "/third", &[], "<Nonsense/>").await.code(), "MalformedXML");
    assert_eq!(client.send("GET", "/third?location", &[], "").await.code(), "NoSuchBucket");
}

#[tokio::test]
async fn names_that_are_no_bucket_names_are_refused() {
    let home = Home::new();
    let client = home.open();
    for name in
        ["ab", "Upper", "under_score", "-a-", "a..b", "192.168.0.1", ".sealgate", "%2E%2E", "a%2Fb%2Fc", "%00aa"]
    {
        let reply = client.send("PUT", &format!("/{name}"), &[], "").await;
        assert_eq!(reply.code(), "InvalidBucketName", "{name}");
        let reply = client.send("PUT", &format!("/{name}/key"), &[], "x").await;
        assert_eq!(reply.code(), "InvalidBucketName", "{name}");
    }
    for name in ["a.-b", "a-.b"] {
        assert_eq!(client.send("PUT", &format!("/{name}"), &[], "").await.code(), "InvalidBucketName", "{name}");
    }
    assert_eq!(client.send("GET", "/", &[], "").await.all("Name"), Vec::<String>::new());
}

#[tokio::test]
async fn operations_on_a_bucket_that_is_not_there_say_so() {
    let home = Home::new();
    let client = home.open();
    client.make("other").await;
    client.put("other", "key", "x").await;
    let id = "0".repeat(32);
    for (method, uri, headers, body) in [
        ("GET", "/none", vec![], ""),
        ("GET", "/none?list-type=2", vec![], ""),
        ("GET", "/none?uploads", vec![], ""),
        ("GET", "/none?location", vec![], ""),
        ("POST", "/none?delete", vec![], "<Delete><Object><Key>a</Key></Object></Delete>"),
        ("PUT", "/none/key", vec![], "x"),
        ("PUT", "/none/a/b/c", vec![], "x"),
        ("GET", "/none/key", vec![], ""),
        ("DELETE", "/none/key", vec![], ""),
        ("GET", "/none/key?tagging", vec![], ""),
        ("PUT", "/none/key", vec![("x-amz-copy-source", "other/key")], ""),
        ("PUT", "/other/new", vec![("x-amz-copy-source", "none/key")], ""),
        ("POST", "/none/key?uploads", vec![], ""),
        ("PUT", &format!("/none/key?uploadId={id}&partNumber=1"), vec![], "x"),
        ("DELETE", &format!("/none/key?uploadId={id}"), vec![], ""),
        ("GET", &format!("/none/key?uploadId={id}"), vec![], ""),
    ] {
        let reply = client.send(method, uri, &headers, body).await;
        assert_eq!(reply.code(), "NoSuchBucket", "{method} {uri}");
    }
    assert!(!home.path().join("none").exists());
    assert_eq!(home.staged(), Vec::<std::path::PathBuf>::new());
}
