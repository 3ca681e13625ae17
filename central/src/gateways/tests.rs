use ids::Epoch;
use proto::watch::{Heartbeat, OpenUploads, Progress, Refusal, WatchDown, WatchUp};
use time::OffsetDateTime;
use uuid::Uuid;

use super::*;
use crate::rpc::Services;
use crate::rpc::testing::{Central, code, hello, publish, report, seeded, until};

async fn row(db: &PgPool) -> (String, i64, i64, i64) {
    sqlx::query_as("select state, received, applied, effective from gateways").fetch_one(db).await.expect("one gateway")
}

#[tokio::test]
async fn a_restart_is_a_new_life_and_ends_the_old_stream() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let (first, second) = (Epoch::random(), Epoch::random());
    let mut old = gateway.watch(hello(first, None, None)).await.expect("a stream");
    old.answer().await.expect("served");
    let mut new = gateway.watch(hello(second, Some(first), None)).await.expect("a stream");
    new.answer().await.expect("served");
    assert_eq!(code(&old.end().await), "superseded");
    assert_eq!(row(&database.pool).await.0, "active");
    central.stop().await;
}

#[tokio::test]
async fn a_clone_is_quarantined_both_are_served_and_reports_are_kept_aside() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let series = Uuid::new_v4();
    gateway.report(&report(series, 1, 5, 50)).await.expect("merged");
    let (first, second) = (Epoch::random(), Epoch::random());
    let mut old = gateway.watch(hello(first, None, None)).await.expect("a stream");
    let Ok(WatchDown::Bundle(bundle)) = old.answer().await else { panic!("a bundle was due") };
    old.ack(bundle.held, Progress::Applied).await;
    until("the life is confirmed", async || {
        sqlx::query_scalar("select epoch_confirmed from gateways").fetch_one(&database.pool).await.expect("one")
    })
    .await;
    // A copy of the gateway's disk from before its first life.
    let mut clone = gateway.watch(hello(second, None, None)).await.expect("a stream");
    clone.answer().await.expect("the data service needs its policies");
    assert_eq!(row(&database.pool).await.0, "quarantined");
    let (known, intruder): (Uuid, Uuid) = sqlx::query_as("select epoch, intruder_epoch from gateways")
        .fetch_one(&database.pool)
        .await
        .expect("both are shown");
    assert_eq!((known, intruder), (first.0, second.0));
    let ack = gateway.report(&report(series, 2, 9, 90)).await.expect("acknowledged");
    assert_eq!((ack.merged_up_to, ack.aside), (1, true), "where the series stands is told also now");
    let merged: i64 =
        sqlx::query_scalar("select objects from object_totals").fetch_one(&database.pool).await.expect("a total");
    assert_eq!(merged, 5, "kept aside, not merged");
    // The old stream is open: it hears the next revision.
    let next = publish(&database.pool, "second").await;
    for stream in [&mut old, &mut clone] {
        let Ok(WatchDown::Bundle(bundle)) = stream.answer().await else { panic!("a bundle was due") };
        assert_eq!(bundle.held, next);
    }
    let actions: Vec<String> = sqlx::query_scalar("select action from audit where action like 'gateway.q%'")
        .fetch_all(&database.pool)
        .await
        .expect("audit");
    assert_eq!(actions, ["gateway.quarantined"]);

    let Services { db, fleet, .. } = &central.services;
    let order = async |order: Order| {
        super::order(db, fleet, &Central::permit(), "gateway-1", order, "the copy is gone").await.expect("carried out");
    };
    order(Order::Suspend).await;
    order(Order::Resume).await;
    assert_eq!(row(&database.pool).await.0, "quarantined", "a suspension settles nothing");
    until("both are served again", async || {
        for epoch in [first, second] {
            let Ok(mut stream) = gateway.watch(hello(epoch, None, None)).await else { return false };
            if stream.answer().await.is_err() {
                return false;
            }
        }
        true
    })
    .await;
    let mut old = gateway.watch(hello(first, None, None)).await.expect("a stream");
    old.answer().await.expect("served");
    let mut clone = gateway.watch(hello(second, None, None)).await.expect("a stream");
    clone.answer().await.expect("served");
    order(Order::Release).await;
    assert_eq!(code(&old.end().await), "superseded", "it must say hello again");
    assert_eq!(code(&clone.end().await), "superseded");
    let mut settled = gateway.watch(hello(first, None, None)).await.expect("a stream");
    settled.answer().await.expect("served");
    let ack = gateway.report(&report(series, 3, 12, 120)).await.expect("merged");
    assert!(ack.want_full, "what was kept aside is asked for again");
    let merged: i64 =
        sqlx::query_scalar("select objects from object_totals").fetch_one(&database.pool).await.expect("a total");
    assert_eq!(merged, 12);
    central.stop().await;
}

