//! Sizes in lists: right the first time, whatever the ledger knows.

use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode};
use tokio::task::JoinSet;

use super::gateway::{ADMIN, Client, Gateway, Storage, bytes, service};
use super::relay::{Act, Relay};
use crate::upstream;

const PLAIN: usize = 700;
const SEALED: usize = 900;

/// A relay, and a member over it.
async fn relayed(storage: &Storage) -> (Relay, Gateway, Client) {
    let relay = Relay::start(storage).await;
    let gateway = member(storage, &relay, "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    client.send(Method::PUT, "sealed", "", &[], &[], b"").await;
    (relay, gateway, client)
}

async fn member(storage: &Storage, relay: &Relay, name: &str) -> Gateway {
    Gateway::over(storage, service(relay.address, ("any", "any")), "sealgate-system", name).await
}

/// Key and size of every object of a bucket, page by page.
async fn list(client: &Client, bucket: &str, query: &[(&str, &str)]) -> Vec<(String, String)> {
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let mut query = query.to_vec();
        let marker = match query[0].0 {
            "list-type" => "start-after",
            "versions" => "key-marker",
            _ => "marker",
        };
        if !after.is_empty() {
            query.push((marker, &after));
        }
        let page = client.send(Method::GET, bucket, "", &query, &[], b"").await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let text = String::from_utf8(page.body.to_vec()).unwrap();
        let texts = |name: &str| -> Vec<String> {
            let (open, close) = (format!("<{name}>"), format!("</{name}>"));
            text.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap().to_owned()).collect()
        };
        found.extend(texts("Key").into_iter().zip(texts("Size")));
        if page.field("IsTruncated") != "true" {
            return found;
        }
        after.clone_from(&found.last().unwrap().0);
    }
}

#[tokio::test]
async fn every_size_is_right_the_first_time_with_a_warm_a_cold_and_a_removed_ledger() {
    const OBJECTS: usize = 2_200;
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    gateway.toggle("sealed", true).await;
    let name = |number: usize| format!("{number:05}");
    // Half of them were there before, past the gateway.
    let storage = Arc::new(storage);
    let mut tasks = JoinSet::new();
    for worker in 0..16 {
        let (storage, client) = (Arc::clone(&storage), client.clone());
        tasks.spawn(async move {
            for number in (worker..OBJECTS).step_by(16) {
                if number.is_multiple_of(2) {
                    let body = vec![7; PLAIN];
                    storage.put("sealed", &name(number), &HeaderMap::new(), body.into(), |_| true).await;
                } else {
                    assert_eq!(client.put("sealed", &name(number), &[8; SEALED]).await.status, StatusCode::OK);
                }
            }
        });
    }
    tasks.join_all().await;
    let size = |number: usize| if number.is_multiple_of(2) { PLAIN } else { SEALED };
    let expected: Vec<_> = (0..OBJECTS).map(|number| (name(number), size(number).to_string())).collect();
    let pages = OBJECTS.div_ceil(1000);
    // A ledger that the writes filled; then that of another member, which knows nothing.
    relay.seen();
    assert!(list(&client, "sealed", &[("list-type", "2")]).await == expected);
    assert_eq!(relay.seen().len(), pages + OBJECTS / 2, "what it did not write itself");
    for query in [("list-type", "2"), ("max-keys", "1000"), ("versions", "")] {
        assert!(list(&client, "sealed", &[query]).await == expected, "{query:?}");
        assert_eq!(relay.seen().len(), pages, "{query:?}");
    }
    gateway.end().await;
    // A member that has the ledger of its life before, until that is removed while it runs.
    let all = pages + OBJECTS;
    for (query, first, removed) in
        [(("list-type", "2"), all, false), (("versions", ""), pages, true), (("max-keys", "1000"), all, false)]
    {
        let other = member(&storage, &relay, "two").await;
        let client = other.client(ADMIN);
        relay.seen();
        assert!(list(&client, "sealed", &[query]).await == expected, "{query:?}");
        assert_eq!(relay.seen().len(), first, "{query:?}");
        if removed {
            std::fs::remove_file(storage.dir.path().join("two").join("ledger.redb")).unwrap();
        }
        assert!(list(&client, "sealed", &[query]).await == expected, "{query:?}");
        assert_eq!(relay.seen().len(), pages, "{query:?}, known by now");
        // What its writer does at the end.
        let ended = tokio_util::sync::CancellationToken::new();
        ended.cancel();
        other.front.ledger.run(ended).await;
        other.end().await;
    }
    relay.end().await;
}

