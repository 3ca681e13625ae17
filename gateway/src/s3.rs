//! The S3 listener.
