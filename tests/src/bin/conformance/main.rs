//! Ceph's S3 test suite by three ways, and what differs between them (`make conformance`).
//!
//! ```text
//!                    ┌────────────── directly ──────────────┐
//!  ceph/s3-tests ────┼─▶ gateway, plain ────────────────────┼─▶ Ceph RGW      ─▶ outcomes ─▶ reasons ─▶ docs/CONFORMANCE.md
//!                    └─▶ gateway, every bucket encrypting ──┘   (one for each)
//! ```
//! The same without the first way over the directory storage. What passes directly and fails through the gateway is run
//! again by itself, and stays a difference only if it fails again. Each one that stays must have its reason in
//! `tests/conformance/reasons.toml`; one without it, and a reason that nothing needs, are failures.

#![expect(clippy::print_stdout, reason = "what it finds is for who runs it")]

mod document;
mod pytest;
mod reasons;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tests::ceph::{Ceph, User};
use tests::{Dev, Launch, rest};

use document::{Document, Run, Storage};
use pytest::{Outcome, Suite};
use reasons::Reasons;

/// How a test comes to the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    Directly,
    Plain,
    Encrypting,
}

impl Way {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Directly => "directly",
            Self::Plain => "plain",
            Self::Encrypting => "encrypting",
        }
    }
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let (mut suite, mut python, mut narrowed, mut only) = (None, None, Vec::new(), None);
    while let Some(flag) = args.next() {
        let mut value = || args.next().with_context(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--s3tests" => suite = Some(PathBuf::from(value()?)),
            "--python" => python = Some(PathBuf::from(value()?)),
            // While mending something: only these tests, or this storage, and no document.
            "-k" => narrowed = vec!["-k".to_owned(), value()?],
            "--storage" => only = Some(value()?),
            _ => anyhow::bail!("conformance --s3tests DIR --python FILE [-k EXPRESSION] [--storage ceph|directory]"),
        }
    }
    let folder = tempfile::tempdir()?;
    let suite = Suite::new(
        suite.context("--s3tests DIR: a checkout of ceph/s3-tests")?,
        python.context("--python FILE: a Python with its requirements")?,
        folder.path().to_owned(),
        narrowed.clone(),
    )?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut reasons = Reasons::read(&here.join("conformance/reasons.toml"))?;
    let mut document = Document::new(&suite)?;
    let storages = [Storage::Ceph, Storage::Directory];
    for storage in storages.into_iter().filter(|one| only.as_ref().is_none_or(|only| only == one.name())) {
        let ways: &[Way] = match storage {
            Storage::Ceph => &[Way::Directly, Way::Plain, Way::Encrypting],
            // It has no listener of its own.
            Storage::Directory => &[Way::Plain, Way::Encrypting],
        };
        let mut runs: Vec<Run> = Vec::new();
        for way in ways {
            let place = folder.path().join(format!("{}-{}", storage.name(), way.name()));
            let at = Deployed::start(&place, storage, *way)?;
            let mut outcomes = suite.run(&at.configuration(&suite)?, &[])?;
            // Run again, so that a machine that stood still is no difference.
            let direct = runs.first().filter(|run| run.way == Way::Directly);
            let differs: Vec<String> = outcomes
                .iter()
                .filter(|(test, outcome)| **outcome == Outcome::Failed && direct.is_some_and(|run| run.passed(test)))
                .map(|(test, _)| test.clone())
                .collect();
            if !differs.is_empty() {
                outcomes.extend(suite.run(&at.configuration(&suite)?, &differs)?);
            }
            let run = Run { way: *way, outcomes };
            println!("{} {}: {}", storage.name(), way.name(), run.counts());
            runs.push(run);
        }
        document.add(storage, &runs, &mut reasons);
    }
    for line in document.unexplained() {
        println!("without a reason: {line}");
    }
    if !narrowed.is_empty() || only.is_some() {
        return Ok(());
    }
    let idle = reasons.idle();
    std::fs::write(here.join("../docs/CONFORMANCE.md"), document.text())?;
    ensure!(idle.is_empty(), "reasons that nothing needs: {}", idle.join(", "));
    ensure!(document.unexplained().is_empty(), "there are differences without a reason");
    Ok(())
}

