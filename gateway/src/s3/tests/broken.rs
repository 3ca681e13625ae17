//! What is broken on purpose: framing, lengths, trailers, too many headers, clients that stop. A proper refusal, nothing
//! stored, and nobody is waited for for ever.

use std::time::Duration;

use http::{Method, StatusCode};
use ids::{Direction, Outcome};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::bodies::put;
use super::gateway::{ADMIN, Gateway, Storage, bytes, limits, service, until};
use super::hostile::presigned;
use super::relay::Relay;
use super::uploads::{complete, create, part};
use crate::config::Limits;
use crate::group::Options;

/// A PUT whose body is in the aws-chunked coding without signatures.
async fn put_chunked(gateway: &Gateway, target: &str, decoded: &str, announced: &str, body: &[u8]) -> String {
    let coded = body.len().to_string();
    let mut headers = vec![
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", decoded),
        ("content-length", coded.as_str()),
    ];
    if !announced.is_empty() {
        headers.push(("x-amz-trailer", announced));
    }
    put(gateway, target, &headers, body, &[]).await
}

fn is_refused(answer: &str) -> bool {
    let codes = ["InvalidRequest", "IncompleteBody", "InvalidArgument"];
    answer.starts_with("HTTP/1.1 400 ") && codes.iter().any(|code| answer.contains(&format!("<Code>{code}</Code>")))
}

const CRC32: &str = "x-amz-checksum-crc32";

/// The body with the trailer that is announced for it, where it comes to its end.
fn with_trailer(body: &str) -> String {
    let end = body.strip_suffix("0\r\n\r\n");
    end.map_or_else(|| body.to_owned(), |start| format!("{start}0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"))
}

#[tokio::test]
async fn no_body_is_taken_whose_chunks_are_malformed() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let digits = "1".repeat(2000);
    for bucket in ["plain", "sealed"] {
        for good in ["5\r\nhello\r\n0\r\n\r\n", "005\r\nhello\r\n00\r\n\r\n", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"] {
            let answer =
                put_chunked(&gateway, &format!("/{bucket}/good"), "5", CRC32, with_trailer(good).as_bytes()).await;
            assert!(answer.contains("200 OK"), "{bucket} {good:?}: {answer}");
            assert_eq!(client.get(bucket, "good").await.body, "hello");
        }
        for bad in [
            "",
            "5",
            "5\r\n",
            "5\r\nhello",
            "5\r\nhello\r\n",
            "5\r\nhello\r\n0",
            "\r\n5\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhelloXX0\r\n\r\n",
            "5\nhello\n0\n\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "5;chunk-signature=0\r\nhello\r\n0\r\n\r\n",
            "5;a=b\r\nhello\r\n0\r\n\r\n",
            "4\r\nhello\r\n0\r\n\r\n",
            "6\r\nhello\r\n0\r\n\r\n",
            "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
            "10000000000000005\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\n\r\n5\r\nagain\r\n0\r\n\r\n",
            "5\r\nhello\r\n0\r\nno trailer\r\n\r\n",
            "5\r\nhello\r\n0\r\nx-a\0b: c\r\n\r\n",
            "hello",
            digits.as_str(),
        ] {
            let id = create(&client, bucket, "bad").await;
            for query in [String::new(), format!("?partNumber=1&uploadId={id}")] {
                let answer =
                    put_chunked(&gateway, &format!("/{bucket}/bad{query}"), "5", CRC32, with_trailer(bad).as_bytes())
                        .await;
                assert!(is_refused(&answer), "{bucket} {query} {bad:?}: {answer}");
            }
            assert!(!storage.has(bucket, "bad").await, "{bucket} {bad:?}");
            let list = client.send(Method::GET, bucket, "bad", &[("uploadId", &id)], &[], b"").await;
            assert!(!String::from_utf8_lossy(&list.body).contains("<Part>"), "{bucket} {bad:?}: {list:?}");
            client.send(Method::DELETE, bucket, "bad", &[("uploadId", &id)], &[], b"").await;
        }
        for wrong in ["4", "6", "0", "-5", "+5", "five", "5.0", " ", "99999999999999999999999"] {
            let body = with_trailer("5\r\nhello\r\n0\r\n\r\n");
            let answer = put_chunked(&gateway, &format!("/{bucket}/bad"), wrong, CRC32, body.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 4"), "{bucket} {wrong:?}: {answer}");
            assert!(!storage.has(bucket, "bad").await, "{bucket} {wrong:?}");
        }
    }
    assert!(!storage.keys("sealgate-system", "mp/").await.contains("<Key>"));
    gateway.end().await;
}

