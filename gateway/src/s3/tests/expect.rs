//! Clients that ask before they send their body.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use http::Method;

use super::gateway::{ADMIN, Gateway, Storage, bytes, service_with};
use super::hostile::presigned;
use super::relay::{Act, Relay};
use super::trouble::refusal;
use crate::config::Unsigned;
use crate::group::Action;

/// Sends the head of a PUT that asks, and reads until `enough` of the answer is there, or the connection ends.
async fn ask(gateway: &Gateway, target: &str, length: usize, enough: &str) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "PUT {target} HTTP/1.1\r\nhost: {}\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n",
        gateway.address
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let answer = read(&mut socket, enough).await;
    (socket, answer)
}

async fn read(socket: &mut TcpStream, enough: &str) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let got = socket.read(&mut buffer).await.unwrap_or_default();
        answer.extend_from_slice(&buffer[..got]);
        let text = String::from_utf8_lossy(&answer);
        if got == 0 || (!enough.is_empty() && text.contains(enough)) {
            return text.into_owned();
        }
    }
}

#[tokio::test]
async fn a_client_that_asks_is_told_to_go_on_and_its_body_is_stored() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for bucket in ["plain", "sealed"] {
        for size in [1, 3_000_000] {
            let body = bytes(size);
            let target = presigned(&gateway, ADMIN, "PUT", &format!("/{bucket}/{size}"));
            let (mut socket, answer) = ask(&gateway, &target, size, "\r\n\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 100 Continue"), "{bucket} {size}: {answer}");
            socket.write_all(&body).await.unwrap();
            let answer = read(&mut socket, "\r\n\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{bucket} {size}: {answer}");
            assert!(client.get(bucket, &size.to_string()).await.body == body);
        }
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_client_that_asks_for_an_empty_body_gets_the_answer_and_no_other_on_that_connection() {
    let storage = Storage::new();
    let (gateway, _) = Gateway::with_buckets(&storage).await;
    for bucket in ["plain", "sealed"] {
        let target = presigned(&gateway, ADMIN, "PUT", &format!("/{bucket}/empty"));
        let (_, answer) = ask(&gateway, &target, 0, "").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(answer.contains("connection: close") && !answer.contains("100 Continue"), "{answer}");
        assert!(storage.has(bucket, "empty").await);
    }
    gateway.end().await;
}

#[tokio::test]
async fn a_request_that_is_refused_is_refused_before_its_body() {
    let storage = Storage::new();
    let (gateway, _) = Gateway::with_buckets(&storage).await;
    let writer = ("WRITER", "a secret of somebody");
    gateway.credential(writer.0, &[("plain", &[Action::Write])]).await;
    let unknown = ("NOBODY", "x");
    let wrong = (ADMIN.0, "another secret");
    gateway.apply(1, &[("never", "buckets: [plain], effect: deny, when: \"object.key == 'denied'\"")]);
    for (credential, path, code) in [
        (writer, "/sealed/k", "AccessDenied"),
        (writer, "/plain/denied", "AccessDenied"),
        (unknown, "/plain/k", "InvalidAccessKeyId"),
        (wrong, "/plain/k", "SignatureDoesNotMatch"),
        (ADMIN, "/sealgate-system/k", "NoSuchBucket"),
    ] {
        let target = presigned(&gateway, credential, "PUT", path);
        // The body never comes: to the end of the connection there is the refusal, and nothing else.
        let (_, answer) = ask(&gateway, &target, 3_000_000, "").await;
        assert!(answer.contains(&format!("<Code>{code}</Code>")), "{path}: {answer}");
        assert!(!answer.contains("100 Continue"), "{path}: {answer}");
    }
    gateway.end().await;
}

/// A gateway over a service that judges who may write, with a bucket of each kind.
async fn over(storage: &Storage, address: std::net::SocketAddr) -> Gateway {
    let upstream = service_with(address, ADMIN, |backend| backend.unsigned = Unsigned::Pass);
    let gateway = Gateway::over(storage, upstream, "front-system", "front").await;
    gateway.add_kms().await;
    for bucket in ["plain", "sealed"] {
        gateway.client(ADMIN).send(Method::PUT, bucket, "", &[], &[], b"").await;
    }
    gateway.toggle("sealed", true).await;
    gateway
}

#[tokio::test]
async fn what_the_storage_refuses_is_refused_before_the_body() {
    let storage = Storage::new();
    let behind = Gateway::start(&storage, "service").await;
    let gateway = over(&storage, behind.address).await;
    for bucket in ["plain", "sealed"] {
        // Nobody may write there, which only the storage knows.
        for size in [5, 3_000_000] {
            let (_, answer) = ask(&gateway, &format!("/{bucket}/k"), size, "").await;
            assert!(
                answer.starts_with("HTTP/1.1 403") && !answer.contains("100 Continue"),
                "{bucket} {size}: {answer}"
            );
        }
        assert!(!storage.has(bucket, "k").await);
    }
    gateway.end().await;
    behind.end().await;
    // A long body waits for what the storage says, whoever sends it.
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = over(&storage, relay.address).await;
    relay.rule(|request| if request.uri().path().ends_with("/never") { Act::Answer(refusal(404)) } else { Act::Pass });
    for bucket in ["plain", "sealed"] {
        let target = presigned(&gateway, ADMIN, "PUT", &format!("/{bucket}/never"));
        let (_, answer) = ask(&gateway, &target, 3_000_000, "").await;
        assert!(answer.starts_with("HTTP/1.1 404") && !answer.contains("100 Continue"), "{bucket}: {answer}");
    }
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn what_the_storage_takes_is_asked_for_and_sealed_where_it_looks_so() {
    let storage = Storage::new();
    let relay = Relay::start(&storage).await;
    let gateway = over(&storage, relay.address).await;
    let client = gateway.client(ADMIN);
    for bucket in ["plain", "sealed"] {
        for (size, start) in [(5, &b""[..]), (50, &envelope::MAGIC), (3_000_000, b""), (3_000_000, &envelope::MAGIC)] {
            let mut body = bytes(size);
            body[..start.len()].copy_from_slice(start);
            for (who, target) in [
                ("nobody", format!("/{bucket}/k")),
                ("admin", presigned(&gateway, ADMIN, "PUT", &format!("/{bucket}/k"))),
            ] {
                let what = format!("{who} {bucket} {size} {start:?}");
                let (mut socket, answer) = ask(&gateway, &target, size, "\r\n\r\n").await;
                assert!(answer.starts_with("HTTP/1.1 100 Continue"), "{what}: {answer}");
                socket.write_all(&body).await.unwrap();
                let answer = read(&mut socket, "\r\n\r\n").await;
                assert!(answer.starts_with("HTTP/1.1 200 OK"), "{what}: {answer}");
                assert!(client.get(bucket, "k").await.body == body, "{what}");
                let sealed = storage.get(bucket, "k").await.0.contains_key("x-amz-meta-gse-v");
                assert_eq!(sealed, bucket == "sealed" || !start.is_empty(), "{what}");
            }
        }
    }
    gateway.end().await;
    relay.end().await;
}
