//! The clock and the source of randomness, as values that are passed in. The only room that asks the system for either.

use kv_authz::EntryId;
use parking_lot::Mutex;
use rand_core::{TryCryptoRng, TryRng};
use std::{fmt, sync::Arc};
use time::{Duration, OffsetDateTime};

/// Tells the time: UTC, in whole microseconds, as both databases keep it. And how long the machine has been up.
#[derive(Clone)]
pub struct Clock {
    now: Arc<dyn Fn() -> OffsetDateTime + Send + Sync>,
    since_boot: Arc<dyn Fn() -> std::time::Duration + Send + Sync>,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
    pub fn system() -> Self {
        Self::from_fn(OffsetDateTime::now_utc)
    }

    /// A clock of one's own, for tests.
    pub fn from_fn(now: impl Fn() -> OffsetDateTime + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now), since_boot: Arc::new(since_boot) }
    }

    /// The same clock with a boot clock of one's own, for tests.
    #[must_use]
    pub fn booted(self, since_boot: impl Fn() -> std::time::Duration + Send + Sync + 'static) -> Self {
        Self { since_boot: Arc::new(since_boot), ..self }
    }

    /// How long the machine has been up, its sleep included (`CLOCK_BOOTTIME`). Nobody sets this clock; leases are counted
    /// by it.
    #[must_use]
    pub fn since_boot(&self) -> std::time::Duration {
        (self.since_boot)()
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        let now = (self.now)();
        now - Duration::nanoseconds(i64::from(now.nanosecond() % 1_000))
    }
}

fn since_boot() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    std::time::Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// The generator failed; nothing may be made from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's random number generator failed")]
pub struct RandomError;

type Fill = dyn Fn(&mut [u8]) -> Result<(), RandomError> + Send + Sync;

/// Gives random bytes fit for keys.
#[derive(Clone)]
pub struct Random {
    fill: Arc<Fill>,
    /// For ids, of which every request has one and none is a secret: drawn many at a time, as each call of the system costs
    /// more than all the rest of an id.
    drawn: Option<Arc<Mutex<Drawn>>>,
}

const ID: usize = 10;

/// Bytes that were drawn and not used yet: the first `left`.
struct Drawn {
    bytes: [u8; 100 * ID],
    left: usize,
}

impl Drawn {
    fn take(&mut self, fill: &Fill) -> Result<[u8; ID], RandomError> {
        if self.left < ID {
            fill(&mut self.bytes)?;
            self.left = self.bytes.len();
        }
        self.left -= ID;
        let mut taken = [0; ID];
        taken.copy_from_slice(&self.bytes[self.left..self.left + ID]);
        Ok(taken)
    }
}

impl Random {
    /// The operating system's generator.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for random bytes")]
    pub fn system() -> Self {
        let system = Self::from_fn(|bytes| getrandom::fill(bytes).map_err(|_| RandomError));
        Self { drawn: Some(Arc::new(Mutex::new(Drawn { bytes: [0; 100 * ID], left: 0 }))), ..system }
    }

    /// A generator of one's own, for tests.
    pub fn from_fn(fill: impl Fn(&mut [u8]) -> Result<(), RandomError> + Send + Sync + 'static) -> Self {
        Self { fill: Arc::new(fill), drawn: None }
    }

    /// `N` random bytes.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N], RandomError> {
        let mut bytes = [0; N];
        (self.fill)(&mut bytes)?;
        Ok(bytes)
    }

    /// A new version 7 id.
    ///
    /// # Errors
    /// [`RandomError`].
    pub fn id<T: From<uuid::Uuid>>(&self, now: OffsetDateTime) -> Result<T, RandomError> {
        let millis = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
        let random = match &self.drawn {
            Some(drawn) => drawn.lock().take(&*self.fill)?,
            None => self.bytes()?,
        };
        Ok(T::from(EntryId::from_parts(millis, random).uuid()))
    }
}

impl TryRng for Random {
    type Error = RandomError;

    fn try_next_u32(&mut self) -> Result<u32, RandomError> {
        self.bytes().map(u32::from_ne_bytes)
    }

    fn try_next_u64(&mut self) -> Result<u64, RandomError> {
        self.bytes().map(u64::from_ne_bytes)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), RandomError> {
        (self.fill)(bytes)
    }
}

impl TryCryptoRng for Random {}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}
