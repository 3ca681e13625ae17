//! The identity: enrolment by token, renewal at half-life. The private key is made here and never leaves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ids::GatewayId;
use proto::enrolment::{Credentials, EnrolRequest, EnrolResponse, RenewRequest};
use proto::wire;
use proto::wire::enrolment_client::EnrolmentClient;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::backoff::{Backoff, random};
use super::identity::{self, Identity, IdentityError};
use super::line::{self, Failure};
use super::token::{self, Token, TokenError};
use super::{Shared, UplinkOptions, identity_folder};
use crate::sealing::SealingKey;
use crate::state::now_ms;

/// Time for one call.
const CALL: Duration = Duration::from_secs(30);
/// How often a token file that is not there is looked for.
const LOOK: Duration = Duration::from_secs(2);
/// A certificate is renewed between this part of its life and a tenth later.
const HALF: f64 = 0.5;
/// Longest pause between two attempts to renew, doubled at most by jitter.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Longest wait in one piece, so that a clock that is set is noticed.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// Who the gateway is after its enrolment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Its ID.
    pub gateway_id: GatewayId,
    /// The name that Central gave.
    pub name: String,
    /// When the first certificate expires, Unix milliseconds.
    pub certificate_until_ms: i64,
}

/// The enrolment failed; what was there before still is.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The token is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// Central said no, or could not be reached.
    #[error("{message} ({code})")]
    Central {
        /// Its code, or `unreachable`, `tls`, `protocol`, `timeout`.
        code: String,
        /// For a person.
        message: String,
    },
    /// The identity cannot be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The key pair cannot be made.
    #[error("the key pair for Central cannot be made: {0}")]
    Key(String),
}

impl From<Failure> for EnrolError {
    fn from(failure: Failure) -> Self {
        Self::Central { code: failure.code, message: failure.message }
    }
}

/// Enrols once, for the command line: exchanges the token and keeps the identity below `state_dir`. The gateway must not
/// run meanwhile.
pub async fn enrol_now(
    options: &UplinkOptions,
    state_dir: &Path,
    token: &str,
    sealing: &SealingKey,
) -> Result<Enrolled, EnrolError> {
    let token = Token::parse(token)?;
    let identity = exchange(options, &token).await?;
    identity::keep(&identity_folder(state_dir), &identity, sealing)?;
    Ok(Enrolled { gateway_id: identity.gateway_id, name: identity.name, certificate_until_ms: identity.not_after_ms })
}

/// Keeps the line under a valid identity until `stop`.
pub(super) async fn run(shared: &Shared, stop: CancellationToken) {
    tokio::select! {
        () = keep_identity(shared) => {}
        () = stop.cancelled() => {}
    }
}

