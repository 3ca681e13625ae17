//! Who is who: the certificate authority of Central, what it signs, and whom the gRPC listener lets in.
//!
//! ```text
//! certificate_authorities (present, next, past; keys sealed) ──▶ Authorities
//!      CSR ──only its public key──▶ RequestedKey ──issue_client──▶ 7 days, CN and SAN = gateway ID
//!      bound names ──────────────────────────────issue_server──▶ key and chain of the listener, in memory only
//! TLS handshake ──▶ GatewayVerifier ──▶ Presented {gateway, serial, validity} ──standing(now)──▶ what a call may do
//! ```
//! A certificate that is not valid *now* still gets a connection when it expired less than the renewal window (30 days) ago or
//! begins in the future: the calls answer with an error that says which (`rpc.rs`), and Renew works for the former.

mod keeper;
mod presented;
mod store;
#[cfg(test)]
mod tests;
mod verifier;

use std::net::IpAddr;
use std::sync::Arc;

use ids::GatewayId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKey, PublicKeyData, SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

pub use keeper::Pki;
pub use presented::{Presented, Standing};
pub use verifier::GatewayVerifier;

/// The name that every server certificate carries, and that gateways verify whatever address they dial.
pub const SERVER_NAME: &str = "central.sealgate.internal";
/// How long a server certificate is valid; Central makes a new one at half of it.
pub const SERVER_VALIDITY: Duration = Duration::days(30);
/// How long an authority signs and is trusted.
const AUTHORITY_VALIDITY: Duration = Duration::days(3653);
/// Certificates begin this long ago, for clocks that are a little behind.
const BACKDATE: Duration = Duration::minutes(5);

/// A certificate could not be made. The text is for the log.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A key or certificate could not be made or read back.
    #[error("certificate authority: {0}")]
    Certificate(#[from] rcgen::Error),
    /// rustls did not take what was made.
    #[error("TLS configuration: {0}")]
    Tls(#[from] rustls::Error),
    /// The verifier could not be built.
    #[error("client verifier: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// The authority's key is sealed under another key, or was changed.
    #[error("the key of certificate authority {generation} does not open: is sealing.key the one it was made with?")]
    Sealed {
        /// Which authority.
        generation: i32,
    },
    /// A certificate that was just issued does not carry the key it was issued for.
    #[error("the issued certificate does not carry the requested key")]
    WrongKey,
}

/// A certificate signing request that is refused; the text is for the gateway's operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the certificate signing request is refused: {0}")]
pub struct CsrError(&'static str);

/// SHA-256 of a certificate's DER.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// One certificate authority with its private key.
pub struct Authority {
    /// Counts up from 1.
    pub generation: i32,
    /// Self-signed.
    pub certificate: CertificateDer<'static>,
    /// When it ends.
    pub not_after: OffsetDateTime,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority, valid for ten years from `now`; its private key as PKCS#8 beside it.
    fn generate(generation: i32, now: OffsetDateTime) -> Result<(Self, Zeroizing<Vec<u8>>), PkiError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let secret = Zeroizing::new(key.serialize_der());
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&format!("Sealgate Central CA {generation}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(random_serial());
        params.not_before = whole_seconds(now - BACKDATE);
        params.not_after = whole_seconds(now + AUTHORITY_VALIDITY);
        let certificate = params.self_signed(&key)?.der().clone();
        let not_after = params.not_after;
        Ok((Self { generation, certificate, not_after, issuer: Issuer::new(params, key) }, secret))
    }

    /// Reads one back from its certificate and PKCS#8 key.
    fn restore(
        generation: i32,
        certificate: CertificateDer<'static>,
        secret: &Zeroizing<Vec<u8>>,
        not_after: OffsetDateTime,
    ) -> Result<Self, PkiError> {
        let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(secret.as_slice()))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { generation, certificate, not_after, issuer })
    }
}

/// Every authority that Central signs with or trusts. Immutable; a rotation makes a new value.
pub struct Authorities {
    /// Signs.
    pub present: Authority,
    /// Signs after the next rotation; gateways trust it already.
    pub next: Authority,
    /// Trusted while certificates that they signed may still be renewed.
    pub past: Vec<CertificateDer<'static>>,
}

impl Authorities {
    /// Present and next: what a gateway is told to trust, and whose fingerprints a token carries.
    pub fn advertised(&self) -> [CertificateDer<'static>; 2] {
        [self.present.certificate.clone(), self.next.certificate.clone()]
    }

    /// Every authority whose client certificates are accepted.
    fn trusted(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        [&self.present.certificate, &self.next.certificate].into_iter().chain(&self.past)
    }

