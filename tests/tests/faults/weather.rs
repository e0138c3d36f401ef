//! What goes wrong, and for how long: drawn from a seed, begun, and ended. Every kind comes at least once in every run.

use crate::world::World;
use kv_tests::{Direction, Link, Manner};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// Numbers from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Others, from the same seed.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or_default()
    }

    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.next() % (to - from).max(1))
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

/// Which of a server's links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Clients,
    Cluster,
    Database,
}

/// Something that goes wrong with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    Link(Which, Manner),
    /// Its process stands still.
    Stop,
    /// Its process is killed, and started again.
    Kill,
}

const MANNERS: [Manner; 6] = [
    Manner::Cut,
    Manner::BlackHole,
    Manner::Only(Direction::ToServer),
    Manner::Only(Direction::ToClient),
    Manner::HalfOpen,
    Manner::Delay { usual: Duration::from_millis(1), tail: Duration::from_millis(40) },
];

/// Every trouble but a kill.
pub(crate) fn troubles() -> Vec<Trouble> {
    let links = [Which::Clients, Which::Cluster, Which::Database];
    let all = links.into_iter().flat_map(|which| MANNERS.map(|manner| Trouble::Link(which, manner)));
    all.chain([Trouble::Stop]).collect()
}

/// Brings troubles over the servers, each server's one after another, until the world is over and each has come at least
/// once.
pub(crate) fn weather(world: &Arc<World>, mut troubles: Vec<Trouble>, mut dice: Dice) -> Vec<JoinHandle<usize>> {
    dice.shuffle(&mut troubles);
    let count = world.servers.len();
    let fronts = (0..count).map(|server| {
        let mut own: Vec<Trouble> = troubles.iter().skip(server).step_by(count).copied().collect();
        let (world, mut dice) = (world.clone(), dice.fork());
        let all = troubles.clone();
        tokio::spawn(async move {
            let mut seen = 0;
            while !own.is_empty() || !world.is_over() {
                let trouble = own.pop().unwrap_or_else(|| all[dice.below(all.len())]);
                let lasts = if dice.below(3) == 0 { dice.millis(2_300, 3_200) } else { dice.millis(100, 1_200) };
                befalls(&world, server, trouble, lasts).await;
                seen += 1;
                // A killed server is waited for until its lease has run out: killed more often, nobody could revoke anything.
                let least = if trouble == Trouble::Kill && count > 1 { 2_800 } else { 200 };
                tokio::time::sleep(dice.millis(least, least + 1_000)).await;
            }
            seen
        })
    });
    fronts.collect()
}

/// Has it go wrong for so long.
pub(crate) async fn befalls(world: &World, server: usize, trouble: Trouble, lasts: Duration) {
    world.records.tell(format!("server {server}: {trouble:?} for {lasts:?}"));
    let place = &world.servers[server];
    match trouble {
        Trouble::Link(which, manner) => {
            let link = match which {
                Which::Clients => Some(&place.clients),
                Which::Cluster => Some(&place.cluster),
                Which::Database => place.database.as_ref(),
            };
            let Some(link) = link else { return };
            link.set(manner);
            tokio::time::sleep(lasts).await;
            calms(link, manner);
        }
        Trouble::Stop => {
            let from = Instant::now();
            world.signal(server, "STOP");
            tokio::time::sleep(lasts).await;
            // Noted before it goes on, so that what it does then finds the pause over.
            let to = Instant::now();
            world.signal(server, "CONT");
            world.records.with(|history| history.pauses.push((server, from, to)));
        }
        Trouble::Kill => {
            world.signal(server, "KILL");
            world.ended(server).await;
            world.run(server).await;
        }
    }
    world.records.tell(format!("server {server}: {trouble:?} is over"));
}

fn calms(link: &Link, manner: Manner) {
    link.pass();
    if manner == Manner::HalfOpen {
        // What is half gone would stay so for as long as the run.
        link.reset();
    }
}
