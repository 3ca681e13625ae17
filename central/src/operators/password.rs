//! Passwords: argon2id, off the async threads, few at a time.

use std::sync::LazyLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::error::{Error, Kind};

/// Shortest password, in characters.
pub const LEAST: usize = 12;
/// Longest password, in bytes: what is hashed is bounded.
pub const MOST: usize = 256;

/// Memory of one hash in KiB, passes, lanes: the first recommendation of OWASP's password storage cheat sheet for
/// argon2id with 19 MiB.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// Hashes at one time: 4 × 19 MiB at most, whatever strangers send.
static TURNS: Semaphore = Semaphore::const_new(4);

/// Compared against where there is no account, so that an unknown name takes as long as a wrong password.
static NOBODY: LazyLock<String> =
    LazyLock::new(|| hash_now("nobody has this password").expect("a constant password can be hashed"));

/// Says what is wrong with a new password.
pub fn acceptable(password: &str) -> Result<(), &'static str> {
    if password.chars().count() < LEAST || password.len() > MOST {
        return Err("a password has 12 characters or more, and at most 256 bytes");
    }
    if password.chars().any(char::is_control) {
        return Err("a password has no control characters");
    }
    Ok(())
}

/// The PHC string of a password.
pub async fn hash(password: Zeroizing<String>) -> Result<String, Error> {
    in_turn(move || hash_now(&password)).await
}

/// Whether the password is the one that was hashed; `None` takes as long and is never so.
pub async fn verify(password: Zeroizing<String>, phc: Option<String>) -> Result<bool, Error> {
    if password.len() > MOST {
        return Ok(false);
    }
    in_turn(move || {
        let known = phc.is_some();
        let phc = phc.unwrap_or_else(|| NOBODY.clone());
        let parsed = PasswordHash::new(&phc).map_err(|error| {
            Error::corrupt("operators", "password_hash", anyhow::anyhow!("not a PHC string: {error}"))
        })?;
        Ok(hasher()?.verify_password(password.as_bytes(), &parsed).is_ok() && known)
    })
    .await
}

async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let wait = tokio::time::timeout(std::time::Duration::from_secs(5), TURNS.acquire()).await;
    let Ok(Ok(turn)) = wait else {
        return Err(Error::new(Kind::TooMany, "Too many log-ins at once. Try again in a moment.").retry_after(5));
    };
    let done = tokio::task::spawn_blocking(move || {
        // Held until the hash is done, also when the caller goes away.
        let _turn = turn;
        work()
    });
    done.await.map_err(|error| Error::internal("a password could not be hashed", error))?
}

fn hasher() -> Result<Argon2<'static>, Error> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None)
        .map_err(|error| Error::internal("argon2 refuses its parameters", anyhow::anyhow!("{error}")))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash_now(password: &str) -> Result<String, Error> {
    hasher()?
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|error| Error::internal("a password cannot be hashed", anyhow::anyhow!("{error}")))
}
