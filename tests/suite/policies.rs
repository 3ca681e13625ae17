//! Policies over real processes: what they do to objects, what is refused and where it is shown, editors side by side.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::{Dev, Launch, Storage, Target, program, wait_for};

/// The sample of the documentation.
const SAMPLE: &str = r#"apiVersion: sealgate.dev/v1
kind: GovernancePolicy
metadata: { name: payroll-secure-handling, description: Payroll data is always encrypted }
spec:
  mode: enforce            # enforce | audit (count and report only) | disabled
  priority: 100
  gateways: { region: [eu-1, eu-2] }        # labels: AND across keys, OR within; empty = all
  buckets: ["hr-*", "finance"]
  when: >-                  # CEL; facts: object.key, .size, .contentType, .metadata, .tags, .storageClass
    object.key.startsWith("payroll/") || object.tags["classification"] in ["pii", "secret"]
  effect: encrypt           # encrypt | deny
  existing: leave           # leave | encrypt: also what is stored already
"#;

const YAML: [(&str, &str); 1] = [("content-type", "application/yaml")];

/// Encrypts everything in one bucket.
fn whole_bucket(name: &str, buckets: &[&str]) -> String {
    format!(
        "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{ name: {name} }}\nspec:\n  \
         buckets: [{}]\n  effect: encrypt\n",
        buckets.join(", ")
    )
}

fn written(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path of UTF-8")
}

#[test]
fn the_sample_policy_encrypts_what_is_tagged_and_the_storage_shows_the_kms_in_clear() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let storage = Storage::serve(&folder.path().join("service"))?;
    let launch = Launch {
        args: &["--gateway-label", "gateway-1:region=eu-2", "--upstream", &storage.url()],
        env: &[("SEALGATE_UPSTREAM_ACCESS_KEY", "any"), ("SEALGATE_UPSTREAM_SECRET_KEY", "any")],
        ..Launch::default()
    };
    let dev = Dev::launch(&folder.path().join("data"), &launch)?;
    ensure!(dev.ready["storage_dir"].is_null(), "the storage is the service: {}", dev.ready);
    let sample = written(folder.path(), "sample.yaml", SAMPLE)?;
    dev.sealgate_json(&["policy", "apply", "-f", text(&sample)?, "--wait", "effective"])?;
    let puts = "
for bucket in ('hr-people', 'finance', 'other'):
    s3.create_bucket(Bucket=bucket)
    for key, tagging in (('untagged', ''), ('open', 'classification=public'), ('pii', 'classification=pii'),
                         ('secret', 'a=b&classification=secret'), ('payroll/march', '')):
        extra = {'Tagging': tagging} if tagging else {}
        put = s3.put_object(Bucket=bucket, Key=key, Body=b'the plaintext ' + key.encode(), **extra)
        got = s3.get_object(Bucket=bucket, Key=key)
        assert got['Body'].read() == b'the plaintext ' + key.encode()
        assert got.get('ServerSideEncryption') == put.get('ServerSideEncryption')
        print(bucket, key, put.get('ServerSideEncryption'))
";
    let said = dev.python(0, puts)?;
    let expected: String = ["hr-people", "finance", "other"]
        .iter()
        .flat_map(|bucket| {
            let covered = *bucket != "other";
            [("untagged", false), ("open", false), ("pii", true), ("secret", true), ("payroll/march", true)]
                .map(|(key, due)| format!("{bucket} {key} {}\n", if due && covered { "aws:kms" } else { "None" }))
        })
        .collect();
    ensure!(said == expected, "{said}");

    // Any S3 tool, pointed at the storage itself.
    let heads = "
for bucket in ('hr-people', 'other'):
    for key in ('untagged', 'pii', 'payroll/march'):
        head = s3.head_object(Bucket=bucket, Key=key)
        body = s3.get_object(Bucket=bucket, Key=key)['Body'].read()
        print(bucket, key, 'dev-rsa' in head['Metadata'].values(), b'the plaintext' in body)
";
    let output = dev.python_command(0, heads)?.env("S3_URL", storage.url()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout)?;
    let expected = "hr-people untagged False True\nhr-people pii True False\nhr-people payroll/march True False\n\
                    other untagged False True\nother pii False True\nother payroll/march False True\n";
    ensure!(said == expected, "{said}");
    dev.stop()
}

/// A policy of one condition, which begins in line 7, column 9.
fn condition(when: &str) -> String {
    format!("{}  when: '{}'\n", whole_bucket("limits", &["data"]), when.replace('\'', "''"))
}