#[tokio::test]
async fn suspend_ends_the_stream_at_once_and_refuses_every_call_until_it_is_resumed() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let other = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let epoch = Epoch::random();
    let mut stream = gateway.watch(hello(epoch, None, None)).await.expect("a stream");
    stream.answer().await.expect("served");
    // The order comes in at the other replica.
    let Services { db, fleet, .. } = &other.services;
    order(db, fleet, &Central::permit(), "gateway-1", Order::Suspend, "stolen").await.expect("suspended");
    assert_eq!(code(&stream.end().await), "gateway-suspended");
    for at in [central.address, other.address] {
        let status = gateway.at(at).report(&report(Uuid::new_v4(), 1, 1, 1)).await.expect_err("refused");
        assert_eq!(code(&status), "gateway-suspended");
    }
    order(db, fleet, &Central::permit(), "gateway-1", Order::Resume, "").await.expect("resumed");
    until("it is served again", async || match gateway.watch(hello(epoch, None, None)).await {
        Ok(mut stream) => stream.answer().await.is_ok(),
        Err(_) => false,
    })
    .await;
    order(db, fleet, &Central::permit(), "gateway-1", Order::Retire, "").await.expect("retired");
    let status = gateway.report(&report(Uuid::new_v4(), 1, 1, 1)).await.expect_err("refused");
    assert_eq!(code(&status), "gateway-retired");
    let back = order(db, fleet, &Central::permit(), "gateway-1", Order::Resume, "").await;
    assert_eq!(back.expect_err("for good").kind(), Kind::Conflict);
    central.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn new_labels_end_the_stream_and_count_as_nothing_applied_until_they_are_heard() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let other = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let epoch = Epoch::random();
    let mut stream = gateway.watch(hello(epoch, None, None)).await.expect("a stream");
    let Ok(WatchDown::Bundle(bundle)) = stream.answer().await else { panic!("a bundle was due") };
    stream.ack(bundle.held, Progress::Effective).await;
    until("the ack is flushed", async || row(&database.pool).await.3 == 1).await;
    // The order comes in at the other replica.
    let Services { db, fleet, .. } = &other.services;
    let labels = |value: &str| BTreeMap::from([("region".to_owned(), value.to_owned())]);
    let give = async |labels| relabel(db, fleet, &Central::permit(), "gateway-1", &labels).await;
    assert_eq!(give(labels("not a label")).await.expect_err("refused").kind(), Kind::Invalid);
    give(labels("eu-7")).await.expect("given");
    assert_eq!(code(&stream.end().await), "superseded");
    assert_eq!(row(&database.pool).await, ("active".to_owned(), 1, 0, 0));
    let mut stream = gateway.watch(hello(epoch, None, Some(bundle.held))).await.expect("a stream");
    let Ok(WatchDown::Assignment(assignment)) = stream.next().await else { panic!("the labels come first") };
    assert_eq!(assignment.labels, labels("eu-7"));
    assert_eq!(row(&database.pool).await.3, 0, "not before it says so");
    assert!(matches!(stream.answer().await, Ok(WatchDown::Current(_))));
    stream.ack(bundle.held, Progress::Effective).await;
    until("the ack is flushed", async || row(&database.pool).await.3 == 1).await;
    // The same again changes nothing.
    give(labels("eu-7")).await.expect("given");
    assert_eq!(row(&database.pool).await.3, 1);
    order(db, fleet, &Central::permit(), "gateway-1", Order::Retire, "").await.expect("retired");
    assert_eq!(give(labels("eu-8")).await.expect_err("for good").kind(), Kind::Conflict);
    central.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn an_ack_of_a_stream_that_ended_with_the_old_labels_does_not_count_for_the_new_ones() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let mut stream = gateway.watch(hello(Epoch::random(), None, None)).await.expect("a stream");
    let Ok(WatchDown::Bundle(bundle)) = stream.answer().await else { panic!("a bundle was due") };
    let Services { db, fleet, .. } = &central.services;
    let present = async || -> (Uuid, Uuid, Uuid) {
        sqlx::query_as("select id, epoch, stream from gateways").fetch_one(db).await.expect("one gateway")
    };
    let Revision { lineage, number } = bundle.held.revision;
    let flush = async |(id, epoch, stream): (Uuid, Uuid, Uuid)| {
        let reached = Reached { lineage, received: number, applied: number, effective: number };
        let news = News {
            seen: std::time::Instant::now(),
            reached: HashMap::from([(stream, reached)]),
            uploads: None,
            skew_ms: None,
            closed: None,
        };
        store::flush(db, &HashMap::from([((GatewayId(id), Epoch(epoch)), news)])).await.expect("flushed");
    };
    // It waits for the flush while the labels change.
    let queued = present().await;
    let labels = BTreeMap::from([("region".to_owned(), "eu-7".to_owned())]);
    relabel(db, fleet, &Central::permit(), "gateway-1", &labels).await.expect("given");
    flush(queued).await;
    assert_eq!(row(db).await, ("active".to_owned(), 0, 0, 0));
    // On the present stream it counts.
    flush(present().await).await;
    assert_eq!(row(db).await, ("active".to_owned(), 1, 1, 1));
    // In quarantine both lives have streams, and the database names one of them.
    sqlx::query("update gateways set state = 'quarantined', received = 0, applied = 0, effective = 0")
        .execute(db)
        .await
        .expect("set");
    flush(queued).await;
    assert_eq!(row(db).await, ("quarantined".to_owned(), 1, 1, 1));
    central.stop().await;
}

