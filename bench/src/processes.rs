//! The processes under measurement: started for one benchmark, and gone with it.
//!
//! ```text
//! Place            a private folder beside this program, removed at the end
//!  ├─ Storage      `bench storage`: an S3 service over a directory
//!  └─ Dev          `sealgate dev`: PostgreSQL, Central and the measured gateway
//! ```
//! Each is ended when its value is dropped, also after Ctrl-C (see [`until_interrupted`]).

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::client::{Service, read};

/// How long a start or an end may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(3);
/// Credential of the storage.
const CREDENTIAL: (&str, &str) = ("BENCHSTORAGE", "the secret of a storage that lives for one benchmark");

/// Where everything of one run lies. On the disk of the build, since a folder for temporary files may be in memory.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new(dir: Option<&Path>) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        let beside = own.parent().context("a program lies in a folder")?;
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in(dir.unwrap_or(beside))?;
        Ok(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Runs `work`, and ends it early where the user ends the program, so that what it started is ended and removed.
pub(crate) fn until_interrupted(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = work => result,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = terminate.recv() => bail!("terminated"),
        }
    })
}

/// A program beside this one.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.exists(), "{} is missing: build it first (make bench does)", path.display());
    Ok(path)
}

/// Polls until `check` gives a value.
fn wait_for<T>(what: &str, mut check: impl FnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(value) = check()? {
            return Ok(value);
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
    bail!("gave up waiting: {what}")
}

/// An S3 service over a directory, without a gateway.
pub(crate) struct Storage {
    child: Child,
    service: Service,
}

impl Storage {
    pub(crate) fn start(root: &Path) -> anyhow::Result<Self> {
        let (access_key, secret_key) = CREDENTIAL;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("storage")
            .arg(root)
            .env("SEALGATE_UPSTREAM_ACCESS_KEY", access_key)
            .env("SEALGATE_UPSTREAM_SECRET_KEY", secret_key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let address = line.trim().parse();
        let pid = child.id();
        let storage =
            |address| Self { child, service: Service::new(pid, address, access_key, secret_key, "us-east-1") };
        address.map(storage).with_context(|| format!("the storage did not start: {line:?}"))
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // It ends with its standard input; nothing is left to do where that cannot be waited for.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// What of the ready file is needed.
#[derive(Deserialize)]
struct Ready {
    gateways: Vec<Gateway>,
}

#[derive(Deserialize)]
struct Gateway {
    pid: u32,
    s3: String,
    metrics: String,
    region: String,
    access_key: String,
    secret_key: String,
}

/// A running `sealgate dev` with one gateway.
pub(crate) struct Dev {
    child: Child,
    ready_file: PathBuf,
    service: Service,
    metrics: SocketAddr,
}

/// What the gateway has asked of its storage for clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) requests: u64,
    /// Body bytes of the answers, as they were announced.
    pub(crate) received: u64,
}

impl Dev {
    /// Over the directory storage, or over `upstream`. A second time over the same data goes on with it.
    pub(crate) fn start(data: &Path, upstream: Option<&Service>) -> anyhow::Result<Self> {
        let ready_file = data.with_extension("ready.json");
        if ready_file.exists() {
            std::fs::remove_file(&ready_file)?;
        }
        let mut command = Command::new(program("sealgate")?);
        command.args(["dev", "--port-base", "0", "--data"]).arg(data).arg("--ready-file").arg(&ready_file);
        if let Some(storage) = upstream {
            let (access_key, secret_key) = storage.credential();
            command
                .args(["--upstream", &format!("http://{}", storage.address())])
                .env("SEALGATE_UPSTREAM_ACCESS_KEY", access_key)
                .env("SEALGATE_UPSTREAM_SECRET_KEY", secret_key);
        }
        // What it prints is not a result.
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let started = wait_for("the ready file of sealgate dev", || {
            if let Some(status) = child.try_wait()? {
                bail!("sealgate dev ended: {status}");
            }
            std::fs::read(&ready_file).ok().map(|text| Ok(serde_json::from_slice::<Ready>(&text)?)).transpose()
        })
        .and_then(|ready| {
            let gateway = ready.gateways.first().context("the ready file has no gateway")?;
            let address = gateway.s3.trim_start_matches("http://").parse().context("the gateway's address")?;
            let metrics = gateway.metrics.trim_start_matches("http://").trim_end_matches("/metrics");
            let metrics = metrics.parse().context("the address of the gateway's metrics")?;
            let Gateway { pid, region, access_key, secret_key, .. } = gateway;
            Ok((Service::new(*pid, address, access_key, secret_key, region), metrics))
        });
        match started {
            Ok((service, metrics)) => Ok(Self { child, ready_file, service, metrics }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// The gateway.
    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// What was asked of the storage so far.
    pub(crate) async fn asked(&self) -> anyhow::Result<Asked> {
        let text = read(self.metrics, "/metrics").await?;
        let sum = |name: &str| -> anyhow::Result<u64> {
            let mut sum = 0;
            for line in text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'))) {
                let value = line.rsplit(' ').next().context("a line of metrics has a value")?;
                sum += value.parse::<u64>().with_context(|| format!("metrics: {line}"))?;
            }
            Ok(sum)
        };
        Ok(Asked {
            requests: sum("sealgate_upstream_requests_total")?,
            received: sum("sealgate_upstream_received_bytes_total")?,
        })
    }

    /// Switches the encryption of a bucket on.
    pub(crate) fn encrypt(&self, bucket: &str) -> anyhow::Result<()> {
        let output = Command::new(program("sealgate")?)
            .arg("--ready-file")
            .arg(&self.ready_file)
            .args(["bucket", "encrypt", bucket, "on"])
            .output()?;
        ensure!(output.status.success(), "bucket encrypt: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends `sealgate dev` as Ctrl-C does, so that its children end before it.
fn end(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::INT);
    }
    if wait_for("sealgate dev ends", || Ok(child.try_wait()?)).is_err() {
        // Its children are tied to its life.
        let _ = child.kill();
        let _ = child.wait();
    }
}
