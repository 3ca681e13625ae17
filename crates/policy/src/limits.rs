//! Every bound of the policy language in one place. A bound is part of the language: raising one is compatible,
//! lowering one refuses documents that are already stored.

/// Bytes of the text of one policy document, comments included.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;
/// Bytes of one text with several documents, as given to `parse`.
pub const MAX_TEXT_BYTES: usize = 4 * 1024 * 1024;
/// Documents in one text.
pub const MAX_DOCUMENTS: usize = 1_000;
/// Problems reported at once; what is beyond is not told.
pub const MAX_PROBLEMS: usize = 100;
/// Characters of a policy's name.
pub const MAX_NAME_CHARS: usize = 63;
/// Characters of a description.
pub const MAX_DESCRIPTION_CHARS: usize = 1_024;
/// Bucket patterns of one policy.
pub const MAX_BUCKETS: usize = 256;
/// Characters of one bucket pattern; a bucket's name has at most 63.
pub const MAX_BUCKET_PATTERN_CHARS: usize = 63;
/// Wildcards in one bucket pattern.
pub const MAX_BUCKET_WILDCARDS: usize = 4;
/// Label keys in one selector.
pub const MAX_LABEL_KEYS: usize = 16;
/// Values of one label key in one selector.
pub const MAX_LABEL_VALUES: usize = 64;
/// Characters of a label's key or value.
pub const MAX_LABEL_CHARS: usize = 63;
/// Priorities run from 0 to this.
pub const MAX_PRIORITY: i64 = 1_000_000;
/// Nesting of mappings and lists in a document.
pub const MAX_NODE_DEPTH: usize = 16;
/// Nodes (mappings, lists, scalars) of one document.
pub const MAX_NODES: usize = 4_096;

/// Bytes of a condition.
pub const MAX_CEL_BYTES: usize = 2 * 1024;
/// Nesting of a condition's syntax tree.
pub const MAX_CEL_DEPTH: usize = 16;
/// Elements of a list literal in a condition.
pub const MAX_CEL_LIST: usize = 256;
/// Static cost of a condition, in units of about one nanosecond; see `cel::cost`.
pub const MAX_CEL_COST: u64 = 200_000;
/// Bytes of the program of one compiled regular expression.
pub const MAX_REGEX_BYTES: usize = 1024 * 1024;
/// Characters and classes of a regular expression, repetitions written out.
pub const MAX_REGEX_POSITIONS: u64 = 512;
/// Nesting of a regular expression's syntax tree.
pub const MAX_REGEX_DEPTH: u32 = 32;
/// `matches` in one condition.
pub const MAX_REGEXES: usize = 8;

/// Policies in a set.
pub const MAX_POLICIES: usize = 10_000;
/// Bytes of an encoded set.
pub const MAX_SET_BYTES: usize = 64 * 1024 * 1024;
