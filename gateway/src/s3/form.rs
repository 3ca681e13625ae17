//! `POST` form uploads, as browsers send them: matched before s3s, which would take the whole file into memory.
//!
//! ```text
//! POST /bucket ─▶ fields ─▶ signature of the policy ─▶ its conditions ─▶ length of the file ─▶ as PutObject ─▶ 204, 201,
//!                parts.rs    signature.rs               policy.rs                                              200, 303
//! ```
//! A storage wants the length of an object before its first byte, and a form does not say that of its file. A file whose
//! form has at most [`READ_AHEAD`] bytes left is read first. That of a longer form is computed: what S3 demands is taken
//! at its word, that the file is the last field. If it is not, the upload ends in an error and nothing is stored.

mod parts;
mod policy;
mod signature;

use std::borrow::Cow;
use std::net::SocketAddr;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION};
use http::request::Parts;
use http::{HeaderMap, Method, Request as HttpRequest, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::Front;
use super::address::{Address, Domains, in_host};
use super::copy::parse_tag_set;
use super::error::{Error, escape};
use super::headers::client_response;
use super::operations::{Operation, Scope};
use super::request::{Principal, Request, is_bucket_name, parse_query};
use super::service::{Note, xml};
use super::signed;
use super::upload::broken;
use crate::upstream::{self, Body};
use parts::{Fields, FileBody};
use policy::Policy;

pub(super) use parts::FormError;

/// A form with at most so many bytes behind its fields is read before it is stored.
const READ_AHEAD: usize = 8 << 20;

/// What a query component keeps as it is.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// Whether a request is a form upload.
pub(super) fn is_upload(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::POST
        && content_type(headers).trim_start().to_ascii_lowercase().starts_with("multipart/form-data")
}

/// Of any bytes: whatever may be taken for a form is read here, by bounds.
fn content_type(headers: &HeaderMap) -> Cow<'_, str> {
    headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes())).unwrap_or_default()
}

impl Front {
    /// How the client calls the bucket that its request is about.
    pub(super) fn url_of(&self, headers: &HeaderMap, bucket: &str) -> String {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let scheme = if text("x-forwarded-proto").eq_ignore_ascii_case("https") { "https" } else { "http" };
        let host = text("host");
        match in_host(&self.settings.domains, headers) {
            Some(_) => format!("{scheme}://{host}"),
            None => format!("{scheme}://{host}/{bucket}"),
        }
    }

    /// Stores the file of a form; `id` and `note` are the request's.
    pub(super) async fn post_object(
        &self,
        request: HttpRequest<Body>,
        peer: SocketAddr,
        id: &str,
        note: &Note,
    ) -> Result<Response<Body>, Error> {
        note.is_for(Operation::PostObject);
        let (head, body) = request.into_parts();
        let bucket = posted_to(&self.settings.domains, &head)?;
        let length = content_length(&head.headers)?;
        let boundary = parts::boundary(content_type(&head.headers).trim_start())?;
        let (mut fields, file) = parts::read(body, &boundary).await?;
        let principal = signature::verify(&fields, &self.group.document())?;
        fields.fill_in(&file.file_name);
        let key = signature::required(&fields, "key")?.to_owned();
        if key.is_empty() {
            return Err(Error::invalid_argument("User key must have a length greater than 0."));
        }
        if key.len() > 1024 {
            return Err(Error::new(StatusCode::BAD_REQUEST, "KeyTooLongError", "Your key is too long"));
        }
        let policy = fields.get("policy").map(Policy::read).transpose()?;
        match (&principal, &policy) {
            (Principal::Anonymous, _) => {}
            (_, Some(policy)) => policy.judge(&fields, &bucket, time::OffsetDateTime::now_utc())?,
            (_, None) => return Err(Error::access_denied("A signed form has a policy.")),
        }
        let mut headers = headers_of(&fields)?;
        for name in ["if-match", "if-none-match"] {
            headers.extend(head.headers.get(name).map(|value| (HeaderName::from_static(name), value.clone())));
        }
        signed::refuse_ambiguous(&[], &headers)?;
        super::headers::drop_lookalikes(&mut headers);
        let mut put = Request {
            operation: Operation::PutObject,
            method: Method::PUT,
            bucket: bucket.clone(),
            key: key.clone(),
            query: Vec::new(),
            headers,
            principal,
            source_ip: Some(peer.ip()),
            body: std::sync::Mutex::new(upstream::empty()),
            trailers: None,
            request_id: id.to_owned(),
        };
        // Before the file is read: nobody's files are kept for a refusal.
        self.grant(&put)?;
        let (len, body) = measure(file, length).await?;
        if let Some(policy) = &policy {
            policy.judge_length(len)?;
        }
        put.headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
        put.body = std::sync::Mutex::new(body);
        let stored = self.put(put).await?;
        if !stored.status().is_success() {
            return Ok(stored);
        }
        Ok(answer(&stored, &fields, &Posted { bucket: &bucket, key: &key, url: self.url_of(&head.headers, &bucket) }))
    }
}

