//! `sealgate`: the command line of gateways and Central, and `sealgate dev`, which runs all of it on one machine.
//!
//! ```text
//! args ──▶ one module per noun ──▶ client (REST of Central or of a gateway) ──▶ output (text or one JSON object)
//!          dev: starts PostgreSQL, Central and gateways as processes of their own and watches over them
//!          object inspect, object decrypt, policy check, audit verify: on files, with no service
//! ```
//! Exit status: 0 done, 1 refused or invalid, 2 usage, 3 the service could not be reached.

mod args;
mod audit;
mod bucket;
mod client;
mod dev;
mod duration;
mod failure;
mod gateway;
mod kms;
mod object;
mod output;
mod policy;
mod stats;
mod target;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    let args = Args::parse();
    // The one TLS stack of every HTTP client here; nothing else can have been installed before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let json = args.json;
    match run(args) {
        Ok(code) => code,
        Err(failure) => failure.report(json),
    }
}

/// One thread: `dev` ties the lives of its children to the thread that started them.
fn run(args: Args) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::refused(format!("the runtime cannot start: {error}")))?;
    let Args { json, ready_file, gateway, command } = args;
    let named = || std::env::var_os("SEALGATE_READY_FILE").filter(|path| !path.is_empty());
    let ready_file = ready_file.or_else(|| named().map(Into::into));
    let targets = target::Targets { ready_file, gateway };
    let out = output::Output { json };
    runtime.block_on(async {
        match command {
            Command::Dev(dev) => dev::run(dev, targets.ready_file).await,
            Command::Policy(command) => policy::run(command, &targets, &out).await,
            Command::Gateway(command) => gateway::run(command, &targets, &out).await,
            Command::Kms(command) => kms::run(command, &targets, &out).await,
            Command::Bucket(command) => bucket::run(command, &targets, &out).await,
            Command::Object(command) => object::run(command, &targets, &out).await,
            Command::Stats(command) => stats::run(command, &targets, &out).await,
            Command::Audit(command) => audit::run(command, &targets, &out).await,
        }
    })
}
