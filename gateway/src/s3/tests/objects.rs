//! What is stored reads back, and clients see plaintext everywhere.

use http::{Method, StatusCode};

use super::gateway::{Gateway, Storage, bytes};

const SIZES: [usize; 6] = [0, 1, 65_535, 65_536, 65_537, 300_000];

#[tokio::test]
async fn every_size_reads_back_whole_and_in_ranges_plain_and_sealed() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for bucket in ["plain", "sealed"] {
        for size in SIZES {
            let (key, body) = (format!("k/{size} ü%+"), bytes(size));
            let put = client.send(Method::PUT, bucket, &key, &[], &[("x-amz-meta-a", "b")], &body).await;
            assert_eq!(put.status, StatusCode::OK, "{put:?}");
            let get = client.get(bucket, &key).await;
            assert_eq!(get.status, StatusCode::OK, "{bucket} {size}: {get:?}");
            assert!(get.body == body, "{bucket} {size}");
            let head = client.head(bucket, &key).await;
            assert_eq!(head.header("content-length"), size.to_string());
            assert_eq!(head.header("x-amz-meta-a"), "b");
            assert_eq!(head.header("etag"), put.header("etag"));
            assert_eq!(get.header("etag"), put.header("etag"));
            assert!(head.headers.keys().all(|name| !name.as_str().contains("gse-")), "{head:?}");
            for (range, from, to) in [
                ("bytes=0-0", 0, 1),
                ("bytes=65530-65540", 65_530, 65_541),
                ("bytes=-7", size.saturating_sub(7), size),
                ("bytes=65536-", 65_536, size),
            ] {
                let part = client.range(bucket, &key, range).await;
                let to = to.min(size);
                if from >= to {
                    assert_eq!(
                        (part.status, part.code().as_str()),
                        (StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange"),
                        "{bucket} {size} {range}"
                    );
                } else {
                    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{bucket} {size} {range}");
                    assert!(part.body == body[from..to], "{bucket} {size} {range}");
                    assert_eq!(part.header("content-range"), format!("bytes {from}-{}/{size}", to - 1));
                }
            }
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn sealed_objects_are_ciphertext_at_the_storage_and_plain_ones_are_what_was_sent() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let marker = b"a marker of the plaintext ".repeat(400);
    let put = client.put("sealed", "k", &marker).await;
    assert_eq!(put.header("x-amz-server-side-encryption"), "aws:kms");
    assert_eq!(put.header("x-amz-server-side-encryption-aws-kms-key-id"), "sealgate/main");
    assert!(put.header("etag").ends_with("-1\""));
    client.put("plain", "k", &marker).await;
    let (head, stored) = storage.get("sealed", "k").await;
    assert!(!stored.windows(20).any(|window| window == &marker[..20]));
    assert_eq!(head.get("x-amz-meta-gse-kms").unwrap(), "main");
    let (head, stored) = storage.get("plain", "k").await;
    assert!(stored == marker);
    assert!(head.keys().all(|name| !name.as_str().contains("gse-")));
    gateway.end().await;
}

#[tokio::test]
async fn lists_show_plaintext_sizes_and_visible_etags_with_and_without_the_ledger() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let put = client.put("sealed", "a&b", &bytes(1000)).await;
    gateway.toggle("sealed", false).await;
    client.put("sealed", "plain", &bytes(5)).await;
    let other = Gateway::start(&storage, "two").await;
    for client in [client.clone(), other.client(super::gateway::ADMIN)] {
        for query in [&[("list-type", "2")][..], &[], &[("list-type", "2"), ("encoding-type", "url")]] {
            let list = client.send(Method::GET, "sealed", "", query, &[], b"").await;
            let text = String::from_utf8(list.body.to_vec()).unwrap();
            assert!(text.contains("<Size>1000</Size>") && text.contains("<Size>5</Size>"), "{text}");
            assert!(text.contains(put.header("etag").trim_matches('"')), "{text}");
        }
    }
    other.end().await;
    gateway.end().await;
}

#[tokio::test]
async fn conditions_are_judged_by_the_etag_that_clients_see() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let etag = client.put("sealed", "k", b"one").await.header("etag").to_owned();
    let get =
        async |name, value: &str| client.send(Method::GET, "sealed", "k", &[], &[(name, value)], b"").await.status;
    assert_eq!(get("if-match", &etag).await, StatusCode::OK);
    assert_eq!(get("if-match", "\"0123\"").await, StatusCode::PRECONDITION_FAILED);
    assert_eq!(get("if-none-match", &etag).await, StatusCode::NOT_MODIFIED);
    assert_eq!(get("if-none-match", "\"0123\"").await, StatusCode::OK);
    let put =
        async |name, value: &str| client.send(Method::PUT, "sealed", "k", &[], &[(name, value)], b"two").await.status;
    assert_eq!(put("if-none-match", "*").await, StatusCode::PRECONDITION_FAILED);
    assert_eq!(put("if-match", "\"0123-1\"").await, StatusCode::PRECONDITION_FAILED);
    assert_eq!(client.get("sealed", "k").await.body, "one");
    assert_eq!(put("if-match", &etag).await, StatusCode::OK);
    gateway.end().await;
}

