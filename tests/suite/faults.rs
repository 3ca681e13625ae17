//! Killed, cut off and told twice: gateways go on without Central, and what Central counts is what the clients saw.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;
use tests::{Dev, Hold, Launch, Storage, Target, Wire, process, wait_for};

const POLICY: &str = "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: { name: seal }\nspec:\n  \
                      buckets: [sealed]\n  effect: encrypt\n";

/// Two buckets, of which a policy covers one.
fn prepare(dev: &Dev, folder: &Path) -> Result<()> {
    dev.python(0, "s3.create_bucket(Bucket='sealed')\ns3.create_bucket(Bucket='open')")?;
    let policy = folder.join("seal.yaml");
    fs::write(&policy, POLICY)?;
    let policy = policy.to_str().context("a path of UTF-8")?;
    dev.sealgate_json(&["policy", "apply", "-f", policy, "--wait", "effective"])?;
    Ok(())
}

/// Objects that Central counts by (bucket, outcome), of all gateways and policies.
fn written(dev: &Dev) -> Option<BTreeMap<(String, String), u64>> {
    let stats = dev.sealgate_json(&["stats"]).ok()?;
    let mut counts = BTreeMap::new();
    for row in stats["rows"].as_array()? {
        let key = (row["bucket"].as_str()?.to_owned(), row["outcome"].as_str()?.to_owned());
        *counts.entry(key).or_default() += row["objects"].as_u64()?;
    }
    Some(counts)
}

fn count(counts: &BTreeMap<(String, String), u64>, bucket: &str, outcome: &str) -> u64 {
    counts.get(&(bucket.to_owned(), outcome.to_owned())).copied().unwrap_or(0)
}

/// Kills Central and keeps it dead, until it is let back: without its configuration it cannot start.
fn keep_central_dead(dev: &Dev) -> Result<impl FnOnce() -> Result<()> + use<>> {
    let config = dev.data().join("run").join("central.toml");
    let away = config.with_extension("away");
    fs::rename(&config, &away)?;
    process::signal(dev.pid_of(Target::Central)?, "KILL")?;
    let console = dev.ready["central"]["console"].as_str().context("a console")?.replace("http://", "");
    wait_for("Central is dead", || std::net::TcpStream::connect(&console).is_err().then_some(()))?;
    Ok(move || Ok(fs::rename(away, config)?))
}

fn connected(dev: &Dev) -> Result<()> {
    wait_for("the gateway is connected", || {
        let all = dev.sealgate_json(&["gateway", "list"]).ok()?;
        let mut gateways = all["gateways"].as_array()?.iter();
        gateways.all(|gateway| gateway["connection"] == "connected").then_some(())
    })
}

#[test]
fn without_central_a_gateway_serves_restarts_and_encrypts_and_it_reconnects_by_itself() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    prepare(&dev, folder.path())?;
    let put = |key: &str| {
        let script = format!(
            "for b in ('sealed', 'open'):\n    s3.put_object(Bucket=b, Key='{key}', Body=b'{key}')\n    \
             r = s3.get_object(Bucket=b, Key='{key}')\n    \
             print(r['Body'].read().decode(), r.get('ServerSideEncryption'))"
        );
        let said = dev.python(0, &script)?;
        ensure!(said == format!("{key} aws:kms\n{key} None\n"), "{key}: {said}");
        Ok(())
    };
    put("before")?;
    let gateway = || dev.scrape(Target::Gateway(0)).ok();
    let head = dev.scrape(Target::Central)?.sum("sealgate_policy_head_revision", &[]);

    let let_back = keep_central_dead(&dev)?;
    wait_for("the gateway misses Central", || (gateway()?.sum("sealgate_central_connected", &[]) < 0.5).then_some(()))?;
    put("alone")?;
    for life in ["second", "third"] {
        dev.kill(Target::Gateway(0))?;
        put(life)?;
    }
    let scrape = gateway().context("a scrape")?;
    ensure!(scrape.sum("sealgate_central_connected", &[]) < 0.5, "Central is still dead");
    let held = scrape.sum("sealgate_policy_revision", &[("state", "held")]);
    ensure!((held - head).abs() < 0.5, "it holds {held} of {head}");
    let path =
        dev.sealgate_json(&["object", "path", "sealed", "third"])?["path"].as_str().context("a path")?.to_owned();
    let says = dev.sealgate_json(&["object", "inspect", &path])?;
    ensure!(says["policy"] == "seal" && says["cause"] == "policy", "decided by the last policy: {says:#}");
    wait_for("reports wait for Central", || (gateway()?.sum("sealgate_spool_bytes", &[]) > 0.5).then_some(()))?;

    let_back()?;
    connected(&dev)?;
    let counted = wait_for("the statistics arrive", || {
        written(&dev).filter(|counts| count(counts, "sealed", "encrypted") + count(counts, "open", "plain") == 8)
    })?;
    ensure!(count(&counted, "sealed", "encrypted") == 4 && count(&counted, "open", "plain") == 4, "{counted:?}");
    wait_for("nothing waits any more", || (gateway()?.sum("sealgate_spool_bytes", &[]) < 0.5).then_some(()))?;
    // This life of Central has pushed nothing: the gateway said what it holds.
    let pushed =
        |dev: &Dev| Ok::<_, anyhow::Error>(dev.scrape(Target::Central)?.sum("sealgate_policy_pushed_bytes_total", &[]));
    let bytes = pushed(&dev)?;
    ensure!(bytes < 0.5, "{bytes} bytes of policies were sent to a gateway that has them");
    // A new set is pushed: the figure is not always nothing.
    dev.sealgate_json(&["policy", "delete", "seal", "--wait", "effective"])?;
    ensure!(pushed(&dev)? > 0.5, "the new set was pushed");
    let kind =
        dev.python(0, "print(s3.put_object(Bucket='sealed', Key='after', Body=b'x').get('ServerSideEncryption'))")?;
    ensure!(kind.trim() == "None", "{kind}");
    dev.stop()
}

