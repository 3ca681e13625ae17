//! Bytes on their way into and out of files, in bounded memory.
//!
//! In: frames are gathered to batches; while one is being hashed and written on a blocking thread, the next gathers.
//! The last batch is left to the caller, who writes and commits it in one go: a small object takes one hop.
//! Out: a chunk is read ahead while the one before is being sent.

use std::fs::File;
use std::io::{self, IoSlice, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use checksums::{Algorithm, Hasher};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use layout::DATA;
use md5::{Digest, Md5};
use tokio::task::JoinHandle;

use crate::checksum::{Declared, Value};
use crate::error::{Code, S3Error};
use crate::request::text;
use crate::storage::Staged;
use crate::{Body, answer};

/// A batch is written when it has this many bytes. Two of them are in memory for each upload.
const BATCH: usize = 128 << 10;

/// Bytes read from a file at once. Two of them are in memory for each download.
const CHUNK: u64 = 128 << 10;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Runs file operations on a blocking thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, S3Error> + Send + 'static,
) -> Result<T, S3Error> {
    joined(tokio::task::spawn_blocking(work).await)
}

fn joined<T>(outcome: Result<Result<T, S3Error>, tokio::task::JoinError>) -> Result<T, S3Error> {
    match outcome {
        Ok(outcome) => outcome,
        Err(error) => Err(S3Error::io("running a file operation", &io::Error::other(error))),
    }
}

/// Where the bytes of an upload go: a file named `data` in a staged folder, or the staged name itself.
#[derive(Debug)]
pub(crate) struct Sink {
    staged: Staged,
    file: File,
    md5: Md5,
    checks: Vec<(Algorithm, Hasher)>,
    size: u64,
}

/// What was written into a [`Sink`].
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) md5: [u8; 16],
    pub(crate) checksums: Vec<Value>,
    pub(crate) size: u64,
}

impl Sink {
    /// A new object directory with an empty `data`.
    pub(crate) fn object(staged: Staged) -> Result<Self, S3Error> {
        std::fs::create_dir(staged.path()).map_err(|error| S3Error::io("storing an object", &error))?;
        let path = staged.path().join(DATA);
        Self::at(staged, path)
    }

    /// A new empty file.
    pub(crate) fn file(staged: Staged) -> Result<Self, S3Error> {
        let path = staged.path().to_owned();
        Self::at(staged, path)
    }

    fn at(staged: Staged, path: PathBuf) -> Result<Self, S3Error> {
        let file = File::options().write(true).create_new(true).open(path);
        let file = file.map_err(|error| S3Error::io("storing an object", &error))?;
        Ok(Self { staged, file, md5: Md5::new(), checks: Vec::new(), size: 0 })
    }

    /// The same, and these checksums are computed.
    pub(crate) fn with(mut self, checks: &[Algorithm]) -> Self {
        self.checks = checks.iter().map(|algorithm| (*algorithm, Hasher::new(*algorithm))).collect();
        self
    }

    /// Whether nothing but a checksum by this algorithm is computed.
    pub(crate) fn computes_only(&self, algorithm: Algorithm) -> bool {
        matches!(self.checks.as_slice(), [(only, _)] if *only == algorithm)
    }

    /// Hashes and writes.
    pub(crate) fn write(&mut self, batch: &[Bytes]) -> Result<(), S3Error> {
        for frame in batch {
            self.md5.update(frame);
            for (_, hasher) in &mut self.checks {
                hasher.update(frame);
            }
            self.size += frame.len() as u64;
        }
        let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|frame| IoSlice::new(frame)).collect();
        write_all(&mut self.file, &mut slices).map_err(|error| S3Error::io("storing an object", &error))
    }

    /// Copies `length` bytes at `offset` of another file in the kernel, shared on file systems that can, without a
    /// hash.
    pub(crate) fn append(&mut self, mut source: &File, offset: u64, length: u64) -> Result<(), S3Error> {
        let copied = source
            .seek(SeekFrom::Start(offset))
            .and_then(|_| io::copy(&mut source.take(length), &mut self.file))
            .map_err(|error| S3Error::io("copying stored bytes", &error))?;
        self.size += copied;
        if copied == length { Ok(()) } else { Err(short()) }
    }

    /// Has what was written checked, and syncs the file. Returns what was staged, too.
    pub(crate) fn finish(
        self,
        check: impl FnOnce(&Written) -> Result<(), S3Error>,
    ) -> Result<(Staged, Written), S3Error> {
        let checksums = self.checks.into_iter().map(|(algorithm, hasher)| (algorithm, hasher.finish())).collect();
        let written = Written { md5: self.md5.finalize().into(), checksums, size: self.size };
        check(&written)?;
        self.file.sync_all().map_err(|error| S3Error::io("storing an object", &error))?;
        Ok((self.staged, written))
    }
}

