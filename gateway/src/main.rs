//! `sealgate-gateway`: the command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gateway::config::{Config, Mistakes};
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
#[command(name = "sealgate-gateway", version, about = "The S3 encryption gateway of Sealgate")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration file (TOML).
    #[arg(long, global = true, env = "SEALGATE_GATEWAY_CONFIG")]
    config: Option<PathBuf>,
    /// A setting that wins over file and environment, for example listen.s3=127.0.0.1:0.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT (the default).
    Run,
    /// Exchange an enrolment token for an identity at Central.
    Enrol {
        /// The token, as Central gave it.
        token: String,
    },
    /// Print the effective configuration, secrets masked.
    Check,
}

fn main() -> ExitCode {
    let Arguments { command, config, settings } = Arguments::parse();
    let result = Config::load(config.as_deref(), std::env::vars(), &settings)
        .map_err(anyhow::Error::from)
        .and_then(|config| execute(command.unwrap_or(Command::Run), config));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let usage = error.is::<Mistakes>();
            telemetry::log::init(telemetry::log::Format::Text);
            tracing::error!("{error:#}");
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

fn execute(command: Command, config: Config) -> anyhow::Result<()> {
    let log = telemetry::log::init(config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command {
        Command::Run => runtime.block_on(run(config, log)),
        Command::Enrol { token } => runtime.block_on(gateway::app::enrol(config, &token)),
        Command::Check => {
            use std::io::Write as _;
            write!(std::io::stdout(), "{}", config.effective())?;
            Ok(())
        }
    }
}

async fn run(config: Config, log: telemetry::recent::Recent) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let running = gateway::app::run(config, log, stop.clone());
    tokio::pin!(running);
    tokio::select! {
        result = &mut running => return result,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stop.cancel();
    running.await
}
