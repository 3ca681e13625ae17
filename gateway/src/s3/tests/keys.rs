//! Keys of every legal byte are keys, and never paths, patterns or XML.

use http::{Method, StatusCode};

use super::gateway::{ADMIN, Client, Gateway, Storage, service};
use super::relay::Relay;
use super::uploads::{complete, create, part};
use crate::upstream::encode_key;

fn keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        ".",
        "..",
        "../up",
        "../../up",
        "a/../b",
        "a/./b",
        "a//b",
        "//",
        "///a",
        "/lead",
        "trail/",
        "trail//",
        " ",
        " a ",
        "+",
        "a+b",
        "%",
        "%2e%2e%2f",
        "a%b",
        "%zz",
        "%00",
        "?",
        "a?b=c",
        "#",
        "&",
        "&amp;",
        "<Key>",
        "]]>",
        "\"'",
        "\\",
        "a\\b",
        "*",
        "a;b",
        ":",
        "@",
        "~",
        "|",
        "\u{7f}",
        "\u{e4}",
        "\u{1F512}",
        "e\u{301}",
        "\u{202e}abc",
        "gse1.",
        "mp/x/done",
        ".sealgate",
        "x@",
        "record.json",
    ]
    .map(str::to_owned)
    .into();
    // Every control character but the one of no file system and no header.
    keys.extend((1..=31_u8).map(|byte| format!("c{}c", char::from(byte))));
    keys.push("k".repeat(1024));
    keys.push("\u{e4}".repeat(512));
    keys.push(format!("{}/{}", "d".repeat(511), "f".repeat(512)));
    keys
}

async fn holds_its_own_bytes(client: &Client, bucket: &str, key: &str) {
    let what = format!("{bucket}/{key:?}");
    let body = format!("the bytes of {key}").into_bytes();
    let put = client.put(bucket, key, &body).await;
    assert_eq!(put.status, StatusCode::OK, "{what}: {put:?}");
    let get = client.get(bucket, key).await;
    assert!(get.body == body, "{what}: {get:?}");
    assert_eq!(client.head(bucket, key).await.header("content-length"), body.len().to_string(), "{what}");
    // Through a list whose keys are coded: XML has no control characters.
    let query = [("list-type", "2"), ("encoding-type", "url"), ("prefix", key)];
    let list = client.send(Method::GET, bucket, "", &query, &[], b"").await;
    assert!(list.body.windows(5).filter(|at| *at == b"<Key>").count() >= 1, "{what}: {list:?}");
    let shown = list.field("Key").replace('+', " ");
    let shown = percent_encoding::percent_decode_str(&shown).decode_utf8().unwrap().into_owned();
    assert_eq!(shown, key, "{what}");
    assert_eq!(list.field("Size"), body.len().to_string(), "{what}");
}

async fn is_copied_and_made_of_parts(client: &Client, bucket: &str, key: &str) {
    let what = format!("{bucket}/{key:?}");
    let from = format!("/{bucket}/{}", encode_key(key));
    let copy = client.send(Method::PUT, bucket, "copied", &[], &[("x-amz-copy-source", &from)], b"").await;
    assert_eq!(copy.status, StatusCode::OK, "{what}: {copy:?}");
    assert!(client.get(bucket, "copied").await.body == client.get(bucket, key).await.body, "{what}");
    let id = create(client, bucket, key).await;
    let etag = part(client, bucket, key, &id, 1, b"of a part").await.header("etag").to_owned();
    let uploads = client.send(Method::GET, bucket, "", &[("uploads", ""), ("encoding-type", "url")], &[], b"").await;
    assert_eq!(uploads.field("UploadId"), id, "{what}");
    let done = complete(client, bucket, key, &id, &[(1, &etag)]).await;
    assert_eq!(done.status, StatusCode::OK, "{what}: {done:?}");
    assert_eq!(client.get(bucket, key).await.body, "of a part", "{what}");
    assert_eq!(client.send(Method::DELETE, bucket, key, &[], &[], b"").await.status, StatusCode::NO_CONTENT, "{what}");
    assert_eq!(client.get(bucket, key).await.code(), "NoSuchKey", "{what}");
}

async fn hold(client: &Client) {
    for bucket in ["plain", "sealed"] {
        // All of them first, so that one that is taken for another shows.
        for key in keys() {
            holds_its_own_bytes(client, bucket, &key).await;
        }
        for key in keys() {
            assert!(
                client.get(bucket, &key).await.body == format!("the bytes of {key}").as_bytes(),
                "{bucket}/{key:?}"
            );
        }
        for key in keys() {
            is_copied_and_made_of_parts(client, bucket, &key).await;
        }
        for key in ["k".repeat(1025), "\u{e4}".repeat(513)] {
            let put = client.put(bucket, &key, b"x").await;
            assert_eq!((put.status, put.code().as_str()), (StatusCode::BAD_REQUEST, "KeyTooLongError"), "{bucket}");
            let create = client.send(Method::POST, bucket, &key, &[("uploads", "")], &[], b"").await;
            assert_eq!(create.code(), "KeyTooLongError", "{bucket}");
        }
    }
}

#[tokio::test]
async fn every_legal_key_is_a_key_in_the_directory() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    hold(&client).await;
    gateway.end().await;
}

#[tokio::test]
async fn every_legal_key_is_a_key_in_a_service() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    for bucket in ["plain", "sealed"] {
        client.send(Method::PUT, bucket, "", &[], &[], b"").await;
    }
    gateway.toggle("sealed", true).await;
    hold(&client).await;
    gateway.end().await;
    relay.end().await;
}
