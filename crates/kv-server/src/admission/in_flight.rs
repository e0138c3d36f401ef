//! The requests in flight, by credential and by asking cluster, so that a revocation ends those already running: it marks
//! them, they stop where they are, and it waits until each has let go.
//!
//! A request enters before it is admitted. Either admission sees the revocation, or the revocation sees the request. What
//! reaches into a cluster says so before it is admitted, too, so that it ends when its owner may no longer do just that.
//! And all of it ends where this server's lease runs out: what was revoked elsewhere is not known here then.

use super::{
    guard::{Guard, Own},
    lease::Lease,
    marks::{Interruption, Mark, Marked},
};
use kv_authz::{
    ClusterId, SessionId, UserId,
    kubernetes::{KubernetesTarget, Reach},
};
use kv_store::Credential;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};
use time::OffsetDateTime;
use tokio_util::task::TaskTracker;

/// Who is behind a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Credential(Credential),
    /// A cluster that asks, with its webhook token.
    Asker(ClusterId),
}

impl Subject {
    pub(super) fn credential(self) -> Option<Credential> {
        match self {
            Self::Credential(credential) => Some(credential),
            Self::Asker(_) => None,
        }
    }
}

pub(super) struct Slot {
    /// Nobody, where a cluster asks.
    pub(super) user: UserId,
    pub(super) mark: Mark,
    pub(super) requests: TaskTracker,
    /// Those whose clients take a stream.
    pub(super) clients: OnceLock<TaskTracker>,
    /// Until when a session lasts, as far as anybody here knows.
    lasts: Mutex<Option<OffsetDateTime>>,
}

impl Slot {
    pub(super) fn lasts_until(&self, end: OffsetDateTime) {
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

pub(super) struct Reached {
    pub(super) user: UserId,
    pub(super) what: Reaching,
    pub(super) own: Arc<Own>,
}

#[derive(Default)]
pub(super) struct Registry {
    pub(super) slots: Mutex<HashMap<Subject, Arc<Slot>>>,
    pub(super) reaching: Mutex<HashMap<u64, Reached>>,
    /// What the next that reaches into a cluster is known by.
    pub(super) next: AtomicU64,
}

/// The registry.
#[derive(Clone)]
pub struct InFlight {
    pub(super) registry: Arc<Registry>,
    pub(super) lease: Lease,
}

impl std::fmt::Debug for InFlight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InFlight")
    }
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
            Arc::new(Slot {
                user,
                mark: Mark::default(),
                requests: TaskTracker::new(),
                clients: OnceLock::new(),
                lasts: Mutex::default(),
            })
        });
        Guard::new(subject, slot.clone(), term, self.clone())
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
            reached.own.mark.set(why);
            reached.own.gone.clone()
        });
        Marked::each(marked)
    }

    /// How many credentials have requests in flight.
    #[must_use]
    pub fn credentials(&self) -> usize {
        self.registry.slots.lock().keys().filter_map(|subject| subject.credential()).count()
    }
}

#[cfg(test)]
#[path = "in_flight_tests.rs"]
mod tests;