#[test]
fn a_report_whose_acknowledgement_is_lost_comes_twice_and_counts_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let dev = Dev::start(&data, &[])?;
    prepare(&dev, folder.path())?;
    // The gateway speaks to Central over a wire of the test from now on.
    let grpc = dev.ready["central"]["grpc"].as_str().context("an address")?.to_owned();
    let wire = Wire::to(grpc.replace("https://", "").parse::<SocketAddr>()?)?;
    let config = data.join("run").join("gateway-1.toml");
    let text = fs::read_to_string(&config)?;
    ensure!(text.contains(&grpc), "{text}");
    fs::write(&config, text.replace(&grpc, &format!("https://{}", wire.address)))?;
    dev.kill(Target::Gateway(0))?;
    connected(&dev)?;

    let reports = |result| Some(dev.scrape(Target::Central).ok()?.sum("sealgate_reports_total", &[("result", result)]));
    let mut puts = 0;
    // What fails in a round fails the test: a round that was tried again would leave writes uncounted.
    let mut round = |killed: bool| -> Result<bool> {
        let replays = wait_for("a scrape", || reports("replayed"))?;
        // Central hears the gateway, the gateway does not hear that it was heard.
        wire.deaf(true);
        let merged = wait_for("a scrape", || reports("merged"))?;
        let put = format!("for b in ('sealed', 'open'):\n    s3.put_object(Bucket=b, Key='k{puts}', Body=b'12345')");
        dev.python(0, &put)?;
        puts += 1;
        let soon = Instant::now() + Duration::from_secs(10);
        wait_for("a moment", || (Instant::now() > soon || reports("merged")? > merged + 0.5).then_some(()))?;
        if killed {
            process::signal(dev.pid_of(Target::Gateway(0))?, "KILL")?;
        }
        wire.deaf(false);
        wire.cut();
        wait_for("everything is counted", || {
            let counts = written(&dev)?;
            (count(&counts, "sealed", "encrypted") + count(&counts, "open", "plain") >= 2 * puts).then_some(())
        })?;
        wait_for("the gateway serves", || dev.python(0, "s3.list_buckets()").ok())?;
        Ok(wait_for("a scrape", || reports("replayed"))? > replays + 0.5)
    };
    for killed in [false, true, false, true] {
        // As a rule at once. A report that was on its way already is the one that comes again; where the machine was too
        // busy to send one before the cut, none does.
        let mut again = false;
        for _ in 0..10 {
            again = round(killed)?;
            if again {
                break;
            }
        }
        ensure!(again, "no report came again in ten rounds, killed: {killed}");
    }
    // Whatever is still on its way is told.
    wait_for("the spool is empty", || {
        let scrape = dev.scrape(Target::Gateway(0)).ok()?;
        (scrape.sum("sealgate_spool_bytes", &[]) < 0.5).then_some(())
    })?;
    let counts = written(&dev).context("statistics")?;
    let expected = [("open", "plain"), ("sealed", "encrypted")]
        .map(|(bucket, outcome)| ((bucket.to_owned(), outcome.to_owned()), puts));
    ensure!(counts == BTreeMap::from(expected), "{puts} in each: {counts:?}");
    let since = dev.sealgate_json(&["stats", "--by", "outcome", "--since", "1h"])?;
    let bytes = |outcome| {
        since["rows"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|row| row["outcome"] == outcome)
            .map(|row| row["bytes"].clone())
    };
    let expected = Some(Value::from(5 * puts));
    ensure!(bytes("encrypted") == expected && bytes("plain") == expected, "the rollups too: {since:#}");
    dev.stop()
}

