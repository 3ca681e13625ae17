//! Accounts, log-ins, API tokens: who may use Central.
//!
//! ```text
//! name, password ──log_in──▶ session (cookie)  ┐
//!                                              ├──authenticate──▶ Caller
//! create_token ──▶ API token (bearer)          ┘
//! ```
//! Secrets have 256 random bits and are stored as their SHA-256; passwords as argon2id. Failed log-ins are counted
//! before the password is looked at, so that attempts in parallel cannot exceed the bound.

use std::time::Duration;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::audit::{self, Actor, Denials};
use crate::caller::{Caller, Permit, Role, Via};
use crate::config;
use crate::db;
use crate::error::{Error, Issue, Kind};

pub mod password;
pub mod rest;
mod store;

pub use store::{Account, Token};

/// How an API token begins, so that scanners recognise one that leaked.
pub const TOKEN_PREFIX: &str = "sgc_";

/// Name of the account that the first start makes.
pub const FIRST: &str = "admin";

/// Name of the token that the configuration gives.
const CONFIGURED: &str = "configured";

/// Longest life of an API token.
const MOST_TTL: Duration = Duration::from_hours(24 * 366);

/// Accounts, and tokens, that are listed, at most.
const LISTED: i64 = 10_000;

/// The SHA-256 of a secret.
type Hashed = [u8; 32];

/// A fresh secret of 256 bits as text.
fn secret(prefix: &str) -> Result<Zeroizing<String>, Error> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::fill(&mut *bytes).map_err(|_| Error::internal("randomness", anyhow::anyhow!("the system gives none")))?;
    Ok(Zeroizing::new(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(*bytes))))
}

fn hashed(secret: &str) -> Hashed {
    Sha256::digest(secret.as_bytes()).into()
}

/// A log-in that succeeded.
pub struct LoggedIn {
    /// Who it is.
    pub caller: Caller,
    /// The cookie's value.
    pub secret: Zeroizing<String>,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// Checks name and password and begins a session.
///
/// A wrong name, a wrong password, a disabled and a locked account get the same answer after the same work.
pub async fn log_in(
    db: &PgPool,
    settings: &config::Sessions,
    denials: &Denials,
    name: &str,
    password: Zeroizing<String>,
) -> Result<LoggedIn, Error> {
    let attempt = store::begin_attempt(db, name, settings).await?;
    let (account, phc) = attempt.map_or((None, None), |(account, phc)| (Some(account), Some(phc)));
    let right = password::verify(password, phc).await?;
    let Some(account) = account.filter(|_| right) else {
        // What nobody is called may be a password in the wrong field, and the log keeps it for ever.
        let known = store::exists(db, name).await?;
        let who = if known { format!("log-in:{name}") } else { "log-in:unknown".to_owned() };
        denials.count(&who, "POST /api/v1/session", "log-in-refused");
        return Err(Error::new(
            Kind::Unauthenticated,
            "The name or the password is wrong, or the account is locked for a while after too many attempts.",
        )
        .code("log-in-refused"));
    };
    let secret = secret("")?;
    let token_hash = hashed(&secret);
    let actor = Actor::operator(&account.name);
    let expires_at = db::transaction!(db, "log-in", async |tx| {
        let expires_at = store::begin_session(tx, account.id, &token_hash, settings.lifetime).await?;
        audit::record(tx, &actor, "session.begun", &account.name, &serde_json::json!({})).await?;
        Ok(expires_at)
    })
    .await?;
    let via = Via::Session { operator: account.id, token_hash, expires_at };
    let caller = Caller { name: account.name, role: account.role, via };
    Ok(LoggedIn { caller, secret, expires_at })
}

/// Ends the caller's session. A token has none to end.
pub async fn log_out(db: &PgPool, permit: &Permit) -> Result<(), Error> {
    let Via::Session { token_hash, .. } = permit.caller().via else { return Ok(()) };
    db::transaction!(db, "log-out", async |tx| {
        store::end_session(tx, &token_hash).await?;
        audit::record(tx, &permit.actor(), "session.ended", &permit.caller().name, &serde_json::json!({})).await
    })
    .await
}

/// Who holds this cookie; `None` for a session that never was, ended, expired or idled, or whose account is disabled.
pub async fn by_session(db: &PgPool, cookie: &str, idle: Duration) -> Result<Option<Caller>, Error> {
    store::session(db, hashed(cookie), idle).await
}

/// Who holds this token; `None` for one that never was, was revoked or expired.
pub async fn by_token(db: &PgPool, token: &str) -> Result<Option<Caller>, Error> {
    store::token(db, &hashed(token)).await
}

#[derive(Serialize)]
struct AccountDetail<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<bool>,
    /// Whether it was set; never what it is.
    password: bool,
    name: &'a str,
}

