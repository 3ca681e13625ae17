//! Conditions of reads, writes and copy sources (RFC 9110 section 13, with S3's choices), and the dates they hold.

use http::header::{HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};
use time::format_description::FormatItem;
use time::format_description::well_known::{Rfc2822, Rfc3339};
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::error::{Code, S3Error, invalid_argument, no_such_key, precondition_failed};
use crate::record::Record;
use crate::request::text;

const HTTP_DATE: &[FormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
const ISO_DATE: &[FormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].000Z");

/// Seconds since 1970 as in a `Last-Modified` header.
pub(crate) fn http_date(seconds: i64) -> String {
    format(seconds, HTTP_DATE)
}

/// Seconds since 1970 as in S3's XML.
pub(crate) fn iso_date(seconds: i64) -> String {
    format(seconds, ISO_DATE)
}

fn format(seconds: i64, description: &[FormatItem<'_>]) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .format(&description)
        .expect("every field of the description is in a date")
}

/// A date of a header; like S3, a text that is no date is as if the header were not there.
fn parse_date(text: &str) -> Option<i64> {
    let text = text.trim();
    PrimitiveDateTime::parse(text, &HTTP_DATE)
        .map(PrimitiveDateTime::assume_utc)
        .or_else(|_| OffsetDateTime::parse(text, &Rfc2822))
        .ok()
        .map(OffsetDateTime::unix_timestamp)
}

/// Entity tags of a condition: `*` or a list, each with or without quotes, weak marks ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    Any,
    Listed(Vec<String>),
}

impl Tags {
    pub(crate) fn parse(text: &str) -> Self {
        if text.trim() == "*" {
            return Self::Any;
        }
        Self::Listed(text.split(',').map(|tag| unquote(tag).to_owned()).collect())
    }

    fn contain(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

/// An entity tag without its quotes.
pub(crate) fn unquote(tag: &str) -> &str {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag)
}

/// The conditions of a read, or of the source of a copy.
#[derive(Debug, Default)]
pub(crate) struct ReadConditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    modified_since: Option<i64>,
    unmodified_since: Option<i64>,
}

impl ReadConditions {
    /// Those of `GetObject` and `HeadObject`.
    pub(crate) fn of_read(headers: &HeaderMap) -> Result<Self, S3Error> {
        Self::named(headers, &[IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE])
    }

    /// Those on the source of `CopyObject` and `UploadPartCopy`.
    pub(crate) fn of_source(headers: &HeaderMap) -> Result<Self, S3Error> {
        Self::named(
            headers,
            &[
                HeaderName::from_static("x-amz-copy-source-if-match"),
                HeaderName::from_static("x-amz-copy-source-if-none-match"),
                HeaderName::from_static("x-amz-copy-source-if-modified-since"),
                HeaderName::from_static("x-amz-copy-source-if-unmodified-since"),
            ],
        )
    }

    fn named(headers: &HeaderMap, names: &[HeaderName; 4]) -> Result<Self, S3Error> {
        Ok(Self {
            if_match: text(headers, &names[0])?.map(Tags::parse),
            if_none_match: text(headers, &names[1])?.map(Tags::parse),
            modified_since: text(headers, &names[2])?.and_then(parse_date),
            unmodified_since: text(headers, &names[3])?.and_then(parse_date),
        })
    }

    /// `NotModified` or `PreconditionFailed` if the record does not meet the conditions. A tag decides before a date.
    pub(crate) fn check(&self, record: &Record) -> Result<(), S3Error> {
        match (&self.if_match, self.unmodified_since) {
            (Some(tags), _) if !tags.contain(&record.etag) => return Err(precondition_failed("If-Match")),
            (None, Some(date)) if record.modified > date => return Err(precondition_failed("If-Unmodified-Since")),
            _ => {}
        }
        match (&self.if_none_match, self.modified_since) {
            (Some(tags), _) if tags.contain(&record.etag) => Err(not_modified()),
            (None, Some(date)) if record.modified <= date => Err(not_modified()),
            _ => Ok(()),
        }
    }

    /// The same for the source of a copy, where S3 knows no 304.
    pub(crate) fn check_source(&self, record: &Record) -> Result<(), S3Error> {
        self.check(record).map_err(|error| match error.code() {
            Code::NotModified => precondition_failed("x-amz-copy-source-if-none-match or -if-modified-since"),
            _ => error,
        })
    }
}

fn not_modified() -> S3Error {
    S3Error::new(Code::NotModified, "Not Modified")
}

/// The conditions of a write, checked under the key's lock at the moment of the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteConditions {
    if_match: Option<Tags>,
    must_be_new: bool,
}

