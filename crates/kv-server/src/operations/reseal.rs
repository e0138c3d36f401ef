//! Seal everything anew, under the newest sealing key, so that an older one can be thrown away.

use super::{Acting, add_cluster, prove};
use crate::failure::Failure;
use uuid::Uuid;

/// What was sealed anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resealed {
    /// Ways into clusters.
    pub clusters: usize,
    /// Second factors.
    pub second_factors: usize,
}

/// Seals everything anew.
///
/// # Errors
/// [`Failure`]: what was not sealed anew yet is as it was, and opens with the older key.
pub async fn reseal(acting: &Acting<'_>) -> Result<Resealed, Failure> {
    let app = acting.app;
    let again = |sealed: &[u8], place: &str, row: Uuid| {
        let plain = app.sealer.open(sealed, place, row)?;
        app.sealer.seal(&plain, place, row, &app.random)
    };
    let failed = |error| Failure::internal("sealing a value anew", error);
    let mut done = Resealed::default();
    for (row, sealed) in app.with_store(kv_store::Store::sealed_clusters).await? {
        let new = again(&sealed, add_cluster::PLACE, row).map_err(failed)?;
        done.clusters += app.with_store(move |store| store.reseal_cluster(row, &sealed, &new)).await?;
    }
    for (row, sealed) in app.with_store(kv_store::Store::sealed_second_factors).await? {
        let new = again(&sealed, prove::PLACE, row).map_err(failed)?;
        done.second_factors += app.with_store(move |store| store.reseal_second_factor(row, &sealed, &new)).await?;
    }
    Ok(done)
}
