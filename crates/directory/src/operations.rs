//! The closed table of S3's operations: what is there, what is not, and how a request is matched to one.
//!
//! A request in no row, with a query parameter that its row does not name, or with an `x-amz-` header that nothing
//! here honours, is `NotImplemented`: it may ask for something that silence would not give.

use http::{HeaderMap, Method};

use crate::acl;
use crate::error::{Code, S3Error};
use crate::request::Query;

/// One operation of S3, and whether this storage has it.
#[derive(Debug)]
pub struct Operation {
    /// Its name in the S3 API reference.
    pub name: &'static str,
    /// Whether it is answered; otherwise it is 501 `NotImplemented`.
    pub offered: bool,
    method: &'static str,
    on: Target,
    /// Query parameters that tell it from others of the same method and target.
    marks: &'static [&'static str],
    /// A header that does.
    header: Option<&'static str>,
    /// Query parameters that it takes beside its marks.
    takes: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Service,
    Bucket,
    Object,
}

use Target::{Bucket, Object, Service};

const READ: &[&str] = &[
    "partNumber",
    "versionId",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];
const COPY: Option<&str> = Some("x-amz-copy-source");

const fn has(
    name: &'static str,
    method: &'static str,
    on: Target,
    marks: &'static [&'static str],
    takes: &'static [&'static str],
) -> Operation {
    Operation { name, offered: true, method, on, marks, header: None, takes }
}

const fn copies(name: &'static str, marks: &'static [&'static str]) -> Operation {
    Operation { name, offered: true, method: "PUT", on: Object, marks, header: COPY, takes: &[] }
}

const fn lacks(name: &'static str, method: &'static str, on: Target, marks: &'static [&'static str]) -> Operation {
    Operation { name, offered: false, method, on, marks, header: None, takes: &[] }
}

