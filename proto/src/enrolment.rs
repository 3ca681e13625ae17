//! How a gateway gets and renews its identity.

use bytes::Bytes;
use ids::GatewayId;

use crate::error::{self, ProtocolError};
use crate::{limits, wire};

/// Exchanges a one-use token and a certificate signing request for a client certificate.
///
/// No `Debug`: the token is a secret until it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolRequest {
    /// The secret part of the token, as the administrator received it.
    pub token: String,
    /// PKCS#10, DER.
    pub csr_der: Bytes,
    /// The gateway's own name for itself; used where the token names none. May be empty.
    pub proposed_name: String,
    /// Version of the gateway.
    pub version: String,
}

/// What an enrolled gateway is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolResponse {
    /// Who it is from now on.
    pub gateway_id: GatewayId,
    /// The name that Central gave.
    pub name: String,
    /// Its certificate.
    pub credentials: Credentials,
}

/// A certificate, and whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Leaf first, DER; never empty.
    pub chain_der: Vec<Bytes>,
    /// Present and next CA, DER; never empty.
    pub ca_der: Vec<Bytes>,
    /// When the leaf expires, Unix milliseconds.
    pub not_after_ms: i64,
}

/// Asks for a new certificate; who asks is known from the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewRequest {
    /// PKCS#10, DER.
    pub csr_der: Bytes,
    /// Version of the gateway.
    pub version: String,
}

impl TryFrom<wire::EnrolRequest> for EnrolRequest {
    type Error = ProtocolError;
    fn try_from(sent: wire::EnrolRequest) -> Result<Self, ProtocolError> {
        Ok(Self {
            token: error::name("EnrolRequest.token", sent.token, limits::TOKEN_BYTES)?,
            csr_der: csr("EnrolRequest.csr_der", sent.csr_der)?,
            proposed_name: error::text("EnrolRequest.proposed_name", sent.proposed_name, limits::GATEWAY_NAME_BYTES)?,
            version: error::text("EnrolRequest.version", sent.version, limits::WORD_BYTES)?,
        })
    }
}

impl From<EnrolRequest> for wire::EnrolRequest {
    fn from(request: EnrolRequest) -> Self {
        Self {
            token: request.token,
            csr_der: request.csr_der,
            proposed_name: error::cut(&request.proposed_name, limits::GATEWAY_NAME_BYTES),
            version: error::cut(&request.version, limits::WORD_BYTES),
        }
    }
}

impl TryFrom<wire::EnrolResponse> for EnrolResponse {
    type Error = ProtocolError;
    fn try_from(sent: wire::EnrolResponse) -> Result<Self, ProtocolError> {
        Ok(Self {
            gateway_id: error::parsed("EnrolResponse.gateway_id", &sent.gateway_id)?,
            name: error::name("EnrolResponse.name", sent.name, limits::GATEWAY_NAME_BYTES)?,
            credentials: Credentials {
                chain_der: certificates("EnrolResponse.certificate_chain_der", sent.certificate_chain_der)?,
                ca_der: certificates("EnrolResponse.ca_der", sent.ca_der)?,
                not_after_ms: error::time_ms("EnrolResponse.not_after_ms", sent.not_after_ms)?,
            },
        })
    }
}

impl From<EnrolResponse> for wire::EnrolResponse {
    fn from(response: EnrolResponse) -> Self {
        Self {
            gateway_id: response.gateway_id.to_string(),
            name: response.name,
            certificate_chain_der: response.credentials.chain_der,
            ca_der: response.credentials.ca_der,
            not_after_ms: response.credentials.not_after_ms,
        }
    }
}

impl TryFrom<wire::RenewRequest> for RenewRequest {
    type Error = ProtocolError;
    fn try_from(sent: wire::RenewRequest) -> Result<Self, ProtocolError> {
        Ok(Self {
            csr_der: csr("RenewRequest.csr_der", sent.csr_der)?,
            version: error::text("RenewRequest.version", sent.version, limits::WORD_BYTES)?,
        })
    }
}

impl From<RenewRequest> for wire::RenewRequest {
    fn from(request: RenewRequest) -> Self {
        Self { csr_der: request.csr_der, version: error::cut(&request.version, limits::WORD_BYTES) }
    }
}

impl TryFrom<wire::RenewResponse> for Credentials {
    type Error = ProtocolError;
    fn try_from(sent: wire::RenewResponse) -> Result<Self, ProtocolError> {
        Ok(Self {
            chain_der: certificates("RenewResponse.certificate_chain_der", sent.certificate_chain_der)?,
            ca_der: certificates("RenewResponse.ca_der", sent.ca_der)?,
            not_after_ms: error::time_ms("RenewResponse.not_after_ms", sent.not_after_ms)?,
        })
    }
}

impl From<Credentials> for wire::RenewResponse {
    fn from(credentials: Credentials) -> Self {
        Self {
            certificate_chain_der: credentials.chain_der,
            ca_der: credentials.ca_der,
            not_after_ms: credentials.not_after_ms,
        }
    }
}

fn csr(field: &'static str, der: Bytes) -> Result<Bytes, ProtocolError> {
    if der.is_empty() || der.len() > limits::CSR_BYTES {
        return Err(ProtocolError::new(field, format!("it must have 1 to {} bytes", limits::CSR_BYTES)));
    }
    Ok(der)
}

fn certificates(field: &'static str, list: Vec<Bytes>) -> Result<Vec<Bytes>, ProtocolError> {
    error::at_most(field, &list, limits::CERTIFICATES)?;
    if list.is_empty() {
        return Err(ProtocolError::new(field, "it is empty"));
    }
    if list.iter().any(|der| der.is_empty() || der.len() > limits::CERTIFICATE_BYTES) {
        return Err(ProtocolError::new(
            field,
            format!("a certificate must have 1 to {} bytes", limits::CERTIFICATE_BYTES),
        ));
    }
    Ok(list)
}
