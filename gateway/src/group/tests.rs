use std::path::Path;

use super::*;
use crate::system;
use crate::system::tests::{Fault, fake, over_directory};

const NOTHING: FirstAdmin = FirstAdmin { access_key: None, secret_key: None, token: None, file: None };

fn quick() -> Options {
    Options { look_every: Duration::from_millis(50), stale_after: Duration::from_millis(600), ..Options::default() }
}

async fn member_of(system: System, key: &Arc<SealingKey>, options: Options) -> Result<Arc<Group>, GroupError> {
    Group::open(Arc::new(system), Arc::clone(key), options, &NOTHING).await.map(|(group, _)| group)
}

async fn member(folder: &Path, key: &Arc<SealingKey>) -> Arc<Group> {
    member_of(over_directory(folder).await, key, Options::default()).await.expect("opens")
}

fn key() -> Arc<SealingKey> {
    Arc::new(SealingKey::random().expect("random"))
}

async fn toggle(group: &Group, bucket: &str, on: bool) {
    group.edit(|document| document.set_encryption(bucket, on, 7)).await.expect("edits");
}

/// Waits for a condition that must come true within `most`.
async fn eventually(most: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + most;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {most:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_first_start_draws_an_administrator_and_later_starts_draw_none() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), key());
    let system = Arc::new(over_directory(folder.path()).await);
    let (group, first) = Group::open(Arc::clone(&system), Arc::clone(&key), quick(), &NOTHING).await.expect("opens");
    let first = first.expect("made");
    let document = group.document();
    let credential = document.credential(&first.access_key).expect("there");
    assert_eq!(credential.secret.expose(), first.secret_key.expose());
    assert!(credential.admin && credential.allows(Action::Manage, "any-bucket"));
    assert_eq!(document.token(first.token.expose()), Some("first"));
    assert!(first.drawn);
    let (again, none) = Group::open(system, key, quick(), &NOTHING).await.expect("opens");
    assert!(none.is_none());
    assert_eq!(again.document().group, document.group);
}

#[tokio::test]
async fn members_that_start_at_once_over_new_storage_agree_on_one_document() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), key());
    let wish = FirstAdmin {
        access_key: Some("ADMIN".into()),
        secret_key: Some(Secret::new("secret-of-admin".into())),
        token: Some(Secret::new("t".repeat(40))),
        file: None,
    };
    let system = Arc::new(over_directory(folder.path()).await);
    let open = || Group::open(Arc::clone(&system), Arc::clone(&key), quick(), &wish);
    let (a, b, c) = tokio::join!(open(), open(), open());
    let (a, b, c) = (a.expect("opens"), b.expect("opens"), c.expect("opens"));
    assert_eq!(a.0.document().group, b.0.document().group);
    assert_eq!(b.0.document().group, c.0.document().group);
    assert_eq!([a.1, b.1, c.1].iter().flatten().filter(|first| !first.drawn).count(), 1);
    assert!(a.0.document().credential("ADMIN").is_some());
    assert!(a.0.document().token(&"t".repeat(40)).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_edits_of_two_members_lose_nothing() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), key());
    let (a, b) = (member(folder.path(), &key).await, member(folder.path(), &key).await);
    let mut edits = tokio::task::JoinSet::new();
    for number in 0..12 {
        let group = Arc::clone(if number % 2 == 0 { &a } else { &b });
        edits.spawn(async move { toggle(&group, &format!("bucket-{number}"), true).await });
    }
    edits.join_all().await;
    for group in [&a, &b] {
        group.look().await.expect("looks");
        assert_eq!(group.document().buckets.len(), 12);
        assert_eq!(group.document().revision, 13, "each edit is one revision, without gaps");
    }
}

#[tokio::test]
async fn a_toggle_set_at_one_member_holds_at_the_other_within_two_seconds() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), key());
    let (a, b) = (member(folder.path(), &key).await, member(folder.path(), &key).await);
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&b).run(stop.clone()));
    for on in [true, false, true] {
        toggle(&a, "bucket", on).await;
        assert_eq!(a.document().toggled("bucket"), on, "at once where it was set");
        eventually(Duration::from_secs(2), "the toggle", || b.document().toggled("bucket") == on).await;
    }
    stop.cancel();
    running.await.expect("ends");
}

