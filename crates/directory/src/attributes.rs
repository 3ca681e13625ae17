//! `GetObjectAttributes`.

use std::sync::Arc;

use http::HeaderValue;
use http::header::LAST_MODIFIED;

use crate::answer;
use crate::checksum::write_values;
use crate::conditions::http_date;
use crate::error::{Answer, Code, S3Error, invalid_argument};
use crate::get::check_version;
use crate::record::{self, Record};
use crate::request::Call;
use crate::storage::Storage;
use crate::transfer::blocking;
use crate::xml::Writer;

/// Parts of a page at most, and where nothing else is asked for.
const MAX_PARTS: u32 = 1000;

/// What can be asked for, in lower case.
const NAMES: [&str; 5] = ["etag", "checksum", "objectparts", "storageclass", "objectsize"];

pub(crate) async fn get(storage: Arc<Storage>, call: Call) -> Answer {
    check_version(&call.query)?;
    let wanted = names(&call)?;
    let max = number(&call, "x-amz-max-parts")?.unwrap_or(MAX_PARTS).min(MAX_PARTS);
    let marker = number(&call, "x-amz-part-number-marker")?.unwrap_or_default();
    let Call { bucket, key, .. } = call;
    let (record, values) = blocking(move || record::read_with_parts(&storage, &bucket, &key)).await?;

    let wants = |name: &str| wanted.iter().any(|one| one == name);
    let mut xml = Writer::new();
    xml.root("GetObjectAttributesResponse");
    if wants("etag") {
        xml.text("ETag", &record.etag);
    }
    if let Some(checksum) = record.checksum.as_ref().filter(|_| wants("checksum")) {
        xml.open("Checksum");
        checksum.write(record.part_count(), &mut xml);
        xml.close("Checksum");
    }
    if wants("objectparts") && record.part_count() > 0 {
        parts(&record, &values, marker, max, &mut xml);
    }
    if wants("storageclass") {
        xml.text("StorageClass", record.attributes.storage_class.as_deref().unwrap_or("STANDARD"));
    }
    if wants("objectsize") {
        xml.value("ObjectSize", record.size);
    }
    xml.close("GetObjectAttributesResponse");
    let mut answer = answer::xml(xml.finish());
    if let Ok(date) = HeaderValue::try_from(http_date(record.modified)) {
        answer.headers_mut().insert(LAST_MODIFIED, date);
    }
    Ok(answer)
}

/// What is asked for: a list, which some clients send as one header for each element.
fn names(call: &Call) -> Result<Vec<String>, S3Error> {
    let lists = call.headers.get_all("x-amz-object-attributes").iter().filter_map(|value| value.to_str().ok());
    let names: Vec<_> = lists
        .flat_map(|list| list.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() {
        return Err(S3Error::new(
            Code::InvalidRequest,
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty",
        ));
    }
    if names.iter().any(|name| !NAMES.contains(&name.as_str())) {
        return Err(invalid_argument("Invalid attribute name specified."));
    }
    Ok(names)
}

fn number(call: &Call, name: &'static str) -> Result<Option<u32>, S3Error> {
    let number = call.header(name)?.map(str::parse::<u32>).transpose();
    number.map_err(|_| invalid_argument(format!("{name} must be a number.")))
}

fn parts(record: &Record, values: &[u8], marker: u32, max: u32, xml: &mut Writer) {
    let count = record.part_count();
    let end = marker.saturating_add(max).min(count);
    xml.open("ObjectParts");
    xml.value("PartsCount", count);
    xml.value("PartNumberMarker", marker);
    xml.value("NextPartNumberMarker", end.max(marker));
    xml.value("MaxParts", max);
    xml.value("IsTruncated", end < count);
    let sizes = record.parts.iter().flat_map(|&(size, times)| std::iter::repeat_n(size, times as usize));
    let algorithm = record.checksum.as_ref().map(|checksum| checksum.algorithm);
    for (number, size) in (1..=end).zip(sizes).skip(marker as usize) {
        xml.open("Part");
        xml.value("PartNumber", number);
        xml.value("Size", size);
        if let Some(algorithm) = algorithm
            && let Some(value) = values.chunks(algorithm.value_len()).nth(number as usize - 1)
        {
            write_values(&[(algorithm, value.to_vec())], xml);
        }
        xml.close("Part");
    }
    xml.close("ObjectParts");
}
