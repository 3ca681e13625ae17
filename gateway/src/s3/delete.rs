//! `DeleteObject` and `DeleteObjects`: they pass, and what is known of the objects is forgotten.

use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Response};

use super::Front;
use super::error::Error;
use super::headers::{self, client_response};
use super::passthrough::md5_of;
use super::request::Request;
use crate::upstream::{self, Body};

/// A thousand keys of 1,024 bytes, each of which XML may write six times as long, and their versions.
const MAX_DOCUMENT: usize = 8 << 20;

impl Front {
    pub(super) async fn delete_object(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let mut head = headers::to_storage(&request.headers);
        if request.headers.contains_key("if-match") {
            head.remove("if-match");
            head.extend(self.put_conditions(&request, &granted).await?);
        }
        let response = self.forward(&request, &granted, head, upstream::empty()).await?;
        if response.status().is_success() && request.query("versionId").is_none() {
            self.ledger.forget(&request.bucket, &request.key);
            self.footers.forget(&granted.place, &request.key, None);
        }
        let (head, body) = response.into_parts();
        Ok(client_response(head.status, headers::to_client(&head.headers), body))
    }

    pub(super) async fn delete_objects(&self, mut request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let document = self.small_body(&mut request, MAX_DOCUMENT).await?;
        if !document.starts_with(b"<") && !document.starts_with(b"\xef\xbb\xbf<") {
            return Err(Error::malformed_xml("The XML you provided was not well-formed."));
        }
        let mut head = headers::to_storage(&request.headers);
        headers::drop_checks(&mut head);
        head.insert("content-md5", md5_of(&document));
        head.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
        let response = self.forward(&request, &granted, head, upstream::full(document)).await?;
        let (head, body) = response.into_parts();
        Ok(client_response(head.status, headers::to_client(&head.headers), body))
    }
}
