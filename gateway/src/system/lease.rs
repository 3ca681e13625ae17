//! Leases: one member of the group at a time does a job that needs no more than one.
//!
//! ```text
//! lease/NAME/NNNN…   revisions, each created once; the highest is the lease
//!    free ──▶ create the next ──▶ held, for so long by the holder's own clock ──▶ create the next …
//!    held by another ──▶ unchanged for longer than that by our own clock ──▶ create the next
//! ```
//! No clock is compared with another's: a member waits for as long as it has itself seen the same revision. A lease makes
//! work rare, not safe: what its holder does must do no harm when a member that fell asleep does it too.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{MAX_ERROR, System, SystemError, Written};

/// Revisions of one lease that may lie there; its holder removes old ones.
const MOST: usize = 10_000;

/// A member's part in one lease.
pub struct Lease {
    system: System,
    prefix: String,
    /// How long a lease holds without being renewed.
    term: Duration,
    /// Distinguishes this member's revisions from those of others.
    holder: String,
    state: State,
}

enum State {
    /// The revision of another that was seen, and since when; none while nothing was seen.
    Others(Option<(u64, Instant)>),
    /// Our revision, and when we began to write it.
    Ours(u64, Instant),
}

#[derive(Serialize, Deserialize)]
struct Content {
    holder: String,
    /// Makes each revision unlike every other.
    drawn: String,
    /// Its holder has let go.
    free: bool,
}

impl Lease {
    /// The lease of that name, not held.
    pub fn new(system: &System, name: &str, term: Duration) -> Self {
        let prefix = format!("lease/{name}/");
        Self { system: system.clone(), prefix, term, holder: random(), state: State::Others(None) }
    }

    /// Takes the lease where it is free or its holder has not renewed it in its term, keeps it where it is ours. Says
    /// whether it is ours. Call it several times a term.
    pub async fn hold(&mut self) -> Result<bool, SystemError> {
        let begun = Instant::now();
        let highest = self.highest().await?;
        match (&self.state, highest) {
            (State::Ours(number, since), Some(found)) if *number == found => {
                if since.elapsed() < self.term / 4 {
                    return Ok(true);
                }
                self.create(found + 1, begun).await
            }
            (State::Others(Some((seen, since))), Some(found)) if *seen == found && since.elapsed() > self.term => {
                self.create(found + 1, begun).await
            }
            (State::Others(Some((seen, _))), Some(found)) if *seen == found => Ok(false),
            (_, Some(found)) => {
                self.state = State::Others(Some((found, begun)));
                let content = self.system.get(&self.object(found), MAX_ERROR).await?;
                // One that cannot be read counts as held: it lapses.
                let content = content.and_then(|bytes| serde_json::from_slice::<Content>(&bytes).ok());
                if content.is_some_and(|content| content.free) {
                    self.create(found + 1, begun).await
                } else {
                    Ok(false)
                }
            }
            (_, None) => self.create(1, begun).await,
        }
    }

    /// Is it ours now, by our own clock? With a margin of a quarter of the term.
    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Ours(_, since) if since.elapsed() < self.term / 4 * 3)
    }

    /// Lets go, so that another member need not wait. Where that fails, the lease lapses.
    pub async fn release(&mut self) {
        let State::Ours(number, _) = self.state else { return };
        self.state = State::Others(None);
        if let Err(error) = self.system.put_new(&self.object(number + 1), self.content(true)).await {
            tracing::debug!(%error, lease = self.prefix, "a lease cannot be released; it lapses");
        }
    }

    async fn create(&mut self, number: u64, begun: Instant) -> Result<bool, SystemError> {
        self.state = State::Others(None);
        if self.system.put_new(&self.object(number), self.content(false)).await? == Written::Taken {
            return Ok(false);
        }
        // While we slept, others may have gone on and removed the number that we then took.
        if self.highest().await? != Some(number) {
            return Ok(false);
        }
        self.state = State::Ours(number, begun);
        for old in self.numbers().await?.into_iter().filter(|old| *old < number) {
            if let Err(error) = self.system.delete(&self.object(old)).await {
                tracing::debug!(%error, lease = self.prefix, "an old revision of a lease is left over");
            }
        }
        Ok(true)
    }

    async fn highest(&self) -> Result<Option<u64>, SystemError> {
        Ok(self.numbers().await?.last().copied())
    }

    async fn numbers(&self) -> Result<Vec<u64>, SystemError> {
        let entries = self.system.list_all(&self.prefix, None, MOST).await?;
        let number = |key: &str| key.strip_prefix(&self.prefix).filter(|rest| rest.len() == 20)?.parse().ok();
        Ok(entries.iter().filter_map(|entry| number(&entry.key)).collect())
    }

    fn object(&self, number: u64) -> String {
        format!("{}{number:020}", self.prefix)
    }

    fn content(&self, free: bool) -> Vec<u8> {
        let content = Content { holder: self.holder.clone(), drawn: random(), free };
        serde_json::to_vec(&content).expect("texts are JSON")
    }
}

fn random() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fake, options, over_directory};
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test]
    async fn one_of_many_members_holds_a_lease_and_keeps_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let system = over_directory(folder.path()).await;
        let mut leases: Vec<Lease> = (0..8).map(|_| Lease::new(&system, "job", LONG)).collect();
        for _ in 0..3 {
            let taken = futures_util::future::join_all(leases.iter_mut().map(Lease::hold)).await;
            let held = taken.iter().filter(|held| *held.as_ref().expect("the storage answers")).count();
            assert_eq!(held, 1);
            assert_eq!(leases.iter().filter(|lease| lease.is_held()).count(), 1);
        }
    }

    #[tokio::test]
    async fn what_is_let_go_is_taken_at_once_and_old_revisions_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let system = over_directory(folder.path()).await;
        let (mut one, mut other) = (Lease::new(&system, "job", LONG), Lease::new(&system, "job", LONG));
        for _ in 0..5 {
            assert!(one.hold().await.expect("the storage answers"));
            assert!(!other.hold().await.expect("the storage answers"));
            one.release().await;
            assert!(!one.is_held());
            assert!(other.hold().await.expect("the storage answers"));
            other.release().await;
        }
        assert!(system.list_all("lease/", None, 100).await.expect("listed").len() <= 3);
    }

    #[tokio::test]
    async fn a_lease_that_is_not_renewed_lapses_and_its_holder_finds_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let system = over_directory(folder.path()).await;
        let term = Duration::from_millis(200);
        let (mut asleep, mut other) = (Lease::new(&system, "job", term), Lease::new(&system, "job", term));
        assert!(asleep.hold().await.expect("the storage answers"));
        let deadline = Instant::now() + Duration::from_mins(1);
        while !other.hold().await.expect("the storage answers") {
            assert!(Instant::now() < deadline, "the lease does not lapse");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!asleep.is_held(), "by its own clock it has lapsed before another takes it");
        assert!(!asleep.hold().await.expect("the storage answers"));
    }

    #[tokio::test]
    async fn a_storage_that_fails_gives_no_lease() {
        let (storage, upstream) = fake().await;
        let system = System::open(upstream, &options()).await.expect("opens");
        let mut lease = Lease::new(&system, "job", LONG);
        storage.lock().expect("not poisoned").down = true;
        assert!(lease.hold().await.is_err());
        assert!(!lease.is_held());
    }
}
