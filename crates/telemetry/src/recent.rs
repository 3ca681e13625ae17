//! The newest events of the process, in memory, for whoever looks at it by its console.
//!
//! Only events of our own crates, from `info` on, whatever `SEALGATE_LOG` selects: what a library writes of its work may
//! hold what must not be shown, and what we write holds no secret. Bounded in lines and in the length of each.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Lines that are kept.
pub const KEPT: usize = 2_000;
/// Longest text of a message or a field, in bytes.
const LONGEST: usize = 1_024;
/// Fields of a line.
const FIELDS: usize = 16;
/// The crates whose events are kept.
const OURS: &[&str] = &["gateway", "central", "telemetry", "directory", "kms", "policy", "envelope", "proto"];

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counts all events of the process, from 1.
    pub number: u64,
    /// When.
    pub at: SystemTime,
    /// How grave.
    pub level: Level,
    /// The part of the program.
    pub target: &'static str,
    /// What happened.
    pub message: String,
    /// With what.
    pub fields: Vec<(&'static str, String)>,
}

/// The newest events; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Recent(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    lines: VecDeque<Line>,
}

impl Recent {
    /// Number of the newest event; 0 before the first.
    pub fn last(&self) -> u64 {
        self.lock().last
    }

    /// At most `limit` of the lines that `wanted` takes, oldest first: the first ones after number `after`, or without
    /// it the newest.
    pub fn lines(&self, after: Option<u64>, limit: usize, wanted: impl Fn(&Line) -> bool) -> Vec<Line> {
        let kept = self.lock();
        if let Some(after) = after {
            let later = kept.lines.iter().filter(|line| line.number > after && wanted(line));
            return later.take(limit).cloned().collect();
        }
        let mut newest: Vec<_> = kept.lines.iter().rev().filter(|line| wanted(line)).take(limit).cloned().collect();
        newest.reverse();
        newest
    }

    /// Number of the oldest line that is kept; none while there is none.
    pub fn oldest(&self) -> Option<u64> {
        self.lock().lines.front().map(|line| line.number)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    let name = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO && OURS.contains(&name)
}

impl<S: Subscriber> Layer<S> for Recent {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if !is_ours(event.metadata()) {
            return;
        }
        let mut texts = Texts::default();
        event.record(&mut texts);
        let mut kept = self.lock();
        kept.last += 1;
        let line = Line {
            number: kept.last,
            at: SystemTime::now(),
            level: *event.metadata().level(),
            target: event.metadata().target(),
            message: texts.message,
            fields: texts.fields,
        };
        if kept.lines.len() == KEPT {
            kept.lines.pop_front();
        }
        kept.lines.push_back(line);
    }
}

#[derive(Default)]
struct Texts {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Texts {
    fn take(&mut self, field: &Field, mut text: String) {
        if text.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            text.truncate(end);
            text.push('…');
        }
        if field.name() == "message" {
            self.message = text;
        } else if self.fields.len() < FIELDS && !text.is_empty() {
            self.fields.push((field.name(), text));
        }
    }
}

impl Visit for Texts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn with(work: impl FnOnce()) -> Recent {
        let recent = Recent::default();
        let subscriber = tracing_subscriber::registry().with(recent.clone());
        tracing::subscriber::with_default(subscriber, work);
        recent
    }

    #[test]
    fn only_what_we_write_is_kept_and_no_details() {
        let recent = with(|| {
            tracing::info!(target: "gateway::s3", status = 200, code = "", "request is answered");
            tracing::debug!(target: "gateway::s3", "too much");
            tracing::error!(target: "hyper::proto", authorization = "Bearer secret", "headers");
            tracing::warn!(target: "gatewayish", "not ours");
        });
        let lines = recent.lines(None, 10, |_| true);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!((lines[0].number, lines[0].message.as_str()), (1, "request is answered"));
        assert_eq!(lines[0].fields, [("status", "200".to_owned())]);
    }

    #[test]
    fn memory_is_bounded_in_lines_and_in_each() {
        let recent = with(|| {
            for _ in 0..KEPT + 10 {
                tracing::info!(target: "gateway", text = "ü".repeat(5_000), "long");
            }
        });
        let lines = recent.lines(None, usize::MAX, |_| true);
        assert_eq!((lines.len(), recent.last(), recent.oldest()), (KEPT, KEPT as u64 + 10, Some(11)));
        assert!(lines[0].fields[0].1.len() <= LONGEST + 3);
    }

    #[test]
    fn lines_are_read_on_from_where_one_stopped() {
        let recent = with(|| {
            for number in 1..=5 {
                tracing::info!(target: "gateway", number, "event");
            }
            tracing::warn!(target: "gateway", "grave");
        });
        let numbers = |lines: Vec<Line>| lines.iter().map(|line| line.number).collect::<Vec<_>>();
        assert_eq!(numbers(recent.lines(Some(2), 2, |_| true)), [3, 4]);
        assert_eq!(numbers(recent.lines(None, 2, |_| true)), [5, 6]);
        assert_eq!(numbers(recent.lines(Some(0), 9, |line| line.level <= Level::WARN)), [6]);
        assert!(recent.lines(Some(6), 9, |_| true).is_empty());
    }
}