fn write_all(file: &mut File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What a request says about its body, to be held against what comes.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) length: u64,
    md5: Option<[u8; 16]>,
    pub(crate) checksum: Declared,
}

impl Expected {
    /// `Content-Length`, or the known size of the body, `Content-MD5`, and `x-amz-checksum-*`.
    pub(crate) fn of(headers: &HeaderMap, body: &Body) -> Result<Self, S3Error> {
        let length = match text(headers, CONTENT_LENGTH)? {
            Some(length) => length.parse().ok(),
            None => body.size_hint().exact(),
        };
        let length = length.ok_or_else(|| {
            S3Error::new(Code::MissingContentLength, "You must provide the Content-Length HTTP header.")
        })?;
        Ok(Self { length, md5: content_md5(headers)?, checksum: Declared::of(headers)? })
    }

    /// `IncompleteBody` or `BadDigest` if this is not what came.
    pub(crate) fn check(&self, written: &Written, trailers: Option<&HeaderMap>) -> Result<(), S3Error> {
        self.check_md5(&written.md5, written.size)?;
        self.checksum.verify(&written.checksums, trailers)
    }

    fn check_md5(&self, md5: &[u8; 16], size: u64) -> Result<(), S3Error> {
        if size != self.length {
            return Err(S3Error::new(
                Code::IncompleteBody,
                format!("The request body has {size} bytes, its Content-Length says {}.", self.length),
            ));
        }
        match &self.md5 {
            Some(expected) if expected != md5 => {
                Err(S3Error::new(Code::BadDigest, "The Content-MD5 you specified did not match what we received."))
            }
            _ => Ok(()),
        }
    }
}

fn content_md5(headers: &HeaderMap) -> Result<Option<[u8; 16]>, S3Error> {
    use base64::Engine as _;
    text(headers, "content-md5")?
        .map(|encoded| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok();
            bytes
                .and_then(|bytes| bytes.try_into().ok())
                .ok_or_else(|| S3Error::new(Code::InvalidDigest, "The Content-MD5 you specified is not valid."))
        })
        .transpose()
}

/// The rest of an upload: all but this is in the sink already.
#[derive(Debug)]
pub(crate) struct Received {
    /// `None` if the rest is all.
    pub(crate) sink: Option<Sink>,
    pub(crate) rest: Vec<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// Takes a body in. `open` makes the sink as soon as there is more than one batch.
pub(crate) async fn receive(
    mut body: Body,
    expected: &Expected,
    open: impl FnOnce() -> Result<Sink, S3Error> + Send + 'static,
) -> Result<Received, S3Error> {
    let (mut left, mut trailers) = (expected.length, None);
    let (first, mut more) = gather(&mut body, &mut left, &mut trailers).await?;
    if !more {
        return Ok(Received { sink: None, rest: first, trailers });
    }
    let mut writing: JoinHandle<Result<Sink, S3Error>> = tokio::task::spawn_blocking(move || {
        let mut sink = open()?;
        sink.write(&first)?;
        Ok(sink)
    });
    loop {
        let (gathered, sink) = tokio::join!(gather(&mut body, &mut left, &mut trailers), &mut writing);
        let mut sink = joined(sink)?;
        let batch;
        (batch, more) = gathered?;
        if !more {
            return Ok(Received { sink: Some(sink), rest: batch, trailers });
        }
        writing = tokio::task::spawn_blocking(move || {
            sink.write(&batch)?;
            Ok(sink)
        });
    }
}

/// The next batch, and whether there may be more after it.
async fn gather(
    body: &mut Body,
    left: &mut u64,
    trailers: &mut Option<HeaderMap>,
) -> Result<(Vec<Bytes>, bool), S3Error> {
    let mut batch = Vec::new();
    let mut size = 0;
    while size < BATCH {
        match body.frame().await {
            None => return Ok((batch, false)),
            Some(Ok(frame)) => {
                let data = match frame.into_data() {
                    Ok(data) => data,
                    Err(frame) => {
                        *trailers = frame.into_trailers().ok().or(trailers.take());
                        continue;
                    }
                };
                *left = left.checked_sub(data.len() as u64).ok_or_else(|| {
                    S3Error::new(Code::IncompleteBody, "The request body has more bytes than its Content-Length says.")
                })?;
                size += data.len();
                if !data.is_empty() {
                    batch.push(data);
                }
            }
            Some(Err(error)) => {
                tracing::debug!(%error, "request body breaks off");
                return Err(S3Error::new(Code::IncompleteBody, "The request body broke off. Nothing was stored."));
            }
        }
    }
    Ok((batch, true))
}

/// Reads a small body, an XML document, whole.
pub(crate) async fn receive_document(headers: &HeaderMap, mut body: Body, limit: usize) -> Result<Vec<u8>, S3Error> {
    let md5 = content_md5(headers)?;
    let declared = text(headers, CONTENT_LENGTH)?.and_then(|length| length.parse::<u64>().ok());
    let mut document = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "request body breaks off");
            S3Error::new(Code::IncompleteBody, "The request body broke off.")
        })?;
        if let Ok(data) = frame.into_data() {
            if document.len() + data.len() > limit {
                return Err(S3Error::new(Code::EntityTooLarge, "The request's document is too large."));
            }
            document.extend_from_slice(&data);
        }
    }
    let length = document.len() as u64;
    let expected = Expected { length: declared.unwrap_or(length), md5, checksum: Declared::default() };
    expected.check_md5(&Md5::digest(&document).into(), length)?;
    Ok(document)
}

