//! `sealgate dev`: everything on one machine, as a newcomer starts it.
//!
//! ```text
//! lock the data directory ─▶ PostgreSQL ─▶ Central ─▶ gateways (each enrolled by a token of its own) ─▶ KMS ─▶ ready file
//!                                 └── each a process of its own; one that dies is started again after a second ──┘
//! ```
//! What is kept: `secrets.json` (passwords and tokens), `sealing/` (the keys under which secrets at rest are sealed),
//! `postgres/`, `gateway-N/` (local state; as many are started again), `storage/` (the objects), `rsa-key.pem`, `run/`
//! (configuration files), `logs/`.

mod children;
mod demo;
mod postgres;
mod process;
mod ready;
mod settings;

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::fs::{FlockOperation, flock};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::DevArgs;
use crate::failure::{Context, Failure};

use children::Fleet;
use process::say;
use settings::Secrets;

/// The folders of a data directory, and the lock that makes it ours.
struct Home {
    data: PathBuf,
    logs: PathBuf,
    run: PathBuf,
    sealing: PathBuf,
    /// Held for the life of the process.
    _lock: std::fs::File,
}

impl Home {
    fn open(data: &Path) -> Result<Self, Failure> {
        let make = |path: &Path| {
            std::fs::DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(path)
                .or_refuse(|| format!("{} cannot be made", path.display()))
        };
        make(data)?;
        let data = data.canonicalize().or_refuse(|| format!("{} cannot be found", data.display()))?;
        let path = data.join("lock");
        let lock = std::fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .or_refuse(|| format!("{} cannot be opened", path.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Failure::refused(format!(
                "{} is in use by another `sealgate dev`; stop that one, or choose another --data",
                data.display()
            )));
        }
        let home =
            Self { logs: data.join("logs"), run: data.join("run"), sealing: data.join("sealing"), _lock: lock, data };
        for folder in [&home.logs, &home.run, &home.sealing] {
            make(folder)?;
        }
        Ok(home)
    }
}

/// Runs until SIGINT or SIGTERM; every child has ended when it returns.
pub(crate) async fn run(mut args: DevArgs, ready_file: Option<PathBuf>) -> Result<ExitCode, Failure> {
    let known = settings::known_gateways(&args.data);
    if args.gateways.is_none() {
        args.gateways = Some(args.gateways().max(known));
    }
    settings::check(&args)?;
    if let Some(path) = &ready_file {
        ready::leave_others(path, &args.data)?;
    }
    let handlers = || "signal handlers cannot be installed".to_owned();
    let mut interrupt = signal(SignalKind::interrupt()).or_refuse(handlers)?;
    let mut terminate = signal(SignalKind::terminate()).or_refuse(handlers)?;
    let mut hangup = signal(SignalKind::hangup()).or_refuse(handlers)?;
    let home = Home::open(&args.data)?;
    settings::check_ports(&args)?;
    if let Some(path) = &ready_file {
        let _ = std::fs::remove_file(path);
    }
    for number in args.gateways() + 1..=known {
        say(&format!("{} is not started: --gateways {}", settings::gateway_name(number), args.gateways()));
    }
    let secrets = Secrets::load_or_make(&home)?;
    let mut fleet = Fleet::new(args, home, secrets, ready_file);
    let stopped = tokio::select! {
        result = fleet.run() => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    };
    say("stopping");
    fleet.stop().await;
    stopped.map(|()| ExitCode::SUCCESS)
}
