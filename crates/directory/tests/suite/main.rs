//! The storage as its caller sees it: requests in, responses and files out.

mod buckets;
mod client;
mod reads;
