//! What is done once, at start: the bucket, the probe of conditions, the storage's UUID.

use http::{Method, StatusCode, header};
use ids::StorageId;
use tokio::time::Instant;
use uuid::Uuid;

use super::{MAX_ERROR, System, SystemError, Written, error_code, malformed, refused};
use crate::upstream::{full, request, uri};

const STORAGE_ID: &str = "storage-id";

impl System {
    /// Makes the bucket if the storage says that there is none.
    pub(super) async fn ensure_bucket(&self, region: &str) -> Result<(), SystemError> {
        let target = uri(&self.bucket, None, &[]);
        let head = self.retried("head", "", MAX_ERROR, || request(Method::HEAD, target.clone())).await?;
        match head.status() {
            status if status.is_success() => return Ok(()),
            StatusCode::NOT_FOUND => {}
            _ => return Err(refused("head", "", &head)),
        }
        let place = format!(
            "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
        );
        let make = |with_place: bool| {
            let mut create = request(Method::PUT, target.clone());
            let body = if with_place { place.clone().into_bytes() } else { Vec::new() };
            create.headers_mut().insert(header::CONTENT_LENGTH, body.len().into());
            *create.body_mut() = full(body);
            create
        };
        // S3 refuses the constraint in us-east-1 and wants it everywhere else; others take it or leave it.
        let mut answer = self.retried("create", "", MAX_ERROR, || make(false)).await?;
        if error_code(answer.body()) == "IllegalLocationConstraintException" {
            answer = self.retried("create", "", MAX_ERROR, || make(true)).await?;
        }
        let code = error_code(answer.body());
        match answer.status() {
            status if status.is_success() => {
                tracing::info!(bucket = self.bucket, "system bucket is created");
                Ok(())
            }
            // Another member was faster.
            StatusCode::CONFLICT if code == "BucketAlreadyOwnedByYou" || code == "OperationAborted" => Ok(()),
            _ => Err(refused("create", "", &answer)),
        }
    }

    /// Is `If-None-Match: *` enforced, also when several writes come at once?
    pub(super) async fn probe_conditions(&self) -> Result<bool, SystemError> {
        let key = format!("probe/{}", Uuid::new_v4());
        let deadline = Instant::now() + self.deadline;
        let write = |text: &'static str| {
            let upload = self.upload(&key, &text.into(), Some(("*", header::IF_NONE_MATCH)));
            self.once("probe", &key, deadline, MAX_ERROR, upload)
        };
        let (a, b, c) = tokio::join!(write("a"), write("b"), write("c"));
        let mut written = 0;
        for answer in [a, b, c, write("d").await] {
            let answer = answer?;
            match answer.status() {
                status if status.is_success() => written += 1,
                StatusCode::PRECONDITION_FAILED | StatusCode::CONFLICT => {}
                // A storage that does not know the condition refuses it.
                StatusCode::NOT_IMPLEMENTED | StatusCode::BAD_REQUEST => written += 2,
                _ => {
                    self.delete(&key).await?;
                    return Err(refused("probe", &key, &answer));
                }
            }
        }
        self.delete(&key).await?;
        Ok(written == 1)
    }

    /// Is versioning enabled on the system bucket? Only to explain a failed probe: what cannot be known is "no".
    pub(super) async fn is_versioned(&self) -> bool {
        let target = uri(&self.bucket, None, &[("versioning", "")]);
        let answer = self.retried("versioning", "", MAX_ERROR, || request(Method::GET, target.clone())).await;
        answer.is_ok_and(|answer| {
            answer.status().is_success() && String::from_utf8_lossy(answer.body()).contains("<Status>Enabled</Status>")
        })
    }

    /// The UUID that the first gateway over this storage drew.
    pub(super) async fn read_storage_id(&self) -> Result<StorageId, SystemError> {
        let read = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).ok()?;
            text.trim().parse::<StorageId>().ok()
        };
        let malformed = || malformed("get", STORAGE_ID);
        if let Some(bytes) = self.get(STORAGE_ID, 64).await? {
            return read(&bytes).ok_or_else(malformed);
        }
        let drawn = StorageId::random();
        match self.put_new(STORAGE_ID, drawn.to_string()).await? {
            Written::Ours => Ok(drawn),
            Written::Taken => {
                let bytes = self.get(STORAGE_ID, 64).await?.ok_or_else(malformed)?;
                read(&bytes).ok_or_else(malformed)
            }
        }
    }
}
