//! The uplink against a Central made for it: real sockets, real mutual TLS, the protocol of the protobuf files.

mod central;

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use ids::{Direction, Lineage, Outcome, PolicyUid, Revision};
use policy::{Digest, Item, PolicySet};
use proto::watch::{PolicyBundle, Progress};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::config::Secret;
use crate::stats::Count;
use central::{Central, until};

/// A gateway's uplink, running.
struct Gateway {
    uplink: Uplink,
    policies: Policies,
    stats: Stats,
    stop: CancellationToken,
    running: JoinHandle<()>,
    _state: State,
}

fn key(folder: &TempDir) -> Arc<SealingKey> {
    let path = folder.path().join("sealing.key");
    if !path.exists() {
        let bytes: Vec<u8> = (0..32).collect();
        std::fs::write(&path, bytes).expect("a key");
    }
    Arc::new(SealingKey::load(&crate::config::SealingKey::File(path)).expect("a key"))
}

fn options(token: Option<&str>) -> UplinkOptions {
    UplinkOptions {
        address: None,
        token: token.map(|token| Secret::new(token.to_owned())),
        token_file: None,
        name: Some("proposed".into()),
        report_interval: Duration::from_millis(50),
        version: "1.2.3".into(),
    }
}

impl Gateway {
    fn start(folder: &TempDir, token: Option<&str>) -> Self {
        Self::start_with(folder, options(token))
    }

    fn start_with(folder: &TempDir, options: UplinkOptions) -> Self {
        let state = State::open(folder.path()).expect("the folder is ours");
        let policies = Policies::open(folder.path()).expect("readable policies");
        let stats = Stats::open(&state).expect("readable statistics");
        let hooks = Hooks {
            flush_keys: Arc::new(|| {}),
            inventory: Arc::new(|| async { None }.boxed()),
            storage_id: Arc::new(|| None),
        };
        let sealing = key(folder);
        let uplink = Uplink::new(Some(options), &state, policies.clone(), stats.clone(), sealing, hooks);
        let stop = CancellationToken::new();
        let running = tokio::spawn({
            let (uplink, stop) = (uplink.clone(), stop.clone());
            async move { uplink.run(stop).await }
        });
        Self { uplink, policies, stats, stop, running, _state: state }
    }

    async fn stop(self) {
        self.stop.cancel();
        // One that did not stop would run for ever.
        tokio::time::timeout(Duration::from_mins(2), self.running).await.expect("it stops").expect("it does not panic");
    }

    fn count(&self) {
        self.stats.count(Count {
            bucket: "b",
            policy: None,
            outcome: Outcome::Plain,
            direction: Direction::In,
            bytes: 10,
        });
    }
}

fn bundle(number: u64) -> PolicyBundle {
    let text = format!(
        "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{ name: one, description: \"{number}\" }}\n\
         spec: {{ mode: enforce, priority: 1, buckets: [\"b\"], effect: encrypt }}\n"
    );
    let policy = policy::parse_one(&text).expect("a legal policy");
    let revision = Revision { lineage: Lineage(Uuid::from_u128(1)), number };
    let set = PolicySet::new(revision, vec![Item { uid: PolicyUid(Uuid::from_u128(1)), policy }]).expect("a legal set");
    let document = Bytes::from(set.encode());
    let held = proto::watch::Held { revision, digest: Digest::of(&document).0 };
    PolicyBundle { held, format: policy::FORMAT, document }
}

