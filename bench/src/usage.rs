//! What a process takes, as the kernel tells: `proc_pid_status(5)`, `proc_pid_stat(5)`, `proc_pid_clear_refs(5)`.

use anyhow::Context as _;

/// One unit of processor time in `/proc/PID/stat`: `USER_HZ` is 100 on every platform that Linux runs on.
const TICK_MS: f64 = 10.0;

/// Resident memory now, in KiB.
pub(crate) fn resident_kib(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmRSS:")
}

/// The largest resident memory since [`reset_peak`], in KiB.
pub(crate) fn peak_kib(pid: u32) -> anyhow::Result<u64> {
    status(pid, "VmHWM:")
}

/// Lets the peak begin anew, at what is resident now.
pub(crate) fn reset_peak(pid: u32) -> anyhow::Result<()> {
    let path = format!("/proc/{pid}/clear_refs");
    std::fs::write(&path, "5").with_context(|| format!("{path} cannot be written"))
}

/// Processor time of all threads so far, in milliseconds.
pub(crate) fn processor_ms(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path)?;
    // The program's name, in parentheses, may hold anything; utime and stime are the 14th and 15th field.
    let (_, fields) = text.rsplit_once(')').with_context(|| format!("{path} has no name"))?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut next = || fields.next().and_then(|text| text.parse::<u32>().ok()).map(f64::from);
    let ticks = next().zip(next()).map(|(user, system)| user + system);
    Ok(ticks.with_context(|| format!("{path} has no times"))? * TICK_MS)
}

fn status(pid: u32, name: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path}: has the process ended?"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|kib| kib.parse().ok());
    kib.with_context(|| format!("{path} has no {name}"))
}
