//! Bounds what one aws-chunked chunk takes in memory.
//!
//! s3s hands a chunk on only once it has the whole of it. Chunks without a signature are split here into small ones,
//! which carry the same bytes; a signed chunk cannot be split without its signature, so a large one is refused.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use crate::upstream::BodyError;

/// The largest chunk that leaves here, in bytes.
const SPLIT: usize = 64 << 10;
/// The largest signed chunk that is taken, in bytes. Clients are known to send up to 1 MiB.
pub const MAX_SIGNED: u64 = 8 << 20;
/// The longest line in front of a chunk: a length, and a signature.
const MAX_LINE: usize = 1024;

/// A body in aws-chunked coding.
pub struct Guarded<B> {
    body: B,
    signed: bool,
    state: State,
    line: BytesMut,
    out: BytesMut,
}

enum State {
    /// In the line in front of a chunk.
    Line,
    /// In the data of an unsigned chunk, of which so many bytes are to come.
    Split(u64),
    /// In the data of a signed chunk and the line end behind it.
    Copy(u64),
    /// In the two bytes behind the data of an unsigned chunk.
    End(u8),
    /// Behind the last chunk: trailers.
    Trailers,
}

/// The body is not in aws-chunked coding, or has too large a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The line in front of a chunk, or what is behind it, is not as it must be.
    #[error("A chunk of the body is malformed: it is not in the aws-chunked coding.")]
    Malformed,
    /// It ended before the chunk of no bytes that ends it. s3s would take that for the end.
    #[error("The body ends before its last chunk.")]
    Incomplete,
    /// A signed chunk is larger than [`MAX_SIGNED`].
    #[error("A signed chunk of the body has more than 8 MiB.")]
    TooLarge,
}

impl ChunkError {
    pub(super) const ALL: &[Self] = &[Self::Malformed, Self::Incomplete, Self::TooLarge];
}

impl<B> Guarded<B> {
    /// `signed`: every chunk has its own signature.
    pub fn new(body: B, signed: bool) -> Self {
        Self { body, signed, state: State::Line, line: BytesMut::new(), out: BytesMut::new() }
    }

