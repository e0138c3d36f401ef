//! Throttle: how long failed attempts to prove who one is make the next one wait. Arithmetic only.
//!
//! It delays and never locks out: whoever knows a name could otherwise keep its owner away for good (OWASP ASVS 6.1.1).

use time::Duration;

/// Failures that cost no wait: people mistype.
pub const FREE: u32 = 10;
/// The longest wait.
pub const LONGEST: Duration = Duration::minutes(5);
/// Failures are forgotten when the last one is this old.
pub const FORGOTTEN: Duration = Duration::DAY;

/// How long after its last failure the next attempt is looked at, when there were so many: nothing for the first
/// [`FREE`], then a second that doubles up to [`LONGEST`].
#[must_use]
pub fn wait(failures: u32) -> Duration {
    match failures.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(more) => LONGEST.min(Duration::seconds(1_i64 << more.min(16))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_184_waits_grow_and_end() {
        let seconds: Vec<i64> = (5..21).map(|failures| wait(failures).whole_seconds()).collect();
        assert_eq!(seconds, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(wait(u32::MAX), LONGEST);
    }
}
