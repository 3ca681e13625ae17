//! Requests whose `Authorization` header is of version 2. Each hostile one was seen to succeed with its defence taken out.

use base64::Engine as _;
use time::format_description::well_known::Rfc2822;
use time::{Duration, OffsetDateTime};

use super::gateway::{ADMIN, Gateway, Storage, bytes};
use super::hostile::exchange;

/// What is signed: S3's documentation, "Constructing the `StringToSign`".
struct Signed<'a> {
    method: &'a str,
    /// The path and the sub-resources, sorted, their values decoded.
    resource: &'a str,
    md5: &'a str,
    kind: &'a str,
    /// `Date`; empty where `x-amz-date` is signed.
    date: &'a str,
    /// Headers of S3's as they are signed: in lower case, sorted, with one line each.
    amz: &'a str,
}

impl Signed<'_> {
    fn authorization(&self) -> String {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, ADMIN.1.as_bytes());
        let Self { method, resource, md5, kind, date, amz } = self;
        let tag = aws_lc_rs::hmac::sign(&key, format!("{method}\n{md5}\n{kind}\n{date}\n{amz}{resource}").as_bytes());
        format!("AWS {}:{}", ADMIN.0, base64::engine::general_purpose::STANDARD.encode(tag))
    }
}

fn date(from_now: Duration) -> String {
    (OffsetDateTime::now_utc() + from_now).format(&Rfc2822).unwrap()
}

/// Sends a request that is signed for `resource`, with these headers more.
async fn send(
    gateway: &Gateway,
    (method, resource, target): (&str, &str, &str),
    amz: &str,
    more: &[(&str, &str)],
    body: &[u8],
) -> String {
    let of = |wanted: &str| more.iter().find(|(name, _)| *name == wanted).map_or("", |(_, value)| *value);
    let date = date(Duration::ZERO);
    let md5 = of("content-md5");
    let authorization = Signed { method, resource, md5, kind: of("content-type"), date: &date, amz }.authorization();
    let length = body.len().to_string();
    let own = [("date", date.as_str()), ("authorization", &authorization), ("content-length", &length)];
    exchange(gateway, &format!("{method} {target}"), &[&own[..], more].concat(), body).await
}

/// A request whose target is what is signed.
async fn plainly(gateway: &Gateway, method: &str, target: &str, body: &[u8]) -> String {
    send(gateway, (method, target, target), "", &[], body).await
}

fn field<'a>(answer: &'a str, name: &str) -> &'a str {
    let rest = answer.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
    rest.split_once("</").map_or("", |(text, _)| text)
}

