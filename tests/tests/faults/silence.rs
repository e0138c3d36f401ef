//! Connections that are half open for good: what was open stays so, is never reset, and never says anything again, while whoever
//! connects anew is served. On every link of a server, which is bounded everywhere, and goes on by itself.

use crate::{
    controller::{flowing, probe, revoke},
    history::What,
    load::{By, ask, steady},
    runs::{judge, run, seed},
    weather::Dice,
    world::{Server, World},
};
use kv_tests::{Backend, Link, Manner};
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// How long whoever takes rights away may wait: a lease, and what a busy machine adds.
const TAKEN: Duration = Duration::from_secs(8);
/// How soon a server has left what is silent.
const ANEW: Duration = Duration::from_secs(30);

type Of = fn(&Server) -> &Link;

#[test]
fn silence_of_the_clients_holds_nobody_up() {
    run(goes_on("silent clients", |server| &server.clients));
}

#[test]
fn silence_of_the_cluster_holds_nobody_up() {
    run(goes_on("silent cluster", |server| &server.cluster));
}

#[test]
fn silence_of_the_database_is_left_behind() {
    run(goes_on("silent database", |server| server.database.as_ref().unwrap()));
}

async fn goes_on(name: &str, link: Of) {
    let mut dice = Dice::new(seed());
    let world = World::start(Backend::Postgres, 2).await;
    let keys = [world.make_key(0, 0).await, world.make_key(1, 0).await];
    world.in_use.lock().unwrap().extend(keys);
    for server in [0, 1] {
        while ask(&world, By::Itself, keys[0], server, What::Get).await.status != 200 {}
    }
    let load = steady(&world, 60, dice.fork());
    let streams = [flowing(&world, keys[0], 4).await, flowing(&world, keys[1], 4).await];
    tokio::time::sleep(Duration::from_millis(300)).await;
    let silent = link(&world.servers[1]);
    silent.set(Manner::HalfOpen);
    tokio::time::sleep(Duration::from_millis(100)).await;
    silent.pass();
    // Over the other server, and then over this one as soon as it serves.
    takes(&world, keys[0], 0, 0).await;
    probe(&world, keys[0], Instant::now()).await;
    serves(&world, keys[1]).await;
    takes(&world, keys[1], 1, 1).await;
    probe(&world, keys[1], Instant::now()).await;
    world.over.store(true, Ordering::Relaxed);
    load.await.unwrap();
    // A server that nothing comes back to ends all the same when it is told to.
    silent.set(Manner::BlackHole);
    tokio::time::sleep(Duration::from_millis(300)).await;
    world.signal(1, "TERM");
    world.ended(1).await;
    silent.pass();
    silent.reset();
    world.run(1).await;
    world.has_joined(1).await;
    let start = world.start;
    let ended = async {
        for mut streams in streams {
            while streams.join_next().await.is_some() {}
        }
    };
    // Clients whose end is forgotten wait for ever; that is theirs.
    let (_, history) = tokio::join!(tokio::time::timeout(Duration::from_secs(3), ended), async {
        world.servers.iter().for_each(|server| server.clients.reset());
        world.clone().end().await
    });
    judge(name, start, &history);
}

async fn takes(world: &World, key: usize, person: usize, first: usize) {
    let began = Instant::now();
    revoke(world, key, person, first).await;
    assert!(began.elapsed() < TAKEN, "it took {:?} to take a key away", began.elapsed());
}

async fn serves(world: &Arc<World>, key: usize) {
    let began = Instant::now();
    while ask(world, By::Itself, key, 1, What::Get).await.status != 200 {
        assert!(began.elapsed() < ANEW, "the server does not serve again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("it serves after {:?}", began.elapsed());
}
