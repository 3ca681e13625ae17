//! `sealgate-central`: arguments → [`Config`] → [`central::run`].

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use central::Config;
use clap::Parser;

/// The control plane of Sealgate.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// TOML file with the configuration.
    #[arg(long, env = "SEALGATE_CENTRAL_CONFIG")]
    config: Option<PathBuf>,
    /// One setting; wins over file and environment.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    settings: Vec<String>,
    /// Print the effective configuration without secrets, and end.
    #[arg(long)]
    print_config: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let settings = args.settings.iter().map(String::as_str);
    let config = match Config::load(args.config.as_deref(), std::env::vars(), settings) {
        Ok(config) => config,
        Err(mistakes) => return end(2, &mistakes.to_string()),
    };
    if args.print_config {
        return match write!(std::io::stdout(), "{config}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => end(1, &error.to_string()),
        };
    }
    telemetry::log::init(config.log.format);
    match central::run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => end(1, &error.to_string()),
    }
}

fn end(code: u8, message: &str) -> ExitCode {
    // Where standard error is gone, the exit code still tells.
    let _ = writeln!(std::io::stderr(), "sealgate-central: {message}");
    ExitCode::from(code)
}
