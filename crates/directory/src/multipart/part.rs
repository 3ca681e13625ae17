//! `UploadPart` and `UploadPartCopy`.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;

use super::{Part, files, hold};
use crate::answer;
use crate::checksum::{Declared, Value, show_values, write_values};
use crate::conditions::iso_date;
use crate::copy::{Source, transfer};
use crate::error::{Answer, S3Error, no_such_upload};
use crate::get::part_number;
use crate::put::with_etag;
use crate::range::Range;
use crate::request::Call;
use crate::storage::{Staged, Storage, sync_dir};
use crate::transfer::{Expected, Received, Sink, blocking, receive};
use crate::xml::Writer;

pub(crate) async fn upload(storage: Arc<Storage>, call: Call) -> Answer {
    let target = Target::of(storage, &call)?;
    let expected = Expected::of(&call.headers, &call.body)?;
    let early = target.clone();
    let declared = expected.checksum.clone();
    let received = receive(call.body, &expected, move || early.begin(&declared)).await?;
    let part = blocking(move || {
        let Received { sink, rest, trailers } = received;
        let mut sink = match sink {
            Some(sink) => sink,
            None => target.begin(&expected.checksum)?,
        };
        sink.write(&rest)?;
        let (staged, written) = sink.finish(|written| expected.check(written, trailers.as_ref()))?;
        target.commit(staged, hex::encode(written.md5), written.checksums)
    })
    .await?;
    let mut answer = with_etag(answer::status(StatusCode::OK), &part.etag);
    show_values(&part.checksums, answer.headers_mut());
    Ok(answer)
}

pub(crate) async fn copy(storage: Arc<Storage>, call: Call) -> Answer {
    let target = Target::of(storage, &call)?;
    let source = Source::of(&call)?;
    let range = call.header("x-amz-copy-source-range")?.map(str::to_owned);
    let opening = target.clone();
    let (data, offset, length, known, sink) = blocking(move || {
        let sink = opening.begin(&Declared::default())?;
        let opened = source.open(&opening.storage)?;
        let record = opened.record;
        let range = range.map(|range| Range::of_copy_source(&range, record.size)).transpose()?;
        let (offset, length) = range.map_or((0, record.size), |range| (range.first, range.len()));
        // The ETag of an object that was not made of parts is the MD5 of all its bytes.
        let whole = length == record.size && record.parts.is_empty();
        let checksum = record.checksum.filter(|checksum| sink.computes_only(checksum.algorithm));
        let known =
            checksum.filter(|_| whole).map(|checksum| (record.etag, vec![(checksum.algorithm, checksum.value)]));
        Ok((opened.data, offset, length, known, sink))
    })
    .await?;
    let sink = transfer(data, offset, length, sink, known.is_none()).await?;
    let part = blocking(move || {
        let (staged, written) = sink.finish(|_| Ok(()))?;
        let (etag, checksums) = known.unwrap_or_else(|| (hex::encode(written.md5), written.checksums));
        target.commit(staged, etag, checksums)
    })
    .await?;
    let mut xml = Writer::new();
    xml.root("CopyPartResult");
    xml.text("LastModified", &iso_date(i64::try_from(part.committed / 1_000_000_000).unwrap_or(i64::MAX)));
    xml.text("ETag", &format!("\"{}\"", part.etag));
    write_values(&part.checksums, &mut xml);
    xml.close("CopyPartResult");
    Ok(answer::xml(xml.finish()))
}

/// The part that is to be.
#[derive(Clone)]
struct Target {
    storage: Arc<Storage>,
    bucket: String,
    key: String,
    id: String,
    number: u32,
}

impl Target {
    fn of(storage: Arc<Storage>, call: &Call) -> Result<Self, S3Error> {
        Ok(Self {
            storage,
            bucket: call.bucket.clone(),
            key: call.key.clone(),
            id: call.query.get("uploadId").unwrap_or_default().to_owned(),
            number: part_number(call.query.get("partNumber").unwrap_or_default())?,
        })
    }

    /// A place for the bytes, if there is such an upload now.
    fn begin(&self, declared: &Declared) -> Result<Sink, S3Error> {
        let held = hold(&self.storage, &self.bucket, &self.key, &self.id, true)?;
        Ok(Sink::file(self.storage.stage())?.with(&declared.of_part(held.upload.choice.kept().0)))
    }

    /// Makes a synced file the part.
    fn commit(self, staged: Staged, etag: String, checksums: Vec<Value>) -> Result<Part, S3Error> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => no_such_upload(),
            _ => S3Error::io("storing a part", &error),
        };
        let held = hold(&self.storage, &self.bucket, &self.key, &self.id, true)?;
        let lock = self.storage.lock(&self.bucket, &format!("{}/{}", self.id, self.number)).map_err(failed)?;
        let older: Vec<_> = files(&held.dir)?.into_iter().filter(|part| part.number == self.number).collect();
        // Later than what is there, also after the clock was set back.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let committed = older.iter().map(|part| part.committed + 1).max().unwrap_or(0).max(now);
        let path = held.dir.join(Part::name(self.number, committed, &etag, &checksums));
        fs::rename(staged.path(), &path).map_err(failed)?;
        staged.moved();
        for part in older {
            fs::remove_file(part.path).map_err(failed)?;
        }
        drop(lock);
        sync_dir(&held.dir).map_err(failed)?;
        Ok(Part { number: self.number, committed, etag, checksums, path, size: 0 })
    }
}
