//! The statistics: what a report says, and that nothing of it is lost or told twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use tempfile::TempDir;
use tokio::time::Instant;

use super::*;

fn open(folder: &TempDir) -> (State, Stats) {
    let state = State::open(folder.path()).expect("the folder is ours");
    let stats = Stats::open(&state).expect("readable statistics");
    (state, stats)
}

fn plain(stats: &Stats, bucket: &str, bytes: u64) {
    stats.count(Count { bucket, policy: None, outcome: Outcome::Plain, direction: Direction::Out, bytes });
}

fn intent(key: &str, fact: Fact) -> Intent<'_> {
    Intent { bucket: "b", key, policy: Some("p"), outcome: Outcome::Encrypted, bytes: 10, fact }
}

fn reports(stats: &Stats) -> Vec<Report> {
    let mut found = Vec::new();
    while let Some((sequence, bytes)) = stats.oldest_report().expect("a readable spool") {
        found.push(Report::from_bytes(&bytes).expect("our own report"));
        stats.acknowledged(sequence).expect("a writable spool");
    }
    found
}

/// As Central merges: the greatest cumulative value.
fn merged(reports: &[Report]) -> BTreeMap<(String, String, Outcome), u64> {
    let mut merged = BTreeMap::new();
    for count in reports.iter().flat_map(|report| &report.objects) {
        let key = (count.bucket.clone(), count.policy.clone(), count.outcome);
        let value = merged.entry(key).or_insert(0);
        *value = count.objects.max(*value);
    }
    merged
}

#[test]
fn reports_are_numbered_without_a_gap_and_tell_what_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_state, stats) = open(&folder);
    plain(&stats, "a", 1);
    plain(&stats, "b", 2);
    stats.kms_call("prod", "wrap", true);
    stats.upstream("disk", UpstreamResult::Ok, 3, 4);
    assert_eq!(stats.make_report(false, None).expect("a report"), Some(1));
    plain(&stats, "b", 5);
    assert_eq!(stats.make_report(false, None).expect("a report"), Some(2));
    assert_eq!(stats.make_report(false, None).expect("nothing changed"), None);
    assert_eq!(stats.make_report(true, None).expect("a full report"), Some(3));
    assert_eq!(stats.spooled().0, 3);
    let reports = reports(&stats);
    assert_eq!(reports.iter().map(|report| report.sequence).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(reports.iter().map(|report| report.objects.len()).collect::<Vec<_>>(), [2, 1, 2]);
    assert_eq!(reports[1].objects[0].objects, 2, "cumulative");
    assert_eq!(reports[1].objects[0].bytes, 7, "cumulative");
    assert!(reports.windows(2).all(|pair| pair[1].start_ms == pair[0].end_ms));
    assert_eq!(reports[2].kms[0].calls, 1);
    assert_eq!((reports[2].upstreams[0].bytes_in, reports[2].upstreams[0].bytes_out), (3, 4));
    assert_eq!(stats.spooled(), (0, 0));
}

#[test]
fn after_a_restart_sequence_series_and_values_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, stats) = open(&folder);
    plain(&stats, "a", 1);
    stats.make_report(false, None).expect("a report");
    let first = reports(&stats).remove(0);
    plain(&stats, "a", 1);
    stats.kms_call("prod", "wrap", true);
    stats.flush(true).expect("a flush");
    drop((state, stats));
    let (_state, stats) = open(&folder);
    plain(&stats, "a", 1);
    assert_eq!(stats.make_report(false, None).expect("a report"), Some(2));
    let second = reports(&stats).remove(0);
    assert_eq!((second.series, second.objects[0].objects), (first.series, 3));
    assert_ne!(second.epoch, first.epoch);
    assert_eq!(second.kms[0].calls, 1);
    assert_eq!(second.gap_ms, 0);
}

#[test]
fn a_loss_of_power_is_declared_and_a_kill_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, stats) = open(&folder);
    drop((state, stats));
    let (state, stats) = open(&folder);
    assert_eq!(stats.gap_ms(), 0, "the machine is the same run as before");
    stats.kept().boot = Some("another run of the machine".into());
    plain(&stats, "a", 1);
    stats.flush(false).expect("a flush");
    drop((state, stats));
    let (state, stats) = open(&folder);
    assert_eq!(u128::from(stats.gap_ms()), FLUSH.as_millis());
    stats.kept().boot = Some("another run of the machine".into());
    stats.flush(true).expect("a flush");
    plain(&stats, "a", 1);
    stats.make_report(false, None).expect("the last report");
    drop((state, stats));
    let (_state, stats) = open(&folder);
    assert_eq!(u128::from(stats.gap_ms()), FLUSH.as_millis(), "it was stopped in order");
}

