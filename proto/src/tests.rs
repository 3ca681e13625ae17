//! What is sent is accepted by the receiver, and what breaks a bound is not.

use std::collections::BTreeMap;

use bytes::Bytes;
use ids::{Direction, Epoch, GatewayId, Lineage, Outcome, Revision, StorageId};
use proptest::prelude::*;
use uuid::Uuid;

use crate::enrolment::{Credentials, EnrolRequest, EnrolResponse, RenewRequest};
use crate::report::{
    BackendState, BucketState, Inventory, KmsCount, KmsState, ObjectCount, Report, ReportAck, UpstreamCount,
};
use crate::watch::{
    Ack, Assignment, Directives, Heartbeat, Held, Hello, OpenUploads, PolicyBundle, Progress, Refusal, WatchDown,
    WatchUp,
};
use crate::{ProtocolError, limits, wire};

fn held() -> impl Strategy<Value = Held> {
    (any::<u128>(), 0..=i64::MAX as u64, any::<[u8; 32]>()).prop_map(|(lineage, number, digest)| Held {
        revision: Revision { lineage: Lineage(Uuid::from_u128(lineage)), number },
        digest,
    })
}

fn hello() -> Hello {
    Hello {
        epoch: Epoch(Uuid::from_u128(1)),
        predecessor: None,
        version: "1".into(),
        capabilities: vec!["word".into()],
        held: None,
        clock_ms: 5,
        storage_id: None,
    }
}

fn report() -> Report {
    Report {
        epoch: Epoch(Uuid::from_u128(1)),
        series: Uuid::from_u128(2),
        sequence: 1,
        start_ms: 1,
        end_ms: 2,
        full: false,
        objects: vec![ObjectCount {
            bucket: "b".into(),
            policy: String::new(),
            outcome: Outcome::WouldEncrypt,
            direction: Direction::In,
            objects: 3,
            bytes: 4,
        }],
        kms: vec![KmsCount { kms: "k".into(), operation: "wrap".into(), result: "ok".into(), calls: 5 }],
        upstreams: vec![UpstreamCount {
            backend: "disk".into(),
            result: "ok".into(),
            requests: 6,
            bytes_in: 7,
            bytes_out: 8,
        }],
        inventory: Some(Inventory {
            storage_id: StorageId(Uuid::from_u128(3)),
            taken_ms: 9,
            buckets: vec![BucketState {
                bucket: "b".into(),
                toggle: true,
                because: "toggle".into(),
                ..BucketState::default()
            }],
            kms: vec![KmsState {
                id: "k".into(),
                provider: "rsa".into(),
                state: "ready".into(),
                objects: 11,
                ..KmsState::default()
            }],
            backends: vec![BackendState { name: "disk".into(), kind: "directory".into(), ..BackendState::default() }],
        }),
        gap_ms: 10,
    }
}

proptest! {
    #[test]
    fn every_word_of_the_stream_is_read_as_it_was_said(
        held in held(), count: u32, oldest in 1..i64::from(u32::MAX), progress in 0..3_u8, number: u32,
    ) {
        let progress = [Progress::Received, Progress::Applied, Progress::Effective][usize::from(progress)];
        let uploads = OpenUploads { count: u64::from(count), oldest_ms: (count > 0).then_some(oldest) };
        let up = [
            WatchUp::Hello(Hello { held: Some(held), predecessor: Some(Epoch(Uuid::from_u128(9))), ..hello() }),
            WatchUp::Ack(Ack { held, progress, uploads }),
            WatchUp::Refusal(Refusal {
                refused: held, kept: None, code: "malformed".into(), item: "one: spec".into(), reason: "because\nso".into(),
            }),
            WatchUp::Heartbeat(Heartbeat { clock_ms: oldest, uploads }),
        ];
        for word in up {
            prop_assert_eq!(WatchUp::try_from(wire::WatchUp::from(word.clone())), Ok(word));
        }
        let down = [
            WatchDown::Bundle(PolicyBundle { held, format: number, document: Bytes::from_static(b"document") }),
            WatchDown::Current(held),
            WatchDown::Directives(Directives { report_interval_ms: Some(u64::from(number % 1000 + 1)), flush_keys: true, ..Directives::default() }),
            WatchDown::Assignment(Assignment { name: "one".into(), labels: BTreeMap::from([("k".into(), "v".into())]) }),
        ];
        for word in down {
            prop_assert_eq!(WatchDown::try_from(wire::WatchDown::from(word.clone())), Ok(word));
        }
    }

    #[test]
    fn a_refusal_is_always_one_that_the_receiver_takes(item in "\\PC{0,2000}", reason in "[\\s\\S]{0,2000}", held in held()) {
        let refusal = Refusal { refused: held, kept: None, code: "malformed".into(), item, reason };
        prop_assert!(Refusal::try_from(wire::Refusal::from(refusal)).is_ok());
    }

    #[test]
    fn bytes_that_are_no_report_are_refused_and_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Report::from_bytes(&bytes);
    }
}

