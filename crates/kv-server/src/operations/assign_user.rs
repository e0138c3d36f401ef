//! Assign clusters and namespaces to a user, or take them away. What they may do no longer ends at once.

use super::Acting;
use crate::{cluster::Namespace, failure::Failure};
use kv_authz::{
    Assignment, ClusterScope, NamespaceScope, UserId,
    action::{AssignUser, UnassignUser},
    audit::Target,
    grant::{may_assign, may_give_role},
};
use std::collections::BTreeSet;

/// Assigns. `cluster` of none means every cluster, `namespaces` of none all of them; what the user had for the same
/// cluster is replaced.
///
/// # Errors
/// [`Failure`]: 403 without `rbac:manage`, a recent code, or what is given; 404 for a user or cluster there is not, 422 for
/// a namespace that can be none.
pub async fn assign_user(
    acting: &Acting<'_>,
    user: UserId,
    cluster: Option<&str>,
    namespaces: Option<BTreeSet<String>>,
) -> Result<(), Failure> {
    acting.authorize::<AssignUser>(target(cluster))?;
    for namespace in namespaces.iter().flatten() {
        Namespace::parse(namespace).map_err(|error| Failure::unprocessable("invalid_namespace", error.to_string()))?;
    }
    let found = acting.find_user(user).await?;
    may_give_role(acting.principal, &found.role)?;
    let scope = scope(acting, cluster).await?;
    let line = Assignment { cluster: scope, namespaces: namespaces.map_or(NamespaceScope::All, NamespaceScope::Named) };
    may_assign(acting.principal, &line)?;
    // What is replaced is taken, and only who may give it may take it.
    for known in found.assignments.lines().iter().filter(|known| known.cluster == line.cluster) {
        may_assign(acting.principal, known)?;
    }
    let read = found.read;
    let permit = acting.authorize::<AssignUser>(target(cluster).named(found.name))?;
    let app = acting.app;
    let id: uuid::Uuid = app.random.id(acting.occasion.now)?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| store.assign_user(&permit, basis.as_ref(), &read, (id, &line), &occasion)).await?;
    acting.settle().await;
    Ok(())
}

/// Takes what a user has for a cluster; none means what they have for every cluster.
///
/// # Errors
/// [`Failure`]: 403 as above, 404 for a user, cluster or assignment there is not.
pub async fn unassign_user(acting: &Acting<'_>, user: UserId, cluster: Option<&str>) -> Result<(), Failure> {
    acting.authorize::<UnassignUser>(target(cluster))?;
    let found = acting.find_user(user).await?;
    may_give_role(acting.principal, &found.role)?;
    let scope = scope(acting, cluster).await?;
    for known in found.assignments.lines().iter().filter(|known| known.cluster == scope) {
        may_assign(acting.principal, known)?;
    }
    let read = found.read;
    let permit = acting.authorize::<UnassignUser>(target(cluster).named(found.name))?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    acting
        .app
        .with_store(move |store| store.unassign_user(&permit, basis.as_ref(), (&read, &scope), &occasion))
        .await?;
    acting.settle().await;
    Ok(())
}

fn target(cluster: Option<&str>) -> Target {
    Target { cluster: cluster.map(Into::into), ..Target::of("assignments") }
}

/// A cluster that the caller may know of, by its name; or every one.
async fn scope(acting: &Acting<'_>, cluster: Option<&str>) -> Result<ClusterScope, Failure> {
    let Some(name) = cluster else { return Ok(ClusterScope::Every) };
    let list = acting.app.reload_clusters().await?;
    let found = list.clusters.iter().find(|cluster| cluster.name == name);
    let found = found.ok_or(Failure::NotFound { what: "cluster" })?;
    match acting.principal.owner() {
        Some(owner) if owner.reach(found.id).is_none() => Err(Failure::NotFound { what: "cluster" }),
        _ => Ok(ClusterScope::One(found.id)),
    }
}
