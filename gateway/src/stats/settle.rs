//! Settling what has no outcome: after a kill, and when a request ends before the storage answered.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Seen, Stats};
use crate::state::journal::Verdict;

/// Looks at an object (bucket and key as the client calls them) by a HEAD upstream. `Ok(None)` only where the storage says
/// that there is none; every other failure is an error, and the look is repeated.
pub type Look = Arc<dyn Fn(String, String) -> BoxFuture<'static, Result<Option<Seen>, String>> + Send + Sync>;

/// Looks at work at once.
const PARALLEL: usize = 16;
/// Time for one look.
const LOOK: Duration = Duration::from_secs(30);
/// Pause before the storage is looked at again.
const AGAIN: Duration = Duration::from_secs(2);

impl Stats {
    /// Looks once at everything that is open, for at most `within`. Called before the listener accepts, so that what the
    /// last life left is told apart from what clients send again.
    pub async fn settle(&self, look: &Look, within: Duration) {
        // What is not settled in time stays open, and is looked at again by `run`.
        let _ = tokio::time::timeout(within, self.settle_once(look)).await;
        // What was settled belongs to the life before, too.
        let stats = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            if stats.kept().baseline == Some(true) { stats.take_baseline() } else { Ok(()) }
        });
        match work.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "statistics cannot be written; counting goes on in memory"),
            Err(error) => tracing::error!(%error, "the baseline of the statistics failed"),
        }
    }

    /// Returns whether something is left to be looked at again.
    async fn settle_once(&self, look: &Look) -> bool {
        let open = self.shared.journal.unsettled();
        if open.is_empty() {
            return false;
        }
        let left = stream::iter(open)
            .map(|(id, open)| async move {
                let look = look(open.key.bucket.into(), open.object);
                let verdict = match tokio::time::timeout(LOOK, look).await {
                    Ok(Ok(seen)) => self.shared.journal.settle(id, seen.as_ref()),
                    Ok(Err(error)) => {
                        tracing::warn!(error, "a write without an outcome cannot be looked up; it is tried again");
                        Verdict::LookAgain
                    }
                    Err(_) => Verdict::LookAgain,
                };
                verdict == Verdict::LookAgain
            })
            .buffer_unordered(PARALLEL)
            // Every look to its end: whatever ends early drops those that are under way, and a backend that is down,
            // whose looks fail first each time, would keep what all others have from being settled.
            .fold(false, |left, again| async move { left | again });
        left.await
    }

    pub(super) async fn settle_until(&self, look: &Look, stop: CancellationToken) {
        loop {
            let left = tokio::select! {
                left = self.settle_once(look) => left,
                () = stop.cancelled() => return,
            };
            let again = if left { Instant::now() + AGAIN } else { Instant::now() + 30 * AGAIN };
            tokio::select! {
                () = tokio::time::sleep_until(again) => {}
                () = self.shared.journal.abandoned() => {}
                () = stop.cancelled() => return,
            }
        }
    }
}
