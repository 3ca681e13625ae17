//! What `sealgate dev` does with its processes, its directory and its flags.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{Dev, Launch, Process, Target, process, program, wait_for};

/// Every process of a start has this name in its environment, whoever its parent has become.
const MARK: &str = "SEALGATE_TEST_LIFE";

/// The user that stands for every ordinary one, where the tests run as root.
const ORDINARY: [&str; 5] = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"];

fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

/// Processes of the start that was marked so.
fn marked(mark: &str) -> Vec<Process> {
    let entry = format!("{MARK}={mark}");
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // That of another user, or one that ends just now, cannot be read.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == entry.as_bytes()) {
            found.extend(Process::of(pid));
        }
    }
    found
}

/// The names of the processes, without those of setpriv on its way into another program.
fn names(processes: &[Process]) -> BTreeSet<&str> {
    processes.iter().map(|process| process.name.as_str()).collect()
}

fn all_are_gone(tree: &[Process], mark: &str) -> Result<()> {
    let left: Vec<_> = tree.iter().filter(|process| process.lives()).collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    let left = marked(mark);
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

/// What a restart must not change.
fn kept(dev: &Dev) -> Result<Value> {
    let policies: Vec<Value> = dev.sealgate_json(&["policy", "list"])?["policies"]
        .as_array()
        .context("policies")?
        .iter()
        .map(|policy| json!([policy["name"], policy["uid"], policy["changed_in"]]))
        .collect();
    let objects = dev.python(
        0,
        "for o in s3.list_objects_v2(Bucket='kept')['Contents']:\n    r = s3.get_object(Bucket='kept', Key=o['Key'])\n    \
         print(o['Key'], o['Size'], r['Body'].read(), r['Metadata'], r.get('ServerSideEncryption'))",
    )?;
    let kms = dev.sealgate_json(&["kms", "list"])?["kms"][0].clone();
    let kms = json!([kms["id"], kms["active"], kms["state"], kms["keys"][0]["key"], kms["key_versions"]]);
    let stats = dev.sealgate_json(&["stats"])?;
    let written: Vec<Value> = stats["rows"]
        .as_array()
        .context("rows")?
        .iter()
        .map(|row| json!([row["gateway"], row["bucket"], row["policy"], row["outcome"], row["objects"], row["bytes"]]))
        .collect();
    let buckets = dev.sealgate_json(&["bucket", "list"])?;
    let toggles: Vec<Value> = buckets["buckets"]
        .as_array()
        .context("buckets")?
        .iter()
        .map(|bucket| json!([bucket["bucket"], bucket["encrypt"]]))
        .collect();
    let pem = dev.ready["rsa_key_file"].as_str().context("the key of the first start")?;
    let gateway = &dev.ready["gateways"][0];
    Ok(json!({
        "policies": policies, "objects": objects, "statistics": written, "kms": kms, "pem": fs::read_to_string(pem)?,
        "toggles": toggles,
        "secrets": [gateway["access_key"], gateway["secret_key"], gateway["token"], dev.ready["central"]["token"]],
    }))
}

/// The fields that differ are named, and not shown: some are secret.
fn same(before: &Value, after: &Value) -> Result<()> {
    let fields = before.as_object().context("an object")?;
    let lost: Vec<_> =
        fields.iter().filter(|(name, value)| after[name.as_str()] != **value).map(|(name, _)| name).collect();
    ensure!(lost.is_empty(), "after the restart these are others: {lost:?}");
    Ok(())
}

/// Two objects, a policy and a toggle; done when Central has counted them.
fn fill(dev: &Dev, folder: &Path) -> Result<()> {
    dev.python(0, "s3.create_bucket(Bucket='kept')\ns3.create_bucket(Bucket='switched')")?;
    let policy = folder.join("kept.yaml");
    fs::write(
        &policy,
        "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: { name: kept }\nspec:\n  buckets: [kept]\n  \
         when: object.key.startsWith(\"secret/\")\n  effect: encrypt\n",
    )?;
    let policy = policy.to_str().context("a path of UTF-8")?;
    dev.sealgate_json(&["policy", "apply", "-f", policy, "--wait", "effective"])?;
    dev.sealgate_json(&["bucket", "encrypt", "switched", "on"])?;
    dev.python(
        0,
        "s3.put_object(Bucket='kept', Key='secret/a', Body=b'sealed', Metadata={'a': 'b'})\n\
         s3.put_object(Bucket='kept', Key='open', Body=b'plain')",
    )?;
    wait_for("both objects are counted at Central", || {
        let stats = dev.sealgate_json(&["stats", "--by", "bucket"]).ok()?;
        let rows = stats["rows"].as_array()?;
        rows.iter().find(|row| row["bucket"] == "kept" && row["objects"] == 2).map(|_| ())
    })
}

/// The programs where everybody may run them: those of the tests may lie in a folder of root alone.
fn programs_for_everybody(folder: &Path) -> Result<PathBuf> {
    let programs = folder.join("programs");
    fs::create_dir(&programs)?;
    fs::set_permissions(&programs, fs::Permissions::from_mode(0o755))?;
    for name in ["sealgate", "sealgate-central", "sealgate-gateway"] {
        let (from, to) = (program(name)?, programs.join(name));
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to)?;
        }
    }
    Ok(programs)
}

