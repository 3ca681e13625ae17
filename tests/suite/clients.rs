//! The tools that people have: awscli, rclone, s3cmd, restic.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tests::Dev;

#[test]
fn the_usual_tools_copy_both_ways_and_find_nothing_to_copy_the_second_time() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tools = std::env::var_os("SEALGATE_TOOLS").map(PathBuf::from);
    let tools = tools.context("SEALGATE_TOOLS is not set: run make test")?;
    let tools = tools.to_str().context("a path of UTF-8")?;
    let work = folder.path().join("work");
    std::fs::create_dir(&work)?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    dev.story("clients", &[tools, work.to_str().context("a path of UTF-8")?])?;
    dev.stop()
}
