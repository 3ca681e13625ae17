//! The last known good set on disk: two files, written in turn, each with its own checksum.
//!
//! ```text
//! policies/a, policies/b
//!   "SGPOLICY" | format u32 | header length u32 | header (JSON) | document | SHA-256 of all before it
//! ```
//! A file is replaced whole (temporary file, fsync, rename, fsync of the folder), so a kill leaves the old one or the new
//! one. The second generation is for a disk that returns other bytes than were written. Numbers are big-endian.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use ids::Revision;
use policy::{Digest, Labels};
use serde::{Deserialize, Serialize};

use super::Bundle;
use crate::state::{unix_ms, unix_time};

const MAGIC: &[u8; 8] = b"SGPOLICY";
const FORMAT: u32 = 1;
const SLOTS: [&str; 2] = ["a", "b"];
/// Of a file: header, document, checksum.
const MAX_FILE: u64 = 80 * 1024 * 1024;

/// The last known good set cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The folder or a file in it cannot be read or written.
    #[error("policies at {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Sets were received, and no generation of them is intact.
    #[error(
        "the policy set on disk cannot be read ({0}); it is not passed over, since objects would be stored in plaintext where \
         a policy asks for encryption: remove the folder `policies` of the state directory to start without policies until \
         Central sends them"
    )]
    Unreadable(String),
}

/// What is kept of a set.
#[derive(Debug, Clone)]
pub(super) struct Saved {
    /// None: only labels are known.
    pub(super) bundle: Option<Bundle>,
    pub(super) received_at: SystemTime,
    pub(super) labels: Labels,
    pub(super) highest: Vec<Revision>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    /// Counts the writes over both files.
    written: u64,
    received_ms: i64,
    labels: Labels,
    highest: Vec<Revision>,
    bundle: Option<BundleHeader>,
}

#[derive(Serialize, Deserialize)]
struct BundleHeader {
    revision: Revision,
    digest: Digest,
    format: u32,
}

/// The folder, and which file is written next.
pub(super) struct Disk {
    folder: PathBuf,
    written: u64,
    next: usize,
}

impl Disk {
    /// Opens or makes the folder; returns the newest intact generation.
    pub(super) fn open(folder: &Path) -> Result<(Self, Option<Saved>), DiskError> {
        fs::create_dir_all(folder).map_err(|source| DiskError::Io { path: folder.to_owned(), source })?;
        let mut newest: Option<(usize, u64, Saved)> = None;
        let mut broken = Vec::new();
        for (slot, name) in SLOTS.iter().enumerate() {
            let path = folder.join(name);
            let bytes = match read(&path) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => continue,
                Err(source) => return Err(DiskError::Io { path, source }),
            };
            match decode(bytes) {
                Ok((written, saved)) => {
                    if newest.as_ref().is_none_or(|(_, best, _)| written > *best) {
                        newest = Some((slot, written, saved));
                    }
                }
                Err(reason) => {
                    tracing::error!(path = %path.display(), reason, "a generation of the policy set is damaged");
                    broken.push(format!("{name}: {reason}"));
                }
            }
        }
        match newest {
            Some((slot, written, saved)) => {
                Ok((Self { folder: folder.to_owned(), written, next: 1 - slot }, Some(saved)))
            }
            None if broken.is_empty() => Ok((Self { folder: folder.to_owned(), written: 0, next: 0 }, None)),
            None => Err(DiskError::Unreadable(broken.join("; "))),
        }
    }

    /// Replaces the older generation. When this returns, the bytes are on the disk.
    pub(super) fn save(&mut self, saved: &Saved) -> Result<(), DiskError> {
        let path = self.folder.join(SLOTS[self.next]);
        let bytes = encode(self.written + 1, saved);
        replace(&self.folder, &path, &bytes).map_err(|source| DiskError::Io { path, source })?;
        self.written += 1;
        self.next = 1 - self.next;
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(found) if found.len() > MAX_FILE => Ok(Some(Vec::new())),
        Ok(_) => fs::read(path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

fn encode(written: u64, saved: &Saved) -> Vec<u8> {
    let header = Header {
        written,
        received_ms: unix_ms(saved.received_at),
        labels: saved.labels.clone(),
        highest: saved.highest.clone(),
        bundle: saved.bundle.as_ref().map(|bundle| BundleHeader {
            revision: bundle.revision,
            digest: bundle.digest,
            format: bundle.format,
        }),
    };
    let header = serde_json::to_vec(&header).expect("texts and numbers are JSON");
    let document = saved.bundle.as_ref().map_or(&[][..], |bundle| &bundle.document);
    let mut bytes = Vec::with_capacity(MAGIC.len() + 8 + header.len() + document.len() + 32);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&FORMAT.to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(header.len()).expect("labels are bounded").to_be_bytes());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(document);
    let checksum = Digest::of(&bytes);
    bytes.extend_from_slice(&checksum.0);
    bytes
}

fn decode(bytes: Vec<u8>) -> Result<(u64, Saved), &'static str> {
    let content = bytes.len().checked_sub(32).ok_or("it is too short or too long")?;
    if Digest::of(&bytes[..content]).0 != bytes[content..] {
        return Err("its checksum does not agree");
    }
    let bytes = Bytes::from(bytes).slice(..content);
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is not a policy file")?;
    let (format, rest) = rest.split_first_chunk::<4>().ok_or("it ends early")?;
    if u32::from_be_bytes(*format) != FORMAT {
        return Err("it was written by another version");
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or("it ends early")?;
    let length = u32::from_be_bytes(*length) as usize;
    let header = rest.get(..length).ok_or("it ends early")?;
    let header: Header = serde_json::from_slice(header).map_err(|_| "its header is not what this version writes")?;
    let document = bytes.slice(MAGIC.len() + 8 + length..);
    let bundle = header.bundle.map(|bundle| Bundle {
        revision: bundle.revision,
        digest: bundle.digest,
        format: bundle.format,
        document,
    });
    let saved =
        Saved { bundle, received_at: unix_time(header.received_ms), labels: header.labels, highest: header.highest };
    Ok((header.written, saved))
}
