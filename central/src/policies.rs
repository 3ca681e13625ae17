//! The fleet's policy set: read, publish, go back.
//!
//! ```text
//! rest ──text──▶ policy::parse
//!                 │ one transaction: head lock, precondition, plan(current set) ──▶ Plan {items, changes},
//!                 ▼ revision, changes, audit record, NOTIFY
//!             revision n + 1 (whole set, immutable) ──▶ feed ──▶ grpc ──▶ gateways
//! ```
//! A revision is made by `Policies::publish`, or as the first of a new lineage by [`Policies::begin_lineage`]. Its number
//! is the head's plus one under the head's row lock, so numbers have no gaps and no two editors overwrite each other.

use std::sync::{Arc, Mutex, PoisonError};

use ids::{Lineage, PolicyUid, Revision};
use policy::{Digest, Item, Policy, PolicySet};
use serde::Serialize;
use sqlx::PgPool;

use crate::audit;
use crate::caller::Permit;
use crate::db::{self, Tx};
use crate::error::{Error, Issue, Kind};
use crate::feed::Feed;
use crate::gateways;

pub mod grpc;
pub mod rest;
mod store;

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Policies {
    db: PgPool,
    feed: Arc<Feed>,
    notify: bool,
    /// The newest set that was read, so that an edit parses only what it changes. A mere copy: keyed by revision.
    newest: Arc<Mutex<Option<Arc<PolicySet>>>>,
}

/// What an editor must know to be right, and did not lose in the meantime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// None: whatever is there.
    Any,
    /// The set is at this revision.
    Set(Revision),
    /// The policy was last changed in this revision.
    Policy(String, Revision),
    /// The policy exists.
    Exists(String),
    /// The policy does not exist.
    Absent(String),
}

/// Why a revision was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// One policy was written.
    Edit,
    /// One policy was deleted.
    Delete,
    /// Documents were applied.
    Apply,
    /// The content of an earlier revision was published again.
    Rollback(u64),
    /// A new lineage began with the set as it was.
    Lineage,
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Apply => "apply",
            Self::Rollback(_) => "rollback",
            Self::Lineage => "lineage",
        }
    }

    const fn action(self) -> &'static str {
        match self {
            Self::Edit => "policy.changed",
            Self::Delete => "policy.deleted",
            Self::Apply => "policies.applied",
            Self::Rollback(_) => "policies.rolled-back",
            Self::Lineage => "lineage.begun",
        }
    }
}

/// What became of a policy in a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Added,
    /// Its text is another.
    Changed,
    /// It is gone.
    Removed,
}

impl Change {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// What is to be published: the next set, and how it differs from the present one.
struct Plan {
    items: Vec<Item>,
    changes: Vec<(String, PolicyUid, Change)>,
    unchanged: Vec<String>,
}

/// What was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The head now.
    pub revision: Revision,
    /// A policy that was not there before is among `changed`.
    pub created: bool,
    /// Names of policies that were written.
    pub changed: Vec<String>,
    /// Names that were given and are as they were.
    pub unchanged: Vec<String>,
    /// Names of policies that are gone.
    pub deleted: Vec<String>,
}

/// Begins the first lineage where there is none. Any number of replicas may do so at once.
pub async fn begin(db: &PgPool) -> Result<(), Error> {
    let lineage = Lineage::random();
    store::begin(db, lineage, PolicySet::empty(lineage).digest()).await
}

impl Policies {
    /// Over the database; `notify`: wake other replicas by NOTIFY.
    pub fn new(db: PgPool, feed: Arc<Feed>, notify: bool) -> Self {
        Self { db, feed, notify, newest: Arc::default() }
    }

    /// The set at the head.
    pub async fn current(&self) -> Result<Arc<PolicySet>, Error> {
        let mut connection = self.db.acquire().await.map_err(|error| Error::database("a connection", error))?;
        let head = store::head(&mut connection, false).await?;
        self.set(&mut connection, head).await
    }

    /// The set at an earlier number of the present lineage; 0 is the empty set.
    pub async fn at(&self, number: u64) -> Result<Arc<PolicySet>, Error> {
        let mut connection = self.db.acquire().await.map_err(|error| Error::database("a connection", error))?;
        let head = store::head(&mut connection, false).await?;
        if number > head.number {
            return Err(Error::not_found("policy revision", &number.to_string()));
        }
        self.set(&mut connection, Revision { number, ..head }).await
    }