/// (what, text, line, column where it is fixed, code).
fn refused() -> Vec<(&'static str, String, u64, Option<u64>, &'static str)> {
    let head = "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\n";
    let deep = format!("{}true{}", "!(".repeat(20), ")".repeat(20));
    let list: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    let list = format!("object.size in [{}]", list.join(","));
    let nested = "[1].exists(a, [2].exists(b, a == b && object.size == a))";
    let costly = ["object.key.matches(\"(a|b){1,40}(c|d){1,40}e\")"; 9].join(" || ");
    vec![
        ("no YAML", format!("{head}metadata: {{ name: a\n"), 3, Some(11), "syntax"),
        ("a field that nobody knows", whole_bucket("a", &["b"]) + "  surprise: 1\n", 7, Some(3), "unknown-field"),
        (
            "a wrong word",
            whole_bucket("a", &["b"]).replace("effect: encrypt", "effect: burn"),
            6,
            Some(11),
            "invalid-value",
        ),
        ("no effect", whole_bucket("a", &["b"]).replace("  effect: encrypt\n", ""), 5, None, "missing-field"),
        (
            "no version",
            whole_bucket("a", &["b"]).replace("sealgate.dev/v1", "sealgate.dev/v9"),
            1,
            Some(13),
            "unknown-version",
        ),
        ("a broken condition", condition("object.key =="), 7, None, "cel-syntax"),
        ("an unknown fact", condition("object.colour == \"red\""), 7, None, "cel-unknown-name"),
        ("a wrong type", condition("object.size == \"1\""), 7, None, "cel-type"),
        ("too long", condition(&format!("object.key == \"{}\"", "k".repeat(2_100))), 7, None, "cel-too-large"),
        ("too deep", condition(&deep), 7, None, "cel-depth"),
        ("a long list", condition(&list), 7, None, "cel-too-large"),
        ("comprehensions in each other", condition(nested), 7, None, "cel-nested"),
        ("many regular expressions", condition(&costly), 7, None, "cel-regex"),
        ("a regular expression that is none", condition("object.key.matches(\"(\")"), 7, None, "cel-regex"),
    ]
}

#[test]
fn a_policy_that_is_malformed_or_over_a_limit_is_refused_with_its_place_by_command_and_by_rest() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--kms", "none"])?;
    let good = written(folder.path(), "good.yaml", &whole_bucket("good", &["data"]))?;
    dev.sealgate_json(&["policy", "apply", "-f", text(&good)?])?;
    let before = dev.rest(Target::Central, "GET", "/policy-set", &[], "")?.text;
    for (what, document, line, column, code) in refused() {
        let path = written(folder.path(), "bad.yaml", &document)?;
        let path = text(&path)?;
        let reply = dev.rest(Target::Central, "POST", "/policy-set/apply", &YAML, &document)?;
        let problem = reply.json();
        ensure!(reply.status == 422, "{what}: {} {}", reply.status, reply.text);
        let errors = problem["errors"].as_array().with_context(|| format!("{what}: {problem}"))?;
        let at = |error: &&Value| {
            error["code"] == code
                && error["line"] == line
                && column.is_none_or(|column| error["column"] == column)
                && error["column"].as_u64() >= Some(1)
                && error["message"].as_str().is_some_and(|message| !message.is_empty())
        };
        let error = errors.iter().find(at).with_context(|| format!("{what}: {line}:{column:?} {code}: {problem:#}"))?;
        let reply = dev.rest(Target::Central, "POST", "/policy-set/check", &YAML, &document)?;
        ensure!(reply.status == 422 && reply.json()["errors"] == problem["errors"], "{what}: {}", reply.text);
        // One line for a person, the same by the command that asks nobody and by the one that asks Central.
        let expected = format!(
            "{path}:{}:{}: {}: {}",
            error["line"],
            error["column"],
            code,
            error["message"].as_str().unwrap_or("")
        );
        for command in [&["policy", "check", "-f", path][..], &["policy", "apply", "-f", path]] {
            let output = dev.sealgate(command)?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            ensure!(output.status.code() == Some(1), "{what}: {command:?} {:?}", output.status);
            ensure!(said.lines().any(|line| line == expected), "{what}: {expected:?} is not in\n{said}");
            let output = dev.sealgate(&[&["--json"], command].concat())?;
            let told: Value = serde_json::from_slice(&output.stderr)?;
            ensure!(told["errors"].as_array().is_some_and(|all| all.len() == errors.len()), "{what}: {told:#}");
        }
    }
    let after = dev.rest(Target::Central, "GET", "/policy-set", &[], "")?.text;
    ensure!(before == after, "nothing of it was stored: {after}");
    dev.stop()
}

