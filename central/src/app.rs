//! Puts the parts together.

use crate::config::Config;
use crate::error::Error;

/// Runs.
pub async fn run(config: Config) -> Result<(), Error> {
    let _ = config;
    Ok(())
}
