//! Bodies that wait: for the storage's "continue", and no longer than a deadline for each frame.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

use super::super::{Body, BodyError};

/// A storage that knows nothing of `Expect` gets the body after this time (RFC 9110, section 10.1.1).
const CONTINUE: Duration = Duration::from_secs(2);

/// Opens the way for a body.
pub(super) struct Gate(Arc<Notify>);

impl Gate {
    pub(super) fn open(&self) {
        self.0.notify_one();
    }
}

/// When the last byte of a body was taken, for the deadline of the answer.
pub(super) struct Progress(Arc<Mutex<State>>);

struct State {
    moved: Instant,
    ended: bool,
}

impl Progress {
    /// Returns once the body was taken entirely and `answer` has passed since, or nobody took a frame that was ready
    /// for `idle`.
    pub(super) async fn ended_for(&self, answer: Duration, idle: Duration) {
        loop {
            let due = {
                let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                state.moved + if state.ended { answer } else { answer.max(idle) }
            };
            if Instant::now() >= due {
                return;
            }
            tokio::time::sleep_until(due).await;
        }
    }
}

/// A body of which nothing was taken yet, while that is so.
pub(super) struct Untouched(Arc<Mutex<Option<Body>>>);

impl Untouched {
    /// The body as it was given; none: some of it was taken.
    pub(super) fn take(self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The body, held back until its gate opens or [`CONTINUE`] has passed.
pub(super) fn gated(body: Body) -> (Body, Gate, Progress, Untouched) {
    let notify = Arc::new(Notify::new());
    let state = Arc::new(Mutex::new(State { moved: Instant::now(), ended: false }));
    let opened = Arc::clone(&notify);
    let wait = Box::pin(async move {
        let _ = tokio::time::timeout(CONTINUE, opened.notified()).await;
    });
    let hint = body.size_hint();
    let held = Arc::new(Mutex::new(Some(body)));
    let gated = Gated { held: Arc::clone(&held), hint, body: None, wait: Some(wait), state: Arc::clone(&state) };
    (gated.boxed_unsync(), Gate(notify), Progress(state), Untouched(held))
}

struct Gated {
    /// The body, until its way is open.
    held: Arc<Mutex<Option<Body>>>,
    hint: SizeHint,
    body: Option<Body>,
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    state: Arc<Mutex<State>>,
}

impl HttpBody for Gated {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(wait) = &mut self.wait {
            std::task::ready!(wait.as_mut().poll(cx));
            self.wait = None;
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.body = held;
        }
        let Some(body) = &mut self.body else { return Poll::Ready(Some(Err("the body was taken back".into()))) };
        let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.moved = Instant::now();
        state.ended = frame.is_none();
        drop(state);
        Poll::Ready(frame)
    }

    // Never "ended": the gate decides when the first frame goes.
    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(self.hint, HttpBody::size_hint)
    }
}

/// A response's body of which each frame comes within `idle`, or it fails.
pub(crate) fn with_deadline<B>(body: B, idle: Duration) -> Body
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BodyError>,
{
    Deadline { body, idle, sleep: None }.boxed_unsync()
}

struct Deadline<B> {
    body: B,
    idle: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl<B> HttpBody for Deadline<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.sleep = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let idle = this.idle;
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep(idle)));
        std::task::ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Some(Err(format!("nothing came for {idle:?}").into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
