//! Decisions by Central's policies, where the facts take some finding.

use http::{Method, Response, StatusCode};

use super::gateway::{ADMIN, Client, Gateway, Storage, bytes, service};
use super::relay::{Act, Relay};
use super::uploads::{complete, create, part};
use crate::upstream;

const PII: (&str, &str) =
    ("pii", "buckets: [\"tagged*\"], effect: encrypt, when: \"object.tags['classification'] == 'pii'\"");

async fn sealed(storage: &Storage, bucket: &str, key: &str) -> bool {
    storage.get(bucket, key).await.0.contains_key("x-amz-meta-gse-v")
}

async fn with_bucket(storage: &Storage, bucket: &str) -> (Gateway, Client) {
    let (gateway, client) = Gateway::with_buckets(storage).await;
    assert_eq!(client.send(Method::PUT, bucket, "", &[], &[], b"").await.status, StatusCode::OK);
    (gateway, client)
}

#[tokio::test]
async fn a_policy_sees_every_tag_and_none_that_cannot_be_read_is_left_out() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    client.send(Method::PUT, "tagged", "", &[], &[], b"").await;
    let named = ("named", "buckets: [\"tagged\"], effect: encrypt, when: \"object.tags['Expires'] == 'never'\"");
    gateway.apply(1, &[PII, named]);
    // A storage that takes whatever tags it is given.
    relay.rule(|_| Act::Change(Box::new(|request| drop(request.headers_mut().remove("x-amz-tagging")))));
    let put = async |key: &str, tags: &str| {
        client.send(Method::PUT, "tagged", key, &[], &[("x-amz-tagging", tags)], b"data").await.status
    };
    assert_eq!(put("plain", "classification=public").await, StatusCode::OK);
    assert_eq!(put("pii", "a=b&classification=pii").await, StatusCode::OK);
    assert_eq!(put("expires", "Expires=never").await, StatusCode::OK);
    for (key, tags) in [("coded", "classification=pii&x=%ff"), ("twice", "classification=public&classification=pii")] {
        assert_eq!(put(key, tags).await, StatusCode::BAD_REQUEST, "{tags}");
        assert!(!storage.has("tagged", key).await, "{tags}");
    }
    assert!(!sealed(&storage, "tagged", "plain").await);
    assert!(sealed(&storage, "tagged", "pii").await && sealed(&storage, "tagged", "expires").await);
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_copy_is_judged_by_the_tags_of_its_source_and_not_made_where_they_cannot_be_had() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    for bucket in ["source", "tagged", "other"] {
        client.send(Method::PUT, bucket, "", &[], &[], b"").await;
    }
    client.send(Method::PUT, "source", "pii", &[], &[("x-amz-tagging", "classification=pii")], b"data").await;
    client.send(Method::PUT, "source", "none", &[], &[], b"data").await;
    gateway.apply(1, &[PII]);
    let copy = async |from: &str, bucket: &str, key: &str| {
        let from = format!("/source/{from}");
        client.send(Method::PUT, bucket, key, &[], &[("x-amz-copy-source", &from)], b"").await
    };
    assert_eq!(copy("pii", "tagged", "pii").await.status, StatusCode::OK);
    assert_eq!(copy("none", "tagged", "none").await.status, StatusCode::OK);
    assert!(sealed(&storage, "tagged", "pii").await && !sealed(&storage, "tagged", "none").await);
    // Where no policy asks for tags, nobody looks.
    relay.seen();
    assert_eq!(copy("pii", "other", "k").await.status, StatusCode::OK);
    assert!(relay.seen().iter().all(|(_, target)| !target.contains("tagging")));
    let cut = "<Tagging><TagSet><Tag><Key>other</Key><Value>x</Value></Tag>";
    for (status, body) in [(500, ""), (403, "<Error><Code>AccessDenied</Code></Error>"), (200, cut), (200, "")] {
        relay.rule(move |request| {
            if request.method() == Method::GET && request.uri().query() == Some("tagging") {
                let mut answer = Response::new(upstream::full(body));
                *answer.status_mut() = StatusCode::from_u16(status).unwrap();
                return Act::Answer(answer);
            }
            Act::Pass
        });
        let answer = copy("pii", "tagged", "fails").await;
        // What is refused for good is told as that.
        let told = if status == 403 { StatusCode::FORBIDDEN } else { StatusCode::SERVICE_UNAVAILABLE };
        assert_eq!(answer.status, told, "{status} {body}: {answer:?}");
        assert!(!storage.has("tagged", "fails").await);
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_size_that_is_denied_is_denied_to_an_upload_in_parts_that_was_begun_plain() {
    let storage = Storage::new();
    let (gateway, client) = with_bucket(&storage, "small").await;
    gateway.apply(1, &[("small", "buckets: [small], effect: deny, when: \"object.size > 6000000\"")]);
    let body = bytes(5 << 20);
    for (key, parts, status) in [("two", 2, StatusCode::FORBIDDEN), ("one", 1, StatusCode::OK)] {
        let id = create(&client, "small", key).await;
        let mut etags = Vec::new();
        for number in 1..=parts {
            etags.push((number, part(&client, "small", key, &id, number, &body).await.header("etag").to_owned()));
        }
        let named: Vec<_> = etags.iter().map(|(number, etag)| (*number, etag.as_str())).collect();
        let done = complete(&client, "small", key, &id, &named).await;
        assert_eq!(done.status, status, "{key}: {done:?}");
        assert_eq!(storage.has("small", key).await, status == StatusCode::OK);
    }
    let left = client.send(Method::GET, "small", "", &[("uploads", "")], &[], b"").await;
    assert!(!String::from_utf8_lossy(&left.body).contains("<Upload>"), "the refused upload is aborted");
    assert_eq!(gateway.counted(ids::Outcome::Denied), 1);
    gateway.end().await;
}

#[tokio::test]
async fn a_policy_makes_encryption_due_in_the_buckets_that_it_names_and_in_no_other() {
    let storage = Storage::new();
    let (gateway, client) = with_bucket(&storage, "tagged").await;
    gateway.apply(1, &[PII]);
    let append = [("append", ""), ("position", "1")];
    let due = client.send(Method::PUT, "tagged", "k", &append, &[], b"x").await;
    assert!(due.field("Message").contains("may be due"), "{due:?}");
    // There the storage answers for itself.
    let other = client.send(Method::PUT, "plain", "k", &append, &[], b"x").await;
    assert!(!other.field("Message").contains("may be due"), "{other:?}");
    gateway.end().await;
}

#[tokio::test]
async fn new_tags_are_judged_by_what_they_make_of_the_object() {
    let storage = Storage::new();
    let (gateway, client) = with_bucket(&storage, "tagged").await;
    client.send(Method::PUT, "tagged", "k", &[], &[("x-amz-tagging", "open=yes")], b"12345").await;
    client.send(Method::PUT, "plain", "k", &[], &[], b"12345").await;
    let closed = "buckets: [tagged], effect: deny, when: \"object.tags['open'] != 'yes' && object.size == 5\"";
    gateway.apply(1, &[PII, ("closed", closed)]);
    let tag = async |bucket: &str, key: &str, name: &str, value: &str| {
        let set = format!("<Tagging><TagSet><Tag><Key>{name}</Key><Value>{value}</Value></Tag></TagSet></Tagging>");
        client.send(Method::PUT, bucket, key, &[("tagging", "")], &[], set.as_bytes()).await
    };
    let tags = async |bucket: &str| {
        let answer = client.send(Method::GET, bucket, "k", &[("tagging", "")], &[], b"").await;
        (answer.field("Key"), answer.field("Value"))
    };
    let denied = tag("tagged", "k", "open", "no").await;
    assert_eq!((denied.status, denied.code().as_str()), (StatusCode::FORBIDDEN, "AccessDenied"));
    assert!(denied.field("Message").contains("closed"), "{denied:?}");
    let gone = client.send(Method::DELETE, "tagged", "k", &[("tagging", "")], &[], b"").await;
    assert_eq!(gone.status, StatusCode::FORBIDDEN, "without its tags the object would be denied");
    let cut = client.send(Method::PUT, "tagged", "k", &[("tagging", "")], &[], b"<Tagging><TagSet>").await;
    assert_eq!(cut.code(), "MalformedXML");
    assert_eq!(tags("tagged").await, ("open".to_owned(), "yes".to_owned()));
    assert_eq!(gateway.counted(ids::Outcome::Denied), 2);
    assert_eq!(tag("tagged", "k", "open", "yes").await.status, StatusCode::OK);
    assert_eq!(tag("tagged", "none", "open", "yes").await.code(), "NoSuchKey");
    // Where no policy asks for tags they pass.
    assert_eq!(tag("plain", "k", "open", "no").await.status, StatusCode::OK);
    assert_eq!(tags("plain").await, ("open".to_owned(), "no".to_owned()));
    gateway.end().await;
}