/// The users that the suite expects, as its sample configuration names their sections.
fn users() -> Vec<(&'static str, User)> {
    let user = |section: &'static str, uid: &str| (section, User::new(uid));
    let mut users =
        vec![user("s3 main", "main"), user("s3 alt", "alt"), user("s3 tenant", "tenanted"), user("iam", "iam")];
    users[2].1.tenant = Some("testx".to_owned());
    users[3].1.caps = Some("user-policy=*;roles=*".to_owned());
    users
}

/// A storage, with a gateway before it or without one.
struct Deployed {
    /// Ended in this order: the gateway before its storage.
    _dev: Option<Dev>,
    _ceph: Option<Ceph>,
    address: String,
    users: Vec<(&'static str, User)>,
}

impl Deployed {
    fn start(place: &Path, storage: Storage, way: Way) -> Result<Self> {
        std::fs::create_dir_all(place)?;
        let users = users();
        let of_ceph = || users.iter().map(|(_, user)| user.clone()).collect();
        let ceph = match storage {
            Storage::Ceph => Some(Ceph::start(&place.join("ceph"), of_ceph())?),
            Storage::Directory => None,
        };
        let host = |url: &str| url.trim_start_matches("http://").to_owned();
        if way == Way::Directly {
            let address = host(&ceph.as_ref().context("nothing to speak to")?.endpoint);
            return Ok(Self { _dev: None, _ceph: ceph, address, users });
        }
        let mut args = vec!["--gateways", "1"];
        let mut env = vec![("SEALGATE_GATEWAY_FLOOR", if way == Way::Encrypting { "encrypt" } else { "none" })];
        // The suite makes a bucket in the region that RGW calls so, and asks where it is.
        env.push(("SEALGATE_GATEWAY_REGION", "default"));
        if let Some(ceph) = &ceph {
            args.extend(["--upstream", &ceph.endpoint]);
            env.extend([
                ("SEALGATE_UPSTREAM_ACCESS_KEY", users[0].1.access_key.as_str()),
                ("SEALGATE_UPSTREAM_SECRET_KEY", users[0].1.secret_key.as_str()),
                ("SEALGATE_GATEWAY_BACKENDS__UPSTREAM__UNSIGNED", "pass"),
                ("SEALGATE_GATEWAY_BACKENDS__UPSTREAM__SSE", "storage"),
            ]);
        }
        let dev = Dev::launch(&place.join("data"), &Launch { args: &args, env: &env, ..Launch::default() })?;
        let gateway = dev.ready["gateways"][0].clone();
        for (section, user) in &users {
            add(&gateway, section, user, ceph.is_some())?;
        }
        let address = host(gateway["s3"].as_str().context("the ready file has an address")?);
        Ok(Self { _dev: Some(dev), _ceph: ceph, address, users })
    }

    /// The suite's configuration for it, as a file.
    fn configuration(&self, suite: &Suite) -> Result<PathBuf> {
        suite.configure(&self.address, &self.users)
    }
}

/// A credential of the gateway with the keys that the user has at the storage, and who speaks there as that user.
fn add(gateway: &Value, name: &str, user: &User, at_the_storage: bool) -> Result<()> {
    let keys = json!({ "access_key": user.access_key, "secret_key": user.secret_key });
    let identities = if at_the_storage { json!({ "upstream": keys }) } else { json!({}) };
    let body = json!({
        "name": name, "access_key": user.access_key, "secret_key": user.secret_key, "identities": identities,
        "grants": [{ "buckets": ["*"], "actions": ["read", "write", "delete", "list", "manage"] }],
    });
    let text = |name: &str| gateway[name].as_str().unwrap_or_default();
    let headers = [("authorization", &*format!("Bearer {}", text("token"))), ("content-type", "application/json")];
    let url = format!("{}/api/v1/credentials", text("console"));
    let reply = rest::request("POST", &url, &headers, &body.to_string())?;
    ensure!(reply.status == 201, "the credential {name}: {} {}", reply.status, reply.text);
    Ok(())
}
