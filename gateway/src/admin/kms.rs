//! The KMS of the group: add, generate, activate, rotate, probe, remove. Copies of keys are in [`copies`].

pub(super) mod copies;

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use ids::KmsId;
use kms::{KekRecord, Passphrase, Provider, RsaKey, RsaKms};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use zeroize::Zeroizing;

use super::guard::Caller;
use super::problem::{Body, Hidden, Problem, Query};
use super::{Admin, Shared, rfc3339};
use crate::group::{Document, KmsEntry, MadeKey, Refusal, now};
use crate::keys::KmsState;
use copies::{Fresh, KeyBackup, MadeKms};

/// The longest canary that is read.
const MAX_CANARY: usize = kms::record::MAX_RECORD;

/// Every KMS.
#[derive(Serialize, ToSchema)]
pub(super) struct KmsList {
    kms: Vec<Kms>,
}

/// A configured KMS, without secrets.
#[derive(Serialize, ToSchema)]
pub(super) struct Kms {
    id: String,
    /// `rsa`.
    provider: String,
    /// `ok` or `error`.
    state: &'static str,
    /// Why it cannot be used.
    error: Option<String>,
    /// New objects are encrypted under it.
    active: bool,
    /// How many versions its key has.
    key_versions: usize,
    /// Objects that are known to need it; none if the local store cannot say.
    known_objects: Option<u64>,
    added: String,
    keys: Vec<Key>,
}

/// One version of a KMS's key.
#[derive(Serialize, ToSchema)]
pub(super) struct Key {
    number: u32,
    /// As objects name it: `sha256:HEX`.
    #[expect(clippy::struct_field_names, reason = "the word of the interface")]
    key: String,
    bits: u32,
    added: String,
    age_s: u64,
    active: bool,
    /// It was made in place, so that no operator has a file of it but copies that were given out.
    made_here: bool,
    /// Of such a key: that a copy is kept; none where nobody has said so.
    backup: Option<KeyBackup>,
}

/// A new KMS from an RSA private key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Add {
    #[schema(value_type = String)]
    id: KmsId,
    /// `rsa`.
    provider: String,
    /// PKCS#1, PKCS#8 or encrypted PKCS#8.
    pem: Hidden,
    passphrase: Option<Hidden>,
    /// Encrypt new objects under it; by default if no other KMS is active.
    activate: Option<bool>,
    /// Add it although objects are known that were encrypted under the same ID and another key.
    #[serde(default)]
    replace_key: bool,
}

/// A new KMS with a key that is made here.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Generate {
    #[schema(value_type = String)]
    id: KmsId,
    /// 2048, 3072, 4096 (default) or 8192.
    #[serde(default = "default_bits")]
    bits: u32,
    activate: Option<bool>,
    /// Give out a copy with the answer, encrypted under it: 12 to 1024 bytes.
    copy_passphrase: Option<Hidden>,
}

fn default_bits() -> u32 {
    4096
}

/// The next version of a KMS's key: one of both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    pem: Option<Hidden>,
    passphrase: Option<Hidden>,
    /// Bits of a key that is made here.
    generate: Option<u32>,
    /// Of a key that is made here: give out a copy with the answer, encrypted under it: 12 to 1024 bytes.
    copy_passphrase: Option<Hidden>,
}

#[derive(Deserialize, IntoParams)]
pub(super) struct Confirm {
    /// The ID (or the fingerprint of a key) typed again.
    confirm: Option<String>,
}

/// What was removed.
#[derive(Serialize, ToSchema)]
pub(super) struct Removed {
    #[expect(clippy::struct_field_names, reason = "the word of the interface")]
    removed: String,
    /// Objects that are known to need it.
    known_objects: Option<u64>,
    was_active: bool,
}

/// The result of a probe.
#[derive(Serialize, ToSchema)]
pub(super) struct Probed {
    id: String,
    ok: bool,
    duration_ms: u64,
}

/// Every member drops every cached key.
#[derive(Serialize, ToSchema)]
pub(super) struct Flushed {
    flushed: bool,
}

/// Lists every KMS.
#[utoipa::path(get, path = "/kms", tag = "kms", responses((status = 200, body = KmsList), (status = 401, body = Problem)))]
pub(super) async fn list(State(admin): Shared) -> Json<KmsList> {
    let document = admin.group.document();
    admin.keys.configure(&document).await;
    let mut kms = Vec::new();
    for id in document.kms.keys() {
        kms.extend(view(&admin, &document, id).await);
    }
    Json(KmsList { kms })
}

/// Shows a KMS.
#[utoipa::path(get, path = "/kms/{id}", tag = "kms", params(("id" = String, Path)),
    responses((status = 200, body = Kms), (status = 404, body = Problem)))]