#[test]
fn either_signal_leaves_no_process_and_the_directory_starts_again_with_everything() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // Where the tests run as root, nobody else may search this folder: PostgreSQL's user passes it nevertheless.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
    let data = folder.path().join("deeper").join("data");
    let mark = uuid::Uuid::new_v4().to_string();
    let env = [(MARK, mark.as_str())];
    let dev = Dev::launch(&data, &Launch { env: &env, ..Launch::default() })?;
    fill(&dev, folder.path())?;
    let before = kept(&dev)?;
    let tree = Process::tree(dev.pid());
    let expected = ["postgres", "sealgate", "sealgate-centra", "sealgate-gatewa"];
    ensure!(names(&tree).is_superset(&BTreeSet::from(expected)), "{tree:?}");
    if is_root()? {
        let server = tree.iter().find(|process| process.name == "postgres").context("PostgreSQL")?;
        ensure!(server.user() != Some(0), "PostgreSQL refuses to run as root");
    }
    ensure!(!marked(&mark).is_empty(), "the mark is seen while it runs");
    let status = dev.end_by("TERM")?;
    ensure!(status.success(), "{status}");
    all_are_gone(&tree, &mark)?;

    let dev = Dev::launch(&data, &Launch { env: &env, ..Launch::default() })?;
    let after = kept(&dev)?;
    same(&before, &after)?;
    // What is written now is decided as before.
    let kind = dev.python(
        0,
        "for b, k in (('kept', 'secret/b'), ('kept', 'other'), ('switched', 'c')):\n    \
         print(s3.put_object(Bucket=b, Key=k, Body=b'x').get('ServerSideEncryption'))",
    )?;
    ensure!(kind == "aws:kms\nNone\naws:kms\n", "{kind}");
    let tree = Process::tree(dev.pid());
    let status = dev.end_by("INT")?;
    ensure!(status.success(), "{status}");
    all_are_gone(&tree, &mark)
}