    async fn set(&self, connection: &mut sqlx::PgConnection, revision: Revision) -> Result<Arc<PolicySet>, Error> {
        if revision.number == 0 {
            return Ok(Arc::new(PolicySet::empty(revision.lineage)));
        }
        let kept = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.revision() == revision) {
            return Ok(kept.clone());
        }
        let stored = store::document(connection, revision).await?;
        let set = blocking(move || {
            PolicySet::decode_bundle(stored.format, revision, stored.digest, &stored.document, kept.as_deref())
                .map(Arc::new)
                .map_err(|refusal| Error::corrupt("policy_revisions", "document", refusal))
        })
        .await?;
        self.keep(&set);
        Ok(set)
    }

    fn keep(&self, set: &Arc<PolicySet>) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let older = newest.as_ref().is_none_or(|kept| {
            kept.revision().lineage != set.revision().lineage || kept.revision().number < set.revision().number
        });
        if older {
            *newest = Some(set.clone());
        }
    }

    /// Writes one policy. Its name must be that of the document.
    pub async fn put(
        &self,
        permit: &Permit,
        name: &str,
        text: String,
        precondition: Precondition,
    ) -> Result<Published, Error> {
        let policy = blocking(move || policy::parse_one(&text).map_err(|problems| rejected(&problems))).await?;
        if policy.name() != name {
            let message = format!("the document is named {:?}, the address says {name:?}", policy.name());
            return Err(Error::new(Kind::Rejected, format!("Nothing was changed: {message}.")).issues(vec![Issue {
                line: 1,
                column: 1,
                path: "metadata.name".to_owned(),
                code: "name-mismatch".to_owned(),
                message,
            }]));
        }
        self.publish(permit, Cause::Edit, &precondition, |set| Ok(written(set, std::slice::from_ref(&policy), false)))
            .await
    }

    /// Deletes one policy. What it has encrypted stays encrypted and readable.
    pub async fn delete(&self, permit: &Permit, name: &str, precondition: Precondition) -> Result<Published, Error> {
        self.publish(permit, Cause::Delete, &precondition, |set| {
            let gone = set.get(name).ok_or_else(|| Error::not_found("policy", name))?;
            Ok(Plan {
                items: set.items().iter().filter(|item| item.uid != gone.uid).cloned().collect(),
                changes: vec![(name.to_owned(), gone.uid, Change::Removed)],
                unchanged: Vec::new(),
            })
        })
        .await
    }

    /// Writes several policies in one revision, or none; `prune` deletes all that are not among them.
    pub async fn apply(
        &self,
        permit: &Permit,
        text: String,
        prune: bool,
        precondition: Precondition,
    ) -> Result<Published, Error> {
        let policies = parse(text).await?;
        self.publish(permit, Cause::Apply, &precondition, |set| Ok(written(set, &policies, prune))).await
    }

    /// Publishes the content of an earlier revision as a new one.
    pub async fn roll_back(
        &self,
        permit: &Permit,
        number: u64,
        precondition: Precondition,
    ) -> Result<Published, Error> {
        let earlier = self.at(number).await?;
        self.publish(permit, Cause::Rollback(number), &precondition, |set| {
            if set.revision().lineage != earlier.revision().lineage {
                return Err(Error::new(Kind::Stale, "A new lineage began in the meantime; nothing was changed."));
            }
            Ok(restored(set, &earlier))
        })
        .await
    }

    /// Begins a new lineage whose first revision is the present set: the way out where Central is behind the fleet and
    /// its own set shall hold. Gateways take a set of a new lineage whatever they held before.
    pub async fn begin_lineage(&self, permit: &Permit, known: Lineage) -> Result<Published, Error> {
        let actor = permit.actor();
        let (published, set) = db::transaction!(&self.db, "begin-lineage", async |tx| {
            let head = store::head(tx, true).await?;
            if head.lineage != known {
                return Err(Error::new(Kind::Stale, "The present lineage is another one; nothing was changed."));
            }
            let set = self.set(tx, head).await?;
            let revision = Revision { lineage: Lineage::random(), number: 1 };
            let next = PolicySet::new(revision, set.items().to_vec())
                .map_err(|refusal| Error::internal("a set that was acceptable is not", refusal))?;
            let document = next.encode();
            let digest = Digest::of(&document);
            let cause = Cause::Lineage;
            store::move_head(tx, head, revision.lineage).await?;
            store::append(tx, &store::New { revision, document: &document, digest, cause, actor: &actor }).await?;
            let items = next.items().iter();
            let changes = items.map(|item| (item.policy.name().to_owned(), item.uid, Change::Added)).collect();
            let plan = Plan { items: Vec::new(), changes, unchanged: Vec::new() };
            store::append_changes(tx, revision, &plan.changes).await?;
            let published = Published::of(revision, plan);
            let detail = serde_json::json!({ "from": head, "to": revision });
            audit::record(tx, &actor, cause.action(), "policy-set", &detail).await?;
            if self.notify {
                store::notify(tx).await?;
            }
            Ok((published, Arc::new(next)))
        })
        .await?;
        self.keep(&set);
        self.feed.wake();
        Ok(published)
    }

    /// The set at the head with the policy of the text in it, as if it were published. Nothing is stored.
    pub async fn with_draft(&self, text: String) -> Result<PolicySet, Error> {
        let draft = blocking(move || policy::parse_one(&text).map_err(|problems| rejected(&problems))).await?;
        let set = self.current().await?;
        let plan = written(&set, std::slice::from_ref(&draft), false);
        PolicySet::new(set.revision(), plan.items)
            .map_err(|refusal| Error::new(Kind::TooLarge, format!("{}.", refusal.reason)).code(refusal.code.as_str()))
    }

    /// Makes a revision, unless nothing changes. `plan` is pure: it may be asked again when transactions conflict.
    async fn publish(
        &self,
        permit: &Permit,
        cause: Cause,
        precondition: &Precondition,
        plan: impl Fn(&PolicySet) -> Result<Plan, Error> + Sync,
    ) -> Result<Published, Error> {
        let actor = permit.actor();
        let (published, set) = db::transaction!(&self.db, "publish-policies", async |tx| {
            let head = store::head(tx, true).await?;
            let set = self.set(tx, head).await?;
            check(tx, precondition, &set).await?;
            let plan = plan(&set)?;
            if plan.changes.is_empty() {
                return Ok((Published::of(head, plan), set));
            }
            gateways::refuse_when_behind(tx).await?;
            let revision = Revision { number: head.number + 1, ..head };
            let next = PolicySet::new(revision, plan.items.clone()).map_err(|refusal| {
                Error::new(Kind::TooLarge, format!("Nothing was changed: {}.", refusal.reason))
                    .code(refusal.code.as_str())
            })?;
            let document = next.encode();
            let digest = Digest::of(&document);
            store::append(tx, &store::New { revision, document: &document, digest, cause, actor: &actor }).await?;
            store::append_changes(tx, revision, &plan.changes).await?;
            let published = Published::of(revision, plan);
            record(tx, &actor, cause, &published).await?;
            if self.notify {
                store::notify(tx).await?;
            }
            Ok((published, Arc::new(next)))
        })
        .await?;
        self.keep(&set);
        self.feed.wake();
        Ok(published)
    }

    pub(crate) fn db(&self) -> &PgPool {
        &self.db
    }
}

