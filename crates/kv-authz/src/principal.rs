//! Principals: on whose behalf a request acts, and how the audit log names them.
//!
//! No secret and no credential text ever lives here.

use crate::{
    assignment::{Assignments, NamespaceScope},
    ids::{ClusterId, KeyId, SessionId, UserId},
    permission::Permission,
    role::{Role, Scope},
};
use std::sync::Arc;
use time::OffsetDateTime;

/// The user behind a session or key, with their rights as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// Their role.
    pub role: Role,
    /// Their clusters and namespaces.
    pub assignments: Assignments,
}

impl Owner {
    /// Whether the role holds the atom.
    #[must_use]
    pub fn holds(&self, permission: &Permission, scope: Scope) -> bool {
        self.role.holds(permission, scope)
    }

    /// The namespaces this user reaches in a cluster; `None` where the cluster may not even be known to them.
    #[must_use]
    pub fn reach(&self, cluster: ClusterId) -> Option<NamespaceScope> {
        if self.role.reaches_everything() {
            return Some(NamespaceScope::All);
        }
        self.assignments.within(cluster)
    }
}

/// Whether a person has a second factor, and when they last showed it in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecondFactor {
    /// They have none.
    #[default]
    Missing,
    /// They have one.
    Enrolled {
        /// When a code was last accepted in this session.
        shown_at: Option<OffsetDateTime>,
    },
}

/// Who acts.
#[derive(Debug, Clone)]
pub enum Principal {
    /// A person who signed in.
    Session {
        /// The sign-in.
        id: SessionId,
        /// The person.
        owner: Arc<Owner>,
        /// The client they use: `web`, or the name the client gives itself.
        agent: String,
        /// Their second factor.
        factor: SecondFactor,
    },
    /// A pipeline with a key.
    ApiKey {
        /// The key.
        id: KeyId,
        /// The key's name.
        name: String,
        /// Whose rights it has.
        owner: Arc<Owner>,
    },
    /// The operator, who holds the database and the machine anyway.
    Operator,
}

/// A principal as the audit log names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The user's id; none for the operator and for callers nobody could name.
    pub user_id: Option<UserId>,
    /// The user's name at the time.
    pub user: String,
    /// The key's name at the time, or the client of a session.
    pub agent: String,
    /// The key.
    pub key_id: Option<KeyId>,
}

impl Actor {
    /// The user name that stands for the operator. No person may have it.
    pub const OPERATOR: &'static str = "operator";

    /// A caller whom no credential named.
    #[must_use]
    pub fn anonymous() -> Self {
        Self { user_id: None, user: String::new(), agent: String::new(), key_id: None }
    }
}

impl Principal {
    /// The user whose rights count; none for the operator, whom no rule binds.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        match self {
            Principal::Session { owner, .. } | Principal::ApiKey { owner, .. } => Some(owner),
            Principal::Operator => None,
        }
    }

    /// Whether a key, and not a person, is calling.
    #[must_use]
    pub fn is_api_key(&self) -> bool {
        matches!(self, Principal::ApiKey { .. })
    }

    /// The principal as audited.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Principal::Session { owner, agent, .. } => {
                Actor { user_id: Some(owner.id), user: owner.name.clone(), agent: agent.clone(), key_id: None }
            }
            Principal::ApiKey { id, name, owner } => {
                Actor { user_id: Some(owner.id), user: owner.name.clone(), agent: name.clone(), key_id: Some(*id) }
            }
            Principal::Operator => {
                Actor { user_id: None, user: Actor::OPERATOR.to_owned(), agent: "xtask".to_owned(), key_id: None }
            }
        }
    }
}
