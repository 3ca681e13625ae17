//! Objects by the console: the same decisions, seals and counts as by any client.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use ids::{Direction, Outcome};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Bench, TOKEN, bench, pem};

const FILES: &str = "/api/v1/buckets/files/object";

/// A bench with an active KMS and the buckets `files`, which is plain, and `vault`, which is encrypted.
pub(super) async fn with_buckets() -> Bench {
    let bench = bench().await;
    let kms = json!({ "id": "main", "provider": "rsa", "pem": pem() });
    assert_eq!(bench.call(Method::POST, "/kms", Some(kms)).await.0, StatusCode::CREATED);
    for bucket in ["files", "vault"] {
        bench.put_object(bucket, "first").await;
    }
    bench.call(Method::PUT, "/buckets/vault/encryption", Some(json!({ "encrypt": true }))).await;
    bench
}

impl Bench {
    async fn object(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()
    }

    pub(super) async fn upload(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (StatusCode, Value) {
        let len = body.len().to_string();
        let headers = [headers, &[("content-length", len.as_str())]].concat();
        json_of(self.object(Method::PUT, path, &headers, body.to_vec()).await).await
    }

    /// What the storage itself has.
    async fn stored(&self, bucket: &str, key: &str) -> (HeaderMap, Bytes) {
        let get = crate::upstream::request(Method::GET, crate::upstream::uri(bucket, Some(key), &[]));
        let (head, body) = self.admin.upstreams.home().collect(get, 64 << 20).await.unwrap().into_parts();
        (if head.status == StatusCode::OK { head.headers } else { HeaderMap::new() }, body)
    }

    fn counted(&self, bucket: &str, outcome: Outcome, direction: Direction) -> (u64, u64) {
        let counts = self.admin.front.stats.counts();
        let mut counts = counts.into_iter();
        let found =
            counts.find(|(key, _)| &*key.bucket == bucket && key.outcome == outcome && key.direction == direction);
        found.map_or((0, 0), |(_, count)| (count.objects, count.bytes))
    }

    pub(super) fn apply(&self, spec: &str) {
        let text = format!(
            "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{name: rule}}\nspec: {{{spec}}}\n"
        );
        let policy = policy::parse_one(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let revision = ids::Revision { lineage: ids::Lineage(uuid::Uuid::from_u128(1)), number: 7 };
        let item = policy::Item { uid: ids::PolicyUid(uuid::Uuid::from_u128(9)), policy };
        let document = Bytes::from(policy::PolicySet::new(revision, vec![item]).unwrap().encode());
        let digest = policy::Digest::of(&document);
        let bundle = crate::snapshot::Bundle { revision, digest, format: policy::FORMAT, document };
        self.admin.policies.apply(&bundle).unwrap();
    }
}

pub(super) async fn json_of(answer: Response<Body>) -> (StatusCode, Value) {
    let (head, body) = answer.into_parts();
    (head.status, serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap_or_default())
}

#[tokio::test]
async fn an_upload_is_sealed_where_the_toggle_says_so_and_comes_back_and_is_counted() {
    let bench = with_buckets().await;
    // Longer than any other body of this interface may be.
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    for (bucket, sealed) in [("vault", true), ("files", false)] {
        let path = format!("/api/v1/buckets/{bucket}/object?key=a%20folder/%C3%BCber.bin");
        let (status, stored) =
            bench.upload(&path, &[("content-type", "text/html"), ("x-amz-meta-who", "me")], &data).await;
        assert_eq!(
            (status, &stored["encrypted"], &stored["size"]),
            (StatusCode::OK, &json!(sealed), &json!(3_000_000))
        );
        let (head, bytes) = bench.stored(bucket, "a folder/über.bin").await;
        assert_eq!(head.contains_key("x-amz-meta-gse-v"), sealed);
        assert_eq!(bytes[..] == data[..], !sealed, "the stored bytes are the plaintext exactly where it is not due");
        assert_eq!(head["content-type"], "text/html");
        let answer = bench.object(Method::GET, &path, &[], Body::empty()).await;
        assert_eq!(answer.headers()["content-length"], "3000000");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), data, "{bucket}");
        let part = bench.object(Method::GET, &path, &[("range", "bytes=1000000-1000009")], Body::empty()).await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.into_body().collect().await.unwrap().to_bytes(), data[1_000_000..1_000_010]);
        let outcome = if sealed { Outcome::Encrypted } else { Outcome::Plain };
        assert_eq!(bench.counted(bucket, outcome, Direction::In), (1, 3_000_000), "{bucket}");
        assert_eq!(bench.counted(bucket, outcome, Direction::Out), (2, 3_000_010), "{bucket}");
    }
}

