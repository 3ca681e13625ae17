//! Answers and requests off the usual way: rights that stop short, archived objects, headers that only look like S3's,
//! storages that answer too early or see another bucket under the same name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::gateway::{ADMIN, Gateway, Storage, bytes};
use super::identities::ALL;
use super::relay::Act;
use super::trouble::relayed;
use super::uploads::{PART, complete, create, part};
use crate::config::Secret;
use crate::group::Identity;
use crate::s3::Ages;
use crate::upstream::{self, Body};

fn answer(status: StatusCode, document: &str) -> Response<Body> {
    let mut answer = Response::new(upstream::full(document.to_owned()));
    *answer.status_mut() = status;
    answer
}

#[tokio::test]
async fn no_header_reaches_the_storage_that_it_could_take_for_another_than_was_checked() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    client.put("sealed", "secret", b"secret").await;
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let notes = Arc::clone(&seen);
    relay.rule(move |request| {
        if request.uri().path().starts_with("/plain") {
            notes.lock().unwrap().extend(request.headers().clone());
        }
        Act::Pass
    });
    let looks = [
        ("x_amz_copy_source", "/sealed/secret"),
        ("x-amz-copy_source", "/sealed/secret"),
        ("x_amz_acl", "public-read"),
        ("x_amz_meta_gse_v", "1"),
        ("x-goog-meta-gse-v", "1"),
        ("x-rgw-meta-gse-v", "1"),
        ("x-amz-meta-my_name", "kept"),
    ];
    assert_eq!(client.send(Method::PUT, "plain", "k", &[], &looks, b"").await.status, StatusCode::OK);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let kept = |name: &&str| seen.contains_key(*name);
    assert_eq!(looks.iter().map(|(name, _)| *name).filter(kept).collect::<Vec<_>>(), ["x-amz-meta-my_name"]);
    let reserved = client.send(Method::PUT, "plain", "k", &[], &[("x-amz-meta-gse_v", "1")], b"").await;
    assert_eq!((reserved.status, reserved.code().as_str()), (StatusCode::BAD_REQUEST, "InvalidArgument"));
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn an_archived_object_is_told_as_that_by_every_read_and_still_has_a_head() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    let body = bytes(200_000);
    client.put("sealed", "k", &body).await;
    let document =
        "<Error><Code>InvalidObjectState</Code><Message>m</Message><StorageClass>GLACIER</StorageClass></Error>";
    relay.rule(move |request| {
        let tags = request.uri().query().is_some_and(|query| query.starts_with("tagging"));
        let reads = request.method() == Method::GET && request.uri().path() == "/sealed/k" && !tags;
        if reads { Act::Answer(answer(StatusCode::FORBIDDEN, document)) } else { Act::Pass }
    });
    let copy = [("x-amz-copy-source", "/sealed/k")];
    for read in [
        client.get("sealed", "k").await,
        client.range("sealed", "k", "bytes=5-9").await,
        client.send(Method::GET, "sealed", "k", &[("partNumber", "1")], &[], b"").await,
        client.send(Method::PUT, "sealed", "copy", &[], &copy, b"").await,
    ] {
        assert_eq!((read.status, read.code().as_str()), (StatusCode::FORBIDDEN, "InvalidObjectState"), "{read:?}");
        assert_eq!(read.field("StorageClass"), "GLACIER");
    }
    let mode = [("x-amz-checksum-mode", "ENABLED")];
    let head = client.send(Method::HEAD, "sealed", "k", &[], &mode, b"").await;
    assert_eq!((head.status, head.header("content-length")), (StatusCode::OK, "200000"));
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn who_may_not_read_versions_still_reads_the_object() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    let body = bytes(200_000);
    client.put("sealed", "k", &body).await;
    let (mut head, stored) = storage.get("sealed", "k").await;
    head.insert("x-amz-version-id", HeaderValue::from_static("one"));
    head.insert("content-length", HeaderValue::from(stored.len()));
    let refused = Arc::new(Mutex::new(0));
    let count = Arc::clone(&refused);
    relay.rule(move |request| {
        if request.uri().path() != "/sealed/k" {
            return Act::Pass;
        }
        if request.method() == Method::HEAD {
            let mut answer = Response::new(upstream::empty());
            *answer.headers_mut() = head.clone();
            return Act::Answer(answer);
        }
        if request.uri().query().is_some_and(|query| query.contains("versionId")) {
            *count.lock().unwrap() += 1;
            return Act::Answer(answer(StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>"));
        }
        Act::Pass
    });
    let read = client.range("sealed", "k", "bytes=70000-80000").await;
    assert!(read.status == StatusCode::PARTIAL_CONTENT && read.body == body[70_000..=80_000], "{read:?}");
    assert!(*refused.lock().unwrap() > 0);
    // A version that was asked for is another matter.
    let asked = [("versionId", "one")];
    let read = client.send(Method::GET, "sealed", "k", &asked, &[("range", "bytes=5-9")], b"").await;
    assert_eq!((read.status, read.code().as_str()), (StatusCode::FORBIDDEN, "AccessDenied"), "{read:?}");
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn tags_that_may_not_be_read_are_told_as_that() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    client.put("sealed", "k", b"x").await;
    relay.rule(|request| {
        let tags = request.uri().query().is_some_and(|query| query.starts_with("tagging"));
        let refusal = "<Error><Code>AccessDenied</Code></Error>";
        if tags { Act::Answer(answer(StatusCode::FORBIDDEN, refusal)) } else { Act::Pass }
    });
    let from = [("x-amz-copy-source", "/sealed/k")];
    let copy = client.send(Method::PUT, "sealed", "copy", &[], &from, b"").await;
    assert_eq!((copy.status, copy.code().as_str()), (StatusCode::FORBIDDEN, "AccessDenied"), "{copy:?}");
    assert!(!storage.has("sealed", "copy").await);
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_plain_copy_whose_source_is_overwritten_is_to_be_tried_again() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    let two = Gateway::start(&storage, "two").await;
    let id = create(&client, "plain", "parts").await;
    let number = [("partNumber", "1"), ("uploadId", id.as_str())];
    for (key, query) in [("copy", &[][..]), ("parts", &number[..])] {
        for heeded in [true, false] {
            client.put("plain", "k", b"as it was judged").await;
            if !heeded {
                relay.is_ceph();
            }
            let writer = two.client(ADMIN);
            let mut size = 20;
            relay.rule(move |request| {
                if !request.headers().contains_key("x-amz-copy-source") {
                    return Act::Pass;
                }
                // The client of these tests tries again: each time there is another one.
                size += 1;
                let writer = writer.clone();
                Act::After(async move { drop(writer.put("plain", "k", &bytes(size)).await) }.boxed())
            });
            let from = [("x-amz-copy-source", "/plain/k")];
            let copy = client.send(Method::PUT, "plain", key, query, &from, b"").await;
            let told = (copy.status, copy.code());
            assert_eq!(told, (StatusCode::SERVICE_UNAVAILABLE, "SlowDown".to_owned()), "{key} {heeded}: {copy:?}");
            relay.rule(|_| Act::Pass);
        }
    }
    two.end().await;
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_range_of_nothing_says_how_long_the_object_is() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for bucket in ["plain", "sealed"] {
        for size in [0, 10] {
            client.put(bucket, "k", &bytes(size)).await;
            let refused = client.range(bucket, "k", "bytes=10-20").await;
            assert_eq!((refused.status, refused.code().as_str()), (StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"));
            assert_eq!(refused.field("ActualObjectSize"), size.to_string(), "{bucket}");
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn the_only_part_of_an_object_is_told_the_same_whatever_is_known_of_it() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("sealed", "k", &bytes(1000)).await;
    gateway.end().await;
    // It knows no key yet.
    let gateway = Gateway::start(&storage, "one").await;
    let client = gateway.client(ADMIN);
    let of = async |number: &str| client.send(Method::HEAD, "sealed", "k", &[("partNumber", number)], &[], b"").await;
    let head = of("1").await;
    let told = (head.status, head.header("content-range"), head.header("content-length"));
    assert_eq!(told, (StatusCode::PARTIAL_CONTENT, "bytes 0-999/1000", "1000"));
    assert_eq!(of("2").await.status, StatusCode::RANGE_NOT_SATISFIABLE);
    // The layout is known from here on, and no checksum.
    assert_eq!(client.range("sealed", "k", "bytes=0-9").await.status, StatusCode::PARTIAL_CONTENT);
    let mode = [("x-amz-checksum-mode", "ENABLED")];
    let read = client.send(Method::GET, "sealed", "k", &[("partNumber", "1")], &mode, b"").await;
    assert!(!read.header("x-amz-checksum-crc64nvme").is_empty(), "{read:?}");
    gateway.end().await;
}

#[tokio::test]
async fn more_deletions_than_s3_takes_at_once_are_refused_before_any_is_looked_at() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    client.put("plain", "k0", b"x").await;
    for size in ["", "<Size>1</Size>"] {
        let object = |n: usize| format!("<Object><Key>k{n}</Key>{size}</Object>");
        let document = format!("<Delete>{}</Delete>", (0..1001).map(object).collect::<String>());
        relay.seen();
        let refused = client.send(Method::POST, "plain", "", &[("delete", "")], &[], document.as_bytes()).await;
        assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "MalformedXML"));
        assert!(relay.seen().iter().all(|(_, target)| !target.starts_with("/plain")));
        assert!(storage.has("plain", "k0").await);
    }
    gateway.end().await;
    relay.end().await;
}

#[test]
fn whatever_another_parser_might_take_for_a_form_is_one() {
    for text in ["multipart/form-data; boundary=x; a=\"\u{e4}\"", " Multipart/Form-Data; boundary=x"] {
        let content = HeaderValue::from_bytes(text.as_bytes()).unwrap();
        let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, content)]);
        assert!(super::super::form::is_upload(&Method::POST, &headers), "{text}");
    }
}

