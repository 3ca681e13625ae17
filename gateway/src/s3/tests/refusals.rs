//! What is refused, and that nothing is stored then.

use http::{Method, StatusCode};

use super::gateway::{ADMIN, Gateway, Storage, bytes};
use super::hostile::exchange;
use crate::group::Action;

#[tokio::test]
async fn without_a_key_nothing_is_stored_where_encryption_is_due() {
    let storage = Storage::new();
    let gateway = Gateway::start(&storage, "one").await;
    let client = gateway.client(ADMIN);
    client.send(Method::PUT, "sealed", "", &[], &[], b"").await;
    gateway.toggle("sealed", true).await;
    let put = client.put("sealed", "k", b"plaintext").await;
    assert_eq!((put.status, put.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"));
    assert_ne!(put.header("retry-after"), "");
    let create = client.send(Method::POST, "sealed", "k", &[("uploads", "")], &[], b"").await;
    assert_eq!(create.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!storage.has("sealed", "k").await);
    gateway.end().await;
}

#[tokio::test]
async fn wrong_checksums_are_refused_and_nothing_is_stored() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for bucket in ["plain", "sealed"] {
        for size in [0, 5, 100_000, 2_000_000] {
            let body = bytes(size);
            for (name, value, code) in [
                ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==", "BadDigest"),
                ("content-md5", "no", "InvalidDigest"),
                ("x-amz-checksum-crc32", "AAAAAQ==", "BadDigest"),
                ("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "BadDigest"),
                ("x-amz-checksum-sha256", "AA==", "BadDigest"),
            ] {
                let put = client.send(Method::PUT, bucket, "k", &[], &[(name, value)], &body).await;
                assert_eq!(
                    (put.status, put.code().as_str()),
                    (StatusCode::BAD_REQUEST, code),
                    "{bucket} {size} {name}"
                );
                assert!(!storage.has(bucket, "k").await, "{bucket} {size} {name}");
            }
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn who_signs_wrongly_is_told_what_is_wrong() {
    let storage = Storage::new();
    let gateway = Gateway::start(&storage, "one").await;
    for (credential, code, words) in [
        ((ADMIN.0, "another secret"), "SignatureDoesNotMatch", "does not match the signature you provided"),
        (("AKNOBODY", "any secret"), "InvalidAccessKeyId", "does not exist in our records"),
    ] {
        let answer = gateway.client(credential).send(Method::GET, "plain", "k", &[], &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, code));
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(text.contains(words) && text.contains("<RequestId>"), "{text}");
    }
    // What is no signature at all is not verified, and told in the words of S3.
    let scope = "Credential=a/20300101/us-east-1/s3/aws4_request";
    let (lacks, other) = (format!("AWS4-HMAC-SHA256 {scope}"), "Basic YTpi".to_owned());
    let whole = format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=00");
    for (authorization, content, status, code) in [
        ("", "UNSIGNED-PAYLOAD", 403, "AccessDenied"),
        (&other, "UNSIGNED-PAYLOAD", 400, "InvalidArgument"),
        ("AWS AKADMIN:AAAA", "UNSIGNED-PAYLOAD", 403, "RequestTimeTooSkewed"),
        (&lacks, "UNSIGNED-PAYLOAD", 400, "AuthorizationHeaderMalformed"),
        (&whole, "garbage", 400, "InvalidArgument"),
    ] {
        let headers =
            [("authorization", authorization), ("x-amz-date", "20300101T000000Z"), ("x-amz-content-sha256", content)];
        let answer = exchange(&gateway, "GET /plain/k", &headers, b"").await;
        let told =
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(&format!("<Code>{code}</Code>"));
        assert!(told, "{authorization:?} {content}: {answer}");
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_refusal_of_the_storage_names_the_request_as_its_header_does() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for (bucket, code) in [("plain", "NoSuchKey"), ("sealed", "NoSuchKey"), ("nowhere", "NoSuchBucket")] {
        let answer = client.get(bucket, "missing").await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, code));
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let named = format!("<RequestId>{}</RequestId>", answer.header("x-amz-request-id"));
        assert!(text.contains(&named), "{named} {text}");
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    }
    gateway.end().await;
}

#[tokio::test]
async fn headers_of_ours_are_refused() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for bucket in ["plain", "sealed"] {
        let put = client.send(Method::PUT, bucket, "k", &[], &[("x-amz-meta-gse-v", "1")], b"x").await;
        assert_eq!((put.status, put.code().as_str()), (StatusCode::BAD_REQUEST, "InvalidArgument"));
        assert!(!storage.has(bucket, "k").await);
    }
    gateway.end().await;
}

#[tokio::test]
async fn grants_bound_what_a_credential_may_do() {
    let storage = Storage::new();
    let (gateway, admin) = Gateway::with_buckets(&storage).await;
    admin.put("sealed", "secret", b"x").await;
    let writer = gateway.credential("WRITER", &[("plain", &[Action::Write])]).await;
    assert_eq!(writer.put("plain", "k", b"x").await.status, StatusCode::OK);
    let denied = |answer: super::gateway::Answer| assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
    denied(writer.get("plain", "k").await);
    denied(writer.put("sealed", "k", b"x").await);
    denied(writer.send(Method::DELETE, "plain", "k", &[], &[], b"").await);
    denied(writer.send(Method::GET, "plain", "", &[], &[], b"").await);
    denied(writer.send(Method::PUT, "plain", "", &[("policy", "")], &[], b"{}").await);
    denied(writer.send(Method::PUT, "plain", "k", &[], &[("x-amz-acl", "public-read")], b"x").await);
    denied(writer.send(Method::PUT, "plain", "c", &[], &[("x-amz-copy-source", "/sealed/secret")], b"").await);
    denied(writer.send(Method::PUT, "plain", "k", &[("unheard-of", "")], &[], b"x").await);
    assert!(!storage.has("plain", "c").await);
    let wrong = gateway.client((ADMIN.0, "another secret"));
    let answer = wrong.put("plain", "w", b"x").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"));
    assert!(!storage.has("plain", "w").await);
    gateway.end().await;
}

#[tokio::test]
async fn the_system_bucket_does_not_exist_for_clients() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let list = client.send(Method::GET, "sealgate-system", "", &[], &[], b"").await;
    assert_eq!((list.status, list.code().as_str()), (StatusCode::NOT_FOUND, "NoSuchBucket"));
    assert_eq!(client.put("sealgate-system", "k", b"x").await.status, StatusCode::NOT_FOUND);
    assert_eq!(client.send(Method::PUT, "sealgate-system", "", &[], &[], b"").await.status, StatusCode::CONFLICT);
    let from = [("x-amz-copy-source", "/sealgate-system/group/1")];
    assert_eq!(client.send(Method::PUT, "plain", "k", &[], &from, b"").await.status, StatusCode::NOT_FOUND);
    let buckets = client.send(Method::GET, "", "", &[], &[], b"").await;
    let text = String::from_utf8(buckets.body.to_vec()).unwrap();
    assert!(text.contains("<Name>plain</Name>") && !text.contains("sealgate-system"), "{text}");
    gateway.end().await;
}

#[tokio::test]
async fn what_could_pass_around_the_gateway_is_not_offered_where_encryption_was_due() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("sealed", "k", b"x").await;
    gateway.toggle("sealed", false).await;
    for (method, query) in [
        (Method::PUT, &[("append", ""), ("position", "1")][..]),
        (Method::POST, &[("select", ""), ("select-type", "2")]),
        (Method::GET, &[("torrent", "")]),
        (Method::PUT, &[("renameObject", "")]),
    ] {
        let answer = client.send(method, "sealed", "k", query, &[], b"").await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::NOT_IMPLEMENTED, "NotImplemented"),
            "{query:?}"
        );
        // The gateway says so itself, and does not leave it to a storage that may know the request.
        assert!(answer.field("Message").contains("may be due"), "{answer:?}");
    }
    gateway.end().await;
}
