//! `DeleteObject` and `DeleteObjects`.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;

use crate::conditions::DeleteConditions;
use crate::error::{Answer, S3Error, invalid_argument};
use crate::get::check_version;
use crate::list::VERSION;
use crate::put::must_exist;
use crate::request::{Call, check_key};
use crate::storage::Storage;
use crate::transfer::{blocking, receive_document};
use crate::xml::{Element, Writer, malformed};
use crate::{answer, commit};

/// Keys of one `DeleteObjects`.
const MAX_KEYS: usize = 1000;

/// Bytes of its document: every key as long as it may be, every byte of it a character reference.
const MAX_DOCUMENT: usize = 8 << 20;

pub(crate) async fn object(storage: Arc<Storage>, call: Call) -> Answer {
    check_version(&call.query)?;
    let conditions = DeleteConditions::of_request(&call.headers)?;
    let Call { bucket, key, .. } = call;
    blocking(move || match commit::remove(&storage, &bucket, &key, &conditions)? {
        Some(level) => commit::sync_removal(&level),
        None => Ok(()),
    })
    .await?;
    Ok(answer::status(StatusCode::NO_CONTENT))
}

struct Wanted {
    key: String,
    conditions: DeleteConditions,
    version: Option<String>,
}

pub(crate) async fn objects(storage: Arc<Storage>, call: Call) -> Answer {
    let Call { bucket, headers, body, .. } = call;
    let document = receive_document(&headers, body, MAX_DOCUMENT).await?;
    let document = Element::parse(&document, "Delete")?;
    let quiet = matches!(document.child("Quiet")?.map(str::trim), Some("true"));
    let wanted = document.all("Object").map(wanted).collect::<Result<Vec<_>, S3Error>>()?;
    if wanted.is_empty() || wanted.len() > MAX_KEYS {
        return Err(malformed());
    }
    let outcomes = blocking(move || {
        must_exist(&storage, &bucket)?;
        let mut levels = BTreeSet::new();
        let mut outcomes = Vec::with_capacity(wanted.len());
        for Wanted { key, conditions, version } in wanted {
            let outcome = match version.as_deref() {
                None | Some(VERSION) => commit::remove(&storage, &bucket, &key, &conditions),
                Some(_) => Err(invalid_argument("Invalid version id specified")),
            };
            outcomes.push((key, outcome.map(|level| levels.extend(level))));
        }
        // One sync for each folder, however many keys went from it.
        levels.iter().try_for_each(|level| commit::sync_removal(level))?;
        Ok(outcomes)
    })
    .await?;

    let mut xml = Writer::new();
    xml.root("DeleteResult");
    for (key, outcome) in outcomes {
        match outcome {
            Ok(()) if quiet => {}
            Ok(()) => {
                xml.open("Deleted");
                xml.text("Key", &key);
                xml.close("Deleted");
            }
            Err(error) => {
                xml.open("Error");
                xml.text("Key", &key);
                xml.text("Code", error.code().name());
                xml.text("Message", error.message());
                xml.close("Error");
            }
        }
    }
    xml.close("DeleteResult");
    Ok(answer::xml(xml.finish()))
}

fn wanted(object: &Element) -> Result<Wanted, S3Error> {
    let key = object.required("Key")?.to_owned();
    if key.is_empty() {
        return Err(malformed());
    }
    check_key(&key)?;
    Ok(Wanted {
        key,
        conditions: DeleteConditions::new(
            object.child("ETag")?,
            object.child("Size")?,
            object.child("LastModifiedTime")?,
        )?,
        version: object.child("VersionId")?.map(str::to_owned),
    })
}
