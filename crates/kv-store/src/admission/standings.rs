//! Standings: what one connection found of credentials when it last looked, for as long as nothing has changed that could
//! make it untrue. The database keeps a number that moves with every such change, in the change's own transaction; it is
//! read in the snapshot that admits, and all of this is forgotten where it has moved.
//!
//! Nobody is admitted from here without that number. What was refused is never kept.

use super::{Lasts, Request, Verdict};
use crate::basis::{Basis, Credential};
use std::{collections::HashMap, time::Duration};

/// The most that is kept, as many as authorities are: some eight megabytes. Then it begins anew.
const MOST: usize = 65_536;

/// What was found.
struct Found {
    user_version: i64,
    role_version: Option<i64>,
    /// When it expires, in microseconds; the end of time where it never does.
    until: i64,
}

/// What a connection found. It leads to one primary for as long as it lives, so that no other's numbers are taken for these.
pub(crate) struct Standings {
    /// The primary's number.
    timeline: i64,
    /// The number at which it was found.
    revision: i64,
    found: HashMap<Credential, Found>,
}

impl Standings {
    /// Of a connection to this primary, which has not found anything yet.
    pub(crate) fn on(timeline: i64) -> Self {
        Self { timeline, revision: 0, found: HashMap::new() }
    }

    /// Whether a basis was read from the primary that this connection leads to.
    pub(super) fn are_of(&self, basis: &Basis) -> bool {
        basis.timeline == self.timeline
    }

    /// The number at which everything here was found.
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// Until when a decision on this basis stands, by what was found; none where that is not known.
    pub(super) fn good_until(&self, basis: &Basis) -> Option<i64> {
        let found = self.found.get(&basis.credential)?;
        let same = found.user_version == basis.user_version && found.role_version == basis.role_version;
        (same && self.are_of(basis)).then_some(found.until)
    }

    /// How long the admission of a request without an entry lasts, as of `now`, in microseconds.
    pub(super) fn lasts(&self, request: &Request, verdict: Verdict, now: i64) -> Option<Lasts> {
        let basis = request.basis.as_ref().filter(|_| verdict == Verdict::Admitted && !request.audited)?;
        let left = u64::try_from(self.good_until(basis)?.saturating_sub(now)).ok()?;
        Some(Lasts { standings: self.revision, at_most: Duration::from_micros(left) })
    }

    /// Takes note of the number as the database has it, and forgets what was found at another.
    pub(super) fn at(&mut self, revision: i64) {
        if self.revision != revision {
            self.found.clear();
            self.revision = revision;
        }
    }

    /// Takes note that the database admitted a basis at the number that was noted last, and until when its credential is good.
    pub(super) fn note(&mut self, basis: &Basis, until: i64) {
        if self.found.len() >= MOST {
            self.found.clear();
        }
        let (user_version, role_version) = (basis.user_version, basis.role_version);
        self.found.insert(basis.credential, Found { user_version, role_version, until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_authz::{KeyId, UserId};

    fn basis(n: u8, user_version: i64) -> Basis {
        Basis {
            credential: Credential::Key(KeyId::from_parts(1, [n; 10])),
            user: UserId::from_parts(1, [1; 10]),
            user_version,
            role_version: None,
            clusters_version: None,
            timeline: 1,
        }
    }

    #[test]
    fn what_was_found_counts_until_the_number_moves() {
        let mut standings = Standings::on(1);
        standings.at(7);
        standings.note(&basis(1, 3), 50);
        standings.note(&basis(2, 3), i64::MAX);
        assert_eq!(standings.good_until(&basis(1, 3)), Some(50));
        assert_eq!(standings.good_until(&basis(2, 3)), Some(i64::MAX));
        assert_eq!(standings.good_until(&basis(1, 4)), None, "decided on other rights");
        assert_eq!(standings.good_until(&Basis { role_version: Some(1), ..basis(1, 3) }), None);
        assert_eq!(standings.good_until(&Basis { timeline: 2, ..basis(1, 3) }), None, "read from another primary");
        standings.at(7);
        assert!(standings.good_until(&basis(1, 3)).is_some());
        // Back as well: a number may only be the same.
        standings.at(6);
        assert_eq!(standings.good_until(&basis(1, 3)), None);
    }

    #[test]
    fn it_does_not_grow_beyond_its_most() {
        let mut standings = Standings::on(1);
        for n in 0..=MOST as u64 {
            let credential = Credential::Key(KeyId::from_parts(n, [0; 10]));
            standings.note(&Basis { credential, ..basis(1, 1) }, i64::MAX);
        }
        assert_eq!(standings.found.len(), 1);
    }
}
