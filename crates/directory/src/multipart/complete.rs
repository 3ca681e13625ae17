//! `CompleteMultipartUpload`.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;

use layout::DATA;
use md5::{Digest, Md5};

use super::{Part, current, hold, remove};
use crate::checksum::{self, Claim, PARTS, Value};
use crate::conditions::{WriteConditions, unquote};
use crate::error::{Answer, Code, S3Error};
use crate::put::place;
use crate::record::Record;
use crate::request::Call;
use crate::storage::{Staged, Storage};
use crate::transfer::{Sink, blocking, receive_document};
use crate::xml::{Element, Writer, malformed};
use crate::{answer, commit};

/// The smallest part that may be followed by another, in bytes.
const MIN_PART: u64 = 5 << 20;

const MAX_PARTS: usize = 10_000;

/// Bytes of the document: a part with every checksum that there is takes less than 768.
const MAX_DOCUMENT: usize = MAX_PARTS * 768;

pub(crate) async fn complete(storage: Arc<Storage>, call: Call) -> Answer {
    let id = call.query.get("uploadId").unwrap_or_default().to_owned();
    let conditions = WriteConditions::of_write(&call.headers)?;
    let claim = Claim::of(&call.headers)?;
    let Call { bucket, key, headers, body, .. } = call;
    let document = receive_document(&headers, body, MAX_DOCUMENT).await?;
    let named = named_parts(&Element::parse(&document, "CompleteMultipartUpload")?)?;

    let (bucket, record) = blocking(move || {
        let held = hold(&storage, &bucket, &key, &id, false)?;
        let parts = choose(&named, current(&held.dir)?)?;
        let size = parts.iter().map(|part| part.size).sum();
        let kept = held.upload.choice.kept();
        let (checksum, of_parts) =
            checksum::join(kept, parts.iter().map(|part| (part.checksums.as_slice(), part.size))).unzip();
        claim.check(kept, checksum.as_ref(), u32::try_from(parts.len()).unwrap_or(u32::MAX), size)?;
        // Before the parts are joined; what counts is the check at the commit.
        commit::check(&storage, &bucket, &key, &conditions)?;
        let staged = join(&storage, &parts)?;
        if let Some(values) = of_parts {
            keep_of_parts(&staged, &values)?;
        }
        let record = Record::new(&key, etag(&parts)?, size, held.upload.attributes.clone())
            .with_parts(parts.iter().map(|part| part.size))
            .with_checksum(checksum);
        place(&storage, &bucket, staged, &record, &conditions)?;
        remove(&storage, &bucket, &held)?;
        Ok((bucket, record))
    })
    .await?;
    let mut xml = Writer::new();
    xml.root("CompleteMultipartUploadResult");
    xml.text("Location", &format!("/{bucket}/{}", record.key));
    xml.text("Bucket", &bucket);
    xml.text("Key", &record.key);
    xml.text("ETag", &format!("\"{}\"", record.etag));
    if let Some(checksum) = &record.checksum {
        checksum.write(record.part_count(), &mut xml);
    }
    xml.close("CompleteMultipartUploadResult");
    Ok(answer::xml(xml.finish()))
}

/// Writes the checksums of the parts beside the bytes, and syncs them.
fn keep_of_parts(staged: &Staged, values: &[u8]) -> Result<(), S3Error> {
    let failed = |error: io::Error| S3Error::io("storing the checksums of parts", &error);
    let mut file = File::options().write(true).create_new(true).open(staged.path().join(PARTS)).map_err(failed)?;
    file.write_all(values).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// A part as the client names it.
struct Named {
    number: u32,
    etag: String,
    checksums: Vec<Value>,
}

/// The parts as the client names them: in ascending order, each once.
fn named_parts(document: &Element) -> Result<Vec<Named>, S3Error> {
    let mut named: Vec<Named> = Vec::new();
    for part in document.all("Part") {
        let number = part.required("PartNumber")?.trim().parse().map_err(|_| malformed())?;
        if named.last().is_some_and(|last| number <= last.number) {
            return Err(S3Error::new(
                Code::InvalidPartOrder,
                "The list of parts was not in ascending order. Parts must be ordered by part number.",
            ));
        }
        let etag = unquote(part.required("ETag")?).to_ascii_lowercase();
        named.push(Named { number, etag, checksums: checksum::named(part) });
    }
    if named.is_empty() || named.len() > MAX_PARTS {
        return Err(malformed());
    }
    Ok(named)
}

/// The parts that are named, if they are there, are the ones meant, and are large enough.
fn choose(named: &[Named], uploaded: Vec<Part>) -> Result<Vec<Part>, S3Error> {
    let mut uploaded = uploaded.into_iter();
    let mut chosen: Vec<Part> = Vec::with_capacity(named.len());
    for Named { number, etag, checksums } in named {
        let meant = |part: &Part| {
            part.number == *number && part.etag == *etag && checksums.iter().all(|one| part.checksums.contains(one))
        };
        // Both are in ascending order.
        match uploaded.find(|part| part.number >= *number) {
            Some(part) if meant(&part) => chosen.push(part),
            _ => {
                return Err(S3Error::new(
                    Code::InvalidPart,
                    format!(
                        "One or more of the specified parts could not be found. The part may not have been uploaded, \
                         or the specified entity tag may not match the part's entity tag. Part number: {number}."
                    ),
                ));
            }
        }
    }
    let but_last = &chosen[..chosen.len() - 1];
    if let Some(small) = but_last.iter().find(|part| part.size < MIN_PART) {
        return Err(S3Error::new(
            Code::EntityTooSmall,
            format!(
                "Your proposed upload is smaller than the minimum allowed size. Part {} has {} bytes, minimum {MIN_PART}.",
                small.number, small.size
            ),
        ));
    }
    Ok(chosen)
}

/// Makes one file of the parts. The parts stay as they are until the object is committed.
fn join(storage: &Arc<Storage>, parts: &[Part]) -> Result<Staged, S3Error> {
    let failed = |error: io::Error| S3Error::io("joining the parts of an upload", &error);
    if let [only] = parts {
        // Already synced, and about to lose its other name.
        let staged = storage.stage();
        std::fs::create_dir(staged.path()).map_err(failed)?;
        std::fs::hard_link(&only.path, staged.path().join(DATA)).map_err(failed)?;
        return Ok(staged);
    }
    let mut sink = Sink::object(storage.stage())?;
    for part in parts {
        sink.append(&File::open(&part.path).map_err(failed)?, 0, part.size)?;
    }
    let (staged, _) = sink.finish(|_| Ok(()))?;
    Ok(staged)
}

/// The MD5 of the parts' MD5s, and their number.
fn etag(parts: &[Part]) -> Result<String, S3Error> {
    let mut md5 = Md5::new();
    for part in parts {
        let part = hex::decode(&part.etag).map_err(|_| S3Error::damaged("The name of a stored part is not one."))?;
        md5.update(part);
    }
    Ok(format!("{}-{}", hex::encode(md5.finalize()), parts.len()))
}
