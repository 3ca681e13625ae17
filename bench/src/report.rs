//! What benchmarks print.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;

/// Prints one result as a line of JSON.
pub(crate) fn print<T: Serialize>(result: &T) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, result)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Says on standard error why a benchmark could not be run.
pub(crate) fn complain(error: &anyhow::Error) -> ExitCode {
    // Nothing is left to do where standard error is closed.
    let _ = writeln!(io::stderr(), "bench: {error:#}");
    ExitCode::FAILURE
}

/// The middle of some values; NaN of none.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
