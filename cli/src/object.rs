//! `sealgate object`: stored objects; two of its commands work on bare files, long after everything else is gone.
//!
//! ```text
//! FILE ──end of the file──▶ Footer ──inspect──▶ what it says, not authenticated
//!                             │ KEK record + RSA key ──▶ KEK ──▶ Object, authenticated
//! FILE ──256 KiB at a time────┴──▶ Opener ──▶ nameless file ──all verified──▶ OUT
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::ObjectCommand;
use crate::failure::{Context, Failure};
use crate::output::{Output, fields};
use crate::target::Targets;

mod decrypt;
pub(crate) mod nameless;
mod stored;

/// Carries the command out.
pub(crate) async fn run(command: ObjectCommand, targets: &Targets, out: &Output) -> Result<ExitCode, Failure> {
    match command {
        ObjectCommand::Path { bucket, key, storage } => {
            let at = if let Some(storage) = storage {
                path_in(&storage, &bucket, &key)?
            } else {
                let query = [("bucket", bucket.as_str()), ("key", key.as_str())];
                targets.gateway()?.get(&["objects", "path"], &query).await?
            };
            out.print(&at, |at| at["path"].as_str().unwrap_or_default().to_owned())?;
        }
        ObjectCommand::Inspect { file } => {
            let report = stored::Stored::open(&file)?.report()?;
            out.print(&report, shown)?;
        }
        ObjectCommand::Decrypt { file, output, rsa_key, passphrase_file } => {
            let stop = Arc::new(AtomicBool::new(false));
            let stopped = Arc::clone(&stop);
            let work = tokio::task::spawn_blocking(move || {
                let key = crate::kms::read_rsa_key(&rsa_key, passphrase_file.as_deref())?;
                decrypt::decrypt(&file, &output, &key, &stopped)
            });
            let result = until_signal(work, &stop).await?;
            out.print(&result, fields)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The file of an object in a directory storage of which nothing runs.
fn path_in(storage: &Path, bucket: &str, key: &str) -> Result<Value, Failure> {
    let nothing = || Failure::refused(format!("there is no object {key} in {bucket} of {}", storage.display()));
    // Neither is the name of a bucket or key, and both could lead out of the storage.
    if bucket.is_empty() || bucket.starts_with('.') || bucket.contains('/') || key.is_empty() {
        return Err(nothing());
    }
    let folder = layout::object_dir(&layout::objects_dir(storage, bucket), key);
    let path = folder.join(layout::DATA);
    match path.try_exists() {
        Ok(true) => Ok(json!({ "bucket": bucket, "key": key, "path": path.display().to_string() })),
        Ok(false) => Err(nothing()),
        Err(error) => Err(Failure::refused(format!("{} cannot be looked at: {error}", path.display()))),
    }
}

/// What stored bytes say, for a person: of a file that is not sealed what is known of it, and of a sealed one that
/// nobody has verified it.
fn shown(report: &Value) -> String {
    let mut report = report.clone();
    let sealed = report["encrypted"] == true;
    if let Some(report) = report.as_object_mut() {
        report.retain(|name, value| sealed || !(value.is_null() || name == "verified"));
        if sealed {
            report.insert("verified".to_owned(), "no (needs the key: sealgate object decrypt)".into());
        }
    }
    fields(&report)
}

/// Waits for the work. A signal does not end the process at once, so that no plaintext is left behind.
async fn until_signal<T>(
    mut work: tokio::task::JoinHandle<Result<T, Failure>>,
    stop: &AtomicBool,
) -> Result<T, Failure> {
    let handlers = || "signal handlers cannot be installed".to_owned();
    let mut interrupt = signal(SignalKind::interrupt()).or_refuse(handlers)?;
    let mut terminate = signal(SignalKind::terminate()).or_refuse(handlers)?;
    let mut hangup = signal(SignalKind::hangup()).or_refuse(handlers)?;
    loop {
        tokio::select! {
            done = &mut work => return done.or_refuse(|| "the work broke off".to_owned())?,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        stop.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
