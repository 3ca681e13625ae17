//! AWS Signature Version 4 on what goes to the storage.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_lc_rs::hmac;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity;
use http::Request;

use super::super::{Body, BodyError};
use super::chunks::{Framing, Seed};
use crate::config::Secret;

const SERVICE: &str = "s3";

/// How the body takes part in the signature.
pub(super) enum Payload<'a> {
    /// By its SHA-256.
    Hashed(&'a [u8]),
    /// By signatures of its own, or not at all.
    Streamed(Framing),
}

/// An identity at the storage.
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
    pub(super) fn sign(&self, request: Request<Body>, payload: &Payload<'_>) -> Result<Request<Body>, BodyError> {
        self.signed(request, payload, SystemTime::now()).map(|(request, _)| request)
    }

    /// Signs all headers of a request whose body goes in chunks, and gives what the first of those follows.
    pub(super) fn sign_chunks(
        &self,
        request: Request<Body>,
        framing: Framing,
    ) -> Result<(Request<Body>, Seed), BodyError> {
        let time = SystemTime::now();
        let (request, signature) = self.signed(request, &Payload::Streamed(framing), time)?;
        let credentials = self.identity.data::<Credentials>().ok_or("the identity holds no key")?;
        let key = v4::generate_signing_key(credentials.secret_access_key(), time, &self.region, SERVICE);
        let date = request.headers().get("x-amz-date").and_then(|date| date.to_str().ok());
        let date = date.ok_or("the request is signed without a date")?.to_owned();
        let scope = format!("{}/{}/{SERVICE}/aws4_request", &date[..8], self.region);
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
        Ok((request, Seed { key, date, scope, signature }))
    }

    fn signed(
        &self,
        mut request: Request<Body>,
        payload: &Payload<'_>,
        time: SystemTime,
    ) -> Result<(Request<Body>, String), BodyError> {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.excluded_headers = Some(["authorization", "user-agent", "expect"].map(Into::into).to_vec());
        request = unsigned(request);
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name(SERVICE)
            .time(time)
            .settings(settings)
            .build()?
            .into();
        let mut headers = Vec::with_capacity(request.headers().len());
        for (name, value) in request.headers() {
            headers.push((name.as_str(), std::str::from_utf8(value.as_bytes())?));
        }
        let body = match payload {
            Payload::Hashed(bytes) => SignableBody::Bytes(bytes),
            Payload::Streamed(framing) => SignableBody::Precomputed(framing.content().to_owned()),
        };
        let target = request.uri().to_string();
        let signable = SignableRequest::new(request.method().as_str(), &target, headers.into_iter(), body)?;
        let (instructions, signature) = sign(signable, &params)?.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok((request, signature))
    }
}

/// The request without whatever another signature left in it.
pub(super) fn unsigned(mut request: Request<Body>) -> Request<Body> {
    for stale in ["authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"] {
        request.headers_mut().remove(stale);
    }
    request
}
