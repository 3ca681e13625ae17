//! `bench envelope`: sealing and opening against the raw AES-GCM rate on the same segments.
//!
//! Raw and format take turns on the same machine in the same run, round by round; the ratio is the median of the rounds'
//! ratios, so that a machine that slows down for a while slows both.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::Bytes;
use envelope::{
    Cause, Checksums, DataKey, Expected, Footer, FooterRead, Kek, PartSealer, Place, Recorded, SingleSealer,
};
use serde::Serialize;

use crate::report::{median, print};

/// Plaintext bytes of a segment.
const SEGMENT: usize = envelope::SEGMENT_SIZE as usize;
/// Stored bytes in front of a part's first segment.
const PART_HEADER: usize = 60;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Plaintext of one round, in MiB. Short rounds are seldom interrupted, so the median is not another program's.
    #[arg(long, default_value_t = Self::default().mib)]
    mib: usize,
    /// How many rounds.
    #[arg(long, default_value_t = Self::default().rounds)]
    rounds: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { mib: 4, rounds: 400 }
    }
}

#[derive(Serialize)]
struct Rate {
    bench: &'static str,
    case: String,
    gib_per_s: f64,
    raw_gib_per_s: f64,
    ratio_to_raw_aead: f64,
}

#[derive(Serialize)]
struct SmallObjects {
    bench: &'static str,
    case: &'static str,
    ops_per_s: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    ensure!(args.mib > 0 && args.rounds > 0, "nothing to measure");
    let subject = Subject::new(args.mib << 20)?;
    // How the input is cut: in whole segments, in the frames of a socket, and in many segments at once.
    for (name, plain, stored) in [
        ("64KiB", SEGMENT, SEGMENT + 16),
        ("64KiB-in-16KiB-frames", 16 << 10, 16 << 10),
        ("64KiB-in-256KiB-chunks", 256 << 10, 256 << 10),
    ] {
        compare(&format!("seal-{name}"), args, &subject, || subject.raw_seal(), || subject.seal(plain))?;
        compare(&format!("open-{name}"), args, &subject, || subject.raw_open(), || subject.open(stored))?;
    }
    small_objects(args.rounds)
}

