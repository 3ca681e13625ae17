//! The first read of a range, of an object of which nothing is known.

use envelope::Metadata;
use http::header::RANGE;
use http::{Method, Request as HttpRequest, Response, StatusCode};

use super::super::access::{Granted, holds_former_objects};
use super::super::error::unreadable;
use super::super::open::{Failed, Stored};
use super::super::range::Wanted;
use super::super::request::Request;
use super::super::{Front, headers};
use super::part_number;
use crate::state::ledger::Known;
use crate::upstream::{self, Body};

impl Front {
    /// Looks at the object before anything of it is fetched: the range of a sealed object lies elsewhere than the storage
    /// would look for it, and an answer that is given up is fetched for nothing, and costs its connection. None: there is
    /// no need, or the object is plain.
    pub(super) async fn get_unknown_range(
        &self,
        request: &Request,
        granted: &Granted,
    ) -> Result<Option<Response<Body>>, Failed> {
        let part = part_number(request)?;
        let wanted =
            if part.is_some() { Wanted::Whole } else { Wanted::asked(request, granted.place.upstream.quirks()) };
        // What the storage is to judge, or to put into its answer, takes a request of its own kind.
        let asks_more = request.headers.keys().any(|name| name.as_str().starts_with("if-"))
            || request.query.iter().any(|(name, _)| name.starts_with("response-"));
        if (part.is_none() && wanted == Wanted::Whole) || asks_more || !self.likely_sealed(request, granted).await {
            return Ok(None);
        }
        let version = request.query("versionId").map(|version| ("versionId", version));
        let mut look = HttpRequest::new(upstream::empty());
        *look.method_mut() = Method::HEAD;
        *look.uri_mut() = upstream::uri(&granted.place.bucket, Some(&request.key), version.as_slice());
        *look.headers_mut() = headers::to_storage(&request.headers);
        look.headers_mut().remove(RANGE);
        let (head, _) = self.send(&granted.place.upstream, look).await?.into_parts();
        if head.status != StatusCode::OK {
            return Ok(None);
        }
        let metadata: Option<Metadata> = headers::sealed_metadata(&head.headers).map_err(unreadable)?;
        let keys = headers::customer_keys(&request.headers);
        let stored = Stored::read(head.headers, request.query("versionId"), keys)?;
        let Some(metadata) = metadata else {
            // What was stored encrypted and has lost its metadata is not learnt as plain.
            let (bucket, key) = (&request.bucket, &request.key);
            if version.is_none() && !self.known_sealed(&granted.document, bucket, key, &stored.headers).await {
                self.learn(request, &stored.headers, Known { encrypted: false, size: stored.len, kms: None });
            }
            return Ok(None);
        };
        self.get_sealed(request, granted, &stored, Some(&metadata), None, wanted, part).await.map(Some)
    }

    /// Whether the object may be sealed, and is not known to be plain.
    async fn likely_sealed(&self, request: &Request, granted: &Granted) -> bool {
        let document = &granted.document;
        if !document.holds_sealed(&request.bucket) && !holds_former_objects(document, &request.bucket) {
            return false;
        }
        if request.query("versionId").is_some() {
            return true;
        }
        self.ledger.current(&request.bucket, &request.key).await.is_none_or(|known| known.encrypted)
    }
}