#[test]
fn a_second_gateway_over_the_same_store_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = open(&folder);
    assert!(matches!(State::open(folder.path()), Err(StateError::InUse(_))));
}

#[tokio::test]
async fn a_failed_look_is_no_absence_and_is_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_state, stats) = open(&folder);
    drop(stats.intent(intent("k", Fact::Mark("mine".into()))));
    let looks = Arc::new(AtomicUsize::new(0));
    let look: Look = {
        let looks = Arc::clone(&looks);
        Arc::new(move |bucket, key| {
            assert_eq!((bucket.as_str(), key.as_str()), ("b", "k"));
            let seen = Seen { etag: "e".into(), size: 1, modified_ms: 0, mark: Some("mine".into()) };
            let answer = if looks.fetch_add(1, Ordering::SeqCst) == 0 { Err("503".into()) } else { Ok(Some(seen)) };
            async move { answer }.boxed()
        })
    };
    stats.settle(&look, Duration::from_mins(1)).await;
    assert_eq!(stats.unsettled(), 1);
    stats.settle(&look, Duration::from_mins(1)).await;
    assert_eq!(stats.unsettled(), 0);
    stats.make_report(false, None).expect("a report");
    assert_eq!(merged(&reports(&stats))[&("b".to_owned(), "p".to_owned(), Outcome::Encrypted)], 1);
}

#[tokio::test]
async fn a_backend_that_is_down_keeps_nothing_of_another_one_from_being_settled() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_state, stats) = open(&folder);
    drop(stats.intent(intent("at the one that is down", Fact::Mark("mine".into()))));
    drop(stats.intent(intent("at the other one", Fact::Mark("mine".into()))));
    let look: Look = Arc::new(|_, key| {
        async move {
            if key == "at the one that is down" {
                return Err("503".into());
            }
            // Its answer comes later than the failure.
            tokio::task::yield_now().await;
            Ok(Some(Seen { etag: "e".into(), size: 1, modified_ms: 0, mark: Some("mine".into()) }))
        }
        .boxed()
    });
    stats.settle(&look, Duration::from_mins(1)).await;
    let left: Vec<_> = stats.shared.journal.unsettled().into_values().map(|open| open.object).collect();
    assert_eq!(left, ["at the one that is down"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sign_of_life_does_not_wait_for_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_state, stats) = open(&folder);
    let alive = folder.path().join("journal").join("alive");
    let sign = || std::fs::read(&alive).expect("a sign of life");
    // The flush waits for as long as this is held.
    let stalled = Arc::new(std::sync::Barrier::new(2));
    // Dropped, also by a test that fails, it lets the flush go on.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let disk = std::thread::spawn({
        let (stats, stalled) = (stats.clone(), Arc::clone(&stalled));
        move || {
            let _kept = stats.kept();
            stalled.wait();
            let _ = held.recv();
        }
    });
    stalled.wait();
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (stats, stop) = (stats.clone(), stop.clone());
        async move { stats.run(Arc::new(|_, _| async { Ok(None) }.boxed()), stop).await }
    });
    let patience = Instant::now() + Duration::from_mins(1);
    let mut signs = vec![sign()];
    while signs.len() < 4 {
        assert!(Instant::now() < patience, "{} signs of life while the flush waits", signs.len() - 1);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = sign();
        if signs.last() != Some(&now) {
            signs.push(now);
        }
    }
    drop(release);
    disk.join().expect("it does not panic");
    stop.cancel();
    running.await.expect("it ends");
}

#[tokio::test]
async fn a_storage_that_does_not_answer_does_not_hold_up_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_state, stats) = open(&folder);
    drop(stats.intent(intent("k", Fact::Mark("mine".into()))));
    let look: Look = Arc::new(|_, _| std::future::pending().boxed());
    let settle = stats.settle(&look, Duration::from_millis(10));
    // One that did not give up would wait for ever.
    tokio::time::timeout(Duration::from_mins(1), settle).await.expect("it gives up");
    assert_eq!(stats.unsettled(), 1, "and keeps what is open");
}

