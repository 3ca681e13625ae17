//! S3 credentials with their grants, and tokens of this API.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::guard::Caller;
use super::problem::{Body, Hidden, Problem, Shown};
use super::{Admin, Shared, rfc3339};
use crate::config::Secret;
use crate::group::{self, Grant, Refusal, now, random_hex, random_text, token_digest};
use crate::upstream::Upstream;

/// Every credential, without secrets.
#[derive(Serialize, ToSchema)]
pub(super) struct Credentials {
    credentials: Vec<Credential>,
}

/// One credential, without its secret.
#[derive(Serialize, ToSchema)]
pub(super) struct Credential {
    access_key: String,
    name: String,
    /// May use the admin listener.
    admin: bool,
    created: String,
    grants: Vec<Grant>,
    /// Access key ID by which its requests are made at a backend, by the backend's name; elsewhere the gateway's own.
    identities: BTreeMap<String, String>,
}

/// A credential that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeCredential {
    #[serde(flatten)]
    credential: Credential,
    /// Shown this once.
    secret_key: Shown,
}

/// A new credential.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddCredential {
    name: String,
    #[serde(default)]
    admin: bool,
    grants: Vec<Grant>,
    /// Drawn at random where missing.
    access_key: Option<String>,
    /// Drawn at random where missing.
    secret_key: Option<Hidden>,
    /// Who its holder is at a backend, by the backend's name.
    #[serde(default)]
    identities: BTreeMap<String, Identity>,
}

/// A key of a storage, as which requests of a credential are made there.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    access_key: String,
    /// Needed where the backend is new or the access key another; otherwise what is missing stays.
    secret_key: Option<Hidden>,
}

/// What changes; what is missing stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeCredential {
    name: Option<String>,
    admin: Option<bool>,
    grants: Option<Vec<Grant>>,
    /// All that there are to be, by the backend's name.
    identities: Option<BTreeMap<String, Identity>>,
}

/// Lists the credentials.
#[utoipa::path(get, path = "/credentials", tag = "credentials", responses((status = 200, body = Credentials)))]
pub(super) async fn list(State(admin): Shared) -> Json<Credentials> {
    let document = admin.group.document();
    let credentials = document.credentials.iter().map(|(key, credential)| view(key, credential)).collect();
    Json(Credentials { credentials })
}

/// Makes a credential.
#[utoipa::path(post, path = "/credentials", tag = "credentials", request_body = AddCredential,
    responses((status = 201, body = MadeCredential), (status = 400, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn add(
    State(admin): Shared,
    Body(body): Body<AddCredential>,
) -> Result<(StatusCode, Json<MadeCredential>), Problem> {
    let access_key = match body.access_key {
        Some(key) => key,
        None => format!("SG{}", random_hex(9)?.to_uppercase()),
    };
    let secret = match body.secret_key {
        Some(secret) => Secret::new(secret.expose().to_owned()),
        None => Secret::new(random_text(30)?),
    };
    check_backends(&admin, &body.identities)?;
    let created = now();
    let made = || {
        Ok::<_, Refusal>(group::Credential {
            secret: Secret::new(secret.expose().to_owned()),
            name: body.name.clone(),
            admin: body.admin,
            created,
            grants: body.grants.clone(),
            identities: of_group(&body.identities, None)?,
        })
    };
    admin.edit(|document| document.add_credential(&access_key, made()?)).await?;
    tracing::info!(access_key, "credential is made");
    let credential = view(&access_key, &made()?);
    Ok((StatusCode::CREATED, Json(MadeCredential { credential, secret_key: Shown(secret) })))
}

/// Changes name, rights or the admin mark of a credential.
#[utoipa::path(put, path = "/credentials/{access_key}", tag = "credentials", params(("access_key" = String, Path)),
    request_body = ChangeCredential, responses((status = 200, body = Credential), (status = 404, body = Problem)))]
pub(super) async fn change(
    State(admin): Shared,
    Path(access_key): Path<String>,
    Body(body): Body<ChangeCredential>,
) -> Result<Json<Credential>, Problem> {
    let (name, grants) = (body.name.as_deref(), body.grants.as_deref());
    check_backends(&admin, body.identities.iter().flatten())?;
    let change = |document: &mut group::Document| {
        document.change_credential(&access_key, name, body.admin, grants)?;
        let Some(identities) = &body.identities else { return Ok(()) };
        let identities = of_group(identities, document.credential(&access_key))?;
        document.set_identities(&access_key, identities)
    };
    admin.edit(change).await?;
    let document = admin.group.document();
    let missing = || Problem::not_found(format!("there is no credential {access_key}"));
    document.credential(&access_key).map(|credential| Json(view(&access_key, credential))).ok_or_else(missing)
}

/// Removes a credential; not the last administrator's.
#[utoipa::path(delete, path = "/credentials/{access_key}", tag = "credentials", params(("access_key" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn remove(State(admin): Shared, Path(access_key): Path<String>) -> Result<StatusCode, Problem> {
    admin.edit(|document| document.remove_credential(&access_key)).await?;
    tracing::info!(access_key, "credential is removed");
    Ok(StatusCode::NO_CONTENT)
}

/// Identities are of storages that have any.
fn check_backends<'a>(
    admin: &Admin,
    identities: impl IntoIterator<Item = (&'a String, &'a Identity)>,
) -> Result<(), Problem> {
    for (name, _) in identities {
        match admin.upstreams.get(name).map(Upstream::kind) {
            Some("s3") => {}
            Some(kind) => return Err(Problem::invalid(format!("the backend {name} is a {kind}, which knows nobody"))),
            None => {
                return Err(Problem::invalid(format!("there is no backend {name} in this gateway's configuration")));
            }
        }
    }
    Ok(())
}

