//! CopyObject and UploadPartCopy.

use http::Response;

use super::Front;
use super::error::Error;
use super::request::Request;
use crate::upstream::Body;

impl Front {
    pub(super) async fn copy_object(&self, request: Request) -> Result<Response<Body>, Error> {
        self.grant(&request)?;
        Err(Error::not_implemented("Copies are not implemented."))
    }

    pub(super) async fn upload_part_copy(&self, request: Request) -> Result<Response<Body>, Error> {
        self.grant(&request)?;
        Err(Error::not_implemented("Copies are not implemented."))
    }
}
