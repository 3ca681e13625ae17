//! The governance policy language: parse, check, evaluate, explain, compare. Pure: no I/O, no threads; the time of a
//! request is a fact like the others.
//!
//! ```text
//! text ──parse──▶ Policy {source text, GovernancePolicy, compiled condition} | Problems {line, column, code}
//!                   │ validate ──▶ advice
//!                   │ diff ──▶ what an edit changes
//!                   ▼
//!                 PolicySet {revision, items} ──encode──▶ bytes, Digest      at Central
//!                   ▲                                      │
//!                   └────────── decode | Refusal ◀─────────┘                 at a gateway
//!                   │ Engine::compile (labels of the gateway)
//!                   ▼
//!                 Engine ── decide(Facts) ──▶ Decision {pass | encrypt | deny, policy, audit, errors}
//!                   └────── explain(Facts) ──▶ each policy: applies or not, and why
//! ```
//!
//! The text that an administrator wrote is the one source of truth: a set carries texts, and whoever receives it
//! parses them again. A document is a [`GovernancePolicy`]; its condition is CEL, bounded as described in [`cel`].

mod bucket;
pub mod cel;
mod diff;
mod document;
mod engine;
mod explain;
mod facts;
mod form;
pub mod limits;
mod parse;
mod problem;
mod schema;
mod set;
mod text;

pub use diff::{Change, FieldChange, PolicyDiff, SetDiff, diff, diff_sets};
pub use document::{API_VERSION, ApiVersion, Effect, Existing, GovernancePolicy, KIND, Kind, Metadata, Mode, Spec};
pub use engine::{AuditMatch, Decision, Engine, EvaluationError, PolicyRef, Verdict};
pub use explain::{ExplainRequest, Explanation, PolicyExplanation, Reason, explain};
pub use facts::{Facts, Labels};
pub use parse::{Policy, is_label_text, parse, parse_one, validate};
pub use problem::{Code, Position, Problem, Problems};
pub use schema::json_schema;
pub use set::{Digest, FORMAT, Item, PolicySet, Refusal, RefusalCode};
