//! Actions: the acts on KubeVision's own objects, one line each, with the rule that allows it and its name in the audit
//! log. Requests to clusters are in `kubernetes`.
//!
//! Nothing is decided here; `authorize` reads this table.

use crate::{
    audit::Event,
    permission::{Permission, Resource, Verb},
};

/// Marks what a [`Permit`](crate::Permit) allows, so that a permit for one act is of no use for another.
pub trait Action {
    /// The act, for messages and the role matrix.
    const NAME: &'static str;
}

/// Who may do an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// Whoever is signed in, with a key too.
    Anyone,
    /// A person for themselves. A key never: a stolen key must not outlive its revocation by making another.
    Interactive,
    /// Who holds the atom.
    Holds(Permission),
    /// Who holds the atom; a key only where the operator lets keys administer.
    Administration(Permission),
    /// The operator alone; no role allows it.
    Operator,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Line {
    /// The act.
    pub name: &'static str,
    /// Its name in the audit log.
    pub event: Event,
    /// Who may do it.
    pub rule: Rule,
}

/// An act on KubeVision's own objects.
pub trait OwnAction: Action {
    /// Its line of the table.
    fn line() -> Line;
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident: $event:ident, $rule:expr;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;

            impl Action for $name {
                const NAME: &'static str = stringify!($name);
            }

            impl OwnAction for $name {
                fn line() -> Line {
                    Line { name: Self::NAME, event: Event::$event, rule: $rule }
                }
            }
        )+

        /// Every act, in the order of the table.
        #[must_use]
        pub fn table() -> Vec<Line> {
            vec![$($name::line()),+]
        }
    };
}

const fn atom(resource: Resource, verb: Verb) -> Permission {
    Permission::new(resource, verb)
}

actions! {
    /// Make a key of one's own.
    CreateApiKey: ApiKeyCreate, Rule::Interactive;
    /// See one's own keys.
    ListApiKeys: ApiKeyList, Rule::Interactive;
    /// Revoke a key of one's own, from a session.
    RevokeApiKey: ApiKeyRevoke, Rule::Interactive;
    /// See the key that is calling.
    ShowCurrentApiKey: ApiKeyShowCurrent, Rule::Anyone;
    /// Revoke the key that is calling.
    RevokeCurrentApiKey: ApiKeyRevoke, Rule::Anyone;
    /// See another user's keys.
    ListUserApiKeys: ApiKeyList, Rule::Administration(atom(Resource::ApiKeys, Verb::Manage));
    /// Revoke another user's keys.
    RevokeUserApiKeys: ApiKeyRevoke, Rule::Administration(atom(Resource::ApiKeys, Verb::Manage));
    /// End one's own session.
    EndSession: AuthLogout, Rule::Interactive;
    /// See the clusters assigned to oneself.
    ListClusters: ClusterList, Rule::Anyone;
    /// See one cluster assigned to oneself.
    ShowCluster: ClusterShow, Rule::Anyone;
    /// Register a cluster.
    AddCluster: ClusterAdd, Rule::Administration(atom(Resource::Clusters, Verb::Write));
    /// Remove a cluster.
    RemoveCluster: ClusterRemove, Rule::Administration(atom(Resource::Clusters, Verb::Delete));
    /// See the users.
    ListUsers: UserList, Rule::Administration(atom(Resource::Users, Verb::Read));
    /// Make a user.
    CreateUser: UserCreate, Rule::Administration(atom(Resource::Users, Verb::Write));
    /// Disable or enable a user.
    ChangeUser: UserChange, Rule::Administration(atom(Resource::Users, Verb::Write));
    /// Assign clusters and namespaces to a user.
    AssignUser: UserAssign, Rule::Administration(atom(Resource::Rbac, Verb::Manage));
    /// Read the audit log.
    ReadAuditLog: AuditRead, Rule::Holds(atom(Resource::Audit, Verb::Read));
    /// Make a key for someone else and see it.
    IssueApiKey: ApiKeyCreate, Rule::Operator;
}