/// Makes an account.
pub async fn create(
    db: &PgPool,
    permit: &Permit,
    name: &str,
    role: Role,
    password: Zeroizing<String>,
) -> Result<Account, Error> {
    password::acceptable(&password)
        .map_err(|why| Error::new(Kind::Invalid, format!("No account was made: {why}.")).at("password"))?;
    let phc = password::hash(password).await?;
    db::transaction!(db, "create-operator", async |tx| {
        let account = store::create(tx, name, role, &phc).await?;
        let detail = AccountDetail { role: Some(role), disabled: None, password: true, name };
        audit::record(tx, &permit.actor(), "operator.created", name, &detail).await?;
        Ok(account)
    })
    .await
}

/// What is to be another at an account.
pub struct Changes {
    /// Another role.
    pub role: Option<Role>,
    /// Another password; ends its sessions.
    pub password: Option<Zeroizing<String>>,
    /// Whether it is disabled; disabling ends its sessions.
    pub disabled: Option<bool>,
}

/// Changes an account. The last administrator stays one.
pub async fn change(db: &PgPool, permit: &Permit, name: &str, changes: Changes) -> Result<Account, Error> {
    let phc = match changes.password {
        Some(password) => {
            password::acceptable(&password)
                .map_err(|why| Error::new(Kind::Invalid, format!("Nothing was changed: {why}.")).at("password"))?;
            Some(password::hash(password).await?)
        }
        None => None,
    };
    db::transaction!(db, "change-operator", async |tx| {
        let account = store::change(tx, name, changes.role, changes.disabled, phc.as_deref()).await?;
        if store::administrators(tx).await? == 0 {
            return Err(Error::new(
                Kind::Conflict,
                "Nothing was changed: no administrator would be left. Make another one first.",
            )
            .code("last-administrator"));
        }
        let detail = AccountDetail { role: changes.role, disabled: changes.disabled, password: phc.is_some(), name };
        audit::record(tx, &permit.actor(), "operator.changed", name, &detail).await?;
        Ok(account)
    })
    .await
}

/// Gives the caller's own account another password; its other sessions end. Wrong tries count as failed log-ins, so that
/// a session left open is no way to find the password out.
pub async fn change_own_password(
    db: &PgPool,
    settings: &config::Sessions,
    denials: &Denials,
    permit: &Permit,
    current: Zeroizing<String>,
    new: Zeroizing<String>,
) -> Result<(), Error> {
    let caller = permit.caller();
    let Via::Session { operator, token_hash, .. } = caller.via else {
        return Err(
            Error::new(Kind::Forbidden, "A token has no password. Log in, then change yours.").code("session-needed")
        );
    };
    password::acceptable(&new).map_err(|why| {
        let issue = Issue {
            line: 0,
            column: 0,
            path: "new".to_owned(),
            code: "unacceptable-password".to_owned(),
            message: why.to_owned(),
        };
        Error::new(Kind::Rejected, format!("Nothing was changed: {why}.")).issues(vec![issue])
    })?;
    let attempt = store::begin_attempt(db, &caller.name, settings).await?;
    let right = password::verify(current, attempt.map(|(_, phc)| phc)).await?;
    if !right {
        denials.count(caller.actor().as_str(), "POST /api/v1/session/password", "password-refused");
        return Err(Error::new(
            Kind::Forbidden,
            "Nothing was changed: the current password is wrong, or the account is locked for a while after too many \
             attempts.",
        )
        .code("password-refused")
        .at("current"));
    }
    let phc = password::hash(new).await?;
    db::transaction!(db, "change-own-password", async |tx| {
        store::set_password(tx, operator, &phc, &token_hash).await?;
        let detail = serde_json::json!({ "own": true });
        audit::record(tx, &caller.actor(), "operator.password-changed", &caller.name, &detail).await
    })
    .await
}

