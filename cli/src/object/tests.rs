use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use envelope::{Cause, Checksums, Kek, Place, PolicyRef, Recorded, SingleSealer};
use kms::RsaKey;
use serde_json::{Value, json};

use super::decrypt::decrypt;
use super::stored::Stored;
use crate::failure::Failure;

static KEY: LazyLock<RsaKey> = LazyLock::new(|| RsaKey::generate(2048).expect("a key"));

/// Longer than one read of the command.
fn plaintext() -> Vec<u8> {
    (0..700_001_u32).map(|at| u8::try_from(at % 251).expect("below 251")).collect()
}

fn sealed(plaintext: &[u8], policy: Option<PolicyRef>) -> Vec<u8> {
    let (kek, record) = KEY.new_kek(&"main".parse().expect("an ID")).expect("a KEK");
    let recorded = Recorded {
        place: Place::new("payroll", "2026/march.csv").expect("a place"),
        kms_id: "main".to_owned(),
        kek_record: record.as_bytes().to_vec(),
        cause: if policy.is_some() { Cause::Policy } else { Cause::Toggle },
        policy,
        sealed_at_ms: 1_767_323_045_000,
        writer: "a test".to_owned(),
    };
    let length = plaintext.len() as u64;
    let mut sealer =
        SingleSealer::new(&recorded, &Kek::new(kek.expose()), length, &Vec::new(), &[]).expect("it can be sealed");
    let mut out = Vec::new();
    sealer.push(Bytes::copy_from_slice(plaintext), &mut out).expect("pushed");
    sealer.finish(&Checksums::full_object([]), &mut out).expect("finished");
    out.concat()
}

struct Files {
    folder: tempfile::TempDir,
    stored: PathBuf,
    output: PathBuf,
}

fn files(stored: &[u8]) -> Files {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, output) = (folder.path().join("data"), folder.path().join("plain"));
    std::fs::write(&path, stored).expect("written");
    Files { folder, stored: path, output }
}

impl Files {
    fn decrypt(&self, key: &RsaKey) -> Result<Value, String> {
        told(decrypt(&self.stored, &self.output, key, &AtomicBool::new(false)))
    }

    fn inspect(&self) -> Result<Value, String> {
        told(Stored::open(&self.stored).and_then(|stored| stored.report()))
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

fn told<T>(result: Result<T, Failure>) -> Result<T, String> {
    result.map_err(|failure| format!("{failure:?}"))
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn what_is_shown_of_a_file_says_that_it_is_not_verified() {
    let report = files(&sealed(&plaintext(), None)).inspect().expect("sealed");
    assert_eq!(report["verified"], json!(false));
    let text = super::shown(&report);
    let line = text.lines().find(|line| line.starts_with("verified")).expect("a line");
    assert!(line.ends_with("  no (needs the key: sealgate object decrypt)"), "{text}");
    // There is nothing to verify, and nothing to say but this.
    let plain = super::shown(&files(b"as it is").inspect().expect("plain"));
    assert_eq!(plain, "encrypted        no\nplaintext_bytes  8\nstored_bytes     8");
}

#[test]
fn the_stored_bytes_say_what_was_recorded() {
    let policy = PolicyRef { uid: [7; 16], name: "payroll".to_owned(), lineage: [9; 16], revision: 12 };
    let stored = sealed(&plaintext(), Some(policy));
    let report = files(&stored).inspect().expect("sealed");
    for (field, expected) in [
        ("encrypted", json!(true)),
        ("format", json!(1)),
        ("kms_id", json!("main")),
        ("kms_key", json!(KEY.fingerprint().to_string())),
        ("policy", json!("payroll")),
        ("policy_revision", json!(12)),
        ("cause", json!("policy")),
        ("plaintext_bytes", json!(700_001)),
        ("stored_bytes", json!(stored.len())),
        ("parts", json!(1)),
        ("bucket", json!("payroll")),
        ("key", json!("2026/march.csv")),
        ("sealed_at", json!("2026-01-02T03:04:05Z")),
    ] {
        assert_eq!(report[field], expected, "{field}");
    }
}

#[test]
fn a_plain_file_is_told_to_be_plain() {
    for content in [&b""[..], b"x", b"a,b\n1,2\n", &vec![0; 100_000]] {
        let report = files(content).inspect().expect("a plain file");
        assert_eq!(report["encrypted"], json!(false));
        assert_eq!(report["format"], Value::Null);
        assert_eq!(report["stored_bytes"], json!(content.len()));
    }
}

#[test]
fn a_file_that_is_sealed_at_one_end_only_is_neither_plain_nor_sealed() {
    let stored = sealed(&plaintext(), None);
    let mut other_start = stored.clone();
    other_start[0] ^= 1;
    for damaged in [&stored[..stored.len() - 1], &[&stored[..], b"x"].concat(), &other_start] {
        let error = files(damaged).inspect().expect_err("damaged");
        assert!(error.contains("sealed but damaged"), "{error}");
    }
}

#[test]
fn the_key_alone_gives_the_plaintext_back_to_its_owner_only() {
    for plaintext in [plaintext(), Vec::new(), b"short".to_vec()] {
        let files = files(&sealed(&plaintext, None));
        let result = files.decrypt(&KEY).expect("decrypted");
        assert_eq!(result["plaintext_bytes"], json!(plaintext.len()));
        assert!(std::fs::read(&files.output).expect("it is there") == plaintext);
        assert_eq!(mode(&files.output), 0o600);
        assert_eq!(files.names().len(), 2, "{:?}", files.names());
    }
}

#[test]
fn a_changed_byte_anywhere_leaves_nothing_behind() {
    let stored = sealed(&plaintext(), None);
    for at in [0, 20, 100, stored.len() / 2, stored.len() - 700, stored.len() - 20, stored.len() - 1] {
        let mut changed = stored.clone();
        changed[at] ^= 1;
        let files = files(&changed);
        files.decrypt(&KEY).expect_err("changed");
        assert_eq!(files.names(), ["data"], "byte {at}");
    }
}

#[test]
fn another_key_is_refused_and_both_are_named() {
    let other = RsaKey::generate(2048).expect("a key");
    let files = files(&sealed(b"secret", None));
    let error = files.decrypt(&other).expect_err("another key");
    for key in [&other, &*KEY] {
        assert!(error.contains(&key.fingerprint().to_string()), "{error}");
    }
    assert_eq!(files.names(), ["data"]);
}

#[test]
fn nothing_that_exists_is_overwritten() {
    let files = files(&sealed(b"secret", None));
    std::fs::write(&files.output, "precious").expect("written");
    let error = files.decrypt(&KEY).expect_err("it exists");
    assert!(error.contains("exists"), "{error}");
    assert_eq!(std::fs::read(&files.output).expect("there"), b"precious");
    std::fs::remove_file(&files.output).expect("removed");
    std::os::unix::fs::symlink("nowhere", &files.output).expect("linked");
    files.decrypt(&KEY).expect_err("a link that leads nowhere exists too");
}

#[test]
fn an_interrupted_decryption_leaves_nothing_behind() {
    let files = files(&sealed(&plaintext(), None));
    told(decrypt(&files.stored, &files.output, &KEY, &AtomicBool::new(true))).expect_err("stopped");
    assert_eq!(files.names(), ["data"]);
}

#[test]
fn a_plain_file_is_not_decrypted() {
    let files = files(b"plain");
    let error = files.decrypt(&KEY).expect_err("plain");
    assert!(error.contains("is not encrypted"), "{error}");
    assert_eq!(files.names(), ["data"]);
}
