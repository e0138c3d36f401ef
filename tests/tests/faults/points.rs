//! Servers that are killed between two steps, at each point that has a name, while requests and streams run and keys are made and
//! revoked. Every point is come to, or the run has failed.

use crate::{
    controller::lane,
    load::steady,
    runs::{either, run, seed, seen_out},
    weather::Dice,
    world::{World, until_none},
};
use kv_store::points::Point;
use kv_tests::Backend;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// How long a server may take to come to a point.
const COMES: Duration = Duration::from_secs(90);
/// A point may be passed up to so many times first.
const PASSES: usize = 4;

type Points = Arc<Mutex<Vec<Point>>>;

#[test]
fn promises_are_kept_when_servers_are_killed_at_any_point() {
    run(killed("points", Backend::Postgres, 3));
}

#[test]
fn promises_are_kept_when_the_server_of_a_file_is_killed_at_any_point() {
    run(killed("points of one", Backend::Sqlite, 1));
}

/// A server's transaction on PostgreSQL is one statement: there is nothing between its writing and its commit.
fn has(backend: Backend, point: Point) -> bool {
    backend == Backend::Sqlite || point != Point::IntentWritten
}

async fn killed(name: &str, backend: Backend, servers: usize) {
    let mut dice = Dice::new(seed());
    let world = World::start(backend, servers).await;
    let each = Point::ALL.into_iter().filter(|&point| has(backend, point));
    let mut points: Vec<Point> = each.flat_map(|point| std::iter::repeat_n(point, either(1, 5))).collect();
    dice.shuffle(&mut points);
    let (count, left): (usize, Points) = (points.len(), Arc::new(Mutex::new(points)));
    let rounds = Arc::new(AtomicUsize::new(usize::MAX));
    let living = world.make_key(0, 0).await;
    world.in_use.lock().unwrap().push(living);
    let load = steady(&world, 120, dice.fork());
    let lanes: Vec<_> = (0..3).map(|_| lane(&world, &rounds, dice.fork())).collect();
    // Of several the first lives: were they all killed all the time, nobody could take anything away.
    let mortal = if servers > 1 { 1..servers } else { 0..1 };
    let dying: Vec<_> =
        mortal.map(|server| tokio::spawn(dies(world.clone(), server, left.clone(), dice.fork()))).collect();
    for dying in dying {
        dying.await.unwrap();
    }
    rounds.store(0, Ordering::SeqCst);
    until_none(&rounds).await;
    world.over.store(true, Ordering::Relaxed);
    let history = seen_out(name, world, lanes, load).await;
    let killed = history.events.iter().filter(|(_, text)| text.contains("was killed at")).count();
    assert_eq!(killed, count, "each point was come to");
    assert!(history.asked.iter().any(|one| one.key == living && one.succeeded()));
}

/// Has a server die at one point after another, and live on when none is left.
async fn dies(world: Arc<World>, server: usize, left: Points, mut dice: Dice) {
    world.signal(server, "KILL");
    world.ended(server).await;
    loop {
        let Some(point) = left.lock().unwrap().pop() else { break };
        let passed = dice.below(PASSES).to_string();
        let trial = vec![("KV_TRIAL_KILLED_AT", format!("{point:?}")), ("KV_TRIAL_PASSED", passed)];
        *world.servers[server].trial.lock().unwrap() = trial;
        world.run(server).await;
        let began = Instant::now();
        while !world.is_dead(server) {
            assert!(began.elapsed() < COMES, "server {server} does not come to {point:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(world.ended(server).await, None, "it was killed, and did not end");
        world.records.tell(format!("server {server} was killed at {point:?}"));
    }
    world.servers[server].trial.lock().unwrap().clear();
    world.run(server).await;
    world.has_joined(server).await;
}
