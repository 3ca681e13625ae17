//! The control protocol between gateways and Central, version 1.
//!
//! ```text
//! sealgate/control/v1/*.proto ──build.rs──▶ wire    what travels; ends at the door
//!                                            │ TryFrom on the receiving side
//!                                            ▼
//!                                          canonical structs in the modules below, bounded and checked
//! ```
//! Everything that a peer sends is bounded: [`limits`] says by how much.

pub mod limits;

/// Generated from the protobuf files. Code outside this crate touches it only to send.
#[expect(missing_docs, clippy::pedantic, reason = "generated code")]
pub mod wire {
    tonic::include_proto!("sealgate.control.v1");
}
