//! Central: the control plane of the gateways. It never sees object data, data keys or KMS secrets, and links no code
//! that could decrypt.
//!
//! ```text
//! operators ──REST──▶ routes ──Permit──▶ slice::rest ──▶ slice (use cases) ──▶ slice::store ──▶ PostgreSQL
//! gateways ──mTLS──▶ rpc ──identity of the certificate──▶ slice::grpc ──▶ the same use cases
//!
//! slices: operators  policies  enrolment  gateways  stats  overview  notifications  live  audit
//!
//! policies ──one transaction: revision, audit record, NOTIFY──▶ feed (reads the database) ──▶ policies::grpc ──▶ gateways
//! gateways ──reports──▶ stats (exactly once) ──▶ /metrics, REST
//! ```
//! Replicas are stateless over the database: any number, behind any load balancer.

pub mod app;
pub mod audit;
pub mod caller;
pub mod config;
pub mod console;
pub mod db;
pub mod enrolment;
pub mod error;
pub mod feed;
pub mod gateways;
pub mod jobs;
pub mod live;
pub mod notifications;
pub mod operators;
pub mod overview;
pub mod pki;
pub mod policies;
pub mod routes;
pub mod rpc;
pub mod sealing;
pub mod stats;

pub use app::run;
pub use config::Config;
