//! Buckets of addresses: how often each may come. The arithmetic is governor's (GCRA). Their number is fixed: however many
//! addresses come, none is forgotten to make room, and none is let in for having been forgotten.

use crate::limit::{Exhausted, RateLimit};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore},
};
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
};

/// A fixed number of buckets, eight bytes each.
struct Table(Box<[InMemoryState]>);

impl StateStore for Table {
    /// A hash.
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let bucket = usize::try_from(*key % self.0.len() as u64).unwrap_or(0);
        self.0[bucket].measure_and_replace(&NotKeyed::NonKey, f)
    }
}

/// How often addresses come.
pub(crate) struct Buckets {
    limiter: RateLimiter<u64, Table, DefaultClock>,
    limit: RateLimit,
    /// Two buckets an address: whoever shares one with a stranger hardly shares the other with one too.
    hashers: [RandomState; 2],
    clock: DefaultClock,
}

impl fmt::Debug for Buckets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Buckets")
    }
}

impl Buckets {
    /// So many full buckets.
    pub(crate) fn new(number: usize, per_minute: NonZeroU32, burst: NonZeroU32) -> Self {
        let table = Table((0..number.max(1)).map(|_| InMemoryState::default()).collect());
        let (quota, clock) = (Quota::per_minute(per_minute).allow_burst(burst), DefaultClock::default());
        Self {
            limiter: RateLimiter::new(quota, table, clock.clone()),
            limit: RateLimit::On { per_minute, burst },
            hashers: [RandomState::new(), RandomState::new()],
            clock,
        }
    }

    /// Takes one from an address's buckets; IPv6 by its /64, which is one household.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub(crate) fn take(&self, address: IpAddr) -> Result<(), Exhausted> {
        let household = household(address);
        // Both are asked, so that neither spares what the other has taken.
        let [one, other] = self.hashers.each_ref().map(|hasher| self.limiter.check_key(&hasher.hash_one(household)));
        match (one, other) {
            (Err(one), Err(other)) => {
                let now = self.clock.now();
                let retry_after = one.wait_time_from(now).min(other.wait_time_from(now));
                Err(Exhausted { retry_after, limit: self.limit })
            }
            _ => Ok(()),
        }
    }
}

/// Who counts as one: an IPv4 address, or the /64 of an IPv6 address.
pub(crate) fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn attack_210_an_ipv6_household_shares_a_bucket() {
        let at = |text: &str| household(text.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }

    #[test]
    fn three_hundred_thousand_addresses_make_nobody_forgotten() {
        let thirty = NonZeroU32::new(30).unwrap();
        let buckets = Buckets::new(1 << 20, thirty, thirty);
        let mine = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let passed = (0..200).filter(|_| buckets.take(mine).is_ok()).count();
        assert!((30..=32).contains(&passed), "{passed}");
        for n in 0..300_000_u32 {
            // Whoever comes once, passes.
            assert!(buckets.take(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))).is_ok());
        }
        assert!(buckets.take(mine).is_err(), "what I have taken is not forgotten");
        // And of addresses that never came, hardly one is turned away.
        let strangers = (0..10_000_u32).map(|n| IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + n)));
        let turned_away = strangers.filter(|&stranger| buckets.take(stranger).is_err()).count();
        assert_eq!(turned_away, 0);
    }
}
