//! Storages that do not take bodies as they are sent: that know no signed chunks, as Swift, or want a check of a
//! body in its request, as AWS does where objects are locked.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checksums::Algorithm;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::gateway::{ADMIN, Client, Gateway, Storage, bytes, service_with};
use super::relay::{Act, Relay};
use super::uploads::{PART, complete, create, part};
use crate::config::LongBodies;
use crate::s3::{Asked, Sealed};
use crate::upstream::{self, Body};

const UNKNOWN_CHUNKS: &str = "<Error><Code>NotImplemented</Code><Message>Transfering payloads in multiple chunks using \
                              aws-chunked is not supported.</Message></Error>";
const UNCHECKED: &str = "<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is \
                         required for Put Object requests with Object Lock parameters</Message></Error>";

/// A gateway over a relay, with a bucket of each kind.
async fn over(storage: &Storage, long_bodies: LongBodies) -> (Relay, Gateway, Client) {
    let relay = Relay::start(storage).await;
    let upstream = service_with(relay.address, ("any", "any"), |backend| backend.long_bodies = long_bodies);
    let gateway = Gateway::over(storage, upstream, "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    for bucket in ["plain", "sealed"] {
        assert_eq!(client.send(Method::PUT, bucket, "", &[], &[], b"").await.status, StatusCode::OK);
    }
    gateway.toggle("sealed", true).await;
    (relay, gateway, client)
}

fn refusal(status: StatusCode, document: &'static str) -> Response<Body> {
    let mut answer = Response::new(upstream::full(document));
    *answer.status_mut() = status;
    answer
}

fn content(headers: &HeaderMap) -> &str {
    headers.get("x-amz-content-sha256").map_or("", |value| value.to_str().unwrap())
}

/// Whether it stores an object of a client, or a part of one.
fn stores(request: &Request<Body>) -> bool {
    let path = request.uri().path();
    request.method() == Method::PUT && (path.starts_with("/plain/") || path.starts_with("/sealed/"))
}

/// Knows no signed chunks, and says so before it has the body, or behind it. Notes how every body came.
fn knows_no_chunks(relay: &Relay, late: bool) -> Arc<Mutex<Vec<String>>> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    relay.rule(move |request| {
        if !stores(request) {
            return Act::Pass;
        }
        let content = content(request.headers());
        noted.lock().unwrap().push(content.to_owned());
        match content.starts_with("STREAMING-AWS4-HMAC-SHA256-PAYLOAD") {
            true if late => Act::Take(refusal(StatusCode::NOT_IMPLEMENTED, UNKNOWN_CHUNKS)),
            true => Act::Answer(refusal(StatusCode::NOT_IMPLEMENTED, UNKNOWN_CHUNKS)),
            false => Act::Pass,
        }
    });
    seen
}

#[tokio::test]
async fn a_storage_that_knows_no_signed_chunks_is_found_out_and_gets_bodies_that_are_signed_as_a_whole() {
    for bucket in ["plain", "sealed"] {
        let storage = Storage::new();
        let (relay, gateway, client) = over(&storage, LongBodies::Signed).await;
        let seen = knows_no_chunks(&relay, false);
        let trouble = || gateway.front.upstreams.home().trouble();
        assert_eq!(trouble(), None);
        for (key, tries) in [("first", 2), ("second", 1)] {
            let body = bytes(3_000_000);
            let put = client.put(bucket, key, &body).await;
            assert_eq!(put.status, StatusCode::OK, "{bucket}/{key}: {put:?}");
            assert!(client.get(bucket, key).await.body == body, "{bucket}/{key}");
            let seen = std::mem::take(&mut *seen.lock().unwrap());
            assert_eq!(seen.len(), tries, "{bucket}/{key}: {seen:?}");
            assert_eq!(seen[tries - 1].len(), 64, "{bucket}/{key}: a SHA-256 in hex, not {seen:?}");
        }
        let said = trouble().unwrap();
        assert!(said.contains("backends.service.long_bodies") && said.contains("16 MiB"), "{said}");
        // What is too long to be kept is refused, and may come in parts.
        let put = client.put(bucket, "long", &bytes((16 << 20) + 1)).await;
        let found = (put.status, put.code());
        assert_eq!(found, (StatusCode::NOT_IMPLEMENTED, "NotImplemented".to_owned()), "{put:?}");
        assert!(!storage.has(bucket, "long").await && seen.lock().unwrap().is_empty(), "{bucket}");
        let (one, two) = (bytes(PART), bytes(70_000));
        let id = create(&client, bucket, "parts").await;
        let first = part(&client, bucket, "parts", &id, 1, &one).await.header("etag").to_owned();
        let second = part(&client, bucket, "parts", &id, 2, &two).await.header("etag").to_owned();
        let done = complete(&client, bucket, "parts", &id, &[(1, &first), (2, &second)]).await;
        assert_eq!(done.status, StatusCode::OK, "{done:?}");
        assert!(client.get(bucket, "parts").await.body == [one, two].concat(), "{bucket}");
        gateway.end().await;
        relay.end().await;
    }
}