/// Every operation that this storage tells apart; the first ones are offered.
pub const OPERATIONS: &[Operation] = &[
    has("ListBuckets", "GET", Service, &[], &["max-buckets", "continuation-token", "prefix", "bucket-region"]),
    has("CreateBucket", "PUT", Bucket, &[], &[]),
    has("HeadBucket", "HEAD", Bucket, &[], &[]),
    has("DeleteBucket", "DELETE", Bucket, &[], &[]),
    has("GetBucketLocation", "GET", Bucket, &["location"], &[]),
    has(
        "ListObjects",
        "GET",
        Bucket,
        &[],
        // The last three are where S3 sends the browser after a form upload; they ask for nothing.
        &["prefix", "delimiter", "marker", "max-keys", "encoding-type", "bucket", "key", "etag"],
    ),
    has(
        "ListObjectsV2",
        "GET",
        Bucket,
        &["list-type"],
        &["prefix", "delimiter", "continuation-token", "start-after", "max-keys", "encoding-type", "fetch-owner"],
    ),
    has(
        "ListObjectVersions",
        "GET",
        Bucket,
        &["versions"],
        &["prefix", "delimiter", "key-marker", "version-id-marker", "max-keys", "encoding-type"],
    ),
    has("GetBucketVersioning", "GET", Bucket, &["versioning"], &[]),
    has("DeleteObjects", "POST", Bucket, &["delete"], &[]),
    has(
        "ListMultipartUploads",
        "GET",
        Bucket,
        &["uploads"],
        &["prefix", "delimiter", "key-marker", "upload-id-marker", "max-uploads", "encoding-type"],
    ),
    has("PutObject", "PUT", Object, &[], &[]),
    copies("CopyObject", &[]),
    has("GetObject", "GET", Object, &[], READ),
    has("HeadObject", "HEAD", Object, &[], READ),
    has("DeleteObject", "DELETE", Object, &[], &["versionId"]),
    has("GetObjectTagging", "GET", Object, &["tagging"], &["versionId"]),
    has("PutObjectTagging", "PUT", Object, &["tagging"], &["versionId"]),
    has("DeleteObjectTagging", "DELETE", Object, &["tagging"], &["versionId"]),
    has("CreateMultipartUpload", "POST", Object, &["uploads"], &[]),
    has("UploadPart", "PUT", Object, &["uploadId", "partNumber"], &[]),
    copies("UploadPartCopy", &["uploadId", "partNumber"]),
    has("CompleteMultipartUpload", "POST", Object, &["uploadId"], &[]),
    has("AbortMultipartUpload", "DELETE", Object, &["uploadId"], &[]),
    has("GetObjectAttributes", "GET", Object, &["attributes"], &["versionId"]),
    has("ListParts", "GET", Object, &["uploadId"], &["max-parts", "part-number-marker", "encoding-type"]),
    has("GetObjectAcl", "GET", Object, &["acl"], &["versionId"]),
    has("PutObjectAcl", "PUT", Object, &["acl"], &["versionId"]),
    has("GetBucketAcl", "GET", Bucket, &["acl"], &[]),
    has("PutBucketAcl", "PUT", Bucket, &["acl"], &[]),
    // Nothing of these is set here, and that is what is answered.
    has("GetBucketTagging", "GET", Bucket, &["tagging"], &[]),
    has("GetBucketPolicy", "GET", Bucket, &["policy"], &[]),
    has("GetBucketPolicyStatus", "GET", Bucket, &["policyStatus"], &[]),
    has("GetBucketCors", "GET", Bucket, &["cors"], &[]),
    has("GetBucketLifecycleConfiguration", "GET", Bucket, &["lifecycle"], &[]),
    has("GetBucketWebsite", "GET", Bucket, &["website"], &[]),
    has("GetBucketNotificationConfiguration", "GET", Bucket, &["notification"], &[]),
    has("GetBucketLogging", "GET", Bucket, &["logging"], &[]),
    has("GetBucketReplication", "GET", Bucket, &["replication"], &[]),
    has("GetBucketRequestPayment", "GET", Bucket, &["requestPayment"], &[]),
    has("GetBucketAccelerateConfiguration", "GET", Bucket, &["accelerate"], &[]),
    has("GetBucketOwnershipControls", "GET", Bucket, &["ownershipControls"], &[]),
    has("GetPublicAccessBlock", "GET", Bucket, &["publicAccessBlock"], &[]),
    has("GetObjectLockConfiguration", "GET", Bucket, &["object-lock"], &[]),
    has("DeletePublicAccessBlock", "DELETE", Bucket, &["publicAccessBlock"], &[]),
    has("DeleteBucketPolicy", "DELETE", Bucket, &["policy"], &[]),
    has("DeleteBucketCors", "DELETE", Bucket, &["cors"], &[]),
    has("DeleteBucketTagging", "DELETE", Bucket, &["tagging"], &[]),
    has("DeleteBucketLifecycle", "DELETE", Bucket, &["lifecycle"], &[]),
    has("DeleteBucketWebsite", "DELETE", Bucket, &["website"], &[]),
    has("DeleteBucketReplication", "DELETE", Bucket, &["replication"], &[]),
    has("Preflight of a bucket", "OPTIONS", Bucket, &[], &[]),
    has("Preflight of an object", "OPTIONS", Object, &[], &[]),
    lacks("PutBucketVersioning", "PUT", Bucket, &["versioning"]),
    lacks("PutBucketTagging", "PUT", Bucket, &["tagging"]),
    lacks("GetBucketEncryption", "GET", Bucket, &["encryption"]),
    lacks("PutBucketEncryption", "PUT", Bucket, &["encryption"]),
    lacks("DeleteBucketEncryption", "DELETE", Bucket, &["encryption"]),
    lacks("PutBucketPolicy", "PUT", Bucket, &["policy"]),
    lacks("PutBucketCors", "PUT", Bucket, &["cors"]),
    lacks("PutBucketLifecycleConfiguration", "PUT", Bucket, &["lifecycle"]),
    lacks("PutBucketWebsite", "PUT", Bucket, &["website"]),
    lacks("PutBucketNotificationConfiguration", "PUT", Bucket, &["notification"]),
    lacks("PutBucketLogging", "PUT", Bucket, &["logging"]),
    lacks("PutBucketReplication", "PUT", Bucket, &["replication"]),
    lacks("PutBucketRequestPayment", "PUT", Bucket, &["requestPayment"]),
    lacks("PutBucketAccelerateConfiguration", "PUT", Bucket, &["accelerate"]),
    lacks("PutBucketOwnershipControls", "PUT", Bucket, &["ownershipControls"]),
    lacks("DeleteBucketOwnershipControls", "DELETE", Bucket, &["ownershipControls"]),
    lacks("PutPublicAccessBlock", "PUT", Bucket, &["publicAccessBlock"]),
    lacks("PutObjectLockConfiguration", "PUT", Bucket, &["object-lock"]),
    lacks("GetObjectLegalHold", "GET", Object, &["legal-hold"]),
    lacks("PutObjectLegalHold", "PUT", Object, &["legal-hold"]),
    lacks("GetObjectRetention", "GET", Object, &["retention"]),
    lacks("PutObjectRetention", "PUT", Object, &["retention"]),
    lacks("GetObjectTorrent", "GET", Object, &["torrent"]),
    lacks("RestoreObject", "POST", Object, &["restore"]),
    lacks("SelectObjectContent", "POST", Object, &["select"]),
    lacks("RenameObject", "PUT", Object, &["renameObject"]),
    lacks("POST Object (form upload)", "POST", Bucket, &[]),
];

