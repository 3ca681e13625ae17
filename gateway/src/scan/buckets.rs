//! Which buckets clients see, and what makes encryption due in them.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use policy::{Effect, Mode};
use serde::Deserialize;

use crate::group::{Document, glob};
use crate::snapshot::Snapshot;
use crate::upstream::{UpstreamError, Upstreams, request, uri};

/// A list of all buckets of the largest accounts.
const MAX_LIST: usize = 16 * 1024 * 1024;

/// The buckets cannot be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NamesError {
    /// The storage did not answer.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// It refused.
    #[error("the storage answered {0} to a list of buckets")]
    Refused(StatusCode),
    /// Its answer is no list.
    #[error("the storage's list of buckets cannot be read")]
    Unreadable,
}

/// The buckets that clients see: those of the home backend but the system bucket, and those that are mapped.
pub(crate) async fn bucket_names(
    upstreams: &Upstreams,
    document: &Document,
    system_bucket: &str,
) -> Result<BTreeSet<String>, NamesError> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(rename = "Buckets", default)]
        buckets: Names,
    }
    #[derive(Deserialize, Default)]
    struct Names {
        #[serde(rename = "Bucket", default)]
        bucket: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        #[serde(rename = "Name")]
        name: String,
    }
    let home = upstreams.home();
    let answer = home.collect(request(Method::GET, uri("", None, &[])), MAX_LIST).await?;
    if !answer.status().is_success() {
        return Err(NamesError::Refused(answer.status()));
    }
    let text = std::str::from_utf8(answer.body()).map_err(|_| NamesError::Unreadable)?;
    let answer: Answer = quick_xml::de::from_str(text).map_err(|_| NamesError::Unreadable)?;
    let mut names: BTreeSet<String> = answer.buckets.bucket.into_iter().map(|named| named.name).collect();
    names.remove(system_bucket);
    for (name, bucket) in &document.buckets {
        if let Some(mapping) = &bucket.mapping {
            if mapping.backend == home.name() {
                names.remove(&mapping.backing_bucket);
            }
            names.insert(name.clone());
        }
    }
    Ok(names)
}

/// What makes encryption due in a bucket.
pub(crate) struct Due {
    /// Every new object is encrypted.
    pub(crate) all: bool,
    /// `toggle`, `floor`, `policy NAME`; a policy may ask for a part of the bucket only.
    pub(crate) because: Vec<String>,
}

/// Whether anything makes encryption due in any bucket, at a gateway whose configuration has the floor or not.
pub(crate) fn due_anywhere(document: &Document, snapshot: &Snapshot, floor: bool) -> bool {
    floor
        || !document.floor.encrypt.is_empty()
        || document.buckets.values().any(|bucket| bucket.encrypt)
        || snapshot.set.items().iter().any(|item| encrypts(snapshot, &item.policy.document().spec))
}

/// Whether a policy makes encryption due at a gateway of these labels, in whichever buckets.
fn encrypts(snapshot: &Snapshot, spec: &policy::Spec) -> bool {
    let here =
        |(key, values): (&String, &Vec<String>)| snapshot.labels.get(key).is_some_and(|value| values.contains(value));
    spec.mode == Mode::Enforce && spec.effect == Effect::Encrypt && spec.gateways.iter().all(here)
}

/// What makes encryption due in a bucket, at a gateway whose configuration has the floor or not.
pub(crate) fn due(document: &Document, snapshot: &Snapshot, floor: bool, bucket: &str) -> Due {
    let mut because = Vec::new();
    if document.toggled(bucket) {
        because.push("toggle".to_owned());
    }
    if floor || document.floor_covers(bucket) {
        because.push("floor".to_owned());
    }
    let mut all = !because.is_empty();
    let applies = |spec: &policy::Spec| {
        encrypts(snapshot, spec)
            && (spec.buckets.is_empty() || spec.buckets.iter().any(|pattern| glob(pattern, bucket)))
    };
    for item in snapshot.set.items() {
        let spec = &item.policy.document().spec;
        if applies(spec) {
            all |= spec.when.is_none();
            because.push(format!("policy {}", item.policy.name()));
        }
    }
    Due { all, because }
}
