//! Copies, and uploads that become objects, where that takes long.
//!
//! ```text
//! work ─▶ a task of its own ─▶ done soon: answered as it is
//!                           └▶ not yet: 200 and white space while it runs, then its document, or its error in the body
//! ```
//! So S3 answers: clients and proxies give up where nothing comes. The task is not the connection's: what was begun
//! is brought to an end also when its client is gone, and so leaves nothing half done.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::Error;
use super::multipart::field;
use super::service::xml;
use crate::upstream::{self, Body};

/// So long a client waits for the status, and then for each further white space.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// At work at once; further requests wait for their turn.
const MOST: usize = 256;
/// The longest document of an answer, in bytes.
const MAX_DOCUMENT: usize = 1 << 20;
/// Stands in front of the white space, since nothing may stand in front of it.
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

type Outcome = Result<Response<Body>, Error>;

/// What goes on without its client. Joined by whoever serves requests.
pub struct Work {
    tasks: TaskTracker,
    turns: Arc<Semaphore>,
    cut: CancellationToken,
}

impl Default for Work {
    fn default() -> Self {
        Self { tasks: TaskTracker::new(), turns: Arc::new(Semaphore::new(MOST)), cut: CancellationToken::new() }
    }
}

impl Work {
    /// Waits until nothing is at work any more. Nothing may be begun from now on.
    pub(super) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Ends what is at work as a kill would.
    pub(super) fn cut_off(&self) {
        self.cut.cancel();
    }

    /// The answer to a request that may take long. `resource` and `id`: of the request, for an error in the body.
    pub(super) async fn patiently(
        &self,
        patience: Duration,
        resource: String,
        id: String,
        work: BoxFuture<'static, Outcome>,
    ) -> Outcome {
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("the semaphore is never closed");
        let cut = self.cut.clone();
        let mut task = self.tasks.spawn(async move {
            let outcome = cut.run_until_cancelled(work).await;
            drop(turn);
            outcome.unwrap_or_else(|| Err(Error::slow_down("The gateway is being stopped. Try again.")))
        });
        match timeout(patience, &mut task).await {
            Ok(joined) => outcome(joined),
            Err(_) => Ok(Waiting { task, patience, resource, id }.response()),
        }
    }
}

fn outcome(joined: Result<Outcome, tokio::task::JoinError>) -> Outcome {
    joined.unwrap_or_else(|error| Err(Error::internal("The request broke off.").because(error)))
}

/// Work that is not done.
struct Waiting {
    task: JoinHandle<Outcome>,
    patience: Duration,
    resource: String,
    id: String,
}

impl Waiting {
    fn response(self) -> Response<Body> {
        let start = Frame::data(Bytes::from_static(DECLARATION.as_bytes()));
        let waiting = stream::unfold(Some(self), |waiting| async move {
            let mut waiting = waiting?;
            match timeout(waiting.patience, &mut waiting.task).await {
                Err(_) => Some((Ok(Frame::data(Bytes::from_static(b" "))), Some(waiting))),
                Ok(joined) => Some((Ok(Frame::data(waiting.document(outcome(joined)).await)), None)),
            }
        });
        let frames = futures_util::StreamExt::chain(stream::iter([Ok(start)]), waiting);
        let mut response = xml(StatusCode::OK, String::new());
        *response.body_mut() = StreamBody::new(frames).boxed_unsync();
        response
    }