pub(super) async fn show(State(admin): Shared, Path(id): Path<String>) -> Result<Json<Kms>, Problem> {
    shown(&admin, &kms_id(&id)?).await
}

/// Adds a KMS from an RSA private key. The key is proven first: a KEK is wrapped, stored, read back raw and unwrapped.
#[utoipa::path(post, path = "/kms", tag = "kms", request_body = Add,
    responses((status = 201, body = Kms), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn add(State(admin): Shared, Body(body): Body<Add>) -> Result<(StatusCode, Json<Kms>), Problem> {
    if body.provider != kms::RSA {
        return Err(Problem::invalid(format!("provider {:?} is unknown; this version has rsa", body.provider)));
    }
    let passphrase = body.passphrase.as_ref().map(|text| Passphrase::new(text.expose().as_bytes().to_vec()));
    let key = read_key(body.pem.expose().as_bytes().to_vec(), passphrase).await?;
    let kms = add_key(&admin, &body.id, key, BTreeMap::new(), body.activate, body.replace_key).await?;
    Ok((StatusCode::CREATED, kms))
}

/// Adds a KMS whose RSA key is made here. It never leaves the group document, except in a backup of it and in copies that
/// are encrypted under a passphrase.
#[utoipa::path(post, path = "/kms/generate", tag = "kms", request_body = Generate,
    responses((status = 201, body = MadeKms), (status = 409, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn generate(
    State(admin): Shared,
    Extension(caller): Extension<Caller>,
    Body(body): Body<Generate>,
) -> Result<(StatusCode, Json<MadeKms>), Problem> {
    let Fresh { key, copy, .. } = Fresh::make(body.bits, body.copy_passphrase.as_ref()).await?;
    let made = BTreeMap::from([(key.fingerprint().to_string(), MadeKey::default())]);
    let Json(kms) = add_key(&admin, &body.id, key, made, body.activate, false).await?;
    copies::told(&caller, &body.id, copy.as_ref());
    Ok((StatusCode::CREATED, Json(MadeKms { kms, copy })))
}

async fn add_key(
    admin: &Admin,
    id: &KmsId,
    key: RsaKey,
    made: BTreeMap<String, MadeKey>,
    activate: Option<bool>,
    replace_key: bool,
) -> Result<Json<Kms>, Problem> {
    if admin.group.document().kms.contains_key(id) {
        return Err(Problem::conflict(format!("there is a KMS {id} already; give another ID, or rotate its key")));
    }
    let added = now();
    let provider = Provider::Rsa(RsaKms::new(id.clone(), key, added / 1000));
    let (kind, state) = (provider.kind(), provider.state());
    prove(admin, provider, replace_key).await?;
    admin
        .edit(|document| {
            let state = Zeroizing::new(state.to_vec());
            document.add_kms(id, KmsEntry { provider: kind.to_owned(), added, state, made: made.clone() })?;
            if activate.unwrap_or(document.active_kms.is_none()) { document.activate_kms(id) } else { Ok(()) }
        })
        .await?;
    tracing::info!(kms = %id, "KMS is added");
    shown(admin, id).await
}

/// Encrypts new objects under this KMS.
#[utoipa::path(post, path = "/kms/{id}/activate", tag = "kms", params(("id" = String, Path)),
    responses((status = 200, body = Kms), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn activate(State(admin): Shared, Path(id): Path<String>) -> Result<Json<Kms>, Problem> {
    let id = kms_id(&id)?;
    admin.keys.configure(&admin.group.document()).await;
    admin.keys.probe(&id).await?;
    admin.edit(|document| document.activate_kms(&id)).await?;
    tracing::info!(kms = %id, "KMS is active");
    shown(&admin, &id).await
}

/// Gives a KMS another key, which becomes the active version; the older ones still decrypt.
#[utoipa::path(post, path = "/kms/{id}/rotate", tag = "kms", params(("id" = String, Path)), request_body = Rotate,
    responses((status = 200, body = MadeKms), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub(super) async fn rotate(
    State(admin): Shared,
    Path(id): Path<String>,
    Extension(caller): Extension<Caller>,
    Body(body): Body<Rotate>,
) -> Result<Json<MadeKms>, Problem> {
    let id = kms_id(&id)?;
    let (mut made, mut copy) = (None, None);
    let (pem, passphrase) = match (body.pem, body.generate) {
        (Some(pem), None) if body.copy_passphrase.is_none() => {
            (Zeroizing::new(pem.expose().to_owned()), body.passphrase)
        }
        (None, Some(bits)) if body.passphrase.is_none() => {
            let fresh = Fresh::make(bits, body.copy_passphrase.as_ref()).await?;
            (made, copy) = (Some(fresh.key.fingerprint().to_string()), fresh.copy);
            (fresh.pem, None)
        }
        _ => return Err(Problem::invalid("give either pem, with its passphrase, or generate, with that of the copy")),
    };
    let passphrase = passphrase.map(|text| Passphrase::new(text.expose().as_bytes().to_vec()));
    let added = now() / 1000;
    // Read anew at each turn of the edit: a key cannot be copied, and the document may have become another.
    let rotated = |document: &Document| -> Result<RsaKms, Refusal> {
        let missing = || Refusal::NotFound(format!("there is no KMS {id}"));
        let entry = document.kms.get(&id).ok_or_else(missing)?;
        if entry.provider != kms::RSA {
            return Err(Refusal::Conflict(format!("the keys of KMS {id} are rotated where it runs")));
        }
        let mut kms = RsaKms::from_state(id.clone(), &entry.state)?;
        kms.add(RsaKey::from_pem(pem.as_bytes(), passphrase.as_ref())?, added)?;
        Ok(kms)
    };
    prove(&admin, Provider::Rsa(rotated(&admin.group.document())?), true).await?;
    admin
        .edit(|document| {
            let state = rotated(document)?.state();
            let entry = document.kms_mut(&id)?;
            entry.state = state;
            entry.made.extend(made.clone().map(|key| (key, MadeKey::default())));
            Ok(())
        })
        .await?;
    tracing::info!(kms = %id, "key of a KMS is rotated");
    copies::told(&caller, &id, copy.as_ref());
    let Json(kms) = shown(&admin, &id).await?;
    Ok(Json(MadeKms { kms, copy }))
}

/// Wraps and unwraps a fresh KEK and compares.
#[utoipa::path(post, path = "/kms/{id}/probe", tag = "kms", params(("id" = String, Path)),
    responses((status = 200, body = Probed), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn probe(State(admin): Shared, Path(id): Path<String>) -> Result<Json<Probed>, Problem> {
    let id = kms_id(&id)?;
    admin.keys.configure(&admin.group.document()).await;
    let begun = std::time::Instant::now();
    admin.keys.probe(&id).await?;
    let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Json(Probed { id: id.to_string(), ok: true, duration_ms }))
}

/// Every member drops every cached key at its next look, this one at once.
#[utoipa::path(post, path = "/kms/flush", tag = "kms", responses((status = 200, body = Flushed)))]
pub(super) async fn flush(State(admin): Shared) -> Result<Json<Flushed>, Problem> {
    let more = |document: &mut Document| {
        document.kms_flushes += 1;
        Ok(())
    };
    admin.edit(more).await?;
    Ok(Json(Flushed { flushed: true }))
}

/// Removes a KMS with its keys. Objects that need it are not readable until it is added again.
#[utoipa::path(delete, path = "/kms/{id}", tag = "kms", params(("id" = String, Path), Confirm),
    responses((status = 200, body = Removed), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn remove(
    State(admin): Shared,
    Path(id): Path<String>,
    Query(query): Query<Confirm>,
) -> Result<Json<Removed>, Problem> {
    let id = kms_id(&id)?;
    let document = admin.group.document();
    if !document.kms.contains_key(&id) {
        return Err(Problem::not_found(format!("there is no KMS {id}")));
    }
    let known_objects = admin.ledger.known_objects(&id).await.ok();
    let active = document.active_kms.as_ref() == Some(&id);
    if query.confirm.as_deref() != Some(id.as_str()) {
        let known = known_objects.map_or("an unknown number of".into(), |count| count.to_string());
        let detail = format!(
            "this gateway knows {known} objects that need KMS {id}, and there may be others; none will be readable without it{}; repeat with confirm={id}",
            if active { ", and no object can be encrypted until another KMS is active" } else { "" }
        );
        return Err(Problem::confirm(detail).with("known_objects", known_objects).with("active", active));
    }
    let was_active = admin.edit(|document| document.remove_kms(&id)).await?;
    tracing::warn!(kms = %id, "KMS is removed");
    Ok(Json(Removed { removed: id.to_string(), known_objects, was_active }))
}

/// Removes one version of a KMS's key, not the active one. Objects that need it are not readable until it is added again.
#[utoipa::path(delete, path = "/kms/{id}/keys/{number}", tag = "kms",
    params(("id" = String, Path), ("number" = u32, Path), Confirm),
    responses((status = 200, body = Kms), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn remove_key(
    State(admin): Shared,
    Path((id, number)): Path<(String, u32)>,
    Query(query): Query<Confirm>,
) -> Result<Json<Kms>, Problem> {
    let id = kms_id(&id)?;
    let known_objects = admin.ledger.known_objects(&id).await.ok();
    let confirmed = admin
        .edit(|document| {
            let entry = document.kms_mut(&id)?;
            let mut kms = RsaKms::from_state(id.clone(), &entry.state)?;
            let fingerprint = kms.remove(number)?.to_string();
            let confirmed = query.confirm.as_deref() == Some(fingerprint.as_str());
            if confirmed {
                entry.state = kms.state();
                entry.made.remove(&fingerprint);
            }
            Ok(confirmed.then_some(()).ok_or(fingerprint))
        })
        .await?;
    if let Err(fingerprint) = confirmed {
        let detail = format!(
            "objects that were encrypted under key {fingerprint} will not be readable without it; repeat with confirm={fingerprint}"
        );
        return Err(Problem::confirm(detail).with("known_objects", known_objects).with("key", fingerprint));
    }
    tracing::warn!(kms = %id, number, "version of a KMS's key is removed");
    shown(&admin, &id).await
}

fn kms_id(text: &str) -> Result<KmsId, Problem> {
    text.parse().map_err(|error: ids::Invalid| Problem::invalid(error.to_string()))
}

async fn read_key(pem: Vec<u8>, passphrase: Option<Passphrase>) -> Result<RsaKey, Problem> {
    let pem = Zeroizing::new(pem);
    let read = tokio::task::spawn_blocking(move || RsaKey::from_pem(&pem, passphrase.as_ref()));
    Ok(read.await.map_err(|error| Problem::internal(&error))??)
}

/// Proves a provider: wrap, unwrap, compare; then a KEK record is stored and opened as it comes back raw. The record
/// stays, so that the same ID with another key is found out when it is added again.
async fn prove(admin: &Admin, provider: Provider, replace_key: bool) -> Result<(), Problem> {
    let id = provider.id().clone();
    let name = format!("canary/{id}");
    let unreadable = |error: crate::system::SystemError| Problem::unavailable(error.to_string());
    let system = admin.group.system();
    if let Some(left) = system.get(&name, MAX_CANARY).await.map_err(unreadable)?
        && let Ok(left) = KekRecord::parse(&left)
        && let Err(error @ kms::Error::OtherKey { .. }) = provider.open(&left).await
        && !replace_key
    {
        let known_objects = admin.ledger.known_objects(&id).await.ok();
        let detail =
            format!("{error}. Objects of KMS {id} would stay unreadable; give the key that it had, or another ID");
        return Err(Problem::conflict(detail).with("known_objects", known_objects));
    }
    let refused = |error: kms::Error| Problem::unprocessable(error.to_string());
    let (_, record) = provider.new_kek().await.map_err(refused)?;
    system.put(&name, record.as_bytes().to_vec()).await.map_err(unreadable)?;
    let stored = system.get(&name, MAX_CANARY).await.map_err(unreadable)?;
    let stored = stored.ok_or_else(|| Problem::unavailable("the storage does not give back what it stored"))?;
    let stored = KekRecord::parse(&stored).map_err(|error| Problem::unavailable(error.to_string()))?;
    provider.open(&stored).await.map_err(refused)?;
    admin.keys.probe_new(provider).await?;
    Ok(())
}

async fn shown(admin: &Admin, id: &KmsId) -> Result<Json<Kms>, Problem> {
    let document = admin.group.document();
    admin.keys.configure(&document).await;
    let missing = || Problem::not_found(format!("there is no KMS {id}"));
    view(admin, &document, id).await.map(Json).ok_or_else(missing)
}

async fn view(admin: &Admin, document: &Document, id: &KmsId) -> Option<Kms> {
    let entry = document.kms.get(id)?;
    let now = now() / 1000;
    let (error, keys) = match admin.keys.kms(id) {
        Some(KmsState::Ready(inventory)) => (None, inventory.keys),
        Some(KmsState::Broken(reason)) => (Some(reason), Vec::new()),
        None => (Some("not loaded yet".to_owned()), Vec::new()),
    };
    let key = |key: kms::KeyVersion| Key {
        number: key.number,
        made_here: entry.made.contains_key(&key.key),
        backup: entry.made.get(&key.key).and_then(|made| made.backup.as_ref()).map(KeyBackup::from),
        key: key.key,
        bits: key.bits,
        added: rfc3339(key.added_unix_s.saturating_mul(1000)),
        age_s: now.saturating_sub(key.added_unix_s),
        active: key.active,
    };
    Some(Kms {
        id: id.to_string(),
        provider: entry.provider.clone(),
        state: if error.is_none() { "ok" } else { "error" },
        error,
        active: document.active_kms.as_ref() == Some(id),
        key_versions: keys.len(),
        known_objects: admin.ledger.known_objects(id).await.ok(),
        added: rfc3339(entry.added),
        keys: keys.into_iter().map(key).collect(),
    })
}
