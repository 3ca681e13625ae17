//! What is wrong with a message of a peer, and the checks that find it.

use std::str::FromStr;

/// A message that breaks the protocol. Nothing of it was used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("protocol: {field}: {reason}")]
pub struct ProtocolError {
    /// The field, as the protobuf file names it: `Hello.epoch`.
    pub field: &'static str,
    /// Which rule it breaks; holds no more than 80 characters of what was sent.
    pub reason: String,
}

impl ProtocolError {
    pub(crate) fn new(field: &'static str, reason: impl Into<String>) -> Self {
        Self { field, reason: reason.into() }
    }
}

impl From<ProtocolError> for tonic::Status {
    fn from(error: ProtocolError) -> Self {
        Self::invalid_argument(error.to_string())
    }
}

/// A text of at most `bytes` bytes without control characters.
pub(crate) fn text(field: &'static str, value: String, bytes: usize) -> Result<String, ProtocolError> {
    if value.len() > bytes {
        return Err(ProtocolError::new(field, format!("longer than {bytes} bytes")));
    }
    if value.chars().any(char::is_control) {
        return Err(ProtocolError::new(field, "it holds a control character"));
    }
    Ok(value)
}

/// A text for a person, of at most `bytes` bytes; line breaks are allowed.
pub(crate) fn prose(field: &'static str, value: String, bytes: usize) -> Result<String, ProtocolError> {
    if value.len() > bytes {
        return Err(ProtocolError::new(field, format!("longer than {bytes} bytes")));
    }
    if value.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(ProtocolError::new(field, "it holds a control character"));
    }
    Ok(value)
}

/// As [`text`], and not empty.
pub(crate) fn name(field: &'static str, value: String, bytes: usize) -> Result<String, ProtocolError> {
    if value.is_empty() {
        return Err(ProtocolError::new(field, "it is empty"));
    }
    text(field, value, bytes)
}

/// A word or identifier of the `ids` crate.
pub(crate) fn parsed<T>(field: &'static str, value: &str) -> Result<T, ProtocolError>
where
    T: FromStr<Err = ids::Invalid>,
{
    value.parse().map_err(|invalid: ids::Invalid| ProtocolError::new(field, invalid.to_string()))
}

/// A list of at most `most` members.
pub(crate) fn at_most<T>(field: &'static str, list: &[T], most: usize) -> Result<(), ProtocolError> {
    if list.len() > most {
        return Err(ProtocolError::new(field, format!("{} members, at most {most} are allowed", list.len())));
    }
    Ok(())
}

/// Unix milliseconds between 1970 and the year 10000.
pub(crate) fn time_ms(field: &'static str, value: i64) -> Result<i64, ProtocolError> {
    if (0..=253_402_300_799_999).contains(&value) {
        Ok(value)
    } else {
        Err(ProtocolError::new(field, "it is no time between 1970 and 9999"))
    }
}

/// A cumulative count; the database keeps it as a signed number.
pub(crate) fn count(field: &'static str, value: u64) -> Result<u64, ProtocolError> {
    if i64::try_from(value).is_ok() { Ok(value) } else { Err(ProtocolError::new(field, "it is larger than 2^63 - 1")) }
}

/// Text cut to at most `bytes` bytes at a character, control characters replaced: what is sent keeps the bounds that
/// the receiver checks.
pub(crate) fn cut(value: &str, bytes: usize) -> String {
    let mut kept = String::with_capacity(value.len().min(bytes));
    for character in value.chars() {
        let character = if character.is_control() && character != '\n' && character != '\t' { ' ' } else { character };
        if kept.len() + character.len_utf8() > bytes {
            break;
        }
        kept.push(character);
    }
    kept
}
