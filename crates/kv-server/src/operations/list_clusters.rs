//! List the clusters assigned to the caller, or find one of them. No cluster is asked anything.

use crate::{failure::Failure, view::View};
use kv_authz::{
    Policy,
    action::{ListClusters, ShowCluster},
    audit::Target,
    authorize,
};
use kv_store::ClusterRecord;
use time::OffsetDateTime;

/// The clusters the caller may know of, by name.
///
/// # Errors
/// [`Failure`].
pub fn list_clusters<'a>(
    view: &'a View,
    policy: &Policy,
    now: OffsetDateTime,
) -> Result<Vec<&'a ClusterRecord>, Failure> {
    authorize::<ListClusters>(&view.principal, Target::of("clusters"), policy, now)?;
    Ok(view.clusters.clusters.iter().filter(|cluster| may_know(view, cluster)).collect())
}

/// One of them.
///
/// # Errors
/// [`Failure`]: 404 for a cluster the caller may not know of.
pub fn known_cluster<'a>(
    view: &'a View,
    name: &str,
    policy: &Policy,
    now: OffsetDateTime,
) -> Result<&'a ClusterRecord, Failure> {
    authorize::<ShowCluster>(&view.principal, Target::of("clusters").named(name), policy, now)?;
    let found = view.clusters.clusters.iter().find(|cluster| cluster.name == name);
    found.filter(|cluster| may_know(view, cluster)).ok_or(Failure::NotFound { what: "cluster" })
}

fn may_know(view: &View, cluster: &ClusterRecord) -> bool {
    view.principal.owner().is_none_or(|owner| owner.reach(cluster.id).is_some())
}
