//! What every write of an object has in common, whether it comes by PUT, as a copy or in parts: its key,
//! what is recorded in it, and the one count that it makes.

use std::sync::{Arc, Mutex, PoisonError};

use envelope::{PolicyRef, Recorded};
use http::header::ETAG;
use http::{HeaderMap, StatusCode};
use ids::{Cause, KmsId, Outcome};

use super::Front;
use super::access::{Permit, Place};
use super::error::Error;
use super::request::Request;
use super::upload::{BeforeCommit, Verified};
use crate::keys::{KeysError, Wrapping};
use crate::state::ledger::{Known, Standing};
use crate::stats::{Count, Fact, Intent, Pending, Stats};

impl Front {
    /// What is recorded in a sealed object.
    pub(super) fn recorded(
        place: &Place,
        key: &str,
        cause: Cause,
        permit: &Permit,
        wrapping: &crate::keys::Wrapping,
    ) -> Result<Recorded, Error> {
        let place = envelope::Place::new(place.bucket.as_bytes(), key.as_bytes()).map_err(|error| {
            Error::new(StatusCode::BAD_REQUEST, "KeyTooLongError", "Your key is too long").because(error)
        })?;
        let policy = permit.policy().map(|policy| PolicyRef {
            uid: *policy.uid.0.as_bytes(),
            name: policy.name.clone(),
            lineage: *policy.revision.lineage.0.as_bytes(),
            revision: policy.revision.number,
        });
        Ok(Recorded {
            place,
            kms_id: wrapping.kms.as_str().to_owned(),
            kek_record: wrapping.record.as_bytes().to_vec(),
            cause: match cause {
                Cause::Policy => envelope::Cause::Policy,
                Cause::Toggle => envelope::Cause::Toggle,
                Cause::Client => envelope::Cause::Client,
                Cause::Floor => envelope::Cause::Floor,
                Cause::Lookalike => envelope::Cause::Lookalike,
            },
            policy,
            sealed_at_ms: u64::try_from(crate::state::now_ms()).unwrap_or_default(),
            writer: concat!("sealgate-gateway ", env!("CARGO_PKG_VERSION")).to_owned(),
        })
    }

    /// The KEK for one data key. 503 where none can be had: never plaintext instead.
    pub(super) async fn wrapping(&self) -> Result<Wrapping, Error> {
        self.keys.wrapping().await.map_err(|error| {
            let told = match error {
                KeysError::NoActiveKms => {
                    "Encryption is due and no KMS is active; nothing was stored. The gateway's administrator must add one."
                }
                _ => "Encryption is due and no key can be had; nothing was stored. Try again later.",
            };
            Error::slow_down(told).because(error)
        })
    }

    /// Records for good that the bucket holds encrypted objects, before the first of them is stored: lists of every
    /// member look at sizes from then on.
    pub(super) async fn remember_due(&self, document: &crate::group::Document, bucket: &str) -> Result<(), Error> {
        if document.buckets.get(bucket).is_some_and(|settings| settings.ever_due.is_some()) {
            return Ok(());
        }
        let now = u64::try_from(crate::state::now_ms()).unwrap_or_default();
        self.group.edit(|document| document.record_due(bucket, now)).await.map_err(|error| {
            Error::slow_down("The bucket's first encrypted object could not be noted; nothing was stored.")
                .because(error)
        })
    }

    /// Tells the ledger what was stored, as the head of the storage's answer names it.
    pub(super) fn learn(&self, request: &Request, head: &HeaderMap, known: Known) {
        if let Some(etag) = head.get(ETAG).and_then(|etag| etag.to_str().ok()) {
            let standing = standing_of(head, true);
            self.ledger.record(&request.bucket, &request.key, etag.trim_matches('"'), known, standing);
        }
    }

    /// Writes the intent down before the last bytes leave.
    pub(super) fn journal(
        &self,
        slot: &Slot,
        request: &Request,
        permit: &Permit,
        bytes: u64,
        fact: Option<Fact>,
    ) -> BeforeCommit {
        let (stats, slot) = (self.stats.clone(), slot.clone());
        let (bucket, key) = (request.bucket.clone(), request.key.clone());
        let (outcome, policy) = (permit.outcome(), permit.counted_policy().map(str::to_owned));
        let decided = permit.guard().share();
        Box::new(move |verified: &Verified| {
            let etag = || verified.md5.clone().map(|etag| Fact::Etag { etag, size: bytes });
            let fact = fact.or_else(etag).unwrap_or(Fact::None);
            let policy = policy.as_deref();
            let intent = Intent { bucket: &bucket, key: &key, policy, outcome, bytes, fact };
            slot.set(stats.intent(intent).holding(decided));
        })
    }
}

/// What counts one write, exactly once: its intent, once that is journalled; until then it counts as failed when the
/// request ends, whichever way.
#[derive(Clone)]
pub(super) struct Slot(Arc<Mutex<Counting>>);

enum Counting {
    /// Nothing can have been committed yet.
    Before(Failing),
    /// The storage may commit it.
    Begun(Pending),
    /// The outcome is somebody else's to tell, or told.
    Over,
}

/// Counts a failed write when it is dropped while it is armed.
struct Failing {
    stats: Stats,
    bucket: String,
    armed: bool,
}

impl Drop for Failing {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (outcome, direction) = (Outcome::Failed, ids::Direction::In);
        self.stats.count(Count { bucket: &self.bucket, policy: None, outcome, direction, bytes: 0 });
    }
}

impl Slot {
    /// For one object that is about to be written.
    pub(super) fn new(stats: &Stats, bucket: &str) -> Self {
        let failing = Failing { stats: stats.clone(), bucket: bucket.to_owned(), armed: true };
        Self(Arc::new(Mutex::new(Counting::Before(failing))))
    }

    fn set(&self, pending: Pending) {
        let mut counting = self.lock();
        if let Counting::Before(failing) = &mut *counting {
            failing.armed = false;
        }
        *counting = Counting::Begun(pending);
    }

    /// Takes the intent. None: nothing can have been committed, which is counted now.
    pub(super) fn take(&self) -> Option<Pending> {
        match std::mem::replace(&mut *self.lock(), Counting::Over) {
            Counting::Begun(pending) => Some(pending),
            Counting::Before(_) | Counting::Over => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text that is unique to one sealed object and stands in its metadata, where there was room for the header.
pub(super) fn mark_of_entries(metadata: &envelope::UserMetadata) -> Option<String> {
    let header = metadata.iter().find(|(name, _)| name == MARK)?;
    mark(&header.1)
}

/// The metadata entry from which the mark is made.
const MARK: &str = "x-amz-meta-gse-h";

/// The mark of a stored object, from the storage's headers.
pub fn mark_of_headers(headers: &HeaderMap) -> Option<String> {
    mark(headers.get(MARK)?.as_bytes())
}

fn mark(header: &[u8]) -> Option<String> {
    // It begins with the wrapped data key, whose nonce is random: 96 bits and more.
    header.get(..32).and_then(|start| std::str::from_utf8(start).ok()).map(str::to_owned)
}

/// How an object stands to others of its key, by what the storage says of it: only where versions are kept it has one.
pub(super) fn standing_of(head: &HeaderMap, latest: bool) -> Standing {
    match (head.contains_key("x-amz-version-id"), latest) {
        (false, true) => Standing::Only,
        (true, true) => Standing::Latest,
        (_, false) => Standing::Noncurrent,
    }
}

/// The KMS of an object as the ledger has it.
pub(super) fn kms_of(text: Option<&str>) -> Option<KmsId> {
    text.and_then(|text| text.parse().ok())
}
