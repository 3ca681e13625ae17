//! How many requests the storage sees for one of a client.

use http::{Method, StatusCode};

use super::gateway::{ADMIN, Answer, Client, Gateway, Storage, bytes, service};
use super::relay::Relay;
use super::uploads::{complete, create, part};

const PART: usize = 5 << 20;

/// A gateway over a service that counts, with an encrypted bucket.
async fn counted(storage: &Storage) -> (Relay, Gateway, Client) {
    let relay = Relay::start(storage).await;
    let gateway = Gateway::over(storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    client.send(Method::PUT, "sealed", "", &[], &[], b"").await;
    gateway.toggle("sealed", true).await;
    client.put("sealed", "first", b"the bucket is known to hold encrypted objects").await;
    relay.seen();
    (relay, gateway, client)
}

#[tokio::test]
async fn a_read_takes_as_many_requests_as_the_design_grants_cold_and_one_when_its_layout_is_known() {
    let storage = Storage::new();
    let (relay, gateway, client) = counted(&storage).await;
    let single = bytes(300_000);
    let checksum = checksum(&single);
    let crc = [("x-amz-checksum-crc32c", checksum.as_str())];
    assert_eq!(client.send(Method::PUT, "sealed", "single", &[], &crc, &single).await.status, StatusCode::OK);
    assert_eq!(relay.seen().len(), 1, "PUT");
    let (one, two) = (bytes(PART), bytes(77_777));
    let id = create(&client, "sealed", "parts").await;
    relay.seen();
    let first = part(&client, "sealed", "parts", &id, 1, &one).await.header("etag").to_owned();
    assert_eq!(relay.seen().len(), 2, "UploadPart: the part, and its record");
    let second = part(&client, "sealed", "parts", &id, 2, &two).await.header("etag").to_owned();
    assert_eq!(complete(&client, "sealed", "parts", &id, &[(1, &first), (2, &second)]).await.status, StatusCode::OK);
    let parts = [one, two].concat();

    let get = async |key: &str, headers: &[(&'static str, &str)], query: &[(&str, &str)]| {
        client.send(Method::GET, "sealed", key, query, headers, b"").await
    };
    let head = async |key: &str, headers: &[(&'static str, &str)]| {
        client.send(Method::HEAD, "sealed", key, &[], headers, b"").await
    };
    let mode = [("x-amz-checksum-mode", "ENABLED")];
    let across = format!("bytes={}-{}", PART - 5, PART + 4);
    let range = [("range", across.as_str())];
    let inside = [("range", "bytes=70000-70009")];
    let suffix = [("range", "bytes=-10")];
    let second = [("partNumber", "2")];
    let check = |answer: &Answer, body: &[u8], what: &str| {
        assert!(answer.status.is_success(), "{what}: {answer:?}");
        assert!(answer.body == body, "{what}: other bytes");
    };
    let place = gateway.front.place(&gateway.front.group.document(), "sealed").ok().unwrap();
    for warm in [false, true] {
        if warm {
            head("single", &mode).await;
            get("parts", &range, &[]).await;
        }
        // Cold, each read begins without what the one before it learnt.
        let begin = || {
            if !warm {
                for key in ["single", "parts"] {
                    gateway.front.footers.forget(&place, key, None);
                }
            }
            relay.seen();
        };
        let end = |what: &str, cold: usize| {
            let seen = relay.seen();
            assert_eq!(seen.len(), if warm { 1 } else { cold }, "{what}, warm {warm}: {seen:?}");
        };
        begin();
        check(&get("single", &[], &[]).await, &single, "whole, single");
        end("whole, single", 1);
        begin();
        check(&get("single", &inside, &[]).await, &single[70_000..70_010], "range, single");
        end("range, single", 2);
        begin();
        check(&get("single", &suffix, &[]).await, &single[299_990..], "suffix, single");
        end("suffix, single", 2);
        begin();
        check(&get("parts", &[], &[]).await, &parts, "whole, parts");
        end("whole, parts", 2);
        begin();
        check(&get("parts", &range, &[]).await, &parts[PART - 5..PART + 5], "range, parts");
        end("range, parts", 3);
        begin();
        check(&get("parts", &[], &second).await, &parts[PART..], "second part");
        end("second part", 3);
        begin();
        check(&head("single", &[]).await, b"", "HEAD, single");
        end("HEAD, single", 1);
        begin();
        check(&head("parts", &[]).await, b"", "HEAD, parts");
        end("HEAD, parts", 1);
        begin();
        assert_eq!(head("single", &mode).await.header("x-amz-checksum-crc32c"), crc[0].1);
        end("HEAD with checksums, single", 2);
        begin();
        check(&head("parts", &mode).await, b"", "HEAD with checksums, parts");
        end("HEAD with checksums, parts", 2);
        for (key, len) in [("single", single.len()), ("parts", parts.len())] {
            begin();
            let attributes = [("x-amz-object-attributes", "ObjectSize")];
            assert_eq!(get(key, &attributes, &[("attributes", "")]).await.field("ObjectSize"), len.to_string());
            end("GetObjectAttributes", 2);
        }
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_part_takes_two_requests_and_its_first_at_another_member_a_look_at_the_upload() {
    let storage = Storage::new();
    let (relay, gateway, client) = counted(&storage).await;
    let other = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "two").await;
    let behind = other.client(ADMIN);
    let id = create(&client, "sealed", "k").await;
    for (client, number, expected) in
        [(&client, 1, 2), (&client, 2, 2), (&behind, 3, 3), (&behind, 4, 2), (&client, 5, 2)]
    {
        relay.seen();
        assert_eq!(part(client, "sealed", "k", &id, number, &bytes(PART)).await.status, StatusCode::OK);
        let seen = relay.seen();
        assert_eq!(seen.len(), expected, "part {number}: {seen:?}");
    }
    // A small one is held until it is known whether it is the last: not in the upload, which must be seen to be open.
    relay.seen();
    assert_eq!(part(&client, "sealed", "k", &id, 6, &bytes(10)).await.status, StatusCode::OK);
    let seen = relay.seen();
    assert_eq!(seen.len(), 3, "{seen:?}");
    other.end().await;
    gateway.end().await;
    relay.end().await;
}

fn checksum(body: &[u8]) -> String {
    let mut hasher = crate::s3::checksum::Hasher::new(envelope::ChecksumAlgorithm::Crc32c);
    hasher.update(body);
    crate::s3::checksum::encode(&hasher.finish()).to_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_known_of_an_object_gives_nothing_once_it_is_another_one() {
    let storage = Storage::new();
    let (relay, gateway, client) = counted(&storage).await;
    // Another member, of which the first learns nothing.
    let other = Gateway::start(&storage, "two").await;
    let behind = other.client(ADMIN);
    let range = "bytes=70000-70009";
    for (size, sealed) in [(300_000, true), (80_000, true), (300_000, false)] {
        client.put("sealed", "k", &bytes(200_000)).await;
        assert_eq!(client.range("sealed", "k", range).await.status, StatusCode::PARTIAL_CONTENT);
        other.toggle("sealed", sealed).await;
        let body = bytes(size);
        assert_eq!(behind.put("sealed", "k", &body).await.status, StatusCode::OK);
        for _ in 0..2 {
            let answer = client.range("sealed", "k", range).await;
            assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{size} {sealed}: {answer:?}");
            assert!(answer.body == body[70_000..70_010], "{size} {sealed}");
            assert_eq!(answer.header("content-range"), format!("bytes 70000-70009/{size}"));
        }
    }
    client.put("sealed", "k", &bytes(200_000)).await;
    client.range("sealed", "k", range).await;
    behind.send(Method::DELETE, "sealed", "k", &[], &[], b"").await;
    assert_eq!(client.range("sealed", "k", range).await.code(), "NoSuchKey");
    other.end().await;
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn bytes_that_were_changed_behind_what_is_known_are_never_served() {
    let storage = Storage::new();
    let (relay, gateway, client) = counted(&storage).await;
    let body = bytes(300_000);
    client.put("sealed", "k", &body).await;
    assert_eq!(client.range("sealed", "k", "bytes=70000-70009").await.status, StatusCode::PARTIAL_CONTENT);
    let (head, stored) = storage.get("sealed", "k").await;
    let mut changed = stored.to_vec();
    changed[70_100] ^= 1;
    // The storage insists on the ETag of before.
    let etag = head.get("etag").unwrap().clone();
    storage.put("sealed", "k", &head, changed.into(), |_| true).await;
    relay.rule(move |request| {
        if request.headers().contains_key("if-match") {
            return super::relay::Act::Lie(etag.clone());
        }
        super::relay::Act::Pass
    });
    let answer = client.range("sealed", "k", "bytes=70000-70009").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"));
    assert!(client.range("sealed", "k", "bytes=0-9").await.body == body[..10]);
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_range_of_a_mebibyte_takes_at_most_1_13_times_its_bytes_from_the_storage_also_the_first_time() {
    const ASKED: usize = 1 << 20;
    let storage = Storage::new();
    let (relay, gateway, client) = counted(&storage).await;
    let body = bytes(2 * PART);
    client.put("sealed", "single", &body).await;
    let id = create(&client, "sealed", "parts").await;
    let mut parts = Vec::new();
    for (number, some) in body.chunks(PART).enumerate() {
        let number = u16::try_from(number + 1).unwrap();
        parts.push((number, part(&client, "sealed", "parts", &id, number, some).await.header("etag").to_owned()));
    }
    let named: Vec<_> = parts.iter().map(|(number, etag)| (*number, etag.as_str())).collect();
    assert_eq!(complete(&client, "sealed", "parts", &id, &named).await.status, StatusCode::OK);
    for key in ["single", "parts"] {
        for start in [PART - ASKED / 2 + 7, 1, 2 * PART - ASKED] {
            relay.fetched();
            let answer = client.range("sealed", key, &format!("bytes={start}-{}", start + ASKED - 1)).await;
            assert!(answer.body == body[start..start + ASKED], "{key} {start}: {}", answer.status);
            let fetched = relay.fetched();
            assert!(fetched * 100 <= 113 * ASKED as u64, "{key}, {start}: {fetched} bytes");
        }
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_range_of_a_plain_object_takes_one_request_once_it_is_known_to_be_plain() {
    let storage = Storage::new();
    let (relay, gateway, client) = counted(&storage).await;
    let body = bytes(300_000);
    storage.put("sealed", "before", &http::HeaderMap::new(), body.clone().into(), |_| true).await;
    for expected in [2, 1, 1] {
        relay.seen();
        assert!(client.range("sealed", "before", "bytes=70000-70009").await.body == body[70_000..70_010]);
        assert_eq!(relay.seen().len(), expected);
    }
    gateway.toggle("sealed", false).await;
    client.put("sealed", "through", &body).await;
    relay.seen();
    assert!(client.range("sealed", "through", "bytes=-10").await.body == body[299_990..]);
    assert_eq!(relay.seen().len(), 1);
    gateway.end().await;
    relay.end().await;
}
