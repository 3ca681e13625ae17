//! What people meet at the command line, beside what the commands do.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::{Dev, Target, program, wait_for};

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

/// What a command prints for a person.
fn said(dev: &Dev, args: &[&str]) -> Result<String> {
    let output = dev.sealgate(args)?;
    ensure!(output.status.success(), "{args:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path of UTF-8")
}

#[test]
fn the_history_of_the_policies_is_read_compared_explained_and_gone_back_in() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--kms", "none"])?;
    let file = folder.path().join("seal.yaml");
    let policy = |bucket: &str| {
        format!(
            "# why it is so\napiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{ name: seal }}\nspec:\n  \
             buckets: [{bucket}]\n  effect: encrypt\n"
        )
    };
    let mut revisions = Vec::new();
    for bucket in ["first", "second"] {
        fs::write(&file, policy(bucket))?;
        let applied = dev.sealgate_json(&["policy", "apply", "-f", text(&file)?])?;
        revisions.push(applied["revision"].as_u64().context("a revision")?);
    }
    let [first, second] = [revisions[0].to_string(), revisions[1].to_string()];
    ensure!(said(&dev, &["policy", "get", "seal"])?.trim_end() == policy("second").trim_end(), "as it was written");
    ensure!(dev.sealgate(&["policy", "get", "nobody"])?.status.code() == Some(1), "there is none");
    let diff = said(&dev, &["policy", "diff", &first, &second])?;
    for line in ["changed seal", "-  buckets: [first]", "+  buckets: [second]"] {
        ensure!(diff.lines().any(|found| found == line), "{line:?} is not in\n{diff}");
    }
    ensure!(said(&dev, &["policy", "diff", &first, &first])? == "no difference\n", "of the same");
    let request = folder.path().join("request.json");
    for (bucket, verdict) in [("second", "encrypt by seal"), ("first", "pass")] {
        fs::write(&request, json!({ "bucket": bucket, "object": { "key": "k", "size": 1 } }).to_string())?;
        let explained = said(&dev, &["policy", "explain", "-f", text(&request)?])?;
        ensure!(explained.starts_with(verdict) && explained.contains(&format!("revision {second}")), "{explained}");
    }
    let back = dev.sealgate_json(&["policy", "rollback", &first])?;
    ensure!(back["revision"] == revisions[1] + 1 && back["changed"] == json!(["seal"]), "{back}");
    ensure!(said(&dev, &["policy", "get", "seal"])?.trim_end() == policy("first").trim_end(), "gone back");
    let history = dev.sealgate_json(&["policy", "history"])?;
    let told: Vec<_> =
        history["revisions"].as_array().into_iter().flatten().map(|one| (&one["number"], &one["restores"])).collect();
    ensure!(told[0] == (&json!(revisions[1] + 1), &json!(revisions[0])), "{history:#}");
    let shown = said(&dev, &["policy", "history"])?;
    ensure!(shown.contains("rollback") && shown.contains("changed seal"), "{shown}");
    dev.stop()
}

