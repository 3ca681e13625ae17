//! A look at the first bytes of a body, which stay in it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use envelope::{MAGIC, begins_with_magic};
use futures_util::future::BoxFuture;
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

/// The same look, taken when the body is asked for: where it begins as a sealed object does, it ends in an error before its
/// first byte, and is handed over whole.
pub(super) fn watched(body: Body) -> (Body, Found) {
    let (found, hint) = (Found::default(), body.size_hint());
    let state = Watched::Looking(Box::pin(peek(body, MAGIC.len())), hint);
    (Watching { state, found: found.clone() }.boxed_unsync(), found)
}

/// The body that turned out to begin as a sealed object does.
#[derive(Clone, Default)]
pub(super) struct Found(Arc<Mutex<Option<Body>>>);

impl Found {
    pub(super) fn take(&self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the body begins as a sealed object does")]
struct Lookalike;

struct Watching {
    state: Watched,
    found: Found,
}

enum Watched {
    Looking(BoxFuture<'static, Result<(Bytes, Body), BodyError>>, SizeHint),
    Passing(Body),
    Ended,
}

impl HttpBody for Watching {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let looked = match &mut self.state {
                Watched::Looking(looking, _) => ready!(looking.as_mut().poll(cx)),
                Watched::Passing(body) => return Pin::new(body).poll_frame(cx),
                Watched::Ended => return Poll::Ready(None),
            };
            self.state = match looked {
                Ok((start, body)) if begins_with_magic(&start) == Some(true) => {
                    *self.found.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
                    self.state = Watched::Ended;
                    return Poll::Ready(Some(Err(Lookalike.into())));
                }
                Ok((_, body)) => Watched::Passing(body),
                Err(error) => {
                    self.state = Watched::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
            };
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.state {
            Watched::Looking(_, hint) => *hint,
            Watched::Passing(body) => body.size_hint(),
            Watched::Ended => SizeHint::with_exact(0),
        }
    }
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
