//! Bodies that were refused before they were read.
//!
//! A client that sends on while the connection is closed gets a reset instead of the answer, and cannot know what was
//! wrong. So a body that is dropped before its end is read on, as far as that costs little (RFC 9112, section 9.6). One
//! whose client waits for a "100 Continue" is not: it was not asked for, and does not come.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::upstream::{Body, BodyError};

/// So many bytes of a refused body are read at most.
const MOST: usize = 8 << 20;
/// For so long at most.
const LONGEST: Duration = Duration::from_secs(10);

/// A body that is read on when it is dropped.
pub(super) struct Lingering {
    body: Option<Body>,
    /// Its client sends it without being asked.
    comes: bool,
}

impl Lingering {
    /// `expects`: its client waits for a "100 Continue" first.
    pub(super) fn new(body: Body, expects: bool) -> Self {
        Self { body: Some(body), comes: !expects }
    }
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // Who reads has it asked for.
        self.comes = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| self.comes && !body.is_end_stream()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        // Bounded in time, and owned by the connection: it ends with that.
        runtime.spawn(tokio::time::timeout(LONGEST, async move {
            let mut left = MOST;
            while let Some(Ok(frame)) = body.frame().await {
                let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
                left = rest;
            }
        }));
    }
}