/// A gateway is killed while the storage has the whole write: once with it stored and nobody told, once with nothing
/// stored. What can be recognised is counted as what it is, the rest is shown as what it is not known to be.
#[test]
fn a_write_that_a_kill_cuts_off_is_settled_by_what_the_storage_has_or_shown_as_indeterminate() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let storage = Storage::serve(&folder.path().join("service"))?;
    let launch = Launch {
        args: &["--upstream", &storage.url()],
        env: &[("SEALGATE_UPSTREAM_ACCESS_KEY", "any"), ("SEALGATE_UPSTREAM_SECRET_KEY", "any")],
        ..Launch::default()
    };
    let dev = Dev::launch(&folder.path().join("data"), &launch)?;
    prepare(&dev, folder.path())?;
    let cut_off = |hold: Hold, key: &str| -> Result<()> {
        storage.hold(hold);
        let puts = format!(
            "from threading import Thread\nfrom botocore.config import Config\n\
             c = boto3.client('s3', endpoint_url=os.environ['S3_URL'], region_name='us-east-1', \
             config=Config(retries={{'total_max_attempts': 1}}))\n\
             def put(b):\n    try:\n        c.put_object(Bucket=b, Key='{key}', Body=b'x' * 1000)\n    \
             except Exception:\n        return\n    os._exit(1)\n\
             ts = [Thread(target=put, args=(b,)) for b in ('sealed', 'open')]\n\
             [t.start() for t in ts]\n[t.join() for t in ts]"
        );
        let mut client = dev.python_command(0, &puts)?.spawn()?;
        wait_for("the storage has both writes", || (storage.held() == 2).then_some(()))?;
        dev.kill(Target::Gateway(0))?;
        let status = wait_for("the client gives up", || client.try_wait().ok().flatten())?;
        ensure!(status.success(), "a write succeeded that nobody could know of");
        storage.hold(Hold::Never);
        Ok(())
    };
    let expect = |expected: &[(&str, &str, u64)]| -> Result<()> {
        let expected: BTreeMap<_, _> = expected
            .iter()
            .map(|(bucket, outcome, count)| (((*bucket).to_owned(), (*outcome).to_owned()), *count))
            .collect();
        let settled = wait_for("it is settled", || written(&dev).filter(|counts| *counts == expected));
        let counts = settled.or_else(|_| written(&dev).context("statistics"))?;
        ensure!(counts == expected, "expected {expected:?}, found {counts:?}");
        Ok(())
    };
    cut_off(Hold::BeforeAnswer, "stored")?;
    expect(&[("sealed", "encrypted", 1), ("open", "plain", 1)])?;
    let read =
        "for b in ('sealed', 'open'):\n    print(s3.get_object(Bucket=b, Key='stored')['Body'].read() == b'x' * 1000)";
    ensure!(dev.python(0, read)? == "True\nTrue\n", "what was settled is there");
    cut_off(Hold::BeforeCommit, "never stored")?;
    expect(&[
        ("sealed", "encrypted", 1),
        ("open", "plain", 1),
        ("sealed", "indeterminate", 1),
        ("open", "indeterminate", 1),
    ])?;
    dev.stop()
}

/// Clients of both gateways, one line for each request, until a file appears. Nothing is tried again, and no key is
/// used twice. `unknown` is what has no answer of the gateway, or one that says that it does not know either.
const LOAD: &str = r"
import json, random, sys, threading, uuid
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
config = Config(retries={'total_max_attempts': 1}, connect_timeout=5, read_timeout=20, max_pool_connections=1)
lock = threading.Lock()
def say(**line):
    with lock:
        print(json.dumps(line), flush=True)