#[tokio::test]
async fn a_part_that_the_storage_has_not_taken_is_none_whatever_it_answers() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    for bucket in ["plain", "sealed"] {
        let id = create(&client, bucket, "k").await;
        relay.rule(|request| {
            if request.method() != Method::PUT {
                return Act::Pass;
            }
            let mut early = Response::new(upstream::empty());
            early.headers_mut().insert("etag", HeaderValue::from_static("\"0123456789abcdef0123456789abcdef\""));
            Act::Answer(early)
        });
        let answered = part(&client, bucket, "k", &id, 1, &bytes(64 << 20)).await;
        assert_eq!((answered.status, answered.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"));
        relay.rule(|_| Act::Pass);
        let listed = client.send(Method::GET, bucket, "k", &[("uploadId", &id)], &[], b"").await;
        assert!(!String::from_utf8_lossy(&listed.body).contains("<PartNumber>"), "{bucket}: {listed:?}");
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn an_upload_begun_as_another_is_not_gone_because_the_gateway_does_not_see_it() {
    let storage = Storage::new();
    let (relay, gateway, _) = relayed(&storage).await;
    let somebody = gateway.credential("somebody", &[("*", ALL)]).await;
    let edit = |document: &mut crate::group::Document| {
        let secret = Secret::new("a secret of somebody".to_owned());
        let identity = Identity { access_key: "their-key".to_owned(), secret };
        document.set_identities("somebody", BTreeMap::from([("service".to_owned(), identity)]))
    };
    gateway.front.group.edit(edit).await.unwrap();
    let bodies = bytes(PART);
    let id = create(&somebody, "sealed", "k").await;
    let etag = part(&somebody, "sealed", "k", &id, 1, &bodies).await.header("etag").to_owned();
    relay.rule(|request| {
        let signed = request.headers().get("authorization").map_or(&b""[..], HeaderValue::as_bytes);
        let theirs = signed.windows(9).any(|window| window == b"their-key");
        let of_upload = request.uri().query().is_some_and(|query| query.contains("uploadId"));
        let refusal = "<Error><Code>NoSuchBucket</Code></Error>";
        if of_upload && !theirs { Act::Answer(answer(StatusCode::NOT_FOUND, refusal)) } else { Act::Pass }
    });
    let at_once = Ages { gone: std::time::Duration::ZERO, ..Ages::default() };
    for _ in 0..3 {
        gateway.front.sweep_uploads(None, 1_000, at_once, &|| true).await.unwrap();
    }
    let done = complete(&somebody, "sealed", "k", &id, &[(1, etag.trim_matches('"'))]).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    assert!(somebody.get("sealed", "k").await.body == bodies);
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_complete_whose_object_is_overwritten_at_once_did_happen_where_the_storage_tells_no_etag() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    relay.is_ceph();
    let two = Gateway::start(&storage, "two").await;
    let (one, last) = (bytes(PART), bytes(1000));
    let id = create(&client, "sealed", "k").await;
    let first = part(&client, "sealed", "k", &id, 1, &one).await.header("etag").to_owned();
    let second = part(&client, "sealed", "k", &id, 2, &last).await.header("etag").to_owned();
    let mut completed = false;
    let writer = two.client(ADMIN);
    relay.rule(move |request| {
        let asks = |name| request.uri().query().is_some_and(|query| query.contains(name));
        if request.method() == Method::POST && asks("uploadId") {
            completed = true;
            return Act::Untold;
        }
        if !completed || request.method() != Method::HEAD || request.uri().path() != "/sealed/k" {
            return Act::Pass;
        }
        let writer = writer.clone();
        Act::After(async move { drop(writer.put("sealed", "k", b"another").await) }.boxed())
    });
    let done = complete(&client, "sealed", "k", &id, &[(1, &first), (2, &second)]).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    assert!(done.field("ETag").trim_matches('"').ends_with("-2"), "{done:?}");
    assert!(client.get("sealed", "k").await.body == "another");
    two.end().await;
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn lists_of_uploads_and_parts_name_the_bucket_that_was_asked_for() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let map = |document: &mut crate::group::Document| {
        for (bucket, behind) in [("mapped-plain", "plain"), ("mapped-sealed", "sealed")] {
            let mapping = crate::group::Mapping { backend: "disk".to_owned(), backing_bucket: behind.to_owned() };
            document.change_bucket(bucket, |settings| settings.mapping = Some(mapping.clone()))?;
        }
        Ok(())
    };
    gateway.front.group.edit(map).await.unwrap();
    gateway.toggle("mapped-sealed", true).await;
    for bucket in ["mapped-plain", "mapped-sealed"] {
        let id = create(&client, bucket, "k").await;
        part(&client, bucket, "k", &id, 1, b"x").await;
        let parts = client.send(Method::GET, bucket, "k", &[("uploadId", &id)], &[], b"").await;
        let uploads = client.send(Method::GET, bucket, "", &[("uploads", "")], &[], b"").await;
        assert_eq!((parts.field("Bucket"), uploads.field("Bucket")), (bucket.to_owned(), bucket.to_owned()));
        assert_eq!(uploads.field("UploadId"), id);
    }
    gateway.end().await;
}
