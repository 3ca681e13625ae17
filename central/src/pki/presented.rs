//! What a client certificate says about its bearer.

use ids::GatewayId;
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Before the gateway ID in the one URI of the subject alternative name.
pub(super) const URI_PREFIX: &str = "sealgate:gateway:";

/// The bearer of a certificate that the handshake verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// Who it is.
    pub gateway: GatewayId,
    /// The serial number's bytes, by which it is known and revoked.
    pub serial: Vec<u8>,
    /// Valid from.
    pub not_before: OffsetDateTime,
    /// Valid until, included.
    pub not_after: OffsetDateTime,
    /// SHA-256 of the `SubjectPublicKeyInfo`.
    pub key_digest: [u8; 32],
}

/// Where `now` lies in a certificate's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Every call is answered.
    Valid,
    /// It ended less than the renewal window ago: only Renew is answered.
    Renewable,
    /// It ended too long ago: only a new enrolment helps.
    Expired,
    /// It begins in the future: the clock of the one that signed, or of this replica, is wrong.
    NotYetValid,
}

/// The certificate is not one that Central makes for gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a gateway's certificate: {0}")]
pub struct NotAGateway(&'static str);

impl Presented {
    /// Reads the certificate. Common name and the one URI must agree on the gateway ID.
    pub fn read(certificate: &CertificateDer<'_>) -> Result<Self, NotAGateway> {
        let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|_| NotAGateway("it cannot be parsed"))?;
        if !rest.is_empty() {
            return Err(NotAGateway("bytes follow it"));
        }
        let mut names = parsed.subject().iter_common_name();
        let name = match (names.next(), names.next()) {
            (Some(name), None) => name.as_str().map_err(|_| NotAGateway("its common name is not text"))?,
            _ => return Err(NotAGateway("it has not one common name")),
        };
        let alternative = parsed
            .subject_alternative_name()
            .ok()
            .flatten()
            .ok_or(NotAGateway("it has no subject alternative name"))?;
        let [GeneralName::URI(uri)] = alternative.value.general_names.as_slice() else {
            return Err(NotAGateway("its subject alternative name is not one URI"));
        };
        if uri.strip_prefix(URI_PREFIX) != Some(name) {
            return Err(NotAGateway("its names disagree"));
        }
        Ok(Self {
            gateway: name.parse().map_err(|_| NotAGateway("its common name is not a gateway ID"))?,
            serial: parsed.raw_serial().to_vec(),
            not_before: parsed.validity().not_before.to_datetime(),
            not_after: parsed.validity().not_after.to_datetime(),
            key_digest: Sha256::digest(parsed.public_key().raw).into(),
        })
    }

    /// Where `now` lies in this certificate's life, with `window` as the renewal window.
    pub fn standing(&self, now: OffsetDateTime, window: Duration) -> Standing {
        if now < self.not_before {
            Standing::NotYetValid
        } else if now <= self.not_after {
            Standing::Valid
        } else if now <= self.not_after + window {
            Standing::Renewable
        } else {
            Standing::Expired
        }
    }
}