/// Does the caller still hold what they proved, with the same role? The use is not noted: who only listens is idle.
pub async fn holds(db: &PgPool, caller: &Caller, idle: Duration) -> Result<bool, Error> {
    match &caller.via {
        Via::Session { token_hash, .. } => store::session_holds(db, token_hash, caller.role, idle).await,
        Via::Token { id } => store::token_holds(db, *id, caller.role).await,
    }
}

/// The accounts, by name, and whether there are more than are listed.
pub async fn list(db: &PgPool) -> Result<(Vec<Account>, bool), Error> {
    Ok(db::at_most(store::list(db, LISTED + 1).await?, LISTED))
}

/// Makes an API token; its text is told this once.
pub async fn create_token(
    db: &PgPool,
    permit: &Permit,
    name: &str,
    role: Role,
    ttl: Option<Duration>,
) -> Result<(Token, Zeroizing<String>), Error> {
    let ttl = ttl.unwrap_or(MOST_TTL / 4);
    if ttl.is_zero() || ttl > MOST_TTL {
        return Err(
            Error::new(Kind::Invalid, "No token was made: it lives from one second to 366 days.").at("ttl_seconds")
        );
    }
    let secret = secret(TOKEN_PREFIX)?;
    let token = db::transaction!(db, "create-token", async |tx| {
        let token = store::create_token(tx, name, role, &hashed(&secret), permit.actor().as_str(), ttl).await?;
        let detail = serde_json::json!({ "id": token.id, "role": role, "ttl_seconds": ttl.as_secs() });
        audit::record(tx, &permit.actor(), "token.created", name, &detail).await?;
        Ok(token)
    })
    .await?;
    Ok((token, secret))
}

/// The tokens that are not revoked, by name, and whether there are more than are listed.
pub async fn tokens(db: &PgPool) -> Result<(Vec<Token>, bool), Error> {
    Ok(db::at_most(store::tokens(db, LISTED + 1).await?, LISTED))
}

/// Revokes a token at once. Its name may be given again.
pub async fn revoke_token(db: &PgPool, permit: &Permit, name: &str) -> Result<(), Error> {
    db::transaction!(db, "revoke-token", async |tx| {
        let id: Uuid = store::revoke_token(tx, name).await?;
        audit::record(tx, &permit.actor(), "token.revoked", name, &serde_json::json!({ "id": id })).await
    })
    .await
}

/// At the first start: makes the account `admin`. The answer is the random password, where none was configured.
pub async fn begin(db: &PgPool, configured: &config::Admin) -> Result<Option<Zeroizing<String>>, Error> {
    if store::any(db).await? {
        return Ok(None);
    }
    let (password, shown) = if let Some(password) = &configured.password {
        (password.clone(), None)
    } else {
        let random = secret("")?;
        (random.clone(), Some(random))
    };
    let phc = password::hash(password).await?;
    let made = db::transaction!(db, "first-operator", async |tx| {
        // A replica that starts at the same time may have been first.
        if !store::create_first(tx, FIRST, &phc).await? {
            return Ok(false);
        }
        let detail = AccountDetail { role: Some(Role::Admin), disabled: None, password: true, name: FIRST };
        audit::record(tx, &Actor::system(), "operator.created", FIRST, &detail).await?;
        Ok(true)
    })
    .await?;
    Ok(shown.filter(|_| made))
}

/// Makes the token of the configuration hold: role admin, without expiry.
pub async fn hold_configured_token(db: &PgPool, text: &str) -> Result<(), Error> {
    let body = text.strip_prefix(TOKEN_PREFIX).and_then(|body| URL_SAFE_NO_PAD.decode(body).ok());
    if body.is_none_or(|body| body.len() != 32) {
        return Err(Error::new(
            Kind::Invalid,
            "admin.token_file: it must hold sgc_ and 43 characters of base64url, which are 32 random bytes.",
        ));
    }
    let hash = hashed(text);
    db::transaction!(db, "configured-token", async |tx| {
        if store::hold_token(tx, CONFIGURED, &hash).await? {
            let detail = serde_json::json!({ "role": Role::Admin });
            audit::record(tx, &Actor::system(), "token.configured", CONFIGURED, &detail).await?;
        }
        Ok(())
    })
    .await
}

/// Removes sessions that are over. Nothing depends on it but the size of the table.
pub async fn sweep(db: &PgPool) -> Result<(), Error> {
    store::sweep(db).await
}

#[cfg(test)]
mod tests;
