use ids::{Direction, Outcome as Word, StorageId};
use proptest::prelude::*;
use proto::report::{BackendState, BucketState, Inventory, KmsCount, ObjectCount, UpstreamCount};
use time::Duration;
use uuid::Uuid;

use super::*;
use crate::rpc::testing::{Central, count, report, seeded, until};
use prometheus_client::encoding::prometheus_text;

async fn total(db: &PgPool) -> (i64, i64) {
    sqlx::query_as("select coalesce(sum(objects), 0)::bigint, coalesce(sum(bytes), 0)::bigint from object_totals")
        .fetch_one(db)
        .await
        .expect("totals")
}

async fn rolled(db: &PgPool) -> (i64, i64) {
    sqlx::query_as("select coalesce(sum(objects), 0)::bigint, coalesce(sum(bytes), 0)::bigint from object_rollups")
        .fetch_one(db)
        .await
        .expect("rollups")
}

#[tokio::test]
async fn a_replayed_report_changes_nothing() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let series = Uuid::new_v4();
    let first = report(series, 1, 5, 500);
    for _ in 0..3 {
        let ack = gateway.report(&first).await.expect("acknowledged");
        assert_eq!((ack.merged_up_to, ack.want_full), (1, false));
    }
    gateway.report(&report(series, 2, 8, 800)).await.expect("merged");
    let ack = gateway.report(&first).await.expect("acknowledged");
    assert_eq!(ack.merged_up_to, 2, "the mark, not the sequence of the replay");
    assert_eq!(total(&database.pool).await, (8, 800));
    assert_eq!(rolled(&database.pool).await, (8, 800));
    assert_eq!(store::marks(&database.pool).await.expect("marks")[&series], (2, 0, 3));
    assert_eq!(central.services.stats.outcomes.of("replayed"), 3);
    central.stop().await;
}

#[tokio::test]
async fn two_copies_of_a_report_at_the_same_time_are_merged_once() {
    let database = seeded().await;
    let (one, other) = tokio::join!(Central::start(&database.pool), Central::start(&database.pool));
    let gateway = one.gateway("gateway-1").await;
    let there = gateway.at(other.address);
    let series = Uuid::new_v4();
    for sequence in 1..=20 {
        let next = report(series, sequence, sequence * 3, sequence * 300);
        let (here, there) = tokio::join!(gateway.report(&next), there.report(&next));
        assert_eq!((here.expect("acked").merged_up_to, there.expect("acked").merged_up_to), (sequence, sequence));
    }
    assert_eq!(total(&database.pool).await, (60, 6_000));
    assert_eq!(rolled(&database.pool).await, (60, 6_000));
    let merged = one.services.stats.outcomes.of("merged") + other.services.stats.outcomes.of("merged");
    let replayed = one.services.stats.outcomes.of("replayed") + other.services.stats.outcomes.of("replayed");
    assert_eq!((merged, replayed), (20, 20));
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_gap_is_counted_and_healed_by_the_full_report_that_is_asked_for() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let series = Uuid::new_v4();
    gateway.report(&report(series, 1, 5, 500)).await.expect("merged");
    // Sequences 2 and 3 counted another bucket, and never came.
    let ack = gateway.report(&report(series, 4, 6, 600)).await.expect("merged");
    assert_eq!((ack.merged_up_to, ack.want_full), (4, true));
    let mut full = report(series, 5, 6, 600);
    full.full = true;
    full.objects.push(count("invoices", "", 7, 700));
    let ack = gateway.report(&full).await.expect("merged");
    assert_eq!((ack.merged_up_to, ack.want_full), (5, false));
    assert_eq!(total(&database.pool).await, (13, 1_300));
    assert_eq!(store::marks(&database.pool).await.expect("marks")[&series], (5, 2, 0));
    central.stop().await;
}

#[tokio::test]
async fn counters_that_begin_again_in_a_new_series_are_added() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    gateway.report(&report(Uuid::new_v4(), 500, 5, 500)).await.expect("merged");
    let ack = gateway.report(&report(Uuid::new_v4(), 1, 2, 200)).await.expect("merged");
    assert_eq!(ack.merged_up_to, 1);
    assert_eq!(total(&database.pool).await, (7, 700));
    central.stop().await;
}