#[tokio::test]
async fn how_many_objects_are_plain_is_not_known_where_nothing_keeps_track_of_them() {
    let bench = with_buckets().await;
    for bucket in ["vault", "files"] {
        bench.upload(&format!("/api/v1/buckets/{bucket}/object?key=new"), &[], b"text").await;
    }
    let counts = async |bucket: &str| {
        let shown = bench.call(Method::GET, &format!("/buckets/{bucket}"), None).await.1;
        (shown["objects_encrypted"].clone(), shown["objects_plain"].clone())
    };
    // Each has an object that was there before the gateway was.
    assert_eq!(counts("vault").await, (json!(1), json!(0)));
    assert_eq!(counts("files").await, (json!(0), Value::Null));
}

#[tokio::test]
async fn a_policy_seals_or_refuses_what_the_console_stores_and_knows_that_it_is_the_console() {
    let bench = with_buckets().await;
    let path = format!("{FILES}?key=report.txt");
    bench.apply("buckets: [files], effect: encrypt, when: \"request.principal == 'console'\"");
    assert_eq!(bench.upload(&path, &[], b"secret").await.1["encrypted"], json!(true));
    let (status, shown) =
        json_of(bench.object(Method::GET, &format!("{FILES}/status?key=report.txt"), &[], "").await).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    let kms = bench.call(Method::GET, "/kms/main", None).await.1;
    let key = &kms["keys"][0]["key"];
    assert!(key.as_str().is_some_and(|key| key.starts_with("sha256:")), "{kms}");
    for (field, expected) in [
        ("encrypted", json!(true)),
        ("verified", json!(true)),
        ("kms_id", json!("main")),
        ("kms_key", key.clone()),
        ("cause", json!("policy")),
        ("policy", json!("rule")),
        ("policy_revision", json!(7)),
        ("size", json!(6)),
        ("problem", Value::Null),
    ] {
        assert_eq!(shown[field], expected, "{field} of {shown}");
    }
    assert!(shown["stored_bytes"].as_u64() > Some(6));
    let denied = "buckets: [files], effect: deny, when: \"object.size > 5\"";
    let bench = with_buckets().await;
    bench.apply(denied);
    let (status, problem) = bench.upload(&path, &[], b"secret").await;
    assert_eq!((status, &problem["code"]), (StatusCode::FORBIDDEN, &json!("denied")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("rule"), "{problem}");
    assert!(bench.stored("files", "report.txt").await.0.is_empty());
    assert_eq!(bench.counted("files", Outcome::Denied, Direction::In), (1, 6));
}

#[tokio::test]
async fn without_a_key_nothing_is_stored_plain_where_encryption_is_due() {
    let bench = with_buckets().await;
    bench.call(Method::DELETE, "/kms/main?confirm=main", None).await;
    let (status, problem) = bench.upload("/api/v1/buckets/vault/object?key=k", &[], b"secret").await;
    assert_eq!((status, &problem["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable")), "{problem}");
    assert!(bench.stored("vault", "k").await.0.is_empty());
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let bench = with_buckets().await;
    for bucket in ["vault", "files"] {
        let frames = [Ok(Frame::data(Bytes::from_static(b"half of it"))), Err(std::io::Error::other("gone"))];
        let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
        let path = format!("/api/v1/buckets/{bucket}/object?key=k");
        let (status, problem) =
            json_of(bench.object(Method::PUT, &path, &[("content-length", "20")], body).await).await;
        assert_eq!((status, &problem["s3_code"]), (StatusCode::BAD_REQUEST, &json!("IncompleteBody")), "{problem}");
        assert!(bench.stored(bucket, "k").await.0.is_empty(), "{bucket}");
        assert_eq!(bench.counted(bucket, Outcome::Failed, Direction::In), (1, 0));
    }
    let (status, problem) = json_of(bench.object(Method::PUT, &format!("{FILES}?key=k"), &[], "abc").await).await;
    assert_eq!((status, &problem["code"]), (StatusCode::LENGTH_REQUIRED, &json!("length-required")));
}

#[tokio::test]
async fn nothing_of_the_browser_reaches_the_storage_and_no_header_of_ours_is_taken() {
    let bench = with_buckets().await;
    let hostile = [
        ("cookie", "sealgate_gateway_session=secret"),
        ("origin", "http://localhost"),
        ("x-sealgate-request", "1"),
        ("x-amz-acl", "public-read"),
        ("x-amz-copy-source", "/vault/first"),
        ("x-amz-meta-kept", "yes"),
    ];
    let asked = crate::s3::Asked::new(Method::PUT, "files", "k").unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in hostile {
        headers.insert(header::HeaderName::from_static(name), value.parse().unwrap());
    }
    headers.insert(header::AUTHORIZATION, format!("Bearer {TOKEN}").parse().unwrap());
    let asked = asked.from([127, 0, 0, 1].into(), &headers);
    let names: Vec<_> = asked.headers().keys().map(header::HeaderName::as_str).collect();
    assert_eq!(names, ["x-amz-meta-kept"]);
    let path = format!("{FILES}?key=k");
    assert_eq!(bench.upload(&path, &hostile, b"body").await.0, StatusCode::OK);
    assert_eq!(bench.stored("files", "k").await.1, "body", "no copy of another object");
    let (status, problem) = bench.upload(&path, &[("x-amz-meta-gse-v", "1")], b"other").await;
    assert_eq!((status, &problem["s3_code"]), (StatusCode::BAD_REQUEST, &json!("InvalidArgument")), "{problem}");
}

#[tokio::test]
async fn a_download_runs_nothing_in_the_console() {
    let bench = with_buckets().await;
    let page = b"<script>fetch('/api/v1/tokens')</script>";
    let path = format!("{FILES}?key=a/evil%22%0D%0AX-Y:%20z;.html");
    bench.upload(&path, &[("content-type", "text/html"), ("content-disposition", "inline")], page).await;
    let answer = bench.object(Method::GET, &path, &[], Body::empty()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    for (name, expected) in [
        ("content-type", "application/octet-stream"),
        ("content-disposition", "attachment; filename*=UTF-8''evil%22%0D%0AX-Y%3A%20z%3B.html"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(answer.headers()[name], expected, "{name}");
    }
}

#[tokio::test]
async fn a_bucket_is_listed_by_folders_page_by_page_with_what_is_encrypted() {
    let bench = with_buckets().await;
    for key in ["a", "b&c", "dir/x", "dir/y", "z"] {
        let path = format!("/api/v1/buckets/vault/object?key={}", crate::upstream::encode_key(key));
        assert_eq!(bench.upload(&path, &[], b"12345").await.0, StatusCode::OK, "{key}");
    }
    let (mut keys, mut folders, mut after) = (Vec::new(), Vec::new(), String::new());
    loop {
        let (status, page) =
            bench.call(Method::GET, &format!("/buckets/vault/objects?delimiter=/&limit=2{after}"), None).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        for object in page["objects"].as_array().unwrap() {
            let first = object["key"] == "first";
            assert_eq!((&object["size"], &object["encrypted"]), (&json!(5), &json!(!first)), "{object}");
            assert_eq!(object["kms_id"], if first { Value::Null } else { json!("main") });
            assert!(object["modified"].as_str().unwrap().ends_with('Z'), "{object}");
            keys.push(object["key"].as_str().unwrap().to_owned());
        }
        folders.extend(page["prefixes"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={}", crate::upstream::encode_key(next));
    }
    assert_eq!((keys.as_slice(), folders), (&["a", "b&c", "first", "z"].map(str::to_owned)[..], vec![json!("dir/")]));
    let inside = bench.call(Method::GET, "/buckets/vault/objects?prefix=dir/&delimiter=/", None).await.1;
    assert_eq!(inside["objects"].as_array().unwrap().len(), 2, "{inside}");
    let plain = bench.call(Method::GET, "/buckets/files/objects", None).await.1;
    assert_eq!(plain["objects"][0]["encrypted"], json!(false));
    assert_eq!(bench.call(Method::GET, "/buckets/vault/objects?limit=0", None).await.1["code"], json!("invalid"));
    for hidden in ["none", "sealgate-system"] {
        let path = format!("/buckets/{hidden}/objects");
        assert_eq!(bench.call(Method::GET, &path, None).await.0, StatusCode::NOT_FOUND, "{hidden}");
    }
}

#[tokio::test]
async fn the_system_bucket_is_neither_read_nor_written() {
    let bench = with_buckets().await;
    let path = "/api/v1/buckets/sealgate-system/object?key=storage-id";
    for method in [Method::GET, Method::HEAD, Method::DELETE] {
        assert_eq!(bench.object(method.clone(), path, &[], "").await.status(), StatusCode::NOT_FOUND, "{method}");
    }
    assert_eq!(bench.upload(path, &[], b"x").await.0, StatusCode::NOT_FOUND);
    let status = "/buckets/sealgate-system/object/status?key=storage-id";
    assert_eq!(bench.call(Method::GET, status, None).await.0, StatusCode::NOT_FOUND);
    let made = json!({ "name": "x", "access_key": "console", "grants": [] });
    assert_eq!(bench.call(Method::POST, "/credentials", Some(made)).await.1["code"], json!("invalid"));
}

#[tokio::test]
async fn an_object_is_deleted_and_what_is_not_there_is_said_so() {
    let bench = with_buckets().await;
    let path = format!("{FILES}?key=first");
    assert_eq!(bench.object(Method::HEAD, &path, &[], "").await.status(), StatusCode::OK);
    assert_eq!(bench.counted("files", Outcome::Failed, Direction::Out), (0, 0), "a HEAD begins no read");
    assert_eq!(bench.object(Method::DELETE, &path, &[], "").await.status(), StatusCode::NO_CONTENT);
    for path in [path.clone(), format!("{FILES}/status?key=first")] {
        let (status, problem) = json_of(bench.object(Method::GET, &path, &[], "").await).await;
        assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("not-found")), "{path}");
    }
    assert_eq!(json_of(bench.object(Method::GET, FILES, &[], "").await).await.1["code"], json!("invalid"));
}

#[tokio::test]
async fn a_bucket_is_made_by_a_name_that_s3_takes_and_shows_what_becomes_of_objects_in_it() {
    let bench = with_buckets().await;
    bench.apply("buckets: [\"new-*\"], effect: encrypt");
    let make = |name: &str| json!({ "bucket": name });
    let (status, made) = bench.call(Method::POST, "/buckets", Some(make("new-one"))).await;
    assert_eq!((status, &made["bucket"]), (StatusCode::CREATED, &json!("new-one")), "{made}");
    assert_eq!((&made["effective"], &made["because"]), (&json!(true), &json!("policy rule")));
    let (status, problem) = bench.call(Method::POST, "/buckets", Some(make("New_One"))).await;
    assert_eq!((status, &problem["errors"][0]["path"]), (StatusCode::BAD_REQUEST, &json!("bucket")));
    assert!(problem["errors"][0]["message"].as_str().is_some_and(|said| said.contains("lower-case")), "{problem}");
    for taken in ["files", "new-one"] {
        assert_eq!(bench.call(Method::POST, "/buckets", Some(make(taken))).await.0, StatusCode::CONFLICT, "{taken}");
    }
    let system = bench.admin.group.system().bucket().to_owned();
    let (status, _) = bench.call(Method::POST, "/buckets", Some(make(&system))).await;
    assert!(status.is_client_error(), "the system bucket is not made again: {status}");
}

#[tokio::test]
async fn a_bucket_goes_when_it_is_empty_and_its_name_is_typed_again_and_its_toggle_with_it() {
    let bench = with_buckets().await;
    let (status, problem) = bench.call(Method::DELETE, "/buckets/vault", None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("confirm")));
    let (status, problem) = bench.call(Method::DELETE, "/buckets/vault?confirm=vault", None).await;
    assert_eq!((status, &problem["s3_code"]), (StatusCode::CONFLICT, &json!("BucketNotEmpty")), "{problem}");
    assert!(
        problem["detail"].as_str().is_some_and(|said| said.contains("not empty")),
        "as the storage words it: {problem}"
    );
    bench.call(Method::DELETE, "/buckets/vault/object?key=first", None).await;
    assert_eq!(bench.call(Method::DELETE, "/buckets/vault?confirm=vaul", None).await.1["code"], json!("confirm"));
    assert_eq!(bench.call(Method::DELETE, "/buckets/vault?confirm=vault", None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(bench.call(Method::GET, "/buckets/vault", None).await.0, StatusCode::NOT_FOUND);
    assert!(!bench.admin.group.document().toggled("vault"), "its settings are gone");
    let system = bench.admin.group.system().bucket().to_owned();
    for name in ["vault", &system] {
        let path = format!("/buckets/{name}?confirm={name}");
        assert_eq!(bench.call(Method::DELETE, &path, None).await.0, StatusCode::NOT_FOUND, "{name}");
    }
}
