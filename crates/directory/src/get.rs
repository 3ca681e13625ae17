//! `GetObject` and `HeadObject`.

use std::sync::Arc;

use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_RANGE, LAST_MODIFIED,
    RANGE,
};
use http::{HeaderValue, Response, StatusCode};

use crate::answer;
use crate::checksum;
use crate::conditions::{ReadConditions, http_date, unquote};
use crate::error::{Answer, Code, S3Error, invalid_argument};
use crate::list::VERSION;
use crate::put::quoted;
use crate::range::Range;
use crate::record::{self, Record, give, give_name};
use crate::request::{Call, Query};
use crate::storage::Storage;
use crate::transfer::{blocking, send};

/// Query parameters that replace a header of the answer.
const OVERRIDES: [(&str, &str); 6] = [
    ("response-cache-control", "cache-control"),
    ("response-content-disposition", "content-disposition"),
    ("response-content-encoding", "content-encoding"),
    ("response-content-language", "content-language"),
    ("response-content-type", "content-type"),
    ("response-expires", "expires"),
];

/// What both operations take.
struct Read {
    conditions: ReadConditions,
    range: Option<String>,
    if_range: Option<String>,
    part: Option<u32>,
    overrides: Vec<(HeaderName, HeaderValue)>,
    /// Whether checksums are shown.
    checksums: bool,
}

impl Read {
    fn of(call: &Call) -> Result<Self, S3Error> {
        check_version(&call.query)?;
        let text = |name| crate::request::text(&call.headers, name).map(|text| text.map(str::to_owned));
        let (range, if_range) = (text(RANGE)?, text(IF_RANGE)?);
        let part = call.query.get("partNumber").map(part_number).transpose()?;
        if part.is_some() && range.is_some() {
            return Err(S3Error::new(Code::InvalidRequest, "Cannot specify both Range header and partNumber query."));
        }
        let mut overrides = Vec::new();
        for (parameter, header) in OVERRIDES {
            if let Some(value) = call.query.get(parameter) {
                let value = HeaderValue::try_from(value)
                    .map_err(|_| invalid_argument(format!("{parameter} cannot be a header's value.")))?;
                overrides.push((HeaderName::from_static(header), value));
            }
        }
        Ok(Self {
            conditions: ReadConditions::of_read(&call.headers)?,
            range,
            if_range,
            part,
            overrides,
            checksums: checksum::asked(&call.headers)?,
        })
    }

    /// Whether the checksums of the parts are needed.
    fn of_parts(&self) -> bool {
        self.checksums && self.part.is_some()
    }

    /// The status, the bytes to send as offset and length, and all headers. `values`: the checksums of the parts, where
    /// they are needed.
    fn plan(self, record: &Record, values: &[u8]) -> Result<(StatusCode, u64, u64, HeaderMap), S3Error> {
        let mut headers = describe(record)?;
        if let Err(error) = self.conditions.check(record) {
            if error.code() != Code::NotModified {
                return Err(error);
            }
            // RFC 9110: a 304 carries what would tell a cache that its copy is this one.
            let kept = [ETAG, LAST_MODIFIED].into_iter().filter_map(|name| Some((name.clone(), headers.remove(name)?)));
            return Err(kept.fold(error, |error, (name, value)| error.with_header(name, value)));
        }
        for (name, value) in self.overrides {
            headers.insert(name, value);
        }
        let applies = self.if_range.is_none_or(|tag| unquote(&tag) == record.etag);
        let mut nothing = false;
        let range = match (self.part, self.range) {
            (Some(part), _) => {
                let count = record.part_count();
                if count > 0 {
                    headers.insert("x-amz-mp-parts-count", HeaderValue::from(count));
                }
                let range = part_range(record, part)?;
                nothing = range.is_none() && record.size > 0;
                range
            }
            (None, Some(range)) if applies => Range::of_read(&range, record.size)?,
            _ => None,
        };
        // A checksum of the whole would be taken for a wrong one of a range.
        if let Some(checksum) = record.checksum.as_ref().filter(|_| self.checksums) {
            match self.part.filter(|_| record.part_count() > 0) {
                Some(part) => {
                    if let Some(value) = values.chunks(checksum.algorithm.value_len()).nth(part as usize - 1) {
                        checksum.show_part(value, &mut headers);
                    }
                }
                None if range.is_none() || self.part.is_some() => checksum.show(record.part_count(), &mut headers),
                None => {}
            }
        }
        let (status, offset, length) = match range {
            // A part without bytes of an object that has some.
            None if nothing => (StatusCode::PARTIAL_CONTENT, 0, 0),
            None => (StatusCode::OK, 0, record.size),
            Some(range) => {
                headers.insert(CONTENT_RANGE, range.content_range(record.size));
                (StatusCode::PARTIAL_CONTENT, range.first, range.len())
            }
        };
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        Ok((status, offset, length, headers))
    }
}

