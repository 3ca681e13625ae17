//! The fleet on one page: its tiles and its graphs.
//!
//! ```text
//! gateways, totals, inventories, head ──one look (a snapshot)──▶ Overview ──▶ GET /overview
//! traffic_rollups ──▶ Span, its steps ──▶ GET /stats/series
//! ```
//! Each number is the sum of rows that another route shows; `rest::Overview` names the route beside it.

pub mod rest;
pub(crate) mod store;
#[cfg(test)]
mod tests;
