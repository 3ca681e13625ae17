//! The data path over the directory storage: a real listener, a signing client, and the storage looked at from behind.

mod backend;
mod bodies;
mod gateway;
mod objects;
mod refusals;
mod stored;
mod uploads;
