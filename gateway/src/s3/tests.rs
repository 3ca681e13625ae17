//! The data path over the directory storage: a real listener, a signing client, and the storage looked at from behind.

mod backend;
mod bodies;
mod budget;
mod copies;
mod counts;
mod expect;
mod gateway;
mod hostile;
mod objects;
mod policies;
mod reads;
mod refusals;
mod relay;
mod stored;
mod sweep;
mod uploads;