fn compare(
    case: &str,
    args: &Args,
    subject: &Subject,
    raw: impl Fn() -> anyhow::Result<()>,
    format: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let seconds = |work: &dyn Fn() -> anyhow::Result<()>| -> anyhow::Result<f64> {
        let start = Instant::now();
        work()?;
        Ok(start.elapsed().as_secs_f64())
    };
    let (mut raws, mut formats, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // The first round warms caches and branch predictors, and is not counted.
    for round in 0..=args.rounds {
        // Who goes first changes, so that neither is always the one that finds the caches warm.
        let (raw, format) = if round % 2 == 0 {
            let raw = seconds(&raw)?;
            (raw, seconds(&format)?)
        } else {
            let format = seconds(&format)?;
            (seconds(&raw)?, format)
        };
        if round > 0 {
            raws.push(raw);
            formats.push(format);
            ratios.push(raw / format);
        }
    }
    let gib = u32::try_from(subject.plaintext.len() >> 20).map(f64::from)? / 1024.0;
    print(&Rate {
        bench: "envelope",
        case: case.to_owned(),
        gib_per_s: gib / median(&mut formats),
        raw_gib_per_s: gib / median(&mut raws),
        ratio_to_raw_aead: median(&mut ratios),
    })
}

/// A plaintext, its sealed object, and its segments as the raw cipher made them.
struct Subject {
    plaintext: Bytes,
    data_key: DataKey,
    kek: Kek,
    place: Place,
    stored: Bytes,
    cipher: LessSafeKey,
    raw: Vec<u8>,
}

fn recorded(place: &Place) -> Recorded {
    Recorded {
        place: place.clone(),
        kms_id: "bench".to_owned(),
        kek_record: vec![7; 640],
        cause: Cause::Toggle,
        policy: None,
        sealed_at_ms: 0,
        writer: "bench".to_owned(),
    }
}

fn nonce(index: usize) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&(index as u64).to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl Subject {
    fn new(len: usize) -> anyhow::Result<Self> {
        let plaintext: Bytes = (0..len).map(|i| u8::try_from(i % 251).unwrap_or(0)).collect();
        let kek = Kek::new(&[5; 32]);
        let place = Place::new("bench", "object")?;
        let mut sealer = SingleSealer::new(&recorded(&place), &kek, len as u64, &Vec::new(), &[])?;
        let mut out = Vec::new();
        sealer.push(plaintext.clone(), &mut out)?;
        let header = sealer.header().clone();
        sealer.finish(&Checksums::default(), &mut out)?;
        let data_key = header.open(&kek, &Expected::At(&place))?;
        let key = UnboundKey::new(&AES_256_GCM, &[6; 32]).ok().context("an AES-256 key")?;
        let cipher = LessSafeKey::new(key);
        let mut raw = Vec::with_capacity(len + len / SEGMENT * 16);
        for (index, segment) in plaintext.chunks(SEGMENT).enumerate() {
            let start = raw.len();
            raw.extend_from_slice(segment);
            let tag = cipher.seal_in_place_separate_tag(nonce(index), Aad::empty(), &mut raw[start..]);
            raw.extend_from_slice(tag.ok().context("raw sealing")?.as_ref());
        }
        Ok(Self { plaintext, data_key, kek, place, stored: out.concat().into(), cipher, raw })
    }

    /// The cipher alone: each segment sealed out of the plaintext into one buffer.
    fn raw_seal(&self) -> anyhow::Result<()> {
        let mut sealed = vec![0; SEGMENT];
        let mut tag = [0; 16];
        for (index, segment) in self.plaintext.chunks(SEGMENT).enumerate() {
            let out = &mut sealed[..segment.len()];
            self.cipher
                .seal_out_of_place_scatter(nonce(index), Aad::empty(), segment, out, &[], &mut tag)
                .ok()
                .context("raw sealing")?;
            black_box(&sealed);
        }
        Ok(())
    }

    /// The cipher alone: each segment opened into one buffer.
    fn raw_open(&self) -> anyhow::Result<()> {
        let mut opened = vec![0; SEGMENT];
        for (index, segment) in self.raw.chunks(SEGMENT + 16).enumerate() {
            let (body, tag) = segment.split_at(segment.len() - 16);
            let out = &mut opened[..body.len()];
            self.cipher.open_separate_gather(nonce(index), Aad::empty(), body, tag, out).ok().context("raw opening")?;
            black_box(&opened);
        }
        Ok(())
    }

    fn seal(&self, chunk: usize) -> anyhow::Result<()> {
        let mut sealer = PartSealer::new(&self.data_key, 1, self.plaintext.len() as u64)?;
        let mut out = Vec::new();
        let mut rest = self.plaintext.clone();
        while !rest.is_empty() {
            sealer.push(rest.split_to(chunk.min(rest.len())), &mut out)?;
            black_box(&out);
            out.clear();
        }
        sealer.finish(&mut out)?;
        black_box(&out);
        Ok(())
    }

    fn open(&self, chunk: usize) -> anyhow::Result<()> {
        let stored_len = self.stored.len();
        let suffix = stored_len.saturating_sub(usize::try_from(envelope::FOOTER_GUESS)?);
        let FooterRead::Footer(footer) = Footer::parse(&self.stored[suffix..], stored_len as u64)? else {
            anyhow::bail!("the footer is longer than the guess");
        };
        let object = footer.open(&self.kek, &Expected::At(&self.place))?;
        let mut read = object.read_whole(stored_len as u64)?;
        let mut out = Vec::new();
        let mut rest = self.stored.clone();
        read.opener.push(rest.split_to(PART_HEADER), &mut out)?;
        while !rest.is_empty() {
            read.opener.push(rest.split_to(chunk.min(rest.len())), &mut out)?;
            black_box(&out);
            out.clear();
        }
        read.opener.finish(&mut out)?;
        black_box(&out);
        Ok(())
    }
}

/// Whole small objects: what keys, header and footer cost.
fn small_objects(rounds: usize) -> anyhow::Result<()> {
    let (kek, place) = (Kek::new(&[5; 32]), Place::new("bench", "object")?);
    let plaintext = Bytes::from(vec![1; 4096]);
    let seal = || -> anyhow::Result<_> {
        let mut sealer = SingleSealer::new(&recorded(&place), &kek, 4096, &Vec::new(), &[])?;
        let mut out = Vec::new();
        sealer.push(plaintext.clone(), &mut out)?;
        let header = sealer.header().clone();
        sealer.finish(&Checksums::default(), &mut out)?;
        Ok((header, out))
    };
    let (header, stored) = seal()?;
    let stored = Bytes::from(stored.concat());
    let open = || -> anyhow::Result<()> {
        let object = header.open_object(&kek, &Expected::At(&place))?.context("a compact object")?;
        let mut read = object.read_whole(stored.len() as u64)?;
        let mut out = Vec::new();
        read.opener.push(stored.clone(), &mut out)?;
        read.opener.finish(&mut out)?;
        black_box(&out);
        Ok(())
    };
    let sealing = || seal().map(|sealed| drop(black_box(sealed)));
    for (case, work) in [("seal-object-4KiB", &sealing as &dyn Fn() -> anyhow::Result<()>), ("open-object-4KiB", &open)]
    {
        let count = 20 * rounds;
        let start = Instant::now();
        for _ in 0..count {
            work()?;
        }
        let ops_per_s = f64::from(u32::try_from(count)?) / start.elapsed().as_secs_f64();
        print(&SmallObjects { bench: "envelope", case, ops_per_s })?;
    }
    Ok(())
}
