//! Copies of keys that were made in place: given out encrypted under a passphrase, and never by accident.
//!
//! ```text
//! made ─▶ with a passphrase: a copy in the same answer
//!    └──▶ later: a token that may, a reason for the log ─▶ a copy
//! copy kept? ─▶ recorded with its date and who said so; until then the key is among the troubles
//! ```
//! Of a key that was uploaded there is none: its operator has the file that it came from.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use ids::KmsId;
use kms::{Passphrase, RsaKey, RsaKms};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::{Kms, kms_id, shown};
use crate::admin::guard::Caller;
use crate::admin::problem::{Body, Hidden, Problem, Shown};
use crate::admin::{Shared, rfc3339};
use crate::config::Secret;
use crate::group::{Backup, Document, KmsEntry, Refusal, not_made, now};

/// The longest reason, in bytes.
const MAX_REASON: usize = 500;

/// A KMS that has another key than before.
#[derive(Serialize, ToSchema)]
pub(in crate::admin) struct MadeKms {
    #[serde(flatten)]
    pub(super) kms: Kms,
    /// Of a key that was made with a passphrase: the copy, shown this once.
    pub(super) copy: Option<KeyCopy>,
}

/// A key that only its passphrase opens.
#[derive(Serialize, ToSchema)]
pub(in crate::admin) struct KeyCopy {
    /// Its fingerprint, as objects name it: `sha256:HEX`.
    key: String,
    /// PKCS#8 (`ENCRYPTED PRIVATE KEY`): PBES2 with PBKDF2 and AES-256.
    pem: Shown,
}

/// That a copy of a key is kept.
#[derive(Serialize, ToSchema)]
pub(in crate::admin) struct KeyBackup {
    /// When it was said.
    at: String,
    /// Name of the token that said so.
    by: String,
}

impl From<&Backup> for KeyBackup {
    fn from(backup: &Backup) -> Self {
        Self { at: rfc3339(backup.at), by: backup.by.clone() }
    }
}

/// A copy is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct WantCopy {
    /// What the copy is encrypted under: 12 to 1024 bytes.
    passphrase: Hidden,
    /// Why, for the log: 1 to 500 bytes.
    reason: String,
}

/// A copy is kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct KeptCopy {
    /// Fingerprint of the key, once more.
    key: String,
}

/// Gives out a copy of a key that was made in place, encrypted under a passphrase; for tokens that may have copies of keys.
/// The reason is told in the log.
#[utoipa::path(post, path = "/kms/{id}/keys/{number}/copy", tag = "kms",
    params(("id" = String, Path), ("number" = u32, Path)), request_body = WantCopy,
    responses((status = 200, body = KeyCopy), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(in crate::admin) async fn copy(
    State(admin): Shared,
    Path((id, number)): Path<(String, u32)>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<WantCopy>,
) -> Result<Json<KeyCopy>, Problem> {
    let id = kms_id(&id)?;
    if !caller.may_copy_keys(&admin) {
        tracing::warn!(actor = caller.name, kms = %id, number, "copy of a KMS's key is refused");
        let detail = format!("the token {} may not have copies of keys; log in with one that may", caller.name);
        return Err(Problem::denied(detail));
    }
    let reason = body.reason.trim();
    if reason.is_empty() || reason.len() > MAX_REASON || reason.chars().any(char::is_control) {
        let rule = format!("reason: 1 to {MAX_REASON} bytes without control characters say why, for the log");
        return Err(Problem::invalid(rule));
    }
    let document = admin.group.document();
    let missing = || Problem::not_found(format!("there is no KMS {id}"));
    let entry = document.kms.get(&id).ok_or_else(missing)?;
    let kms = rsa(&id, entry)?;
    let key = kms.key(number)?.fingerprint().to_string();
    if !entry.made.contains_key(&key) {
        return Err(not_made(&id, &key).into());
    }
    let passphrase = passphrase(&body.passphrase);
    let sealed = tokio::task::spawn_blocking(move || kms.key(number)?.to_encrypted_pem(&passphrase));
    let pem = sealed.await.map_err(|error| Problem::internal(&error))??;
    tracing::warn!(actor = caller.name, kms = %id, key, reason, "copy of a KMS's key is given out");
    Ok(Json(KeyCopy::new(key, &pem)))
}

/// Records that a copy of a key that was made in place is kept, by whom and since when.
#[utoipa::path(post, path = "/kms/{id}/keys/{number}/backup", tag = "kms",
    params(("id" = String, Path), ("number" = u32, Path)), request_body = KeptCopy,
    responses((status = 200, body = Kms), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(in crate::admin) async fn backup(
    State(admin): Shared,
    Path((id, number)): Path<(String, u32)>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<KeptCopy>,
) -> Result<Json<Kms>, Problem> {
    let id = kms_id(&id)?;
    let kept = Backup { at: now(), by: caller.name.clone() };
    let recorded = |document: &mut Document| {
        let key = rsa(&id, document.kms_mut(&id)?)?.key(number)?.fingerprint().to_string();
        if key != body.key.trim() {
            return Err(Refusal::Conflict(format!(
                "version {number} of KMS {id} is key {key}, not the one that is named"
            )));
        }
        document.record_backup(&id, &key, kept.clone()).map(|()| key)
    };
    let key = admin.edit(recorded).await?;
    tracing::info!(actor = caller.name, kms = %id, key, "backup of a KMS's key is recorded");
    shown(&admin, &id).await
}

fn rsa(id: &KmsId, entry: &KmsEntry) -> Result<RsaKms, Refusal> {
    if entry.provider != kms::RSA {
        return Err(Refusal::Conflict(format!("the keys of KMS {id} are kept where it runs")));
    }
    Ok(RsaKms::from_state(id.clone(), &entry.state)?)
}

fn passphrase(text: &Hidden) -> Passphrase {
    Passphrase::new(text.expose().as_bytes().to_vec())
}

impl KeyCopy {
    fn new(key: String, pem: &str) -> Self {
        Self { key, pem: Shown(Secret::new(pem.to_owned())) }
    }
}

/// A key that was made here a moment ago, in clear; with its copy, where that is wanted.
pub(super) struct Fresh {
    pub(super) pem: kms::GeneratedPem,
    pub(super) key: RsaKey,
    pub(super) copy: Option<KeyCopy>,
}

impl Fresh {
    /// Makes a key. What is wrong with the passphrase is found out before there is one.
    pub(super) async fn make(bits: u32, copy_passphrase: Option<&Hidden>) -> Result<Self, Problem> {
        let passphrase = copy_passphrase.map(passphrase);
        let made = tokio::task::spawn_blocking(move || {
            let pem = kms::generate_pem(bits)?;
            let key = RsaKey::from_pem(pem.as_bytes(), None)?;
            let copy = passphrase.map(|passphrase| key.to_encrypted_pem(&passphrase)).transpose()?;
            Ok::<_, kms::KeyError>((pem, key, copy))
        });
        let (pem, key, copy) = made.await.map_err(|error| Problem::internal(&error))??;
        let copy = copy.map(|pem: Zeroizing<String>| KeyCopy::new(key.fingerprint().to_string(), &pem));
        Ok(Self { pem, key, copy })
    }
}

/// Tells the log that a copy was given out with the answer that made the key.
pub(super) fn told(caller: &Caller, id: &KmsId, copy: Option<&KeyCopy>) {
    if let Some(KeyCopy { key, .. }) = copy {
        let reason = "made in place";
        tracing::warn!(actor = caller.name, kms = %id, key, reason, "copy of a KMS's key is given out");
    }
}