async fn listed(db: &PgPool) -> list::Row {
    let all = list::Filter::all(std::time::Duration::from_secs(1));
    let first = list::places(db, all, (list::Sort::Name, false), None, 1).await.expect("listed").pop().expect("one");
    list::rows(db, &[first.name]).await.expect("read").pop().expect("one")
}

#[tokio::test]
async fn a_gateway_is_connected_then_late_when_its_stream_breaks() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let connection = async || {
        let row = listed(&database.pool).await;
        Connection::judge(row.stream_open, row.last_seen_at, row.now, central.services.fleet.heartbeat())
    };
    assert_eq!(connection().await, Connection::Lost, "it never came");
    let mut stream = gateway.watch(hello(Epoch::random(), None, None)).await.expect("a stream");
    stream.answer().await.expect("served");
    stream
        .say(WatchUp::Heartbeat(Heartbeat {
            clock_ms: OffsetDateTime::now_utc().unix_timestamp() * 1_000 + 90_000,
            uploads: OpenUploads { count: 3, oldest_ms: Some(1_000) },
        }))
        .await;
    until("the heartbeat is flushed", async || {
        let row = listed(&database.pool).await;
        row.uploads_open == 3 && row.clock_skew_ms > 80_000
    })
    .await;
    assert_eq!(connection().await, Connection::Connected);
    drop(stream);
    drop(gateway);
    until("the break is seen", async || connection().await == Connection::Late).await;
    central.stop().await;
}

#[test]
fn silence_makes_a_gateway_late_and_then_lost() {
    let (now, beat) = (OffsetDateTime::now_utc(), std::time::Duration::from_secs(5));
    let judge = |open, seconds| Connection::judge(open, Some(now - time::Duration::seconds(seconds)), now, beat);
    assert_eq!(judge(true, 0), Connection::Connected);
    assert_eq!(judge(true, 17), Connection::Connected);
    assert_eq!(judge(true, 18), Connection::Late);
    assert_eq!(judge(false, 0), Connection::Late);
    assert_eq!(judge(true, 61), Connection::Lost);
    assert_eq!(Connection::judge(true, None, now, beat), Connection::Lost);
}

#[tokio::test]
async fn a_gateway_ahead_of_central_blocks_edits_until_central_has_caught_up() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let mut held = central.services.feed.head().held;
    held.revision.number += 1;
    let epoch = Epoch::random();
    let mut stream = gateway.watch(hello(epoch, None, Some(held))).await.expect("a stream");
    assert!(matches!(stream.next().await, Ok(WatchDown::Assignment(_))));
    assert!(matches!(stream.next().await, Ok(WatchDown::Directives(_))));
    let edit =
        async || db::transaction!(&database.pool, "test-edit", async |tx| { refuse_when_behind(tx).await }).await;
    let blocked = edit().await.expect_err("blocked");
    assert_eq!(blocked.problem_code(), "behind-the-fleet");
    assert!(blocked.public().contains("gateway-1"), "{}", blocked.public());
    // An import brings Central to what the gateway holds.
    publish(&database.pool, "imported").await;
    // The same number with other bytes is a fork, not a way out.
    assert!(edit().await.is_err());
    publish(&database.pool, "a later one").await;
    edit().await.expect("no longer behind");
    let Ok(WatchDown::Bundle(bundle)) = stream.answer().await else { panic!("a bundle was due") };
    assert_eq!(bundle.held.revision.number, held.revision.number + 1);
    central.stop().await;
}

