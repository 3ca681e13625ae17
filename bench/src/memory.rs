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
    /// MiB of each. All of them lie on the disk at once, unless they are staggered.
    #[arg(long, default_value_t = 256)]
    mib: u64,
    /// Stored and read by parts of so many MiB, one after the other of each object; by one request if not given.
    #[arg(long)]
    part_mib: Option<u64>,
    /// `directory` or `s3`; both if not given.
    #[arg(long)]
    storage: Option<String>,
    /// With less disk: each object is stored once shorter before, so that they end a few at a time, and is removed when it
    /// is stored; an eighth of them stays, and each of those is read by eight at once. Rates are none to compare.
    #[arg(long, requires = "part_mib")]
    staggered: bool,
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
    let coding = if args.staggered { format!("{coding}-staggered") } else { coding };
    for method in [Method::PUT, Method::GET] {
        reset_peak(service.pid())?;
        let begun = Instant::now();
        let (moved, retried) = all_at_once(args, service, &method, &payload).await?;
        let elapsed = begun.elapsed().as_secs_f64();
        let total = f64::from(u32::try_from(moved >> 20)?);
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

/// Bytes that were stored or read, and how many requests were sent again.
async fn all_at_once(args: &Args, service: &Service, method: &Method, payload: &Payload) -> anyhow::Result<(u64, u32)> {
    let mut tasks: JoinSet<anyhow::Result<(u64, u32)>> = JoinSet::new();
    let stay = if args.staggered { args.concurrency.div_ceil(8) } else { args.concurrency };
    for number in 0..args.concurrency {
        let put = *method == Method::PUT;
        let target = format!("/{BUCKET}/{}", if put { number } else { number % stay });
        let mut connection = service.connect().await?;
        match args.part_mib {
            None => {
                let (request, len) = (service.prepare(method.clone(), &target, payload.clone())?, payload.len());
                tasks.spawn(async move { connection.call(&request).await.map(|_| (len, 0)) });
            }
            Some(part) => {
                let (service, payload) = (service.clone(), payload.clone());
                let first = shorter(args, number, part);
                let stays = number < stay;
                tasks.spawn(async move {
                    let object = Uploaded { target, part_bytes: part << 20 };
                    if put {
                        if let Some(len) = first {
                            upload(&service, &mut connection, &object, &payload.clone().first(len)).await?;
                            remove(&service, &mut connection, &object).await?;
                        }
                        upload(&service, &mut connection, &object, &payload).await?;
                        if !stays {
                            remove(&service, &mut connection, &object).await?;
                        }
                    } else {
                        object.read(&service, &mut connection, &payload).await?;
                    }
                    Ok((payload.len() + first.filter(|_| put).unwrap_or_default(), connection.retried))
                });
            }
        }
    }
    let (mut moved, mut retried) = (0, 0);
    while let Some(done) = tasks.join_next().await {
        let (of_one, again) = done.context("a worker of the benchmark")??;
        moved += of_one;
        retried += again;
    }
    Ok((moved, retried))
}

/// Bytes of the object that this worker stores before, where they are staggered: some parts.
fn shorter(args: &Args, number: usize, part_mib: u64) -> Option<u64> {
    let parts = args.mib.div_ceil(part_mib) * (number as u64 + 1) / args.concurrency as u64;
    (args.staggered && parts > 0).then_some((parts * part_mib).min(args.mib) << 20)
}

async fn remove(service: &Service, connection: &mut Connection, object: &Uploaded) -> anyhow::Result<()> {
    let request = service.prepare(Method::DELETE, &object.target, Payload::none())?;
    connection.ask(&request).await.map(|_| ())
}

fn mib(kib: u64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(kib)?) / 1024.0)
}
