//! The condition language.

use crate::problem::Code;

/// A checked and compiled condition.
#[derive(Debug)]
pub struct Condition;

/// A problem in a condition: byte offset into its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CelProblem {
    /// Byte offset into the condition.
    pub offset: usize,
    /// What kind of problem.
    pub code: Code,
    /// For a person.
    pub message: String,
}
