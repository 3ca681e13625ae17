//! The parts of a `multipart/form-data` body (RFC 7578) as they stream by: fields, then the file, then the end.
//!
//! ```text
//! body ─▶ Parts ── fields() ──▶ Fields, and the file as a FileBody ── a frame for what arrives, its end only after the
//!                                                                    form's own end was seen and nothing is wrong with it
//! ```
//! Own code, because the well-kept parsers (multer and what wraps it) take in whatever has arrived before they look at
//! it, and bound no header of a part. Here at most [`MAX_FIELDS`] bytes are kept, and of the file one frame.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt as _;
use memchr::memmem::Finder;

use super::super::error::Error;
use super::super::upload::broken;
use crate::upstream::{Body, BodyError};

/// Everything in front of the file, in bytes. S3 takes 20 KB, Ceph 1 MiB for each field.
pub(super) const MAX_FIELDS: u64 = 256 << 10;
/// The header of one part, in bytes.
const MAX_HEADER: usize = 8 << 10;
/// Lines in the header of one part; RFC 7578 knows three.
const MAX_HEADER_LINES: usize = 8;
/// The longest boundary (RFC 2046, section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// What is wrong with a form, where it shows only while its file streams to the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum FormError {
    /// It is not `multipart/form-data`, or ends before its last boundary.
    #[error("The body of your POST request is not well-formed multipart/form-data.")]
    Malformed,
    /// No field is called `file`, or two are.
    #[error("POST requires exactly one file upload per request.")]
    FileCount,
    /// The length of the file was computed from the length of the form, and something else follows the file.
    #[error(
        "In a form of more than 8 MiB the file must be the last field, and the form end in a line end: the length of \
         the file cannot be known otherwise. Nothing was stored."
    )]
    FileNotLast,
}

impl FormError {
    /// For the client.
    pub(in super::super) fn refusal(self) -> Error {
        let code = match self {
            Self::Malformed => "MalformedPOSTRequest",
            Self::FileCount => "IncorrectNumberOfFilesInPostRequest",
            Self::FileNotLast => "InvalidArgument",
        };
        Error::new(http::StatusCode::BAD_REQUEST, code, self.to_string())
    }
}

/// The fields of a form, by their names in lower case: S3 tells them apart without regard to case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(pub(super) BTreeMap<String, String>);

impl Fields {
    /// The value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn add(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        let value = String::from_utf8(value.to_vec())
            .map_err(|_| Error::invalid_argument(format!("The form field {name} is not UTF-8.")))?;
        // Which of two was meant, and which the policy spoke of, would be a guess.
        match self.0.insert(name.to_ascii_lowercase(), value) {
            None => Ok(()),
            Some(_) => Err(Error::invalid_argument(format!("The form field {name} is there twice."))),
        }
    }

    /// Puts the name of the file for `${filename}` in every field but those that the signature is made of.
    pub(super) fn fill_in(&mut self, file_name: &str) {
        // Some browsers give the whole path of the file.
        let name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
        for (field, value) in &mut self.0 {
            if field != "policy" && value.contains("${filename}") {
                *value = value.replace("${filename}", name);
            }
        }
    }
}

/// The boundary that a `Content-Type` of `multipart/form-data` names.
pub(super) fn boundary(content_type: &str) -> Result<String, Error> {
    let (_, parameters) = content_type.split_once(';').unwrap_or_default();
    let found = parameters_of(parameters).into_iter().find(|(name, _)| name.eq_ignore_ascii_case("boundary"));
    let legal = |text: &str| {
        (1..=MAX_BOUNDARY).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
    };
    found.map(|(_, value)| value).filter(|text| legal(text)).ok_or_else(|| FormError::Malformed.refusal())
}

/// The parameters behind a header's value: `; name="quoted \" value"; name=token`.
fn parameters_of(text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', '\t', ';']);
        let value;
        (value, rest) = match after.trim_start().strip_prefix('"') {
            None => {
                let (token, rest) = after.split_once(';').unwrap_or((after, ""));
                (token.trim().to_owned(), rest)
            }
            Some(quoted) => {
                let (mut value, mut end, mut chars) = (String::new(), quoted.len(), quoted.char_indices().peekable());
                while let Some((at, char)) = chars.next() {
                    match (char, chars.peek()) {
                        ('"', _) => {
                            end = at + 1;
                            break;
                        }
                        // A backslash in a path stands for itself.
                        ('\\', Some((_, escaped @ ('"' | '\\')))) => {
                            value.push(*escaped);
                            chars.next();
                        }
                        _ => value.push(char),
                    }
                }
                (value, &quoted[end..])
            }
        };
        found.push((name, value));
    }
    found
}

/// What the header of a part says of it.
struct Header {
    name: String,
    file_name: String,
}

