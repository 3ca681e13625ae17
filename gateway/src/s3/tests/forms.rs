//! `POST` form uploads over a bare socket, as browsers and scripts send them.

use std::time::SystemTime;

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use time::macros::format_description;
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::gateway::{ADMIN, Gateway, Storage, bytes};
use super::hostile::exchange;
use crate::group::Action;

const BOUNDARY: &str = "----form-boundary";

/// A form: fields in order, the file, and what follows it.
#[derive(Clone, Default)]
struct Form {
    fields: Vec<(String, String)>,
    file: Vec<u8>,
    after: Vec<(String, String)>,
}

impl Form {
    fn new(fields: &[(&str, &str)], file: &[u8]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { fields: fields.iter().map(owned).collect(), file: file.to_vec(), after: Vec::new() }
    }

    /// Adds what signs it by version 4, with a condition for every field and `conditions`.
    fn signed(mut self, bucket: &str, credential: (&str, &str), conditions: &[Value]) -> Self {
        let now = OffsetDateTime::now_utc();
        let date = now.format(format_description!("[year][month][day]T[hour][minute][second]Z")).unwrap();
        let scope = format!("{}/{}/us-east-1/s3/aws4_request", credential.0, &date[..8]);
        for (name, value) in
            [("x-amz-algorithm", "AWS4-HMAC-SHA256"), ("x-amz-credential", &scope), ("x-amz-date", &date)]
        {
            self.fields.push((name.to_owned(), value.to_owned()));
        }
        let exact = self.fields.iter().map(|(name, value)| {
            let value = value.replace("${filename}", "photo.png");
            json!({name.as_str(): value})
        });
        let conditions: Vec<_> = exact.chain([json!({"bucket": bucket})]).chain(conditions.iter().cloned()).collect();
        let policy = policy(now + Duration::hours(1), &json!(conditions));
        let key = generate_signing_key(credential.1, SystemTime::now(), "us-east-1", "s3");
        let signature = calculate_signature(key, policy.as_bytes());
        self.fields.extend([("policy".to_owned(), policy), ("x-amz-signature".to_owned(), signature)]);
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let part = |out: &mut Vec<u8>, disposition: &str, content: &[u8]| {
            let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
            out.extend([head.as_bytes(), content, b"\r\n"].concat());
        };
        for (name, value) in &self.fields {
            part(&mut out, &format!("name=\"{name}\""), value.as_bytes());
        }
        part(&mut out, "name=\"file\"; filename=\"C:\\me\\photo.png\"", &self.file);
        for (name, value) in &self.after {
            part(&mut out, &format!("name=\"{name}\""), value.as_bytes());
        }
        out.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
        out
    }
}

fn policy(expiration: OffsetDateTime, conditions: &Value) -> String {
    let expiration = expiration.format(&time::format_description::well_known::Rfc3339).unwrap();
    STANDARD.encode(json!({"expiration": expiration, "conditions": conditions}).to_string())
}