/// The identities as the group keeps them; a secret that is not given is the one that `before` has for the same key.
fn of_group(
    identities: &BTreeMap<String, Identity>,
    before: Option<&group::Credential>,
) -> Result<BTreeMap<String, group::Identity>, Refusal> {
    let identity = |(backend, identity): (&String, &Identity)| {
        let same = |kept: &&group::Identity| kept.access_key == identity.access_key;
        let kept = || before.and_then(|before| before.identities.get(backend)).filter(same).map(|kept| &kept.secret);
        let secret = identity.secret_key.as_ref().map(Hidden::expose).or_else(|| kept().map(Secret::expose));
        let missing = || Refusal::Invalid(format!("identities: {backend} needs the secret key of its access key"));
        let secret = Secret::new(secret.ok_or_else(missing)?.to_owned());
        Ok((backend.clone(), group::Identity { access_key: identity.access_key.clone(), secret }))
    };
    identities.iter().map(identity).collect()
}

fn view(access_key: &str, credential: &group::Credential) -> Credential {
    Credential {
        access_key: access_key.to_owned(),
        name: credential.name.clone(),
        admin: credential.admin,
        created: rfc3339(credential.created),
        grants: credential.grants.clone(),
        identities: credential.identities.iter().map(|(name, one)| (name.clone(), one.access_key.clone())).collect(),
    }
}

/// Every token, without the tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
}

/// One token, without itself.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    id: String,
    name: String,
    created: String,
    /// May have copies of keys that were made in place.
    may_copy_keys: bool,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeToken {
    #[serde(flatten)]
    about: Token,
    /// Shown this once.
    token: Shown,
}

/// A new token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddToken {
    name: String,
    /// May have copies of keys that were made in place: only a token that may can give it.
    #[serde(default)]
    may_copy_keys: bool,
}

/// Lists the tokens of this API.
#[utoipa::path(get, path = "/tokens", tag = "tokens", responses((status = 200, body = Tokens)))]
pub(super) async fn list_tokens(State(admin): Shared) -> Json<Tokens> {
    let document = admin.group.document();
    let token = |(id, token): (&String, &group::Token)| Token {
        id: id.clone(),
        name: token.name.clone(),
        created: rfc3339(token.created),
        may_copy_keys: token.may_copy_keys,
    };
    Json(Tokens { tokens: document.tokens.iter().map(token).collect() })
}

/// Makes a token of this API.
#[utoipa::path(post, path = "/tokens", tag = "tokens", request_body = AddToken,
    responses((status = 201, body = MadeToken), (status = 400, body = Problem), (status = 403, body = Problem)))]
pub(super) async fn add_token(
    State(admin): Shared,
    Extension(caller): Extension<Caller>,
    Body(body): Body<AddToken>,
) -> Result<(StatusCode, Json<MadeToken>), Problem> {
    let AddToken { name, may_copy_keys } = body;
    if may_copy_keys && !caller.may_copy_keys(&admin) {
        let detail = format!("the token {} may not have copies of keys, nor let another", caller.name);
        return Err(Problem::denied(detail));
    }
    let (id, secret) = (Uuid::new_v4().to_string(), Secret::new(format!("sgt_{}", random_text(32)?)));
    let (created, digest) = (now(), token_digest(secret.expose()));
    let token = || group::Token { name: name.clone(), created, digest, may_copy_keys };
    admin.edit(|document| document.add_token(&id, token())).await?;
    let about = Token { id, name, created: rfc3339(created), may_copy_keys };
    Ok((StatusCode::CREATED, Json(MadeToken { about, token: Shown(secret) })))
}

/// Removes a token; not the last one.
#[utoipa::path(delete, path = "/tokens/{id}", tag = "tokens", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub(super) async fn remove_token(State(admin): Shared, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    admin.edit(|document| document.remove_token(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> BTreeMap<String, Identity> {
        serde_json::from_str(text).expect("identities")
    }

    #[test]
    fn a_secret_that_is_not_given_stays_with_its_access_key_and_with_no_other() {
        let first =
            of_group(&asked(r#"{"store": {"access_key": "app", "secret_key": "its secret"}}"#), None).expect("whole");
        let kept = group::Credential {
            secret: Secret::new("for the gateway".to_owned()),
            name: "app".to_owned(),
            admin: false,
            created: now(),
            grants: Vec::new(),
            identities: first,
        };
        let again = of_group(&asked(r#"{"store": {"access_key": "app"}}"#), Some(&kept)).expect("known");
        assert_eq!(again["store"].secret.expose(), "its secret");
        let newer =
            of_group(&asked(r#"{"store": {"access_key": "app", "secret_key": "new"}}"#), Some(&kept)).expect("whole");
        assert_eq!(newer["store"].secret.expose(), "new");
        for other in [r#"{"store": {"access_key": "another"}}"#, r#"{"elsewhere": {"access_key": "app"}}"#] {
            assert!(matches!(of_group(&asked(other), Some(&kept)), Err(Refusal::Invalid(_))), "{other}");
        }
        assert!(matches!(of_group(&asked(r#"{"store": {"access_key": "app"}}"#), None), Err(Refusal::Invalid(_))));
    }
}