impl Header {
    fn read(block: &[u8]) -> Result<Self, FormError> {
        let mut lines = [httparse::EMPTY_HEADER; MAX_HEADER_LINES];
        let Ok(httparse::Status::Complete((_, lines))) = httparse::parse_headers(block, &mut lines) else {
            return Err(FormError::Malformed);
        };
        let line = lines.iter().find(|line| line.name.eq_ignore_ascii_case("content-disposition"));
        let line = line.and_then(|line| std::str::from_utf8(line.value).ok()).ok_or(FormError::Malformed)?;
        let (kind, parameters) = line.split_once(';').ok_or(FormError::Malformed)?;
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return Err(FormError::Malformed);
        }
        let parameters = parameters_of(parameters);
        let value = |wanted: &str| {
            let found = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.clone())
        };
        let name = value("name").ok_or(FormError::Malformed)?;
        // RFC 7578 forbids the extended form (RFC 5987); some clients write it all the same.
        let extended = || {
            let value = value("filename*")?;
            let encoded = value.get(7..).filter(|_| value[..7].eq_ignore_ascii_case("utf-8''"))?.to_owned();
            percent_encoding::percent_decode_str(&encoded).decode_utf8().ok().map(String::from)
        };
        let file_name = value("filename").or_else(extended).unwrap_or_default();
        Ok(Self { name, file_name })
    }

    fn is_file(&self) -> bool {
        self.name.eq_ignore_ascii_case("file")
    }
}

/// What follows a boundary.
enum Next {
    /// A part; its content begins here.
    Part(Header),
    /// Nothing: it was the last boundary.
    End,
    /// More bytes are needed to tell.
    More,
}

/// A form of which some bytes are there and the rest is to come.
struct Parts {
    body: Body,
    /// What has arrived and was not looked at. Between parts it begins with the delimiter.
    buffer: BytesMut,
    /// A line end and the boundary (RFC 2046: the line end belongs to the boundary).
    delimiter: Finder<'static>,
    /// Bytes taken from the body.
    read: u64,
}

impl Parts {
    fn new(body: Body, boundary: &str) -> Self {
        let delimiter = Finder::new(format!("\r\n--{boundary}").as_bytes()).into_owned();
        // The first boundary needs no line end in front of it.
        Self { body, buffer: BytesMut::from(&b"\r\n"[..]), delimiter, read: 0 }
    }

    /// How long the delimiter is, in bytes.
    fn gap(&self) -> usize {
        self.delimiter.needle().len()
    }

    /// Takes in one frame. `Ok(false)`: the body has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            None => return Poll::Ready(Ok(false)),
            Some(frame) => frame?,
        };
        if let Ok(data) = frame.into_data() {
            self.read += data.len() as u64;
            self.buffer.extend_from_slice(&data);
        }
        Poll::Ready(Ok(true))
    }

    /// Takes in one frame of what is in front of the file.
    async fn fill(&mut self) -> Result<(), Error> {
        match std::future::poll_fn(|cx| self.poll_fill(cx)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(FormError::Malformed.refusal()),
            Err(error) => Err(broken(&error)),
        }
    }

    /// Looks behind the delimiter that the buffer begins with.
    fn next(&mut self) -> Result<Next, FormError> {
        let gap = self.gap();
        if !self.buffer.starts_with(&self.delimiter.needle()[..gap.min(self.buffer.len())]) {
            return Err(FormError::Malformed);
        }
        let Some(rest) = self.buffer.get(gap..) else { return Ok(Next::More) };
        match rest {
            [] | [b'-' | b'\r'] => Ok(Next::More),
            [b'-', b'-', ..] => {
                self.buffer.advance(gap + 2);
                Ok(Next::End)
            }
            [b'\r', b'\n', block @ ..] => {
                let end = memchr::memmem::find(&block[..block.len().min(MAX_HEADER)], b"\r\n\r\n");
                let Some(end) = end else {
                    return if block.len() < MAX_HEADER { Ok(Next::More) } else { Err(FormError::Malformed) };
                };
                let header = Header::read(&block[..end + 4])?;
                self.buffer.advance(gap + 2 + end + 4);
                Ok(Next::Part(header))
            }
            _ => Err(FormError::Malformed),
        }
    }

    /// Content up to the next delimiter, where that is there.
    fn content(&mut self) -> Option<Bytes> {
        let end = self.delimiter.find(&self.buffer)?;
        Some(self.buffer.split_to(end).freeze())
    }
}

