//! Multipart uploads: `CreateMultipartUpload`, `AbortMultipartUpload`, and what the other operations share.
//!
//! ```text
//! BUCKET/uploads/UPLOAD/upload.json                 the key and what was given at Create; its lock is the upload's:
//!                                                   shared by those who commit parts, alone for Complete and Abort
//!                      /NNNNN-TIME-MD5[-NAME.VAL]*  a part: number, time of its commit in nanoseconds, ETag, checksums
//! ```
//! Of two files of one part number the one committed later is the part; whoever commits it removes the other.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, general_purpose};
use checksums::Algorithm;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::answer;
use crate::checksum::{Choice, Value};
use crate::error::{Answer, Code, S3Error, no_such_upload};
use crate::put::must_exist;
use crate::record::Attributes;
use crate::request::Call;
use crate::storage::{Storage, lock_until, sync_dir};
use crate::transfer::blocking;
use crate::xml::Writer;

mod complete;
mod list;
mod part;

pub(crate) use complete::complete;
pub(crate) use list::{parts, uploads};
pub(crate) use part::{copy as copy_part, upload as upload_part};

/// How long an operation on an upload waits for another one; a Complete of many gigabytes may take longer.
const PATIENCE: Duration = Duration::from_secs(30);

const RECORD: &str = "upload.json";

/// Checksums in the name of a part: base64 without `/` and `-`. In hex two of them would not fit 255 bytes.
const VALUES: GeneralPurpose = GeneralPurpose::new(&alphabet::IMAP_MUTF7, general_purpose::NO_PAD);

/// `upload.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Upload {
    key: String,
    /// Seconds since 1970.
    initiated: i64,
    #[serde(flatten)]
    attributes: Attributes,
    #[serde(flatten)]
    choice: Choice,
}

pub(crate) async fn create(storage: Arc<Storage>, call: Call) -> Answer {
    let attributes = Attributes::of_request(&call.headers)?;
    let choice = Choice::of(&call.headers)?;
    let Call { bucket, key, .. } = call;
    let (bucket, upload, id) = blocking(move || {
        let failed = |error: io::Error| S3Error::io("beginning a multipart upload", &error);
        must_exist(&storage, &bucket)?;
        // Ids of a later time sort later, as listings want uploads of one key.
        let id = uuid::Uuid::now_v7().simple().to_string();
        let initiated = time::OffsetDateTime::now_utc().unix_timestamp();
        let upload = Upload { key, initiated, attributes, choice };
        let staged = storage.stage();
        fs::create_dir(staged.path()).map_err(failed)?;
        let record = staged.path().join(RECORD);
        fs::write(&record, serde_json::to_vec(&upload).map_err(|error| failed(error.into()))?).map_err(failed)?;
        File::open(&record).and_then(|file| file.sync_all()).map_err(failed)?;
        sync_dir(staged.path()).map_err(failed)?;
        let uploads = storage.uploads(&bucket);
        match fs::rename(staged.path(), uploads.join(&id)) {
            Ok(()) => staged.moved(),
            Err(error) => {
                must_exist(&storage, &bucket)?;
                return Err(failed(error));
            }
        }
        sync_dir(&uploads).map_err(failed)?;
        Ok((bucket, upload, id))
    })
    .await?;
    let mut xml = Writer::new();
    xml.root("InitiateMultipartUploadResult");
    xml.text("Bucket", &bucket);
    xml.text("Key", &upload.key);
    xml.text("UploadId", &id);
    xml.close("InitiateMultipartUploadResult");
    let mut answer = answer::xml(xml.finish());
    upload.choice.show(answer.headers_mut());
    Ok(answer)
}

pub(crate) async fn abort(storage: Arc<Storage>, call: Call) -> Answer {
    let id = call.query.get("uploadId").unwrap_or_default().to_owned();
    let Call { bucket, key, .. } = call;
    blocking(move || {
        let held = hold(&storage, &bucket, &key, &id, false)?;
        remove(&storage, &bucket, &held)
    })
    .await?;
    Ok(answer::status(StatusCode::NO_CONTENT))
}

/// An upload that exists and, as long as this value lives, goes on to exist.
struct Held {
    upload: Upload,
    dir: PathBuf,
    _lock: File,
}

