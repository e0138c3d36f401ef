//! What a cluster serves: its version, and its resources, built-in and custom, as the cluster itself lists them.
//!
//! What a cluster says is not trusted: names that could not stand in a path are left out. How long an answer is kept is the
//! caller's business.

use futures_util::{StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIGroupList, APIResource, APIResourceList};
use k8s_openapi::apimachinery::pkg::version::Info;
use kv_authz::{Subresource, kubernetes::KubernetesVerb};
use serde::de::DeserializeOwned;
use std::sync::Arc;

use super::{
    call::Call,
    names::{Group, Plural, ResourceName, Version},
    path::UpstreamPath,
    upstream::{CallLimits, Upstream, UpstreamError},
};

/// How many lists of resources are asked for at the same time.
const AT_ONCE: usize = 8;
/// How many versions of groups are asked for at most; a large cluster has some hundreds.
const MAX_VERSIONS: usize = 2_000;

/// A resource as the cluster serves it. Its names are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    plural: Plural,
    group: Group,
    version: Version,
    kind: String,
    namespaced: bool,
    // Shared, for each request has a copy.
    verbs: Arc<[String]>,
    subresources: Arc<[Subresource]>,
}

impl Served {
    /// The plural, as in paths.
    #[must_use]
    pub fn plural(&self) -> &Plural {
        &self.plural
    }

    /// The API group; empty for the core group.
    #[must_use]
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// The version of the group.
    #[must_use]
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The kind of its objects.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether its objects live in namespaces.
    #[must_use]
    pub fn namespaced(&self) -> bool {
        self.namespaced
    }

    /// The verbs it is served with, in Kubernetes' words.
    #[must_use]
    pub fn verbs(&self) -> &[String] {
        &self.verbs
    }

    /// Whether it can be used so.
    #[must_use]
    pub fn offers(&self, verb: KubernetesVerb) -> bool {
        // What is made of several calls begins with reading the object.
        let verb = match verb {
            KubernetesVerb::Restart | KubernetesVerb::Rollback | KubernetesVerb::History => KubernetesVerb::Get,
            verb => verb,
        };
        let word = KubernetesVerb::WORDS.iter().find(|(_, known)| *known == verb);
        word.is_some_and(|(word, _)| self.verbs.iter().any(|served| served == word))
    }

    /// Whether its objects have this part.
    #[must_use]
    pub fn has(&self, part: &Subresource) -> bool {
        self.subresources.contains(part)
    }

    /// What `apiVersion` says in its objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.as_str().to_owned(),
            group => format!("{group}/{}", self.version.as_str()),
        }
    }

    /// Whether these are Secrets.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.group.as_str().is_empty() && self.plural.as_str() == "secrets"
    }

    /// A resource as a cluster might serve it.
    #[cfg(test)]
    pub(crate) fn of(plural: Plural, group: Group, version: Version, namespaced: bool) -> Self {
        let verbs = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
        let parts = ["status", "scale", "log", "exec", "attach", "portforward", "proxy", "eviction", "token"];
        Self {
            plural,
            group,
            version,
            kind: "Thing".to_owned(),
            namespaced,
            verbs: verbs.map(str::to_owned).into(),
            subresources: parts.into_iter().filter_map(Subresource::parse).collect(),
        }
    }

    /// Whether its group came with Kubernetes, by its name: the same rule as for permissions.
    fn is_built_in(&self) -> bool {
        let group = self.group.as_str();
        !group.contains('.') || group.ends_with(".k8s.io")
    }
}

/// The resources of one cluster.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    /// Core first, then `apps`, the other groups as the cluster orders them, `extensions` last.
    resources: Vec<Served>,
    incomplete: bool,
}

/// Which version of Kubernetes the cluster runs, in its own words, which are cut off where no version is so long.
///
/// # Errors
/// [`UpstreamError`].
pub async fn version(upstream: &Upstream, limits: CallLimits) -> Result<String, UpstreamError> {
    let info: Info = ask(upstream, UpstreamPath::version(), limits).await?;
    Ok(kv_authz::audit::clip(&info.git_version, 64).0.to_owned())
}

