//! `bench list`: what it takes to list a bucket of which every other object is encrypted, and one that never held any.
//!
//! ```text
//! direct   client ─────────────▶ storage     its sizes: of what is stored
//! cold     client ──▶ gateway ──▶ storage     nothing is known: a HEAD for each object that may be encrypted
//! warm     client ──▶ gateway ──▶ storage     the ledger knows the sizes
//! plain    client ──▶ gateway ──▶ storage     a bucket that never held an encrypted object
//! ```
//! Paths take turns in rounds, and ratios are medians of the rounds' ratios. Of `cold` there is one for each start of the
//! gateway. Every size that a gateway shows is compared with what was stored.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use http::Method;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::client::{Payload, Service};
use crate::processes::{Dev, Place, Storage, until_interrupted};
use crate::report::{median, print};

/// Bytes of each object.
const BYTES: u64 = 1000;
/// Writers at once.
const WRITERS: usize = 32;
const MIXED: &str = "bench-list-mixed";
const PLAIN: &str = "bench-list-plain";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Objects of each of the two buckets.
    #[arg(long, default_value_t = 100_000)]
    objects: usize,
    /// How often each list is read.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// An S3 service (`http://ADDRESS:PORT`) as storage instead of the directory storage behind a socket; credentials from
    /// `SEALGATE_UPSTREAM_ACCESS_KEY` and `SEALGATE_UPSTREAM_SECRET_KEY`. The buckets stay there.
    #[arg(long)]
    upstream: Option<String>,
    /// Where the data goes while it runs, instead of beside this program: some 2 GiB.
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Line {
    bench: &'static str,
    case: String,
    path: &'static str,
    pages: u64,
    /// That the gateway made, the least of all rounds: its own look through its buckets, for coverage, may come at the same
    /// time. None where there is no gateway.
    upstream_requests: Option<u64>,
    seconds: f64,
    objects_per_s: f64,
    /// Of the rates; none for `direct` itself.
    ratio_to_direct: Option<f64>,
    rounds: usize,
}

/// What one path did in all rounds.
#[derive(Default)]
struct Measured {
    seconds: Vec<f64>,
    pages: u64,
    requests: Option<u64>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.objects > 1 && args.rounds > 0, "nothing to measure");
    until_interrupted(async {
        let place = Place::new(args.dir.as_deref())?;
        if let Some(url) = &args.upstream {
            let address: SocketAddr = url.trim_start_matches("http://").parse().context("--upstream")?;
            let variable = |name: &str| std::env::var(name).with_context(|| name.to_owned());
            let (access, secret) =
                (variable("SEALGATE_UPSTREAM_ACCESS_KEY")?, variable("SEALGATE_UPSTREAM_SECRET_KEY")?);
            return over(args, &place, &Service::new(0, address, &access, &secret, "us-east-1")).await;
        }
        let storage = Storage::start(&place.path().join("storage"))?;
        over(args, &place, storage.service()).await
    })
}

async fn over(args: &Args, place: &Place, storage: &Service) -> anyhow::Result<()> {
    let data = place.path().join("data");
    let dev = Dev::start(&data, Some(storage))?;
    for bucket in [MIXED, PLAIN] {
        storage.ask(Method::PUT, &format!("/{bucket}")).await?;
    }
    fill(storage, PLAIN, (0..args.objects).collect(), false).await?;
    fill(storage, MIXED, (0..args.objects).step_by(2).collect(), false).await?;
    fill(dev.service(), MIXED, (1..args.objects).step_by(2).collect(), true).await?;
    for (key, sealed) in [(0, false), (1, true)] {
        let (_, stored) = storage.ask(Method::GET, &target(MIXED, key)).await?;
        ensure!(stored.starts_with(&envelope::MAGIC) == sealed, "object {key} is not stored as it was to be");
    }
    let [mut direct, mut cold, mut warm, mut direct_plain, mut plain] = [(); 5].map(|()| Measured::default());
    let mut dev = Some(dev);
    for _ in 0..args.rounds {
        drop(dev.take());
        std::fs::remove_file(data.join("gateway-1").join("ledger.redb")).context("the ledger of the gateway")?;
        let begun = dev.insert(Dev::start(&data, Some(storage))?);
        let gateway = Some(&*begun);
        walk(args, storage, None, MIXED, &mut direct).await?;
        walk(args, begun.service(), gateway, MIXED, &mut cold).await?;
        walk(args, begun.service(), gateway, MIXED, &mut warm).await?;
        walk(args, storage, None, PLAIN, &mut direct_plain).await?;
        walk(args, begun.service(), gateway, PLAIN, &mut plain).await?;
    }
    let (mixed_case, plain_case) =
        (format!("half-encrypted-{}", args.objects), format!("never-encrypted-{}", args.objects));
    tell(args, &mixed_case, "direct", &direct, None)?;
    tell(args, &mixed_case, "cold", &cold, Some(&direct))?;
    tell(args, &mixed_case, "warm", &warm, Some(&direct))?;
    tell(args, &plain_case, "direct", &direct_plain, None)?;
    tell(args, &plain_case, "plain", &plain, Some(&direct_plain))
}

