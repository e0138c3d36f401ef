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
mod tests {
    use super::*;
    use crate::cluster::names::Plural;

    fn served(plural: &str, group: &str, namespaced: bool) -> Served {
        let (group, version) = (Group::parse(group).unwrap(), Version::parse("v1").unwrap());
        Served::of(Plural::parse(plural).unwrap(), group, version, namespaced)
    }

    fn path(
        served: &Served,
        namespace: Option<&str>,
        name: Option<&str>,
        verb: KubernetesVerb,
    ) -> Result<String, PathError> {
        let namespace = namespace.map(|text| Namespace::parse(text).unwrap());
        let name = name.map(|text| ObjectName::parse(text, served.group().as_str()).unwrap());
        ObjectPath::new(served, namespace, name, verb).map(|path| path.upstream(&UpstreamQuery::default()).0)
    }

    #[test]
    fn paths() {
        use KubernetesVerb::{Create, Get, List};
        let pods = served("pods", "", true);
        assert_eq!(path(&pods, Some("a"), Some("b"), Get).unwrap(), "/api/v1/namespaces/a/pods/b");
        assert_eq!(path(&pods, None, None, List).unwrap(), "/api/v1/pods");
        let deployments = served("deployments", "apps", true);
        assert_eq!(path(&deployments, Some("a"), None, Create).unwrap(), "/apis/apps/v1/namespaces/a/deployments");
        let roles = served("clusterroles", "rbac.authorization.k8s.io", false);
        let expected = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node";
        assert_eq!(path(&roles, None, Some("system:node"), Get).unwrap(), expected);
    }

    #[test]
    fn attack_126_no_name_is_never_everything() {
        let pods = served("pods", "", true);
        for verb in [KubernetesVerb::Delete, KubernetesVerb::Update, KubernetesVerb::Patch, KubernetesVerb::Get] {
            assert_eq!(path(&pods, Some("a"), None, verb), Err(PathError::NameMissing));
            assert_eq!(path(&pods, None, Some("b"), verb), Err(PathError::NamespaceMissing));
        }
        assert_eq!(path(&pods, Some("a"), Some("b"), KubernetesVerb::List), Err(PathError::NameUnexpected));
        assert_eq!(path(&pods, None, None, KubernetesVerb::Create), Err(PathError::NamespaceMissing));
        let nodes = served("nodes", "", false);
        assert_eq!(path(&nodes, Some("a"), Some("b"), KubernetesVerb::Get), Err(PathError::NamespaceUnexpected));
    }

    #[test]
    fn a_list_is_narrowed_to_a_namespace() {
        let pods = ObjectPath::new(&served("pods", "", true), None, None, KubernetesVerb::List).unwrap();
        let one = pods.within(Namespace::parse("a").unwrap()).unwrap();
        assert_eq!(one.upstream(&UpstreamQuery::default()).as_str(), "/api/v1/namespaces/a/pods");
        let nodes = ObjectPath::new(&served("nodes", "", false), None, None, KubernetesVerb::List).unwrap();
        assert_eq!(nodes.within(Namespace::parse("a").unwrap()), None);
    }

    /// Reads a path as the API server does.
    fn read(path: &str) -> Option<(String, String, Option<String>, String, Option<String>)> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => (String::new(), (*version).to_owned(), rest),
            ["apis", group, version, rest @ ..] => ((*group).to_owned(), (*version).to_owned(), rest),
            _ => return None,
        };
        let own = |text: &&str| (*text).to_owned();
        match rest {
            ["namespaces", namespace, plural, name] => {
                Some((group, version, Some(own(namespace)), own(plural), Some(own(name))))
            }
            ["namespaces", namespace, plural] => Some((group, version, Some(own(namespace)), own(plural), None)),
            [plural, name] => Some((group, version, None, own(plural), Some(own(name)))),
            [plural] => Some((group, version, None, own(plural), None)),
            _ => None,
        }
    }

    /// Texts of one to twelve pieces, some of them hostile.
    fn text(random: &mut impl FnMut() -> usize) -> String {
        const PIECES: &[&str] = &[
            "a",
            "b",
            "z9",
            "-",
            ".",
            "..",
            "/",
            "%2e",
            "%2F",
            "\\",
            "?",
            "#",
            ";",
            "@",
            ":",
            "\0",
            "A",
            "_",
            "pods",
            "é",
            "x",
            "y",
            "namespaces",
            "0",
            "a-b",
            " ",
        ];
        // Mostly harmless ones, or hardly any text would pass.
        let harmless = !random().is_multiple_of(3);
        (0..=random() % 12)
            .map(|_| if harmless { ["a", "b-c", "d.e", "9"][random() % 4] } else { PIECES[random() % PIECES.len()] })
            .collect()
    }

    #[test]
    fn attack_112_113_114_random_segments_are_refused_or_read_back_alike() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as usize
        };
        let (mut built, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let (group, version, plural) = (text(&mut random), text(&mut random), text(&mut random));
            let (namespace, name) = (text(&mut random), text(&mut random));
            let group = if random().is_multiple_of(2) { String::new() } else { group };
            let checked = (|| {
                let parsed = Group::parse(&group).ok()?;
                let served = Served::of(Plural::parse(&plural).ok()?, parsed, Version::parse(&version).ok()?, true);
                let name = ObjectName::parse(&name, &group).ok()?;
                let namespace = Namespace::parse(&namespace).ok()?;
                ObjectPath::new(&served, Some(namespace), Some(name), KubernetesVerb::Get).ok()
            })();
            let Some(path) = checked else {
                refused += 1;
                continue;
            };
            built += 1;
            let path = path.upstream(&UpstreamQuery::default()).0;
            assert!(path.parse::<http::Uri>().is_ok_and(|uri| uri.path() == path && uri.query().is_none()), "{path}");
            assert_eq!(read(&path), Some((group, version, Some(namespace), plural, Some(name))), "{path}");
        }
        assert!(built > 100 && refused > 1_000, "{built} built, {refused} refused");
    }
}