/// What Central shows of a gateway's refusal.
fn refusal(dev: &Dev, name: &str) -> Option<Value> {
    let all = dev.sealgate_json(&["gateway", "list"]).ok()?;
    let gateway = all["gateways"].as_array()?.iter().find(|gateway| gateway["name"] == name)?;
    Some(gateway["refusal"].clone())
}

#[test]
fn a_set_that_a_gateway_cannot_apply_is_shown_with_the_reason_and_the_last_good_one_is_kept() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let dev = Dev::start(&data, &["--gateways", "2"])?;
    dev.python(0, "for b in ('first', 'second', 'third'):\n    s3.create_bucket(Bucket=b)")?;
    let kinds = |gateway: usize| {
        let put = "print([s3.put_object(Bucket=b, Key='k', Body=b'x').get('ServerSideEncryption') for b in \
                   ('first', 'second', 'third')])";
        dev.python(gateway, put).map(|said| said.trim().to_owned())
    };
    let first = written(folder.path(), "first.yaml", &whole_bucket("first", &["first"]))?;
    let applied = dev.sealgate_json(&["policy", "apply", "-f", text(&first)?, "--wait", "effective"])?;
    let good = applied["revision"].as_u64().context("a revision")?;

    // The first gateway cannot write what it receives: it would be without it after a restart.
    let policies = data.join("gateway-1").join("policies");
    for slot in ["a.new", "b.new"] {
        fs::create_dir(policies.join(slot))?;
    }
    let second = written(folder.path(), "second.yaml", &whole_bucket("second", &["second"]))?;
    let output = dev.sealgate(&["policy", "apply", "-f", text(&second)?, "--wait", "effective"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{:?}: {said}", output.status);
    ensure!(said.contains("gateway-1") && said.contains("policies/"), "who refuses and why: {said}");
    let shown = refusal(&dev, "gateway-1").context("the gateway")?;
    ensure!(shown["code"] == "storage" && shown["revision"] == good + 1 && shown["kept_revision"] == good, "{shown:#}");
    ensure!(shown["reason"].as_str().is_some_and(|reason| reason.contains("Is a directory")), "{shown:#}");
    ensure!(refusal(&dev, "gateway-2").is_some_and(|refusal| refusal.is_null()), "the other one has no trouble");
    wait_for("Central counts the refusal", || {
        let scrape = dev.scrape(Target::Central).ok()?;
        (scrape.sum("sealgate_refusals", &[]) > 0.5).then_some(())
    })?;
    ensure!(kinds(0)? == "['aws:kms', None, None]", "the last good one");
    ensure!(kinds(1)? == "['aws:kms', 'aws:kms', None]", "the new one");
    // It keeps it over a restart too.
    dev.kill(Target::Gateway(0))?;
    ensure!(kinds(0)? == "['aws:kms', None, None]", "the last good one");
    // The trouble is over: it applies the set by itself.
    for slot in ["a.new", "b.new"] {
        fs::remove_dir(policies.join(slot))?;
    }
    wait_for("the refusal is resolved", || refusal(&dev, "gateway-1")?.is_null().then_some(()))?;
    wait_for("the set is in force", || kinds(0).ok().filter(|kinds| kinds == "['aws:kms', 'aws:kms', None]"))?;

    // A Central of a later version writes a set in a format that these gateways do not know.
    let url = dev.ready["central"]["database_url"].as_str().context("a database")?;
    let sql = "begin;
        insert into policy_revisions (lineage, number, document, format, digest, created_by, cause)
        select r.lineage, r.number + 1, r.document, 99, r.digest, 'a later version', 'edit'
        from policy_revisions r join policy_head h using (lineage, number);
        update policy_head set number = number + 1; commit;";
    let done = Command::new("psql").args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]).output()?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for gateway in ["gateway-1", "gateway-2"] {
        let shown = wait_for("the refusal is shown", || refusal(&dev, gateway).filter(|refusal| !refusal.is_null()))?;
        ensure!(shown["code"] == "unknown-format" && shown["kept_revision"] == good + 1, "{shown:#}");
        ensure!(shown["reason"].as_str().is_some_and(|reason| reason.contains("99")), "{shown:#}");
    }
    ensure!(kinds(0)? == "['aws:kms', 'aws:kms', None]", "the last good one");
    ensure!(kinds(1)? == "['aws:kms', 'aws:kms', None]", "the last good one");
    dev.stop()
}

