//! Buckets as an administrator sees them: the toggle, what makes encryption due, what is known to be stored.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, State};
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::{Body, Problem};
use super::{Admin, Shared, rfc3339};
use crate::config::Floor;
use crate::group::now;
use crate::scan::{Due, NamesError, bucket_names, due};
use crate::upstream::{request, uri};

/// A list of all buckets of the largest accounts.
const MAX_LIST: usize = 16 * 1024 * 1024;

/// Every bucket.
#[derive(Serialize, ToSchema)]
pub(super) struct Buckets {
    buckets: Vec<Status>,
}

/// One bucket.
#[derive(Serialize, ToSchema)]
#[schema(as = BucketStatus)]
#[expect(clippy::struct_excessive_bools, reason = "independent settings, as JSON shows them")]
pub(super) struct Status {
    bucket: String,
    /// The toggle.
    encrypt: bool,
    /// New objects can be encrypted for one of the reasons in `because`; a policy may ask for a part of the bucket.
    effective: bool,
    /// `toggle`, `floor`, `policy NAME`, joined by commas.
    because: String,
    /// Objects that are known to be stored encrypted; none if the local store cannot say.
    objects_encrypted: Option<u64>,
    /// Objects that are known to be stored as they are; none where encryption never was due: nothing keeps track of the
    /// objects of such a bucket, of which none is encrypted.
    objects_plain: Option<u64>,
    encrypt_since: Option<String>,
    /// Encryption is or once was due here.
    ever_due: bool,
    anonymous_reads: bool,
    refuse_plain_reads: bool,
    decrypt_on_copy: bool,
}

/// The toggle.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Encryption {
    encrypt: bool,
}

/// Settings; what is missing stays.
#[derive(Deserialize, ToSchema)]
#[schema(as = BucketSettings)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Unsigned requests may read.
    anonymous_reads: Option<bool>,
    /// Objects that are stored plain are not read.
    refuse_plain_reads: Option<bool>,
    /// A copy into the bucket is decrypted where nothing says otherwise.
    decrypt_on_copy: Option<bool>,
}

/// Lists every bucket that clients see.
#[utoipa::path(get, path = "/buckets", tag = "buckets", responses((status = 200, body = Buckets), (status = 503, body = Problem)))]
pub(super) async fn list(State(admin): Shared) -> Result<Json<Buckets>, Problem> {
    let mut buckets = Vec::new();
    for name in names(&admin).await? {
        buckets.push(view(&admin, &name).await);
    }
    Ok(Json(Buckets { buckets }))
}

/// Shows a bucket.
#[utoipa::path(get, path = "/buckets/{name}", tag = "buckets", params(("name" = String, Path)),
    responses((status = 200, body = Status), (status = 404, body = Problem)))]
pub(super) async fn show(State(admin): Shared, Path(name): Path<String>) -> Result<Json<Status>, Problem> {
    must_exist(&admin, &name).await?;
    Ok(Json(view(&admin, &name).await))
}

/// Switches the encryption of new objects on or off. Objects that are stored stay as they are.
#[utoipa::path(put, path = "/buckets/{name}/encryption", tag = "buckets", params(("name" = String, Path)),
    request_body = Encryption, responses((status = 200, body = Status), (status = 404, body = Problem)))]
pub(super) async fn encryption(
    State(admin): Shared,
    Path(name): Path<String>,
    Body(body): Body<Encryption>,
) -> Result<Json<Status>, Problem> {
    must_exist(&admin, &name).await?;
    let at = now();
    admin.edit(|document| document.set_encryption(&name, body.encrypt, at)).await?;
    tracing::info!(bucket = name, encrypt = body.encrypt, "encryption of a bucket is switched");
    Ok(Json(view(&admin, &name).await))
}

/// Changes settings of a bucket.
#[utoipa::path(put, path = "/buckets/{name}/settings", tag = "buckets", params(("name" = String, Path)),
    request_body = Settings, responses((status = 200, body = Status), (status = 404, body = Problem)))]
pub(super) async fn settings(
    State(admin): Shared,
    Path(name): Path<String>,
    Body(body): Body<Settings>,
) -> Result<Json<Status>, Problem> {
    must_exist(&admin, &name).await?;
    admin
        .edit(|document| {
            document.change_bucket(&name, |bucket| {
                bucket.anonymous_reads = body.anonymous_reads.unwrap_or(bucket.anonymous_reads);
                bucket.refuse_plain_reads = body.refuse_plain_reads.unwrap_or(bucket.refuse_plain_reads);
                bucket.decrypt_on_copy = body.decrypt_on_copy.unwrap_or(bucket.decrypt_on_copy);
            })
        })
        .await?;
    Ok(Json(view(&admin, &name).await))
}

async fn must_exist(admin: &Admin, name: &str) -> Result<(), Problem> {
    let missing = || Problem::not_found(format!("there is no bucket {name}"));
    if name.is_empty() || name.len() > 255 {
        return Err(missing());
    }
    let (upstream, backing) = admin.place(name)?;
    let answer = upstream.collect(request(Method::HEAD, uri(&backing, None, &[])), MAX_LIST).await?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        // 400: its name is not one that the storage could have.
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => Err(missing()),
        status => Err(Problem::unavailable(format!("the storage answered {status} about bucket {name}"))),
    }
}

async fn names(admin: &Admin) -> Result<BTreeSet<String>, Problem> {
    let document = admin.group.document();
    let names = bucket_names(&admin.upstreams, &document, admin.group.system().bucket()).await;
    names.map_err(|error| match error {
        NamesError::Upstream(error) => error.into(),
        error => Problem::unavailable(error.to_string()),
    })
}

async fn view(admin: &Admin, name: &str) -> Status {
    let document = admin.group.document();
    let settings = document.bucket(name);
    let Due { because, .. } = due(&document, &admin.policies.current(), admin.floor == Floor::Encrypt, name);
    let counts = admin.ledger.bucket_counts(name).await.ok();
    let ever_due = !because.is_empty() || document.ever_due(name);
    Status {
        bucket: name.to_owned(),
        encrypt: settings.encrypt,
        effective: !because.is_empty(),
        ever_due,
        because: because.join(", "),
        objects_encrypted: counts.as_ref().map(|counts| counts.encrypted),
        objects_plain: counts.as_ref().filter(|_| ever_due).map(|counts| counts.plain),
        encrypt_since: settings.encrypt_since.map(rfc3339),
        anonymous_reads: settings.anonymous_reads,
        refuse_plain_reads: settings.refuse_plain_reads,
        decrypt_on_copy: settings.decrypt_on_copy,
    }
}
