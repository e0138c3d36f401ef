//! Readers: sessions that the database has admitted to reads without an entry, and that go on reading here for as long as
//! nothing moves. Whatever takes rights or gives them moves a number in its own transaction; whoever keeps the lease reads the
//! numbers behind the cuts that the same acts have left, and publishes them here before it marks and acknowledges those. So an
//! act that has been answered was published wherever there still is a lease.
//!
//! Nobody is refused here, and nothing is decided without a lease that was renewed just now. Never what reaches a cluster or
//! leaves an entry: that asks the database, each time.

use super::Lease;
use kv_store::{Basis, Credential, Revisions, admission::Lasts};
use parking_lot::RwLock;
use std::{collections::HashMap, time::Duration};

/// How many are kept: some eight megabytes. Then it begins anew.
const MOST: usize = 65_536;
/// How long one reads on at most, so that what has moved no number, as nothing should, is seen all the same.
const AT_MOST: Duration = Duration::from_secs(10);

/// Those who read on.
#[derive(Debug, Default)]
pub struct Readers(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The numbers as they were last read; none before the first time.
    revisions: Option<Revisions>,
    admitted: HashMap<Credential, Admitted>,
}

/// What the database said of a session.
#[derive(Debug)]
struct Admitted {
    basis: Basis,
    /// At this number.
    standings: i64,
    /// By the boot clock.
    until: Duration,
}

impl Readers {
    /// Publishes the numbers. Whoever was admitted at others is asked for again.
    pub fn publish(&self, revisions: Revisions) {
        // The keeper of the lease is the only one who does; most of the time nothing has moved.
        if self.0.read().revisions != Some(revisions) {
            self.0.write().revisions = Some(revisions);
        }
    }

    /// Keeps what the database said of a session, which it was asked at `asked` of the boot clock. A key asks each time.
    pub fn keep(&self, basis: Basis, lasts: Lasts, asked: Duration) {
        let Credential::Session(_) = basis.credential else { return };
        let mut known = self.0.write();
        if known.admitted.len() >= MOST {
            known.admitted.clear();
        }
        let until = asked + lasts.at_most.min(AT_MOST);
        known.admitted.insert(basis.credential, Admitted { basis, standings: lasts.standings, until });
    }

