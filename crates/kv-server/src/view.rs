//! What a decision is made on: the caller, their rights as last read, and the clusters there are. Nothing is decided here.

use crate::{auth::Authority, cluster::Identity, failure::Failure};
use kv_authz::{
    ClusterId, EntryId, Principal,
    audit::{Detail, Entry, Event, Fact, Origin, Target},
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
    /// A caller and these clusters; `user_agent` names the client of a session.
    #[must_use]
    pub fn new(authority: &Authority, clusters: Arc<ClusterList>, user_agent: &str) -> Self {
        Self { principal: authority.principal(user_agent), basis: authority.basis(&clusters), clusters }
    }

    /// An entry of the caller's.
    #[must_use]
    pub fn entry(&self, id: EntryId, event: Event, target: Target, origin: &Origin) -> Entry {
        Entry { id, actor: self.principal.actor(), event, target, origin: origin.clone(), detail: Detail::none() }
    }

    /// Whom a call to a cluster is made as; nobody where it is called by its own account.
    ///
    /// # Errors
    /// [`Failure`]: 404 for a cluster there is not, 500 for a caller that cannot be named. Then nothing may be sent.
    pub fn identity_in(&self, cluster: ClusterId) -> Result<Option<Identity>, Failure> {
        let record = self.clusters.clusters.iter().find(|known| known.id == cluster);
        Ok(Identity::for_request(&self.principal, record.ok_or(Failure::NotFound { what: "cluster" })?)?)
    }

    /// The role that a cluster is told by such a call; none where it is called by its own account.
    #[must_use]
    pub fn named_as(&self, identity: Option<&Identity>) -> Option<String> {
        identity.and(self.principal.owner()).map(|owner| owner.role.name().to_owned())
    }

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
