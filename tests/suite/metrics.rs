//! What is scraped: the names that others rely on, with their labels, in a form that promtool finds no fault with.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tests::{Dev, Scrape, Target, wait_for};

/// `promtool check metrics` of the text; what it says.
fn promtool(text: &str) -> Result<String> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool: make test installs it")?;
    child.stdin.take().context("a pipe")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Ok(if output.status.success() { said } else { format!("{}: {said}", output.status) })
}

/// A name and the labels that every sample of it has.
type Expected = (&'static str, &'static [&'static str]);

const GATEWAY: &[Expected] = &[
    ("sealgate_objects_total", &["bucket", "policy", "outcome", "direction"]),
    ("sealgate_bytes_total", &["bucket", "policy", "outcome", "direction"]),
    ("sealgate_request_duration_seconds_bucket", &["operation", "outcome", "le"]),
    ("sealgate_request_duration_seconds_count", &["operation", "outcome"]),
    ("sealgate_request_duration_seconds_sum", &["operation", "outcome"]),
    ("sealgate_kms_calls_total", &["kms", "operation", "result"]),
    ("sealgate_kek_wraps", &[]),
    ("sealgate_policy_revision", &["state"]),
    ("sealgate_central_connected", &[]),
    ("sealgate_upstream_requests_total", &["backend", "result"]),
    ("sealgate_spool_bytes", &[]),
];

const CENTRAL: &[Expected] = &[
    ("sealgate_fleet_objects_total", &["gateway", "bucket", "policy", "outcome"]),
    ("sealgate_fleet_bytes_total", &["gateway", "bucket", "policy", "outcome"]),
    ("sealgate_gateways", &["state", "connection"]),
    ("sealgate_policy_head_revision", &[]),
    ("sealgate_policy_convergence_seconds_bucket", &["le"]),
    ("sealgate_policy_convergence_seconds_count", &[]),
    ("sealgate_refusals", &[]),
    ("sealgate_reports_total", &["result"]),
    ("sealgate_report_gaps_total", &[]),
];

fn has(scrape: &Scrape, expected: &[Expected]) -> Result<()> {
    for (name, labels) in expected {
        let samples = scrape.samples(name, &[]);
        ensure!(!samples.is_empty(), "{name} is missing:\n{}", scrape.text);
        for sample in samples {
            let lacks = labels.iter().find(|label| sample.label(label).is_none());
            ensure!(lacks.is_none(), "{name} lacks the label {lacks:?}: {sample:?}");
        }
    }
    Ok(())
}

/// Every (gateway, bucket, policy, outcome, direction) with its value, of one counter.
fn counts(
    scrape: &Scrape,
    name: &str,
    gateway: Option<&str>,
) -> BTreeMap<(String, String, String, String, String), String> {
    let samples = scrape.samples(name, &[]);
    let label = |sample: &tests::rest::Sample, name: &str| sample.label(name).unwrap_or_default().to_owned();
    samples
        .into_iter()
        .map(|sample| {
            let gateway = gateway.map_or_else(|| label(sample, "gateway"), str::to_owned);
            let [bucket, policy, outcome, direction] =
                ["bucket", "policy", "outcome", "direction"].map(|name| label(sample, name));
            ((gateway, bucket, policy, outcome, direction), sample.value.to_string())
        })
        .collect()
}

#[test]
fn every_listener_is_clean_has_the_fixed_names_and_central_tells_what_the_gateways_count() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "2"])?;
    let targets = [Target::Gateway(0), Target::Gateway(1), Target::Central];
    // Before any traffic too: a metric without help or with a wrong suffix shows from the start.
    for target in targets {
        let said = promtool(&dev.scrape(target)?.text)?;
        ensure!(said.is_empty(), "{target:?}: {said}");
    }

    dev.python(0, "for b in ('sealed', 'open', 'shut'):\n    s3.create_bucket(Bucket=b)")?;
    let policies = folder.path().join("policies.yaml");
    let policy = |name: &str, bucket: &str, effect: &str| {
        format!(
            "apiVersion: sealgate.dev/v1\nkind: GovernancePolicy\nmetadata: {{ name: {name} }}\nspec:\n  \
             buckets: [{bucket}]\n  effect: {effect}\n---\n"
        )
    };
    std::fs::write(&policies, policy("seal", "sealed", "encrypt") + &policy("shut", "shut", "deny"))?;
    let policies = policies.to_str().context("a path of UTF-8")?;
    dev.sealgate_json(&["policy", "apply", "-f", policies, "--wait", "effective"])?;
    let traffic = "
