//! Assign a cluster, or every cluster, to a user, whole or by namespaces.

use super::Acting;
use crate::{cluster::Namespace, failure::Failure};
use kv_authz::{Assignment, ClusterScope, NamespaceScope, UserId, action::AssignUser, audit::Target, authorize};
use std::collections::BTreeSet;

/// Assigns. `cluster` of none means every cluster, `namespaces` of none all of them; what the user had for the same
/// cluster is replaced.
///
/// # Errors
/// [`Failure`]: 403 without `rbac:manage`, 404 for a user or cluster there is not, 422 for a namespace that can be none.
pub async fn assign_user(
    acting: Acting<'_>,
    (user, name): (UserId, &str),
    cluster: Option<&str>,
    namespaces: Option<BTreeSet<String>>,
) -> Result<(), Failure> {
    let app = acting.app;
    let target = Target { cluster: cluster.map(Into::into), ..Target::of("assignments").named(name) };
    let permit = authorize::<AssignUser>(acting.principal, target, app.policy())?;
    for namespace in namespaces.iter().flatten() {
        Namespace::parse(namespace).map_err(|error| Failure::unprocessable("invalid_namespace", error.to_string()))?;
    }
    let cluster = match cluster {
        None => ClusterScope::Every,
        Some(name) => {
            let list = app.reload_clusters().await?;
            let found = list.clusters.iter().find(|cluster| cluster.name == name);
            ClusterScope::One(found.ok_or(Failure::NotFound { what: "cluster" })?.id)
        }
    };
    let namespaces = namespaces.map_or(NamespaceScope::All, NamespaceScope::Named);
    let line = Assignment { cluster, namespaces };
    let id: uuid::Uuid = app.random.id(acting.occasion.now)?;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| store.assign_user(&permit, basis.as_ref(), user, (id, &line), &occasion)).await
}
