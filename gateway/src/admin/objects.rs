//! Objects: what lies in a bucket, what one is, its bytes both ways. By the path of every client: see
//! `s3/console.rs`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::Json;
use axum::body::Body as AxumBody;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::response::Response;
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::{Problem, Query};
use super::{Shared, rfc3339};
use crate::s3::{Asked, ObjectStatus, Refused};
use crate::upstream::{encode_key, request, uri};

/// Objects of a page where nothing else is asked for.
const PAGE: u16 = 200;
/// The most, as S3 has it.
const LARGEST_PAGE: u16 = 1000;

/// What of an answer a browser gets to see.
const SHOWN: [HeaderName; 5] = [CONTENT_LENGTH, CONTENT_RANGE, ACCEPT_RANGES, ETAG, LAST_MODIFIED];

#[derive(Deserialize, IntoParams)]
pub(super) struct Which {
    /// As clients call it.
    bucket: String,
    /// The whole key.
    key: String,
}

/// Where the stored bytes of an object are.
#[derive(Serialize, ToSchema)]
pub(super) struct StoredAt {
    bucket: String,
    key: String,
    /// The file, on the machine of this gateway.
    path: String,
}

/// Which file holds the stored bytes of an object, where the storage is a directory.
#[utoipa::path(get, path = "/objects/path", tag = "objects", params(Which),
    responses((status = 200, body = StoredAt), (status = 404, body = Problem), (status = 501, body = Problem)))]
