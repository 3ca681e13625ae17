//! The gateway answers as the storage behind it: random operations are sent to both, and every answer is compared.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use tests::ceph::{Ceph, User};
use tests::{Dev, Launch, Upstream, program};

/// How long the sequences of one storage are begun for, in seconds. Without it the same few ones, on every machine.
const SECONDS: &str = "SEALGATE_ALIKE_SECONDS";
/// What to begin with: a seed, or the file of a sequence, as a failure names them; any seed where a time is given.
const BEGIN: &str = "SEALGATE_ALIKE_BEGIN";

#[test]
fn random_operations_are_answered_as_ceph_answers_them_encrypted_and_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ceph = Ceph::start(&folder.path().join("ceph"), vec![User::new("gateways")])?;
    compare("ceph", folder.path(), &ceph.upstream()?)
}

#[test]
fn random_operations_are_answered_as_the_directory_answers_them_encrypted_and_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // By a service of its own, in which there is nothing of a gateway. It verifies signatures as any S3 service does.
    let mut service = Command::new(program("bench")?)
        .arg("storage")
        .arg(folder.path().join("storage"))
        .env("SEALGATE_UPSTREAM_ACCESS_KEY", "any")
        .env("SEALGATE_UPSTREAM_SECRET_KEY", "any")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut address = String::new();
    BufReader::new(service.stdout.take().context("it has an output")?).read_line(&mut address)?;
    let endpoint = format!("http://{}", address.trim());
    let upstream = Upstream { endpoint, access_key: "any".to_owned(), secret_key: "any".to_owned() };
    let compared = compare("directory", folder.path(), &upstream);
    // It ends with its input; with the test, too, where that is killed.
    drop(service.stdin.take());
    service.wait()?;
    compared
}

fn compare(storage: &str, folder: &std::path::Path, upstream: &Upstream) -> Result<()> {
    let dev = Dev::launch(&folder.join("data"), &Launch { upstream: Some(upstream), ..Launch::default() })?;
    let timed = std::env::var(SECONDS).ok();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let default = if timed.is_some() { now.to_string() } else { "telling".to_owned() };
    let seconds = timed.unwrap_or_else(|| "0".to_owned());
    let begin = std::env::var(BEGIN).unwrap_or(default);
    dev.story("alike", &[&seconds, &begin, storage])?;
    dev.stop()
}