for b in ('sealed', 'open'):
    for n in range(3):
        s3.put_object(Bucket=b, Key=f'k{n}', Body=b'x' * 1000 * n)
        s3.get_object(Bucket=b, Key=f'k{n}')['Body'].read()
    s3.list_objects_v2(Bucket=b)
    try:
        s3.put_object(Bucket=b, Key='wrong', Body=b'x', ContentMD5='AAAAAAAAAAAAAAAAAAAAAA==')
        raise SystemExit('a wrong MD5 was taken')
    except ClientError as e:
        assert e.response['Error']['Code'] == 'BadDigest', e
try:
    s3.put_object(Bucket='shut', Key='k', Body=b'x')
    raise SystemExit('what a policy denies was taken')
except ClientError as e:
    assert e.response['Error']['Code'] == 'AccessDenied', e
try:
    s3.get_object(Bucket='open', Key='absent')
    raise SystemExit('an absent object was read')
except ClientError as e:
    assert e.response['Error']['Code'] == 'NoSuchKey', e
";
    for gateway in 0..2 {
        dev.python(gateway, traffic)?;
    }
    wait_for("Central's scrape has the counters of both gateways", || {
        let central = dev.scrape(Target::Central).ok()?;
        let mut own = [BTreeMap::new(), BTreeMap::new()];
        for (index, name) in ["gateway-1", "gateway-2"].into_iter().enumerate() {
            let scrape = dev.scrape(Target::Gateway(index)).ok()?;
            own[0].extend(counts(&scrape, "sealgate_objects_total", Some(name)));
            own[1].extend(counts(&scrape, "sealgate_bytes_total", Some(name)));
        }
        let fleet = ["sealgate_fleet_objects_total", "sealgate_fleet_bytes_total"];
        (fleet.map(|name| counts(&central, name, None)) == own).then_some(())
    })?;

    for target in targets {
        let scrape = dev.scrape(target)?;
        has(&scrape, if target == Target::Central { CENTRAL } else { GATEWAY })
            .with_context(|| format!("{target:?}"))?;
        let said = promtool(&scrape.text)?;
        ensure!(said.is_empty(), "{target:?}: {said}");
    }
    // What was done is what is counted.
    let central = dev.scrape(Target::Central)?;
    for gateway in ["gateway-1", "gateway-2"] {
        let counted = |bucket, policy, outcome, direction| {
            let labels = [
                ("gateway", gateway),
                ("bucket", bucket),
                ("policy", policy),
                ("outcome", outcome),
                ("direction", direction),
            ];
            ["sealgate_fleet_objects_total", "sealgate_fleet_bytes_total"]
                .map(|name| central.sum(name, &labels).to_string())
        };
        for (bucket, policy, outcome) in [("sealed", "seal", "encrypted"), ("open", "", "plain")] {
            for direction in ["in", "out"] {
                let counted = counted(bucket, policy, outcome, direction);
                ensure!(counted == ["3", "3000"], "{gateway} {bucket} {direction}: {counted:?}");
            }
            ensure!(counted(bucket, "", "failed", "in")[0] == "1", "{gateway}: the wrong MD5 in {bucket}");
        }
        ensure!(counted("shut", "shut", "denied", "in")[0] == "1", "{gateway}: what was denied");
    }
    both_are_connected(&dev)?;
    let head = central.sum("sealgate_policy_head_revision", &[]);
    for index in 0..2 {
        let scrape = dev.scrape(Target::Gateway(index))?;
        for state in ["held", "effective"] {
            let revision = scrape.sum("sealgate_policy_revision", &[("state", state)]);
            ensure!((revision - head).abs() < 0.5, "gateway {index}: {state} {revision}, head {head}");
        }
        wait_for(&format!("gateway {index} is connected"), || {
            let scrape = dev.scrape(Target::Gateway(index)).ok()?;
            (scrape.sum("sealgate_central_connected", &[]) > 0.5).then_some(())
        })?;
    }
    dev.stop()
}

/// A gateway that a busy machine keeps from its heartbeat counts as late for that moment.
fn both_are_connected(dev: &Dev) -> Result<()> {
    wait_for("both gateways are connected", || {
        let central = dev.scrape(Target::Central).ok()?;
        let connected = central.sum("sealgate_gateways", &[("state", "active"), ("connection", "connected")]);
        (connected.to_string() == "2").then_some(())
    })
}

/// A metric that promtool should find fault with is found: the check can fail.
#[test]
fn promtool_finds_a_counter_without_its_suffix() -> Result<()> {
    let said = promtool("# HELP sealgate_objects Objects.\n# TYPE sealgate_objects counter\nsealgate_objects 1\n")?;
    ensure!(said.contains("_total"), "{said}");
    Ok(())
}
