//! Which headers go where: the client's to the storage, the storage's to the client. What is not named here passes.

use envelope::{ChecksumAlgorithm, Metadata, UserMetadata, is_reserved};
use http::header::{CONTENT_ENCODING, ETAG, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};

use super::checksum;
use super::error::Error;
use crate::upstream::Body;

/// Between two neighbours only (RFC 9110, section 7.6.1).
const HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Of the client's connection and signature, or settled by the gateway.
const CLIENT_ONLY: &[&str] = &[
    "authorization",
    "host",
    "expect",
    "date",
    "user-agent",
    "accept-encoding",
    "content-length",
    "x-amz-date",
    "x-amz-content-sha256",
    "x-amz-decoded-content-length",
    "x-amz-security-token",
    "x-amz-trailer",
    "x-amz-user-agent",
    "x-amz-sdk-checksum-algorithm",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "forwarded",
];

/// What asks for encryption at the storage, apart from keys of the client's own.
const SSE: &[&str] = &[
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-context",
    "x-amz-server-side-encryption-bucket-key-enabled",
];

/// Begins the names of what carries a key of the client's own.
const CUSTOMER_KEY: &str = "x-amz-server-side-encryption-customer-";

/// What names the source of a copy, and says something of it.
pub const COPY_SOURCE: &str = "x-amz-copy-source";

/// Of the storage's connection only.
const STORAGE_ONLY: &[&str] = &["date", "server", "x-amz-request-id", "x-amz-id-2", "x-rgw-object-type"];

