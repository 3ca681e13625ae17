//! What a service tells about itself: events, metrics, health.
//!
//! ```text
//! log::init ──▶ tracing events, one line each, to standard error; the newest of our own in memory, `recent`
//! Registry  ──▶ metrics, prefix `sealgate_`, units in the name
//! probes    ──▶ /metrics /healthz /readyz
//! http      ──▶ the server under these and under consoles and REST interfaces
//! ```

pub mod http;
pub mod log;
pub mod probes;
pub mod recent;

pub use probes::{Health, router};
/// The registry of one service; make it with [`registry`].
pub use prometheus_client::registry::Registry;

/// An empty registry whose names begin with `sealgate_`.
pub fn registry() -> Registry {
    Registry::with_prefix("sealgate")
}
