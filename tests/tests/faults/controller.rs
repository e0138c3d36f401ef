//! Takes keys away, each over some server, and tries each on every server at that very instant and a while after.

use crate::{
    history::What,
    load::{By, ask},
    weather::Dice,
    world::World,
};
use kv_tests::Request;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::{JoinHandle, JoinSet};

/// When a key or session is tried, after the answer to its revocation.
const PROBES: [Duration; 9] = [
    Duration::from_micros(50),
    Duration::from_micros(200),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(300),
    Duration::from_millis(900),
    Duration::from_millis(1_800),
];
/// How long streams may take to open before others are tried.
const OPENS: Duration = Duration::from_secs(5);
/// Streams of each key.
pub(crate) const STREAMS: usize = 4;

/// Revokes a key, or ends a session, by another session of its owner's, over servers beginning with this one.
pub(crate) async fn revoke(world: &World, key: usize, person: usize, first: usize) {
    let token = format!("Bearer {}", world.people[person % world.people.len()].token);
    let taken = world.key(key);
    let place = if taken.is_session { "auth/sessions" } else { "api-keys" };
    let path = format!("/api/v1/{place}/{}", taken.id);
    let call = async || {
        let delete = |address| Request::new(address, "DELETE", &path).header("authorization", token.as_str());
        world.call(first, 204, delete).await;
    };
    world.dies(&[key], call).await;
}

/// Opens streams of a key, on every server by turn.
pub(crate) fn open_streams(world: &Arc<World>, key: usize, count: usize, first: usize) -> JoinSet<()> {
    let mut streams = JoinSet::new();
    for number in 0..count {
        let (world, server) = (world.clone(), (first + number) % world.servers.len());
        streams.spawn(async move { _ = ask(&world, By::Link, key, server, What::Stream).await });
    }
    streams
}

/// The same until as many more are open at the cluster as are wanted: a server that is just beginning, or a machine that is busy,
/// may refuse some.
pub(crate) async fn flowing(world: &Arc<World>, key: usize, count: usize) -> JoinSet<()> {
    let wanted = world.cluster.streams().open + count;
    let (mut streams, mut opened) = (JoinSet::new(), 0);
    loop {
        let missing = wanted.saturating_sub(world.cluster.streams().open);
        if missing == 0 {
            return streams;
        }
        let mut more = open_streams(world, key, missing, opened);
        opened += missing;
        streams.spawn(async move { while more.join_next().await.is_some() {} });
        let asked = Instant::now();
        while world.cluster.streams().open < wanted && asked.elapsed() < OPENS {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Tries a key on every server, again and again after `dead`.
pub(crate) async fn probe(world: &Arc<World>, key: usize, dead: Instant) {
    let mut probes = JoinSet::new();
    for (number, offset) in PROBES.into_iter().enumerate() {
        // The first are sooner than any timer.
        if offset > Duration::from_millis(1) {
            tokio::time::sleep_until((dead + offset).into()).await;
        }
        for server in 0..world.servers.len() {
            let what = [What::List, What::Get, What::Patch][(number + server) % 3];
            let world = world.clone();
            probes.spawn(async move { _ = ask(&world, By::Itself, key, server, what).await });
        }
    }
    while probes.join_next().await.is_some() {}
}

/// Revokes keys until so many rounds have been made by all that share the count.
pub(crate) fn lane(world: &Arc<World>, rounds: &Arc<AtomicUsize>, mut dice: Dice) -> JoinHandle<()> {
    let (world, rounds) = (world.clone(), rounds.clone());
    tokio::spawn(async move {
        let mut behind = JoinSet::new();
        while rounds.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            let count = world.servers.len();
            let (person, first) = (dice.below(world.people.len()), dice.below(count));
            let session = if dice.below(3) == 0 { world.sessions.lock().unwrap().pop() } else { None };
            let (key, person) = match session {
                Some(session) => session,
                None => (world.make_key(person, first).await, person),
            };
            world.in_use.lock().unwrap().push(key);
            let mut streams = open_streams(&world, key, STREAMS, first);
            tokio::time::sleep(dice.millis(200, 1_000)).await;
            revoke(&world, key, person, dice.below(count)).await;
            let world = world.clone();
            behind.spawn(async move {
                probe(&world, key, Instant::now()).await;
                world.in_use.lock().unwrap().retain(|other| *other != key);
                while streams.join_next().await.is_some() {}
            });
        }
        // Streams that nobody tells that they have ended end with the world's links.
        while let Some(done) = behind.join_next().await {
            done.unwrap();
        }
    })
}
