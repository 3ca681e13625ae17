use ids::Epoch;
use proto::watch::{Progress, WatchDown};
use tokio::time::timeout;

use super::*;
use crate::rpc::testing::{Central, PATIENCE, config, hello, publish, seeded, until};

#[tokio::test]
async fn a_gateway_that_holds_the_head_is_told_so_and_sent_no_document() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let head = central.services.feed.head().held;
    let mut stream = gateway.watch(hello(Epoch::random(), None, Some(head))).await.expect("a stream");
    let Ok(WatchDown::Assignment(assignment)) = stream.next().await else { panic!("the name comes first") };
    assert_eq!(assignment.name, "gateway-1");
    assert_eq!(assignment.labels.get("region").map(String::as_str), Some("eu-1"));
    assert!(matches!(stream.next().await, Ok(WatchDown::Directives(_))));
    let Ok(WatchDown::Current(current)) = stream.next().await else { panic!("no document was due") };
    assert_eq!(current, head);
    central.stop().await;
}

#[tokio::test]
async fn an_edit_is_pushed_without_notifications_too() {
    let database = seeded().await;
    let central = Central::start_with(&database.pool, config(), false).await;
    let gateway = central.gateway("gateway-1").await;
    let head = central.services.feed.head().held;
    let mut stream = gateway.watch(hello(Epoch::random(), None, Some(head))).await.expect("a stream");
    stream.answer().await.expect("current");
    let next = publish(&database.pool, "second").await;
    let Ok(WatchDown::Bundle(bundle)) = stream.answer().await else { panic!("a bundle was due") };
    assert_eq!((bundle.held, bundle.document.as_ref()), (next, b"second".as_slice()));
    central.stop().await;
}

#[tokio::test]
async fn a_burst_of_edits_is_pushed_as_its_last() {
    let database = seeded().await;
    // Longer than a busy machine takes for an edit.
    let burst = Burst { quiet: Duration::from_secs(2), most: Duration::from_mins(1) };
    let feed = Feed::open_with(database.pool.clone(), burst).await.expect("a head");
    let central = Central::start_over(&database.pool, config(), true, feed).await;
    let gateway = central.gateway("gateway-1").await;
    let head = central.services.feed.head().held;
    let mut stream = gateway.watch(hello(Epoch::random(), None, Some(head))).await.expect("a stream");
    stream.answer().await.expect("current");
    let mut last = head;
    for number in 0..20 {
        last = publish(&database.pool, &format!("edit {number}")).await;
    }
    let mut pushed = 0;
    loop {
        let Ok(WatchDown::Bundle(bundle)) = stream.answer().await else { panic!("a bundle was due") };
        pushed += 1;
        if bundle.held == last {
            break;
        }
    }
    assert!(pushed < 20, "{pushed} pushes");
    central.stop().await;
}

#[tokio::test]
async fn a_gateway_that_does_not_read_gets_the_newest_and_never_a_queue() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let mut stream = gateway.watch(hello(Epoch::random(), None, None)).await.expect("a stream");
    // More than a connection buffers, so that the slot fills while nobody reads: one document is being sent, one is
    // encoded, one is next, and the last of all follows.
    let large = "x".repeat(4 << 20);
    let mut last = central.services.feed.head().held;
    for number in 0..12 {
        last = publish(&database.pool, &format!("{large}{number}")).await;
        until("the feed has it", async || central.services.feed.head().held == last).await;
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        let Ok(WatchDown::Bundle(bundle)) = stream.answer().await else { panic!("a bundle was due") };
        seen.push(bundle.held);
    }
    let numbers: Vec<_> = seen.iter().map(|held| held.revision.number).collect();
    assert!(seen.len() <= 5, "{numbers:?} were queued");
    assert!(seen.is_sorted_by_key(|held| held.revision.number), "never backwards");
    central.stop().await;
}

#[tokio::test]
async fn acks_become_progress_in_the_database_and_those_of_sets_not_given_do_not() {
    let database = seeded().await;
    let central = Central::start(&database.pool).await;
    let gateway = central.gateway("gateway-1").await;
    let mut stream = gateway.watch(hello(Epoch::random(), None, None)).await.expect("a stream");
    let Ok(WatchDown::Bundle(bundle)) = stream.answer().await else { panic!("a bundle was due") };
    let mut imagined = bundle.held;
    imagined.revision.number += 40;
    stream.ack(imagined, Progress::Effective).await;
    let progress = async || -> (i64, i64, i64) {
        sqlx::query_as("select received, applied, effective from gateways")
            .fetch_one(&database.pool)
            .await
            .expect("one gateway")
    };
    for (said, becomes) in [
        (Progress::Received, (1, 0, 0)),
        (Progress::Applied, (1, 1, 0)),
        (Progress::Effective, (1, 1, 1)),
        (Progress::Received, (1, 1, 1)),
    ] {
        stream.ack(bundle.held, said).await;
        until("the ack is flushed", async || progress().await == becomes).await;
    }
    central.stop().await;
}

#[tokio::test]
async fn a_document_that_does_not_have_its_digest_is_not_pushed() {
    let database = seeded().await;
    sqlx::query("update policy_head set digest = decode(repeat('11', 32), 'hex')")
        .execute(&database.pool)
        .await
        .expect("changed");
    assert!(Feed::open(database.pool.clone()).await.is_err());
}

#[tokio::test]
async fn a_database_that_does_not_answer_delays_pushes_and_ends_no_stream() {
    let database = seeded().await;
    let feed = Feed::open(database.pool.clone()).await.expect("a head");
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (feed, stop) = (feed.clone(), stop.clone());
        async move { feed.run(stop).await }
    });
    let mut head = feed.subscribe();
    sqlx::query("alter table policy_head rename to gone").execute(&database.pool).await.expect("renamed");
    feed.wake();
    assert!(timeout(Duration::from_millis(300), head.changed()).await.is_err(), "nothing is published");
    sqlx::query("alter table gone rename to policy_head").execute(&database.pool).await.expect("renamed back");
    let next = publish(&database.pool, "after").await;
    timeout(PATIENCE, head.changed()).await.expect("in time").expect("the feed lives");
    assert_eq!(head.borrow().held, next);
    stop.cancel();
    running.await.expect("it ends");
}
