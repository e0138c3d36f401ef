//! The protocol that makes a revocation immediate on every replica, as a model: a simulation of discrete events, drawn from a
//! seed, under faults. What was seen from outside is judged by a checker that knows the promises and nothing of the protocol.
//! Never the server's own code; that is under faults elsewhere. Never a clock, a thread or chance of its own.

mod admission;
mod checker;
mod clock;
mod counts;
mod database;
mod event;
mod gates;
mod history;
mod lease;
mod network;
mod plan;
mod process;
mod random;
mod readers;
mod request;
mod revoker;
mod rules;
mod server;
mod statements;
mod story;
mod world;

pub use checker::{Promise, Violation};
pub use counts::{Branch, Counts, Fault};
pub use rules::{DRIFT, Mutant, Rules};

use world::World;

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    /// What it was drawn from.
    pub seed: u64,
    /// How many requests arrived at a replica.
    pub requests: usize,
    /// How many of them were answered 503.
    pub unavailable: usize,
    /// How many were answered nothing, though their clients waited.
    pub unanswered: usize,
    /// How many revoking calls were answered 2xx.
    pub revoked: usize,
    /// What happened how often.
    pub counts: Counts,
    /// The promises that were not kept.
    pub violations: Vec<Violation>,
}

/// Plays a seed.
#[must_use]
pub fn run(seed: u64, rules: Rules) -> Run {
    let world = play(World::new(seed, rules));
    Run {
        seed,
        requests: world.history.requests.iter().filter(|asked| asked.arrived.is_some()).count(),
        unavailable: world.history.unavailable(),
        unanswered: world
            .requests
            .iter()
            .zip(&world.history.requests)
            .filter(|(it, asked)| it.waits_in_vain(asked))
            .count(),
        revoked: world.history.revocations.iter().filter(|call| call.returned.is_some()).count(),
        violations: checker::check(&world.history),
        counts: world.counts,
    }
}

/// Plays a seed again, and tells what happened to a credential and around it, for a person to follow.
#[must_use]
pub fn story(seed: u64, rules: Rules, violation: &Violation) -> String {
    let mut world = World::new(seed, rules);
    world.story = Some(Vec::new());
    story::tell(&play(world), violation)
}

fn play(mut world: World) -> World {
    let until = world.plan();
    world.run(until);
    world
}
