//! Tells a run's history around a violation, line by line. Never a judgement.

use crate::{checker::Violation, world::World};
use std::fmt::Write;

/// How long before the violation the story begins, in microseconds.
const BEFORE: u64 = 6_000_000;

/// The lines about the credential, and about nobody in particular.
pub(crate) fn tell(world: &World, violation: &Violation) -> String {
    let mut text = format!("{violation}\n");
    for (process, it) in world.processes.iter().enumerate() {
        let _ = writeln!(text, "process {process}: a second is {} us by its boot clock", it.clock.rate);
    }
    let (from, to) = (violation.at().saturating_sub(BEFORE), violation.at());
    for line in world.story.iter().flatten() {
        let meant = line.credential.is_none_or(|credential| credential == violation.credential);
        if meant && (from..=to).contains(&line.at.at) {
            let _ = writeln!(text, "{} {}", line.at, line.text);
        }
    }
    text
}
