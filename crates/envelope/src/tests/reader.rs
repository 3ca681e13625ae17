//! The independent reader in Python (`docs/reader/read_object.py`), written from `docs/FORMAT.md`, agrees.
//!
//! It needs Python with the package `cryptography`; `SEALGATE_PYTHON` says which (default `python3`).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::fixtures::{KEK, Single, Stored, pattern};
use super::{hostile, vectors};
use crate::entropy::Entropy;
use crate::fields::Recorded;
use crate::{Kek, SingleSealer};

/// Calls the reader's `main` for each line of arguments in one process, and prints status and complaint as JSON.
const DRIVER: &str = "
import contextlib, io, json, sys
sys.path.insert(0, sys.argv[1])
import read_object
for line in sys.stdin:
    sys.argv = ['read_object.py'] + json.loads(line)
    said, shown = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(shown):
        status = read_object.main()
    print(json.dumps({'status': status, 'said': said.getvalue(), 'shown': shown.getvalue()}))
";

#[derive(Debug, Deserialize)]
struct Outcome {
    status: i32,
    said: String,
    shown: String,
}

fn read(calls: &[Vec<String>]) -> Vec<Outcome> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reader");
    let python = std::env::var("SEALGATE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut child = Command::new(&python)
        .args(["-B", "-c", DRIVER])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{python} does not start ({error}): set SEALGATE_PYTHON to a Python 3"));
    let lines: Vec<_> = calls.iter().map(|call| serde_json::to_string(call).unwrap()).collect();
    let mut stdin = child.stdin.take().unwrap();
    // A reader that ended early says why on its standard error; that it takes no more input is no news.
    let _ = stdin.write_all(lines.join("\n").as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the Python reader does not run: {said}\nSEALGATE_PYTHON must name a Python 3 with the package cryptography"
    );
    let outcomes: Vec<Outcome> =
        output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    assert_eq!(outcomes.len(), calls.len(), "{said}");
    outcomes
}

/// A private folder that is removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sealgate-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.0.join(name), bytes).unwrap();
        self.path(name)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn call(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

#[test]
fn the_python_reader_opens_every_vector() {
    let folder = Folder::new("vectors");
    let vectors = vectors::named();
    let calls: Vec<_> = vectors
        .iter()
        .map(|(name, _, stored)| {
            let file = folder.write(name, &stored.bytes);
            call(&[&file, "-o", &folder.path(&format!("{name}.out")), "--kek-hex", &hex::encode(KEK)])
        })
        .collect();
    for ((name, _, stored), outcome) in vectors.iter().zip(read(&calls)) {
        assert_eq!(outcome.status, 0, "{name}: {}", outcome.said);
        let plaintext = std::fs::read(folder.path(&format!("{name}.out"))).unwrap();
        assert!(plaintext == stored.plaintext, "{name}");
    }
}

#[test]
fn the_python_reader_refuses_every_hostile_file() {
    let folder = Folder::new("hostile");
    let files = hostile::files();
    assert!(files.len() > 40, "the hostile vectors are there");
    let calls: Vec<_> = files
        .iter()
        .map(|(sentence, kek_hex, bytes)| {
            let file = folder.write(sentence, bytes);
            call(&[&file, "-o", &folder.path("out"), "--kek-hex", kek_hex])
        })
        .collect();
    for ((sentence, _, _), outcome) in files.iter().zip(read(&calls)) {
        assert_eq!(outcome.status, 1, "{sentence}");
        assert!(!outcome.said.is_empty(), "{sentence}");
    }
    assert!(!Path::new(&folder.path("out")).exists(), "nothing of a refused object is left");
}

#[derive(Deserialize)]
struct Record {
    kek_hex: String,
    record_hex: String,
}

/// An object under the KEK record that the KMS crate made.
fn under_rsa(record: &[u8], kek: &[u8]) -> Stored {
    let single = Single::new("under rsa", pattern(100_000));
    let recorded = Recorded { kek_record: record.to_vec(), ..single.recorded };
    let kek = Kek::new(kek.try_into().unwrap());
    let size = crate::layout::SegmentSize::WRITTEN;
    let entropy = Entropy::fixed("under rsa");
    let sealer = SingleSealer::drawing(&recorded, &kek, 100_000, &Vec::new(), &[], size, entropy);
    let (mut sealer, mut out) = (sealer.unwrap(), Vec::new());
    sealer.push(single.plaintext.clone().into(), &mut out).unwrap();
    sealer.finish(&crate::Checksums::default(), &mut out).unwrap();
    Stored {
        place: recorded.place,
        metadata: Vec::new(),
        bytes: out.concat(),
        plaintext: single.plaintext,
        part_ends: Vec::new(),
    }
}

#[test]
fn the_python_reader_needs_the_stored_bytes_and_the_rsa_key_alone() {
    let folder = Folder::new("rsa");
    let keys = vectors::folder().join("rsa");
    let record = std::fs::read_to_string(keys.join("record.json")).unwrap();
    let record: Record = serde_json::from_str(&record).unwrap();
    let (kek, bytes) = (hex::decode(record.kek_hex).unwrap(), hex::decode(record.record_hex).unwrap());
    let stored = under_rsa(&bytes, &kek);
    // Whoever has the public key alone can wrap a KEK of their own, but not make the MAC.
    let mut forged = bytes.clone();
    *forged.last_mut().unwrap() ^= 1;

    let file = folder.write("object", &stored.bytes);
    let forged = folder.write("forged", &under_rsa(&forged, &kek).bytes);
    let passphrase = folder.write("passphrase", b"open-sesame\n");
    let key = |name: &str| keys.join(name).to_str().unwrap().to_owned();
    let outcomes = read(&[
        call(&[&file, "-o", &folder.path("plain"), "--rsa-key", &key("key.pem")]),
        call(&[
            &file,
            "-o",
            &folder.path("encrypted"),
            "--rsa-key",
            &key("key-encrypted.pem"),
            "--passphrase-file",
            &passphrase,
        ]),
        call(&[&file, "-o", &folder.path("refused"), "--rsa-key", &key("other.pem")]),
        call(&[&forged, "-o", &folder.path("refused"), "--rsa-key", &key("key.pem")]),
        call(&[&file, "--inspect"]),
    ]);
    for (outcome, name) in outcomes.iter().zip(["plain", "encrypted"]) {
        assert_eq!(outcome.status, 0, "{}", outcome.said);
        assert!(std::fs::read(folder.path(name)).unwrap() == stored.plaintext);
    }
    assert!(outcomes[2].status == 1 && outcomes[2].said.contains("needs the RSA key sha256:"), "{}", outcomes[2].said);
    assert!(outcomes[3].status == 1 && outcomes[3].said.contains("forged"), "{}", outcomes[3].said);
    let shown: serde_json::Value = serde_json::from_str(&outcomes[4].shown).unwrap();
    assert_eq!((&shown["kms_id"], &shown["policy_revision"]), (&"prod-rsa-2026".into(), &41.into()));
}
