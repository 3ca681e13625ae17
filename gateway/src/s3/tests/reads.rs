//! Reads under conditions, and of objects of which the storage does not say what they are.

use http::{HeaderMap, Method, StatusCode};

use super::gateway::{ADMIN, Gateway, Storage, bytes, service};
use super::relay::{Act, Relay};

#[tokio::test]
async fn a_download_that_is_resumed_gets_bytes_of_the_object_that_it_began_with_or_all_anew() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let (old, new) = (bytes(200_000), bytes(200_000));
    for bucket in ["plain", "sealed"] {
        let etag = client.put(bucket, "k", &old).await.header("etag").to_owned();
        let resume = async |method: Method, etag: &str| {
            client.send(method, bucket, "k", &[], &[("range", "bytes=100000-"), ("if-range", etag)], b"").await
        };
        let rest = resume(Method::GET, &etag).await;
        assert_eq!(rest.status, StatusCode::PARTIAL_CONTENT, "{bucket}");
        assert!(rest.body == old[100_000..]);
        if bucket == "sealed" {
            assert_eq!(resume(Method::HEAD, &etag).await.status, StatusCode::PARTIAL_CONTENT);
        }
        client.put(bucket, "k", &new).await;
        let whole = resume(Method::GET, &etag).await;
        assert_eq!(whole.status, StatusCode::OK, "{bucket}");
        assert!(whole.body == new, "{}", whole.body.len());
        if bucket == "sealed" {
            assert_eq!(resume(Method::HEAD, &etag).await.header("content-length"), "200000");
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn an_object_that_was_not_modified_is_told_by_the_etag_that_clients_know() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    client.send(Method::PUT, "sealed", "", &[], &[], b"").await;
    gateway.toggle("sealed", true).await;
    let etag = client.put("sealed", "k", b"data").await.header("etag").to_owned();
    let (stored, _) = storage.get("sealed", "k").await;
    // A storage that tells in a 304 what it tells in a 200.
    relay.rule(move |request| {
        if !request.headers().contains_key("if-modified-since") {
            return Act::Pass;
        }
        let mut answer = http::Response::new(crate::upstream::empty());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        for (name, value) in &stored {
            if name == "etag" || name.as_str().starts_with("x-amz-meta-") {
                answer.headers_mut().insert(name.clone(), value.clone());
            }
        }
        Act::Answer(answer)
    });
    for method in [Method::GET, Method::HEAD] {
        let since = [("if-modified-since", "Wed, 21 Oct 2099 07:28:00 GMT")];
        let answer = client.send(method.clone(), "sealed", "k", &[], &since, b"").await;
        assert_eq!((answer.status, answer.header("etag")), (StatusCode::NOT_MODIFIED, etag.as_str()), "{method}");
        assert!(answer.headers.keys().all(|name| !name.as_str().contains("gse-")), "{answer:?}");
        // Another object than the client means is told as such, whatever the date says.
        let both = [since[0], ("if-match", "\"0123\"")];
        let answer = client.send(method, "sealed", "k", &[], &both, b"").await;
        assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn no_range_of_an_object_whose_metadata_was_stripped_is_served_as_if_plain() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let body = bytes(300_000);
    client.put("sealed", "k", &body).await;
    let (_, stored) = storage.get("sealed", "k").await;
    storage.put("sealed", "k", &HeaderMap::new(), stored, |_| false).await;
    // The last by the ledger: a range that does not begin at 0 shows no magic.
    for (range, from, to) in [("bytes=0-0", 0, 1), ("bytes=0-3", 0, 4), ("bytes=0-8", 0, 9), ("bytes=1-9", 1, 10)] {
        let answer = client.range("sealed", "k", range).await;
        assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT, "{range}: {answer:?}");
        assert!(answer.body == body[from..to], "{range}");
    }
    assert_eq!(client.head("sealed", "k").await.header("content-length"), "300000");
    let from = [("x-amz-copy-source", "/sealed/k")];
    let copy = client.send(Method::PUT, "plain", "c", &[], &from, b"").await;
    assert_eq!(copy.status, StatusCode::INTERNAL_SERVER_ERROR, "{copy:?}");
    assert!(!storage.has("plain", "c").await);
    gateway.end().await;
}

#[tokio::test]
async fn every_request_of_a_read_carries_the_keys_of_the_client() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    client.send(Method::PUT, "sealed", "", &[], &[], b"").await;
    gateway.toggle("sealed", true).await;
    // A storage with keys of the client's own, as far as asking for them goes.
    relay.rule(|request| {
        let name = "x-amz-server-side-encryption-customer-key";
        let of_object = request.uri().path().starts_with("/sealed/");
        if of_object && !request.headers().contains_key(name) {
            let mut answer = http::Response::new(crate::upstream::empty());
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            return Act::Answer(answer);
        }
        Act::Change(Box::new(move |request| {
            for name in ["x-amz-copy-source-server-side-encryption-customer-key", name] {
                request.headers_mut().remove(name);
            }
        }))
    });
    let key = [("x-amz-server-side-encryption-customer-key", "secret")];
    let body = bytes(200_000);
    let put = client.send(Method::PUT, "sealed", "k", &[], &key, &body).await;
    assert_eq!(put.status, StatusCode::OK, "{put:?}");
    let range = [key[0], ("range", "bytes=70000-70009")];
    let part = client.send(Method::GET, "sealed", "k", &[], &range, b"").await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{part:?}");
    assert!(part.body == body[70_000..70_010]);
    let again = [key[0], ("if-match", put.header("etag"))];
    assert_eq!(client.send(Method::PUT, "sealed", "k", &[], &again, &body).await.status, StatusCode::OK);
    gateway.end().await;
    relay.end().await;
}
