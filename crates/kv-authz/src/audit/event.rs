//! Events: the closed list of what an audit entry can speak of, as the contract's field `action`.

use std::{fmt, str::FromStr};

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Event {
            $($(#[$doc])* $name,)+
        }

        impl Event {
            /// Every event.
            pub const ALL: &'static [Event] = &[$(Event::$name),+];

            /// The event as stored and shown. Issued names never change.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Event::$name => $text,)+
                }
            }
        }
    };
}

events! {
    /// A key was made.
    ApiKeyCreate = "api_key.create",
    /// Keys were listed.
    ApiKeyList = "api_key.list",
    /// A key was revoked.
    ApiKeyRevoke = "api_key.revoke",
    /// A key looked at itself.
    ApiKeyShowCurrent = "api_key.show_current",
    /// Someone signed in, or tried to.
    AuthLogin = "auth.login",
    /// Someone signed out.
    AuthLogout = "auth.logout",
    /// A password was accepted, and a second factor asked for.
    AuthChallenge = "auth.challenge",
    /// A session was renewed, or someone tried to.
    AuthRefresh = "auth.refresh",
    /// Someone showed their second factor once more.
    AuthReverify = "auth.reverify",
    /// Someone changed their password.
    AuthPassword = "auth.password",
    /// Someone looked at themselves.
    AuthShow = "auth.show",
    /// A credential was refused.
    AuthRefuse = "auth.refuse",
    /// The audit log was read.
    AuditRead = "audit.read",
    /// The audit log was exported.
    AuditExport = "audit.export",
    /// Entries whose time was over were deleted.
    AuditPurge = "audit.purge",
    /// Clusters were listed.
    ClusterList = "cluster.list",
    /// A cluster was looked at.
    ClusterShow = "cluster.show",
    /// A kubeconfig for a cluster was given.
    ClusterKubeconfig = "cluster.kubeconfig",
    /// A cluster was registered.
    ClusterAdd = "cluster.add",
    /// How a cluster is called was changed.
    ClusterChange = "cluster.change",
    /// A cluster was removed.
    ClusterRemove = "cluster.remove",
    /// A backup was put in the place of the database.
    DatabaseRestore = "database.restore",
    /// One object was read.
    KubernetesGet = "kubernetes.get",
    /// A collection was read.
    KubernetesList = "kubernetes.list",
    /// An object was created.
    KubernetesCreate = "kubernetes.create",
    /// An object was replaced.
    KubernetesUpdate = "kubernetes.update",
    /// An object was changed.
    KubernetesPatch = "kubernetes.patch",
    /// An object was deleted.
    KubernetesDelete = "kubernetes.delete",
    /// A cluster asked whose a token is.
    KubernetesTokenReview = "kubernetes.token_review",
    /// A cluster asked whether a user may do something in it.
    KubernetesAccessReview = "kubernetes.access_review",
    /// Every object of a collection was deleted.
    KubernetesDeleteCollection = "kubernetes.delete_collection",
    /// Objects were followed.
    KubernetesWatch = "kubernetes.watch",
    /// A cluster was asked what it serves.
    KubernetesDiscover = "kubernetes.discover",
    /// Somebody asked what they may do in a cluster.
    KubernetesReview = "kubernetes.review",
    /// A workload's pods were replaced.
    KubernetesRestart = "kubernetes.restart",
    /// A workload got the template of an earlier revision back.
    KubernetesRollback = "kubernetes.rollback",
    /// The revisions of a workload were read.
    KubernetesHistory = "kubernetes.history",
    /// A container's log was read.
    KubernetesLogs = "kubernetes.logs",
    /// A command was run in a container.
    KubernetesExec = "kubernetes.exec",
    /// A container's input and output were attached to.
    KubernetesAttach = "kubernetes.attach",
    /// A pod's port was connected to.
    KubernetesPortForward = "kubernetes.port_forward",
    /// A request was sent through the cluster to what runs in it.
    KubernetesProxy = "kubernetes.proxy",
    /// A second factor was set up, not yet in force.
    TotpSetUp = "totp.set_up",
    /// A second factor came into force.
    TotpEnable = "totp.enable",
    /// A second factor was given up.
    TotpDisable = "totp.disable",
    /// New recovery codes were made.
    TotpRecoveryCodes = "totp.recovery_codes",
    /// Sessions were listed.
    SessionList = "session.list",
    /// A session was ended by its owner from another one, or by an administrator.
    SessionEnd = "session.end",
    /// Roles were listed, or one looked at.
    RoleList = "role.list",
    /// A role was made.
    RoleCreate = "role.create",
    /// A role was changed.
    RoleChange = "role.change",
    /// A role was deleted.
    RoleDelete = "role.delete",
    /// A request went over its owner's rate limit.
    RequestLimit = "request.limit",
    /// A request that reached no act: no such address, a wrong method, an unreadable body.
    RequestReject = "request.reject",
    /// Users were listed.
    UserList = "user.list",
    /// A user was looked at.
    UserShow = "user.show",
    /// A user was made.
    UserCreate = "user.create",
    /// A user was disabled, enabled or otherwise changed.
    UserChange = "user.change",
    /// A user was assigned clusters and namespaces.
    UserAssign = "user.assign",
    /// An assignment was taken from a user.
    UserUnassign = "user.unassign",
    /// A user was deleted.
    UserDelete = "user.delete",
    /// A user's password was set by an administrator.
    UserResetPassword = "user.reset_password",
    /// A user's second factor was taken away by an administrator.
    UserResetSecondFactor = "user.reset_second_factor",
}

/// The text names no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such audit event")]
pub struct UnknownEvent;

impl FromStr for Event {
    type Err = UnknownEvent;

    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        Self::ALL.iter().copied().find(|event| event.as_str() == text).ok_or(UnknownEvent)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