#[test]
fn an_ordinary_user_runs_it_a_killed_child_comes_back_and_nothing_is_left() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let home = folder.path().join("home");
    fs::create_dir(&home)?;
    let root = is_root()?;
    let programs = if root {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
        let owner = Command::new("chown").arg("nobody:nogroup").arg(&home).status()?;
        ensure!(owner.success(), "chown: {owner}");
        Some(programs_for_everybody(folder.path())?)
    } else {
        None
    };
    let mark = uuid::Uuid::new_v4().to_string();
    let launch = Launch {
        env: &[(MARK, mark.as_str())],
        before: if root { &ORDINARY } else { &[] },
        programs: programs.as_deref(),
        ..Launch::default()
    };
    let dev = Dev::launch(&home.join("data"), &launch)?;
    fill(&dev, folder.path())?;
    let tree = Process::tree(dev.pid());
    let user = fs::metadata(&home)?.uid();
    ensure!(user != 0, "an ordinary user");
    let strangers: Vec<_> = tree.iter().filter(|process| process.user() != Some(user)).collect();
    ensure!(strangers.is_empty(), "of another user: {strangers:?}");

    dev.kill(Target::Gateway(0))?;
    dev.kill(Target::Central)?;
    let server = tree.iter().find(|process| process.name == "postgres").context("PostgreSQL")?;
    process::signal(server.pid, "KILL")?;
    wait_for("PostgreSQL is started again and Central answers from it", || {
        let again = Process::tree(dev.pid()).into_iter().find(|process| process.name == "postgres")?;
        let listed = dev.sealgate_json(&["policy", "list"]).ok()?;
        (again.pid != server.pid && listed["policies"][0]["name"] == "kept").then_some(())
    })?;
    let read = dev.python(0, "print(s3.get_object(Bucket='kept', Key='secret/a')['Body'].read().decode())")?;
    ensure!(read.trim() == "sealed", "{read}");
    let tree = Process::tree(dev.pid());
    let status = dev.end_by("TERM")?;
    ensure!(status.success(), "{status}");
    all_are_gone(&tree, &mark)
}

#[test]
fn killed_it_takes_its_children_along_and_starts_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mark = uuid::Uuid::new_v4().to_string();
    let launch = Launch { env: &[(MARK, mark.as_str())], ..Launch::default() };
    let dev = Dev::launch(&data, &launch)?;
    fill(&dev, folder.path())?;
    let before = kept(&dev)?;
    let tree = Process::tree(dev.pid());
    dev.end_by("KILL")?;
    wait_for("every child ends", || all_are_gone(&tree, &mark).ok())?;
    let dev = Dev::launch(&data, &launch)?;
    let after = kept(&dev)?;
    same(&before, &after)?;
    dev.stop()
}

/// At each moment of the first start; the same directory is taken each time, and works in the end.
#[test]
fn stopped_before_it_is_up_it_leaves_no_process_and_nothing_half_made() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mark = uuid::Uuid::new_v4().to_string();
    for (moment, signal) in
        [("initdb", "INT"), ("initdb", "KILL"), ("sealgate-centra", "TERM"), ("sealgate-gatewa", "KILL")]
    {
        let mut tries = 0;
        let (mut child, tree) = loop {
            let mut child = Command::new(program("sealgate")?)
                .args(["dev", "--port-base", "0", "--data"])
                .arg(&data)
                .env(MARK, &mark)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            let (caught, tree) = wait_for("the moment of the start", || {
                if child.try_wait().ok()?.is_some() {
                    return Some((false, Vec::new()));
                }
                let tree = Process::tree(child.id());
                let runs = |name: &str| tree.iter().any(|process| process.name == name);
                // The gateway is started last: what has not been seen by then has passed.
                let caught = runs(moment);
                (caught || runs("sealgate-gatewa")).then_some((caught, tree))
            })?;
            ensure!(!tree.is_empty(), "it ended before {moment} was started");
            if caught {
                break (child, tree);
            }
            tries += 1;
            ensure!(tries < 10, "{moment} passes too quickly to be seen");
            child.kill()?;
            child.wait()?;
            wait_for("every child ends", || all_are_gone(&tree, &mark).ok())?;
            fs::remove_dir_all(&data)?;
        };
        process::signal(child.id(), signal)?;
        let status = wait_for("dev ends", || child.try_wait().ok().flatten())?;
        if signal == "KILL" {
            wait_for("every child ends", || all_are_gone(&tree, &mark).ok())?;
        } else {
            ensure!(status.success(), "{moment}: {status}");
            all_are_gone(&tree, &mark).context(moment)?;
        }
    }
    let dev = Dev::start(&data, &[])?;
    fill(&dev, folder.path())?;
    ensure!(!data.join("postgres.unfinished").exists(), "what was half made is gone");
    dev.stop()
}

