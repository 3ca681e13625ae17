//! The body alone, so that no storage stands in for a check that is missing here.

use std::sync::atomic::{AtomicBool, Ordering};

use envelope::{Kek, Place, Recorded, Upload as EnvelopeUpload};
use futures_util::StreamExt as _;
use http::HeaderMap;
use http_body_util::{BodyExt as _, StreamBody};

use super::*;

/// Three segments and a bit.
const LEN: usize = 200_000;

fn kek() -> Kek {
    Kek::new(&[7; 32])
}

fn recorded() -> Recorded {
    Recorded {
        place: Place::new(b"bucket", b"key").unwrap(),
        kms_id: "main".to_owned(),
        kek_record: b"record".to_vec(),
        cause: envelope::Cause::Toggle,
        policy: None,
        sealed_at_ms: 0,
        writer: "test".to_owned(),
    }
}

fn sinks() -> Vec<(&'static str, Sink)> {
    let len = LEN as u64;
    let single = SingleSealer::new(&recorded(), &kek(), len, &Vec::new(), &[]).unwrap();
    let (_, key) = EnvelopeUpload::create(&recorded(), &kek(), &Vec::new()).unwrap();
    let part = PartSealer::new(&key, 1, len).unwrap();
    vec![("plain", Sink::Plain(len)), ("single", Sink::Single(Box::new(single))), ("part", Sink::Part(Box::new(part)))]
}

/// What came out of a body.
struct Came {
    bytes: u64,
    stored_len: u64,
    ended: Result<(), ()>,
    committed: bool,
    code: Option<&'static str>,
}

/// Sends these frames, and then ends the body, or leaves it open.
async fn run(sink: Sink, headers: &HeaderMap, frames: Vec<Result<Bytes, BodyError>>, open: bool) -> Came {
    let frames = futures_util::stream::iter(frames).map(|frame| frame.map(Frame::data));
    let body = if open {
        StreamBody::new(frames.chain(futures_util::stream::pending())).boxed_unsync()
    } else {
        StreamBody::new(frames).boxed_unsync()
    };
    let committed = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&committed);
    let before = Box::new(move |_: &Verified| noted.store(true, Ordering::SeqCst));
    let declared = Declared::read(headers).unwrap();
    let (mut upload, ending) = Upload::new(body, LEN as u64, &declared, None, sink, false, before);
    let stored_len = upload.stored_left;
    let mut bytes = 0;
    let ended = loop {
        // Nothing here waits but an open body, which is asked again in vain.
        let polled = futures_util::poll!(upload.frame());
        match polled {
            Poll::Pending | Poll::Ready(None) => break Ok(()),
            Poll::Ready(Some(Err(_))) => break Err(()),
            Poll::Ready(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
        }
    };
    let code = ending.take().and_then(|ending| ending.err().map(|error| error.code));
    Came { bytes, stored_len, ended, committed: committed.load(Ordering::SeqCst), code }
}

fn frames(len: usize) -> Vec<Result<Bytes, BodyError>> {
    vec![0x61; len].chunks(10_000).map(|part| Ok(Bytes::copy_from_slice(part))).collect()
}

#[tokio::test]
async fn a_whole_body_comes_out_with_the_announced_length_and_may_be_committed() {
    for (name, sink) in sinks() {
        let came = run(sink, &HeaderMap::new(), frames(LEN), false).await;
        assert_eq!((came.bytes, came.ended, came.committed), (came.stored_len, Ok(()), true), "{name}");
    }
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_ends_in_an_error_before_its_last_bytes() {
    for other in [0, 1, LEN - 1, LEN + 1] {
        for (name, sink) in sinks() {
            let came = run(sink, &HeaderMap::new(), frames(other), false).await;
            assert_eq!((came.ended, came.code), (Err(()), Some("IncompleteBody")), "{name} {other}");
            assert!(came.bytes < came.stored_len && !came.committed, "{name} {other}");
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_behind_its_last_byte_ends_in_an_error_before_its_last_bytes() {
    for (name, sink) in sinks() {
        let mut frames = frames(LEN);
        frames.push(Err("the client is gone".into()));
        let came = run(sink, &HeaderMap::new(), frames, false).await;
        assert_eq!((came.ended, came.code), (Err(()), Some("IncompleteBody")), "{name}");
        assert!(came.bytes < came.stored_len && !came.committed, "{name}");
    }
}

#[tokio::test]
async fn the_last_bytes_stay_here_until_the_client_has_ended_its_body() {
    for (name, sink) in sinks() {
        let came = run(sink, &HeaderMap::new(), frames(LEN), true).await;
        assert!(came.bytes > 0 && came.bytes < came.stored_len, "{name}: {} of {}", came.bytes, came.stored_len);
        assert!(!came.committed, "{name}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_its_checksum_says_ends_in_an_error_before_its_last_bytes() {
    for (header, value) in [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA=="), ("x-amz-checksum-crc32", "AAAAAQ==")] {
        for (name, sink) in sinks() {
            let headers = HeaderMap::from_iter([(header.parse().unwrap(), value.parse().unwrap())]);
            let came = run(sink, &headers, frames(LEN), false).await;
            assert_eq!((came.ended, came.code), (Err(()), Some("BadDigest")), "{name} {header}");
            assert!(came.bytes < came.stored_len && !came.committed, "{name} {header}");
        }
    }
}
