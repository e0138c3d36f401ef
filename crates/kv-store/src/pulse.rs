//! The pulse: whether the database answers at all. A call that waits longer than usual looks here, to tell a database that is
//! slow, and answers others meanwhile, from one that has fallen silent.
//!
//! Nothing is asked of the database here.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// How long nothing may come back while something is asked.
const SILENCE: Duration = Duration::from_millis(600);

/// What is asked and answered of one kind of work: what hangs of one kind may not of another. A primary that has lost its
/// standby answers reads and ends no commit.
#[derive(Debug, Default)]
pub(crate) struct Pulse(Mutex<Beat>);

#[derive(Debug, Default)]
struct Beat {
    asked: u32,
    /// When anything last came back; or, where nothing is missing since then, the first of these was asked.
    since: Option<Instant>,
    /// Whether the last call has had its answer.
    answered: bool,
}

impl Pulse {
    /// Runs a call. That the database could not do it is no answer, whether it said so or not.
    pub(crate) fn during<T, E>(
        &self,
        call: impl FnOnce() -> Result<T, E>,
        unanswered: impl FnOnce(&E) -> bool,
    ) -> Result<T, E> {
        let asked = Asked::of(self);
        let done = call();
        asked.end(!done.as_ref().is_err_and(unanswered));
        done
    }

    /// Whether something is asked, and nothing has come back for long.
    pub(crate) fn is_silent(&self) -> bool {
        let beat = self.0.lock();
        beat.asked > 0 && beat.since.is_some_and(|since| since.elapsed() >= SILENCE)
    }
}

/// Something that is asked; a panic ends it too.
struct Asked<'a> {
    pulse: &'a Pulse,
    answered: bool,
}

impl<'a> Asked<'a> {
    fn of(pulse: &'a Pulse) -> Self {
        let mut beat = pulse.0.lock();
        if beat.asked == 0 && (beat.answered || beat.since.is_none()) {
            beat.since = Some(Instant::now());
        }
        beat.asked += 1;
        drop(beat);
        Self { pulse, answered: false }
    }

    fn end(mut self, answered: bool) {
        self.answered = answered;
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut beat = self.pulse.0.lock();
        beat.asked -= 1;
        beat.answered = self.answered;
        if self.answered {
            beat.since = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn ask(pulse: &Pulse, takes: Duration, done: Result<(), bool>) {
        let asked = pulse.during(
            || {
                thread::sleep(takes);
                done
            },
            |unanswered| *unanswered,
        );
        assert_eq!(asked, done);
    }

    #[test]
    fn who_asks_nothing_hears_no_silence() {
        let pulse = Pulse::default();
        ask(&pulse, Duration::ZERO, Ok(()));
        thread::sleep(SILENCE);
        assert!(!pulse.is_silent());
    }

    #[test]
    fn silence_is_when_nobody_is_answered() {
        let pulse = Pulse::default();
        thread::scope(|scope| {
            scope.spawn(|| ask(&pulse, 3 * SILENCE, Ok(())));
            thread::sleep(SILENCE + SILENCE / 2);
            assert!(pulse.is_silent());
            // That it could not be done is no answer.
            ask(&pulse, Duration::ZERO, Err(true));
            assert!(pulse.is_silent());
            // A refusal is one.
            ask(&pulse, Duration::ZERO, Err(false));
            assert!(!pulse.is_silent());
        });
        assert!(!pulse.is_silent());
    }

    #[test]
    fn failures_one_after_the_other_are_one_silence() {
        let pulse = Pulse::default();
        for _ in 0..4 {
            ask(&pulse, SILENCE / 3, Err(true));
        }
        let asked = Asked::of(&pulse);
        assert!(pulse.is_silent(), "though the last was asked just now");
        asked.end(true);
        let asked = Asked::of(&pulse);
        assert!(!pulse.is_silent());
        drop(asked);
    }
}
