//! One call of a KMS: bounded in number and time, repeated where that may help, counted.

use std::sync::Arc;
use std::time::Duration;

use envelope::Kek;
use kms::{Error, KekRecord, Provider};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::{Inner, KeysError, Wrapping};

const ATTEMPTS: u32 = 3;

/// A fresh KEK of the provider.
pub(super) async fn new_kek(inner: &Inner, provider: Arc<Provider>) -> Result<Wrapping, KeysError> {
    let kms = provider.id().clone();
    let work = |provider: &Provider, runtime: &Handle| {
        let (bytes, record) = runtime.block_on(provider.new_kek())?;
        Ok((Kek::new(bytes.expose()), record))
    };
    let (kek, record) = run(inner, provider, "wrap", work).await?;
    Ok(Wrapping { kek: Arc::new(kek), kms, record: Arc::new(record) })
}

/// The KEK of a record.
pub(super) async fn open(
    inner: &Inner,
    provider: Arc<Provider>,
    record: Arc<KekRecord>,
) -> Result<Wrapping, KeysError> {
    let kms = provider.id().clone();
    let sought = Arc::clone(&record);
    let work =
        move |provider: &Provider, runtime: &Handle| Ok(Kek::new(runtime.block_on(provider.open(&sought))?.expose()));
    let kek = Arc::new(run(inner, provider, "unwrap", work).await?);
    Ok(Wrapping { kek, kms, record })
}

/// Does the provider give back what it wraps?
pub(super) async fn probe(inner: &Inner, provider: Arc<Provider>) -> Result<(), KeysError> {
    run(inner, provider, "probe", |provider, runtime| runtime.block_on(provider.probe())).await
}

/// Runs `work` on a blocking thread, where RSA may compute and other providers may wait.
pub(super) async fn run<T: Send + 'static>(
    inner: &Inner,
    provider: Arc<Provider>,
    operation: &'static str,
    work: impl Fn(&Provider, &Handle) -> Result<T, Error> + Clone + Send + 'static,
) -> Result<T, KeysError> {
    let deadline = Instant::now() + inner.options.call_deadline;
    let kms = provider.id().clone();
    let mut attempt = 0;
    loop {
        let permit = timeout_at(deadline, Arc::clone(&inner.calls).acquire_owned())
            .await
            .map_err(|_| KeysError::Deadline(kms.clone()))?
            .expect("the semaphore is never closed");
        let (work, provider, runtime) = (work.clone(), Arc::clone(&provider), Handle::current());
        let task = tokio::task::spawn_blocking(move || {
            let result = work(&provider, &runtime);
            // Held until the thread is free, also when nobody waits any longer.
            drop(permit);
            result
        });
        let answer = match timeout_at(deadline, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Error::Crypto("a call of the KMS ended in a panic")),
            Err(_) => {
                (inner.hooks.kms_call)(&kms, operation, false);
                return Err(KeysError::Deadline(kms));
            }
        };
        (inner.hooks.kms_call)(&kms, operation, answer.is_ok());
        attempt += 1;
        match answer {
            Ok(value) => return Ok(value),
            Err(error) if error.is_transient() && attempt < ATTEMPTS && Instant::now() < deadline => {
                let full = 100_u64 << attempt;
                let wait = Duration::from_millis(full / 2 + crate::system::jitter(full / 2));
                tokio::time::sleep_until((Instant::now() + wait).min(deadline)).await;
            }
            Err(error) => return Err(KeysError::Kms(Arc::new(error))),
        }
    }
}
