//! `PutObject`.

use std::sync::Arc;

use http::header::ETAG;
use http::{HeaderValue, Response, StatusCode};
use layout::RECORD;

use crate::checksum::Checksum;
use crate::conditions::WriteConditions;
use crate::error::{Answer, S3Error};
use crate::record::{Attributes, Record};
use crate::request::Call;
use crate::storage::{Staged, Storage};
use crate::transfer::{Expected, Received, Sink, blocking, receive};
use crate::{Body, answer, commit, error};

pub(crate) async fn object(storage: Arc<Storage>, call: Call) -> Answer {
    let attributes = Attributes::of_request(&call.headers)?;
    let conditions = WriteConditions::of_write(&call.headers)?;
    let expected = Expected::of(&call.headers, &call.body)?;
    let Call { bucket, key, body, .. } = call;

    if conditions.any() {
        // Refused before the body is taken in; what counts is the check at the commit.
        let (storage, bucket, key, conditions) = (storage.clone(), bucket.clone(), key.clone(), conditions.clone());
        blocking(move || commit::check(&storage, &bucket, &key, &conditions)).await?;
    }
    let staging = Arc::clone(&storage);
    let checks = expected.checksum.of_object();
    let early = checks.clone();
    let target = bucket.clone();
    let received = receive(body, &expected, move || {
        must_exist(&staging, &target)?;
        Ok(Sink::object(staging.stage())?.with(&early))
    })
    .await?;

    let record = blocking(move || {
        let Received { sink, rest, trailers } = received;
        let mut sink = if let Some(sink) = sink {
            sink
        } else {
            must_exist(&storage, &bucket)?;
            Sink::object(storage.stage())?.with(&checks)
        };
        sink.write(&rest)?;
        let (staged, written) = sink.finish(|written| expected.check(written, trailers.as_ref()))?;
        let record = Record::new(&key, hex::encode(written.md5), written.size, attributes)
            .with_checksum(written.checksums.into_iter().next().map(Checksum::of_object));
        place(&storage, &bucket, staged, &record, &conditions)?;
        Ok(record)
    })
    .await?;
    let mut answer = with_etag(answer::status(StatusCode::OK), &record.etag);
    if let Some(checksum) = &record.checksum {
        checksum.show(0, answer.headers_mut());
    }
    Ok(answer)
}

/// Completes a staged object directory with its record and commits it.
pub(crate) fn place(
    storage: &Storage,
    bucket: &str,
    staged: Staged,
    record: &Record,
    conditions: &WriteConditions,
) -> Result<(), S3Error> {
    record.write(&staged.path().join(RECORD)).map_err(|error| S3Error::io("storing a record", &error))?;
    commit::put(storage, bucket, &record.key, staged, conditions)
}

/// `NoSuchBucket` if it is known not to exist.
pub(crate) fn must_exist(storage: &Storage, bucket: &str) -> Result<(), S3Error> {
    match storage.bucket_exists(bucket) {
        Ok(true) => Ok(()),
        Ok(false) => Err(error::no_such_bucket()),
        Err(error) => Err(S3Error::io("looking for a bucket", &error)),
    }
}

/// A response with a quoted `ETag`.
pub(crate) fn with_etag(mut response: Response<Body>, etag: &str) -> Response<Body> {
    response.headers_mut().insert(ETAG, quoted(etag));
    response
}

/// An entity tag as a header's value.
pub(crate) fn quoted(etag: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{etag}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}
