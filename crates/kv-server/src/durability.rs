//! The look at the database before the server serves: whether it keeps what it says it has committed. What would lose it is
//! refused, unless the operator has said that it may; what may lose it is told.
//!
//! The database's settings are never changed.

use crate::config::Config;
use kv_store::{Store, StoreError, Weakness};

/// Why the server does not start on its database.
#[derive(Debug, thiserror::Error)]
pub enum NotDurable {
    /// It loses what it commits.
    #[error(
        "{weakness}. To try KubeVision on data that may be lost, set KUBEVISION_ALLOW_DATA_LOSS=true; never where a key opens \
         anything that matters"
    )]
    Refused {
        /// How.
        weakness: Weakness,
    },
    /// It cannot be asked.
    #[error("the database does not say how it keeps data")]
    Unknown(#[from] StoreError),
}

/// Looks at the database, for so many servers that use it.
///
/// # Errors
/// [`NotDurable`].
pub fn check(store: &Store, config: &Config, replicas: u32) -> Result<(), NotDurable> {
    let found = store.durability(replicas)?;
    for weakness in found.refused {
        if !config.allow_data_loss {
            return Err(NotDurable::Refused { weakness });
        }
        tracing::warn!("KUBEVISION_ALLOW_DATA_LOSS is set, so this is not refused: {weakness}");
    }
    for weakness in found.warned {
        tracing::warn!("{weakness}");
    }
    Ok(())
}
