//! Roles: what each holds. This file is the one table of the built-in roles.
//!
//! A role says nothing about clusters and namespaces; that is `assignment`.

use crate::{
    ids::RoleId,
    permission::{Pattern, Permission, Resource, Verb},
};

/// Whether a resource lives in a namespace. KubeVision's own resources count as [`Scope::Cluster`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespace,
    /// In no namespace.
    Cluster,
}

/// A role, as a user holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Level 5: everything, in every cluster and namespace.
    Admin,
    /// Level 4: every Kubernetes resource, clusters and the audit log; neither people nor rights.
    Ops,
    /// Level 3: namespaced resources; Secrets masked.
    Dev,
    /// Level 2: reading and logs; Secrets masked.
    Readonly,
    /// Level 1: a named set of atoms, empty when new.
    Custom {
        /// Its id, by which users hold it.
        id: RoleId,
        /// The role's name, unique among roles.
        name: String,
        /// What it holds.
        grants: Vec<Pattern>,
    },
}

impl Role {
    /// The built-in roles, the most powerful first.
    pub const BUILT_IN: [Role; 4] = [Role::Admin, Role::Ops, Role::Dev, Role::Readonly];

    /// A built-in role by its exact name; neither case nor blanks are forgiven.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Role> {
        Self::BUILT_IN.into_iter().find(|role| role.name() == name)
    }

    /// The role's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Role::Admin => "admin",
            Role::Ops => "ops",
            Role::Dev => "dev",
            Role::Readonly => "readonly",
            Role::Custom { name, .. } => name,
        }
    }

    /// 5 for the most powerful, 1 for custom roles.
    #[must_use]
    pub fn level(&self) -> u8 {
        match self {
            Role::Admin => 5,
            Role::Ops => 4,
            Role::Dev => 3,
            Role::Readonly => 2,
            Role::Custom { .. } => 1,
        }
    }

    /// Whether the role reaches every cluster and namespace without being assigned to them.
    #[must_use]
    pub fn reaches_everything(&self) -> bool {
        matches!(self, Role::Admin)
    }

    /// Whether the role holds the atom, for a resource of the given scope.
    #[must_use]
    pub fn holds(&self, permission: &Permission, scope: Scope) -> bool {
        use Verb::{Delete, Exec, Logs, Read, Reveal, Write};
        let kubernetes = matches!(permission.resource, Resource::Kubernetes(_));
        let verb = permission.verb;
        match self {
            Role::Admin => true,
            Role::Ops if kubernetes => matches!(verb, Read | Write | Delete | Exec | Logs | Reveal),
            Role::Ops => {
                matches!((&permission.resource, verb), (Resource::Clusters, Read | Write) | (Resource::Audit, Read))
            }
            Role::Dev if !kubernetes => false,
            Role::Dev => match scope {
                Scope::Namespace => matches!(verb, Read | Write | Delete | Exec | Logs),
                Scope::Cluster => permission.resource.as_str() == "namespaces" && verb == Read,
            },
            Role::Readonly => kubernetes && matches!(verb, Read | Logs),
            Role::Custom { grants, .. } => grants.iter().any(|g| g.covers(permission)),
        }
    }
}
