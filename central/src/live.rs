//! Hints to consoles that something changed: which topic, never what. Whoever is hinted reads the routes again.
//!
//! ```text
//! database ──once a second, while somebody listens──▶ Seen (one number a topic) ──watch──▶ a stream a console
//! ```
//! Every replica reads the database for itself, so a hint comes whichever replica made the change. A hint that is lost
//! costs nothing: numbers differ until they are told.

pub mod rest;
mod store;
#[cfg(test)]
mod tests;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::notifications;
use crate::rpc::Services;

/// Between two looks: at most one hint of a topic in this time.
const LOOK: Duration = Duration::from_secs(1);
/// Streams at the same time at one replica.
const STREAMS: usize = 256;

/// A number for each topic; another one after a change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    revision: u64,
    gateways: u64,
    statistics: u64,
    notifications: u64,
}

/// What changed, for any number of streams.
pub struct Live {
    seen: watch::Sender<Option<Seen>>,
    places: Arc<Semaphore>,
    ends: CancellationToken,
}

impl Default for Live {
    fn default() -> Self {
        let seen = watch::Sender::new(None);
        Self { seen, places: Arc::new(Semaphore::new(STREAMS)), ends: CancellationToken::new() }
    }
}

impl Live {
    /// Ends every stream: this replica stops.
    pub fn end(&self) {
        self.ends.cancel();
    }

    /// Looks until `stop`; nothing is read while nobody listens.
    pub async fn run(&self, services: &Services, stop: CancellationToken) {
        let looking = async {
            let mut failing = false;
            loop {
                tokio::time::sleep(LOOK).await;
                if self.seen.receiver_count() == 0 {
                    continue;
                }
                match look(services).await {
                    Ok(seen) => {
                        failing = false;
                        self.seen.send_if_modified(|before| before.replace(seen) != Some(seen));
                    }
                    Err(error) if failing => tracing::debug!(%error, "consoles get no hints"),
                    Err(error) => {
                        failing = true;
                        tracing::warn!(%error, "consoles get no hints until the database answers");
                    }
                }
            }
        };
        tokio::select! { () = stop.cancelled() => {}, () = looking => {} }
    }
}

async fn look(services: &Services) -> Result<Seen, Error> {
    let (revision, gateways, statistics) = store::marks(&services.db, services.fleet.heartbeat()).await?;
    let (shown, total) = notifications::present(&services.db, services.fleet.heartbeat()).await?;
    let mut hasher = DefaultHasher::new();
    total.hash(&mut hasher);
    for notification in shown {
        (notification.kind.as_str(), notification.subject, notification.detail).hash(&mut hasher);
    }
    Ok(Seen { revision, gateways: hashed(&gateways), statistics: hashed(&statistics), notifications: hasher.finish() })
}

fn hashed(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
