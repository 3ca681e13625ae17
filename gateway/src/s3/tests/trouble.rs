//! The storage in trouble: busy, broken off in both directions, stalled, elsewhere, changing under a read. What could not be
//! done is an honest error, no read is short, and nothing is stored by half.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;

use super::gateway::{ADMIN, Answer, Client, Gateway, Storage, bytes, limits, service, service_within};
use super::relay::{Act, Relay};
use super::uploads::{PART, complete, create, part};
use crate::config::Limits;
use crate::upstream::{self, Body, Upstream};

/// A gateway over the relay, with a bucket of each kind.
async fn over(storage: &Storage, upstream: Upstream) -> (Gateway, Client) {
    let gateway = Gateway::over(storage, upstream, "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    for bucket in ["plain", "sealed"] {
        assert_eq!(client.send(Method::PUT, bucket, "", &[], &[], b"").await.status, StatusCode::OK);
    }
    gateway.toggle("sealed", true).await;
    (gateway, client)
}

pub(super) async fn relayed(storage: &Storage) -> (Relay, Gateway, Client) {
    let relay = Relay::start(storage).await;
    let (gateway, client) = over(storage, service(relay.address, ("any", "any"))).await;
    (relay, gateway, client)
}

/// An object in two parts; its bytes.
async fn in_parts(client: &Client, bucket: &str, key: &str) -> Vec<u8> {
    let (one, two) = (bytes(PART), bytes(77_777));
    let id = create(client, bucket, key).await;
    let first = part(client, bucket, key, &id, 1, &one).await.header("etag").to_owned();
    let second = part(client, bucket, key, &id, 2, &two).await.header("etag").to_owned();
    let done = complete(client, bucket, key, &id, &[(1, &first), (2, &second)]).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    [one, two].concat()
}

/// Whether a request is about this key of a client's bucket.
fn about(request: &Request<Body>, method: &Method, key: &str) -> bool {
    request.method() == method && request.uri().path().ends_with(&format!("/{key}"))
}

