//! Benchmarks. Each prints one JSON object a line on standard output; complaints go to standard error.
//!
//! ```text
//! bench envelope   seal and open against the raw AES-GCM rate of the crypto library, side by side
//! bench policy     the cost of one policy decision, with 1, 100 and 1,000 policies
//! bench s3         PUT and GET of 4 KiB to 64 MiB, 1 to 64 at a time: direct | plain | encrypted
//! bench list       lists of 100,000 objects, half of them encrypted: direct | cold | warm | plain
//! bench range      bytes from the storage for 1 MiB out of 5 GiB
//! bench memory     the gateway's memory with 1,000 idle connections, then while 64 objects of 256 MiB are sealed, then
//!                  opened, at once
//! bench all        envelope, policy and s3
//! ```
//! All but the first two start real processes, which lie beside this program: `sealgate dev`, and for an S3 storage behind the
//! gateway `bench storage`. Rates are only worth something from a release build: `make bench`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod client;
mod envelope;
mod list;
mod memory;
mod policy;
mod processes;
mod range;
mod report;
mod s3;
mod storage;
mod upload;
mod usage;

#[derive(Parser)]
#[command(about = "Benchmarks of Sealgate: one JSON object a line")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The object format against the raw AES-GCM rate on the same segments.
    Envelope(envelope::Args),
    /// The cost of one policy decision.
    Policy(policy::Args),
    /// PUT and GET through a gateway, against the same storage without one.
    S3(s3::Args),
    /// Lists of a bucket of which half is encrypted, and of one that never held an encrypted object.
    List(list::Args),
    /// Bytes that are fetched from the storage for a range of a large object; needs 6 GiB of disk.
    Range(range::Args),
    /// The gateway's memory under many large objects at once; needs 17 GiB of disk.
    Memory(memory::Args),
    /// Envelope, policy and s3, with their defaults.
    All(s3::Args),
    /// An S3 service over a directory, until standard input ends: the storage of those above.
    #[command(hide = true)]
    Storage(storage::Args),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().what {
        What::Envelope(args) => envelope::run(&args),
        What::Policy(args) => policy::run(&args),
        What::S3(args) => s3::run(&args),
        What::List(args) => list::run(&args),
        What::Range(args) => range::run(&args),
        What::Memory(args) => memory::run(&args),
        What::All(args) => report::print_machine()
            .and_then(|()| envelope::run(&envelope::Args::default()))
            .and_then(|()| policy::run(&policy::Args::default()))
            .and_then(|()| s3::run(&args)),
        What::Storage(args) => storage::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::complain(&error),
    }
}