#[tokio::test]
async fn a_counter_that_goes_down_takes_nothing_away() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let series = Uuid::new_v4();
    gateway.report(&report(series, 1, 5, 500)).await.expect("merged");
    gateway.report(&report(series, 2, 3, 900)).await.expect("merged");
    assert_eq!(total(&database.pool).await, (5, 900));
    assert_eq!(rolled(&database.pool).await, (5, 900));
    central.stop().await;
}

#[tokio::test]
async fn the_identity_comes_from_the_certificate() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let (one, other) = (central.gateway("gateway-1").await, central.gateway("gateway-2").await);
    // The same series and sequence from two gateways are two things.
    let series = Uuid::new_v4();
    one.report(&report(series, 1, 5, 500)).await.expect("merged");
    other.report(&report(series, 1, 9, 900)).await.expect("merged");
    let rows = store::totals(&database.pool, store::Asked { by: Some("gateway"), ..store::Asked::default() }, 10)
        .await
        .expect("totals");
    let by: Vec<_> = rows.iter().map(|row| (row.gateway.as_deref(), row.objects)).collect();
    assert_eq!(by, [(Some("gateway-1"), 5), (Some("gateway-2"), 9)]);
    central.stop().await;
}

#[tokio::test]
async fn a_late_report_is_booked_at_its_own_time_and_a_future_one_is_not() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let now = OffsetDateTime::now_utc();
    let series = Uuid::new_v4();
    let ms = |at: OffsetDateTime| at.unix_timestamp() * 1_000;
    let mut late = report(series, 1, 5, 500);
    (late.start_ms, late.end_ms) = (ms(now - Duration::hours(3)), ms(now - Duration::hours(2)));
    gateway.report(&late).await.expect("merged");
    let mut early = report(series, 2, 6, 600);
    (early.start_ms, early.end_ms) = (ms(now + Duration::days(300)), ms(now + Duration::days(301)));
    gateway.report(&early).await.expect("merged");
    let rows =
        store::since(&database.pool, store::Asked::default(), now - Duration::hours(1), 10).await.expect("figures");
    assert_eq!(rows.iter().map(|row| row.objects).collect::<Vec<_>>(), [1]);
    let booked: OffsetDateTime = sqlx::query_scalar("select min(starts_at) from object_rollups")
        .fetch_one(&database.pool)
        .await
        .expect("a minute");
    let within = booked + Duration::seconds(59);
    let rows = store::since(&database.pool, store::Asked::default(), within, 10).await.expect("figures");
    assert_eq!(rows.iter().map(|row| row.objects).sum::<i64>(), 6, "the minute that was not over then counts");
    let rows =
        store::since(&database.pool, store::Asked::default(), booked + Duration::MINUTE, 10).await.expect("figures");
    assert_eq!(rows.iter().map(|row| row.objects).sum::<i64>(), 1);
    let rows =
        store::since(&database.pool, store::Asked::default(), now - Duration::hours(4), 10).await.expect("figures");
    assert_eq!(rows.iter().map(|row| row.objects).sum::<i64>(), 6);
    let rows =
        store::since(&database.pool, store::Asked::default(), now + Duration::hours(1), 10).await.expect("figures");
    assert!(rows.is_empty(), "nothing lies in the future");
    central.stop().await;
}

#[tokio::test]
async fn a_counter_that_stands_twice_is_refused_and_nothing_is_merged() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let series = Uuid::new_v4();
    let mut twice = report(series, 1, 5, 500);
    twice.objects.push(count("invoices", "", 1, 1));
    twice.objects.push(count("photos", "payroll", 6, 600));
    let status = gateway.report(&twice).await.expect_err("refused");
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert_eq!(total(&database.pool).await, (0, 0));
    let ack = gateway.report(&report(series, 1, 5, 500)).await.expect("merged");
    assert_eq!(ack.merged_up_to, 1, "the sequence was not used");
    central.stop().await;
}