#[test]
fn writers_at_once_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, stats) = open(&folder);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..500_u64 {
                    stats.intent(intent(&n.to_string(), Fact::None)).done();
                    plain(&stats, "b", 1);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20 {
                stats.make_report(false, None).expect("a report");
            }
        });
    });
    stats.make_report(false, None).expect("a report");
    let merged_live = merged(&reports(&stats));
    assert_eq!(merged_live[&("b".to_owned(), "p".to_owned(), Outcome::Encrypted)], 2_000);
    assert_eq!(merged_live[&("b".to_owned(), String::new(), Outcome::Plain)], 2_000);
    drop((state, stats));
    let (_state, stats) = open(&folder);
    assert_eq!(stats.counts().iter().map(|(_, count)| count.objects).sum::<u64>(), 4_000);
}

#[test]
fn the_metrics_have_the_names_that_scripts_rely_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_state, stats) = open(&folder);
    let mut registry = telemetry::registry();
    stats.register(&mut registry);
    plain(&stats, "b", 7);
    stats.kms_call("prod", "wrap", false);
    stats.upstream("disk", UpstreamResult::ServerError, 1, 2);
    stats.request("PutObject", "ok", Duration::from_millis(3));
    stats.kek_wraps(12);
    stats.show_revision(Some(4), Some(3));
    stats.show_connected(true);
    let mut text = String::new();
    prometheus_client::encoding::prometheus_text::encode(&mut text, &registry).expect("text");
    let lines = [
        r#"sealgate_objects_total{bucket="b",policy="",outcome="plain",direction="out"} 1"#,
        r#"sealgate_bytes_total{bucket="b",policy="",outcome="plain",direction="out"} 7"#,
        r#"sealgate_request_duration_seconds_count{operation="PutObject",outcome="ok"} 1"#,
        r#"sealgate_kms_calls_total{kms="prod",operation="wrap",result="error"} 1"#,
        "sealgate_kek_wraps 12",
        r#"sealgate_policy_revision{state="held"} 4"#,
        r#"sealgate_policy_revision{state="effective"} 3"#,
        "sealgate_central_connected 1",
        r#"sealgate_upstream_requests_total{backend="disk",result="server_error"} 1"#,
        "sealgate_spool_bytes 0",
    ];
    for line in lines {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_new_series_has_what_was_counted_in_the_lives_of_which_nothing_was_merged() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, stats) = open(&folder);
    for _ in 0..5 {
        plain(&stats, "a", 10);
    }
    stats.kms_call("prod", "wrap", true);
    stats.make_report(false, None).expect("a report");
    stats.merged().expect("written");
    drop((state, stats));
    // A life without Central, cut off; then the one that finds out.
    let (state, stats) = open(&folder);
    plain(&stats, "a", 10);
    stats.kms_call("prod", "wrap", true);
    drop(stats.intent(intent("k", Fact::None)));
    stats.flush(false).expect("written");
    plain(&stats, "b", 1);
    drop((state, stats));
    let (state, stats) = open(&folder);
    plain(&stats, "a", 10);
    let series = stats.kept().series;
    stats.begin_series().expect("begun");
    assert_ne!(stats.kept().series, series);
    assert_eq!((stats.last_sequence(), stats.spooled()), (0, (0, 0)));
    let known = |stats: &Stats| {
        let counts = stats.counts().into_iter();
        counts.map(|(key, count)| (key.bucket.to_string(), count.objects, count.bytes)).collect::<Vec<_>>()
    };
    assert_eq!(known(&stats), [("a".into(), 2, 20), ("b".into(), 1, 1)]);
    assert_eq!(stats.unsettled(), 1, "what is open stays open");
    plain(&stats, "a", 10);
    drop((state, stats));
    // A kill loses nothing of it.
    let (_state, stats) = open(&folder);
    assert_eq!(known(&stats), [("a".into(), 3, 30), ("b".into(), 1, 1)]);
    assert_eq!(stats.unsettled(), 1);
    assert_eq!(stats.make_report(false, None).expect("a report"), Some(1));
    let report = reports(&stats).remove(0);
    assert!(report.full && report.series != series);
    assert_eq!(report.kms[0].calls, 1);
    assert_eq!(report.objects.iter().map(|count| count.objects).sum::<u64>(), 4);
}
