//! `ListObjects`, `ListObjectsV2` and `ListObjectVersions`, where every object has the one version `null`.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::answer;
use crate::conditions::iso_date;
use crate::error::{Answer, Code, S3Error, invalid_argument};
use crate::put::must_exist;
use crate::record::{self, Record};
use crate::request::{Call, Query};
use crate::storage::Storage;
use crate::transfer::blocking;
use crate::walk::{Walk, past};
use crate::xml::Writer;

/// Entries of a page at most, and where nothing else is asked for.
const MAX_KEYS: u32 = 1000;

/// The version of every object of a bucket whose versioning was never switched on.
pub(crate) const VERSION: &str = "null";

/// What the listings have in common.
struct Page {
    prefix: String,
    delimiter: String,
    max: u32,
    url: bool,
    /// Where the page begins: no smaller key is in it.
    from: Vec<u8>,
}

impl Page {
    fn of(query: &Query) -> Result<Self, S3Error> {
        let text = |name| query.get(name).unwrap_or_default().to_owned();
        Ok(Self {
            prefix: text("prefix"),
            delimiter: text("delimiter"),
            max: query.number("max-keys", MAX_KEYS, MAX_KEYS)?,
            url: query.encoding_url()?,
            from: Vec::new(),
        })
    }

    /// Begins behind a marker. One that is a common prefix stands for all that it groups.
    fn after(mut self, marker: &str) -> Self {
        if marker.is_empty() {
            return self;
        }
        self.from = match common_prefix(marker, &self.prefix, &self.delimiter) {
            Some(group) if group == marker => past(marker.as_bytes()).unwrap_or_default(),
            _ => {
                let mut from = marker.as_bytes().to_vec();
                from.push(0);
                from
            }
        };
        self
    }

    fn common(&self, xml: &mut Writer, bucket: &str) {
        xml.text("Name", bucket);
        xml.text("Prefix", &encode(&self.prefix, self.url));
        if !self.delimiter.is_empty() {
            xml.text("Delimiter", &encode(&self.delimiter, self.url));
        }
        xml.value("MaxKeys", self.max);
        if self.url {
            xml.text("EncodingType", "url");
        }
    }
}

/// One line of a listing.
enum Entry {
    Object(Box<Record>),
    Group(String),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Object(record) => &record.key,
            Self::Group(prefix) => prefix,
        }
    }
}

struct Listed {
    entries: Vec<Entry>,
    truncated: bool,
}

pub(crate) async fn objects(storage: Arc<Storage>, call: Call) -> Answer {
    let marker = call.query.get("marker").unwrap_or_default().to_owned();
    let page = Page::of(&call.query)?.after(&marker);
    let bucket = call.bucket;
    let (page, bucket, listed) = read(storage, page, bucket).await?;

    let mut xml = Writer::new();
    xml.root("ListBucketResult");
    page.common(&mut xml, &bucket);
    xml.text("Marker", &encode(&marker, page.url));
    xml.value("IsTruncated", listed.truncated);
    if let (true, false, Some(last)) = (listed.truncated, page.delimiter.is_empty(), listed.entries.last()) {
        xml.text("NextMarker", &encode(last.name(), page.url));
    }
    entries(&mut xml, &page, &listed, &Told { element: "Contents", owner: true });
    xml.close("ListBucketResult");
    Ok(answer::xml(xml.finish()))
}

pub(crate) async fn objects_v2(storage: Arc<Storage>, call: Call) -> Answer {
    if call.query.get("list-type") != Some("2") {
        return Err(invalid_argument("list-type must be 2."));
    }
    let text = |name| call.query.get(name).filter(|text: &&str| !text.is_empty()).map(str::to_owned);
    let (token, start_after) = (text("continuation-token"), text("start-after"));
    let fetch_owner = text("fetch-owner").is_some_and(|value| value == "true");
    let mut page = Page::of(&call.query)?;
    match (&token, &start_after) {
        (Some(token), _) => {
            let from = URL_SAFE_NO_PAD.decode(token);
            page.from = from.map_err(|_| invalid_argument("The continuation token provided is incorrect"))?;
        }
        (None, Some(start)) => page = page.after(start),
        (None, None) => {}
    }
    let bucket = call.bucket;
    let (page, bucket, listed) = read(storage, page, bucket).await?;

    let mut xml = Writer::new();
    xml.root("ListBucketResult");
    page.common(&mut xml, &bucket);
    xml.value("KeyCount", listed.entries.len());
    xml.value("IsTruncated", listed.truncated);
    // Also an empty one, which continues nothing.
    if let Some(token) = call.query.get("continuation-token") {
        xml.text("ContinuationToken", token);
    }
    if let (true, Some(last)) = (listed.truncated, listed.entries.last()) {
        // The token is the smallest key that may come next; a caller does not look inside.
        let next = match last {
            Entry::Object(record) => Some([record.key.as_bytes(), &[0]].concat()),
            Entry::Group(prefix) => past(prefix.as_bytes()),
        };
        xml.text("NextContinuationToken", &URL_SAFE_NO_PAD.encode(next.unwrap_or_default()));
    }
    if let Some(start) = &start_after {
        xml.text("StartAfter", &encode(start, page.url));
    }
    entries(&mut xml, &page, &listed, &Told { element: "Contents", owner: fetch_owner });
    xml.close("ListBucketResult");
    Ok(answer::xml(xml.finish()))
}

