//! The tests of the whole, in one binary: what holds across crates, processes and machines.

mod alike;
mod architecture;
mod ceph;
mod checksums;
mod clients;
mod command_line;
mod console;
mod copies;
mod dev;
mod dev_options;
mod faults;
mod forms;
mod group;
mod kms;
mod lists;
mod metrics;
mod multipart;
mod objects;
mod policies;
mod recovery;
mod refusals;
mod tamper;
mod toggle;
mod versions;