#[tokio::test]
async fn a_gateway_enrols_takes_a_set_and_says_how_far_it_is() {
    let central = Central::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(&folder, Some(&central.token()));
    until("it is connected", || gateway.uplink.status().connected).await;
    let older = gateway.policies.begin();
    central.push(bundle(1));
    until("the set is applied", || central.seen().acked(1) == Some(Progress::Applied)).await;
    assert_eq!(gateway.policies.current().labels["region"], "eu-1");
    let status = gateway.uplink.status();
    assert_eq!((status.revision, status.effective_revision), (Some(1), None));
    drop(older);
    until("the set is effective", || central.seen().acked(1) == Some(Progress::Effective)).await;
    until("it says so", || gateway.uplink.status().effective_revision == Some(1)).await;
    assert_eq!(gateway.uplink.status().name.as_deref(), Some("given"));
    until("it lives", || central.seen().heartbeats > 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_refused_set_is_told_once_and_the_last_good_one_stays_in_force() {
    let central = Central::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(&folder, Some(&central.token()));
    central.push(bundle(1));
    until("the first set is effective", || central.seen().acked(1) == Some(Progress::Effective)).await;
    central.push(PolicyBundle { format: 99, ..bundle(2) });
    until("the refusal is told", || !central.seen().refusals.is_empty()).await;
    let refusal = central.seen().refusals[0].clone();
    assert_eq!((refusal.code.as_str(), refusal.refused.revision.number), ("unknown-format", 2));
    assert_eq!(refusal.kept, Some(bundle(1).held));
    assert!(!refusal.reason.is_empty());
    let shown = gateway.uplink.status().refusal.expect("it is shown");
    assert_eq!((shown.code.as_str(), shown.revision), ("unknown-format", 2));
    assert_eq!(gateway.uplink.status().revision, Some(1));
    // Received may have been said, more must not.
    assert!(central.seen().acked(2) <= Some(Progress::Received));
    central.push(bundle(3));
    until("the next set is effective", || central.seen().acked(3) == Some(Progress::Effective)).await;
    assert_eq!(gateway.uplink.status().refusal, None);
    assert_eq!(central.seen().refusals.len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_lower_number_is_refused_also_over_the_stream() {
    let central = Central::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(&folder, Some(&central.token()));
    central.push(bundle(5));
    until("the set is effective", || central.seen().acked(5) == Some(Progress::Effective)).await;
    central.push(bundle(4));
    until("the refusal is told", || central.seen().refusals.iter().any(|refusal| refusal.code == "lower-revision"))
        .await;
    assert_eq!(gateway.uplink.status().revision, Some(5));
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_with_another_ca_is_not_told_the_token() {
    let (central, stranger) = (Central::start().await, Central::start().await);
    let folder = tempfile::tempdir().expect("a folder");
    let token = central.token_for(stranger.address());
    let error = enrol_now(&options(None), folder.path(), &token, &key(&folder)).await.expect_err("a stranger");
    assert!(matches!(&error, EnrolError::Central { code, .. } if code == "tls"), "{error}");
    assert_eq!(stranger.seen().enrolments, 0);
    let enrolled =
        enrol_now(&options(None), folder.path(), &central.token(), &key(&folder)).await.expect("the right one");
    assert_eq!(enrolled.name, "given");
    let again = enrol_now(&options(None), folder.path(), &central.token(), &key(&folder)).await.expect_err("used");
    assert!(matches!(&again, EnrolError::Central { code, .. } if code == "token-used"), "{again}");
}

#[tokio::test]
async fn after_a_restart_what_is_held_and_the_life_before_are_said_and_nothing_is_sent_again() {
    let central = Central::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(&folder, Some(&central.token()));
    central.push(bundle(1));
    until("the set is effective", || central.seen().acked(1) == Some(Progress::Effective)).await;
    gateway.stop().await;
    let bundles = central.seen().bundles_sent;
    // The token is not needed any more.
    let gateway = Gateway::start(&folder, None);
    until("it is connected", || gateway.uplink.status().connected).await;
    let hellos = central.seen().hellos.clone();
    let (first, last) = (&hellos[0], &hellos[hellos.len() - 1]);
    assert_eq!(first.predecessor, None);
    assert_eq!(last.predecessor, Some(first.epoch));
    assert_ne!(last.epoch, first.epoch);
    assert_eq!(last.held, Some(bundle(1).held));
    assert_eq!(central.seen().bundles_sent, bundles, "nothing is sent twice");
    gateway.stop().await;
}

#[tokio::test]
async fn reports_are_sent_until_acknowledged_and_a_lost_acknowledgement_doubles_nothing() {
    let central = Central::start().await;
    central.change(|state| state.lose_acks = 3);
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(&folder, Some(&central.token()));
    for _ in 0..20 {
        gateway.count();
    }
    until("all is merged", || central.seen().objects("b") == 20).await;
    until("all is acknowledged", || gateway.stats.spooled() == (0, 0)).await;
    let delivered = central.seen().deliveries.clone();
    assert!(delivered.windows(2).any(|pair| pair[0] == pair[1]), "a report came twice: {delivered:?}");
    gateway.count();
    central.change(|state| state.want_full = true);
    until("the next is merged", || central.seen().objects("b") == 21).await;
    gateway.count();
    until("a full report follows", || central.seen().full_reports > 0).await;
    let last = gateway.stats.last_sequence();
    assert!(central.seen().gaps == 0 && last >= 2);
    gateway.count();
    gateway.stop().await;
    assert_eq!(central.seen().objects("b"), 23, "the last report is sent at the stop");
}

#[tokio::test]
async fn a_store_that_was_restored_from_a_backup_counts_on_and_nothing_is_lost_or_doubled() {
    let central = Central::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(&folder, Some(&central.token()));
    let count = async |gateway: &Gateway, more: u64| {
        let before = central.seen().objects("b");
        for _ in 0..more {
            gateway.count();
        }
        until("all is merged", || central.seen().objects("b") == before + more).await;
        until("all is acknowledged", || gateway.stats.spooled() == (0, 0)).await;
    };
    count(&gateway, 5).await;
    gateway.stop().await;
    let backup = copy(folder.path());
    let gateway = Gateway::start(&folder, None);
    for _ in 0..4 {
        count(&gateway, 3).await;
    }
    let later = gateway.stats.last_sequence();
    gateway.stop().await;
    // Away from Central for a life, then back.
    let state = State::open(backup.path()).expect("the folder is ours");
    let stats = Stats::open(&state).expect("readable statistics");
    assert!(stats.last_sequence() + 1 < later);
    for _ in 0..2 {
        stats.count(Count { bucket: "b", policy: None, outcome: Outcome::Plain, direction: Direction::In, bytes: 10 });
    }
    stats.flush(true).expect("written");
    drop((state, stats));
    let gateway = Gateway::start(&backup, None);
    until("what was counted away from it is merged", || central.seen().objects("b") == 5 + 12 + 2).await;
    count(&gateway, 7).await;
    gateway.stop().await;
    // The new series goes on.
    let gateway = Gateway::start(&backup, None);
    count(&gateway, 1).await;
    gateway.stop().await;
    assert_eq!(central.seen().objects("b"), 5 + 12 + 2 + 7 + 1);
}

/// A copy of everything below a folder.
fn copy(from: &Path) -> TempDir {
    fn below(from: &Path, to: &Path) {
        for entry in std::fs::read_dir(from).expect("a folder") {
            let path = entry.expect("an entry").path();
            let target = to.join(path.file_name().expect("a name"));
            if path.is_dir() {
                std::fs::create_dir(&target).expect("a folder");
                below(&path, &target);
            } else {
                std::fs::copy(&path, &target).expect("a copy");
            }
        }
    }
    let to = tempfile::tempdir().expect("a folder");
    below(from, to.path());
    to
}

#[tokio::test]
async fn a_full_report_that_is_asked_for_while_one_is_made_follows_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = State::open(folder.path()).expect("the folder is ours");
    let stats = Stats::open(&state).expect("readable statistics");
    // Asks once more in the midst of the first report.
    let asks = Arc::new(Mutex::new(std::sync::Weak::<Shared>::new()));
    let asking = Arc::clone(&asks);
    let hooks = Hooks {
        flush_keys: Arc::new(|| {}),
        inventory: Arc::new(move || {
            if let Some(shared) = std::mem::take(&mut *asking.lock().expect("one holder")).upgrade() {
                shared.want_full_report();
            }
            async { None }.boxed()
        }),
        storage_id: Arc::new(|| None),
    };
    let policies = Policies::open(folder.path()).expect("readable policies");
    let uplink = Uplink::new(Some(options(None)), &state, policies, stats.clone(), key(&folder), hooks);
    *asks.lock().expect("one holder") = Arc::downgrade(&uplink.shared);
    uplink.shared.connected(true);
    uplink.shared.want_full_report();
    let mut reporter = report::Reporter::new(&uplink.shared);
    for (made, reports) in [("asked for at first", 1), ("asked for meanwhile", 2), ("not asked for", 2)] {
        reporter.make().await;
        assert_eq!(stats.spooled().0, reports, "{made}");
    }
}

#[tokio::test]
async fn a_report_that_is_rejected_gives_way_to_a_full_one() {
    let central = Central::start().await;
    central.change(|state| state.reject_reports = 1);
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(&folder, Some(&central.token()));
    gateway.count();
    until("the values are told in another report", || central.seen().objects("b") == 1).await;
    assert!(central.seen().full_reports > 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_renewed_certificate_that_is_not_taken_gives_way_to_the_one_before() {
    let central = Central::start().await;
    central.change(|state| {
        state.lifetime_ms = 100;
        state.refuse_renewed = true;
    });
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::start(&folder, Some(&central.token()));
    until("the renewed certificate is tried", || central.seen().renewed_refused > 0).await;
    let served = central.seen().enrolled_served;
    until("the one before serves again, and again", || central.seen().enrolled_served > served + 2).await;
    let error = gateway.uplink.status().renewal_error.expect("it is shown");
    assert_eq!(error.code, "renewed-refused");
    central.change(|state| {
        state.lifetime_ms = 3_600_000;
        state.refuse_renewed = false;
    });
    until("a renewed one serves", || central.seen().renewed_served > 0).await;
    until("it is kept", || {
        let (current, next) = identity::load(&identity_folder(folder.path()), &key(&folder)).expect("readable");
        next.is_none() && current.is_some_and(|identity| identity.not_after_ms > now_ms() + 60_000)
    })
    .await;
    until("the trouble is over", || gateway.uplink.status().renewal_error.is_none()).await;
    gateway.stop().await;
}

#[tokio::test]
async fn where_neither_the_renewed_certificate_nor_the_expired_one_is_taken_a_new_token_helps() {
    let central = Central::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, central.token()).expect("a token");
    let given = UplinkOptions { token_file: Some(token_file.clone()), ..options(None) };
    let gateway = Gateway::start_with(&folder, given);
    central.push(bundle(1));
    until("the set is effective", || central.seen().acked(1) == Some(Progress::Effective)).await;
    gateway.stop().await;
    // While the gateway was away its certificate ended.
    central.change(|state| state.refuse_renewed = true);
    central.expire_enrolled();
    end_identity(&folder);
    let given = UplinkOptions { token_file: Some(token_file.clone()), ..options(None) };
    let gateway = Gateway::start_with(&folder, given);
    until("it says what to do", || {
        gateway.uplink.status().renewal_error.is_some_and(|error| error.message.contains("new enrolment token"))
    })
    .await;
    let status = gateway.uplink.status();
    assert!(!status.connected);
    assert!(status.error.is_some());
    assert_eq!(gateway.policies.current().revision, Some(bundle(1).held.revision), "requests are decided as before");
    assert_eq!(central.seen().enrolments, 1, "the token that was used is not tried again");
    std::fs::write(&token_file, central.another_token()).expect("a token");
    until("it is enrolled anew", || gateway.uplink.status().connected && central.seen().enrolments == 2).await;
    until("all is well", || gateway.uplink.status().renewal_error.is_none()).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_certificate_that_central_will_not_renew_is_shown_and_a_new_token_helps() {
    let central = Central::start().await;
    central.change(|state| {
        state.lifetime_ms = 100;
        state.refuse_to_renew = Some("certificate-revoked");
    });
    let folder = tempfile::tempdir().expect("a folder");
    let token_file = folder.path().join("token");
    std::fs::write(&token_file, central.token()).expect("a token");
    let gateway = Gateway::start_with(&folder, UplinkOptions { token_file: Some(token_file.clone()), ..options(None) });
    until("it is shown", || {
        gateway.uplink.status().renewal_error.is_some_and(|error| error.code == "certificate-revoked")
    })
    .await;
    central.change(|state| state.lifetime_ms = 3_600_000);
    std::fs::write(&token_file, central.another_token()).expect("a token");
    until("it is enrolled anew", || central.seen().enrolments == 2).await;
    until("all is well", || {
        let status = gateway.uplink.status();
        status.connected && status.renewal_error.is_none()
    })
    .await;
    gateway.stop().await;
}

/// Puts the end of the gateway's certificate into the past, as its own note has it.
fn end_identity(folder: &TempDir) {
    let (place, key) = (identity_folder(folder.path()), key(folder));
    let (current, _) = identity::load(&place, &key).expect("readable");
    let mut current = current.expect("an identity");
    current.not_after_ms = now_ms() - 1_000;
    current.issued_ms = current.not_after_ms - 1_000;
    identity::keep(&place, &current, &key).expect("kept");
}

#[tokio::test]
async fn the_private_key_is_sealed_on_the_disk() {
    let central = Central::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    enrol_now(&options(None), folder.path(), &central.token(), &key(&folder)).await.expect("enrolled");
    let path = identity_folder(folder.path()).join("current");
    let sealed = std::fs::read(&path).expect("the identity");
    let (current, _) = identity::load(&identity_folder(folder.path()), &key(&folder)).expect("readable");
    let key_der = current.expect("an identity").key_der;
    assert!(!sealed.windows(16).any(|window| key_der.windows(16).any(|secret| secret == window)));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).expect("the file").permissions());
    assert_eq!(mode & 0o777, 0o600);
}
