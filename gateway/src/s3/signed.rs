//! What a verified signature does not say by itself: by which mechanism it came, and that it covers what the request does.
//!
//! s3s verifies a signature over the headers that the request *names* as signed, and tells the mechanisms apart by decoded
//! query parameters. Both are looked at here as s3s sees them: whoever holds a presigned URL, or sits on the way, must not
//! be able to turn the request into another one (a copy, another ACL, another sub-resource).

mod version_2;

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, StatusCode};
use time::OffsetDateTime;

use super::error::Error;
use super::operations::Operation;

/// The longest life of a presigned URL, in seconds.
const MAX_EXPIRES: u64 = 7 * 24 * 3600;

/// Parameters that belong to a signature, in lower case.
const OF_SIGNATURE: [&str; 10] = [
    "signature",
    "awsaccesskeyid",
    "expires",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-signedheaders",
    "x-amz-signature",
    "x-amz-content-sha256",
];

/// Headers that are lists, of which some clients send one for each element.
const LISTS: [&str; 3] = ["x-amz-object-attributes", "x-amz-optional-object-attributes", "x-amz-trailer"];

/// Other headers than S3's own that decide what a request does, and are there once.
const SINGLE: [&str; 12] = [
    "authorization",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
];

/// How a request was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// Version 4, in the `Authorization` header.
    Header,
    /// Version 4, in the query.
    Presigned,
    /// Version 2, in the `Authorization` header: covers every `x-amz-` header, but only the older sub-resources.
    HeaderV2,
    /// Version 2, in the query: covers the same.
    PresignedV2,
}

impl Mechanism {
    pub(super) fn is_version_2(self) -> bool {
        matches!(self, Self::HeaderV2 | Self::PresignedV2)
    }
}

/// The key and signature of an `Authorization` header of version 2.
fn of_version_2(authorization: &str) -> Option<&str> {
    authorization.strip_prefix("AWS ")
}

/// The mechanism of a signed request, by the parameters of its decoded query. `InvalidArgument` where there is more than
/// one: which of them was verified would be a guess.
pub(super) fn mechanism(query: &[(String, String)], headers: &HeaderMap) -> Result<Mechanism, Error> {
    let has = |wanted: &str| query.iter().any(|(name, _)| name == wanted);
    let two =
        || headers.get(AUTHORIZATION).is_some_and(|value| value.to_str().is_ok_and(|s| of_version_2(s).is_some()));
    match (has("Signature"), has("X-Amz-Signature"), headers.contains_key(AUTHORIZATION)) {
        (false, false, _) if two() => Ok(Mechanism::HeaderV2),
        (false, false, _) => Ok(Mechanism::Header),
        (true, false, false) => Ok(Mechanism::PresignedV2),
        (false, true, false) => Ok(Mechanism::Presigned),
        _ => Err(Error::invalid_argument(
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
        )),
    }
}

/// Refuses an `Authorization` header that is none, or whose time is not now, in the words of S3: s3s calls them all an
/// invalid request, and does not look at the time of version 2.
pub(super) fn refuse_malformed(headers: &HeaderMap) -> Result<(), Error> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default().trim());
    let Some(authorization) = text("authorization") else { return Ok(()) };
    if authorization.is_empty() {
        return Err(Error::access_denied("The Authorization header is empty."));
    }
    if let Some(credential) = of_version_2(authorization) {
        return version_2::refuse(credential, headers, OffsetDateTime::now_utc());
    }
    let Some(fields) = authorization.strip_prefix("AWS4-HMAC-SHA256") else {
        return Err(Error::invalid_argument("Unsupported Authorization Type"));
    };
    let malformed = |what: &str| {
        Error::new(
            StatusCode::BAD_REQUEST,
            "AuthorizationHeaderMalformed",
            format!("The authorization header is malformed; {what}."),
        )
    };
    let field = |name: &str| {
        let mut fields = fields.split(',').map(str::trim);
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).filter(|value| !value.is_empty())
    };
    if field("SignedHeaders").is_none() || field("Signature").is_none() {
        return Err(malformed("it must have Credential, SignedHeaders and Signature"));
    }
    let mut scope = field("Credential").unwrap_or_default().rsplitn(5, '/');
    let (end, service) = (scope.next(), scope.next());
    if (end, service) != (Some("aws4_request"), Some("s3")) || scope.count() != 3 {
        return Err(malformed("its Credential must be ACCESS-KEY/YYYYMMDD/REGION/s3/aws4_request"));
    }
    if !text("x-amz-date").is_some_and(is_time) {
        return Err(Error::access_denied("AWS authentication requires a valid x-amz-date header"));
    }
    let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text("x-amz-content-sha256") {
        None => Err(Error::invalid_request("Missing required header for this request: x-amz-content-sha256")),
        Some(value) if value == "UNSIGNED-PAYLOAD" || value.starts_with("STREAMING-") || is_digest(value) => Ok(()),
        Some(_) => Err(Error::invalid_argument(
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-…, or a valid sha256 value.",
        )),
    }
}

