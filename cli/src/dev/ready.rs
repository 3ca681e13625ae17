//! The ready file of another `sealgate dev` that still runs is not ours to write.

use std::path::Path;

use serde_json::Value;

use crate::failure::Failure;

/// Refuses a path whose file names services that live and belong to another data directory. One that is no ready file,
/// or that a life before left behind, may be replaced.
pub(super) fn leave_others(path: &Path, data: &Path) -> Result<(), Failure> {
    let Some(ready) = std::fs::read(path).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok()) else {
        return Ok(());
    };
    let theirs = ready["data_dir"].as_str().unwrap_or_default();
    // Over our own directory the lock decides.
    if data.canonicalize().is_ok_and(|own| own == Path::new(theirs)) {
        return Ok(());
    }
    let gateways = ready["gateways"].as_array().into_iter().flatten();
    let named = gateways.map(|gateway| (gateway["name"].as_str().unwrap_or("a gateway"), &gateway["pid"]));
    let mut living = named.chain([("central", &ready["central"]["pid"])]).filter_map(|(name, pid)| {
        let pid = pid.as_u64()?;
        is_service(pid).then_some((name, pid))
    });
    let Some((name, pid)) = living.next() else { return Ok(()) };
    Err(Failure::refused(format!(
        "{} belongs to another `sealgate dev`, which still runs: {name} (process {pid}) of the data directory {theirs}. \
         Nothing was started. Give this one a file of its own by --ready-file, unset SEALGATE_READY_FILE, or stop the \
         other one",
        path.display()
    )))
}

/// Whether this process is one of our services: its number may have gone to somebody else meanwhile.
fn is_service(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("sealgate-"))
}
