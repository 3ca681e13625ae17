//! Whom the handshake lets in.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use time::OffsetDateTime;

use super::{Presented, Standing};

/// Verifies chain, usage and signature as rustls does, but judges the chain at a time at which the certificate was
/// valid when it ended within the renewal window or begins in the future. What such a connection may do is decided at
/// each call by [`Presented::standing`]. No certificate at all is let in too: Enrol needs none.
#[derive(Debug)]
pub struct GatewayVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    window: time::Duration,
}

impl GatewayVerifier {
    /// Wraps the verifier that knows the trusted authorities; `window` is the renewal window.
    pub fn new(inner: Arc<dyn ClientCertVerifier>, window: time::Duration) -> Self {
        Self { inner, window }
    }
}

impl ClientCertVerifier for GatewayVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let presented = Presented::read(end_entity)
            .map_err(|_| Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))?;
        let seconds = i64::try_from(now.as_secs()).map_err(|_| Error::FailedToGetCurrentTime)?;
        let clock = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Error::FailedToGetCurrentTime)?;
        let judged_at = match presented.standing(clock, self.window) {
            Standing::Valid => now,
            Standing::Renewable => unix(presented.not_after)?,
            Standing::NotYetValid => unix(presented.not_before)?,
            Standing::Expired => return Err(Error::InvalidCertificate(CertificateError::Expired)),
        };
        self.inner.verify_client_cert(end_entity, intermediates, judged_at)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn unix(time: OffsetDateTime) -> Result<UnixTime, Error> {
    let seconds = u64::try_from(time.unix_timestamp()).map_err(|_| Error::FailedToGetCurrentTime)?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}
