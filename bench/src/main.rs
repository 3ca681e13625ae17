//! Benchmarks. Each prints one JSON object a line on standard output; complaints go to standard error.
//!
//! ```text
//! bench envelope   seal and open against the raw AES-GCM rate of the crypto library, side by side
//! bench policy     the cost of one policy decision, with 1, 100 and 1,000 policies
//! ```
//! Rates are only worth something from a release build: `make bench`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod envelope;
mod policy;
mod report;

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
}

fn main() -> ExitCode {
    let outcome = match Args::parse().what {
        What::Envelope(args) => envelope::run(&args),
        What::Policy(args) => policy::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::complain(&error),
    }
}
