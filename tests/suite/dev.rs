//! A newcomer's first hour: start, store, a policy, read back with the key alone, stop, start again.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use tests::{Dev, Target, python, wait_for};

const MARKER: &str = "MARKER-of-the-plaintext-4711";

fn holds(folder: &Path, marker: &[u8]) -> Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if holds(&path, marker)? {
                return Ok(true);
            }
        } else if std::fs::read(&path)?.windows(marker.len()).any(|window| window == marker) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn a_policy_from_central_encrypts_what_an_ordinary_client_stores_and_the_key_alone_reads_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    let storage = dev.ready["storage_dir"].as_str().context("a storage directory")?.to_owned();

    dev.python(
        0,
        "s3.create_bucket(Bucket='hr-data')\ns3.put_object(Bucket='hr-data', Key='payroll/before', Body=b'plain bytes')",
    )?;
    let policy = folder.path().join("payroll.yaml");
    std::fs::write(
        &policy,
        "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: { name: payroll }\nspec:\n  buckets: [hr-data]\n  \
         when: object.key.startsWith(\"payroll/\")\n  effect: encrypt\n",
    )?;
    let policy = policy.to_str().context("a path of UTF-8")?;
    let applied = dev.sealgate_json(&["policy", "apply", "-f", policy, "--wait", "effective"])?;
    ensure!(applied["changed"][0] == "payroll", "{applied}");

    dev.python(0, &format!("s3.put_object(Bucket='hr-data', Key='payroll/march', Body=b'{MARKER}')"))?;
    ensure!(!holds(Path::new(&storage), MARKER.as_bytes())?, "the plaintext lies in the storage");
    dev.python(0, "s3.put_object(Bucket='hr-data', Key='beside', Body=b'an open secret')")?;
    ensure!(holds(Path::new(&storage), b"an open secret")?, "an object that no policy asks for is stored as it is");
    let read = dev.python(0, "print(s3.get_object(Bucket='hr-data', Key='payroll/march')['Body'].read().decode())")?;
    ensure!(read.trim() == MARKER, "{read}");

    let path = dev.sealgate_json(&["object", "path", "hr-data", "payroll/march"])?;
    let path = path["path"].as_str().context("the path of the stored object")?.to_owned();
    let key = dev.ready["rsa_key_file"].as_str().context("the RSA key")?.to_owned();

    // The numbers arrive at Central.
    wait_for("the object is counted at Central", || {
        let stats = dev.sealgate_json(&["stats"]).ok()?;
        let rows = stats["rows"].as_array()?;
        let counted = |row: &&serde_json::Value| {
            row["bucket"] == "hr-data"
                && row["policy"] == "payroll"
                && row["outcome"] == "encrypted"
                && row["objects"] == 1
        };
        rows.iter().find(counted).map(|_| ())
    })?;
    // And the overview calls the KMS well that encrypted it.
    wait_for("the overview has the KMS", || {
        let kms = dev.rest(Target::Central, "GET", "/overview", &[], "").ok()?.json()["kms"].take();
        (kms["total"] == 1 && kms["healthy"] == 1 && kms["failing"] == 0).then_some(())
    })?;

    dev.sealgate_json(&["policy", "delete", "payroll", "--wait", "effective"])?;
    dev.python(0, "s3.put_object(Bucket='hr-data', Key='payroll/april', Body=b'april is plain')")?;
    ensure!(holds(Path::new(&storage), b"april is plain")?, "without the policy, new objects are plain");
    dev.stop()?;

    // With every service stopped: what the bytes say, and the plaintext from the bytes and the key alone.
    let sealgate = tests::program("sealgate")?;
    let said = std::process::Command::new(&sealgate).args(["--json", "object", "inspect", &path]).output()?;
    let said: serde_json::Value = serde_json::from_slice(&said.stdout)?;
    for (field, value) in
        [("kms_id", "dev-rsa"), ("policy", "payroll"), ("bucket", "hr-data"), ("key", "payroll/march")]
    {
        ensure!(said[field] == value, "{field}: {said}");
    }
    let out = folder.path().join("plain");
    let status = std::process::Command::new(&sealgate)
        .args(["object", "decrypt", &path, "-o"])
        .arg(&out)
        .args(["--rsa-key", &key])
        .status()?;
    ensure!(status.success() && std::fs::read(&out)? == MARKER.as_bytes(), "sealgate object decrypt");
    ensure!(python()?.exists(), "the Python of the set-up");

    // The same directory starts again with everything still there.
    let again = Dev::start(&folder.path().join("data"), &[])?;
    let read =
        again.python(0, "print(s3.get_object(Bucket='hr-data', Key='payroll/march')['Body'].read().decode())")?;
    ensure!(read.trim() == MARKER, "{read}");
    again.stop()
}

#[test]
fn a_second_start_on_a_directory_in_use_is_refused_with_a_clear_message() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let dev = Dev::start(&data, &["--kms", "none"])?;
    let second = std::process::Command::new(tests::program("sealgate")?)
        .args(["dev", "--port-base", "0", "--data"])
        .arg(&data)
        .output()?;
    ensure!(second.status.code() == Some(1), "{second:?}");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(said.contains("in use by another"), "{said}");
    dev.stop()
}

#[test]
fn the_demonstration_has_something_true_on_every_page_and_starts_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    // Twice: what the first life left, a gateway that refuses among it, is no obstacle to the second.
    for _ in 0..2 {
        let dev = Dev::start(&data, &["--demo"])?;
        let get = |path: &str| dev.rest(Target::Central, "GET", path, &[], "").ok().map(|reply| reply.json());
        wait_for("two of four gateways are effective, one refuses, one is gone", || {
            let fleet = get("/convergence")?;
            (fleet["gateways"] == 4 && fleet["effective"] == 2 && fleet["refused"] == 1).then_some(())
        })?;
        wait_for("every outcome has objects", || {
            let stats = get("/stats?by=outcome")?;
            let counted = |outcome: &str| {
                let rows = stats["rows"].as_array();
                rows.is_some_and(|rows| rows.iter().any(|row| row["outcome"] == outcome && row["objects"] != 0))
            };
            ["encrypted", "plain", "denied", "would-encrypt"].into_iter().all(counted).then_some(())
        })?;
        let policies = get("/policies").context("the policies")?;
        let modes: Vec<_> = policies["policies"].as_array().into_iter().flatten().map(|one| &one["mode"]).collect();
        for mode in ["enforce", "audit", "disabled"] {
            ensure!(modes.contains(&&serde_json::json!(mode)), "no policy is in the mode {mode}: {policies}");
        }
        dev.stop()?;
    }
    Ok(())
}