def attempt(work, **line):
    try:
        work()
        say(result='ok', **line)
        return True
    except EndpointConnectionError:
        say(result='refused', **line)
    except ClientError as e:
        status = e.response['ResponseMetadata']['HTTPStatusCode']
        say(result='unknown' if status >= 500 else 'failed', status=status, code=e.response['Error']['Code'], **line)
    except Exception as e:
        say(result='unknown', why=type(e).__name__, **line)
    return False
def client(url):
    s3 = boto3.session.Session().client('s3', endpoint_url=url, region_name='us-east-1', config=config)
    stored = []
    while not os.path.exists(os.environ['STOP']):
        bucket = random.choice(('sealed', 'open'))
        key = uuid.uuid4().hex
        body = key.encode() * random.choice((1, 100, 5000))
        if attempt(lambda: s3.put_object(Bucket=bucket, Key=key, Body=body), op='put', bucket=bucket, key=key):
            stored.append((bucket, key, body))
        if stored:
            bucket, key, body = random.choice(stored[-20:])
            def read():
                got = s3.get_object(Bucket=bucket, Key=key)['Body'].read()
                if got != body:
                    say(result='wrong', op='get', bucket=bucket, key=key)
            attempt(read, op='get', bucket=bucket, key=key)
threads = [threading.Thread(target=client, args=(url,)) for url in os.environ['URLS'].split() for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
";

#[derive(Deserialize)]
struct Line {
    result: String,
    op: String,
    bucket: String,
    key: String,
}

/// What the clients saw.
struct Load {
    child: Child,
    stop: std::path::PathBuf,
    log: std::path::PathBuf,
}

impl Load {
    fn start(dev: &Dev, folder: &Path) -> Result<Self> {
        let (stop, log) = (folder.join("stop"), folder.join("load.log"));
        let urls: Vec<&str> =
            dev.ready["gateways"].as_array().context("gateways")?.iter().filter_map(|one| one["s3"].as_str()).collect();
        let child = dev
            .python_command(0, LOAD)?
            .env("URLS", urls.join(" "))
            .env("STOP", &stop)
            .stdout(Stdio::from(fs::File::create(&log)?))
            .spawn()?;
        Ok(Self { child, stop, log })
    }

    fn lines(&self) -> Result<Vec<Line>> {
        let text = fs::read_to_string(&self.log)?;
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Waits until so many more writes have succeeded.
    fn goes_on(&self, writes: usize) -> Result<()> {
        let ok = || Some(self.lines().ok()?.iter().filter(|line| line.op == "put" && line.result == "ok").count());
        let before = ok().context("the log of the load")?;
        wait_for("the load goes on", || ok().filter(|now| *now >= before + writes).map(|_| ()))
    }

    fn end(mut self) -> Result<Vec<Line>> {
        fs::write(&self.stop, "")?;
        let status = wait_for("the load ends", || self.child.try_wait().ok().flatten())?;
        ensure!(status.success(), "the load failed: {status}");
        self.lines()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keys of one bucket that had this result, and how many reads.
fn keys<'a>(lines: &'a [Line], bucket: &str, result: &str) -> (BTreeSet<&'a str>, u64) {
    let of = |op: &'static str| {
        lines.iter().filter(move |line| line.op == op && line.bucket == bucket && line.result == result)
    };
    (of("put").map(|line| line.key.as_str()).collect(), of("get").count() as u64)
}

#[test]
fn under_load_and_kills_the_totals_at_central_are_what_the_clients_saw() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "2", "--report-interval", "200ms"])?;
    prepare(&dev, folder.path())?;
    let load = Load::start(&dev, folder.path())?;
    load.goes_on(20)?;
    // In the middle of whatever they are at.
    for victims in [
        &[Target::Gateway(0)][..],
        &[Target::Central],
        &[Target::Gateway(1)],
        &[Target::Central, Target::Gateway(0), Target::Gateway(1)],
        &[Target::Gateway(0)],
        &[Target::Central],
        &[Target::Gateway(1), Target::Gateway(0)],
    ] {
        let old: Vec<u32> = victims.iter().map(|victim| dev.pid_of(*victim)).collect::<Result<_>>()?;
        for pid in &old {
            process::signal(*pid, "KILL")?;
        }
        for (victim, old) in victims.iter().zip(&old) {
            wait_for("it is started again", || dev.pid_of(*victim).ok().filter(|pid| pid != old))?;
        }
        load.goes_on(8)?;
    }
    // Until one of them has cut a write off in the middle: which does is luck.
    let cut_off =
        || -> Result<bool> { Ok(load.lines()?.iter().any(|line| line.op == "put" && line.result == "unknown")) };
    let mut more = 0;
    while !cut_off()? {
        more += 1;
        ensure!(more <= 50, "no kill cut off a write that clients had begun");
        dev.kill(Target::Gateway(more % 2))?;
        load.goes_on(8)?;
    }
    let lines = load.end()?;
    connected(&dev)?;

    let list = "
