//! `sealgate audit`: the log of Central, taken away and verified without it.
//!
//! A record is one line of JSON that ends in its hash: the SHA-256 of the line without that member. It names its
//! sequence, which has no gap from 1 on, and the hash of the record before.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::args::AuditCommand;
use crate::client::Client;
use crate::failure::{Context, Failure};
use crate::output::{Output, fields};
use crate::target::Targets;

/// Longest record; Central writes much shorter ones.
const MAX_LINE: u64 = 16 * 1024 * 1024;

/// Length of `,"hash":"<64 hex>"}`.
const HASH_MEMBER: usize = 10 + 64 + 1;

/// Carries the command out.
pub(crate) async fn run(command: AuditCommand, targets: &Targets, out: &Output) -> Result<ExitCode, Failure> {
    let result = match command {
        AuditCommand::Export { output } => export(&targets.central()?, &output).await?,
        AuditCommand::Verify { file } => {
            let opened = std::fs::File::open(&file).or_refuse(|| format!("{} cannot be read", file.display()))?;
            verify(BufReader::new(opened)).map_err(|broken| broken.in_file(&file))?
        }
    };
    out.print(&result, fields)?;
    Ok(ExitCode::SUCCESS)
}

/// The file appears whole or not at all, and replaces an older one.
async fn export(central: &Client, output: &Path) -> Result<Value, Failure> {
    let refused = || format!("{} cannot be written", output.display());
    let folder = folder_of(output);
    let mut file = tempfile::Builder::new().prefix(".sealgate-").tempfile_in(&folder).or_refuse(refused)?;
    let mut answer = central.download(&["audit", "export"]).await?;
    let (mut bytes, mut records) = (0_u64, 0_u64);
    while let Some(chunk) = answer.chunk().await.or_refuse(|| "the transfer of the log broke off".to_owned())? {
        file.write_all(&chunk).or_refuse(refused)?;
        bytes += chunk.len() as u64;
        records += chunk.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
    }
    file.as_file().sync_all().or_refuse(refused)?;
    file.persist(output).or_refuse(refused)?;
    Ok(json!({ "file": output.display().to_string(), "records": records, "bytes": bytes }))
}

/// Where a file lies.
pub(crate) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What is wrong with a log, and where.
#[derive(Debug, PartialEq, Eq)]
struct Broken {
    line: u64,
    code: &'static str,
    message: String,
}

impl Broken {
    fn in_file(self, file: &Path) -> Failure {
        let error = json!({
            "file": file.display().to_string(), "line": self.line, "column": 1, "code": self.code,
            "message": self.message,
        });
        Failure::invalid("the log is not as Central wrote it", &[error])
    }
}

/// The members of a record, in their order.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    sequence: u64,
    at: String,
    #[serde(rename = "actor")]
    _actor: String,
    #[serde(rename = "action")]
    _action: String,
    #[serde(rename = "subject")]
    _subject: String,
    #[serde(rename = "detail")]
    _detail: IgnoredAny,
    previous_hash: String,
    hash: String,
}

/// Follows the chain from the first record to the last.
fn verify(mut log: impl BufRead) -> Result<Value, Broken> {
    let mut previous = "0".repeat(64);
    let (mut sequence, mut first, mut last) = (0_u64, None, None);
    let mut line = Vec::new();
    loop {
        let at = sequence + 1;
        let broken = |code, message: String| Broken { line: at, code, message };
        line.clear();
        let read = log.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        if read.map_err(|error| broken("unreadable", error.to_string()))? == 0 {
            break;
        }
        let whole = line.strip_suffix(b"\n").ok_or_else(|| {
            broken("cut-off", "the line does not end: the file was cut off, or is no exported log".to_owned())
        })?;
        let record: Record = serde_json::from_slice(whole)
            .map_err(|error| broken("malformed", format!("this is no record of the log: {error}")))?;
        if record.sequence != at {
            let message = format!("record {at} is due, this is record {}: removed, added or moved", record.sequence);
            return Err(broken("sequence", message));
        }
        if record.previous_hash != previous {
            let message = format!("record {at} does not follow from the record before it");
            return Err(broken("chain", message));
        }
        if hash_of(whole, &record.hash).as_deref() != Some(record.hash.as_str()) {
            return Err(broken("hash", format!("record {at} was changed: its hash is another one")));
        }
        previous = record.hash;
        sequence = at;
        first.get_or_insert_with(|| record.at.clone());
        last = Some(record.at);
    }
    if sequence == 0 {
        return Err(Broken { line: 1, code: "empty", message: "there is no record in this file".to_owned() });
    }
    Ok(json!({ "verified": true, "records": sequence, "first_at": first, "last_at": last, "head": previous }))
}

/// SHA-256 of the line without the member `hash`, which must be its last. `None`: it is not.
fn hash_of(line: &[u8], claimed: &str) -> Option<String> {
    let body = line.len().checked_sub(HASH_MEMBER).filter(|_| claimed.len() == 64)?;
    let (body, member) = line.split_at(body);
    if member != format!(",\"hash\":\"{claimed}\"}}").as_bytes() {
        return None;
    }
    let mut digest = Sha256::new();
    digest.update(body);
    digest.update(b"}");
    Some(hex::encode(digest.finalize()))
}

#[cfg(test)]
mod tests;
