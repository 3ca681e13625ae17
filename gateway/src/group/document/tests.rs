use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::try_from(text.to_owned()).expect("legal")
}

pub(crate) fn empty() -> Document {
    Document {
        group: Uuid::nil(),
        revision: 1,
        written: 0,
        buckets: BTreeMap::new(),
        credentials: BTreeMap::new(),
        tokens: BTreeMap::new(),
        kms: BTreeMap::new(),
        active_kms: None,
        kms_flushes: 0,
        floor: Floor::default(),
        former_places: Vec::new(),
    }
}

fn credential(admin: bool, grants: Vec<Grant>) -> Credential {
    let (secret, identities) = (Secret::new("a long secret".into()), BTreeMap::new());
    Credential { secret, name: "n".into(), admin, created: 0, grants, identities }
}

#[test]
fn a_pattern_matches_whole_names_with_stars_for_any_run() {
    for (text, name, matches) in [
        ("*", "", true),
        ("*", "a.b-c", true),
        ("logs", "logs", true),
        ("logs", "logs2", false),
        ("logs-*", "logs-", true),
        ("logs-*", "logs-2026", true),
        ("logs-*", "xlogs-2026", false),
        ("*-eu", "a-eu-eu", true),
        ("*-eu", "a-eu-us", false),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXcYc", false),
        ("**", "x", true),
    ] {
        assert_eq!(pattern(text).matches(name), matches, "{text} {name}");
    }
    for bad in ["", "a b", "a/b", "[a]", &"x".repeat(64)] {
        assert!(Pattern::try_from(bad.to_owned()).is_err(), "{bad}");
    }
}

#[test]
fn a_grant_covers_its_actions_in_its_buckets_and_nothing_else() {
    let grants = vec![
        Grant { buckets: vec![pattern("logs-*")], actions: vec![Action::Read, Action::List] },
        Grant { buckets: vec![pattern("in")], actions: vec![Action::Write] },
    ];
    let credential = credential(false, grants);
    assert!(credential.allows(Action::Read, "logs-1"));
    assert!(!credential.allows(Action::Write, "logs-1"));
    assert!(credential.allows(Action::Write, "in"));
    assert!(!credential.allows(Action::Read, "in"));
    assert!(!credential.allows(Action::Manage, "logs-1"));
    assert!(credential.sees("in") && !credential.sees("other"));
}

#[test]
fn a_toggle_remembers_since_when_and_that_it_ever_was_on() {
    let mut document = empty();
    assert!(!document.toggled("b") && !document.ever_due("b"));
    document.set_encryption("b", true, 5).expect("edits");
    document.set_encryption("b", true, 9).expect("edits");
    assert_eq!(document.bucket("b").encrypt_since, Some(5), "switching on what is on changes nothing");
    document.set_encryption("b", false, 10).expect("edits");
    assert!(!document.toggled("b") && document.ever_due("b"));
    assert_eq!(document.bucket("b").encrypt_since, None);
    document.forget_bucket("b");
    assert!(!document.ever_due("b"));
}

#[test]
fn settings_that_are_the_defaults_leave_nothing_behind() {
    let mut document = empty();
    document.set_encryption("b", false, 1).expect("edits");
    document.change_bucket("b", |bucket| bucket.anonymous_reads = true).expect("edits");
    assert!(document.buckets.contains_key("b"));
    document.change_bucket("b", |bucket| bucket.anonymous_reads = false).expect("edits");
    assert!(document.buckets.is_empty());
}

#[test]
fn the_floor_makes_encryption_due_wherever_its_patterns_match() {
    let mut document = empty();
    document.set_floor(Floor { encrypt: vec![pattern("pay*")] }).expect("edits");
    assert!(document.floor_covers("payroll") && document.ever_due("payroll"));
    assert!(!document.floor_covers("other") && !document.ever_due("other"));
}

#[test]
fn the_last_administrator_and_the_last_token_stay() {
    let mut document = empty();
    document.add_credential("ADMIN", credential(true, vec![])).expect("adds");
    document.add_credential("USER", credential(false, vec![])).expect("adds");
    assert!(matches!(document.remove_credential("ADMIN"), Err(Refusal::Conflict(_))));
    assert!(matches!(document.change_credential("ADMIN", None, Some(false), None), Err(Refusal::Conflict(_))));
    document.change_credential("USER", None, Some(true), None).expect("changes");
    document.remove_credential("ADMIN").expect("removes");
    assert!(matches!(document.remove_credential("ADMIN"), Err(Refusal::NotFound(_))));
    let token = |text: &str| Token { name: "t".into(), created: 0, digest: token_digest(text), may_copy_keys: true };
    document.add_token("1", token("one")).expect("adds");
    assert!(matches!(document.remove_token("1"), Err(Refusal::Conflict(_))));
    document.add_token("2", token("two")).expect("adds");
    document.remove_token("1").expect("removes");
    assert_eq!(document.token("two"), Some("2"));
    assert_eq!(document.token("one"), None);
    assert_eq!(document.token(""), None);
}

#[test]
fn a_removed_kms_is_no_longer_active_and_an_unknown_one_cannot_be() {
    let mut document = empty();
    let id: KmsId = "prod".parse().expect("legal");
    let entry = || KmsEntry { provider: "rsa".into(), added: 0, state: Zeroizing::new(vec![1]), made: BTreeMap::new() };
    assert!(matches!(document.activate_kms(&id), Err(Refusal::NotFound(_))));
    document.add_kms(&id, entry()).expect("adds");
    assert!(matches!(document.add_kms(&id, entry()), Err(Refusal::Conflict(_))));
    document.activate_kms(&id).expect("activates");
    assert_eq!(document.remove_kms(&id), Ok(true));
    assert_eq!(document.active_kms, None);
}

#[test]
fn malformed_credentials_are_refused() {
    let mut document = empty();
    assert!(matches!(document.add_credential("a b", credential(false, vec![])), Err(Refusal::Invalid(_))));
    let short = Credential { secret: Secret::new("short".into()), ..credential(false, vec![]) };
    assert!(matches!(document.add_credential("ABC", short), Err(Refusal::Invalid(_))));
    let nothing = Grant { buckets: vec![], actions: vec![Action::Read] };
    assert!(matches!(document.add_credential("ABC", credential(false, vec![nothing])), Err(Refusal::Invalid(_))));
    document.add_credential("ABC", credential(false, vec![])).expect("adds");
    assert!(matches!(document.add_credential("ABC", credential(false, vec![])), Err(Refusal::Conflict(_))));
}
