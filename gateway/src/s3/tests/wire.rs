//! What is changed between gateway and storage is refused by the storage. Another gateway stands in for one that verifies;
//! since it refuses entries of ours, the objects here are plain. Sealed ones go the same way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use checksums::{Algorithm, of};
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::gateway::{ADMIN, Client, Gateway, Storage, bytes, service};

/// A wire that flips one bit of what is sent over it, once: at this offset from when it was armed.
struct Wire {
    address: SocketAddr,
    left: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl Wire {
    async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let left = Arc::new(AtomicU64::new(0));
        let of_server = Arc::clone(&left);
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(target).await.unwrap();
                connections.spawn(carry(near, far, Arc::clone(&of_server)));
            }
        });
        Self { address, left, server }
    }

    fn flip_behind(&self, bytes: u64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    /// Whether the flip was made.
    fn flipped(&self) -> bool {
        self.left.swap(0, Ordering::SeqCst) == 0
    }
}

async fn carry(near: TcpStream, far: TcpStream, left: Arc<AtomicU64>) {
    let (mut from_near, mut to_near) = near.into_split();
    let (mut from_far, mut to_far) = far.into_split();
    let there = async move {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(got @ 1..) = from_near.read(&mut buffer).await {
            let before = left.load(Ordering::SeqCst);
            if before > 0 {
                left.store(before.saturating_sub(got as u64), Ordering::SeqCst);
                if let Some(byte) = usize::try_from(before - 1).ok().and_then(|at| buffer[..got].get_mut(at)) {
                    *byte ^= 1;
                }
            }
            if to_far.write_all(&buffer[..got]).await.is_err() {
                break;
            }
        }
    };
    let back = tokio::io::copy(&mut from_far, &mut to_near);
    drop(tokio::join!(there, back));
}

/// A gateway over a wire over a gateway over the storage; a client of the first, and one of the second.
async fn chain(storage: &Storage, own: &Storage) -> (Wire, Gateway, Gateway, Client, Client) {
    let far = Gateway::start(storage, "far").await;
    let wire = Wire::to(far.address).await;
    let near = Gateway::over(own, service(wire.address, ADMIN), "system-near", "near").await;
    let (client, behind) = (near.client(ADMIN), far.client(ADMIN));
    assert_eq!(client.send(Method::PUT, "plain", "", &[], &[], b"").await.status, StatusCode::OK);
    (wire, near, far, client, behind)
}

#[tokio::test]
async fn a_bit_that_is_flipped_on_the_wire_is_refused_and_nothing_is_stored() {
    let (storage, own) = (Storage::new(), Storage::new());
    let (wire, near, far, client, _) = chain(&storage, &own).await;
    let body = bytes(3_000_000);
    // In the first chunk and far behind it: in the data, and in the line of a signature.
    for at in [20_000, 1_500_000, 2_990_000, 132_500] {
        wire.flip_behind(at);
        let put = client.put("plain", "k", &body).await;
        assert!(wire.flipped(), "{at}");
        assert!(!put.status.is_success(), "{at}: {put:?}");
        assert!(!storage.has("plain", "k").await, "{at}");
    }
    wire.flip_behind(1_500_000);
    let put = client.put("plain", "k", &body).await;
    assert_eq!((put.status.as_u16(), put.code().as_str()), (503, "SlowDown"), "{put:?}");
    assert_eq!(client.put("plain", "k", &body).await.status, StatusCode::OK);
    assert!(client.get("plain", "k").await.body == body);
    // A short one is kept, and sent again.
    wire.flip_behind(50_000);
    let put = client.put("plain", "short", &body[..200_000]).await;
    assert!(wire.flipped());
    assert_eq!(put.status, StatusCode::OK, "{put:?}");
    assert!(client.get("plain", "short").await.body == body[..200_000]);
    near.end().await;
    far.end().await;
    wire.server.abort();
}

#[tokio::test]
async fn a_checksum_behind_a_plain_body_reaches_a_storage_that_verifies_it() {
    let (storage, own) = (Storage::new(), Storage::new());
    let (wire, near, far, client, behind) = chain(&storage, &own).await;
    for size in [0, 200_000, 3_000_000] {
        let body = bytes(size);
        let value = STANDARD.encode(of(Algorithm::Sha1, &body));
        let trailing = [("x-amz-trailer", "x-amz-checksum-sha1"), ("content-encoding", "gzip")];
        let trailers = http::HeaderMap::from_iter([("x-amz-checksum-sha1".parse().unwrap(), value.parse().unwrap())]);
        let sent = http_body_util::BodyExt::with_trailers(
            http_body_util::Full::new(bytes::Bytes::from(body.clone())),
            std::future::ready(Some(Ok(trailers))),
        );
        let sent = http_body_util::BodyExt::map_err(sent, |never: std::convert::Infallible| match never {});
        let len = body.len().to_string();
        let mut headers = trailing.to_vec();
        headers.push(("content-length", len.as_str()));
        let sent = http_body_util::BodyExt::boxed_unsync(sent);
        let put = client.try_send(Method::PUT, "plain", "k", &[], &headers, sent).await.unwrap();
        assert_eq!(put.status, StatusCode::OK, "{size}: {put:?}");
        for client in [&client, &behind] {
            let head = client.send(Method::HEAD, "plain", "k", &[], &[("x-amz-checksum-mode", "ENABLED")], b"").await;
            assert_eq!(head.header("x-amz-checksum-sha1"), value, "{size}: {head:?}");
            assert_eq!(head.header("content-encoding"), "gzip", "{size}");
        }
        assert!(client.get("plain", "k").await.body == body, "{size}");
    }
    near.end().await;
    far.end().await;
    wire.server.abort();
}
