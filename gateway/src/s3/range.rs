//! Byte ranges as S3 takes them: one range, of three forms; several or none that can be understood mean the whole.

use std::ops::Range;

use http::HeaderValue;

use super::error::Error;
use super::request::Request;
use crate::upstream::Quirks;

/// What a `Range` header asks for (RFC 9110, section 14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Everything.
    Whole,
    /// From a byte on, to a byte (inclusive) or to the end.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Suffix(u64),
}

impl Wanted {
    /// Reads the header's text; what is not one well-formed range of bytes is passed over, as S3 does.
    pub fn parse(text: Option<&str>) -> Self {
        Self::well_formed(text.unwrap_or_default()).unwrap_or(Self::Whole)
    }

    /// What a read asks for, as its storage would take it.
    pub(super) fn asked(request: &Request, quirks: &Quirks) -> Self {
        match Self::parse(request.header("range")) {
            Self::Suffix(0) if quirks.no_last_bytes_are_all => Self::From(0, None),
            wanted => wanted,
        }
    }

    fn well_formed(text: &str) -> Option<Self> {
        let spec = text.trim().strip_prefix("bytes=")?.trim();
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        match spec.split_once('-')? {
            ("", last) => Some(Self::Suffix(number(last)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// The bytes of an object of `len` bytes; none for the whole. `InvalidRange` where it lies behind the end.
    pub fn of(self, len: u64) -> Result<Option<Range<u64>>, Error> {
        let range = match self {
            Self::Whole => return Ok(None),
            Self::From(first, last) => first..last.map_or(len, |last| last.saturating_add(1)).min(len),
            Self::Suffix(count) => len.saturating_sub(count)..len,
        };
        if range.start >= range.end {
            return Err(Error::invalid_range(len));
        }
        Ok(Some(range))
    }
}

/// `Content-Range` of a part of an object.
pub fn content_range(range: &Range<u64>, len: u64) -> HeaderValue {
    let text = format!("bytes {}-{}/{len}", range.start, range.end.saturating_sub(1));
    HeaderValue::from_str(&text).expect("digits are a header value")
}

/// First byte and length of the whole, from a `Content-Range`.
pub fn parse_content_range(value: &HeaderValue) -> Option<(u64, u64)> {
    let (span, len) = value.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    Some((span.split_once('-')?.0.parse().ok()?, len.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, len: u64) -> Result<Option<Range<u64>>, &'static str> {
        Wanted::parse(Some(text)).of(len).map_err(|error| error.code)
    }

    #[test]
    fn every_form_of_a_range_gives_its_bytes() {
        assert_eq!(of("bytes=0-0", 10), Ok(Some(0..1)));
        assert_eq!(of("bytes=5-", 10), Ok(Some(5..10)));
        assert_eq!(of("bytes=5-99", 10), Ok(Some(5..10)));
        assert_eq!(of("bytes=-3", 10), Ok(Some(7..10)));
        assert_eq!(of("bytes=-99", 10), Ok(Some(0..10)));
        assert_eq!(of("bytes=0-18446744073709551615", 10), Ok(Some(0..10)));
    }

    #[test]
    fn a_range_behind_the_end_is_refused() {
        assert_eq!(of("bytes=10-", 10), Err("InvalidRange"));
        assert_eq!(of("bytes=-0", 10), Err("InvalidRange"));
        assert_eq!(of("bytes=0-5", 0), Err("InvalidRange"));
        assert_eq!(of("bytes=-5", 0), Err("InvalidRange"));
    }

    #[test]
    fn what_is_no_single_range_means_the_whole() {
        for text in ["", "bytes=", "bytes=5-1", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4"] {
            assert_eq!(of(text, 10), Ok(None), "{text}");
        }
    }
}
