//! The group document, shared by the members of a gateway group through the system bucket.
//!
//! ```text
//!            edit: look, change a copy, seal, create N+1 if absent ──┐ taken by another member: look, and once more
//!                                                                    ▼
//!  system bucket   group/…015  group/…016  group/…017   immutable; the highest number is the document
//!                                                                    │
//!  members         look (LIST after their own number) every second ◀─┘
//! ```
//! Invariants:
//! - A revision is created with `If-None-Match: *` and never written again, so one of two racing edits loses, reads the
//!   winner's document and is applied to that. Nothing is lost.
//! - A member never goes back to a lower number. It knows that its document is current only if a list that was begun
//!   after some moment shows none higher *and* its own: see [`Group::writable`].
//! - Old revisions are removed by whoever wrote, all but the newest [`Options::keep`]. A writer that was asleep could
//!   then create a number anew that had been removed; it finds out by a list after its write, see [`Group::edit`].

mod document;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

#[cfg(test)]
pub(crate) use document::tests::empty;
pub use document::{
    Action, Backup, Bucket, Credential, Document, Floor, FormerPlace, Grant, Identity, KmsEntry, MadeKey, Mapping,
    Pattern, Refusal, Token, UnixMillis, token_digest,
};
pub(crate) use document::{glob, not_made};
pub use wire::DocumentError;
use wire::{MAX_SEALED, Revision};

use crate::config::{FirstAdmin, Secret};
use crate::sealing::SealingKey;
use crate::system::{System, SystemError, Written};

const PREFIX: &str = "group/";
/// So many old revisions are removed between two looks.
const REMOVED_AT_ONCE: usize = 16;
/// How often a look or an edit starts anew because another member was faster.
const ATTEMPTS: usize = 32;

/// How a member behaves. The defaults are those of the design; tests shorten them.
#[derive(Debug, Clone)]
pub struct Options {
    /// A member looks for a newer document this often; jitter of a fifth is subtracted. At most 2 s.
    pub look_every: Duration,
    /// A member whose document was not known to be current for longer refuses writes.
    pub stale_after: Duration,
    /// An edit that is not done by then fails.
    pub edit_deadline: Duration,
    /// So many of the newest revisions are kept.
    pub keep: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            look_every: Duration::from_secs(1),
            stale_after: Duration::from_secs(30),
            edit_deadline: Duration::from_secs(10),
            keep: 16,
        }
    }
}

/// The document could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The edit itself refused; nothing was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The storage failed. Of a change it is then unknown whether it was made; look again.
    #[error("the group document cannot be reached: {0}")]
    Storage(#[from] SystemError),
    /// A stored revision cannot be read, or the edited document not be written.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The storage no longer shows the revision that this member holds, nor a higher one.
    #[error(
        "the group document went backwards: revision {held} is gone and none is higher; the storage lost or hid it"
    )]
    Backwards {
        /// What this member holds.
        held: u64,
    },
    /// Another group's document lies in the system bucket.
    #[error("the group document belongs to another group ({found} instead of {held})")]
    OtherGroup {
        /// The group of this member.
        held: uuid::Uuid,
        /// The group that the document names.
        found: uuid::Uuid,
    },
    /// Other members were faster every time.
    #[error("the group document is being changed by others; nothing was written, try again")]
    Contended,
    /// Not done in time. Of a change it is unknown whether it was made; look again.
    #[error("the group document did not answer in time; it is not known whether the change was made")]
    Deadline,
}

/// This member has had no current document for too long: it serves reads and refuses writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this gateway has had no current group document for {} s and refuses writes", age.as_secs())]
pub struct Stale {
    /// How long ago the document was last known to be current.
    pub age: Duration,
}

/// What the first start of a group made: shown once, kept nowhere else in clear.
pub struct FirstStart {
    /// Access key of the administrator.
    pub access_key: String,
    /// Its secret.
    pub secret_key: Secret,
    /// Token of the admin API.
    pub token: Secret,
    /// True if any of them was drawn at random here, so that somebody must be told.
    pub drawn: bool,
}

