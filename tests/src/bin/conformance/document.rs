//! `docs/CONFORMANCE.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Result, ensure};

use super::Way;
use super::pytest::{Outcome, Outcomes, Suite};
use super::reasons::Reasons;

/// What objects are stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    Ceph,
    Directory,
}

impl Storage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ceph => "ceph",
            Self::Directory => "directory",
        }
    }
}

/// The suite by one way.
pub(crate) struct Run {
    pub(crate) way: Way,
    pub(crate) outcomes: Outcomes,
}

impl Run {
    pub(crate) fn passed(&self, test: &str) -> bool {
        self.outcomes.get(test) == Some(&Outcome::Passed)
    }

    fn number(&self, wanted: Outcome) -> usize {
        self.outcomes.values().filter(|outcome| **outcome == wanted).count()
    }

    pub(crate) fn counts(&self) -> String {
        let [passed, failed, skipped] =
            [Outcome::Passed, Outcome::Failed, Outcome::Skipped].map(|one| self.number(one));
        format!("{passed} passed, {failed} failed, {skipped} skipped")
    }
}

/// The tests that one reason explains, with the ways that they fail by.
type Explained = BTreeMap<(String, String), BTreeMap<String, Vec<Way>>>;

/// The document as it grows.
pub(crate) struct Document {
    text: String,
    unexplained: Vec<String>,
}

impl Document {
    pub(crate) fn new(suite: &Suite) -> Result<Self> {
        let output = Command::new("radosgw").arg("--version").output()?;
        ensure!(output.status.success(), "radosgw --version: {}", output.status);
        let version = String::from_utf8(output.stdout)?;
        let version = version.split_whitespace().nth(2).unwrap_or_default().to_owned();
        let text = format!(
            "<!-- Written by `make conformance`; reasons are in tests/conformance/reasons.toml. -->\n\
             # Conformance\n\n\
             What a client can do at the storage, it can do through the gateway. This is measured with Ceph's test suite for S3, \
             [ceph/s3-tests](https://github.com/ceph/s3-tests) (commit {}), by three ways: directly, through a gateway that encrypts \
             nothing, and through one by which every object of every bucket is encrypted. A test that passes directly and fails through the \
             gateway is a difference, and has its reason below. What is run are its files `test_s3` \
             and `test_headers`, without what the suite itself marks as failing on RGW, tests of expiration, transition and \
             restoration by lifecycle rules, as in Ceph's own runs, and `test_upload_part_copy_percent_encoded_key`, which aborts \
             RGW 16.\n\n\
             This page is written by `make conformance S3TESTS_DIR=DIR`, where DIR is a checkout of the suite's branch `ceph-reef`, which \
             fits this RGW. Each way has a storage of its own; what differs is run again by itself, and must differ again. It fails where \
             a difference has no reason in `tests/conformance/reasons.toml`, or a reason there explains nothing.\n\n\
             Each of the suite's users has keys of its own at the storage, and a credential of the gateway with these \
             (`identities`); requests without a signature go to the storage without one (`backends.NAME.unsigned = \"pass\"`), and what \
             clients ask of the storage's own encryption goes there too (`backends.NAME.sse = \"storage\"`), which are not the \
             defaults.\n",
            suite.version()?
        );
        let mut document = Self { text, unexplained: Vec::new() };
        let _ = writeln!(document.text, "\nCeph RADOS Gateway {version}.");
        Ok(document)
    }

    pub(crate) fn add(&mut self, storage: Storage, runs: &[Run], reasons: &mut Reasons) {
        self.text.push_str(match storage {
            Storage::Ceph => "\n## Over Ceph RADOS Gateway\n\n",
            Storage::Directory => {
                "\n## Over the directory storage\n\nThe directory storage is asked through the gateway only: it has no listener of its \
                 own. What it does not offer is in [S3.md](S3.md).\n\n"
            }
        });
        self.text.push_str("| way | passed | failed | skipped |\n|---|---|---|---|\n");
        for run in runs {
            let way = match run.way {
                Way::Directly => "directly",
                Way::Plain => "gateway, plain",
                Way::Encrypting => "gateway, encrypting",
            };
            let [passed, failed, skipped] =
                [Outcome::Passed, Outcome::Failed, Outcome::Skipped].map(|one| run.number(one));
            let _ = writeln!(self.text, "| {way} | {passed} | {failed} | {skipped} |");
        }
        let direct = runs.iter().find(|run| run.way == Way::Directly);
        let mut explained = Explained::new();
        for run in runs.iter().filter(|run| run.way != Way::Directly) {
            for (test, outcome) in &run.outcomes {
                if *outcome == Outcome::Passed || direct.is_some_and(|direct| !direct.passed(test)) {
                    continue;
                }
                // Skipped where it is not skipped directly is a difference too.
                if *outcome == Outcome::Skipped && direct.is_none() {
                    continue;
                }
                match reasons.why(test, storage, run.way) {
                    Some(reason) => {
                        explained.entry(reason).or_default().entry(test.clone()).or_default().push(run.way);
                    }
                    None => self.unexplained.push(format!("{} {} {test}", storage.name(), run.way.name())),
                }
            }
        }
        if let Some(direct) = direct {
            self.gained(direct, runs);
        }
        self.differences(&explained);
    }

    /// What fails directly and passes through the gateway.
    fn gained(&mut self, direct: &Run, runs: &[Run]) {
        for run in runs.iter().filter(|run| run.way != Way::Directly) {
            let gained: Vec<&str> = run
                .outcomes
                .keys()
                .filter(|test| run.passed(test) && direct.outcomes.get(*test) == Some(&Outcome::Failed))
                .map(|test| test.rsplit("::").next().unwrap_or_default())
                .collect();
            let _ = writeln!(
                self.text,
                "\n{}: {} tests fail directly and pass through the gateway{}",
                run.way.name(),
                gained.len(),
                if gained.is_empty() { ".".to_owned() } else { format!(": `{}`.", gained.join("`, `")) }
            );
        }
    }

    fn differences(&mut self, explained: &Explained) {
        self.text.push_str("\n### What differs\n");
        if explained.is_empty() {
            self.text.push_str("\nNothing.\n");
        }
        for ((title, text), tests) in explained {
            let _ = write!(
                self.text,
                "\n**{title}** ({}). {text}\n\n| test | fails through the gateway |\n|---|---|\n",
                if tests.len() == 1 { "1 test".to_owned() } else { format!("{} tests", tests.len()) }
            );
            for (test, ways) in tests {
                let ways: Vec<&str> = ways.iter().map(|way| way.name()).collect();
                let _ =
                    writeln!(self.text, "| `{}` | {} |", test.rsplit("::").next().unwrap_or_default(), ways.join(", "));
            }
        }
    }

    /// Differences that nobody has explained.
    pub(crate) fn unexplained(&self) -> &[String] {
        &self.unexplained
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}