/// Refuses what a signature of version 2 does not cover: headers in the query, newer sub-resources, headers of S3's that
/// are no text (s3s passes over them), chunks of a body.
pub(super) fn refuse_beyond_version_2(hoisted: bool, operation: Operation, headers: &HeaderMap) -> Result<(), Error> {
    let is_text = |value: &http::HeaderValue| std::str::from_utf8(value.as_bytes()).is_ok();
    let covered = headers.iter().all(|(name, value)| !name.as_str().starts_with("x-amz-") || is_text(value));
    if hoisted || !covered || !operation.is_signed_by_version_2() {
        return Err(Error::access_denied("Sign this request with AWS4-HMAC-SHA256."));
    }
    version_2::refuse_chunks(headers)
}

/// Whether a text has the form `20300101T000000Z`.
fn is_time(text: &str) -> bool {
    let digits = |part: &str, len: usize| part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = text.strip_suffix('Z').and_then(|text| text.split_once('T'));
    parts.is_some_and(|(day, clock)| digits(day, 8) && digits(clock, 6))
}

/// Refuses a presigned URL that is good for longer than S3 allows, or for no time that there is. With the status that Ceph
/// has for it, 403; the code is S3's. s3s looks at the time alone, and refuses what is no number as malformed.
pub(super) fn refuse_expires(query: &[(String, String)]) -> Result<(), Error> {
    let values =
        |wanted: &'static str| query.iter().filter(move |(name, _)| name == wanted).map(|(_, value)| value.as_str());
    if values("X-Amz-Signature").next().is_none() {
        return Ok(());
    }
    let good = |text: &str| text.parse::<u64>().is_ok_and(|seconds| seconds <= MAX_EXPIRES);
    if values("X-Amz-Expires").all(good) && values("X-Amz-Expires").next().is_some() {
        return Ok(());
    }
    Err(Error::new(
        StatusCode::FORBIDDEN,
        "AuthorizationQueryParametersError",
        "X-Amz-Expires must be a number of seconds, and less than a week.",
    ))
}

/// `AccessDenied` for a header of S3's, or `Host`, that the signature of version 4 does not cover.
pub(super) fn refuse_unsigned(
    mechanism: Mechanism,
    query: &[(String, String)],
    headers: &HeaderMap,
) -> Result<(), Error> {
    let presigned = mechanism == Mechanism::Presigned;
    let signed = if presigned {
        let value = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        value("X-Amz-SignedHeaders").unwrap_or_default()
    } else {
        let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let named = authorization.split("SignedHeaders=").nth(1).and_then(|rest| rest.split(',').next());
        named.unwrap_or_default()
    };
    let is_signed = |name: &str| signed.split(';').any(|one| one.trim().eq_ignore_ascii_case(name));
    let unsigned = headers.keys().map(HeaderName::as_str).find(|name| {
        let free = presigned && *name == "x-amz-content-sha256";
        name.starts_with("x-amz-") && !free && !is_signed(name)
    });
    if let Some(name) = unsigned {
        return Err(Error::access_denied(format!(
            "There were headers present in the request which were not signed: {name}"
        )));
    }
    if !is_signed("host") {
        return Err(Error::access_denied("The Host header must be signed."));
    }
    Ok(())
}