/// Reads the first chunk of `length` bytes at `offset` and makes a body that goes on from there. Blocks.
pub(crate) fn send(file: File, offset: u64, length: u64) -> Result<Body, S3Error> {
    let first = length.min(CHUNK);
    let chunk = read_chunk(&file, offset, first).map_err(|error| S3Error::io("reading an object", &error))?;
    if first == length {
        return Ok(answer::full(chunk));
    }
    let rest =
        FileBody { next: Next::Ready(chunk, file), offset: offset + first, unread: length - first, unsent: length };
    Ok(rest.boxed_unsync())
}

enum Next {
    /// A chunk is there; the next is not being read yet.
    Ready(Bytes, File),
    Reading(JoinHandle<io::Result<(Bytes, File)>>),
    End,
}

struct FileBody {
    next: Next,
    /// Where the next read begins.
    offset: u64,
    unread: u64,
    unsent: u64,
}

impl FileBody {
    /// Starts to read the next chunk, if there is one.
    fn advance(&mut self, file: File) {
        let (offset, length) = (self.offset, self.unread.min(CHUNK));
        self.next = if length == 0 {
            Next::End
        } else {
            // Allocated here and not by whichever thread reads: the C library keeps an arena for each thread that
            // allocates, and those of a few dozen readers hold twice the memory of what is on its way.
            let chunk = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
            Next::Reading(tokio::task::spawn_blocking(move || {
                read_into(chunk, &file, offset, length).map(|chunk| (chunk, file))
            }))
        };
        self.offset += length;
        self.unread -= length;
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let (chunk, file) = match std::mem::replace(&mut this.next, Next::End) {
            Next::End => return Poll::Ready(None),
            Next::Ready(chunk, file) => (chunk, file),
            Next::Reading(mut reading) => match Pin::new(&mut reading).poll(cx) {
                Poll::Pending => {
                    this.next = Next::Reading(reading);
                    return Poll::Pending;
                }
                Poll::Ready(Ok(Ok(read))) => read,
                Poll::Ready(outcome) => {
                    let error: BoxError = match outcome {
                        Ok(Err(error)) => error.into(),
                        Err(error) => error.into(),
                        Ok(Ok(_)) => unreachable!("matched above"),
                    };
                    tracing::error!(%error, "an object cannot be read to its end");
                    return Poll::Ready(Some(Err(error)));
                }
            },
        };
        this.advance(file);
        this.unsent -= chunk.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.unsent == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.unsent)
    }
}

/// Exactly `length` bytes at `offset`; a file that ends before is an error, never a short chunk.
pub(crate) fn read_chunk(file: &File, offset: u64, length: u64) -> io::Result<Bytes> {
    read_into(Vec::new(), file, offset, length)
}

/// The same into an empty buffer.
fn read_into(mut chunk: Vec<u8>, file: &File, offset: u64, length: u64) -> io::Result<Bytes> {
    let length = usize::try_from(length).map_err(io::Error::other)?;
    chunk.reserve_exact(length);
    while chunk.len() < length {
        let at = offset + chunk.len() as u64;
        match rustix::io::pread(file, rustix::buffer::spare_capacity(&mut chunk), at) {
            Ok(0) => {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a stored file is shorter than recorded"));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    chunk.truncate(length);
    Ok(chunk.into())
}

fn short() -> S3Error {
    S3Error::damaged("A stored file is shorter than its record says. It was changed from outside.")
}
