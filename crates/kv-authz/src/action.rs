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
    /// Who holds the atom, never a key: it is about credentials, as in `Interactive`.
    InPerson(Permission),
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
    /// What more it takes, or less.
    pub demand: Demand,
}

/// What an act asks of a person's second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// That they have one, where the operator requires one.
    Ordinary,
    /// Nothing: by such acts they get one.
    Enrolment,
    /// A code shown a moment ago, of those who have one: the act gives rights, or takes others' away.
    RecentCode,
}

/// An act on KubeVision's own objects.
pub trait OwnAction: Action {
    /// Its line of the table.
    fn line() -> Line;
}

macro_rules! demand {
    () => {
        Demand::Ordinary
    };
    ($demand:ident) => {
        Demand::$demand
    };
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident: $event:ident, $rule:expr $(, $demand:ident)?;)+) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub struct $name;

            impl Action for $name {
                const NAME: &'static str = stringify!($name);
            }

            impl OwnAction for $name {
                fn line() -> Line {
                    Line { name: Self::NAME, event: Event::$event, rule: $rule, demand: demand!($($demand)?) }
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
    /// Sign out: end the session that is calling.
    EndSession: AuthLogout, Rule::Interactive, Enrolment;
    /// See who one is, and what one may do.
    ShowOneself: AuthShow, Rule::Anyone, Enrolment;
    /// See one's own sessions.
    ListOwnSessions: SessionList, Rule::Interactive;
    /// End a session of one's own.
    EndOwnSession: SessionEnd, Rule::Interactive;
    /// Change one's own password.
    ChangePassword: AuthPassword, Rule::Interactive, Enrolment;
    /// Show one's second factor once more.
    Reverify: AuthReverify, Rule::Interactive;
    /// Set up a second factor.
    SetUpTotp: TotpSetUp, Rule::Interactive, Enrolment;
    /// Bring a second factor into force.
    EnableTotp: TotpEnable, Rule::Interactive, Enrolment;
    /// Give up one's second factor.
    DisableTotp: TotpDisable, Rule::Interactive;
    /// Make new recovery codes.
    RenewRecoveryCodes: TotpRecoveryCodes, Rule::Interactive;
    /// See the clusters assigned to oneself.
    ListClusters: ClusterList, Rule::Anyone;
    /// See one cluster assigned to oneself.
    ShowCluster: ClusterShow, Rule::Anyone;
    /// Get a kubeconfig for a cluster assigned to oneself.
    GetKubeconfig: ClusterKubeconfig, Rule::Anyone;
    /// Register a cluster.
    AddCluster: ClusterAdd, Rule::Holds(atom(Resource::Clusters, Verb::Write)), RecentCode;
    /// Change how a cluster is called, and whether it may ask us about its callers.
    ChangeCluster: ClusterChange, Rule::Holds(atom(Resource::Clusters, Verb::Write)), RecentCode;
    /// Remove a cluster.
    RemoveCluster: ClusterRemove, Rule::Holds(atom(Resource::Clusters, Verb::Delete)), RecentCode;
    /// See the users.
    ListUsers: UserList, Rule::Administration(atom(Resource::Users, Verb::Read));
    /// Make a user.
    CreateUser: UserCreate, Rule::Administration(atom(Resource::Users, Verb::Write)), RecentCode;
    /// See one user.
    ShowUser: UserShow, Rule::Administration(atom(Resource::Users, Verb::Read));
    /// Rename, disable or enable a user.
    ChangeUser: UserChange, Rule::Administration(atom(Resource::Users, Verb::Write)), RecentCode;
    /// Give a user another role.
    ChangeRoleOfUser: UserChange, Rule::Administration(atom(Resource::Rbac, Verb::Manage)), RecentCode;
    /// Delete a user.
    DeleteUser: UserDelete, Rule::Administration(atom(Resource::Users, Verb::Delete)), RecentCode;
    /// Set a user's password.
    ResetPassword: UserResetPassword, Rule::InPerson(atom(Resource::Users, Verb::Write)), RecentCode;
    /// Take a user's second factor away.
    ResetSecondFactor: UserResetSecondFactor, Rule::InPerson(atom(Resource::Users, Verb::Write)), RecentCode;
    /// See another user's sessions.
    ListUserSessions: SessionList, Rule::InPerson(atom(Resource::Users, Verb::Read));
    /// End another user's sessions.
    EndUserSessions: SessionEnd, Rule::InPerson(atom(Resource::Users, Verb::Write)), RecentCode;
    /// Assign clusters and namespaces to a user.
    AssignUser: UserAssign, Rule::Administration(atom(Resource::Rbac, Verb::Manage)), RecentCode;
    /// Take an assignment from a user.
    UnassignUser: UserUnassign, Rule::Administration(atom(Resource::Rbac, Verb::Manage)), RecentCode;
    /// See the roles.
    ListRoles: RoleList, Rule::Administration(atom(Resource::Users, Verb::Read));
    /// Make a role.
    CreateRole: RoleCreate, Rule::Administration(atom(Resource::Rbac, Verb::Manage)), RecentCode;
    /// Change what a role holds.
    ChangeRole: RoleChange, Rule::Administration(atom(Resource::Rbac, Verb::Manage)), RecentCode;
    /// Delete a role.
    DeleteRole: RoleDelete, Rule::Administration(atom(Resource::Rbac, Verb::Manage)), RecentCode;
    /// Read the audit log.
    ReadAuditLog: AuditRead, Rule::Holds(atom(Resource::Audit, Verb::Read));
    /// Export the audit log.
    ExportAuditLog: AuditExport, Rule::Holds(atom(Resource::Audit, Verb::Read));
    /// Delete entries whose time is over.
    PurgeAuditLog: AuditPurge, Rule::Operator;
    /// Make a key for someone else and see it.
    IssueApiKey: ApiKeyCreate, Rule::Operator;
}
