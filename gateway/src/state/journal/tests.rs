//! The journal by itself: what is torn, what is told twice, what a look at the storage settles.

use std::collections::BTreeMap;

use ids::{Direction, Outcome};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::state::State;
use crate::state::counters::Flush;

fn key(bucket: &str, outcome: Outcome) -> Key {
    Key { bucket: bucket.into(), policy: "".into(), outcome, direction: Direction::In }
}

fn etag(text: &str) -> Fact {
    Fact::Etag { etag: text.into(), size: 5 }
}

fn seen(etag: &str, modified_ms: i64) -> Seen {
    Seen { etag: etag.into(), size: 5, modified_ms, mark: None }
}

/// A journal over a store, as `Stats` uses it.
struct Life {
    state: State,
    journal: Journal,
}

impl Life {
    fn begin(folder: &Path) -> Self {
        let state = State::open(folder).expect("the folder is ours");
        let mut stored = state.counters().load().expect("a readable store");
        let journal = Journal::open(folder, &mut stored).expect("a readable journal");
        let life = Self { state, journal };
        life.flush();
        life
    }

    fn flush(&self) {
        let taken = self.journal.take(None);
        let flush = Flush {
            changes: taken.changes.clone(),
            position: taken.position,
            boot: boot_id(),
            now_ms: now_ms(),
            ..Flush::default()
        };
        self.state.counters().flush(&flush).expect("a writable store");
        self.journal.saved(&taken);
    }

    fn counts(&self) -> BTreeMap<Key, Count> {
        self.journal.counts().into_iter().collect()
    }
}

/// The files as a kill leaves them.
fn killed(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    let mut pending = vec![folder.to_owned()];
    while let Some(from) = pending.pop() {
        let to = copy.path().join(from.strip_prefix(folder).expect("below the folder"));
        fs::create_dir_all(&to).expect("a folder");
        for entry in fs::read_dir(&from).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                pending.push(path);
            } else {
                fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("a copy");
            }
        }
    }
    copy
}

#[test]
fn of_several_tries_of_one_write_one_counts_also_across_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let life = Life::begin(folder.path());
    let mark = |text: &str| Fact::Mark(text.into());
    drop(life.journal.intent(key("b", Outcome::Encrypted), "k", 5, mark("the same upload")));
    let under_way = life.journal.intent(key("b", Outcome::Encrypted), "k", 5, mark("the same upload"));
    drop(life.journal.intent(key("b", Outcome::Encrypted), "k", 5, mark("another upload")));
    drop(life.journal.intent(key("b", Outcome::Encrypted), "l", 5, mark("the same upload")));
    life.journal.intent(key("b", Outcome::Encrypted), "k", 5, mark("the same upload")).done();
    let left = killed(folder.path());
    // What the others are told makes no difference any more.
    under_way.done();
    for life in [life, Life::begin(left.path())] {
        let open: Vec<_> = life.journal.unsettled().into_values().map(|open| (open.object, open.fact)).collect();
        let others = [("k".to_owned(), mark("another upload")), ("l".to_owned(), mark("the same upload"))];
        assert_eq!(open, others);
        let counts: Vec<_> = life.counts().into_values().collect();
        assert_eq!(counts, [Count { objects: 1, bytes: 5 }]);
    }
}

#[test]
fn a_write_that_another_intent_counts_is_withdrawn_also_across_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let life = Life::begin(folder.path());
    let mark = || Fact::Mark("the same upload".into());
    let first = life.journal.intent(key("b", Outcome::Encrypted), "k", 5, mark());
    drop(first);
    life.journal.intent(key("b", Outcome::Encrypted), "k", 5, mark()).withdrawn();
    assert!(life.counts().is_empty());
    let left = killed(folder.path());
    for life in [life, Life::begin(left.path())] {
        assert_eq!(life.journal.unsettled().len(), 1, "the first is still to be settled");
        assert!(life.counts().is_empty());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Count(u8, u16),
    Stored(u8, u16),
    Failed(u8, u16),
    LeftOpen(u8, u16),
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..3_u8, any::<u16>()).prop_map(|(bucket, bytes)| Step::Count(bucket, bytes)),
        4 => (0..3_u8, any::<u16>()).prop_map(|(bucket, bytes)| Step::Stored(bucket, bytes)),
        2 => (0..3_u8, any::<u16>()).prop_map(|(bucket, bytes)| Step::Failed(bucket, bytes)),
        1 => (0..3_u8, any::<u16>()).prop_map(|(bucket, bytes)| Step::LeftOpen(bucket, bytes)),
        1 => Just(Step::Flush),
    ];
    prop::collection::vec(step, 1..40)
}

