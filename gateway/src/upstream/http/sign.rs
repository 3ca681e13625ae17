//! AWS Signature Version 4 on what goes to the storage.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use http::Request;

use super::super::{Body, BodyError};
use crate::config::Secret;

/// How the body takes part in the signature.
pub(super) enum Payload<'a> {
    /// By its SHA-256.
    Hashed(&'a [u8]),
    /// Not at all.
    Unsigned,
}

/// The identity with which all clients act at the storage.
pub(super) struct Signer {
    identity: Identity,
    region: String,
}

impl Signer {
    pub(super) fn new(access_key: &str, secret_key: &Secret, region: &str) -> Self {
        let credentials = Credentials::new(access_key, secret_key.expose(), None, None, "configuration");
        Self { identity: credentials.into(), region: region.to_owned() }
    }

    /// Signs all headers; the target must be canonical as it stands, as [`super::super::uri`] makes it.
    pub(super) fn sign(&self, mut request: Request<Body>, payload: &Payload<'_>) -> Result<Request<Body>, BodyError> {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.excluded_headers = Some(["authorization", "user-agent", "expect"].map(Into::into).to_vec());
        for stale in ["authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"] {
            request.headers_mut().remove(stale);
        }
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name("s3")
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let mut headers = Vec::with_capacity(request.headers().len());
        for (name, value) in request.headers() {
            headers.push((name.as_str(), std::str::from_utf8(value.as_bytes())?));
        }
        let body = match payload {
            Payload::Hashed(bytes) => SignableBody::Bytes(bytes),
            Payload::Unsigned => SignableBody::UnsignedPayload,
        };
        let target = request.uri().to_string();
        let signable = SignableRequest::new(request.method().as_str(), &target, headers.into_iter(), body)?;
        let (instructions, _signature) = sign(signable, &params)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}
