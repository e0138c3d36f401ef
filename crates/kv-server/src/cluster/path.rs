//! Paths of the Kubernetes API, built from checked names alone.
//!
//! Nothing here encodes or decodes: every segment is from an alphabet that needs neither, so the path that was authorised
//! is the path that is sent. There is no way to make a path from a text.

use http::Method;
use kv_authz::{
    Subresource,
    ids::ClusterId,
    kubernetes::{KubernetesTarget, KubernetesVerb},
};

use super::{
    discovery::Served,
    names::{ClusterName, Group, Namespace, ObjectName, ProxySegment, Version},
    query::UpstreamQuery,
};

/// The names of a request do not make a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A namespaced object or its creation without a namespace.
    #[error("this resource lives in namespaces: name one")]
    NamespaceMissing,
    /// A namespace for what lives in none.
    #[error("this resource lives in no namespace")]
    NamespaceUnexpected,
    /// An object is meant, and none is named.
    #[error("an object's name is missing")]
    NameMissing,
    /// A collection is meant, and an object is named.
    #[error("an object cannot be named here")]
    NameUnexpected,
    /// The cluster does not serve this verb for this resource.
    #[error("the cluster does not offer this for this resource")]
    VerbNotServed,
    /// Objects of this resource have no such part.
    #[error("objects of this resource have no such part in this cluster")]
    PartNotServed,
}

/// The names in a path, checked one by one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The namespace.
    pub namespace: Option<Namespace>,
    /// The object's name.
    pub name: Option<ObjectName>,
    /// The part of the object.
    pub subresource: Option<Subresource>,
    /// What stands behind `proxy`.
    pub behind: Vec<ProxySegment>,
}

/// One object, a part of one, or one collection of a cluster, and what is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPath {
    served: Served,
    names: Names,
    verb: KubernetesVerb,
}

impl ObjectPath {
    /// Puts the names together.
    ///
    /// A missing name is never read as "all of them": only what is said to be about a collection goes to one.
    ///
    /// # Errors
    /// [`PathError`] if they do not fit the resource or the verb.
    pub fn new(served: &Served, names: Names, verb: KubernetesVerb) -> Result<Self, PathError> {
        let collection = verb.is_of_collection() && names.subresource.is_none();
        match &names.name {
            Some(_) if collection => return Err(PathError::NameUnexpected),
            None if !collection => return Err(PathError::NameMissing),
            _ => {}
        }
        let across = matches!(verb, KubernetesVerb::List | KubernetesVerb::Watch);
        match &names.namespace {
            Some(_) if !served.namespaced() => return Err(PathError::NamespaceUnexpected),
            None if served.namespaced() && !across => return Err(PathError::NamespaceMissing),
            _ => {}
        }
        match &names.subresource {
            // What can be done with a part is the cluster's to say.
            Some(part) if !served.has(part) => return Err(PathError::PartNotServed),
            None if !served.offers(verb) => return Err(PathError::VerbNotServed),
            _ => {}
        }
        Ok(Self { served: served.clone(), names, verb })
    }

    /// The resource.
    #[must_use]
    pub fn served(&self) -> &Served {
        &self.served
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        self.names.namespace.as_ref()
    }

    /// The object's name.
    #[must_use]
    pub fn name(&self) -> Option<&ObjectName> {
        self.names.name.as_ref()
    }

    /// The part of the object.
    #[must_use]
    pub fn subresource(&self) -> Option<&Subresource> {
        self.names.subresource.as_ref()
    }

    /// Whether the cluster stays as it is.
    #[must_use]
    pub fn is_read(&self) -> bool {
        kv_authz::kubernetes::is_read(self.verb, self.subresource())
    }

    /// What is done.
    #[must_use]
    pub fn verb(&self) -> KubernetesVerb {
        self.verb
    }

    /// The same as the rules see it, so that what is authorised and what is sent cannot differ.
    #[must_use]
    pub fn target(&self, cluster: ClusterId, cluster_name: &ClusterName) -> KubernetesTarget {
        KubernetesTarget {
            cluster,
            cluster_name: cluster_name.as_str().to_owned(),
            namespace: self.namespace().map(|namespace| namespace.as_str().to_owned()),
            plural: self.served.plural().as_str().to_owned(),
            group: self.served.group().as_str().to_owned(),
            namespaced: self.served.namespaced(),
            name: self.name().map(|name| name.as_str().to_owned()),
            subresource: self.subresource().cloned(),
            verb: self.verb,
        }
    }