    /// Whether a session reads on, on this basis: the database said so, and would say so again. `now` is of the boot clock.
    #[must_use]
    pub fn read_on(&self, basis: &Basis, lease: &Lease, now: Duration) -> bool {
        let known = self.0.read();
        let (Some(numbers), Some(admitted)) = (known.revisions, known.admitted.get(&basis.credential)) else {
            return false;
        };
        let as_published = admitted.standings == numbers.standings
            && basis.timeline == numbers.timeline
            && basis.clusters_version.is_none_or(|version| version == numbers.clusters);
        admitted.basis == *basis && as_published && now < admitted.until && lease.is_fresh(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use kv_authz::{KeyId, SessionId, UserId};
    use parking_lot::Mutex;
    use std::sync::Arc;

    const START: Duration = Duration::from_secs(100);
    const NUMBERS: Revisions = Revisions { timeline: 1, standings: 7, clusters: 3 };
    const LASTS: Lasts = Lasts { standings: 7, at_most: Duration::from_secs(60) };

    fn basis() -> Basis {
        Basis {
            credential: Credential::Session(SessionId::from_parts(1, [1; 10])),
            user: UserId::from_parts(1, [1; 10]),
            user_version: 5,
            role_version: Some(2),
            clusters_version: Some(3),
            timeline: 1,
        }
    }

    /// A clock that is set by hand, and a lease renewed at its start.
    fn lease() -> (Lease, Arc<Mutex<Duration>>) {
        let now = Arc::new(Mutex::new(START));
        let clock = now.clone();
        let lease = Lease::new(Clock::system().booted(move || *clock.lock()));
        lease.renew(START);
        (lease, now)
    }

    fn admitted(lasts: Lasts) -> Readers {
        let readers = Readers::default();
        readers.publish(NUMBERS);
        readers.keep(basis(), lasts, START);
        readers
    }

    #[test]
    fn whoever_was_admitted_reads_on_until_a_number_moves() {
        let (lease, _) = lease();
        for moved in [
            Revisions { standings: 8, ..NUMBERS },
            Revisions { clusters: 4, ..NUMBERS },
            Revisions { timeline: 2, ..NUMBERS },
            // Back as well: a number may only be the same.
            Revisions { standings: 6, ..NUMBERS },
        ] {
            let readers = admitted(LASTS);
            assert!(readers.read_on(&basis(), &lease, START));
            readers.publish(moved);
            assert!(!readers.read_on(&basis(), &lease, START), "{moved:?}");
        }
    }

    #[test]
    fn nobody_reads_on_before_the_numbers_are_published_or_at_one_that_is_not_yet() {
        let (lease, _) = lease();
        let readers = Readers::default();
        readers.keep(basis(), LASTS, START);
        assert!(!readers.read_on(&basis(), &lease, START));
        readers.publish(Revisions { standings: 6, ..NUMBERS });
        assert!(!readers.read_on(&basis(), &lease, START));
        readers.publish(NUMBERS);
        assert!(readers.read_on(&basis(), &lease, START));
    }

    #[test]
    fn another_basis_is_not_what_was_admitted() {
        let (lease, _) = lease();
        let readers = admitted(LASTS);
        for other in [
            Basis { user_version: 6, ..basis() },
            Basis { role_version: None, ..basis() },
            Basis { clusters_version: Some(2), ..basis() },
            Basis { timeline: 2, ..basis() },
            Basis { credential: Credential::Session(SessionId::from_parts(2, [1; 10])), ..basis() },
        ] {
            assert!(!readers.read_on(&other, &lease, START), "{other:?}");
        }
    }

    #[test]
    fn a_key_asks_each_time() {
        let (lease, _) = lease();
        let readers = admitted(LASTS);
        let key = Basis { credential: Credential::Key(KeyId::from_parts(1, [1; 10])), ..basis() };
        readers.keep(key, LASTS, START);
        assert!(!readers.read_on(&key, &lease, START));
    }

    #[test]
    fn it_ends_with_the_session_and_after_ten_seconds_at_most() {
        let (lease, now) = lease();
        let readers = admitted(Lasts { at_most: Duration::from_millis(1_500), ..LASTS });
        for (millis, reads) in [(1_499, true), (1_500, false)] {
            let at = START + Duration::from_millis(millis);
            *now.lock() = at;
            lease.renew(at);
            assert_eq!(readers.read_on(&basis(), &lease, at), reads, "{millis} ms");
        }
        let readers = admitted(LASTS);
        for (millis, reads) in [(9_999, true), (10_000, false)] {
            let at = START + Duration::from_millis(millis);
            *now.lock() = at;
            lease.renew(at);
            assert_eq!(readers.read_on(&basis(), &lease, at), reads, "{millis} ms");
        }
    }

    #[test]
    fn a_lease_that_was_not_renewed_just_now_is_not_enough() {
        let (lease, now) = lease();
        let readers = admitted(LASTS);
        for (millis, reads) in [(899, true), (900, false), (2_100, false)] {
            let at = START + Duration::from_millis(millis);
            *now.lock() = at;
            assert_eq!(readers.read_on(&basis(), &lease, at), reads, "{millis} ms");
        }
        let at = START + Duration::from_millis(2_100);
        lease.renew(at);
        assert!(readers.read_on(&basis(), &lease, at));
        lease.give_up();
        assert!(!readers.read_on(&basis(), &lease, at));
    }

    #[test]
    fn it_does_not_grow_beyond_its_most() {
        let readers = Readers::default();
        for n in 0..=MOST as u64 {
            let credential = Credential::Session(SessionId::from_parts(n, [0; 10]));
            readers.keep(Basis { credential, ..basis() }, LASTS, START);
        }
        assert_eq!(readers.0.read().admitted.len(), 1);
    }
}
