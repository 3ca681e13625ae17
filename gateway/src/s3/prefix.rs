//! A look at the first bytes of a body, which stay in it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::upstream::{Body, BodyError};

/// Reads at least `len` bytes, or all that there are, and gives them with a body that still begins with them.
pub(super) async fn peek(mut body: Body, len: usize) -> Result<(Bytes, Body), BodyError> {
    let mut first: Option<Bytes> = None;
    while first.as_ref().is_none_or(|bytes| bytes.len() < len) {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame?.into_data() else { continue };
        first = Some(match first {
            None => data,
            Some(before) => {
                let mut joined = BytesMut::with_capacity(before.len() + data.len());
                joined.extend_from_slice(&before);
                joined.extend_from_slice(&data);
                joined.freeze()
            }
        });
    }
    let first = first.unwrap_or_default();
    let start = first.slice(..len.min(first.len()));
    Ok((start, Prefixed { first: (!first.is_empty()).then_some(first), body }.boxed_unsync()))
}

struct Prefixed {
    first: Option<Bytes>,
    body: Body,
}

impl HttpBody for Prefixed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        if let Some(exact) = hint.exact() {
            hint.set_exact(exact + first);
        } else {
            hint = SizeHint::new();
        }
        hint
    }
}
