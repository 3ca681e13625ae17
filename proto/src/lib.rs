//! The control protocol between gateways and Central, version 1.
//!
//! ```text
//! sealgate/control/v1/*.proto ──build.rs──▶ wire    what travels; ends at the door
//!                                            │ TryFrom on the receiving side: checked and bounded, or ProtocolError
//!                                            │ From on the sending side
//!                                            ▼
//!                                          canonical structs: enrolment, watch, report
//! ```
//! Everything that a peer sends is bounded: [`limits`] says by how much. A word that this version does not know is a
//! [`ProtocolError`] where it decides something, and `Unknown` where it can be passed over.

pub mod enrolment;
mod error;
pub mod limits;
pub mod report;
#[cfg(test)]
mod tests;
pub mod watch;

pub use error::ProtocolError;

/// Generated from the protobuf files. Code outside this crate touches it only to send.
#[expect(missing_docs, clippy::pedantic, reason = "generated code")]
pub mod wire {
    tonic::include_proto!("sealgate.control.v1");
}

/// Version of the protocol, as the package name of the protobuf files has it.
pub const VERSION: u32 = 1;
