use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::kms::{Provider, RsaKey, RsaKms};
use zeroize::Zeroizing;

use super::*;
use crate::group::{self, KmsEntry};

/// Calls of KMS by operation, as the hook was told.
#[derive(Default)]
struct Calls {
    wrap: AtomicUsize,
    unwrap: AtomicUsize,
    failed: AtomicUsize,
}

impl Calls {
    fn seen(&self) -> (usize, usize) {
        (self.wrap.load(Ordering::SeqCst), self.unwrap.load(Ordering::SeqCst))
    }
}

fn keys(options: Options) -> (Keys, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    let told = Arc::clone(&calls);
    let hooks = Hooks {
        kms_call: Box::new(move |_, operation, ok| {
            let counter = if operation == "wrap" { &told.wrap } else { &told.unwrap };
            counter.fetch_add(1, Ordering::SeqCst);
            told.failed.fetch_add(usize::from(!ok), Ordering::SeqCst);
        }),
        ..Hooks::default()
    };
    (Keys::new(options, hooks), calls)
}

/// Three keys, made once for all tests of a process.
fn pem(which: usize) -> &'static [u8] {
    static PEM: OnceLock<Vec<::kms::GeneratedPem>> = OnceLock::new();
    PEM.get_or_init(|| (0..3).map(|_| ::kms::generate_pem(2048).expect("generates")).collect())[which].as_bytes()
}

fn rsa(id: &str, keys: &[usize]) -> RsaKms {
    let read = |which: usize| RsaKey::from_pem(pem(which), None).expect("reads");
    let mut kms = RsaKms::new(id.parse().expect("legal"), read(keys[0]), 0);
    for which in &keys[1..] {
        kms.add(read(*which), 0).expect("adds");
    }
    kms
}

/// A document with these KMS, of which the first is active.
fn document(revision: u64, configured: &[(&str, &[usize])]) -> Arc<Document> {
    let mut document = group::empty();
    document.revision = revision;
    for (id, keys) in configured {
        let entry = KmsEntry {
            provider: "rsa".into(),
            added: 0,
            state: rsa(id, keys).state(),
            made: std::collections::BTreeMap::new(),
        };
        document.add_kms(&id.parse().expect("legal"), entry).expect("adds");
    }
    document.active_kms = configured.first().map(|(id, _)| id.parse().expect("legal"));
    Arc::new(document)
}

async fn configured(options: Options) -> (Keys, Arc<Calls>) {
    let (keys, calls) = keys(options);
    keys.configure(&document(1, &[("prod", &[0])])).await;
    (keys, calls)
}

