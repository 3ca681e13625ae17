//! Hints over REST, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use super::{Live, Seen};
use crate::app::App;
use crate::caller::{Caller, Permit};
use crate::error::{Error, Kind, Problem};
use crate::operators;

/// Between two looks whether the caller may still listen.
const STILL: Duration = Duration::from_secs(2);
/// After which a browser comes back.
const RETRY: Duration = Duration::from_secs(2);
/// Between two signs of life.
const ALIVE: Duration = Duration::from_secs(15);

/// What a stream holds.
struct Listener {
    app: App,
    caller: Caller,
    seen: watch::Receiver<Option<Seen>>,
    told: Option<Seen>,
    look: Instant,
    /// The place of the stream; free again with it.
    _place: OwnedSemaphorePermit,
}

/// Hints that something changed, as server-sent events, until the session or token ends: `policies` with the number of
/// the head, `gateways`, `statistics`, `notifications` with nothing. One of each at once. Whoever comes back after the
/// end of the session gets 401.
#[utoipa::path(
    get, path = "/events", tag = "overview",
    responses(
        (status = 200, body = String, content_type = "text/event-stream"), (status = 401, body = Problem),
        (status = 429, body = Problem)
    )
)]
pub async fn events(State(app): State<App>, Extension(permit): Extension<Permit>) -> Result<Response, Error> {
    let place = Arc::clone(&app.live.places).try_acquire_owned().map_err(|_| {
        Error::new(Kind::TooMany, "Too many consoles listen at this replica. Look again by hand.").retry_after(30)
    })?;
    let ends = app.live.ends.clone();
    let hints = listen(&app.live, app.clone(), permit.caller().clone(), place);
    // First what the browser is to do when this ends.
    let first = stream::iter([Ok::<_, Infallible>(Event::default().retry(RETRY))]);
    let events = first.chain(hints).take_until(ends.cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)).into_response())
}

fn listen(
    live: &Live,
    app: App,
    caller: Caller,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
    let seen = live.seen.subscribe();
    let look = Instant::now() + STILL;
    let listener = Listener { app, caller, seen, told: None, look, _place: place };
    let rounds = stream::unfold((listener, true), |(mut listener, first)| async move {
        let news = listener.news(first).await?;
        Some((stream::iter(news.into_iter().map(Ok)), (listener, false)))
    });
    rounds.flatten()
}

impl Listener {
    /// The hints that are due next; none when the caller may no longer listen.
    async fn news(&mut self, first: bool) -> Option<Vec<Event>> {
        if first {
            // Whatever is known by now, and be it nothing: a console that comes reads everything once.
            let now = *self.seen.borrow_and_update();
            self.told = now;
            let revision = self.app.services.feed.head().held.revision.number;
            let now = Seen { revision, ..Seen::default() };
            return Some(hints(None, now));
        }
        loop {
            tokio::select! {
                changed = self.seen.changed() => {
                    changed.ok()?;
                    let now = (*self.seen.borrow_and_update())?;
                    // What was found first was told with the first hints, unless it changed in between; then the numbers
                    // cannot tell, and everything is hinted once more.
                    let due = hints(self.told, now);
                    self.told = Some(now);
                    if !due.is_empty() {
                        return Some(due);
                    }
                }
                () = sleep_until(self.look) => {
                    self.look = Instant::now() + STILL;
                    let idle = self.app.config.sessions.idle;
                    match operators::holds(&self.app.db, &self.caller, idle).await {
                        Ok(true) => {}
                        Ok(false) => return None,
                        // A hint shows nothing, and a browser whose stream ends in an error does not come back.
                        Err(error) => tracing::debug!(%error, "whether a console may listen cannot be read"),
                    }
                }
            }
        }
    }
}

fn hints(before: Option<Seen>, now: Seen) -> Vec<Event> {
    let mut due = Vec::new();
    if before.is_none_or(|before| before.revision != now.revision) {
        due.push(Event::default().event("policies").data(format!("{{\"revision\":{}}}", now.revision)));
    }
    let before = before.map(|before| [before.gateways, before.statistics, before.notifications]);
    let now = [now.gateways, now.statistics, now.notifications];
    for (at, topic) in ["gateways", "statistics", "notifications"].into_iter().enumerate() {
        if before.is_none_or(|before| before[at] != now[at]) {
            due.push(Event::default().event(topic).data("{}"));
        }
    }
    due
}