#[tokio::test]
async fn a_refusal_is_shown_until_a_later_revision_is_applied_and_not_pushed_again() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let epoch = Epoch::random();
    let mut stream = gateway.watch(hello(epoch, None, None)).await.expect("a stream");
    let Ok(WatchDown::Bundle(first)) = stream.answer().await else { panic!("a bundle was due") };
    stream.ack(first.held, Progress::Effective).await;
    until("the ack is flushed", async || row(&database.pool).await.3 == 1).await;
    let bad = publish(&database.pool, "bad").await;
    let Ok(WatchDown::Bundle(bundle)) = stream.answer().await else { panic!("a bundle was due") };
    assert_eq!(bundle.held, bad);
    let refusal = Refusal {
        refused: bad,
        kept: Some(first.held),
        code: "unknown-format".to_owned(),
        item: "payroll: spec.when".to_owned(),
        reason: "no such function".to_owned(),
    };
    stream.say(WatchUp::Refusal(refusal)).await;
    let shown = async || {
        let row = listed(&database.pool).await;
        row.refusal.map(|refusal| (refusal.number, refusal.code, refusal.reason, refusal.kept_number))
    };
    until("the refusal is shown", async || shown().await.is_some()).await;
    let (number, code, reason, kept) = shown().await.expect("shown");
    assert_eq!((number, code.as_str(), kept), (2, "unknown-format", Some(1)));
    assert_eq!(reason, "no such function");
    let (_, received, _, effective) = row(&database.pool).await;
    assert!(received <= 2 && effective == 1, "a refusal is no progress");

    // The same life comes again: nothing is pushed. A new version is given another try.
    let mut again = gateway.watch(hello(epoch, None, Some(first.held))).await.expect("a stream");
    assert!(matches!(again.next().await, Ok(WatchDown::Assignment(_))));
    assert!(matches!(again.next().await, Ok(WatchDown::Directives(_))));
    let good = publish(&database.pool, "good").await;
    let Ok(WatchDown::Bundle(bundle)) = again.answer().await else { panic!("a bundle was due") };
    assert_eq!(bundle.held, good, "the refused one was skipped");
    assert!(shown().await.is_some(), "still visible");
    again.ack(good, Progress::Applied).await;
    until("the refusal is resolved", async || shown().await.is_none()).await;
    central.stop().await;
}

#[tokio::test]
async fn a_new_version_is_given_a_refused_set_once_more() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let epoch = Epoch::random();
    let mut stream = gateway.watch(hello(epoch, None, None)).await.expect("a stream");
    let Ok(WatchDown::Bundle(bundle)) = stream.answer().await else { panic!("a bundle was due") };
    let refusal = Refusal {
        refused: bundle.held,
        kept: None,
        code: "unknown-format".to_owned(),
        item: String::new(),
        reason: String::new(),
    };
    stream.say(WatchUp::Refusal(refusal)).await;
    until("the refusal is stored", async || {
        let count: i64 =
            sqlx::query_scalar("select count(*) from gateway_refusals").fetch_one(&database.pool).await.expect("count");
        count == 1
    })
    .await;
    let newer = proto::watch::Hello { version: "2.0.0".to_owned(), ..hello(epoch, None, None) };
    let mut stream = gateway.watch(newer).await.expect("a stream");
    assert!(matches!(stream.answer().await, Ok(WatchDown::Bundle(again)) if again.held == bundle.held));
    central.stop().await;
}

#[tokio::test]
async fn a_refusal_for_a_reason_that_passes_is_resolved_by_an_ack_and_tried_again_on_a_new_stream() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let epoch = Epoch::random();
    let mut stream = gateway.watch(hello(epoch, None, None)).await.expect("a stream");
    let Ok(WatchDown::Bundle(bundle)) = stream.answer().await else { panic!("a bundle was due") };
    let refusals = async || -> i64 {
        sqlx::query_scalar("select count(*) from gateway_refusals").fetch_one(&database.pool).await.expect("count")
    };
    let refusal = Refusal {
        refused: bundle.held,
        kept: None,
        code: "storage".to_owned(),
        item: String::new(),
        reason: "no space left".to_owned(),
    };
    stream.say(WatchUp::Refusal(refusal)).await;
    until("the refusal is stored", async || refusals().await == 1).await;
    drop(stream);
    let mut stream = gateway.watch(hello(epoch, None, None)).await.expect("a stream");
    assert!(matches!(stream.answer().await, Ok(WatchDown::Bundle(again)) if again.held == bundle.held));
    let refusal = Refusal {
        refused: bundle.held,
        kept: None,
        code: "storage".to_owned(),
        item: String::new(),
        reason: "still none".to_owned(),
    };
    stream.say(WatchUp::Refusal(refusal)).await;
    stream.ack(bundle.held, Progress::Effective).await;
    until("the refusal is resolved", async || refusals().await == 0).await;
    assert_eq!(row(&database.pool).await, ("active".to_owned(), 1, 1, 1));
    central.stop().await;
}
