//! Signatures of version 2, which older clients still make by default ("Signing and Authenticating REST Requests" in the
//! documentation of S3). s3s computes them. That they are good for minutes and not for ever, and that the body is what it
//! looks like, is seen to here; what they cover, by [`Operation::is_signed_by_version_2`].
//!
//! HMAC-SHA-1 is not broken as a MAC, and the key, which is the secret that version 4 derives its own from, cannot be had
//! from it.
//!
//! [`Operation::is_signed_by_version_2`]: super::super::operations::Operation::is_signed_by_version_2

use http::{HeaderMap, StatusCode};
use time::format_description::well_known::Rfc2822;
use time::{Duration, OffsetDateTime, PrimitiveDateTime};

use super::super::error::Error;

/// How far the time of a request may be from ours.
const SKEW: Duration = Duration::minutes(15);

/// Refuses an `Authorization` header of version 2, without its `AWS `, that is none, or whose time is not now.
///
/// # Errors
/// `InvalidArgument`: there is no signature. `AccessDenied`: there is no time. `RequestTimeTooSkewed`: it is not now.
pub(super) fn refuse(credential: &str, headers: &HeaderMap, now: OffsetDateTime) -> Result<(), Error> {
    if !credential.split_once(':').is_some_and(|(key, signature)| !key.is_empty() && !signature.is_empty()) {
        return Err(Error::invalid_argument("AWS authorization header is invalid. Expected AwsAccessKeyId:signature"));
    }
    // Where both are there, the signature is over the former alone.
    let date = headers.get("x-amz-date").or_else(|| headers.get("date"));
    let time = date.and_then(|date| time_of(date.to_str().ok()?.trim()));
    // What is before 1970 is no time of a request: clients send it whose clock was never set.
    let Some(time) = time.filter(|time| *time >= OffsetDateTime::UNIX_EPOCH) else {
        return Err(Error::access_denied("AWS authentication requires a valid Date or x-amz-date header"));
    };
    if (now - time).abs() > SKEW {
        return Err(Error::new(
            StatusCode::FORBIDDEN,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ));
    }
    Ok(())
}

/// The time in a `Date` header (RFC 9110, section 5.6.7, with any offset), or one as version 4 writes it.
fn time_of(text: &str) -> Option<OffsetDateTime> {
    let basic = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let basic = || PrimitiveDateTime::parse(text, basic).map(PrimitiveDateTime::assume_utc);
    OffsetDateTime::parse(text, &Rfc2822).or_else(|_| basic()).ok()
}

/// Refuses a body in the coding `aws-chunked`: its chunks are signed by version 4 or by nothing, so under version 2 it would
/// be stored with the lines between them.
pub(super) fn refuse_chunks(headers: &HeaderMap) -> Result<(), Error> {
    let content = headers.get("x-amz-content-sha256").map(http::HeaderValue::as_bytes);
    if content.is_some_and(|value| value.starts_with(b"STREAMING-")) {
        return Err(Error::invalid_argument("x-amz-content-sha256 STREAMING-… needs a signature by AWS4-HMAC-SHA256."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2030-01-01 12:00:00 UTC);

    fn refused(credential: &str, dates: &[(&'static str, &str)]) -> Option<(u16, &'static str)> {
        let mut headers = HeaderMap::new();
        for (name, value) in dates {
            headers.append(*name, value.parse().unwrap());
        }
        refuse(credential, &headers, NOW).err().map(|error| (error.status.as_u16(), error.code))
    }

    #[test]
    fn a_time_is_good_for_a_quarter_of_an_hour_before_and_after() {
        for (date, code) in [
            ("Tue, 01 Jan 2030 12:00:00 GMT", None),
            ("Tue, 01 Jan 2030 11:45:00 GMT", None),
            ("Tue, 01 Jan 2030 12:15:00 GMT", None),
            ("Tue, 01 Jan 2030 13:00:00 +0100", None),
            ("20300101T120000Z", None),
            // Some write the wrong day of the week.
            ("Sun, 01 Jan 2030 12:00:00 GMT", None),
            ("Tue, 01 Jan 2030 11:44:59 GMT", Some((403, "RequestTimeTooSkewed"))),
            ("Tue, 01 Jan 2030 12:15:01 GMT", Some((403, "RequestTimeTooSkewed"))),
            ("Tue, 01 Jan 2030 12:00:00 +0100", Some((403, "RequestTimeTooSkewed"))),
            ("20290101T120000Z", Some((403, "RequestTimeTooSkewed"))),
            ("Tue, 07 Jul 9999 21:53:04 GMT", Some((403, "RequestTimeTooSkewed"))),
            ("Tue, 07 Jul 1950 21:53:04 GMT", Some((403, "AccessDenied"))),
            ("yesterday", Some((403, "AccessDenied"))),
            ("1893499200", Some((403, "AccessDenied"))),
            ("", Some((403, "AccessDenied"))),
        ] {
            for name in ["date", "x-amz-date"] {
                assert_eq!(refused("a:b", &[(name, date)]), code, "{name}: {date}");
            }
        }
        assert_eq!(refused("a:b", &[]), Some((403, "AccessDenied")));
    }

    #[test]
    fn the_time_that_is_signed_is_the_one_that_is_looked_at() {
        let (good, stale) = ("Tue, 01 Jan 2030 12:00:00 GMT", "Tue, 01 Jan 2030 11:00:00 GMT");
        assert_eq!(refused("a:b", &[("date", stale), ("x-amz-date", good)]), None);
        let skewed = Some((403, "RequestTimeTooSkewed"));
        assert_eq!(refused("a:b", &[("date", good), ("x-amz-date", stale)]), skewed);
        assert_eq!(refused("a:b", &[("date", good), ("x-amz-date", "")]), Some((403, "AccessDenied")));
    }

    #[test]
    fn what_has_no_key_or_no_signature_is_told_so() {
        let date = ("date", "Tue, 01 Jan 2030 12:00:00 GMT");
        for credential in ["HAHAHA", "", ":", "a:", ":b"] {
            assert_eq!(refused(credential, &[date]), Some((400, "InvalidArgument")), "{credential}");
        }
    }
}
