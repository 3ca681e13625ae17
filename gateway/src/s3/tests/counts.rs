//! What is counted, once, of writes that succeed, fail, or are cut off.

use http::{Method, StatusCode};
use ids::Outcome;

use super::bodies::put;
use super::gateway::{ADMIN, Gateway, Storage, bytes, service, until};
use super::hostile::{exchange, presigned};
use super::relay::{Act, Relay};
use super::uploads::{complete, create, document, part};

#[tokio::test]
async fn a_write_that_comes_to_nothing_counts_as_failed_whichever_way_it_ends() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let mut failed = 0;
    for bucket in ["plain", "sealed"] {
        // Refused at its end, empty or not.
        let wrong = [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")];
        for body in [&b""[..], b"x", &bytes(100_000)] {
            let answer = client.send(Method::PUT, bucket, "k", &[], &wrong, body).await;
            assert_eq!(answer.code(), "BadDigest");
            failed += 1;
            assert_eq!(gateway.counted(Outcome::Failed), failed, "{bucket} {}", body.len());
        }
        // Refused by a condition.
        client.put(bucket, "there", b"x").await;
        let answer = client.send(Method::PUT, bucket, "there", &[], &[("if-none-match", "*")], b"y").await;
        assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED);
        failed += 1;
        assert_eq!(gateway.counted(Outcome::Failed), failed);
        // The client goes away: before anything that is known of the body, and half-way.
        for sent in [0, 5, 1_000_000] {
            put(&gateway, &format!("/{bucket}/k"), &[("content-length", "3000000")], &bytes(sent), &[]).await;
            failed += 1;
            until("the failure", async || gateway.counted(Outcome::Failed) == failed).await;
        }
    }
    assert_eq!((gateway.counted(Outcome::Plain), gateway.counted(Outcome::Encrypted)), (1, 1));
    assert_eq!(gateway.front.stats.unsettled(), 0);
    gateway.end().await;
}

#[tokio::test]
async fn an_upload_whose_completion_was_answered_to_nobody_counts_once() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    client.send(Method::PUT, "sealed", "", &[], &[], b"").await;
    gateway.toggle("sealed", true).await;
    let id = create(&client, "sealed", "k").await;
    let etag = part(&client, "sealed", "k", &id, 1, b"data").await.header("etag").to_owned();
    let mut tries = 0;
    relay.rule(move |request| {
        tries += u32::from(request.method() == Method::POST);
        if request.method() == Method::POST && tries == 1 { Act::Lose } else { Act::Pass }
    });
    // The client tries again by itself, as clients do when they are told 503.
    let done = complete(&client, "sealed", "k", &id, &[(1, &etag)]).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    // The first try is settled by a look, and counts the object.
    assert_eq!((gateway.counted(Outcome::Encrypted), gateway.front.stats.unsettled()), (0, 1));
    assert_eq!(client.get("sealed", "k").await.body, "data");
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_write_that_the_storage_may_still_commit_keeps_newer_policies_from_being_effective() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    let client = gateway.client(ADMIN);
    client.send(Method::PUT, "plain", "", &[], &[], b"").await;
    relay.rule(|request| if request.method() == Method::PUT { Act::Lose } else { Act::Pass });
    let lost = presigned(&gateway, ADMIN, "PUT", "/plain/k");
    let answer = exchange(&gateway, &format!("PUT {lost}"), &[("content-length", "1")], b"x").await;
    assert!(answer.contains("503 "), "{answer}");
    gateway.apply(1, &[("all", "effect: encrypt")]);
    let policies = &gateway.front.policies;
    assert!(!policies.is_effective(), "a write decided before may be under way");
    assert!(policies.effective(&policies.current()).await, "it is over by now");
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_completion_that_the_gateway_refuses_leaves_nothing_open() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    client.put("sealed", "k", b"there").await;
    let id = create(&client, "sealed", "k").await;
    let etag = part(&client, "sealed", "k", &id, 1, b"data").await.header("etag").to_owned();
    let text = document(&[(1, &etag)]);
    let query = [("uploadId", id.as_str())];
    let answer = client.send(Method::POST, "sealed", "k", &query, &[("if-match", "\"0-1\"")], text.as_bytes()).await;
    assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "{answer:?}");
    assert_eq!(gateway.front.stats.unsettled(), 0);
    gateway.end().await;
}

