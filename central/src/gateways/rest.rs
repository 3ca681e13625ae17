//! The gateways over REST.