#[tokio::test]
async fn minutes_become_hours_and_no_count_is_lost() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let (series, now) = (Uuid::new_v4(), OffsetDateTime::now_utc());
    for (sequence, age) in
        [Duration::days(100), Duration::days(3), Duration::days(3), Duration::minutes(5)].into_iter().enumerate()
    {
        let sequence = sequence as u64 + 1;
        let mut old = report(series, sequence, sequence * 2, sequence * 20);
        (old.start_ms, old.end_ms) = (0, (now - age).unix_timestamp() * 1_000);
        gateway.report(&old).await.expect("merged");
    }
    let before = rolled(&database.pool).await;
    store::roll_up(&database.pool).await.expect("rolled up");
    store::roll_up(&database.pool).await.expect("again");
    assert_eq!(rolled(&database.pool).await, before);
    let periods: Vec<String> = sqlx::query_scalar("select period from object_rollups order by starts_at")
        .fetch_all(&database.pool)
        .await
        .expect("rows");
    assert_eq!(periods, ["day", "hour", "minute"]);
    central.stop().await;
}

#[tokio::test]
async fn an_inventory_belongs_to_the_storage_and_the_newest_one_stays() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let (one, other) = (central.gateway("gateway-1").await, central.gateway("gateway-2").await);
    let storage_id = StorageId::random();
    let backend =
        |name: &str| BackendState { name: name.to_owned(), kind: "directory".to_owned(), ..BackendState::default() };
    let with = |taken_ms, objects| {
        let bucket = BucketState { bucket: "photos".to_owned(), objects_encrypted: objects, ..BucketState::default() };
        let disk = backend("disk");
        let mut next = report(Uuid::new_v4(), 1, 1, 1);
        next.inventory =
            Some(Inventory { storage_id, taken_ms, buckets: vec![bucket], kms: Vec::new(), backends: vec![disk] });
        next
    };
    one.report(&with(2_000, 20)).await.expect("merged");
    other.report(&with(1_000, 10)).await.expect("merged");
    let known = inventories::list(&database.pool, None, 10).await.expect("inventories");
    assert_eq!(known.len(), 1, "two gateways over one storage are not added up");
    assert_eq!(
        (known[0].gateway.as_str(), &known[0].content["buckets"][0]["objects_encrypted"]),
        ("gateway-1", &20.into())
    );
    // A backend is added when it is first heard of; what is known of it stays with the next inventory.
    let since = |content: &serde_json::Value| {
        let all = content["backends"].as_array().expect("backends").iter();
        all.map(|one| (one["name"].as_str().expect("a name").to_owned(), one["added_ms"].as_i64())).collect::<Vec<_>>()
    };
    assert_eq!(since(&known[0].content), [("disk".to_owned(), Some(2_000))]);
    let mut more = with(3_000, 20);
    let tape = BackendState { added_ms: 1_500, ..backend("tape") };
    more.inventory.as_mut().expect("one").backends.extend([tape, backend("new")]);
    other.report(&more).await.expect("merged");
    let known = inventories::list(&database.pool, None, 10).await.expect("inventories");
    let dates = [("disk", 2_000), ("tape", 1_500), ("new", 3_000)].map(|(name, at)| (name.to_owned(), Some(at)));
    assert_eq!(since(&known[0].content), dates);
    // A clock that is far ahead shuts nobody out.
    let ahead = (OffsetDateTime::now_utc() + Duration::days(300)).unix_timestamp() * 1_000;
    one.report(&with(ahead, 30)).await.expect("merged");
    let now = (OffsetDateTime::now_utc() + Duration::SECOND).unix_timestamp() * 1_000;
    other.report(&with(now, 40)).await.expect("merged");
    let known = inventories::list(&database.pool, None, 10).await.expect("inventories");
    assert_eq!(known[0].content["buckets"][0]["objects_encrypted"], 40);
    central.stop().await;
}

async fn coverage(central: &Central) -> axum::Json<rest::Coverage> {
    let asked = axum_extra::extract::Query(rest::Buckets::default());
    let state = axum::extract::State(central.services.clone());
    rest::coverage(state, axum::Extension(Central::permit()), asked).await.expect("coverage")
}

