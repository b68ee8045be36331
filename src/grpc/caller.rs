//! Whoever makes a call, as its key tells.

use std::sync::Arc;

use super::leases::Lease;
use crate::domain::ids::OrganizationId;
use crate::domain::trail::{Actor, By};
use crate::ports::Role;

/// Whose key it was.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// An organization's.
    Organization {
        /// Which.
        id: OrganizationId,
        /// What the key may do.
        role: Role,
        /// As long as the key is good.
        lease: Arc<Lease>,
    },
    /// The platform's.
    Operator,
}

// === impl Caller ===

impl Caller {
    /// Who does something now.
    pub(super) fn by(&self) -> By {
        let actor = match self {
            Self::Organization { lease, .. } => lease.actor(),
            Self::Operator => Actor::Operator,
        };
        By {
            actor,
            at: crate::clock::now(),
        }
    }

    /// Whose calls and bytes they count as; `None` is the operator.
    pub(super) fn whose(&self) -> Option<OrganizationId> {
        match self {
            Self::Organization { id, .. } => Some(id.clone()),
            Self::Operator => None,
        }
    }

    /// The highest role of the keys that it may make and revoke.
    pub(super) const fn up_to(&self) -> Role {
        match self {
            Self::Organization { role, .. } => *role,
            Self::Operator => Role::Owner,
        }
    }

    /// What its streams end with; nothing ends the operator's.
    pub(super) fn lease(&self) -> Option<Arc<Lease>> {
        match self {
            Self::Organization { lease, .. } => Some(Arc::clone(lease)),
            Self::Operator => None,
        }
    }
}
