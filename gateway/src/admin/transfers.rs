//! Bodies that may take longer than a request: uploads, downloads, events. Bounded otherwise: so many at once, none that
//! stands still, and none after the gateway has ended.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::problem::Problem;
use crate::upstream::{Body, BodyError, with_deadline};

/// Transfers at once, and streams of events.
const MOST: usize = 64;
/// So much of a refused upload is taken nevertheless, in bytes, and for so long.
const DROPPED: usize = 64 << 20;
const DROPPING: Duration = Duration::from_secs(20);

/// Every long body of the admin listener.
pub struct Transfers {
    slots: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
    /// The listener takes no more requests.
    stop: CancellationToken,
    tasks: TaskTracker,
    idle: Duration,
    /// What is still under way is cut off.
    cut: CancellationToken,
}

/// The right to one transfer; given back when dropped.
pub(super) struct Slot(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Transfers {
    /// A body whose bytes are not taken, or do not come, for `idle` is cut off. `stop` ends what has no end of its own.
    pub fn new(idle: Duration, stop: CancellationToken) -> Self {
        let (slots, watchers) = (Arc::new(Semaphore::new(MOST)), Arc::new(Semaphore::new(MOST)));
        let cut = CancellationToken::new();
        Self { slots, watchers, stop, tasks: TaskTracker::new(), idle, cut }
    }

    /// Begins a transfer, unless there are too many.
    pub(super) fn begin(&self) -> Result<Slot, Problem> {
        let slot = Arc::clone(&self.slots).try_acquire_owned();
        slot.map(Slot).map_err(|_| Problem::unavailable(format!("there are {MOST} transfers under way; try again")))
    }

    /// Begins a stream of events, unless there are too many.
    pub(super) fn begin_watching(&self) -> Result<Slot, Problem> {
        let slot = Arc::clone(&self.watchers).try_acquire_owned();
        slot.map(Slot).map_err(|_| Problem::unavailable(format!("{MOST} streams of events are open; close some")))
    }

    /// Ends when the listener takes no more requests.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// A body that comes from the browser.
    pub(super) fn receive(&self, body: AxumBody) -> Body {
        let body = with_deadline(body, self.idle);
        Received { body: Some(body), tasks: self.tasks.clone(), cut: self.cut.clone() }.boxed_unsync()
    }

    /// A body that goes to the browser. Somebody takes it from the storage even while the browser takes nothing: only so
    /// can it be given up.
    pub(super) fn send(&self, mut body: Body, slot: Slot) -> AxumBody {
        let (frames, taken) = mpsc::channel::<Result<_, BodyError>>(1);
        let (idle, cut) = (self.idle, self.cut.clone());
        self.tasks.spawn(async move {
            let _slot = slot;
            loop {
                let frame = tokio::select! {
                    () = cut.cancelled() => Some(Err("the gateway ends".into())),
                    frame = body.frame() => frame,
                };
                let Some(frame) = frame else { return };
                let last = frame.is_err();
                // Whoever waits for more finds the body too short, and the connection ends.
                if frames.send_timeout(frame, idle).await.is_err() || last {
                    return;
                }
            }
        });
        AxumBody::new(StreamBody::new(ReceiverStream::new(taken)))
    }

    /// Ends when everything is to be cut off.
    pub(super) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// Cuts off what is still under way, and waits for it.
    pub async fn end(&self) {
        self.cut.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// A browser that is refused in the middle of its upload sees the refusal only if it may go on sending: what is left is
/// taken and dropped, up to a bound.
struct Received {
    body: Option<Body>,
    tasks: TaskTracker,
    cut: CancellationToken,
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
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

impl Drop for Received {
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        let cut = self.cut.clone();
        let rest = async move {
            let mut left = DROPPED;
            while let Some(Ok(frame)) = body.frame().await {
                let taken = frame.data_ref().map_or(0, Bytes::len);
                let Some(rest) = left.checked_sub(taken) else { return };
                left = rest;
            }
        };
        self.tasks.spawn(async move {
            tokio::select! {
                () = cut.cancelled() => {}
                _ = tokio::time::timeout(DROPPING, rest) => {}
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endless() -> Body {
        let frames = std::iter::repeat_with(|| Ok::<_, BodyError>(Frame::data(Bytes::from_static(&[0; 1024]))));
        StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
    }

    fn silent() -> Body {
        StreamBody::new(futures_util::stream::pending::<Result<Frame<Bytes>, BodyError>>()).boxed_unsync()
    }

    async fn all_slots(transfers: &Transfers) {
        let all = Arc::clone(&transfers.slots).acquire_many_owned(u32::try_from(MOST).unwrap());
        drop(tokio::time::timeout(Duration::from_mins(1), all).await.expect("given up in time").unwrap());
    }

    #[tokio::test]
    async fn a_download_that_nobody_takes_is_given_up() {
        let transfers = Transfers::new(Duration::from_millis(50), CancellationToken::new());
        let stalled = transfers.send(endless(), transfers.begin().unwrap());
        all_slots(&transfers).await;
        drop(stalled);
    }

    #[tokio::test]
    async fn an_upload_of_which_nothing_comes_is_given_up() {
        let transfers = Transfers::new(Duration::from_millis(50), CancellationToken::new());
        let mut body = transfers.receive(AxumBody::new(silent()));
        let frame = tokio::time::timeout(Duration::from_mins(1), body.frame()).await.expect("given up in time");
        assert!(matches!(frame, Some(Err(_))), "the one who stores it is told that it is not whole");
    }

    #[tokio::test]
    async fn what_is_left_of_a_refused_upload_is_taken_and_not_for_ever() {
        let transfers = Transfers::new(Duration::from_hours(1), CancellationToken::new());
        let (frames, taken) = mpsc::channel::<Result<Frame<Bytes>, BodyError>>(1);
        drop(transfers.receive(AxumBody::new(StreamBody::new(ReceiverStream::new(taken)))));
        let mebibyte = Bytes::from(vec![0; 1 << 20]);
        let mut sent = 0;
        while frames.send(Ok(Frame::data(mebibyte.clone()))).await.is_ok() {
            sent += mebibyte.len();
        }
        assert!((DROPPED..DROPPED + (4 << 20)).contains(&sent), "{sent} bytes");
    }

    #[tokio::test]
    async fn no_more_transfers_are_begun_than_there_are_slots() {
        let transfers = Transfers::new(Duration::from_hours(1), CancellationToken::new());
        let begun: Vec<_> = (0..MOST).map(|_| transfers.begin().unwrap()).collect();
        assert_eq!(transfers.begin().err().expect("refused").code, "unavailable");
        drop(begun);
        assert!(transfers.begin().is_ok());
    }

    #[tokio::test]
    async fn what_is_under_way_ends_with_the_gateway_and_as_broken() {
        let transfers = Transfers::new(Duration::from_hours(1), CancellationToken::new());
        let body = transfers.send(silent(), transfers.begin().unwrap());
        tokio::time::timeout(Duration::from_mins(1), transfers.end()).await.expect("ends");
        assert!(body.collect().await.is_err(), "a whole body it is not");
    }
}