pub(super) fn refusal(status: u16) -> Response<Body> {
    let mut answer = Response::new(upstream::full("<Error><Code>SlowDown</Code></Error>"));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_or_a_broken_connection_and_never_a_short_object() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    let place = gateway.front.place(&gateway.front.group.document(), "sealed").ok().unwrap();
    let body = bytes(300_000);
    for bucket in ["plain", "sealed"] {
        assert_eq!(client.put(bucket, "single", &body).await.status, StatusCode::OK);
        let long = in_parts(&client, bucket, "parts").await;
        for (key, body) in [("single", &body), ("parts", &long)] {
            let end = body.len() - 1;
            for (text, first, last) in
                [("", 0, end), ("bytes=100000-250000", 100_000, 250_000), ("bytes=-80000", body.len() - 80_000, end)]
            {
                let wanted = last - first + 1;
                for after in [0, 1, 70_000, wanted - 1] {
                    gateway.front.footers.forget(&place, key, None);
                    relay.rule(
                        move |request| {
                            if about(request, &Method::GET, key) { Act::Break(after) } else { Act::Pass }
                        },
                    );
                    let range = [("range", text)];
                    let headers = if text.is_empty() { &range[..0] } else { &range[..] };
                    let got = client.try_send(Method::GET, bucket, key, &[], headers, upstream::empty()).await;
                    if let Ok(answer) = got {
                        let what = format!("{bucket}/{key} {text} after {after}: {}", answer.status);
                        assert_eq!(
                            (answer.status, answer.code().as_str()),
                            (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
                            "{what}"
                        );
                    }
                }
                relay.rule(|_| Act::Pass);
                let range = [("range", text)];
                let headers = if text.is_empty() { &range[..0] } else { &range[..] };
                let got = client.send(Method::GET, bucket, key, &[], headers, b"").await;
                assert!(got.body == body[first..=last], "{bucket}/{key} {text}");
            }
        }
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_list_that_breaks_off_is_no_short_list() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    for bucket in ["plain", "sealed"] {
        client.put(bucket, "one", b"1").await;
        client.put(bucket, "two", b"2").await;
        for (query, end) in [(&[][..], "</ListBucketResult>"), (&[("uploads", "")], "</ListMultipartUploadsResult>")] {
            let path = format!("/{bucket}");
            for after in [0, 100, 200] {
                let path = path.clone();
                relay.rule(move |request| {
                    if request.uri().path().trim_end_matches('/') == path { Act::Break(after) } else { Act::Pass }
                });
                let got = client.try_send(Method::GET, bucket, "", query, &[], upstream::empty()).await;
                assert!(
                    got.is_err() || got.is_ok_and(|a| a.status == StatusCode::SERVICE_UNAVAILABLE),
                    "{bucket} {after}"
                );
            }
            relay.rule(|_| Act::Pass);
            let whole = client.send(Method::GET, bucket, "", query, &[], b"").await;
            assert!(String::from_utf8_lossy(&whole.body).ends_with(end), "{whole:?}");
        }
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_storage_that_is_busy_is_asked_three_times_and_then_told_as_busy() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    for bucket in ["plain", "sealed"] {
        client.put(bucket, "k", b"hello").await;
        for status in [503, 429, 500] {
            for busy in [2, usize::MAX] {
                for method in [Method::GET, Method::HEAD, Method::PUT] {
                    let asked = Arc::new(AtomicUsize::new(0));
                    let (counted, of) = (Arc::clone(&asked), method.clone());
                    relay.rule(move |request| {
                        if !about(request, &of, "k") {
                            return Act::Pass;
                        }
                        let before = counted.fetch_add(1, Ordering::Relaxed);
                        if before < busy { Act::Answer(refusal(status)) } else { Act::Pass }
                    });
                    let body: &[u8] = if method == Method::PUT { b"newer" } else { b"" };
                    let answer = client.send(method.clone(), bucket, "k", &[], &[], body).await;
                    let what = format!("{method} {bucket} {status} {busy} times");
                    let told =
                        if busy == 2 { answer.status.is_success() } else { upstream::is_overload(answer.status) };
                    assert!(told, "{what}: {answer:?}");
                    // The client of these tests asks three times itself.
                    assert_eq!(asked.load(Ordering::Relaxed), if busy == 2 { 3 } else { 9 }, "{what}");
                    relay.rule(|_| Act::Pass);
                    let now = client.get(bucket, "k").await.body;
                    assert!(now == "hello" || now == "newer", "{what}");
                }
            }
        }
        // A larger body is not kept: whoever sends it is asked to send it again.
        relay.rule(|request| if about(request, &Method::PUT, "large") { Act::Answer(refusal(503)) } else { Act::Pass });
        relay.seen();
        let answer = client.put(bucket, "large", &bytes(3_000_000)).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"));
        assert_eq!(relay.seen().iter().filter(|(_, target)| target.ends_with("/large")).count(), 1);
        assert!(!storage.has(bucket, "large").await);
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_at_the_storage_is_sent_again_or_told_as_busy_and_stores_nothing() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    for bucket in ["plain", "sealed"] {
        // Kept, and so sent again.
        let mut cut = false;
        relay.rule(move |request| {
            let first = about(request, &Method::PUT, "kept") && !std::mem::replace(&mut cut, true);
            if first { Act::Cut(100) } else { Act::Pass }
        });
        let body = bytes(200_000);
        assert_eq!(client.put(bucket, "kept", &body).await.status, StatusCode::OK, "{bucket}");
        assert!(client.get(bucket, "kept").await.body == body);
        for (size, after) in [(1000, 10), (200_000, 100_000), (3_000_000, 0), (3_000_000, 1_500_000)] {
            relay.rule(move |request| if about(request, &Method::PUT, "cut") { Act::Cut(after) } else { Act::Pass });
            let answer = client.put(bucket, "cut", &bytes(size)).await;
            let what = format!("{bucket} {size} cut after {after}: {answer:?}");
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"),
                "{what}"
            );
            assert_ne!(answer.header("retry-after"), "", "{what}");
            assert!(!storage.has(bucket, "cut").await, "{what}");
        }
        // The storage has it, and its answer is lost: what the client is told is that nobody knows.
        relay.rule(|request| if about(request, &Method::PUT, "lost") { Act::Lose } else { Act::Pass });
        let body = bytes(3_000_000);
        assert_eq!(client.put(bucket, "lost", &body).await.status, StatusCode::SERVICE_UNAVAILABLE, "{bucket}");
        relay.rule(|_| Act::Pass);
        assert!(client.get(bucket, "lost").await.body == body, "{bucket}: half an object");
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_part_whose_record_cannot_be_written_is_no_part() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    let id = create(&client, "sealed", "k").await;
    let kept = part(&client, "sealed", "k", &id, 1, &bytes(PART)).await.header("etag").to_owned();
    relay.rule(|request| {
        let record = request.method() == Method::PUT && request.uri().path().contains("/part/");
        if record { Act::Answer(refusal(503)) } else { Act::Pass }
    });
    for (number, size) in [(2, PART), (3, 9)] {
        let answer = part(&client, "sealed", "k", &id, number, &bytes(size)).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"), "{number}");
    }
    relay.rule(|_| Act::Pass);
    let list = client.send(Method::GET, "sealed", "k", &[("uploadId", &id)], &[], b"").await;
    assert_eq!(String::from_utf8_lossy(&list.body).matches("<Part>").count(), 1, "{list:?}");
    assert_eq!(complete(&client, "sealed", "k", &id, &[(1, &kept)]).await.status, StatusCode::OK);
    assert_eq!(client.get("sealed", "k").await.body.len(), PART);
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_complete_that_another_one_overtakes_is_told_what_that_came_to() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    for bucket in ["plain", "sealed"] {
        let id = create(&client, bucket, "k").await;
        let parts =
            [part(&client, bucket, "k", &id, 1, &bytes(PART)).await, part(&client, bucket, "k", &id, 2, b"x").await];
        let etags = parts.each_ref().map(|part| part.header("etag"));
        let named = [(1, etags[0]), (2, etags[1])];
        let first = complete(&client, bucket, "k", &id, &named).await;
        // To the second one the upload has no end yet, until it finds that what was kept of it is taken away.
        let mut gone = false;
        relay.rule(move |request| {
            let path = request.uri().path();
            gone |= path.ends_with("/plain") || path.ends_with("/upload");
            let early = request.method() == Method::GET && path.ends_with("/done") && !gone;
            if early { Act::Answer(refusal(404)) } else { Act::Pass }
        });
        let second = complete(&client, bucket, "k", &id, &named).await;
        let told = |answer: &Answer| (answer.status, answer.field("ETag"));
        assert_eq!(told(&first).0, StatusCode::OK, "{bucket} {first:?}");
        assert_eq!(told(&second), told(&first), "{bucket} {second:?}");
        // Of other parts the upload is over.
        assert_eq!(complete(&client, bucket, "k", &id, &named[..1]).await.code(), "NoSuchUpload", "{bucket}");
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_complete_is_overtaken_before_any_of_its_requests_and_told_what_the_other_came_to() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    let way = Relay::start(&storage).await;
    let two = Gateway::over(&storage, service(way.address, ("any", "any")), "sealgate-system", "two").await;
    let other = two.client(ADMIN);
    // Plain; sealed, whose last part is held or stored.
    for (bucket, last) in [("plain", 1), ("sealed", 1), ("sealed", PART)] {
        let mut nth = 0;
        loop {
            nth += 1;
            let key = format!("{last}-{nth}");
            let id = create(&client, bucket, &key).await;
            let mut etags = Vec::new();
            for (number, size) in [(1, PART), (2, last)] {
                etags.push(part(&client, bucket, &key, &id, number, &bytes(size)).await.header("etag").to_owned());
            }
            let first = Arc::new(Mutex::new(None));
            let (done, other, mut seen) = (Arc::clone(&first), other.clone(), 0);
            let (of_first, etags_of_first) = ((key.clone(), id.clone()), etags.clone());
            relay.rule(move |_| {
                seen += 1;
                if seen != nth {
                    return Act::Pass;
                }
                let (done, other, (key, id), etags) =
                    (Arc::clone(&done), other.clone(), of_first.clone(), etags_of_first.clone());
                let completes = async move {
                    let answer = complete(&other, bucket, &key, &id, &[(1, &etags[0]), (2, &etags[1])]).await;
                    *done.lock().unwrap() = Some(answer);
                };
                Act::After(completes.boxed())
            });
            let second = complete(&client, bucket, &key, &id, &[(1, &etags[0]), (2, &etags[1])]).await;
            relay.rule(|_| Act::Pass);
            let first = first.lock().unwrap().take();
            let Some(first) = first else {
                // It was through before so many requests.
                assert!(nth > 5 && second.status == StatusCode::OK, "{bucket} {last} {nth}: {second:?}");
                break;
            };
            let told = |answer: &Answer| (answer.status, answer.field("ETag"));
            assert!(told(&first).0 == StatusCode::OK && !told(&first).1.is_empty(), "{bucket} {last} {nth} {first:?}");
            assert_eq!(told(&second), told(&first), "{bucket} {last} {nth} {second:?}");
            assert_eq!(client.get(bucket, &key).await.body.len(), PART + last, "{bucket} {last} {nth}");
        }
    }
    two.end().await;
    gateway.end().await;
    way.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_redirect_of_the_storage_reaches_no_client_and_is_not_followed() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    for bucket in ["plain", "sealed"] {
        client.put(bucket, "k", b"hello").await;
        for status in [301, 307] {
            for (method, key, size) in [
                (Method::GET, "k", 0),
                (Method::HEAD, "k", 0),
                (Method::PUT, "n", 5),
                (Method::PUT, "n", 3_000_000),
                (Method::GET, "", 0),
            ] {
                relay.rule(move |request| {
                    if request.uri().path().starts_with("/sealgate-system") {
                        return Act::Pass;
                    }
                    let mut answer = refusal(status);
                    let elsewhere = "http://127.0.0.1:9/plain/k?X-Amz-Signature=secret";
                    answer.headers_mut().insert("location", elsewhere.parse().unwrap());
                    Act::Answer(answer)
                });
                let answer = client.send(method.clone(), bucket, key, &[], &[], &bytes(size)).await;
                let what = format!("{method} {bucket}/{key} {status}");
                assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{what}: {answer:?}");
                assert_eq!(answer.header("location"), "", "{what}");
                assert!(!String::from_utf8_lossy(&answer.body).contains("127.0.0.1"), "{what}");
            }
        }
        relay.rule(|_| Act::Pass);
        assert!(!storage.has(bucket, "n").await);
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn an_answer_that_does_not_say_its_length_is_no_object() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    for bucket in ["plain", "sealed"] {
        client.put(bucket, "k", b"hello").await;
        relay.rule(|request| {
            if !about(request, &Method::GET, "k") {
                return Act::Pass;
            }
            let frames =
                [Ok::<_, crate::upstream::BodyError>(http_body::Frame::data(bytes::Bytes::from_static(b"hel")))];
            let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
            Act::Answer(Response::new(body.boxed_unsync()))
        });
        let answer = client.get(bucket, "k").await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"));
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_storage_that_stalls_within_an_answer_is_given_up() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let soon = Limits { body_timeout: Duration::from_secs(1), ..limits() };
    let (gateway, client) = over(&storage, service_within(relay.address, ("any", "any"), &soon, |_| {})).await;
    for bucket in ["plain", "sealed"] {
        client.put(bucket, "k", &bytes(300_000)).await;
        for after in [0, 150_000] {
            relay.rule(move |request| if about(request, &Method::GET, "k") { Act::Stall(after) } else { Act::Pass });
            let begun = Instant::now();
            let got = client.try_send(Method::GET, bucket, "k", &[], &[], upstream::empty()).await;
            if let Ok(answer) = got {
                let what = format!("{bucket} after {after}: {} with {} bytes", answer.status, answer.body.len());
                assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
            }
            // Not by the bound of the client of these tests.
            assert!(begun.elapsed() < limits().body_timeout, "{bucket} after {after}");
        }
    }
    gateway.end().await;
    relay.end().await;
}

/// Overwrites the object before the `nth` request of a read, as another member does it; `always`: before each.
fn overwriting(relay: &Relay, writer: Client, key: &'static str, nth: usize, always: bool, with: Arc<Vec<u8>>) {
    let mut seen = 0;
    relay.rule(move |request| {
        if !about(request, &Method::GET, key) && !about(request, &Method::HEAD, key) {
            return Act::Pass;
        }
        seen += 1;
        if seen != nth && !always {
            return Act::Pass;
        }
        let (writer, with) = (writer.clone(), Arc::clone(&with));
        let writes = async move {
            assert_eq!(writer.put("sealed", key, &with).await.status, StatusCode::OK);
        };
        Act::After(writes.boxed())
    });
}

#[tokio::test]
async fn an_object_that_is_overwritten_between_the_requests_of_a_read_is_read_as_it_is_now() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    let two = Gateway::start(&storage, "two").await;
    let writer = two.client(ADMIN);
    let new = Arc::new(bytes(400_000));
    for (nth, range) in [(2, "bytes=100000-250000"), (3, "bytes=100000-250000"), (2, "bytes=-80000"), (2, "")] {
        for warm in [false, true] {
            let old = in_parts(&writer, "sealed", "k").await;
            if warm {
                client.range("sealed", "k", "bytes=5-9").await;
            }
            overwriting(&relay, writer.clone(), "k", if warm { nth - 1 } else { nth }, false, Arc::clone(&new));
            let given = [("range", range)];
            let headers = if range.is_empty() { &given[..0] } else { &given[..] };
            let answer = client.send(Method::GET, "sealed", "k", &[], headers, b"").await;
            relay.rule(|_| Act::Pass);
            let part = |of: &[u8]| match range {
                "" => of.to_vec(),
                "bytes=-80000" => of[of.len() - 80_000..].to_vec(),
                _ => of[100_000..=250_000].to_vec(),
            };
            assert!(answer.status.is_success(), "{range} {nth} {warm}: {answer:?}");
            assert!(answer.body == part(&new) || answer.body == part(&old), "{range} {nth} {warm}: a mixture");
        }
    }
    // Again and again: told as what it is.
    let _ = in_parts(&writer, "sealed", "k").await;
    overwriting(&relay, writer.clone(), "k", 0, true, new);
    let answer: Answer = client.range("sealed", "k", "bytes=100000-250000").await;
    assert_eq!((answer.status, answer.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"), "{answer:?}");
    relay.rule(|_| Act::Pass);
    two.end().await;
    gateway.end().await;
    relay.end().await;
}
