//! `ListBuckets`, `CreateBucket`, `HeadBucket`, `DeleteBucket`, `GetBucketLocation`.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use serde::{Deserialize, Serialize};

use crate::answer;
use crate::conditions::iso_date;
use crate::error::{Answer, Code, S3Error, no_such_bucket};
use crate::list::owner;
use crate::put::must_exist;
use crate::request::{Call, is_bucket_name};
use crate::storage::{Storage, sync_dir};
use crate::transfer::{blocking, receive_document};
use crate::walk::Walk;
use crate::xml::{Element, Writer};

/// Bytes of a `CreateBucketConfiguration`.
const MAX_DOCUMENT: usize = 64 << 10;

/// `bucket.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    /// Seconds since 1970.
    created: i64,
    /// The region that the maker asked for; a label only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<String>,
}

const DESCRIPTION: &str = "bucket.json";

pub(crate) async fn list(storage: Arc<Storage>, call: Call) -> Answer {
    let max = call.query.number("max-buckets", 10_000, 10_000)? as usize;
    let after = call.query.get("continuation-token").unwrap_or_default().to_owned();
    let prefix = call.query.get("prefix").unwrap_or_default().to_owned();
    let (buckets, more) = blocking(move || {
        let failed = |error: io::Error| S3Error::io("listing the buckets", &error);
        let mut names = Vec::new();
        for entry in fs::read_dir(storage.root()).map_err(failed)? {
            if let Some(name) = entry.map_err(failed)?.file_name().to_str()
                && is_bucket_name(name)
                && name.starts_with(&prefix)
                && *name > *after
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        let mut buckets = Vec::new();
        for name in names {
            if buckets.len() == max {
                return Ok((buckets, true));
            }
            if storage.bucket_exists(&name).map_err(failed)? {
                match describe(&storage, &name) {
                    Ok(description) => buckets.push((name, description.created)),
                    // Removed since.
                    Err(error) if error.code() == Code::NoSuchBucket => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok((buckets, false))
    })
    .await?;

    let mut xml = Writer::new();
    xml.root("ListAllMyBucketsResult");
    owner(&mut xml);
    xml.open("Buckets");
    for (name, created) in &buckets {
        xml.open("Bucket");
        xml.text("Name", name);
        xml.text("CreationDate", &iso_date(*created));
        xml.close("Bucket");
    }
    xml.close("Buckets");
    if let (true, Some((last, _))) = (more, buckets.last()) {
        xml.text("ContinuationToken", last);
    }
    xml.close("ListAllMyBucketsResult");
    Ok(answer::xml(xml.finish()))
}

pub(crate) async fn create(storage: Arc<Storage>, call: Call) -> Answer {
    let Call { bucket, headers, body, .. } = call;
    // No name in the DNS. Buckets that were made when it was taken stay.
    if bucket.contains(".-") || bucket.contains("-.") {
        return Err(S3Error::new(Code::InvalidBucketName, "The specified bucket is not valid."));
    }
    let document = receive_document(&headers, body, MAX_DOCUMENT).await?;
    let location = if document.is_empty() {
        None
    } else {
        Element::parse(&document, "CreateBucketConfiguration")?
            .child("LocationConstraint")?
            .filter(|location| !location.is_empty())
            .map(str::to_owned)
    };
    let path = HeaderValue::try_from(format!("/{bucket}")).expect("a bucket name is a header value");
    blocking(move || {
        let failed = |error: io::Error| S3Error::io("making a bucket", &error);
        let lock = storage.lock_buckets().map_err(failed)?;
        if storage.bucket_exists(&bucket).map_err(failed)? {
            return Err(S3Error::new(
                Code::BucketAlreadyOwnedByYou,
                "Your previous request to create the named bucket succeeded and you already own it.",
            ));
        }
        clear(&storage, &bucket).map_err(failed)?;
        let staged = storage.stage();
        let made = staged.path();
        for dir in [made.to_owned(), made.join("objects"), made.join("uploads")] {
            fs::create_dir(dir).map_err(failed)?;
        }
        let created = time::OffsetDateTime::now_utc().unix_timestamp();
        let json = serde_json::to_vec(&Description { created, location }).map_err(|error| failed(error.into()))?;
        let description = made.join(DESCRIPTION);
        fs::write(&description, json).map_err(failed)?;
        fs::File::open(&description).and_then(|file| file.sync_all()).map_err(failed)?;
        sync_dir(made).map_err(failed)?;
        fs::rename(made, storage.bucket(&bucket)).map_err(failed)?;
        staged.moved();
        sync_dir(storage.root()).map_err(failed)?;
        drop(lock);
        Ok(())
    })
    .await?;
    let mut response = answer::status(StatusCode::OK);
    response.headers_mut().insert(LOCATION, path);
    Ok(response)
}

pub(crate) async fn head(storage: Arc<Storage>, call: Call) -> Answer {
    blocking(move || must_exist(&storage, &call.bucket)).await?;
    let mut response = answer::status(StatusCode::OK);
    response.headers_mut().remove(http::header::CONTENT_LENGTH);
    Ok(response)
}

/// Only a bucket without objects goes; uploads that are under way go with it.
pub(crate) async fn delete(storage: Arc<Storage>, call: Call) -> Answer {
    let bucket = call.bucket;
    blocking(move || {
        let failed = |error: io::Error| S3Error::io("deleting a bucket", &error);
        let objects = storage.objects(&bucket);
        // Held so that what is moved away at the end is not a bucket made since.
        let lock = storage.lock_buckets().map_err(failed)?;
        must_exist(&storage, &bucket)?;
        let not_empty = || S3Error::new(Code::BucketNotEmpty, "The bucket you tried to delete is not empty");
        if Walk::new(&objects, "", Vec::new()).next().map_err(failed)?.is_some() {
            return Err(not_empty());
        }
        // Folders without objects are left by a crash, or belong to a writer who is about to commit; that one makes
        // them again, and finds that the bucket is gone.
        prune(&objects).map_err(failed)?;
        // This is the moment: a commit before it makes it fail, one after it finds no bucket.
        match fs::remove_dir(&objects) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Err(not_empty()),
            other => other.map_err(failed)?,
        }
        clear(&storage, &bucket).map_err(failed)?;
        sync_dir(storage.root()).map_err(failed)?;
        drop(lock);
        Ok(())
    })
    .await?;
    Ok(answer::status(StatusCode::NO_CONTENT))
}

/// Of versioning it says nothing, as S3 does of a bucket where it was never switched on.
pub(crate) async fn versioning(storage: Arc<Storage>, call: Call) -> Answer {
    blocking(move || must_exist(&storage, &call.bucket)).await?;
    let mut xml = Writer::new();
    xml.root("VersioningConfiguration");
    xml.close("VersioningConfiguration");
    Ok(answer::xml(xml.finish()))
}

pub(crate) async fn location(storage: Arc<Storage>, call: Call) -> Answer {
    let location = blocking(move || {
        must_exist(&storage, &call.bucket)?;
        Ok(describe(&storage, &call.bucket)?.location)
    })
    .await?;
    let mut xml = Writer::new();
    xml.root("LocationConstraint");
    xml.inner(location.as_deref().unwrap_or_default());
    xml.close("LocationConstraint");
    Ok(answer::xml(xml.finish()))
}

fn describe(storage: &Storage, bucket: &str) -> Result<Description, S3Error> {
    match fs::read(storage.bucket(bucket).join(DESCRIPTION)) {
        Ok(json) => serde_json::from_slice(&json)
            .map_err(|error| S3Error::damaged(format!("bucket.json of {bucket} cannot be read: {error}."))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_such_bucket()),
        Err(error) => Err(S3Error::io("reading about a bucket", &error)),
    }
}

/// Moves away and removes what is left of a bucket that is none any more, with the lock of buckets held.
fn clear(storage: &Arc<Storage>, bucket: &str) -> io::Result<()> {
    let grave = storage.stage();
    match fs::rename(storage.bucket(bucket), grave.path()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            grave.moved();
            Ok(())
        }
        other => other,
    }
}

/// Removes the empty folders below `level`; those that are not empty stay.
fn prune(level: &Path) -> io::Result<()> {
    // Deepest last, so that it is removed first; no recursion, since a key may have a thousand levels.
    let mut found = vec![level.to_owned()];
    let mut next = 0;
    while let Some(dir) = found.get(next) {
        next += 1;
        match fs::read_dir(dir) {
            Ok(entries) => {
                let inside = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
                found.extend(inside);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(error),
        }
    }
    for dir in found.into_iter().skip(1).rev() {
        // What is not empty is an object that has come since: its bucket is then not empty.
        let _ = fs::remove_dir(dir);
    }
    Ok(())
}
