//! Copies of encrypted objects without their data: what the storage is asked, what is left when it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Response, StatusCode};

use super::gateway::{ADMIN, Answer, Client, Gateway, Storage, bytes, service, until};
use super::relay::{Act, Relay};
use super::uploads::{PART, complete, create, part};
use crate::s3::Ages;
use crate::upstream::{self, Body};

const MIB: usize = 1 << 20;

type Headers<'a> = &'a [(&'static str, &'a str)];
/// Whether a request is the one at which a copy is made to fail.
type Step = fn(&http::Request<Body>) -> bool;

/// A gateway over an S3 service, with the encrypted buckets `sealed` and `other`.
async fn over_a_service(storage: &Storage) -> (Relay, Gateway, Client) {
    over(storage, Relay::start(storage).await).await
}

async fn over(storage: &Storage, relay: Relay) -> (Relay, Gateway, Client) {
    let gateway = Gateway::over(storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    for bucket in ["sealed", "other"] {
        assert_eq!(client.send(Method::PUT, bucket, "", &[], &[], b"").await.status, StatusCode::OK);
        gateway.toggle(bucket, true).await;
    }
    (relay, gateway, client)
}

async fn copy(client: &Client, from: &str, bucket: &str, key: &str, headers: Headers<'_>) -> Answer {
    let headers = [&[("x-amz-copy-source", from)], headers].concat();
    client.send(Method::PUT, bucket, key, &[], &headers, b"").await
}

/// Uploads that are open at the storage, and what is kept of uploads.
async fn left(storage: &Storage) -> (usize, usize) {
    let mut open = 0;
    for bucket in ["sealed", "other"] {
        let target = upstream::uri(bucket, None, &[("uploads", "")]);
        let page = storage.upstream.collect(upstream::request(Method::GET, target), MIB).await.unwrap();
        open += String::from_utf8_lossy(page.body()).matches("<Upload>").count();
    }
    (open, storage.keys("sealgate-system", "mp/").await.matches("<Key>").count())
}

fn is_part_copy(request: &http::Request<Body>) -> bool {
    request.uri().query().is_some_and(|query| query.contains("partNumber="))
        && request.headers().contains_key("x-amz-copy-source")
}

fn is_complete(request: &http::Request<Body>) -> bool {
    request.method() == Method::POST && request.uri().query().is_some_and(|query| query.contains("uploadId="))
}

fn status(status: StatusCode) -> Act {
    let mut answer = Response::new(upstream::full("<html>no</html>"));
    *answer.status_mut() = status;
    Act::Answer(answer)
}

#[tokio::test]
async fn a_copy_of_64_mib_moves_less_than_one_through_the_gateway_and_carries_everything() {
    let storage = Storage::new();
    let (relay, gateway, client) = over_a_service(&storage).await;
    let body = bytes(64 * MIB);
    let described = [
        ("content-type", "text/x-y"),
        ("x-amz-meta-who", "me"),
        ("x-amz-tagging", "a=b%26c"),
        ("x-amz-checksum-algorithm", "SHA256"),
    ];
    let sum = STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body));
    let put = [&described[..], &[("x-amz-checksum-sha256", sum.as_str())]].concat();
    assert_eq!(client.send(Method::PUT, "sealed", "k", &[], &put, &body).await.status, StatusCode::OK);
    assert!(relay.moved() > 64 << 20, "the counter counts");
    let new = [
        ("x-amz-metadata-directive", "REPLACE"),
        ("x-amz-tagging-directive", "REPLACE"),
        ("x-amz-meta-who", "you"),
        ("x-amz-tagging", "d=e"),
        ("x-amz-storage-class", "STANDARD_IA"),
    ];
    let full = "n".repeat(2000);
    let no_room = [("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-who", full.as_str())];
    // To another bucket; a copy of that; onto itself; and with metadata that leaves no room for ours.
    let copies: [(&str, &str, &str, Headers<'_>, &str); 4] = [
        ("/sealed/k", "other", "one", &[], "me"),
        ("/other/one", "other", "two", &new, "you"),
        ("/sealed/k", "sealed", "k", &new, "you"),
        ("/sealed/k", "sealed", "full", &no_room, &full),
    ];
    for (from, bucket, key, headers, who) in copies {
        let answer = copy(&client, from, bucket, key, headers).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert!(relay.moved() < 1 << 20, "{key}");
        assert_eq!((answer.field("ChecksumSHA256"), answer.field("ChecksumType")), (sum.clone(), "FULL_OBJECT".into()));
        assert_eq!(answer.header("x-amz-server-side-encryption"), "aws:kms");
        let mode = [("x-amz-checksum-mode", "ENABLED")];
        let head = client.send(Method::HEAD, bucket, key, &[], &mode, b"").await;
        let shown =
            ["x-amz-meta-who", "x-amz-checksum-sha256", "content-length"].map(|name| head.header(name).to_owned());
        assert_eq!(shown, [who.to_owned(), sum.clone(), body.len().to_string()]);
        assert_eq!(answer.field("ETag"), head.header("etag"));
        let get = client.get(bucket, key).await;
        assert!(get.body == body, "{key}: {}", get.body.len());
        let range = client.range(bucket, key, "bytes=65530-70000").await;
        assert!(range.body == body[65530..=70000], "{key}");
        // One part, as the client stored it, whatever the storage made it of.
        let whole = client.send(Method::GET, bucket, key, &[("partNumber", "1")], &[], b"").await;
        assert!(whole.body == body && whole.header("x-amz-mp-parts-count").is_empty(), "{key}");
        let list = client.send(Method::GET, bucket, "", &[("prefix", key)], &[], b"").await;
        assert_eq!((list.field("Size"), list.field("ETag")), (body.len().to_string(), answer.field("ETag")));
        let tags = client.send(Method::GET, bucket, key, &[("tagging", "")], &[], b"").await;
        assert_eq!(tags.field("Value"), if key == "one" { "b&c" } else { "e" }, "{key}");
        relay.moved();
    }
    let head = client.head("other", "two").await;
    assert_eq!(
        (head.header("content-type"), head.header("x-amz-storage-class")),
        ("binary/octet-stream", "STANDARD_IA")
    );
    assert_eq!(client.head("other", "one").await.header("content-type"), "text/x-y");
    // Its key is wrapped anew, and bound to its place.
    let wrapped = async |bucket: &str, key: &str| {
        let head = upstream::request(Method::HEAD, upstream::uri(bucket, Some(key), &[]));
        storage.upstream.call(head).await.unwrap().headers()["x-amz-meta-gse-h"].clone()
    };
    assert_ne!(wrapped("other", "one").await, wrapped("other", "two").await);
    assert_eq!(left(&storage).await, (0, 0));
    assert_eq!(gateway.counted(ids::Outcome::Encrypted), 5);
    assert_eq!(gateway.counted(ids::Outcome::Failed), 0);
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_copy_of_a_multipart_object_keeps_its_parts_and_a_small_one_is_streamed() {
    let storage = Storage::new();
    let (relay, gateway, client) = over_a_service(&storage).await;
    let bodies = [bytes(PART), bytes(PART + 70_001), bytes(9)];
    let id = create(&client, "sealed", "k").await;
    let mut etags = Vec::new();
    for (number, body) in [1, 4, 9].into_iter().zip(&bodies) {
        etags.push((number, part(&client, "sealed", "k", &id, number, body).await.header("etag").to_owned()));
    }
    let parts: Vec<_> = etags.iter().map(|(number, etag)| (*number, etag.as_str())).collect();
    assert_eq!(complete(&client, "sealed", "k", &id, &parts).await.status, StatusCode::OK);
    client.send(Method::DELETE, "sealed", "none", &[], &[], b"").await;
    let states = left(&storage).await;
    relay.moved();
    let answer = copy(&client, "/sealed/k", "other", "copy", &[]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert!(relay.moved() < 1 << 20);
    assert!(client.get("other", "copy").await.body == bodies.concat());
    for (place, body) in ["1", "2", "3"].into_iter().zip(&bodies) {
        let got = client.send(Method::GET, "other", "copy", &[("partNumber", place)], &[], b"").await;
        assert!(got.body == *body, "part {place}");
        assert_eq!(got.header("x-amz-mp-parts-count"), "3");
        let head = client.send(Method::HEAD, "other", "copy", &[("partNumber", place)], &[], b"").await;
        let shown = ["content-length", "x-amz-mp-parts-count"].map(|name| head.header(name).to_owned());
        assert_eq!(shown, [body.len().to_string(), "3".to_owned()], "part {place}");
    }
    let fourth = client.send(Method::GET, "other", "copy", &[("partNumber", "4")], &[], b"").await;
    assert_eq!(fourth.code(), "InvalidPartNumber");
    assert_eq!(left(&storage).await, states);
    // Where the client wants a checksum that the source does not have, the bytes must be read.
    let wish = [("x-amz-checksum-algorithm", "CRC32")];
    let answer = copy(&client, "/sealed/k", "other", "summed", &wish).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &bodies.concat());
    let crc = STANDARD.encode(&crc.to_be_bytes()[4..]);
    assert_eq!(answer.field("ChecksumCRC32"), crc);
    assert!(relay.moved() > 20 << 20);
    relay.seen();
    let small = bytes(PART - 1);
    client.put("sealed", "small", &small).await;
    assert_eq!(copy(&client, "/sealed/small", "other", "small", &[]).await.status, StatusCode::OK);
    assert!(relay.seen().iter().all(|(method, target)| *method != Method::POST && !target.contains("uploads")));
    assert!(client.get("other", "small").await.body == small);
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_copy_that_fails_at_any_step_leaves_nothing_behind() {
    let storage = Storage::new();
    let (relay, gateway, client) = over_a_service(&storage).await;
    let body = bytes(PART);
    client.put("sealed", "k", &body).await;
    let old = client.put("other", "copy", b"before").await.header("etag").to_owned();
    let steps: [(&str, Step); 4] = [
        ("the note", |request| {
            request.method() == Method::PUT
                && request.uri().path().ends_with("/copy")
                && request.uri().path().contains("/mp/")
        }),
        ("the body", is_part_copy),
        ("the footer", |request| request.uri().query().is_some_and(|query| query.contains("partNumber=2"))),
        ("Complete", |request| is_complete(request)),
    ];
    for (step, is_it) in steps {
        for refusal in [StatusCode::FORBIDDEN, StatusCode::SERVICE_UNAVAILABLE] {
            if step == "Complete" && refusal.is_server_error() {
                continue;
            }
            relay.rule(move |request| if is_it(request) { status(refusal) } else { Act::Pass });
            let answer = copy(&client, "/sealed/k", "other", "copy", &[]).await;
            assert!(!answer.status.is_success(), "{step}: {answer:?}");
            assert_eq!(left(&storage).await, (0, 0), "{step} {refusal}");
            assert_eq!(client.get("other", "copy").await.body, "before", "{step} {refusal}");
        }
    }
    relay.rule(|_| Act::Pass);
    // The client's conditions on what is overwritten.
    for condition in [("if-none-match", "*"), ("if-match", "\"0123456789abcdef0123456789abcdef-1\"")] {
        let answer = copy(&client, "/sealed/k", "other", "copy", &[condition]).await;
        assert_eq!(answer.code(), "PreconditionFailed", "{condition:?}");
        assert_eq!(left(&storage).await, (0, 0));
    }
    assert_eq!(client.get("other", "copy").await.body, "before");
    assert_eq!(copy(&client, "/sealed/k", "other", "copy", &[("if-match", &old)]).await.status, StatusCode::OK);
    assert!(client.get("other", "copy").await.body == body);
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_source_that_is_overwritten_on_the_way_is_not_copied_by_a_storage_that_takes_no_notice() {
    let storage = Storage::new();
    let (relay, gateway, client) = over_a_service(&storage).await;
    client.put("sealed", "k", &bytes(PART)).await;
    let heads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&heads);
    relay.rule(move |request| {
        // Seen for the second time it is another one.
        let of_source = request.method() == Method::HEAD && request.uri().path() == "/sealed/k";
        if of_source && counted.fetch_add(1, Ordering::AcqRel) > 0 {
            Act::Lie(http::HeaderValue::from_static("\"ffffffffffffffffffffffffffffffff\""))
        } else {
            Act::Pass
        }
    });
    let answer = copy(&client, "/sealed/k", "other", "copy", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"));
    assert_eq!((left(&storage).await, storage.has("other", "copy").await), ((0, 0), false));
    // And one that does take notice is told which object it is.
    relay.rule(|request| {
        if !is_part_copy(request) {
            return Act::Pass;
        }
        Act::Change(Box::new(|request| {
            assert!(request.headers().contains_key("x-amz-copy-source-if-match"));
            let other = http::HeaderValue::from_static("\"ffffffffffffffffffffffffffffffff\"");
            request.headers_mut().insert("x-amz-copy-source-if-match", other);
        }))
    });
    let answer = copy(&client, "/sealed/k", "other", "copy", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"));
    assert_eq!((left(&storage).await, storage.has("other", "copy").await), ((0, 0), false));
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn what_a_kill_leaves_of_a_copy_is_hidden_from_clients_and_aborted_by_the_sweep() {
    let storage = Storage::new();
    let (relay, gateway, client) = over_a_service(&storage).await;
    client.put("sealed", "k", &bytes(PART)).await;
    // Nobody knows what became of Complete: the same as if the gateway had been killed.
    relay.rule(|request| if is_complete(request) { status(StatusCode::BAD_GATEWAY) } else { Act::Pass });
    let answer = copy(&client, "/sealed/k", "other", "copy", &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"));
    relay.rule(|_| Act::Pass);
    // The client tries again, and each time one is left.
    let (lost, notes) = left(&storage).await;
    assert!(lost > 0 && notes == lost, "{lost} {notes}");
    let mine = create(&client, "other", "copy").await;
    let list = client.send(Method::GET, "other", "", &[("uploads", "")], &[], b"").await;
    let text = String::from_utf8_lossy(&list.body).into_owned();
    assert!(text.matches("<Upload>").count() == 1 && text.contains(&mine), "{text}");
    assert_eq!(gateway.front.open_uploads().await.unwrap().len(), 1, "the client's own");
    let sweep = async |ages: Ages| {
        let swept = gateway.front.sweep_uploads(None, 1_000, ages, &|| true).await.unwrap();
        assert_eq!((swept.after, swept.unreadable), (None, 0));
    };
    sweep(Ages::default()).await;
    assert_eq!(left(&storage).await, (lost + 1, lost + 1), "young ones are at work");
    until("they are swept", async || {
        sweep(Ages { copy: Duration::ZERO, ..Ages::default() }).await;
        left(&storage).await == (1, 1)
    })
    .await;
    let abort = client.send(Method::DELETE, "other", "copy", &[("uploadId", &mine)], &[], b"").await;
    assert_eq!(abort.status, StatusCode::NO_CONTENT, "the client's own upload is untouched");
    assert!(!storage.has("other", "copy").await);
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_copy_whose_complete_did_happen_is_whole_and_its_note_goes() {
    let storage = Storage::new();
    let (relay, gateway, client) = over_a_service(&storage).await;
    let body = bytes(PART);
    client.put("sealed", "k", &body).await;
    relay.rule(|request| if is_complete(request) { Act::Lose } else { Act::Pass });
    assert_eq!(copy(&client, "/sealed/k", "other", "copy", &[]).await.code(), "SlowDown");
    relay.rule(|_| Act::Pass);
    assert!(client.get("other", "copy").await.body == body);
    let (open, notes) = left(&storage).await;
    assert!(open == 0 && notes > 0, "{open} {notes}");
    let at_once = Ages { copy: Duration::ZERO, ..Ages::default() };
    until("the notes are swept", async || {
        gateway.front.sweep_uploads(None, 1_000, at_once, &|| true).await.unwrap();
        left(&storage).await == (0, 0)
    })
    .await;
    assert!(client.get("other", "copy").await.body == body);
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn what_a_storage_would_misread_or_lose_is_streamed() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    relay.is_ceph();
    let (relay, gateway, client) = over(&storage, relay).await;
    let body = bytes(PART);
    let tagged = [("x-amz-tagging", "a=b")];
    for key in ["a%25b", "a%zz", "x?versionId=y", "fine +/\u{e4}"] {
        assert_eq!(client.put("sealed", key, &body).await.status, StatusCode::OK, "{key}");
    }
    assert_eq!(client.send(Method::PUT, "sealed", "tagged", &[], &tagged, &body).await.status, StatusCode::OK);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    relay.rule(move |request| {
        if is_part_copy(request) {
            let source = request.headers()["x-amz-copy-source"].to_str().unwrap();
            assert!(!source.contains("%25") && !source.contains("%3F"), "{source}");
            counted.fetch_add(1, Ordering::AcqRel);
        }
        Act::Pass
    });
    for (key, by_the_storage) in [("a%25b", 0), ("a%zz", 0), ("x?versionId=y", 0), ("tagged", 0), ("fine +/\u{e4}", 1)]
    {
        let from = format!("/sealed/{}", upstream::encode_key(key));
        let answer = copy(&client, &from, "other", key, &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{key}: {answer:?}");
        assert_eq!(asked.swap(0, Ordering::AcqRel), by_the_storage, "{key}");
        assert!(client.get("other", key).await.body == body, "{key}");
    }
    let tags = client.send(Method::GET, "other", "tagged", &[("tagging", "")], &[], b"").await;
    assert_eq!(tags.field("Value"), "b");
    // Only a PUT of that storage looks at conditions.
    let answer = copy(&client, "/sealed/tagged", "other", "tagged", &[("if-none-match", "*")]).await;
    assert_eq!(answer.code(), "PreconditionFailed");
    // One that cannot do it at all.
    relay.rule(|request| if is_part_copy(request) { status(StatusCode::NOT_IMPLEMENTED) } else { Act::Pass });
    assert_eq!(
        copy(&client, "/sealed/tagged", "other", "able", &[("x-amz-tagging-directive", "REPLACE")]).await.status,
        StatusCode::OK
    );
    assert!(client.get("other", "able").await.body == body);
    assert_eq!(left(&storage).await, (0, 0));
    gateway.end().await;
    relay.end().await;
}
