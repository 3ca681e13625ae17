//! What is kept of uploads, counted and swept: by two members, with the storage in every mood.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use ids::{Lineage, PolicyUid, Revision};
use policy::{Digest, Item, PolicySet};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::gateway::{ADMIN, Client, Gateway, Storage, bytes, service, until};
use super::relay::Act;
use super::trouble::{refusal, relayed};
use super::uploads::{PART, complete, create, part};
use crate::s3::Ages;
use crate::scan::{Pace, Scan};
use crate::snapshot::Bundle;
use crate::state::now_ms;
use crate::upstream::{self, Upstream};

/// Nothing is kept longer than a look needs.
const AT_ONCE: Ages = Ages { done: Duration::ZERO, gone: Duration::ZERO, copy: Duration::ZERO, open: None };

fn bundle(number: u64) -> Bundle {
    let text = format!(
        "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{ name: one, description: \"{number}\" }}\n\
         spec: {{ mode: audit, priority: 1, buckets: [\"none\"], effect: encrypt }}\n"
    );
    let policy = policy::parse_one(&text).unwrap();
    let revision = Revision { lineage: Lineage(Uuid::from_u128(1)), number };
    let set = PolicySet::new(revision, vec![Item { uid: PolicyUid(Uuid::from_u128(1)), policy }]).unwrap();
    let document = Bytes::from(set.encode());
    Bundle { revision, digest: Digest::of(&document), format: policy::FORMAT, document }
}

/// One pass over everything.
async fn sweep(gateway: &Gateway, ages: Ages) -> (u64, u64) {
    let swept = gateway.front.sweep_uploads(None, 1_000, ages, &|| true).await.unwrap();
    assert_eq!(swept.after, None);
    (swept.removed, swept.unreadable)
}

/// Passes until nothing is left; each has to wait for the clock to go on.
async fn sweep_all(storage: &Storage, gateway: &Gateway) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !states(storage).await.is_empty() {
        assert!(Instant::now() < deadline, "{:?}", states(storage).await);
        sweep(gateway, AT_ONCE).await;
    }
}

/// The keys of every state.
async fn states(storage: &Storage) -> Vec<String> {
    let list = storage.keys("sealgate-system", "mp/").await;
    list.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()).map(str::to_owned).collect()
}

async fn state(storage: &Storage, ending: &str) -> String {
    states(storage).await.into_iter().find(|key| key.ends_with(ending)).unwrap()
}

async fn overwrite(storage: &Storage, key: &str, text: &str) {
    storage.put("sealgate-system", key, &HeaderMap::new(), Bytes::copy_from_slice(text.as_bytes()), |_| false).await;
}

