//! `GetObjectTagging`, `PutObjectTagging`, `DeleteObjectTagging`.

use std::sync::Arc;

use http::StatusCode;

use crate::error::{Answer, S3Error};
use crate::get::check_version;
use crate::request::{Call, check_tags};
use crate::storage::Storage;
use crate::transfer::{blocking, receive_document};
use crate::xml::{Element, Writer};
use crate::{answer, commit, record};

/// Bytes of a tagging document: ten tags of the longest, every byte a character reference, is far less.
const MAX_DOCUMENT: usize = 256 << 10;

pub(crate) async fn get(storage: Arc<Storage>, call: Call) -> Answer {
    check_version(&call.query)?;
    let Call { bucket, key, .. } = call;
    let record = blocking(move || record::read(&storage, &bucket, &key)).await?;
    let mut xml = Writer::new();
    xml.root("Tagging");
    xml.open("TagSet");
    // By their keys: as a set, they have no order of their own.
    let mut tags: Vec<_> = record.attributes.tags.iter().collect();
    tags.sort();
    for (name, value) in tags {
        xml.open("Tag");
        xml.text("Key", name);
        xml.text("Value", value);
        xml.close("Tag");
    }
    xml.close("TagSet");
    xml.close("Tagging");
    Ok(answer::xml(xml.finish()))
}

pub(crate) async fn put(storage: Arc<Storage>, call: Call) -> Answer {
    check_version(&call.query)?;
    let Call { bucket, key, headers, body, .. } = call;
    let document = receive_document(&headers, body, MAX_DOCUMENT).await?;
    let document = Element::parse(&document, "Tagging")?;
    let tags = document
        .all("TagSet")
        .flat_map(|set| set.all("Tag"))
        .map(|tag| Ok((tag.required("Key")?.to_owned(), tag.required("Value")?.to_owned())))
        .collect::<Result<Vec<_>, S3Error>>()?;
    let tags = check_tags(tags)?;
    blocking(move || commit::change_record(&storage, &bucket, &key, |record| record.attributes.tags = tags)).await?;
    Ok(answer::status(StatusCode::OK))
}

pub(crate) async fn delete(storage: Arc<Storage>, call: Call) -> Answer {
    check_version(&call.query)?;
    let Call { bucket, key, .. } = call;
    blocking(move || commit::change_record(&storage, &bucket, &key, |record| record.attributes.tags.clear())).await?;
    Ok(answer::status(StatusCode::NO_CONTENT))
}