async fn keep_identity(shared: &Shared) {
    loop {
        match identity::load(&shared.folder, &shared.sealing) {
            Ok((current, next)) => {
                if let Some(next) = next {
                    // The process ended before the renewed one was tried.
                    use_identity(shared, with_address(next, shared.options()));
                } else if let Some(current) = current {
                    use_identity(shared, with_address(current, shared.options()));
                }
                break;
            }
            Err(error) => {
                // Waiting, not enrolling anew: the sealing key may be the wrong one, and the identity is worth keeping.
                shared.trouble("local", &error.to_string());
                tokio::time::sleep(LOOK).await;
            }
        }
    }
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    let mut renewed_at: Option<Instant> = None;
    let mut changes = shared.line.changes();
    let mut spent: Option<[u8; 32]> = shared.line.identity().map(|identity| identity.token_digest);
    loop {
        changes.mark_unchanged();
        let wanted = match shared.line.identity() {
            None => true,
            Some(identity) => {
                tokio::select! {
                    () = renewal_due(&identity, renewed_at) => {
                        renewed_at = Some(Instant::now());
                        renew(shared, &identity).await;
                        false
                    }
                    // A renewed one is in use, or gave way to the one before.
                    _ = changes.changed() => false,
                    () = shared.identity_refused.notified() => true,
                }
            }
        };
        if !wanted {
            continue;
        }
        let Some(text) = configured_token(shared.options()) else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let token = match Token::parse(&text) {
            Ok(token) => token,
            Err(error) => {
                shared.trouble("token-invalid", &error.to_string());
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        let digest = token_digest(&token);
        if spent == Some(digest) {
            tokio::time::sleep(LOOK).await;
            continue;
        }
        match enrol(shared, &token).await {
            Ok(()) => {
                spent = Some(digest);
                backoff.reset();
            }
            Err(EnrolError::Central { code, message }) => {
                if Failure::new(&code, "").is_final_for_token() {
                    spent = Some(digest);
                }
                shared.trouble(&code, &message);
                tokio::time::sleep(backoff.next(None)).await;
            }
            Err(error) => {
                shared.trouble("local", &error.to_string());
                tokio::time::sleep(backoff.next(None)).await;
            }
        }
    }
}

fn with_address(mut identity: Identity, options: &UplinkOptions) -> Identity {
    if let Some(address) = &options.address {
        identity.address = address.clone();
    }
    identity
}

fn use_identity(shared: &Shared, identity: Identity) {
    if let Err(failure) = shared.line.set(Arc::new(identity)) {
        shared.trouble(&failure.code, &failure.message);
    }
}

/// The token of the configuration; a file is read each time, since it may appear later.
fn configured_token(options: &UplinkOptions) -> Option<Zeroizing<String>> {
    if let Some(token) = &options.token {
        return Some(Zeroizing::new(token.expose().to_owned()));
    }
    let text = std::fs::read_to_string(options.token_file.as_ref()?).ok()?;
    Some(Zeroizing::new(text)).filter(|text| !text.trim().is_empty())
}

fn token_digest(token: &Token) -> [u8; 32] {
    line::fingerprint(token.secret.as_bytes())
}

async fn enrol(shared: &Shared, token: &Token) -> Result<(), EnrolError> {
    let identity = exchange(shared.options(), token).await?;
    // On the disk before it is used: the token is spent.
    identity::keep(&shared.folder, &identity, &shared.sealing)?;
    tracing::info!(name = identity.name, gateway_id = %identity.gateway_id, "enrolled at Central");
    shared.noted().name = Some(identity.name.clone());
    use_identity(shared, identity);
    Ok(())
}

async fn exchange(options: &UplinkOptions, token: &Token) -> Result<Identity, EnrolError> {
    let address = options.address.clone().unwrap_or_else(|| token.address.clone());
    if token::address(address.as_str()).is_none() {
        return Err(EnrolError::Key(format!("{address} is no https address")));
    }
    let (key_der, csr_der) = key_and_csr()?;
    let channel = line::enrolment_channel(&address, token.fingerprints.clone())?;
    let request = EnrolRequest {
        token: token.secret.to_string(),
        csr_der,
        proposed_name: options.name.clone().unwrap_or_default(),
        version: options.version.clone(),
    };
    let mut client = EnrolmentClient::new(channel);
    let call = client.enrol(wire::EnrolRequest::from(request));
    let response = within(call).await?;
    let response = EnrolResponse::try_from(response).map_err(|error| Failure::new("protocol", error.to_string()))?;
    Ok(Identity {
        gateway_id: response.gateway_id,
        name: response.name,
        address,
        key_der,
        chain_der: response.credentials.chain_der.iter().map(|der| der.to_vec()).collect(),
        ca_der: response.credentials.ca_der.iter().map(|der| der.to_vec()).collect(),
        issued_ms: now_ms(),
        not_after_ms: response.credentials.not_after_ms,
        token_digest: token_digest(token),
    })
}

/// A fresh key pair, and a request for a certificate. Central decides what the certificate says.
fn key_and_csr() -> Result<(Zeroizing<Vec<u8>>, Bytes), EnrolError> {
    let failed = |error: rcgen::Error| EnrolError::Key(error.to_string());
    let key = KeyPair::generate().map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let csr = params.serialize_request(&key).map_err(failed)?;
    Ok((Zeroizing::new(key.serialize_der()), Bytes::copy_from_slice(csr.der())))
}

async fn within<T>(call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>) -> Result<T, Failure> {
    match tokio::time::timeout(CALL, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(status.into()),
        Err(_) => Err(Failure::new("timeout", format!("Central did not answer within {} s", CALL.as_secs()))),
    }
}

/// Waits until the certificate is to be renewed; after an attempt, at least a pause that suits its life.
async fn renewal_due(identity: &Identity, attempted: Option<Instant>) {
    let life = identity.not_after_ms.saturating_sub(identity.issued_ms).max(0);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a part of some days")]
    let due_ms = identity.issued_ms + (life as f64 * (HALF + 0.1 * random())) as i64;
    if let Some(attempted) = attempted {
        let pause = Duration::from_millis(u64::try_from(life / 20).unwrap_or(0)).min(LONGEST_PAUSE);
        tokio::time::sleep_until(attempted + pause.mul_f64(1.0 + random())).await;
    }
    loop {
        let left = u64::try_from(due_ms - now_ms()).unwrap_or(0);
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(left).min(LONGEST_WAIT)).await;
    }
}

/// Renews once.
async fn renew(shared: &Shared, identity: &Identity) {
    let renewed = async {
        let (key_der, csr_der) = key_and_csr()?;
        let (_, channel) = shared.line.channel().await;
        let mut client = EnrolmentClient::new(channel);
        let request = RenewRequest { csr_der, version: shared.options().version.clone() };
        let response = within(client.renew(wire::RenewRequest::from(request))).await?;
        let credentials =
            Credentials::try_from(response).map_err(|error| Failure::new("protocol", error.to_string()))?;
        let next = identity.renewed(key_der, &credentials, now_ms());
        identity::keep_next(&shared.folder, &next, &shared.sealing)?;
        Ok::<_, EnrolError>(next)
    };
    match renewed.await {
        Ok(next) => {
            tracing::info!(until_ms = next.not_after_ms, "the certificate for Central is renewed");
            use_identity(shared, next);
        }
        Err(error) => tracing::warn!(%error, "the certificate for Central cannot be renewed; it is tried again"),
    }
}

/// The identity on the line has served: an older one is not needed any more.
pub(super) fn served(shared: &Shared, identity: &Identity) {
    if let Err(error) = identity::keep(&shared.folder, identity, &shared.sealing) {
        shared.trouble("local", &error.to_string());
    }
}

/// Central does not take the identity on the line. One that was renewed and never served gives way to the one before.
/// Returns whether there was such a one.
pub(super) fn refused(shared: &Shared) -> bool {
    match identity::load(&shared.folder, &shared.sealing) {
        Ok((Some(current), Some(_))) => {
            tracing::warn!("Central does not take the renewed certificate; the one before is used again");
            if let Err(error) = identity::drop_next(&shared.folder) {
                shared.trouble("local", &error.to_string());
            }
            use_identity(shared, with_address(current, shared.options()));
            true
        }
        Ok(_) => {
            shared.identity_refused.notify_one();
            false
        }
        Err(error) => {
            shared.trouble("local", &error.to_string());
            false
        }
    }
}
