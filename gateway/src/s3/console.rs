//! Requests of the console: past the signature they go the way of every client's.
//!
//! ```text
//! admin/{objects,buckets} ─▶ Asked ─▶ Request of Principal::Console ─▶ dispatch: grants, policies, sealing, counts ─▶ answer
//! ```
//! So nothing is stored plain where ciphertext is due, and everything is counted and told in the log. Only what the
//! console needs can be asked for, and only headers that say something about the object come along: nothing of the
//! browser's, its cookie least of all, reaches the storage.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName};
use http::{Method, Response, StatusCode};

use super::Front;
use super::error::Error;
use super::multipart::field;
use super::operations::{Operation, Scope};
use super::request::{Principal, Request, is_bucket_name};
use super::service::{Note, request_id};
use crate::upstream::{self, Body};

/// What is taken over of a browser's request, besides the client's own metadata.
const TAKEN: &[&str] = &[
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "x-amz-server-side-encryption",
    "x-amz-storage-class",
    "x-amz-tagging",
];

/// The longest refusal that is read, in bytes.
const MAX_REFUSAL: usize = 64 << 10;

/// What the console asks for.
pub(crate) struct Asked {
    method: Method,
    bucket: String,
    key: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    source_ip: Option<IpAddr>,
    body: Body,
}

/// Why nothing came of it.
#[derive(Debug)]
pub(crate) struct Refused {
    /// HTTP status, as S3 has it.
    pub(crate) status: StatusCode,
    /// The code that S3 has for it.
    pub(crate) code: Cow<'static, str>,
    /// For the person who asked.
    pub(crate) message: String,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { status: error.status, code: error.code.into(), message: error.message }
    }
}

impl Asked {
    /// A request about a bucket or an object.
    pub(crate) fn new(method: Method, bucket: &str, key: &str) -> Result<Self, Refused> {
        if !is_bucket_name(bucket) {
            return Err(Error::no_such_bucket("The specified bucket does not exist").into());
        }
        if key.len() > 1024 {
            return Err(Error::new(StatusCode::BAD_REQUEST, "KeyTooLongError", "Your key is too long").into());
        }
        let (headers, query) = (HeaderMap::new(), Vec::new());
        let (bucket, key, body) = (bucket.to_owned(), key.to_owned(), upstream::empty());
        Ok(Self { method, bucket, key, query, headers, source_ip: None, body })
    }

    /// With a parameter, where it is given.
    pub(crate) fn with(mut self, name: &str, value: Option<&str>) -> Self {
        self.query.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        self
    }

    /// From this address, with what the browser says about the object.
    pub(crate) fn from(mut self, source: IpAddr, headers: &HeaderMap) -> Self {
        self.source_ip = Some(source);
        let about = |name: &&HeaderName| {
            let name = name.as_str();
            TAKEN.contains(&name) || name.starts_with("x-amz-meta-") || name.starts_with("x-amz-checksum-")
        };
        for name in headers.keys().filter(about) {
            self.headers.extend(headers.get_all(name).iter().map(|value| (name.clone(), value.clone())));
        }
        self
    }

    /// What comes along.
    #[cfg(test)]
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// With what is to be stored.
    pub(crate) fn carrying(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// With a document, whose length is told.
    pub(crate) fn saying(mut self, document: String) -> Self {
        self.headers.insert(CONTENT_LENGTH, document.len().into());
        self.body = upstream::full(document);
        self
    }

    /// The request as a client's would be, once it was verified.
    fn into_request(self, id: &str) -> Result<Request, Error> {
        let scope = if self.key.is_empty() { Scope::Bucket } else { Scope::Object };
        let operation = Operation::of(&self.method, scope, &self.query, &self.headers);
        if !matches!(
            operation,
            Operation::GetObject
                | Operation::HeadObject
                | Operation::PutObject
                | Operation::DeleteObject
                | Operation::ListObjects
                | Operation::CreateBucket
                | Operation::DeleteBucket
        ) {
            return Err(Error::not_implemented("The console has no such request."));
        }
        Ok(Request {
            operation,
            method: self.method,
            bucket: self.bucket,
            key: self.key,
            query: self.query,
            headers: self.headers,
            principal: Principal::Console,
            source_ip: self.source_ip,
            body: std::sync::Mutex::new(self.body),
            trailers: None,
            request_id: id.to_owned(),
        })
    }
}

/// What comes of a request that was not refused by the gateway itself.
pub(super) enum Answer<T> {
    /// What was asked for.
    Done(StatusCode, T),
    /// The storage, or the operation, says no.
    Refusal(Response<Body>),
}

impl Answer<Response<Body>> {
    fn of(response: Response<Body>) -> Self {
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            Self::Done(status, response)
        } else {
            Self::Refusal(response)
        }
    }
}

/// A request of the console that is being answered, for its line in the log.
pub(super) struct Line {
    begun: Instant,
    id: String,
    method: Method,
    path: String,
    note: Note,
}

impl Front {
    /// Answers a request of the console. An answer that is no success is a refusal.
    pub(crate) async fn for_console(self: &Arc<Self>, asked: Asked) -> Result<Response<Body>, Refused> {
        let (line, request) = Line::begin(asked);
        let result = match request {
            Ok(request) => self.dispatch(request).await.map(Answer::of),
            Err(error) => Err(error),
        };
        self.tell(line, result).await
    }

    /// Tells the log and the counters what came of a request.
    pub(super) async fn tell<T>(&self, line: Line, result: Result<Answer<T>, Error>) -> Result<T, Refused> {
        let status = match &result {
            Ok(Answer::Done(status, _)) => *status,
            Ok(Answer::Refusal(response)) => response.status(),
            Err(error) => {
                line.note.refused(error);
                error.status
            }
        };
        self.answered(&line.id, &line.method, &line.path, status, &line.note, line.begun);
        match result? {
            Answer::Done(_, answer) => Ok(answer),
            Answer::Refusal(response) => Err(refused(response).await),
        }
    }
}

impl Line {
    /// Begins a request, as a client's would be once it was verified.
    pub(super) fn begin(asked: Asked) -> (Self, Result<Request, Error>) {
        let path = format!("/{}/{}", asked.bucket, upstream::encode_key(&asked.key));
        let (begun, id, method) = (Instant::now(), request_id(), asked.method.clone());
        let line = Self { begun, id, method, path, note: Note::default() };
        let request = asked.into_request(&line.id);
        if let Ok(request) = &request {
            line.note.is_for(request.operation);
        }
        (line, request)
    }
}

/// What a refusal of the storage says.
async fn refused(response: Response<Body>) -> Refused {
    let (head, body) = response.into_parts();
    let body = upstream::collect(body, MAX_REFUSAL).await.ok().flatten().unwrap_or_default();
    let text = |name: &[u8]| field(&body, name).filter(|text| !text.is_empty());
    // An answer to HEAD has no body.
    let code = match head.status {
        StatusCode::NOT_FOUND => "NoSuchKey",
        StatusCode::FORBIDDEN => "AccessDenied",
        StatusCode::PRECONDITION_FAILED => "PreconditionFailed",
        _ => "Refused",
    };
    let said = || format!("The storage refuses the request: {}.", head.status);
    Refused {
        status: head.status,
        code: text(b"Code").map_or(code.into(), Cow::Owned),
        message: text(b"Message").unwrap_or_else(said),
    }
}

/// Length of a body in bytes, as an answer announces it.
pub(crate) fn announced_len(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
