//! The storage as its caller sees it: requests in, responses and files out.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod acl;
mod buckets;
mod checksums;
mod client;
mod copies;
mod crash;
mod keys;
mod lists;
mod model;
mod multipart;
mod races;
mod reads;
mod tags;
mod writes;
