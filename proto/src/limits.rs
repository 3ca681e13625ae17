//! Bounds on what one message of a peer may carry.

/// Largest message on the policy stream and in a report, in bytes.
pub const MESSAGE_BYTES: usize = 20 * 1024 * 1024;
/// Largest policy document, in bytes.
pub const DOCUMENT_BYTES: usize = 16 * 1024 * 1024;
/// Most counters in one report.
pub const COUNTERS: usize = 20_000;
/// Largest certificate signing request, in bytes.
pub const CSR_BYTES: usize = 8 * 1024;
/// Longest short text (names, versions, codes), in bytes.
pub const NAME_BYTES: usize = 1_024;
/// Longest text for a person, in bytes.
pub const REASON_BYTES: usize = 1_024;