import json
print(json.dumps({b: [o['Key'] for page in s3.get_paginator('list_objects_v2').paginate(Bucket=b)
                      for o in page.get('Contents', [])] for b in ('sealed', 'open')}))";
    let stored: BTreeMap<String, BTreeSet<String>> = serde_json::from_str(&dev.python(0, list)?)?;
    let unread: Vec<&Line> = lines.iter().filter(|line| line.result == "wrong" || line.result == "failed").collect();
    ensure!(
        unread.is_empty(),
        "wrong or refused: {:?}",
        unread.iter().map(|line| (&line.op, &line.key)).collect::<Vec<_>>()
    );

    let mut uncertain = 0;
    for (bucket, outcome) in [("sealed", "encrypted"), ("open", "plain")] {
        let (ok, read) = keys(&lines, bucket, "ok");
        let (unknown, unread) = keys(&lines, bucket, "unknown");
        let found: BTreeSet<&str> = stored[bucket].iter().map(String::as_str).collect();
        let lost: Vec<_> = ok.difference(&found).collect();
        ensure!(lost.is_empty(), "{bucket}: acknowledged and not there: {lost:?}");
        let stray: Vec<_> = found.iter().filter(|key| !ok.contains(*key) && !unknown.contains(*key)).collect();
        ensure!(stray.is_empty(), "{bucket}: there, though the gateway was never reached: {stray:?}");
        uncertain += unknown.len();

        let [ok, unknown, found] = [ok.len(), unknown.len(), found.len()].map(|count| count as u64);
        let settled = wait_for("everything stored is counted or shown as indeterminate", || {
            let counts = written(&dev)?;
            let counted = count(&counts, bucket, outcome);
            let open = count(&counts, bucket, "indeterminate");
            (counted >= ok && counted + open >= found).then_some(counts)
        });
        let counts = settled.or_else(|_| written(&dev).context("statistics"))?;
        let counted = count(&counts, bucket, outcome);
        let open = count(&counts, bucket, "indeterminate");
        let failed = count(&counts, bucket, "failed");
        let told = format!("{bucket}: {ok} ok, {unknown} unknown, {found} stored; Central: {counts:?}");
        ensure!(ok <= counted && counted <= ok + unknown, "what clients saw is what is counted. {told}");
        ensure!(counted <= found, "nothing is counted that is not there. {told}");
        ensure!(found <= counted + open, "nothing stored is missing. {told}");
        ensure!(counted + open + failed <= ok + unknown, "nothing is counted twice. {told}");
        let others = counts
            .keys()
            .filter(|(of, is)| of == bucket && ![outcome, "indeterminate", "failed"].contains(&is.as_str()));
        let others: Vec<_> = others.filter(|key| counts[*key] > 0).collect();
        ensure!(others.is_empty(), "another outcome: {others:?}. {told}");

        let reads = || {
            let stats = dev.sealgate_json(&["stats"]).ok()?;
            let rows = stats["rows"].as_array()?;
            let of = |row: &&Value| row["bucket"] == bucket && row["outcome"] == outcome;
            Some(rows.iter().filter(of).filter_map(|row| row["objects_read"].as_u64()).sum::<u64>())
        };
        let counted = wait_for("the reads are counted", || reads().filter(|counted| *counted >= read))
            .or_else(|_| reads().context("statistics"))?;
        ensure!(
            (read..=read + unread).contains(&counted),
            "{bucket}: {read} reads ended well, {unread} are not known, Central has {counted}"
        );
    }
    ensure!(uncertain > 0, "what was cut off is among what was looked at");
    dev.stop()
}