#[tokio::test]
async fn an_edit_that_changes_nothing_is_judged_by_the_newest_document_and_writes_nothing() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), key());
    let (a, b) = (member(folder.path(), &key).await, member(folder.path(), &key).await);
    toggle(&a, "bucket", true).await;
    toggle(&a, "bucket", true).await;
    assert_eq!(a.document().revision, 2);
    b.look().await.expect("looks");
    toggle(&a, "bucket", false).await;
    assert!(b.document().toggled("bucket"), "B still has the revision in which the toggle is on");
    toggle(&b, "bucket", true).await;
    assert_eq!(b.document().revision, 4, "and yet switches it on");
    a.look().await.expect("looks");
    assert!(a.document().toggled("bucket"));
}

#[tokio::test]
async fn a_refused_edit_writes_nothing() {
    let (folder, key) = (tempfile::tempdir().expect("a folder"), key());
    let group = member(folder.path(), &key).await;
    let refused = group.edit(|document| document.remove_credential("nobody")).await;
    assert!(matches!(refused, Err(GroupError::Refused(Refusal::NotFound(_)))));
    assert_eq!(group.document().revision, 1);
}

#[tokio::test]
async fn a_member_without_a_current_document_refuses_writes_keeps_reading_and_recovers() {
    let (storage, upstream) = fake().await;
    let options = system::Options { deadline: Duration::from_millis(100), ..system::tests::options() };
    let system = System::open(upstream, &options).await.expect("opens");
    let group = member_of(system, &key(), quick()).await.expect("opens");
    toggle(&group, "bucket", true).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&group).run(stop.clone()));
    assert_eq!(group.writable(), Ok(()));
    storage.lock().expect("not poisoned").down = true;
    eventually(Duration::from_secs(5), "stale", || group.writable().is_err()).await;
    assert!(group.age() > quick().stale_after);
    assert!(group.document().toggled("bucket"), "reads go on with what is known");
    storage.lock().expect("not poisoned").down = false;
    eventually(Duration::from_secs(5), "current", || group.writable().is_ok()).await;
    stop.cancel();
    running.await.expect("ends");
}

