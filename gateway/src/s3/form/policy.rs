//! The policy document of a form: until when, and which values its fields may have.
//!
//! Every field of the form must be spoken of by a condition, but for those of the signature itself and those that begin
//! with `x-ignore-` (S3 API reference, "POST policy").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::error::Error;
use super::parts::Fields;

/// Fields that no condition needs to speak of.
const FREE: [&str; 5] = ["policy", "signature", "awsaccesskeyid", "x-amz-signature", "file"];

/// A policy document that was read. Its conditions are not judged yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Policy {
    expiration: OffsetDateTime,
    conditions: Vec<Condition>,
}

#[derive(Debug, PartialEq, Eq)]
enum Condition {
    /// The field has this value.
    Equal { field: String, value: String },
    /// The field begins so.
    StartsWith { field: String, value: String },
    /// The file has so many bytes.
    Length { least: u64, most: u64 },
}

impl Policy {
    /// Reads the base64 text of the form. `InvalidPolicyDocument` where it is none.
    pub(super) fn read(text: &str) -> Result<Self, Error> {
        let json = STANDARD.decode(text.trim()).map_err(|_| invalid("it is not base64"))?;
        let document: Value = serde_json::from_slice(&json).map_err(|_| invalid("it is not JSON"))?;
        let expiration = document.get("expiration").and_then(Value::as_str);
        let expiration = expiration.ok_or_else(|| invalid("there is no 'expiration'"))?;
        // The parser takes more than ISO 8601 in UTC, which S3 demands.
        let strict = expiration.as_bytes().get(10) == Some(&b'T') && expiration.ends_with('Z');
        let expiration = OffsetDateTime::parse(expiration, &Rfc3339).ok().filter(|_| strict);
        let expiration =
            expiration.ok_or_else(|| invalid("its 'expiration' is no time such as 2030-01-01T00:00:00Z"))?;
        let conditions = document.get("conditions").and_then(Value::as_array);
        let conditions = conditions.ok_or_else(|| invalid("there is no list of 'conditions'"))?;
        let mut read = Vec::with_capacity(conditions.len());
        for condition in conditions {
            match condition {
                Value::Object(pairs) if !pairs.is_empty() => {
                    for (field, value) in pairs {
                        read.push(Condition::Equal { field: field.to_ascii_lowercase(), value: text_of(value)? });
                    }
                }
                Value::Array(items) => read.push(Condition::read(items)?),
                _ => return Err(invalid("a condition must be a list, or an object with one property")),
            }
        }
        Ok(Self { expiration, conditions: read })
    }

    /// Whether the fields are as the policy says, and it is still in force. The bucket is judged as a field.
    pub(super) fn judge(&self, fields: &Fields, bucket: &str, now: OffsetDateTime) -> Result<(), Error> {
        if now >= self.expiration {
            return Err(denied("Policy expired."));
        }
        let value = |field: &str| if field == "bucket" { bucket } else { fields.get(field).unwrap_or_default() };
        for condition in &self.conditions {
            let (field, holds) = match condition {
                Condition::Equal { field, value: wanted } => (field, value(field) == wanted),
                // S3 takes a Content-Type for a list, of which every element must begin so.
                Condition::StartsWith { field, value: wanted } if field == "content-type" => {
                    (field, value(field).split(',').all(|one| one.trim_start().starts_with(wanted.as_str())))
                }
                Condition::StartsWith { field, value: wanted } => (field, value(field).starts_with(wanted.as_str())),
                Condition::Length { .. } => continue,
            };
            if !holds {
                return Err(denied(&format!("Policy Condition failed: the field {field} is not as it says.")));
            }
        }
        let spoken_of = |name: &str| {
            self.conditions.iter().any(|condition| match condition {
                Condition::Equal { field, .. } | Condition::StartsWith { field, .. } => field == name,
                Condition::Length { .. } => false,
            })
        };
        // A field of the name `bucket` is no other than the bucket that was posted to.
        if fields.get("bucket").is_some_and(|named| named != bucket) {
            return Err(denied("the field bucket names another bucket."));
        }
        let names = fields.0.keys().map(String::as_str).filter(|name| !FREE.contains(name));
        let mut names = names.filter(|name| !name.starts_with("x-ignore-")).chain(["bucket"]);
        match names.find(|name| !spoken_of(name)) {
            None => Ok(()),
            Some(name) => Err(denied(&format!("Extra input fields: {name}"))),
        }
    }

    /// Whether a file may have so many bytes.
    pub(super) fn judge_length(&self, len: u64) -> Result<(), Error> {
        for condition in &self.conditions {
            if let Condition::Length { least, most } = condition {
                if len > *most {
                    return Err(Error::entity_too_large("Your proposed upload exceeds the maximum allowed size"));
                }
                if len < *least {
                    return Err(Error::entity_too_small(
                        "Your proposed upload is smaller than the minimum allowed size",
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Condition {
    fn read(items: &[Value]) -> Result<Self, Error> {
        let [operator, first, second] = items else { return Err(invalid("a list must have three elements")) };
        let field = || {
            let name = first.as_str().and_then(|text| text.strip_prefix('$'));
            name.map(str::to_ascii_lowercase).ok_or_else(|| invalid("a field must be named as in \"$key\""))
        };
        match operator.as_str().unwrap_or_default().to_ascii_lowercase().as_str() {
            "eq" => Ok(Self::Equal { field: field()?, value: text_of(second)? }),
            "starts-with" => Ok(Self::StartsWith { field: field()?, value: text_of(second)? }),
            "content-length-range" => {
                let bound =
                    |value: &Value| text_of(value)?.parse::<u64>().map_err(|_| invalid("a length must be a number"));
                Ok(Self::Length { least: bound(first)?, most: bound(second)? })
            }
            _ => Err(invalid("a list must begin with eq, starts-with or content-length-range")),
        }
    }
}

fn text_of(value: &Value) -> Result<String, Error> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(invalid("a value must be text or a number")),
    }
}

fn invalid(why: &str) -> Error {
    Error::new(StatusCode::BAD_REQUEST, "InvalidPolicyDocument", format!("Invalid Policy: {why}."))
}

fn denied(why: &str) -> Error {
    Error::access_denied(format!("Invalid according to Policy: {why}"))
}

#[cfg(test)]
mod tests;