/// Runs a command whose way to Central leads over a wire on which `meanwhile` is done, once, between what it reads and
/// what it writes.
fn overtaken(dev: &Dev, args: &[&str], meanwhile: impl FnOnce() -> Result<()>) -> Result<Output> {
    let console = dev.ready["central"]["console"].as_str().context("a console")?.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut child = Command::new(program("sealgate")?)
        .args(args)
        .env_remove("SEALGATE_READY_FILE")
        .env("SEALGATE_CENTRAL_URL", format!("http://{}", listener.local_addr()?))
        .env("SEALGATE_CENTRAL_TOKEN", dev.ready["central"]["token"].as_str().context("a token")?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    listener.set_nonblocking(true)?;
    let target = console.replace("http://", "");
    let mut meanwhile = Some(meanwhile);
    let mut ways: Vec<(TcpStream, TcpStream)> = Vec::new();
    wait_for("the command ends", || {
        let mut step = || -> Result<bool> {
            if let Ok((near, _)) = listener.accept() {
                let far = TcpStream::connect(&target)?;
                for end in [&near, &far] {
                    end.set_nonblocking(true)?;
                }
                ways.push((near, far));
            }
            for (near, far) in &mut ways {
                let mut bytes = [0; 16 * 1024];
                if let Ok(read @ 1..) = near.read(&mut bytes) {
                    if (bytes.starts_with(b"POST ") || bytes.starts_with(b"DELETE "))
                        && let Some(meanwhile) = meanwhile.take()
                    {
                        meanwhile()?;
                    }
                    far.set_nonblocking(false)?;
                    far.write_all(&bytes[..read])?;
                    far.set_nonblocking(true)?;
                }
                if let Ok(read @ 1..) = far.read(&mut bytes) {
                    near.set_nonblocking(false)?;
                    near.write_all(&bytes[..read])?;
                    near.set_nonblocking(true)?;
                }
            }
            Ok(child.try_wait()?.is_some())
        };
        match step() {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    })??;
    ensure!(meanwhile.is_none(), "it wrote nothing: {args:?}");
    Ok(child.wait_with_output()?)
}

#[test]
fn a_command_that_another_editor_overtakes_changes_nothing_and_says_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--kms", "none"])?;
    let file = |name: &str, buckets: &[&str]| {
        written(folder.path(), &format!("{name}-{}.yaml", buckets.len()), &whole_bucket(name, buckets))
    };
    let mine = file("mine", &["one"])?;
    let wider = file("mine", &["one", "two"])?;
    let theirs = file("theirs", &["one"])?;
    let apply = |path: &Path| dev.sealgate_json(&["policy", "apply", "-f", text(path)?]);
    let delete = |name: &str| dev.sealgate_json(&["policy", "delete", name]);
    let set = || dev.rest(Target::Central, "GET", "/policy-set", &[], "").map(|reply| reply.json());
    let first = apply(&mine)?["revision"].to_string();

    // Each of them would undo what the other editor did in between.
    for args in [&["policy", "apply", "-f", text(&mine)?, "--prune"][..], &["policy", "rollback", &first]] {
        let output = overtaken(&dev, args, || apply(&theirs).map(drop))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(1), "{args:?}: {output:?}");
        for word in ["nothing was changed", "Somebody else changed it", "sealgate policy history", "run it again"] {
            ensure!(said.contains(word), "{args:?}: {word:?} is not in {said}");
        }
        let now = set()?;
        let names: Vec<_> = now["policies"].as_array().into_iter().flatten().map(|one| &one["name"]).collect();
        ensure!(names == ["mine", "theirs"], "{args:?}: {now:#}");
        // Run again, it does what it was asked.
        let output = dev.sealgate(args)?;
        ensure!(output.status.success(), "{args:?}: {output:?}");
        let now = set()?;
        let names: Vec<_> = now["policies"].as_array().into_iter().flatten().map(|one| &one["name"]).collect();
        ensure!(names == ["mine"], "{args:?}: {now:#}");
    }
    let args = ["policy", "delete", "mine"];
    let output = overtaken(&dev, &args, || apply(&wider).map(drop))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{output:?}");
    for word in ["nothing of yours was saved", "Somebody else changed it", "sealgate policy get mine", "run it again"] {
        ensure!(said.contains(word), "{word:?} is not in {said}");
    }
    ensure!(!said.contains("If-Match"), "what REST is told means nothing here: {said}");
    ensure!(set()?["policies"][0]["source"].as_str().is_some_and(|source| source.contains("two")), "what they wrote");
    ensure!(delete("mine")?["deleted"] == json!(["mine"]), "run again");
    dev.stop()
}

