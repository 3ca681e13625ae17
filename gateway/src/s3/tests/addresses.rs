//! Buckets in the host, presigned URLs of every operation, preflights.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::gateway::{ADMIN, Gateway, Storage};
use super::hostile::{exchange, presigned};

/// Sends a request to the gateway under this host, signed for `signed_host`.
async fn hosted(gateway: &Gateway, (host, signed_host): (&str, &str), line: &str, body: &str) -> String {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let identity: Identity = Credentials::new(ADMIN.0, ADMIN.1, None, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let (method, target) = line.split_once(' ').unwrap();
    let url = format!("http://{signed_host}{target}");
    let headers = [("host", signed_host)].into_iter();
    let signable = SignableRequest::new(method, &url, headers, SignableBody::Bytes(body.as_bytes())).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    let length = body.len();
    let mut text = format!("{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n");
    for (name, value) in instructions.headers() {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.extend(["\r\n", body]);
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_bucket_in_the_host_is_the_bucket_and_the_signature_is_over_the_host_that_came() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for (bucket, body) in [("plain", "in the clear"), ("sealed", "sealed")] {
        let host = format!("{bucket}.s3.test:9000");
        let hosts = (host.as_str(), host.as_str());
        let put = hosted(&gateway, hosts, "PUT /a%20b/c", body).await;
        assert!(put.starts_with("HTTP/1.1 200"), "{put}");
        assert_eq!(client.get(bucket, "a b/c").await.body, body);
        assert_eq!(storage.get(bucket, "a b/c").await.1 == body, bucket == "plain");
        let get = hosted(&gateway, hosts, "GET /a%20b/c", "").await;
        assert!(get.starts_with("HTTP/1.1 200") && get.ends_with(body), "{get}");
        let list = hosted(&gateway, hosts, "GET /?list-type=2", "").await;
        assert!(list.contains(&format!("<Name>{bucket}</Name>")) && list.contains("<Key>a b/c</Key>"), "{list}");
        // The domain itself takes the bucket from the path.
        let get = hosted(&gateway, ("s3.test", "s3.test"), &format!("GET /{bucket}/a%20b/c"), "").await;
        assert!(get.ends_with(body), "{get}");
    }
    // Signed for the object of one bucket, sent to another.
    let answer = hosted(&gateway, ("sealed.s3.test", "plain.s3.test"), "GET /a%20b/c", "").await;
    assert!(answer.contains("<Code>SignatureDoesNotMatch</Code>"), "{answer}");
    for host in ["sealgate-system.s3.test", "SEALGATE-SYSTEM.S3.TEST"] {
        let answer = hosted(&gateway, (host, host), "GET /", "").await;
        assert!(answer.contains("<Code>NoSuchBucket</Code>"), "{answer}");
    }
    let answer = hosted(&gateway, ("a%2fb.s3.test", "s3.test"), "GET /", "").await;
    assert!(answer.contains("<Code>InvalidBucketName</Code>"), "{answer}");
    // Under a host that is no domain of ours the path names the bucket.
    let answer = hosted(&gateway, ("plain.elsewhere", "plain.elsewhere"), "GET /plain/a%20b/c", "").await;
    assert!(answer.ends_with("in the clear"), "{answer}");
    gateway.end().await;
}

#[tokio::test]
async fn a_preflight_is_answered_by_the_storage_without_a_signature() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("sealed", "k", b"x").await;
    let asks = [("origin", "http://app.example"), ("access-control-request-method", "GET")];
    let presigned = presigned(&gateway, ADMIN, "GET", "/sealed/k");
    for (path, headers, status, code) in [
        ("/sealed/k", &asks[..], "403", "AccessForbidden"),
        ("/sealed", &asks, "403", "AccessForbidden"),
        (&presigned, &asks, "403", "AccessForbidden"),
        ("/sealgate-system/k", &asks, "404", "NoSuchBucket"),
        ("/nowhere/k", &asks, "404", "NoSuchBucket"),
        ("/", &asks, "405", "MethodNotAllowed"),
    ] {
        let answer = exchange(&gateway, &format!("OPTIONS {path}"), headers, b"").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(code), "{path} {answer}");
        assert!(!answer.to_ascii_lowercase().contains("access-control-allow-origin"), "{answer}");
    }
    // No rule: the answer itself stays as it is.
    let answer = exchange(&gateway, &format!("GET {presigned}"), &asks[..1], b"").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with('x'), "{answer}");
    gateway.end().await;
}