/// `x-amz-` headers that are honoured, or that ask for nothing of the storage. Ends in `*`: any that begin so.
const HEADERS: &[&str] = &[
    "x-amz-acl",                         // only values that give nobody else access, see acl.rs
    "x-amz-bucket-object-lock-enabled",  // only false
    "x-amz-object-ownership",            // only BucketOwnerEnforced
    "x-amz-bypass-governance-retention", // there is no retention to get past
    "x-amz-checksum-*",
    "x-amz-content-sha256", // part of the signature; not the streaming forms, whose body is framed
    "x-amz-copy-source",
    "x-amz-copy-source-if-*",
    "x-amz-copy-source-range",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-expected-bucket-owner",
    "x-amz-if-match-last-modified-time", // of DeleteObject only
    "x-amz-if-match-size",               // the same
    "x-amz-meta-*",
    "x-amz-max-parts",
    "x-amz-metadata-directive",
    "x-amz-mp-object-size",
    "x-amz-object-attributes",
    "x-amz-optional-object-attributes",
    "x-amz-part-number-marker",
    "x-amz-request-payer",
    "x-amz-sdk-*",
    "x-amz-security-token",
    "x-amz-source-expected-bucket-owner",
    "x-amz-storage-class",
    "x-amz-tagging",
    "x-amz-tagging-directive",
    "x-amz-trailer",
    "x-amz-user-agent",
    "x-amz-website-redirect-location",
];

/// The operation of a request.
pub(crate) fn route(
    method: &Method,
    bucket: &str,
    key: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Result<&'static Operation, S3Error> {
    let on = match (bucket, key) {
        ("", _) => Service,
        (_, "") => Bucket,
        _ => Object,
    };
    let weight = |operation: &Operation| operation.marks.len() + usize::from(operation.header.is_some());
    let operation = OPERATIONS
        .iter()
        .filter(|operation| operation.on == on && operation.method == method.as_str())
        .filter(|operation| operation.marks.iter().all(|mark| query.has(mark)))
        .filter(|operation| operation.header.is_none_or(|header| headers.contains_key(header)))
        .max_by_key(|operation| weight(operation))
        .ok_or_else(|| not_implemented(&format!("{method} of this resource")))?;
    if !operation.offered {
        return Err(not_implemented(operation.name));
    }
    let known = |name: &str| {
        operation.marks.contains(&name)
            || operation.takes.contains(&name)
            || name == "x-id"
            || name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"))
    };
    if let Some(name) = query.names().find(|name| !known(name)) {
        return Err(not_implemented(&format!("{} with the parameter {name}", operation.name)));
    }
    check_headers(operation, headers)?;
    Ok(operation)
}

