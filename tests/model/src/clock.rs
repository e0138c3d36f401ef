//! Time: the model's own, and the clocks that processes have of it. A process never sees the model's.

/// Microseconds.
pub(crate) type Micros = u64;

/// A millisecond.
pub(crate) const MS: Micros = 1_000;
/// A second.
pub(crate) const S: Micros = 1_000 * MS;

/// When something happened: the time, and the place in the order of all that happened, which decides between equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    pub(crate) at: Micros,
    pub(crate) no: u64,
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>10.3} ms", self.at as f64 / 1_000.0)
    }
}

/// A process's clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// How many of its microseconds a second of the model has.
    pub(crate) rate: u64,
    /// How far the wall clock was set ahead.
    pub(crate) ahead: i64,
}

impl Clock {
    /// What the boot clock shows. It is never set, and goes on while the process is stopped.
    pub(crate) fn boot(self, now: Micros) -> Micros {
        now * self.rate / S
    }

    /// What the wall clock shows.
    pub(crate) fn wall(self, now: Micros) -> Micros {
        self.boot(now).saturating_add_signed(self.ahead)
    }

    /// How long the model takes until so much has passed on the boot clock.
    pub(crate) fn lasting(self, local: Micros) -> Micros {
        (local * S).div_ceil(self.rate)
    }

    /// When the boot clock will show this.
    pub(crate) fn when(self, boot: Micros) -> Micros {
        (boot * S).div_ceil(self.rate)
    }
}
