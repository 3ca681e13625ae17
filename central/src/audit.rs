//! The record of what was done: appended in the transaction of the change, chained by hash, never changed.
//!
//! ```text
//! use case ──record(tx, actor, action, subject, detail)──▶ audit row n: hash = SHA-256(line n without its hash)
//!                                                            └── holds the hash of row n-1
//! refused attempts ──Denials (counted, bounded)──every minute──▶ one checkpoint row
//! ```
//!
//! # The hash
//! A record is exported as one line of JSON whose members are in this order, without spaces:
//! `{"sequence":1,"at":"2026-01-02T03:04:05.000006Z","actor":"operator:admin","action":"policy.changed",`
//! `"subject":"payroll","detail":{…},"previous_hash":"<64 hex>","hash":"<64 hex>"}`.
//! `hash` is the SHA-256 of that line with `,"hash":"<64 hex>"` taken out, in UTF-8, without the line feed.
//! The first record has sequence 1 and a previous hash of 64 zeros; each later one continues the sequence by one and
//! names the hash of the one before. So a changed, removed, added or moved record is found with the file alone; that
//! the end was cut off is found against a later export or the `hash` of a checkpoint kept elsewhere.

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::db::{self, Tx};
use crate::error::Error;

mod denials;
pub mod rest;
mod store;

pub use denials::Denials;
pub use store::{Filter, export_page, head};

/// Who did it: `operator:NAME`, `token:NAME`, `gateway:NAME` or `system`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor(String);

impl Actor {
    /// A person with a session.
    pub fn operator(name: &str) -> Self {
        Self(format!("operator:{name}"))
    }

    /// An API token.
    pub fn token(name: &str) -> Self {
        Self(format!("token:{name}"))
    }

    /// A gateway, by the name in its certificate.
    pub fn gateway(name: &str) -> Self {
        Self(format!("gateway:{name}"))
    }

    /// Central itself.
    pub fn system() -> Self {
        Self("system".to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// From 1, gapless.
    pub sequence: u64,
    /// The database's clock, in microseconds.
    pub at: OffsetDateTime,
    /// Who.
    pub actor: String,
    /// What, as `noun.participle`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// A JSON object, as the text that was hashed.
    pub detail: String,
    /// Hash of the record before.
    pub previous_hash: [u8; 32],
    /// Hash of this one.
    pub hash: [u8; 32],
}

impl Record {
    /// What [`Record::hash`] must be.
    pub fn computed_hash(&self) -> Result<[u8; 32], Error> {
        Ok(Sha256::digest(self.line(false)?.as_bytes()).into())
    }

    /// The line of the export, without the line feed.
    pub fn export_line(&self) -> Result<String, Error> {
        self.line(true)
    }

    fn line(&self, with_hash: bool) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            sequence: u64,
            at: &'a str,
            actor: &'a str,
            action: &'a str,
            subject: &'a str,
            detail: &'a RawValue,
            previous_hash: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            hash: Option<&'a str>,
        }
        let detail: &RawValue =
            serde_json::from_str(&self.detail).map_err(|error| Error::corrupt("audit", "detail", error))?;
        let hash = with_hash.then(|| hex::encode(self.hash));
        serde_json::to_string(&Line {
            sequence: self.sequence,
            at: &timestamp(self.at),
            actor: &self.actor,
            action: &self.action,
            subject: &self.subject,
            detail,
            previous_hash: &hex::encode(self.previous_hash),
            hash: hash.as_deref(),
        })
        .map_err(|error| Error::internal("an audit record cannot be written as JSON", error))
    }
}

/// Appends a record within the transaction of the change.
///
/// Call it last: it holds the end of the chain until the transaction ends. `action` is `noun.participle`
/// (`policy.changed`, `gateway.suspended`); `detail` becomes a JSON object and must hold no secret.
pub async fn record(
    tx: &mut Tx,
    actor: &Actor,
    action: &'static str,
    subject: &str,
    detail: &impl Serialize,
) -> Result<(), Error> {
    let detail = serde_json::to_string(detail)
        .map_err(|error| Error::internal("the detail of an audit record is not JSON", error))?;
    let end = sqlx::query!(r#"select sequence, hash, clock_timestamp() as "at!" from audit_head for update"#)
        .fetch_one(&mut **tx)
        .await
        .map_err(|error| Error::database("lock the end of the audit", error))?;
    let mut new = Record {
        sequence: db::unsigned("audit_head", "sequence", end.sequence)? + 1,
        at: microseconds(end.at),
        actor: actor.0.clone(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail,
        previous_hash: end
            .hash
            .try_into()
            .map_err(|_| Error::corrupt("audit_head", "hash", anyhow::anyhow!("it has not the length of a SHA-256")))?,
        hash: [0; 32],
    };
    new.hash = new.computed_hash()?;
    store::append(tx, &new).await
}

/// RFC 3339 in UTC with six digits of the second.
fn timestamp(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.microsecond()
    )
}

fn microseconds(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(at.microsecond() * 1_000).expect("microseconds of a second are below 10^9 nanoseconds")
}

#[cfg(test)]
mod tests;
