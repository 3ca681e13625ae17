//! `bench memory`: 64 objects of 256 MiB are stored at once, sealed, then read at once. How far does the gateway's memory
//! rise above what it takes when idle? Once with the directory storage inside it, once over an S3 service.
//!
//! The peak is the kernel's own (`VmHWM`), set anew before each phase.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::Method;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::client::{Payload, Service};
use crate::processes::{Dev, Place, Storage, until_interrupted};
use crate::report::print;
use crate::usage::{peak_kib, reset_peak, resident_kib};

const BUCKET: &str = "bench-memory";
/// After the start a gateway reports, connects and settles; what it takes after this is called idle.
const IDLE_AFTER: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Objects at once.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// MiB of each. All of them lie on the disk at once.
    #[arg(long, default_value_t = 256)]
    mib: u64,
    /// `directory` or `s3`; both if not given.
    #[arg(long)]
    storage: Option<String>,
    /// Bodies in aws-chunked coding with a CRC32 in the trailer, as SDKs send them over TLS.
    #[arg(long)]
    chunked: bool,
    /// Where the data goes while it runs, instead of beside this program.
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Line {
    bench: &'static str,
    case: String,
    storage: &'static str,
    idle_rss_mib: f64,
    peak_rss_mib: f64,
    over_idle_mib: f64,
    /// Of all objects together.
    mib_per_s: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.concurrency > 0 && args.mib > 0, "nothing to measure");
    until_interrupted(async {
        for storage in ["directory", "s3"] {
            if args.storage.as_deref().is_none_or(|wanted| wanted == storage) {
                over(args, storage).await?;
            }
        }
        Ok(())
    })
}

async fn over(args: &Args, name: &'static str) -> anyhow::Result<()> {
    let place = Place::new(args.dir.as_deref())?;
    let storage = (name == "s3").then(|| Storage::start(&place.path().join("storage"))).transpose()?;
    let dev = Dev::start(&place.path().join("data"), storage.as_ref())?;
    let service = dev.service();
    service.ask(Method::PUT, &format!("/{BUCKET}")).await?;
    dev.encrypt(BUCKET)?;
    tokio::time::sleep(IDLE_AFTER).await;
    let idle = resident_kib(service.pid())?;
    let mut payload = Payload::new(args.mib << 20)?;
    if args.chunked {
        payload = payload.chunked();
    }
    for method in [Method::PUT, Method::GET] {
        reset_peak(service.pid())?;
        let begun = Instant::now();
        all_at_once(args, service, &method, &payload).await?;
        let elapsed = begun.elapsed().as_secs_f64();
        let peak = peak_kib(service.pid())?;
        let total = f64::from(u32::try_from(args.mib)?) * f64::from(u32::try_from(args.concurrency)?);
        let coding = if args.chunked && method == Method::PUT { "-chunked" } else { "" };
        print(&Line {
            bench: "memory",
            case: format!("{}-{}MiB-c{}{coding}", method.as_str().to_ascii_lowercase(), args.mib, args.concurrency),
            storage: name,
            idle_rss_mib: mib(idle)?,
            peak_rss_mib: mib(peak)?,
            over_idle_mib: mib(peak)? - mib(idle)?,
            mib_per_s: total / elapsed,
        })?;
    }
    Ok(())
}

async fn all_at_once(args: &Args, service: &Service, method: &Method, payload: &Payload) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for number in 0..args.concurrency {
        let request = service.prepare(method.clone(), &format!("/{BUCKET}/{number}"), payload.clone())?;
        let mut connection = service.connect().await?;
        tasks.spawn(async move { connection.call(&request).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a worker of the benchmark")??;
    }
    Ok(())
}

fn mib(kib: u64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(kib)?) / 1024.0)
}