/// A member's hold on the group document.
pub struct Group {
    system: Arc<System>,
    key: Arc<SealingKey>,
    options: Options,
    current: watch::Sender<Arc<Revision>>,
    document: watch::Sender<Arc<Document>>,
    /// Zero of the clock of `confirmed`.
    origin: Instant,
    /// Milliseconds after `origin` at which the last look began that found the document current.
    confirmed: AtomicU64,
    /// One edit at a time from this member; the storage decides between members.
    editing: Semaphore,
    prune: AtomicBool,
}

impl Group {
    /// What all members seal by, and the storage does not have.
    pub fn sealing_key(&self) -> &SealingKey {
        &self.key
    }

    /// Reads the document, or makes the first revision where the storage has none. What was made is returned once.
    ///
    /// # Errors
    /// A document that cannot be read ends the start: to begin anew would lose every key in it.
    pub async fn open(
        system: Arc<System>,
        key: Arc<SealingKey>,
        options: Options,
        wish: &FirstAdmin,
    ) -> Result<(Arc<Self>, Option<FirstStart>), GroupError> {
        let begun = Instant::now();
        let (revision, first) = Self::first_revision(&system, &key, wish).await?;
        let group = Self {
            document: watch::Sender::new(Arc::clone(&revision.document)),
            current: watch::Sender::new(Arc::new(revision)),
            system,
            key,
            options,
            origin: begun,
            confirmed: AtomicU64::new(0),
            editing: Semaphore::new(1),
            prune: AtomicBool::new(false),
        };
        Ok((Arc::new(group), first))
    }

    async fn first_revision(
        system: &System,
        key: &SealingKey,
        wish: &FirstAdmin,
    ) -> Result<(Revision, Option<FirstStart>), GroupError> {
        for _ in 0..ATTEMPTS {
            let numbers = revisions(system, 0).await?;
            if let Some(highest) = numbers.last() {
                if let Some(sealed) = system.get(&object(*highest), MAX_SEALED).await? {
                    return Ok((Revision::open(*highest, &sealed, key)?, None));
                }
                // Removed between the list and the read: there are higher ones.
                continue;
            }
            let first = FirstStart::draw(wish)?;
            let secret = Secret::new(first.secret_key.expose().to_owned());
            let document = wire::beginning(&first.access_key, secret, first.token.expose(), now())?;
            let revision = Revision::first(document)?;
            if system.put_new(&object(1), revision.seal(key)?).await? == Written::Ours {
                tracing::info!(group = %revision.document.group, "group document is created");
                return Ok((revision, Some(first)));
            }
        }
        Err(GroupError::Contended)
    }

    /// The newest document that this member knows.
    pub fn document(&self) -> Arc<Document> {
        self.document.borrow().clone()
    }

    /// Sees every change of the document from now on; a slow watcher sees the newest only.
    pub fn watch(&self) -> watch::Receiver<Arc<Document>> {
        self.document.subscribe()
    }

    /// How long ago the document was last known to be current.
    pub fn age(&self) -> Duration {
        self.origin.elapsed().saturating_sub(Duration::from_millis(self.confirmed.load(Ordering::Acquire)))
    }

    /// May this member write? Asked at every write of a client.
    pub fn writable(&self) -> Result<(), Stale> {
        let age = self.age();
        if age > self.options.stale_after { Err(Stale { age }) } else { Ok(()) }
    }

    /// The system bucket that the document lies in.
    pub fn system(&self) -> &Arc<System> {
        &self.system
    }

    /// Looks for a newer document once.
    pub async fn look(&self) -> Result<(), GroupError> {
        for _ in 0..ATTEMPTS {
            let begun = self.origin.elapsed();
            let held = Arc::clone(&self.current.borrow());
            let own = held.mark.revision;
            // From our own number on, so that a list that hides our revision is not taken for "nothing new".
            let numbers = revisions(&self.system, own - 1).await?;
            let Some(highest) = numbers.last().copied() else { return Err(GroupError::Backwards { held: own }) };
            if highest > own {
                let Some(sealed) = self.system.get(&object(highest), MAX_SEALED).await? else { continue };
                self.install(Revision::open(highest, &sealed, &self.key)?)?;
            }
            self.confirmed.fetch_max(u64::try_from(begun.as_millis()).unwrap_or(u64::MAX), Ordering::AcqRel);
            return Ok(());
        }
        Err(GroupError::Contended)
    }

