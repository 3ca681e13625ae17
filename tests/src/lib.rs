//! The harness: everything that a test starts is a real process, and ends with the test.
//!
//! ```text
//! Dev::start ──▶ `sealgate dev` in a private directory, any free ports ──▶ ready file
//!    │ .sealgate(args)   the command line, against the ready file
//!    │ .python(script)   boto3 in its current version, with the endpoint and the keys of the ready file
//!    │ .kill(child)      -9, and wait until it is there again        .rest(…), .scrape(…)   plain HTTP
//!    │ .story(name)      suite/stories/NAME.py: the same with `harness.py`, for what takes more than a few lines
//!    └ drop              SIGTERM, and a failure if a process stays
//! Ceph::start ─▶ a real RADOS Gateway with users, for `--upstream` or alone        Storage::serve ─▶ the directory
//! ```

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

pub mod ceph;
pub mod process;
pub mod rest;
mod storage;
mod wire;

pub use process::Process;
pub use rest::{Reply, Scrape};
pub use storage::{Hold, Storage};
pub use wire::Wire;

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

/// A program of the same profile as the running one, which is a test in `target/PROFILE/deps` or beside it.
pub fn program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().context("a program lies in a folder")?;
    let profile = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let path = profile.join(name);
    ensure!(path.exists(), "{} is missing: build the workspace's binaries first (make test does)", path.display());
    Ok(path)
}

/// The Python with boto3 that the set-up installed.
pub fn python() -> Result<PathBuf> {
    std::env::var_os("SEALGATE_PYTHON").map(PathBuf::from).context("SEALGATE_PYTHON is not set: run make test")
}

/// How `sealgate dev` is started, where the usual way is not meant.
#[derive(Default)]
pub struct Launch<'a> {
    /// Beside the private ports and ready file.
    pub args: &'a [&'a str],
    /// Added to the environment.
    pub env: &'a [(&'a str, &'a str)],
    /// A program and its arguments in front, which execs what follows: `setpriv`.
    pub before: &'a [&'a str],
    /// Where the binaries lie; those of the tests by default.
    pub programs: Option<&'a Path>,
    /// Where what it says to the terminal is written.
    pub terminal: Option<&'a Path>,
    /// Another S3 service as storage, instead of a directory.
    pub upstream: Option<&'a Upstream>,
}

/// An S3 service that stands behind the gateways, and who they are there. Stories reach it past the gateways, too.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Its address.
    pub endpoint: String,
    /// Of the gateways' identity.
    pub access_key: String,
    /// The same.
    pub secret_key: String,
}

impl Upstream {
    fn environment(&self) -> [(&'static str, &str); 3] {
        [
            ("SEALGATE_UPSTREAM", self.endpoint.as_str()),
            ("SEALGATE_UPSTREAM_ACCESS_KEY", self.access_key.as_str()),
            ("SEALGATE_UPSTREAM_SECRET_KEY", self.secret_key.as_str()),
        ]
    }
}

/// One of the services of a running `sealgate dev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The gateway of this index, from 0.
    Gateway(usize),
    /// Central.
    Central,
}

/// How long one story may take on a busy machine: it moves some hundred megabytes.
pub const STORY: Duration = Duration::from_mins(8);

/// A running `sealgate dev`.
pub struct Dev {
    child: Child,
    upstream: Option<Upstream>,
    data: PathBuf,
    ready_file: PathBuf,
    /// The ready file's content.
    pub ready: Value,
}

impl Dev {
    /// Starts over `data`, with `args` beside the private ports and ready file, and waits for the ready file.
    pub fn start(data: &Path, args: &[&str]) -> Result<Self> {
        Self::launch(data, &Launch { args, ..Launch::default() })
    }

