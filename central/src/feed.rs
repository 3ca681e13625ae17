//! The head of the policy set as this replica pushes it.
//!
//! ```text
//! NOTIFY, tick, edit of this replica ──wake──▶ refresh: read the head ──debounce──▶ read the bundle ──▶ one latest value
//!                                                                                              │ watch channel
//!                                                                              policies::grpc, one slot per stream
//! ```
//! Every way leads through the database: a missed NOTIFY, another replica, a restart and a reconnect are the same path.
//! The bundle is encoded once per revision; streams share its bytes.

mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ids::Revision;
use proto::watch::{Held, PolicyBundle, WatchDown};
use proto::wire;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::Error;

/// How a burst of edits becomes one push.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Burst {
    /// Quiet that is waited for before a revision is pushed.
    pub(crate) quiet: Duration,
    /// Longest that a burst delays the push.
    pub(crate) most: Duration,
}

const BURST: Burst = Burst { quiet: Duration::from_millis(50), most: Duration::from_secs(1) };
/// How often the head is read without a wake-up.
const TICK: Duration = Duration::from_secs(1);

/// A revision ready to be pushed.
#[derive(Debug)]
pub struct Head {
    /// Revision and digest.
    pub held: Held,
    /// The message with the document; clones share the document's bytes.
    pub bundle: wire::WatchDown,
    /// When the revision was made; none for the empty set before the first.
    pub made_at: Option<OffsetDateTime>,
}

/// The newest head, for any number of subscribers.
pub struct Feed {
    db: PgPool,
    head: watch::Sender<Arc<Head>>,
    wake: Notify,
    burst: Burst,
}

impl Feed {
    /// Reads the head.
    pub async fn open(db: PgPool) -> Result<Arc<Self>, Error> {
        Self::open_with(db, BURST).await
    }

    pub(crate) async fn open_with(db: PgPool, burst: Burst) -> Result<Arc<Self>, Error> {
        let head = load(&db).await?;
        Ok(Arc::new(Self { db, head: watch::Sender::new(Arc::new(head)), wake: Notify::new(), burst }))
    }

    /// The head now.
    pub fn head(&self) -> Arc<Head> {
        self.head.borrow().clone()
    }

    /// A slot that always has the newest head; intermediate ones are never seen.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Head>> {
        self.head.subscribe()
    }

    /// Something may have changed: read soon.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Reads the head whenever woken and at every tick, until `stop`. A database that does not answer delays pushes,
    /// nothing else: streams stay open.
    pub async fn run(&self, stop: CancellationToken) {
        let mut failing = false;
        loop {
            let refreshed = tokio::select! {
                () = stop.cancelled() => return,
                result = async {
                    let _ = tokio::time::timeout(TICK, self.wake.notified()).await;
                    self.refresh().await
                } => result,
            };
            match refreshed {
                Ok(()) => failing = false,
                Err(error) if failing => tracing::debug!(%error, "the head of the policies cannot be read"),
                Err(error) => {
                    tracing::warn!(%error, "the head of the policies cannot be read; pushes wait");
                    failing = true;
                }
            }
        }
    }

    /// Reads the head; where it is new, waits for the end of the burst and publishes it.
    async fn refresh(&self) -> Result<(), Error> {
        let mut seen = store::revision(&self.db).await?;
        if seen == self.head.borrow().held.revision {
            return Ok(());
        }
        let cap = Instant::now() + self.burst.most;
        while Instant::now() < cap {
            tokio::time::sleep(self.burst.quiet).await;
            let now = store::revision(&self.db).await?;
            if now == seen {
                break;
            }
            seen = now;
        }
        let head = load(&self.db).await?;
        tracing::info!(revision = head.held.revision.number, "a policy revision is pushed");
        self.head.send_replace(Arc::new(head));
        Ok(())
    }
}

async fn load(db: &PgPool) -> Result<Head, Error> {
    let row = store::head(db).await?;
    let revision: Revision = row.revision;
    let (format, document, made_at) = match row.stored {
        Some(stored) => (stored.format, Bytes::from(stored.document), Some(stored.made_at)),
        // The empty set before the first revision is stored nowhere.
        None => (policy::FORMAT, Bytes::from(policy::PolicySet::empty(revision.lineage).encode()), None),
    };
    let digest = policy::Digest::of(&document).0;
    if digest != row.digest {
        return Err(Error::corrupt("policy_head", "digest", anyhow::anyhow!("it is not that of the document")));
    }
    let held = Held { revision, digest };
    let bundle = WatchDown::Bundle(PolicyBundle { held, format, document }).into();
    Ok(Head { held, bundle, made_at })
}
