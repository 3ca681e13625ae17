//! Multipart uploads.

use http::Response;

use super::Front;
use super::error::Error;
use super::request::Request;
use crate::upstream::Body;

macro_rules! pending {
    ($($name:ident)+) => {
        impl Front {
            $(pub(super) async fn $name(&self, request: Request) -> Result<Response<Body>, Error> {
                self.grant(&request)?;
                Err(Error::not_implemented("Multipart uploads are not implemented."))
            })+
        }
    };
}

pending! { create_upload upload_part complete_upload abort_upload list_parts list_uploads object_attributes }