/// `InvalidArgument` for what two readers may understand in two ways: a header that is there twice, a header of S3's that
/// is no text (s3s passes over it when it verifies the signature), a query parameter that is there twice. Otherwise the
/// checks would look at one value, and the storage act by the other.
pub(super) fn refuse_ambiguous(query: &[(String, String)], headers: &HeaderMap) -> Result<(), Error> {
    for name in headers.keys() {
        let text = name.as_str();
        let own = text.starts_with("x-amz-") && !text.starts_with("x-amz-meta-");
        if (own && !LISTS.contains(&text)) || SINGLE.contains(&text) {
            let mut values = headers.get_all(name).iter();
            let first = values.next();
            if values.next().is_some() {
                return Err(Error::invalid_argument(format!("The header {text} is there twice.")));
            }
            if own && first.is_some_and(|value| value.to_str().is_err()) {
                return Err(Error::invalid_argument(format!("The header {text} is not plain text.")));
            }
        }
    }
    for (index, (name, _)) in query.iter().enumerate() {
        if query[..index].iter().any(|(before, _)| before == name) {
            return Err(Error::invalid_argument(format!("The query parameter {name} is there twice.")));
        }
    }
    Ok(())
}

/// Takes the parameters of a signature out of a decoded query.
pub(super) fn without_signature(query: Vec<(String, String)>) -> Vec<(String, String)> {
    let of_signature = |name: &str| OF_SIGNATURE.iter().any(|one| name.eq_ignore_ascii_case(one));
    query.into_iter().filter(|(name, _)| !of_signature(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
        result.expect_err("refused").code
    }

    #[test]
    fn an_unsigned_header_of_s3_is_refused_however_the_request_is_signed() {
        let authorization = "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host;x-amz-date, Signature=b";
        let mut headers = map(&[("authorization", authorization), ("x-amz-date", "d")]);
        assert!(refuse_unsigned(Mechanism::Header, &[], &headers).is_ok());
        headers.insert("x-amz-copy-source", "/a/b".parse().unwrap());
        assert_eq!(code(refuse_unsigned(Mechanism::Header, &[], &headers)), "AccessDenied");

        let presigned =
            |headers: &str, expires: &str| pairs(&[("X-Amz-SignedHeaders", headers), ("X-Amz-Expires", expires)]);
        let refuse =
            |query: &[(String, String)], headers: &HeaderMap| refuse_unsigned(Mechanism::Presigned, query, headers);
        assert!(refuse(&presigned("host", "60"), &map(&[])).is_ok());
        assert!(refuse(&presigned("range", "60"), &map(&[])).is_err());
        assert_eq!(code(refuse(&presigned("host", "60"), &map(&[("x-amz-tagging", "a=b")]))), "AccessDenied");
        // What an Authorization header names as signed says nothing of a presigned URL.
        let lying = map(&[("authorization", "SignedHeaders=host;x-amz-acl"), ("x-amz-acl", "public-read")]);
        assert_eq!(code(refuse(&presigned("host", "60"), &lying)), "AccessDenied");
    }

    #[test]
    fn an_authorization_that_is_none_is_told_what_is_wrong() {
        let good = "AWS4-HMAC-SHA256 Credential=a/b/20300101/r/s3/aws4_request, SignedHeaders=host, Signature=00";
        let refuse = |authorization: &str, date: &str, content: &str| {
            let pairs = [("authorization", authorization), ("x-amz-date", date), ("x-amz-content-sha256", content)];
            let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| *value != "none").collect();
            refuse_malformed(&map(&pairs)).map_err(|error| (error.status.as_u16(), error.code))
        };
        let (time, body) = ("20300101T000000Z", "UNSIGNED-PAYLOAD");
        assert_eq!(refuse(good, time, body), Ok(()));
        assert_eq!(refuse(&good.replace(", ", ","), time, &"a".repeat(64)), Ok(()));
        assert_eq!(refuse("none", "none", "none"), Ok(()));
        for (authorization, date, content, status, code) in [
            ("", time, body, 403, "AccessDenied"),
            ("Basic YTpi", time, body, 400, "InvalidArgument"),
            ("AWS HAHAHA", time, body, 400, "InvalidArgument"),
            ("AWS a:b", time, body, 403, "RequestTimeTooSkewed"),
            ("AWS a:b", "none", body, 403, "AccessDenied"),
            ("AWS4-HMAC-SHA256", time, body, 400, "AuthorizationHeaderMalformed"),
            (&good.replace("Signature=00", "x=y"), time, body, 400, "AuthorizationHeaderMalformed"),
            (&good.replace("Signature=00", "Signature="), time, body, 400, "AuthorizationHeaderMalformed"),
            (&good.replace("a/b/20300101", "20300101"), time, body, 400, "AuthorizationHeaderMalformed"),
            (&good.replace("/s3/", "/ec2/"), time, body, 400, "AuthorizationHeaderMalformed"),
            (good, "none", body, 403, "AccessDenied"),
            (good, "Tue, 01 Jan 2030 00:00:00 GMT", body, 403, "AccessDenied"),
            (good, "", body, 403, "AccessDenied"),
            (good, time, "none", 400, "InvalidRequest"),
            (good, time, "garbage", 400, "InvalidArgument"),
        ] {
            assert_eq!(refuse(authorization, date, content), Err((status, code)), "{authorization} {date} {content}");
        }
    }

    #[test]
    fn a_url_is_good_for_a_week_at_most() {
        let expires = |values: &[&str]| {
            let values = values.iter().map(|value| ("X-Amz-Expires", *value));
            let query = pairs(&values.chain([("X-Amz-Signature", "s")]).collect::<Vec<_>>());
            refuse_expires(&query).map_err(|error| (error.status.as_u16(), error.code))
        };
        let refused = Err((403, "AuthorizationQueryParametersError"));
        assert_eq!((expires(&["604800"]), expires(&["0"])), (Ok(()), Ok(())));
        for bad in [&["604801"][..], &["-7"], &["soon"], &[""], &[], &["60", "604801"], &["604801", "60"]] {
            assert_eq!(expires(bad), refused, "{bad:?}");
        }
        // Version 2 names a time, which s3s looks at.
        assert!(refuse_expires(&pairs(&[("Signature", "s"), ("Expires", "1")])).is_ok());
    }

    #[test]
    fn a_request_that_is_signed_in_two_ways_is_refused() {
        let header = map(&[("authorization", "AWS4-HMAC-SHA256 x")]);
        let (four, two) = (pairs(&[("X-Amz-Signature", "s")]), pairs(&[("Signature", "s")]));
        assert_eq!(mechanism(&[], &header).unwrap(), Mechanism::Header);
        assert_eq!(mechanism(&[], &map(&[("authorization", "AWS a:b")])).unwrap(), Mechanism::HeaderV2);
        assert_eq!(mechanism(&[], &map(&[])).unwrap(), Mechanism::Header);
        assert_eq!(mechanism(&four, &map(&[])).unwrap(), Mechanism::Presigned);
        assert_eq!(mechanism(&two, &map(&[])).unwrap(), Mechanism::PresignedV2);
        for query in [four.clone(), two.clone()] {
            assert_eq!(code(mechanism(&query, &header)), "InvalidArgument");
        }
        assert_eq!(code(mechanism(&[four, two].concat(), &map(&[]))), "InvalidArgument");
    }

    #[test]
    fn what_is_there_twice_or_is_no_text_is_refused() {
        assert!(refuse_ambiguous(&[], &map(&[("x-amz-meta-a", "1"), ("x-amz-meta-a", "2")])).is_ok());
        assert!(
            refuse_ambiguous(&[], &map(&[("x-amz-object-attributes", "ETag"), ("x-amz-object-attributes", "x")]))
                .is_ok()
        );
        for name in ["x-amz-acl", "x-amz-tagging", "x-amz-storage-class", "content-type", "if-match", "range"] {
            assert_eq!(code(refuse_ambiguous(&[], &map(&[(name, "a"), (name, "b")]))), "InvalidArgument", "{name}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-tagging", http::HeaderValue::from_bytes(b"a=\xff").unwrap());
        assert_eq!(code(refuse_ambiguous(&[], &headers)), "InvalidArgument");
        let query = pairs(&[("uploadId", "a"), ("partNumber", "1"), ("uploadId", "b")]);
        assert_eq!(code(refuse_ambiguous(&query, &HeaderMap::new())), "InvalidArgument");
    }

    #[test]
    fn a_query_loses_its_signature_and_nothing_else() {
        let query = pairs(&[("uploads", ""), ("prefix", "a b"), ("X-Amz-Signature", "1"), ("X-Amz-Date", "2")]);
        assert_eq!(without_signature(query), pairs(&[("uploads", ""), ("prefix", "a b")]));
    }
}
