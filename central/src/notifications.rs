//! What an administrator should look at, computed from the present state: nothing is stored, nothing can be missed or
//! left over.

pub mod rest;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use store::present;

/// What is the matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A gateway that should serve was not heard for long.
    GatewayLost,
    /// A gateway that should serve is silent.
    GatewayLate,
    /// A gateway cannot apply the policies.
    Refusal,
    /// Two lives speak under one identity.
    Quarantine,
    /// A gateway's certificate ends soon and was not renewed.
    Certificate,
    /// A KMS does not answer.
    Kms,
    /// Encryption is asked for, and no KMS is active.
    NoKms,
    /// Reports were missing, or figures were lost, within a week.
    StatisticsGap,
    /// A gateway holds newer policies than Central has.
    BehindTheFleet,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::GatewayLost,
        Self::GatewayLate,
        Self::Refusal,
        Self::Quarantine,
        Self::Certificate,
        Self::Kms,
        Self::NoKms,
        Self::StatisticsGap,
        Self::BehindTheFleet,
    ];

    /// The spelling in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GatewayLost => "gateway-lost",
            Self::GatewayLate => "gateway-late",
            Self::Refusal => "refusal",
            Self::Quarantine => "quarantine",
            Self::Certificate => "certificate",
            Self::Kms => "kms",
            Self::NoKms => "no-kms",
            Self::StatisticsGap => "statistics-gap",
            Self::BehindTheFleet => "behind-the-fleet",
        }
    }

    fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}
