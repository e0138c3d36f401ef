//! Remove a cluster, with every assignment to it. What runs there runs on; only the way in is gone.

use super::Acting;
use crate::failure::Failure;
use kv_authz::{action::RemoveCluster, audit::Target};

/// Removes a cluster by name.
///
/// # Errors
/// [`Failure`]: 403 without `clusters:delete`, 404 for a cluster there is not.
pub async fn remove_cluster(acting: &Acting<'_>, name: &str) -> Result<(), Failure> {
    let app = acting.app;
    let permit = acting.authorize::<RemoveCluster>(Target::of("clusters").named(name))?;
    let list = app.reload_clusters().await?;
    let id = list.clusters.iter().find(|cluster| cluster.name == name).map(|cluster| cluster.id);
    let id = id.ok_or(Failure::NotFound { what: "cluster" })?;
    // Who may delete clusters may still not know of each.
    if acting.principal.owner().is_some_and(|owner| owner.reach(id).is_none()) {
        return Err(Failure::NotFound { what: "cluster" });
    }
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| store.remove_cluster(&permit, basis.as_ref(), id, &occasion)).await?;
    app.in_flight.cut_reaching(|_, what| what.target.cluster == id).await;
    app.refresh_clusters().await;
    Ok(())
}
