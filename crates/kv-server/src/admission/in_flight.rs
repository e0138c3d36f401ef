//! The requests in flight, by credential and by asking cluster, so that a revocation ends those already running: it marks
//! them, they stop where they are, and it waits until each has let go.
//!
//! A request enters before it is admitted. Either admission sees the revocation, or the revocation sees the request. What
//! reaches into a cluster says so before it is admitted, too, so that it ends when its owner may no longer do just that.
//! And all of it ends where this server's lease runs out: what was revoked elsewhere is not known here then.

use super::{
    lease::{Lease, Term},
    marks::{Interruption, Mark, Marked},
};
use kv_authz::{
    ClusterId, SessionId, Unusable, UserId,
    kubernetes::{KubernetesTarget, Reach},
};
use kv_store::Credential;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// Who is behind a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Subject {
    Credential(Credential),
    /// A cluster that asks, with its webhook token.
    Asker(ClusterId),
}

impl Subject {
    fn credential(self) -> Option<Credential> {
        match self {
            Self::Credential(credential) => Some(credential),
            Self::Asker(_) => None,
        }
    }
}

struct Slot {
    /// Nobody, where a cluster asks.
    user: UserId,
    mark: Mark,
    requests: TaskTracker,
    /// Until when a session lasts, as far as anybody here knows.
    lasts: Mutex<Option<OffsetDateTime>>,
}

impl Slot {
    fn lasts_until(&self, end: OffsetDateTime) {
        let mut lasts = self.lasts.lock();
        *lasts = lasts.map_or(Some(end), |known| Some(known.max(end)));
    }
}

/// What a request does in a cluster, as it was decided.
#[derive(Debug, Clone)]
pub struct Reaching {
    /// What is touched and how.
    pub target: KubernetesTarget,
    /// How far it goes.
    pub reach: Reach,
    /// Whether values of Secrets may be in the answer.
    pub reveals: bool,
    /// The role that the cluster was told, where calls name the caller: it may have rights of its own there.
    pub named_as: Option<String>,
}

struct Reached {
    user: UserId,
    what: Reaching,
    mark: Mark,
    gone: CancellationToken,
}

#[derive(Default)]
struct Registry {
    slots: Mutex<HashMap<Subject, Arc<Slot>>>,
    reaching: Mutex<HashMap<u64, Reached>>,
    next: AtomicU64,
}

/// The registry.
#[derive(Clone)]
pub struct InFlight {
    registry: Arc<Registry>,
    lease: Lease,
}

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
    subject: Subject,
    slot: Arc<Slot>,
    /// Set with the slot's, or by itself.
    mark: Mark,
    /// The lease it began under.
    term: Term,
    /// Set when it is over.
    gone: CancellationToken,
    /// Counted as long as it is there.
    token: Mutex<Option<TaskTrackerToken>>,
    /// The request that revokes its own credential is the one that may still answer.
    exempt: AtomicBool,
    /// When the credential expires, if it does.
    ends: OnceLock<Instant>,
    registry: Arc<Registry>,
    lease: Lease,
}

impl InFlight {
    /// An empty one, whose requests count for as long as the lease does.
    #[must_use]
    pub fn new(lease: Lease) -> Self {
        Self { registry: Arc::default(), lease }
    }

    /// This server's lease.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Enters a request.
    #[must_use]
    pub fn enter(&self, credential: Credential, user: UserId) -> Guard {
        self.enter_as(Subject::Credential(credential), user)
    }

    /// Enters a question that a cluster asks.
    #[must_use]
    pub fn enter_asker(&self, cluster: ClusterId) -> Guard {
        self.enter_as(Subject::Asker(cluster), UserId::NIL)
    }

