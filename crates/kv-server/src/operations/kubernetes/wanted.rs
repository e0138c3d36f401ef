//! What a request wants of a cluster: from the texts of its path, query and body to checked values. Nothing is decided here
//! and nothing sent but the question what the cluster serves.

use super::{sentence, workload::no_workload};
use crate::{
    api::input::Body,
    caller::Caller,
    cluster::{
        Accept, ClusterName, Document, Names, NativePath, ObjectName, ObjectPath, PathError, ResourceName, Served,
        UpstreamQuery, body,
    },
    failure::Failure,
    upstreams::{Connection, Upstreams},
    view::View,
};
use kv_authz::{
    ClusterId, Subresource,
    audit::Target,
    kubernetes::{KubernetesTarget, KubernetesVerb},
};
use std::rc::Rc;

/// What is asked for, as it stood in the request.
#[derive(Debug)]
pub struct Wanted {
    /// The cluster's name.
    pub cluster: String,
    /// Where in the cluster.
    pub place: Place,
    /// What shall be done.
    pub verb: KubernetesVerb,
    /// The raw query.
    pub query: String,
    /// The body.
    pub body: Body,
}

/// Where in a cluster, in one of the two ways to say it.
#[derive(Debug)]
pub enum Place {
    /// By our own paths.
    Ours {
        /// The namespace, if the path named one.
        namespace: Option<String>,
        /// The resource's plural, or `plural.group`.
        resource: String,
        /// The object's name, if the path named one.
        name: Option<String>,
        /// The part of the object, if the path named one.
        part: Option<String>,
    },
    /// By a path of the Kubernetes API.
    Native {
        /// The path.
        path: NativePath,
        /// The forms of the answer that the caller can read, as it says.
        accept: String,
    },
}

impl Place {
    /// Whether the caller speaks the Kubernetes API itself, and is answered in it.
    #[must_use]
    pub fn is_native(&self) -> bool {
        matches!(self, Self::Native { .. })
    }
}

impl Wanted {
    /// The part of an object that is meant, as far as its name can be one.
    pub(super) fn part(&self) -> Option<Subresource> {
        match &self.place {
            Place::Ours { part, .. } => part.as_deref().and_then(Subresource::parse),
            Place::Native { path: NativePath::Object { names, .. }, .. } => names.subresource.clone(),
            Place::Native { path: NativePath::Document(_), .. } => None,
        }
    }

    /// What the request is about, as far as it is known before the cluster was asked what it serves.
    pub(super) fn about(&self) -> Target {
        let shown = |text: &str| kv_authz::audit::clip(text, 253).0.to_owned();
        let with_part = |resource: &str| match self.part() {
            Some(part) => format!("{}/{part}", shown(resource)),
            None => shown(resource),
        };
        let cluster = Some(shown(&self.cluster));
        match &self.place {
            Place::Ours { namespace, resource, name, .. } => Target {
                resource: with_part(resource),
                name: name.as_deref().map(shown),
                cluster,
                namespace: namespace.as_deref().map(shown),
            },
            Place::Native { path: NativePath::Object { group, plural, names, .. }, .. } => Target {
                resource: with_part(kv_authz::Resource::kubernetes(plural.as_str(), group.as_str()).as_str()),
                name: names.name.as_ref().map(|name| shown(name.as_str())),
                cluster,
                namespace: names.namespace.as_ref().map(|namespace| shown(namespace.as_str())),
            },
            Place::Native { path: NativePath::Document(_), .. } => {
                Target { resource: "discovery".into(), cluster, ..Target::default() }
            }
        }
    }

    /// The query, checked.
    pub(super) fn upstream_query(&self) -> Result<UpstreamQuery, Failure> {
        UpstreamQuery::parse(self.verb, self.part().as_ref(), &self.query)
            .map_err(|error| Failure::invalid("malformed_query", sentence(&error)))
    }

    /// The forms of the answer to ask for.
    pub(super) fn accept(&self, json_only: bool) -> Result<Accept, Failure> {
        let Place::Native { accept, .. } = &self.place else { return Ok(Accept::default()) };
        Accept::parse(accept, json_only).map_err(|error| Failure::Invalid {
            status: 406,
            code: "not_acceptable",
            detail: sentence(&error),
        })
    }
}

