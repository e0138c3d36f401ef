//! Strangers: addresses that show credentials which are refused, and how many of these are looked up. Whoever shows too many
//! is a suspect, and of a suspect only so many are. All strangers together may show as many as one, so that a flood from many
//! addresses ends where one from a single address does; whoever has shown one that is somebody's is none of them.
//!
//! Nobody is refused here whose credential is known already. And while nobody is suspected everybody is looked up, so that a
//! server that was just started, and knows nobody, turns nobody away.

use crate::{
    buckets::{self, Buckets},
    limit::{Exhausted, RateLimit},
};
use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use quick_cache::sync::Cache;
use std::{fmt, net::IpAddr, time::Duration};

type Instant = <DefaultClock as Clock>::Instant;

/// Buckets. Emptying them takes as many credentials as an address may show, times this.
const BUCKETS: usize = 1 << 16;
/// The most addresses that are suspected at once, and that are known; whoever is forgotten is found out anew.
const REMEMBERED: usize = 1 << 16;
/// For how long an address is suspected after it was over its limit.
const SUSPECTED: Duration = Duration::from_secs(3);

/// What is remembered of addresses.
pub struct Strangers(Option<Limited>);

struct Limited {
    limit: RateLimit,
    each: Buckets,
    all: DefaultDirectRateLimiter,
    /// When they last were over the limit; all together under no address.
    suspects: Cache<Option<IpAddr>, Instant>,
    /// Where good credentials came from.
    known: Cache<IpAddr, ()>,
    clock: DefaultClock,
}

impl fmt::Debug for Strangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Strangers")
    }
}

impl Strangers {
    /// Nobody has come yet. The limit is how often an address may show a credential that is good for nothing.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        let RateLimit::On { per_minute, burst } = limit else { return Self(None) };
        Self(Some(Limited {
            limit,
            each: Buckets::new(BUCKETS, per_minute, burst),
            all: RateLimiter::direct(Quota::per_minute(per_minute).allow_burst(burst)),
            suspects: Cache::new(REMEMBERED),
            known: Cache::new(REMEMBERED),
            clock: DefaultClock::default(),
        }))
    }

    /// Whether a credential from there, which nobody here knows yet, is looked up.
    ///
    /// # Errors
    /// [`Exhausted`]: too many that were refused came from there, or from everywhere.
    pub fn may_look_up(&self, address: IpAddr) -> Result<(), Exhausted> {
        let Some(limited) = &self.0 else { return Ok(()) };
        limited.subjects(address).filter(|&subject| limited.is_suspect(subject)).try_for_each(|one| limited.take(one))
    }

    /// A credential that came from there was refused.
    pub fn refused(&self, address: IpAddr) {
        if let Some(limited) = &self.0 {
            // What it would have been turned away for is for the next one.
            limited.subjects(address).for_each(|subject| _ = limited.take(subject));
        }
    }

    /// A credential that came from there was looked up and found.
    pub fn found(&self, address: IpAddr) {
        if let Some(limited) = &self.0 {
            limited.known.insert(buckets::household(address), ());
        }
    }
}

impl Limited {
    /// What an address counts for: itself, and all together if it is a stranger's.
    fn subjects(&self, address: IpAddr) -> impl Iterator<Item = Option<IpAddr>> {
        let household = buckets::household(address);
        let is_known = self.known.get(&household).is_some();
        [Some(Some(household)), (!is_known).then_some(None)].into_iter().flatten()
    }

    fn is_suspect(&self, subject: Option<IpAddr>) -> bool {
        self.suspects.get(&subject).is_some_and(|since| self.clock.now().duration_since(since) < SUSPECTED)
    }

    fn take(&self, subject: Option<IpAddr>) -> Result<(), Exhausted> {
        let taken = match subject {
            Some(household) => self.each.take(household),
            None => self
                .all
                .check()
                .map_err(|soon| Exhausted { retry_after: soon.wait_time_from(self.clock.now()), limit: self.limit }),
        };
        taken.inspect_err(|_| self.suspects.insert(subject, self.clock.now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n))
    }

    #[test]
    fn a_suspect_is_turned_away_and_nobody_else() {
        let strangers = Strangers::new("1/m,burst=10".parse().unwrap());
        // So that what it shows does not count for all strangers.
        strangers.found(address(1));
        // However many are looked up: nobody is a suspect for coming.
        assert!((0..100).all(|_| strangers.may_look_up(address(1)).is_ok()));
        (0..11).for_each(|_| strangers.refused(address(1)));
        assert!(strangers.may_look_up(address(1)).is_err());
        assert!(strangers.may_look_up(address(2)).is_ok());
    }

    #[test]
    fn many_together_are_one_suspect_and_whoever_is_known_is_none_of_them() {
        let strangers = Strangers::new("1/m,burst=10".parse().unwrap());
        strangers.found(address(1));
        // Known ones do not count among them.
        (0..30).for_each(|_| strangers.refused(address(1)));
        assert!(strangers.may_look_up(address(50)).is_ok());
        (100..111).for_each(|n| strangers.refused(address(n)));
        assert!(strangers.may_look_up(address(50)).is_err(), "it never came, and nobody knows it");
        strangers.found(address(2));
        assert!(strangers.may_look_up(address(2)).is_ok());
        assert!(strangers.may_look_up(address(1)).is_err(), "a suspect of its own");
    }

    #[test]
    fn without_a_limit_nobody_is_turned_away() {
        let strangers = Strangers::new(RateLimit::Off);
        (0..1_000).for_each(|_| strangers.refused(address(1)));
        assert!(strangers.may_look_up(address(1)).is_ok());
    }
}
