//! The closed table of operations: what each needs, and what the gateway does with it.
//!
//! An operation is told by method, by whether the path names a bucket and a key, by the one query parameter that
//! selects a sub-resource, and for copies by a header. What is in no row is [`Operation::Unknown`].

use http::{HeaderMap, Method};

use crate::group::Action;

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `/`
    Service,
    /// `/bucket`
    Bucket,
    /// `/bucket/key`
    Object,
}

/// What the gateway does with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// Carries, reveals or moves object data, or shows sizes and `ETags`: has a function of its own.
    Own,
    /// Carries no object data: passes as it is.
    Pass,
    /// Would put object data into a bucket, or take it out, past the gateway's eyes: refused where encryption is or
    /// ever was due, passes otherwise.
    Around,
}

macro_rules! operations {
    ($($name:ident: $method:ident $scope:ident $selector:literal $action:ident $data:ident;)+) => {
        /// One S3 operation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Operation {
            $(#[expect(missing_docs, reason = "named by S3")] $name,)+
            /// In no row of the table.
            Unknown,
        }

        impl Operation {
            /// The name that S3 has for it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ Self::Unknown => "Unknown" }
            }

            /// The grant it needs on its bucket.
            pub const fn action(self) -> Action {
                match self { $(Self::$name => Action::$action,)+ Self::Unknown => Action::Manage }
            }

            /// What is done with it.
            pub const fn data(self) -> Data {
                match self { $(Self::$name => Data::$data,)+ Self::Unknown => Data::Around }
            }
        }

        const TABLE: &[(Operation, Method, Scope, &str)] =
            &[$((Operation::$name, Method::$method, Scope::$scope, $selector),)+];
    };
}

