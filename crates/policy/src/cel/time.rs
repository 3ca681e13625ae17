//! Timestamps (years 1 to 9999) and durations (64-bit nanoseconds), the ranges of CEL.

use chrono::{DateTime, Datelike, TimeDelta, Utc};

pub(super) fn is_in_range(time: &DateTime<Utc>) -> bool {
    (1..=9999).contains(&time.year())
}

pub(super) fn in_range(span: TimeDelta) -> Option<TimeDelta> {
    span.num_nanoseconds().map(|_| span)
}

/// RFC 3339.
pub(crate) fn parse_timestamp(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc)).filter(is_in_range)
}

/// A sign, then numbers with units from `h` to `ns`: `1h30m`, `-1.5s`; `0` alone needs no unit.
pub(super) fn parse_span(text: &str) -> Option<TimeDelta> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(TimeDelta::zero());
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let whole = digits(&mut rest)?;
        let (fraction, scale) = if let Some(after) = rest.strip_prefix('.') {
            let before = after.len();
            rest = after;
            let fraction = digits(&mut rest)?;
            (fraction, 10_i128.checked_pow(u32::try_from(before - rest.len()).ok()?)?)
        } else {
            (0, 1)
        };
        let unit = unit(&mut rest)?;
        let nanos = whole.checked_mul(unit)?.checked_add(fraction.checked_mul(unit)? / scale)?;
        total = total.checked_add(nanos)?;
    }
    let total = i64::try_from(if negative { -total } else { total }).ok()?;
    Some(TimeDelta::nanoseconds(total))
}

/// One to eighteen decimal digits.
fn digits(rest: &mut &str) -> Option<i128> {
    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, after) = rest.split_at(count);
    *rest = after;
    if count == 0 || count > 19 { None } else { number.parse().ok() }
}

fn unit(rest: &mut &str) -> Option<i128> {
    const UNITS: [(&str, i128); 6] = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
    ];
    let (name, nanos) = UNITS.into_iter().find(|(name, _)| rest.starts_with(name))?;
    *rest = &rest[name.len()..];
    Some(nanos)
}

/// Seconds, with a fraction where there is one: `90s`, `-1.5s`.
pub(super) fn format_span(span: TimeDelta) -> String {
    let nanos = i128::from(span.num_seconds()) * 1_000_000_000 + i128::from(span.subsec_nanos());
    let sign = if nanos < 0 { "-" } else { "" };
    let (seconds, fraction) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    if fraction == 0 {
        format!("{sign}{seconds}s")
    } else {
        format!("{sign}{seconds}.{}s", format!("{fraction:09}").trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_cel_does() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("1h30m", 5_400_000_000_000),
            ("-1.5s", -1_500_000_000),
            ("1.1ns", 1),
            ("9223372036854775807ns", i64::MAX),
        ] {
            assert_eq!(parse_span(text), Some(TimeDelta::nanoseconds(nanos)), "{text}");
        }
        for text in
            ["", "-", "1", "h", "1.h", ".5s", "1d", "+1s", "1s ", "9223372036854775808ns", "99999999999999999999s"]
        {
            assert_eq!(parse_span(text), None, "{text}");
        }
        assert_eq!(format_span(TimeDelta::milliseconds(-1_500)), "-1.5s");
        assert_eq!(format_span(TimeDelta::seconds(90)), "90s");
    }

    #[test]
    fn timestamps_outside_the_years_of_cel_are_refused() {
        assert!(parse_timestamp("2026-01-02T03:04:05.678Z").is_some());
        assert!(parse_timestamp("9999-12-31T23:59:59-01:00").is_none());
        assert!(parse_timestamp("2026-01-02").is_none());
    }
}