#[test]
fn of_two_editors_the_second_gets_412_and_nothing_is_lost() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--kms", "none"])?;
    let path = "/policies/shared";
    let put = |etag: (&'static str, &str), body: &str| {
        dev.rest(Target::Central, "PUT", path, &[YAML[0], (etag.0, etag.1)], body)
    };
    let made = put(("if-none-match", "*"), &whole_bucket("shared", &["one"]))?;
    ensure!(made.status == 201, "{} {}", made.status, made.text);
    let again = put(("if-none-match", "*"), &whole_bucket("shared", &["two"]))?;
    ensure!(again.status == 412, "it is there already: {} {}", again.status, again.text);

    // Both read, both write.
    let read = || dev.rest(Target::Central, "GET", path, &[], "");
    let (a, b) = (read()?, read()?);
    ensure!(!a.etag.is_empty() && a.etag == b.etag, "{} {}", a.etag, b.etag);
    let first = put(("if-match", &a.etag), &whole_bucket("shared", &["one", "from-a"]))?;
    ensure!(first.status == 200, "{} {}", first.status, first.text);
    let second = put(("if-match", &b.etag), &whole_bucket("shared", &["one", "from-b"]))?;
    ensure!(second.status == 412 && second.json()["code"] == "stale", "{} {}", second.status, second.text);
    let now = read()?;
    ensure!(now.json()["source"].as_str().is_some_and(|source| source.contains("from-a")), "{}", now.text);
    ensure!(now.etag == first.etag && now.etag != a.etag, "the answer to the edit has the new ETag");
    let bare = dev.rest(Target::Central, "PUT", path, &YAML, &whole_bucket("shared", &["blind"]))?;
    ensure!(bare.status == 428, "an edit without a condition: {} {}", bare.status, bare.text);
    let gone = dev.rest(Target::Central, "DELETE", path, &[("if-match", &a.etag)], "")?;
    ensure!(gone.status == 412, "{} {}", gone.status, gone.text);

    // The set as a whole.
    let set = || dev.rest(Target::Central, "GET", "/policy-set", &[], "");
    let stale = set()?.etag;
    let apply = |etag: &str, body: &str| {
        dev.rest(Target::Central, "POST", "/policy-set/apply", &[YAML[0], ("if-match", etag)], body)
    };
    ensure!(apply(&stale, &whole_bucket("other", &["x"]))?.status == 200, "the first");
    let late = apply(&stale, &whole_bucket("other", &["y"]))?;
    ensure!(late.status == 412, "{} {}", late.status, late.text);

    // Many at once, each adding a bucket to what it read, and reading again when it was late.
    let before = set()?.json()["revision"].as_u64().context("a revision")?;
    std::thread::scope(|scope| {
        let editors: Vec<_> = (0..6)
            .map(|number| {
                let (read, put) = (&read, &put);
                scope.spawn(move || -> Result<()> {
                    wait_for("an editor comes through", || {
                        let now = read().ok()?;
                        let buckets = now.json()["document"]["spec"]["buckets"].clone();
                        let mut buckets: Vec<String> = serde_json::from_value(buckets).ok()?;
                        buckets.push(format!("editor-{number}"));
                        let names: Vec<&str> = buckets.iter().map(String::as_str).collect();
                        let reply = put(("if-match", &now.etag), &whole_bucket("shared", &names)).ok()?;
                        match reply.status {
                            200 => Some(Ok(())),
                            412 => None,
                            other => Some(Err(anyhow::anyhow!("{other} {}", reply.text))),
                        }
                    })?
                })
            })
            .collect();
        editors.into_iter().try_for_each(|editor| editor.join().expect("an editor does not panic"))
    })?;
    let now = read()?.json();
    let mut expected = vec!["one".to_owned(), "from-a".to_owned()];
    expected.extend((0..6).map(|number| format!("editor-{number}")));
    let mut found: Vec<String> = serde_json::from_value(now["document"]["spec"]["buckets"].clone())?;
    found.sort();
    expected.sort();
    ensure!(found == expected, "{found:?}");
    ensure!(set()?.json()["revision"] == json!(before + 6), "one revision an edit");
    dev.stop()
}