#[tokio::test]
async fn a_document_that_was_tampered_with_is_refused_at_the_start_and_while_running() {
    let (storage, upstream) = fake().await;
    let key = key();
    let usual = system::tests::options();
    let open = || System::open(upstream.clone(), &usual);
    let group = member_of(open().await.expect("opens"), &key, quick()).await.expect("opens");
    toggle(&group, "bucket", true).await;
    let genuine = storage.lock().expect("not poisoned").objects[&object(2)].to_vec();
    let put = |number: u64, bytes: Vec<u8>| {
        storage.lock().expect("not poisoned").objects.insert(object(number), bytes.into());
    };
    let mut flipped = genuine.clone();
    flipped[100] ^= 1;
    let json = |text: &str| key.seal("group document 3", text.as_bytes()).expect("seals");
    for (what, bytes) in [
        ("a flipped bit", flipped),
        ("truncated", genuine[..genuine.len() - 1].to_vec()),
        ("an older revision under a higher number", genuine.clone()),
        ("not ours at all", b"hello".to_vec()),
        (
            "sealed with another key",
            SealingKey::random().expect("random").seal("group document 3", b"{}").expect("seals"),
        ),
        ("no document", json("{}")),
        ("a newer format", json(r#"{"format":2,"news":true}"#)),
    ] {
        put(3, bytes);
        let refused = group.look().await.expect_err(what);
        assert!(matches!(refused, GroupError::Document(_)), "{what}: {refused}");
        assert!(group.document().toggled("bucket") && group.document().revision == 2, "{what}");
        assert!(group.edit(|document| document.set_encryption("b", true, 1)).await.is_err(), "{what}");
        let start = member_of(open().await.expect("opens"), &key, quick()).await.err().expect(what);
        assert!(matches!(start, GroupError::Document(_)), "{what}: {start}");
    }
    let newer = group.look().await.expect_err("a newer format").to_string();
    assert!(newer.contains("format 2") && newer.contains("upgrade"), "{newer}");
}

#[tokio::test]
async fn without_the_sealing_key_the_document_opens_for_nobody() {
    let (folder, right) = (tempfile::tempdir().expect("a folder"), key());
    let group = member(folder.path(), &right).await;
    drop(group);
    let wrong = member_of(over_directory(folder.path()).await, &key(), quick()).await.err().expect("refused");
    assert!(wrong.to_string().contains("sealing key"), "{wrong}");
}

#[tokio::test]
async fn a_storage_that_lost_the_newest_revisions_is_found_out() {
    let (storage, upstream) = fake().await;
    let system = System::open(upstream, &system::tests::options()).await.expect("opens");
    let group = member_of(system, &key(), quick()).await.expect("opens");
    toggle(&group, "a", true).await;
    toggle(&group, "b", true).await;
    storage.lock().expect("not poisoned").objects.remove(&object(3));
    assert!(matches!(group.look().await, Err(GroupError::Backwards { held: 3 })));
    assert!(group.edit(|document| document.set_encryption("c", true, 1)).await.is_err());
    assert!(group.document().toggled("b"));
}

#[tokio::test]
async fn an_edit_whose_answer_was_lost_is_made_exactly_once() {
    let (storage, upstream) = fake().await;
    let system = System::open(upstream, &system::tests::options()).await.expect("opens");
    let group = member_of(system, &key(), quick()).await.expect("opens");
    storage.lock().expect("not poisoned").faults.push_back((http::Method::PUT, Fault::LostAnswer));
    let more = |document: &mut Document| {
        document.kms_flushes += 1;
        Ok(())
    };
    group.edit(more).await.expect("edits");
    assert_eq!((group.document().revision, group.document().kms_flushes), (2, 1));
}

#[tokio::test]
async fn old_revisions_are_removed_and_the_newest_stay() {
    let (storage, upstream) = fake().await;
    let system = System::open(upstream.clone(), &system::tests::options()).await.expect("opens");
    let options = Options { keep: 4, ..quick() };
    let sealing = key();
    let group = member_of(system, &sealing, options.clone()).await.expect("opens");
    // More than are removed at once.
    for number in 0..40 {
        toggle(&group, &format!("b{number}"), true).await;
    }
    let numbers = || -> Vec<String> {
        let storage = storage.lock().expect("not poisoned");
        storage.objects.keys().filter(|key| key.starts_with(PREFIX)).cloned().collect()
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&group).run(stop.clone()));
    let kept: Vec<String> = (38..=41).map(object).collect();
    eventually(Duration::from_secs(5), "removed", || numbers() == kept).await;
    let system = System::open(upstream, &system::tests::options()).await.expect("opens");
    let late = member_of(system, &sealing, options).await.expect("opens");
    assert_eq!(late.document().buckets.len(), 40);
    stop.cancel();
    running.await.expect("ends");
}

#[tokio::test]
async fn a_writer_that_slept_past_the_removal_of_its_number_is_not_told_that_it_wrote() {
    let (_storage, upstream) = fake().await;
    let sealing = key();
    let options = Options { keep: 2, ..quick() };
    let usual = system::tests::options();
    let open = || System::open(upstream.clone(), &usual);
    let awake = member_of(open().await.expect("opens"), &sealing, options.clone()).await.expect("opens");
    let asleep = member_of(open().await.expect("opens"), &sealing, options).await.expect("opens");
    // What the sleeper was about to write when it fell asleep: revision 2.
    let held = Arc::clone(&asleep.current.borrow());
    let mut copy = held.copy().expect("copies");
    copy.set_encryption("mine", true, 1).expect("edits");
    let next = held.next(copy, 1).expect("encodes").expect("changed");
    for number in 0..8 {
        toggle(&awake, &format!("b{number}"), true).await;
    }
    awake.remove_old().await.expect("removes");
    let written = asleep.system.put_new(&object(2), next.seal(&sealing).expect("seals")).await.expect("writes");
    assert_eq!(written, Written::Ours, "the number is free again: this is the danger");
    assert!(!asleep.stands(&next).await.expect("looks"), "and this finds it out");
    // One that others built upon stands, however many came after it.
    let genuine = Arc::clone(&awake.current.borrow());
    for number in 0..8 {
        toggle(&awake, &format!("c{number}"), true).await;
    }
    assert!(awake.stands(&genuine).await.expect("looks"));
    // The sleeper's next edit is made upon the newest document.
    toggle(&asleep, "mine", true).await;
    assert_eq!(asleep.document().buckets.len(), 17);
}

#[tokio::test]
async fn nothing_secret_is_readable_in_the_stored_document() {
    let (storage, upstream) = fake().await;
    let system = System::open(upstream, &system::tests::options()).await.expect("opens");
    let wish = FirstAdmin {
        access_key: Some("VISIBLE-ACCESS-KEY".into()),
        secret_key: Some(Secret::new("visible-secret-key".into())),
        token: None,
        file: None,
    };
    Group::open(Arc::new(system), key(), quick(), &wish).await.expect("opens");
    let storage = storage.lock().expect("not poisoned");
    let stored = &storage.objects[&object(1)];
    for secret in ["visible-secret-key", "VISIBLE-ACCESS-KEY", "administrator"] {
        assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
    }
}