/// Aborts an upload at the storage, past the gateway.
async fn abort_behind(storage: &Storage, bucket: &str, key: &str, id: &str) {
    let id = id.strip_prefix("gse1.").unwrap_or(id);
    let target = upstream::uri(bucket, Some(key), &[("uploadId", id)]);
    let answer = storage.upstream.call(upstream::request(Method::DELETE, target)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn uploads_of_an_earlier_life_and_of_other_members_are_counted_after_a_start() {
    let storage = Storage::new();
    let (one, client) = Gateway::with_buckets(&storage).await;
    one.front.policies.apply(&bundle(1)).unwrap();
    let sealed = create(&client, "sealed", "a").await;
    let etag = part(&client, "sealed", "a", &sealed, 1, b"x").await.header("etag").to_owned();
    create(&client, "plain", "b").await;
    let two = Gateway::start(&storage, "two").await;
    two.front.policies.apply(&bundle(1)).unwrap();
    let scan = Scan::with(Arc::clone(&two.front), Pace::default());
    scan.start().await;
    assert!(scan.jobs().uploads_counted && two.front.policies.uploads_are_complete());
    assert_eq!(two.front.policies.uploads_from_before().count, 0, "they were decided by the set that is in force");
    two.front.policies.apply(&bundle(2)).unwrap();
    let open = two.front.policies.uploads_from_before();
    assert_eq!(open.count, 2);
    assert!(open.oldest.is_some_and(|oldest| oldest.elapsed().unwrap_or_default() < Duration::from_hours(1)));
    // Ended by the other member.
    assert_eq!(complete(&client, "sealed", "a", &sealed, &[(1, &etag)]).await.status, StatusCode::OK);
    scan.start().await;
    assert_eq!(two.front.policies.uploads_from_before().count, 1);
    two.end().await;
    one.end().await;
}

#[tokio::test]
async fn a_live_upload_is_never_swept_however_often_two_members_look() {
    let storage = Storage::new();
    let (one, first) = Gateway::with_buckets(&storage).await;
    let two = Gateway::start(&storage, "two").await;
    let second = two.client(ADMIN);
    let (big, tail) = (bytes(PART), bytes(10));
    let sealed = create(&first, "sealed", "k").await;
    let plain = create(&first, "plain", "k").await;
    let mut etags = Vec::new();
    for (client, number, body) in [(&first, 1, &big), (&second, 2, &tail)] {
        for (bucket, id) in [("sealed", &sealed), ("plain", &plain)] {
            let answer = part(client, bucket, "k", id, number, body).await;
            etags.push((bucket, number, answer.header("etag").to_owned()));
            let (by_one, by_two) = tokio::join!(sweep(&one, AT_ONCE), sweep(&two, AT_ONCE));
            assert_eq!((by_one, by_two), ((0, 0), (0, 0)));
        }
    }
    for (bucket, id) in [("sealed", &sealed), ("plain", &plain)] {
        let parts: Vec<_> =
            etags.iter().filter(|(of, ..)| *of == bucket).map(|(_, number, etag)| (*number, etag.as_str())).collect();
        let (done, _, _) = tokio::join!(
            complete(&second, bucket, "k", id, &parts),
            sweep(&one, Ages { gone: Duration::ZERO, ..Ages::default() }),
            sweep(&two, Ages { gone: Duration::ZERO, ..Ages::default() })
        );
        assert_eq!(done.status, StatusCode::OK, "{done:?}");
        assert!(first.get(bucket, "k").await.body == [&big[..], &tail].concat());
    }
    // Complete may be repeated while its record is kept.
    let parts: Vec<_> =
        etags.iter().filter(|(of, ..)| *of == "sealed").map(|(_, number, etag)| (*number, etag.as_str())).collect();
    assert_eq!(complete(&first, "sealed", "k", &sealed, &parts).await.status, StatusCode::OK);
    sweep_all(&storage, &two).await;
    assert_eq!(complete(&second, "sealed", "k", &sealed, &parts).await.code(), "NoSuchUpload");
    two.end().await;
    one.end().await;
}

#[tokio::test]
async fn what_is_left_beside_a_done_record_goes_at_once_and_the_record_in_its_time() {
    let storage = Storage::new();
    let (one, client) = Gateway::with_buckets(&storage).await;
    let id = create(&client, "sealed", "k").await;
    let etag = part(&client, "sealed", "k", &id, 1, b"x").await.header("etag").to_owned();
    assert_eq!(complete(&client, "sealed", "k", &id, &[(1, &etag)]).await.status, StatusCode::OK);
    let done = state(&storage, "/done").await;
    assert_eq!(states(&storage).await, std::slice::from_ref(&done));
    // As a member leaves it that died within the removal.
    overwrite(&storage, &done.replace("/done", "/part/00001-left"), "").await;
    overwrite(&storage, &done.replace("/done", "/upload"), "{}").await;
    let two = Gateway::start(&storage, "two").await;
    assert_eq!(sweep(&two, Ages::default()).await, (0, 0));
    assert_eq!(states(&storage).await, [done]);
    sweep_all(&storage, &two).await;
    two.end().await;
    one.end().await;
}

#[tokio::test]
async fn a_done_record_outlives_what_cannot_be_removed_beside_it() {
    let storage = Storage::new();
    let (relay, gateway, client) = relayed(&storage).await;
    let id = create(&client, "sealed", "k").await;
    let etag = part(&client, "sealed", "k", &id, 1, b"x").await.header("etag").to_owned();
    // As the storage leaves it that refuses the removal: without the record, this would be an open upload.
    let removes = |request: &Request<upstream::Body>| {
        request.method() == Method::DELETE && request.uri().path().ends_with("/upload")
    };
    relay.rule(move |request| if removes(request) { Act::Answer(refusal(403)) } else { Act::Pass });
    assert_eq!(complete(&client, "sealed", "k", &id, &[(1, &etag)]).await.status, StatusCode::OK);
    let left = [state(&storage, "/done").await, state(&storage, "/upload").await];
    let ended = now_ms();
    until("the clock goes on", async || now_ms() > ended).await;
    for _ in 0..3 {
        assert_eq!(sweep(&gateway, AT_ONCE).await, (0, 0));
        assert_eq!(states(&storage).await, left);
    }
    relay.rule(|_| Act::Pass);
    sweep_all(&storage, &gateway).await;
    gateway.end().await;
    relay.end().await;
}

#[tokio::test]
async fn an_upload_of_more_records_than_are_told_apart_is_refused_and_can_be_aborted() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    let id = create(&client, "sealed", "k").await;
    let etag = part(&client, "sealed", "k", &id, 1, b"x").await.header("etag").to_owned();
    let upload = state(&storage, "/upload").await;
    for record in 0..2_000 {
        overwrite(&storage, &upload.replace("/upload", &format!("/part/00002-{record}")), "").await;
    }
    let asked = [("uploadId", id.as_str())];
    for answer in [
        complete(&client, "sealed", "k", &id, &[(1, &etag)]).await,
        client.send(Method::GET, "sealed", "k", &asked, &[], b"").await,
    ] {
        assert_eq!((answer.status, answer.code().as_str()), (StatusCode::BAD_REQUEST, "InvalidRequest"), "{answer:?}");
    }
    assert!(!storage.has("sealed", "k").await);
    // However many there are, nothing but the record of its end stays.
    let done = upload.replace("/upload", "/done");
    overwrite(&storage, &done, "{}").await;
    let answer = client.send(Method::DELETE, "sealed", "k", &asked, &[], b"").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(states(&storage).await, [done]);
    gateway.end().await;
}

#[tokio::test]
async fn state_of_an_upload_that_the_storage_does_not_know_goes_when_that_is_old() {
    let storage = Storage::new();
    let (one, client) = Gateway::with_buckets(&storage).await;
    for bucket in ["sealed", "plain"] {
        let id = create(&client, bucket, "k").await;
        part(&client, bucket, "k", &id, 1, b"x").await;
        abort_behind(&storage, bucket, "k", &id).await;
    }
    // Parts without the note of their upload.
    overwrite(&storage, &format!("mp/{}/part/00001-left", "0".repeat(40)), "").await;
    let two = Gateway::start(&storage, "two").await;
    for _ in 0..3 {
        assert_eq!(sweep(&two, Ages::default()).await, (0, 0), "not at first sight");
    }
    assert_eq!(states(&storage).await.iter().filter(|key| key.ends_with("/gone")).count(), 3);
    assert!(states(&storage).await.iter().any(|key| key.ends_with("/upload")));
    sweep_all(&storage, &two).await;
    two.end().await;
    one.end().await;
}

#[tokio::test]
async fn an_upload_that_was_left_is_aborted_once_it_is_old_and_none_is_without_that_setting() {
    let storage = Storage::new();
    let (one, client) = Gateway::with_buckets(&storage).await;
    let mut ids = Vec::new();
    for bucket in ["sealed", "plain"] {
        let id = create(&client, bucket, "k").await;
        for (number, size) in [(1, PART), (2, 9)] {
            assert_eq!(part(&client, bucket, "k", &id, number, &bytes(size)).await.status, StatusCode::OK);
        }
        ids.push((bucket, id));
    }
    let days = |days: u64| Ages { open: Some(Duration::from_hours(24 * days)), ..Ages::default() };
    for ages in [AT_ONCE, days(1)] {
        assert_eq!(sweep(&one, ages).await, (0, 0));
    }
    for (bucket, id) in &ids {
        assert_eq!(client.send(Method::GET, bucket, "k", &[("uploadId", id)], &[], b"").await.status, StatusCode::OK);
    }
    until("they are old", async || sweep(&one, Ages { open: Some(Duration::ZERO), ..Ages::default() }).await == (2, 0))
        .await;
    assert!(states(&storage).await.is_empty(), "{:?}", states(&storage).await);
    for (bucket, id) in &ids {
        let list = client.send(Method::GET, bucket, "k", &[("uploadId", id)], &[], b"").await;
        assert_eq!(list.code(), "NoSuchUpload", "{bucket}");
        assert_eq!(part(&client, bucket, "k", id, 3, b"x").await.code(), "NoSuchUpload", "{bucket}");
        let open = client.send(Method::GET, bucket, "", &[("uploads", "")], &[], b"").await;
        assert_eq!(open.field("UploadId"), "", "{bucket}");
    }
    one.end().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_kept() {
    let storage = Storage::new();
    let (gateway, client) = Gateway::with_buckets(&storage).await;
    for (bucket, key) in [("sealed", "a"), ("sealed", "b"), ("plain", "c")] {
        let id = create(&client, bucket, key).await;
        part(&client, bucket, key, &id, 1, b"x").await;
        abort_behind(&storage, bucket, key, &id).await;
    }
    let kept = states(&storage).await;
    let uploads: Vec<_> = kept.iter().filter(|key| key.ends_with("/upload")).collect();
    // Torn; of another upload; of no version that is known; and a name that nobody gives.
    overwrite(&storage, uploads[0], "{\"upload\":").await;
    let (_, other) = storage.get("sealgate-system", uploads[1]).await;
    overwrite(&storage, &uploads[1].replace("/upload", "/done"), "not a record").await;
    let plain = kept.iter().find(|key| key.ends_with("/plain")).unwrap();
    overwrite(&storage, plain, &String::from_utf8_lossy(&other)).await;
    overwrite(&storage, "mp/something", "x").await;
    let before = states(&storage).await;
    for _ in 0..3 {
        assert_eq!(sweep(&gateway, AT_ONCE).await, (0, 4));
    }
    assert_eq!(states(&storage).await, before);
    // For all that is known they are open.
    let scan = Scan::with(Arc::clone(&gateway.front), Pace::default());
    scan.start().await;
    assert!(scan.jobs().uploads_counted);
    gateway.end().await;
}

/// A storage that answers the question for an upload as it is told to.
struct Moody {
    upstream: Upstream,
    answers: Arc<AtomicUsize>,
    asked: Arc<AtomicBool>,
}

const WELL: usize = 200;

async fn moody(storage: &Storage) -> Moody {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = service(listener.local_addr().unwrap(), ("any", "any"));
    let (answers, asked) = (Arc::new(AtomicUsize::new(WELL)), Arc::new(AtomicBool::new(false)));
    let (behind, moods, noted) = (storage.upstream.clone(), Arc::clone(&answers), Arc::clone(&asked));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (behind, moods, noted) = (behind.clone(), Arc::clone(&moods), Arc::clone(&noted));
            tokio::spawn(async move {
                let answer = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                    let (behind, mood, noted) = (behind.clone(), moods.load(Ordering::Acquire), Arc::clone(&noted));
                    async move {
                        let query = request.uri().query().unwrap_or_default();
                        if mood != WELL && request.method() == Method::GET && query.contains("uploadId") {
                            noted.store(true, Ordering::Release);
                            let status = StatusCode::from_u16(u16::try_from(mood).unwrap()).unwrap();
                            let mut answer = Response::new(upstream::full("<html>a proxy speaks</html>"));
                            *answer.status_mut() = status;
                            return Ok(answer);
                        }
                        behind.call(request.map(|body| body.map_err(Into::into).boxed_unsync())).await
                    }
                });
                drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
            });
        }
    });
    Moody { upstream, answers, asked }
}

