//! Uploads that take long to become objects: their clients are answered before the storage is done.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http::{Method, Request, StatusCode};
use tokio::sync::Semaphore;

use super::gateway::{ADMIN, Gateway, Storage, bytes, service};
use super::relay::{Act, Relay};
use super::uploads::{PART, create, document, part};
use crate::upstream;

#[tokio::test]
async fn a_complete_that_takes_long_is_answered_and_then_says_in_its_body_what_it_came_to() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    let body = bytes(PART);
    let mut uploads = Vec::new();
    for bucket in ["plain", "sealed"] {
        assert_eq!(client.send(Method::PUT, bucket, "", &[], &[], b"").await.status, StatusCode::OK);
        gateway.toggle(bucket, bucket == "sealed").await;
        for key in ["good", "bad"] {
            let id = create(&client, bucket, key).await;
            let etag = part(&client, bucket, key, &id, 1, &body).await.header("etag").to_owned();
            uploads.push((bucket, key, id, etag));
        }
    }
    // The storage is at work until the clients have their status. By then somebody has aborted the bad ones.
    let held = Arc::new(Semaphore::new(0));
    let (of_rule, behind) = (Arc::clone(&held), storage.upstream.clone());
    relay.rule(move |request| {
        let (path, query) = (request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
        if request.method() != Method::POST || !query.starts_with("uploadId=") {
            return Act::Pass;
        }
        let (held, behind) = (Arc::clone(&of_rule), behind.clone());
        let happens = async move {
            held.acquire().await.unwrap().forget();
            if path.ends_with("/bad") {
                let target = format!("{path}?{query}").parse().unwrap();
                behind.call(upstream::request(Method::DELETE, target)).await.unwrap();
            }
        };
        Act::After(happens.boxed())
    });
    let completing = uploads.iter().map(|(bucket, key, id, etag)| {
        let document = document(&[(1, etag)]);
        let mut request = Request::new(upstream::full(document));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = upstream::uri(bucket, Some(key), &[("uploadId", id)]);
        client.0.call(request)
    });
    let answers = tokio::time::timeout(Duration::from_secs(45), join_all(completing)).await;
    let answers = answers.expect("nobody waits longer for the storage");
    held.add_permits(1000);
    for (answer, (bucket, key, ..)) in answers.into_iter().zip(&uploads) {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{bucket}/{key}");
        let said = upstream::collect(answer.into_body(), 1 << 20).await.unwrap().unwrap();
        let field = |name: &[u8]| crate::s3::multipart_field(&said, name);
        assert!(said.starts_with(b"<?xml"), "{bucket}/{key}: {said:?}");
        if *key == "good" {
            assert_eq!((field(b"Key").as_deref(), field(b"Code")), (Some("good"), None), "{bucket}: {said:?}");
            let got = client.get(bucket, key).await;
            assert!(got.body == body, "{bucket}");
            assert_eq!(Some(got.header("etag")), field(b"ETag").as_deref(), "{bucket}");
        } else {
            assert_eq!(field(b"Code").as_deref(), Some("NoSuchUpload"), "{bucket}: {said:?}");
            assert!(!storage.has(bucket, key).await, "{bucket}");
        }
    }
    gateway.end().await;
    relay.end().await;
}