#[tokio::test]
async fn a_body_that_was_taken_before_its_chunks_were_refused_is_asked_for_again() {
    let storage = Storage::new();
    let (relay, gateway, client) = over(&storage, LongBodies::Signed).await;
    let seen = knows_no_chunks(&relay, true);
    let body = bytes(3_000_000);
    let put = client.put("sealed", "k", &body).await;
    assert_eq!((put.status, put.code()), (StatusCode::SERVICE_UNAVAILABLE, "SlowDown".to_owned()), "{put:?}");
    assert!(!storage.has("sealed", "k").await);
    assert_eq!(client.put("sealed", "k", &body).await.status, StatusCode::OK);
    assert!(client.get("sealed", "k").await.body == body);
    assert_eq!(seen.lock().unwrap().len(), 2);
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn long_bodies_go_without_a_check_where_the_configuration_allows_it() {
    let storage = Storage::new();
    let (relay, gateway, client) = over(&storage, LongBodies::Unchecked).await;
    let seen = knows_no_chunks(&relay, false);
    let body = bytes(17 << 20);
    let put = client.put("sealed", "k", &body).await;
    assert_eq!(put.status, StatusCode::OK, "{put:?}");
    assert!(client.get("sealed", "k").await.body == body);
    assert_eq!(*seen.lock().unwrap(), ["UNSIGNED-PAYLOAD"]);
    assert_eq!(gateway.front.upstreams.home().trouble(), None);
    gateway.end().await;
    relay.end().await;
}

/// Takes no body without a check. The storage behind it verifies the check, and has no locks.
fn wants_checks(relay: &Relay) -> Arc<Mutex<usize>> {
    let refused = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&refused);
    relay.rule(move |request| {
        let is_check = |name: &&str| request.headers().contains_key(*name);
        if !stores(request) {
            return Act::Pass;
        }
        if !["content-md5", "x-amz-trailer"].iter().any(is_check) {
            *counted.lock().unwrap() += 1;
            return Act::Answer(refusal(StatusCode::BAD_REQUEST, UNCHECKED));
        }
        Act::Change(Box::new(|request| {
            for name in ["x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"] {
                request.headers_mut().remove(name);
            }
        }))
    });
    refused
}

#[tokio::test]
async fn a_locked_object_has_a_check_of_what_is_stored_and_never_the_clients_own() {
    let storage = Storage::new();
    let (relay, gateway, client) = over(&storage, LongBodies::Signed).await;
    let refused = wants_checks(&relay);
    for size in [0, 70_000, 3_000_000] {
        let body = bytes(size);
        let md5 = STANDARD.encode(checksums::of(Algorithm::Md5, &body));
        let lock = [
            ("x-amz-object-lock-mode", "GOVERNANCE"),
            ("x-amz-object-lock-retain-until-date", "2030-01-01T00:00:00Z"),
            ("content-md5", md5.as_str()),
        ];
        let put = client.send(Method::PUT, "sealed", "k", &[], &lock, &body).await;
        assert_eq!(put.status, StatusCode::OK, "{size}: {put:?}");
        assert_eq!(*refused.lock().unwrap(), 0, "{size}: the storage had to ask");
        assert!(client.get("sealed", "k").await.body == body, "{size}");
        let (head, stored) = storage.get("sealed", "k").await;
        assert!(head.contains_key("x-amz-meta-gse-v") && stored.len() > size, "{size}");
        let mode = [("x-amz-checksum-mode", "ENABLED")];
        let head = client.send(Method::HEAD, "sealed", "k", &[], &mode, b"").await;
        assert_eq!(head.header("x-amz-checksum-crc32"), "", "{size}: of ciphertext");
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_storage_that_wants_a_check_of_every_body_is_asked_once_without() {
    for size in [0, 70_000, 3_000_000] {
        let storage = Storage::new();
        let (relay, gateway, client) = over(&storage, LongBodies::Signed).await;
        let refused = wants_checks(&relay);
        let body = bytes(size);
        for key in ["one", "two"] {
            let put = client.put("sealed", key, &body).await;
            assert_eq!(put.status, StatusCode::OK, "{size}: {put:?}");
            assert!(client.get("sealed", key).await.body == body, "{size}");
        }
        let id = create(&client, "sealed", "parts").await;
        let one = bytes(PART);
        let etag = part(&client, "sealed", "parts", &id, 1, &one).await.header("etag").to_owned();
        let done = complete(&client, "sealed", "parts", &id, &[(1, &etag)]).await;
        assert_eq!(done.status, StatusCode::OK, "{done:?}");
        assert!(client.get("sealed", "parts").await.body == one);
        assert_eq!(*refused.lock().unwrap(), 1, "{size}");
        gateway.end().await;
        relay.end().await;
    }
}

#[tokio::test]
async fn what_a_storage_encrypts_by_itself_is_not_told_as_sealed_here() {
    let storage = Storage::new();
    let (relay, gateway, _) = over(&storage, LongBodies::Signed).await;
    relay.rule(|request| {
        if !stores(request) {
            return Act::Pass;
        }
        let mut answer = Response::new(upstream::empty());
        let mut say = |name, value| answer.headers_mut().insert(name, HeaderValue::from_static(value));
        say("x-amz-server-side-encryption", "aws:kms");
        say("x-amz-server-side-encryption-aws-kms-key-id", "a key of the storage");
        Act::Answer(answer)
    });
    for (bucket, sealed) in [("plain", false), ("sealed", true)] {
        let asked = Asked::new(Method::PUT, bucket, "k").ok().unwrap();
        let mut length = HeaderMap::new();
        length.insert("content-length", 5.into());
        let asked = asked.from(std::net::Ipv4Addr::LOCALHOST.into(), &length).carrying(upstream::full("hello"));
        let answer = gateway.front.for_console(asked).await.unwrap();
        assert_eq!(answer.extensions().get::<Sealed>().is_some(), sealed, "{bucket}");
    }
    gateway.end().await;
    relay.end().await;
}
