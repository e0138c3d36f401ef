//! A request's place in the registry: whoever works for it asks here whether it may go on, and is told when it may not.
//!
//! Nobody is marked here; that is `in_flight`.

use super::{
    in_flight::{InFlight, Reached, Reaching, Slot, Subject},
    lease::Term,
    marks::{Interruption, Mark},
};
use kv_authz::{Unusable, UserId};
use kv_store::Credential;
use parking_lot::Mutex;
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
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

/// What a request has for itself once it reaches into a cluster, where it can be ended alone. Most never do.
pub(super) struct Own {
    /// What the registry knows it by.
    number: u64,
    pub(super) mark: Mark,
    /// Set when it is over.
    pub(super) gone: CancellationToken,
}

/// One request's place in the registry, held until its last byte is handed over.
#[derive(Clone)]
pub struct Guard(Arc<Place>);

struct Place {
    subject: Subject,
    slot: Arc<Slot>,
    own: OnceLock<Arc<Own>>,
    /// The lease it began under.
    term: Term,
    /// Counted as long as it is there.
    token: Mutex<Option<TaskTrackerToken>>,
    /// The request that revokes its own credential is the one that may still answer.
    exempt: AtomicBool,
    /// When the credential expires, if it does.
    ends: OnceLock<Instant>,
    in_flight: InFlight,
}

impl Guard {
    /// A place for one more request of a slot, whose lock the caller holds.
    pub(super) fn new(subject: Subject, slot: Arc<Slot>, term: Term, in_flight: InFlight) -> Self {
        Self(Arc::new(Place {
            subject,
            own: OnceLock::new(),
            term,
            token: Mutex::new(Some(slot.requests.token())),
            slot,
            exempt: AtomicBool::new(false),
            ends: OnceLock::new(),
            in_flight,
        }))
    }

    /// Says what the request is about to do in a cluster, before it is admitted.
    pub fn reaches(&self, what: Reaching) {
        let (place, registry) = (&self.0, &self.0.in_flight.registry);
        let own = place.own.get_or_init(|| {
            let number = registry.next.fetch_add(1, Ordering::Relaxed);
            Arc::new(Own { number, mark: Mark::default(), gone: CancellationToken::new() })
        });
        let reached = Reached { user: place.slot.user, what, own: own.clone() };
        registry.reaching.lock().insert(own.number, reached);
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
        let place = &*self.0;
        let cut = async {
            place.cut().await;
            if place.exempt.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        };
        match place.ends.get() {
            None => cut.await,
            Some(&end) => tokio::select! {
                () = cut => {}
                () = tokio::time::sleep_until(end) => {}
            },
        }
    }

    /// Counts the client of a stream until what is returned is dropped.
    pub fn client(&self) -> TaskTrackerToken {
        let clients = self.0.slot.clients.get_or_init(|| {
            let clients = TaskTracker::new();
            // Whoever waits for them waits for those who are there, and not for the last that will ever come.
            clients.close();
            clients
        });
        clients.token()
    }

    /// Resolves when no stream of a credential that is over has a client left; at once where the credential goes on.
    pub async fn clients_gone(&self) {
        let slot = &self.0.slot;
        if let (true, Some(clients)) = (slot.mark.is_set(), slot.clients.get()) {
            clients.wait().await;
        }
    }

    /// Works on it for as long as it is not cut; looked at before each step. Work that is cut is dropped.
    ///
    /// # Errors
    /// Why it was cut.
    pub async fn unless_revoked<T>(&self, work: impl Future<Output = T>) -> Result<T, Interruption> {
        let (mut work, mut revoked) = (pin!(work), pin!(self.revoked()));
        poll_fn(|context| {
            if let Some(why) = self.interruption() {
                return Poll::Ready(Err(why));
            }
            // Work that is done at once need not be told of anything.
            match work.as_mut().poll(context) {
                Poll::Ready(done) => Poll::Ready(Ok(done)),
                // Asked after the step, which may have said that it reaches into a cluster. Where nobody has marked a lapse
                // yet, whatever wakes the work finds it above.
                Poll::Pending => revoked.as_mut().poll(context).map(|()| Err(self.why())),
            }
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
        if !place.in_flight.lease.covers(place.term) {
            return Some(Interruption::Unconfirmed);
        }
        if place.is_cut() && !place.exempt.load(Ordering::Relaxed) {
            let own = place.own.get().map(|own| &own.mark);
            let mut reasons = own.into_iter().chain([&place.slot.mark]).filter_map(Mark::why);
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

impl Place {
    fn is_cut(&self) -> bool {
        self.slot.mark.is_set() || self.own.get().is_some_and(|own| own.mark.is_set())
    }

    /// Resolves when it is cut, with its slot or alone.
    async fn cut(&self) {
        let (mut with_slot, mut alone) = (pin!(self.slot.mark.token.cancelled()), None);
        poll_fn(|context| {
            if with_slot.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            // It may have come to reach into a cluster since it was last asked.
            let alone = match &mut alone {
                Some(alone) => alone,
                None => match self.own.get() {
                    Some(own) => alone.insert(Box::pin(own.mark.token.cancelled())),
                    None => return Poll::Pending,
                },
            };
            alone.as_mut().poll(context)
        })
        .await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(own) = self.own.get() {
            self.in_flight.registry.reaching.lock().remove(&own.number);
            own.gone.cancel();
        }
        let mut slots = self.in_flight.registry.slots.lock();
        *self.token.lock() = None;
        // Under the lock: nobody can enter between looking and removing.
        if self.slot.requests.is_empty() && slots.get(&self.subject).is_some_and(|slot| Arc::ptr_eq(slot, &self.slot)) {
            slots.remove(&self.subject);
        }
    }
}
