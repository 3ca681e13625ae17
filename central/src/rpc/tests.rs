use ids::Epoch;
use tonic::Code;
use uuid::Uuid;

use super::testing::{Central, Gateway, channel, code, csr, hello, report, seeded};
use crate::pki::{Pki, RequestedKey};
use crate::sealing::SealingKey;
use proto::wire;
use proto::wire::policies_client::PoliciesClient;
use proto::wire::reports_client::ReportsClient;
use zeroize::Zeroizing;

#[tokio::test]
async fn a_certificate_of_another_authority_gets_no_connection() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let good = central.gateway("gateway-1").await;
    let foreign = seeded().await;
    let sealing = SealingKey::from_bytes(Zeroizing::new([9; 32]));
    let other = Pki::open(&foreign.pool, sealing, &super::testing::config(), Vec::new()).await.expect("another CA");
    let key = rcgen::KeyPair::try_from(good.key.as_slice()).expect("the key");
    let requested = RequestedKey::from_csr(&csr(&key)).expect("a request");
    let forged = other
        .authorities()
        .issue_client(good.id, &requested, time::OffsetDateTime::now_utc(), time::Duration::days(7))
        .expect("a certificate");
    let forger = Gateway::with(central.address, good.id, forged.chain, good.roots.clone(), good.key.clone());
    let status = forger.report(&report(Uuid::new_v4(), 1, 1, 1)).await.expect_err("refused");
    assert_eq!(code(&status), "", "the handshake fails: {status:?}");
    assert!(good.report(&report(Uuid::new_v4(), 1, 1, 1)).await.is_ok());
    central.stop().await;
}

#[tokio::test]
async fn without_a_certificate_only_enrol_is_answered() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let roots = central.services.pki.authorities().advertised();
    let stranger = channel(central.address, &roots, None);
    let mut reports = ReportsClient::new(stranger.clone());
    let status = reports.send(wire::Report::from(report(Uuid::new_v4(), 1, 1, 1))).await.expect_err("refused");
    assert_eq!((status.code(), code(&status)), (Code::Unauthenticated, "certificate-required"));
    let hello: wire::WatchUp = proto::watch::WatchUp::Hello(hello(Epoch::random(), None, None)).into();
    let status = PoliciesClient::new(stranger).watch(tokio_stream::once(hello)).await.expect_err("refused");
    assert_eq!(code(&status), "certificate-required");
    central.stop().await;
}

#[tokio::test]
async fn a_gateway_finds_another_central_out_by_its_authority() {
    let (database, other) = (seeded().await, seeded().await);
    let central = Central::start(&database.pool).await;
    let impostor = Central::start(&other.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let status = gateway.at(impostor.address).report(&report(Uuid::new_v4(), 1, 1, 1)).await;
    assert!(status.is_err());
    central.stop().await;
    impostor.stop().await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_before_it_is_decoded() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let request = wire::RenewRequest { csr_der: vec![0; 17 * 1024].into(), version: String::new() };
    let mut client = proto::wire::enrolment_client::EnrolmentClient::new(gateway.channel.clone());
    let status = client.renew(request).await.expect_err("refused");
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    central.stop().await;
}

#[tokio::test]
async fn an_ending_replica_says_when_to_come_back_and_leaves_nothing_open() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let mut stream = gateway.watch(hello(Epoch::random(), None, None)).await.expect("a stream");
    stream.answer().await.expect("served");
    let stopping = tokio::spawn(central.stop());
    let mut hinted = false;
    let status = loop {
        match stream.next().await {
            Ok(proto::watch::WatchDown::Directives(directives)) => {
                hinted |= directives.reconnect_after_ms.is_some();
            }
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert!(hinted, "the hint comes before the end");
    assert_eq!(code(&status), "going-away");
    stopping.await.expect("stopped");
}

#[tokio::test]
async fn peers_that_connect_and_stay_silent_keep_nobody_out() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    // More than there are turns for handshakes, each in the place of one that was given up, without an end.
    let (address, mut silent) = (central.address, tokio::task::JoinSet::new());
    let came = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    for _ in 0..40 {
        let came = came.clone();
        silent.spawn(async move {
            while let Ok(mut stream) = tokio::net::TcpStream::connect(address).await {
                came.add_permits(1);
                // Until the other end gives it up.
                let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0]).await;
            }
        });
    }
    let _all = came.acquire_many(40).await.expect("open");
    gateway.at(address).report(&report(Uuid::new_v4(), 1, 1, 1)).await.expect("served beside the silent ones");
    silent.shutdown().await;
    central.stop().await;
}

#[tokio::test]
async fn a_stranger_is_refused_before_its_message_is_read() {
    use http_body_util::BodyExt as _;
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let roots = central.services.pki.authorities().advertised();
    let mut stranger = channel(central.address, &roots, None);
    // A body that never ends: an answer can only come from somebody who does not wait for it.
    let endless = futures_util::stream::pending::<Result<http_body::Frame<bytes::Bytes>, std::io::Error>>();
    let body = http_body_util::StreamBody::new(endless).map_err(|error| tonic::Status::internal(error.to_string()));
    let request = http::Request::post("http://central.sealgate.internal/sealgate.control.v1.Reports/Send")
        .header("content-type", "application/grpc")
        .body(tonic::body::Body::new(body))
        .expect("a request");
    tower::ServiceExt::<http::Request<tonic::body::Body>>::ready(&mut stranger).await.expect("connected");
    let answer = tower::Service::call(&mut stranger, request);
    let answer = tokio::time::timeout(super::testing::PATIENCE, answer).await.expect("in time").expect("an answer");
    assert_eq!(answer.headers()[super::CODE], "certificate-required");
    central.stop().await;
}
