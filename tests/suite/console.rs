//! The consoles as people have them before them: Chromium against the real binaries, driven by Playwright.
//! The stories are in `dashboards/console/e2e`; what they look at is kept in `target/consoles`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::{Dev, Launch, Target, Upstream, program, python};

/// How long the stories of one file may take on a busy machine, which is more than the limits of all of them together
/// (ten of four minutes each, or two of fourteen): where it takes too long, it is a story of which this is told.
const LONGEST: Duration = Duration::from_mins(45);
/// How long Playwright has, to start and to tell how it went, before it is ended.
const SLACK: Duration = Duration::from_mins(1);

/// Runs the stories of `spec` against `dev`.
fn stories(dev: &Dev, spec: &str) -> Result<()> {
    let console = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards/console");
    let tools = std::env::var_os("SEALGATE_TOOLS").context("SEALGATE_TOOLS is not set: run make test")?;
    let artefacts = artefacts()?.join(spec);
    match std::fs::remove_dir_all(&artefacts) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => std::fs::create_dir_all(&artefacts)?,
    }
    let output = Command::new("timeout")
        .args(["--kill-after=10", &(LONGEST + SLACK).as_secs().to_string()])
        .arg(Path::new(&tools).join("node/bin/node"))
        .args(["node_modules/@playwright/test/cli.js", "test", "--config", "e2e/playwright.config.ts"])
        .arg(format!("e2e/{spec}.spec.ts"))
        .current_dir(console)
        .env("SEALGATE_READY_FILE", dev.ready_file())
        .env("SEALGATE_ARTEFACTS", &artefacts)
        .env("SEALGATE_STORIES_MS", LONGEST.as_millis().to_string())
        .env("SEALGATE_PYTHON", python()?)
        .env("SEALGATE_PROGRAM", program("sealgate")?)
        .stdin(Stdio::null())
        .output()?;
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "the stories of {spec} failed ({}):\n{said}\n{failed}", output.status);
    Ok(())
}

/// `target/consoles`: screenshots outlive the tests.
fn artefacts() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("a test lies in target/PROFILE/deps")?;
    Ok(target.join("consoles"))
}

#[test]
fn administrators_write_and_publish_policies_and_lose_nothing_to_each_other_or_to_a_fault() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "2"])?;
    stories(&dev, "central")?;
    dev.stop()
}

#[test]
fn every_action_at_central_can_be_done_by_keyboard_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "2"])?;
    stories(&dev, "keyboard-central")?;
    dev.stop()
}

#[test]
fn each_number_of_the_overview_leads_to_its_rows_and_is_what_stats_and_prometheus_say() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--gateways", "2"])?;
    stories(&dev, "numbers")?;
    dev.stop()
}

#[test]
fn an_operator_sets_up_a_key_switches_a_bucket_on_and_sees_why_an_object_is_encrypted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--kms", "none"])?;
    stories(&dev, "gateway")?;
    dev.stop()
}

#[test]
fn a_credential_acts_at_the_storage_by_the_identity_that_it_was_given() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // A storage that knows several: another gateway, which looks at signatures and grants.
    let storage = Dev::start(&folder.path().join("storage"), &["--kms", "none"])?;
    let reader = json!({
        "name": "reader", "access_key": "reader-there", "secret_key": "secret of the reader",
        "grants": [{ "buckets": ["*"], "actions": ["read", "list"] }],
    });
    let json = [("content-type", "application/json")];
    let made = storage.rest(Target::Gateway(0), "POST", "/credentials", &json, &reader.to_string())?;
    ensure!(made.status == 201, "{made:?}");
    let of = |name: &str| storage.ready["gateways"][0][name].as_str().map(str::to_owned).context("in the ready file");
    let upstream = Upstream { endpoint: of("s3")?, access_key: of("access_key")?, secret_key: of("secret_key")? };
    let system = [("SEALGATE_GATEWAY_STORAGE__SYSTEM_BUCKET", "system-of-the-one-before-it")];
    let launch = Launch { upstream: Some(&upstream), env: &system, ..Launch::default() };
    let dev = Dev::launch(&folder.path().join("data"), &launch)?;
    stories(&dev, "identities")?;
    dev.stop()?;
    storage.stop()
}

#[test]
fn every_action_of_the_gateway_s_console_is_done_by_keyboard_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--kms", "none"])?;
    stories(&dev, "keyboard-gateway")?;
    dev.stop()
}

#[test]
fn ten_thousand_gateways_are_listed_a_few_rows_at_a_time() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--kms", "none"])?;
    stories(&dev, "many")?;
    dev.stop()
}

#[test]
fn every_page_is_free_of_violations_in_both_schemes_and_sizes_and_can_be_printed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &["--demo"])?;
    stories(&dev, "pages")?;
    stories(&dev, "print")?;
    dev.stop()
}
