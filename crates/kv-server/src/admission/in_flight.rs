//! The requests in flight, by credential, so that a revocation ends those already running: it marks them, they stop
//! where they are, and it waits until each has let go.
//!
//! A request enters before it is admitted. Either admission sees the revocation, or the revocation sees the request. What
//! reaches into a cluster says so before it is admitted, too, so that it ends when its owner may no longer do just that.

use kv_authz::{SessionId, Unusable, UserId, kubernetes::KubernetesTarget};
use kv_store::Credential;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// How long a revocation waits for a request that does not let go; longer only a stopped thread would take.
const DEADLINE: Duration = Duration::from_secs(2);

struct Slot {
    user: UserId,
    mark: CancellationToken,
    requests: TaskTracker,
}

/// What a request does in a cluster, as it was decided.
#[derive(Debug, Clone)]
pub struct Reaching {
    /// What is touched and how.
    pub target: KubernetesTarget,
    /// Whether values of Secrets may be in the answer.
    pub reveals: bool,
}

struct Reached {
    user: UserId,
    what: Reaching,
    mark: CancellationToken,
    gone: CancellationToken,
}

#[derive(Default)]
struct Registry {
    slots: Mutex<HashMap<Credential, Arc<Slot>>>,
    reaching: Mutex<HashMap<u64, Reached>>,
    next: AtomicU64,
}

/// The registry.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Registry>);

impl std::fmt::Debug for InFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InFlight")
    }
}

/// One request's place in the registry, held until its last byte is handed over.
#[derive(Clone)]
pub struct Guard(Arc<Place>);

struct Place {
    number: u64,
    credential: Credential,
    slot: Arc<Slot>,
    /// Set with the slot's, or by itself.
    mark: CancellationToken,
    /// Set when it is over.
    gone: CancellationToken,
    /// Counted as long as it is there.
    token: Mutex<Option<TaskTrackerToken>>,
    /// The request that revokes its own credential is the one that may still answer.
    exempt: AtomicBool,
    /// When the credential expires, if it does.
    ends: OnceLock<Instant>,
    registry: Arc<Registry>,
}

impl InFlight {
    /// Enters a request.
    #[must_use]
    pub fn enter(&self, credential: Credential, user: UserId) -> Guard {
        let mut slots = self.0.slots.lock();
        let slot = slots
            .entry(credential)
            .or_insert_with(|| Arc::new(Slot { user, mark: CancellationToken::new(), requests: TaskTracker::new() }));
        Guard(Arc::new(Place {
            number: self.0.next.fetch_add(1, Ordering::Relaxed),
            mark: slot.mark.child_token(),
            gone: CancellationToken::new(),
            credential,
            token: Mutex::new(Some(slot.requests.token())),
            slot: slot.clone(),
            exempt: AtomicBool::new(false),
            ends: OnceLock::new(),
            registry: self.0.clone(),
        }))
    }

    /// Ends the requests of a credential and waits until they have let go.
    pub async fn cut(&self, credential: Credential) {
        self.cut_where(|candidate, _| candidate == credential).await;
    }

    /// Ends the requests of all of a user's credentials.
    pub async fn cut_user(&self, user: UserId) {
        self.cut_where(|_, owner| owner == user).await;
    }

    /// Ends the requests of all of a user's keys.
    pub async fn cut_keys(&self, user: UserId) {
        self.cut_where(|credential, owner| owner == user && matches!(credential, Credential::Key(_))).await;
    }

    /// Ends the requests of all of a user's sessions.
    pub async fn cut_sessions(&self, user: UserId) {
        self.cut_where(|credential, owner| owner == user && matches!(credential, Credential::Session(_))).await;
    }

    /// Ends the requests of a user's sessions but one.
    pub async fn cut_other_sessions(&self, user: UserId, acting: SessionId) {
        self.cut_where(|credential, owner| {
            owner == user && matches!(credential, Credential::Session(session) if session != acting)
        })
        .await;
    }

    async fn cut_where(&self, chosen: impl Fn(Credential, UserId) -> bool) {
        let cut: Vec<Arc<Slot>> = {
            let mut slots = self.0.slots.lock();
            slots.extract_if(|&credential, slot| chosen(credential, slot.user)).map(|(_, slot)| slot).collect()
        };
        for slot in &cut {
            slot.mark.cancel();
            slot.requests.close();
        }
        for slot in cut {
            if tokio::time::timeout(DEADLINE, slot.requests.wait()).await.is_err() {
                tracing::error!(requests = slot.requests.len(), "requests did not end at their revocation");
            }
        }
    }

    /// The users whose requests reach into clusters right now.
    #[must_use]
    pub fn reaching_users(&self) -> Vec<UserId> {
        let mut users: Vec<UserId> = self.0.reaching.lock().values().map(|reached| reached.user).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Ends what reaches into clusters and may do so no longer, and waits until it has let go. The rest goes on.
    pub async fn cut_reaching(&self, ended: impl Fn(UserId, &Reaching) -> bool) {
        let cut: Vec<CancellationToken> = {
            let reaching = self.0.reaching.lock();
            let chosen = reaching.values().filter(|reached| ended(reached.user, &reached.what));
            chosen
                .map(|reached| {
                    reached.mark.cancel();
                    reached.gone.clone()
                })
                .collect()
        };
        let gone = async {
            for gone in &cut {
                gone.cancelled().await;
            }
        };
        if tokio::time::timeout(DEADLINE, gone).await.is_err() {
            tracing::error!("requests did not end when their owner lost the right to them");
        }
    }

    /// How many credentials have requests in flight.
    #[must_use]
    pub fn credentials(&self) -> usize {
        self.0.slots.lock().len()
    }
}

impl Guard {
    /// Says what the request is about to do in a cluster, before it is admitted.
    pub fn reaches(&self, what: Reaching) {
        let place = &self.0;
        let reached = Reached { user: place.slot.user, what, mark: place.mark.clone(), gone: place.gone.clone() };
        place.registry.reaching.lock().insert(place.number, reached);
    }