    fn enter_as(&self, subject: Subject, user: UserId) -> Guard {
        let term = self.lease.term();
        let mut slots = self.registry.slots.lock();
        let slot = slots.entry(subject).or_insert_with(|| {
            let mark = Mark::new(CancellationToken::new());
            Arc::new(Slot { user, mark, requests: TaskTracker::new(), lasts: Mutex::default() })
        });
        Guard(Arc::new(Place {
            number: self.registry.next.fetch_add(1, Ordering::Relaxed),
            mark: Mark::new(slot.mark.token.child_token()),
            term,
            gone: CancellationToken::new(),
            subject,
            token: Mutex::new(Some(slot.requests.token())),
            slot: slot.clone(),
            exempt: AtomicBool::new(false),
            ends: OnceLock::new(),
            registry: self.registry.clone(),
            lease: self.lease.clone(),
        }))
    }

    /// A user's credentials that have requests in flight.
    #[must_use]
    pub fn credentials_of(&self, user: UserId) -> Vec<Credential> {
        let slots = self.registry.slots.lock();
        slots.iter().filter(|(_, slot)| slot.user == user).filter_map(|(subject, _)| subject.credential()).collect()
    }

    /// Marks the requests of those credentials that are chosen, by credential and owner: they end where they are.
    #[must_use]
    pub fn mark(&self, why: Interruption, chosen: impl Fn(Credential, UserId) -> bool) -> Marked {
        self.mark_slots(why, |subject, user| subject.credential().is_some_and(|credential| chosen(credential, user)))
    }

    /// Marks the questions that a cluster asks.
    #[must_use]
    pub fn mark_asker(&self, why: Interruption, cluster: ClusterId) -> Marked {
        self.mark_slots(why, |subject, _| subject == Subject::Asker(cluster))
    }

    fn mark_slots(&self, why: Interruption, chosen: impl Fn(Subject, UserId) -> bool) -> Marked {
        let marked: Vec<Arc<Slot>> = {
            let mut slots = self.registry.slots.lock();
            slots.extract_if(|&subject, slot| chosen(subject, slot.user)).map(|(_, slot)| slot).collect()
        };
        for slot in &marked {
            slot.mark.set(why);
            slot.requests.close();
        }
        Marked::all(marked.iter().map(|slot| slot.requests.clone()))
    }

    /// Marks everything that runs.
    #[must_use]
    pub fn mark_all(&self, why: Interruption) -> Marked {
        self.mark_slots(why, |_, _| true)
    }

    /// The sessions with requests in flight that are over at `now`, unless they were renewed.
    #[must_use]
    pub fn sessions_past(&self, now: OffsetDateTime) -> Vec<SessionId> {
        let slots = self.registry.slots.lock();
        let past = slots.iter().filter_map(|(&subject, slot)| match subject {
            Subject::Credential(Credential::Session(session)) if slot.lasts.lock().is_some_and(|end| end <= now) => {
                Some(session)
            }
            _ => None,
        });
        past.collect()
    }

    /// Takes note that a session lasts longer than was known here.
    pub fn session_lasts(&self, session: SessionId, end: OffsetDateTime) {
        if let Some(slot) = self.registry.slots.lock().get(&Subject::Credential(Credential::Session(session))) {
            slot.lasts_until(end);
        }
    }

