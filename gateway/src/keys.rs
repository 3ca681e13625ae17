//! Key-encryption keys: made, opened and kept, so that a KMS is asked rarely.
//!
//! ```text
//! PUT ──▶ wrapping() ──▶ the present KEK ── 1 h or 2^20 wraps ──▶ the next one, made ahead
//! GET ──▶ open(record) ─▶ cache of opened KEKs ── miss ──▶ one flight for each record ──▶ KMS
//!                              ▲ bounded, TTL, wiped on eviction
//! group document ──▶ configure: providers; another active KMS, another key or a flush drops KEKs at once
//! ```
//! Every call to a KMS is an owned task with a deadline, of which at most [`Options::concurrent_calls`] run at once: a
//! client that goes away neither ends nor repeats it.

mod cache;
mod call;
mod providers;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use envelope::Kek;
use ids::KmsId;
use kms::{KekRecord, RecordError};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::group::{Document, Group};
use cache::Cache;
use providers::Providers;

pub use providers::KmsState;

/// How keys are kept. The defaults are those of the design; tests shorten them.
#[derive(Debug, Clone)]
pub struct Options {
    /// A KEK wraps for so long, then the next one does.
    pub kek_age: Duration,
    /// A KEK wraps so many data keys, then the next one does. Far below 2^32, the bound of GCM with random nonces.
    pub kek_wraps: u64,
    /// While no next KEK can be had, the present one goes on for so much longer, and for as many wraps again.
    pub outage: Duration,
    /// So many opened KEKs are kept.
    pub cache: usize,
    /// An opened KEK is kept for so long.
    pub ttl: Duration,
    /// A failure is answered for so long without asking again.
    pub negative_ttl: Duration,
    /// A call of a KMS, with its retries, ends by then.
    pub call_deadline: Duration,
    /// So many calls run at once.
    pub concurrent_calls: usize,
}

impl Default for Options {
    fn default() -> Self {
        let hour = Duration::from_hours(1);
        Self {
            kek_age: hour,
            kek_wraps: 1 << 20,
            outage: hour,
            cache: 4096,
            ttl: hour,
            negative_ttl: Duration::from_secs(1),
            call_deadline: Duration::from_secs(10),
            concurrent_calls: 8,
        }
    }
}

/// Told about every call of a KMS: its ID, `wrap`, `unwrap` or `probe`, and whether it succeeded.
pub type CallHook = Box<dyn Fn(&KmsId, &'static str, bool) + Send + Sync>;

/// What is counted elsewhere.
pub struct Hooks {
    /// `sealgate_kms_calls_total`.
    pub kms_call: CallHook,
    /// `sealgate_kek_wraps`: the wraps under the present KEK.
    pub kek_wraps: Box<dyn Fn(u64) + Send + Sync>,
}

impl Default for Hooks {
    fn default() -> Self {
        Self { kms_call: Box::new(|_, _, _| ()), kek_wraps: Box::new(|_| ()) }
    }
}

/// No key can be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeysError {
    /// Encryption is due, and no KMS is active.
    #[error("no KMS is active")]
    NoActiveKms,
    /// The object needs a KMS that is not configured.
    #[error("the KMS {0} is not configured here; add it again with the same ID and key")]
    UnknownKms(KmsId),
    /// The configuration of a KMS cannot be used.
    #[error("the KMS {kms} cannot be used: {reason}")]
    BrokenKms {
        /// Which.
        kms: KmsId,
        /// Why.
        reason: String,
    },
    /// The object's KEK record is not one.
    #[error("the KEK record cannot be read: {0}")]
    Record(#[from] RecordError),
    /// The KMS refused or failed.
    #[error(transparent)]
    Kms(Arc<kms::Error>),
    /// The KMS did not answer in time.
    #[error("the KMS {0} did not answer in time")]
    Deadline(KmsId),
    /// The configuration changed while the key was being made; ask again.
    #[error("the KMS configuration is changing")]
    Changed,
}

impl KeysError {
    /// True where trying again later may help, without anybody doing anything: 503 rather than 500.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoActiveKms | Self::UnknownKms(_) | Self::BrokenKms { .. } | Self::Deadline(_) | Self::Changed => {
                true
            }
            Self::Record(_) => false,
            Self::Kms(error) => error.is_transient(),
        }
    }
}

/// The KEK for one data key. Getting one counts as one wrap.
#[derive(Clone)]
pub struct Wrapping {
    /// The key.
    pub kek: Arc<Kek>,
    /// The KMS that can open it again.
    pub kms: KmsId,
    /// How it is opened again; goes into the object.
    pub record: Arc<KekRecord>,
}

/// All keys of this gateway. Cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    options: Options,
    hooks: Hooks,
    state: Mutex<State>,
    calls: Arc<Semaphore>,
    tasks: TaskTracker,
}

