//! Where events go.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::recent::Recent;

/// How an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// One JSON object a line, for a collector.
    Json,
}

/// What is written where nothing else is asked for. s3s tells every request that it refuses as an error of the service;
/// the gateway tells them itself, as what they are.
const DEFAULT: &str = "info,s3s=off";

/// Begins to write events to standard error, and to keep the newest of our own in memory: those are returned.
///
/// `SEALGATE_LOG` selects in the syntax of `tracing_subscriber::EnvFilter`; `info,s3s=off` where it is unset. A second
/// call in one process changes nothing, and what it returns stays empty.
pub fn init(format: Format) -> Recent {
    let filter = EnvFilter::try_from_env("SEALGATE_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let written =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let recent = Recent::default();
    let registry = tracing_subscriber::registry().with(recent.clone());
    let installed = match format {
        Format::Text => registry.with(written.with_filter(filter)).try_init(),
        Format::Json => registry.with(written.json().flatten_event(true).with_filter(filter)).try_init(),
    };
    if installed.is_err() {
        tracing::debug!("events are already being written");
    }
    recent
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_refused_signature_is_no_error_of_the_operator() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(DEFAULT))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "s3s::ops", "failed to prepare");
            tracing::info!(target: "gateway::s3::service", "request is answered");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("request is answered") && !text.contains("failed to prepare"), "{text}");
    }
}