#[tokio::test]
async fn a_thousand_puts_and_their_gets_ask_the_kms_once() {
    let (keys, calls) = configured(Options::default()).await;
    for _ in 0..1000 {
        let wrapping = keys.wrapping().await.expect("a key");
        keys.open(wrapping.record.as_bytes()).await.expect("opens");
    }
    assert_eq!(calls.seen(), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_of_one_record_are_one_flight() {
    let (writer, _) = configured(Options::default()).await;
    let record = writer.wrapping().await.expect("a key").record;
    let (reader, calls) = configured(Options::default()).await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (reader, record) = (reader.clone(), Arc::clone(&record));
        readers.spawn(async move { reader.open(record.as_bytes()).await.map(|_| ()).expect("opens") });
    }
    readers.join_all().await;
    assert_eq!(calls.seen(), (0, 1));
    assert!(reader.cached(record.as_bytes()).is_some());
}

#[tokio::test]
async fn a_client_that_goes_away_neither_ends_nor_repeats_the_call() {
    let (writer, _) = configured(Options::default()).await;
    let record = writer.wrapping().await.expect("a key").record;
    let (reader, calls) = configured(Options::default()).await;
    let mut gone = Box::pin(reader.open(record.as_bytes()));
    let waker = std::task::Waker::noop();
    assert!(gone.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    drop(gone);
    reader.open(record.as_bytes()).await.expect("opens");
    assert_eq!(calls.seen(), (0, 1));
}

#[tokio::test]
async fn a_kek_is_replaced_after_its_wraps_and_the_next_one_was_made_ahead() {
    let (keys, calls) = configured(Options { kek_wraps: 64, ..Options::default() }).await;
    let mut records = BTreeSet::new();
    for _ in 0..640 {
        let wrapping = keys.wrapping().await.expect("a key");
        records.insert(wrapping.record.as_bytes().to_vec());
        // Gives the one that is being made ahead its thread.
        tokio::task::yield_now().await;
    }
    let replaced = records.len();
    assert!((5..=11).contains(&replaced), "{replaced} KEKs for 640 wraps of at most 2 x 64 each");
    assert!(calls.seen().0 <= replaced + 1);
}

#[tokio::test]
async fn a_kek_is_replaced_when_its_time_is_over() {
    let (keys, _) = configured(Options { kek_age: Duration::ZERO, outage: Duration::ZERO, ..Options::default() }).await;
    let first = keys.wrapping().await;
    // With no time at all, a KEK is spent before its first wrap: no key, and never an old one.
    assert!(matches!(first, Err(KeysError::Changed)));
}

#[tokio::test]
async fn another_active_kms_and_another_key_hold_at_once() {
    let (keys, _) = configured(Options::default()).await;
    let before = keys.wrapping().await.expect("a key");
    keys.configure(&document(2, &[("other", &[1]), ("prod", &[0])])).await;
    let other = keys.wrapping().await.expect("a key");
    assert_eq!(other.kms.as_str(), "other");
    keys.configure(&document(3, &[("other", &[1, 2]), ("prod", &[0])])).await;
    let rotated = keys.wrapping().await.expect("a key");
    assert_ne!(rotated.record.key(), other.record.key());
    for wrapping in [&before, &other, &rotated] {
        keys.open(wrapping.record.as_bytes()).await.expect("the older ones still open");
    }
    // An older document that comes late changes nothing.
    keys.configure(&document(2, &[("prod", &[0])])).await;
    assert_eq!(keys.wrapping().await.expect("a key").kms.as_str(), "other");
}

#[tokio::test]
async fn a_removed_kms_opens_nothing_although_its_keks_were_cached_and_the_same_one_does_again() {
    let (keys, _) = configured(Options::default()).await;
    let wrapping = keys.wrapping().await.expect("a key");
    keys.configure(&document(2, &[])).await;
    assert!(matches!(keys.wrapping().await, Err(KeysError::NoActiveKms)));
    let gone = keys.open(wrapping.record.as_bytes()).await.err().expect("refused");
    assert!(gone.to_string().contains("prod"), "{gone}");
    keys.configure(&document(3, &[("prod", &[1])])).await;
    let other = keys.open(wrapping.record.as_bytes()).await.err().expect("refused").to_string();
    assert!(other.contains(&wrapping.record.key_text()), "both keys are named: {other}");
    keys.configure(&document(4, &[("prod", &[1, 0])])).await;
    keys.open(wrapping.record.as_bytes()).await.expect("opens");
}

#[tokio::test]
async fn a_flush_here_or_by_the_document_drops_every_key() {
    let (keys, calls) = configured(Options::default()).await;
    let first = keys.wrapping().await.expect("a key");
    keys.flush();
    assert!(keys.cached(first.record.as_bytes()).is_none());
    let second = keys.wrapping().await.expect("a key");
    assert_ne!(first.record, second.record);
    keys.open(first.record.as_bytes()).await.expect("opens");
    assert_eq!(calls.seen(), (2, 1));
    let held = document(2, &[("prod", &[0])]);
    let mut flushed = Arc::into_inner(held).expect("the only one");
    flushed.kms_flushes = 1;
    keys.configure(&Arc::new(flushed)).await;
    assert!(keys.cached(second.record.as_bytes()).is_none());
}

#[tokio::test]
async fn a_key_that_was_being_opened_when_all_were_dropped_is_not_kept() {
    let (writer, _) = configured(Options::default()).await;
    let record = writer.wrapping().await.expect("a key").record;
    let (reader, _) = configured(Options::default()).await;
    let mut opening = Box::pin(reader.open(record.as_bytes()));
    let waker = std::task::Waker::noop();
    assert!(opening.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    reader.flush();
    opening.await.expect("who asked before still gets it");
    assert!(reader.cached(record.as_bytes()).is_none());
}

#[tokio::test]
async fn opened_keys_are_bounded_and_the_one_that_was_not_used_for_longest_goes() {
    let (writer, _) = configured(Options::default()).await;
    let mut records = Vec::new();
    for _ in 0..4 {
        records.push(writer.wrapping().await.expect("a key").record);
        writer.flush();
    }
    let (reader, calls) = configured(Options { cache: 3, ..Options::default() }).await;
    for record in &records[..3] {
        reader.open(record.as_bytes()).await.expect("opens");
    }
    reader.open(records[0].as_bytes()).await.expect("opens");
    reader.open(records[3].as_bytes()).await.expect("opens");
    assert_eq!(reader.lock().cache.len(), 3);
    assert!(reader.cached(records[0].as_bytes()).is_some());
    assert!(reader.cached(records[1].as_bytes()).is_none());
    assert_eq!(calls.seen(), (0, 4));
}

#[tokio::test]
async fn an_opened_key_is_kept_for_its_time_only() {
    let (writer, _) = configured(Options::default()).await;
    let record = writer.wrapping().await.expect("a key").record;
    let (reader, calls) = configured(Options { ttl: Duration::ZERO, ..Options::default() }).await;
    reader.open(record.as_bytes()).await.expect("opens");
    reader.open(record.as_bytes()).await.expect("opens");
    assert_eq!(calls.seen(), (0, 2));
    reader.lock().cache.sweep(Instant::now());
    assert_eq!(reader.lock().cache.len(), 0);
}

#[tokio::test]
async fn a_forged_record_is_refused_and_asked_about_once_in_a_while() {
    let (keys, calls) = configured(Options { negative_ttl: Duration::from_mins(1), ..Options::default() }).await;
    let mut forged = keys.wrapping().await.expect("a key").record.as_bytes().to_vec();
    *forged.last_mut().expect("not empty") ^= 1;
    for _ in 0..10 {
        let refused = keys.open(&forged).await.err().expect("refused");
        assert!(refused.to_string().contains("not authentic"), "{refused}");
        assert!(!refused.is_transient());
    }
    assert_eq!(calls.seen(), (1, 1));
    assert!(matches!(keys.open(b"no record").await, Err(KeysError::Record(_))));
}

#[tokio::test]
async fn a_kms_whose_state_cannot_be_read_does_not_keep_the_others_from_working() {
    let mut broken = Arc::into_inner(document(1, &[("prod", &[0])])).expect("the only one");
    let entry = KmsEntry {
        provider: "vault".into(),
        added: 0,
        state: Zeroizing::new(vec![1, 2, 3]),
        made: std::collections::BTreeMap::new(),
    };
    broken.add_kms(&"far".parse().expect("legal"), entry).expect("adds");
    let (keys, _) = keys(Options::default());
    keys.configure(&Arc::new(broken)).await;
    keys.wrapping().await.expect("a key");
    assert!(matches!(keys.kms(&"far".parse().expect("legal")), Some(KmsState::Broken(_))));
    let refused = keys.probe(&"far".parse().expect("legal")).await.expect_err("refused");
    assert!(refused.to_string().contains("vault"), "{refused}");
    keys.probe(&"prod".parse().expect("legal")).await.expect("passes");
}

#[tokio::test]
async fn what_this_gateway_wrapped_opens_with_the_provider_alone() {
    let (keys, _) = configured(Options::default()).await;
    let wrapping = keys.wrapping().await.expect("a key");
    Provider::Rsa(rsa("prod", &[0])).open(&wrapping.record).await.expect("opens");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kms_that_does_not_answer_is_given_up_at_the_deadline_and_its_place_is_free_when_it_does() {
    let (keys, calls) =
        keys(Options { call_deadline: Duration::from_millis(100), concurrent_calls: 1, ..Options::default() });
    let provider = Arc::new(Provider::Rsa(rsa("prod", &[0])));
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let hangs = move |_: &Provider, _: &tokio::runtime::Handle| {
        held.lock().expect("not poisoned").recv().expect("released");
        Ok(())
    };
    let hung = call::run(&keys.0, Arc::clone(&provider), "unwrap", hangs).await;
    assert!(matches!(hung, Err(KeysError::Deadline(_))));
    // The only place is taken by the call that hangs.
    let next = call::run(&keys.0, Arc::clone(&provider), "unwrap", |_, _| Ok(1)).await;
    assert!(matches!(next, Err(KeysError::Deadline(_))));
    release.send(()).expect("still held");
    let deadline = Instant::now() + Duration::from_secs(10);
    while call::run(&keys.0, Arc::clone(&provider), "unwrap", |_, _| Ok(1)).await.is_err() {
        assert!(Instant::now() < deadline, "the place was never free again");
    }
    assert_eq!(calls.failed.load(Ordering::SeqCst), 1, "a call that never began is not counted");
}

#[tokio::test]
async fn a_kms_that_is_unavailable_for_a_moment_is_asked_again_and_one_that_refuses_is_not() {
    let (keys, calls) = keys(Options::default());
    let provider = Arc::new(Provider::Rsa(rsa("prod", &[0])));
    let tried = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tried);
    let recovers = move |provider: &Provider, _: &tokio::runtime::Handle| match counted.fetch_add(1, Ordering::SeqCst) {
        2 => Ok(()),
        _ => Err(::kms::Error::Unavailable { kms: provider.id().clone(), reason: "a test".into() }),
    };
    call::run(&keys.0, Arc::clone(&provider), "wrap", recovers).await.expect("at the third attempt");
    assert_eq!((calls.seen().0, calls.failed.load(Ordering::SeqCst)), (3, 2));
    let refuses = |provider: &Provider, _: &tokio::runtime::Handle| {
        Err::<(), _>(::kms::Error::Probe { kms: provider.id().clone() })
    };
    assert!(call::run(&keys.0, provider, "wrap", refuses).await.is_err());
    assert_eq!(calls.seen().0, 4);
}
