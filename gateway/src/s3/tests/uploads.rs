//! Multipart uploads.

#![expect(clippy::format_push_string, reason = "the XML is short, and reads best as it is written")]

use http::{Method, StatusCode};

use super::gateway::{ADMIN, Answer, Client, Gateway, Storage, bytes};

pub(super) const PART: usize = 5 << 20;

pub(super) async fn create(client: &Client, bucket: &str, key: &str) -> String {
    let answer = client.send(Method::POST, bucket, key, &[("uploads", "")], &[], b"").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.field("UploadId")
}

pub(super) async fn part(client: &Client, bucket: &str, key: &str, id: &str, number: u16, body: &[u8]) -> Answer {
    let number = number.to_string();
    client.send(Method::PUT, bucket, key, &[("partNumber", &number), ("uploadId", id)], &[], body).await
}

/// What Complete is sent.
pub(super) fn document(parts: &[(u16, &str)]) -> String {
    let mut text = String::from("<CompleteMultipartUpload>");
    for (number, etag) in parts {
        let etag = etag.trim_matches('"');
        text += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
    }
    text + "</CompleteMultipartUpload>"
}

pub(super) async fn complete(client: &Client, bucket: &str, key: &str, id: &str, parts: &[(u16, &str)]) -> Answer {
    client.send(Method::POST, bucket, key, &[("uploadId", id)], &[], document(parts).as_bytes()).await
}

#[tokio::test]
async fn an_upload_through_two_members_gives_the_bytes_of_the_etags_that_were_named() {
    let storage = Storage::new();
    let (one, first) = Gateway::with_buckets(&storage).await;
    let two = Gateway::start(&storage, "two").await;
    let second = two.client(ADMIN);
    let (old, new, next, tail) = (bytes(PART), bytes(PART), bytes(PART + 1), bytes(77));
    let id = create(&first, "sealed", "k").await;
    assert!(id.starts_with("gse1."));
    let old_etag = part(&first, "sealed", "k", &id, 1, &old).await.header("etag").to_owned();
    let new_etag = part(&second, "sealed", "k", &id, 1, &new).await.header("etag").to_owned();
    assert_ne!(old_etag, new_etag);
    let next_etag = part(&second, "sealed", "k", &id, 3, &next).await.header("etag").to_owned();
    let tail_etag = part(&first, "sealed", "k", &id, 9, &tail).await.header("etag").to_owned();
    let list = second.send(Method::GET, "sealed", "k", &[("uploadId", &id)], &[], b"").await;
    assert!(String::from_utf8_lossy(&list.body).contains("<Size>77</Size>"), "{list:?}");
    let parts = [(1, new_etag.as_str()), (3, &next_etag), (9, &tail_etag)];
    let done = complete(&second, "sealed", "k", &id, &parts).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    let whole = [&new[..], &next, &tail].concat();
    for client in [&first, &second] {
        let get = client.get("sealed", "k").await;
        assert!(get.body == whole, "{}: {}", get.status, get.body.len());
        assert_eq!(get.header("etag").trim_matches('"'), done.field("ETag").trim_matches('"'));
        let across = client.range("sealed", "k", &format!("bytes={}-{}", PART - 3, PART + 3)).await;
        assert!(across.body == whole[PART - 3..PART + 4]);
        let third = client.send(Method::GET, "sealed", "k", &[("partNumber", "3")], &[], b"").await;
        assert_eq!((third.body.as_ref(), third.header("x-amz-mp-parts-count")), (&tail[..], "3"));
        assert_eq!(client.head("sealed", "k").await.header("content-length"), whole.len().to_string());
    }
    assert_eq!(complete(&first, "sealed", "k", &id, &parts).await.field("ETag"), done.field("ETag"));
    assert!(!storage.keys("sealgate-system", "mp/").await.contains("/part/"));
    two.end().await;
    one.end().await;
}

#[tokio::test]
async fn the_decision_of_create_holds_for_the_upload() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let plain = create(&client, "plain", "a").await;
    gateway.toggle("plain", true).await;
    let sealed = create(&client, "plain", "b").await;
    gateway.toggle("plain", false).await;
    for (key, id, encrypted) in [("a", &plain, false), ("b", &sealed, true)] {
        let body = bytes(1000);
        let etag = part(&client, "plain", key, id, 1, &body).await.header("etag").to_owned();
        let done = complete(&client, "plain", key, id, &[(1, &etag)]).await;
        assert_eq!(done.status, StatusCode::OK);
        assert_eq!(done.field("Location"), format!("http://{}/plain/{key}", gateway.address), "as its client calls it");
        assert!(client.get("plain", key).await.body == body);
        assert_eq!(storage.get("plain", key).await.0.contains_key("x-amz-meta-gse-v"), encrypted);
    }
    gateway.end().await;
}

