//! Conditions of reads, writes, copies and deletions, by what clients see: over a storage that judges them, and over one
//! that looks at those of a PUT only.

use http::{Method, StatusCode};

use super::gateway::{ADMIN, Answer, Client, Gateway, Storage, bytes, service};
use super::relay::Relay;
use super::uploads::{create, document, part};

const PAST: &str = "Mon, 01 Jan 2018 00:00:00 GMT";
const FUTURE: &str = "Fri, 01 Jan 2100 00:00:00 GMT";

/// Over a service that does as S3, or as Ceph RGW 16 does.
async fn over_a_service(storage: &Storage, ceph: bool) -> (Relay, Gateway, Client) {
    let relay = Relay::start(storage).await;
    if ceph {
        relay.is_ceph();
    }
    let gateway = Gateway::over(storage, service(relay.address, ("any", "any")), "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client = gateway.client(ADMIN);
    for bucket in ["plain", "sealed"] {
        assert_eq!(client.send(Method::PUT, bucket, "", &[], &[], b"").await.status, StatusCode::OK);
    }
    gateway.toggle("sealed", true).await;
    (relay, gateway, client)
}

fn outcome(answer: &Answer) -> String {
    let code = answer.code();
    if code.is_empty() { answer.status.as_u16().to_string() } else { code }
}

#[tokio::test]
async fn reads_and_sources_of_copies_hold_by_rfc_9110s_precedence() {
    let storage = Storage::new();
    let (relay, gateway, client) = over_a_service(&storage, false).await;
    for bucket in ["plain", "sealed"] {
        let etag = client.put(bucket, "k", b"some bytes").await.header("etag").to_owned();
        assert_eq!(etag.ends_with("-1\""), bucket == "sealed");
        let other = "\"0123456789abcdef0123456789abcdef-1\"";
        let list = format!("{other}, {etag}");
        // If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since; of a read, and of the source of a copy.
        let table: [([Option<&str>; 4], u16); 15] = [
            ([Some(&etag), None, None, None], 200),
            ([Some(etag.trim_matches('"')), None, None, None], 200),
            ([Some(&list), None, None, None], 200),
            ([Some("*"), None, None, None], 200),
            ([Some(other), None, None, None], 412),
            ([None, Some(FUTURE), None, None], 200),
            ([None, Some(PAST), None, None], 412),
            ([Some(&etag), Some(PAST), None, None], 200),
            ([None, None, Some(&etag), None], 304),
            ([None, None, Some(other), None], 200),
            ([None, None, None, Some(PAST)], 200),
            ([None, None, Some(other), Some(FUTURE)], 200),
            ([None, None, Some(&etag), Some(PAST)], 304),
            ([Some(&etag), None, Some(&etag), None], 304),
            ([None, Some(PAST), Some(&etag), None], 412),
        ];
        for (conditions, expected) in table {
            let names = ["if-match", "if-unmodified-since", "if-none-match", "if-modified-since"];
            let of_read: Vec<_> =
                names.into_iter().zip(conditions).filter_map(|(n, value)| Some((n, value?))).collect();
            for method in [Method::GET, Method::HEAD] {
                let answer = client.send(method.clone(), bucket, "k", &[], &of_read, b"").await;
                assert_eq!(answer.status.as_u16(), expected, "{bucket} {method} {of_read:?}");
                if expected == 304 {
                    assert_eq!(answer.header("etag"), etag, "{bucket} {method} {of_read:?}");
                }
                // A range, the second time of an object that is known.
                let ranged = [of_read.as_slice(), &[("range", "bytes=1-3")]].concat();
                let expected = if expected == 200 { 206 } else { expected };
                for _ in 0..2 {
                    let answer = client.send(method.clone(), bucket, "k", &[], &ranged, b"").await;
                    assert_eq!(answer.status.as_u16(), expected, "{bucket} {method} {ranged:?}");
                    client.range(bucket, "k", "bytes=0-0").await;
                }
            }
            let names = [
                "x-amz-copy-source-if-match",
                "x-amz-copy-source-if-unmodified-since",
                "x-amz-copy-source-if-none-match",
                "x-amz-copy-source-if-modified-since",
            ];
            let source = format!("/{bucket}/k");
            let mut of_copy = vec![("x-amz-copy-source", source.as_str())];
            of_copy.extend(names.into_iter().zip(conditions).filter_map(|(n, value)| Some((n, value?))));
            let expected = if expected == 200 { 200 } else { 412 };
            let answer = client.send(Method::PUT, "sealed", "copy", &[], &of_copy, b"").await;
            assert_eq!(answer.status.as_u16(), expected, "{of_copy:?}");
            let id = create(&client, bucket, "parts").await;
            let query = [("partNumber", "1"), ("uploadId", id.as_str())];
            let answer = client.send(Method::PUT, bucket, "parts", &query, &of_copy, b"").await;
            assert_eq!(answer.status.as_u16(), expected, "{of_copy:?}");
        }
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn writes_hold_by_the_etag_that_clients_see() {
    for ceph in [false, true] {
        let storage = Storage::new();
        let (relay, gateway, client) = over_a_service(&storage, ceph).await;
        for bucket in ["plain", "sealed"] {
            let put = async |condition: (&'static str, &str)| {
                let answer = client.send(Method::PUT, bucket, "k", &[], &[condition], b"next").await;
                (outcome(&answer), answer.header("etag").to_owned())
            };
            let copy = async |condition: (&'static str, &str)| {
                let headers = [("x-amz-copy-source", "/sealed/source"), condition];
                outcome(&client.send(Method::PUT, bucket, "k", &[], &headers, b"").await)
            };
            let finish = async |condition: (&'static str, &str)| {
                let id = create(&client, bucket, "k").await;
                let etag = part(&client, bucket, "k", &id, 1, b"a part").await.header("etag").to_owned();
                let text = document(&[(1, &etag)]);
                let query = [("uploadId", id.as_str())];
                outcome(&client.send(Method::POST, bucket, "k", &query, &[condition], text.as_bytes()).await)
            };
            client.put("sealed", "source", &bytes(100)).await;
            let what = format!("{bucket}, ceph {ceph}");
            assert_eq!(finish(("if-match", "\"x\"")).await, "NoSuchKey", "{what}");
            assert_eq!(put(("if-match", "\"x\"")).await.0, "NoSuchKey", "{what}");
            assert_eq!(finish(("if-none-match", "*")).await, "200", "{what}");
            assert_eq!(put(("if-none-match", "*")).await.0, "PreconditionFailed", "{what}");
            assert_eq!(copy(("if-none-match", "*")).await, "PreconditionFailed", "{what}");
            assert_eq!(finish(("if-none-match", "*")).await, "PreconditionFailed", "{what}");
            let of_parts = client.head(bucket, "k").await.header("etag").to_owned();
            let (done, shown) = put(("if-match", &of_parts)).await;
            assert_eq!(
                (done.as_str(), shown.as_str()),
                ("200", client.head(bucket, "k").await.header("etag")),
                "{what}"
            );
            // What the storage has is not what clients see.
            let stored = storage.get(bucket, "k").await.0["etag"].to_str().unwrap().to_owned();
            assert_eq!(stored == shown, bucket == "plain", "{what}");
            if bucket == "sealed" {
                assert_eq!(put(("if-match", &stored)).await.0, "PreconditionFailed", "{what}");
                assert_eq!(put(("if-none-match", &shown)).await.0, "PreconditionFailed", "{what}");
            }
            assert_eq!(put(("if-match", &of_parts)).await.0, "PreconditionFailed", "{what}");
            assert_eq!(finish(("if-match", &of_parts)).await, "PreconditionFailed", "{what}");
            assert_eq!(copy(("if-match", &of_parts)).await, "PreconditionFailed", "{what}");
            assert_eq!(client.get(bucket, "k").await.body, "next", "{what}");
            assert_eq!(finish(("if-match", &shown)).await, "200", "{what}");
            let now = client.head(bucket, "k").await.header("etag").to_owned();
            assert_eq!(copy(("if-match", &now)).await, "200", "{what}");
        }
        gateway.end().await;
        relay.end().await;
    }
}

#[tokio::test]
async fn deletions_hold_by_etag_size_and_time_as_clients_see_them() {
    for ceph in [false, true] {
        let storage = Storage::new();
        let (relay, gateway, client) = over_a_service(&storage, ceph).await;
        for bucket in ["plain", "sealed"] {
            let what = format!("{bucket}, ceph {ceph}");
            let delete = async |conditions: &[(&'static str, &str)]| {
                outcome(&client.send(Method::DELETE, bucket, "k", &[], conditions, b"").await)
            };
            let delete_all = async |entries: &str| {
                let text = format!("<Delete>{entries}</Delete>");
                client.send(Method::POST, bucket, "", &[("delete", "")], &[], text.as_bytes()).await
            };
            let put = async |key: &str| {
                let etag = client.put(bucket, key, b"12345").await.header("etag").to_owned();
                (etag, client.head(bucket, key).await.header("last-modified").to_owned())
            };
            assert_eq!(delete(&[("if-match", "\"x\"")]).await, "204", "{what}: of nothing");
            let (etag, modified) = put("k").await;
            let (size, time) = ("x-amz-if-match-size", "x-amz-if-match-last-modified-time");
            for conditions in
                [&[("if-match", "\"x-1\"")][..], &[(size, "6")], &[(time, PAST)], &[("if-match", &etag), (size, "4")]]
            {
                assert_eq!(delete(conditions).await, "PreconditionFailed", "{what}: {conditions:?}");
            }
            assert_eq!(delete(&[("if-match", &etag), (size, "5"), (time, &modified)]).await, "204", "{what}");
            assert_eq!(client.get(bucket, "k").await.status, StatusCode::NOT_FOUND);

            let (etag, modified) = put("k").await;
            put("free").await;
            put("kept").await;
            let good = format!("<ETag>{etag}</ETag><Size>5</Size><LastModifiedTime>{modified}</LastModifiedTime>");
            let answer = delete_all(&format!(
                "<Object><Key>kept</Key><ETag>\"x-1\"</ETag></Object><Object><Key>free</Key></Object>\
                 <Object><Key>k</Key>{good}</Object><Object><Key>none</Key><Size>9</Size></Object>"
            ))
            .await;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(answer.status, StatusCode::OK, "{what}: {text}");
            assert_eq!((text.matches("<Deleted>").count(), text.matches("<Error>").count()), (3, 1), "{what}: {text}");
            assert_eq!(
                (answer.code().as_str(), text.matches("<Key>kept</Key>").count()),
                ("PreconditionFailed", 1),
                "{what}"
            );
            let there = async |key: &str| client.head(bucket, key).await.status == StatusCode::OK;
            assert_eq!((there("kept").await, there("k").await, there("free").await), (true, false, false), "{what}");
            let answer = delete_all("<Object><Key>kept</Key><Size>70</Size></Object>").await;
            assert_eq!((answer.status, answer.code().as_str()), (StatusCode::OK, "PreconditionFailed"), "{what}");
            assert!(there("kept").await, "{what}");
        }
        gateway.end().await;
        relay.end().await;
    }
}

#[tokio::test]
async fn a_thousand_of_the_longest_keys_are_deleted_at_once() {
    let storage = Storage::new();
    let (relay, gateway, client) = over_a_service(&storage, false).await;
    // Of one character that XML writes five times as long.
    let keys: Vec<_> = (0..1000).map(|n| format!("{n:04}{}", "&amp;".repeat(1020))).collect();
    for bucket in ["plain", "sealed"] {
        client.put(bucket, "kept", b"other bytes").await;
        let entry = |key: &String| ["<Object><Key>", key, "</Key></Object>"].concat();
        let entries = keys.iter().map(entry).collect::<Vec<_>>().concat();
        for refused in ["", "<Object><Key>kept</Key><ETag>other</ETag></Object>"] {
            let rest = if refused.is_empty() { entries.as_str() } else { &entries[..entries.len() * 999 / 1000] };
            let text = format!("<Delete>{rest}{refused}</Delete>");
            let answer = client.send(Method::POST, bucket, "", &[("delete", "")], &[], text.as_bytes()).await;
            assert_eq!(answer.status, StatusCode::OK, "{bucket} {refused}: {}", answer.code());
            let told = String::from_utf8_lossy(&answer.body).matches("<Deleted>").count();
            assert_eq!(told, if refused.is_empty() { 1000 } else { 999 }, "{bucket} {refused}");
            assert_eq!(answer.code(), if refused.is_empty() { "" } else { "PreconditionFailed" }, "{bucket}");
        }
        assert_eq!(client.get(bucket, "kept").await.body, b"other bytes".as_slice(), "{bucket}");
    }
    gateway.end().await;
    relay.end().await;
}