#[tokio::test]
async fn a_bucket_that_never_held_an_encrypted_object_costs_no_request_more_until_it_holds_one() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    // Encryption may be due in it, and never was.
    let policy = ("secrets", "buckets: [sealed], effect: encrypt, when: 'object.key.startsWith(\"secret/\")'");
    gateway.apply(1, &[policy]);
    for key in ["a", "b", "c"] {
        client.put("sealed", key, &bytes(PLAIN)).await;
        storage.put("sealed", &format!("old-{key}"), &HeaderMap::new(), bytes(PLAIN).into(), |_| true).await;
    }
    client.send(Method::PUT, "plain", "", &[], &[], b"").await;
    client.put("plain", "k", b"bytes").await;
    // Where none can be due, nothing is looked at; where one may be, whether another member has noted the first.
    for (bucket, objects, of_group) in [("plain", 1, 0), ("sealed", 6, 1)] {
        relay.seen();
        relay.looked_at_group();
        let found = list(&client, bucket, &[("list-type", "2")]).await;
        let size = if bucket == "plain" { 5 } else { PLAIN }.to_string();
        assert!(found.len() == objects && found.iter().all(|(_, found)| *found == size), "{found:?}");
        assert_eq!((relay.seen().len(), relay.looked_at_group()), (1, of_group), "{bucket}");
    }
    for method in [Method::GET, Method::HEAD] {
        relay.seen();
        relay.looked_at_group();
        client.send(method.clone(), "plain", "k", &[], &[], b"").await;
        client.send(method, "plain", "k", &[], &[("range", "bytes=1-2")], b"").await;
        assert_eq!((relay.seen().len(), relay.looked_at_group()), (2, 0));
    }
    relay.seen();
    // The first is stored through another member, of whose note this one has not heard.
    let other = member(&storage, &relay, "two").await;
    other.apply(1, &[policy]);
    assert_eq!(other.client(ADMIN).put("sealed", "secret/1", &bytes(SEALED)).await.status, StatusCode::OK);
    let found = list(&client, "sealed", &[("list-type", "2")]).await;
    assert_eq!(found.last().unwrap(), &("secret/1".to_owned(), SEALED.to_string()));
    other.end().await;
    gateway.end().await;
    relay.end().await;
}

/// An answer of the storage without a body.
fn answer(status: StatusCode) -> Act {
    let mut answer = Response::new(upstream::empty());
    *answer.status_mut() = status;
    Act::Answer(answer)
}