/// Posts bytes as a form of `len` bytes; all that is answered.
async fn post_as(gateway: &Gateway, path: &str, headers: &[(&str, &str)], body: &[u8], announced: usize) -> String {
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let len = announced.to_string();
    let all: Vec<_> = [("content-type", kind.as_str()), ("content-length", &len)]
        .into_iter()
        .filter(|(name, _)| headers.iter().all(|(other, _)| other != name))
        .chain(headers.iter().copied())
        .collect();
    let mut text = format!("POST {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", gateway.address);
    for (name, value) in all {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    // The gateway may answer and close before it has read all.
    let _ = socket.write_all(body).await;
    if body.len() < announced {
        // The client dies.
        let _ = socket.shutdown().await;
    }
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn post(gateway: &Gateway, bucket: &str, form: &Form) -> String {
    let body = form.bytes();
    post_as(gateway, &format!("/{bucket}"), &[], &body, body.len()).await
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
    line.map_or("", |line| line.split_once(':').unwrap().1.trim())
}

#[tokio::test]
async fn a_form_is_stored_as_a_put_is_plain_and_sealed_of_every_size() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for bucket in ["plain", "sealed"] {
        // Read first, and streamed behind a length that was computed.
        for size in [0, 5, 100_000, 9 << 20] {
            let body = bytes(size);
            let form = Form::new(
                &[
                    ("key", "up/${filename}"),
                    ("Content-Type", "image/png"),
                    ("acl", "private"),
                    ("x-amz-meta-From", "caf\u{e9} ${filename}"),
                    ("Cache-Control", "no-cache"),
                    ("tagging", "<Tagging><TagSet><Tag><Key>a b</Key><Value>c&amp;d</Value></Tag></TagSet></Tagging>"),
                ],
                &body,
            );
            let form = form.signed(bucket, ADMIN, &[json!(["content-length-range", 0, 10 << 20])]);
            let answer = post(&gateway, bucket, &form).await;
            assert!(answer.starts_with("HTTP/1.1 204"), "{bucket} {size} {answer}");
            assert!(header(&answer, "location").ends_with(&format!("/{bucket}/up/photo.png")), "{answer}");
            let get = client.get(bucket, "up/photo.png").await;
            assert!(get.body == body, "{bucket} {size}");
            assert_eq!(header(&answer, "etag"), get.header("etag"));
            assert_eq!((get.header("content-type"), get.header("cache-control")), ("image/png", "no-cache"));
            let kept = String::from_utf8_lossy(get.headers.get("x-amz-meta-from").unwrap().as_bytes()).into_owned();
            assert!(kept.ends_with("photo.png"), "{kept}");
            let tags = client.send(Method::GET, bucket, "up/photo.png", &[("tagging", "")], &[], b"").await;
            let tags = String::from_utf8_lossy(&tags.body).into_owned();
            assert!(tags.contains("<Key>a b</Key><Value>c&amp;d</Value>"), "{tags}");
            let (head, stored) = storage.get(bucket, "up/photo.png").await;
            assert_eq!(head.contains_key("x-amz-meta-gse-v"), bucket == "sealed");
            assert_eq!(stored.len() == size, bucket == "plain", "{bucket} {size}");
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_form_of_version_2_is_taken_too() {
    let storage = Storage::new();
    let (gateway, _) = Gateway::with_buckets(&storage).await;
    let document = policy(OffsetDateTime::now_utc() + Duration::hours(1), &json!([{"bucket": "plain"}, {"key": "k"}]));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, ADMIN.1.as_bytes());
    let signature = STANDARD.encode(aws_lc_rs::hmac::sign(&key, document.as_bytes()));
    let form = |access_key: &str, signature: &str| {
        let fields =
            [("key", "k"), ("AWSAccessKeyId", access_key), ("Policy", document.as_str()), ("signature", signature)];
        Form::new(&fields, b"content")
    };
    for (form, code) in [
        (form("AKNOBODY", &signature), "InvalidAccessKeyId"),
        (form(ADMIN.0, &STANDARD.encode([0_u8; 20])), "SignatureDoesNotMatch"),
        (form(ADMIN.0, "no base64"), "SignatureDoesNotMatch"),
    ] {
        let answer = post(&gateway, "plain", &form).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains(code), "{answer}");
        assert!(!storage.has("plain", "k").await);
    }
    let answer = post(&gateway, "plain", &form(ADMIN.0, &signature)).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(storage.get("plain", "k").await.1, "content");
    gateway.end().await;
}

#[tokio::test]
async fn the_answer_is_what_the_form_asks_for() {
    let storage = Storage::new();
    let (gateway, _) = Gateway::with_buckets(&storage).await;
    for (bucket, extra, status, location) in [
        ("plain", &[("success_action_status", "200")][..], "200 OK", "/plain/k%20%26"),
        ("sealed", &[("success_action_status", "201")], "201 Created", "/sealed/k%20%26"),
        ("plain", &[("success_action_status", "404")], "204 No Content", "/plain/k%20%26"),
        (
            "sealed",
            &[("success_action_redirect", "http://app.example/done")],
            "303 See Other",
            "http://app.example/done?bucket=sealed&key=k%20%26&etag=%22",
        ),
        (
            "plain",
            &[("redirect", "http://app.example/?a=b"), ("success_action_status", "200")],
            "303 See Other",
            "http://app.example/?a=b&bucket=plain&key=k%20%26&etag=%22",
        ),
        ("plain", &[("success_action_redirect", "javascript:alert(1)")], "204 No Content", "/plain/k%20%26"),
    ] {
        let fields = [&[("key", "k &")], extra].concat();
        let answer = post(&gateway, bucket, &Form::new(&fields, b"x").signed(bucket, ADMIN, &[])).await;
        assert!(answer.contains(status) && header(&answer, "location").contains(location), "{extra:?} {answer}");
        let etag = header(&answer, "etag");
        assert_eq!(etag.ends_with("-1\""), bucket == "sealed", "{etag}");
        if status.starts_with("201") {
            let etag = etag.trim_matches('"');
            for part in ["<Bucket>sealed</Bucket>", "<Key>k &amp;</Key>", &format!("<ETag>&quot;{etag}&quot;</ETag>")] {
                assert!(answer.contains(part), "{answer}");
            }
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn what_the_policy_does_not_allow_is_not_stored() {
    let storage = Storage::new();
    let (gateway, _) = Gateway::with_buckets(&storage).await;
    let key = [("key", "k")];
    let signed = |bucket: &str| Form::new(&key, b"content").signed(bucket, ADMIN, &[]);
    let with = |name: &str, value: &str| {
        let mut form = signed("plain");
        form.fields.retain(|(known, _)| known != name);
        form.fields.insert(0, (name.to_owned(), value.to_owned()));
        form
    };
    let length = |least: u64, most: u64| {
        Form::new(&key, b"content").signed("plain", ADMIN, &[json!(["content-length-range", least, most])])
    };
    let expired = {
        let document =
            policy(OffsetDateTime::now_utc() - Duration::SECOND, &json!([{"bucket": "plain"}, {"key": "k"}]));
        let signing = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, ADMIN.1.as_bytes());
        let signature = STANDARD.encode(aws_lc_rs::hmac::sign(&signing, document.as_bytes()));
        let fields =
            [("key", "k"), ("AWSAccessKeyId", ADMIN.0), ("policy", document.as_str()), ("signature", &signature)];
        Form::new(&fields, b"content")
    };
    let mut unsigned = signed("plain");
    unsigned.fields.retain(|(name, _)| !name.starts_with("x-amz-"));
    let mut keyless = signed("plain");
    keyless.fields.retain(|(name, _)| name != "key");
    let mut twice = signed("plain");
    twice.fields.insert(0, ("KEY".to_owned(), "other".to_owned()));
    for (what, form, code) in [
        ("another bucket", signed("sealed"), "AccessDenied"),
        ("another key", with("key", "other"), "AccessDenied"),
        ("a field that is not spoken of", with("x-amz-meta-a", "b"), "AccessDenied"),
        ("an ACL that is not spoken of", with("acl", "public-read"), "AccessDenied"),
        ("another algorithm", with("x-amz-algorithm", "NONE"), "InvalidArgument"),
        ("another day", with("x-amz-date", "20200101T000000Z"), "AuthorizationQueryParametersError"),
        ("both versions", with("signature", "x"), "InvalidArgument"),
        ("no signature", unsigned, "InvalidArgument"),
        ("another signature", with("x-amz-signature", &"0".repeat(64)), "SignatureDoesNotMatch"),
        (
            "a secret that is another",
            Form::new(&key, b"").signed("plain", (ADMIN.0, "wrong"), &[]),
            "SignatureDoesNotMatch",
        ),
        ("too long", length(0, 6), "EntityTooLarge"),
        ("too short", length(8, 100), "EntityTooSmall"),
        ("expired", expired, "AccessDenied"),
        ("no key", keyless, "InvalidArgument"),
        ("two keys", twice, "InvalidArgument"),
        ("nobody's", Form::new(&key, b"content"), "AccessDenied"),
        (
            "a checksum that is wrong",
            {
                Form::new(&[("key", "k"), ("x-amz-checksum-crc32", "AAAAAA==")], b"content").signed("plain", ADMIN, &[])
            },
            "BadDigest",
        ),
        (
            "a header of ours",
            { Form::new(&[("key", "k"), ("x-amz-meta-gse-v", "1")], b"content").signed("plain", ADMIN, &[]) },
            "InvalidArgument",
        ),
    ] {
        let answer = post(&gateway, "plain", &form).await;
        assert!(
            answer.starts_with("HTTP/1.1 4") && answer.contains(&format!("<Code>{code}</Code>")),
            "{what}: {answer}"
        );
        assert!(!storage.has("plain", "k").await && !storage.has("plain", "other").await, "{what}");
    }
    assert!(post(&gateway, "plain", &length(7, 7)).await.starts_with("HTTP/1.1 204"));
    // No storage could check that of a sealed object.
    let wrong =
        Form::new(&[("key", "k"), ("x-amz-checksum-crc32", "AAAAAA==")], b"content").signed("sealed", ADMIN, &[]);
    assert!(post(&gateway, "sealed", &wrong).await.contains("<Code>BadDigest</Code>"));
    assert!(!storage.has("sealed", "k").await);
    gateway.end().await;
}

#[tokio::test]
async fn a_form_may_no_more_than_its_signer() {
    let storage = Storage::new();
    let (gateway, _) = Gateway::with_buckets(&storage).await;
    gateway.credential("READER", &[("*", &[Action::Read])]).await;
    gateway.credential("WRITER", &[("plain", &[Action::Write])]).await;
    gateway.apply(1, &[("no-images", "buckets: [plain], effect: deny, when: \"object.contentType == 'image/png'\"")]);
    let secret = "a secret of somebody";
    let form = |bucket: &str, who: &str, fields: &[(&str, &str)]| {
        Form::new(&[&[("key", "k")], fields].concat(), b"x").signed(bucket, (who, secret), &[])
    };
    for (bucket, who, fields) in [
        ("plain", "READER", &[][..]),
        ("sealed", "WRITER", &[]),
        ("plain", "WRITER", &[("acl", "public-read")]),
        ("plain", "WRITER", &[("Content-Type", "image/png")]),
    ] {
        let answer = post(&gateway, bucket, &form(bucket, who, fields)).await;
        assert!(answer.contains("<Code>AccessDenied</Code>"), "{who} {fields:?} {answer}");
        assert!(!storage.has(bucket, "k").await, "{who} {fields:?}");
    }
    let answer = post(&gateway, "plain", &form("plain", "WRITER", &[("Content-Type", "image/gif")])).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let system = Form::new(&[("key", "k")], b"x").signed("sealgate-system", ADMIN, &[]);
    assert!(post(&gateway, "sealgate-system", &system).await.contains("<Code>NoSuchBucket</Code>"));
    gateway.end().await;
}

#[tokio::test]
async fn a_form_that_is_broken_or_cut_off_stores_nothing() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for bucket in ["plain", "sealed"] {
        for size in [10, 9 << 20] {
            let form = Form::new(&[("key", "k")], &bytes(size)).signed(bucket, ADMIN, &[]);
            let whole = form.bytes();
            let end = format!("\r\n--{BOUNDARY}--\r\n").len();
            let path = format!("/{bucket}");
            // The client dies: in the file, behind it, and in the last boundary.
            for cut in [end + size / 2, end, end - 2, 6, 3] {
                post_as(&gateway, &path, &[], &whole[..whole.len() - cut], whole.len()).await;
                assert!(!storage.has(bucket, "k").await, "{bucket} {size} {cut}");
            }
            // The body is as long as it says, and yet not whole.
            let mut open = whole.clone();
            open.truncate(whole.len() - 4);
            let mut trailing = whole.clone();
            trailing.extend_from_slice(b"more");
            let mut two = form.clone();
            two.after.push(("file".to_owned(), "another".to_owned()));
            for (what, body, codes) in [
                ("no last boundary", open, ["MalformedPOSTRequest", "InvalidArgument"]),
                ("more behind it", trailing, ["MalformedPOSTRequest", "InvalidArgument"]),
                ("two files", two.bytes(), ["IncorrectNumberOfFilesInPostRequest", "InvalidArgument"]),
            ] {
                let answer = post_as(&gateway, &path, &[], &body, body.len()).await;
                assert!(codes.iter().any(|code| answer.contains(code)), "{what} {size} {answer}");
                assert!(!storage.has(bucket, "k").await, "{bucket} {size} {what}");
            }
        }
    }
    // Fields behind the file are passed over, where the length of the file can be known.
    for (size, status) in [(10, "204 No Content"), (9 << 20, "400 Bad Request")] {
        let mut form = Form::new(&[("key", "submit")], &bytes(size)).signed("plain", ADMIN, &[]);
        form.after.push(("submit".to_owned(), "Upload".to_owned()));
        let answer = post(&gateway, "plain", &form).await;
        assert!(answer.contains(status), "{answer}");
        assert_eq!(storage.has("plain", "submit").await, size == 10);
        client.send(Method::DELETE, "plain", "submit", &[], &[], b"").await;
    }
    gateway.end().await;
}

#[tokio::test]
async fn what_is_no_form_upload_is_refused() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let body = Form::new(&[("key", "k")], b"x").signed("plain", ADMIN, &[]).bytes();
    let presigned = super::hostile::presigned(&gateway, ADMIN, "POST", "/plain");
    let signed = [
        ("authorization", "AWS4-HMAC-SHA256 Credential=a/20300101/r/s3/aws4_request, SignedHeaders=host, Signature=00"),
        ("x-amz-date", "20300101T000000Z"),
        ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
    ];
    for (path, headers, code) in [
        ("/plain", &[("content-type", "multipart/form-data")][..], "MalformedPOSTRequest"),
        ("/plain", &[("content-type", "multipart/form-data; boundary=other")], "MalformedPOSTRequest"),
        ("/plain/k", &[], "MethodNotAllowed"),
        ("/", &[], "MethodNotAllowed"),
        ("/plain?delete", &[], "InvalidArgument"),
        (&presigned, &[], "InvalidArgument"),
        ("/plain", &signed, "InvalidArgument"),
        ("/a", &[], "InvalidBucketName"),
        ("/nowhere", &[], "AccessDenied"),
    ] {
        let answer = post_as(&gateway, path, headers, &body, body.len()).await;
        assert!(answer.contains(&format!("<Code>{code}</Code>")), "{path} {headers:?} {answer}");
        assert!(!storage.has("plain", "k").await, "{path} {headers:?}");
    }
    // Without a length, as curl sends what it reads from a pipe.
    let coded = [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let headers = [("content-type", kind.as_str()), ("transfer-encoding", "chunked")];
    let answer = exchange(&gateway, "POST /plain", &headers, &coded).await;
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    // A signed POST that is no form.
    let answer = client.send(Method::POST, "plain", "", &[], &[], b"x").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
    gateway.end().await;
}

#[tokio::test]
async fn a_condition_of_the_request_holds_for_its_form() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("plain", "k", b"before").await;
    let body = Form::new(&[("key", "k")], b"after").signed("plain", ADMIN, &[]).bytes();
    let answer = post_as(&gateway, "/plain", &[("if-none-match", "*")], &body, body.len()).await;
    assert!(answer.contains("PreconditionFailed"), "{answer}");
    assert_eq!(storage.get("plain", "k").await.1, "before");
    gateway.end().await;
}

#[tokio::test]
async fn a_form_that_nobody_may_post_is_refused_before_its_file_is_read() {
    let storage = Storage::new();
    let (gateway, _) = Gateway::with_buckets(&storage).await;
    let body = Form::new(&[("key", "k")], &bytes(4 << 20)).bytes();
    // Whoever waits for the rest of the file gets no further than to its end.
    let answer = post_as(&gateway, "/plain", &[], &body[..10_000], body.len()).await;
    assert!(answer.contains("<Code>AccessDenied</Code>"), "{answer}");
    gateway.end().await;
}
