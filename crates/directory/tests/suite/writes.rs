//! Writes: conditions, digests, bodies that break off, deletions.

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use directory::Body;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;

use crate::client::{Client, Home};

/// A body that gives the frames and then errs, or then waits for ever.
struct Broken {
    frames: Vec<Bytes>,
    hangs: bool,
}

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.frames.pop() {
            Some(frame) => Poll::Ready(Some(Ok(Frame::data(frame)))),
            None if self.hangs => Poll::Pending,
            None => Poll::Ready(Some(Err("the client is gone".into()))),
        }
    }
}

fn broken(frames: usize, size: usize, hangs: bool) -> Body {
    Broken { frames: vec![Bytes::from(vec![7; size]); frames], hangs }.boxed_unsync()
}

async fn with_bucket(home: &Home) -> Client {
    let client = home.open();
    client.make("bucket").await;
    client
}

fn nothing() -> Vec<PathBuf> {
    Vec::new()
}

#[tokio::test]
async fn conditional_writes_hold_as_the_table_says() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    let missing = |headers: &'static [(&'static str, &'static str)]| client.put_with("bucket", "new", headers, "x");
    assert_eq!(missing(&[("if-match", "\"x\"")]).await.code(), "NoSuchKey");
    assert_eq!(missing(&[("if-match", "*")]).await.code(), "NoSuchKey");
    assert_eq!(missing(&[("if-none-match", "\"x\"")]).await.code(), "NotImplemented");
    assert_eq!(home.entries("bucket/objects"), nothing());
    assert_eq!(missing(&[("if-none-match", "*")]).await.status, 200);
    assert_eq!(missing(&[("if-none-match", "*")]).await.code(), "PreconditionFailed");

    let etag = client.head("bucket", "new").await.header("etag").to_owned();
    let put = |headers: Vec<(&'static str, String)>| {
        let client = &client;
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            client.put_with("bucket", "new", &headers, "y").await.code()
        }
    };
    assert_eq!(put(vec![("if-match", "\"other\"".into())]).await, "PreconditionFailed");
    assert_eq!(client.get("bucket", "new").await.body, "x");
    assert_eq!(put(vec![("if-match", etag.clone())]).await, "200");
    assert_eq!(put(vec![("if-match", etag)]).await, "PreconditionFailed");
    assert_eq!(put(vec![("if-match", "*".into())]).await, "200");
    assert_eq!(client.get("bucket", "new").await.body, "y");
    assert_eq!(home.staged(), nothing());
}

#[tokio::test]
async fn conditional_deletions_hold_as_the_table_says() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    let delete = |value: &'static str| {
        let client = &client;
        async move { client.send("DELETE", "/bucket/key", &[("if-match", value)], "").await }
    };
    // What is not there meets them all.
    assert_eq!(
        (delete("*").await.status, delete("\"other\"").await.status),
        (StatusCode::NO_CONTENT, StatusCode::NO_CONTENT)
    );
    client.put("bucket", "key", "x").await;
    for (name, value) in
        [("x-amz-if-match-size", "2"), ("x-amz-if-match-last-modified-time", "Thu, 01 Jan 2015 00:00:00 GMT")]
    {
        let answer = client.send("DELETE", "/bucket/key", &[(name, value)], "").await;
        assert_eq!(answer.code(), "PreconditionFailed", "{name}");
    }
    let entry = "<Delete><Object><Key>key</Key><Size>2</Size></Object></Delete>";
    let answer = client.send("POST", "/bucket?delete", &[], entry).await;
    assert!(answer.text().contains("<Code>PreconditionFailed</Code>"), "{}", answer.text());
    assert_eq!(delete("\"other\"").await.code(), "PreconditionFailed");
    assert_eq!(client.get("bucket", "key").await.body, "x");
    assert_eq!(delete("\"9dd4e461268c8034f5c8564e155c67a6\"").await.status, 204);
    assert_eq!(client.get("bucket", "key").await.code(), "NoSuchKey");
}

#[tokio::test]
async fn a_body_that_is_not_what_was_announced_is_not_stored() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    client.put("bucket", "key", "old").await;
    let big = vec![3u8; 1 << 20];
    for bytes in [b"new".to_vec(), big] {
        let send = |name: &'static str, value: &'static str| {
            let request = Request::put("/bucket/key").header(name, value);
            client.request(request.body(crate::client::body(bytes.clone())).unwrap())
        };
        assert_eq!(send("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==").await.code(), "BadDigest");
        assert_eq!(send("content-md5", "nonsense").await.code(), "InvalidDigest");
        assert_eq!(send("content-length", "1").await.code(), "IncompleteBody");
        assert_eq!(send("content-length", "9999999").await.code(), "IncompleteBody");
        assert_eq!(send("content-length", "-1").await.code(), "MissingContentLength");
        assert_eq!(client.get("bucket", "key").await.body, "old");
    }
    let request = Request::put("/bucket/key").header("content-md5", "Iq9kXRhZy1ym2gxITx836g==");
    let reply = client.request(request.body(crate::client::body("new")).unwrap()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(home.staged(), nothing());
}