impl Published {
    fn of(revision: Revision, plan: Plan) -> Self {
        let names = |wanted: &[Change]| {
            let chosen = plan.changes.iter().filter(|(_, _, change)| wanted.contains(change));
            chosen.map(|(name, _, _)| name.clone()).collect::<Vec<_>>()
        };
        Self {
            revision,
            created: plan.changes.iter().any(|(_, _, change)| *change == Change::Added),
            changed: names(&[Change::Added, Change::Changed]),
            deleted: names(&[Change::Removed]),
            unchanged: plan.unchanged,
        }
    }
}

async fn record(tx: &mut Tx, actor: &audit::Actor, cause: Cause, published: &Published) -> Result<(), Error> {
    #[derive(Serialize)]
    struct Detail<'a> {
        lineage: Lineage,
        revision: u64,
        changed: &'a [String],
        deleted: &'a [String],
        #[serde(skip_serializing_if = "Option::is_none")]
        restores: Option<u64>,
    }
    let Revision { lineage, number: revision } = published.revision;
    let restores = if let Cause::Rollback(number) = cause { Some(number) } else { None };
    let subject = match (cause, published.changed.as_slice(), published.deleted.as_slice()) {
        (Cause::Edit, [name], []) | (Cause::Delete, [], [name]) => name,
        _ => "policy-set",
    };
    let detail = Detail { lineage, revision, changed: &published.changed, deleted: &published.deleted, restores };
    audit::record(tx, actor, cause.action(), subject, &detail).await
}

