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
/// Longest first pause between two attempts to renew one certificate; doubled at most by jitter,
const FIRST_PAUSE: Duration = Duration::from_mins(1);
/// and by each attempt that came to nothing, up to this.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);
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
    let mut attempts = Attempts::default();
    let mut changes = shared.line.changes();
    let mut spent: Option<[u8; 32]> = shared.line.identity().map(|identity| identity.token_digest);
    // Central takes neither the identity in use nor, perhaps, one that was renewed: only a new token helps for sure.
    let mut refused = false;
    loop {
        changes.mark_unchanged();
        if let Some(identity) = shared.line.identity() {
            tokio::select! {
                () = renewal_due(&identity, &attempts) => {
                    attempts.count(&identity);
                    refused |= !renew(shared, &identity).await;
                }
                // A renewed one is in use, or gave way to the one before.
                _ = changes.changed() => refused = false,
                () = shared.identity_refused.notified() => refused = true,
                () = tokio::time::sleep(LOOK), if refused => {}
            }
            if !refused {
                continue;
            }
        }
        let Some(text) = configured_token(shared.options()) else {
            pause(shared).await;
            continue;
        };
        let token = match Token::parse(&text) {
            Ok(token) => token,
            Err(error) => {
                shared.trouble("token-invalid", &error.to_string());
                pause(shared).await;
                continue;
            }
        };
        let digest = token_digest(&token);
        if spent == Some(digest) {
            pause(shared).await;
            continue;
        }
        match enrol(shared, &token).await {
            Ok(()) => {
                spent = Some(digest);
                refused = false;
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

/// Waits for the next look at the token. With an identity, the loop itself waits, and renews meanwhile.
async fn pause(shared: &Shared) {
    if shared.line.identity().is_none() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Attempts to renew one certificate that came to nothing yet.
#[derive(Default)]
struct Attempts {
    /// Of which certificate: when it was obtained and ends.
    of: Option<(i64, i64)>,
    last: Option<Instant>,
    count: u32,
}

impl Attempts {
    fn count(&mut self, identity: &Identity) {
        let of = Some((identity.issued_ms, identity.not_after_ms));
        self.count = if self.of == of { self.count.saturating_add(1) } else { 1 };
        self.of = of;
        self.last = Some(Instant::now());
    }

    /// No attempt before this.
    fn not_before(&self, identity: &Identity) -> Option<Instant> {
        if self.of != Some((identity.issued_ms, identity.not_after_ms)) {
            return None;
        }
        let pause = Duration::from_millis(u64::try_from(life_ms(identity) / 20).unwrap_or(0)).min(FIRST_PAUSE);
        let pause = pause.saturating_mul(1 << self.count.saturating_sub(1).min(20)).min(LONGEST_PAUSE);
        self.last.map(|last| last + pause.mul_f64(1.0 + random()))
    }
}

fn life_ms(identity: &Identity) -> i64 {
    identity.not_after_ms.saturating_sub(identity.issued_ms).max(0)
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

/// Waits until the certificate is to be renewed; after an attempt, at least a pause that suits its life and grows.
async fn renewal_due(identity: &Identity, attempts: &Attempts) {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a part of some days")]
    let due_ms = identity.issued_ms + (life_ms(identity) as f64 * (HALF + 0.1 * random())) as i64;
    if let Some(at) = attempts.not_before(identity) {
        tokio::time::sleep_until(at).await;
    }
    loop {
        let left = u64::try_from(due_ms - now_ms()).unwrap_or(0);
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(left).min(LONGEST_WAIT)).await;
    }
}

/// Renews once. Returns whether Central may still renew this identity; where not, a new token is needed.
async fn renew(shared: &Shared, identity: &Identity) -> bool {
    let renewed = async {
        let (key_der, csr_der) = key_and_csr()?;
        let channel = shared.line.channel().await;
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
            true
        }
        Err(error) => {
            let code = match &error {
                EnrolError::Central { code, .. } => code.as_str(),
                _ => "local",
            };
            shared.renewal_trouble(code, &format!("The certificate cannot be renewed: {error}"));
            let refused = code == "certificate-expired" || Failure::new(code, "").is_identity_refused();
            !refused
        }
    }
}

/// The identity on the line has served: an older one is not needed any more.
pub(super) fn served(shared: &Shared, identity: &Identity) {
    if let Err(error) = identity::keep(&shared.folder, identity, &shared.sealing) {
        shared.trouble("local", &error.to_string());
    }
    if identity.not_after_ms > now_ms() + life_ms(identity) / 2 {
        shared.noted().renewal_error = None;
    }
}

/// Central does not take this identity. One that was renewed and never served gives way to the one before.
/// Returns whether another one is to be tried now.
pub(super) fn refused(shared: &Shared, identity: &Identity) -> bool {
    if shared.line.identity().is_some_and(|in_use| in_use.chain_der != identity.chain_der) {
        // The word is about one that is not in use any more.
        return true;
    }
    match identity::load(&shared.folder, &shared.sealing) {
        Ok((Some(current), Some(_))) => {
            if let Err(error) = identity::drop_next(&shared.folder) {
                shared.trouble("local", &error.to_string());
            }
            let expired = current.not_after_ms <= now_ms();
            let after = if expired {
                "and the one before has expired. Requests are served by the last policy set. Give the gateway a new \
                 enrolment token; renewal is tried on."
            } else {
                "the one before is used again, and renewal is tried on."
            };
            shared
                .renewal_trouble("renewed-refused", &format!("Central does not take the renewed certificate; {after}"));
            use_identity(shared, with_address(current, shared.options()));
            if expired {
                shared.identity_refused.notify_one();
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(issued_ms: i64) -> Identity {
        Identity {
            gateway_id: GatewayId(uuid::Uuid::nil()),
            name: "one".to_owned(),
            address: "https://127.0.0.1:9101".parse().unwrap(),
            key_der: Zeroizing::new(Vec::new()),
            chain_der: Vec::new(),
            ca_der: Vec::new(),
            issued_ms,
            // A week.
            not_after_ms: issued_ms + 7 * 86_400_000,
            token_digest: [0; 32],
        }
    }

    #[test]
    fn attempts_to_renew_one_certificate_come_ever_more_rarely_and_begin_anew_with_the_next() {
        let (one, next) = (identity(1), identity(2));
        let mut attempts = Attempts::default();
        assert_eq!(attempts.not_before(&one), None, "the first is made when it is due");
        let mut bound = FIRST_PAUSE;
        for attempt in 0..10 {
            attempts.count(&one);
            let pause = attempts.not_before(&one).unwrap() - attempts.last.unwrap();
            assert!(pause >= bound && pause <= 2 * bound, "attempt {attempt}: {pause:?}");
            bound = (2 * bound).min(LONGEST_PAUSE);
        }
        assert_eq!(attempts.not_before(&next), None);
        attempts.count(&next);
        assert!(attempts.not_before(&next).unwrap() - attempts.last.unwrap() <= 2 * FIRST_PAUSE);
    }
}
