//! What is kept of an object beside its bytes, and how both are opened as one version.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use http::header::{HeaderName, HeaderValue};
use layout::{DATA, RECORD};
use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use crate::checksum::{Checksum, PARTS};
use crate::error::{S3Error, no_such_bucket, no_such_key};
use crate::storage::Storage;
use crate::walk::Found;

/// The version of the record that this program writes and reads.
const VERSION: u32 = 1;

/// How often a reader starts again because the object was replaced between two of its steps. Each round lost means
/// that a writer won one, so a reader that loses this many is not looking at a race.
const ROUNDS: u32 = 200;

/// What a client sets with the object: given at `PutObject`, `CopyObject` or `CreateMultipartUpload`.
///
/// Header values are kept byte for byte: each byte is the character of the same number, so ASCII reads as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    /// `content-type` and the other headers that are stored and given back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    /// `x-amz-meta-*` without that prefix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<(String, String)>,
    /// A label only: every class is stored alike. `None` is STANDARD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) storage_class: Option<String>,
}

/// The record of one version of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// The key, so that the files can be understood without this program.
    pub(crate) key: String,
    /// Hex, without quotes: MD5 of the bytes, or of the parts' MD5s with `-N`.
    pub(crate) etag: String,
    /// Bytes of `data`.
    pub(crate) size: u64,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub(crate) modified: i64,
    #[serde(flatten)]
    pub(crate) attributes: Attributes,
    /// Of a multipart object: runs of parts with the same size, as (bytes, number of parts).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<(u64, u32)>,
    /// None in records that are older than checksums.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) checksum: Option<Checksum>,
}

impl Record {
    /// The record of a version that is committed now.
    pub(crate) fn new(key: &str, etag: String, size: u64, attributes: Attributes) -> Self {
        let modified = time::OffsetDateTime::now_utc().unix_timestamp();
        Self {
            version: VERSION,
            key: key.to_owned(),
            etag,
            size,
            modified,
            attributes,
            parts: Vec::new(),
            checksum: None,
        }
    }

    /// The same record with a checksum.
    pub(crate) fn with_checksum(mut self, checksum: Option<Checksum>) -> Self {
        self.checksum = checksum;
        self
    }

    /// The same record with the sizes of its parts, in order.
    pub(crate) fn with_parts(mut self, sizes: impl Iterator<Item = u64>) -> Self {
        for size in sizes {
            match self.parts.last_mut() {
                Some((same, count)) if *same == size => *count += 1,
                _ => self.parts.push((size, 1)),
            }
        }
        self
    }

    /// The number of parts of a multipart object; 0 for another.
    pub(crate) fn part_count(&self) -> u32 {
        self.parts.iter().map(|&(_, count)| count).sum()
    }

    /// Writes the record as a new file and syncs it.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(path)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()
    }

    fn parse(json: &[u8], key: &str) -> Result<Self, S3Error> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let record: Self =
            serde_json::from_slice(json).map_err(|error| match serde_json::from_slice::<Versioned>(json) {
                Ok(Versioned { version }) if version != VERSION => unknown(version),
                _ => S3Error::damaged(format!("The record of this object cannot be read: {error}.")),
            })?;
        if record.version != VERSION {
            return Err(unknown(record.version));
        }
        if record.key != key {
            return Err(S3Error::damaged("The record at this object's place is that of another key."));
        }
        Ok(record)
    }
}

fn unknown(version: u32) -> S3Error {
    S3Error::damaged(format!("The record of this object has version {version}; this program knows {VERSION}."))
}

/// One version of an object, held open: an overwrite or a deletion does not touch it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) record: Record,
    pub(crate) data: File,
    dir: OwnedFd,
}

impl Opened {
    /// The checksums of the parts, one after the other; empty where there are none.
    pub(crate) fn of_parts(&self) -> Result<Vec<u8>, S3Error> {
        of_parts(&self.dir, &self.record)
    }
}