    /// The users whose requests reach into clusters right now.
    #[must_use]
    pub fn reaching_users(&self) -> Vec<UserId> {
        let mut users: Vec<UserId> = self.registry.reaching.lock().values().map(|reached| reached.user).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Marks what reaches into clusters and may do so no longer. The rest goes on.
    #[must_use]
    pub fn mark_reaching(&self, why: Interruption, ended: impl Fn(UserId, &Reaching) -> bool) -> Marked {
        let reaching = self.registry.reaching.lock();
        let chosen = reaching.values().filter(|reached| ended(reached.user, &reached.what));
        let marked = chosen.map(|reached| {
            reached.mark.set(why);
            reached.gone.clone()
        });
        Marked::each(marked)
    }

    /// How many credentials have requests in flight.
    #[must_use]
    pub fn credentials(&self) -> usize {
        self.registry.slots.lock().keys().filter_map(|subject| subject.credential()).count()
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

    /// Says until when the session lasts, unless it is renewed. Whoever looks after sessions ends it then.
    pub fn lasts_until(&self, end: OffsetDateTime) {
        self.0.slot.lasts_until(end);
    }

    /// Resolves when the credential is revoked by another request, or expires; or when the lease runs out.
    pub async fn revoked(&self) {
        let cut = async {
            self.0.mark.token.cancelled().await;
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

    /// Works on it for as long as it is not cut; looked at before the first step and at every one after. Work that is
    /// cut is dropped.
    ///
    /// # Errors
    /// Why it was cut.
    pub async fn unless_revoked<T>(&self, work: impl Future<Output = T>) -> Result<T, Interruption> {
        let (mut work, mut interrupted) = (pin!(work), pin!(self.interrupted()));
        poll_fn(|context| match interrupted.as_mut().poll(context) {
            Poll::Ready(why) => Poll::Ready(Err(why)),
            Poll::Pending => work.as_mut().poll(context).map(Ok),
        })
        .await
    }

    /// Resolves when it is to end, and tells why: woken by the mark, and looked at afresh, with the lease, whenever it is
    /// asked. Nothing that is polled after it goes on beyond a lapse that nobody has marked yet.
    pub async fn interrupted(&self) -> Interruption {
        let mut revoked = pin!(self.revoked());
        poll_fn(|context| {
            // To be woken by it.
            let woken = revoked.as_mut().poll(context).is_ready();
            match self.interruption() {
                Some(why) => Poll::Ready(why),
                None => {
                    debug_assert!(!woken, "what wakes is a reason");
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Why it is to end, if it is: the effect gate and the answer gate ask this.
    #[must_use]
    pub fn interruption(&self) -> Option<Interruption> {
        let place = &self.0;
        if !place.lease.covers(place.term) {
            return Some(Interruption::Unconfirmed);
        }
        if place.mark.token.is_cancelled() && !place.exempt.load(Ordering::Relaxed) {
            let mut reasons = [&place.mark, &place.slot.mark].into_iter().filter_map(Mark::why);
            let first = reasons.next().unwrap_or(Interruption::Refused(Unusable::Revoked));
            return Some(reasons.find(|why| *why == Interruption::Unconfirmed).unwrap_or(first));
        }
        let expired = place.ends.get().is_some_and(|&end| end <= Instant::now());
        expired.then_some(Interruption::Refused(Unusable::Expired))
    }

    /// The same for what has been cut already.
    #[must_use]
    pub fn why(&self) -> Interruption {
        self.interruption().unwrap_or(Interruption::Refused(Unusable::Revoked))
    }

    /// Lets this request, which is about to end its own credential's others, answer.
    pub fn exempt(&self, credential: Credential) {
        if self.0.subject == Subject::Credential(credential) {
            self.0.exempt.store(true, Ordering::Relaxed);
            *self.0.token.lock() = None;
        }
    }

    /// The same, where those credentials of a user end that are chosen.
    pub fn exempt_those_of(&self, user: UserId, chosen: impl Fn(Credential) -> bool) {
        if let Some(credential) = self.0.subject.credential()
            && self.0.slot.user == user
            && chosen(credential)
        {
            self.exempt(credential);
        }
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Guard").field(&self.0.subject.credential()).finish()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.reaching.lock().remove(&self.number);
        self.gone.cancel();
        let mut slots = self.registry.slots.lock();
        *self.token.lock() = None;
        // Under the lock: nobody can enter between looking and removing.
        if self.slot.requests.is_empty() && slots.get(&self.subject).is_some_and(|slot| Arc::ptr_eq(slot, &self.slot)) {
            slots.remove(&self.subject);
        }
    }
}

#[cfg(test)]
#[path = "in_flight_tests.rs"]
mod tests;
