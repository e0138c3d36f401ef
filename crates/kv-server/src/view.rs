//! What a decision is made on: the caller, their rights as last read, and the clusters there are. Nothing is decided here.

use kv_authz::{
    Principal,
    audit::{Detail, Fact},
};
use kv_store::{Basis, ClusterList};
use std::sync::Arc;

/// What a decision is made on.
#[derive(Debug)]
pub struct View {
    /// The caller, with their rights as last read.
    pub principal: Principal,
    /// What the database is asked to confirm.
    pub basis: Basis,
    /// The clusters as last read.
    pub clusters: Arc<ClusterList>,
}

impl View {
    /// The fact that a key did what would ask a person for a second factor.
    #[must_use]
    pub fn bypassed_second_factor(&self) -> Detail {
        if self.principal.is_api_key() {
            Detail::none().with(Fact::SecondFactor, "bypassed by key")
        } else {
            Detail::none()
        }
    }
}