#[tokio::test]
async fn coverage_says_how_old_it_is_and_what_is_not_known() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let taken_ms = OffsetDateTime::now_utc().unix_timestamp() * 1_000;
    let looked = BucketState {
        bucket: "looked".to_owned(),
        toggle: true,
        encrypting: true,
        because: "toggle".to_owned(),
        objects_encrypted: 5,
        objects_unknown: 2,
        bytes_encrypted: 500,
        looked_ms: taken_ms - 60_000,
        ..BucketState::default()
    };
    let never = BucketState { bucket: "never".to_owned(), objects_plain: 3, bytes_plain: 30, ..BucketState::default() };
    let mut told = report(Uuid::new_v4(), 1, 1, 1);
    told.inventory = Some(Inventory {
        storage_id: StorageId::random(),
        taken_ms,
        buckets: vec![looked, never],
        kms: Vec::new(),
        backends: Vec::new(),
    });
    gateway.report(&told).await.expect("merged");
    let axum::Json(answer) = coverage(&central).await;
    assert!(!answer.truncated);
    let [looked, never] = answer.coverage.as_slice() else { panic!("{answer:?}") };
    assert_eq!((looked.bucket.as_str(), looked.gateway.as_str()), ("looked", "gateway-1"));
    assert_eq!((looked.objects_encrypted, looked.objects_unknown, looked.bytes_encrypted), (5, Some(2), 500));
    let (age, looked_age) = (looked.age_s, looked.looked_age_s.expect("it was looked through"));
    assert_eq!(looked_age - age, 60, "by the clock of the gateway");
    assert_eq!((never.objects_plain, never.objects_unknown, never.looked_age_s), (3, None, None));
    let by_policy = r#"update inventories set content = jsonb_set(content, '{buckets,0,because}', '"policy x"')"#;
    // It asks by a switch, by whichever policies they decide.
    let behind = "update gateways set storage_id = (select storage_id from inventories)";
    let caught_up = "update gateways set (storage_id, lineage, received, applied, effective) =
                     (select i.storage_id, h.lineage, h.number, h.number, h.number from inventories i, policy_head h)";
    for (statement, encrypting, differing) in [
        (behind, true, 1),
        (by_policy, false, 1),
        (caught_up, true, 0),
        ("update gateways set effective = 0", false, 1),
        ("update gateways set state = 'retired'", true, 0),
    ] {
        sqlx::query(statement).execute(&database.pool).await.unwrap_or_else(|error| panic!("{error}: {statement}"));
        let axum::Json(answer) = coverage(&central).await;
        assert_eq!(
            (answer.coverage[0].encrypting, answer.coverage[0].differing),
            (encrypting, differing),
            "{statement}"
        );
    }
    sqlx::query("update inventories set received_at = received_at - interval '1 hour'")
        .execute(&database.pool)
        .await
        .expect("older");
    let axum::Json(answer) = coverage(&central).await;
    assert!(answer.coverage[0].age_s >= 3_600);
    central.stop().await;
}

