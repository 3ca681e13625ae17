//! Checksums as current SDKs use them by default, in an encrypted bucket as in a plain one.

use anyhow::{Context, Result};
use tests::Dev;

#[test]
fn what_clients_check_by_default_they_find_in_every_bucket() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tools = std::env::var("SEALGATE_TOOLS").context("SEALGATE_TOOLS is not set: run make test")?;
    let work = folder.path().join("work");
    std::fs::create_dir(&work)?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    dev.story("checksums", &[&tools, work.to_str().context("a path of UTF-8")?])?;
    dev.stop()
}
