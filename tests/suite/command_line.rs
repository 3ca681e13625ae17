//! What people meet at the command line, beside what the commands do.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tests::{Dev, program};

/// A standard output that nobody reads any more.
fn closed_pipe() -> Result<Stdio> {
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn()?;
    let pipe = reader.stdin.take().context("a pipe")?;
    reader.wait()?;
    Ok(pipe.into())
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure_and_a_full_disk_is_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let plain = folder.path().join("plain");
    fs::write(&plain, "as it is")?;
    for json in [&[][..], &["--json"]] {
        let inspect = |out: Stdio| -> Result<_> {
            let mut command = Command::new(program("sealgate")?);
            Ok(command
                .args(json)
                .args(["object", "inspect"])
                .arg(&plain)
                .stdout(out)
                .stderr(Stdio::piped())
                .output()?)
        };
        let ended = inspect(closed_pipe()?)?;
        ensure!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
        let ended = inspect(fs::File::options().write(true).open("/dev/full")?.into())?;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.code() == Some(1) && said.contains("standard output cannot be written"), "{ended:?}");
    }
    // Nobody is there to hear why something is refused: that it is refused is still told.
    let status = Command::new(program("sealgate")?)
        .args(["object", "inspect", "/nowhere/at/all"])
        .stderr(closed_pipe()?)
        .status()?;
    ensure!(status.code() == Some(1), "{status}");
    Ok(())
}

#[test]
fn a_second_dev_leaves_the_ready_file_of_the_first_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("first"), &[])?;
    let before = dev.now()?;
    let second = folder.path().join("second");
    // One that is not refused runs until it is stopped.
    let output = Command::new("timeout")
        .args(["--signal=INT", "60"])
        .arg(program("sealgate")?)
        .args(["dev", "--port-base", "0", "--data"])
        .arg(&second)
        .env("SEALGATE_READY_FILE", dev.ready_file())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{output:?}");
    let pid = before["gateways"][0]["pid"].to_string();
    let first = before["data_dir"].as_str().context("a data directory")?;
    for word in ["gateway-1", &pid, first, "--ready-file", "SEALGATE_READY_FILE"] {
        ensure!(said.contains(word), "{word}: {said}");
    }
    ensure!(!second.exists(), "nothing was made");
    ensure!(dev.now()? == before, "the file is as it was");
    // One that somebody else put there meanwhile is not removed.
    let path = dev.ready_file().to_owned();
    fs::write(&path, "{}")?;
    dev.stop()?;
    ensure!(fs::read_to_string(&path)? == "{}", "only what was written here is removed");
    Ok(())
}

#[test]
fn usage_asks_for_nothing_that_the_environment_says() -> Result<()> {
    let output = Command::new(program("sealgate")?)
        .args(["gateway", "label"])
        .env("SEALGATE_READY_FILE", "/nowhere/ready.json")
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2) && !said.contains("--ready-file"), "{said}");
    let output = Command::new(program("sealgate")?).args(["dev", "--help"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains("Write addresses, tokens and passwords"), "{said}");
    ensure!(said.matches("--ready-file").count() == 1, "{said}");
    Ok(())
}

/// Everything is stopped: the directory alone says where an object lies, as the gateway said while it ran.
#[test]
fn an_object_is_found_in_the_directory_without_any_service() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    let long = format!("{}/end", "x".repeat(170));
    let keys = ["payroll/march.csv", "a b//ü", "../x", ".", "/", "100%@~", &long];
    dev.python(0, "s3.create_bucket(Bucket='box')")?;
    let mut told = Vec::new();
    for key in keys {
        dev.python(0, &format!("s3.put_object(Bucket='box', Key={key:?}, Body=b'x')"))?;
        told.push(dev.sealgate_json(&["object", "path", "box", key])?["path"].clone());
    }
    let storage = dev.ready["storage_dir"].as_str().context("a directory")?.to_owned();
    dev.stop()?;
    let find = |bucket: &str, key: &str| -> Result<_> {
        let mut command = Command::new(program("sealgate")?);
        Ok(command.args(["--json", "object", "path", "--storage", &storage, bucket, key]).output()?)
    };
    for (key, told) in keys.iter().zip(told) {
        let output = find("box", key)?;
        ensure!(output.status.success(), "{key}: {output:?}");
        let found: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        ensure!(found["path"] == told && found["key"] == *key, "{key}: {found} and {told}");
    }
    for (bucket, key) in [("box", "absent"), ("absent", "x"), ("..", "x"), ("box", "")] {
        let output = find(bucket, key)?;
        ensure!(output.status.code() == Some(1), "{bucket} {key}: {output:?}");
    }
    Ok(())
}
