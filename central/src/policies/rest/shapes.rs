//! What travels over REST about policies: bodies of answers, questions and requests.

use policy::PolicySet;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{Change, Published};
use crate::error::Issue;

/// What a change did to the set.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Outcome {
    /// Number of the head now.
    pub revision: u64,
    /// Its lineage.
    pub lineage: Uuid,
    /// Policies that were written.
    pub changed: Vec<String>,
    /// Policies that were given and are as they were.
    pub unchanged: Vec<String>,
    /// Policies that are gone.
    pub deleted: Vec<String>,
}

/// One line of the list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Line {
    /// Name.
    pub name: String,
    /// Identity for its whole life.
    pub uid: Uuid,
    /// What it is for.
    pub description: String,
    /// enforce, audit or disabled.
    #[schema(value_type = String)]
    pub mode: policy::Mode,
    /// encrypt or deny.
    #[schema(value_type = String)]
    pub effect: policy::Effect,
    /// The highest is recorded.
    pub priority: u32,
    /// Revision that last changed it.
    pub changed_in: u64,
    /// When that was.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// Who did it.
    pub updated_by: String,
    /// Objects that it was recorded with, since ever.
    pub hits: Hits,
}

/// Objects with which a policy was recorded, by what became of them; the sums of `objects` of
/// `/stats?by=policy-outcome`.
#[derive(Debug, Clone, Copy, Default, Serialize, utoipa::ToSchema)]
pub struct Hits {
    /// Stored encrypted.
    pub encrypted: u64,
    /// Stored as they were: it only watches.
    pub would_encrypt: u64,
    /// Refused.
    pub denied: u64,
    /// Not refused: it only watches.
    pub would_deny: u64,
    /// It could not be evaluated.
    pub error: u64,
}

/// Policies by name.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct List {
    /// The history that the revision belongs to.
    pub lineage: Uuid,
    /// Number of the head.
    pub revision: u64,
    /// In the order of their names.
    pub policies: Vec<Line>,
    /// `after` of the next page; null at the end.
    pub next: Option<String>,
    /// How many there are on all pages.
    pub total: u64,
}

/// One policy.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct One {
    /// Name.
    pub name: String,
    /// Identity for its whole life.
    pub uid: Uuid,
    /// The history that the revision belongs to.
    pub lineage: Uuid,
    /// Number of the head.
    pub revision: u64,
    /// Revision that last changed it.
    pub changed_in: u64,
    /// When that was.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// Who did it.
    pub updated_by: String,
    /// The text as it was written, comments included.
    pub source: String,
    /// What it says.
    #[schema(value_type = Object)]
    pub document: policy::GovernancePolicy,
}

/// A whole set.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Set {
    /// The history that the revision belongs to.
    pub lineage: Uuid,
    /// Its number.
    pub revision: u64,
    /// SHA-256 of the bytes that gateways get, in hexadecimal.
    pub digest: String,
    /// In the order of their names.
    pub policies: Vec<Text>,
}

/// A policy's text.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Text {
    /// Name.
    pub name: String,
    /// Identity.
    pub uid: Uuid,
    /// As it was written.
    pub source: String,
}

/// What a check found.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Checked {
    /// Names of the policies in the text.
    pub policies: Vec<String>,
    /// What is legal and worth a second look.
    pub advice: Vec<Issue>,
}

/// Revisions, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct History {
    /// At most `limit`.
    pub revisions: Vec<Entry>,
    /// `before` of the next page; null at the end.
    pub next: Option<u64>,
}

/// One revision in the history.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Entry {
    /// The history that it belongs to.
    pub lineage: Uuid,
    /// Its number.
    pub number: u64,
    /// SHA-256 of the bytes that gateways get, in hexadecimal.
    pub digest: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Who made it.
    pub created_by: String,
    /// edit, delete, apply, rollback or lineage.
    pub cause: String,
    /// The number whose content a rollback published again.
    pub restores: Option<u64>,
    /// What it changed.
    pub changes: Vec<EntryChange>,
    /// It may have changed more: all revisions of a page tell at most 10,000 changes. Ask for fewer with `limit`, or for
    /// the difference of two.
    pub truncated: bool,
}

/// What became of one policy.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct EntryChange {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uid: Uuid,
    /// What happened.
    pub change: Change,
}

/// A mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It acts.
    Enforce,
    /// It only watches.
    Audit,
    /// It is not evaluated.
    Disabled,
}

impl Mode {
    /// Is this the mode?
    pub(super) fn is(self, mode: policy::Mode) -> bool {
        let same = match self {
            Self::Enforce => policy::Mode::Enforce,
            Self::Audit => policy::Mode::Audit,
            Self::Disabled => policy::Mode::Disabled,
        };
        same == mode
    }
}

/// An object to explain by a draft.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The text of one policy, which need not be saved.
    pub(super) draft: String,
    /// The object, as for `/policy-set/explain`.
    #[schema(value_type = Object)]
    pub(super) request: Box<serde_json::value::RawValue>,
}

/// A page by name.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ByName {
    /// A part of the name.
    #[serde(default)]
    pub(super) q: String,
    /// Only of this mode.
    #[param(inline)]
    pub(super) mode: Option<Mode>,
    /// Names after this.
    pub(super) after: Option<String>,
    /// At most so many; 1 to 1,000.
    pub(super) limit: Option<u32>,
}

/// A page of the history.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Numbers below this.
    pub(super) before: Option<u64>,
    /// At most so many; 1 to 1,000.
    pub(super) limit: Option<u32>,
}

/// How to apply.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct How {
    /// Delete every policy that is not in the text.
    #[serde(default)]
    pub(super) prune: bool,
}

/// Which revision.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Number; absent: the head.
    pub(super) revision: Option<u64>,
}

/// Which two revisions.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// The earlier number.
    pub(super) from: u64,
    /// The later number; absent: the head.
    pub(super) to: Option<u64>,
}

/// Where to go back to.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoBack {
    /// The number whose content is published again.
    pub(super) revision: u64,
}

/// Which lineage is to end.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLineage {
    /// The present lineage, as a confirmation.
    pub(super) instead_of: Uuid,
}

impl From<Published> for Outcome {
    fn from(published: Published) -> Self {
        Self {
            revision: published.revision.number,
            lineage: published.revision.lineage.0,
            changed: published.changed,
            unchanged: published.unchanged,
            deleted: published.deleted,
        }
    }
}

impl From<&PolicySet> for Set {
    fn from(set: &PolicySet) -> Self {
        let texts = set.items().iter().map(|item| Text {
            name: item.policy.name().to_owned(),
            uid: item.uid.0,
            source: item.policy.source().to_owned(),
        });
        Self {
            lineage: set.revision().lineage.0,
            revision: set.revision().number,
            digest: set.digest().to_string(),
            policies: texts.collect(),
        }
    }
}
