//! `bench range`: how many bytes the gateway fetches from the storage for a range of 1 MiB out of an encrypted object of
//! 5 GiB, stored by one PUT and by parts.
//!
//! What counts are the body bytes that the storage's answers announce, by the gateway's own metrics. `cold` is the first
//! read of an object, of which nothing is known; `warm` are those after it. Every byte is compared with what was stored.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::ensure;
use http::Method;
use serde::Serialize;

use crate::client::Payload;
use crate::processes::{Asked, Dev, Place, Storage, until_interrupted};
use crate::report::{median, print};
use crate::upload::{Uploaded, upload};

const BUCKET: &str = "bench-range";
/// Bytes of each range.
const ASKED: u64 = 1 << 20;
/// What sealing adds to an object that just fits into one PUT, and more.
const ROOM: u64 = 2 << 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// GiB of each object; no PUT takes more than 5. One of them lies on the disk at a time.
    #[arg(long, default_value_t = 5)]
    gib: u64,
    /// MiB of each part.
    #[arg(long, default_value_t = 64)]
    part_mib: u64,
    /// Ranges that are read after the first.
    #[arg(long, default_value_t = 32)]
    reads: u64,
    /// Where the data goes while it runs, instead of beside this program.
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Line {
    bench: &'static str,
    case: String,
    path: &'static str,
    /// The largest of all reads.
    ratio_to_asked: f64,
    /// The most of all reads.
    upstream_requests: u64,
    p50_ms: f64,
    reads: usize,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.gib > 0 && args.part_mib >= 5 && args.reads > 0, "nothing to measure");
    until_interrupted(async {
        let place = Place::new(args.dir.as_deref())?;
        let storage = Storage::start(&place.path().join("storage"))?;
        let dev = Dev::start(&place.path().join("data"), Some(storage.service()))?;
        let service = dev.service();
        service.ask(Method::PUT, &format!("/{BUCKET}")).await?;
        dev.encrypt(BUCKET)?;
        let len = args.gib << 30;

        let single = Payload::new(len - ROOM)?;
        let target = format!("/{BUCKET}/single");
        service.connect().await?.call(&service.prepare(Method::PUT, &target, single.clone())?).await?;
        measure(args, &dev, &target, &single, &format!("single-{}GiB", args.gib)).await?;
        service.ask(Method::DELETE, &target).await?;

        let whole = Payload::new(len)?;
        let target = format!("/{BUCKET}/parts");
        let object = Uploaded { target: target.clone(), part_bytes: args.part_mib << 20 };
        upload(service, &mut service.connect().await?, &object, &whole).await?;
        measure(args, &dev, &target, &whole, &format!("parts-{}GiB", args.gib)).await
    })
}

async fn measure(args: &Args, dev: &Dev, target: &str, stored: &Payload, case: &str) -> anyhow::Result<()> {
    let mut connection = dev.service().connect().await?;
    let mut reads: Vec<(f64, u64, f64)> = Vec::new();
    for read in 0..=args.reads {
        // Anywhere, and at no boundary of a segment: a step that has no factor in common with them.
        let start = (read + 1) * 0x0765_4321 * 97 % (stored.len() - ASKED);
        let range = format!("bytes={start}-{}", start + ASKED - 1);
        let request = dev.service().prepare_with(Method::GET, target, &[("range", &range)], Payload::none())?;
        let before = dev.asked().await?;
        let begun = Instant::now();
        let (_, body) = connection.ask(&request).await?;
        let elapsed = begun.elapsed().as_secs_f64() * 1e3;
        ensure!(body.len() as u64 == ASKED && stored.holds(start, &body), "{case}: other bytes at {start}");
        let Asked { requests, received } = dev.asked().await?;
        let ratio = f64::from(u32::try_from(received - before.received)?) / f64::from(u32::try_from(ASKED)?);
        reads.push((ratio, requests - before.requests, elapsed));
    }
    for (path, reads) in [("cold", &reads[..1]), ("warm", &reads[1..])] {
        print(&Line {
            bench: "range",
            case: case.to_owned(),
            path,
            ratio_to_asked: reads.iter().map(|read| read.0).fold(0.0, f64::max),
            upstream_requests: reads.iter().map(|read| read.1).max().unwrap_or_default(),
            p50_ms: median(&mut reads.iter().map(|read| read.2).collect::<Vec<_>>()),
            reads: reads.len(),
        })?;
    }
    Ok(())
}
