//! Who is calling, and what they may do.
//!
//! ```text
//! cookie | bearer token ──operators──▶ Caller {name, role, via} ──require(Permission)──▶ Permit
//! ```
//! A [`Permit`] can only be made here, from a caller whose role has the permission; use cases take one.

use crate::audit::Actor;
use crate::error::{Error, Kind};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// What an account or a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The overview only.
    Viewer,
    /// Gateways and their enrolment.
    Operator,
    /// Policies.
    Editor,
    /// Reads everything that an editor does, and the audit; approves.
    Approver,
    /// Everything.
    Admin,
}

/// A right that a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// Be logged in at all: who am I, log out.
    OwnSession,
    /// The overview: tiles, graphs, names and states of gateways, what is the matter with them.
    ReadOverview,
    /// Gateways whole; figures by bucket and policy, coverage, convergence.
    ReadGateways,
    /// Enrolment tokens; suspend, retire, settle clones.
    ManageGateways,
    /// Policies, their history, explain, check.
    ReadPolicies,
    /// Publish a revision.
    EditPolicies,
    /// The audit.
    ReadAudit,
    /// Accounts and API tokens.
    ManageOperators,
    /// What concerns the fleet as one: begin a new lineage.
    ManageFleet,
}

impl Permission {
    /// Every one that a role has or has not; everybody has [`OwnSession`](Self::OwnSession).
    pub const OF_ROLES: [Self; 8] = [
        Self::ReadOverview,
        Self::ReadGateways,
        Self::ManageGateways,
        Self::ReadPolicies,
        Self::EditPolicies,
        Self::ReadAudit,
        Self::ManageOperators,
        Self::ManageFleet,
    ];

    /// The spelling in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnSession => "own-session",
            Self::ReadOverview => "read-overview",
            Self::ReadGateways => "read-gateways",
            Self::ManageGateways => "manage-gateways",
            Self::ReadPolicies => "read-policies",
            Self::EditPolicies => "edit-policies",
            Self::ReadAudit => "read-audit",
            Self::ManageOperators => "manage-operators",
            Self::ManageFleet => "manage-fleet",
        }
    }
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Operator, Self::Editor, Self::Approver, Self::Admin];

    /// The spelling in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Editor => "editor",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// The role of that spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// What it may, in JSON's spelling.
    pub fn permissions(self) -> Vec<&'static str> {
        let may = Permission::OF_ROLES.into_iter().filter(|permission| self.may(*permission));
        may.map(Permission::as_str).collect()
    }

    /// The table of rights.
    pub const fn may(self, permission: Permission) -> bool {
        use Permission as P;
        match permission {
            P::OwnSession | P::ReadOverview => true,
            P::ReadGateways | P::ReadPolicies => !matches!(self, Self::Viewer),
            P::ManageGateways => matches!(self, Self::Operator | Self::Admin),
            P::EditPolicies => matches!(self, Self::Editor | Self::Admin),
            P::ReadAudit => matches!(self, Self::Approver | Self::Admin),
            P::ManageOperators | P::ManageFleet => matches!(self, Self::Admin),
        }
    }
}

/// How somebody proved who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// A log-in of an account; the session's key.
    Session {
        /// The account.
        operator: Uuid,
        /// SHA-256 of the cookie's value.
        token_hash: [u8; 32],
        /// When it ends, in use or not.
        expires_at: OffsetDateTime,
    },
    /// An API token.
    Token {
        /// The token's identifier.
        id: Uuid,
    },
}

/// Somebody who proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name of the account or of the token.
    pub name: String,
    /// What they are for.
    pub role: Role,
    /// How they proved it.
    pub via: Via,
}

impl Caller {
    /// The caller as the audit names it.
    pub fn actor(&self) -> Actor {
        match self.via {
            Via::Session { .. } => Actor::operator(&self.name),
            Via::Token { .. } => Actor::token(&self.name),
        }
    }

    /// A permit, where the role has the permission.
    pub fn require(self, permission: Permission) -> Result<Permit, Error> {
        if self.role.may(permission) {
            return Ok(Permit { caller: self, permission });
        }
        Err(Error::new(
            Kind::Forbidden,
            format!("The role {} does not allow this. An administrator can give another.", self.role.as_str()),
        ))
    }
}

/// A caller with a permission that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    caller: Caller,
    permission: Permission,
}

impl Permit {
    /// Who it was given to.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The holder as the audit names it.
    pub fn actor(&self) -> Actor {
        self.caller.actor()
    }

    /// What was checked.
    pub fn permission(&self) -> Permission {
        self.permission
    }
}
