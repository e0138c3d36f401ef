//! List the clusters assigned to the caller, or find one of them. No cluster is asked anything.

use crate::{failure::Failure, view::View};
use kv_authz::{
    Policy, Principal,
    action::{ListClusters, ShowCluster},
    may,
};
use kv_store::{ClusterList, ClusterRecord};
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
    may::<ListClusters>(&view.principal, policy, now)?;
    Ok(view.clusters.clusters.iter().filter(|cluster| may_know(&view.principal, cluster)).collect())
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
    may::<ShowCluster>(&view.principal, policy, now)?;
    find_known(&view.principal, &view.clusters, name)
}

/// One of them, for an act that was authorised already.
///
/// # Errors
/// [`Failure::NotFound`] for a cluster the caller may not know of.
pub(super) fn find_known<'a>(
    principal: &Principal,
    clusters: &'a ClusterList,
    name: &str,
) -> Result<&'a ClusterRecord, Failure> {
    let found = clusters.clusters.iter().find(|cluster| cluster.name == name);
    found.filter(|cluster| may_know(principal, cluster)).ok_or(Failure::NotFound { what: "cluster" })
}

fn may_know(principal: &Principal, cluster: &ClusterRecord) -> bool {
    principal.owner().is_none_or(|owner| owner.reach(cluster.id).is_some())
}