#[tokio::test]
async fn a_look_that_fails_removes_nothing_and_one_that_succeeds_takes_the_mark_back() {
    let storage = Storage::new();
    let moody = moody(&storage).await;
    let gateway = Gateway::over(&storage, moody.upstream.clone(), "sealgate-system", "one").await;
    gateway.add_kms().await;
    let client: Client = gateway.client(ADMIN);
    client.send(Method::PUT, "sealed", "", &[], &[], b"").await;
    gateway.toggle("sealed", true).await;
    let id = create(&client, "sealed", "k").await;
    let etag = part(&client, "sealed", "k", &id, 1, b"x").await.header("etag").to_owned();
    for status in [403, 404, 500, 501] {
        moody.answers.store(status, Ordering::Release);
        for _ in 0..3 {
            assert_eq!(sweep(&gateway, AT_ONCE).await, (0, 0), "{status}");
        }
        assert!(moody.asked.swap(false, Ordering::AcqRel));
        assert!(!states(&storage).await.iter().any(|key| key.ends_with("/gone")), "{status}");
    }
    moody.answers.store(WELL, Ordering::Release);
    let mark = state(&storage, "/upload").await.replace("/upload", "/gone");
    overwrite(&storage, &mark, "{\"seen_ms\":5}").await;
    assert_eq!(sweep(&gateway, AT_ONCE).await, (0, 0));
    assert!(!states(&storage).await.contains(&mark), "an upload that is known after all is not gone");
    assert_eq!(complete(&client, "sealed", "k", &id, &[(1, &etag)]).await.status, StatusCode::OK);
    gateway.end().await;
}

