//! Patience: how long a request waits for the database. As long as that answers anybody, a slow answer is waited for; once it
//! has fallen silent, nobody is kept waiting for a whole second.
//!
//! What is given up is not undone: whether the database did it is not known.

use std::{future::Future, pin::pin, time::Duration};
use tokio::time::{Instant, timeout};

/// How long any call is waited for before the database's silence counts.
const SOON: Duration = Duration::from_millis(700);
/// How long a server that starts waits for each of its first calls, silence or not: nobody is kept waiting. Were one given
/// up and done all the same, the first administrator could have a password that was made up, and shown to nobody.
pub const START: Duration = Duration::from_secs(5);
/// Between two looks afterwards.
const LOOK: Duration = Duration::from_millis(50);
/// How long a request that failed for want of the database still tries to be put on record, which a database that is well does
/// in a few milliseconds.
pub const FAREWELL: Duration = Duration::from_millis(150);

/// The database did not say: nobody is admitted, and nothing is told as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database did not answer in time")]
pub struct Unanswered;

/// Waits for a call, at most so long, and less when the database is silent.
///
/// # Errors
/// [`Unanswered`]; the call goes on, where it can without its caller.
pub async fn answer<T>(
    call: impl Future<Output = T>,
    longest: Duration,
    is_silent: impl Fn() -> bool,
) -> Result<T, Unanswered> {
    let (mut call, started, mut step) = (pin!(call), Instant::now(), SOON);
    loop {
        match timeout(step, &mut call).await {
            Ok(done) => return Ok(done),
            Err(_) if started.elapsed() >= longest || is_silent() => return Err(Unanswered),
            Err(_) => step = LOOK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn silence_ends_the_wait_and_slowness_does_not() {
        // Each of these would wait a minute, were it not for what it is about.
        assert_eq!(answer(pending::<()>(), LONG, || true).await, Err(Unanswered));
        let slow = tokio::time::sleep(SOON + 4 * LOOK);
        assert_eq!(answer(slow, LONG, || false).await, Ok(()));
        let longest = SOON + 2 * LOOK;
        let started = Instant::now();
        assert_eq!(answer(pending::<()>(), longest, || false).await, Err(Unanswered));
        assert!(started.elapsed() >= longest);
        let started = Instant::now();
        let falls_silent = || started.elapsed() > SOON + 4 * LOOK;
        assert_eq!(answer(pending::<()>(), LONG, falls_silent).await, Err(Unanswered));
        assert!(started.elapsed() < LONG);
    }
}
