//! `bench s3`: PUT and GET of 8 MiB and 4 KiB, 16 at a time, on three paths to one storage.
//!
//! ```text
//! direct      client ───────────────────────▶ storage
//! plain       client ──▶ gateway, as it is ──▶ storage      the same process, the same protocol on every arrow
//! encrypted   client ──▶ gateway, sealing ───▶ storage
//! ```
//! Every round takes the paths one after the other, and ratios are medians of the rounds' ratios: what else the machine
//! does meets all of them alike. Client, gateway and storage share its cores, so a rate is of all three together.
//! `s3-directory` is the same without `direct`: there the storage is inside the gateway.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::Method;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::client::{Connection, Payload, Prepared, Service};
use crate::processes::{Dev, Place, Storage, until_interrupted};
use crate::report::{median, print};
use crate::usage::{peak_kib, processor_ms, reset_peak};

/// Requests at once.
const CONCURRENCY: usize = 16;
/// Name, bytes, and keys of each worker. A PUT replaces what lies under its key.
const SIZES: [(&str, u64, usize); 2] = [("8MiB", 8 << 20, 2), ("4KiB", 4 << 10, 32)];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds for each path of each case; there are twenty of them.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Into how many rounds they are divided.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only cases whose name begins so, for example `get-4KiB`.
    #[arg(long, default_value = "")]
    case: String,
    /// Where the data goes while it runs, instead of beside this program: some 2 GiB.
    #[arg(long)]
    dir: Option<std::path::PathBuf>,
}

#[derive(Serialize)]
struct Line {
    bench: &'static str,
    case: String,
    path: &'static str,
    mib_per_s: f64,
    ops_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// None where there is no such path.
    ratio_to_direct: Option<f64>,
    ratio_to_plain: Option<f64>,
    /// The smallest and largest of the rounds' ratios.
    ratio_to_direct_spread: Option<[f64; 2]>,
    ratio_to_plain_spread: Option<[f64; 2]>,
    /// Of the process that the client talks to.
    peak_rss_mib: f64,
    /// Processor time of that process, for one request.
    cpu_ms_per_op: f64,
    rounds: usize,
}

/// One way to the storage.
struct Path<'a> {
    name: &'static str,
    service: &'a Service,
    bucket: &'static str,
}

/// What one path did in all rounds of a case.
#[derive(Default)]
struct Measured {
    ops_per_s: Vec<f64>,
    latencies_ms: Vec<f64>,
    peak_kib: u64,
    processor_ms: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.seconds > 0.0 && args.rounds > 0, "nothing to measure");
    until_interrupted(async {
        over_s3(args).await?;
        over_directory(args).await
    })
}

async fn over_s3(args: &Args) -> anyhow::Result<()> {
    let place = Place::new(args.dir.as_deref())?;
    let storage = Storage::start(&place.path().join("storage"))?;
    let dev = Dev::start(&place.path().join("data"), Some(&storage))?;
    let paths = [
        Path { name: "direct", service: storage.service(), bucket: "bench-direct" },
        Path { name: "plain", service: dev.service(), bucket: "bench-plain" },
        Path { name: "encrypted", service: dev.service(), bucket: "bench-encrypted" },
    ];
    make_buckets(&paths, &dev).await?;
    cases(args, "s3", &paths, async || {
        // What is measured is what it is called: sealed in the one bucket, as it was sent in the other.
        for path in &paths {
            let (_, stored) = storage.service().ask(Method::GET, &target(path.bucket, "4KiB", 0, 0)).await?;
            let sealed = stored.starts_with(&envelope::MAGIC);
            ensure!(sealed == (path.name == "encrypted"), "{}: sealed is {sealed}", path.name);
        }
        Ok(())
    })
    .await
}

async fn over_directory(args: &Args) -> anyhow::Result<()> {
    let place = Place::new(args.dir.as_deref())?;
    let dev = Dev::start(&place.path().join("data"), None)?;
    let paths = [
        Path { name: "plain", service: dev.service(), bucket: "bench-plain" },
        Path { name: "encrypted", service: dev.service(), bucket: "bench-encrypted" },
    ];
    make_buckets(&paths, &dev).await?;
    cases(args, "s3-directory", &paths, async || Ok(())).await
}