fn check_headers(operation: &Operation, headers: &HeaderMap) -> Result<(), S3Error> {
    acl::check_headers(headers)?;
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("x-amz-") {
            continue;
        }
        let listed = HEADERS.iter().any(|known| match known.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == *known,
        });
        let value = value.as_bytes();
        let honoured = listed
            && match name {
                "x-amz-bucket-object-lock-enabled" => value.eq_ignore_ascii_case(b"false"),
                "x-amz-object-ownership" => value == b"BucketOwnerEnforced",
                "x-amz-if-match-last-modified-time" | "x-amz-if-match-size" => operation.name == "DeleteObject",
                "x-amz-content-sha256" => !value.starts_with(b"STREAMING-"),
                _ => true,
            };
        if !honoured {
            return Err(not_implemented(&format!("{} with this value of the header {name}", operation.name)));
        }
    }
    Ok(())
}

/// The answer to whatever is not offered.
pub(crate) fn not_implemented(what: &str) -> S3Error {
    S3Error::new(Code::NotImplemented, format!("The directory storage does not have {what}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_distinct_and_offered_ones_come_first() {
        for (index, row) in OPERATIONS.iter().enumerate() {
            let same = |other: &&Operation| {
                (other.method, other.on, other.header) == (row.method, row.on, row.header) && other.marks == row.marks
            };
            assert_eq!(OPERATIONS.iter().filter(same).count(), 1, "{}", row.name);
            assert_eq!(OPERATIONS.iter().filter(|other| other.name == row.name).count(), 1, "{}", row.name);
            assert!(row.offered || OPERATIONS[index..].iter().all(|later| !later.offered), "{}", row.name);
        }
    }

    #[test]
    fn a_request_that_asks_for_more_than_there_is_is_not_implemented() {
        let route = |method: &str, key: &str, query: &str, header: Option<(&'static str, &'static str)>| {
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, value.parse().unwrap());
            }
            let query = Query::parse(query).unwrap();
            route(&method.parse().unwrap(), "bucket", key, &query, &headers).map(|row| row.name).map_err(|e| e.code())
        };
        let refused = Err(Code::NotImplemented);
        for (method, key, query, header, expected) in [
            ("GET", "k", "x-id=GetObject&X-Amz-Date=1", None, Ok("GetObject")),
            ("GET", "k", "surprise", None, refused),
            ("GET", "k", "acl", None, Ok("GetObjectAcl")),
            ("GET", "", "publicAccessBlock", None, Ok("GetPublicAccessBlock")),
            ("PUT", "", "publicAccessBlock", None, refused),
            ("GET", "k", "tagging&acl", None, refused),
            ("GET", "", "versions&prefix=a", None, Ok("ListObjectVersions")),
            ("PUT", "", "versioning", None, refused),
            ("GET", "", "list-type=2&prefix=a", None, Ok("ListObjectsV2")),
            ("GET", "", "list-type=2&marker=a", None, refused),
            ("PUT", "k", "", Some(("x-amz-server-side-encryption", "AES256")), refused),
            ("PUT", "k", "", Some(("x-amz-acl", "public-read")), Err(Code::AccessControlListNotSupported)),
            ("PUT", "k", "", Some(("x-amz-acl", "private")), Ok("PutObject")),
            ("PUT", "k", "", Some(("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")), refused),
            ("POST", "", "delete", Some(("x-amz-bypass-governance-retention", "true")), Ok("DeleteObjects")),
            ("PUT", "k", "", Some(("x-amz-object-lock-mode", "GOVERNANCE")), refused),
            ("PUT", "k", "", Some(("x-amz-write-offset-bytes", "1")), refused),
            ("PUT", "k", "", Some(("x-amz-if-match-size", "1")), refused),
            ("DELETE", "k", "", Some(("x-amz-if-match-size", "1")), Ok("DeleteObject")),
            ("PUT", "k", "", Some(("x-amz-copy-source", "b/k")), Ok("CopyObject")),
            ("PUT", "k", "uploadId=1&partNumber=1", Some(("x-amz-copy-source", "b/k")), Ok("UploadPartCopy")),
            ("PUT", "k", "uploadId=1&partNumber=1", None, Ok("UploadPart")),
            ("PUT", "k", "uploadId=1", None, refused),
            ("POST", "", "", None, refused),
            ("PATCH", "k", "", None, refused),
            ("OPTIONS", "k", "", None, Ok("Preflight of an object")),
            ("OPTIONS", "k", "surprise", None, refused),
        ] {
            assert_eq!(route(method, key, query, header), expected, "{method} {key} {query} {header:?}");
        }
    }
}
