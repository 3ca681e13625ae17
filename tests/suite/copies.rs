//! Copies: of encrypted objects without their data, of every other pair as if they were read and stored anew.

use anyhow::{Context, Result, ensure};
use tests::{Dev, Scrape};

/// What the gateway has moved to and from its storage, in bytes of bodies.
fn moved(dev: &Dev) -> Result<f64> {
    let url = dev.ready["gateways"][0]["metrics"].as_str().context("the metrics of the gateway")?;
    let scrape = Scrape::of(url)?;
    let sides = ["sealgate_upstream_received_bytes_total", "sealgate_upstream_sent_bytes_total"];
    Ok(sides.iter().map(|name| scrape.sum(name, &[])).sum())
}

#[test]
fn copies_of_encrypted_objects_move_no_data_and_every_pair_reads_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev::start(&folder.path().join("data"), &[])?;
    dev.story("copies", &["make"])?;
    let before = moved(&dev)?;
    ensure!(before > 64e6, "what was stored is counted: {before}");
    dev.story("copies", &["copy"])?;
    let copying = moved(&dev)? - before;
    ensure!(copying < f64::from(1 << 20), "copies of 64 MiB moved {copying} bytes");
    dev.story("copies", &["read"])?;
    dev.story("copies", &["pairs"])?;
    dev.stop()
}
