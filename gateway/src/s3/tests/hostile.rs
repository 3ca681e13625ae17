//! Requests made to pass round the checks. Each was seen to succeed with its defence taken out.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use base64::Engine as _;
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::gateway::{ADMIN, Gateway, Storage, bytes, service_of_style};
use super::uploads::{complete, create, part};
use crate::group::{Action, Options};

/// A header that is well-formed, and names as signed what is not.
const LIE: &str = "AWS4-HMAC-SHA256 Credential=a/20300101/us-east-1/s3/aws4_request, \
                   SignedHeaders=host;x-amz-copy-source;x-amz-content-sha256;x-amz-date, Signature=00";
const LIES: [(&str, &str); 2] = [("x-amz-date", "20300101T000000Z"), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];

/// Sends this head and body, and reads until the connection ends.
pub(super) async fn exchange(gateway: &Gateway, line: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    let mut text = format!("{line} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", gateway.address);
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    // The gateway may answer and close before it has read all.
    let _ = socket.write_all(body).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A target that is presigned by version 4, for `host` alone.
pub(super) fn presigned(gateway: &Gateway, credential: (&str, &str), method: &str, target: &str) -> String {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_mins(10));
    let identity: Identity = Credentials::new(credential.0, credential.1, None, None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let mut request = http::Request::new(());
    *request.method_mut() = method.parse().unwrap();
    *request.uri_mut() = format!("http://{}{target}", gateway.address).parse().unwrap();
    let host = gateway.address.to_string();
    let url = request.uri().to_string();
    let headers = [("host", host.as_str())].into_iter();
    let signable = SignableRequest::new(method, &url, headers, SignableBody::UnsignedPayload).unwrap();
    sign(signable, &params).unwrap().into_parts().0.apply_to_request_http1x(&mut request);
    request.uri().path_and_query().unwrap().as_str().to_owned()
}

/// A target that is presigned by version 2.
/// `amz`: headers of S3's that come with it, which it covers, as they are signed.
fn presigned_v2(method: &str, path: &str, amz: &str) -> String {
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, ADMIN.1.as_bytes());
    let expires = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 600;
    let tag = aws_lc_rs::hmac::sign(&key, format!("{method}\n\n\n{expires}\n{amz}{path}").as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(tag);
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("{path}?AWSAccessKeyId={}&Expires={expires}&Signature={signature}", ADMIN.0)
}

#[tokio::test]
async fn a_presigned_url_cannot_be_turned_into_a_copy_by_what_names_its_signed_headers() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("sealed", "secret", b"x").await;
    let target = presigned(&gateway, ADMIN, "PUT", "/plain/k");
    // Every reader decodes names before it computes the signature: this URL is as good as the other.
    let coded = target.replace("X-Amz-SignedHeaders", "X-Amz-SignedHeader%73");
    assert_ne!(coded, target);
    for target in [&target, &coded] {
        let headers = [
            LIES[0],
            LIES[1],
            ("authorization", LIE),
            ("x-amz-copy-source", "/sealed/secret"),
            ("content-length", "0"),
        ];
        for headers in [&headers[..], &headers[3..]] {
            let answer = exchange(&gateway, &format!("PUT {target}"), headers, b"").await;
            assert!(!answer.contains("200 OK"), "{answer}");
            assert!(!storage.has("plain", "k").await, "{target}");
        }
    }
    // The URL itself does what it was made for, however it is written.
    let answer = exchange(&gateway, &format!("PUT {coded}"), &[("content-length", "5")], b"hello").await;
    assert!(answer.contains("200 OK"), "{answer}");
    assert_eq!(storage.get("plain", "k").await.1, "hello");
    gateway.end().await;
}

