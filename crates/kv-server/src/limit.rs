//! Rate limits: one bucket a user for sessions and all keys together. The arithmetic is governor's (GCRA), by the monotonic
//! clock: a step of the wall clock neither fills nor freezes a bucket.
//!
//! Servers that share a PostgreSQL share the buckets: each takes a few requests at a time from the user's row and spends them
//! by itself. What is out with the servers, a twentieth of the burst each, is how much more than the limit may pass.

use crate::{config::Limits, patience};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use kv_authz::{Owner, UserId};
use kv_store::{Store, StoreError, Terms};
use parking_lot::{Mutex, RwLock};
use std::{collections::HashMap, fmt, num::NonZeroU32, str::FromStr, sync::Arc, time::Duration};

/// How often a user may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

type Buckets = RateLimiter<UserId, DefaultKeyedStateStore<UserId>, DefaultClock, StateInformationMiddleware>;

/// What of a shared bucket is out with this server.
#[derive(Default)]
struct Purse {
    requests: u32,
    /// What was left in the bucket when it was last asked.
    left: u32,
}

impl Purse {
    /// One request from it, where there is one.
    fn spend(&mut self, limit: RateLimit) -> Option<Allowance> {
        self.requests = self.requests.checked_sub(1)?;
        Some(Allowance { remaining: self.requests + self.left, limit })
    }
}

/// The most purses that are kept: those of users who were here last.
const PURSES: usize = 100_000;

/// The buckets.
pub struct Limiter {
    limits: Limits,
    /// The buckets of this server alone, by their terms: governor has one quota for all keys of a limiter.
    own: RwLock<HashMap<RateLimit, Arc<Buckets>>>,
    /// Where buckets are shared.
    store: Store,
    purses: Mutex<HashMap<UserId, Arc<tokio::sync::Mutex<Purse>>>>,
    clock: DefaultClock,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Limiter").field(&self.limits.everybody).finish()
    }
}

/// Why a request did not pass.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The bucket is empty.
    #[error("over the rate limit")]
    Exhausted(Exhausted),
    /// The bucket is shared, and cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Limiter {
    /// Full buckets.
    #[must_use]
    pub fn new(limits: Limits, store: Store) -> Self {
        let (own, purses) = (RwLock::default(), Mutex::default());
        Self { limits, own, store, purses, clock: DefaultClock::default() }
    }

    /// Takes one request from a user's bucket.
    ///
    /// # Errors
    /// [`Refused`]; nothing is taken then.
    pub async fn take(&self, owner: &Owner) -> Result<Option<Allowance>, Refused> {
        let limit = self.limits.of(&owner.name, owner.role.name());
        let RateLimit::On { per_minute, burst } = limit else { return Ok(None) };
        if self.store.shares_buckets() {
            if let Some(allowance) = self.spend(owner.id, limit) {
                return Ok(Some(allowance));
            }
            let terms = Terms { per_minute: per_minute.get(), burst: burst.get() };
            // Those of a user take turns, and a silent database must not make them wait for each other's silence. Boxed, so
            // that those whose purse is full do not carry it along.
            let taken = self.take_shared(owner.id, limit, terms);
            let taken = patience::answer(taken, Duration::MAX, || self.store.is_silent());
            let unanswered = |error| StoreError::Unavailable { step: "taking from a bucket", source: Box::new(error) };
            return Box::pin(taken).await.map_err(unanswered)?.map(Some);
        }
        match self.buckets(limit, per_minute, burst).check_key(&owner.id) {
            Ok(state) => Ok(Some(Allowance { remaining: state.remaining_burst_capacity(), limit })),
            Err(wait) => {
                Err(Refused::Exhausted(Exhausted { retry_after: wait.wait_time_from(self.clock.now()), limit }))
            }
        }
    }

    fn buckets(&self, limit: RateLimit, per_minute: NonZeroU32, burst: NonZeroU32) -> Arc<Buckets> {
        if let Some(known) = self.own.read().get(&limit) {
            return known.clone();
        }
        let quota = Quota::per_minute(per_minute).allow_burst(burst);
        let new = || Arc::new(RateLimiter::dashmap(quota).with_middleware());
        self.own.write().entry(limit).or_insert_with(new).clone()
    }

    /// A request from a user's purse, where there is one in it and nobody is about to fill it.
    fn spend(&self, user: UserId, limit: RateLimit) -> Option<Allowance> {
        self.purses.lock().get(&user)?.try_lock().ok()?.spend(limit)
    }

    async fn take_shared(&self, user: UserId, limit: RateLimit, terms: Terms) -> Result<Allowance, Refused> {
        let purse = {
            let mut purses = self.purses.lock();
            if purses.len() >= PURSES {
                // Whoever is not here right now takes from the bucket anew; a twentieth of it may be lost.
                purses.retain(|_, purse| Arc::strong_count(purse) > 1);
            }
            purses.entry(user).or_default().clone()
        };
        // One at a time asks the bucket for a user, and the others spend what it brings.
        let mut purse = purse.lock().await;
        loop {
            if let Some(allowance) = purse.spend(limit) {
                return Ok(allowance);
            }
            let (store, wanted) = (self.store.clone(), (terms.burst / 20).max(1));
            let taken = tokio::task::spawn_blocking(move || store.take_from_bucket(user, wanted, terms)).await;
            let taken = taken.map_err(|_| StoreError::Setup("taking from a bucket panicked".into()))??;
            if taken.granted == 0 {
                return Err(Refused::Exhausted(Exhausted { retry_after: taken.wait, limit }));
            }
            *purse = Purse { requests: taken.granted, left: taken.left };
        }
    }

    /// Forgets full buckets, which are as good as new ones.
    pub fn forget_full(&self) {
        self.own.read().values().for_each(|buckets| buckets.retain_recent());
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
}
