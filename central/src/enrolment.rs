//! How a gateway gets an identity, and keeps it.
//!
//! ```text
//! administrator ──create_token──▶ token: address, CA fingerprints, secret (only its hash is stored)
//! gateway ──Enrol(secret, CSR)──▶ one transaction: token used, gateway, certificate, audit record
//!         ──Renew(CSR) over the old certificate, or within the window after it──▶ certificate, audit record
//! ```
//! A token for the name of a known gateway enrols it *again*, under the same name: its older certificates are revoked
//! and what was known of its life is forgotten.

pub mod grpc;
pub mod rest;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ids::GatewayId;
use proto::enrolment::{Credentials, EnrolRequest, EnrolResponse, RenewRequest};
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) use store::prune;

use crate::audit::{self, Actor};
use crate::caller::Permit;
use crate::db::{self, Tx};
use crate::error::{Error, Kind};
use crate::gateways::{self, Ended, State};
use crate::pki::{self, ClientCertificate, Pki, Presented, RequestedKey, Standing};

/// Before the payload of a token.
pub const TOKEN_PREFIX: &str = "sgt1.";
/// Shortest and longest life of a token.
const TTL: std::ops::RangeInclusive<Duration> = Duration::seconds(1)..=Duration::days(90);
/// Most labels of a gateway; keys and values are at most 63 characters.
const LABELS: usize = 16;
/// Certificates that one gateway may be issued within an hour.
const RENEWALS_PER_HOUR: i64 = 20;

/// What an administrator asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The name of the gateway; none: the gateway proposes one. That of a known gateway: it enrols again.
    pub name: Option<String>,
    /// Labels that the gateway gets.
    pub labels: BTreeMap<String, String>,
    /// How long the token may be used.
    pub ttl: Duration,
}

/// A token that was just made; its text is not stored and cannot be shown again.
pub struct IssuedToken {
    /// By which it is listed and revoked.
    pub id: Uuid,
    /// The text for the gateway.
    pub text: Zeroizing<String>,
    /// Until when it may be used.
    pub expires_at: OffsetDateTime,
}

/// Makes a token for a gateway that dials `address` (`https://host:port`).
pub async fn create_token(
    db: &PgPool,
    pki: &Pki,
    address: &str,
    permit: &Permit,
    new: &NewToken,
) -> Result<IssuedToken, Error> {
    check(new)?;
    let mut random = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(random.as_mut_slice())
        .map_err(|_| Error::internal("draw a token", anyhow::anyhow!("the system's random source failed")))?;
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
    let text = token_text(pki, address, &secret)?;
    let id = Uuid::now_v7();
    let expires_at = db::transaction!(db, "create-enrolment-token", async |tx| {
        if let Some(name) = &new.name
            && let Some(gateway) = gateways::store::lock_by_name(tx, name).await?
            && matches!(gateway.state, State::Suspended | State::Retired)
        {
            return Err(Error::new(
                Kind::Conflict,
                format!(
                    "The gateway {name:?} is {}; it cannot enrol again. No token was made.",
                    gateway.state.as_str()
                ),
            ));
        }
        let expires_at = store::insert_token(tx, id, &hash(&secret), new, permit.actor().as_str()).await?;
        let detail = serde_json::json!({
            "token": id, "name": new.name, "labels": new.labels, "ttl_seconds": new.ttl.whole_seconds(),
        });
        audit::record(tx, &permit.actor(), "enrolment.token-created", &id.to_string(), &detail).await?;
        Ok(expires_at)
    })
    .await?;
    Ok(IssuedToken { id, text, expires_at })
}

/// Makes a token that was not used yet useless.
pub async fn revoke_token(db: &PgPool, permit: &Permit, id: Uuid) -> Result<(), Error> {
    db::transaction!(db, "revoke-enrolment-token", async |tx| {
        if !store::revoke_token(tx, id).await? {
            return Err(Error::not_found("unused enrolment token", &id.to_string()));
        }
        audit::record(tx, &permit.actor(), "enrolment.token-revoked", &id.to_string(), &serde_json::json!({})).await
    })
    .await
}

