//! The policy set: kept, never gone back, effective only when nothing older is at work.

use std::fs;
use std::time::Duration;

use ids::PolicyUid;
use policy::Item;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;

fn lineage(number: u128) -> Lineage {
    Lineage(Uuid::from_u128(number))
}

/// A set of one policy whose description is the number, so that its digest is its own.
fn bundle(lineage: Lineage, number: u64) -> Bundle {
    bundle_of(lineage, number, number)
}

/// The same with another description.
fn bundle_of(lineage: Lineage, number: u64, description: u64) -> Bundle {
    let text = format!(
        "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{ name: one, description: \"{description}\" }}\n\
         spec: {{ mode: enforce, priority: 1, buckets: [\"b\"], effect: encrypt }}\n"
    );
    let policy = policy::parse_one(&text).expect("a legal policy");
    let item = Item { uid: PolicyUid(Uuid::from_u128(1)), policy };
    let revision = Revision { lineage, number };
    let set = PolicySet::new(revision, vec![item]).expect("a legal set");
    let document = Bytes::from(set.encode());
    Bundle { revision, digest: Digest::of(&document), format: policy::FORMAT, document }
}

fn open(folder: &TempDir) -> Policies {
    Policies::open(folder.path()).expect("readable policies")
}

fn number(policies: &Policies) -> Option<u64> {
    policies.current().revision.map(|revision| revision.number)
}

#[test]
fn without_a_set_the_empty_one_decides() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = open(&folder);
    assert_eq!(policies.current().held(), None);
    assert!(policies.current().set.items().is_empty());
    assert!(policies.is_effective());
}

#[test]
fn a_set_and_its_labels_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let labels = Labels::from([("region".to_owned(), "eu-1".to_owned())]);
    let policies = open(&folder);
    policies.assign(labels.clone()).expect("labels are kept");
    let applied = policies.apply(&bundle(lineage(1), 3)).expect("a legal set");
    drop(policies);
    let again = open(&folder).current();
    assert_eq!(again.held(), applied.held());
    assert_eq!(again.labels, labels);
    assert!(again.age() < Duration::from_mins(1));
}

#[test]
fn a_number_never_goes_back_in_its_lineage() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = open(&folder);
    policies.apply(&bundle(lineage(1), 5)).expect("the first");
    let refused = policies.apply(&bundle(lineage(1), 4)).expect_err("a lower number");
    assert_eq!(refused.code(), "lower-revision");
    policies.apply(&bundle(lineage(2), 1)).expect("another lineage may begin anywhere");
    let policies = open(&folder);
    let refused = policies.apply(&bundle(lineage(1), 4)).expect_err("also after another lineage and a restart");
    assert_eq!(refused, Refusal::LowerRevision { lineage: lineage(1), offered: 4, highest: 5 });
    assert_eq!(number(&policies), Some(1));
    policies.apply(&bundle(lineage(1), 5)).expect("the same number is not lower");
}

#[test]
fn the_same_number_with_other_content_is_a_conflict() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = open(&folder);
    let first = policies.apply(&bundle(lineage(1), 5)).expect("the first");
    let again = policies.apply(&bundle(lineage(1), 5)).expect("no change");
    assert!(Arc::ptr_eq(&first, &again));
    let other = Bundle { digest: Digest([7; 32]), ..bundle(lineage(1), 5) };
    assert_eq!(policies.apply(&other).expect_err("other content").code(), "revision-conflict");
}

#[test]
fn a_set_that_cannot_be_used_leaves_the_last_good_one_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = open(&folder);
    policies.apply(&bundle(lineage(1), 1)).expect("the first");
    let good = bundle(lineage(1), 2);
    let damaged = Bytes::from([&good.document[..], b" "].concat());
    let foreign = Bytes::from_static(b"{}");
    let bad = [
        ("digest-mismatch", Bundle { document: damaged, ..good.clone() }),
        ("unknown-format", Bundle { format: 99, ..good.clone() }),
        ("malformed", Bundle { digest: Digest::of(&foreign), document: foreign, ..good.clone() }),
        ("revision-mismatch", Bundle { revision: Revision { lineage: lineage(1), number: 9 }, ..good.clone() }),
    ];
    for (code, bundle) in bad {
        assert_eq!(policies.apply(&bundle).expect_err(code).code(), code);
        assert_eq!(number(&policies), Some(1));
    }
    assert_eq!(number(&open(&folder)), Some(1));
    policies.apply(&good).expect("a refusal does not stand in the way of the next");
}

#[test]
fn a_damaged_newest_generation_leaves_the_one_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = open(&folder);
    for number in 1..=3 {
        policies.apply(&bundle(lineage(1), number)).expect("a legal set");
    }
    drop(policies);
    let path = |name: &str| folder.path().join("policies").join(name);
    // Written in turn: 1 in a, 2 in b, 3 in a.
    let newest = fs::read(path("a")).expect("a generation");
    for position in [0, 9, newest.len() / 2, newest.len() - 1] {
        let mut damaged = newest.clone();
        damaged[position] ^= 1;
        fs::write(path("a"), &damaged).expect("a write");
        assert_eq!(number(&open(&folder)), Some(2), "byte {position}");
    }
    fs::write(path("a"), &newest[..newest.len() / 2]).expect("a write");
    let policies = open(&folder);
    assert_eq!(number(&policies), Some(2));
    policies.apply(&bundle(lineage(1), 4)).expect("the damaged one is written over");
    assert_eq!(number(&open(&folder)), Some(4));
}

