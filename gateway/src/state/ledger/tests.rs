//! The ledger: visible at once, bound to the `ETag`, never needed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn known(size: u64) -> Known {
    Known {
        encrypted: size.is_multiple_of(2),
        size,
        kms: size.is_multiple_of(2).then(|| "prod".parse().expect("an ID")),
    }
}

fn find(ledger: &Ledger, bucket: &str, key: &str, etag: &str) -> Option<Known> {
    ledger.look_up_blocking(bucket, &[(key.to_owned(), etag.to_owned())]).remove(0)
}

#[derive(Debug, Clone)]
enum Step {
    Record(u8, u8, u64),
    Forget(u8),
    Write,
    Reopen,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_recorded_last_is_found_wherever_it_lies(steps in prop::collection::vec(prop_oneof![
        8 => (0..4_u8, 0..3_u8, any::<u64>()).prop_map(|(key, etag, size)| Step::Record(key, etag, size)),
        2 => (0..4_u8).prop_map(Step::Forget),
        2 => Just(Step::Write),
        1 => Just(Step::Reopen),
    ], 1..40)) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.redb");
        let mut ledger = Ledger::open(&path).expect("a new ledger");
        let (mut model, mut latest) = (BTreeMap::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Record(key, etag, size) => {
                    ledger.record("b", &key.to_string(), &etag.to_string(), known(size));
                    model.insert((key, etag), known(size));
                    latest.insert(key, known(size));
                }
                Step::Forget(key) => {
                    ledger.forget("b", &key.to_string());
                    model.retain(|(found, _), _| *found != key);
                    latest.remove(&key);
                }
                Step::Write => ledger.write().expect("a writable ledger"),
                Step::Reopen => {
                    ledger.sync().expect("a writable ledger");
                    drop(ledger);
                    ledger = Ledger::open(&path).expect("the same ledger");
                }
            }
            for (key, etag) in (0..4).flat_map(|key| (0..3).map(move |etag| (key, etag))) {
                let found = find(&ledger, "b", &u8::to_string(&key), &u8::to_string(&etag));
                prop_assert_eq!(found.as_ref(), model.get(&(key, etag)));
                prop_assert_eq!(find(&ledger, "other", &key.to_string(), &etag.to_string()), None);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let counts = runtime.block_on(ledger.all_counts()).expect("a readable ledger");
        let sum = |encrypted: bool| {
            let of = latest.values().filter(|known: &&Known| known.encrypted == encrypted);
            of.fold((0, 0_u64), |(objects, bytes), known| (objects + 1, bytes.wrapping_add(known.size)))
        };
        let ((encrypted, encrypted_bytes), (plain, plain_bytes)) = (sum(true), sum(false));
        let expected = BucketCounts { encrypted, encrypted_bytes, plain, plain_bytes };
        prop_assert_eq!(counts.get("b").copied().unwrap_or_default(), expected);
        let needed = runtime.block_on(ledger.known_objects(&"prod".parse().expect("an ID")));
        prop_assert_eq!(needed.expect("a readable ledger"), encrypted);
    }
}

#[tokio::test]
async fn a_ledger_that_was_written_without_counts_is_counted_when_it_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.redb");
    let ledger = Ledger::open(&path).expect("a new ledger");
    ledger.record("b", "k", "e1", known(4));
    ledger.record("b", "l", "e2", known(5));
    ledger.sync().expect("a writable ledger");
    drop(ledger);
    let db = Database::create(&path).expect("the database");
    let tx = db.begin_write().expect("a transaction");
    assert!(tx.delete_table(BUCKETS).expect("a table") && tx.delete_table(KMS).expect("a table"));
    tx.commit().expect("committed");
    drop(db);
    let ledger = Ledger::open(&path).expect("the same ledger");
    let counts = ledger.bucket_counts("b").await.expect("a readable ledger");
    assert_eq!(counts, BucketCounts { encrypted: 1, encrypted_bytes: 4, plain: 1, plain_bytes: 5 });
    assert_eq!(ledger.known_objects(&"prod".parse().expect("an ID")).await.expect("a readable ledger"), 1);
}

#[tokio::test]
async fn a_page_is_answered_in_its_order_and_another_etag_is_a_miss() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::open(&folder.path().join("ledger.redb")).expect("a new ledger");
    ledger.record("b", "stored", "e1", known(2));
    ledger.write().expect("a writable ledger");
    ledger.record("b", "fresh", "e2", known(3));
    let page = [("fresh", "e2"), ("none", "e"), ("stored", "e1"), ("stored", "e9")];
    let page = page.map(|(key, etag)| (key.to_owned(), etag.to_owned())).to_vec();
    assert_eq!(ledger.look_up("b", page).await, [Some(known(3)), None, Some(known(2)), None]);
}

#[tokio::test]
async fn counts_follow_the_most_recent_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::open(&folder.path().join("ledger.redb")).expect("a new ledger");
    ledger.record("b", "k", "e1", known(3));
    ledger.record("b", "k", "e2", known(4));
    ledger.record("b", "l", "e3", known(5));
    ledger.record("c", "k", "e4", known(6));
    let counts = ledger.bucket_counts("b").await.expect("a readable ledger");
    assert_eq!(counts, BucketCounts { encrypted: 1, encrypted_bytes: 4, plain: 1, plain_bytes: 5 });
    assert_eq!(ledger.known_objects(&"prod".parse().expect("an ID")).await.expect("a readable ledger"), 2);
}

#[test]
fn only_so_many_versions_of_a_key_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::open(&folder.path().join("ledger.redb")).expect("a new ledger");
    for n in 0..3 * VERSIONS {
        ledger.record("b", "k", &format!("e{n}"), known(n as u64));
        ledger.write().expect("a writable ledger");
    }
    let kept = (0..3 * VERSIONS).filter(|n| find(&ledger, "b", "k", &format!("e{n}")).is_some());
    assert_eq!(kept.collect::<Vec<_>>(), (2 * VERSIONS..3 * VERSIONS).collect::<Vec<_>>());
}

#[test]
fn a_damaged_ledger_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.redb");
    std::fs::write(&path, b"this is no database, but it is long enough to look at").expect("a file");
    let ledger = Ledger::open(&path).expect("a new ledger");
    assert_eq!(find(&ledger, "b", "k", "e"), None);
    ledger.record("b", "k", "e", known(1));
    ledger.sync().expect("a writable ledger");
    assert_eq!(find(&ledger, "b", "k", "e"), Some(known(1)));
}
