//! Key management services: who can make and open the key-encryption keys (KEKs) under which data keys are wrapped.
//!
//! ```text
//! operator's PEM ◀──pem──▶ RsaKey ─┐ many versions, one active
//!                                  ▼
//!                   Provider::Rsa(RsaKms)        a configured KMS, named by its KmsId
//!                      │        ▲
//!             new_kek  │        │ open
//!                      ▼        │
//!          KekBytes + KekRecord ┘
//!     (32 secret bytes) (public: KMS ID, which key, the wrapped KEK, a MAC)
//! ```
//!
//! The record lies in the footer of every object, opaque to the object format. It opens only for who holds the
//! private key, and only if it was made by someone who holds it: see [`record`].
//!
//! Everything about RSA is computation and therefore synchronous; callers on an async runtime move it to a blocking
//! thread. The methods of [`Provider`] are `async`, since other kinds of KMS are a network away: here a new kind is
//! one file and one variant of [`Provider`]; `docs/ARCHITECTURE.md` says what else is.

mod error;
mod pem;
mod provider;
pub mod record;
mod rsa;
mod secret;

pub use error::{Error, KeyError};
pub use provider::{Inventory, KeyVersion, Provider, RSA};
pub use record::{KekRecord, RecordError};
pub use rsa::{Fingerprint, GeneratedPem, MAX_KEYS, RSA_BITS, RsaKey, RsaKms, generate_pem};
pub use secret::{KekBytes, Passphrase};