/// The bucket that a form is posted to. `MethodNotAllowed` for a path with a key.
fn posted_to(domains: &Domains, head: &Parts) -> Result<String, Error> {
    let Address { bucket, scope, .. } = Address::of_head(domains, head)?;
    if scope != Scope::Bucket {
        return Err(Error::method_not_allowed("A form is posted to a bucket: its key is a field of the form."));
    }
    if !is_bucket_name(&bucket) {
        return Err(Error::invalid_bucket_name("The specified bucket is not valid."));
    }
    // Otherwise it could be taken for another operation, or for a request that was signed in another way.
    if !parse_query(head.uri.query())?.is_empty() {
        return Err(Error::invalid_argument("A form upload takes no query parameters: everything is in its fields."));
    }
    if head.headers.contains_key(AUTHORIZATION) {
        return Err(Error::invalid_argument("Only one auth mechanism allowed: a form is signed by its fields."));
    }
    Ok(bucket)
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let Some(value) = headers.get(CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| Error::invalid_argument("The Content-Length is not a number."))
}

/// The file's length and the file. `form_len`: of the whole form, where it was announced.
async fn measure(mut file: FileBody, form_len: Option<u64>) -> Result<(u64, Body), Error> {
    let rest = form_len.map(|len| file.rest(len).unwrap_or_default());
    if let Some(rest) = rest.filter(|rest| *rest > READ_AHEAD as u64) {
        let len = file.expect_last(rest)?;
        return Ok((len, file.boxed()));
    }
    let bytes = upstream::collect(file.boxed(), READ_AHEAD).await.map_err(|error| broken(&error))?;
    let bytes = bytes.ok_or_else(|| Error::missing_content_length("You must provide the Content-Length."))?;
    Ok((bytes.len() as u64, upstream::full(bytes)))
}

/// The headers that the fields stand for, as a PUT would have them.
fn headers_of(fields: &Fields) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (field, value) in &fields.0 {
        let Some(name) = header_of(field) else { continue };
        let value = if field == "tagging" { tagging(value)? } else { value.clone() };
        if value.is_empty() && !name.starts_with("x-amz-meta-") {
            continue;
        }
        let wrong = || Error::invalid_argument(format!("The form field {field} cannot be a header."));
        let name = HeaderName::try_from(name).map_err(|_| wrong())?;
        headers.append(name, HeaderValue::try_from(value).map_err(|_| wrong())?);
    }
    Ok(headers)
}

/// The header that a field stands for. None: it says nothing of the object. S3 passes over what it does not know.
fn header_of(field: &str) -> Option<&str> {
    const SAME: [&str; 9] = [
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-md5",
        "content-type",
        "expires",
        "x-amz-storage-class",
        "x-amz-website-redirect-location",
    ];
    const BEGIN: [&str; 6] = [
        "x-amz-meta-",
        "x-amz-acl",
        "x-amz-grant-",
        "x-amz-server-side-encryption",
        "x-amz-checksum-",
        "x-amz-object-lock-",
    ];
    match field {
        "acl" => Some("x-amz-acl"),
        "tagging" => Some("x-amz-tagging"),
        same if SAME.contains(&same) || BEGIN.iter().any(|begin| same.starts_with(begin)) => Some(same),
        _ => None,
    }
}

/// Tags as a form has them, an XML document, in the form of the header.
fn tagging(document: &str) -> Result<String, Error> {
    let tags = parse_tag_set(document.as_bytes())
        .ok_or_else(|| Error::malformed_xml("The XML you provided was not well-formed or did not validate."))?;
    let encode = |text: &str| utf8_percent_encode(text, IN_QUERY).to_string();
    let pairs: Vec<_> = tags.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    Ok(pairs.join("&"))
}

/// What was stored, and how its client calls the bucket.
struct Posted<'a> {
    bucket: &'a str,
    key: &'a str,
    url: String,
}

/// The answer to a form that was stored, as its fields want it.
fn answer(stored: &Response<Body>, fields: &Fields, posted: &Posted<'_>) -> Response<Body> {
    let mut headers = stored.headers().clone();
    headers.remove(CONTENT_LENGTH);
    let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
    let redirect = fields.get("success_action_redirect").or_else(|| fields.get("redirect"));
    if let Some(target) = redirect.and_then(|target| redirection(target, posted, &etag)) {
        headers.insert(LOCATION, target);
        return client_response(StatusCode::SEE_OTHER, headers, upstream::empty());
    }
    let location = format!("{}/{}", posted.url, upstream::encode_key(posted.key));
    if let Ok(value) = HeaderValue::try_from(&location) {
        headers.insert(LOCATION, value);
    }
    match fields.get("success_action_status") {
        Some("200") => client_response(StatusCode::OK, headers, upstream::empty()),
        Some("201") => {
            let text = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>{}</Location><Bucket>{}</Bucket>\
                 <Key>{}</Key><ETag>{}</ETag></PostResponse>",
                escape(&location),
                escape(posted.bucket),
                escape(posted.key),
                escape(&etag)
            );
            let mut response = xml(StatusCode::CREATED, text);
            headers.remove(CONTENT_TYPE);
            response.headers_mut().extend(headers);
            response
        }
        // S3 passes over any other.
        _ => client_response(StatusCode::NO_CONTENT, headers, upstream::empty()),
    }
}

/// Where the client is sent to. None: it is no address, which S3 passes over.
fn redirection(target: &str, posted: &Posted<'_>, etag: &str) -> Option<HeaderValue> {
    let url = Url::parse(target).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    let encode = |text: &str| utf8_percent_encode(text, IN_QUERY).to_string();
    let (bucket, key, etag) = (encode(posted.bucket), encode(posted.key), encode(etag));
    let joint = if url.query().is_some() { '&' } else { '?' };
    HeaderValue::try_from(format!("{target}{joint}bucket={bucket}&key={key}&etag={etag}")).ok()
}