/// Gives an identity to the bearer of a token. The token is used exactly when this succeeds.
pub async fn enrol(db: &PgPool, pki: &Pki, request: &EnrolRequest, address: &str) -> Result<EnrolResponse, Error> {
    let key = requested_key(&request.csr_der)?;
    let hash = hash(&request.token);
    db::transaction!(db, "enrol", async |tx| {
        let token = store::lock_token(tx, &hash).await?.ok_or_else(|| {
            refused("token-unknown", "Central does not know this enrolment token. Ask for a new one.")
        })?;
        token.usable()?;
        let name = match token.name.as_deref() {
            Some(name) => name,
            None if request.proposed_name.is_empty() => {
                return Err(Error::new(
                    Kind::Invalid,
                    "Neither the token nor the gateway names the gateway. The token was not used.",
                )
                .code("name-required"));
            }
            None => request.proposed_name.as_str(),
        };
        legal_name(name)?;
        let known = gateways::store::lock_by_name(tx, name).await?;
        let again = known.is_some();
        let gateway = match known {
            Some(_) if token.name.is_none() => {
                return Err(Error::new(
                    Kind::Conflict,
                    format!(
                        "There is a gateway {name:?} already. To enrol it again, use a token for that name. The token \
                         was not used."
                    ),
                )
                .code("name-taken"));
            }
            Some(known) => {
                known.state.admit()?;
                store::revoke_certificates(tx, known.id).await?;
                gateways::store::settle(tx, known.id).await?;
                store::enrolled_again(tx, known.id, &token.labels, &request.version).await?;
                known.id
            }
            None => {
                let id = GatewayId::random();
                store::insert_gateway(tx, id, name, &token.labels, &request.version).await?;
                id
            }
        };
        store::use_token(tx, token.id, gateway).await?;
        let certificate = issue(tx, pki, gateway, &key).await?;
        let detail = serde_json::json!({
            "gateway": gateway, "token": token.id, "token_by": token.created_by, "again": again, "address": address,
            "version": request.version, "serial": hex::encode(&certificate.presented.serial),
        });
        let event = serde_json::json!({ "version": request.version, "address": address, "again": again });
        gateways::events::note(tx, gateway, gateways::events::Kind::Enrolled, &event).await?;
        audit::record(tx, &Actor::gateway(name), "gateway.enrolled", name, &detail).await?;
        gateways::store::notify(tx).await?;
        Ok(EnrolResponse { gateway_id: gateway, name: name.to_owned(), credentials: credentials(pki, &certificate) })
    })
    .await
}

/// Replaces a certificate that is valid or ended within the window, known and not revoked. The old one stays valid
/// until its own end, so that the gateway can try the new one first.
pub async fn renew(
    db: &PgPool,
    pki: &Pki,
    presented: &Presented,
    request: &RenewRequest,
) -> Result<Credentials, Error> {
    let key = requested_key(&request.csr_der)?;
    match presented.standing(OffsetDateTime::now_utc(), pki.window) {
        Standing::Valid | Standing::Renewable => {}
        Standing::NotYetValid => return Err(clock_skew(presented)),
        Standing::Expired => return Err(expired()),
    }
    db::transaction!(db, "renew", async |tx| {
        let bearer = store::lock_bearer(tx, presented).await?.ok_or_else(|| {
            refused("certificate-unknown", "Central does not know this certificate. Enrol with a new token.")
        })?;
        bearer.state.admit()?;
        if bearer.revoked {
            return Err(gateways::refusal(Ended::Revoked));
        }
        if bearer.issued_last_hour >= RENEWALS_PER_HOUR {
            return Err(Error::new(Kind::TooMany, "Too many renewals within an hour. The present certificate stays."));
        }
        let certificate = issue(tx, pki, presented.gateway, &key).await?;
        let detail = serde_json::json!({
            "old_serial": hex::encode(&presented.serial), "serial": hex::encode(&certificate.presented.serial),
            "version": request.version,
        });
        audit::record(tx, &Actor::gateway(&bearer.name), "gateway.renewed", &bearer.name, &detail).await?;
        Ok(credentials(pki, &certificate))
    })
    .await
}

/// The certificate begins in the future, by this replica's clock.
pub(crate) fn clock_skew(presented: &Presented) -> Error {
    let text = |at: OffsetDateTime| at.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
    Error::new(
        Kind::Unconditional,
        format!(
            "The gateway's certificate is valid from {}, and Central's clock says {}. Compare the clocks of both.",
            text(presented.not_before),
            text(OffsetDateTime::now_utc())
        ),
    )
    .code("clock-skew")
}

