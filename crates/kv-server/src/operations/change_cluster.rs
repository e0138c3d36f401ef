//! Change how a cluster is called: as its own account alone, or on behalf of the caller by name.
//!
//! What was decided before is decided again; what is under way there as somebody else than from now on ends.

use super::Acting;
use crate::failure::Failure;
use kv_authz::{action::ChangeCluster, audit::Target};
use kv_store::ClusterRecord;

/// Changes a cluster, and tells how it is now.
///
/// # Errors
/// [`Failure`]: 403 without `clusters:write`, 404 for a cluster there is not or that the caller may not know of.
pub async fn change_cluster(acting: &Acting<'_>, name: &str, impersonate: bool) -> Result<ClusterRecord, Failure> {
    let app = acting.app;
    let permit = acting.authorize::<ChangeCluster>(Target::of("clusters").named(name))?;
    let found = acting.find_cluster(name).await?;
    let (basis, occasion, id) = (acting.basis, acting.occasion.clone(), found.id);
    app.with_store(move |store| store.set_impersonation(&permit, basis.as_ref(), id, impersonate, &occasion)).await?;
    acting.settle().await;
    app.refresh_clusters().await;
    Ok(ClusterRecord { impersonate, ..found })
}