#[test]
fn with_both_generations_damaged_it_does_not_start_without_policies() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = open(&folder);
    policies.apply(&bundle(lineage(1), 1)).expect("a legal set");
    policies.apply(&bundle(lineage(1), 2)).expect("a legal set");
    drop(policies);
    for name in ["a", "b"] {
        fs::write(folder.path().join("policies").join(name), b"damaged").expect("a write");
    }
    let error = Policies::open(folder.path()).err().expect("plaintext would be stored");
    assert!(error.to_string().contains("remove the folder"), "{error}");
}

#[test]
fn a_set_that_cannot_be_written_is_not_in_force() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = open(&folder);
    policies.apply(&bundle(lineage(1), 1)).expect("a legal set");
    fs::remove_dir_all(folder.path().join("policies")).expect("the folder");
    assert_eq!(policies.apply(&bundle(lineage(1), 2)).expect_err("no disk").code(), "storage");
    assert_eq!(number(&policies), Some(1));
}

#[tokio::test]
async fn a_set_is_effective_when_the_last_older_decision_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = open(&folder);
    let first = policies.begin();
    policies.apply(&bundle(lineage(1), 1)).expect("a legal set");
    let second = policies.begin();
    let newest = policies.apply(&bundle(lineage(1), 2)).expect("a legal set");
    assert_eq!(first.revision, None);
    assert_eq!(second.revision.map(|revision| revision.number), Some(1));
    let soon = Duration::from_millis(50);
    drop(second);
    assert!(!policies.is_effective());
    assert!(tokio::time::timeout(soon, policies.effective(&newest)).await.is_err(), "a decision of before is at work");
    let third = policies.begin();
    drop(first);
    assert!(policies.is_effective(), "a decision by the newest set does not count");
    assert!(tokio::time::timeout(Duration::from_secs(5), policies.effective(&newest)).await.expect("it is woken"));
    drop(third);
}

#[tokio::test]
async fn whoever_waits_for_a_set_that_was_replaced_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = open(&folder);
    let guard = policies.begin();
    let older = policies.apply(&bundle(lineage(1), 1)).expect("a legal set");
    let waiting = tokio::spawn({
        let policies = policies.clone();
        async move { policies.effective(&older).await }
    });
    policies.apply(&bundle(lineage(1), 2)).expect("a legal set");
    drop(guard);
    assert!(!waiting.await.expect("it ends"), "another set is in force");
}

#[test]
fn uploads_of_before_are_counted_apart_from_effective() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = open(&folder);
    policies.upload_begun("one", &policies.begin());
    assert_eq!(policies.uploads_from_before(), OpenUploads::default());
    policies.apply(&bundle(lineage(1), 1)).expect("a legal set");
    assert!(policies.is_effective());
    let open = policies.uploads_from_before();
    assert_eq!(open.count, 1);
    assert!(open.oldest.is_some());
    policies.upload_begun("two", &policies.begin());
    policies.upload_ended("one");
    assert_eq!(policies.uploads_from_before().count, 0);
    policies.replace_uploads([Upload { id: "three".into(), revision: None, begun_at: SystemTime::now() }]);
    assert_eq!(policies.uploads_from_before().count, 1);
}

#[test]
fn a_look_at_the_uploads_passes_over_nothing_that_happens_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = open(&folder);
    let before = |id: &str| Upload { id: id.into(), revision: None, begun_at: SystemTime::now() };
    policies.upload_begun("ended meanwhile", &policies.begin());
    policies.upload_begun("ended elsewhere", &policies.begin());
    assert!(!policies.uploads_are_complete());
    policies.look_at_uploads();
    policies.upload_begun("begun meanwhile", &policies.begin());
    policies.upload_begun("short", &policies.begin());
    policies.upload_ended("ended meanwhile");
    policies.upload_ended("short");
    policies.replace_uploads(["ended meanwhile", "short", "of an earlier life"].map(before));
    assert!(policies.uploads_are_complete());
    let known = |id: &str| policies.known_upload(id).is_some();
    assert!(known("begun meanwhile") && known("of an earlier life"));
    assert!(!known("ended meanwhile") && !known("short") && !known("ended elsewhere"));
    policies.apply(&bundle(lineage(1), 1)).expect("a legal set");
    assert_eq!(policies.uploads_from_before().count, 2);
}

#[test]
fn a_policy_that_a_set_does_not_change_is_not_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let policies = open(&folder);
    let first = policies.apply(&bundle(lineage(1), 1)).expect("a legal set");
    let second = policies.apply(&bundle_of(lineage(1), 2, 1)).expect("a legal set");
    // The text is shared, not read from the bundle.
    let text = |snapshot: &Snapshot| snapshot.set.items()[0].policy.source().as_ptr();
    assert_eq!(text(&first), text(&second));
    assert_ne!(first.revision, second.revision);
}
