//! policies
pub mod grpc;