#[test]
fn a_gateway_is_suspended_and_resumed_keys_are_added_activated_and_rotated_and_the_log_tells_of_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    let listed = || {
        let all = dev.sealgate_json(&["gateway", "list"]).ok()?;
        Some((all["gateways"][0]["state"].clone(), all["gateways"][0]["connection"].clone()))
    };
    said(&dev, &["gateway", "suspend", "gateway-1"])?;
    wait_for("it is suspended, and its stream ends", || {
        listed().filter(|(state, connection)| state == "suspended" && connection != "connected")
    })?;
    said(&dev, &["gateway", "resume", "gateway-1"])?;
    wait_for("it is back", || listed().filter(|(state, connection)| state == "active" && connection == "connected"))?;
    ensure!(dev.sealgate(&["gateway", "suspend", "nobody"])?.status.code() == Some(1), "there is none");

    let made = |name: &str| -> Result<String> {
        let path = folder.path().join(name);
        let made = Command::new("openssl").args(["genrsa", "-out"]).arg(&path).arg("2048").output()?;
        ensure!(made.status.success(), "{made:?}");
        Ok(text(&path)?.to_owned())
    };
    let (key, next) = (made("key.pem")?, made("next.pem")?);
    let kms = |id: &str| -> Result<serde_json::Value> {
        let all = dev.sealgate_json(&["kms", "list"])?;
        let found = all["kms"].as_array().into_iter().flatten().find(|one| one["id"] == id).cloned();
        found.with_context(|| format!("{id} is not in {all}"))
    };
    dev.sealgate_json(&["kms", "add", "rsa", "--id", "second", "--key", &key])?;
    let added = kms("second")?;
    ensure!(added["active"] == false && kms("dev-rsa")?["active"] == true, "added, not activated: {added}");
    dev.sealgate_json(&["kms", "activate", "second"])?;
    ensure!(kms("second")?["active"] == true && kms("dev-rsa")?["active"] == false, "activated");
    dev.python(0, "s3.create_bucket(Bucket='box')")?;
    dev.sealgate_json(&["bucket", "encrypt", "box", "on"])?;
    let sealed_under = |object: &str| -> Result<String> {
        dev.python(0, &format!("s3.put_object(Bucket='box', Key={object:?}, Body=b'x')"))?;
        let path =
            dev.sealgate_json(&["object", "path", "box", object])?["path"].as_str().context("a path")?.to_owned();
        Ok(dev.sealgate_json(&["object", "inspect", &path])?.to_string())
    };
    let before = sealed_under("before")?;
    ensure!(before.contains("second"), "{before}");
    dev.sealgate_json(&["kms", "rotate", "second", "--key", &next])?;
    let rotated = kms("second")?;
    ensure!(rotated["keys"].as_array().is_some_and(|keys| keys.len() == 2), "{rotated}");
    sealed_under("after")?;
    let read = "print([s3.get_object(Bucket='box', Key=k)['Body'].read() for k in ('before', 'after')])";
    ensure!(dev.python(0, read)?.trim() == "[b'x', b'x']", "the older key still decrypts");

    let log = folder.path().join("log.jsonl");
    let exported = dev.sealgate_json(&["audit", "export", "-o", text(&log)?])?;
    let records = fs::read_to_string(&log)?;
    ensure!(exported["records"] == records.lines().count(), "{exported}");
    for action in ["gateway.suspended", "gateway.resumed"] {
        ensure!(records.contains(action), "{action} is not in the log");
    }
    let verified = Command::new(program("sealgate")?).args(["audit", "verify"]).arg(&log).output()?;
    ensure!(verified.status.success(), "{verified:?}");
    fs::write(&log, records.replacen("gateway.suspended", "gateway.suspendet", 1))?;
    let broken = Command::new(program("sealgate")?).args(["audit", "verify"]).arg(&log).output()?;
    ensure!(broken.status.code() == Some(1), "{broken:?}");
    dev.stop()
}

/// On the command line a token would be in the shell's history and among the processes.
#[test]
fn a_gateway_enrols_by_a_token_from_a_file_or_standard_input() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--kms", "none"])?;
    let enrol = |name: &str, token_file: &str, input: &str| -> Result<std::process::Output> {
        let mut child = Command::new(program("sealgate-gateway")?)
            .args(["enrol", "--token-file", token_file, "--config"])
            .arg(dev.data().join("run").join("gateway-1.toml"))
            .arg("--set")
            .arg(format!("state_dir={}", folder.path().join(name).display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("an input")?.write_all(input.as_bytes())?;
        Ok(child.wait_with_output()?)
    };
    let token = |name: &str| -> Result<String> {
        let made = dev.sealgate_json(&["gateway", "token", "--name", name])?;
        Ok(format!("{}\n", made["token"].as_str().context("a token")?))
    };
    let file = folder.path().join("token");
    fs::write(&file, token("by-file")?)?;
    for (name, token_file, input) in [("by-file", text(&file)?, String::new()), ("by-input", "-", token("by-input")?)] {
        let output = enrol(name, token_file, &input)?;
        ensure!(output.status.success(), "{name}: {output:?}");
        let known = dev.rest(Target::Central, "GET", &format!("/gateways/{name}"), &[], "")?;
        ensure!(known.status == 200, "{name}: {} {}", known.status, known.text);
    }
    let absent = enrol("by-nothing", "/nowhere/token", "")?;
    let why = format!("{}{}", String::from_utf8_lossy(&absent.stdout), String::from_utf8_lossy(&absent.stderr));
    ensure!(
        absent.status.code() == Some(1) && why.contains("/nowhere/token") && why.contains("nothing was changed"),
        "{why}"
    );
    dev.stop()
}
