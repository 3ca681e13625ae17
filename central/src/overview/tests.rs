use std::collections::BTreeMap;

use ids::{Direction, Epoch, Outcome, StorageId};
use proto::report::{BucketState, Inventory, KmsCount, KmsState, ObjectCount, Report, UpstreamCount};
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::caller::Role;
use crate::routes::testing::Rest;
use crate::rpc::testing::{Central, count, hello, report, until};
use crate::stats::traffic::{self, Period, Span};

/// A Central with REST and gRPC over one database, and an administrator's token.
async fn both() -> (Rest, Central, zeroize::Zeroizing<String>) {
    let rest = Rest::start().await;
    let central = Central::over(rest.app.services.clone()).await;
    let token = rest.token(Role::Admin).await;
    (rest, central, token)
}

/// One count of every outcome in both directions, no two alike.
fn everything(report: &mut Report, factor: u64) {
    report.objects.clear();
    for (at, outcome) in Outcome::ALL.iter().enumerate() {
        for (direction, plus) in [(Direction::In, 1), (Direction::Out, 101)] {
            let objects = (at as u64 + plus) * factor;
            let counted =
                ObjectCount { outcome: *outcome, direction, ..count("photos", "payroll", objects, objects * 7) };
            report.objects.push(counted);
        }
    }
    report.objects.push(count("invoices", "", 1_000 * factor, 5_000 * factor));
    for (result, calls) in [("ok", 40), ("error", 3)] {
        let kms =
            KmsCount { kms: "main".into(), operation: "wrap".into(), result: result.into(), calls: calls * factor };
        report.kms.push(kms);
    }
    for (result, requests) in [("ok", 60), ("client_error", 2), ("unreachable", 5)] {
        report.upstreams.push(UpstreamCount {
            backend: "disk".into(),
            result: result.into(),
            requests: requests * factor,
            bytes_in: 11 * factor,
            bytes_out: 13 * factor,
        });
    }
}

fn inventory(storage_id: StorageId, factor: u64) -> Inventory {
    let bucket = |name: &str, looked: bool, encrypting: bool| BucketState {
        bucket: name.to_owned(),
        encrypting,
        because: "toggle".to_owned(),
        objects_encrypted: 5 * factor,
        objects_plain: 3 * factor,
        objects_unknown: 2 * factor,
        bytes_encrypted: 500 * factor,
        bytes_plain: 30 * factor,
        looked_ms: if looked { 1_000 } else { 0 },
        ..BucketState::default()
    };
    let kms = |id: &str, state: &str| KmsState {
        id: id.to_owned(),
        provider: "rsa".to_owned(),
        state: state.to_owned(),
        active: id == "main",
        key_versions: 1,
        newest_key_ms: 0,
        objects: 7,
    };
    Inventory {
        storage_id,
        taken_ms: OffsetDateTime::now_utc().unix_timestamp() * 1_000,
        buckets: vec![bucket("photos", true, true), bucket("invoices", false, false)],
        kms: vec![kms("main", "ok"), kms("old", "error")],
        backends: Vec::new(),
    }
}

/// Gateways in every state, and what they report.
async fn fleet(central: &Central) {
    let db = &central.services.db;
    let shared = StorageId::random();
    for (at, name) in ["connected", "refusing", "suspended", "retired", "quarantined", "never"].iter().enumerate() {
        let gateway = central.gateway(name).await;
        if *name == "never" {
            continue;
        }
        let factor = at as u64 + 1;
        let mut told = report(Uuid::new_v4(), 1, 0, 0);
        everything(&mut told, factor);
        // The first two are of one group over one storage.
        let storage = if at < 2 { shared } else { StorageId::random() };
        told.inventory = Some(inventory(storage, factor));
        gateway.report(&told).await.expect("merged");
        let mut greeting = hello(Epoch::random(), None, None);
        greeting.storage_id = Some(storage);
        let mut stream = gateway.watch(greeting).await.expect("a stream");
        stream.answer().await.expect("served");
        drop(stream);
    }
    let seen = "update gateways set stream_open = name = 'connected',
                    last_seen_at = case name when 'connected' then now() when 'quarantined' then now() - interval '30 s'
                                   when 'never' then null else now() - interval '1 day' end,
                    state = case when name in ('suspended', 'retired', 'quarantined') then name else 'active' end";
    until("the streams are closed", async || {
        sqlx::query_scalar::<_, bool>("select not bool_or(stream_open) from gateways").fetch_one(db).await.expect("one")
    })
    .await;
    sqlx::query(seen).execute(db).await.expect("set");
    for name in ["refusing", "retired"] {
        sqlx::query(
            "insert into gateway_refusals (gateway_id, lineage, number, digest, code, item, reason, epoch, version)
             select g.id, h.lineage, h.number, h.digest, 'unknown-format', '', 'x', gen_random_uuid(), '1'
             from gateways g, policy_head h where g.name = $1",
        )
        .bind(name)
        .execute(db)
        .await
        .expect("refused");
    }
}