#[tokio::test]
async fn a_url_of_version_2_reaches_no_operation_that_its_signature_does_not_cover() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("plain", "k", b"hello").await;
    let target = presigned_v2("GET", "/plain/k", "");
    let answer = exchange(&gateway, &format!("GET {target}"), &[], b"").await;
    assert!(answer.ends_with("hello"), "{answer}");
    // Outside of what version 2 signs; the storage would say NotImplemented, the gateway must not ask it.
    for target in [format!("{target}&attributes"), target.replace("Signature=", "Signatur%65=") + "&attributes"] {
        let answer = exchange(&gateway, &format!("GET {target}"), &[], b"").await;
        assert!(answer.contains("AccessDenied"), "{target}: {answer}");
    }
    // A header of version 4 beside it does not make it one of version 4.
    let [date, content] = LIES;
    let signed = format!("{}:{}\n{}:{}\n", content.0, content.1, date.0, date.1);
    let target = presigned_v2("GET", "/plain/k", &signed);
    for target in [format!("{target}&attributes"), target.replace("Signature=", "Signatur%65=") + "&attributes"] {
        for headers in [&[date, content][..], &[date, content, ("authorization", LIE)]] {
            let answer = exchange(&gateway, &format!("GET {target}"), headers, b"").await;
            assert!(answer.contains("AccessDenied") || answer.contains("InvalidArgument"), "{target}: {answer}");
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_header_that_is_there_twice_hides_nothing_behind_the_first() {
    let storage = Storage::new();
    let (gateway, _) = Gateway::with_buckets(&storage).await;
    let writer = gateway.credential("WRITER", &[("plain", &[Action::Write])]).await;
    for pair in [
        [("x-amz-acl", "private"), ("x-amz-acl", "public-read")],
        [("x-amz-tagging", "a=b"), ("x-amz-tagging", "classification=pii")],
        [("content-type", "text/plain"), ("content-type", "text/x")],
    ] {
        let answer = writer.send(Method::PUT, "plain", "k", &[], &pair, b"x").await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "InvalidArgument"), "{pair:?}");
        assert!(answer.field("Message").contains("twice"), "{answer:?}");
    }
    assert!(!storage.has("plain", "k").await);
    gateway.end().await;
}

#[tokio::test]
async fn a_parameter_that_is_there_twice_reaches_no_other_upload() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let plain = create(&client, "plain", "k").await;
    gateway.toggle("plain", true).await;
    let sealed = create(&client, "plain", "k").await;
    let bare = sealed.strip_prefix("gse1.").unwrap();
    let query = [("partNumber", "1"), ("uploadId", plain.as_str()), ("uploadId", bare)];
    let answer = client.send(Method::PUT, "plain", "k", &query, &[], b"plaintext").await;
    assert_eq!((answer.code().as_str(), answer.status), ("InvalidArgument", StatusCode::BAD_REQUEST));
    assert!(answer.field("Message").contains("twice"), "{answer:?}");
    gateway.end().await;
}

#[tokio::test]
async fn a_bucket_that_becomes_a_host_name_is_not_reached_by_another_case() {
    let storage = Storage::new();
    let nowhere = service_of_style("127.0.0.1:9".parse().unwrap(), ("any", "any"), false);
    let home = storage.upstream.clone();
    let gateway = Gateway::assemble(&storage, nowhere, home, "sealgate-system", "one", Options::default()).await;
    let client = gateway.client(ADMIN);
    for bucket in ["SEALGATE-SYSTEM", "Payroll"] {
        for answer in [client.put(bucket, "k", b"x").await, client.get(bucket, "k").await] {
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_FOUND, "NoSuchBucket"), "{bucket}");
        }
        let from = [("x-amz-copy-source", "/SEALGATE-SYSTEM/group/1")];
        let copy = client.send(Method::PUT, bucket, "c", &[], &from, b"").await;
        assert_eq!(copy.status, StatusCode::NOT_FOUND);
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_copy_names_a_bucket_by_a_legal_name_only() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for source in ["/../sealgate-system/group", "/.%2E/x", "/a/b", "/%2F/x/y"] {
        let copy = client.send(Method::PUT, "plain", "k", &[], &[("x-amz-copy-source", source)], b"").await;
        assert_eq!((copy.status, copy.code().as_str()), (StatusCode::BAD_REQUEST, "InvalidArgument"), "{source}");
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_member_without_a_current_document_changes_nothing_and_still_reads() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("plain", "k", b"hello").await;
    client.put("sealed", "k", b"hello").await;
    let id = create(&client, "sealed", "u").await;
    let etag = part(&client, "sealed", "u", &id, 1, b"x").await.header("etag").to_owned();
    let old = Options { stale_after: Duration::ZERO, ..Options::default() };
    let disk = storage.upstream.clone();
    let stale = Gateway::assemble(&storage, disk.clone(), disk, "sealgate-system", "two", old).await;
    let other = stale.client(ADMIN);
    let refused = |answer: &super::gateway::Answer, what: &str| {
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"), "{what}");
    };
    refused(&other.put("plain", "n", b"x").await, "PUT");
    refused(&other.send(Method::DELETE, "plain", "k", &[], &[], b"").await, "DELETE");
    refused(&other.send(Method::PUT, "plain", "k", &[("tagging", "")], &[], b"<Tagging/>").await, "tagging");
    refused(&other.send(Method::POST, "plain", "", &[("delete", "")], &[], b"<Delete/>").await, "multi-delete");
    refused(&other.send(Method::PUT, "plain", "", &[("encryption", "")], &[], b"<x/>").await, "toggle");
    refused(&other.send(Method::DELETE, "plain", "", &[("encryption", "")], &[], b"").await, "toggle off");
    refused(&other.send(Method::POST, "sealed", "v", &[("uploads", "")], &[], b"").await, "Create");
    refused(&part(&other, "sealed", "u", &id, 2, b"x").await, "UploadPart");
    refused(&complete(&other, "sealed", "u", &id, &[(1, &etag)]).await, "Complete");
    refused(&other.send(Method::DELETE, "sealed", "u", &[("uploadId", &id)], &[], b"").await, "Abort");
    for bucket in ["plain", "sealed"] {
        assert_eq!(other.get(bucket, "k").await.body, "hello");
        assert_eq!(other.send(Method::GET, bucket, "", &[], &[], b"").await.status, StatusCode::OK);
    }
    assert_eq!(complete(&client, "sealed", "u", &id, &[(1, &etag)]).await.status, StatusCode::OK);
    stale.end().await;
    gateway.end().await;
}