/// Where a request goes: what is authorised and what is sent are made of this one value.
#[derive(Debug, Clone)]
pub(super) enum Goal {
    /// An object, a part of one, or a collection.
    Object(ObjectPath),
    /// A workload, with the place where its revisions are: for what takes several calls.
    Workload {
        /// The workload.
        object: ObjectPath,
        /// The list of what may be its revisions.
        revisions: Box<ObjectPath>,
    },
    /// A document in which the cluster says what it serves.
    Document(Document),
}

impl Goal {
    /// The same as the rules see it.
    pub(super) fn target(&self, id: ClusterId, name: &ClusterName) -> KubernetesTarget {
        match self {
            Self::Object(path) | Self::Workload { object: path, .. } => path.target(id, name),
            Self::Document(_) => KubernetesTarget {
                cluster: id,
                cluster_name: name.as_str().to_owned(),
                namespace: None,
                plural: "discovery".into(),
                group: String::new(),
                namespaced: false,
                name: None,
                subresource: None,
                verb: KubernetesVerb::Discover,
            },
        }
    }

    /// Whether the cluster stays as it is.
    pub(super) fn is_read(&self) -> bool {
        match self {
            Self::Object(path) | Self::Workload { object: path, .. } => path.is_read(),
            Self::Document(_) => true,
        }
    }
}

/// A cluster that the caller may know, and the way to it.
pub(super) struct Found {
    pub(super) id: ClusterId,
    pub(super) name: ClusterName,
    pub(super) connection: Rc<Connection>,
    pub(super) goal: Goal,
}

/// Which cluster a name means to this caller; one they may not know is none.
pub(super) fn cluster_id(view: &View, name: &ClusterName) -> Result<ClusterId, Failure> {
    let found = view.clusters.clusters.iter().find(|cluster| cluster.name == name.as_str());
    let id = found.ok_or(Failure::NotFound { what: "cluster" })?.id;
    match view.principal.owner() {
        Some(owner) if owner.reach(id).is_none() => Err(Failure::NotFound { what: "cluster" }),
        _ => Ok(id),
    }
}

/// Finds the cluster, and in it what is meant. If the cluster must be asked, the credential is confirmed before: nothing
/// goes there for a dead one, not even a question of our own.
pub(super) async fn find(caller: &Caller, upstreams: &Upstreams, wanted: &Wanted) -> Result<Found, Failure> {
    let name = ClusterName::parse(&wanted.cluster).map_err(|error| malformed(&error))?;
    let asked = Asked::of(wanted)?;
    let namespace = asked.namespace();
    let reachable = async |view: &View| {
        let id = cluster_id(view, &name)?;
        let known = |scope: &kv_authz::NamespaceScope| namespace.is_none_or(|name| scope.contains(name));
        match view.principal.owner().and_then(|owner| owner.reach(id)) {
            Some(scope) if !known(&scope) => Err(Failure::Denied(kv_authz::Denied::Hidden)),
            _ => Ok((id, upstreams.connection(id, &view.clusters).await?)),
        }
    };
    // A refusal on rights as last read may be out of date: what was granted meanwhile counts at once.
    if let Ok((id, connection)) = caller.peek(&reachable).await
        && let Some(goal) = asked.known(&connection, wanted.verb)
    {
        return Ok(Found { id, name, connection, goal: goal? });
    }
    let (id, connection) = caller.confirm(&reachable).await?;
    let goal = match asked.known(&connection, wanted.verb) {
        Some(goal) => goal?,
        None => {
            connection.discover().await?;
            asked.known(&connection, wanted.verb).ok_or(Failure::NotFound { what: "resource in this cluster" })??
        }
    };
    Ok(Found { id, name, connection, goal })
}