async fn rows(rest: &Rest, token: &str, path: &str, list: &str) -> Vec<Value> {
    let answer = rest.ask(token, &format!("GET {path}"), &[], "").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    answer.json()[list].as_array().unwrap_or_else(|| panic!("no {list} in {}", answer.text)).clone()
}

fn sum(rows: &[Value], field: &str) -> u64 {
    rows.iter().map(|row| row[field].as_u64().unwrap_or_else(|| panic!("no {field} in {row}"))).sum()
}

/// The overview of these gateways, as the rows of the routes that it links to have it.
async fn from_rows(rest: &Rest, token: &str, of: &str) -> BTreeMap<&'static str, u64> {
    let and = if of.is_empty() { String::new() } else { format!("&{of}") };
    let mut told = BTreeMap::new();
    for (name, link) in [
        ("gateways.total", "retired=false"),
        ("gateways.connected", "connection=connected"),
        ("gateways.late", "connection=late"),
        ("gateways.lost", "connection=lost"),
        ("gateways.refusing", "refusing=true"),
        ("gateways.quarantined", "state=quarantined"),
        ("gateways.suspended", "state=suspended"),
        ("gateways.retired", "state=retired"),
    ] {
        let answer = rest.ask(token, &format!("GET /gateways?{link}{and}"), &[], "").await.json();
        let found = answer["gateways"].as_array().expect("rows").len() as u64;
        assert_eq!(answer["total"], found, "{link}");
        told.insert(name, found);
    }
    let behind = rest.ask(token, &format!("GET /gateways?behind=true{and}"), &[], "").await.json()["total"].clone();
    let number = |rows: &[Value], field: &str, is: &str| rows.iter().filter(|row| row[field] == is).count() as u64;
    for (objects, bytes, outcomes) in [
        ("objects.encrypted", "bytes.encrypted", "outcome=encrypted"),
        ("objects.plain", "bytes.plain", "outcome=plain&outcome=would-encrypt&outcome=would-deny&outcome=error"),
        ("objects.other", "bytes.other", "outcome=grandfathered&outcome=indeterminate"),
    ] {
        for by in ["", "&by=gateway", "&by=bucket", "&by=policy", "&by=outcome", "&by=policy-outcome"] {
            let found = rows(rest, token, &format!("/stats?{outcomes}{by}{and}"), "rows").await;
            for (name, field) in [(objects, "objects"), (bytes, "bytes")] {
                let before = told.insert(name, sum(&found, field));
                assert!(before.is_none_or(|before| before == told[name]), "{name} {by}: {before:?} and {told:?}");
            }
        }
    }
    let coverage = rows(rest, token, &format!("/coverage?{of}"), "coverage").await;
    for (name, field) in [
        ("stored.objects_encrypted", "objects_encrypted"),
        ("stored.objects_plain", "objects_plain"),
        ("stored.bytes_encrypted", "bytes_encrypted"),
        ("stored.bytes_plain", "bytes_plain"),
    ] {
        told.insert(name, sum(&coverage, field));
    }
    let looked: Vec<_> = coverage.iter().filter(|row| !row["objects_unknown"].is_null()).cloned().collect();
    told.insert("stored.objects_unknown", sum(&looked, "objects_unknown"));
    told.insert("buckets.total", coverage.len() as u64);
    told.insert("buckets.encrypting", coverage.iter().filter(|row| row["encrypting"] == true).count() as u64);
    told.insert("buckets.not_looked_through", (coverage.len() - looked.len()) as u64);
    let progress = rows(rest, token, &format!("/convergence?{of}"), "by_gateway").await;
    told.insert("convergence.gateways", progress.len() as u64);
    for (name, field) in [
        ("convergence.received", "received"),
        ("convergence.applied", "applied"),
        ("convergence.effective", "effective"),
    ] {
        told.insert(name, progress.iter().filter(|row| row[field] == true).count() as u64);
    }
    assert_eq!(behind, told["convergence.gateways"] - told["convergence.effective"], "what is behind is the rest");
    told.insert("convergence.refused", progress.iter().filter(|row| !row["refusal"].is_null()).count() as u64);
    let inventories = rows(rest, token, &format!("/inventories?{of}"), "inventories").await;
    let kms: Vec<_> = inventories
        .iter()
        .flat_map(|inventory| inventory["content"]["kms"].as_array().expect("a list").clone())
        .collect();
    told.insert("kms.total", kms.len() as u64);
    told.insert("kms.healthy", number(&kms, "state", "ok"));
    told.insert("kms.failing", kms.len() as u64 - number(&kms, "state", "ok"));
    let calls = rows(rest, token, &format!("/stats/kms?{of}"), "rows").await;
    told.insert("kms.calls", sum(&calls, "calls"));
    let failed: Vec<_> = calls.into_iter().filter(|row| row["result"] == "error").collect();
    told.insert("kms.errors", sum(&failed, "calls"));
    told
}