    /// Signs a client certificate for `gateway` over `key`, valid from five minutes ago for `validity`.
    ///
    /// Nothing but the public key comes from the gateway.
    pub fn issue_client(
        &self,
        gateway: GatewayId,
        key: &RequestedKey,
        now: OffsetDateTime,
        validity: Duration,
    ) -> Result<ClientCertificate, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&gateway.to_string());
        params.subject_alt_names = vec![SanType::URI(
            format!("{}{gateway}", presented::URI_PREFIX).try_into().map_err(|_| PkiError::WrongKey)?,
        )];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let serial = random_serial();
        params.serial_number = Some(serial.clone());
        params.not_before = whole_seconds(now - BACKDATE);
        params.not_after = whole_seconds(now + validity);
        let certificate = params.signed_by(&key.0, &self.present.issuer)?.der().clone();
        let presented = Presented::read(&certificate).map_err(|_| PkiError::WrongKey)?;
        if presented.key_digest != key.digest() || presented.gateway != gateway {
            return Err(PkiError::WrongKey);
        }
        Ok(ClientCertificate {
            presented,
            issued_by: self.present.generation,
            chain: vec![certificate, self.present.certificate.clone()],
        })
    }

    /// Makes key and certificate of the gRPC listener, for [`SERVER_NAME`] and the given host names and addresses.
    /// Never stored: each replica has its own.
    pub fn issue_server(&self, names: &[String], now: OffsetDateTime) -> Result<ServerIdentity, PkiError> {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(SERVER_NAME);
        params.subject_alt_names = vec![SanType::DnsName(SERVER_NAME.try_into()?)];
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(random_serial());
        params.not_before = whole_seconds(now - BACKDATE);
        params.not_after = whole_seconds(now + SERVER_VALIDITY);
        let certificate = params.signed_by(&key, &self.present.issuer)?.der().clone();
        Ok(ServerIdentity {
            chain: vec![certificate, self.present.certificate.clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        })
    }

    /// The TLS side of the gRPC listener: TLS 1.3, HTTP/2, client certificates by [`GatewayVerifier`], and no session
    /// resumption, which would let a connection in on a certificate that was judged long ago.
    pub fn server_config(&self, identity: &ServerIdentity, window: Duration) -> Result<rustls::ServerConfig, PkiError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        for certificate in self.trusted() {
            roots.add(certificate.clone())?;
        }
        let inner = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(GatewayVerifier::new(inner, window)))
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(config)
    }
}

/// Key and chain of the listener, leaf first.
pub struct ServerIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// A client certificate that was just signed.
pub struct ClientCertificate {
    /// What it says.
    pub presented: Presented,
    /// Generation of the authority that signed.
    pub issued_by: i32,
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
}

/// The public key of a certificate signing request whose signature proves that the sender holds the private key.
/// Everything else that the request asks for is ignored.
pub struct RequestedKey(PublicKey);

impl RequestedKey {
    /// Reads a PKCS#10 request, at most [`proto::limits::CSR_BYTES`] of DER. ECDSA over P-256 or P-384, or Ed25519.
    pub fn from_csr(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > proto::limits::CSR_BYTES {
            return Err(CsrError("it is too long"));
        }
        let request =
            CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der)).map_err(|error| {
                match error {
                    rcgen::Error::InvalidCertificationRequestSignature => CsrError("its signature is wrong"),
                    rcgen::Error::UnsupportedExtension => CsrError("it asks for an extension that is not known"),
                    _ => CsrError("it is not a PKCS#10 request with a supported key"),
                }
            })?;
        let key = request.public_key;
        let algorithm = key.algorithm();
        // The algorithm is that of the signature; a P-384 key signed with SHA-256 would be written under a wrong curve.
        let length = match key.der_bytes().len() {
            65 if algorithm == &rcgen::PKCS_ECDSA_P256_SHA256 => true,
            97 if algorithm == &rcgen::PKCS_ECDSA_P384_SHA384 => true,
            32 if algorithm == &rcgen::PKCS_ED25519 => true,
            _ => false,
        };
        if length { Ok(Self(key)) } else { Err(CsrError("its key is none of ECDSA P-256, ECDSA P-384, Ed25519")) }
    }

    /// SHA-256 of the key's `SubjectPublicKeyInfo`.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.0.subject_public_key_info()).into()
    }
}

fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

/// 127 random bits, positive.
fn random_serial() -> SerialNumber {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system's random source works");
    // Positive and of full length, so that the DER form has the same bytes.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// X.509 times have no fraction.
fn whole_seconds(time: OffsetDateTime) -> OffsetDateTime {
    time.replace_nanosecond(0).expect("zero is a legal nanosecond")
}
