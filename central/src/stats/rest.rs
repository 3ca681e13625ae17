//! Over REST.