    /// The same list or watch, of one namespace only; none if this is none of something namespaced.
    #[must_use]
    pub fn within(&self, namespace: Namespace) -> Option<Self> {
        let splits = matches!(self.verb, KubernetesVerb::List | KubernetesVerb::Watch) && self.served.namespaced();
        let names = Names { namespace: Some(namespace), ..Names::default() };
        splits.then(|| Self { names, ..self.clone() })
    }

    /// The call with which something that takes several reads its object.
    #[must_use]
    pub fn to_read(&self) -> Self {
        Self { verb: KubernetesVerb::Get, ..self.clone() }
    }

    /// The call with which something that takes several changes its object; none for what changes nothing.
    #[must_use]
    pub fn to_change(&self) -> Option<Self> {
        (!self.is_read()).then(|| Self { verb: KubernetesVerb::Patch, ..self.clone() })
    }

    /// The list of another resource in the same namespace.
    ///
    /// # Errors
    /// [`PathError`] if that resource cannot be listed so.
    pub fn beside(&self, served: &Served) -> Result<Self, PathError> {
        let names = Names { namespace: self.names.namespace.clone(), ..Names::default() };
        Self::new(served, names, KubernetesVerb::List)
    }

    /// The method upstream.
    #[must_use]
    pub fn method(&self) -> Method {
        match self.verb {
            KubernetesVerb::Get
            | KubernetesVerb::List
            | KubernetesVerb::Watch
            | KubernetesVerb::Discover
            | KubernetesVerb::Review
            | KubernetesVerb::Restart
            | KubernetesVerb::Rollback
            | KubernetesVerb::History => Method::GET,
            KubernetesVerb::Create => Method::POST,
            KubernetesVerb::Update => Method::PUT,
            KubernetesVerb::Patch => Method::PATCH,
            KubernetesVerb::Delete | KubernetesVerb::DeleteCollection => Method::DELETE,
        }
    }

    /// The path with its query, as it is sent.
    #[must_use]
    pub fn upstream(&self, query: &UpstreamQuery) -> UpstreamPath {
        let mut path = base(self.served.group(), self.served.version());
        let mut push = |segment: &str| {
            path.push('/');
            path.push_str(segment);
        };
        if let Some(namespace) = self.namespace() {
            push("namespaces");
            push(namespace.as_str());
        }
        push(self.served.plural().as_str());
        if let Some(name) = self.name() {
            push(name.as_str());
        }
        if let Some(part) = self.subresource() {
            push(part.as_str());
        }
        for segment in &self.names.behind {
            push(segment.as_str());
        }
        UpstreamPath(path).with(query)
    }
}

fn base(group: &Group, version: &Version) -> String {
    match group.as_str() {
        "" => format!("/api/{}", version.as_str()),
        group => format!("/apis/{group}/{}", version.as_str()),
    }
}

/// A path with its query that may be sent to a cluster: an object's, a collection's, or one of the few listed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamPath(String);

impl UpstreamPath {
    /// The version of the cluster.
    #[must_use]
    pub fn version() -> Self {
        Self("/version".to_owned())
    }

    /// The API groups.
    #[must_use]
    pub fn groups() -> Self {
        Self("/apis".to_owned())
    }

    /// The resources of a group's version.
    #[must_use]
    pub fn resources(group: &Group, version: &Version) -> Self {
        Self(base(group, version))
    }

    /// One of the documents in which the cluster says what it serves.
    #[must_use]
    pub fn document(document: &Document, query: &UpstreamQuery) -> Self {
        Self(match document {
            Document::Version => "/version".to_owned(),
            Document::Core => "/api".to_owned(),
            Document::Groups => "/apis".to_owned(),
            Document::Group(group) => format!("/apis/{}", group.as_str()),
            Document::Resources(group, version) => base(group, version),
            Document::OpenApi2 => "/openapi/v2".to_owned(),
            Document::OpenApi3 => "/openapi/v3".to_owned(),
            Document::OpenApi3Of(group, version) => format!("/openapi/v3{}", base(group, version)),
        })
        .with(query)
    }

    fn with(mut self, query: &UpstreamQuery) -> Self {
        if !query.as_str().is_empty() {
            self.0.push('?');
            self.0.push_str(query.as_str());
        }
        self
    }

    /// The path as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A document in which a cluster says what it serves. There are no others that are passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// The version of Kubernetes.
    Version,
    /// The versions of the core group.
    Core,
    /// The API groups.
    Groups,
    /// The versions of one group.
    Group(Group),
    /// The resources of a group's version.
    Resources(Group, Version),
    /// The schemas, all in one.
    OpenApi2,
    /// Where the schemas are.
    OpenApi3,
    /// The schemas of a group's version.
    OpenApi3Of(Group, Version),
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
