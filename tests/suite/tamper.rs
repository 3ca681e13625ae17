//! Stored bytes changed by hand.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tests::Dev;

#[test]
fn whatever_is_changed_in_the_storage_is_refused_with_what_is_wrong_and_never_read_as_right() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tools = std::env::var_os("SEALGATE_TOOLS").map(PathBuf::from);
    let tools = tools.context("SEALGATE_TOOLS is not set: run make test")?;
    let work = folder.path().join("work");
    std::fs::create_dir(&work)?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    let log = dev.data().join("logs/gateway-1.log");
    let text = |path: &PathBuf| path.to_str().map(str::to_owned).context("a path of UTF-8");
    dev.story("tamper", &[&text(&tools)?, &text(&work)?, &text(&log)?])?;
    dev.stop()
}
