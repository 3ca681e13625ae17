//! One request, taken apart: bucket, key, query, and the headers that are kept with an object.

use http::header::{AsHeaderName, HeaderMap};
use http::request::Parts;
use layout::MAX_KEY;
use percent_encoding::percent_decode_str;

use crate::Body;
use crate::error::{Code, S3Error, invalid_argument};
use crate::record::{Attributes, keep};

/// Headers that are stored with an object and given back, beside `x-amz-meta-*`.
pub(crate) const KEPT: [&str; 7] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
];

/// Bytes of all `x-amz-meta-*` names and values. S3 allows 2 KiB; a caller who keeps something of its own beside a
/// client's needs room.
const MAX_METADATA: usize = 8 << 10;

/// A request whose path was understood.
pub(crate) struct Call {
    /// Empty if the request is to the service.
    pub(crate) bucket: String,
    /// Empty if the request is to a bucket or the service.
    pub(crate) key: String,
    pub(crate) query: Query,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

impl Call {
    pub(crate) fn new(parts: Parts, body: Body) -> Result<Self, S3Error> {
        let (bucket, key) = split_path(parts.uri.path())?;
        if !bucket.is_empty() && !is_bucket_name(&bucket) {
            return Err(S3Error::new(Code::InvalidBucketName, "The specified bucket is not valid."));
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default())?;
        Ok(Self { bucket, key, query, headers: parts.headers, body })
    }

    /// The text of a header; `InvalidArgument` if it is given twice or is no text.
    pub(crate) fn header(&self, name: &'static str) -> Result<Option<&str>, S3Error> {
        text(&self.headers, name)
    }
}

/// The text of a header; `InvalidArgument` if it is given twice or is no text.
pub(crate) fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&str>, S3Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(invalid_argument("A header is given twice or holds something else than text.")),
    }
}

/// Bucket and key of `/bucket/key`, each empty if not there; `x-amz-copy-source` has the same form.
pub(crate) fn split_path(path: &str) -> Result<(String, String), S3Error> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let decode = |text: &str| match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(S3Error::new(Code::InvalidUri, "The path is not UTF-8.")),
    };
    let (bucket, key) = (decode(bucket)?, decode(key)?);
    check_key(&key)?;
    Ok((bucket, key))
}

/// Refuses keys longer than S3's.
pub(crate) fn check_key(key: &str) -> Result<(), S3Error> {
    if key.len() > MAX_KEY {
        return Err(S3Error::new(Code::KeyTooLong, "Your key is too long. At most 1024 bytes of UTF-8 are allowed."));
    }
    Ok(())
}

/// S3's rules for names of general purpose buckets. None of these can be `.`, `..`, or have a slash in it.
pub(crate) fn is_bucket_name(name: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(byte))
        && ends(bytes.first())
        && ends(bytes.last())
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

/// The parameters of a query, decoded, in order.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `name=value&name`, which is also the form of `x-amz-tagging`.
    pub(crate) fn parse(query: &str) -> Result<Self, S3Error> {
        let decode = |text: &str| match percent_decode_str(&text.replace('+', " ")).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(invalid_argument("A parameter is not UTF-8.")),
        };
        query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }

    /// A number within bounds; `default` if the parameter is not there.
    pub(crate) fn number(&self, name: &str, default: u32, max: u32) -> Result<u32, S3Error> {
        match self.get(name).filter(|text| !text.is_empty()) {
            None => Ok(default),
            Some(text) => match text.parse::<i32>().ok().and_then(|number| u32::try_from(number).ok()) {
                Some(number) => Ok(number.min(max)),
                None => Err(invalid_argument(format!("{name} must be an integer between 0 and 2147483647."))),
            },
        }
    }

    /// Whether keys are to be percent-encoded in the answer.
    pub(crate) fn encoding_url(&self) -> Result<bool, S3Error> {
        match self.get("encoding-type") {
            None | Some("") => Ok(false),
            Some("url") => Ok(true),
            Some(_) => Err(invalid_argument("Invalid Encoding Method specified in Request")),
        }
    }
}

impl Attributes {
    /// What the headers of a request want kept with the object.
    pub(crate) fn of_request(headers: &HeaderMap) -> Result<Self, S3Error> {
        let mut attributes = Self {
            tags: match text(headers, "x-amz-tagging")? {
                None => Vec::new(),
                Some(tags) => check_tags(Query::parse(tags)?.into_pairs())?,
            },
            storage_class: storage_class(headers)?,
            ..Self::default()
        };
        let mut room = MAX_METADATA;
        for name in headers.keys() {
            let mut values = headers.get_all(name).iter().map(keep);
            let Some(mut value) = values.next() else { continue };
            for further in values {
                value.push(',');
                value.push_str(&further);
            }
            if let Some(short) = name.as_str().strip_prefix("x-amz-meta-") {
                // A kept value has a character for each byte.
                room = room.checked_sub(short.len() + value.chars().count()).ok_or_else(|| {
                    S3Error::new(
                        Code::MetadataTooLarge,
                        "Your metadata headers exceed the maximum allowed metadata size.",
                    )
                })?;
                attributes.metadata.insert(short.to_owned(), value);
            } else if KEPT.contains(&name.as_str()) {
                attributes.headers.insert(name.as_str().to_owned(), value);
            }
        }
        Ok(attributes)
    }
}

/// The class of the request; `None` is STANDARD.
pub(crate) fn storage_class(headers: &HeaderMap) -> Result<Option<String>, S3Error> {
    match text(headers, "x-amz-storage-class")? {
        None | Some("STANDARD") => Ok(None),
        Some(class)
            if !class.is_empty()
                && class.len() <= 64
                && class.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit()) =>
        {
            Ok(Some(class.to_owned()))
        }
        Some(_) => Err(invalid_argument("The storage class you specified is not valid")),
    }
}

/// S3's limits on tags: 10, distinct, 128 and 256 characters.
pub(crate) fn check_tags(tags: Vec<(String, String)>) -> Result<Vec<(String, String)>, S3Error> {
    let refuse = |message| Err(S3Error::new(Code::InvalidTag, message));
    if tags.len() > 10 {
        return Err(S3Error::new(Code::InvalidTag, "Object tags cannot be greater than 10"));
    }
    for (index, (name, value)) in tags.iter().enumerate() {
        if name.is_empty() || name.chars().count() > 128 {
            return refuse("The TagKey you have provided is invalid");
        }
        if value.chars().count() > 256 {
            return refuse("The TagValue you have provided is invalid");
        }
        if tags[..index].iter().any(|(other, _)| other == name) {
            return refuse("Cannot provide multiple Tags with the same key");
        }
    }
    Ok(tags)
}