    /// Says when the credential expires. Until then the request counts as any other; from then on as revoked.
    pub fn ends_after(&self, left: Duration) {
        if let Some(end) = Instant::now().checked_add(left) {
            let _ = self.0.ends.set(end);
        }
    }

    /// Resolves when the credential is revoked by another request, or expires.
    pub async fn revoked(&self) {
        let cut = async {
            self.0.mark.cancelled().await;
            if self.0.exempt.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        match self.0.ends.get() {
            None => cut.await,
            Some(&end) => tokio::select! {
                () = cut => {}
                () = tokio::time::sleep_until(end) => {}
            },
        }
    }

    /// Works on it for as long as it is not revoked; looked at before the first step and at every one after. Work that is
    /// cut is dropped.
    ///
    /// # Errors
    /// Why it was cut.
    pub async fn unless_revoked<T>(&self, work: impl Future<Output = T>) -> Result<T, Unusable> {
        tokio::select! {
            biased;
            () = self.revoked() => Err(self.reason()),
            done = work => Ok(done),
        }
    }

    /// Whether it is revoked or has expired: the effect gate and the answer gate ask this.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.is_cut() || self.0.ends.get().is_some_and(|&end| end <= Instant::now())
    }

    /// Which of the two it is, once it is one.
    #[must_use]
    pub fn reason(&self) -> Unusable {
        if self.is_cut() { Unusable::Revoked } else { Unusable::Expired }
    }

    fn is_cut(&self) -> bool {
        self.0.mark.is_cancelled() && !self.0.exempt.load(Ordering::Relaxed)
    }

    /// Lets this request, which is about to end its own credential's others, answer.
    pub fn exempt(&self, credential: Credential) {
        if self.0.credential == credential {
            self.0.exempt.store(true, Ordering::Relaxed);
            *self.0.token.lock() = None;
        }
    }

    /// The same, where a whole user's requests end.
    pub fn exempt_user(&self, user: UserId) {
        if self.0.slot.user == user {
            self.exempt(self.0.credential);
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Guard").field(&self.0.credential).finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.reaching.lock().remove(&self.number);
        self.gone.cancel();
        let mut slots = self.registry.slots.lock();
        *self.token.lock() = None;
        // Under the lock: nobody can enter between looking and removing.
        if self.slot.requests.is_empty()
            && slots.get(&self.credential).is_some_and(|slot| Arc::ptr_eq(slot, &self.slot))
        {
            slots.remove(&self.credential);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_authz::KeyId;

    fn key(n: u8) -> Credential {
        Credential::Key(KeyId::from_parts(1, [n; 10]))
    }

    fn user(n: u8) -> UserId {
        UserId::from_parts(1, [n; 10])
    }

    #[tokio::test]
    async fn a_cut_waits_for_the_requests_of_its_credential_alone() {
        let registry = InFlight::default();
        let (mine, other) = (registry.enter(key(1), user(1)), registry.enter(key(2), user(1)));
        let cut = tokio::spawn({
            let registry = registry.clone();
            async move { registry.cut(key(1)).await }
        });
        mine.revoked().await;
        assert!(!cut.is_finished());
        assert!(!other.is_revoked());
        drop(mine);
        cut.await.unwrap();
        assert!(!registry.enter(key(1), user(1)).is_revoked(), "a later request has a slot of its own");
    }

    #[tokio::test]
    async fn attack_138_what_may_no_longer_be_done_ends_and_the_rest_goes_on() {
        let registry = InFlight::default();
        let reaching = |namespace: &str| Reaching {
            target: KubernetesTarget {
                cluster: kv_authz::ClusterId::from_parts(1, [4; 10]),
                cluster_name: "prod".into(),
                namespace: Some(namespace.into()),
                plural: "pods".into(),
                group: String::new(),
                namespaced: true,
                name: None,
                subresource: None,
                verb: kv_authz::kubernetes::KubernetesVerb::List,
            },
            reveals: false,
        };
        let (lost, kept, idle) =
            (registry.enter(key(1), user(1)), registry.enter(key(1), user(1)), registry.enter(key(1), user(1)));
        lost.reaches(reaching("a"));
        kept.reaches(reaching("b"));
        assert_eq!(registry.reaching_users(), [user(1)]);
        let cut = tokio::spawn({
            let registry = registry.clone();
            async move { registry.cut_reaching(|_, what| what.target.namespace.as_deref() == Some("a")).await }
        });
        lost.revoked().await;
        assert!(!cut.is_finished() && !kept.is_revoked() && !idle.is_revoked());
        drop(lost);
        cut.await.unwrap();
        drop(kept);
        assert_eq!(registry.reaching_users(), []);
    }

    #[tokio::test]
    async fn a_cut_of_a_user_ends_all_their_credentials() {
        let registry = InFlight::default();
        let guards =
            [registry.enter(key(1), user(1)), registry.enter(key(2), user(1)), registry.enter(key(3), user(2))];
        let cut = tokio::spawn({
            let registry = registry.clone();
            async move { registry.cut_user(user(1)).await }
        });
        guards[0].revoked().await;
        guards[1].revoked().await;
        assert!(!guards[2].is_revoked());
        drop(guards);
        cut.await.unwrap();
        assert_eq!(registry.credentials(), 0, "nothing is kept for requests that are over");
    }
}