#[tokio::test]
async fn what_is_stored_plain_is_journalled_with_what_a_look_recognises() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    let client = gateway.client(ADMIN);
    client.send(Method::PUT, "plain", "", &[], &[], b"").await;
    let large = bytes(2 << 20);
    let mut md5 = crate::s3::checksum::Hasher::new(envelope::ChecksumAlgorithm::Md5);
    md5.update(&large);
    let md5 = crate::s3::checksum::encode(&md5.finish()).to_str().unwrap().to_owned();
    client.put("plain", "source", &large).await;
    let id = create(&client, "plain", "upload").await;
    let mut etags = Vec::new();
    for number in [1, 2] {
        etags.push(part(&client, "plain", "upload", &id, number, &bytes(5 << 20)).await.header("etag").to_owned());
    }
    assert_eq!(gateway.counted(Outcome::Plain), 1);
    // The storage does it, and its answer is lost: as after a kill, only a look can tell.
    relay.rule(|request| {
        let writes =
            request.method() == Method::PUT || request.uri().query().is_some_and(|q| q.starts_with("uploadId"));
        if writes && request.uri().path().starts_with("/plain/") && request.method() != Method::GET {
            Act::Lose
        } else {
            Act::Pass
        }
    });
    let lost = StatusCode::SERVICE_UNAVAILABLE;
    let sent = client.send(Method::PUT, "plain", "large", &[], &[("content-md5", md5.as_str())], &large).await;
    assert_eq!(sent.status, lost);
    // By a client that does not try again.
    let copy = presigned(&gateway, ADMIN, "PUT", "/plain/copy?x-amz-copy-source=%2Fplain%2Fsource");
    let answer = exchange(&gateway, &format!("PUT {copy}"), &[("content-length", "0")], b"").await;
    assert!(answer.contains("503 "), "{answer}");
    let done = presigned(&gateway, ADMIN, "POST", &format!("/plain/upload?uploadId={id}"));
    let document = document(&[(1, &etags[0]), (2, &etags[1])]);
    let length = document.len().to_string();
    let headers = [("content-length", length.as_str())];
    let answer = exchange(&gateway, &format!("POST {done}"), &headers, document.as_bytes()).await;
    assert!(answer.contains("503 "), "{answer}");
    assert_eq!(gateway.front.stats.unsettled(), 3);
    relay.rule(|_| Act::Pass);
    let look = crate::app::look(&gateway.front);
    gateway.front.stats.settle(&look, std::time::Duration::from_mins(1)).await;
    assert_eq!((gateway.counted(Outcome::Plain), gateway.front.stats.unsettled()), (4, 0));
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn an_upload_that_another_member_completes_counts_once_also_where_the_first_try_was_killed() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let one = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    one.add_kms().await;
    let first = one.client(ADMIN);
    first.send(Method::PUT, "sealed", "", &[], &[], b"").await;
    one.toggle("sealed", true).await;
    let two = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "two").await;
    let second = two.client(ADMIN);
    let id = create(&first, "sealed", "k").await;
    let etag = part(&first, "sealed", "k", &id, 1, b"data").await.header("etag").to_owned();
    // The storage never hears of the first try: as where the member is killed within it.
    relay.rule(|request| if request.method() == Method::POST { Act::Cut(0) } else { Act::Pass });
    let target = presigned(&one, ADMIN, "POST", &format!("/sealed/k?uploadId={id}"));
    let document = document(&[(1, &etag)]);
    let length = document.len().to_string();
    let headers = [("content-length", length.as_str())];
    let answer = exchange(&one, &format!("POST {target}"), &headers, document.as_bytes()).await;
    assert!(answer.contains("503 "), "{answer}");
    relay.rule(|_| Act::Pass);
    assert_eq!(one.front.stats.unsettled(), 1);
    let done = complete(&second, "sealed", "k", &id, &[(1, &etag)]).await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    // The first member is there again.
    let look = crate::app::look(&one.front);
    one.front.stats.settle(&look, std::time::Duration::from_mins(1)).await;
    let counted = (one.counted(Outcome::Encrypted), two.counted(Outcome::Encrypted), one.front.stats.unsettled());
    assert_eq!(counted, (1, 0, 0));
    two.end().await;
    one.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_try_that_was_refused_leaves_the_count_to_the_member_that_succeeds() {
    let storage = Storage::new();
    let (one, first) = Gateway::with_buckets(&storage).await;
    let two = Gateway::start(&storage, "two").await;
    let second = two.client(ADMIN);
    for (bucket, outcome) in [("plain", Outcome::Plain), ("sealed", Outcome::Encrypted)] {
        first.put(bucket, "k", b"there").await;
        let before = (one.counted(outcome), two.counted(outcome));
        let id = create(&first, bucket, "k").await;
        let etag = part(&first, bucket, "k", &id, 1, b"data").await.header("etag").to_owned();
        let query = [("uploadId", id.as_str())];
        let document = document(&[(1, &etag)]);
        let new = [("if-none-match", "*")];
        let refused = first.send(Method::POST, bucket, "k", &query, &new, document.as_bytes()).await;
        assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "{refused:?}");
        let done = second.send(Method::POST, bucket, "k", &query, &[], document.as_bytes()).await;
        assert_eq!(done.status, StatusCode::OK, "{done:?}");
        assert_eq!((one.counted(outcome), two.counted(outcome)), (before.0, before.1 + 1), "{bucket}");
    }
    two.end().await;
    one.end().await;
}
