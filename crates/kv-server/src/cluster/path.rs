//! Paths of the Kubernetes API, built from checked names alone.
//!
//! Nothing here encodes or decodes: every segment is from an alphabet that needs neither, so the path that was authorised
//! is the path that is sent. There is no way to make a path from a text.

use http::Method;
use kv_authz::{ids::ClusterId, kubernetes::KubernetesTarget, kubernetes::KubernetesVerb};

use super::{
    discovery::Served,
    names::{ClusterName, Group, Namespace, ObjectName, Version},
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
}

/// One object or one collection of a cluster, and what is done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPath {
    served: Served,
    namespace: Option<Namespace>,
    name: Option<ObjectName>,
    verb: KubernetesVerb,
}

impl ObjectPath {
    /// Puts the names together.
    ///
    /// A missing name is never read as "all of them": only lists and creations go to a collection.
    ///
    /// # Errors
    /// [`PathError`] if they do not fit the resource or the verb.
    pub fn new(
        served: &Served,
        namespace: Option<Namespace>,
        name: Option<ObjectName>,
        verb: KubernetesVerb,
    ) -> Result<Self, PathError> {
        let collection = matches!(verb, KubernetesVerb::List | KubernetesVerb::Create);
        match &name {
            Some(_) if collection => return Err(PathError::NameUnexpected),
            None if !collection => return Err(PathError::NameMissing),
            _ => {}
        }
        match &namespace {
            Some(_) if !served.namespaced() => return Err(PathError::NamespaceUnexpected),
            None if served.namespaced() && verb != KubernetesVerb::List => return Err(PathError::NamespaceMissing),
            _ => {}
        }
        if !served.offers(verb) {
            return Err(PathError::VerbNotServed);
        }
        Ok(Self { served: served.clone(), namespace, name, verb })
    }

    /// The resource.
    #[must_use]
    pub fn served(&self) -> &Served {
        &self.served
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// The object's name.
    #[must_use]
    pub fn name(&self) -> Option<&ObjectName> {
        self.name.as_ref()
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
            namespace: self.namespace.as_ref().map(|namespace| namespace.as_str().to_owned()),
            plural: self.served.plural().as_str().to_owned(),
            group: self.served.group().as_str().to_owned(),
            namespaced: self.served.namespaced(),
            name: self.name.as_ref().map(|name| name.as_str().to_owned()),
            verb: self.verb,
        }
    }

    /// The same list, of one namespace only; none if this is no list of something namespaced.
    #[must_use]
    pub fn within(&self, namespace: Namespace) -> Option<Self> {
        let splits = self.verb == KubernetesVerb::List && self.served.namespaced();
        splits.then(|| Self { namespace: Some(namespace), ..self.clone() })
    }

    /// The method upstream.
    #[must_use]
    pub fn method(&self) -> Method {
        match self.verb {
            KubernetesVerb::Get | KubernetesVerb::List => Method::GET,
            KubernetesVerb::Create => Method::POST,
            KubernetesVerb::Update => Method::PUT,
            KubernetesVerb::Patch => Method::PATCH,
            KubernetesVerb::Delete => Method::DELETE,
        }
    }

    /// The path with its query, as it is sent.
    #[must_use]
    pub fn upstream(&self, query: &UpstreamQuery) -> UpstreamPath {
        let mut path = base(self.served.group(), self.served.version());
        if let Some(namespace) = &self.namespace {
            path.push_str("/namespaces/");
            path.push_str(namespace.as_str());
        }
        path.push('/');
        path.push_str(self.served.plural().as_str());
        if let Some(name) = &self.name {
            path.push('/');
            path.push_str(name.as_str());
        }
        let query = query.as_str();
        if !query.is_empty() {
            path.push('?');
            path.push_str(query);
        }
        UpstreamPath(path)
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

    /// The path as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
