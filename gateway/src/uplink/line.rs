//! The connection to Central: TLS with our trust, one channel for all calls, and what a refusal means.
//!
//! Trust is not the system's: Central's certificate is signed by its own CA, and is valid for [`SERVER_NAME`] whatever its
//! address is, so that load balancers and plain addresses need no certificate of their own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;
use url::Url;

use super::identity::Identity;

/// The name for which Central's certificate is always valid.
pub(super) const SERVER_NAME: &str = "central.sealgate.internal";
const CONNECT: Duration = Duration::from_secs(10);
const PING: Duration = Duration::from_secs(20);
const PONG: Duration = Duration::from_secs(10);
/// Longest URI authority that is dialled.
const DEFAULT_PORT: u16 = 443;

/// Why a call did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// Central's code, or `unreachable`, `tls`, `protocol`.
    pub(super) code: String,
    /// For a person.
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into() }
    }

    /// Central does not take this identity, and will not: only a new enrolment helps.
    pub(super) fn is_identity_refused(&self) -> bool {
        matches!(self.code.as_str(), "certificate-required" | "certificate-unknown" | "certificate-revoked" | "tls")
    }

    /// An administrator has to act first; asking often does not help.
    pub(super) fn is_slow(&self) -> bool {
        self.is_identity_refused() || matches!(self.code.as_str(), "gateway-suspended" | "gateway-retired")
    }

    /// The token will never be accepted.
    pub(super) fn is_final_for_token(&self) -> bool {
        matches!(
            self.code.as_str(),
            "token-unknown"
                | "token-used"
                | "token-expired"
                | "name-taken"
                | "name-required"
                | "name-invalid"
                | "csr-invalid"
        )
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        if let Some(code) = status.metadata().get("sealgate-code").and_then(|code| code.to_str().ok()) {
            let code: String = code.chars().take(64).collect();
            return Self { code, message: status.message().to_owned() };
        }
        let chain = causes(&status);
        let code = if chain.contains("certificate") || chain.contains("alert") || chain.contains("CertificateError") {
            "tls"
        } else {
            match status.code() {
                tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled => "unreachable",
                tonic::Code::DeadlineExceeded => "timeout",
                _ => "protocol",
            }
        };
        Self { code: code.to_owned(), message: chain }
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text.chars().take(1_000).collect()
}

/// The identity in use and the channel under it; shared by the loops.
#[derive(Default)]
pub(super) struct Line {
    current: Mutex<Option<(Arc<Identity>, Channel)>>,
    changes: watch::Sender<u64>,
}

/// What is in use.
pub(super) struct InUse {
    pub(super) identity: Arc<Identity>,
    pub(super) channel: Channel,
    /// Wakes when another identity came into use after this one was read.
    pub(super) changes: watch::Receiver<u64>,
}

impl Line {
    /// Uses another identity from now on: calls in flight go on, new ones connect anew.
    pub(super) fn set(&self, identity: Arc<Identity>) -> Result<(), Failure> {
        let channel = channel(&identity)?;
        *self.lock() = Some((identity, channel));
        self.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// The identity in use.
    pub(super) fn identity(&self) -> Option<Arc<Identity>> {
        self.lock().as_ref().map(|(identity, _)| Arc::clone(identity))
    }

    /// What is in use, once there is something.
    pub(super) async fn in_use(&self) -> InUse {
        let mut changes = self.changes.subscribe();
        loop {
            // Before the look: a change after it is not missed.
            changes.mark_unchanged();
            if let Some((identity, channel)) = self.lock().clone() {
                return InUse { identity, channel, changes };
            }
            // The sender lives in `self`.
            let _ = changes.changed().await;
        }
    }

    /// The channel under the identity in use, once there is one.
    pub(super) async fn channel(&self) -> Channel {
        self.in_use().await.channel
    }

    /// Wakes when another identity is in use.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Arc<Identity>, Channel)>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel under an identity.
pub(super) fn channel(identity: &Identity) -> Result<Channel, Failure> {
    let tls = |error: &dyn std::error::Error| Failure::new("tls", causes(error));
    let mut roots = RootCertStore::empty();
    for der in &identity.ca_der {
        roots.add(CertificateDer::from(der.clone())).map_err(|error| tls(&error))?;
    }
    let chain = identity.chain_der.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key_der.to_vec()));
    let config =
        builder()?.with_root_certificates(roots).with_client_auth_cert(chain, key).map_err(|error| tls(&error))?;
    Ok(connect(&identity.address, config))
}

/// A channel for the one call that needs no identity. Central is recognised by the fingerprint of its CA.
pub(super) fn enrolment_channel(address: &Url, fingerprints: Vec<[u8; 32]>) -> Result<Channel, Failure> {
    let verifier = Arc::new(Pinned { fingerprints, provider: provider() });
    let config = builder()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    Ok(connect(address, config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Failure> {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Failure::new("tls", error.to_string()))
}

fn connect(address: &Url, mut config: ClientConfig) -> Channel {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    let connector = TlsConnector::from(Arc::new(config));
    let host = address.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = address.port().unwrap_or(DEFAULT_PORT);
    let dial = service_fn(move |_| {
        let (connector, host) = (connector.clone(), host.clone());
        async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(SERVER_NAME).expect("a DNS name");
            let stream = connector.connect(name, stream).await?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    // The scheme is plain for tonic alone, which would else want to make the TLS; `dial` is what makes it.
    Endpoint::from_static("http://central.sealgate.internal")
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(PING)
        .keep_alive_timeout(PONG)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(dial)
}

/// Accepts a server whose chain ends in a CA with a known fingerprint, and checks the rest as always.
#[derive(Debug)]
struct Pinned {
    fingerprints: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let known = |der: &&CertificateDer<'_>| self.fingerprints.contains(&fingerprint(der));
        let ca = intermediates
            .iter()
            .find(known)
            .ok_or(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// SHA-256 of a certificate.
pub(super) fn fingerprint(der: &[u8]) -> [u8; 32] {
    policy::Digest::of(der).0
}
