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

fn found(ledger: &Ledger, bucket: &str, key: &str, etag: &str) -> Option<Found> {
    ledger.look_up_blocking(bucket, &[(key.to_owned(), etag.to_owned())]).remove(0)
}

fn find(ledger: &Ledger, bucket: &str, key: &str, etag: &str) -> Option<Known> {
    found(ledger, bucket, key, etag).map(|found| found.known)
}

/// An object in a bucket without versions.
fn record(ledger: &Ledger, bucket: &str, key: &str, etag: &str, known: Known) {
    ledger.record(bucket, key, etag, known, Standing::Only);
}

#[derive(Debug, Clone)]
enum Act {
    Record(u8, u8, u64, Standing),
    Forget(u8),
    Hide(u8),
    Write,
    Reopen,
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![Just(Standing::Only), Just(Standing::Latest), Just(Standing::Noncurrent)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_recorded_last_is_found_wherever_it_lies(steps in prop::collection::vec(prop_oneof![
        8 => (0..4_u8, 0..3_u8, any::<u64>(), standing()).prop_map(|(k, etag, size, s)| Act::Record(k, etag, size, s)),
        2 => (0..4_u8).prop_map(Act::Forget),
        2 => (0..4_u8).prop_map(Act::Hide),
        2 => Just(Act::Write),
        1 => Just(Act::Reopen),
    ], 1..40)) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger.redb");
        let mut ledger = Ledger::open(&path).expect("a new ledger");
        let (mut model, mut latest) = (BTreeMap::new(), BTreeMap::new());
        for step in steps {
            match step {
                Act::Record(key, etag, size, standing) => {
                    ledger.record("b", &key.to_string(), &etag.to_string(), known(size), standing);
                    model.insert((key, etag), known(size));
                    if standing != Standing::Noncurrent {
                        latest.insert(key, etag);
                    } else if latest.get(&key) == Some(&etag) {
                        latest.remove(&key);
                    }
                }
                Act::Hide(key) => {
                    ledger.hide("b", &key.to_string());
                    latest.remove(&key);
                }
                Act::Forget(key) => {
                    ledger.forget("b", &key.to_string());
                    model.retain(|(found, _), _| *found != key);
                    latest.remove(&key);
                }
                Act::Write => ledger.write().expect("a writable ledger"),
                Act::Reopen => {
                    ledger.sync().expect("a writable ledger");
                    drop(ledger);
                    ledger = Ledger::open(&path).expect("the same ledger");
                }
            }
            for (key, etag) in (0..4).flat_map(|key| (0..3).map(move |etag| (key, etag))) {
                let found = found(&ledger, "b", &u8::to_string(&key), &u8::to_string(&etag));
                let current = latest.get(&key) == Some(&etag);
                let expected = model.get(&(key, etag)).map(|known| Found { known: known.clone(), current });
                prop_assert_eq!(found, expected);
                prop_assert_eq!(find(&ledger, "other", &key.to_string(), &etag.to_string()), None);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for key in 0..4 {
            let expected = latest.get(&key).and_then(|etag| model.get(&(key, *etag)));
            let found = runtime.block_on(ledger.current("b", &key.to_string()));
            prop_assert_eq!(found.as_ref(), expected);
        }
        let counts = runtime.block_on(ledger.all_counts()).expect("a readable ledger");
        let sum = |encrypted: bool| {
            let current = latest.iter().filter_map(|(key, etag)| model.get(&(*key, *etag)));
            let of = current.filter(|known: &&Known| known.encrypted == encrypted);
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
    record(&ledger, "b", "k", "e1", known(4));
    record(&ledger, "b", "l", "e2", known(5));
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
    record(&ledger, "b", "stored", "e1", known(2));
    ledger.write().expect("a writable ledger");
    record(&ledger, "b", "fresh", "e2", known(3));
    let page = [("fresh", "e2"), ("none", "e"), ("stored", "e1"), ("stored", "e9")];
    let page = page.map(|(key, etag)| (key.to_owned(), etag.to_owned())).to_vec();
    let of = |size| Some(Found { known: known(size), current: true });
    assert_eq!(ledger.look_up("b", page).await, [of(3), None, of(2), None]);
}

#[tokio::test]
async fn counts_are_of_current_objects_and_never_of_older_versions() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::open(&folder.path().join("ledger.redb")).expect("a new ledger");
    record(&ledger, "b", "k", "e1", known(3));
    record(&ledger, "b", "k", "e2", known(4));
    record(&ledger, "b", "l", "e3", known(5));
    record(&ledger, "c", "k", "e4", known(6));
    let counts = ledger.bucket_counts("b").await.expect("a readable ledger");
    assert_eq!(counts, BucketCounts { encrypted: 1, encrypted_bytes: 4, plain: 1, plain_bytes: 5 });
    assert_eq!(ledger.known_objects(&"prod".parse().expect("an ID")).await.expect("a readable ledger"), 2);
    let by_kms = ledger.objects_by_kms().await.expect("a readable ledger");
    assert_eq!(by_kms.into_iter().collect::<Vec<_>>(), [("prod".to_owned(), 2)]);
    // A list of versions names the latest first.
    ledger.record("v", "k", "new", known(8), Standing::Latest);
    ledger.record("v", "k", "old", known(7), Standing::Noncurrent);
    let counts = ledger.bucket_counts("v").await.expect("a readable ledger");
    assert_eq!((counts.encrypted_bytes, counts.plain), (8, 0));
    ledger.hide("v", "k");
    assert_eq!(ledger.bucket_counts("v").await.expect("a readable ledger"), BucketCounts::default());
    assert_eq!(find(&ledger, "v", "k", "new"), Some(known(8)), "behind a delete marker it is still a version");
}

/// Which of so many `ETags` of one key are found, after all were recorded one after the other.
fn kept(standing: Standing, count: usize) -> Vec<usize> {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::open(&folder.path().join("ledger.redb")).expect("a new ledger");
    for n in 0..count {
        ledger.record("b", "k", &format!("e{n}"), known(n as u64), standing);
        if n.is_multiple_of(7) {
            ledger.write().expect("a writable ledger");
        }
    }
    ledger.write().expect("a writable ledger");
    (0..count).filter(|n| find(&ledger, "b", "k", &format!("e{n}")).is_some()).collect()
}

#[test]
fn a_page_of_versions_of_one_key_is_kept_and_few_objects_that_were_overwritten() {
    assert_eq!(kept(Standing::Latest, row::VERSIONS + 5), (5..row::VERSIONS + 5).collect::<Vec<_>>());
    assert_eq!(
        kept(Standing::Only, 3 * row::OVERWRITTEN),
        (2 * row::OVERWRITTEN..3 * row::OVERWRITTEN).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn what_an_older_version_wrote_is_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.redb");
    let db = Database::create(&path).expect("a database");
    let tx = db.begin_write().expect("a transaction");
    for name in OUTDATED {
        tx.open_table(TableDefinition::<&str, u64>::new(name)).expect("a table").insert("b", 1).expect("a row");
    }
    tx.commit().expect("committed");
    drop(db);
    let ledger = Ledger::open(&path).expect("the same ledger");
    let tables: Vec<_> = ledger.shared.db.begin_read().expect("a transaction").list_tables().expect("tables").collect();
    assert!(tables.is_empty());
    assert_eq!(ledger.bucket_counts("b").await.expect("a readable ledger"), BucketCounts::default());
}

#[test]
fn a_damaged_ledger_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ledger.redb");
    std::fs::write(&path, b"this is no database, but it is long enough to look at").expect("a file");
    let ledger = Ledger::open(&path).expect("a new ledger");
    assert_eq!(find(&ledger, "b", "k", "e"), None);
    record(&ledger, "b", "k", "e", known(1));
    ledger.sync().expect("a writable ledger");
    assert_eq!(find(&ledger, "b", "k", "e"), Some(known(1)));
}
