//! One child process that is kept alive until it is told to stop.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use tokio::process::{Child, Command};

use crate::failure::{Context, Failure};
use crate::output::complain;

/// How long what a child left behind may take to end by itself.
const ORPHANS: Duration = Duration::from_secs(10);

/// What to start, and how to end it.
#[derive(Clone)]
pub(super) struct Spec {
    /// For people and for the name of the log.
    pub(super) name: String,
    /// The program and its arguments.
    pub(super) program: PathBuf,
    pub(super) args: Vec<OsString>,
    /// Added to an environment that is otherwise inherited.
    pub(super) env: Vec<(String, OsString)>,
    /// Arguments of setpriv in front of the program: another user, capabilities.
    pub(super) privileges: Vec<OsString>,
    /// Ends the child in order.
    pub(super) stop_signal: Signal,
    /// How long an orderly end may take before SIGKILL.
    pub(super) stop_within: Duration,
    /// Standard output and standard error are appended here.
    pub(super) log: PathBuf,
}

impl Spec {
    /// Starts the child in a process group of its own, so that a Ctrl-C reaches only `dev`, which then stops the
    /// children in order. setpriv ties the child's life to ours: it is told to stop even if `dev` is killed with -9.
    pub(super) fn spawn(&self) -> Result<Child, Failure> {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .or_refuse(|| format!("{} cannot be written", self.log.display()))?;
        let again = log.try_clone().or_refuse(|| format!("{} cannot be written", self.log.display()))?;
        let signal = if self.stop_signal == Signal::INT { "INT" } else { "TERM" };
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", signal]).args(&self.privileges).arg("--").arg(&self.program).args(&self.args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log).stderr(again).process_group(0);
        command.spawn().or_refuse(|| format!("{} cannot be started by setpriv (package util-linux)", self.name))
    }

    /// Ends a child in order, and by SIGKILL where that takes too long. What it started itself has ended as well when
    /// this returns, unless it left the child's process group.
    pub(super) async fn stop(&self, child: &mut Child) {
        let group = pid_of(child);
        self.signal(child, self.stop_signal);
        if tokio::time::timeout(self.stop_within, child.wait()).await.is_err() {
            say(&format!("{} does not stop; it is killed", self.name));
            self.signal(child, Signal::KILL);
            let _ = child.wait().await;
        }
        let Some(group) = group else { return };
        let empty = async {
            while test_kill_process_group(group).is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(ORPHANS, empty).await.is_err() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    fn signal(&self, child: &Child, signal: Signal) {
        if let Some(pid) = pid_of(child)
            && let Err(error) = kill_process(pid, signal)
        {
            say(&format!("{} could not be signalled: {error}", self.name));
        }
    }

    /// The last lines of the log, for a message about a child that did not come up.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(8).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// None once the child has ended and was waited for.
fn pid_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

/// One line to the person at the terminal; standard output stays free.
pub(super) fn say(text: &str) {
    complain(text);
}

/// Waits until `check` gives a value, the child ends, or the deadline passes.
pub(super) async fn wait_for<T>(
    spec: &Spec,
    child: &mut Child,
    deadline: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> Result<T, Failure> {
    let poll = async {
        loop {
            if let Some(value) = check().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        value = poll => Ok(value),
        status = child.wait() => {
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(Failure::refused(format!("{} ended ({status}) before {what}; its log {} ends with:\n{}",
                spec.name, spec.log.display(), spec.last_words())))
        }
        () = tokio::time::sleep(deadline) => {
            Err(Failure::refused(format!("{} did not get so far in {deadline:?}: {what}; its log {} ends with:\n{}",
                spec.name, spec.log.display(), spec.last_words())))
        }
    }
}

/// Writes a file as a whole or not at all, readable by its owner only.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let refused = || format!("{} cannot be written", path.display());
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(name);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .or_refuse(refused)?;
    file.write_all(content).and_then(|()| file.sync_all()).or_refuse(refused)?;
    std::fs::rename(&temporary, path).or_refuse(refused)
}