fn quick() -> Pace {
    let soon = Duration::from_millis(20);
    let term = Duration::from_millis(600);
    Pace { count: soon, sweep: soon, sweep_on: soon, ages: AT_ONCE, term, look: soon, page: Duration::ZERO }
}

#[tokio::test]
async fn one_member_sweeps_and_another_goes_on_when_it_stops() {
    let storage = Storage::new();
    let (one, client) = Gateway::with_buckets(&storage).await;
    let two = Gateway::start(&storage, "two").await;
    let scans = [&one, &two].map(|gateway| Scan::with(Arc::clone(&gateway.front), quick()));
    let stops = [CancellationToken::new(), CancellationToken::new()];
    let running: Vec<_> =
        scans.iter().zip(&stops).map(|(scan, stop)| tokio::spawn(Arc::clone(scan).run(stop.clone()))).collect();
    let swept = || [0, 1].map(|member: usize| scans[member].jobs().states_removed);
    let mut stopped = None;
    for _ in 0..2 {
        let before = swept();
        let id = create(&client, "sealed", "k").await;
        let etag = part(&client, "sealed", "k", &id, 1, b"x").await.header("etag").to_owned();
        assert_eq!(complete(&client, "sealed", "k", &id, &[(1, &etag)]).await.status, StatusCode::OK);
        until("the record is swept, and that is told", async || states(&storage).await.is_empty() && swept() != before)
            .await;
        let sweeper = usize::from(swept()[1] > before[1]);
        assert_ne!(Some(sweeper), stopped);
        stops[sweeper].cancel();
        stopped = Some(sweeper);
    }
    assert!(scans.iter().any(|scan| scan.jobs().swept_ms.is_some()));
    stops.iter().for_each(CancellationToken::cancel);
    for task in running {
        task.await.unwrap();
    }
    two.end().await;
    one.end().await;
}