/// Opens bytes and record of one version. `NoSuchBucket` and `NoSuchKey` mean that it is known not to exist.
pub(crate) fn open(storage: &Storage, bucket: &str, key: &str) -> Result<Opened, S3Error> {
    consistent(storage, bucket, key, |dir, record| {
        let Some(data) = open_in(&dir, DATA)? else { return Ok(None) };
        let length = data.metadata().map_err(|error| S3Error::io("reading an object", &error))?.len();
        if length != record.size {
            return Err(S3Error::damaged(format!(
                "The stored file of this object has {length} bytes, its record says {}. It was changed from outside.",
                record.size
            )));
        }
        Ok(Some(Opened { record, data, dir }))
    })
}

/// Reads the record, and the checksums of the parts where there are any: one after the other.
pub(crate) fn read_with_parts(storage: &Storage, bucket: &str, key: &str) -> Result<(Record, Vec<u8>), S3Error> {
    consistent(storage, bucket, key, |dir, record| {
        let values = of_parts(&dir, &record)?;
        Ok(Some((record, values)))
    })
}

/// The checksums of an object's parts; empty where there are none.
fn of_parts(dir: &OwnedFd, record: &Record) -> Result<Vec<u8>, S3Error> {
    let Some(checksum) = record.checksum.as_ref().filter(|_| record.part_count() > 0) else { return Ok(Vec::new()) };
    let mut values = Vec::new();
    if let Some(mut file) = open_in(dir, PARTS)? {
        file.read_to_end(&mut values).map_err(|error| S3Error::io("reading the checksums of parts", &error))?;
    }
    if !values.is_empty() && values.len() != checksum.algorithm.value_len() * record.part_count() as usize {
        return Err(S3Error::damaged("The checksums of this object's parts are not as many as its parts."));
    }
    Ok(values)
}

/// Reads the record alone.
pub(crate) fn read(storage: &Storage, bucket: &str, key: &str) -> Result<Record, S3Error> {
    consistent(storage, bucket, key, |_, record| Ok(Some(record)))
}

/// Reads the record of a key that a listing has found: by one path, and with all care only if that fails.
pub(crate) fn read_listed(storage: &Storage, bucket: &str, found: &Found) -> Result<Record, S3Error> {
    match std::fs::read(found.place.join(RECORD)) {
        Ok(json) => Record::parse(&json, &found.key),
        Err(_) => read(storage, bucket, &found.key),
    }
}

/// Calls `take` with the object's directory and its record, again when it answers `None` because the version has
/// just been removed.
fn consistent<T>(
    storage: &Storage,
    bucket: &str,
    key: &str,
    mut take: impl FnMut(OwnedFd, Record) -> Result<Option<T>, S3Error>,
) -> Result<T, S3Error> {
    let place = storage.place(bucket, key);
    for _ in 0..ROUNDS {
        let dir = match openat(CWD, &place, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(dir) => dir,
            Err(rustix::io::Errno::NOENT) => {
                let bucket =
                    storage.bucket_exists(bucket).map_err(|error| S3Error::io("looking for a bucket", &error))?;
                return Err(if bucket { no_such_key() } else { no_such_bucket() });
            }
            Err(error) => return Err(S3Error::io("opening an object", &error.into())),
        };
        if let Some(mut file) = open_in(&dir, RECORD)? {
            let mut json = Vec::with_capacity(1024);
            file.read_to_end(&mut json).map_err(|error| S3Error::io("reading a record", &error))?;
            if let Some(taken) = take(dir, Record::parse(&json, key)?)? {
                return Ok(taken);
            }
        }
        std::thread::yield_now();
    }
    Err(S3Error::damaged("A file of this object is missing. It was removed from outside."))
}

fn open_in(dir: &OwnedFd, name: &str) -> Result<Option<File>, S3Error> {
    match openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => Ok(Some(File::from(file))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(S3Error::io("opening an object", &error.into())),
    }
}

/// A header's value as it is kept in a record.
pub(crate) fn keep(value: &HeaderValue) -> String {
    value.as_bytes().iter().map(|&byte| char::from(byte)).collect()
}

/// A kept value as a header again; `None` if the record was changed to something that no header can hold.
pub(crate) fn give(value: &str) -> Option<HeaderValue> {
    let bytes: Option<Vec<u8>> = value.chars().map(|character| u8::try_from(character).ok()).collect();
    HeaderValue::from_bytes(&bytes?).ok()
}

/// A kept name as a header's again.
pub(crate) fn give_name(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_bytes()).ok()
}
