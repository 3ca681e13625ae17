//! The verified request: who asks for what, with the body still to stream.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use s3s::TrailingHeaders;

use super::error::Error;
use super::operations::{Operation, Scope};
use crate::upstream::Body;

/// What policies see in place of an access key where the console asks. No credential has it.
pub const CONSOLE: &str = "console";

/// Who signed the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Nobody.
    Anonymous,
    /// An administrator, by the console.
    Console,
    /// The holder of this access key.
    Key(String),
}

impl Principal {
    /// The access key, as policies see it; empty for nobody.
    pub fn access_key(&self) -> &str {
        match self {
            Self::Anonymous => "",
            Self::Console => CONSOLE,
            Self::Key(key) => key,
        }
    }
}

/// A request whose signature was verified.
pub struct Request {
    /// What it asks for.
    pub operation: Operation,
    /// HTTP method.
    pub method: Method,
    /// The bucket as the client calls it; empty at the service itself.
    pub bucket: String,
    /// The key, decoded; empty unless the path names an object.
    pub key: String,
    /// Query parameters, decoded, in order, without those of the signature.
    pub query: Vec<(String, String)>,
    /// Headers as they came.
    pub headers: HeaderMap,
    /// Who signed.
    pub principal: Principal,
    /// Address of the peer.
    pub source_ip: Option<IpAddr>,
    /// The body, decoded. Taken by whoever reads it; in a mutex only so that a request can be shared.
    pub body: Mutex<Body>,
    /// Where the trailers appear once the body was read.
    pub trailers: Option<TrailingHeaders>,
    /// For the log and the client.
    pub request_id: String,
}

/// Bucket, key and scope of a path: `/bucket/key`, percent-encoded.
pub fn parse_path(path: &str) -> Result<(String, String, Scope), Error> {
    let wrong = || Error::new(http::StatusCode::BAD_REQUEST, "InvalidURI", "Could not parse the specified URI.");
    let path = percent_decode_str(path).decode_utf8().map_err(|_| wrong())?;
    let path = path.strip_prefix('/').ok_or_else(wrong)?;
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    let scope = match (bucket, key) {
        ("", "") => Scope::Service,
        ("", _) => return Err(wrong()),
        (_, "") => Scope::Bucket,
        _ => Scope::Object,
    };
    Ok((bucket.to_owned(), key.to_owned(), scope))
}

/// Whether a bucket may have this name; more is for the storage to judge.
pub fn is_bucket_name(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (3..=255).contains(&name.len()) && name.bytes().all(legal) && !name.starts_with('.')
}

/// Query parameters, decoded, in order.
pub fn parse_query(query: Option<&str>) -> Result<Vec<(String, String)>, Error> {
    let wrong = || Error::new(http::StatusCode::BAD_REQUEST, "InvalidURI", "Could not parse the specified URI.");
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().map(String::from).map_err(|_| wrong())
    };
    let mut pairs = Vec::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((decode(name)?, decode(value)?));
    }
    Ok(pairs)
}

impl Request {
    /// The value of a query parameter.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All query parameters, as [`crate::upstream::uri`] takes them.
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// The value of a header, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Declared length of the decoded body in bytes. `MissingContentLength` where there is none.
    pub fn body_length(&self) -> Result<u64, Error> {
        let declared = self.header("x-amz-decoded-content-length").or_else(|| self.header("content-length"));
        let declared = declared.ok_or_else(|| Error::missing_content_length("You must provide the Content-Length."))?;
        let digits = declared.bytes().all(|byte| byte.is_ascii_digit());
        let length = declared.parse().ok().filter(|_| digits);
        length.ok_or_else(|| Error::invalid_argument("The Content-Length is not a number."))
    }

    /// Takes the body.
    pub fn take_body(&mut self) -> Body {
        let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(body, crate::upstream::empty())
    }

    /// Path of what was asked for, for errors.
    pub fn resource(&self) -> String {
        match (self.bucket.as_str(), self.key.as_str()) {
            (bucket, "") => format!("/{bucket}"),
            (bucket, key) => format!("/{bucket}/{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_service_bucket_or_object() {
        let parsed = |path| parse_path(path).ok();
        assert_eq!(parsed("/"), Some((String::new(), String::new(), Scope::Service)));
        assert_eq!(parsed("/b"), Some(("b".into(), String::new(), Scope::Bucket)));
        assert_eq!(parsed("/b/"), Some(("b".into(), String::new(), Scope::Bucket)));
        assert_eq!(parsed("/b/a//c%2Fd%25+"), Some(("b".into(), "a//c/d%+".into(), Scope::Object)));
        assert_eq!(parsed("//k"), None);
        assert_eq!(parsed("/b/%ff"), None);
    }

    #[test]
    fn a_query_is_decoded_in_names_and_values() {
        let pairs = parse_query(Some("uploads&prefix=a%20b+c&%41=1&")).unwrap();
        assert_eq!(
            pairs,
            [("uploads".into(), String::new()), ("prefix".into(), "a b c".into()), ("A".into(), "1".into())]
        );
        assert!(parse_query(Some("a=%ff")).is_err());
    }
}
