//! The KMS of the group document as providers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ids::KmsId;
use kms::{Inventory, Provider};

use super::KeysError;
use super::cache::{Digest, digest};
use crate::group::Document;

/// A configured KMS as this gateway has it.
#[derive(Debug, Clone)]
pub enum KmsState {
    /// It can be asked; what it holds, without secrets.
    Ready(Inventory),
    /// Its configuration cannot be used, and why.
    Broken(String),
}

struct Configured {
    /// Of kind and state: a provider is built anew only when they changed.
    digest: Digest,
    provider: Result<Arc<Provider>, String>,
}

#[derive(Default)]
pub(super) struct Providers {
    /// Revision of the document; 0 before the first.
    pub(super) revision: u64,
    pub(super) flushes: u64,
    active: Option<KmsId>,
    by_id: BTreeMap<KmsId, Arc<Configured>>,
}

impl Providers {
    /// The providers of a document; those whose configuration did not change are taken from `held`.
    pub(super) async fn build(document: Arc<Document>, held: Arc<Self>) -> Self {
        let task = tokio::task::spawn_blocking(move || Self::build_now(&document, &held));
        task.await.expect("reading the state of a KMS does not panic")
    }

    fn build_now(document: &Document, held: &Self) -> Self {
        let mut by_id = BTreeMap::new();
        for (id, entry) in &document.kms {
            let mut identity = zeroize::Zeroizing::new(entry.provider.clone().into_bytes());
            identity.push(0);
            identity.extend_from_slice(&entry.state);
            let digest = digest(&identity);
            let same = held.by_id.get(id).filter(|configured| configured.digest == digest);
            let configured = same.cloned().unwrap_or_else(|| {
                let provider = Provider::from_state(id.clone(), &entry.provider, &entry.state)
                    .map(Arc::new)
                    .map_err(|error| error.to_string());
                if let Err(error) = &provider {
                    tracing::error!(kms = %id, error, "KMS cannot be used");
                }
                Arc::new(Configured { digest, provider })
            });
            by_id.insert(id.clone(), configured);
        }
        let active = document.active_kms.clone();
        Self { revision: document.revision, flushes: document.kms_flushes, active, by_id }
    }

    pub(super) fn get(&self, id: &KmsId) -> Result<Arc<Provider>, KeysError> {
        let configured = self.by_id.get(id).ok_or_else(|| KeysError::UnknownKms(id.clone()))?;
        let broken = |reason: &String| KeysError::BrokenKms { kms: id.clone(), reason: reason.clone() };
        configured.provider.as_ref().map(Arc::clone).map_err(broken)
    }

    pub(super) fn active(&self) -> Result<Arc<Provider>, KeysError> {
        self.get(self.active.as_ref().ok_or(KeysError::NoActiveKms)?)
    }

    /// What new KEKs are wrapped by.
    pub(super) fn active_key(&self) -> Option<(&KmsId, Digest)> {
        let id = self.active.as_ref()?;
        Some((id, self.by_id.get(id)?.digest))
    }

    /// The KMS that `newer` has no longer, or has otherwise.
    pub(super) fn changed(&self, newer: &Self) -> BTreeSet<KmsId> {
        let same = |id: &KmsId, held: &Configured| newer.by_id.get(id).is_some_and(|new| new.digest == held.digest);
        self.by_id.iter().filter(|(id, held)| !same(id, held)).map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn state(&self, id: &KmsId) -> Option<KmsState> {
        Some(match &self.by_id.get(id)?.provider {
            Ok(provider) => KmsState::Ready(provider.inventory()),
            Err(reason) => KmsState::Broken(reason.clone()),
        })
    }
}
