//! Bounds on what one message of a peer may carry.

/// Largest message on the policy stream and in a report, in bytes.
pub const MESSAGE_BYTES: usize = 20 * 1024 * 1024;
/// Largest policy document, in bytes.
pub const DOCUMENT_BYTES: usize = 16 * 1024 * 1024;
/// Most counters of one kind in one report; also most buckets in one inventory.
pub const COUNTERS: usize = 20_000;
/// Most KMS or backends in one inventory.
pub const PARTS: usize = 1_000;
/// Largest certificate signing request, in bytes.
pub const CSR_BYTES: usize = 8 * 1024;
/// Largest certificate, in bytes.
pub const CERTIFICATE_BYTES: usize = 16 * 1024;
/// Most certificates in one chain or set.
pub const CERTIFICATES: usize = 8;
/// Longest enrolment secret, in bytes.
pub const TOKEN_BYTES: usize = 512;
/// Longest name of a gateway, label key or label value, in bytes.
pub const GATEWAY_NAME_BYTES: usize = 63;
/// Longest version, capability or code, in bytes.
pub const WORD_BYTES: usize = 64;
/// Most capabilities in a hello, and most labels of a gateway.
pub const WORDS: usize = 64;
/// Longest other short text (bucket, policy, KMS ID, backend, item path), in bytes.
pub const NAME_BYTES: usize = 1_024;
/// Longest text for a person, in bytes.
pub const REASON_BYTES: usize = 1_024;
/// Longest interval that a directive may ask for, in milliseconds: one day.
pub const INTERVAL_MS: u64 = 24 * 60 * 60 * 1_000;