operations! {
    ListBuckets:                     GET Service "" List Own;

    ListObjects:                     GET Bucket "" List Own;
    ListObjectVersions:              GET Bucket "versions" List Own;
    ListMultipartUploads:            GET Bucket "uploads" List Own;
    HeadBucket:                      HEAD Bucket "" List Own;
    CreateBucket:                    PUT Bucket "" Manage Own;
    DeleteBucket:                    DELETE Bucket "" Manage Own;
    DeleteObjects:                   POST Bucket "delete" Delete Own;
    PostObject:                      POST Bucket "" Write Own;
    GetBucketLocation:               GET Bucket "location" List Own;
    GetBucketEncryption:             GET Bucket "encryption" List Own;
    PutBucketEncryption:             PUT Bucket "encryption" Manage Own;
    DeleteBucketEncryption:          DELETE Bucket "encryption" Manage Own;

    GetBucketVersioning:             GET Bucket "versioning" List Pass;
    PutBucketVersioning:             PUT Bucket "versioning" Manage Pass;
    GetObjectLockConfiguration:      GET Bucket "object-lock" List Pass;
    PutObjectLockConfiguration:      PUT Bucket "object-lock" Manage Pass;
    GetBucketTagging:                GET Bucket "tagging" List Pass;
    PutBucketTagging:                PUT Bucket "tagging" Manage Pass;
    DeleteBucketTagging:             DELETE Bucket "tagging" Manage Pass;
    GetBucketCors:                   GET Bucket "cors" List Pass;
    PutBucketCors:                   PUT Bucket "cors" Manage Pass;
    DeleteBucketCors:                DELETE Bucket "cors" Manage Pass;
    GetBucketLifecycle:              GET Bucket "lifecycle" List Pass;
    PutBucketLifecycle:              PUT Bucket "lifecycle" Manage Pass;
    DeleteBucketLifecycle:           DELETE Bucket "lifecycle" Manage Pass;
    GetBucketOwnershipControls:      GET Bucket "ownershipControls" List Pass;
    PutBucketOwnershipControls:      PUT Bucket "ownershipControls" Manage Pass;
    DeleteBucketOwnershipControls:   DELETE Bucket "ownershipControls" Manage Pass;
    GetBucketAcl:                    GET Bucket "acl" List Pass;
    PutBucketAcl:                    PUT Bucket "acl" Manage Pass;
    GetBucketPolicy:                 GET Bucket "policy" Manage Pass;
    PutBucketPolicy:                 PUT Bucket "policy" Manage Pass;
    DeleteBucketPolicy:              DELETE Bucket "policy" Manage Pass;
    GetBucketPolicyStatus:           GET Bucket "policyStatus" List Pass;
    GetPublicAccessBlock:            GET Bucket "publicAccessBlock" List Pass;
    PutPublicAccessBlock:            PUT Bucket "publicAccessBlock" Manage Pass;
    DeletePublicAccessBlock:         DELETE Bucket "publicAccessBlock" Manage Pass;
    GetBucketLogging:                GET Bucket "logging" Manage Pass;
    PutBucketLogging:                PUT Bucket "logging" Manage Pass;
    GetBucketNotification:           GET Bucket "notification" Manage Pass;
    PutBucketNotification:           PUT Bucket "notification" Manage Pass;
    GetBucketReplication:            GET Bucket "replication" Manage Pass;
    PutBucketReplication:            PUT Bucket "replication" Manage Pass;
    DeleteBucketReplication:         DELETE Bucket "replication" Manage Pass;
    GetBucketWebsite:                GET Bucket "website" List Pass;
    PutBucketWebsite:                PUT Bucket "website" Manage Pass;
    DeleteBucketWebsite:             DELETE Bucket "website" Manage Pass;
    GetBucketRequestPayment:         GET Bucket "requestPayment" List Pass;
    PutBucketRequestPayment:         PUT Bucket "requestPayment" Manage Pass;
    GetBucketAccelerate:             GET Bucket "accelerate" List Pass;
    PutBucketAccelerate:             PUT Bucket "accelerate" Manage Pass;
    GetBucketAnalytics:              GET Bucket "analytics" Manage Pass;
    PutBucketAnalytics:              PUT Bucket "analytics" Manage Pass;
    DeleteBucketAnalytics:           DELETE Bucket "analytics" Manage Pass;
    GetBucketMetrics:                GET Bucket "metrics" Manage Pass;
    PutBucketMetrics:                PUT Bucket "metrics" Manage Pass;
    DeleteBucketMetrics:             DELETE Bucket "metrics" Manage Pass;
    GetBucketInventory:              GET Bucket "inventory" Manage Pass;
    PutBucketInventory:              PUT Bucket "inventory" Manage Pass;
    DeleteBucketInventory:           DELETE Bucket "inventory" Manage Pass;
    GetBucketIntelligentTiering:     GET Bucket "intelligent-tiering" Manage Pass;
    PutBucketIntelligentTiering:     PUT Bucket "intelligent-tiering" Manage Pass;
    DeleteBucketIntelligentTiering:  DELETE Bucket "intelligent-tiering" Manage Pass;

    GetObject:                       GET Object "" Read Own;
    HeadObject:                      HEAD Object "" Read Own;
    PutObject:                       PUT Object "" Write Own;
    DeleteObject:                    DELETE Object "" Delete Own;
    CopyObject:                      PUT Object "copy" Write Own;
    GetObjectAttributes:             GET Object "attributes" Read Own;
    CreateMultipartUpload:           POST Object "uploads" Write Own;
    UploadPart:                      PUT Object "uploadId" Write Own;
    UploadPartCopy:                  PUT Object "uploadId copy" Write Own;
    CompleteMultipartUpload:         POST Object "uploadId" Write Own;
    AbortMultipartUpload:            DELETE Object "uploadId" Write Own;
    ListParts:                       GET Object "uploadId" Write Own;
    GetObjectTagging:                GET Object "tagging" Read Pass;
    PutObjectTagging:                PUT Object "tagging" Write Own;
    DeleteObjectTagging:             DELETE Object "tagging" Write Own;
    GetObjectAcl:                    GET Object "acl" Read Pass;
    PutObjectAcl:                    PUT Object "acl" Manage Pass;
    GetObjectRetention:              GET Object "retention" Read Pass;
    PutObjectRetention:              PUT Object "retention" Write Pass;
    GetObjectLegalHold:              GET Object "legal-hold" Read Pass;
    PutObjectLegalHold:              PUT Object "legal-hold" Write Pass;
    RestoreObject:                   POST Object "restore" Write Pass;
    GetObjectTorrent:                GET Object "torrent" Read Around;
    SelectObjectContent:             POST Object "select" Read Around;
    RenameObject:                    PUT Object "renameObject" Write Around;
}

