//! `sealgate-gateway`: the command line.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use gateway::config::{Config, Mistakes, Secret};
use tokio_util::sync::CancellationToken;

/// More than any enrolment token has.
const TOKEN_BYTES: u64 = 64 * 1024;

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
        /// The token, as Central gave it. Whoever lists processes or reads the shell's history sees it here: better
        /// --token-file.
        #[arg(required_unless_present = "token_file", conflicts_with = "token_file")]
        token: Option<String>,
        /// A file that holds the token; `-`: standard input.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
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
        Command::Enrol { token, token_file } => {
            let token = match token_file {
                Some(file) => read_token(&file)?,
                None => Secret::new(token.unwrap_or_default()),
            };
            runtime.block_on(gateway::app::enrol(config, token.expose().trim()))
        }
        Command::Check => {
            use std::io::Write as _;
            write!(std::io::stdout(), "{}", config.effective())?;
            Ok(())
        }
    }
}

fn read_token(file: &Path) -> anyhow::Result<Secret> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().take(TOKEN_BYTES).read_to_string(&mut text).context("standard input")
    } else {
        let opened = File::open(file).and_then(|file| file.take(TOKEN_BYTES).read_to_string(&mut text));
        opened.with_context(|| file.display().to_string())
    };
    read.context("the enrolment token cannot be read; nothing was changed")?;
    Ok(Secret::new(text))
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
