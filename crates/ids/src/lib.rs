//! Typed identifiers and closed vocabularies that more than one crate speaks.
//!
//! One word for one thing: the spelling in this file is the spelling in SQL, protobuf, JSON, metrics, consoles and
//! documents. Nothing here does I/O.
//!
//! ```text
//! Lineage + number = Revision         of the fleet's policy set
//! GatewayId, Epoch, StorageId         who reports, in which life, over which storage
//! PolicyUid, KmsId                    what is recorded in every encrypted object
//! Cause, Outcome, Direction           why an object is encrypted; what became of a request; which way bytes went
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not a member of the vocabulary or not a legal identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not a {what}: {reason}")]
pub struct Invalid {
    /// What was expected, for example `KMS ID`.
    pub what: &'static str,
    /// The text as given, cut at 80 characters.
    pub value: String,
    /// Which rule it breaks.
    pub reason: &'static str,
}

impl Invalid {
    fn new(what: &'static str, value: &str, reason: &'static str) -> Self {
        Self { what, value: value.chars().take(80).collect(), reason }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh random identifier (UUID version 4).
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                Uuid::parse_str(text).map(Self).map_err(|_| Invalid::new($what, text, "it must be a UUID"))
            }
        }
    };
}

uuid_id!(
    /// One unbroken history of the fleet's policy set. A new one begins only by an administrator's order.
    Lineage, "lineage"
);
uuid_id!(
    /// One policy for its whole life; survives edits, not deletion.
    PolicyUid, "policy UID"
);
uuid_id!(
    /// One gateway as Central knows it; survives re-enrolment under the same name.
    GatewayId, "gateway ID"
);
uuid_id!(
    /// One life of a gateway process over its local store; fresh at each start.
    Epoch, "epoch"
);
uuid_id!(
    /// The storage behind a gateway group; written once into the system bucket.
    StorageId, "storage ID"
);

/// A revision of the fleet's policy set: gapless numbers from 1 within a lineage; 0 is the empty set before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Revision {
    /// The history that the number belongs to. Numbers of different lineages are not comparable.
    pub lineage: Lineage,
    /// Position in that history.
    pub number: u64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.number, self.lineage)
    }
}

/// The operator's name for a configured KMS: 1 to 64 of `a-z A-Z 0-9 . _ -`, beginning with a letter or digit.
///
/// It is written in clear into every object that the KMS protects, hence printable ASCII and immutable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KmsId(String);

impl KmsId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KmsId {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() || text.len() > 64 {
            return Err(Invalid::new("KMS ID", text, "it must have 1 to 64 characters"));
        }
        if !text.chars().all(legal) || !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(Invalid::new(
                "KMS ID",
                text,
                "it may hold a-z A-Z 0-9 . _ - and begins with a letter or digit",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for KmsId {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<KmsId> for String {
    fn from(id: KmsId) -> Self {
        id.0
    }
}

impl fmt::Display for KmsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant),+
        }

        impl $name {
            /// Every member, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The one spelling used everywhere.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Invalid;
            fn from_str(text: &str) -> Result<Self, Invalid> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(Invalid::new($what, text, "it is not one of the known words")),
                }
            }
        }
    };
}

vocabulary!(
    /// Why an object is encrypted. Where several hold, the first in this order is recorded, except that a matching
    /// policy is always recorded with its name and revision.
    Cause, "cause", {
        /// An enforced governance policy of Central matched.
        Policy = "policy",
        /// The bucket's encryption is switched on.
        Toggle = "toggle",
        /// The client asked for server-side encryption.
        Client = "client",
        /// The group's floor: configuration that Central cannot lower.
        Floor = "floor",
        /// Nothing asked for it, but the plaintext begins as a sealed object does: stored as it is, it would be taken
        /// for one.
        Lookalike = "lookalike",
    }
);

vocabulary!(
    /// What became of one object in one request; the key of every count.
    Outcome, "outcome", {
        /// Stored or read encrypted.
        Encrypted = "encrypted",
        /// Stored or read as it is.
        Plain = "plain",
        /// Stored plain; a policy in audit mode would have encrypted it.
        WouldEncrypt = "would-encrypt",
        /// Stored; a policy in audit mode would have refused it.
        WouldDeny = "would-deny",
        /// Refused by a policy.
        Denied = "denied",
        /// The client's request failed: bad checksum, broken body, upstream refusal.
        Failed = "failed",
        /// A policy could not be evaluated.
        Error = "error",
        /// Finished under the decision of an earlier revision.
        Grandfathered = "grandfathered",
        /// A kill cut it off and the storage cannot say what became of it.
        Indeterminate = "indeterminate",
    }
);

vocabulary!(
    /// Which way object data went, seen from the storage.
    Direction, "direction", {
        /// Towards the storage.
        In = "in",
        /// Towards the client.
        Out = "out",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_of_a_vocabulary_parses_back() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(*outcome));
        }
        for cause in Cause::ALL {
            assert_eq!(cause.as_str().parse(), Ok(*cause));
        }
        assert!("Encrypted".parse::<Outcome>().is_err());
    }

    #[test]
    fn a_kms_id_is_short_printable_and_begins_with_a_letter_or_digit() {
        assert!("prod-2026.rsa_1".parse::<KmsId>().is_ok());
        for bad in ["", "-a", "a b", "ä", &"x".repeat(65)] {
            assert!(bad.parse::<KmsId>().is_err(), "{bad}");
        }
    }
}
