//! The suite as a program: its configuration, one run, and what became of each test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use tests::ceph::User;

/// What is not of S3, or takes hours: as Ceph's own nightly runs leave it out.
const MARKERS: &str = "not fails_on_rgw and not lifecycle_expiration and not lifecycle_transition \
                       and not cloud_transition and not cloud_restore";
/// One test that hangs must not hold the others up, in seconds.
const LONGEST: &str = "180";
/// Aborts radosgw 16, which decodes a source key twice: nobody may send it that, the gateway least of all.
const HARMFUL: &str = "test_upload_part_copy_percent_encoded_key";

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Passed,
    Skipped,
    /// In the test itself, or while what it needs was made or cleaned up.
    Failed,
}

/// Outcomes, by the test's name.
pub(crate) type Outcomes = BTreeMap<String, Outcome>;

/// A checkout of ceph/s3-tests.
pub(crate) struct Suite {
    folder: PathBuf,
    python: PathBuf,
    work: PathBuf,
    narrowed: Vec<String>,
    /// Its Python package with the tests.
    package: &'static str,
}

impl Suite {
    pub(crate) fn new(folder: PathBuf, python: PathBuf, work: PathBuf, narrowed: Vec<String>) -> Result<Self> {
        let package = ["s3tests_boto3", "s3tests"]
            .into_iter()
            .find(|name| folder.join(name).join("functional/test_s3.py").exists());
        let package = package.with_context(|| format!("{} is no checkout of ceph/s3-tests", folder.display()))?;
        Ok(Self { folder, python, work, narrowed, package })
    }

    /// Its commit and the commit's date.
    pub(crate) fn version(&self) -> Result<String> {
        let output =
            Command::new("git").arg("-C").arg(&self.folder).args(["log", "-1", "--format=%h of %cs"]).output()?;
        ensure!(output.status.success(), "git log: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// A configuration for these users at `address`, as a file.
    pub(crate) fn configure(&self, address: &str, users: &[(&str, User)]) -> Result<PathBuf> {
        let (host, port) = address.split_once(':').context("an address with a port")?;
        let mut text = format!(
            "[DEFAULT]\nhost = {host}\nport = {port}\nis_secure = False\nssl_verify = False\n\n\
             [fixtures]\nbucket prefix = conf-{{random}}-\n\n"
        );
        for (section, user) in users {
            let uid = &user.uid;
            // `$` separates the tenant in what the suite compares owners by.
            let name =
                user.tenant.as_ref().map_or_else(|| user.display_name.clone(), |tenant| format!("{tenant}${uid}"));
            write!(
                text,
                "[{section}]\ndisplay_name = {name}\nuser_id = {uid}\nemail = {}\napi_name = default\n\
                 access_key = {}\nsecret_key = {}\nkms_keyid = testkey-1\n\n",
                user.email, user.access_key, user.secret_key
            )?;
        }
        // Users of other tests, which must be named.
        for section in ["iam root", "iam alt root"] {
            let user = &users[0].1;
            write!(
                text,
                "[{section}]\nuser_id = {}\nemail = {}\naccess_key = {}\nsecret_key = {}\n\n",
                user.uid, user.email, user.access_key, user.secret_key
            )?;
        }
        text.push_str("[webidentity]\ntoken = none\naud = none\nsub = none\nazp = none\nuser_token = none\nthumbprint = none\nKC_REALM = none\n");
        let file = self.work.join("s3tests.conf");
        std::fs::write(&file, text)?;
        Ok(file)
    }

    /// Runs all tests, or those named, against what `configuration` says.
    pub(crate) fn run(&self, configuration: &Path, only: &[String]) -> Result<Outcomes> {
        let report = self.work.join("report.xml");
        let files = ["test_s3", "test_headers"].map(|name| format!("{}/functional/{name}.py", self.package));
        let mut command = Command::new(&self.python);
        command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "--timeout", LONGEST, "-m", MARKERS]);
        command.arg("--junitxml").arg(&report).args(["--deselect", &format!("{}::{HARMFUL}", files[0])]);
        command.args(&self.narrowed);
        if only.is_empty() {
            command.args(["-n", "2"]).args(&files);
        } else {
            command.args(
                only.iter().map(|test| format!("{}/functional/{}", self.package, test.replacen("::", ".py::", 1))),
            );
        }
        command.current_dir(&self.folder).env("S3TEST_CONF", configuration).stdin(Stdio::null());
        let output = command.output().with_context(|| self.python.display().to_string())?;
        // 1: some failed. More: it did not run.
        ensure!(
            matches!(output.status.code(), Some(0 | 1)),
            "pytest: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        read(&std::fs::read(&report)?)
    }
}

/// The outcomes in a report in the form of `JUnit`. A test that fails while it is cleaned up stands there twice.
fn read(report: &[u8]) -> Result<Outcomes> {
    let mut reader = Reader::from_reader(report);
    let (mut outcomes, mut test, mut outcome) = (Outcomes::new(), String::new(), Outcome::Passed);
    loop {
        match reader.read_event()? {
            Event::Empty(element) if element.name().as_ref() == b"testcase" => {
                keep(&mut outcomes, name(&element)?, Outcome::Passed);
            }
            Event::Start(element) if element.name().as_ref() == b"testcase" => {
                (test, outcome) = (name(&element)?, Outcome::Passed);
            }
            Event::Start(element) | Event::Empty(element) => match element.name().as_ref() {
                b"failure" | b"error" => outcome = Outcome::Failed,
                b"skipped" => outcome = Outcome::Skipped,
                _ => {}
            },
            Event::End(element) if element.name().as_ref() == b"testcase" => {
                keep(&mut outcomes, std::mem::take(&mut test), outcome);
            }
            Event::Eof => return Ok(outcomes),
            _ => {}
        }
    }
}

fn keep(outcomes: &mut Outcomes, test: String, outcome: Outcome) {
    outcomes.entry(test).and_modify(|before| *before = outcome.max(*before)).or_insert(outcome);
}

/// `test_s3::test_bucket_list_empty`
fn name(element: &BytesStart<'_>) -> Result<String> {
    let attribute = |name: &str| -> Result<String> {
        let value = element.try_get_attribute(name)?.with_context(|| format!("a testcase without {name}"))?;
        Ok(value.normalized_value(quick_xml::XmlVersion::Implicit1_0)?.into_owned())
    };
    let (class, name) = (attribute("classname")?, attribute("name")?);
    Ok(format!("{}::{name}", class.rsplit('.').next().unwrap_or_default()))
}
