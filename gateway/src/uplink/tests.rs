//! Tests of the uplink.
