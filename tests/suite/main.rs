//! The tests of the whole, in one binary: what holds across crates, processes and machines.

mod architecture;
mod dev;
mod group;
