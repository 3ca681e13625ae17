//! `ListParts` and `ListMultipartUploads`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::sync::Arc;

use super::{RECORD, Upload, current, folder, read};
use crate::answer;
use crate::checksum::write_values;
use crate::conditions::iso_date;
use crate::error::{Answer, Code, S3Error, no_such_upload};
use crate::list::{common_prefix, encode, named_owner};
use crate::put::must_exist;
use crate::request::Call;
use crate::storage::Storage;
use crate::transfer::blocking;
use crate::xml::Writer;

/// Entries of a page at most.
const MAX_ENTRIES: u32 = 1000;

pub(crate) async fn parts(storage: Arc<Storage>, call: Call) -> Answer {
    let id = call.query.get("uploadId").unwrap_or_default().to_owned();
    let max = call.query.number("max-parts", MAX_ENTRIES, MAX_ENTRIES)?;
    let marker = call.query.number("part-number-marker", 0, u32::MAX)?;
    let url = call.query.encoding_url()?;
    let Call { bucket, key, .. } = call;
    let (bucket, upload, id, mut parts) = blocking(move || {
        let dir = folder(&storage, &bucket, &id)?;
        let upload = match read(&dir.join(RECORD)) {
            Err(error) if error.code() == Code::NoSuchUpload => {
                must_exist(&storage, &bucket)?;
                return Err(error);
            }
            other => other?,
        };
        if upload.key != key {
            return Err(no_such_upload());
        }
        Ok((bucket, upload, id, current(&dir)?))
    })
    .await?;
    parts.retain(|part| part.number > marker);
    let truncated = parts.len() > max as usize;
    parts.truncate(max as usize);

    let mut xml = Writer::new();
    xml.root("ListPartsResult");
    xml.text("Bucket", &bucket);
    xml.text("Key", &encode(&upload.key, url));
    xml.text("UploadId", &id);
    named_owner(&mut xml, "Initiator");
    named_owner(&mut xml, "Owner");
    xml.text("StorageClass", upload.attributes.storage_class.as_deref().unwrap_or("STANDARD"));
    xml.value("PartNumberMarker", marker);
    xml.value("NextPartNumberMarker", parts.last().map_or(0, |part| part.number));
    xml.value("MaxParts", max);
    if url {
        xml.text("EncodingType", "url");
    }
    xml.value("IsTruncated", truncated);
    upload.choice.write(&mut xml);
    for part in &parts {
        xml.open("Part");
        xml.value("PartNumber", part.number);
        xml.text("LastModified", &iso_date(i64::try_from(part.committed / 1_000_000_000).unwrap_or(i64::MAX)));
        xml.text("ETag", &format!("\"{}\"", part.etag));
        xml.value("Size", part.size);
        write_values(&part.checksums, &mut xml);
        xml.close("Part");
    }
    xml.close("ListPartsResult");
    Ok(answer::xml(xml.finish()))
}

/// One line: an upload, or a common prefix of several keys (an empty id).
enum Entry {
    Upload(String, Upload),
    Group(String),
}

impl Entry {
    fn markers(&self) -> (&str, &str) {
        match self {
            Self::Upload(id, upload) => (&upload.key, id),
            Self::Group(prefix) => (prefix, ""),
        }
    }
}

pub(crate) async fn uploads(storage: Arc<Storage>, call: Call) -> Answer {
    let text = |name| call.query.get(name).unwrap_or_default().to_owned();
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    let (key_marker, id_marker) = (text("key-marker"), text("upload-id-marker"));
    let max = call.query.number("max-uploads", MAX_ENTRIES, MAX_ENTRIES)?;
    let url = call.query.encoding_url()?;
    let bucket = call.bucket;
    let (bucket, uploads) = blocking(move || {
        must_exist(&storage, &bucket)?;
        let uploads = all(&storage, &bucket)?;
        Ok((bucket, uploads))
    })
    .await?;

    let mut groups = BTreeSet::new();
    let mut entries = Vec::new();
    for (id, upload) in uploads {
        if !upload.key.starts_with(&prefix) {
            continue;
        }
        // Without an upload-id-marker the key-marker itself is passed; with one, its later uploads still come.
        let entry = match common_prefix(&upload.key, &prefix, &delimiter) {
            Some(group) if *group <= *key_marker || !groups.insert(group.to_owned()) => continue,
            Some(group) => Entry::Group(group.to_owned()),
            None if upload.key < key_marker => continue,
            None if upload.key == key_marker && (id_marker.is_empty() || id <= id_marker) => continue,
            None => Entry::Upload(id, upload),
        };
        entries.push(entry);
    }
    let truncated = entries.len() > max as usize;
    entries.truncate(max as usize);

    let mut xml = Writer::new();
    xml.root("ListMultipartUploadsResult");
    xml.text("Bucket", &bucket);
    xml.text("KeyMarker", &encode(&key_marker, url));
    xml.text("UploadIdMarker", &id_marker);
    if let (true, Some((key, id))) = (truncated, entries.last().map(Entry::markers)) {
        xml.text("NextKeyMarker", &encode(key, url));
        xml.text("NextUploadIdMarker", id);
    }
    xml.text("Prefix", &encode(&prefix, url));
    if !delimiter.is_empty() {
        xml.text("Delimiter", &encode(&delimiter, url));
    }
    xml.value("MaxUploads", max);
    if url {
        xml.text("EncodingType", "url");
    }
    xml.value("IsTruncated", truncated);
    for entry in &entries {
        match entry {
            Entry::Upload(id, upload) => {
                xml.open("Upload");
                xml.text("Key", &encode(&upload.key, url));
                xml.text("UploadId", id);
                named_owner(&mut xml, "Initiator");
                named_owner(&mut xml, "Owner");
                xml.text("StorageClass", upload.attributes.storage_class.as_deref().unwrap_or("STANDARD"));
                xml.text("Initiated", &iso_date(upload.initiated));
                upload.choice.write(&mut xml);
                xml.close("Upload");
            }
            Entry::Group(prefix) => {
                xml.open("CommonPrefixes");
                xml.text("Prefix", &encode(prefix, url));
                xml.close("CommonPrefixes");
            }
        }
    }
    xml.close("ListMultipartUploadsResult");
    Ok(answer::xml(xml.finish()))
}

/// Every upload of a bucket by key, then by id, which is by time. Costs one small read for each that is under way.
fn all(storage: &Storage, bucket: &str) -> Result<Vec<(String, Upload)>, S3Error> {
    let failed = |error: io::Error| S3Error::io("listing the uploads of a bucket", &error);
    let mut uploads = Vec::new();
    for entry in fs::read_dir(storage.uploads(bucket)).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(id) = entry.file_name().into_string() else { continue };
        match read(&entry.path().join(RECORD)) {
            Ok(upload) => uploads.push((id, upload)),
            // Completed or aborted since.
            Err(error) if error.code() == Code::NoSuchUpload => {}
            Err(error) => return Err(error),
        }
    }
    uploads.sort_unstable_by(|(id, upload), (other_id, other)| (&upload.key, id).cmp(&(&other.key, other_id)));
    Ok(uploads)
}
