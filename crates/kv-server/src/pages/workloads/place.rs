//! What the pages of a cluster are about: a namespace, a kind of workload, one workload; and their addresses, here and in
//! the cluster.
//!
//! Nothing is asked or shown here.

use crate::{failure::Failure, operations::kubernetes as upstream, pages::texts::Clusters};
use kv_authz::{Owner, Permission, Resource, Verb, audit::Target, role::Scope};
use serde::Deserialize;

/// What is shown of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Deployments,
    StatefulSets,
    DaemonSets,
    Pods,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Deployments, Self::StatefulSets, Self::DaemonSets, Self::Pods];

    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Deployments => "deployments",
            Self::StatefulSets => "statefulsets",
            Self::DaemonSets => "daemonsets",
            Self::Pods => "pods",
        }
    }

    pub(super) fn name(self, t: &Clusters) -> &'static str {
        match self {
            Self::Deployments => t.deployments,
            Self::StatefulSets => t.statefulsets,
            Self::DaemonSets => t.daemonsets,
            Self::Pods => t.pods,
        }
    }

    fn of(plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == plural)
    }

    pub(super) fn scales(self) -> bool {
        matches!(self, Self::Deployments | Self::StatefulSets)
    }

    pub(super) fn restarts(self) -> bool {
        self != Self::Pods
    }

    /// Whether a role lets its holder do so with such workloads, where they are assigned.
    pub(super) fn allows(self, owner: &Owner, verb: Verb) -> bool {
        let group = if self == Self::Pods { "" } else { "apps" };
        owner.holds(&Permission::new(Resource::kubernetes(self.plural(), group), verb), Scope::Namespace)
    }

    /// The kinds whose workloads a role shows its holder.
    pub(super) fn readable(owner: &Owner) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| kind.allows(owner, Verb::Read))
    }
}

/// A namespace of a cluster.
#[derive(Debug, Clone)]
pub(super) struct Space {
    pub(super) cluster: String,
    pub(super) namespace: String,
}

impl Space {
    /// Where the page of a cluster is.
    pub(super) fn cluster_address(cluster: &str) -> String {
        format!("/clusters/{cluster}")
    }

    /// Where its page is.
    pub(super) fn address(&self) -> String {
        format!("{}/namespaces/{}", Self::cluster_address(&self.cluster), self.namespace)
    }

    /// Where its page is that shows one kind.
    pub(super) fn address_of(&self, kind: Kind) -> String {
        format!("{}?kind={}", self.address(), kind.plural())
    }

    /// The namespace as an object of the cluster.
    pub(super) fn itself(&self) -> upstream::Place {
        upstream::Place::Ours {
            namespace: None,
            resource: "namespaces".to_owned(),
            name: Some(self.namespace.clone()),
            part: None,
        }
    }
}

/// What is done with a workload from its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Scale,
    Restart,
}

/// One workload.
#[derive(Debug, Clone)]
pub(super) struct Workload {
    pub(super) space: Space,
    pub(super) kind: Kind,
    pub(super) name: String,
}

impl Workload {
    /// The one that an address names, if such a thing can be done with its kind.
    ///
    /// # Errors
    /// [`Failure::NotFound`].
    pub(super) fn of(
        (cluster, namespace, plural, name): (String, String, String, String),
        act: Act,
    ) -> Result<Self, Failure> {
        let can = |kind: &Kind| match act {
            Act::Scale => kind.scales(),
            Act::Restart => kind.restarts(),
        };
        let kind = Kind::of(&plural).filter(can).ok_or(Failure::NotFound { what: "page" })?;
        Ok(Self { space: Space { cluster, namespace }, kind, name })
    }

    /// Where its page is, among the others of its kind.
    pub(super) fn page(&self) -> String {
        self.space.address_of(self.kind)
    }

    /// Where a thing is done with it.
    pub(super) fn address(&self, act: Act) -> String {
        let act = match act {
            Act::Scale => "scale",
            Act::Restart => "restart",
        };
        format!("{}/{}/{}/{act}", self.space.address(), self.kind.plural(), self.name)
    }

    /// Where it is in the cluster, or a part of it.
    pub(super) fn place(&self, part: Option<&str>) -> upstream::Place {
        upstream::Place::Ours {
            namespace: Some(self.space.namespace.clone()),
            resource: self.kind.plural().to_owned(),
            name: Some(self.name.clone()),
            part: part.map(str::to_owned),
        }
    }

    /// It as audited.
    pub(super) fn audited(&self) -> Target {
        let Space { cluster, namespace } = self.space.clone();
        Target { cluster: Some(cluster), namespace: Some(namespace), ..Target::of(self.kind.plural()) }
            .named(&self.name)
    }
}
