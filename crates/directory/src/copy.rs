//! `CopyObject`, and the reading of a copy's source.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use crate::answer;
use crate::checksum::{Checksum, Choice};
use crate::conditions::{ReadConditions, WriteConditions, iso_date};
use crate::error::{Answer, Code, S3Error, invalid_argument};
use crate::list::VERSION;
use crate::put::{must_exist, place};
use crate::record::{self, Attributes, Opened, Record};
use crate::request::{Call, check_key, is_bucket_name, split_path};
use crate::storage::Storage;
use crate::transfer::{Sink, blocking, read_chunk};
use crate::xml::Writer;

/// Bytes copied by one step on a blocking thread: between steps a dropped request ends the copy.
const STEP: u64 = 16 << 20;

/// Bytes read at once where a copy must be hashed.
const HASHED: u64 = 256 << 10;

pub(crate) async fn object(storage: Arc<Storage>, call: Call) -> Answer {
    let source = Source::of(&call)?;
    let replace = directive(&call, "x-amz-metadata-directive")?;
    let replace_tags = directive(&call, "x-amz-tagging-directive")?;
    let given = Attributes::of_request(&call.headers)?;
    let conditions = WriteConditions::of_write(&call.headers)?;
    let asked = Choice::of(&call.headers)?.chosen().map(|(algorithm, _)| algorithm);
    let Call { bucket, key, headers, .. } = call;
    if source.is(&bucket, &key) && !replace && !headers.contains_key("x-amz-storage-class") {
        return Err(S3Error::new(
            Code::InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the \
             object's metadata, storage class, website redirect location or encryption attributes.",
        ));
    }

    let opening = Arc::clone(&storage);
    let target = bucket.clone();
    let (Opened { record: from, data, .. }, sink) = blocking(move || {
        let opened = source.open(&opening)?;
        must_exist(&opening, &target)?;
        Ok((opened, Sink::object(opening.stage())?))
    })
    .await?;
    // The ETag of an object that was not made of parts is the MD5 of its bytes: those need no second look.
    let known = (from.part_count() == 0).then(|| from.etag.clone());
    let algorithm = asked.or(from.checksum.as_ref().map(|checksum| checksum.algorithm)).unwrap_or(checksums::DEFAULT);
    let checksum = from.checksum.clone().filter(|checksum| checksum.is_of_object_by(algorithm));
    let hash = known.is_none() || checksum.is_none();
    let sink = sink.with(if checksum.is_none() { std::slice::from_ref(&algorithm) } else { &[] });
    let sink = transfer(data, 0, from.size, sink, hash).await?;

    let Record { attributes: kept, size, .. } = from;
    let attributes = Attributes {
        tags: if replace_tags { given.tags } else { kept.tags },
        storage_class: given.storage_class,
        headers: if replace { given.headers } else { kept.headers },
        metadata: if replace { given.metadata } else { kept.metadata },
    };
    let record = blocking(move || {
        let (staged, written) = sink.finish(|_| Ok(()))?;
        debug_assert_eq!(written.size, size, "transfer copies all or fails");
        let computed = written.checksums.into_iter().next().map(Checksum::of_object);
        let etag = known.unwrap_or_else(|| hex::encode(written.md5));
        let record = Record::new(&key, etag, written.size, attributes).with_checksum(checksum.or(computed));
        place(&storage, &bucket, staged, &record, &conditions)?;
        Ok(record)
    })
    .await?;
    let mut xml = Writer::new();
    xml.root("CopyObjectResult");
    xml.text("LastModified", &iso_date(record.modified));
    xml.text("ETag", &format!("\"{}\"", record.etag));
    if let Some(checksum) = &record.checksum {
        checksum.write(0, &mut xml);
    }
    xml.close("CopyObjectResult");
    Ok(answer::xml(xml.finish()))
}

/// The object that a copy reads, and the conditions on it.
pub(crate) struct Source {
    bucket: String,
    key: String,
    conditions: ReadConditions,
}

impl Source {
    /// `x-amz-copy-source`: `bucket/key` or `/bucket/key`, percent-encoded, perhaps with `?versionId=null`.
    pub(crate) fn of(call: &Call) -> Result<Self, S3Error> {
        let header = call.header("x-amz-copy-source")?.unwrap_or_default();
        let (path, version) = match header.split_once("?versionId=") {
            Some((path, version)) => (path, Some(version)),
            None => (header, None),
        };
        if version.is_some_and(|version| version != VERSION) {
            return Err(invalid_argument("Invalid version id specified"));
        }
        let (bucket, key) = split_path(path)?;
        if !is_bucket_name(&bucket) || key.is_empty() {
            return Err(invalid_argument("Copy Source must mention the source bucket and key: sourcebucket/sourcekey"));
        }
        check_key(&key)?;
        Ok(Self { bucket, key, conditions: ReadConditions::of_source(&call.headers)? })
    }

    fn is(&self, bucket: &str, key: &str) -> bool {
        self.bucket == bucket && self.key == key
    }

    /// Opens one version of the source and checks the conditions on it.
    pub(crate) fn open(&self, storage: &Storage) -> Result<Opened, S3Error> {
        let opened = record::open(storage, &self.bucket, &self.key)?;
        self.conditions.check_source(&opened.record)?;
        Ok(opened)
    }
}

/// Whether a directive is REPLACE; COPY is what no directive means.
fn directive(call: &Call, name: &'static str) -> Result<bool, S3Error> {
    match call.header(name)? {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(_) => Err(invalid_argument(format!("Unknown {name}: it is COPY or REPLACE."))),
    }
}

/// Copies bytes of a file into a sink, hashing them only if asked to.
pub(crate) async fn transfer(
    mut data: File,
    offset: u64,
    length: u64,
    mut sink: Sink,
    hash: bool,
) -> Result<Sink, S3Error> {
    let mut done = 0;
    while done < length {
        let (at, step) = (offset + done, STEP.min(length - done));
        (data, sink) = blocking(move || {
            if hash {
                let mut copied = 0;
                while copied < step {
                    let chunk: Bytes = read_chunk(&data, at + copied, HASHED.min(step - copied))
                        .map_err(|error| S3Error::io("reading a copy's source", &error))?;
                    copied += chunk.len() as u64;
                    sink.write(&[chunk])?;
                }
            } else {
                sink.append(&data, at, step)?;
            }
            Ok((data, sink))
        })
        .await?;
        done += step;
    }
    Ok(sink)
}
