//! What the gateway says of itself: the newest lines of its log, and hints that something changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::Interval;
use utoipa::{IntoParams, ToSchema};

use super::guard::Caller;
use super::problem::{Problem, Query};
use super::transfers::Slot;
use super::{Admin, Shared, rfc3339};

/// Lines of an answer where nothing else is asked for.
const LINES: usize = 200;
/// The most.
const MOST_LINES: usize = 1_000;
/// Changes are looked for so often: a topic is told of once a second at most.
const LOOK: Duration = Duration::from_secs(1);
/// A comment keeps proxies from ending a stream without events.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// When a browser comes back after a stream ended.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Lines with a higher number; without it the newest.
    after: Option<u64>,
    /// 1 to 1000.
    limit: Option<usize>,
    /// `error`, `warn` or `info`: this grave and graver.
    level: Option<Level>,
}

/// How grave a line is.
#[derive(Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = LogLevel)]
pub(super) enum Level {
    Error,
    Warn,
    Info,
}

/// Lines of the log.
#[derive(Serialize, ToSchema)]
#[schema(as = LogLines)]
pub(super) struct Page {
    /// Oldest first.
    lines: Vec<Line>,
    /// Number of the newest line there is: 0 before the first.
    last: u64,
    /// Number of the oldest that is still kept.
    oldest: Option<u64>,
}

/// One line of the log.
#[derive(Serialize, ToSchema)]
#[schema(as = LogLine)]
pub(super) struct Line {
    /// Counts from the start of the process.
    number: u64,
    /// RFC 3339.
    at: String,
    level: Level,
    /// The part of the program.
    target: &'static str,
    /// What happened.
    message: String,
    /// With what; all values are texts.
    #[schema(value_type = Object)]
    fields: Map<String, Value>,
}

/// The newest lines of this gateway's log, from memory: 2,000 are kept.
#[utoipa::path(get, path = "/log", tag = "gateway", params(Which),
    responses((status = 200, body = Page), (status = 400, body = Problem)))]
pub(super) async fn lines(State(admin): Shared, Query(which): Query<Which>) -> Result<Json<Page>, Problem> {
    let limit = which.limit.unwrap_or(LINES);
    if !(1..=MOST_LINES).contains(&limit) {
        return Err(Problem::invalid(format!("limit must be 1 to {MOST_LINES}")));
    }
    let least = match which.level {
        Some(Level::Error) => tracing::Level::ERROR,
        Some(Level::Warn) => tracing::Level::WARN,
        Some(Level::Info) | None => tracing::Level::INFO,
    };
    let found = admin.log.lines(which.after, limit, |line| line.level <= least);
    let lines = found.into_iter().map(|line| Line {
        number: line.number,
        at: at(line.at),
        level: match line.level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            _ => Level::Info,
        },
        target: line.target,
        message: line.message,
        fields: line.fields.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect(),
    });
    Ok(Json(Page { lines: lines.collect(), last: admin.log.last(), oldest: admin.log.oldest() }))
}

fn at(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    rfc3339(u64::try_from(since.as_millis()).unwrap_or_default())
}

/// What a topic looks like now; it is told of when that changes.
#[derive(Default, PartialEq, Eq)]
struct Seen {
    topics: Vec<(&'static str, Value)>,
}

impl Seen {
    fn of(admin: &Admin) -> Self {
        let status = admin.uplink.status();
        let trouble = status.error.as_ref().map(|error| error.code.clone());
        let central = json!([status.connected, trouble, status.quarantined, status.reports_waiting]);
        let revision = admin.policies.current().revision.map(|revision| revision.number);
        let policies = json!([revision, admin.policies.is_effective()]);
        let figures = serde_json::to_value(admin.front.stats.totals()).unwrap_or_default();
        Self {
            topics: vec![
                ("group", json!(admin.group.document().revision)),
                ("policies", policies),
                ("central", central),
                ("statistics", figures),
                ("log", json!(admin.log.last())),
            ],
        }
    }

    /// What is told of those topics that `before` saw otherwise: enough to know whether to ask, never what to act on.
    fn changes(&self, before: &Self) -> Vec<Event> {
        let changed = self.topics.iter().filter(|topic| !before.topics.contains(topic));
        let told = changed.map(|(topic, seen)| {
            let hint = match *topic {
                "group" => json!({ "revision": seen }),
                "policies" => json!({ "revision": seen[0] }),
                "log" => json!({ "last": seen }),
                _ => json!({}),
            };
            Event::default().event(*topic).retry(RETRY).data(hint.to_string())
        });
        told.collect()
    }
}

struct Watch {
    admin: Arc<Admin>,
    caller: Caller,
    ticks: Interval,
    seen: Seen,
    waiting: Vec<Event>,
    _slot: Slot,
}

impl Watch {
    /// The next hint; none: what let the caller in holds no more, or the gateway ends.
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.waiting.pop() {
                return Some((Ok(event), self));
            }
            tokio::select! {
                () = self.admin.transfers.stop().cancelled() => return None,
                _ = self.ticks.tick() => {}
            }
            if !self.caller.still_holds(&self.admin) {
                return None;
            }
            let now = Seen::of(&self.admin);
            self.waiting = now.changes(&self.seen);
            self.waiting.reverse();
            self.seen = now;
        }
    }
}

fn watch(watch: Watch) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(watch, Watch::next)
}

/// Server-sent events that say what to ask for anew: `group` (settings, credentials, KMS, toggles), `policies`, `central`,
/// `statistics`, `log`. One of each at once. They end with the session.
#[utoipa::path(get, path = "/events", tag = "gateway",
    responses((status = 200, description = "Hints", content_type = "text/event-stream"), (status = 503, body = Problem)))]
pub(super) async fn events(State(admin): Shared, Extension(caller): Extension<Caller>) -> Result<Response, Problem> {
    let slot = admin.transfers.begin_watching()?;
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let state = Watch { admin, caller, ticks, seen: Seen::default(), waiting: Vec::new(), _slot: slot };
    Ok(Sse::new(watch(state)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}