/// What is counted and open, with the length of the journal at which it is so.
type Known = (BTreeMap<Key, Count>, usize);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn after_a_cut_at_any_byte_exactly_the_whole_records_are_counted(steps in steps(), cut in 0.0..1.0_f64) {
        let folder = tempfile::tempdir().expect("a folder");
        let life = Life::begin(folder.path());
        let at = |life: &Life| life.journal.take_position();
        let known = |life: &Life| -> Known { (life.counts(), life.journal.shared.lock().totals.open().len()) };
        let mut history: Vec<(u64, Known)> = vec![(at(&life).offset, known(&life))];
        let mut flushed = at(&life).offset;
        let mut open = Vec::new();
        let segment = at(&life).segment;
        for step in steps {
            match step {
                Step::Count(bucket, bytes) => {
                    life.journal.count(key(&format!("b{bucket}"), Outcome::Plain), 1, bytes.into());
                }
                Step::Stored(bucket, bytes) | Step::Failed(bucket, bytes) | Step::LeftOpen(bucket, bytes) => {
                    let key = key(&format!("b{bucket}"), Outcome::Encrypted);
                    let pending = life.journal.intent(key, "object", bytes.into(), Fact::None);
                    history.push((at(&life).offset, known(&life)));
                    match step {
                        Step::Stored(..) => pending.done(),
                        Step::Failed(..) => pending.ended(Outcome::Failed, 0),
                        _ => open.push(pending),
                    }
                }
                Step::Flush => {
                    life.flush();
                    flushed = at(&life).offset;
                }
            }
            history.push((at(&life).offset, known(&life)));
        }
        let copy = killed(folder.path());
        let path = segment::path(&copy.path().join("journal"), segment);
        let length = fs::metadata(&path).expect("the segment").len();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in a small file")]
        let cut = (length as f64 * cut) as u64;
        File::options().write(true).open(&path).and_then(|file| file.set_len(cut)).expect("the cut");
        let expected = history.iter().rev().find(|(offset, _)| *offset <= cut.max(flushed)).expect("the begin is known");
        for _ in 0..2 {
            let next = Life::begin(copy.path());
            prop_assert_eq!(&known(&next), &expected.1);
        }
        drop(open);
    }
}

#[test]
fn a_flush_that_fails_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let life = Life::begin(folder.path());
    let kept = life.journal.intent(key("b", Outcome::Plain), "kept", 1, Fact::None);
    life.flush();
    let gone = life.journal.intent(key("b", Outcome::Plain), "gone", 2, Fact::None);
    let taken = life.journal.take(Some(false));
    kept.done();
    gone.done();
    life.journal.not_saved(taken);
    life.flush();
    let next = Life::begin(killed(folder.path()).path());
    assert_eq!(next.counts()[&key("b", Outcome::Plain)], Count { objects: 2, bytes: 3 });
    assert!(next.journal.unsettled().is_empty(), "an outcome is open again");
}

#[test]
fn an_open_intent_survives_the_kill_and_is_settled_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let life = Life::begin(folder.path());
    let pending = life.journal.intent(key("b", Outcome::Encrypted), "object", 5, Fact::Mark("mine".into()));
    let copy = killed(folder.path());
    pending.done();

    let next = Life::begin(copy.path());
    let open = next.journal.unsettled();
    assert_eq!(open.len(), 1);
    let id = *open.keys().next().expect("one");
    let mine = Seen { mark: Some("mine".into()), ..seen("whatever", 0) };
    assert_eq!(next.journal.settle(id, Some(&mine)), Verdict::Stored);
    next.journal.settle(id, Some(&mine));
    next.journal.settle(id, None);
    // Another kill, before the flush: the settlement is in the journal.
    let last = Life::begin(killed(copy.path()).path());
    assert!(last.journal.unsettled().is_empty());
    assert_eq!(last.counts(), BTreeMap::from([(key("b", Outcome::Encrypted), Count { objects: 1, bytes: 5 })]));
}