    /// What came of it, without the declaration.
    async fn document(&self, outcome: Outcome) -> Bytes {
        let response = match outcome {
            Ok(response) => response,
            Err(error) => {
                let cause = error.cause().unwrap_or_default();
                tracing::warn!(
                    request_id = self.id,
                    code = error.code,
                    cause,
                    "request fails after its status was sent"
                );
                error.response(&self.resource, &self.id)
            }
        };
        let status = response.status();
        let document = upstream::collect(response.into_body(), MAX_DOCUMENT).await.ok().flatten().unwrap_or_default();
        // What is no document of S3's is none for the client.
        let document = if status.is_success() || field(&document, b"Code").is_some() {
            document
        } else {
            let error = Error::internal("The storage refuses the request.").response(&self.resource, &self.id);
            upstream::collect(error.into_body(), MAX_DOCUMENT).await.ok().flatten().unwrap_or_default()
        };
        let declared = document.starts_with(b"<?xml").then(|| document.windows(2).position(|at| at == b"?>"));
        match declared.flatten() {
            Some(end) => document.slice(end + 2..),
            None => document,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    /// Answers after its client has seen white space; gives the whole body.
    async fn late(outcome: impl FnOnce() -> Outcome + Send + 'static) -> String {
        let work = Work::default();
        let (done, wait) = tokio::sync::oneshot::channel::<()>();
        let copy = async move {
            wait.await.unwrap();
            outcome()
        };
        let answered = work.patiently(SOON, "/b/k".to_owned(), "ID".to_owned(), Box::pin(copy));
        let response = in_time(answered).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/xml");
        let mut body = response.into_body();
        let mut seen = String::new();
        let mut done = Some(done);
        while let Some(frame) = body.frame().await {
            seen.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
            if seen.ends_with("  ")
                && let Some(done) = done.take()
            {
                done.send(()).unwrap();
            }
        }
        work.ended().await;
        seen
    }

    /// Far longer than any of it takes.
    async fn in_time<T>(happens: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(30), happens).await.expect("it happens at last")
    }

    fn well_formed(document: &str, name: &[u8]) -> String {
        assert!(document.starts_with(DECLARATION) && document.matches("<?xml").count() == 1, "{document}");
        field(document.as_bytes(), name).unwrap()
    }

    #[tokio::test]
    async fn a_copy_that_takes_long_is_answered_by_white_space_and_then_its_document() {
        let seen = late(|| Ok(xml(StatusCode::OK, format!("{DECLARATION}<R><ETag>e</ETag></R>")))).await;
        assert_eq!(well_formed(&seen, b"ETag"), "e");
    }

    #[tokio::test]
    async fn an_error_after_the_status_stands_in_the_body() {
        let seen = late(|| Err(Error::precondition_failed("no"))).await;
        assert_eq!(
            (well_formed(&seen, b"Code"), well_formed(&seen, b"RequestId")),
            ("PreconditionFailed".into(), "ID".into())
        );
        let seen = late(|| Ok(xml(StatusCode::BAD_GATEWAY, "<html/>".to_owned()))).await;
        assert_eq!(well_formed(&seen, b"Code"), "InternalError");
        let seen = late(|| panic!("in the middle of it")).await;
        assert_eq!(well_formed(&seen, b"Code"), "InternalError");
    }

    #[tokio::test]
    async fn a_copy_that_is_done_soon_keeps_its_status_and_one_whose_client_is_gone_goes_on() {
        let work = Work::default();
        let told = || ("/b/k".to_owned(), "ID".to_owned());
        let hour = Duration::from_hours(1);
        let soon = work.patiently(hour, told().0, told().1, Box::pin(async { Err(Error::no_such_key("none")) })).await;
        assert_eq!(soon.unwrap_err().code, "NoSuchKey");
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let (done, is_done) = tokio::sync::oneshot::channel::<()>();
        let copy = async move {
            begun.await.unwrap();
            done.send(()).unwrap();
            Ok(xml(StatusCode::OK, String::new()))
        };
        drop(in_time(work.patiently(SOON, told().0, told().1, Box::pin(copy))).await.unwrap());
        begin.send(()).unwrap();
        in_time(is_done).await.unwrap();
        work.ended().await;
    }

    #[tokio::test]
    async fn each_waits_for_its_turn_and_gives_it_back_however_it_ends() {
        let work = Work::default();
        let mut ends = Vec::new();
        for at in 0..MOST {
            let (end, ended) = tokio::sync::oneshot::channel::<()>();
            ends.push(end);
            let copy = async move {
                ended.await.unwrap();
                match at % 3 {
                    0 => Ok(xml(StatusCode::OK, String::new())),
                    1 => Err(Error::no_such_key("none")),
                    _ => panic!("in the middle of it"),
                }
            };
            drop(in_time(work.patiently(SOON, String::new(), String::new(), Box::pin(copy))).await.unwrap());
        }
        let next = || {
            let copy = async { Err(Error::no_such_key("none")) };
            work.patiently(Duration::from_hours(1), String::new(), String::new(), Box::pin(copy))
        };
        let mut waits = Box::pin(next());
        assert!(timeout(Duration::from_millis(50), &mut waits).await.is_err(), "it is at work before its turn");
        for end in ends {
            end.send(()).unwrap();
        }
        assert_eq!(in_time(waits).await.unwrap_err().code, "NoSuchKey");
        for _ in 0..=MOST {
            assert_eq!(in_time(next()).await.unwrap_err().code, "NoSuchKey");
        }
        work.ended().await;
    }

    #[tokio::test]
    async fn what_is_cut_off_ends() {
        let work = Work::default();
        let never = std::future::pending::<Outcome>();
        let response = in_time(work.patiently(SOON, String::new(), String::new(), Box::pin(never))).await.unwrap();
        work.cut_off();
        work.ended().await;
        let body = upstream::collect(response.into_body(), MAX_DOCUMENT).await.unwrap().unwrap();
        assert_eq!(well_formed(std::str::from_utf8(&body).unwrap(), b"Code"), "SlowDown");
    }
}