pub(crate) async fn versions(storage: Arc<Storage>, call: Call) -> Answer {
    let text = |name| call.query.get(name).unwrap_or_default().to_owned();
    let (marker, version_marker) = (text("key-marker"), text("version-id-marker"));
    if marker.is_empty() && !version_marker.is_empty() {
        return Err(invalid_argument("A version-id marker cannot be specified without a key marker."));
    }
    // With a version or without: the next one is that of the next key.
    let page = Page::of(&call.query)?.after(&marker);
    let bucket = call.bucket;
    let (page, bucket, listed) = read(storage, page, bucket).await?;

    let mut xml = Writer::new();
    xml.root("ListVersionsResult");
    page.common(&mut xml, &bucket);
    xml.text("KeyMarker", &encode(&marker, page.url));
    xml.text("VersionIdMarker", &version_marker);
    xml.value("IsTruncated", listed.truncated);
    if let (true, Some(last)) = (listed.truncated, listed.entries.last()) {
        xml.text("NextKeyMarker", &encode(last.name(), page.url));
        if matches!(last, Entry::Object(_)) {
            xml.text("NextVersionIdMarker", VERSION);
        }
    }
    entries(&mut xml, &page, &listed, &Told { element: "Version", owner: true });
    xml.close("ListVersionsResult");
    Ok(answer::xml(xml.finish()))
}

async fn read(storage: Arc<Storage>, page: Page, bucket: String) -> Result<(Page, String, Listed), S3Error> {
    blocking(move || {
        must_exist(&storage, &bucket)?;
        let listed = collect(&storage, &bucket, &page)?;
        Ok((page, bucket, listed))
    })
    .await
}

fn collect(storage: &Storage, bucket: &str, page: &Page) -> Result<Listed, S3Error> {
    let mut listed = Listed { entries: Vec::new(), truncated: false };
    if page.max == 0 {
        return Ok(listed);
    }
    let mut walk = Walk::new(&storage.objects(bucket), &page.prefix, page.from.clone());
    while let Some(found) = walk.next().map_err(|error| S3Error::io("listing a bucket", &error))? {
        if listed.entries.len() == page.max as usize {
            listed.truncated = true;
            break;
        }
        match common_prefix(&found.key, &page.prefix, &page.delimiter) {
            None => match record::read_listed(storage, bucket, &found) {
                Ok(record) => listed.entries.push(Entry::Object(Box::new(record))),
                // Deleted since its folder was read.
                Err(error) if matches!(error.code(), Code::NoSuchKey | Code::NoSuchBucket) => {}
                Err(error) => return Err(error),
            },
            Some(group) => {
                listed.entries.push(Entry::Group(group.to_owned()));
                match past(group.as_bytes()) {
                    Some(next) => walk.skip_to(next),
                    None => break,
                }
            }
        }
    }
    Ok(listed)
}

/// What groups `key`: all up to the first delimiter behind the prefix.
pub(crate) fn common_prefix<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    let rest = key.strip_prefix(prefix).filter(|_| !delimiter.is_empty())?;
    let end = rest.find(delimiter)? + delimiter.len();
    Some(&key[..prefix.len() + end])
}

/// What is told of an object.
struct Told {
    /// `Contents`, or `Version` with which one it is.
    element: &'static str,
    owner: bool,
}

fn entries(xml: &mut Writer, page: &Page, listed: &Listed, told: &Told) {
    for entry in &listed.entries {
        match entry {
            Entry::Object(record) => {
                xml.open(told.element);
                xml.text("Key", &encode(&record.key, page.url));
                if told.element == "Version" {
                    xml.text("VersionId", VERSION);
                    xml.value("IsLatest", true);
                }
                xml.text("LastModified", &iso_date(record.modified));
                xml.text("ETag", &format!("\"{}\"", record.etag));
                if let Some(checksum) = &record.checksum {
                    xml.text("ChecksumAlgorithm", checksum.algorithm.name());
                    xml.text("ChecksumType", checksum.kind.name());
                }
                xml.value("Size", record.size);
                if told.owner {
                    owner(xml);
                }
                xml.text("StorageClass", record.attributes.storage_class.as_deref().unwrap_or("STANDARD"));
                xml.close(told.element);
            }
            Entry::Group(prefix) => {
                xml.open("CommonPrefixes");
                xml.text("Prefix", &encode(prefix, page.url));
                xml.close("CommonPrefixes");
            }
        }
    }
}

/// ID and name of the one owner of everything. They never change: clients keep them.
pub(crate) const OWNER: &str = "sealgate";

/// The one owner of everything.
pub(crate) fn owner(xml: &mut Writer) {
    named_owner(xml, "Owner");
}

/// The same under another name, as listings of uploads want it.
pub(crate) fn named_owner(xml: &mut Writer, name: &str) {
    xml.open(name);
    xml.text("ID", OWNER);
    xml.text("DisplayName", OWNER);
    xml.close(name);
}

/// A key as `encoding-type=url` wants it: everything but letters, digits and `-_.~*/`.
pub(crate) fn encode(key: &str, url: bool) -> Cow<'_, str> {
    const ENCODED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'*').remove(b'/');
    if url { utf8_percent_encode(key, ENCODED).into() } else { Cow::Borrowed(key) }
}