/// A place whose names are checked.
enum Asked<'a> {
    Ours(ResourceName, Names, Option<&'a str>),
    Native(&'a NativePath),
}

impl<'a> Asked<'a> {
    fn of(wanted: &'a Wanted) -> Result<Self, Failure> {
        match &wanted.place {
            Place::Native { path, .. } => Ok(Self::Native(path)),
            Place::Ours { namespace, resource, name, part } => {
                let resource = ResourceName::parse(resource).map_err(|error| malformed(&error))?;
                let namespace = namespace.as_deref().map(crate::cluster::Namespace::parse).transpose();
                let subresource =
                    match part {
                        Some(part) => Some(Subresource::parse(part).ok_or_else(|| {
                            Failure::invalid("malformed_path", "The part of an object is not named so.")
                        })?),
                        None => None,
                    };
                let namespace = namespace.map_err(|error| malformed(&error))?;
                let names = Names { namespace, subresource, ..Names::default() };
                Ok(Self::Ours(resource, names, name.as_deref()))
            }
        }
    }

    fn namespace(&self) -> Option<&str> {
        let names = match self {
            Self::Ours(_, names, _) | Self::Native(NativePath::Object { names, .. }) => names,
            Self::Native(NativePath::Document(_)) => return None,
        };
        names.namespace.as_ref().map(crate::cluster::Namespace::as_str)
    }

    /// Where it leads, if what the cluster serves is known freshly enough to say so.
    fn known(&self, connection: &Connection, verb: KubernetesVerb) -> Option<Result<Goal, Failure>> {
        match self {
            Self::Native(NativePath::Document(document)) => Some(Ok(Goal::Document(document.clone()))),
            Self::Native(NativePath::Object { group, version, plural, names }) => {
                let served = connection.known(|discovery| discovery.find_exact(group, version, plural).cloned())?;
                Some(path(&served, names.clone(), verb))
            }
            Self::Ours(resource, names, name) => {
                let (served, revisions) = connection.known(|discovery| {
                    let served = discovery.find(resource)?;
                    Some((served.clone(), discovery.revisions_of(served).cloned()))
                })?;
                let name = name.map(|name| ObjectName::parse(name, served.group().as_str())).transpose();
                Some(match name {
                    Ok(name) => {
                        let goal = path(&served, Names { name, ..names.clone() }, verb);
                        goal.and_then(|goal| with_revisions(goal, revisions.as_ref()))
                    }
                    Err(error) => Err(malformed(&error)),
                })
            }
        }
    }
}

fn path(served: &Served, names: Names, verb: KubernetesVerb) -> Result<Goal, Failure> {
    let part = names.subresource.as_ref().map(|part| part.as_str().to_owned());
    ObjectPath::new(served, names, verb).map(Goal::Object).map_err(|error| match error {
        PathError::VerbNotServed => {
            Failure::Invalid { status: 405, code: "method_not_allowed", detail: sentence(&error) }
        }
        PathError::PartNotServed => part
            .and_then(|part| no_workload(&part))
            .unwrap_or(Failure::NotFound { what: "part of this resource in this cluster" }),
        _ => malformed(&error),
    })
}

/// What takes several calls is about a workload and its revisions.
fn with_revisions(goal: Goal, revisions: Option<&Served>) -> Result<Goal, Failure> {
    match goal {
        Goal::Object(object) if object.verb().takes_several_calls() => {
            let revisions = revisions.ok_or(Failure::NotFound { what: "workload in this cluster" })?;
            let revisions = object.beside(revisions).map_err(|error| malformed(&error))?;
            Ok(Goal::Workload { object, revisions: Box::new(revisions) })
        }
        other => Ok(other),
    }
}

fn malformed(error: &dyn std::fmt::Display) -> Failure {
    Failure::invalid("malformed_path", sentence(error))
}

/// The name that the body of a creation gives its object.
pub(super) fn created_name(wanted: &Wanted, goal: &Goal) -> Option<String> {
    let Goal::Object(path) = goal else { return None };
    if path.verb() != KubernetesVerb::Create || path.subresource().is_some() {
        return None;
    }
    let checked = body::check(&wanted.body.bytes, Some(&wanted.body.media_type), path).ok()?;
    checked.object_name().map(|name| kv_authz::audit::clip(name, 253).0.to_owned())
}
