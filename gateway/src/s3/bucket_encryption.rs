//! Get/Put/DeleteBucketEncryption: the bucket's toggle, so that ordinary S3 tools can switch it.
//!
//! The rule itself stays here: the storage is not asked to encrypt what is sealed already.

use http::{Method, Response, StatusCode};

use super::Front;
use super::error::Error;
use super::headers::kms_key_id;
use super::request::Request;
use super::service::xml;
use crate::upstream::{self, Body};

/// The largest document that is taken, in bytes.
const MAX_DOCUMENT: usize = 64 << 10;

impl Front {
    pub(super) async fn put_bucket_encryption(&self, mut request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        let document = self.small_body(&mut request, MAX_DOCUMENT).await?;
        check_rule(&document)?;
        self.bucket_exists(&request, &granted).await?;
        self.toggle(&request.bucket, true).await?;
        Ok(Response::new(upstream::empty()))
    }

    pub(super) async fn delete_bucket_encryption(&self, request: Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(&request)?;
        self.bucket_exists(&request, &granted).await?;
        self.toggle(&request.bucket, false).await?;
        let mut response = Response::new(upstream::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    pub(super) fn get_bucket_encryption(&self, request: &Request) -> Result<Response<Body>, Error> {
        let granted = self.grant(request)?;
        if !granted.document.toggled(&request.bucket) {
            return Err(Error::no_encryption_configuration("The server side encryption configuration was not found"));
        }
        let kms = granted.document.active_kms.as_ref().map(|id| kms_key_id(id.as_str()));
        let key = kms.map(|id| format!("<KMSMasterKeyID>{id}</KMSMasterKeyID>")).unwrap_or_default();
        Ok(xml(
            StatusCode::OK,
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                 <ServerSideEncryptionConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Rule>\
                 <ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm>{key}\
                 </ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled></Rule>\
                 </ServerSideEncryptionConfiguration>"
            ),
        ))
    }

    async fn toggle(&self, bucket: &str, encrypt: bool) -> Result<(), Error> {
        let now = u64::try_from(crate::state::now_ms()).unwrap_or_default();
        self.group.edit(|document| document.set_encryption(bucket, encrypt, now)).await.map_err(|error| {
            Error::slow_down("The bucket's encryption could not be changed. Look again, then try again.").because(error)
        })
    }

    async fn bucket_exists(&self, request: &Request, granted: &super::access::Granted) -> Result<(), Error> {
        let head = upstream::request(Method::HEAD, upstream::uri(&granted.place.bucket, None, &[]));
        match self.send(&granted.place.upstream, head).await?.status() {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(Error::no_such_bucket("The specified bucket does not exist")),
            status => Err(Error::unseen(status, &format!("The bucket {} could not be looked up", request.bucket))),
        }
    }
}

/// One rule with an algorithm that S3 knows.
fn check_rule(document: &[u8]) -> Result<(), Error> {
    use quick_xml::events::Event;
    let malformed = || Error::malformed_xml("The XML you provided was not well-formed or did not validate.");
    let mut reader = quick_xml::Reader::from_reader(document);
    let (mut field, mut root, mut algorithm) = (Vec::new(), false, None);
    loop {
        match reader.read_event().map_err(|_| malformed())? {
            Event::Start(start) => {
                field = start.local_name().as_ref().to_vec();
                root |= field == b"ServerSideEncryptionConfiguration";
            }
            Event::Text(text) if field == b"SSEAlgorithm" => {
                algorithm = Some(text.decode().map_err(|_| malformed())?.trim().to_owned());
            }
            Event::End(_) => field.clear(),
            Event::Eof => break,
            _ => {}
        }
    }
    match algorithm.as_deref() {
        Some("AES256" | "aws:kms" | "aws:kms:dsse") if root => Ok(()),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_rule_that_s3_knows_switches_encryption_on() {
        let rule = |algorithm: &str| {
            format!(
                "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
                 <SSEAlgorithm>{algorithm}</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>\
                 </ServerSideEncryptionConfiguration>"
            )
        };
        assert!(check_rule(rule("AES256").as_bytes()).is_ok());
        assert!(check_rule(rule("aws:kms").as_bytes()).is_ok());
        for bad in [rule("ROT13"), "<x/>".into(), String::new(), "<a><b></a>".into()] {
            assert_eq!(check_rule(bad.as_bytes()).unwrap_err().code, "MalformedXML", "{bad}");
        }
    }
}
