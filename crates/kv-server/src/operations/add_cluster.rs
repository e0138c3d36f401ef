//! Register a cluster: the way in is sealed for its row before it is stored, and never shown again.

use super::Acting;
use crate::{
    cluster::{ClusterAccess, ClusterName},
    failure::Failure,
};
use kv_authz::{ClusterId, action::AddCluster, audit::Target};
use kv_store::{ClusterRecord, NewCluster};

/// Where the sealed way in is kept; part of what it is sealed for.
pub const PLACE: &str = "clusters.sealed";

/// Registers a cluster under a name; `impersonate` says whether calls to it name the caller.
///
/// # Errors
/// [`Failure`]: 403 without `clusters:write`, 422 for the name, 409 where it is taken.
pub async fn add_cluster(
    acting: &Acting<'_>,
    name: &str,
    access: &ClusterAccess,
    impersonate: bool,
) -> Result<ClusterRecord, Failure> {
    let app = acting.app;
    let permit = acting.authorize::<AddCluster>(Target::of("clusters").named(name))?;
    ClusterName::parse(name).map_err(|error| Failure::unprocessable("invalid_name", error.to_string()))?;
    // A name is judged by what it resolves to, whenever it is connected to; an address is judged at once.
    if let Some(address) = access.address() {
        let allowed = app.config.clusters.allowed_addresses.check(address);
        allowed.map_err(|error| Failure::unprocessable("refused_address", format!("{error}.")))?;
    }
    let id: ClusterId = app.random.id(acting.occasion.now)?;
    let plain = access.to_bytes().map_err(|error| Failure::internal("writing a cluster's access", error))?;
    let sealed = app
        .sealer
        .seal(&plain, PLACE, id.uuid(), &app.random)
        .map_err(|error| Failure::internal("sealing a cluster's access", error))?;
    let (name, server) = (name.to_owned(), access.server().to_owned());
    let created_at = acting.occasion.now;
    let made = ClusterRecord { id, name: name.clone(), server: server.clone(), created_at, impersonate };
    let new = NewCluster { id, name, server, sealed, impersonate };
    let (basis, occasion) = (acting.basis, acting.occasion.clone());
    app.with_store(move |store| store.add_cluster(&permit, basis.as_ref(), &new, &occasion)).await?;
    acting.settle().await;
    app.refresh_clusters().await;
    Ok(made)
}