pub(super) async fn path(State(admin): Shared, Query(which): Query<Which>) -> Result<Json<StoredAt>, Problem> {
    let Which { bucket, key } = which;
    if key.is_empty() || key.len() > 1024 || bucket.is_empty() || bucket.len() > 255 {
        return Err(Problem::invalid("bucket and key must be given, the key with at most 1024 bytes"));
    }
    let (upstream, backing) = admin.place(&bucket)?;
    let Some(path) = upstream.object_path(&backing, &key) else {
        return Err(Problem::not_supported(format!("bucket {bucket} does not lie in a directory")));
    };
    let answer = upstream.collect(request(Method::HEAD, uri(&backing, Some(&key), &[])), 64 * 1024).await?;
    match answer.status() {
        status if status.is_success() => {}
        StatusCode::NOT_FOUND => return Err(Problem::not_found(format!("there is no object {key} in {bucket}"))),
        status => return Err(Problem::unavailable(format!("the storage answered {status}"))),
    }
    let path = path.to_str().ok_or_else(|| Problem::internal(&"the path is not UTF-8"))?.to_owned();
    Ok(Json(StoredAt { bucket, key, path }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// Keys begin so.
    prefix: Option<String>,
    /// Keys that have it behind the prefix are shown up to it, once; `/` shows folders.
    delimiter: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// 1 to 1000.
    limit: Option<u16>,
}

/// A page of a bucket.
#[derive(Serialize, ToSchema)]
#[schema(as = ObjectPage)]
pub(super) struct Page {
    /// In order of their keys.
    objects: Vec<Listed>,
    /// What keys further down begin with, up to the delimiter.
    prefixes: Vec<String>,
    /// For `after`; none: this is the last page.
    next: Option<String>,
}

/// One object of a page.
#[derive(Serialize, ToSchema)]
#[schema(as = ListedObject)]
pub(super) struct Listed {
    key: String,
    /// Bytes as clients see them.
    size: u64,
    etag: String,
    /// When it was stored (RFC 3339).
    modified: String,
    /// None: it cannot be told.
    encrypted: Option<bool>,
    /// The KMS, where that is known.
    kms_id: Option<String>,
}

/// Lists objects of a bucket, page by page.
#[utoipa::path(get, path = "/buckets/{name}/objects", tag = "objects", params(("name" = String, Path), Listing),
    responses((status = 200, body = Page), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn list(
    State(admin): Shared,
    Path(bucket): Path<String>,
    Query(listing): Query<Listing>,
) -> Result<Json<Page>, Problem> {
    let limit = listing.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        return Err(Problem::invalid(format!("limit must be 1 to {LARGEST_PAGE}")));
    }
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let asked = Asked::new(Method::GET, &bucket, "")?
        .with("list-type", Some("2"))
        .with("encoding-type", Some("url"))
        .with("max-keys", Some(&limit.to_string()))
        .with("prefix", given(&listing.prefix).as_deref())
        .with("delimiter", given(&listing.delimiter).as_deref())
        .with("continuation-token", given(&listing.after).as_deref());
    let page = admin.front.browse(asked).await?;
    let objects = page.objects.into_iter().map(|object| Listed {
        key: object.key,
        size: object.size,
        etag: object.etag,
        modified: object.modified,
        encrypted: object.encrypted,
        kms_id: object.kms,
    });
    Ok(Json(Page { objects: objects.collect(), prefixes: page.prefixes, next: page.next }))
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct One {
    /// The whole key. In the query, since a browser takes `.` and `..` out of a path.
    key: String,
    /// A version of it; none: the latest.
    version_id: Option<String>,
}

/// What an object is.
#[derive(Serialize, ToSchema)]
#[schema(as = ObjectStatus)]
pub(super) struct Status {
    bucket: String,
    key: String,
    version_id: Option<String>,
    /// Bytes as clients see them; none where its key would be needed to tell, and cannot be had.
    size: Option<u64>,
    /// Bytes as they are stored.
    stored_bytes: u64,
    etag: String,
    /// When it was stored, as HTTP writes dates.
    modified: String,
    content_type: String,
    /// The client's own metadata.
    #[schema(value_type = Object)]
    metadata: serde_json::Map<String, serde_json::Value>,
    /// It is stored encrypted.
    encrypted: bool,
    /// The KMS that can open it.
    kms_id: Option<String>,
    /// Which version of its key, as `GET /kms/{id}` names it in `keys[].key`.
    kms_key: Option<String>,
    /// `toggle`, `policy`, `client`, `floor` or `lookalike`: why it was encrypted.
    cause: Option<String>,
    /// The policy that decided, where one did.
    policy: Option<String>,
    /// Revision of the policy set at that time.
    policy_revision: Option<u64>,
    /// Lineage of that set.
    policy_lineage: Option<String>,
    /// When it was encrypted (RFC 3339).
    encrypted_at: Option<String>,
    /// Name and version of the program that encrypted it.
    writer: Option<String>,
    /// It was uploaded in parts.
    multipart: Option<bool>,
    /// What is said here about its encryption was verified with its key.
    verified: bool,
    /// Why it could not be verified, which a download will tell too.
    problem: Option<String>,
}

impl Status {
    fn new(bucket: String, key: String, found: ObjectStatus) -> Self {
        let metadata = found.metadata.into_iter().map(|(name, value)| (name, value.into()));
        let (encrypted, sealed) = (found.sealed.is_some(), found.sealed);
        let problem = sealed.as_ref().and_then(|sealed| sealed.unverified.clone());
        let header = sealed.and_then(|sealed| sealed.header);
        let header = header.as_ref();
        let policy = header.and_then(envelope::Header::policy);
        Self {
            bucket,
            key,
            version_id: found.version,
            size: found.size,
            stored_bytes: found.stored_bytes,
            etag: found.etag,
            modified: found.modified,
            content_type: found.content_type,
            metadata: metadata.collect(),
            encrypted,
            kms_id: header.map(|header| header.kms_id().to_owned()),
            kms_key: header
                .and_then(|header| kms::KekRecord::parse(header.kek_record()).ok())
                .map(|record| record.key_text()),
            cause: header.map(|header| header.cause().as_str().to_owned()),
            policy: policy.map(|policy| policy.name.clone()),
            policy_revision: policy.map(|policy| policy.revision),
            policy_lineage: policy.map(|policy| uuid::Uuid::from_bytes(policy.lineage).to_string()),
            encrypted_at: header.map(|header| rfc3339(header.sealed_at_ms())),
            writer: header.map(|header| header.writer().to_owned()),
            multipart: header.map(envelope::Header::is_multipart),
            verified: encrypted && problem.is_none(),
            problem,
        }
    }
}

/// Shows what an object is: encrypted or not, by which KMS, why, by which policy.
#[utoipa::path(get, path = "/buckets/{name}/object/status", tag = "objects", params(("name" = String, Path), One),
    responses((status = 200, body = Status), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn status(
    State(admin): Shared,
    Path(bucket): Path<String>,
    Query(one): Query<One>,
) -> Result<Json<Status>, Problem> {
    let asked = one.asked(Method::HEAD, &bucket)?;
    let found = admin.front.object_status(asked).await?;
    Ok(Json(Status::new(bucket, one.key, found)))
}

/// Gives the bytes of an object, decrypted where it is encrypted; whole, or the range that is asked for.
#[utoipa::path(get, path = "/buckets/{name}/object", tag = "objects", params(("name" = String, Path), One),
    responses((status = 200, description = "The bytes, as a download", content_type = "application/octet-stream"),
        (status = 206, description = "The range of the bytes", content_type = "application/octet-stream"),
        (status = 403, body = Problem), (status = 404, body = Problem), (status = 416, body = Problem),
        (status = 503, body = Problem)))]
pub(super) async fn download(
    State(admin): Shared,
    Path(bucket): Path<String>,
    Query(one): Query<One>,
    request: Request,
) -> Result<Response, Problem> {
    // A HEAD comes by this route too, and must not begin a read.
    let method = if request.method() == Method::HEAD { Method::HEAD } else { Method::GET };
    let slot = admin.transfers.begin()?;
    let asked = one.asked(method.clone(), &bucket)?.from(source(&request), request.headers());
    let (head, body) = admin.front.for_console(asked).await?.into_parts();
    let mut response = if method == Method::HEAD {
        Response::new(AxumBody::empty())
    } else {
        Response::new(admin.transfers.send(body, slot))
    };
    *response.status_mut() = head.status;
    let headers = response.headers_mut();
    for name in SHOWN {
        if let Some(value) = head.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    harmless(headers, &one.key)?;
    Ok(response)
}

/// Whoever may write to a bucket chooses what its objects are; in the console's origin nothing of it may run.
fn harmless(headers: &mut HeaderMap, key: &str) -> Result<(), Problem> {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox"));
    let name = key.rsplit('/').find(|part| !part.is_empty()).unwrap_or("object");
    // RFC 6266: percent-encoded, so that no character of it means anything.
    let text = format!("attachment; filename*=UTF-8''{}", encode_key(name));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::try_from(text).map_err(|error| Problem::internal(&error))?);
    Ok(())
}

/// What was stored.
#[derive(Serialize, ToSchema)]
#[schema(as = StoredObject)]
pub(super) struct Stored {
    bucket: String,
    key: String,
    etag: Option<String>,
    version_id: Option<String>,
    size: u64,
    /// It is stored encrypted: see its status for why.
    encrypted: bool,
}

/// Stores an object as a client would: toggle, policies and floor decide whether it is encrypted, or refused. The body
/// is its bytes. `Content-Type`, `x-amz-meta-*`, `x-amz-tagging`, `x-amz-storage-class`, checksums and conditions are
/// taken over.
#[utoipa::path(put, path = "/buckets/{name}/object", tag = "objects", params(("name" = String, Path), One),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = Stored), (status = 400, body = Problem), (status = 403, body = Problem),
        (status = 404, body = Problem), (status = 411, body = Problem), (status = 412, body = Problem),
        (status = 413, body = Problem), (status = 503, body = Problem)))]
