//! A question of a cluster's in our own terms: what is touched, and how.
//!
//! What we have no word for is no question: it is denied.

use super::Asker;
use crate::cluster::{Group, ResourceName};
use kv_authz::{
    Denied, Permission, Policy, Principal, Resource, Subresource, Verb,
    kubernetes::{Allowed, KubernetesTarget, KubernetesVerb, Reach, authorize_kubernetes},
};
use serde::Deserialize;
use time::OffsetDateTime;

/// What is asked about, as the cluster writes it. Empty is absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Attributes {
    /// `get`, `list`, `watch`, `create`, …
    pub verb: String,
    /// The API group.
    pub group: String,
    /// The resource's plural.
    pub resource: String,
    /// The part of the object.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

/// The same in our terms.
#[derive(Debug)]
pub struct Question {
    /// What is touched.
    pub target: KubernetesTarget,
}

impl Question {
    /// Reads what a cluster asks about; none where we have no word for it. `namespaced` says whether a collection that is
    /// asked about in no namespace is one of objects that live in some.
    #[must_use]
    pub fn read(asker: &Asker, asked: &Attributes, namespaced: bool) -> Option<Self> {
        resource_name(asked)?;
        let present = |text: &String| (!text.is_empty()).then(|| text.clone());
        let target = KubernetesTarget {
            cluster: asker.id,
            cluster_name: asker.name.clone(),
            namespace: present(&asked.namespace),
            plural: asked.resource.clone(),
            group: asked.group.clone(),
            namespaced: namespaced || !asked.namespace.is_empty(),
            name: present(&asked.name),
            subresource: part(asked)?,
            verb: verb(asked)?,
        };
        Some(Self { target })
    }

    /// Decides, and tells whether values of Secrets are shown. Nothing can be masked on this way, and nothing put together
    /// from several namespaces: what needs either is refused.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn decide(&self, principal: &Principal, policy: &Policy, now: OffsetDateTime) -> Result<bool, Denied> {
        let target = &self.target;
        let Allowed { reach, mask_secrets, .. } = authorize_kubernetes(principal, target, policy, now)?;
        if reach != Reach::AsAsked {
            return Err(Denied::Forbidden { missing: whole(target) });
        }
        let shows = target.is_secret() && shows_what_is_there(target.verb);
        if shows && mask_secrets {
            return Err(Denied::Forbidden {
                missing: Permission::new(Resource::kubernetes("secrets", ""), Verb::Reveal),
            });
        }
        Ok(shows)
    }
}

/// The resource as we write it, if it can be one; what it is in the cluster is found by this.
pub(super) fn resource_name(asked: &Attributes) -> Option<ResourceName> {
    Group::parse(&asked.group).ok()?;
    let written = match asked.group.as_str() {
        "" => asked.resource.clone(),
        group => format!("{}.{group}", asked.resource),
    };
    let name = ResourceName::parse(&written).ok()?;
    // A plural with a dot would be another resource's with its group.
    (!asked.resource.contains('.')).then_some(name)
}

fn verb(asked: &Attributes) -> Option<KubernetesVerb> {
    let (_, verb) = KubernetesVerb::WORDS.into_iter().find(|(word, _)| asked.verb == *word)?;
    Some(if verb == KubernetesVerb::Create && asks_of_oneself(asked) { KubernetesVerb::Review } else { verb })
}

/// Whether somebody asks the cluster what they may do themselves: the answer is ours again.
fn asks_of_oneself(asked: &Attributes) -> bool {
    let reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"];
    asked.group == "authorization.k8s.io" && reviews.contains(&asked.resource.as_str())
}

/// The part of an object, or the whole; none for a part that has no name here, whatever could be done by it.
fn part(asked: &Attributes) -> Option<Option<Subresource>> {
    match asked.subresource.as_str() {
        "" => Some(None),
        name => match Subresource::parse(name)? {
            Subresource::Other(_) => None,
            known => Some(Some(known)),
        },
    }
}

/// Whether the answer may hold what was in the object before: a patch is answered with all of it, and so is the deletion of
/// what something still holds on to.
fn shows_what_is_there(verb: KubernetesVerb) -> bool {
    !matches!(verb, KubernetesVerb::Create | KubernetesVerb::Update)
}

fn whole(target: &KubernetesTarget) -> Permission {
    Permission::new(Resource::kubernetes(&target.plural, &target.group), target.verb.verb())
}

#[cfg(test)]
#[path = "question_tests.rs"]
mod tests;