    /// Changes the document: `edit` is applied to a copy of the current one, and again to a newer one if another member
    /// was faster. Returns what it returned once the change is durable, or at once if it changed nothing.
    ///
    /// # Errors
    /// [`GroupError::Refused`] and [`GroupError::Contended`]: nothing was written. Other errors may leave it unknown.
    pub async fn edit<T>(&self, edit: impl Fn(&mut Document) -> Result<T, Refusal>) -> Result<T, GroupError> {
        let work = async {
            let _turn = self.editing.acquire().await.expect("the semaphore is never closed");
            for attempt in 0..ATTEMPTS {
                if attempt > 0 {
                    let most = 10_u64 << attempt.min(5);
                    tokio::time::sleep(Duration::from_millis(crate::system::jitter(most))).await;
                }
                // Also an edit that changes nothing must not be judged by an old document.
                self.look().await?;
                let held = Arc::clone(&self.current.borrow());
                let mut copy = held.copy()?;
                let result = edit(&mut copy)?;
                let Some(next) = held.next(copy, now())? else { return Ok(result) };
                let begun = self.origin.elapsed();
                let written = self.system.put_new(&object(next.mark.revision), next.seal(&self.key)?).await?;
                if written == Written::Taken || !self.stands(&next).await? {
                    continue;
                }
                tracing::info!(revision = next.mark.revision, "group document is changed");
                self.install(next)?;
                self.confirmed.fetch_max(u64::try_from(begun.as_millis()).unwrap_or(u64::MAX), Ordering::AcqRel);
                self.prune.store(true, Ordering::Release);
                return Ok(result);
            }
            Err(GroupError::Contended)
        };
        tokio::time::timeout(self.options.edit_deadline, work).await.unwrap_or(Err(GroupError::Deadline))
    }

    /// Did the revision that was just created become part of history? It did not if its number had been removed as old
    /// by others while this member was asleep: then revisions beyond the number that are kept exist, which do not name it.
    async fn stands(&self, written: &Revision) -> Result<bool, GroupError> {
        for _ in 0..ATTEMPTS {
            let numbers = revisions(&self.system, written.mark.revision).await?;
            let Some(highest) = numbers.last().copied() else { return Ok(true) };
            if highest < written.mark.revision.saturating_add(self.options.keep) {
                return Ok(true);
            }
            let Some(sealed) = self.system.get(&object(highest), MAX_SEALED).await? else { continue };
            return Ok(Revision::open(highest, &sealed, &self.key)?.recent.contains(&written.mark));
        }
        Err(GroupError::Contended)
    }

    /// Takes a revision as the current one, if it is higher than what is held.
    fn install(&self, revision: Revision) -> Result<(), GroupError> {
        let (held, found) = (self.document().group, revision.document.group);
        if held != found {
            return Err(GroupError::OtherGroup { held, found });
        }
        let revision = Arc::new(revision);
        self.current.send_if_modified(|current| {
            if revision.mark.revision <= current.mark.revision {
                return false;
            }
            let named = revision.recent.contains(&current.mark);
            if !named && revision.recent.first().is_some_and(|oldest| oldest.revision <= current.mark.revision) {
                // Impossible where conditions are enforced; told, since an edit was lost.
                tracing::error!(
                    held = current.mark.revision,
                    found = revision.mark.revision,
                    "the group document forked: the storage let a revision be overwritten"
                );
            }
            self.document.send_replace(Arc::clone(&revision.document));
            *current = Arc::clone(&revision);
            true
        });
        Ok(())
    }