/// Locks an upload, shared or alone.
fn hold(storage: &Storage, bucket: &str, key: &str, id: &str, shared: bool) -> Result<Held, S3Error> {
    let failed = |error: io::Error| S3Error::io("opening a multipart upload", &error);
    let dir = folder(storage, bucket, id)?;
    let path = dir.join(RECORD);
    let lock = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            must_exist(storage, bucket)?;
            return Err(no_such_upload());
        }
        Err(error) => return Err(failed(error)),
    };
    if !lock_until(&lock, shared, Instant::now() + PATIENCE).map_err(failed)? {
        return Err(S3Error::new(Code::SlowDown, "This upload is being completed or aborted. Please retry."));
    }
    // It may have been completed or aborted before the lock was ours.
    let upload = read(&path)?;
    if upload.key != key {
        return Err(no_such_upload());
    }
    Ok(Held { upload, dir, _lock: lock })
}

/// The folder of an upload, there or not.
fn folder(storage: &Storage, bucket: &str, id: &str) -> Result<PathBuf, S3Error> {
    // Whatever else a caller sends as an id cannot become a path.
    if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        must_exist(storage, bucket)?;
        return Err(no_such_upload());
    }
    Ok(storage.uploads(bucket).join(id))
}

fn read(path: &Path) -> Result<Upload, S3Error> {
    match fs::read(path) {
        Ok(json) => serde_json::from_slice(&json)
            .map_err(|error| S3Error::damaged(format!("The record of a multipart upload cannot be read: {error}."))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_such_upload()),
        Err(error) => Err(S3Error::io("opening a multipart upload", &error)),
    }
}

/// Removes an upload that is held alone, with its parts.
fn remove(storage: &Arc<Storage>, bucket: &str, held: &Held) -> Result<(), S3Error> {
    let failed = |error: io::Error| S3Error::io("removing a multipart upload", &error);
    let grave = storage.stage();
    match fs::rename(&held.dir, grave.path()) {
        Ok(()) => {}
        // The bucket went with all its uploads.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    match sync_dir(&storage.uploads(bucket)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed),
    }
}

/// A committed part.
#[derive(Debug, Clone)]
struct Part {
    number: u32,
    /// Nanoseconds since 1970 at which it was committed.
    committed: u128,
    /// MD5 of its bytes, in hex.
    etag: String,
    checksums: Vec<Value>,
    path: PathBuf,
    /// Bytes; 0 until they are looked up.
    size: u64,
}

impl Part {
    fn name(number: u32, committed: u128, etag: &str, checksums: &[Value]) -> String {
        let mut name = format!("{number:05}-{committed:020}-{etag}");
        for (algorithm, value) in checksums {
            name.push('-');
            name.push_str(algorithm.name());
            name.push('.');
            VALUES.encode_string(value, &mut name);
        }
        name
    }

    fn parse(dir: &Path, name: &str) -> Option<Self> {
        let mut fields = name.split('-');
        let (number, committed) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let etag = fields.next().filter(|etag| etag.len() == 32)?.to_owned();
        let checksums = fields.map(|field| {
            let (name, value) = field.split_once('.')?;
            let algorithm = Algorithm::by_name(name)?;
            let value = VALUES.decode(value).ok().filter(|value| value.len() == algorithm.value_len())?;
            Some((algorithm, value))
        });
        Some(Self {
            number,
            committed,
            etag,
            checksums: checksums.collect::<Option<_>>()?,
            path: dir.join(name),
            size: 0,
        })
    }
}

/// The files of an upload that are parts, superseded ones too, in no order.
fn files(dir: &Path) -> Result<Vec<Part>, S3Error> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => no_such_upload(),
        _ => S3Error::io("reading the parts of an upload", &error),
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        files.extend(name.to_str().and_then(|name| Part::parse(dir, name)));
    }
    Ok(files)
}

/// The parts of an upload by number: of each the one that was committed last.
fn current(dir: &Path) -> Result<Vec<Part>, S3Error> {
    let mut files = files(dir)?;
    files.sort_unstable_by_key(|part| (part.number, part.committed));
    let mut parts: Vec<Part> = Vec::with_capacity(files.len());
    for file in files {
        if parts.last().is_some_and(|part| part.number == file.number) {
            parts.pop();
        }
        parts.push(file);
    }
    for part in &mut parts {
        part.size = fs::metadata(&part.path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => no_such_upload(),
                _ => S3Error::io("reading the parts of an upload", &error),
            })?
            .len();
    }
    Ok(parts)
}