#[test]
fn a_request_that_is_dropped_is_open_until_it_is_settled() {
    let folder = tempfile::tempdir().expect("a folder");
    let life = Life::begin(folder.path());
    let pending = life.journal.intent(key("b", Outcome::Plain), "object", 5, etag("e"));
    assert!(life.journal.unsettled().is_empty(), "its request is at work");
    drop(pending);
    let open = life.journal.unsettled();
    let (id, intent) = open.first_key_value().expect("one");
    assert_eq!(life.journal.settle(*id, None), Verdict::LookAgain, "the storage may still be at work");
    assert_eq!(life.journal.settle(*id, Some(&seen("e", intent.at_ms))), Verdict::Stored);
    assert_eq!(life.counts()[&key("b", Outcome::Plain)].objects, 1);
}

#[test]
fn what_the_client_sends_again_is_not_taken_for_the_first_attempt() {
    let folder = tempfile::tempdir().expect("a folder");
    let life = Life::begin(folder.path());
    drop(life.journal.intent(key("b", Outcome::Plain), "object", 5, etag("e")));
    let id = *life.journal.unsettled().keys().next().expect("one");
    life.journal.intent(key("b", Outcome::Plain), "object", 5, etag("e")).done();
    assert_eq!(life.journal.settle(id, Some(&seen("e", now_ms()))), Verdict::Indeterminate);
    assert_eq!(life.counts()[&key("b", Outcome::Plain)].objects, 1);
    assert_eq!(life.counts()[&key("b", Outcome::Indeterminate)], Count { objects: 1, bytes: 5 });
}

#[test]
fn two_writes_of_the_same_bytes_at_once_are_not_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let life = Life::begin(folder.path());
    let first = life.journal.intent(key("b", Outcome::Plain), "object", 5, etag("e"));
    let second = life.journal.intent(key("b", Outcome::Plain), "object", 5, etag("e"));
    second.done();
    let copy = killed(folder.path());
    drop(first);
    let next = Life::begin(copy.path());
    let (id, open) = next.journal.unsettled().pop_first().expect("one");
    assert_eq!(next.journal.settle(id, Some(&seen("e", open.at_ms))), Verdict::Indeterminate);
    assert_eq!(next.counts()[&key("b", Outcome::Plain)].objects, 1);
}

#[test]
fn nothing_is_recognised_by_less_than_all_of_its_fact() {
    let open = Open {
        at_ms: 100_000,
        until_ms: Some(110_000),
        key: key("b", Outcome::Plain),
        object: "object".into(),
        bytes: 5,
        fact: etag("e"),
    };
    let late = 110_000 + GRACE_MS + 1;
    let judge = |fact: Fact, seen: Option<Seen>| Open { fact, ..open.clone() }.judge(seen.as_ref(), late);
    assert_eq!(judge(etag("e"), Some(seen("e", 105_000))), Verdict::Stored);
    assert_eq!(judge(etag("e"), Some(seen("other", 105_000))), Verdict::Indeterminate);
    assert_eq!(judge(etag("e"), Some(Seen { size: 6, ..seen("e", 105_000) })), Verdict::Indeterminate);
    assert_eq!(judge(etag("e"), Some(seen("e", 90_000))), Verdict::Indeterminate, "it was there before");
    assert_eq!(judge(etag("e"), Some(seen("e", 120_000))), Verdict::Indeterminate, "it came after the kill");
    assert_eq!(judge(etag("e"), None), Verdict::Indeterminate, "it may have been deleted since");
    let marked = |mark: &str| Some(Seen { mark: Some(mark.into()), ..seen("x", 0) });
    assert_eq!(judge(Fact::Mark("m".into()), marked("m")), Verdict::Stored);
    assert_eq!(judge(Fact::Mark("m".into()), marked("n")), Verdict::Indeterminate);
    assert_eq!(judge(Fact::None, Some(seen("e", 105_000))), Verdict::Indeterminate);
}