#[tokio::test]
async fn every_number_of_the_overview_is_the_sum_of_the_rows_that_it_links_to() {
    let (rest, central, token) = both().await;
    fleet(&central).await;
    let choices = [
        "",
        "gateway=connected",
        "gateway=refusing&gateway=quarantined",
        "gateway=retired",
        "gateway=never",
        "gateway=no",
    ];
    for of in choices {
        let overview = rest.ask(&token, &format!("GET /overview?{of}"), &[], "").await.json();
        let mut numbers = 0;
        let expected = from_rows(&rest, &token, of).await;
        for (name, expected) in &expected {
            let (tile, field) = name.split_once('.').expect("two words");
            let shown = &overview[tile][field];
            let unknown = *name == "stored.objects_unknown" && *expected == 0 && shown.is_null();
            assert!(unknown || *shown == *expected, "{of:?} {name}: {shown} is shown, its rows have {expected}");
            numbers += 1;
        }
        let shown: usize = overview
            .as_object()
            .expect("tiles")
            .values()
            .filter_map(|tile| tile.as_object())
            .map(|tile| tile.iter().filter(|(name, value)| *name != "revision" && !value.is_string()).count())
            .sum();
        // `since` of a head at number 0 is null.
        assert_eq!(shown - 1, numbers, "a number of the overview was not looked after: {overview}");
    }
    let all = rest.ask(&token, "GET /overview", &[], "").await.json();
    let states: Vec<_> = ["total", "connected", "late", "lost", "refusing", "quarantined", "suspended", "retired"]
        .map(|name| all["gateways"][name].clone())
        .into();
    assert_eq!(states, [5, 1, 1, 3, 1, 1, 1, 1], "the fleet has something of everything");
    assert_eq!(all["buckets"]["total"], 8, "two gateways over one storage are not added up");
    central.stop().await;
}

#[tokio::test]
async fn the_overview_agrees_with_the_scrape() {
    let (rest, central, token) = both().await;
    fleet(&central).await;
    let services = &central.services;
    services.stats.refresh(&rest.db, services.fleet.heartbeat()).await.expect("refreshed");
    let mut registry = telemetry::registry();
    crate::jobs::register(services, &mut registry);
    let mut text = String::new();
    prometheus_client::encoding::prometheus_text::encode(&mut text, &registry).expect("encoded");
    let total = |metric: &str, labels: &[&str]| -> u64 {
        let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(metric));
        let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
        lines.map(|line| line.rsplit(' ').next().expect("a value").parse::<u64>().expect("a number")).sum()
    };
    let shown = rest.ask(&token, "GET /overview", &[], "").await.json();
    let towards = ["direction=\"in\"", "outcome=\"encrypted\""];
    assert_eq!(shown["objects"]["encrypted"], total("sealgate_fleet_objects_total", &towards));
    assert_eq!(shown["bytes"]["encrypted"], total("sealgate_fleet_bytes_total", &towards));
    assert_eq!(shown["kms"]["calls"], total("sealgate_fleet_kms_calls_total", &[]));
    assert_eq!(shown["kms"]["errors"], total("sealgate_fleet_kms_calls_total", &["result=\"error\""]));
    assert_eq!(shown["gateways"]["refusing"], total("sealgate_refusals", &[]));
    for (word, number) in [
        ("expected", "gateways"),
        ("received", "received"),
        ("applied", "applied"),
        ("effective", "effective"),
        ("refused", "refused"),
    ] {
        let progress = format!("progress=\"{word}\"");
        assert_eq!(shown["convergence"][number], total("sealgate_policy_gateways", &[&progress]), "{word}");
    }
    assert_eq!(shown["kms"]["healthy"], total("sealgate_fleet_kms", &["state=\"ready\""]));
    assert_eq!(shown["kms"]["failing"], total("sealgate_fleet_kms", &["state=\"failing\""]));
    let gateways = total("sealgate_gateways", &[]) - total("sealgate_gateways", &["state=\"retired\""]);
    assert_eq!(shown["gateways"]["total"], gateways);
    central.stop().await;
}