#[test]
fn policies_select_by_the_labels_of_this_start_and_those_of_earlier_ones_stay() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let policy = folder.path().join("eu.yaml");
    fs::write(
        &policy,
        "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: { name: eu }\nspec:\n  \
         gateways: { region: [eu-1], tier: [gold] }\n  buckets: [data]\n  effect: encrypt\n",
    )?;
    let policy = policy.to_str().context("a path of UTF-8")?;
    let kinds = |dev: &Dev| -> Result<Vec<String>> {
        // A gateway decides by its labels once it has heard them.
        wait_for("the set is in force everywhere", || {
            let reached = dev.rest(Target::Central, "GET", "/convergence", &[], "").ok()?.json();
            (reached["effective"] == 2).then_some(())
        })?;
        let put = "print(s3.put_object(Bucket='data', Key='k', Body=b'x').get('ServerSideEncryption'))";
        [0, 1].into_iter().map(|gateway| Ok(dev.python(gateway, put)?.trim().to_owned())).collect()
    };
    let flags = |labels: &[&'static str]| -> Vec<&'static str> {
        let mut flags = vec!["--gateways", "2"];
        flags.extend(labels.iter().flat_map(|label| ["--gateway-label", label]));
        flags
    };

    let first = flags(&["gateway-1:region=eu-1", "gateway-1:tier=gold", "gateway-2:region=us-1"]);
    let dev = Dev::start(&data, &first)?;
    dev.python(0, "s3.create_bucket(Bucket='data')")?;
    dev.sealgate_json(&["policy", "apply", "-f", policy, "--wait", "effective"])?;
    ensure!(kinds(&dev)? == ["aws:kms", "None"], "the policy is for the golden gateways of one region");
    dev.stop()?;

    let dev = Dev::start(&data, &flags(&["gateway-2:region=eu-1", "gateway-2:tier=gold", "gateway-1:tier=tin"]))?;
    ensure!(kinds(&dev)? == ["None", "aws:kms"], "the labels of this start hold");
    dev.stop()?;

    let dev = Dev::start(&data, &flags(&["gateway-1:tier=gold"]))?;
    ensure!(kinds(&dev)? == ["aws:kms", "aws:kms"], "what is not named stays");
    let labels = dev.sealgate_json(&["gateway", "list"])?["gateways"][1]["labels"].clone();
    ensure!(labels == json!({ "region": "eu-1", "tier": "gold" }), "{labels}");
    // Also while it runs.
    let given = dev.sealgate_json(&["gateway", "label", "gateway-2", "region=us-1"])?;
    ensure!(given["labels"] == json!({ "region": "us-1" }), "{given}");
    ensure!(kinds(&dev)? == ["aws:kms", "None"], "a running gateway hears of its labels");
    // To ask for them changes nothing.
    let asked = dev.sealgate_json(&["gateway", "label", "gateway-2"])?;
    ensure!(asked["labels"] == json!({ "region": "us-1" }), "{asked}");
    let listed = String::from_utf8(dev.sealgate(&["gateway", "list"])?.stdout)?;
    ensure!(listed.contains("LABELS") && listed.contains("region=us-1"), "{listed}");
    let cleared = dev.sealgate_json(&["gateway", "label", "gateway-2", "--clear"])?;
    ensure!(cleared["labels"] == json!({}), "{cleared}");
    dev.stop()
}

#[test]
fn as_many_gateways_as_the_directory_has_are_started_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let terminal = folder.path().join("terminal");
    let names = |dev: &Dev| -> Vec<Value> {
        let gateways = dev.ready["gateways"].as_array().into_iter().flatten();
        gateways.map(|gateway| gateway["name"].clone()).collect()
    };
    let dev = Dev::start(&data, &["--gateways", "2"])?;
    dev.stop()?;
    let dev = Dev::start(&data, &[])?;
    ensure!(names(&dev) == ["gateway-1", "gateway-2"], "{:?}", names(&dev));
    dev.stop()?;
    let fewer = Launch { args: &["--gateways", "1"], terminal: Some(&terminal), ..Launch::default() };
    let dev = Dev::launch(&data, &fewer)?;
    ensure!(names(&dev) == ["gateway-1"], "{:?}", names(&dev));
    let said = fs::read_to_string(&terminal)?;
    ensure!(said.contains("gateway-2 is not started: --gateways 1"), "{said}");
    dev.stop()
}