/// The certificate ended; whether it may be renewed, the gateway knows from its own clock and the answer to Renew.
pub(crate) fn expired() -> Error {
    refused("certificate-expired", "The gateway's certificate expired. Renew it; past the window, enrol again.")
}

fn refused(code: &'static str, text: &'static str) -> Error {
    Error::new(Kind::Unauthenticated, text).code(code)
}

fn requested_key(csr: &[u8]) -> Result<RequestedKey, Error> {
    RequestedKey::from_csr(csr).map_err(|error| Error::new(Kind::Invalid, error.to_string()).code("csr-invalid"))
}

async fn issue(tx: &mut Tx, pki: &Pki, gateway: GatewayId, key: &RequestedKey) -> Result<ClientCertificate, Error> {
    let certificate = pki
        .authorities()
        .issue_client(gateway, key, OffsetDateTime::now_utc(), pki.lifetime)
        .map_err(|error| Error::internal("sign a gateway's certificate", error))?;
    store::insert_certificate(tx, &certificate).await?;
    Ok(certificate)
}

fn credentials(pki: &Pki, certificate: &ClientCertificate) -> Credentials {
    let der = |certificate: &rustls_pki_types::CertificateDer<'_>| bytes::Bytes::copy_from_slice(certificate);
    Credentials {
        chain_der: certificate.chain.iter().map(der).collect(),
        ca_der: pki.authorities().advertised().iter().map(der).collect(),
        not_after_ms: certificate.presented.not_after.unix_timestamp() * 1_000,
    }
}

fn token_text(pki: &Pki, address: &str, secret: &str) -> Result<Zeroizing<String>, Error> {
    #[derive(serde::Serialize)]
    struct Payload<'a> {
        a: &'a str,
        c: Vec<String>,
        s: &'a str,
    }
    let authorities = pki.authorities();
    let c = authorities.advertised().iter().map(|der| hex::encode(pki::fingerprint(der))).collect();
    let json = Zeroizing::new(
        serde_json::to_vec(&Payload { a: address, c, s: secret })
            .map_err(|error| Error::internal("write a token", error))?,
    );
    Ok(Zeroizing::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(json.as_slice()))))
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

fn check(new: &NewToken) -> Result<(), Error> {
    if let Some(name) = &new.name {
        legal_name(name).map_err(|error| error.at("name"))?;
    }
    if !TTL.contains(&new.ttl) {
        return Err(
            Error::new(Kind::Invalid, "A token lives from one second to 90 days; none was made.").at("ttl_seconds")
        );
    }
    legal_labels(&new.labels)
}

/// An error where a gateway cannot have these labels.
pub(crate) fn legal_labels(labels: &BTreeMap<String, String>) -> Result<(), Error> {
    let legal = policy::is_label_text;
    if labels.len() > LABELS || !labels.iter().all(|(key, value)| legal(key) && legal(value)) {
        return Err(Error::new(
            Kind::Invalid,
            "At most 16 labels; keys and values have 1 to 63 of a-z A-Z 0-9 . _ / - and begin with a letter or digit.",
        )
        .at("labels"));
    }
    Ok(())
}

fn legal_name(name: &str) -> Result<(), Error> {
    let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    let legal = (1..=63).contains(&bytes.len())
        && bytes.iter().all(|&byte| edge(byte) || matches!(byte, b'.' | b'-'))
        && bytes.first().is_some_and(|&byte| edge(byte))
        && bytes.last().is_some_and(|&byte| edge(byte));
    if legal {
        return Ok(());
    }
    Err(Error::new(
        Kind::Invalid,
        "A gateway's name has 1 to 63 of a-z 0-9 . - and begins and ends with a letter or digit. Nothing was changed.",
    )
    .code("name-invalid"))
}

impl store::LockedToken {
    /// An error where the token may not be used, or not any more.
    fn usable(&self) -> Result<(), Error> {
        if self.used {
            return Err(refused("token-used", "This enrolment token was used before. Ask for a new one."));
        }
        if self.expired || self.revoked {
            return Err(refused("token-expired", "This enrolment token is no longer valid. Ask for a new one."));
        }
        Ok(())
    }
}