#[tokio::test]
async fn the_series_adds_up_to_the_figures_and_has_no_hole() {
    let (rest, central, token) = both().await;
    let gateway = central.gateway("gateway-1").await;
    let other = central.gateway("gateway-2").await;
    let (series, now) = (Uuid::new_v4(), OffsetDateTime::now_utc());
    for (sequence, minutes) in [(1, 50), (2, 20), (3, 0)] {
        let mut told = report(series, sequence, 0, 0);
        everything(&mut told, sequence);
        (told.start_ms, told.end_ms) = (0, (now - Duration::minutes(minutes)).unix_timestamp() * 1_000);
        gateway.report(&told).await.expect("merged");
        gateway.report(&told).await.expect("a replay adds nothing");
    }
    let mut told = report(Uuid::new_v4(), 1, 0, 0);
    everything(&mut told, 9);
    other.report(&told).await.expect("merged");

    let ask = async |query: &str| rest.ask(&token, &format!("GET /stats/series?{query}"), &[], "").await.json();
    let answer = ask("gateway=gateway-1").await;
    let points = answer["points"].as_array().expect("points");
    assert_eq!((answer["step_s"].clone(), points.len()), (60.into(), 61));
    assert_eq!(points[0]["at"], answer["from"]);
    let used = points.iter().filter(|point| point["objects_in"] != 0).count();
    assert_eq!(used, 3, "each at its own time: {answer}");
    let figures = rows(&rest, &token, "/stats?by=outcome&gateway=gateway-1", "rows").await;
    let of = |words: &[&str], field: &str| -> u64 {
        let named = figures.iter().filter(|row| words.iter().any(|word| row["outcome"] == *word));
        named.map(|row| row[field].as_u64().expect("a number")).sum()
    };
    let plain = ["plain", "would-encrypt", "would-deny", "error"];
    let stored = ["encrypted", "plain", "would-encrypt", "would-deny", "error", "grandfathered", "indeterminate"];
    let kms = rows(&rest, &token, "/stats/kms?gateway=gateway-1", "rows").await;
    let expected = [
        ("objects_encrypted", of(&["encrypted"], "objects")),
        ("bytes_encrypted", of(&["encrypted"], "bytes")),
        ("objects_plain", of(&plain, "objects")),
        ("bytes_plain", of(&plain, "bytes")),
        ("objects_in", of(&stored, "objects")),
        ("bytes_in", of(&stored, "bytes")),
        ("objects_out", of(&stored, "objects_read")),
        ("bytes_out", of(&stored, "bytes_read")),
        ("denied", of(&["denied"], "objects") + of(&["denied"], "objects_read")),
        ("failed", of(&["failed"], "objects") + of(&["failed"], "objects_read")),
        ("kms_calls", sum(&kms, "calls")),
        ("kms_errors", 9),
        ("upstream_requests", 67 * 3),
        ("upstream_errors", 5 * 3),
        ("upstream_bytes_in", 11 * 3 * 3),
        ("upstream_bytes_out", 13 * 3 * 3),
    ];
    // The same sums from the rows of every length of period.
    for (days, step) in [(0, 60), (1, 900), (7, 3_600), (30, 21_600), (200, 86_400)] {
        let from = (now - Duration::days(days) - Duration::HOUR).unix_timestamp();
        let from = OffsetDateTime::from_unix_timestamp(from).expect("a time");
        let from = from.format(&time::format_description::well_known::Rfc3339).expect("a text");
        let answer = ask(&format!("gateway=gateway-1&from={from}")).await;
        assert_eq!(answer["step_s"], step, "{days} days");
        let points = answer["points"].as_array().expect("points");
        for (field, expected) in expected {
            assert_eq!(sum(points, field), expected, "{field} over {days} days");
        }
    }
    assert_eq!(sum(ask("").await["points"].as_array().expect("points"), "kms_errors"), 9 + 27, "of all gateways");
    let refused =
        rest.ask(&token, "GET /stats/series?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", &[], "").await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    central.stop().await;
}

