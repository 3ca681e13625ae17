//! Accounts, sessions, API tokens.

pub mod password;
