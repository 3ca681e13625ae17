//! An object that is stored and read by parts, as clients do it with large ones.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::Method;

use crate::client::{Connection, Payload, Service};

/// An object, and how it is cut.
pub(crate) struct Uploaded {
    /// `/bucket/key`.
    pub(crate) target: String,
    /// Of each part but the last; a whole number of patterns, so that the object is the payload.
    pub(crate) part_bytes: u64,
}

impl Uploaded {
    /// Reads it by ranges of a part each, one after the other.
    pub(crate) async fn read(
        &self,
        service: &Service,
        connection: &mut Connection,
        whole: &Payload,
    ) -> anyhow::Result<()> {
        let mut start = 0;
        while start < whole.len() {
            let part = whole.clone().first(self.part_bytes.min(whole.len() - start));
            let range = format!("bytes={start}-{}", start + part.len() - 1);
            start += part.len();
            let headers = [("range", range.as_str())];
            connection.call(&service.prepare_with(Method::GET, &self.target, &headers, part)?).await?;
        }
        Ok(())
    }
}

/// Stores the payload by parts, one after the other.
pub(crate) async fn upload(
    service: &Service,
    connection: &mut Connection,
    object: &Uploaded,
    whole: &Payload,
) -> anyhow::Result<()> {
    let target = &object.target;
    let request = service.prepare(Method::POST, &format!("{target}?uploads"), Payload::none())?;
    let (_, answer) = connection.ask(&request).await?;
    let answer = String::from_utf8(answer.to_vec())?;
    let id = answer.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once("</UploadId>"));
    let id = id.context("an upload's ID")?.0;
    let (mut parts, mut left, mut number) = (Vec::new(), whole.len(), 0);
    while left > 0 {
        number += 1;
        let part = whole.clone().first(left.min(object.part_bytes));
        left -= part.len();
        let target = format!("{target}?partNumber={number}&uploadId={id}");
        let (head, _) = connection.ask(&service.prepare(Method::PUT, &target, part)?).await?;
        let etag = head.get("etag").and_then(|etag| etag.to_str().ok()).context("a part's ETag")?;
        parts.push(format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    let document = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.concat());
    let target = format!("{target}?uploadId={id}");
    let request = service.prepare(Method::POST, &target, Payload::of(Bytes::from(document)))?;
    let (_, answer) = connection.ask(&request).await?;
    ensure!(!answer.windows(7).any(|window| window == b"<Error>"), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}
