//! Requests to a Kubernetes cluster, as far as rights are concerned: what is touched and how.
//!
//! Nothing here knows URLs; that is the server's `cluster` room.

use crate::{
    action::Action,
    assignment::NamespaceScope,
    audit::{Event, Target},
    authorize::{Denied, Permit, Policy, enrolled, has_shown_code},
    ids::ClusterId,
    permission::{Permission, Resource, Verb},
    principal::Principal,
    role::Scope,
};
use std::collections::BTreeSet;
use time::OffsetDateTime;

/// What a request does with Kubernetes objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KubernetesVerb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Create an object.
    Create,
    /// Replace an object.
    Update,
    /// Change an object.
    Patch,
    /// Delete an object.
    Delete,
}

impl KubernetesVerb {
    /// The action of the atom that allows it.
    #[must_use]
    pub fn verb(self) -> Verb {
        match self {
            KubernetesVerb::Get | KubernetesVerb::List => Verb::Read,
            KubernetesVerb::Create | KubernetesVerb::Update | KubernetesVerb::Patch => Verb::Write,
            KubernetesVerb::Delete => Verb::Delete,
        }
    }

    /// Whether the cluster stays as it is.
    #[must_use]
    pub fn is_read(self) -> bool {
        self.verb() == Verb::Read
    }

    /// How the audit log calls it.
    #[must_use]
    pub fn event(self) -> Event {
        match self {
            KubernetesVerb::Get => Event::KubernetesGet,
            KubernetesVerb::List => Event::KubernetesList,
            KubernetesVerb::Create => Event::KubernetesCreate,
            KubernetesVerb::Update => Event::KubernetesUpdate,
            KubernetesVerb::Patch => Event::KubernetesPatch,
            KubernetesVerb::Delete => Event::KubernetesDelete,
        }
    }
}

/// What a request touches in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesTarget {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub cluster_name: String,
    /// The namespace in the path; none for cluster-scoped resources and for lists across namespaces.
    pub namespace: Option<String>,
    /// The resource's plural, as served.
    pub plural: String,
    /// Its API group; empty for the core group.
    pub group: String,
    /// Whether the resource lives in namespaces at all.
    pub namespaced: bool,
    /// The object's name; none for collections.
    pub name: Option<String>,
    /// What is done.
    pub verb: KubernetesVerb,
}

impl KubernetesTarget {
    /// Whether these are Secrets, whose values are masked.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.group.is_empty() && self.plural == "secrets"
    }

    fn permission(&self) -> Permission {
        Permission::new(Resource::kubernetes(&self.plural, &self.group), self.verb.verb())
    }

    fn scope(&self) -> Scope {
        if self.namespaced { Scope::Namespace } else { Scope::Cluster }
    }

    /// The target as audited.
    #[must_use]
    pub fn audited(&self) -> Target {
        Target {
            resource: Resource::kubernetes(&self.plural, &self.group).as_str().to_owned(),
            name: self.name.clone(),
            cluster: Some(self.cluster_name.clone()),
            namespace: self.namespace.clone(),
        }
    }
}

/// Marks the permit to send one request to a cluster.
#[derive(Debug)]
pub struct KubernetesRequest;

impl Action for KubernetesRequest {
    const NAME: &'static str = "kubernetes";
}

/// How far an allowed request may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// As asked.
    AsAsked,
    /// A collection, but only of these namespaces; their union is the answer.
    Namespaces(BTreeSet<String>),
}

/// An allowed request to a cluster.
#[derive(Debug)]
pub struct Allowed {
    /// The proof.
    pub permit: Permit<KubernetesRequest>,
    /// How far it goes.
    pub reach: Reach,
    /// Whether the values of Secrets are hidden from the caller.
    pub mask_secrets: bool,
}

/// Decides on one request to a cluster.
///
/// # Errors
/// [`Denied::Hidden`] where the cluster or namespace may not be known to the caller, [`Denied::EnrolmentRequired`],
/// [`Denied::Forbidden`] naming the missing atom otherwise.
pub fn authorize_kubernetes(
    principal: &Principal,
    target: &KubernetesTarget,
    policy: &Policy,
    now: OffsetDateTime,
) -> Result<Allowed, Denied> {
    let Some(owner) = principal.owner() else {
        return Ok(Allowed { permit: permit(principal, target), reach: Reach::AsAsked, mask_secrets: false });
    };
    enrolled(principal, policy)?;
    let reach = match owner.reach(target.cluster).ok_or(Denied::Hidden)? {
        NamespaceScope::All => Reach::AsAsked,
        NamespaceScope::Named(namespaces) => restricted(target, namespaces)?,
    };
    let needed = target.permission();
    if !owner.holds(&needed, target.scope()) {
        return Err(Denied::Forbidden { missing: needed });
    }
    // Whoever may hand out rights inside the cluster could give themselves any.
    let manage = Permission::new(Resource::Rbac, Verb::Manage);
    if hands_out_rights(target) && !target.verb.is_read() && !owner.holds(&manage, Scope::Cluster) {
        return Err(Denied::Forbidden { missing: manage });
    }
    let reveal = Permission::new(Resource::kubernetes("secrets", ""), Verb::Reveal);
    // Without a recent code Secrets can be listed and changed, and their values are not shown.
    let reveals = owner.holds(&reveal, Scope::Namespace) && has_shown_code(principal, now);
    Ok(Allowed { permit: permit(principal, target), reach, mask_secrets: target.is_secret() && !reveals })
}

/// Whether writing it changes who may do what in the cluster: RBAC itself, and the other names under which OpenShift and
/// Rancher serve it.
fn hands_out_rights(target: &KubernetesTarget) -> bool {
    let bindings = ["rolebindings", "roletemplatebindings", "roletemplates"];
    matches!(target.group.as_str(), "rbac.authorization.k8s.io" | "authorization.openshift.io")
        || (target.group.ends_with(".cattle.io") && bindings.iter().any(|end| target.plural.ends_with(end)))
}

/// What is left of a request by a user who has some namespaces of a cluster only.
fn restricted(target: &KubernetesTarget, namespaces: BTreeSet<String>) -> Result<Reach, Denied> {
    let is_namespaces = target.group.is_empty() && target.plural == "namespaces";
    match (&target.namespace, &target.name) {
        (Some(namespace), _) if namespaces.contains(namespace) => Ok(Reach::AsAsked),
        (Some(_), _) => Err(Denied::Hidden),
        // Of what lives in no namespace such a user sees nothing but the namespaces themselves, and changes none.
        (None, Some(name)) if is_namespaces => {
            if !namespaces.contains(name) {
                Err(Denied::Hidden)
            } else if target.verb.is_read() {
                Ok(Reach::AsAsked)
            } else {
                Err(Denied::Forbidden { missing: target.permission() })
            }
        }
        (None, None) if target.verb == KubernetesVerb::List && (target.namespaced || is_namespaces) => {
            Ok(Reach::Namespaces(namespaces))
        }
        _ => Err(Denied::Forbidden { missing: target.permission() }),
    }
}

fn permit(principal: &Principal, target: &KubernetesTarget) -> Permit<KubernetesRequest> {
    Permit::granted(principal.actor(), target.verb.event(), target.audited())
}