async fn make_buckets(paths: &[Path<'_>], dev: &Dev) -> anyhow::Result<()> {
    for path in paths {
        path.service.ask(Method::PUT, &format!("/{}", path.bucket)).await?;
        if path.name == "encrypted" {
            dev.encrypt(path.bucket)?;
        }
    }
    Ok(())
}

fn target(bucket: &str, size: &str, worker: usize, key: usize) -> String {
    format!("/{bucket}/{size}/{worker}/{key}")
}

async fn cases(
    args: &Args,
    bench: &'static str,
    paths: &[Path<'_>],
    check: impl AsyncFn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for (size, bytes, keys) in SIZES {
        for method in [Method::PUT, Method::GET] {
            let case = format!("{}-{size}-c{CONCURRENCY}", method.as_str().to_ascii_lowercase());
            // What a GET reads a PUT has stored, also where the PUT itself is not measured.
            let payload = Payload::new(bytes)?;
            let mut crews = Vec::new();
            for path in paths {
                if method == Method::GET {
                    Crew::new(path, &Method::PUT, size, keys, &payload).await?.each_once().await?;
                }
                let mut crew = Crew::new(path, &method, size, keys, &payload).await?;
                // Connections, caches, and every key there once.
                crew.each_once().await?;
                crews.push(crew);
            }
            if case.starts_with(&args.case) {
                let measured = rounds(args, paths, &mut crews).await?;
                tell(bench, &case, bytes, paths, &measured)?;
            }
        }
    }
    check().await
}

async fn rounds(args: &Args, paths: &[Path<'_>], crews: &mut [Crew]) -> anyhow::Result<Vec<Measured>> {
    let mut measured: Vec<Measured> = paths.iter().map(|_| Measured::default()).collect();
    let time = Duration::from_secs_f64(args.seconds / u32::try_from(args.rounds).map(f64::from)?);
    for round in 0..args.rounds {
        for turn in 0..paths.len() {
            // Who goes first changes.
            let at = (round + turn) % paths.len();
            let pid = paths[at].service.pid();
            reset_peak(pid)?;
            let before = processor_ms(pid)?;
            let begun = Instant::now();
            let latencies = crews[at].work(begun + time).await?;
            let elapsed = begun.elapsed().as_secs_f64();
            let measured = &mut measured[at];
            measured.processor_ms += processor_ms(pid)? - before;
            measured.peak_kib = measured.peak_kib.max(peak_kib(pid)?);
            measured.ops_per_s.push(count(latencies.len()) / elapsed);
            measured.latencies_ms.extend(latencies.iter().map(|latency| latency.as_secs_f64() * 1e3));
        }
    }
    Ok(measured)
}

fn tell(bench: &'static str, case: &str, bytes: u64, paths: &[Path<'_>], measured: &[Measured]) -> anyhow::Result<()> {
    let ratios = |one: &Measured, other: &str| {
        let other = paths.iter().position(|path| path.name == other)?;
        let pairs = one.ops_per_s.iter().zip(&measured[other].ops_per_s);
        let mut ratios: Vec<f64> = pairs.map(|(one, other)| one / other).collect();
        let middle = median(&mut ratios);
        Some((middle, [*ratios.first()?, *ratios.last()?]))
    };
    for (path, one) in paths.iter().zip(measured) {
        let ops_per_s = median(&mut one.ops_per_s.clone());
        let (direct, plain) = (ratios(one, "direct"), ratios(one, "plain"));
        let mut latencies = one.latencies_ms.clone();
        print(&Line {
            bench,
            case: case.to_owned(),
            path: path.name,
            mib_per_s: ops_per_s * count(usize::try_from(bytes)?) / count(1 << 20),
            ops_per_s,
            p50_ms: median(&mut latencies),
            p99_ms: latencies.get(latencies.len() * 99 / 100).copied().unwrap_or(f64::NAN),
            ratio_to_direct: direct.map(|direct| direct.0),
            ratio_to_plain: plain.map(|plain| plain.0),
            ratio_to_direct_spread: direct.map(|direct| direct.1),
            ratio_to_plain_spread: plain.map(|plain| plain.1),
            peak_rss_mib: f64::from(u32::try_from(one.peak_kib)?) / 1024.0,
            cpu_ms_per_op: one.processor_ms / count(one.latencies_ms.len()),
            rounds: one.ops_per_s.len(),
        })?;
    }
    Ok(())
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

/// The workers of one path and case, each with its connection and its keys.
pub(crate) struct Crew {
    workers: Vec<(Connection, Arc<[Prepared]>)>,
}

impl Crew {
    async fn new(path: &Path<'_>, method: &Method, size: &str, keys: usize, payload: &Payload) -> anyhow::Result<Self> {
        let mut workers = Vec::new();
        for worker in 0..CONCURRENCY {
            let prepare =
                |key| path.service.prepare(method.clone(), &target(path.bucket, size, worker, key), payload.clone());
            let requests: anyhow::Result<Vec<_>> = (0..keys).map(prepare).collect();
            workers.push((path.service.connect().await?, requests?.into()));
        }
        Ok(Self { workers })
    }

    /// Every key once.
    async fn each_once(&mut self) -> anyhow::Result<()> {
        self.repeat(None).await.map(|_| ())
    }

    /// Round and round until then. What each request took.
    async fn work(&mut self, until: Instant) -> anyhow::Result<Vec<Duration>> {
        self.repeat(Some(until)).await
    }

    async fn repeat(&mut self, until: Option<Instant>) -> anyhow::Result<Vec<Duration>> {
        let mut tasks = JoinSet::new();
        for (mut connection, requests) in self.workers.drain(..) {
            tasks.spawn(async move {
                let mut latencies = Vec::new();
                for turn in 0.. {
                    match until {
                        Some(until) if Instant::now() >= until => break,
                        None if turn == requests.len() => break,
                        _ => latencies.push(connection.call(&requests[turn % requests.len()]).await?),
                    }
                }
                anyhow::Ok((connection, requests, latencies))
            });
        }
        let mut all = Vec::new();
        while let Some(done) = tasks.join_next().await {
            let (connection, requests, latencies) = done.context("a worker of the benchmark")??;
            self.workers.push((connection, requests));
            all.extend(latencies);
        }
        Ok(all)
    }
}
