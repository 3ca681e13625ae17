//! A key that the gateway made itself: its copy alone reads what was stored, and is had by who may, for a reason.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::{Dev, Target, program, python};

const PASSPHRASE: &str = "what the operator typed twice";

/// What `sealgate object decrypt` and the independent reader make of a stored file with this copy and the passphrase.
fn decrypted(stored: &Path, copy: &Path, passphrase: &Path, out: &Path) -> Result<[Vec<u8>; 2]> {
    let reader = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reader/read_object.py");
    let mut ours = Command::new(program("sealgate")?);
    ours.args(["object", "decrypt"]);
    let mut independent = Command::new(python()?);
    independent.arg(reader);
    let mut read = Vec::new();
    for (mut command, end) in [(ours, "ours"), (independent, "independent")] {
        let out = out.with_extension(end);
        command.arg(stored).arg("-o").arg(&out).arg("--rsa-key").arg(copy).arg("--passphrase-file").arg(passphrase);
        let output = command.output()?;
        ensure!(output.status.success(), "{end}: {}", String::from_utf8_lossy(&output.stderr));
        read.push(fs::read(out)?);
    }
    read.try_into().map_err(|_| anyhow::anyhow!("two readers"))
}

fn holds(folder: &Path, text: &str) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let found = if path.is_dir() {
            holds(&path, text)?
        } else {
            path.is_file() && fs::read(&path)?.windows(text.len()).any(|window| window == text.as_bytes())
        };
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn the_copy_of_a_key_made_in_place_reads_what_was_stored_when_all_else_is_gone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, passphrase) = (folder.path().join("data"), folder.path().join("passphrase"));
    fs::write(&passphrase, format!("{PASSPHRASE}\n"))?;
    let at = |path: &Path| path.to_str().map(str::to_owned).context("a path of UTF-8");
    let (file, first, later) = (at(&passphrase)?, at(&folder.path().join("first"))?, at(&folder.path().join("later"))?);
    let dev = Dev::start(&data, &["--kms", "none"])?;

    let generate = ["kms", "generate", "--id", "made", "--bits", "2048", "--copy", &first, "--passphrase-file", &file];
    let made = dev.sealgate_json(&generate)?;
    let key = made["keys"][0]["key"].as_str().context("a fingerprint")?.to_owned();
    ensure!(made["active"] == true && made["copy"] == json!({ "key": key, "output": first }), "{made}");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&first)?);
    ensure!(mode & 0o777 == 0o600, "{mode:o}");
    let again = dev.sealgate(&generate)?;
    ensure!(again.status.code() == Some(1), "a file that is there is not written over: {again:?}");

    // Until its backup is recorded, the key is among what is wrong.
    let troubles = || -> Result<String> { Ok(dev.sealgate_json(&["gateway", "status"])?["troubles"].to_string()) };
    ensure!(troubles()?.contains(&key), "{}", troubles()?);
    let listed = dev.sealgate_json(&["kms", "backed-up", "made", "--key", &key])?;
    ensure!(listed["keys"][0]["backup"]["at"].is_string(), "{listed}");
    ensure!(!troubles()?.contains(&key), "{}", troubles()?);

    dev.python(0, "s3.create_bucket(Bucket='box')")?;
    dev.sealgate_json(&["bucket", "encrypt", "box", "on"])?;
    dev.python(0, "s3.put_object(Bucket='box', Key='k', Body=b'what was stored' * 9999)")?;
    let stored = dev.sealgate_json(&["object", "path", "box", "k"])?["path"].as_str().context("a path")?.to_owned();
    let kept = folder.path().join("kept");
    fs::copy(stored, &kept)?;

    let reason = "the safe was emptied";
    let copy = ["kms", "copy", "made", "-o", &later, "--passphrase-file", &file, "--reason", reason];
    ensure!(dev.sealgate_json(&copy)?["key"] == key.as_str(), "a later copy is one of the same key");
    let log = dev.rest(Target::Gateway(0), "GET", "/log?level=warn", &[], "")?.json().to_string();
    ensure!(log.contains(reason) && log.contains("copy of a KMS's key is given out"), "{log}");
    dev.stop()?;
    ensure!(!holds(&data, PASSPHRASE)? && !holds(&data, "PRIVATE KEY")?, "what is kept here says too much");
    fs::remove_dir_all(&data)?;
    fs::create_dir(folder.path().join("out"))?;

    for copy in [&first, &later] {
        ensure!(fs::read_to_string(copy)?.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"), "never in clear");
        let (copy, out) = (Path::new(copy), folder.path().join("out"));
        for read in decrypted(&kept, copy, &passphrase, &out.join(copy.file_name().context("a name")?))? {
            ensure!(read == b"what was stored".repeat(9999), "other bytes");
        }
    }
    Ok(())
}
