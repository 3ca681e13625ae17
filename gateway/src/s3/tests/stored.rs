//! Stored bytes that were changed are never served as if nothing had happened.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::gateway::{Client, Gateway, Storage, bytes};
use super::uploads::{complete, create, part};

const SEGMENT: usize = 65_536 + 16;
const HEADER: usize = 60;

/// A GET must fail, or break off; never give the object, nor anything else, as success.
async fn refuses(client: &Client, key: &str, what: &str) {
    let whole = client.try_send(Method::GET, "sealed", key, &[], &[], crate::upstream::empty()).await;
    match whole {
        Err(_) => {}
        Ok(answer) => {
            assert!(answer.status.is_server_error(), "{what}: {} with {} bytes", answer.status, answer.body.len());
            assert_eq!(answer.code(), "InternalError", "{what}");
            assert_ne!(answer.field("Message"), "", "{what}");
        }
    }
}

fn changed(stored: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = stored.to_vec();
    change(&mut bytes);
    bytes.into()
}

#[tokio::test]
async fn a_single_object_that_was_changed_at_the_storage_is_never_served() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("sealed", "k", &bytes(300_000)).await;
    client.put("sealed", "other", &bytes(300_000)).await;
    let (head, stored) = storage.get("sealed", "k").await;
    let (other_head, other) = storage.get("sealed", "other").await;
    let all = |_: &str| true;
    // The last but one is of the sealed checksums, which nothing but the footer's MAC covers here.
    let bits =
        [0, 8, HEADER, HEADER + 70_000, HEADER + 3 * SEGMENT, stored.len() - 200, stored.len() - 50, stored.len() - 1];
    for at in bits {
        storage.put("sealed", "k", &head, changed(&stored, |b| b[at] ^= 1), all).await;
        refuses(&client, "k", &format!("bit at {at}")).await;
    }
    for len in [0, 10, HEADER + SEGMENT, HEADER + 2 * SEGMENT, stored.len() - 1] {
        storage.put("sealed", "k", &head, stored.slice(..len), all).await;
        refuses(&client, "k", &format!("truncated to {len}")).await;
    }
    let swapped = changed(&stored, |b| {
        let (a, c) = (HEADER..HEADER + SEGMENT, HEADER + SEGMENT..HEADER + 2 * SEGMENT);
        let first = b[a.clone()].to_vec();
        b.copy_within(c.clone(), a.start);
        b[c].copy_from_slice(&first);
    });
    storage.put("sealed", "k", &head, swapped, all).await;
    refuses(&client, "k", "two segments swapped").await;
    storage.put("sealed", "k", &head, changed(&stored, |b| b.push(0)), all).await;
    refuses(&client, "k", "appended to").await;
    storage.put("sealed", "k", &other_head, stored.clone(), all).await;
    refuses(&client, "k", "metadata of another object").await;
    storage.put("sealed", "k", &other_head, other.clone(), all).await;
    refuses(&client, "k", "another object moved here").await;
    let mixed = [&stored[..stored.len() - 400], &other[other.len() - 400..]].concat();
    storage.put("sealed", "k", &head, mixed.into(), all).await;
    refuses(&client, "k", "footer of another object").await;
    storage.put("sealed", "k", &head, Bytes::from_static(b"plain text"), all).await;
    refuses(&client, "k", "metadata without the magic").await;
    gateway.end().await;
}

#[tokio::test]
async fn an_upload_in_parts_that_was_changed_at_the_storage_is_never_served() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    // Two parts of one size, so that nothing but their places tells them apart.
    let part_len = 5 << 20;
    let id = create(&client, "sealed", "k").await;
    let mut etags = Vec::new();
    for number in [1, 2] {
        let etag = part(&client, "sealed", "k", &id, number, &bytes(part_len)).await.header("etag").to_owned();
        etags.push((number, etag));
    }
    let named: Vec<_> = etags.iter().map(|(number, etag)| (*number, etag.as_str())).collect();
    assert_eq!(complete(&client, "sealed", "k", &id, &named).await.status, StatusCode::OK);
    let whole = client.get("sealed", "k").await;
    assert_eq!((whole.status, whole.body.len()), (StatusCode::OK, 2 * part_len));
    let (head, stored) = storage.get("sealed", "k").await;
    let len = usize::try_from(envelope::part_stored_len(part_len as u64)).unwrap();
    let (one, two, end) = (&stored[..len], &stored[len..2 * len], &stored[2 * len..]);
    for (what, bytes) in [
        ("the first part is dropped", [two, end].concat()),
        ("the last part is dropped", [one, end].concat()),
        ("the parts are swapped", [two, one, end].concat()),
        ("a part is there twice", [one, one, end].concat()),
        ("the footer is dropped", [one, two].concat()),
        ("a bit of the second part", changed(&stored, |b| b[len + 100] ^= 1).to_vec()),
        ("a bit of the padding", changed(&stored, |b| b[2 * len] ^= 1).to_vec()),
        ("a bit of the footer", changed(&stored, |b| b[stored.len() - 50] ^= 1).to_vec()),
    ] {
        storage.put("sealed", "k", &head, bytes.into(), |_| true).await;
        refuses(&client, "k", what).await;
    }
    storage.put("sealed", "elsewhere", &head, stored.clone(), |_| true).await;
    refuses(&client, "elsewhere", "moved under another key").await;
    storage.put("sealed", "k", &head, stored, |_| true).await;
    assert!(client.get("sealed", "k").await.body == whole.body);
    gateway.end().await;
}

#[tokio::test]
async fn a_range_of_changed_bytes_is_never_served() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("sealed", "k", &bytes(300_000)).await;
    let (head, stored) = storage.get("sealed", "k").await;
    storage.put("sealed", "k", &head, changed(&stored, |b| b[HEADER + SEGMENT + 5] ^= 1), |_| true).await;
    let hit = client.range("sealed", "k", "bytes=70000-70010").await;
    assert_eq!((hit.status, hit.code().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"));
    assert_eq!(client.range("sealed", "k", "bytes=0-10").await.status, StatusCode::PARTIAL_CONTENT);
    gateway.end().await;
}

#[tokio::test]
async fn an_object_whose_metadata_was_stripped_is_recovered_through_its_footer() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let body = bytes(300_000);
    client.put("sealed", "k", &body).await;
    let (_, stored) = storage.get("sealed", "k").await;
    storage.put("sealed", "k", &HeaderMap::new(), stored.clone(), |_| false).await;
    assert!(client.get("sealed", "k").await.body == body);
    assert!(client.range("sealed", "k", "bytes=0-99").await.body == body[..100]);
    let broken = changed(&stored, |b| b[HEADER + 5] ^= 1);
    storage.put("sealed", "k", &HeaderMap::new(), broken, |_| false).await;
    refuses(&client, "k", "stripped and changed").await;
    gateway.end().await;
}

#[tokio::test]
async fn entries_of_ours_that_are_incomplete_are_an_error_and_not_plain() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("sealed", "k", &bytes(1000)).await;
    let (head, stored) = storage.get("sealed", "k").await;
    storage.put("sealed", "k", &head, stored, |name| name != "x-amz-meta-gse-v").await;
    refuses(&client, "k", "one entry missing").await;
    assert_eq!(client.head("sealed", "k").await.status, StatusCode::INTERNAL_SERVER_ERROR);
    gateway.end().await;
}