#[tokio::test]
async fn one_member_takes_the_inventory_of_what_all_have_stored() {
    let storage = Storage::new();
    let (one, first) = Gateway::with_buckets(&storage).await;
    let two = Gateway::start(&storage, "two").await;
    let second = two.client(ADMIN);
    for (client, key) in [(&first, "a"), (&second, "b")] {
        client.put("sealed", key, &bytes(1_000)).await;
        client.put("plain", key, &bytes(10)).await;
    }
    // Past every gateway.
    storage.put("sealed", "c", &HeaderMap::new(), Bytes::from_static(b"plaintext"), |_| false).await;
    let scans = [&one, &two].map(|gateway| Scan::with(Arc::clone(&gateway.front), quick()));
    let stop = CancellationToken::new();
    let running: Vec<_> = scans.iter().map(|scan| tokio::spawn(Arc::clone(scan).run(stop.clone()))).collect();
    let (by_one, by_two) = tokio::join!(scans[0].inventory(), scans[1].inventory());
    assert!(by_one.is_some() != by_two.is_some(), "one of them");
    let owner = usize::from(by_two.is_some());
    let bucket = async |name: &str| {
        let inventory = scans[owner].inventory().await?;
        assert_eq!(inventory.buckets.iter().map(|b| b.bucket.as_str()).collect::<Vec<_>>(), ["plain", "sealed"]);
        inventory.buckets.into_iter().find(|state| state.bucket == name)
    };
    until("all is looked through", async || {
        bucket("sealed").await.is_some_and(|state| state.looked_ms > 0 && state.objects_encrypted == 2)
    })
    .await;
    let sealed = bucket("sealed").await.unwrap();
    assert_eq!((sealed.objects_plain, sealed.objects_unknown), (1, 0));
    assert_eq!((sealed.bytes_encrypted, sealed.bytes_plain), (2_000, 9));
    assert_eq!((sealed.toggle, sealed.encrypting, sealed.because.as_str()), (true, true, "toggle"));
    let plain = bucket("plain").await.unwrap();
    assert_eq!((plain.objects_plain, plain.bytes_plain, plain.objects_encrypted), (2, 20, 0));
    assert!(!plain.encrypting);
    let inventory = scans[owner].inventory().await.unwrap();
    assert_eq!(inventory.storage_id, one.front.group.system().storage_id());
    assert_eq!((inventory.kms[0].id.as_str(), inventory.kms[0].state.as_str()), ("main", "ok"));
    assert_eq!((inventory.backends[0].kind.as_str(), inventory.backends[0].buckets), ("directory", 2));
    // What the other member stores, and what is deleted, is found by the next look.
    [&second, &first][owner].put("sealed", "d", &bytes(500)).await;
    first.send(Method::DELETE, "sealed", "a", &[], &[], b"").await;
    until("it is found", async || {
        bucket("sealed").await.is_some_and(|s| (s.objects_encrypted, s.bytes_encrypted) == (2, 1_500))
    })
    .await;
    stop.cancel();
    for task in running {
        task.await.unwrap();
    }
    two.end().await;
    one.end().await;
}
