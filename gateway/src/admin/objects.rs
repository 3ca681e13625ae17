//! Single objects as the storage has them.

use axum::Json;
use axum::extract::State;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Shared;
use super::problem::{Problem, Query};
use crate::upstream::{request, uri};

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