fn target(bucket: &str, key: usize) -> String {
    format!("/{bucket}/{key:08}")
}

/// Stores objects with these numbers.
async fn fill(service: &Service, bucket: &'static str, keys: Vec<usize>, encrypt: bool) -> anyhow::Result<()> {
    let payload = Payload::new(BYTES)?;
    let wish = [("x-amz-server-side-encryption", "aws:kms")];
    let headers = if encrypt { &wish[..] } else { &[] };
    let mut tasks = JoinSet::new();
    for some in keys.chunks(keys.len().div_ceil(WRITERS)) {
        let requests: anyhow::Result<Vec<_>> = some
            .iter()
            .map(|key| service.prepare_with(Method::PUT, &target(bucket, *key), headers, payload.clone()))
            .collect();
        let (requests, mut connection) = (requests?, service.connect().await?);
        tasks.spawn(async move {
            for request in &requests {
                connection.call(request).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a writer of the benchmark")??;
    }
    Ok(())
}

/// Lists the bucket to its end, page by page.
async fn walk(
    args: &Args,
    service: &Service,
    gateway: Option<&Dev>,
    bucket: &str,
    measured: &mut Measured,
) -> anyhow::Result<()> {
    let before = match gateway {
        Some(gateway) => Some(gateway.asked().await?),
        None => None,
    };
    let mut connection = service.connect().await?;
    let (mut objects, mut pages, mut token) = (0, 0, None::<String>);
    let begun = Instant::now();
    loop {
        let after = token.map(|token| format!("continuation-token={}&", encode(&token))).unwrap_or_default();
        let page = format!("/{bucket}?{after}list-type=2&max-keys=1000");
        let (_, page) = connection.ask(&service.prepare(Method::GET, &page, Payload::none())?).await?;
        let page = String::from_utf8(page.to_vec())?;
        pages += 1;
        for size in texts(&page, "Size") {
            objects += 1;
            // The storage alone tells of an encrypted object what is stored.
            ensure!(gateway.is_none() || size == BYTES.to_string(), "{bucket}: an object of {size} bytes");
        }
        token = texts(&page, "NextContinuationToken").next().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    measured.seconds.push(begun.elapsed().as_secs_f64());
    ensure!(objects == args.objects, "{bucket}: {objects} objects are listed");
    measured.pages = pages;
    if let (Some(gateway), Some(before)) = (gateway, before) {
        let asked = gateway.asked().await?.requests - before.requests;
        measured.requests = Some(measured.requests.map_or(asked, |least| least.min(asked)));
    }
    Ok(())
}

/// The text of every element of that name.
fn texts<'a>(page: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = page;
    std::iter::from_fn(move || {
        let (_, found) = rest.split_once(&open)?;
        let (text, after) = found.split_once(&close)?;
        rest = after;
        Some(text)
    })
}

fn encode(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn tell(args: &Args, case: &str, path: &'static str, one: &Measured, direct: Option<&Measured>) -> anyhow::Result<()> {
    let ratio = direct.map(|direct| {
        let pairs = direct.seconds.iter().zip(&one.seconds);
        median(&mut pairs.map(|(direct, one)| direct / one).collect::<Vec<_>>())
    });
    let seconds = median(&mut one.seconds.clone());
    print(&Line {
        bench: "list",
        case: case.to_owned(),
        path,
        pages: one.pages,
        upstream_requests: one.requests,
        seconds,
        objects_per_s: f64::from(u32::try_from(args.objects)?) / seconds,
        ratio_to_direct: ratio,
        rounds: one.seconds.len(),
    })
}