/// Reads a form up to its file. `file`'s body has everything behind the fields.
pub(super) async fn read(body: Body, boundary: &str) -> Result<(Fields, FileBody), Error> {
    let mut parts = Parts::new(body, boundary);
    let mut fields = Fields::default();
    let too_long = || {
        Error::new(
            http::StatusCode::BAD_REQUEST,
            "MaxPostPreDataLengthExceeded",
            "Your POST request fields preceding the upload file were too large.",
        )
    };
    loop {
        let header = match parts.next().map_err(FormError::refusal)? {
            Next::Part(header) => header,
            Next::End => {
                return Err(FormError::FileCount.refusal());
            }
            Next::More => {
                parts.fill().await?;
                continue;
            }
        };
        if parts.read - (parts.buffer.len() as u64).min(parts.read) > MAX_FIELDS {
            return Err(too_long());
        }
        if header.is_file() {
            return Ok((fields, FileBody { parts, file_name: header.file_name, left: None, state: FileState::Data }));
        }
        let value = loop {
            if let Some(value) = parts.content() {
                break value;
            }
            if parts.read > MAX_FIELDS {
                return Err(too_long());
            }
            parts.fill().await?;
        };
        fields.add(&header.name, &value)?;
    }
}

/// The file of a form. It ends only after the end of the form was seen: a body that ends in an error is stored nowhere.
pub(super) struct FileBody {
    parts: Parts,
    /// What the client calls the file.
    pub(super) file_name: String,
    /// How many bytes are to come, where the length of the form says so.
    left: Option<u64>,
    state: FileState,
}

enum FileState {
    /// In the file.
    Data,
    /// At a boundary behind it.
    Boundary,
    /// In a field behind it, which S3 ignores.
    Ignored,
    /// Behind the last boundary.
    Epilogue,
    /// All was read.
    Done,
}

impl FileBody {
    /// How many bytes of a form of `form_len` bytes are still to come.
    pub(super) fn rest(&self, form_len: u64) -> Option<u64> {
        let seen = self.parts.read.checked_sub(self.parts.buffer.len() as u64)?;
        form_len.checked_sub(seen)
    }

    /// The length that the file has if nothing but the last boundary and a line end follow it. A file that turns out to
    /// have another length ends in an error.
    pub(super) fn expect_last(&mut self, rest: u64) -> Result<u64, Error> {
        // The boundary, two hyphens and a line end.
        let end = self.parts.gap() as u64 + 4;
        let len = rest.checked_sub(end).ok_or_else(|| FormError::Malformed.refusal())?;
        self.left = Some(len);
        Ok(len)
    }

    /// Counts what is given out; `FileNotLast` for a file of another length than the form's says.
    fn count(&mut self, data: &Bytes) -> Result<(), FormError> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or(FormError::FileNotLast)?;
        }
        Ok(())
    }

    /// What can be given out, or done, with the bytes that are there. `Ok(None)`: more are needed.
    fn step(&mut self) -> Result<Option<Bytes>, FormError> {
        loop {
            match self.state {
                FileState::Data => {
                    if let Some(data) = self.parts.content() {
                        self.count(&data)?;
                        if self.left.is_some_and(|left| left > 0) {
                            return Err(FormError::FileNotLast);
                        }
                        self.state = FileState::Boundary;
                        if !data.is_empty() {
                            return Ok(Some(data));
                        }
                        continue;
                    }
                    // The rest may be the beginning of a boundary.
                    let sure = (self.parts.buffer.len() + 1).saturating_sub(self.parts.gap());
                    if sure == 0 {
                        return Ok(None);
                    }
                    let data = self.parts.buffer.split_to(sure).freeze();
                    self.count(&data)?;
                    return Ok(Some(data));
                }
                FileState::Boundary => match self.parts.next()? {
                    Next::More => return Ok(None),
                    Next::End => self.state = FileState::Epilogue,
                    Next::Part(header) if header.is_file() => return Err(FormError::FileCount),
                    Next::Part(_) => self.state = FileState::Ignored,
                },
                FileState::Ignored => {
                    if self.parts.content().is_some() {
                        self.state = FileState::Boundary;
                        continue;
                    }
                    let sure = (self.parts.buffer.len() + 1).saturating_sub(self.parts.gap());
                    self.parts.buffer.advance(sure);
                    return Ok(None);
                }
                FileState::Epilogue => {
                    if self.parts.buffer.iter().any(|byte| !byte.is_ascii_whitespace()) {
                        return Err(FormError::Malformed);
                    }
                    self.parts.buffer.clear();
                    return Ok(None);
                }
                FileState::Done => return Ok(None),
            }
        }
    }
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            match this.step() {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(None) => {}
                Err(error) => {
                    this.state = FileState::Done;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
            if matches!(this.state, FileState::Done) {
                return Poll::Ready(None);
            }
            match ready!(this.parts.poll_fill(cx)) {
                Ok(true) => {}
                Ok(false) if matches!(this.state, FileState::Epilogue) => this.state = FileState::Done,
                Ok(false) => {
                    this.state = FileState::Done;
                    return Poll::Ready(Some(Err(FormError::Malformed.into())));
                }
                Err(error) => {
                    this.state = FileState::Done;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl FileBody {
    /// As the body of an upload.
    pub(super) fn boxed(self) -> Body {
        self.boxed_unsync()
    }
}

#[cfg(test)]
mod tests;
