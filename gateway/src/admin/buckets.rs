//! Buckets as an administrator sees them: the toggle, what makes encryption due, what is known to be stored.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::extract::{ConnectInfo, Path, State};
use axum::{Extension, Json};
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::problem::{Body, Problem, Query};
use super::{Admin, Shared, rfc3339};
use crate::config::Floor;
use crate::group::now;
use crate::s3::Asked;
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
    /// Every new object is encrypted.
    encrypting: bool,
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

/// A new bucket.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewBucket)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    /// 3 to 63 of a-z 0-9 . -, as S3 has it.
    bucket: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirm {
    /// The name typed again.
    confirm: Option<String>,
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

/// Makes a bucket where new ones lie, as a client would. Whether its objects are encrypted is decided by policies and floor
/// from the first one on, and by its toggle once that is switched.
#[utoipa::path(post, path = "/buckets", tag = "buckets", request_body = Create,
    responses((status = 201, body = Status), (status = 400, body = Problem), (status = 403, body = Problem),
        (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn create(
    State(admin): Shared,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    Body(body): Body<Create>,
) -> Result<(StatusCode, Json<Status>), Problem> {
    let name = body.bucket;
    if let Some(rule) = breaks_rule(&name) {
        let error = json!([{ "path": "bucket", "code": "bucket-name", "message": rule }]);
        return Err(Problem::invalid(format!("{name:?} cannot be the name of a bucket: {rule}")).with("errors", error));
    }
    // Some storages answer that they made one that was there all along.
    if exists(&admin, &name).await? {
        return Err(Problem::conflict(format!("there is a bucket {name} already")));
    }
    let asked = || Asked::new(Method::PUT, &name, "").map(|asked| asked.from(source(peer), &HeaderMap::new()));
    let mut made = admin.front.for_console(asked()?.saying(String::new())).await;
    // S3 refuses the constraint in us-east-1 and wants it everywhere else; others take it or leave it.
    if let (Err(refused), Some(region)) = (&made, admin.upstreams.home().region())
        && refused.code == "IllegalLocationConstraintException"
    {
        let place = format!(
            "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        );
        made = admin.front.for_console(asked()?.saying(place)).await;
    }
    made?;
    tracing::info!(bucket = name, "bucket is made");
    Ok((StatusCode::CREATED, Json(view(&admin, &name).await)))
}

/// Removes a bucket in which nothing lies, with its toggle and settings. One that holds anything is refused by its storage.
#[utoipa::path(delete, path = "/buckets/{name}", tag = "buckets", params(("name" = String, Path), Confirm),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn remove(
    State(admin): Shared,
    Path(name): Path<String>,
    Query(query): Query<Confirm>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
) -> Result<StatusCode, Problem> {
    must_exist(&admin, &name).await?;
    if query.confirm.as_deref() != Some(name.as_str()) {
        let detail = format!("the bucket goes with its toggle and settings; repeat with confirm={name}");
        return Err(Problem::confirm(detail));
    }
    let asked = Asked::new(Method::DELETE, &name, "")?.from(source(peer), &HeaderMap::new());
    admin.front.for_console(asked).await?;
    tracing::warn!(bucket = name, "bucket is removed");
    Ok(StatusCode::NO_CONTENT)
}

fn source(peer: Option<Extension<ConnectInfo<SocketAddr>>>) -> IpAddr {
    peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |Extension(ConnectInfo(peer))| peer.ip())
}

/// Which rule of S3's the name breaks ("Bucket naming rules" of its user guide); none where it may be one.
fn breaks_rule(name: &str) -> Option<&'static str> {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    let inner = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    let reserved_start = ["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|start| name.starts_with(start));
    let reserved_end = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"].iter().any(|end| name.ends_with(end));
    if !(3..=63).contains(&bytes.len()) {
        Some("it has 3 to 63 characters")
    } else if !bytes.iter().copied().all(legal) {
        Some("it has lower-case letters a to z, digits, dots and hyphens only")
    } else if !inner(bytes.first()) || !inner(bytes.last()) {
        Some("it begins and ends with a letter or a digit")
    } else if name.contains("..") {
        Some("it has no two dots side by side")
    } else if name.parse::<Ipv4Addr>().is_ok() {
        Some("it does not look like an IP address")
    } else if reserved_start || reserved_end {
        Some("S3 keeps names that begin or end like this for itself")
    } else {
        None
    }
}

async fn must_exist(admin: &Admin, name: &str) -> Result<(), Problem> {
    let there = !name.is_empty() && name.len() <= 255 && exists(admin, name).await?;
    if there { Ok(()) } else { Err(Problem::not_found(format!("there is no bucket {name}"))) }
}

async fn exists(admin: &Admin, name: &str) -> Result<bool, Problem> {
    let (upstream, backing) = admin.place(name)?;
    let answer = upstream.collect(request(Method::HEAD, uri(&backing, None, &[])), MAX_LIST).await?;
    match answer.status() {
        status if status.is_success() => Ok(true),
        // 400: its name is not one that the storage could have.
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => Ok(false),
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
    let Due { all, because } = due(&document, &admin.policies.current(), admin.floor == Floor::Encrypt, name);
    let counts = admin.ledger.bucket_counts(name).await.ok();
    let ever_due = !because.is_empty() || document.ever_due(name);
    Status {
        bucket: name.to_owned(),
        encrypt: settings.encrypt,
        effective: !because.is_empty(),
        encrypting: all,
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

#[cfg(test)]
mod tests {
    use super::breaks_rule;

    #[test]
    fn a_name_is_one_that_s3_would_take() {
        let longest = "x".repeat(63);
        for name in ["abc", "a.b-c", "1.2.3", "1.2.3.4.5", "9ab", &longest] {
            assert_eq!(breaks_rule(name), None, "{name}");
        }
        for (name, rule) in [
            ("ab", "3 to 63"),
            (&*"x".repeat(64), "3 to 63"),
            ("Abc", "lower-case"),
            ("a_b", "lower-case"),
            ("ab/c", "lower-case"),
            ("\u{fc}ber", "lower-case"),
            ("-ab", "begins and ends"),
            ("ab.", "begins and ends"),
            ("a..b", "two dots"),
            ("10.0.0.1", "IP address"),
            ("xn--abc", "for itself"),
            ("abc-s3alias", "for itself"),
        ] {
            assert!(breaks_rule(name).is_some_and(|broken| broken.contains(rule)), "{name}");
        }
    }
}
