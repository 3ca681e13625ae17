//! What a verified signature does not say by itself: by which mechanism it came, and that it covers what the request does.
//!
//! s3s verifies a signature over the headers that the request *names* as signed, and tells the mechanisms apart by decoded
//! query parameters. Both are looked at here as s3s sees them: whoever holds a presigned URL, or sits on the way, must not
//! be able to turn the request into another one (a copy, another ACL, another sub-resource).

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, StatusCode};

use super::error::Error;

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
    /// Version 2, in the query: covers every `x-amz-` header, but only the older sub-resources.
    PresignedV2,
}

/// The mechanism of a signed request, by the parameters of its decoded query. `InvalidArgument` where there is more than
/// one: which of them was verified would be a guess.
pub(super) fn mechanism(query: &[(String, String)], headers: &HeaderMap) -> Result<Mechanism, Error> {
    let has = |wanted: &str| query.iter().any(|(name, _)| name == wanted);
    match (has("Signature"), has("X-Amz-Signature"), headers.contains_key(AUTHORIZATION)) {
        (false, false, _) => Ok(Mechanism::Header),
        (true, false, false) => Ok(Mechanism::PresignedV2),
        (false, true, false) => Ok(Mechanism::Presigned),
        _ => Err(Error::invalid_argument(
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
        )),
    }
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
        let expires = value("X-Amz-Expires").and_then(|text| text.parse::<u64>().ok());
        if expires.is_none_or(|seconds| seconds > MAX_EXPIRES) {
            return Err(Error::new(
                StatusCode::BAD_REQUEST,
                "AuthorizationQueryParametersError",
                "X-Amz-Expires must be less than a week (in seconds)",
            ));
        }
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
        assert!(refuse(&presigned("host", "700000"), &map(&[])).is_err());
        assert!(refuse(&presigned("range", "60"), &map(&[])).is_err());
        assert_eq!(code(refuse(&presigned("host", "60"), &map(&[("x-amz-tagging", "a=b")]))), "AccessDenied");
        // What an Authorization header names as signed says nothing of a presigned URL.
        let lying = map(&[("authorization", "SignedHeaders=host;x-amz-acl"), ("x-amz-acl", "public-read")]);
        assert_eq!(code(refuse(&presigned("host", "60"), &lying)), "AccessDenied");
    }

    #[test]
    fn a_request_that_is_signed_in_two_ways_is_refused() {
        let header = map(&[("authorization", "AWS4-HMAC-SHA256 x")]);
        let (four, two) = (pairs(&[("X-Amz-Signature", "s")]), pairs(&[("Signature", "s")]));
        assert_eq!(mechanism(&[], &header).unwrap(), Mechanism::Header);
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