#[tokio::test]
async fn nothing_is_stored_plain_that_would_be_taken_for_sealed() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let looks = [&envelope::MAGIC[..], &bytes(1000)].concat();
    let id = create(&client, "plain", "u").await;
    let answer = part(&client, "plain", "u", &id, 3, &looks).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "InvalidRequest"));
    // A copy that is decrypted would store it as it is.
    client.put("sealed", "looks", &looks).await;
    gateway.front.group.edit(|d| d.change_bucket("plain", |bucket| bucket.decrypt_on_copy = true)).await.unwrap();
    let from = [("x-amz-copy-source", "/sealed/looks")];
    assert_eq!(client.send(Method::PUT, "plain", "c", &[], &from, b"").await.status, StatusCode::OK);
    assert!(storage.get("plain", "c").await.0.contains_key("x-amz-meta-gse-v"));
    assert!(client.get("plain", "c").await.body == looks);
    // Nor would one by parts, whoever copies the bytes: the gateway, or the storage.
    client.put("plain", "within", &[&bytes(10)[..], &looks].concat()).await;
    for (from, range) in [("/sealed/looks", "bytes=0-1007"), ("/plain/within", "bytes=10-1017")] {
        let from = [("x-amz-copy-source", from), ("x-amz-copy-source-range", range)];
        let part = [("partNumber", "1"), ("uploadId", id.as_str())];
        let copy = client.send(Method::PUT, "plain", "u", &part, &from, b"").await;
        assert_eq!((copy.status, copy.code().as_str()), (StatusCode::BAD_REQUEST, "InvalidRequest"), "{from:?}");
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_part_of_an_encrypted_object_is_not_copied_into_clear_but_where_the_bucket_says_so() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let secret = bytes(100_000);
    client.put("sealed", "secret", &secret).await;
    let copy = async |id: &str| {
        let from = [("x-amz-copy-source", "/sealed/secret"), ("x-amz-copy-source-range", "bytes=70000-99999")];
        client.send(Method::PUT, "plain", "u", &[("partNumber", "1"), ("uploadId", id)], &from, b"").await
    };
    let id = create(&client, "plain", "u").await;
    let refused = copy(&id).await;
    assert_eq!((refused.status, refused.code().as_str()), (StatusCode::BAD_REQUEST, "InvalidRequest"));
    assert!(refused.field("Message").contains("in clear"), "{refused:?}");
    let listed = client.send(Method::GET, "plain", "u", &[("uploadId", &id)], &[], b"").await;
    assert!(!String::from_utf8_lossy(&listed.body).contains("<Part>"), "{listed:?}");
    let sealed = [("x-amz-server-side-encryption", "aws:kms")];
    let begun = client.send(Method::POST, "plain", "u", &[("uploads", "")], &sealed, b"").await.field("UploadId");
    assert_eq!(copy(&begun).await.status, StatusCode::OK);
    gateway.front.group.edit(|d| d.change_bucket("plain", |bucket| bucket.decrypt_on_copy = true)).await.unwrap();
    let etag = copy(&id).await.field("ETag");
    assert_eq!(complete(&client, "plain", "u", &id, &[(1, etag.trim_matches('"'))]).await.status, StatusCode::OK);
    assert!(storage.get("plain", "u").await.1 == secret[70_000..]);
    gateway.end().await;
}

#[tokio::test]
async fn a_copy_does_not_read_what_may_not_be_read() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("plain", "k", b"hello").await;
    gateway.front.group.edit(|d| d.change_bucket("plain", |bucket| bucket.refuse_plain_reads = true)).await.unwrap();
    assert_eq!(client.get("plain", "k").await.status, StatusCode::FORBIDDEN);
    let from = [("x-amz-copy-source", "/plain/k")];
    let copy = client.send(Method::PUT, "sealed", "c", &[], &from, b"").await;
    assert_eq!((copy.status, copy.code().as_str()), (StatusCode::FORBIDDEN, "AccessDenied"));
    assert!(!storage.has("sealed", "c").await);
    gateway.end().await;
}
