//! Opened KEKs by the digest of their record: bounded, for a time, and one flight for each that is being opened.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest as hash};
use envelope::Kek;
use ids::KmsId;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{KeysError, Wrapping};

/// SHA-256 of a record.
pub(super) type Digest = [u8; 32];
/// What a flight ends with.
pub(super) type Flight = watch::Receiver<Option<Result<Arc<Kek>, KeysError>>>;

/// Failures are kept apart, so that bad records cannot push out good keys.
const MAX_FAILED: usize = 256;

struct Opened {
    kek: Arc<Kek>,
    kms: KmsId,
    until: Instant,
    used: u64,
}

pub(super) struct Cache {
    capacity: usize,
    opened: HashMap<Digest, Opened>,
    failed: HashMap<Digest, (Instant, KeysError)>,
    flights: HashMap<Digest, Flight>,
    /// Counts uses; the entry with the lowest is the one that was not used for longest.
    clock: u64,
}

/// Where a record is found.
pub(super) fn digest(record: &[u8]) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash(&SHA256, record).as_ref());
    bytes
}

impl Cache {
    pub(super) fn new(capacity: usize) -> Self {
        let (opened, failed, flights) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { capacity: capacity.max(1), opened, failed, flights, clock: 0 }
    }

    pub(super) fn get(&mut self, digest: &Digest, now: Instant) -> Option<Result<Arc<Kek>, KeysError>> {
        self.clock += 1;
        if let Some(opened) = self.opened.get_mut(digest) {
            if now < opened.until {
                opened.used = self.clock;
                return Some(Ok(Arc::clone(&opened.kek)));
            }
            self.opened.remove(digest);
        }
        match self.failed.get(digest) {
            Some((until, error)) if now < *until => Some(Err(error.clone())),
            _ => None,
        }
    }

    pub(super) fn flight(&self, digest: &Digest) -> Option<Flight> {
        // One that ended without an answer must not be waited for again.
        self.flights.get(digest).filter(|flight| flight.has_changed().is_ok()).cloned()
    }

    pub(super) fn begin(&mut self, digest: Digest, flight: Flight) {
        self.flights.insert(digest, flight);
    }

    pub(super) fn end(
        &mut self,
        digest: Digest,
        opened: &Result<Wrapping, KeysError>,
        ttl: Duration,
        negative_ttl: Duration,
    ) {
        self.flights.remove(&digest);
        match opened {
            Ok(wrapping) => self.insert(wrapping, ttl),
            Err(error) => {
                let now = Instant::now();
                if self.failed.len() >= MAX_FAILED {
                    self.failed.retain(|_, (until, _)| now < *until);
                }
                if self.failed.len() < MAX_FAILED {
                    self.failed.insert(digest, (now + negative_ttl, error.clone()));
                }
            }
        }
    }

    pub(super) fn insert(&mut self, wrapping: &Wrapping, ttl: Duration) {
        let now = Instant::now();
        let digest = digest(wrapping.record.as_bytes());
        if self.opened.len() >= self.capacity && !self.opened.contains_key(&digest) {
            self.sweep(now);
        }
        while self.opened.len() >= self.capacity && !self.opened.contains_key(&digest) {
            let oldest = self.opened.iter().min_by_key(|(_, opened)| opened.used).map(|(digest, _)| *digest);
            let Some(oldest) = oldest else { break };
            self.opened.remove(&oldest);
        }
        self.clock += 1;
        let (kek, kms) = (Arc::clone(&wrapping.kek), wrapping.kms.clone());
        self.opened.insert(digest, Opened { kek, kms, until: now + ttl, used: self.clock });
    }

    /// Forgets everything of the KMS that are named, failures and flights in any case.
    pub(super) fn forget(&mut self, named: impl Fn(&KmsId) -> bool) {
        self.opened.retain(|_, opened| !named(&opened.kms));
        self.forget_flights();
    }

    /// What is being opened is given to who waits for it, and not kept. Failures may be over.
    pub(super) fn forget_flights(&mut self) {
        self.failed.clear();
        self.flights.clear();
    }

    pub(super) fn sweep(&mut self, now: Instant) {
        self.opened.retain(|_, opened| now < opened.until);
        self.failed.retain(|_, (until, _)| now < *until);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.opened.len()
    }
}
