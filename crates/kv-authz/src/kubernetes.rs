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
    subresource::Subresource,
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
    /// Follow what happens to objects.
    Watch,
    /// Delete every object of a collection.
    DeleteCollection,
    /// Read what the cluster serves: discovery, its schemas, its version.
    Discover,
    /// Ask what oneself may do there.
    Review,
    /// Have a workload's pods replaced, one after the other.
    Restart,
    /// Give a workload's pods the template of an earlier revision.
    Rollback,
    /// Read the revisions a workload has had.
    History,
}

impl KubernetesVerb {
    /// The verbs of Kubernetes itself, in its words.
    pub const WORDS: [(&'static str, KubernetesVerb); 8] = [
        ("get", KubernetesVerb::Get),
        ("list", KubernetesVerb::List),
        ("watch", KubernetesVerb::Watch),
        ("create", KubernetesVerb::Create),
        ("update", KubernetesVerb::Update),
        ("patch", KubernetesVerb::Patch),
        ("delete", KubernetesVerb::Delete),
        ("deletecollection", KubernetesVerb::DeleteCollection),
    ];

    /// The action of the atom that allows it.
    #[must_use]
    pub fn verb(self) -> Verb {
        match self {
            KubernetesVerb::Get
            | KubernetesVerb::List
            | KubernetesVerb::Watch
            | KubernetesVerb::Discover
            | KubernetesVerb::Review
            | KubernetesVerb::History => Verb::Read,
            KubernetesVerb::Create
            | KubernetesVerb::Update
            | KubernetesVerb::Patch
            | KubernetesVerb::Restart
            | KubernetesVerb::Rollback => Verb::Write,
            KubernetesVerb::Delete | KubernetesVerb::DeleteCollection => Verb::Delete,
        }
    }

    /// Whether it looks at or makes a collection, and names no object.
    #[must_use]
    pub fn is_of_collection(self) -> bool {
        matches!(
            self,
            KubernetesVerb::List | KubernetesVerb::Watch | KubernetesVerb::Create | KubernetesVerb::DeleteCollection
        )
    }

    /// Whether it is more than one call to the cluster.
    #[must_use]
    pub fn takes_several_calls(self) -> bool {
        matches!(self, KubernetesVerb::Restart | KubernetesVerb::Rollback | KubernetesVerb::History)
    }

    /// How the audit log calls it, done to a whole object.
    fn event(self) -> Event {
        match self {
            KubernetesVerb::Get => Event::KubernetesGet,
            KubernetesVerb::List => Event::KubernetesList,
            KubernetesVerb::Create => Event::KubernetesCreate,
            KubernetesVerb::Update => Event::KubernetesUpdate,
            KubernetesVerb::Patch => Event::KubernetesPatch,
            KubernetesVerb::Delete => Event::KubernetesDelete,
            KubernetesVerb::Watch => Event::KubernetesWatch,
            KubernetesVerb::DeleteCollection => Event::KubernetesDeleteCollection,
            KubernetesVerb::Discover => Event::KubernetesDiscover,
            KubernetesVerb::Review => Event::KubernetesReview,
            KubernetesVerb::Restart => Event::KubernetesRestart,
            KubernetesVerb::Rollback => Event::KubernetesRollback,
            KubernetesVerb::History => Event::KubernetesHistory,
        }
    }
}

/// How the audit log calls a request to a cluster.
#[must_use]
pub fn event(verb: KubernetesVerb, subresource: Option<&Subresource>) -> Event {
    match subresource {
        Some(Subresource::Log) => Event::KubernetesLogs,
        Some(Subresource::Exec) => Event::KubernetesExec,
        Some(Subresource::Attach) => Event::KubernetesAttach,
        Some(Subresource::PortForward) => Event::KubernetesPortForward,
        Some(Subresource::Proxy) => Event::KubernetesProxy,
        _ => verb.event(),
    }
}

/// Whether the cluster stays as it is. What is opened into a container does not count as reading, whatever its method.
#[must_use]
pub fn is_read(verb: KubernetesVerb, subresource: Option<&Subresource>) -> bool {
    verb.verb() == Verb::Read && !subresource.is_some_and(Subresource::connects)
}

/// Where the cluster keeps the revisions of a workload: a plural of the same group. None for what is no workload.
#[must_use]
pub fn revisions_of(plural: &str, group: &str) -> Option<&'static str> {
    match (group, plural) {
        ("apps", "deployments") => Some("replicasets"),
        ("apps", "statefulsets" | "daemonsets") => Some("controllerrevisions"),
        _ => None,
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
    /// The part of the object; none for the whole.
    pub subresource: Option<Subresource>,
    /// What is done.
    pub verb: KubernetesVerb,
}

impl KubernetesTarget {
    /// Whether these are Secrets, whose values are masked.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.group.is_empty() && self.plural == "secrets"
    }