#[test]
fn a_label_that_cannot_be_given_is_refused_with_a_clear_message() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let mark = uuid::Uuid::new_v4().to_string();
    for (label, code, said) in [
        ("gateway-1", 2, "write NAME:key=value"),
        ("gateway-2:region=eu-1", 2, "there is no gateway"),
        ("gateway-1:region=ä", 2, "letter or digit"),
        ("gateway-1:=eu-1", 2, "letter or digit"),
    ] {
        let output = Command::new(program("sealgate")?)
            .args(["dev", "--port-base", "0", "--gateway-label", label, "--data"])
            .arg(&data)
            .env(MARK, &mark)
            .output()?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(code), "{label}: {output:?}");
        ensure!(message.contains(said) && message.contains(label), "{label}: {message}");
        all_are_gone(&[], &mark)?;
    }
    ensure!(!data.exists(), "nothing was made");
    Ok(())
}

#[test]
fn an_upstream_that_cannot_be_meant_is_refused_before_anything_is_made() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    for (url, secret, said) in [
        ("http://127.0.0.1:1", None, "SEALGATE_UPSTREAM_SECRET_KEY"),
        ("127.0.0.1:9000", Some("secret"), "http(s)://HOST"),
        ("s3://bucket", Some("secret"), "http(s)://HOST"),
    ] {
        let mut command = Command::new(program("sealgate")?);
        command.args(["dev", "--port-base", "0", "--upstream", url, "--data"]).arg(&data);
        command.env("SEALGATE_UPSTREAM_ACCESS_KEY", "access").env_remove("SEALGATE_UPSTREAM_SECRET_KEY");
        command.envs(secret.map(|secret| ("SEALGATE_UPSTREAM_SECRET_KEY", secret)));
        let output = command.output()?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(2) && message.contains(said), "{url}: {output:?}");
        ensure!(!data.exists(), "{url}: nothing was made");
    }
    Ok(())
}

#[test]
fn a_port_that_another_program_has_is_named_before_anything_is_started() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    // The port of the first S3 listener.
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    let base = if address.port() > 65_433 { address.port() - 102 } else { address.port() };
    let output = Command::new(program("sealgate")?)
        .args(["dev", "--port-base", &base.to_string(), "--data"])
        .arg(&data)
        .output()?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{output:?}");
    for word in [&address.to_string(), "--port-base", "in use"] {
        ensure!(message.contains(word), "{word}: {message}");
    }
    ensure!(!data.join("postgres").exists(), "nothing was started");
    Ok(())
}

#[test]
fn without_a_kms_it_is_said_how_to_add_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let terminal = folder.path().join("terminal");
    let launch = Launch { args: &["--kms", "none"], terminal: Some(&terminal), ..Launch::default() };
    let dev = Dev::launch(&data, &launch)?;
    // The ready file is written before the lines.
    let command = wait_for("the command is said", || {
        let text = fs::read_to_string(&terminal).ok()?;
        text.lines().find(|line| line.contains("kms add rsa --id main --key KEY.pem")).map(str::to_owned)
    })?;
    ensure!(command.contains(&format!("--ready-file {}", dev.ready_file().display())), "{command}");
    dev.stop()
}