/// Takes away what S3 does not know, and a storage might take for another header than it was checked as. Ceph RGW 16 reads
/// `_` in a name as `-`, also in the signature, so that `x_amz_copy_source` names a source; and takes further names for
/// those of user metadata.
pub fn drop_lookalikes(headers: &mut HeaderMap) {
    const METADATA: &str = "x-amz-meta-";
    const ALIASES: [&str; 6] = ["x-goog-", "x-dho-", "x-rgw-", "x-object-", "x-container-", "x-account-"];
    let looks = |name: &str| {
        (name.contains('_') && !name.starts_with(METADATA)) || ALIASES.iter().any(|alias| name.starts_with(alias))
    };
    let names: Vec<_> = headers.keys().filter(|name| looks(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// Headers that give rights away: they need the `manage` grant.
pub fn gives_rights_away(headers: &HeaderMap) -> bool {
    let acl = headers.get("x-amz-acl").is_some_and(|value| value != "private");
    acl || headers.contains_key("x-amz-bypass-governance-retention")
        || headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-"))
}

/// `InvalidArgument` where the client sends a header that is ours.
pub fn refuse_reserved(headers: &HeaderMap) -> Result<(), Error> {
    match headers.keys().find(|name| is_reserved(name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Error::invalid_argument(format!("The header {name} is reserved."))),
    }
}

/// The client's user metadata: full lower-case names, raw values.
pub fn user_metadata(headers: &HeaderMap) -> UserMetadata {
    let ours = headers.iter().filter(|(name, _)| name.as_str().starts_with("x-amz-meta-"));
    ours.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// User metadata of a sealed object at most, in bytes: what is kept of an upload has room for it. S3 itself allows 2 KiB,
/// Ceph RGW 16 nearly 16.
const MAX_METADATA: usize = 32 << 10;

/// `MetadataTooLarge` where no upload could be noted with it. Of what is shorter the storage judges.
pub fn refuse_long(metadata: &UserMetadata) -> Result<(), Error> {
    let len: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if len <= MAX_METADATA {
        return Ok(());
    }
    let told = "Your metadata headers exceed the maximum allowed metadata size.";
    Err(Error::new(StatusCode::BAD_REQUEST, "MetadataTooLarge", told))
}

/// Whether the client asks for encryption by the service. `InvalidArgument` for a way that is none, and for a key
/// without a way.
pub fn wishes_encryption(headers: &HeaderMap) -> Result<bool, Error> {
    match headers.get(SSE[0]).map(HeaderValue::as_bytes) {
        None if headers.contains_key(SSE[1]) => {
            Err(Error::invalid_argument(format!("{} is required with {}.", SSE[0], SSE[1])))
        }
        None => Ok(false),
        Some(_) if !customer_keys(headers).is_empty() => Err(Error::invalid_argument(
            "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
        )),
        Some(b"AES256") if headers.contains_key(SSE[1]) => {
            Err(Error::invalid_argument(format!("{} names a key only with aws:kms.", SSE[1])))
        }
        Some(b"AES256" | b"aws:kms" | b"aws:kms:dsse") => Ok(true),
        Some(_) => Err(Error::invalid_argument("The encryption method specified is not supported.")),
    }
}

/// `InvalidArgument` where a read says how to encrypt.
pub fn refuse_encryption(headers: &HeaderMap) -> Result<(), Error> {
    if SSE.iter().any(|name| headers.contains_key(*name)) {
        return Err(Error::invalid_argument(format!("The header {} is not supported for this operation.", SSE[0])));
    }
    Ok(())
}

/// Takes away what asks the service for encryption, where the gateway is that service.
pub fn drop_encryption(headers: &mut HeaderMap) {
    for name in SSE {
        headers.remove(*name);
    }
}

/// The client's headers as they go on with a request whose body stays as it is, checksums included.
pub fn to_storage(headers: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let text = name.as_str();
        if HOP.contains(&text) || CLIENT_ONLY.contains(&text) || text.starts_with("amz-sdk-") {
            continue;
        }
        // Only an operation whose source was judged names one.
        if text.starts_with(COPY_SOURCE) {
            continue;
        }
        if *name == CONTENT_ENCODING {
            if let Some(value) = without_aws_chunked(value) {
                out.append(name.clone(), value);
            }
            continue;
        }
        out.append(name.clone(), value.clone());
    }
    out
}

/// Keys of the client's own, which every request about the object needs.
pub fn customer_keys(headers: &HeaderMap) -> HeaderMap {
    let keys = headers.iter().filter(|(name, _)| name.as_str().starts_with(CUSTOMER_KEY));
    keys.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The keys of the client's own that the source of a copy has, as a read of it needs them.
pub fn source_keys(headers: &HeaderMap) -> HeaderMap {
    let of_source = |name: &HeaderName| {
        let rest = name.as_str().strip_prefix("x-amz-copy-source-server-side-encryption-customer-")?;
        HeaderName::try_from(format!("{CUSTOMER_KEY}{rest}")).ok()
    };
    headers.iter().filter_map(|(name, value)| Some((of_source(name)?, value.clone()))).collect()
}

/// Takes away the checks of the client's body, which is not the body that goes on.
pub fn drop_checks(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_check(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn is_check(name: &str) -> bool {
    name == "content-md5" || (name.starts_with("x-amz-checksum-") && name != "x-amz-checksum-mode")
}

/// `aws-chunked` says how the body came, not what it is.
fn without_aws_chunked(value: &HeaderValue) -> Option<HeaderValue> {
    let Ok(text) = value.to_str() else { return Some(value.clone()) };
    if !text.contains("aws-chunked") {
        return Some(value.clone());
    }
    let kept: Vec<_> =
        text.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "aws-chunked").collect();
    if kept.is_empty() { None } else { HeaderValue::from_str(&kept.join(",")).ok() }
}

/// Replaces the conditions of a request by those that the storage is to judge.
pub fn set_conditions(headers: &mut HeaderMap, conditions: HeaderMap) {
    for name in ["if-match", "if-none-match", "x-amz-if-match-size", "x-amz-if-match-last-modified-time"] {
        headers.remove(name);
    }
    headers.extend(conditions);
}

/// Replaces the user metadata of a request.
pub fn set_user_metadata(request: &mut Request<Body>, metadata: &UserMetadata) -> Result<(), Error> {
    let headers = request.headers_mut();
    drop_user_metadata(headers);
    append_metadata(headers, metadata)
}

fn drop_user_metadata(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("x-amz-meta-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn append_metadata(headers: &mut HeaderMap, metadata: &UserMetadata) -> Result<(), Error> {
    for (name, value) in metadata {
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|e| Error::internal("Illegal metadata.").because(e))?;
        let value = HeaderValue::from_bytes(value).map_err(|e| Error::internal("Illegal metadata.").because(e))?;
        headers.append(name, value);
    }
    Ok(())
}

/// The storage's headers as they go to the client of a plain object or of no object at all. Entries of ours never do,
/// whatever they are found in.
pub fn to_client(headers: &HeaderMap) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let text = name.as_str();
        if !HOP.contains(&text) && !STORAGE_ONLY.contains(&text) && !is_reserved(text) {
            out.append(name.clone(), value.clone());
        }
    }
    out
}

/// What is told of an encrypted object besides what the storage says.
pub struct Shown<'a> {
    /// Plaintext bytes.
    pub plaintext_len: u64,
    /// The KMS, where it is known.
    pub kms: Option<&'a str>,
    /// The storage does what clients ask of the service's encryption.
    pub sse_by_storage: bool,
    /// The client's metadata, where the footer carries it.
    pub carried: Option<&'a UserMetadata>,
    /// Plaintext checksums to show.
    pub checksums: &'a [(ChecksumAlgorithm, String, bool)],
}

/// The storage's headers as they go to the client of an encrypted object: nothing of ours, nothing of the ciphertext.
pub fn to_client_of_sealed(headers: &HeaderMap, shown: &Shown<'_>) -> Result<HeaderMap, Error> {
    let mut out = to_client(headers);
    for name in headers.keys() {
        let text = name.as_str();
        if is_check(text) || SSE.contains(&text) || text == "x-amz-mp-parts-count" {
            out.remove(name);
        }
    }
    out.remove("content-range");
    out.insert("content-length", HeaderValue::from(shown.plaintext_len));
    if let Some(carried) = shown.carried {
        append_metadata(&mut out, carried)?;
    }
    if let Some(etag) = headers.get(ETAG) {
        out.insert(ETAG, visible_etag(etag));
    }
    append_encryption(&mut out, shown.kms, shown.sse_by_storage.then_some(headers));
    for (algorithm, value, full) in shown.checksums {
        if let Ok(value) = HeaderValue::from_str(value) {
            out.insert(HeaderName::from_static(checksum::header_name(*algorithm)), value);
            let kind = HeaderValue::from_static(if *full { "FULL_OBJECT" } else { "COMPOSITE" });
            out.insert("x-amz-checksum-type", kind);
        }
    }
    Ok(out)
}

/// Says that the object is encrypted, and by which KMS. `storage`: the answer of a storage that does what clients ask of the
/// service's encryption: where it has a key for the object too, that is the one that the client named, and is told so.
pub fn append_encryption(headers: &mut HeaderMap, kms: Option<&str>, storage: Option<&HeaderMap>) {
    let named = storage.and_then(|storage| Some((storage.get(SSE[0])?.clone(), storage.get(SSE[1])?.clone())));
    let ours =
        || (HeaderValue::from_static("aws:kms"), kms.and_then(|kms| HeaderValue::from_str(&kms_key_id(kms)).ok()));
    let (way, key) = named.map_or_else(ours, |(way, key)| (way, Some(key)));
    headers.insert(SSE[0], way);
    if let Some(key) = key {
        headers.insert(SSE[1], key);
    }
}

/// The key ID that clients see: names the KMS.
pub fn kms_key_id(kms: &str) -> String {
    format!("sealgate/{kms}")
}

/// The `ETag` of an encrypted object as clients see it: one of 32 hex digits would be taken for an MD5 of the plaintext.
pub fn visible_etag(etag: &HeaderValue) -> HeaderValue {
    let Ok(text) = etag.to_str() else { return etag.clone() };
    HeaderValue::from_str(&visible_etag_text(text)).unwrap_or_else(|_| etag.clone())
}

/// As [`visible_etag`], with or without quotes as it is given.
pub fn visible_etag_text(etag: &str) -> String {
    if etag.contains('-') || etag.trim_matches('"').is_empty() {
        return etag.to_owned();
    }
    match etag.strip_suffix('"') {
        Some(start) => format!("{start}-1\""),
        None => format!("{etag}-1"),
    }
}

/// Our entries in a response's metadata; none: plain. An error for entries of ours that are malformed, never "plain".
pub fn sealed_metadata(headers: &HeaderMap) -> Result<Option<Metadata>, envelope::FormatError> {
    Metadata::parse(headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())))
}