#[tokio::test]
async fn the_scrape_has_the_fleets_counters_under_the_fixed_names() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let mut told = report(Uuid::new_v4(), 1, 5, 500);
    told.objects.push(ObjectCount { outcome: Word::Plain, direction: Direction::Out, ..count("photos", "", 2, 20) });
    told.kms.push(KmsCount { kms: "main".into(), operation: "wrap".into(), result: "ok".into(), calls: 3 });
    told.upstreams.push(UpstreamCount {
        backend: "disk".into(),
        result: "ok".into(),
        requests: 4,
        bytes_in: 5,
        bytes_out: 6,
    });
    gateway.report(&told).await.expect("merged");
    let mut registry = telemetry::registry();
    crate::jobs::register(&central.services, &mut registry);
    let scrape = || {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("encoded");
        text
    };
    // Of the report first: a snapshot that has it was read after the gateway was there.
    let lines = [
        r#"sealgate_fleet_objects_total{gateway="gateway-1",bucket="photos",policy="payroll",outcome="encrypted",direction="in"} 5"#,
        r#"sealgate_fleet_bytes_total{gateway="gateway-1",bucket="photos",policy="",outcome="plain",direction="out"} 20"#,
        r#"sealgate_fleet_kms_calls_total{gateway="gateway-1",kms="main",operation="wrap",result="ok"} 3"#,
        r#"sealgate_gateways{state="pending",connection="lost"} 1"#,
        "sealgate_policy_head_revision 1",
        "# TYPE sealgate_policy_convergence_seconds histogram",
        "sealgate_refusals 0",
        r#"sealgate_reports_total{result="merged"} 1"#,
        "sealgate_report_gaps_total 0",
    ];
    let mut text = String::new();
    until("a snapshot has the report", async || {
        text = scrape();
        text.contains(lines[0])
    })
    .await;
    for expected in lines {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    promtool(&text);
    central.stop().await;
}

#[tokio::test]
async fn what_a_scrape_shows_is_of_one_moment() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let mut moment = store::one_moment(&database.pool).await.expect("begun");
    assert!(store::fleet_state(&mut moment).await.expect("read").gateways.is_empty());
    let gateway = central.gateway("gateway-1").await;
    gateway.report(&report(Uuid::new_v4(), 1, 5, 500)).await.expect("merged");
    let counts = store::fleet_counts(&mut moment, 10).await.expect("read");
    assert!(counts.is_empty(), "counters of a gateway that is not among the gateways: {counts:?}");
    drop(moment);
    let mut later = store::one_moment(&database.pool).await.expect("begun");
    assert_eq!(store::fleet_counts(&mut later, 10).await.expect("read").len(), 1);
    drop(later);
    central.stop().await;
}

/// Lints the text with the real tool.
fn promtool(text: &str) {
    use std::io::Write as _;
    let mut child = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("promtool is installed");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("written");
    let done = child.wait_with_output().expect("it ends");
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

/// What a sender does with its reports.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Count so many objects and send the next report.
    Report(u64),
    /// Send the last one again.
    Replay,
    /// Count, but the report is lost for ever.
    Lose(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(
        prop_oneof![(0_u64..50).prop_map(Step::Report), Just(Step::Replay), (1_u64..50).prop_map(Step::Lose)],
        1..40,
    )
}

#[test]
fn whatever_is_replayed_or_lost_the_totals_are_what_was_counted() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let (database, central, gateway) = runtime.block_on(async {
        let database = seeded().await;
        let central = Central::start(&database.pool).await;
        let gateway = central.gateway("gateway-1").await;
        (database, central, gateway)
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 24, ..ProptestConfig::default() });
    let outcome = runner.run(&steps(), |steps| {
        runtime.block_on(async {
            let (series, mut sequence, mut counted) = (Uuid::new_v4(), 0, 0);
            let mut last = None;
            for step in steps {
                match step {
                    Step::Report(more) => {
                        counted += more;
                        sequence += 1;
                        last = Some(report(series, sequence, counted, counted * 10));
                    }
                    Step::Lose(more) => {
                        counted += more;
                        sequence += 1;
                        continue;
                    }
                    Step::Replay => {}
                }
                if let Some(last) = &last {
                    gateway.report(last).await.expect("acknowledged");
                }
            }
            // The next full report.
            let mut full = report(series, sequence + 1, counted, counted * 10);
            full.full = true;
            gateway.report(&full).await.expect("merged");
            let merged: (i64, i64) =
                sqlx::query_as("select sum(objects)::bigint, sum(bytes)::bigint from object_totals where series = $1")
                    .bind(series)
                    .fetch_one(&database.pool)
                    .await
                    .expect("a total");
            let counted = i64::try_from(counted).expect("small");
            prop_assert_eq!(merged, (counted, counted * 10));
            prop_assert_eq!(total(&database.pool).await, rolled(&database.pool).await);
            Ok(())
        })
    });
    runtime.block_on(central.stop());
    drop(database);
    outcome.expect("the totals hold");
}