/// Query parameters that select nothing.
const NEUTRAL: &[&str] = &[
    "x-id",
    "versionId",
    "prefix",
    "delimiter",
    "marker",
    "max-keys",
    "encoding-type",
    "continuation-token",
    "start-after",
    "fetch-owner",
    "list-type",
    "key-marker",
    "version-id-marker",
    "upload-id-marker",
    "max-uploads",
    "part-number-marker",
    "max-parts",
    "max-buckets",
    "bucket-region",
    // Ceph: a list in whatever order is cheapest.
    "allow-unordered",
    "select-type",
    "id",
    "response-content-type",
    "response-content-language",
    "response-expires",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    // Where S3 sends the browser after a form upload.
    "bucket",
    "key",
    "etag",
];

/// The sub-resources in a signature of version 2, by the documentation and by what clients sign (botocore), less those that
/// an `id` beside them selects from, which it does not cover.
const SIGNED_BY_2: &[&str] = &[
    "accelerate",
    "acl",
    "cors",
    "delete",
    "lifecycle",
    "location",
    "logging",
    "notification",
    "object-lock",
    "policy",
    "replication",
    "requestPayment",
    "restore",
    "select",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versioning",
    "versions",
    "website",
];

/// Headers by which a PUT would write in a way that no row knows.
const STRANGE_WRITES: &[&str] = &["x-amz-write-offset-bytes", "x-amz-rename-source"];

impl Operation {
    /// Whether it may change something at the storage, or in the group document.
    pub fn writes(self) -> bool {
        let row = TABLE.iter().find(|(operation, ..)| *operation == self);
        row.is_none_or(|(_, method, ..)| !matches!(*method, Method::GET | Method::HEAD))
    }

    /// Whether it is about what the storage keeps: the rest only the gateway knows, and judges.
    pub fn is_for_the_storage(self) -> bool {
        !matches!(self, Self::GetBucketEncryption | Self::PutBucketEncryption | Self::DeleteBucketEncryption)
    }

    /// Whether a signature of version 2 covers what makes a request this operation: otherwise one could be turned into it.
    pub fn is_signed_by_version_2(self) -> bool {
        let row = TABLE.iter().find(|(operation, ..)| *operation == self);
        row.is_some_and(|(.., selector)| {
            matches!(*selector, "" | "copy" | "uploadId copy") || SIGNED_BY_2.contains(selector)
        })
    }