#[test]
fn segments_of_another_series_are_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let life = Life::begin(folder.path());
    life.journal.count(key("b", Outcome::Plain), 1, 1);
    drop(life);
    fs::remove_file(folder.path().join("counters.redb")).expect("the database");
    let next = Life::begin(folder.path());
    assert!(next.counts().is_empty(), "a new series begins from nothing");
    next.journal.count(key("b", Outcome::Plain), 1, 1);
    let last = Life::begin(killed(folder.path()).path());
    assert_eq!(last.counts()[&key("b", Outcome::Plain)].objects, 1);
}

#[test]
fn a_long_journal_is_cut_to_the_segment_at_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let life = Life::begin(folder.path());
    let long = "b".repeat(4_000);
    for _ in 0..1_100 {
        life.journal.count(key(&long, Outcome::Plain), 1, 1);
    }
    life.flush();
    let left = segment::list(&folder.path().join("journal")).expect("a folder");
    assert_eq!(left, [life.journal.take_position().segment]);
    let next = Life::begin(killed(folder.path()).path());
    assert_eq!(next.counts().values().map(|count| count.objects).sum::<u64>(), 1_100);
}

#[test]
fn a_disk_that_refuses_the_journal_stops_no_counting() {
    let folder = tempfile::tempdir().expect("a folder");
    let life = Life::begin(folder.path());
    {
        // A file that is open for reading only stands for a full disk.
        let path = segment::path(&folder.path().join("journal"), life.journal.take_position().segment);
        life.journal.shared.lock().writer.break_for_test(File::open(path).expect("the segment"));
    }
    life.journal.count(key("b", Outcome::Plain), 1, 1);
    assert!(life.journal.failing());
    life.journal.count(key("b", Outcome::Plain), 1, 1);
    assert!(!life.journal.failing(), "a new segment is begun after a failure");
    life.flush();
    let next = Life::begin(killed(folder.path()).path());
    assert_eq!(next.counts()[&key("b", Outcome::Plain)].objects, 2);
}

#[test]
fn beyond_the_bound_of_keys_counts_are_summed_and_none_is_lost() {
    let mut totals = Totals::default();
    for n in 0..20_000_u64 {
        let key = Key { policy: format!("p{n}").into(), ..key(&format!("b{n}"), Outcome::Plain) };
        totals.apply(Record::Count { key, objects: 1, bytes: 2 });
    }
    assert!(totals.counts().count() <= proto::limits::COUNTERS);
    assert_eq!(totals.counts().map(|(_, count)| count.objects).sum::<u64>(), 20_000);
    assert!(totals.counts().any(|(key, _)| &*key.bucket == OTHER && &*key.policy == OTHER));
}

proptest! {
    #[test]
    fn a_record_is_read_back_and_its_prefixes_are_not(
        bucket in "[a-z]{0,63}", object in "\\PC{0,100}", bytes: u64, id: u64, mark in "\\PC{0,64}", until: Option<i64>,
    ) {
        let open = Open {
            at_ms: 1, until_ms: until, key: key(&bucket, Outcome::Encrypted), object, bytes, fact: Fact::Mark(mark),
        };
        let record = Record::Intent { id, open };
        let mut framed = Vec::new();
        record.encode(&mut framed);
        prop_assert_eq!(record::decode(&framed), Some((record, framed.len())));
        for length in 0..framed.len() {
            prop_assert_eq!(record::decode(&framed[..length]), None);
        }
        let mut changed = framed.clone();
        changed[framed.len() / 2] ^= 1;
        prop_assert_eq!(record::decode(&changed), None);
        prop_assert_eq!(record::decode(&[0; 64]), None);
    }
}