/// Is what the editor knew still so? Under the head's lock.
async fn check(tx: &mut Tx, precondition: &Precondition, set: &PolicySet) -> Result<(), Error> {
    let stale = |what: String| Error::new(Kind::Stale, what);
    match precondition {
        Precondition::Any => Ok(()),
        Precondition::Set(known) if *known == set.revision() => Ok(()),
        Precondition::Set(_) => Err(stale(format!(
            "The set is at revision {} now; nothing was changed. Look at what changed, then apply again.",
            set.revision().number
        ))),
        Precondition::Absent(name) if set.get(name).is_none() => Ok(()),
        Precondition::Absent(name) => Err(stale(format!(
            "There is a policy {name:?} already; nothing was changed. Read it, then send its ETag as If-Match."
        ))),
        Precondition::Exists(name) if set.get(name).is_some() => Ok(()),
        Precondition::Exists(name) => Err(Error::not_found("policy", name)),
        Precondition::Policy(name, known) => {
            if set.get(name).is_none() {
                return Err(stale(format!(
                    "The policy {name:?} is not there (any more); nothing was changed. To create it, send If-None-Match: *."
                )));
            }
            let lineage = set.revision().lineage;
            let last = store::last_change(tx, lineage, name)
                .await?
                .ok_or_else(|| Error::corrupt("policy_changes", "name", anyhow::anyhow!("{name:?} has no change")))?;
            if (Revision { number: last.number, lineage }) == *known {
                return Ok(());
            }
            Err(stale(format!(
                "{} changed the policy {name:?} in revision {} in the meantime; nothing of yours was saved. Read it \
                 again, put your change on top, and send its new ETag as If-Match.",
                last.by, last.number,
            )))
        }
    }
}

/// The set with these policies written into it.
fn written(set: &PolicySet, policies: &[Policy], prune: bool) -> Plan {
    let mut plan = Plan { items: Vec::new(), changes: Vec::new(), unchanged: Vec::new() };
    for policy in policies {
        let name = policy.name().to_owned();
        match set.get(&name) {
            Some(item) if item.policy == *policy => {
                plan.items.push(item.clone());
                plan.unchanged.push(name);
            }
            Some(item) => {
                plan.items.push(Item { uid: item.uid, policy: policy.clone() });
                plan.changes.push((name, item.uid, Change::Changed));
            }
            None => {
                let uid = PolicyUid::random();
                plan.items.push(Item { uid, policy: policy.clone() });
                plan.changes.push((name, uid, Change::Added));
            }
        }
    }
    for item in set.items() {
        let name = item.policy.name();
        if policies.iter().any(|policy| policy.name() == name) {
            continue;
        }
        if prune {
            plan.changes.push((name.to_owned(), item.uid, Change::Removed));
        } else {
            plan.items.push(item.clone());
        }
    }
    plan
}

/// The content of an earlier set, as it differs from the present one.
fn restored(set: &PolicySet, earlier: &PolicySet) -> Plan {
    let mut plan = Plan { items: earlier.items().to_vec(), changes: Vec::new(), unchanged: Vec::new() };
    for item in earlier.items() {
        let name = item.policy.name().to_owned();
        match set.get(&name) {
            Some(now) if now == item => plan.unchanged.push(name),
            Some(_) => plan.changes.push((name, item.uid, Change::Changed)),
            None => plan.changes.push((name, item.uid, Change::Added)),
        }
    }
    for item in set.items().iter().filter(|item| earlier.get(item.policy.name()).is_none()) {
        plan.changes.push((item.policy.name().to_owned(), item.uid, Change::Removed));
    }
    plan
}

/// The policies of a text, off the async threads.
async fn parse(text: String) -> Result<Vec<Policy>, Error> {
    blocking(move || policy::parse(&text).map_err(|problems| rejected(&problems))).await
}

/// What is wrong with a text, with every place.
fn rejected(problems: &policy::Problems) -> Error {
    let first = problems.0.first().map(ToString::to_string).unwrap_or_default();
    let more = match problems.0.len() {
        0 | 1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    Error::new(Kind::Rejected, format!("The document is not acceptable; nothing was changed. {first}{more}"))
        .code("invalid-policy")
        .issues(problems.0.iter().map(Issue::from).collect())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::internal("a text could not be read", error))?
}

#[cfg(test)]
mod tests;
