//! `bench memory`: 64 objects of 256 MiB are stored at once, sealed, then read at once. How far does the gateway's memory
//! rise above what it takes when idle? Once with the directory storage inside it, once over an S3 service. Then so many
//! connections are opened that do nothing.
//!
//! The peak is the kernel's own (`VmHWM`), set anew before each phase.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::Method;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::client::{CHUNK, Connection, Payload, Service};
use crate::processes::{Dev, Place, Storage, until_interrupted};
use crate::report::print;
use crate::upload::{Uploaded, upload};
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
    /// Stored and read by parts of so many MiB, one after the other of each object; by one request if not given.
    #[arg(long)]
    part_mib: Option<u64>,
    /// `directory` or `s3`; both if not given.
    #[arg(long)]
    storage: Option<String>,
    /// Bodies in aws-chunked coding with a CRC32 in the trailer, as SDKs send them over TLS.
    #[arg(long)]
    chunked: bool,
    /// The same, with all of a body in one chunk.
    #[arg(long, conflicts_with = "chunked")]
    one_chunk: bool,
    /// Connections that have made one request and do nothing more.
    #[arg(long, default_value_t = 1000)]
    connections: usize,
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
    /// Of all objects together; none where there are none.
    mib_per_s: Option<f64>,
    /// Requests that were sent again because the storage was too busy for them.
    retried: u32,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.concurrency > 0 && args.mib > 0, "nothing to measure");
    ensure!(
        args.part_mib.is_none_or(|part| part >= 5 && !args.chunked && !args.one_chunk),
        "such parts are not measured"
    );
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
    let dev = Dev::start(&place.path().join("data"), storage.as_ref().map(Storage::service))?;
    let service = dev.service();
    service.ask(Method::PUT, &format!("/{BUCKET}")).await?;
    dev.encrypt(BUCKET)?;
    tokio::time::sleep(IDLE_AFTER).await;
    let idle = resident_kib(service.pid())?;
    let tell = |case: String, mib_per_s: Option<f64>, retried: u32| -> anyhow::Result<()> {
        let (idle_rss_mib, peak_rss_mib) = (mib(idle)?, mib(peak_kib(service.pid())?)?);
        let over_idle_mib = peak_rss_mib - idle_rss_mib;
        let (bench, storage) = ("memory", name);
        print(&Line { bench, case, storage, idle_rss_mib, peak_rss_mib, over_idle_mib, mib_per_s, retried })
    };
    if args.connections > 0 {
        reset_peak(service.pid())?;
        let connections = idle_connections(args, service).await?;
        tell(format!("idle-connections-{}", args.connections), None, 0)?;
        drop(connections);
    }
    let mut payload = Payload::new(args.mib << 20)?;
    if args.chunked || args.one_chunk {
        payload = payload.chunked(if args.chunked { CHUNK } else { args.mib << 20 });
    }
    let coding = match args.part_mib {
        Some(part) => format!("-parts-{part}MiB"),
        None if args.chunked => "-chunked".to_owned(),
        None if args.one_chunk => "-one-chunk".to_owned(),
        None => String::new(),
    };
    for method in [Method::PUT, Method::GET] {
        reset_peak(service.pid())?;
        let begun = Instant::now();
        let retried = all_at_once(args, service, &method, &payload).await?;
        let elapsed = begun.elapsed().as_secs_f64();
        let total = f64::from(u32::try_from(args.mib)?) * f64::from(u32::try_from(args.concurrency)?);
        let coding = if method == Method::PUT || args.part_mib.is_some() { coding.as_str() } else { "" };
        let case = format!("{}-{}MiB-c{}{coding}", method.as_str().to_ascii_lowercase(), args.mib, args.concurrency);
        tell(case, Some(total / elapsed), retried)?;
    }
    Ok(())
}

async fn idle_connections(args: &Args, service: &Service) -> anyhow::Result<Vec<Connection>> {
    let request = service.prepare(Method::HEAD, &format!("/{BUCKET}"), Payload::none())?;
    let mut connections = Vec::new();
    for _ in 0..args.connections {
        let mut connection = service.connect().await?;
        connection.call(&request).await?;
        connections.push(connection);
    }
    Ok(connections)
}

/// How many requests were sent again.
async fn all_at_once(args: &Args, service: &Service, method: &Method, payload: &Payload) -> anyhow::Result<u32> {
    let mut tasks: JoinSet<anyhow::Result<u32>> = JoinSet::new();
    for number in 0..args.concurrency {
        let target = format!("/{BUCKET}/{number}");
        let mut connection = service.connect().await?;
        match args.part_mib {
            None => {
                let request = service.prepare(method.clone(), &target, payload.clone())?;
                tasks.spawn(async move { connection.call(&request).await.map(|_| 0) });
            }
            Some(part) => {
                let (service, payload, put) = (service.clone(), payload.clone(), *method == Method::PUT);
                tasks.spawn(async move {
                    let object = Uploaded { target, part_bytes: part << 20 };
                    if put {
                        upload(&service, &mut connection, &object, &payload).await?;
                    } else {
                        object.read(&service, &mut connection, &payload).await?;
                    }
                    Ok(connection.retried)
                });
            }
        }
    }
    let mut retried = 0;
    while let Some(done) = tasks.join_next().await {
        retried += done.context("a worker of the benchmark")??;
    }
    Ok(retried)
}

fn mib(kib: u64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(kib)?) / 1024.0)
}