pub(super) async fn upload(
    State(admin): Shared,
    Path(bucket): Path<String>,
    Query(one): Query<One>,
    request: Request,
) -> Result<Json<Stored>, Problem> {
    if one.version_id.is_some() {
        return Err(Problem::invalid("a version cannot be overwritten"));
    }
    let _slot = admin.transfers.begin()?;
    let asked = one.asked(Method::PUT, &bucket)?.from(source(&request), request.headers());
    let size = crate::s3::announced_len(request.headers()).unwrap_or_default();
    let asked = asked.carrying(admin.transfers.receive(request.into_body()));
    let head = tokio::select! {
        () = admin.transfers.cut() => return Err(Problem::unavailable("the gateway ends; nothing was stored")),
        answer = admin.front.for_console(asked) => answer?.into_parts().0,
    };
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Json(Stored {
        bucket,
        key: one.key,
        etag: text("etag").map(|etag| etag.trim_matches('"').to_owned()),
        version_id: text("x-amz-version-id"),
        size,
        encrypted: head.extensions.get::<crate::s3::Sealed>().is_some(),
    }))
}

/// Deletes an object; one that is not there is deleted already.
#[utoipa::path(delete, path = "/buckets/{name}/object", tag = "objects", params(("name" = String, Path), One),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 503, body = Problem)))]
pub(super) async fn delete(
    State(admin): Shared,
    Path(bucket): Path<String>,
    Query(one): Query<One>,
    request: Request,
) -> Result<StatusCode, Problem> {
    let asked = one.asked(Method::DELETE, &bucket)?.from(source(&request), request.headers());
    admin.front.for_console(asked).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl One {
    fn asked(&self, method: Method, bucket: &str) -> Result<Asked, Problem> {
        if self.key.is_empty() {
            return Err(Problem::invalid("key must be given"));
        }
        Ok(Asked::new(method, bucket, &self.key)?.with("versionId", self.version_id.as_deref()))
    }
}

fn source(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |peer| peer.0.ip())
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let Refused { status, code, message } = refused;
        let problem = match (status, &*code) {
            (_, "EntityTooLarge") => Self::too_large(message),
            (StatusCode::BAD_REQUEST, _) => Self::invalid(message),
            (StatusCode::FORBIDDEN, _) => Self::denied(message),
            (StatusCode::NOT_FOUND, _) => Self::not_found(message),
            (StatusCode::CONFLICT, _) => Self::conflict(message),
            (StatusCode::LENGTH_REQUIRED, _) => Self::length_required(message),
            (StatusCode::PRECONDITION_FAILED, _) => Self::precondition_failed(message),
            (StatusCode::RANGE_NOT_SATISFIABLE, _) => Self::no_such_range(message),
            (StatusCode::NOT_IMPLEMENTED, _) => Self::not_supported(message),
            (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _) => Self::unavailable(message),
            (status, _) if status.is_client_error() => Self::invalid(message),
            // Its cause is in the line of the request already.
            _ => Self::failed(message),
        };
        problem.with("s3_code", code)
    }
}