#[tokio::test]
async fn what_is_signed_by_version_2_is_done_plain_and_sealed() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for bucket in ["plain", "sealed"] {
        let at = |rest: &str| format!("/{bucket}{rest}");
        // The path is signed as it is sent.
        let key = at("/a%20b%2Bc/%C3%A9");
        let meta = [
            ("X-Amz-Meta-Z", "1"),
            ("x-amz-date", &*date(Duration::ZERO)),
            ("X-AMZ-META-A", "x"),
            ("x-amz-meta-a", "y"),
        ];
        let amz = format!("x-amz-date:{}\nx-amz-meta-a:x,y\nx-amz-meta-z:1\n", meta[1].1);
        let signed = Signed { method: "PUT", resource: &key, md5: "", kind: "text/x", date: "", amz: &amz };
        let authorization = signed.authorization();
        let own = [("authorization", &*authorization), ("content-type", "text/x"), ("content-length", "5")];
        let answer = exchange(&gateway, &format!("PUT {key}"), &[&own[..], &meta].concat(), b"hello").await;
        assert!(answer.contains("200 OK"), "{answer}");
        assert_eq!(client.get(bucket, "a b+c/é").await.body, "hello");
        assert_eq!(storage.get(bucket, "a b+c/é").await.1 == "hello", bucket == "plain");

        let answer = plainly(&gateway, "GET", &key, b"").await;
        assert!(answer.contains("x-amz-meta-z: 1") && answer.ends_with("\r\n\r\nhello"), "{answer}");
        // What is answered instead is signed decoded, sorted.
        let overrides = "?response-content-type=text%2Fy&response-cache-control=no-cache";
        let resource = format!("{key}?response-cache-control=no-cache&response-content-type=text/y");
        let answer = send(&gateway, ("GET", &resource, &format!("{key}{overrides}")), "", &[], b"").await;
        assert!(answer.contains("content-type: text/y") && answer.contains("cache-control: no-cache"), "{answer}");
        let listed = send(&gateway, ("GET", &at(""), &at("?list-type=2&prefix=a")), "", &[], b"").await;
        assert_eq!(field(&listed, "Size"), "5", "{listed}");
        let answer = plainly(&gateway, "GET", &format!("{key}?acl"), b"").await;
        assert!(answer.contains("<AccessControlPolicy"), "{answer}");

        let begun = plainly(&gateway, "POST", &at("/parts?uploads"), b"").await;
        let id = field(&begun, "UploadId");
        assert_eq!(id.starts_with("gse1."), bucket == "sealed", "{begun}");
        let content = bytes(100_000);
        let target = at(&format!("/parts?partNumber=1&uploadId={id}"));
        let answer = plainly(&gateway, "PUT", &target, &content).await;
        let etag = answer.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_else(|| panic!("{answer}"));
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        );
        let answer = plainly(&gateway, "POST", &at(&format!("/parts?uploadId={id}")), list.as_bytes()).await;
        assert!(answer.contains("200 OK") && !field(&answer, "ETag").is_empty(), "{answer}");
        assert!(client.get(bucket, "parts").await.body == content);

        let list = b"<Delete><Object><Key>parts</Key></Object></Delete>";
        let target = at("?delete");
        let answer =
            send(&gateway, ("POST", &target, &target), "", &[("content-md5", "7t/u323bQb8qTcx1JxeEoQ==")], list).await;
        assert_eq!(field(&answer, "Key"), "parts", "{answer}");
        assert!(plainly(&gateway, "DELETE", &key, b"").await.contains("204"));
        assert_eq!(client.head(bucket, "parts").await.status, 404);
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_request_of_version_2_is_good_for_minutes_and_for_nobody_else() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("plain", "k", b"hello").await;
    let now = date(Duration::ZERO);
    let signed = |date: &str, amz: &str| {
        Signed { method: "PUT", resource: "/plain/new", md5: "", kind: "", date, amz }.authorization()
    };
    let good = signed(&now, "");
    for (stale, code) in [
        (date(Duration::minutes(-16)), "RequestTimeTooSkewed"),
        (date(Duration::minutes(16)), "RequestTimeTooSkewed"),
        ("never".to_owned(), "AccessDenied"),
        (String::new(), "AccessDenied"),
    ] {
        let amz = format!("x-amz-date:{stale}\n");
        for headers in [
            &[("date", &*stale), ("authorization", &signed(&stale, ""))][..],
            &[("x-amz-date", &stale), ("authorization", &signed("", &amz))],
            // The time that nobody signed.
            &[("date", &now), ("x-amz-date", &stale), ("authorization", &signed("", &amz))],
        ] {
            let answer =
                exchange(&gateway, "PUT /plain/new", &[headers, &[("content-length", "1")]].concat(), b"x").await;
            assert_eq!(field(&answer, "Code"), code, "{headers:?}: {answer}");
        }
    }
    let (other, unknown) = (good.replace(ADMIN.0, "AKADMIN:A"), good.replace(ADMIN.0, "AKNOBODY"));
    for (authorization, code) in [
        (other.as_str(), "SignatureDoesNotMatch"),
        (&unknown, "InvalidAccessKeyId"),
        ("AWS HAHAHA", "InvalidArgument"),
        ("AWS :", "InvalidArgument"),
    ] {
        let headers = [("date", &*now), ("authorization", authorization), ("content-length", "1")];
        let answer = exchange(&gateway, "PUT /plain/new", &headers, b"x").await;
        assert_eq!(field(&answer, "Code"), code, "{authorization}: {answer}");
    }
    // A time that is looked at beside the one that is signed.
    let old = date(Duration::hours(-1));
    for (name, amz) in [("date", String::new()), ("x-amz-date", format!("x-amz-date:{old}\n"))] {
        let authorization = signed(if name == "date" { &old } else { "" }, &amz);
        for dates in [[&now, &old], [&old, &now]] {
            let dates = dates.map(|date| (name, date.as_str()));
            let rest = [("authorization", authorization.as_str()), ("content-length", "1")];
            let answer = exchange(&gateway, "PUT /plain/new", &[&dates[..], &rest].concat(), b"x").await;
            assert!(answer.starts_with("HTTP/1.1 4"), "{name} {dates:?}: {answer}");
        }
    }
    let headers = [("authorization", &*good), ("content-length", "1")];
    let answer = exchange(&gateway, "PUT /plain/new", &headers, b"x").await;
    assert_eq!(field(&answer, "Code"), "AccessDenied", "without a time: {answer}");
    assert!(!storage.has("plain", "new").await);
    gateway.end().await;
}