#[tokio::test]
async fn all_four_pairs_of_a_copy_read_back_and_an_encrypted_source_stays_encrypted() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let body = bytes(200_000);
    for source in ["plain", "sealed"] {
        client
            .send(Method::PUT, source, "from %+", &[], &[("x-amz-meta-a", "b"), ("content-type", "text/x")], &body)
            .await;
        for to in ["plain", "sealed"] {
            let from = format!("/{source}/from%20%25%2B");
            let key = format!("to-{source}");
            let copy = client.send(Method::PUT, to, &key, &[], &[("x-amz-copy-source", &from)], b"").await;
            assert_eq!(copy.status, StatusCode::OK, "{copy:?}");
            let get = client.get(to, &key).await;
            assert!(get.body == body);
            assert_eq!((get.header("x-amz-meta-a"), get.header("content-type")), ("b", "text/x"));
            assert_eq!(copy.field("ETag"), get.header("etag"));
            let encrypted = source == "sealed" || to == "sealed";
            assert_eq!(get.header("x-amz-server-side-encryption") == "aws:kms", encrypted, "{source} {to}");
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_bucket_is_switched_by_its_encryption_rule_and_old_objects_of_both_kinds_read() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let rule = b"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>";
    let encryption = &[("encryption", "")][..];
    client.put("plain", "before", b"1").await;
    assert_eq!(client.send(Method::GET, "plain", "", encryption, &[], b"").await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.send(Method::PUT, "plain", "", encryption, &[], rule).await.status, StatusCode::OK);
    assert_eq!(client.send(Method::GET, "plain", "", encryption, &[], b"").await.field("SSEAlgorithm"), "aws:kms");
    assert_ne!(client.put("plain", "during", b"2").await.header("x-amz-server-side-encryption"), "");
    assert_eq!(client.send(Method::DELETE, "plain", "", encryption, &[], b"").await.status, StatusCode::NO_CONTENT);
    assert_eq!(client.put("plain", "after", b"3").await.header("x-amz-server-side-encryption"), "");
    for (key, body) in [("before", "1"), ("during", "2"), ("after", "3")] {
        assert_eq!(client.get("plain", key).await.body, body);
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_body_that_looks_sealed_is_sealed_and_reads_back() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let body = [&envelope::MAGIC[..], b"and more"].concat();
    client.put("plain", "k", &body).await;
    let stored = storage.get("plain", "k").await.0;
    assert!(stored.contains_key("x-amz-meta-gse-v"));
    let sealed = crate::s3::headers::sealed_metadata(&stored).expect("legal").expect("sealed");
    assert_eq!(sealed.header().expect("there was room").cause(), envelope::Cause::Lookalike);
    assert!(client.get("plain", "k").await.body == body);
    gateway.end().await;
}

#[tokio::test]
async fn a_stopping_gateway_ends_the_request_in_flight() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("sealed", "k", &bytes(5_000_000)).await;
    let request = crate::upstream::request(Method::GET, crate::upstream::uri("sealed", Some("k"), &[]));
    let response = client.0.call(request).await.unwrap();
    gateway.stop();
    let body = crate::upstream::collect(response.into_body(), 64 << 20).await.unwrap().unwrap();
    assert_eq!(body.len(), 5_000_000);
    gateway.end().await;
}

#[tokio::test]
async fn a_replica_shows_plaintext_sizes_once_it_is_told_where_its_objects_were() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let body = bytes(1000);
    let etag = client.put("sealed", "k", &body).await.header("etag").to_owned();
    let (head, stored) = storage.get("sealed", "k").await;
    assert_eq!(client.send(Method::PUT, "replica", "", &[], &[], b"").await.status, StatusCode::OK);
    storage.put("replica", "k", &head, stored, |_| true).await;
    let moved = client.get("replica", "k").await;
    assert_eq!(moved.status, StatusCode::INTERNAL_SERVER_ERROR);
    let former = || crate::group::FormerPlace {
        bucket: "replica".to_owned(),
        prefix: String::new(),
        former_bucket: "sealed".to_owned(),
        former_prefix: String::new(),
    };
    let told = gateway.front.group.edit(|document| {
        document.former_places.push(former());
        Ok(())
    });
    told.await.unwrap();
    assert!(client.get("replica", "k").await.body == body);
    let list = client.send(Method::GET, "replica", "", &[], &[], b"").await;
    assert_eq!(list.field("Size"), "1000");
    let same = client.send(Method::GET, "replica", "k", &[], &[("if-none-match", &etag)], b"").await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    gateway.end().await;
}
