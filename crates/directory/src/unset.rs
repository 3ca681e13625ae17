//! What clients ask of every bucket and what is set for none here: answered as S3 answers where nothing was set.

use std::sync::Arc;

use http::StatusCode;

use crate::answer;
use crate::error::{Answer, Code, S3Error};
use crate::put::must_exist;
use crate::request::Call;
use crate::storage::Storage;
use crate::transfer::blocking;
use crate::xml::Writer;

/// What S3 says of it.
enum Unset {
    /// An error of its own.
    Error(Code, &'static str),
    /// A document with these elements, from the outermost to the innermost, and its text.
    Document(&'static [&'static str], &'static str),
    /// Nothing: it is not there now either.
    Removed,
}

/// The answer to the operation of this name.
fn of(operation: &str) -> Option<Unset> {
    use Unset::{Document, Error};
    Some(match operation {
        "GetBucketPolicy" | "GetBucketPolicyStatus" => {
            Error(Code::NoSuchBucketPolicy, "The bucket policy does not exist")
        }
        "GetPublicAccessBlock" => {
            Error(Code::NoSuchPublicAccessBlockConfiguration, "The public access block configuration was not found")
        }
        "GetBucketCors" => Error(Code::NoSuchCorsConfiguration, "The CORS configuration does not exist"),
        "GetBucketTagging" => Error(Code::NoSuchTagSet, "The TagSet does not exist"),
        "GetBucketLifecycleConfiguration" => {
            Error(Code::NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist")
        }
        "GetBucketWebsite" => {
            Error(Code::NoSuchWebsiteConfiguration, "The specified bucket does not have a website configuration")
        }
        "GetBucketReplication" => {
            Error(Code::ReplicationConfigurationNotFound, "The replication configuration was not found")
        }
        "GetObjectLockConfiguration" => {
            Error(Code::ObjectLockConfigurationNotFound, "Object Lock configuration does not exist for this bucket")
        }
        "GetBucketOwnershipControls" => {
            Document(&["OwnershipControls", "Rule", "ObjectOwnership"], "BucketOwnerEnforced")
        }
        "GetBucketRequestPayment" => Document(&["RequestPaymentConfiguration", "Payer"], "BucketOwner"),
        "GetBucketLogging" => Document(&["BucketLoggingStatus"], ""),
        "GetBucketNotificationConfiguration" => Document(&["NotificationConfiguration"], ""),
        "GetBucketAccelerateConfiguration" => Document(&["AccelerateConfiguration"], ""),
        "Preflight of a bucket" | "Preflight of an object" => {
            Error(Code::AccessForbidden, "CORSResponse: CORS is not enabled for this bucket.")
        }
        "DeletePublicAccessBlock"
        | "DeleteBucketPolicy"
        | "DeleteBucketCors"
        | "DeleteBucketTagging"
        | "DeleteBucketLifecycle"
        | "DeleteBucketWebsite"
        | "DeleteBucketReplication" => Unset::Removed,
        _ => return None,
    })
}

/// Answers the operation of this name, if it is one of these.
pub(crate) async fn get(operation: &'static str, storage: Arc<Storage>, call: Call) -> Option<Answer> {
    let unset = of(operation)?;
    let found = blocking(move || must_exist(&storage, &call.bucket)).await;
    Some(found.and_then(|()| match unset {
        Unset::Removed => Ok(answer::status(StatusCode::NO_CONTENT)),
        Unset::Error(code, message) => Err(S3Error::new(code, message)),
        Unset::Document(elements, text) => {
            let mut xml = Writer::new();
            xml.root(elements[0]);
            elements[1..].iter().for_each(|element| xml.open(element));
            xml.inner(text);
            elements.iter().rev().for_each(|element| xml.close(element));
            Ok(answer::xml(xml.finish()))
        }
    }))
}
