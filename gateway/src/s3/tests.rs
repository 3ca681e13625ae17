//! The data path over the directory storage.