#[tokio::test]
async fn a_request_of_version_2_cannot_be_turned_into_another_one() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("plain", "k", b"hello").await;
    client.put("sealed", "secret", b"x").await;
    let mismatch = "SignatureDoesNotMatch";
    for (method, target, code) in [
        ("PUT", "/plain/k", mismatch),
        ("GET", "/plain/other", mismatch),
        ("GET", "/plain/k?acl", mismatch),
        ("GET", "/plain/k?uploadId=gse1.x", mismatch),
        ("GET", "/plain/k?versionId=null", mismatch),
        ("GET", "/plain/k?partNumber=1", mismatch),
        ("GET", "/plain/k?response-content-type=text/html", mismatch),
        // Which it does not cover.
        ("GET", "/plain/k?attributes", "AccessDenied"),
        ("GET", "/plain/k?retention", "AccessDenied"),
        ("GET", "/plain/k?nonsense", "AccessDenied"),
        ("GET", "/plain/k?x-amz-acl=public-read", "AccessDenied"),
        ("GET", "/plain/k?X-Amz-Signature=00&X-Amz-Expires=60", "InvalidArgument"),
        ("GET", "/plain/k?x-id=a&x-id=b", "InvalidArgument"),
    ] {
        let date = date(Duration::ZERO);
        let signed = Signed { method: "GET", resource: "/plain/k", md5: "", kind: "", date: &date, amz: "" };
        let headers = [("date", &*date), ("authorization", &signed.authorization()), ("content-length", "0")];
        let answer = exchange(&gateway, &format!("{method} {target}"), &headers, b"").await;
        assert_eq!(field(&answer, "Code"), code, "{method} {target}: {answer}");
    }
    // Signed as sent, and still outside of what version 2 covers.
    let answer = plainly(&gateway, "GET", "/plain/k?attributes", b"").await;
    assert!(answer.contains("403 Forbidden"), "{answer}");
    for (name, value, code) in [
        ("x-amz-copy-source", "/sealed/secret", mismatch),
        ("x-amz-acl", "public-read", mismatch),
        ("x-amz-meta-a", "b", mismatch),
        ("content-type", "text/html", mismatch),
        ("content-md5", "XUFAKrxLKna5cZ2REBfFkg==", mismatch),
        ("date", "Tue, 01 Jan 2030 00:00:00 GMT", "InvalidArgument"),
    ] {
        let date = date(Duration::ZERO);
        let signed = Signed { method: "PUT", resource: "/plain/new", md5: "", kind: "", date: &date, amz: "" };
        let headers =
            [("date", &*date), ("authorization", &signed.authorization()), ("content-length", "5"), (name, value)];
        let answer = exchange(&gateway, "PUT /plain/new", &headers, b"hello").await;
        assert!(!answer.contains("200 OK"), "{name}: {answer}");
        let told = field(&answer, "Code");
        assert!(told == code || name == "date", "{name}: {answer}");
    }
    // A body that would be stored with the lines between its chunks.
    let chunked =
        [("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), ("x-amz-decoded-content-length", "5")];
    let amz = format!("{}:{}\n{}:{}\n", chunked[0].0, chunked[0].1, chunked[1].0, chunked[1].1);
    let body = b"5\r\nhello\r\n0\r\n\r\n";
    let answer = send(&gateway, ("PUT", "/plain/new", "/plain/new"), &amz, &chunked, body).await;
    assert_eq!(field(&answer, "Code"), "InvalidArgument", "{answer}");
    assert!(!storage.has("plain", "new").await);
    gateway.end().await;
}
