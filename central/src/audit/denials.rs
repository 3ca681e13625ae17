//! Refused attempts, counted in memory and written as one chained checkpoint a minute.
//!
//! They must neither serialise writes (each record locks the end of the chain) nor let a stranger flood the log. Hence
//! at most `KINDS` different attempts are told apart between two checkpoints; the rest is one number. What is not
//! durable: counts of the last minute, when the process is killed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::{Actor, record};
use crate::db;
use crate::error::Error;

/// Different attempts that one checkpoint tells apart.
const KINDS: usize = 200;

/// Longest text kept of an attempt, in characters: strangers choose it.
const TEXT: usize = 128;

/// Between two checkpoints.
const INTERVAL: Duration = Duration::from_mins(1);

/// Counts of refused attempts since the last checkpoint.
#[derive(Debug, Default)]
pub struct Denials(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    told: HashMap<Attempt, u64>,
    rest: u64,
}

/// What is told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
struct Attempt {
    actor: String,
    #[serde(rename = "attempt")]
    what: String,
    code: &'static str,
}

#[derive(Serialize)]
struct Counted {
    #[serde(flatten)]
    attempt: Attempt,
    count: u64,
}

#[derive(Serialize)]
struct Checkpoint {
    attempts: Vec<Counted>,
    /// Attempts beyond the bound of kinds.
    not_told_apart: u64,
}

impl Denials {
    /// Counts one refused attempt. `actor` is who it was, as far as known (`anonymous` otherwise); `attempt` names the
    /// route or the call; `code` is the problem's.
    pub fn count(&self, actor: &str, attempt: &str, code: &'static str) {
        let key =
            Attempt { actor: actor.chars().take(TEXT).collect(), what: attempt.chars().take(TEXT).collect(), code };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = counts.told.len() < KINDS;
        match counts.told.get_mut(&key) {
            Some(count) => *count += 1,
            None if room => {
                counts.told.insert(key, 1);
            }
            None => counts.rest += 1,
        }
    }

    /// Writes what was counted as one record; nothing where nothing was counted. On failure the counts are kept.
    pub async fn checkpoint(&self, db: &PgPool) -> Result<(), Error> {
        let counts = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if counts.told.is_empty() && counts.rest == 0 {
            return Ok(());
        }
        let mut attempts: Vec<_> =
            counts.told.iter().map(|(attempt, count)| Counted { attempt: attempt.clone(), count: *count }).collect();
        attempts.sort_by(|a, b| a.attempt.cmp(&b.attempt));
        let checkpoint = Checkpoint { attempts, not_told_apart: counts.rest };
        let written = db::transaction!(db, "audit-denials", async |tx| {
            record(tx, &Actor::system(), "attempts.denied", "", &checkpoint).await
        })
        .await;
        if written.is_err() {
            self.put_back(counts);
        }
        written
    }

    fn put_back(&self, counts: Counts) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.rest += counts.rest;
        for (attempt, count) in counts.told {
            let room = now.told.len() < KINDS;
            match now.told.get_mut(&attempt) {
                Some(there) => *there += count,
                None if room => {
                    now.told.insert(attempt, count);
                }
                None => now.rest += count,
            }
        }
    }

    /// Writes a checkpoint a minute, and one at the end.
    pub async fn run(&self, db: &PgPool, stop: CancellationToken) {
        loop {
            let last = tokio::select! {
                () = stop.cancelled() => true,
                () = tokio::time::sleep(INTERVAL) => false,
            };
            if let Err(error) = self.checkpoint(db).await {
                tracing::warn!(%error, "denied attempts cannot be recorded yet");
            }
            if last {
                return;
            }
        }
    }
}
