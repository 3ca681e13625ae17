//! What the storage is asked to do by itself, and what it is not asked.

use std::sync::{Arc, Mutex};

use http::{Method, Response, StatusCode};

use super::gateway::{ADMIN, Client, Gateway, Storage, service};
use super::relay::{Act, Relay};
use super::uploads::create;
use crate::upstream;

async fn relayed(storage: &Storage) -> (Relay, Gateway, Client) {
    let relay = Relay::start(storage).await;
    let gateway = Gateway::over(storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    let client = gateway.client(ADMIN);
    client.send(Method::PUT, "plain", "", &[], &[], b"").await;
    (relay, gateway, client)
}

#[tokio::test]
async fn a_copy_in_the_storage_is_of_the_object_that_was_judged_and_of_no_later_one() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    let judged = client.put("plain", "k", b"plain as it is").await.header("etag").to_owned();
    let id = create(&client, "plain", "parts").await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    relay.rule(move |request| {
        if request.headers().contains_key("x-amz-copy-source") {
            let condition = request.headers().get("x-amz-copy-source-if-match");
            notes.lock().unwrap().push(condition.map(|value| value.to_str().unwrap().trim_matches('"').to_owned()));
        }
        Act::Pass
    });
    let from = [("x-amz-copy-source", "/plain/k")];
    assert_eq!(client.send(Method::PUT, "plain", "copy", &[], &from, b"").await.status, StatusCode::OK);
    let part = [("partNumber", "1"), ("uploadId", id.as_str())];
    assert_eq!(client.send(Method::PUT, "plain", "parts", &part, &from, b"").await.status, StatusCode::OK);
    let judged = Some(judged.trim_matches('"').to_owned());
    assert_eq!(*asked.lock().unwrap(), [judged.clone(), judged]);
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_restore_is_passed_on_but_for_one_whose_result_would_be_stored_past_the_gateway() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    client.put("plain", "k", b"archived").await;
    relay.rule(|request| {
        if request.uri().query().is_none_or(|query| !query.contains("restore")) {
            return Act::Pass;
        }
        let mut accepted = Response::new(upstream::empty());
        *accepted.status_mut() = StatusCode::ACCEPTED;
        Act::Answer(accepted)
    });
    relay.seen();
    let restore = async |inside: &str| {
        let document = format!("<RestoreRequest>{inside}</RestoreRequest>");
        client.send(Method::POST, "plain", "k", &[("restore", "")], &[], document.as_bytes()).await
    };
    for inside in [
        "<OutputLocation><S3><BucketName>elsewhere</BucketName><Prefix>p</Prefix></S3></OutputLocation>",
        "<SelectParameters><Expression>select * from s3object</Expression></SelectParameters>",
    ] {
        let answer = restore(inside).await;
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::NOT_IMPLEMENTED, "NotImplemented"));
    }
    assert!(relay.seen().iter().all(|(method, _)| method != Method::POST), "the storage saw none of them");
    assert_eq!(restore("<Days>1</Days>").await.status, StatusCode::ACCEPTED);
    gateway.end().await;
    relay.end().await;
}
