//! What an object is, for the console: encrypted or not, by which KMS, why, and by which policy at which revision.

use envelope::{Header, Metadata};
use http::header::{CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, Method, StatusCode};

use super::access::Granted;
use super::console::{Answer, Asked, Line, Refused};
use super::error::{Error, unreadable};
use super::open::{Failed, Stored};
use super::request::Request;
use super::{Front, headers};
use crate::upstream;

/// What is known of one object.
pub(crate) struct ObjectStatus {
    /// Bytes as clients see them; none where that cannot be told without its key.
    pub(crate) size: Option<u64>,
    /// Bytes as they are stored.
    pub(crate) stored_bytes: u64,
    /// As clients see it, without quotes.
    pub(crate) etag: String,
    /// As the storage has it (RFC 9110).
    pub(crate) modified: String,
    /// As it was stored.
    pub(crate) content_type: String,
    /// The version, where there are versions.
    pub(crate) version: Option<String>,
    /// The client's own metadata, by name without prefix.
    pub(crate) metadata: Vec<(String, String)>,
    /// How it is sealed; none: it is stored as it is.
    pub(crate) sealed: Option<Sealed>,
}

/// How an object is sealed, as it says itself.
pub(crate) struct Sealed {
    /// What its header says; none where that cannot be read.
    pub(crate) header: Option<Header>,
    /// Why that could not be verified; none: it was, with the key.
    pub(crate) unverified: Option<String>,
}

impl Front {
    /// Looks at an object. `asked`: a HEAD of it.
    pub(crate) async fn object_status(&self, asked: Asked) -> Result<ObjectStatus, Refused> {
        let (line, request) = Line::begin(asked);
        let result = match request {
            Ok(request) => self.look_at(&request).await,
            Err(error) => Err(error),
        };
        self.tell(line, result).await
    }

    async fn look_at(&self, request: &Request) -> Result<Answer<ObjectStatus>, Error> {
        let granted = self.grant(request)?;
        for _ in 0..3 {
            match self.look_once(request, &granted).await {
                Ok(found) => return Ok(found),
                Err(Failed::Changed) => {}
                Err(Failed::Error(error)) => return Err(error),
            }
        }
        Err(Error::slow_down("The object is being overwritten again and again. Try again."))
    }

    async fn look_once(&self, request: &Request, granted: &Granted) -> Result<Answer<ObjectStatus>, Failed> {
        let target = upstream::uri(&granted.place.bucket, Some(&request.key), &request.pairs());
        let response = self.send(&granted.place.upstream, upstream::request(Method::HEAD, target)).await?;
        if !response.status().is_success() {
            return Ok(Answer::Refusal(response));
        }
        let (head, _) = response.into_parts();
        let metadata = headers::sealed_metadata(&head.headers).map_err(unreadable)?;
        let stripped = metadata.is_none()
            && self.known_sealed(&granted.document, &request.bucket, &request.key, &head.headers).await;
        let stored = Stored::read(head.headers, request.query("versionId"), HeaderMap::new())?;
        let text = |name: &str| {
            let value = stored.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let mut status = ObjectStatus {
            size: Some(stored.len),
            stored_bytes: stored.len,
            etag: text(ETAG.as_str()).trim_matches('"').to_owned(),
            modified: text(LAST_MODIFIED.as_str()),
            content_type: text(CONTENT_TYPE.as_str()),
            version: stored.version.clone(),
            metadata: super::access::metadata_facts(&stored.headers),
            sealed: None,
        };
        if metadata.is_none() && !stripped {
            return Ok(Answer::Done(StatusCode::OK, status));
        }
        status.etag = headers::visible_etag_text(&status.etag);
        match self.open(granted, &request.key, &stored, metadata.as_ref(), false).await {
            Ok(object) => {
                status.size = Some(object.plaintext_len());
                if let Some(carried) = object.carried() {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let named = carried.iter().map(|(name, value)| {
                        (name.strip_prefix("x-amz-meta-").unwrap_or(name).to_owned(), text(value))
                    });
                    status.metadata = named.collect();
                }
                status.sealed = Some(Sealed { header: Some(object.header().clone()), unverified: None });
            }
            Err(Failed::Changed) => return Err(Failed::Changed),
            Err(Failed::Error(error)) => {
                // What it says of itself is shown, and that it could not be verified.
                let header = match metadata.as_ref().and_then(Metadata::header) {
                    Some(header) => Some(header.clone()),
                    None => match self.footer(&granted.place, &request.key, &stored).await {
                        Ok(footer) => Some(footer.header().clone()),
                        Err(Failed::Changed) => return Err(Failed::Changed),
                        Err(Failed::Error(_)) => None,
                    },
                };
                status.size = metadata.and_then(|metadata| metadata.plaintext_len(stored.len).ok());
                status.sealed = Some(Sealed { header, unverified: Some(error.message) });
            }
        }
        Ok(Answer::Done(StatusCode::OK, status))
    }
}
