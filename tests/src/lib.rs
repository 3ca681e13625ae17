//! The harness: everything that a test starts is a real process, and ends with the test.
//!
//! ```text
//! Dev::start ──▶ `sealgate dev` in a private directory, any free ports ──▶ ready file
//!    │ .sealgate(args)   the command line, against the ready file
//!    │ .python(script)   boto3 in its current version, with the endpoint and the keys of the ready file
//!    └ drop              SIGTERM, and a failure if a process stays
//! ```

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// How long anything may take on a busy machine before the test gives up.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Polls until `check` gives a value; an error that names `what` after [`PATIENCE`].
pub fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(value) = check() {
            return Ok(value);
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    bail!("gave up waiting: {what}")
}

/// A program of the same profile as the running test.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().and_then(Path::parent).context("a test lies in target/PROFILE/deps")?;
    let path = folder.join(name);
    ensure!(path.exists(), "{} is missing: build the workspace's binaries first (make test does)", path.display());
    Ok(path)
}

/// The Python with boto3 that the set-up installed.
pub fn python() -> Result<PathBuf> {
    std::env::var_os("SEALGATE_PYTHON").map(PathBuf::from).context("SEALGATE_PYTHON is not set: run make test")
}

/// A running `sealgate dev`.
pub struct Dev {
    child: Child,
    data: PathBuf,
    ready_file: PathBuf,
    /// The ready file's content.
    pub ready: Value,
}

impl Dev {
    /// Starts over `data`, with `args` beside the private ports and ready file, and waits for the ready file.
    pub fn start(data: &Path, args: &[&str]) -> Result<Self> {
        let ready_file = data.with_extension("ready.json");
        let mut child = Command::new(program("sealgate")?)
            .args(["dev", "--port-base", "0", "--data"])
            .arg(data)
            .arg("--ready-file")
            .arg(&ready_file)
            .args(args)
            .stdin(Stdio::null())
            .spawn()?;
        let ready = wait_for("the ready file of sealgate dev", || {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(Err(anyhow::anyhow!("sealgate dev ended: {status}")));
            }
            let text = std::fs::read(&ready_file).ok()?;
            Some(serde_json::from_slice::<Value>(&text).map_err(anyhow::Error::from))
        })
        .and_then(|ready| ready);
        match ready {
            Ok(ready) => Ok(Self { child, data: data.to_owned(), ready_file, ready }),
            Err(error) => {
                // SIGKILL of dev ends its children too: each is tied to its life.
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// The command line against this instance.
    pub fn sealgate(&self, args: &[&str]) -> Result<Output> {
        Ok(Command::new(program("sealgate")?).arg("--ready-file").arg(&self.ready_file).args(args).output()?)
    }

    /// The same, where it must succeed; its JSON.
    pub fn sealgate_json(&self, args: &[&str]) -> Result<Value> {
        let output = self.sealgate(&[&["--json"], args].concat())?;
        ensure!(output.status.success(), "sealgate {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Runs a boto3 script in which `s3` is a client of gateway `index`; what it prints.
    pub fn python(&self, index: usize, script: &str) -> Result<String> {
        let gateway = &self.ready["gateways"][index];
        let text = |name: &str| gateway[name].as_str().unwrap_or_default().to_owned();
        let prelude = "import os, boto3\nfrom botocore.exceptions import ClientError\n\
                       s3 = boto3.client('s3', endpoint_url=os.environ['S3_URL'], region_name='us-east-1')\n";
        let output = Command::new(python()?)
            .args(["-c", &format!("{prelude}{script}")])
            .env("S3_URL", text("s3"))
            .env("AWS_ACCESS_KEY_ID", text("access_key"))
            .env("AWS_SECRET_ACCESS_KEY", text("secret_key"))
            .env_remove("AWS_PROFILE")
            .output()?;
        ensure!(output.status.success(), "the script failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Ends it as Ctrl-C does; an error if it does not end well.
    pub fn stop(mut self) -> Result<()> {
        self.terminate()
    }

    /// Where everything is kept.
    pub fn data(&self) -> &Path {
        &self.data
    }

    fn terminate(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-INT", &pid]).status()?;
        let status = wait_for("sealgate dev ends after SIGINT", || self.child.try_wait().ok().flatten())?;
        ensure!(status.success(), "sealgate dev ended with {status}");
        Ok(())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if self.terminate().is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
