//! Bodies as clients really send them: aws-chunked, with trailers, broken off. Spoken over a bare socket.

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

use super::gateway::{ADMIN, Gateway, Storage, bytes};

/// Sends a PUT with these headers, signed, and this body; what comes back until the connection is idle or closed.
pub(super) async fn put(
    gateway: &Gateway,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    unsigned: &[(&str, &str)],
) -> String {
    let host = gateway.address.to_string();
    let length = headers.iter().find(|(name, _)| *name == "content-length").map_or("", |(_, value)| value);
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
    let url = format!("http://{host}{path}");
    let all = headers.iter().copied().chain([("host", host.as_str())]);
    let payload = if headers.iter().any(|(name, _)| ["x-amz-trailer", "x-amz-decoded-content-length"].contains(name)) {
        SignableBody::StreamingUnsignedPayloadTrailer
    } else {
        SignableBody::UnsignedPayload
    };
    let signable = SignableRequest::new("PUT", &url, all.clone(), payload).unwrap();
    let (instructions, _) = sign(signable, &params).unwrap().into_parts();
    let mut text = format!("PUT {path} HTTP/1.1\r\nconnection: close\r\n");
    for (name, value) in all.chain(instructions.headers()).chain(unsigned.iter().copied()) {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    // The gateway may answer and close before it has read all.
    let _ = socket.write_all(body).await;
    if body.len().to_string() != length {
        // Less than was announced: the client dies.
        socket.shutdown().await.unwrap();
    }
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn chunked(data: &[u8], trailer: &str) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", data.len()).into_bytes();
    out.extend_from_slice(data);
    out.extend_from_slice(format!("\r\n0\r\n{trailer}\r\n").as_bytes());
    out
}

#[tokio::test]
async fn trailing_checksums_are_verified_and_nothing_is_stored_where_they_are_wrong_or_missing() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let data = bytes(200_000);
    let length = data.len().to_string();
    let mut hasher = crate::s3::checksum::Hasher::new(envelope::ChecksumAlgorithm::Crc32);
    hasher.update(&data);
    let right = crate::s3::checksum::encode(&hasher.finish()).to_str().unwrap().to_owned();
    let right = format!("x-amz-checksum-crc32:{right}\r\n");
    for bucket in ["plain", "sealed"] {
        for (key, trailer, declared, expected) in [
            ("right", right.as_str(), length.as_str(), "200 OK"),
            ("wrong", "x-amz-checksum-crc32:AAAAAQ==\r\n", &length, "BadDigest"),
            ("missing", "", &length, "InvalidRequest"),
            ("other", "x-amz-checksum-sha1:AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n", &length, "InvalidRequest"),
            ("longer", &right, "200001", "IncompleteBody"),
            ("shorter", &right, "199999", "IncompleteBody"),
        ] {
            let body = chunked(&data, trailer);
            let coded = body.len().to_string();
            let headers = [
                ("content-encoding", "aws-chunked"),
                ("x-amz-decoded-content-length", declared),
                ("x-amz-trailer", "x-amz-checksum-crc32"),
                ("content-length", &coded),
            ];
            let answer = put(&gateway, &format!("/{bucket}/{key}"), &headers, &body, &[]).await;
            assert!(answer.contains(expected), "{bucket} {key}: {answer}");
            assert_eq!(storage.has(bucket, key).await, key == "right", "{bucket} {key}");
        }
        let get = client.get(bucket, "right").await;
        assert!(get.body == data);
        assert_eq!(get.header("content-encoding"), "");
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_client_that_dies_half_way_leaves_nothing_behind() {
    let storage = Storage::new();
    let (gateway, _) = Gateway::with_buckets(&storage).await;
    for bucket in ["plain", "sealed"] {
        put(&gateway, &format!("/{bucket}/k"), &[("content-length", "3000000")], &bytes(1_000_000), &[]).await;
        assert!(!storage.has(bucket, "k").await, "{bucket}");
        // Cut off behind a whole chunk, where only the last chunk is missing.
        let coded = [
            ("content-length", "1000000"),
            ("x-amz-decoded-content-length", "5"),
            ("x-amz-trailer", "x-amz-checksum-crc32"),
            ("content-encoding", "aws-chunked"),
        ];
        put(&gateway, &format!("/{bucket}/k"), &coded, b"5\r\nhello\r\n", &[]).await;
        assert!(!storage.has(bucket, "k").await, "{bucket}");
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_header_that_was_not_signed_cannot_turn_a_request_into_another() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("sealed", "secret", b"x").await;
    let headers = [("content-length", "0")];
    let answer = put(&gateway, "/plain/k", &headers, b"", &[("x-amz-copy-source", "/sealed/secret")]).await;
    assert!(answer.contains("403 Forbidden") && answer.contains("not signed"), "{answer}");
    assert!(!storage.has("plain", "k").await);
    gateway.end().await;
}