#[test]
fn what_keeps_a_killed_gateway_down_is_said_on_the_terminal_until_it_is_up_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let terminal = folder.path().join("terminal");
    let dev = Dev::launch(&data, &Launch { terminal: Some(&terminal), ..Launch::default() })?;
    dev.python(0, "s3.create_bucket(Bucket='box')\ns3.put_object(Bucket='box', Key='k', Body=b'x')")?;
    let said = |words: &[&str]| {
        wait_for(&format!("{words:?} is said"), || {
            let text = fs::read_to_string(&terminal).ok()?;
            words.iter().all(|word| text.contains(word)).then_some(text)
        })
    };
    let serves = || {
        wait_for("the gateway serves again", || dev.python(0, "s3.get_object(Bucket='box', Key='k')").ok())?;
        // The ready file is written before the line.
        Ok::<_, anyhow::Error>(())
    };

    // Somebody took its port meanwhile.
    let address = dev.ready["gateways"][0]["s3"].as_str().context("an address")?.replace("http://", "");
    // Where the gateway is back before the port is taken, it is killed again.
    let thief = wait_for("the port is free", || {
        process::signal(dev.pid_of(Target::Gateway(0)).ok()?, "KILL").ok()?;
        let soon = Instant::now() + Duration::from_secs(1);
        loop {
            match TcpListener::bind(&address) {
                Ok(thief) => return Some(thief),
                Err(_) if Instant::now() > soon => return None,
                Err(_) => std::thread::yield_now(),
            }
        }
    })?;
    said(&["gateway-1 ended", "before it answered again", &address, "in use"])?;
    drop(thief);
    said(&["gateway-1 is up again"])?;
    serves()?;

    // The key under which its secrets lie is another one.
    let key = data.join("sealing").join("gateway.key");
    let right = fs::read(&key)?;
    fs::write(&key, [7; 32])?;
    fs::write(&terminal, "")?;
    process::signal(dev.pid_of(Target::Gateway(0))?, "KILL")?;
    let text = said(&["gateway-1 ended", "before it answered again", "sealing key"])?;
    ensure!(text.matches("before it answered again").count() == 1, "once, not once a second: {text}");
    fs::write(&key, right)?;
    said(&["gateway-1 is up again"])?;
    serves()?;
    dev.stop()
}

/// A plaintext of 64 MiB is being written when the process is killed: nothing of it may stay.
#[test]
fn a_killed_decryption_leaves_no_plaintext() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    dev.python(0, "s3.create_bucket(Bucket='box')")?;
    dev.sealgate_json(&["bucket", "encrypt", "box", "on"])?;
    dev.python(0, "s3.put_object(Bucket='box', Key='k', Body=b'\\x5a' * (64 << 20))")?;
    let path = dev.sealgate_json(&["object", "path", "box", "k"])?["path"].as_str().context("a path")?.to_owned();
    let key = dev.ready["rsa_key_file"].as_str().context("a key")?.to_owned();
    let out = folder.path().join("out");
    fs::create_dir(&out)?;
    // One that is done before it is killed shows nothing, and is tried again.
    let mut tries = 0;
    loop {
        let mut child = Command::new(program("sealgate")?)
            .args(["object", "decrypt", &path, "--rsa-key", &key, "-o"])
            .arg(out.join("plain"))
            .stdout(Stdio::null())
            .spawn()?;
        // An open file in the folder, with or without a name, that has grown.
        let descriptors = PathBuf::from(format!("/proc/{}/fd", child.id()));
        let grows = || {
            fs::read_dir(&descriptors).into_iter().flatten().flatten().any(|entry| {
                let target = fs::read_link(entry.path()).unwrap_or_default();
                target.starts_with(&out) && fs::metadata(entry.path()).is_ok_and(|file| file.len() > 0)
            })
        };
        while !grows() && child.try_wait()?.is_none() {
            std::thread::yield_now();
        }
        child.kill()?;
        let status = child.wait()?;
        if status.code().is_none() {
            break;
        }
        ensure!(status.success(), "it failed before it was killed: {status}");
        tries += 1;
        ensure!(tries < 10, "it is never killed before it is done");
        fs::remove_file(out.join("plain"))?;
    }
    let left: Vec<_> = fs::read_dir(&out)?.collect();
    // A file system without unnamed files is said to leave a hidden one.
    ensure!(left.is_empty(), "left behind: {left:?}");
    dev.stop()
}
