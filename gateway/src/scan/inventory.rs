//! What the storage holds: buckets with what is due in them and how much of it is encrypted, KMS, backends.
//!
//! ```text
//! look through every bucket, page by page, now and then ─▶ Looked {counts, unknown, when}
//! ledger now − ledger when that look ended              ─▶ what changed since
//! ```
//! Between two looks the numbers grow with what this member stores. What other members store meanwhile, and what is
//! deleted past this one, is found at the next look: how old that is, is told.

use std::collections::BTreeMap;

use ids::StorageId;
use proto::report::{BackendState, BucketState, Inventory, KmsState};

use super::{bucket_names, due};
use crate::keys;
use crate::s3::{Front, Tally};
use crate::state::ledger::BucketCounts;
use crate::state::now_ms;
use crate::upstream::Upstream;

/// Buckets that are told one by one.
const MOST: usize = 10_000;

/// The last look through one bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Looked {
    /// When it ended, Unix milliseconds.
    pub(super) at_ms: i64,
    pub(super) found: BucketCounts,
    pub(super) unknown: u64,
    /// The ledger's counts when it ended; none where the ledger does not follow the bucket, since nothing was due there.
    pub(super) ledger: Option<BucketCounts>,
}

impl Looked {
    pub(super) fn new(tally: &Tally, ledger: Option<BucketCounts>) -> Self {
        Self { at_ms: now_ms(), found: tally.counts, unknown: tally.unknown, ledger }
    }

    /// What the bucket holds by what is known now.
    fn now(&self, ledger: BucketCounts) -> BucketCounts {
        let Some(then) = self.ledger else { return self.found };
        let grown = |found: u64, now: u64, then: u64| found.saturating_add(now).saturating_sub(then);
        BucketCounts {
            encrypted: grown(self.found.encrypted, ledger.encrypted, then.encrypted),
            encrypted_bytes: grown(self.found.encrypted_bytes, ledger.encrypted_bytes, then.encrypted_bytes),
            plain: grown(self.found.plain, ledger.plain, then.plain),
            plain_bytes: grown(self.found.plain_bytes, ledger.plain_bytes, then.plain_bytes),
        }
    }
}

/// Takes the inventory from what is known; asks the storage for the names of its buckets alone.
pub(super) async fn take(
    front: &Front,
    storage_id: StorageId,
    looked: &BTreeMap<String, Looked>,
) -> Result<Inventory, String> {
    let document = front.group.document();
    let names = bucket_names(&front.upstreams, &document, front.group.system().bucket()).await;
    let names = names.map_err(|error| error.to_string())?;
    let counts = front.ledger.all_counts().await.map_err(|error| error.to_string())?;
    let needing = front.ledger.objects_by_kms().await.map_err(|error| error.to_string())?;
    let bounded = |number: u64| number.min(i64::MAX.unsigned_abs());
    let snapshot = front.policies.current();
    if names.len() > MOST {
        tracing::warn!(buckets = names.len(), told = MOST, "there are more buckets than Central is told of");
    }
    let state = |name: &String| {
        let due = due(&document, &snapshot, front.settings.floor, name);
        let known = counts.get(name).copied().unwrap_or_default();
        let looked = looked.get(name);
        let held = looked.map_or(known, |looked| looked.now(known));
        BucketState {
            bucket: name.clone(),
            toggle: document.toggled(name),
            encrypting: due.all,
            because: due.because.join(", "),
            objects_encrypted: bounded(held.encrypted),
            objects_plain: bounded(held.plain),
            objects_unknown: bounded(looked.map_or(0, |looked| looked.unknown)),
            bytes_encrypted: bounded(held.encrypted_bytes),
            bytes_plain: bounded(held.plain_bytes),
            looked_ms: looked.map_or(0, |looked| looked.at_ms),
        }
    };
    let kms = document.kms.iter().map(|(id, entry)| {
        let keys = match front.keys.kms(id) {
            Some(keys::KmsState::Ready(inventory)) => Some(inventory.keys),
            Some(keys::KmsState::Broken(_)) | None => None,
        };
        let newest = keys.iter().flatten().map(|key| key.added_unix_s).max().unwrap_or(0);
        KmsState {
            id: id.to_string(),
            provider: entry.provider.clone(),
            state: if keys.is_some() { "ok" } else { "error" }.to_owned(),
            active: document.active_kms.as_ref() == Some(id),
            key_versions: keys.map_or(0, |keys| u32::try_from(keys.len()).unwrap_or(u32::MAX)),
            newest_key_ms: i64::try_from(newest.saturating_mul(1000)).unwrap_or(i64::MAX),
            objects: bounded(needing.get(id.as_str()).copied().unwrap_or_default()),
        }
    });
    let home = front.upstreams.home().name();
    let mapped = |backend: &str| {
        document.buckets.values().filter_map(|bucket| bucket.mapping.as_ref()).filter(|m| m.backend == backend).count()
    };
    let elsewhere: usize = front.upstreams.names().filter(|name| *name != home).map(mapped).sum();
    let backends = front.upstreams.names().filter_map(|name| front.upstreams.get(name)).map(|backend| BackendState {
        name: backend.name().to_owned(),
        kind: match backend {
            Upstream::Directory { .. } => "directory",
            Upstream::Http(_) => "s3",
        }
        .to_owned(),
        // Backends are configuration, which does not say since when: Central keeps when it first heard of each.
        added_ms: 0,
        buckets: if backend.name() == home { names.len().saturating_sub(elsewhere) } else { mapped(backend.name()) }
            as u64,
        region: backend.region().unwrap_or_default().to_owned(),
    });
    Ok(Inventory {
        storage_id,
        taken_ms: now_ms(),
        buckets: names.iter().take(MOST).map(state).collect(),
        kms: kms.collect(),
        backends: backends.collect(),
    })
}
