//! From a text to policies.

use std::sync::Arc;

use crate::cel::Condition;
use crate::document::GovernancePolicy;
use crate::problem::{Problem, Problems};

/// A policy: the text as it was written, and what it says. Cheap to clone. Exists only if the text is free of errors.
#[derive(Debug, Clone)]
pub struct Policy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: String,
    document: GovernancePolicy,
    condition: Option<Condition>,
}

impl Policy {
    /// `metadata.name`.
    pub fn name(&self) -> &str {
        &self.0.document.metadata.name
    }

    /// The parsed document.
    pub fn document(&self) -> &GovernancePolicy {
        &self.0.document
    }

    /// The text of this one document as it was written, comments included.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The compiled condition; `None`: always.
    pub(crate) fn condition(&self) -> Option<&Condition> {
        self.0.condition.as_ref()
    }
}

impl PartialEq for Policy {
    /// Two policies are the same when their texts are.
    fn eq(&self, other: &Self) -> bool {
        self.0.source == other.0.source
    }
}

impl Eq for Policy {}

/// Reads one or several documents (YAML separated by `---`, or JSON), each at most
/// [`limits::MAX_DOCUMENT_BYTES`](crate::limits::MAX_DOCUMENT_BYTES). All that is wrong is told at once.
pub fn parse(text: &str) -> Result<Vec<Policy>, Problems> {
    let _ = text;
    unimplemented!()
}

/// Reads exactly one document.
pub fn parse_one(text: &str) -> Result<Policy, Problems> {
    let _ = text;
    unimplemented!()
}

/// Advice on policies that parse: conditions that never or always hold, selectors that cannot match, and the like.
/// Every problem in the answer has a code with [`Code::is_advice`](crate::Code::is_advice); none refuses a policy.
pub fn validate(policy: &Policy) -> Vec<Problem> {
    let _ = policy;
    unimplemented!()
}
