//! The S3 encryption gateway: a transparent proxy that seals on the way in and opens on the way out.
//!
//! ```text
//!                 ┌────────────────────── a request, top to bottom ──────────────────────┐
//!  S3 client ──▶ s3 ──▶ s3/request ──▶ s3/access ──▶ Permit ──▶ s3/{put,get,…} ──▶ upstream ──▶ storage
//!                                        │    │                    │      │
//!                    group: toggles, ────┘    └── snapshot:        │      └─▶ state/ledger   sizes for lists
//!                    credentials, floor           the policy set   │          state/journal  intents, outcomes
//!                        ▲                            ▲            ▼              │
//!          system: the system bucket                  │          keys ──▶ kms     ▼
//!                        ▲                            │                         stats ──▶ spool
//!  operator ──▶ admin ───┘             Central ──▶ uplink ◀──────────────────────────────┘
//! ```
//!
//! `scan` counts and sweeps what uploads leave behind, and takes the inventory of the storage for Central.
//!
//! `admin` is the REST interface, `console` what a browser gets beside it.
//!
//! `config` is what the file, the environment and the flags say; `app` wires the parts and owns every task; `sealing`
//! keeps secrets at rest.
#![forbid(unsafe_code)]

pub mod admin;
pub mod app;
pub mod config;
mod console;
pub mod group;
pub mod keys;
pub mod s3;
pub mod scan;
pub mod sealing;
pub mod snapshot;
pub mod state;
pub mod stats;
pub mod system;
pub mod uplink;
pub mod upstream;