#[tokio::test]
async fn an_object_that_may_not_be_looked_at_keeps_the_size_that_is_stored_and_is_counted() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    gateway.toggle("sealed", true).await;
    for key in ["a", "b"] {
        client.put("sealed", key, &bytes(SEALED)).await;
    }
    let other = member(&storage, &relay, "two").await;
    let hidden = |path: &str| path.ends_with("/sealed/b");
    relay.rule(move |request| {
        let refused = request.method() == Method::HEAD && hidden(request.uri().path());
        if refused { answer(StatusCode::FORBIDDEN) } else { Act::Pass }
    });
    let stored = storage.get("sealed", "b").await.1.len();
    let found = list(&other.client(ADMIN), "sealed", &[("list-type", "2")]).await;
    assert_eq!(found, [("a".to_owned(), SEALED.to_string()), ("b".to_owned(), stored.to_string())]);
    let mut registry = prometheus_client::registry::Registry::default();
    other.front.stats.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    assert!(text.contains("list_objects_unseen_total 1\n"), "{text}");
    other.end().await;
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_page_whose_objects_cannot_be_looked_at_is_refused_and_never_shown_half_right() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    gateway.toggle("sealed", true).await;
    for key in ["a", "b"] {
        client.put("sealed", key, &bytes(SEALED)).await;
    }
    let other = member(&storage, &relay, "two").await;
    let behind = other.client(ADMIN);
    // Once it is too busy for every look, then for two of them.
    relay.rule(
        |request| {
            if request.method() == Method::HEAD { answer(StatusCode::SERVICE_UNAVAILABLE) } else { Act::Pass }
        },
    );
    let page = behind.send(Method::GET, "sealed", "", &[], &[], b"").await;
    assert_eq!((page.status, page.code().as_str()), (StatusCode::SERVICE_UNAVAILABLE, "SlowDown"));
    let mut busy = 2;
    relay.rule(move |request| {
        if request.method() != Method::HEAD || busy == 0 {
            return Act::Pass;
        }
        busy -= 1;
        answer(StatusCode::TOO_MANY_REQUESTS)
    });
    let found = list(&behind, "sealed", &[("max-keys", "1000")]).await;
    assert!(found.len() == 2 && found.iter().all(|(_, size)| *size == SEALED.to_string()), "{found:?}");
    other.end().await;
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn an_object_that_is_overwritten_while_it_is_listed_is_shown_as_it_is_now() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    gateway.toggle("sealed", true).await;
    client.put("sealed", "k", &bytes(SEALED)).await;
    let page = storage.keys("sealed", "").await;
    let etag = client.put("sealed", "k", &bytes(5 * SEALED)).await.header("etag").to_owned();
    let other = member(&storage, &relay, "two").await;
    relay.rule(move |request| {
        if request.method() == Method::GET && request.uri().path() == "/sealed" {
            return Act::Answer(Response::new(upstream::full(page.clone())));
        }
        Act::Pass
    });
    let answer = other.client(ADMIN).send(Method::GET, "sealed", "", &[("list-type", "2")], &[], b"").await;
    assert_eq!(answer.field("Size"), (5 * SEALED).to_string());
    assert_eq!(answer.field("ETag").trim_matches('"'), etag.trim_matches('"'));
    other.end().await;
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn what_was_deleted_counts_no_more_and_what_lies_behind_it_stays_known() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    gateway.toggle("sealed", true).await;
    for key in ["a", "b", "c", "d"] {
        client.put("sealed", key, &bytes(SEALED)).await;
    }
    let counted = async || gateway.front.ledger.bucket_counts("sealed").await.unwrap().encrypted;
    assert_eq!(counted().await, 4);
    client.send(Method::DELETE, "sealed", "a", &[], &[], b"").await;
    assert_eq!(counted().await, 3);
    let document = b"<Delete><Object><Key>b</Key></Object><Object><Key>none</Key></Object></Delete>";
    let answer = client.send(Method::POST, "sealed", "", &[("delete", "")], &[], document).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(counted().await, 2);
    // As a storage with versions answers.
    relay.rule(|request| {
        if request.method() != Method::DELETE {
            return Act::Pass;
        }
        let answer = Response::builder().status(204).header("x-amz-delete-marker", "true");
        Act::Answer(answer.body(upstream::empty()).unwrap())
    });
    client.send(Method::DELETE, "sealed", "c", &[], &[], b"").await;
    assert_eq!(counted().await, 1);
    relay.seen();
    let found = list(&client, "sealed", &[("versions", "")]).await;
    assert_eq!(found.len(), 2);
    assert_eq!(relay.seen().len(), 1, "its size is still known");
    gateway.end().await;
    relay.end().await;
}
