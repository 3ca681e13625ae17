//! `bench s3`: PUT and GET of 4 KiB to 64 MiB, 1 to 64 at a time, on three paths to one storage.
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
const CONCURRENCY: [usize; 3] = [1, 16, 64];
/// Name, bytes, and keys of all workers together. A PUT replaces what lies under its key, and of the largest, workers
/// share keys, so that the disk does not fill.
const SIZES: [Size; 4] = [
    Size { name: "4KiB", bytes: 4 << 10, keys: 512 },
    Size { name: "1MiB", bytes: 1 << 20, keys: 64 },
    Size { name: "8MiB", bytes: 8 << 20, keys: 32 },
    Size { name: "64MiB", bytes: 64 << 20, keys: 16 },
];

#[derive(Clone, Copy)]
struct Size {
    name: &'static str,
    bytes: u64,
    keys: usize,
}

impl Size {
    /// The keys of one of so many workers.
    fn keys_of(self, worker: usize, workers: usize) -> Vec<usize> {
        let each = (self.keys / workers).max(1);
        (0..each).map(|key| (worker * each + key) % self.keys).collect()
    }
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds for each path of each case; there are 120 of them.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Into how many rounds they are divided.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only cases in whose name this stands, for example `get-4KiB` or `-c16`.
    #[arg(long, default_value = "")]
    case: String,
    /// `s3` or `directory`; both if not given.
    #[arg(long)]
    storage: Option<String>,
    /// Where the data goes while it runs, instead of beside this program: some 4 GiB.
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
        let wanted = |storage: &str| args.storage.as_deref().is_none_or(|wanted| wanted == storage);
        if wanted("s3") {
            over_s3(args).await?;
        }
        if wanted("directory") {
            over_directory(args).await?;
        }
        Ok(())
    })
}

async fn over_s3(args: &Args) -> anyhow::Result<()> {
    let place = Place::new(args.dir.as_deref())?;
    let storage = Storage::start(&place.path().join("storage"))?;
    let dev = Dev::start(&place.path().join("data"), Some(storage.service()))?;
    let paths = [
        Path { name: "direct", service: storage.service(), bucket: "bench-direct" },
        Path { name: "plain", service: dev.service(), bucket: "bench-plain" },
        Path { name: "encrypted", service: dev.service(), bucket: "bench-encrypted" },
    ];
    make_buckets(&paths, &dev).await?;
    cases(args, "s3", &paths, async || {
        // What is measured is what it is called: sealed in the one bucket, as it was sent in the other.
        for path in &paths {
            let Some(size) = SIZES.iter().find(|size| args.measures(**size)) else { continue };
            let (_, stored) = storage.service().ask(Method::GET, &target(path.bucket, *size, 0)).await?;
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

fn target(bucket: &str, size: Size, key: usize) -> String {
    format!("/{bucket}/{}/{key}", size.name)
}

fn case(method: &Method, size: Size, workers: usize) -> String {
    format!("{}-{}-c{workers}", method.as_str().to_ascii_lowercase(), size.name)
}

impl Args {
    /// Whether any case of this size is measured.
    fn measures(&self, size: Size) -> bool {
        let mut cases =
            CONCURRENCY.iter().flat_map(|workers| [Method::PUT, Method::GET].map(|m| case(&m, size, *workers)));
        cases.any(|case| case.contains(&self.case))
    }
}

async fn cases(
    args: &Args,
    bench: &'static str,
    paths: &[Path<'_>],
    check: impl AsyncFn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for size in SIZES.into_iter().filter(|size| args.measures(*size)) {
        let payload = Payload::new(size.bytes)?;
        for path in paths {
            // What a GET reads, also where no PUT is measured.
            Crew::new(path, &Method::PUT, size, 8, &payload).await?.each_once().await?;
        }
        for (method, workers) in
            CONCURRENCY.iter().flat_map(|workers| [Method::PUT, Method::GET].map(|m| (m, *workers)))
        {
            let case = case(&method, size, workers);
            if !case.contains(&args.case) {
                continue;
            }
            let mut crews = Vec::new();
            for path in paths {
                let mut crew = Crew::new(path, &method, size, workers, &payload).await?;
                if method == Method::GET {
                    // Connections and caches.
                    crew.each_once().await?;
                }
                crews.push(crew);
            }
            let measured = rounds(args, paths, &mut crews).await?;
            tell(bench, &case, size.bytes, paths, &measured)?;
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
            crews[at].reconnect(paths[at].service).await?;
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
    async fn new(
        path: &Path<'_>,
        method: &Method,
        size: Size,
        workers: usize,
        payload: &Payload,
    ) -> anyhow::Result<Self> {
        let mut crew = Vec::new();
        for worker in 0..workers {
            let prepare = |key| path.service.prepare(method.clone(), &target(path.bucket, size, key), payload.clone());
            let requests: anyhow::Result<Vec<_>> = size.keys_of(worker, workers).into_iter().map(prepare).collect();
            crew.push((path.service.connect().await?, requests?.into()));
        }
        Ok(Self { workers: crew })
    }

    /// Every key once.
    async fn each_once(&mut self) -> anyhow::Result<()> {
        self.repeat(None).await.map(|_| ())
    }

    /// Opens the connections anew that a service has closed, since the other paths took long.
    async fn reconnect(&mut self, service: &Service) -> anyhow::Result<()> {
        for (connection, _) in &mut self.workers {
            if connection.is_closed() {
                *connection = service.connect().await?;
            }
        }
        Ok(())
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
