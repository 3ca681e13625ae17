//! What benchmarks print.

use std::io::{self, Write as _};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use serde::Serialize;

/// Prints one result as a line of JSON.
pub(crate) fn print<T: Serialize>(result: &T) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, result)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Where results come from.
#[derive(Serialize)]
struct Machine {
    bench: &'static str,
    #[serde(rename = "machine")]
    processor: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
    /// `+` where the tree has changes that are not committed; `unknown` outside a repository.
    commit: String,
    unix_s: u64,
}

/// Prints where and of what the results are.
pub(crate) fn print_machine() -> anyhow::Result<()> {
    let field = |path: &str, name: &str| -> Option<String> {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    print(&Machine {
        bench: "machine",
        processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: std::thread::available_parallelism()?.get(),
        memory_mib: memory.unwrap_or_default() / 1024,
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        commit: commit().unwrap_or_else(|| "unknown".to_owned()),
        unix_s: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs(),
    })
}

fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    };
    let commit = git(&["rev-parse", "HEAD"])?.trim().to_owned();
    let changed = !git(&["status", "--porcelain"])?.is_empty();
    Some(if changed { commit + "+" } else { commit })
}

/// Says on standard error why a benchmark could not be run.
pub(crate) fn complain(error: &anyhow::Error) -> ExitCode {
    // Nothing is left to do where standard error is closed.
    let _ = writeln!(io::stderr(), "bench: {error:#}");
    ExitCode::FAILURE
}

/// The middle of some values; NaN of none.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