struct State {
    providers: Arc<Providers>,
    /// Changes whenever what is under way must not be kept.
    generation: u64,
    present: Option<Present>,
    next: Option<Present>,
    making: Option<watch::Receiver<Option<Result<(), KeysError>>>>,
    make_failed: Option<(Instant, KeysError)>,
    cache: Cache,
}

/// A KEK that wraps.
struct Present {
    wrapping: Wrapping,
    made: Instant,
    wraps: u64,
}

impl Keys {
    /// No KMS yet: see [`Keys::configure`].
    pub fn new(options: Options, hooks: Hooks) -> Self {
        let state = State {
            providers: Arc::new(Providers::default()),
            generation: 0,
            present: None,
            next: None,
            making: None,
            make_failed: None,
            cache: Cache::new(options.cache),
        };
        let calls = Arc::new(Semaphore::new(options.concurrent_calls));
        Self(Arc::new(Inner { options, hooks, state: Mutex::new(state), calls, tasks: TaskTracker::new() }))
    }

    /// The KEK to wrap one data key with: at once, except for the first after a start or a change.
    pub async fn wrapping(&self) -> Result<Wrapping, KeysError> {
        // Each turn but the last ends with the configuration having changed meanwhile.
        for _ in 0..4 {
            let mut making = {
                let mut state = self.lock();
                if let Some(wrapping) = self.take_present(&mut state) {
                    return Ok(wrapping);
                }
                if let Some((at, error)) = &state.make_failed
                    && at.elapsed() < self.0.options.negative_ttl
                {
                    return Err(error.clone());
                }
                self.make_next(&mut state)?
            };
            let made = making.wait_for(Option::is_some).await;
            match made.map(|made| made.clone()) {
                Ok(Some(Ok(()) | Err(KeysError::Changed))) => {}
                Ok(Some(Err(error))) => return Err(error),
                // The task is gone without an answer: the gateway ends.
                Ok(None) | Err(_) => return Err(KeysError::Changed),
            }
        }
        Err(KeysError::Changed)
    }

    fn take_present(&self, state: &mut State) -> Option<Wrapping> {
        let options = &self.0.options;
        let spent = |kek: &Present, age: Duration, wraps: u64| kek.made.elapsed() >= age || kek.wraps >= wraps;
        let (age, wraps) = (options.kek_age, options.kek_wraps);
        if state.present.as_ref().is_none_or(|present| spent(present, age, wraps))
            && let Some(next) = state.next.take()
        {
            state.present = Some(next);
        }
        // Beyond its time the present KEK goes on only while no other can be had.
        if state.present.as_ref().is_some_and(|present| spent(present, age + options.outage, wraps.saturating_mul(2))) {
            state.present = None;
        }
        let nearly = state.present.as_ref().is_some_and(|present| spent(present, age / 8 * 7, wraps / 8 * 7));
        let failed = state.make_failed.as_ref().is_some_and(|(at, _)| at.elapsed() < options.negative_ttl);
        if nearly && state.next.is_none() && !failed {
            // Its failure is found in `make_failed`; the present KEK is still there.
            drop(self.make_next(state));
        }
        let present = state.present.as_mut()?;
        present.wraps += 1;
        (self.0.hooks.kek_wraps)(present.wraps);
        Some(present.wrapping.clone())
    }

    /// Begins to make the next KEK, if that is not under way.
    fn make_next(&self, state: &mut State) -> Result<watch::Receiver<Option<Result<(), KeysError>>>, KeysError> {
        // A task that ended without an answer must not be waited for again.
        if let Some(making) = state.making.as_ref().filter(|making| making.has_changed().is_ok()) {
            return Ok(making.clone());
        }
        let provider = state.providers.active()?;
        let generation = state.generation;
        let (done, making) = watch::channel(None);
        state.making = Some(making.clone());
        let keys = self.clone();
        self.0.tasks.spawn(async move {
            let made = call::new_kek(&keys.0, provider).await;
            let mut state = keys.lock();
            if state.generation != generation {
                done.send_replace(Some(Err(KeysError::Changed)));
                return;
            }
            state.making = None;
            let answer = match made {
                Ok(wrapping) => {
                    state.make_failed = None;
                    state.cache.insert(&wrapping, keys.0.options.ttl);
                    state.next = Some(Present { wrapping, made: Instant::now(), wraps: 0 });
                    Ok(())
                }
                Err(error) => {
                    tracing::warn!(%error, "no new KEK can be had");
                    state.make_failed = Some((Instant::now(), error.clone()));
                    Err(error)
                }
            };
            done.send_replace(Some(answer));
        });
        Ok(making)
    }