#[tokio::test]
async fn an_upload_whose_state_is_lost_is_an_error_and_never_plain() {
    let storage = Storage::new();
    let (one, client) = Gateway::with_buckets(&storage).await;
    let id = create(&client, "sealed", "k").await;
    let etag = part(&client, "sealed", "k", &id, 1, b"x").await.header("etag").to_owned();
    let list = storage.keys("sealgate-system", "mp/").await;
    let state = list.split("<Key>").find_map(|rest| rest.split("</Key>").next().filter(|key| key.ends_with("/upload")));
    let state = state.unwrap().to_owned();
    let (_, whole) = storage.get("sealgate-system", &state).await;
    // Another member knows nothing but what is stored.
    let two = Gateway::start(&storage, "two").await;
    let other = two.client(ADMIN);
    let bare = id.strip_prefix("gse1.").unwrap();
    assert_eq!(part(&other, "sealed", "k", bare, 2, b"plaintext").await.code(), "NoSuchUpload");
    storage.put("sealgate-system", &state, &http::HeaderMap::new(), whole.slice(..20), |_| false).await;
    let answer = part(&other, "sealed", "k", &id, 2, b"plaintext").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{answer:?}");
    let gone = crate::upstream::request(Method::DELETE, crate::upstream::uri("sealgate-system", Some(&state), &[]));
    storage.upstream.call(gone).await.unwrap();
    assert_eq!(part(&other, "sealed", "k", &id, 2, b"plaintext").await.code(), "NoSuchUpload");
    assert_eq!(complete(&other, "sealed", "k", &id, &[(1, &etag)]).await.code(), "NoSuchUpload");
    assert!(!storage.has("sealed", "k").await);
    two.end().await;
    one.end().await;
}

#[tokio::test]
async fn parts_that_do_not_fit_are_refused_at_complete() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let id = create(&client, "sealed", "k").await;
    let small = part(&client, "sealed", "k", &id, 1, b"small").await.header("etag").to_owned();
    let tail = part(&client, "sealed", "k", &id, 2, b"tail").await.header("etag").to_owned();
    let code = async |parts: &[(u16, &str)]| complete(&client, "sealed", "k", &id, parts).await.code();
    assert_eq!(code(&[(1, &small), (2, &tail)]).await, "EntityTooSmall");
    assert_eq!(code(&[(2, &tail), (1, &small)]).await, "InvalidPartOrder");
    assert_eq!(code(&[(1, &tail)]).await, "InvalidPart");
    assert_eq!(code(&[]).await, "MalformedXML");
    let abort = client.send(Method::DELETE, "sealed", "k", &[("uploadId", &id)], &[], b"").await;
    assert_eq!(abort.status, StatusCode::NO_CONTENT);
    assert_eq!(code(&[(1, &small)]).await, "NoSuchUpload");
    let left = storage.keys("sealgate-system", "mp/").await;
    assert!(!left.contains("<Key>"), "{left}");
    gateway.end().await;
}

#[tokio::test]
async fn a_subset_that_the_storage_refused_leaves_every_part_for_the_next_complete() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("sealed", "k", b"is there").await;
    let id = create(&client, "sealed", "k").await;
    let whole = bytes(2 * PART + 9);
    let mut etags = Vec::new();
    for (number, body) in (1..).zip(whole.chunks(PART)) {
        etags.push(part(&client, "sealed", "k", &id, number, body).await.header("etag").to_owned());
    }
    let named: Vec<_> = (1..).zip(etags.iter().map(String::as_str)).collect();
    for some in 1..=3 {
        // The end of the object is stored by then: behind all parts, whether they are named or not.
        let (asked, only) = ([("uploadId", id.as_str())], [("if-none-match", "*")]);
        let text = document(&named[..some]);
        let answer = client.send(Method::POST, "sealed", "k", &asked, &only, text.as_bytes()).await;
        assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "{some}: {answer:?}");
        assert_eq!(client.get("sealed", "k").await.body, b"is there".as_slice());
    }
    assert_eq!(complete(&client, "sealed", "k", &id, &named).await.status, StatusCode::OK);
    assert!(client.get("sealed", "k").await.body == whole);
    gateway.end().await;
}

#[tokio::test]
async fn a_storage_that_serves_the_older_upload_of_a_part_is_found_out() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let (old, new) = (bytes(PART), bytes(PART));
    let mut stored = Vec::new();
    for body in [&old, &new] {
        let id = create(&client, "sealed", "k").await;
        let etag = part(&client, "sealed", "k", &id, 1, body).await.header("etag").to_owned();
        complete(&client, "sealed", "k", &id, &[(1, &etag)]).await;
        stored.push(storage.get("sealed", "k").await);
    }
    // The older part in front of the newer footer.
    let body_len = usize::try_from(envelope::part_stored_len(PART as u64)).unwrap();
    let mixed = [&stored[0].1[..body_len], &stored[1].1[body_len..]].concat();
    storage.put("sealed", "k", &stored[1].0, mixed.into(), |_| true).await;
    let answer = client.get("sealed", "k").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.field("Message").contains("part 1"), "{answer:?}");
    gateway.end().await;
}
