//! The lease: how long this server may believe that it knows of every revocation. Counted by the machine's boot clock from
//! the moment its renewal was sent, so that whoever waits for it to run out never waits too short.
//!
//! Nothing is renewed here; `replicas` does that.

use crate::clock::Clock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long a lease lasts, after the sending of its renewal.
const LENGTH: Duration = Duration::from_secs(2);
/// Between two renewals.
pub const RENEW_EVERY: Duration = Duration::from_millis(666);
/// A lease is fresh for as long as this after the sending of its renewal: what was decided by it alone ends soon after the
/// database has fallen silent, and not with the lease. No promise rests on it.
const FRESH: Duration = Duration::from_millis(900);
/// After this long without a renewal a lease has run out by everybody's clock, though one run a tenth slower than the
/// other.
pub const GONE_AFTER: Duration = Duration::from_millis(2_200);

/// A stretch of time without a gap in the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term(u64);

/// A server's lease. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Lease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    /// In nanoseconds of the boot clock.
    until: AtomicU64,
    /// How many terms there have been.
    terms: AtomicU64,
}

impl Lease {
    /// One that is not held yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, until: AtomicU64::new(0), terms: AtomicU64::new(0) }))
    }

    /// One that never runs out: an operator's task serves nobody.
    #[must_use]
    pub fn unlimited(clock: Clock) -> Self {
        Self(Arc::new(Inner { clock, until: AtomicU64::new(u64::MAX), terms: AtomicU64::new(0) }))
    }

    /// Takes note of a renewal that was sent at `sent` of the boot clock, once all that it told of is carried out. After a
    /// gap a new term begins: nothing from before it counts.
    pub fn renew(&self, sent: Duration) {
        if !self.holds() {
            self.0.terms.fetch_add(1, Ordering::SeqCst);
        }
        self.0.until.fetch_max(nanos(sent + LENGTH), Ordering::SeqCst);
    }

    /// Gives it up at once: this server was taken for dead.
    pub fn give_up(&self) {
        self.0.until.store(0, Ordering::SeqCst);
    }

    /// Whether it holds now.
    #[must_use]
    pub fn holds(&self) -> bool {
        nanos(self.0.clock.since_boot()) < self.0.until.load(Ordering::SeqCst)
    }

    /// Whether it was renewed just before `now` of the boot clock, and holds then.
    #[must_use]
    pub fn is_fresh(&self, now: Duration) -> bool {
        nanos(now + (LENGTH - FRESH)) < self.0.until.load(Ordering::SeqCst)
    }

    /// The term that a request begins in.
    #[must_use]
    pub fn term(&self) -> Term {
        Term(self.0.terms.load(Ordering::SeqCst))
    }

    /// The lease in its present term.
    #[must_use]
    pub fn cover(&self) -> Cover {
        Cover { lease: self.clone(), term: self.term() }
    }

    /// Whether the lease has held without a gap since the term began, and holds now.
    #[must_use]
    pub fn covers(&self, term: Term) -> bool {
        // In this order: a renewal after a gap counts the term before it gives the lease more time.
        self.holds() && self.term() == term
    }
}

/// A lease in the term that it was in.
#[derive(Debug, Clone)]
pub struct Cover {
    lease: Lease,
    term: Term,
}

impl Cover {
    /// Whether it has held since, without a gap.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.lease.covers(self.term)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    fn at(now: &Arc<Mutex<Duration>>) -> Lease {
        let now = now.clone();
        Lease::new(Clock::system().booted(move || *now.lock()))
    }

    #[test]
    fn it_counts_from_the_sending_and_a_gap_ends_what_began_before() {
        let now = Arc::new(Mutex::new(Duration::from_secs(100)));
        let step = |by: u64| *now.lock() += Duration::from_millis(by);
        let lease = at(&now);
        assert!(!lease.holds(), "nobody has renewed it");
        lease.renew(Duration::from_millis(99_500));
        let term = lease.term();
        assert!(lease.covers(term));
        step(1_499);
        assert!(lease.covers(term));
        step(1);
        assert!(!lease.holds() && !lease.covers(term), "two seconds after the sending");
        lease.renew(Duration::from_millis(101_000));
        assert!(lease.holds() && !lease.covers(term), "what began before the gap does not go on");
        assert!(lease.covers(lease.term()));
        // An answer that comes too late, and one that comes after a later one.
        lease.renew(Duration::from_millis(90_000));
        assert!(lease.holds());
        lease.give_up();
        assert!(!lease.holds());
        assert!(Lease::unlimited(Clock::system()).holds());
    }
}