#[tokio::test]
async fn the_migration_books_the_past_as_the_ingest_books_the_present() {
    let (rest, central, _) = both().await;
    let gateway = central.gateway("gateway-1").await;
    for (sequence, age) in [(1, Duration::days(3)), (2, Duration::hours(5)), (3, Duration::ZERO)] {
        let mut told = report(Uuid::new_v4(), 1, 0, 0);
        everything(&mut told, sequence);
        told.kms.clear();
        told.upstreams.clear();
        (told.start_ms, told.end_ms) = (0, (OffsetDateTime::now_utc() - age).unix_timestamp() * 1_000);
        gateway.report(&told).await.expect("merged");
    }
    let booked = async || -> Vec<String> {
        let text = "select t::text from traffic_rollups t order by period, starts_at";
        sqlx::query_scalar(text).fetch_all(&rest.db).await.expect("rows")
    };
    let ingested = booked().await;
    assert!(ingested.len() > 8, "{ingested:?}");
    sqlx::query("delete from traffic_rollups").execute(&rest.db).await.expect("none");
    let migration = include_str!("../../../migrations/0004_traffic.sql");
    let from = migration.find("insert into").expect("it books the past");
    sqlx::raw_sql(sqlx::AssertSqlSafe(migration[from..].to_owned())).execute(&rest.db).await.expect("booked");
    assert_eq!(booked().await, ingested);
    central.stop().await;
}

#[tokio::test]
async fn old_periods_are_removed_and_the_days_are_kept_as_long_as_is_said() {
    let (rest, central, _) = both().await;
    let gateway = central.gateway("gateway-1").await;
    let ages = [Duration::ZERO, Duration::days(5), Duration::days(50), Duration::days(300), Duration::days(3_000)];
    for age in ages {
        let mut told = report(Uuid::new_v4(), 1, 1, 1);
        (told.start_ms, told.end_ms) = (0, (OffsetDateTime::now_utc() - age).unix_timestamp() * 1_000);
        gateway.report(&told).await.expect("merged");
    }
    crate::stats::store::roll_up(&rest.db).await.expect("rolled up");
    traffic::prune(&rest.db, std::time::Duration::from_hours(24 * 1_000)).await.expect("pruned");
    let left: Vec<(String, i64)> = sqlx::query_as("select period, count(*) from traffic_rollups group by 1 order by 1")
        .fetch_all(&rest.db)
        .await
        .expect("rows");
    let left: Vec<_> = left.iter().map(|(period, count)| (period.as_str(), *count)).collect();
    assert_eq!(left, [("day", 4), ("hour", 3), ("minute", 1), ("quarter", 2)]);
    let days: i64 = sqlx::query_scalar("select count(*) from object_rollups where period = 'day'")
        .fetch_one(&rest.db)
        .await
        .expect("a number");
    assert_eq!(days, 1, "the day of 3,000 days ago is gone, that of 300 is there");
    central.stop().await;
}

#[test]
fn a_span_has_whole_steps_few_enough_and_rows_that_are_still_there() {
    let now = OffsetDateTime::from_unix_timestamp(1_800_000_123).expect("a time");
    for (ago, length, step, period) in [
        (Duration::HOUR, Duration::HOUR, 60, Period::Minute),
        (Duration::hours(6), Duration::hours(6), 60, Period::Minute),
        (Duration::DAY, Duration::DAY, 900, Period::Quarter),
        (Duration::days(3), Duration::HOUR, 900, Period::Quarter),
        (Duration::days(10), Duration::HOUR, 3_600, Period::Hour),
        (Duration::days(90), Duration::days(90), 21_600, Period::Hour),
        (Duration::days(150), Duration::HOUR, 86_400, Period::Day),
        (Duration::days(3_650), Duration::days(3_650), 28 * 86_400, Period::Day),
    ] {
        let span = Span::of(now - ago, now - ago + length, now);
        assert_eq!((span.step, span.period), (step, period), "{ago} ago");
        assert!(span.from <= now - ago && span.to >= now - ago + length);
        let steps = i64::try_from(span.steps().count()).expect("few");
        assert_eq!(steps * span.step, (span.to - span.from).whole_seconds());
        assert!(steps <= traffic::MOST_STEPS, "{steps} steps");
        assert_eq!(span.from.unix_timestamp() % span.step, 0);
        assert_eq!(span.step % span.period.seconds(), 0);
    }
}
