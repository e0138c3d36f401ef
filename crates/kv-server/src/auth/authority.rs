//! Authorities: what a credential stands for, kept in a bounded cache. The cache decides nothing: every request's
//! versions are confirmed by the database at admission, and what is stale is read again.

use super::Presented;
use crate::{agent, patience};
use kv_authz::{Owner, Principal, SecondFactor};
use kv_store::{Basis, ClusterList, Credential, KeyAuthority, SessionAuthority, Store, StoreError};
use quick_cache::sync::Cache;
use std::{fmt, sync::Arc, time::Duration};
use time::OffsetDateTime;

/// Entries of about half a kilobyte: some 32 MiB at most.
const CAPACITY: usize = 65_536;

/// What a credential stands for, as of the versions it was read at.
#[derive(Debug)]
pub struct Authority {
    /// The credential.
    pub credential: Credential,
    /// Whose rights it has.
    pub owner: Arc<Owner>,
    /// The version of those rights.
    pub user_version: i64,
    /// The version of their role, if it is a custom one.
    pub role_version: Option<i64>,
    /// The primary that both were read from.
    timeline: i64,
    /// The second factor of a session's person.
    factor: SecondFactor,
    /// When it expires, if it does; a session may be renewed before. Admission judges; this ends what is under way by then.
    pub expires_at: Option<OffsetDateTime>,
    key_name: Option<String>,
    /// Whether a browser carries it.
    in_browser: bool,
}

impl Authority {
    /// The principal; `user_agent` names the client of a session.
    #[must_use]
    pub fn principal(&self, user_agent: &str) -> Principal {
        match (self.credential, &self.key_name) {
            (Credential::Key(id), name) => {
                Principal::ApiKey { id, name: name.clone().unwrap_or_default(), owner: self.owner.clone() }
            }
            (Credential::Session(id), _) => Principal::Session {
                id,
                owner: self.owner.clone(),
                agent: if self.in_browser { agent::BROWSER.into() } else { agent::client(user_agent) },
                factor: self.factor,
            },
        }
    }

    /// What a decision on this authority and these clusters is based on.
    #[must_use]
    pub fn basis(&self, clusters: &ClusterList) -> Basis {
        Basis {
            credential: self.credential,
            user: self.owner.id,
            user_version: self.user_version,
            role_version: self.role_version,
            clusters_version: Some(clusters.version),
            // Where they differ, neither is the one that all of it was read from: the older one finds itself replaced.
            timeline: self.timeline.min(clusters.timeline),
        }
    }
}

impl From<KeyAuthority> for Authority {
    fn from(key: KeyAuthority) -> Self {
        Self {
            credential: Credential::Key(key.id),
            owner: key.owner,
            user_version: key.user_version,
            role_version: key.role_version,
            timeline: key.timeline,
            factor: SecondFactor::Missing,
            expires_at: key.expires_at,
            key_name: Some(key.name),
            in_browser: false,
        }
    }
}

impl From<SessionAuthority> for Authority {
    fn from(session: SessionAuthority) -> Self {
        Self {
            credential: Credential::Session(session.id),
            owner: session.owner,
            user_version: session.user_version,
            role_version: session.role_version,
            timeline: session.timeline,
            factor: session.factor,
            expires_at: Some(session.expires_at),
            key_name: None,
            in_browser: false,
        }
    }
}

/// The cache.
pub struct Authorities {
    store: Store,
    cache: Cache<Presented, Arc<Authority>>,
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authorities")
    }
}

impl Authorities {
    /// An empty cache over a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, cache: Cache::new(CAPACITY) }
    }

    /// The authority of a credential; none if nobody has it. An unknown credential is never remembered, so that a new
    /// key works at once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, presented: &Presented) -> Result<Option<Arc<Authority>>, StoreError> {
        match self.cached(presented) {
            Some(authority) => Ok(Some(authority)),
            None => self.load(presented).await,
        }
    }

    /// The same without looking it up.
    #[must_use]
    pub fn cached(&self, presented: &Presented) -> Option<Arc<Authority>> {
        self.cache.get(presented)
    }

    /// Reads the authority again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reload(&self, presented: &Presented) -> Result<Option<Arc<Authority>>, StoreError> {
        self.forget(presented);
        self.load(presented).await
    }

    /// Forgets a credential that was refused.
    pub fn forget(&self, presented: &Presented) {
        self.cache.remove(presented);
    }

    /// Forgets everything, now that another primary has taken the place of the one it was read from: versions count on from
    /// where the standby was, and may be the same for other rights.
    pub fn forget_all(&self) {
        self.cache.clear();
    }

    /// Looks a credential up, whatever is known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(&self, presented: &Presented) -> Result<Option<Arc<Authority>>, StoreError> {
        let (store, wanted) = (self.store.clone(), presented.clone());
        let read = tokio::task::spawn_blocking(move || {
            Ok::<_, StoreError>(match wanted {
                Presented::Key(digest) => store.key_authority(&digest)?.map(Authority::from),
                Presented::Session(session) => store.session_authority(session)?.map(Authority::from),
                Presented::Cookie(digest) => store
                    .session_authority_by_token(&digest)?
                    .map(|session| Authority { in_browser: true, ..Authority::from(session) }),
            })
        });
        let read = patience::answer(read, Duration::MAX, || self.store.is_silent()).await;
        let unanswered = |error| StoreError::Unavailable { step: "reading an authority", source: Box::new(error) };
        let read = read.map_err(unanswered)?.map_err(|_| StoreError::Unreadable { what: "authority" });
        let found = read??.map(Arc::new);
        // What a primary said that was replaced meanwhile is not remembered.
        if let Some(authority) = found.as_ref().filter(|found| self.store.timeline() == found.timeline) {
            self.cache.insert(presented.clone(), authority.clone());
            // It may have been replaced just now, and everything forgotten before this was kept.
            if self.store.timeline() != authority.timeline {
                self.forget(presented);
            }
        }
        Ok(found)
    }
}