#[tokio::test]
async fn a_body_of_unknown_length_is_refused() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    let reply = client.request(Request::put("/bucket/key").body(broken(1, 10, false)).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (411, "MissingContentLength"));
}

#[tokio::test]
async fn a_client_that_dies_half_way_leaves_nothing() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    client.put("bucket", "key", "old").await;
    let create = client.send("POST", "/bucket/parts?uploads", &[], "").await;
    let part = format!("/bucket/parts?partNumber=1&uploadId={}", create.one("UploadId"));
    for uri in ["/bucket/key", "/bucket/new/deep", &part] {
        for (frames, size) in [(0, 0), (1, 10), (40, 64 << 10)] {
            let request = || Request::put(uri).header("content-length", 10_000_000);
            let reply = client.request(request().body(broken(frames, size, false)).unwrap()).await;
            assert_eq!(reply.code(), "IncompleteBody", "{uri} {frames}");
            assert_eq!(home.staged(), nothing(), "{uri} {frames}");

            // The caller drops the request: whatever is under way ends by itself and cleans up.
            let hanging = client.request(request().body(broken(frames, size, true)).unwrap());
            assert!(tokio::time::timeout(std::time::Duration::from_millis(30), hanging).await.is_err());
            until(|| home.staged().is_empty()).await;
        }
    }
    assert_eq!(client.get("bucket", "key").await.body, "old");
    assert_eq!(home.entries("bucket/objects").len(), 3);
    assert_eq!(client.send("GET", &part.replace("partNumber=1&", ""), &[], "").await.all("Part"), Vec::<String>::new());
}

/// Waits until something holds; fails after ten seconds.
async fn until(mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "does not come to hold");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_keys_are_deleted_at_once_each_with_its_outcome() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    for key in ["a", "a/b", " c&<\u{1}", "kept", "quiet"] {
        client.put("bucket", key, "x").await;
    }
    let document = "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
        <Object><Key>a</Key></Object><Object><Key>a/b</Key><VersionId>null</VersionId></Object>\
        <Object><Key> c&amp;&lt;&#x1;</Key></Object><Object><Key>never was</Key></Object>\
        <Object><Key>kept</Key><ETag>\"other\"</ETag></Object></Delete>";
    let reply = client.send("POST", "/bucket?delete", &[], document).await;
    assert_eq!(reply.all("Deleted").len(), 4, "{}", reply.text());
    assert!(reply.one("Error").contains("PreconditionFailed"));
    let quiet = "<Delete><Quiet>true</Quiet><Object><Key>quiet</Key></Object></Delete>";
    assert_eq!(client.send("POST", "/bucket?delete", &[], quiet).await.all("Deleted").len(), 0);
    assert_eq!(client.list("bucket", "", 10).await.0, ["kept"]);

    let many = "<Object><Key>k</Key></Object>".repeat(1001);
    for document in ["<Delete/>", &format!("<Delete>{many}</Delete>"), "<Delete><Object/></Delete>", "nonsense"] {
        assert_eq!(client.send("POST", "/bucket?delete", &[], document.to_owned()).await.code(), "MalformedXML");
    }
    let wrong = [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")];
    assert_eq!(client.send("POST", "/bucket?delete", &wrong, quiet).await.code(), "BadDigest");
    let long = format!("<Delete><Object><Key>{}</Key></Object></Delete>", "k".repeat(1025));
    assert_eq!(client.send("POST", "/bucket?delete", &[], long).await.code(), "KeyTooLongError");
}

#[tokio::test]
async fn versions_other_than_null_are_not_known() {
    let home = Home::new();
    let client = with_bucket(&home).await;
    client.put("bucket", "key", "x").await;
    for method in ["GET", "HEAD", "DELETE"] {
        let reply = client.send(method, "/bucket/key?versionId=7", &[], "").await;
        assert_eq!(reply.status, 400, "{method}");
    }
    assert_eq!(client.send("GET", "/bucket/key?versionId=null", &[], "").await.body, "x");
}