#[tokio::test]
async fn trailers_that_were_not_announced_or_are_there_twice_or_have_no_end_are_refused() {
    let storage = Storage::new();
    let (gateway, _) = Gateway::with_buckets(&storage).await;
    let right = "x-amz-checksum-crc32:NhCmhg==\r\n";
    let other = "x-amz-checksum-crc32:AAAAAQ==\r\n";
    let sha1 = "x-amz-checksum-sha1:qvTGHdzF6KLavt4PO0gs2a6pQ00=\r\n";
    let long = format!("{right}x-amz-meta-a:{}\r\n", "a".repeat(20_000));
    let many: String = (0..150).map(|n| format!("x-amz-meta-{n}:1\r\n")).collect::<Vec<_>>().concat();
    for bucket in ["plain", "sealed"] {
        for (announced, trailers, taken) in [
            ("x-amz-checksum-crc32", right.to_owned(), true),
            ("x-amz-checksum-crc32", format!("{right}{right}"), false),
            ("x-amz-checksum-crc32", format!("{right}{other}"), false),
            ("x-amz-checksum-crc32", format!("{other}{right}"), false),
            ("x-amz-checksum-crc32", format!("{right}{sha1}"), false),
            ("x-amz-checksum-crc32", format!("{right}x-amz-meta-a:b\r\n"), false),
            ("x-amz-checksum-crc32", String::new(), false),
            ("", right.to_owned(), false),
            ("x-amz-meta-a", "x-amz-meta-a:b\r\n".to_owned(), false),
            ("x-amz-checksum-crc32,x-amz-checksum-sha1", format!("{right}{sha1}"), false),
            ("x-amz-checksum-crc32", long.clone(), false),
            ("x-amz-checksum-crc32", format!("{right}{many}"), false),
        ] {
            let key = if taken { "taken" } else { "refused" };
            let body = format!("5\r\nhello\r\n0\r\n{trailers}\r\n");
            let answer = put_chunked(&gateway, &format!("/{bucket}/{key}"), "5", announced, body.as_bytes()).await;
            let what = format!("{bucket} {announced:?} {trailers:.80}: {answer}");
            assert!(if taken { answer.contains("200 OK") } else { is_refused(&answer) }, "{what}");
            assert_eq!(storage.has(bucket, key).await, taken, "{what}");
        }
    }
    gateway.end().await;
}