impl WriteConditions {
    /// `If-Match` with a tag or `*`, and `If-None-Match: *`. A tag in the latter is `NotImplemented`, as in S3.
    pub(crate) fn of_write(headers: &HeaderMap) -> Result<Self, S3Error> {
        let must_be_new = match text(headers, &IF_NONE_MATCH)?.map(str::trim) {
            None => false,
            Some("*") => true,
            Some(_) => {
                return Err(S3Error::new(
                    Code::NotImplemented,
                    "If-None-Match of a write takes only * here, as in S3.",
                ));
            }
        };
        Ok(Self { if_match: text(headers, &IF_MATCH)?.map(Tags::parse), must_be_new })
    }

    /// Whether there is anything to check.
    pub(crate) fn any(&self) -> bool {
        self.must_be_new || self.if_match.is_some()
    }

    /// Checks against the current version, `None` if the key is known not to exist.
    pub(crate) fn check(&self, current: Option<&Record>) -> Result<(), S3Error> {
        if self.must_be_new && current.is_some() {
            return Err(precondition_failed("If-None-Match"));
        }
        match (&self.if_match, current) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(no_such_key()),
            (Some(tags), Some(record)) if tags.contain(&record.etag) => Ok(()),
            (Some(_), Some(_)) => Err(precondition_failed("If-Match")),
        }
    }
}

/// The conditions of a deletion, checked under the key's lock. What is not there meets them all, as in S3: the deletion
/// of nothing succeeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeleteConditions {
    if_match: Option<Tags>,
    size: Option<u64>,
    /// Seconds since 1970.
    modified: Option<i64>,
}

impl DeleteConditions {
    /// `If-Match`, and S3's conditions of directory buckets.
    pub(crate) fn of_request(headers: &HeaderMap) -> Result<Self, S3Error> {
        let size = text(headers, HeaderName::from_static("x-amz-if-match-size"))?;
        let modified = text(headers, HeaderName::from_static("x-amz-if-match-last-modified-time"))?;
        Self::new(text(headers, IF_MATCH)?, size, modified)
    }

    /// Those of an entry of `DeleteObjects`: `ETag`, bytes, and a date as HTTP or XML writes it.
    pub(crate) fn new(tags: Option<&str>, size: Option<&str>, modified: Option<&str>) -> Result<Self, S3Error> {
        let size = size.map(|text| text.trim().parse()).transpose();
        let size = size.map_err(|_| invalid_argument("The size of a condition must be a number of bytes."))?;
        let iso = |text: &str| OffsetDateTime::parse(text.trim(), &Rfc3339).ok().map(OffsetDateTime::unix_timestamp);
        let modified = modified.map(|text| {
            let date = parse_date(text).or_else(|| iso(text));
            date.ok_or_else(|| invalid_argument("The time of a condition must be a date."))
        });
        Ok(Self { if_match: tags.map(Tags::parse), size, modified: modified.transpose()? })
    }

    /// Whether there is anything to check.
    pub(crate) fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Checks against the current version.
    pub(crate) fn check(&self, current: &Record) -> Result<(), S3Error> {
        let met = self.if_match.as_ref().is_none_or(|tags| tags.contain(&current.etag))
            && self.size.is_none_or(|size| size == current.size)
            && self.modified.is_none_or(|modified| modified == current.modified);
        if met { Ok(()) } else { Err(precondition_failed("A condition of the deletion")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Attributes;

    #[test]
    fn a_deletion_needs_every_condition_to_hold() {
        let record = Record::new("k", "abc".to_owned(), 5, Attributes::default());
        let (http, iso) = (http_date(record.modified), iso_date(record.modified));
        let holds = |tags, size, modified| DeleteConditions::new(tags, size, modified).unwrap().check(&record).is_ok();
        assert!(holds(Some("\"abc\""), Some("5"), Some(http.as_str())) && holds(Some("*"), None, Some(iso.as_str())));
        assert!(!holds(Some("\"ab\""), Some("5"), None) && !holds(Some("abc"), Some("6"), None));
        assert!(!holds(None, None, Some("Thu, 01 Jan 2015 00:00:00 GMT")));
        for (size, modified) in [(Some("five"), None), (None, Some("yesterday"))] {
            assert!(DeleteConditions::new(None, size, modified).is_err(), "{size:?} {modified:?}");
        }
    }
}