pub(crate) async fn object(storage: Arc<Storage>, call: Call) -> Answer {
    let read = Read::of(&call)?;
    let Call { bucket, key, .. } = call;
    let (status, headers, body) = blocking(move || {
        let opened = record::open(&storage, &bucket, &key)?;
        let values = if read.of_parts() { opened.of_parts()? } else { Vec::new() };
        let (status, offset, length, headers) = read.plan(&opened.record, &values)?;
        Ok((status, headers, send(opened.data, offset, length)?))
    })
    .await?;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

pub(crate) async fn head(storage: Arc<Storage>, call: Call) -> Answer {
    let read = Read::of(&call)?;
    let Call { bucket, key, .. } = call;
    let of_parts = read.of_parts();
    let (record, values) = blocking(move || {
        if of_parts {
            return record::read_with_parts(&storage, &bucket, &key);
        }
        Ok((record::read(&storage, &bucket, &key)?, Vec::new()))
    })
    .await?;
    let (status, _, _, headers) = read.plan(&record, &values)?;
    let mut response = Response::new(answer::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The headers of an object as they were stored, and those that say what it is.
fn describe(record: &Record) -> Result<HeaderMap, S3Error> {
    let unreadable = || S3Error::damaged("The record of this object holds a header that is none.");
    let attributes = &record.attributes;
    let mut headers = HeaderMap::with_capacity(attributes.headers.len() + attributes.metadata.len() + 8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream"));
    for (name, value) in &attributes.headers {
        headers.insert(give_name(name).ok_or_else(unreadable)?, give(value).ok_or_else(unreadable)?);
    }
    for (name, value) in &attributes.metadata {
        let name = give_name(&format!("x-amz-meta-{name}")).ok_or_else(unreadable)?;
        headers.insert(name, give(value).ok_or_else(unreadable)?);
    }
    if let Some(class) = &attributes.storage_class {
        headers.insert("x-amz-storage-class", give(class).ok_or_else(unreadable)?);
    }
    if !attributes.tags.is_empty() {
        headers.insert("x-amz-tagging-count", HeaderValue::from(attributes.tags.len()));
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(ETAG, quoted(&record.etag));
    headers.insert(LAST_MODIFIED, HeaderValue::try_from(http_date(record.modified)).map_err(|_| unreadable())?);
    Ok(headers)
}

/// Where a part of a multipart object lies; any other object has one part, all of it.
fn part_range(record: &Record, part: u32) -> Result<Option<Range>, S3Error> {
    let whole = [(record.size, 1)];
    let runs = if record.parts.is_empty() { &whole[..] } else { &record.parts };
    let (mut first, mut left) = (0, part - 1);
    for &(size, count) in runs {
        if left < count {
            first += size * u64::from(left);
            return Ok(size.checked_sub(1).map(|length| Range { first, last: first + length }));
        }
        first += size * u64::from(count);
        left -= count;
    }
    Err(S3Error::new(Code::InvalidPartNumber, "The requested partnumber is not satisfiable"))
}

/// A part number: 1 to 10,000.
pub(crate) fn part_number(text: &str) -> Result<u32, S3Error> {
    match text.parse() {
        Ok(number @ 1..=10_000) => Ok(number),
        _ => Err(invalid_argument("Part number must be an integer between 1 and 10000, inclusive")),
    }
}

/// There are no versions here: the one that is there is `null`.
pub(crate) fn check_version(query: &Query) -> Result<(), S3Error> {
    match query.get("versionId") {
        None | Some(VERSION) => Ok(()),
        Some(_) => Err(invalid_argument("Invalid version id specified")),
    }
}