impl Discovery {
    /// Asks the cluster.
    ///
    /// A group that does not answer (its extension server may be down) is left out, as long as any answers.
    ///
    /// # Errors
    /// [`UpstreamError`] if the core group and every other one fail, or the list of groups does.
    pub async fn fetch(upstream: &Upstream, limits: CallLimits) -> Result<Self, UpstreamError> {
        let list: APIGroupList = ask(upstream, UpstreamPath::groups(), limits).await?;
        let mut wanted = core();
        wanted.extend(list.groups.iter().flat_map(versions));
        wanted.truncate(MAX_VERSIONS);
        wanted.sort_by_key(|(group, _)| rank(group));
        let mut answers = stream::iter(wanted)
            .map(|(group, version)| async move {
                let path = UpstreamPath::resources(&group, &version);
                (ask::<APIResourceList>(upstream, path, limits).await, group, version)
            })
            .buffered(AT_ONCE);
        let mut found = Self::default();
        let (mut answered, mut failure) = (false, None);
        while let Some((answer, group, version)) = answers.next().await {
            match answer {
                Ok(list) => {
                    answered = true;
                    found.add(&group, &version, list.resources);
                }
                Err(error) => {
                    found.incomplete = true;
                    failure.get_or_insert(error);
                }
            }
        }
        match failure {
            Some(error) if !answered => Err(error),
            _ => Ok(found),
        }
    }

    /// Adds a version of a group. Preferred versions come first, and are found first.
    fn add(&mut self, group: &Group, version: &Version, resources: Vec<APIResource>) {
        let parts: Vec<(String, Subresource)> = resources
            .iter()
            .filter_map(|resource| resource.name.split_once('/'))
            .filter_map(|(plural, part)| Some((plural.to_owned(), Subresource::parse(part)?)))
            .collect();
        let first = self.resources.len();
        for resource in resources {
            // A subresource, or a name no path can have: either way not a plural.
            let Ok(plural) = Plural::parse(&resource.name) else { continue };
            if self.resources.iter().skip(first).any(|known| known.plural == plural) {
                continue;
            }
            let own = parts.iter().filter(|(of, _)| of == plural.as_str()).map(|(_, part)| part.clone());
            self.resources.push(Served {
                subresources: own.collect(),
                plural,
                group: group.clone(),
                version: version.clone(),
                kind: resource.kind,
                namespaced: resource.namespaced,
                verbs: resource.verbs.into(),
            });
        }
    }

    /// Finds a resource. A plain plural is looked for in the core group and then in those that came with Kubernetes;
    /// a custom one answers only with its group.
    #[must_use]
    pub fn find(&self, name: &ResourceName) -> Option<&Served> {
        match name.parts() {
            (plural, None) => {
                self.resources.iter().find(|served| served.plural.as_str() == plural && served.is_built_in())
            }
            (plural, Some(group)) => {
                self.resources.iter().find(|served| served.plural.as_str() == plural && served.group.as_str() == group)
            }
        }
    }

    /// Finds a resource in this very version of its group.
    #[must_use]
    pub fn find_exact(&self, group: &Group, version: &Version, plural: &Plural) -> Option<&Served> {
        let mut found = self.resources.iter();
        found.find(|served| served.plural == *plural && served.group == *group && served.version == *version)
    }

    /// Where the revisions of a workload are kept; none for what is no workload.
    #[must_use]
    pub fn revisions_of(&self, workload: &Served) -> Option<&Served> {
        let plural = kv_authz::kubernetes::revisions_of(workload.plural().as_str(), workload.group().as_str())?;
        self.all().iter().find(|served| {
            served.group() == workload.group()
                && served.version() == workload.version()
                && served.plural().as_str() == plural
        })
    }

    /// Everything the cluster serves.
    #[must_use]
    pub fn all(&self) -> &[Served] {
        &self.resources
    }

    /// Whether some group did not answer: worth asking again sooner.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }
}

/// The core group, which is not on the list of groups.
fn core() -> Vec<(Group, Version)> {
    Group::parse("").into_iter().zip(Version::parse("v1")).collect()
}

/// The versions of a group, the preferred one first.
fn versions(group: &APIGroup) -> Vec<(Group, Version)> {
    let preferred = group.preferred_version.iter().chain(&group.versions).map(|version| version.version.as_str());
    let mut versions: Vec<Version> = Vec::new();
    for version in preferred.filter_map(|text| Version::parse(text).ok()) {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    // A group without a name would stand for the core group.
    match Group::parse(&group.name) {
        Ok(name) if !name.as_str().is_empty() => versions.into_iter().map(|version| (name.clone(), version)).collect(),
        _ => Vec::new(),
    }
}

fn rank(group: &Group) -> u8 {
    match group.as_str() {
        "" => 0,
        "apps" => 1,
        "extensions" => 3,
        _ => 2,
    }
}

async fn ask<T: DeserializeOwned>(
    upstream: &Upstream,
    path: UpstreamPath,
    limits: CallLimits,
) -> Result<T, UpstreamError> {
    let answer = upstream.send(Call::get(path), limits).await?;
    if answer.status != http::StatusCode::OK {
        return Err(UpstreamError::Answered(answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|_| UpstreamError::NotKubernetes)
}

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;
