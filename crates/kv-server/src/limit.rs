//! Rate limits: one bucket a user for sessions and all keys together, one an address for those who are nobody yet.
//! The arithmetic is governor's (GCRA).
//!
//! Kept in memory, by the monotonic clock: a step of the wall clock neither fills nor freezes a bucket.

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use kv_authz::UserId;
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    str::FromStr,
    time::Duration,
};

/// How often a user may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimit {
    /// As often as they like.
    Off,
    /// On average `per_minute`, at most `burst` at once.
    On {
        /// Requests a minute.
        per_minute: NonZeroU32,
        /// Requests at once.
        burst: NonZeroU32,
    },
}

impl Default for RateLimit {
    fn default() -> Self {
        Self::On { per_minute: DEFAULT_PER_MINUTE, burst: DEFAULT_BURST }
    }
}

const DEFAULT_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).unwrap();
const DEFAULT_BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// Attempts to sign in from one address: as often as a person mistypes, no oftener.
const SIGN_INS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// The text is no rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate limit is written `600/m,burst=100` or `off`")]
pub struct MalformedRateLimit;

impl FromStr for RateLimit {
    type Err = MalformedRateLimit;

    fn from_str(text: &str) -> Result<Self, MalformedRateLimit> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let (rate, burst) = text.split_once("/m,burst=").ok_or(MalformedRateLimit)?;
        let number = |text: &str| text.parse().map_err(|_| MalformedRateLimit);
        Ok(Self::On { per_minute: number(rate)?, burst: number(burst)? })
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On { per_minute, burst } => write!(f, "{per_minute}/m,burst={burst}"),
        }
    }
}

/// What is left of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Requests that would pass right now.
    pub remaining: u32,
    /// The user's limit, to be told in `RateLimit-Policy`.
    pub limit: RateLimit,
}

/// The bucket is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted {
    /// When the next request would pass.
    pub retry_after: Duration,
    /// The limit.
    pub limit: RateLimit,
}

type Keyed<K> = RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// The buckets.
pub struct Limiter {
    limit: RateLimit,
    users: Option<Keyed<UserId>>,
    addresses: Keyed<IpAddr>,
    clock: DefaultClock,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Limiter").field(&self.limit).finish()
    }
}

impl Limiter {
    /// Full buckets.
    #[must_use]
    pub fn new(limit: RateLimit) -> Self {
        let quota = |per_minute, burst| Quota::per_minute(per_minute).allow_burst(burst);
        let users = match limit {
            RateLimit::Off => None,
            RateLimit::On { per_minute, burst } => {
                Some(RateLimiter::dashmap(quota(per_minute, burst)).with_middleware())
            }
        };
        let addresses = RateLimiter::dashmap(quota(SIGN_INS_PER_MINUTE, SIGN_INS_PER_MINUTE)).with_middleware();
        Self { limit, users, addresses, clock: DefaultClock::default() }
    }

    /// Takes one request from a user's bucket.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing is taken then.
    pub fn take(&self, user: UserId) -> Result<Option<Allowance>, Exhausted> {
        let Some(users) = &self.users else { return Ok(None) };
        match users.check_key(&user) {
            Ok(state) => Ok(Some(Allowance { remaining: state.remaining_burst_capacity(), limit: self.limit })),
            Err(wait) => Err(Exhausted { retry_after: wait.wait_time_from(self.clock.now()), limit: self.limit }),
        }
    }

    /// Takes one attempt to sign in from an address's bucket; IPv6 by its /64, which is one household.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn take_sign_in(&self, address: IpAddr) -> Result<(), Exhausted> {
        let limit = RateLimit::On { per_minute: SIGN_INS_PER_MINUTE, burst: SIGN_INS_PER_MINUTE };
        match self.addresses.check_key(&household(address)) {
            Ok(_) => Ok(()),
            Err(wait) => Err(Exhausted { retry_after: wait.wait_time_from(self.clock.now()), limit }),
        }
    }

    /// Forgets full buckets, which are as good as new ones.
    pub fn forget_full(&self) {
        self.addresses.retain_recent();
        if let Some(users) = &self.users {
            users.retain_recent();
        }
    }
}

fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_back_as_written() {
        for text in ["600/m,burst=100", "1/m,burst=1", "off"] {
            assert_eq!(text.parse::<RateLimit>().unwrap().to_string(), text);
        }
        for text in ["", "600", "600/m", "600/m,burst=0", "0/m,burst=1", "600/s,burst=1", "-1/m,burst=1"] {
            assert!(text.parse::<RateLimit>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn attack_210_an_ipv6_household_shares_a_bucket() {
        let at = |text: &str| household(text.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }

    #[test]
    fn a_bucket_empties_at_its_burst() {
        let limiter = Limiter::new("1/m,burst=3".parse().unwrap());
        let user = UserId::from_parts(1, [1; 10]);
        for left in [2, 1, 0] {
            assert_eq!(limiter.take(user).unwrap().unwrap().remaining, left);
        }
        assert!(limiter.take(user).unwrap_err().retry_after > Duration::from_secs(50));
        assert!(limiter.take(UserId::from_parts(1, [2; 10])).is_ok());
    }
}
