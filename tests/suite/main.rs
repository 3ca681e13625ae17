//! The tests of the whole, in one binary: what holds across crates, processes and machines.

mod architecture;
mod clients;
mod console;
mod dev;
mod dev_options;
mod faults;
mod group;
mod metrics;
mod objects;
mod policies;
mod recovery;
mod refusals;
mod tamper;
mod toggle;