/// The answer to a client.
pub fn client_response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect::<HeaderMap>()
    }

    #[test]
    fn aws_chunked_leaves_the_content_encoding_and_the_rest_stays() {
        let out = to_storage(&map(&[("content-encoding", "aws-chunked,gzip"), ("cache-control", "no-cache")]));
        assert_eq!(out.get("content-encoding").unwrap(), "gzip");
        assert_eq!(out.get("cache-control").unwrap(), "no-cache");
        assert!(to_storage(&map(&[("content-encoding", "aws-chunked")])).get("content-encoding").is_none());
    }

    #[test]
    fn signatures_and_wishes_of_encryption_stay_here() {
        let mut out = to_storage(&map(&[
            ("authorization", "x"),
            ("x-amz-date", "x"),
            ("x-amz-server-side-encryption", "AES256"),
            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ("x-amz-tagging", "a=b"),
        ]));
        drop_encryption(&mut out);
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn wishes_that_contradict_each_other_are_refused() {
        let (sse, key) = (SSE[0], SSE[1]);
        let customer = ("x-amz-server-side-encryption-customer-algorithm", "AES256");
        let wish = |pairs: &[(&'static str, &'static str)]| wishes_encryption(&map(pairs)).map_err(|error| error.code);
        for pairs in [&[(sse, "AES256")][..], &[(sse, "aws:kms")], &[(sse, "aws:kms"), (key, "mine")]] {
            assert_eq!(wish(pairs), Ok(true), "{pairs:?}");
        }
        assert_eq!((wish(&[]), wish(&[customer])), (Ok(false), Ok(false)));
        for pairs in [
            &[(key, "mine")][..],
            &[(sse, "aes:kms")],
            &[(sse, "AES256"), (key, "mine")],
            &[(sse, "AES256"), customer],
            &[(sse, "aws:kms"), (key, "mine"), customer],
        ] {
            assert_eq!(wish(pairs), Err("InvalidArgument"), "{pairs:?}");
        }
    }

    #[test]
    fn a_client_never_sees_what_is_ours_or_of_the_ciphertext() {
        let stored = map(&[
            ("x-amz-meta-gse-v", "1"),
            ("x-amz-meta-gse-kms", "main"),
            ("x-amz-meta-mine", "kept"),
            ("x-amz-checksum-crc32", "AAAAAA=="),
            ("content-length", "70000"),
            ("etag", "\"0123456789abcdef0123456789abcdef\""),
        ]);
        let shown = Shown { plaintext_len: 5, kms: Some("main"), sse_by_storage: false, carried: None, checksums: &[] };
        let out = to_client_of_sealed(&stored, &shown).unwrap();
        assert!(out.keys().all(|name| !is_reserved(name.as_str()) && !is_check(name.as_str())));
        assert_eq!(out.get("x-amz-meta-mine").unwrap(), "kept");
        assert_eq!(out.get("content-length").unwrap(), "5");
        assert_eq!(out.get("etag").unwrap(), "\"0123456789abcdef0123456789abcdef-1\"");
        assert_eq!(out.get("x-amz-server-side-encryption").unwrap(), "aws:kms");
    }

    #[test]
    fn the_key_that_a_client_named_is_told_where_the_storage_has_used_it() {
        let key = |stored: &HeaderMap, sse_by_storage: bool| {
            let shown = Shown { plaintext_len: 5, kms: Some("main"), sse_by_storage, carried: None, checksums: &[] };
            let out = to_client_of_sealed(stored, &shown).unwrap();
            assert_eq!(out.get(SSE[0]).unwrap(), "aws:kms");
            out.get(SSE[1]).unwrap().clone()
        };
        let by_key = map(&[(SSE[0], "aws:kms"), (SSE[1], "theirs")]);
        assert_eq!(key(&by_key, true), "theirs");
        for (stored, by_storage) in [(&by_key, false), (&map(&[(SSE[0], "AES256")]), true), (&map(&[]), true)] {
            assert_eq!(key(stored, by_storage), "sealgate/main");
        }
    }

    #[test]
    fn no_source_of_a_copy_goes_on_by_itself() {
        let out = to_storage(&map(&[("x-amz-copy-source", "/a/b"), ("x-amz-copy-source-if-match", "x")]));
        assert!(out.is_empty());
    }

    #[test]
    fn multipart_etags_stay_as_they_are() {
        assert_eq!(visible_etag_text("\"ab-3\""), "\"ab-3\"");
        assert_eq!(visible_etag_text("ab"), "ab-1");
    }

    #[test]
    fn only_headers_that_open_something_give_rights_away() {
        assert!(!gives_rights_away(&map(&[("x-amz-acl", "private")])));
        assert!(gives_rights_away(&map(&[("x-amz-acl", "public-read")])));
        assert!(gives_rights_away(&map(&[("x-amz-grant-read", "id=x")])));
        assert!(gives_rights_away(&map(&[("x-amz-bypass-governance-retention", "true")])));
    }
}