    /// The same, started as `launch` says.
    pub fn launch(data: &Path, launch: &Launch<'_>) -> Result<Self> {
        let ready_file = data.with_extension("ready.json");
        // One that a killed life left is not the one that is waited for.
        let _ = std::fs::remove_file(&ready_file);
        let sealgate = match launch.programs {
            Some(folder) => folder.join("sealgate"),
            None => program("sealgate")?,
        };
        let mut command = match launch.before {
            [] => Command::new(sealgate),
            [program, args @ ..] => {
                let mut command = Command::new(program);
                command.args(args).arg(sealgate);
                command
            }
        };
        command
            .args(["dev", "--port-base", "0", "--data"])
            .arg(data)
            .arg("--ready-file")
            .arg(&ready_file)
            .args(launch.args)
            .envs(launch.env.iter().copied())
            .stdin(Stdio::null());
        if let Some(upstream) = launch.upstream {
            command.args(["--upstream", &upstream.endpoint]).envs(upstream.environment());
        }
        if let Some(terminal) = launch.terminal {
            command.stderr(std::fs::File::options().create(true).append(true).open(terminal)?);
        }
        let mut child = command.spawn()?;
        let ready = wait_for("the ready file of sealgate dev", || {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(Err(anyhow::anyhow!("sealgate dev ended: {status}")));
            }
            let text = std::fs::read(&ready_file).ok()?;
            Some(serde_json::from_slice::<Value>(&text).map_err(anyhow::Error::from))
        })
        .and_then(|ready| ready);
        match ready {
            Ok(ready) => {
                Ok(Self { child, upstream: launch.upstream.cloned(), data: data.to_owned(), ready_file, ready })
            }
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
        let output = self.python_command(index, script)?.output()?;
        ensure!(output.status.success(), "the script failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The same, not started yet.
    pub fn python_command(&self, index: usize, script: &str) -> Result<Command> {
        let gateway = &self.ready["gateways"][index];
        let text = |name: &str| gateway[name].as_str().unwrap_or_default().to_owned();
        let prelude = "import os, boto3\nfrom botocore.exceptions import ClientError\n\
                       s3 = boto3.client('s3', endpoint_url=os.environ['S3_URL'], region_name='us-east-1')\n";
        let mut command = Command::new(python()?);
        command
            .args(["-c", &format!("{prelude}{script}")])
            .env("S3_URL", text("s3"))
            .env("AWS_ACCESS_KEY_ID", text("access_key"))
            .env("AWS_SECRET_ACCESS_KEY", text("secret_key"))
            .env_remove("AWS_PROFILE");
        Ok(command)
    }

    /// Runs `suite/stories/NAME.py`, which is to exit with 0; what it prints.
    pub fn story(&self, name: &str, args: &[&str]) -> Result<String> {
        let stories = Path::new(env!("CARGO_MANIFEST_DIR")).join("suite/stories");
        let gateway = &self.ready["gateways"][0];
        let text = |name: &str| gateway[name].as_str().unwrap_or_default().to_owned();
        // timeout(1) ends a story that hangs, with what it started.
        let output = Command::new("timeout")
            .args(["--kill-after=10", &STORY.as_secs().to_string()])
            .arg(python()?)
            .arg(stories.join(name).with_extension("py"))
            .args(args)
            .env("SEALGATE_READY_FILE", &self.ready_file)
            .env("SEALGATE_PROGRAM", program("sealgate")?)
            .env("SEALGATE_READER", stories.join("../../../docs/reader/read_object.py"))
            .env("AWS_ACCESS_KEY_ID", text("access_key"))
            .env("AWS_SECRET_ACCESS_KEY", text("secret_key"))
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .envs(self.upstream.iter().flat_map(Upstream::environment))
            // Neither the configuration of whoever runs the tests, nor files beside the sources.
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("AWS_PROFILE")
            .stdin(Stdio::null())
            .output()?;
        let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "the story {name} failed ({}):\n{said}\n{failed}", output.status);
        Ok(said.into_owned())
    }

    /// Ends it as Ctrl-C does; an error if it does not end well.
    pub fn stop(mut self) -> Result<()> {
        self.terminate()
    }

    /// Ends it by this signal, such as `TERM`; how it ended.
    pub fn end_by(mut self, signal: &str) -> Result<std::process::ExitStatus> {
        process::signal(self.child.id(), signal)?;
        wait_for("sealgate dev ends after a signal", || self.child.try_wait().ok().flatten())
    }

    /// Its own process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The ready file as it is now: a child that was started again has another pid.
    pub fn now(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&std::fs::read(&self.ready_file)?)?)
    }

    /// The pid of the gateway of this index, or of Central, as it is now.
    pub fn pid_of(&self, child: Target) -> Result<u32> {
        let now = self.now()?;
        let pid = match child {
            Target::Gateway(index) => &now["gateways"][index]["pid"],
            Target::Central => &now["central"]["pid"],
        };
        Ok(u32::try_from(pid.as_u64().context("a pid in the ready file")?)?)
    }

    /// Kills a child with -9 and waits until it is there again under another pid and answers.
    pub fn kill(&self, child: Target) -> Result<()> {
        let old = self.pid_of(child)?;
        process::signal(old, "KILL")?;
        wait_for("a killed child is started again", || self.pid_of(child).ok().filter(|pid| *pid != old))?;
        Ok(())
    }

    /// A request to the REST interface of Central or of a gateway; `path` begins behind `/api/v1`.
    pub fn rest(
        &self,
        target: Target,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Reply> {
        let at = self.place(target);
        let url = format!("{}/api/v1{path}", at["console"].as_str().context("a console")?);
        let authorization = format!("Bearer {}", at["token"].as_str().context("a token")?);
        let headers = [&[("authorization", authorization.as_str())], headers].concat();
        rest::request(method, &url, &headers, body)
    }

    /// The metrics of Central or of a gateway.
    pub fn scrape(&self, target: Target) -> Result<Scrape> {
        Scrape::of(self.place(target)["metrics"].as_str().context("a metrics listener")?)
    }

    fn place(&self, target: Target) -> &Value {
        match target {
            Target::Gateway(index) => &self.ready["gateways"][index],
            Target::Central => &self.ready["central"],
        }
    }

    /// What tells scripts where everything is.
    pub fn ready_file(&self) -> &Path {
        &self.ready_file
    }

    /// Where everything is kept.
    pub fn data(&self) -> &Path {
        &self.data
    }

    fn terminate(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        process::signal(self.child.id(), "INT")?;
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