    /// Looks again and again until `stop`; owned by the application, which joins it.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut failing = false;
        loop {
            let every = u64::try_from(self.options.look_every.as_millis()).unwrap_or(1000);
            let wait = Duration::from_millis(every - crate::system::jitter(every / 5));
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
            let looked = tokio::select! {
                () = stop.cancelled() => return,
                looked = self.look() => looked,
            };
            match &looked {
                Ok(()) if failing => tracing::info!("group document is current again"),
                Ok(()) => {}
                Err(error) if !failing => tracing::warn!(%error, "group document cannot be read"),
                Err(error) => tracing::debug!(%error, "group document cannot be read"),
            }
            failing = looked.is_err();
            if self.prune.swap(false, Ordering::AcqRel) {
                let more = self.remove_old().await.unwrap_or_else(|error| {
                    tracing::debug!(%error, "old group documents cannot be removed");
                    true
                });
                self.prune.fetch_or(more, Ordering::AcqRel);
            }
        }
    }

    /// Removes revisions but the newest [`Options::keep`], counted from the one that this member knows; a few at a time,
    /// so that looks go on between them. Says whether there are more.
    async fn remove_old(&self) -> Result<bool, GroupError> {
        let own = self.current.borrow().mark.revision;
        let newest = own.saturating_sub(self.options.keep);
        let mut old = revisions(&self.system, 0).await?;
        old.retain(|number| *number <= newest);
        for number in old.iter().take(REMOVED_AT_ONCE) {
            self.system.delete(&object(*number)).await?;
        }
        Ok(old.len() > REMOVED_AT_ONCE)
    }
}

impl FirstStart {
    fn draw(wish: &FirstAdmin) -> Result<Self, GroupError> {
        let drawn = wish.access_key.is_none() || wish.secret_key.is_none() || wish.token.is_none();
        let text = |given: &Option<Secret>, bytes: usize, prefix: &str| match given {
            Some(secret) => Ok(Secret::new(secret.expose().to_owned())),
            None => random_text(bytes).map(|text| Secret::new(format!("{prefix}{text}"))),
        };
        let access_key = match &wish.access_key {
            Some(key) => key.clone(),
            None => format!("SG{}", random_hex(9)?.to_uppercase()),
        };
        let secret_key = text(&wish.secret_key, 30, "")?;
        let token = text(&wish.token, 32, "sgt_")?;
        Ok(Self { access_key, secret_key, token, drawn })
    }
}

/// Random text of the URL-safe Base64 alphabet from `bytes` bytes of randomness.
pub(crate) fn random_text(bytes: usize) -> Result<String, GroupError> {
    use base64::Engine as _;
    let mut raw = zeroize::Zeroizing::new(vec![0; bytes]);
    aws_lc_rs::rand::fill(&mut raw).map_err(|_| DocumentError::Sealed(crate::sealing::SealingError::Crypto))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(&*raw))
}

/// Random hexadecimal text from `bytes` bytes of randomness.
pub(crate) fn random_hex(bytes: usize) -> Result<String, GroupError> {
    let mut raw = vec![0; bytes];
    aws_lc_rs::rand::fill(&mut raw).map_err(|_| DocumentError::Sealed(crate::sealing::SealingError::Crypto))?;
    Ok(hex::encode(raw))
}

/// Key of a revision: twenty digits, so that lists are in order of number.
fn object(revision: u64) -> String {
    format!("{PREFIX}{revision:020}")
}

/// The numbers of the stored revisions after `after`, ascending.
async fn revisions(system: &System, after: u64) -> Result<Vec<u64>, GroupError> {
    let entries = system.list_all(PREFIX, Some(&object(after)), 100_000).await?;
    // What is not a number of twenty digits is not ours.
    let number = |key: &str| key.strip_prefix(PREFIX).filter(|rest| rest.len() == 20)?.parse().ok();
    Ok(entries.iter().filter_map(|entry| number(&entry.key)).collect())
}

/// Milliseconds since 1970.
pub(crate) fn now() -> UnixMillis {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis().try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests;