    fn take(&mut self, mut data: Bytes) -> Result<(), ChunkError> {
        while !data.is_empty() {
            match &mut self.state {
                State::Line => {
                    let end = data.iter().position(|byte| *byte == b'\n');
                    let part = data.split_to(end.map_or(data.len(), |end| end + 1));
                    self.line.extend_from_slice(&part);
                    if self.line.len() > MAX_LINE {
                        return Err(ChunkError::Malformed);
                    }
                    if end.is_some() {
                        let line = std::mem::take(&mut self.line);
                        self.begin(&line)?;
                    }
                }
                State::Split(left) => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len()).min(SPLIT);
                    let part = data.split_to(most);
                    *left -= part.len() as u64;
                    if *left == 0 {
                        self.state = State::End(0);
                    }
                    self.out.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                    self.out.extend_from_slice(&part);
                    self.out.extend_from_slice(b"\r\n");
                }
                State::Copy(left) => {
                    let part = data.split_to(usize::try_from(*left).unwrap_or(usize::MAX).min(data.len()));
                    *left -= part.len() as u64;
                    if *left == 0 {
                        self.state = State::Line;
                    }
                    self.out.extend_from_slice(&part);
                }
                State::End(seen) => {
                    if data[0] != b"\r\n"[usize::from(*seen)] {
                        return Err(ChunkError::Malformed);
                    }
                    data.advance(1);
                    *seen += 1;
                    if *seen == 2 {
                        self.state = State::Line;
                    }
                }
                State::Trailers => {
                    self.out.extend_from_slice(&data);
                    data.clear();
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, line: &[u8]) -> Result<(), ChunkError> {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let text = std::str::from_utf8(&line[..digits]).map_err(|_| ChunkError::Malformed)?;
        let size = u64::from_str_radix(text, 16).map_err(|_| ChunkError::Malformed)?;
        if size == 0 {
            self.state = State::Trailers;
            self.out.extend_from_slice(line);
        } else if self.signed {
            if size > MAX_SIGNED {
                return Err(ChunkError::TooLarge);
            }
            self.state = State::Copy(size + 2);
            self.out.extend_from_slice(line);
        } else if &line[digits..] == b"\r\n" {
            self.state = State::Split(size);
        } else {
            return Err(ChunkError::Malformed);
        }
        Ok(())
    }
}

impl<B> Body for Guarded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if !this.out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(this.out.split().freeze()))));
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None if matches!(this.state, State::Trailers) => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(ChunkError::Incomplete.into()))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && let Err(error) = this.take(data)
                    {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    async fn through(input: &[u8], cut: usize, signed: bool) -> Result<Vec<u8>, String> {
        let frames: Vec<_> = input.chunks(cut).map(|part| Ok(Frame::data(Bytes::copy_from_slice(part)))).collect();
        let body = StreamBody::new(futures_util::stream::iter(frames as Vec<Result<_, BodyError>>));
        let collected = Guarded::new(body, signed).collect().await;
        collected.map(|body| body.to_bytes().to_vec()).map_err(|error| error.to_string())
    }

    /// An independent decoder of the coding.
    fn decode(mut coded: &[u8]) -> (Vec<u8>, usize, Vec<u8>) {
        let (mut data, mut largest) = (Vec::new(), 0);
        loop {
            let end = coded.iter().position(|byte| *byte == b'\n').unwrap();
            let size = usize::from_str_radix(std::str::from_utf8(&coded[..end - 1]).unwrap(), 16).unwrap();
            coded = &coded[end + 1..];
            if size == 0 {
                return (data, largest, coded.to_vec());
            }
            data.extend_from_slice(&coded[..size]);
            assert_eq!(&coded[size..size + 2], b"\r\n");
            coded = &coded[size + 2..];
            largest = largest.max(size);
        }
    }

    #[tokio::test]
    async fn a_huge_unsigned_chunk_becomes_small_ones_with_the_same_bytes() {
        let data: Vec<u8> = (0..300_000_u32).map(|n| n.to_be_bytes()[3]).collect();
        let mut coded = format!("{:x}\r\n", data.len()).into_bytes();
        coded.extend_from_slice(&data);
        coded.extend_from_slice(b"\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        for cut in [1, 7, 65_536, 400_000] {
            let (decoded, largest, trailers) = decode(&through(&coded, cut, false).await.unwrap());
            assert!(decoded == data, "other bytes when cut at {cut}");
            assert!(largest <= SPLIT);
            assert_eq!(trailers, b"x-amz-checksum-crc32:AAAAAA==\r\n\r\n");
        }
    }

    #[tokio::test]
    async fn a_signed_chunk_passes_as_it_is_and_a_huge_one_is_refused() {
        let coded = b"3;chunk-signature=abc\r\nxyz\r\n0;chunk-signature=def\r\n\r\n";
        assert_eq!(through(coded, 5, true).await.unwrap(), coded);
        let huge = format!("{:x};chunk-signature=abc\r\n", MAX_SIGNED + 1);
        assert_eq!(through(huge.as_bytes(), 5, true).await, Err(ChunkError::TooLarge.to_string()));
    }

    #[tokio::test]
    async fn a_body_without_its_last_chunk_is_an_error_and_no_end() {
        let signature = ";chunk-signature=abc";
        for signed in [true, false] {
            let line = |size: &str| format!("{size}{}\r\n", if signed { signature } else { "" });
            let whole = format!("{}xyz\r\n{}", line("3"), line("0"));
            assert!(through(whole.as_bytes(), 100, signed).await.is_ok());
            for end in 0..whole.len() {
                let cut = through(&whole.as_bytes()[..end], 100, signed).await;
                assert_eq!(cut, Err(ChunkError::Incomplete.to_string()), "cut at {end}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_chunk_is_refused() {
        // Each ends as a body does, so that nothing else is wrong with it.
        let long = format!("{}3\r\nabc\r\n0\r\n\r\n", "0".repeat(2000));
        for bad in [
            "zz\r\nabc\r\n0\r\n\r\n",
            "3\r\nabcX\n0\r\n\r\n",
            "3\r\nabc\rX0\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            "3\nabc\r\n0\r\n\r\n",
            "\r\nabc\r\n0\r\n\r\n",
            &long,
        ] {
            for cut in [1, 3, 4000] {
                let refused = through(bad.as_bytes(), cut, false).await;
                assert_eq!(refused, Err(ChunkError::Malformed.to_string()), "{bad:?} cut at {cut}");
            }
        }
        assert!(through(b"003\r\nabc\r\n0\r\n\r\n", 3, false).await.is_ok());
    }
}
