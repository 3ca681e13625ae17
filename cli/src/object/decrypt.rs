//! Plaintext out of stored bytes with the RSA key alone.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use envelope::{Expected, Kek, Object};
use kms::RsaKey;
use serde_json::{Value, json};

use super::nameless::Nameless;
use super::stored::Stored;
use crate::audit::folder_of;
use crate::failure::{Context, Failure};

/// Stored bytes that are held at once, and at most one segment of plaintext with them.
const CHUNK: usize = 256 * 1024;

/// Writes the plaintext of `file` to `output`, which must not exist and appears only when every byte of the object was
/// authenticated. Ends early, with nothing left behind, once `stop` is set.
pub(super) fn decrypt(file: &Path, output: &Path, key: &RsaKey, stop: &AtomicBool) -> Result<Value, Failure> {
    let exists = || Failure::refused(format!("{} exists; nothing was written", output.display()));
    if output.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let mut stored = Stored::open(file)?;
    let object = open(&stored, file, key)?;
    let place = stored.footer()?.place().clone();
    let written = || format!("{} cannot be written", output.display());
    let folder = folder_of(output);
    let mut plain = Nameless::new(&folder).or_refuse(written)?;
    let bytes = stream(&mut stored, &object, &mut plain, file, output, stop)?;
    plain.name(output).map_err(|failed| match failed.kind() {
        std::io::ErrorKind::AlreadyExists => exists(),
        _ => Failure::refused(format!("{}: {failed}", written())),
    })?;
    Ok(json!({
        "output": output.display().to_string(),
        "plaintext_bytes": bytes,
        "kms_id": object.header().kms_id(),
        "bucket": String::from_utf8_lossy(place.bucket()),
        "key": String::from_utf8_lossy(place.key()),
    }))
}

/// The object, its header and footer authenticated.
fn open(stored: &Stored, file: &Path, key: &RsaKey) -> Result<Object, Failure> {
    let opened = key.open(&stored.kek_record()?).or_refuse(|| format!("{} cannot be opened", file.display()))?;
    let kek = Kek::new(opened.expose());
    // The file says itself where it lay; there is no place to hold it against.
    stored.footer()?.open(&kek, &Expected::Anywhere).or_refuse(|| format!("{} cannot be opened", file.display()))
}

fn stream(
    stored: &mut Stored,
    object: &Object,
    plain: &mut Nameless,
    file: &Path,
    output: &Path,
    stop: &AtomicBool,
) -> Result<u64, Failure> {
    let forged = || format!("{} is damaged or forged; nothing was written", file.display());
    let read = object.read_whole(stored.len()).or_refuse(forged)?;
    let mut opener = read.opener;
    let source = stored.rewound()?;
    let mut bytes = 0_u64;
    let mut give = |out: &mut Vec<Bytes>| -> Result<(), Failure> {
        for piece in out.drain(..) {
            plain.write_all(&piece).or_refuse(|| format!("{} cannot be written", output.display()))?;
            bytes += piece.len() as u64;
        }
        Ok(())
    };
    let mut out = Vec::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(Failure::refused("interrupted; nothing was written"));
        }
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).or_refuse(|| format!("{} cannot be read", file.display())),
        };
        opener.push(Bytes::copy_from_slice(&buffer[..count]), &mut out).or_refuse(forged)?;
        give(&mut out)?;
    }
    opener.finish(&mut out).or_refuse(forged)?;
    give(&mut out)?;
    Ok(bytes)
}
