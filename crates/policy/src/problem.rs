//! What is wrong with a document, and where.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Closed list of what can be wrong. The text of a code is stable; messages are for people and may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// Neither YAML nor JSON.
    Syntax,
    /// The text, a list, a name or a number is beyond its bound.
    TooLarge,
    /// There is no document in the text, or not exactly one where one is asked for.
    DocumentCount,
    /// `apiVersion` or `kind` is not one that this version reads.
    UnknownVersion,
    /// A field that the document does not have.
    UnknownField,
    /// The same field, name or member twice.
    Duplicate,
    /// A field that must be there is not.
    MissingField,
    /// A text where a list is due, and the like.
    WrongType,
    /// The type is right, the value is not.
    InvalidValue,
    /// A name that is not a DNS label.
    InvalidName,
    /// A bucket pattern that can match no bucket or is not in the pattern language.
    InvalidPattern,
    /// A label key or value outside its alphabet.
    InvalidLabel,
    /// The condition is not CEL.
    CelSyntax,
    /// The condition is nested too deeply.
    CelDepth,
    /// The condition, or a list in it, is too long.
    CelTooLarge,
    /// CEL that is outside the dialect.
    CelUnsupported,
    /// A comprehension inside a comprehension.
    CelNested,
    /// A fact, field, variable or function that does not exist.
    CelUnknownName,
    /// Operands or results of the wrong type.
    CelType,
    /// A regular expression that is not literal, not valid or too large.
    CelRegex,
    /// A constant part that can only fail, such as a division by zero.
    CelConstant,
    /// The condition could cost too much.
    CelCost,
    /// Advice: the condition can never hold, or always holds.
    ConstantCondition,
    /// Advice: legal, but it cannot do what it seems to say.
    Ineffective,
}

impl Code {
    /// The stable spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::TooLarge => "too-large",
            Self::DocumentCount => "document-count",
            Self::UnknownVersion => "unknown-version",
            Self::UnknownField => "unknown-field",
            Self::Duplicate => "duplicate",
            Self::MissingField => "missing-field",
            Self::WrongType => "wrong-type",
            Self::InvalidValue => "invalid-value",
            Self::InvalidName => "invalid-name",
            Self::InvalidPattern => "invalid-pattern",
            Self::InvalidLabel => "invalid-label",
            Self::CelSyntax => "cel-syntax",
            Self::CelDepth => "cel-depth",
            Self::CelTooLarge => "cel-too-large",
            Self::CelUnsupported => "cel-unsupported",
            Self::CelNested => "cel-nested",
            Self::CelUnknownName => "cel-unknown-name",
            Self::CelType => "cel-type",
            Self::CelRegex => "cel-regex",
            Self::CelConstant => "cel-constant",
            Self::CelCost => "cel-cost",
            Self::ConstantCondition => "constant-condition",
            Self::Ineffective => "ineffective",
        }
    }

    /// Advice does not refuse a document; everything else does.
    pub const fn is_advice(self) -> bool {
        matches!(self, Self::ConstantCondition | Self::Ineffective)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place in a text: line and column from 1, the column counted in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
}

impl Position {
    /// The first character of a text.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// One thing that is wrong, or (when [`Code::is_advice`]) worth a second look.
///
/// Its text is `line:column: code: message`. The position of a problem inside a condition is exact for every way in
/// which YAML and JSON write a text; see `text::Scalar`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Line in the whole text, from 1.
    pub line: u32,
    /// Column from 1, in characters.
    pub column: u32,
    /// Field path within the document, such as `spec.buckets[1]`; empty for the document itself.
    pub path: String,
    /// What kind of problem.
    pub code: Code,
    /// For a person.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(at: Position, path: impl Into<String>, code: Code, message: impl Into<String>) -> Self {
        Self { line: at.line, column: at.column, path: path.into(), code, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.line, self.column, self.code, self.message)
    }
}

/// Everything that is wrong with a text, in the order of the text; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);
