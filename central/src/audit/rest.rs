//! The audit over REST.