#[test]
fn a_report_is_read_as_it_was_written() {
    assert_eq!(Report::from_bytes(&report().to_bytes()), Ok(report()));
    let ack = ReportAck { merged_up_to: 7, want_full: true, next_interval_ms: Some(100), aside: true };
    assert_eq!(ReportAck::try_from(wire::ReportAck::from(ack)), Ok(ack));
}

#[test]
fn enrolment_is_read_as_it_was_said() {
    let credentials = Credentials {
        chain_der: vec![Bytes::from_static(b"leaf")],
        ca_der: vec![Bytes::from_static(b"ca")],
        not_after_ms: 9,
    };
    assert_eq!(Credentials::try_from(wire::RenewResponse::from(credentials.clone())), Ok(credentials.clone()));
    let response = EnrolResponse { gateway_id: GatewayId(Uuid::from_u128(1)), name: "one".into(), credentials };
    assert_eq!(EnrolResponse::try_from(wire::EnrolResponse::from(response.clone())), Ok(response));
    let request = RenewRequest { csr_der: Bytes::from_static(b"csr"), version: "1".into() };
    assert_eq!(RenewRequest::try_from(wire::RenewRequest::from(request.clone())), Ok(request));
    let request = EnrolRequest {
        token: "hush".into(),
        csr_der: Bytes::from_static(b"csr"),
        proposed_name: String::new(),
        version: "1".into(),
    };
    assert!(EnrolRequest::try_from(wire::EnrolRequest::from(request.clone())) == Ok(request));
}

/// Each fault alone in an otherwise legal message.
#[test]
fn what_breaks_a_rule_is_refused_by_its_field() {
    type Fault = (&'static str, Box<dyn Fn() -> Result<(), ProtocolError>>);
    fn hello_with(change: impl Fn(&mut wire::Hello) + 'static) -> Box<dyn Fn() -> Result<(), ProtocolError>> {
        Box::new(move || {
            let mut sent = wire::Hello::from(hello());
            change(&mut sent);
            Hello::try_from(sent).map(|_| ())
        })
    }
    fn report_with(change: impl Fn(&mut wire::Report) + 'static) -> Box<dyn Fn() -> Result<(), ProtocolError>> {
        Box::new(move || {
            let mut sent = wire::Report::from(report());
            change(&mut sent);
            Report::try_from(sent).map(|_| ())
        })
    }
    let faults: Vec<Fault> = vec![
        ("Hello.epoch", hello_with(|sent| sent.epoch = "not a UUID".into())),
        ("Hello.version", hello_with(|sent| sent.version = "v".repeat(limits::WORD_BYTES + 1))),
        ("Hello.version", hello_with(|sent| sent.version = "1\n2".into())),
        ("Hello.capabilities", hello_with(|sent| sent.capabilities = vec!["c".into(); limits::WORDS + 1])),
        ("Hello.clock_ms", hello_with(|sent| sent.clock_ms = -1)),
        ("Hello.storage_id", hello_with(|sent| sent.storage_id = "x".into())),
        ("Held.digest", hello_with(|sent| sent.held = Some(wire::Held::default()))),
        ("Report.sequence", report_with(|sent| sent.sequence = 0)),
        ("Report.series", report_with(|sent| sent.series.clear())),
        ("Report.end_ms", report_with(|sent| sent.end_ms = 0)),
        ("Report.objects", report_with(|sent| sent.objects = vec![wire::ObjectCount::default(); limits::COUNTERS + 1])),
        ("Report.gap_ms", report_with(|sent| sent.gap_ms = u64::MAX)),
        ("ObjectCount.outcome", report_with(|sent| sent.objects[0].outcome = "Encrypted".into())),
        ("ObjectCount.bytes", report_with(|sent| sent.objects[0].bytes = u64::MAX)),
        ("ObjectCount.bucket", report_with(|sent| sent.objects[0].bucket = "b".repeat(limits::NAME_BYTES + 1))),
        ("KmsCount.operation", report_with(|sent| sent.kms[0].operation.clear())),
        ("Inventory.storage_id", report_with(|sent| sent.inventory = Some(wire::Inventory::default()))),
    ];
    for (field, fault) in faults {
        assert_eq!(fault().expect_err(field).field, field);
    }
}

#[test]
fn a_word_of_a_later_version_is_passed_over() {
    assert_eq!(WatchUp::try_from(wire::WatchUp { message: None }), Ok(WatchUp::Unknown));
    assert_eq!(WatchDown::try_from(wire::WatchDown { message: None }), Ok(WatchDown::Unknown));
    let ack = wire::Ack { progress: 77, ..wire::Ack::default() };
    let message = Some(wire::watch_up::Message::Ack(ack));
    assert_eq!(WatchUp::try_from(wire::WatchUp { message }), Ok(WatchUp::Unknown), "it must not count as progress");
}

#[test]
fn a_protocol_error_becomes_an_invalid_argument() {
    let error = ReportAck::try_from(wire::ReportAck { next_interval_ms: u64::MAX, ..wire::ReportAck::default() });
    let status = tonic::Status::from(error.expect_err("beyond a day"));
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("ReportAck.next_interval_ms"), "{status}");
}
