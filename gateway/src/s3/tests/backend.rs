//! The backend `s3`: a gateway over an S3 service on a socket, which here is the directory storage.

use http::{Method, StatusCode};

use super::gateway::{ADMIN, Gateway, Storage, bytes, service};
use super::relay::Relay;

#[tokio::test]
async fn a_gateway_over_an_s3_service_stores_ciphertext_there_and_nothing_that_was_refused() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    assert_eq!(client.send(Method::PUT, "sealed", "", &[], &[], b"").await.status, StatusCode::OK);
    gateway.toggle("sealed", true).await;
    let key = "a b+%/\u{e4}";
    // Kept and hashed, and streamed behind a "continue".
    for size in [0, 1000, 3_000_000] {
        let body = bytes(size);
        let put = client.put("sealed", key, &body).await;
        assert_eq!(put.status, StatusCode::OK, "{put:?}");
        assert!(client.get("sealed", key).await.body == body);
        let (head, stored) = storage.get("sealed", key).await;
        assert!(head.contains_key("x-amz-meta-gse-v") && stored.len() > size);
    }
    let wrong = [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")];
    for size in [1000, 3_000_000] {
        let put = client.send(Method::PUT, "sealed", "wrong", &[], &wrong, &bytes(size)).await;
        assert_eq!(put.code(), "BadDigest", "{size}");
        assert!(!storage.has("sealed", "wrong").await, "{size}");
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_storage_that_is_gone_is_told_as_busy_and_nothing_is_invented() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    let client = gateway.client(ADMIN);
    client.send(Method::PUT, "plain", "", &[], &[], b"").await;
    relay.end().await;
    for (method, key) in [(Method::GET, "k"), (Method::PUT, "k"), (Method::GET, "")] {
        let answer = client.send(method.clone(), "plain", key, &[], &[], b"").await;
        let found = (answer.status, answer.code());
        assert_eq!(found, (StatusCode::SERVICE_UNAVAILABLE, "SlowDown".to_owned()), "{method} {key}");
    }
    gateway.end().await;
}