    /// The operation of a request.
    pub fn of(method: &Method, scope: Scope, query: &[(String, String)], headers: &HeaderMap) -> Self {
        let mut selector = "";
        for (name, _) in query {
            let name = name.as_str();
            // `partNumber` belongs to uploads, and on reads it picks a part.
            let neutral = NEUTRAL.contains(&name)
                || name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"))
                || (name == "partNumber"
                    && (matches!(*method, Method::GET | Method::HEAD) || query.iter().any(|(n, _)| n == "uploadId")));
            if neutral || name == selector {
                continue;
            }
            if !selector.is_empty() {
                return Self::Unknown;
            }
            selector = name;
        }
        if *method == Method::PUT && STRANGE_WRITES.iter().any(|name| headers.contains_key(*name)) {
            return Self::Unknown;
        }
        let copies = *method == Method::PUT && headers.contains_key("x-amz-copy-source");
        let selector = match (selector, copies) {
            ("", true) => "copy",
            ("uploadId", true) => "uploadId copy",
            ("copy" | "uploadId copy", _) => return Self::Unknown,
            (selector, _) => selector,
        };
        let row = TABLE.iter().find(|(_, m, s, q)| m == method && *s == scope && *q == selector);
        row.map_or(Self::Unknown, |(operation, ..)| *operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &Method, scope: Scope, query: &[&str]) -> Operation {
        let query: Vec<_> = query.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        Operation::of(method, scope, &query, &HeaderMap::new())
    }

    #[test]
    fn no_two_rows_are_told_apart_by_nothing() {
        for (index, (_, method, scope, selector)) in TABLE.iter().enumerate() {
            let twin = TABLE[index + 1..].iter().find(|(_, m, s, q)| m == method && s == scope && q == selector);
            assert!(twin.is_none(), "{method} {scope:?} {selector}");
        }
    }

    #[test]
    fn neutral_parameters_do_not_hide_the_operation() {
        assert_eq!(of(&Method::GET, Scope::Bucket, &["list-type", "prefix"]), Operation::ListObjects);
        assert_eq!(of(&Method::GET, Scope::Bucket, &["allow-unordered"]), Operation::ListObjects);
        assert_eq!(of(&Method::GET, Scope::Object, &["versionId", "partNumber", "x-id"]), Operation::GetObject);
        assert_eq!(of(&Method::PUT, Scope::Object, &["partNumber", "uploadId"]), Operation::UploadPart);
        assert_eq!(of(&Method::GET, Scope::Object, &["X-Amz-Signature"]), Operation::GetObject);
    }

    #[test]
    fn what_is_in_no_row_is_unknown_and_needs_manage() {
        assert_eq!(of(&Method::PUT, Scope::Object, &["partNumber"]), Operation::Unknown);
        assert_eq!(of(&Method::PUT, Scope::Object, &["append", "position"]), Operation::Unknown);
        assert_eq!(of(&Method::GET, Scope::Object, &["acl", "tagging"]), Operation::Unknown);
        assert_eq!(of(&Method::PUT, Scope::Object, &["copy"]), Operation::Unknown);
        assert_eq!(of(&Method::POST, Scope::Object, &[]), Operation::Unknown);
        assert_eq!(of(&Method::GET, Scope::Bucket, &["nonsense"]), Operation::Unknown);
        assert_eq!(Operation::Unknown.action(), Action::Manage);
        assert_eq!(Operation::Unknown.data(), Data::Around);
        let appending = HeaderMap::from_iter([("x-amz-write-offset-bytes".parse().unwrap(), "5".parse().unwrap())]);
        assert_eq!(Operation::of(&Method::PUT, Scope::Object, &[], &appending), Operation::Unknown);
    }

    /// `docs/S3.md` has one row for each operation, with its grant, and says truly what the directory storage has.
    #[test]
    fn the_document_has_every_operation_as_it_is() {
        let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/S3.md")).unwrap();
        let chapters: Vec<&str> = document.split("\n## ").collect();
        let offered = |name: &str| {
            let long = format!("{name}Configuration");
            directory::OPERATIONS.iter().any(|row| row.offered && (row.name == name || row.name == long))
        };
        for (chapter, data) in [(1, Data::Own), (2, Data::Pass), (3, Data::Around)] {
            let rows = chapters[chapter].lines().filter(|line| line.starts_with("| `"));
            let mut said: Vec<String> = rows
                .map(|line| {
                    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                    format!("{} {} {}", cells[1], cells[2], cells[cells.len() - 2])
                })
                .collect();
            let mut are: Vec<String> = TABLE
                .iter()
                .filter(|(operation, ..)| operation.data() == data)
                .map(|(operation, ..)| {
                    // The gateway makes a PUT of a form.
                    let own = !operation.is_for_the_storage() || *operation == Operation::PostObject;
                    let has = match (own, offered(operation.name())) {
                        (true, _) => "the gateway’s own",
                        (false, true) => "yes",
                        (false, false) => "no",
                    };
                    format!("`{}` {} {has}", operation.name(), format!("{:?}", operation.action()).to_lowercase())
                })
                .collect();
            said.sort();
            are.sort();
            assert_eq!(said, are, "docs/S3.md, chapter {chapter}");
        }
    }
}
