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
    let id = acting.find_cluster(name).await?.id;
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| store.remove_cluster(&permit, basis.as_ref(), id, &occasion)).await?;
    acting.settle().await;
    app.refresh_clusters().await;
    Ok(())
}