    /// The KEK of a record, from an object: from the cache, or from the KMS that the record names.
    pub async fn open(&self, record: &[u8]) -> Result<Arc<Kek>, KeysError> {
        let mut flight = {
            let mut state = self.lock();
            let now = Instant::now();
            let digest = cache::digest(record);
            if let Some(found) = state.cache.get(&digest, now) {
                return found;
            }
            if let Some(flight) = state.cache.flight(&digest) {
                flight
            } else {
                let record = KekRecord::parse(record)?;
                let provider = state.providers.get(record.kms_id())?;
                let (done, flight) = watch::channel(None);
                state.cache.begin(digest, flight.clone());
                let (keys, generation) = (self.clone(), state.generation);
                self.0.tasks.spawn(async move {
                    let record = Arc::new(record);
                    let opened = call::open(&keys.0, provider, Arc::clone(&record)).await;
                    let mut state = keys.lock();
                    if state.generation == generation {
                        let options = &keys.0.options;
                        state.cache.end(digest, &opened, options.ttl, options.negative_ttl);
                    }
                    drop(state);
                    done.send_replace(Some(opened.map(|wrapping| wrapping.kek)));
                });
                flight
            }
        };
        match flight.wait_for(Option::is_some).await.map(|opened| opened.clone()) {
            Ok(Some(opened)) => opened,
            Ok(None) | Err(_) => Err(KeysError::Changed),
        }
    }

    /// The KEK of a record if it is at hand: for answers that are not worth a call.
    pub fn cached(&self, record: &[u8]) -> Option<Arc<Kek>> {
        self.lock().cache.get(&cache::digest(record), Instant::now()).and_then(Result::ok)
    }

    /// Drops every KEK; the next PUT and GET ask the KMS.
    pub fn flush(&self) {
        let mut state = self.lock();
        drop_all(&mut state);
    }

    /// Takes over the KMS of a document, unless a newer one was taken over already.
    pub async fn configure(&self, document: &Arc<Document>) {
        let held = Arc::clone(&self.lock().providers);
        if held.revision >= document.revision {
            return;
        }
        let built = Providers::build(Arc::clone(document), held).await;
        let mut state = self.lock();
        if state.providers.revision >= built.revision {
            return;
        }
        let flushed = state.providers.flushes != built.flushes;
        let wraps_elsewhere = state.providers.active_key() != built.active_key();
        let gone = state.providers.changed(&built);
        state.providers = Arc::new(built);
        if flushed {
            drop_all(&mut state);
        } else if wraps_elsewhere {
            drop_present(&mut state);
        }
        if !gone.is_empty() {
            state.generation += 1;
            state.making = None;
            state.cache.forget(|kms| gone.contains(kms));
        }
    }

    /// Follows the group document until `stop`, and removes what is out of date; owned by the application, which joins it.
    pub async fn follow(self, group: Arc<Group>, stop: CancellationToken) {
        let mut documents = group.watch();
        let mut sweep = tokio::time::interval(Duration::from_secs(30));
        loop {
            let document = documents.borrow_and_update().clone();
            self.configure(&document).await;
            tokio::select! {
                () = stop.cancelled() => break,
                changed = documents.changed() => if changed.is_err() { break },
                _ = sweep.tick() => self.sweep(),
            }
        }
        self.flush();
        self.0.tasks.close();
        // Calls end by their own deadline.
        self.0.tasks.wait().await;
    }

    /// Wipes what is out of date although nobody asks for it.
    fn sweep(&self) {
        let mut state = self.lock();
        state.cache.sweep(Instant::now());
        let longest = self.0.options.kek_age + self.0.options.outage;
        let spent = |kek: &mut Present| kek.made.elapsed() >= longest;
        drop(state.present.take_if(spent));
        drop(state.next.take_if(spent));
    }

    /// The provider of a KMS, or what keeps it from working; `None` if none has this ID.
    pub fn kms(&self, id: &KmsId) -> Option<KmsState> {
        self.lock().providers.state(id)
    }

    /// Wraps and unwraps a fresh KEK and compares.
    pub async fn probe(&self, id: &KmsId) -> Result<(), KeysError> {
        let provider = self.lock().providers.get(id)?;
        call::probe(&self.0, provider).await
    }

    /// The same for a provider that is not configured yet.
    pub async fn probe_new(&self, provider: kms::Provider) -> Result<(), KeysError> {
        call::probe(&self.0, Arc::new(provider)).await
    }

    /// Why the last attempt to make a KEK failed; none where it succeeded, or none was made since the KMS changed.
    pub fn failing(&self) -> Option<String> {
        self.lock().make_failed.as_ref().map(|(_, error)| error.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock leaves at worst a key less; all fields are valid at every moment.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drop_present(state: &mut State) {
    state.generation += 1;
    state.present = None;
    state.next = None;
    state.making = None;
    state.make_failed = None;
    state.cache.forget_flights();
}

fn drop_all(state: &mut State) {
    drop_present(state);
    state.cache.forget(|_| true);
}

#[cfg(test)]
mod tests;
