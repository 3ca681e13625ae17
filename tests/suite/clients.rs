//! The clients that people have, over both storages: boto3, awscli, rclone, s3cmd, restic.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tests::ceph::{Ceph, User};
use tests::{Dev, Launch};

#[test]
fn the_usual_clients_find_what_they_stored_and_nothing_to_copy_twice_over_the_directory() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    all_clients(&dev, folder.path())?;
    dev.stop()
}

#[test]
fn the_usual_clients_find_what_they_stored_and_nothing_to_copy_twice_over_ceph() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let ceph = Ceph::start(&folder.path().join("ceph"), vec![User::new("gateways")])?;
    let upstream = ceph.upstream()?;
    let launch = Launch { upstream: Some(&upstream), ..Launch::default() };
    let dev = Dev::launch(&folder.path().join("data"), &launch)?;
    all_clients(&dev, folder.path())?;
    dev.stop()
}

fn all_clients(dev: &Dev, folder: &Path) -> Result<()> {
    let tools = std::env::var_os("SEALGATE_TOOLS").map(PathBuf::from);
    let tools = tools.context("SEALGATE_TOOLS is not set: run make test")?;
    let tools = tools.to_str().context("a path of UTF-8")?;
    let work = folder.join("work");
    std::fs::create_dir(&work)?;
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CLIENTS.md");
    dev.story("clients", &[tools, work.to_str().context("a path of UTF-8")?, document]).map(drop)
}
