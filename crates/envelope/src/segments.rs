//! Sealing and opening of segments.