/// Entries of user metadata, `count` of them, that take so many bytes together.
fn entries(count: usize, total: usize) -> Vec<(&'static str, String)> {
    let each = total / count;
    let mut entries: Vec<(&'static str, String)> = (0..count)
        .map(|n| {
            let name: &'static str = Box::leak(format!("x-amz-meta-{n:03}").into_boxed_str());
            (name, "v".repeat(each - 3))
        })
        .collect();
    let rest = total - each * count;
    entries[0].1.push_str(&"v".repeat(rest));
    entries
}

#[tokio::test]
async fn metadata_as_long_as_s3_allows_comes_back_in_many_entries_or_one_and_longer_is_refused() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let over = Gateway::over(&storage, service(relay.address, ("any", "any")), "sealgate-system", "two").await;
    for client in [client, over.client(ADMIN)] {
        for bucket in ["plain", "sealed"] {
            for count in [1, 100, 400] {
                let entries = entries(count, 2048);
                let headers: Vec<_> = entries.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let put = client.send(Method::PUT, bucket, "full", &[], &headers, b"hello").await;
                assert_eq!(put.status, StatusCode::OK, "{bucket} {count}: {put:?}");
                let id = client.send(Method::POST, bucket, "parts", &[("uploads", "")], &headers, b"").await;
                let id = id.field("UploadId");
                let etag = part(&client, bucket, "parts", &id, 1, b"hello").await.header("etag").to_owned();
                assert_eq!(complete(&client, bucket, "parts", &id, &[(1, &etag)]).await.status, StatusCode::OK);
                for answer in [
                    client.head(bucket, "full").await,
                    client.get(bucket, "full").await,
                    client.head(bucket, "parts").await,
                    client.get(bucket, "parts").await,
                ] {
                    for (name, value) in &headers {
                        assert_eq!(answer.header(name), *value, "{bucket} {count} {name}");
                    }
                    let shown = answer.headers.keys().filter(|name| name.as_str().starts_with("x-amz-meta-")).count();
                    assert_eq!(shown, count, "{bucket}");
                }
            }
            // The storage judges: the directory takes as much, since what is sealed needs room.
            let longer = "v".repeat(8192);
            let headers = [("x-amz-meta-a", longer.as_str())];
            let put = client.send(Method::PUT, bucket, "longer", &[], &headers, b"hello").await;
            let create = client.send(Method::POST, bucket, "longer", &[("uploads", "")], &headers, b"").await;
            for answer in [put, create] {
                let told = (answer.status, answer.code());
                assert_eq!(told, (StatusCode::BAD_REQUEST, "MetadataTooLarge".to_owned()), "{bucket}");
            }
            assert!(!storage.has(bucket, "longer").await, "{bucket}");
        }
    }
    // What no upload could be noted with, no storage is asked to take.
    let longest = "v".repeat(33 << 10);
    let headers = [("x-amz-meta-a", longest.as_str())];
    relay.seen();
    for (method, query) in [(Method::PUT, &[][..]), (Method::POST, &[("uploads", "")])] {
        let answer = over.client(ADMIN).send(method, "sealed", "longest", query, &headers, b"").await;
        let told = (answer.status, answer.code());
        assert_eq!(told, (StatusCode::BAD_REQUEST, "MetadataTooLarge".to_owned()));
    }
    assert!(relay.seen().is_empty());
    over.end().await;
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn a_request_of_too_many_or_too_long_headers_is_refused_as_such() {
    let storage = Storage::new();
    let (gateway, _) = Gateway::with_buckets(&storage).await;
    let many: String = (0..1300).map(|n| format!("x-a-{n}: b\r\n")).collect::<Vec<_>>().concat();
    let long = format!("x-a: {}\r\n", "b".repeat(200_000));
    for headers in [many, long] {
        let target = presigned(&gateway, ADMIN, "PUT", "/plain/k");
        let head = format!("PUT {target} HTTP/1.1\r\nhost: {}\r\ncontent-length: 1\r\n{headers}\r\nx", gateway.address);
        let mut socket = TcpStream::connect(gateway.address).await.unwrap();
        let _ = socket.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(!storage.has("plain", "k").await);
    }
    gateway.end().await;
}

/// A gateway that waits for nobody for longer than a second.
async fn hasty(storage: &Storage) -> (Gateway, super::gateway::Client) {
    let (patient, _) = Gateway::with_buckets(storage).await;
    let second = Duration::from_secs(1);
    let soon = Limits { header_timeout: second, body_timeout: second, ..limits() };
    let (disk, options) =
        (storage.upstream.clone(), Options { stale_after: Duration::from_hours(1), ..Options::default() });
    let gateway = Gateway::assemble_within(storage, disk.clone(), disk, "sealgate-system", "two", options, soon).await;
    patient.end().await;
    let client = gateway.client(ADMIN);
    (gateway, client)
}

#[tokio::test]
async fn a_client_that_stops_in_its_head_or_its_body_is_not_waited_for() {
    let storage = Storage::new();
    let (gateway, _) = hasty(&storage).await;
    for bucket in ["plain", "sealed"] {
        let target = presigned(&gateway, ADMIN, "PUT", &format!("/{bucket}/k"));
        let head = format!("PUT {target} HTTP/1.1\r\nhost: {}\r\ncontent-length: 1000\r\n", gateway.address);
        for sent in [head[..20].to_owned(), head.clone(), format!("{head}\r\n"), format!("{head}\r\nten bytes.")] {
            let mut socket = TcpStream::connect(gateway.address).await.unwrap();
            socket.write_all(sent.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let ended = tokio::time::timeout(Duration::from_secs(25), socket.read_to_end(&mut answer)).await;
            assert!(ended.is_ok(), "{bucket}: it is still waited for after {sent:?}");
            assert!(!answer.starts_with(b"HTTP/1.1 200"), "{bucket}");
            assert!(!storage.has(bucket, "k").await, "{bucket}");
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_not_waited_for() {
    let storage = Storage::new();
    let (gateway, client) = hasty(&storage).await;
    // More than the sockets of both sides hold.
    let body = bytes(48 << 20);
    for (bucket, before) in [("plain", 0), ("sealed", 1)] {
        assert_eq!(client.put(bucket, "k", &body).await.status, StatusCode::OK);
        let target = presigned(&gateway, ADMIN, "GET", &format!("/{bucket}/k"));
        let mut socket = TcpStream::connect(gateway.address).await.unwrap();
        let head = format!("GET {target} HTTP/1.1\r\nhost: {}\r\n\r\n", gateway.address);
        socket.write_all(head.as_bytes()).await.unwrap();
        let given_up = || {
            let counts = gateway.front.stats.counts().into_iter();
            let failed = counts.filter(|(key, _)| (key.outcome, key.direction) == (Outcome::Failed, Direction::Out));
            failed.map(|(_, count)| count.objects).sum::<u64>()
        };
        until("it is given up", async || given_up() > before).await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        assert!(answer.len() < body.len(), "{bucket}");
    }
    gateway.end().await;
}

#[tokio::test]
async fn who_sends_on_after_a_refusal_gets_it_all_the_same() {
    let storage = Storage::new();
    let (gateway, _) = Gateway::with_buckets(&storage).await;
    let body = bytes(6 << 20);
    for line in ["PUT /plain/k", "PUT /hidden/k", "POST /plain/k?uploads"] {
        let head = format!("{line} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n", gateway.address, body.len());
        let mut socket = TcpStream::connect(gateway.address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&body).await.unwrap();
        let mut answer = vec![0; 1024];
        let len = socket.read(&mut answer).await.unwrap();
        assert!(answer[..len].starts_with(b"HTTP/1.1 403 "), "{line}: {}", String::from_utf8_lossy(&answer[..len]));
    }
    gateway.end().await;
}
