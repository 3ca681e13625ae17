//! Who signed the policy document of a form: version 4 (`x-amz-signature`) or 2 (`signature`).
//!
//! Both sign the whole base64 text of the policy, and the policy has an expiration and must speak of every field. So a
//! form of version 2 is as bounded as one of version 4: HMAC-SHA-1 is not broken as a MAC, and the key, which both derive
//! from the same secret, cannot be had from it.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;

use super::super::error::Error;
use super::super::request::Principal;
use super::parts::Fields;
use crate::group::Document;

/// The principal of a form, its signature verified. A form without policy and signature is nobody's.
pub(super) fn verify(fields: &Fields, document: &Document) -> Result<Principal, Error> {
    let has = |names: &[&str]| names.iter().any(|name| fields.get(name).is_some());
    let four = has(&["x-amz-signature", "x-amz-algorithm", "x-amz-credential"]);
    let two = has(&["signature", "awsaccesskeyid"]);
    match (four, two) {
        (true, true) => Err(Error::invalid_argument("Only one auth mechanism allowed: version 4 or version 2.")),
        (true, false) => version_4(fields, document),
        (false, true) => version_2(fields, document),
        (false, false) if has(&["policy"]) => Err(missing("X-Amz-Signature")),
        (false, false) => Ok(Principal::Anonymous),
    }
}

fn version_4(fields: &Fields, document: &Document) -> Result<Principal, Error> {
    let policy = required(fields, "policy")?;
    if required(fields, "X-Amz-Algorithm")? != "AWS4-HMAC-SHA256" {
        return Err(Error::invalid_argument("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
    }
    let credential = required(fields, "X-Amz-Credential")?;
    let date = required(fields, "X-Amz-Date")?;
    let signature = required(fields, "X-Amz-Signature")?;
    let malformed = || {
        Error::new(
            StatusCode::BAD_REQUEST,
            "AuthorizationQueryParametersError",
            "The field X-Amz-Credential must be ACCESS-KEY/YYYYMMDD/REGION/s3/aws4_request, of the day of X-Amz-Date.",
        )
    };
    let mut scope = credential.rsplitn(5, '/');
    let mut part = || scope.next().ok_or_else(malformed);
    let (end, service, region, day, access_key) = (part()?, part()?, part()?, part()?, part()?);
    let time = date.strip_prefix(day).filter(|time| {
        let digits = |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
        let clock = time.strip_prefix('T').and_then(|time| time.strip_suffix('Z'));
        digits(day, 8) && clock.is_some_and(|clock| digits(clock, 6))
    });
    if time.is_none() || end != "aws4_request" || service != "s3" {
        return Err(malformed());
    }
    let secret = secret(document, access_key)?;
    let mut key = [&b"AWS4"[..], secret].concat();
    for step in [day, region, service, end] {
        let next = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), step.as_bytes());
        zeroize::Zeroize::zeroize(&mut key);
        key = next.as_ref().to_vec();
    }
    let signing = hmac::Key::new(hmac::HMAC_SHA256, &key);
    zeroize::Zeroize::zeroize(&mut key);
    let given = hex::decode(signature).map_err(|_| mismatch())?;
    hmac::verify(&signing, policy.as_bytes(), &given).map_err(|_| mismatch())?;
    Ok(Principal::Key(access_key.to_owned()))
}

fn version_2(fields: &Fields, document: &Document) -> Result<Principal, Error> {
    let policy = required(fields, "policy")?;
    let access_key = required(fields, "AWSAccessKeyId")?;
    let signature = required(fields, "signature")?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret(document, access_key)?);
    let given = STANDARD.decode(signature).map_err(|_| mismatch())?;
    hmac::verify(&key, policy.as_bytes(), &given).map_err(|_| mismatch())?;
    Ok(Principal::Key(access_key.to_owned()))
}

fn secret<'a>(document: &'a Document, access_key: &str) -> Result<&'a [u8], Error> {
    let unknown = || {
        Error::new(
            StatusCode::FORBIDDEN,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        )
    };
    Ok(document.credential(access_key).ok_or_else(unknown)?.secret.expose().as_bytes())
}

fn mismatch() -> Error {
    Error::new(
        StatusCode::FORBIDDEN,
        "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    )
}

/// A field that must be there, by the name that clients know.
pub(super) fn required<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, Error> {
    fields.get(&name.to_ascii_lowercase()).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Error {
    Error::invalid_argument(format!(
        "Bucket POST must contain a field named '{name}'. If it is specified, please check the order of the fields."
    ))
}