    /// Whether the cluster stays as it is.
    #[must_use]
    pub fn is_read(&self) -> bool {
        is_read(self.verb, self.subresource.as_ref())
    }

    /// How the audit log calls it.
    #[must_use]
    pub fn event(&self) -> Event {
        event(self.verb, self.subresource.as_ref())
    }

    /// The atoms it takes; none to ask what there is and what oneself may do.
    fn permissions(&self) -> Vec<Permission> {
        let whole =
            |verb: KubernetesVerb| Permission::new(Resource::kubernetes(&self.plural, &self.group), verb.verb());
        match (&self.subresource, self.verb) {
            (_, KubernetesVerb::Discover | KubernetesVerb::Review) => Vec::new(),
            // The revisions are objects of their own, whose templates are told or taken.
            (None, verb @ (KubernetesVerb::Rollback | KubernetesVerb::History)) => {
                let revisions = revisions_of(&self.plural, &self.group);
                let read = |plural| Permission::new(Resource::kubernetes(plural, &self.group), Verb::Read);
                [whole(verb)].into_iter().chain(revisions.map(read)).collect()
            }
            (None, verb) => vec![whole(verb)],
            (Some(part), verb) => part.permissions(&self.plural, &self.group, verb.verb()),
        }
    }

    /// The first of them, to be named where nothing that is held would be enough.
    fn first_permission(&self) -> Permission {
        let whole = || Permission::new(Resource::kubernetes(&self.plural, &self.group), self.verb.verb());
        self.permissions().into_iter().next().unwrap_or_else(whole)
    }

    fn scope(&self) -> Scope {
        if self.namespaced { Scope::Namespace } else { Scope::Cluster }
    }

    /// The target as audited.
    #[must_use]
    pub fn audited(&self) -> Target {
        let whole = Resource::kubernetes(&self.plural, &self.group);
        Target {
            resource: match &self.subresource {
                None => whole.as_str().to_owned(),
                Some(part) => format!("{}/{part}", whole.as_str()),
            },
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

impl Reach {
    /// Whether what goes as far as `other` goes no further than this.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::AsAsked, _) => true,
            (Self::Namespaces(_), Self::AsAsked) => false,
            (Self::Namespaces(these), Self::Namespaces(those)) => those.is_subset(these),
        }
    }
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
    let mut needed = target.permissions();
    // Whoever may hand out rights inside the cluster could give themselves any.
    if hands_out_rights(target) && !target.is_read() {
        needed.push(Permission::new(Resource::Rbac, Verb::Manage));
    }
    let missing = needed.into_iter().find(|atom| {
        let scope = if atom.resource == Resource::Rbac { Scope::Cluster } else { target.scope() };
        !owner.holds(atom, scope)
    });
    if let Some(missing) = missing {
        return Err(Denied::Forbidden { missing });
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
    if matches!(target.verb, KubernetesVerb::Discover | KubernetesVerb::Review) {
        return Ok(Reach::AsAsked);
    }
    match (&target.namespace, &target.name) {
        (Some(namespace), _) if namespaces.contains(namespace) => Ok(Reach::AsAsked),
        (Some(_), _) => Err(Denied::Hidden),
        // Of what lives in no namespace such a user sees nothing but the namespaces themselves, and changes none.
        (None, Some(name)) if is_namespaces => {
            if !namespaces.contains(name) {
                Err(Denied::Hidden)
            } else if target.is_read() {
                Ok(Reach::AsAsked)
            } else {
                Err(Denied::Forbidden { missing: target.first_permission() })
            }
        }
        (None, None)
            if matches!(target.verb, KubernetesVerb::List | KubernetesVerb::Watch)
                && (target.namespaced || is_namespaces) =>
        {
            Ok(Reach::Namespaces(namespaces))
        }
        _ => Err(Denied::Forbidden { missing: target.first_permission() }),
    }
}

fn permit(principal: &Principal, target: &KubernetesTarget) -> Permit<KubernetesRequest> {
    Permit::granted(principal.actor(), target.event(), target.audited())
}

#[cfg(test)]
mod tests {
    use super::Reach;

    #[test]
    fn what_goes_further_is_not_covered() {
        let some = |names: &[&str]| Reach::Namespaces(names.iter().map(|&name| name.to_owned()).collect());
        assert!(Reach::AsAsked.covers(&Reach::AsAsked) && Reach::AsAsked.covers(&some(&["a"])));
        assert!(some(&["a", "b"]).covers(&some(&["b"])) && some(&["a"]).covers(&some(&["a"])));
        assert!(!some(&["a"]).covers(&Reach::AsAsked) && !some(&["a"]).covers(&some(&["a", "b"])));
    }
}
