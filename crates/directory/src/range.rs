//! Byte ranges of reads (RFC 9110 section 14) and of `UploadPartCopy`.

use http::HeaderValue;
use http::header::CONTENT_RANGE;

use crate::error::{Code, S3Error, invalid_argument};

/// Bytes `first..=last` of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Range {
    /// The number of bytes; at least 1.
    pub(crate) fn len(self) -> u64 {
        self.last - self.first + 1
    }

    /// The value of `Content-Range` in an object of `size` bytes.
    pub(crate) fn content_range(self, size: u64) -> HeaderValue {
        HeaderValue::try_from(format!("bytes {}-{}/{size}", self.first, self.last))
            .expect("digits and punctuation are a header value")
    }

    /// The `Range` header of a read. `None` where the whole object is to be sent: no single byte range, another unit,
    /// or a text that is no range at all. Nothing of it in the object: `InvalidRange`.
    pub(crate) fn of_read(header: &str, size: u64) -> Result<Option<Self>, S3Error> {
        let Some((first, last)) = split(header) else { return Ok(None) };
        let range = match (first, last) {
            (None, None) => return Ok(None),
            (None, Some(0)) => None,
            (None, Some(suffix)) => size.checked_sub(1).map(|last| (size.saturating_sub(suffix), last)),
            (Some(first), Some(last)) if last < first => return Ok(None),
            (Some(first), last) => {
                size.checked_sub(1).map(|end| (first, last.map_or(end, |last| last.min(end)))).filter(|r| r.0 <= r.1)
            }
        };
        match range {
            Some((first, last)) => Ok(Some(Self { first, last })),
            None => Err(unsatisfiable(size)),
        }
    }

    /// `x-amz-copy-source-range`: only `bytes=first-last`, and all of it must be in the source.
    pub(crate) fn of_copy_source(header: &str, size: u64) -> Result<Self, S3Error> {
        match split(header) {
            Some((Some(first), Some(last))) if first <= last => {
                if last < size {
                    Ok(Self { first, last })
                } else {
                    Err(S3Error::new(
                        Code::InvalidRange,
                        format!("The range {first}-{last} is not within the source, which has {size} bytes."),
                    )
                    .with_header(CONTENT_RANGE, whole(size)))
                }
            }
            _ => Err(invalid_argument("The x-amz-copy-source-range must be bytes=first-last.")),
        }
    }
}

/// The numbers of `bytes=a-b`, `bytes=a-`, `bytes=-n`; those too large for any file are as good as infinite.
fn split(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = |digits: &str| (!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX));
    (digits(first) && digits(last)).then(|| (number(first), number(last)))
}

fn unsatisfiable(size: u64) -> S3Error {
    S3Error::new(Code::InvalidRange, "The requested range is not satisfiable")
        .with_header(CONTENT_RANGE, whole(size))
        .with_element("ActualObjectSize", size.to_string())
}

fn whole(size: u64) -> HeaderValue {
    HeaderValue::try_from(format!("bytes */{size}")).expect("digits and punctuation are a header value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_range_is_as_the_table_says() {
        let whole = Ok(None);
        let part = |first, last| Ok(Some(Range { first, last }));
        let out = Err(Code::InvalidRange);
        for (header, size, expected) in [
            ("bytes=0-0", 10, part(0, 0)),
            ("bytes=0-9", 10, part(0, 9)),
            ("bytes=3-", 10, part(3, 9)),
            ("bytes=9-", 10, part(9, 9)),
            ("bytes=-3", 10, part(7, 9)),
            ("bytes=-10", 10, part(0, 9)),
            ("bytes=-99", 10, part(0, 9)),
            ("bytes=5-99", 10, part(5, 9)),
            ("bytes=5-99999999999999999999999", 10, part(5, 9)),
            ("Bytes = 1-2", 10, part(1, 2)),
            ("bytes=10-", 10, out),
            ("bytes=10-20", 10, out),
            ("bytes=99999999999999999999999-", 10, out),
            ("bytes=-0", 10, out),
            ("bytes=0-0", 0, out),
            ("bytes=0-", 0, out),
            ("bytes=-5", 0, out),
            ("bytes=5-2", 10, whole),
            ("bytes=0-1,3-4", 10, whole),
            ("bytes=-", 10, whole),
            ("bytes=a-b", 10, whole),
            ("bytes=+1-2", 10, whole),
            ("bytes=1", 10, whole),
            ("lines=1-2", 10, whole),
            ("1-2", 10, whole),
        ] {
            assert_eq!(Range::of_read(header, size).map_err(|error| error.code()), expected, "{header} of {size}");
        }
    }

    #[test]
    fn a_copy_source_range_is_complete_and_inside() {
        for (header, size, expected) in [
            ("bytes=0-9", 10, Ok(Range { first: 0, last: 9 })),
            ("bytes=4-4", 10, Ok(Range { first: 4, last: 4 })),
            ("bytes=0-10", 10, Err(Code::InvalidRange)),
            ("bytes=0-0", 0, Err(Code::InvalidRange)),
            ("bytes=4-", 10, Err(Code::InvalidArgument)),
            ("bytes=-4", 10, Err(Code::InvalidArgument)),
            ("bytes=4-3", 10, Err(Code::InvalidArgument)),
            ("0-3", 10, Err(Code::InvalidArgument)),
        ] {
            assert_eq!(
                Range::of_copy_source(header, size).map_err(|error| error.code()),
                expected,
                "{header} of {size}"
            );
        }
    }
}
