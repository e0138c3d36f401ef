//! The runs. Each ends with the checker's word; a breach is printed with its seed and its key's history.

use crate::{
    checker::{Breach, Promise, check},
    controller::{lane, open_streams, probe, revoke},
    history::{History, What},
    load::{By, ask, steady},
    weather::{Dice, Trouble, befalls, troubles, weather},
    world::World,
};
use kv_tests::{Backend, Request};
use serde_json::json;
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::task::{JoinHandle, JoinSet};

/// The most sessions that are begun for a run.
const SIGN_INS: usize = 24;
/// Whether it is the long run.
const LONG: &str = "KUBEVISION_TEST_FAULTS";
/// What a run is drawn from, where it is to be drawn again.
const SEED: &str = "KUBEVISION_TEST_SEED";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// One in the tests, the other in the long run.
pub(crate) fn either<T>(short: T, long: T) -> T {
    if std::env::var_os(LONG).is_some() { long } else { short }
}

pub(crate) fn seed() -> u64 {
    let drawn = || u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos());
    let seed = number(SEED).unwrap_or_else(drawn);
    println!("{SEED}={seed}");
    seed
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let limit = Duration::from_secs(either(150, 400));
        tokio::time::timeout(limit, test).await.expect("the run hangs");
    });
    runtime.shutdown_background();
}

/// Says what was seen, and fails where a promise was not kept.
pub(crate) fn judge(name: &str, start: Instant, history: &History) {
    let (found, exempt) = check(history);
    let of = |what| history.asked.iter().filter(|one| one.what == what).count();
    let with = |status| history.asked.iter().filter(|one| one.status == status).count();
    println!(
        "{name}: {} keys, {} spells, {} requests and {} streams ({} answered 2xx, {} 401, {} 503, {} nothing), {} at the \
         cluster, {} entries, {} pauses, {} writes of stopped threads, {:?}",
        history.keys.len(),
        history.keys.iter().map(|key| key.spells.len()).sum::<usize>(),
        history.asked.len() - of(What::Stream),
        of(What::Stream),
        with(200),
        with(401),
        with(503),
        with(0),
        history.effects.len(),
        history.entries.len(),
        history.pauses.len(),
        exempt.len(),
        start.elapsed(),
    );
    for (_, text) in history.events.iter().filter(|(_, text)| text.contains("had said")) {
        println!("{name}: {text}");
    }
    for text in exempt {
        println!("{name}: a thread stood between its check and its write: {text}");
    }
    for breach in found.iter().take(20) {
        println!("{name}: {:?}: {}", breach.promise, breach.text);
    }
    if let Some(breach) = found.iter().find(|breach| breach.key.is_some()) {
        println!("{}", history.of_key(breach.key.unwrap(), start));
    }
    assert!(found.is_empty(), "{name}: {} breaches", found.len());
}

/// Sees everything that was begun through to its end, and judges what was seen.
pub(crate) async fn seen_out(
    name: &str,
    world: Arc<World>,
    lanes: Vec<JoinHandle<()>>,
    load: JoinHandle<()>,
) -> History {
    world.is_well().await;
    for lane in lanes {
        lane.await.unwrap();
    }
    load.await.unwrap();
    let start = world.start;
    let history = world.end().await;
    judge(name, start, &history);
    history
}

/// Revokes keys under a load while troubles come.
async fn under(name: &str, backend: Backend, servers: usize, troubles: Vec<Trouble>, rounds: usize, rate: u32) {
    let mut dice = Dice::new(seed());
    let world = World::start(backend, servers).await;
    let kinds = troubles.len();
    // Begun before there is trouble: a password takes long to look at, and only so many are looked at in a minute.
    for number in 0..rounds.div_ceil(3).min(SIGN_INS) {
        let session = world.make_session(number, number % servers).await;
        world.sessions.lock().unwrap().push((session, number));
    }
    let rounds = Arc::new(AtomicUsize::new(rounds));
    // A key and a person that live all the time.
    let living = [world.make_key(0, 0).await, world.make_session(0, 0).await];
    world.in_use.lock().unwrap().extend(living);
    let load = steady(&world, rate, dice.fork());
    let lanes: Vec<_> = (0..either(4, 8)).map(|_| lane(&world, &rounds, dice.fork())).collect();
    let fronts = weather(&world, troubles, dice.fork());
    crate::world::until_none(&rounds).await;
    world.over.store(true, Ordering::Relaxed);
    let mut befell = 0;
    for front in fronts {
        befell += front.await.unwrap();
    }
    assert!(befell >= kinds, "every trouble has come");
    let history = seen_out(name, world, lanes, load).await;
    for one in living {
        let used = history.asked.iter().filter(|asked| asked.key == one && asked.succeeded()).count();
        assert!(used > 0, "what lives was used {used} times");
    }
}

#[test]
fn promises_are_kept_while_links_and_servers_go_wrong() {
    run(under("links", Backend::Postgres, 3, troubles(), either(24, 300), either(120, 400)));
}

#[test]
fn promises_are_kept_when_servers_are_killed() {
    run(under("kills", Backend::Postgres, 3, vec![Trouble::Kill; either(6, 36)], either(8, 60), 120));
}

#[test]
fn promises_are_kept_when_the_server_of_a_file_is_killed() {
    run(under("kills of one", Backend::Sqlite, 1, vec![Trouble::Kill; either(4, 14)], either(8, 30), 120));
}

/// A server that stands still for longer than its lease, while the key that it serves is revoked elsewhere.
#[test]
fn a_server_that_stood_still_lets_nothing_go() {
    run(async {
        let mut dice = Dice::new(seed());
        let world = World::start(Backend::Postgres, 3).await;
        let load = steady(&world, 150, dice.fork());
        for _ in 0..either(2, 6) {
            let key = world.make_key(0, 0).await;
            world.in_use.lock().unwrap().push(key);
            let mut streams = open_streams(&world, key, 6, 0);
            tokio::time::sleep(Duration::from_millis(600)).await;
            let stands = async { befalls(&world, 2, Trouble::Stop, Duration::from_millis(3_500)).await };
            let dies = async {
                tokio::time::sleep(dice.millis(0, 400)).await;
                revoke(&world, key, 0, 0).await;
                probe(&world, key, Instant::now()).await;
            };
            tokio::join!(stands, dies);
            tokio::time::sleep(Duration::from_secs(1)).await;
            world.in_use.lock().unwrap().clear();
            let ended = async { while streams.join_next().await.is_some() {} };
            tokio::time::timeout(kv_tests::PATIENCE, ended).await.expect("its streams end");
        }
        world.over.store(true, Ordering::Relaxed);
        load.await.unwrap();
        world.is_well().await;
        let start = world.start;
        let history = world.end().await;
        assert!(history.asked.iter().any(|one| one.what == What::Stream && one.server == 2 && !one.stream.is_empty()));
        judge("stood still", start, &history);
    });
}

/// An owner who is disabled and enabled again and again; their keys come back with them.
#[test]
fn promises_are_kept_when_an_owner_is_disabled_and_enabled() {
    run(async {
        let mut dice = Dice::new(seed());
        let world = World::start(Backend::Postgres, 3).await;
        let keys = [world.make_key(1, 0).await, world.make_key(1, 1).await];
        let other = world.make_key(2, 1).await;
        world.in_use.lock().unwrap().extend(keys.into_iter().chain([other]));
        let load = steady(&world, 150, dice.fork());
        let (path, admin) = (format!("/api/v1/users/{}", world.people[1].id), format!("Bearer {}", world.admin));
        for _ in 0..either(10, 200) {
            let mut streams = open_streams(&world, keys[0], 3, 0);
            tokio::time::sleep(dice.millis(50, 300)).await;
            let change = async |first, body| {
                let patch = |address| Request::new(address, "PATCH", &path).header("authorization", admin.as_str());
                world.call(first, 200, |address| patch(address).json(&body)).await;
            };
            world.dies(&keys, async || change(dice.below(3), json!({"disabled": true})).await).await;
            let probes = (0..3).map(|server| ask(&world, By::Itself, keys[1], server, What::Get));
            futures_util::future::join_all(probes).await;
            let back = json!({"disabled": false, "restore_api_keys": true});
            let ended = async { while streams.join_next().await.is_some() {} };
            tokio::time::timeout(kv_tests::PATIENCE, ended).await.expect("its streams end");
            world.revives(&keys, async || change(1, back).await).await;
        }
        world.over.store(true, Ordering::Relaxed);
        load.await.unwrap();
        let start = world.start;
        let history = world.end().await;
        judge("flips", start, &history);
        for key in keys.into_iter().chain([other]) {
            assert!(history.asked.iter().any(|one| one.key == key && one.succeeded()));
        }
    });
}

/// The same eyes on what is wrong on purpose, from outside: each is seen.
#[test]
fn what_is_wrong_is_seen() {
    run(async {
        let mut dice = Dice::new(seed());
        let world = World::start(Backend::Postgres, 3).await;
        let load = steady(&world, 100, dice.fork());
        let (first, second) = (world.make_key(0, 0).await, world.make_key(1, 1).await);
        world.in_use.lock().unwrap().extend([first, second]);
        let streams = [open_streams(&world, first, 6, 0), open_streams(&world, second, 3, 0)];
        tokio::time::sleep(Duration::from_secs(1)).await;
        revoke(&world, second, 1, 1).await;
        probe(&world, second, Instant::now()).await;
        // Taken away behind the servers' backs: nobody is told to end anything.
        let id = world.database().literal(world.key(first).id.parse::<kv_authz::KeyId>().unwrap());
        let revoking = format!("UPDATE api_keys SET revoked_at = created_at + 1, revoked_by = 'x' WHERE id = {id}");
        let behind = world.clone();
        let sql = async || tokio::task::spawn_blocking(move || behind.database().execute(&revoking)).await.unwrap();
        world.dies(&[first], sql).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        world.over.store(true, Ordering::Relaxed);
        load.await.unwrap();
        let start = world.start;
        let ending = world.end();
        let ((), history) = tokio::join!(all_end(streams), ending);
        let seen = |history: &History| -> Vec<Breach> { check(history).0 };
        let found = seen(&history);
        assert!(!found.is_empty(), "streams that flow on are seen");
        for breach in &found {
            assert!(breach.key == Some(first) && breach.promise != Promise::V1, "{breach:?}");
        }
        assert!(found.iter().any(|breach| breach.promise == Promise::S4), "{found:?}");
        wrong_on_record(history, first, second, start);
    });
}

async fn all_end<const COUNT: usize>(mut streams: [JoinSet<()>; COUNT]) {
    for streams in &mut streams {
        while streams.join_next().await.is_some() {}
    }
}

/// A history that is right but for one thing.
fn wrong_on_record(mut history: History, first: usize, second: usize, start: Instant) {
    // What is known already: the streams that flowed on.
    history.asked.retain(|one| one.key != first || one.what != What::Stream);
    history.keys[first].spells.iter_mut().for_each(|spell| spell.dead = None);
    judge("right", start, &history);
    let sees = |promise: Promise, change: &dyn Fn(&mut History)| {
        let mut wrong = history.clone();
        change(&mut wrong);
        let (found, _) = check(&wrong);
        assert!(found.iter().any(|breach| breach.promise == promise), "{promise:?} is seen: {found:?}");
    };
    let answered = |history: &History, key, status| {
        let mut all = history.asked.iter();
        all.position(|one| one.key == key && one.status == status && one.what == What::Get).unwrap()
    };
    let (taken, refused) = (answered(&history, first, 200), answered(&history, second, 401));
    let id = history.asked[taken].request_id.clone();
    // An entry is gone; one is there twice; one says what was not.
    sees(Promise::A1, &|wrong| wrong.entries.retain(|entry| entry.request_id != id));
    sees(Promise::A2, &|wrong| {
        let again = wrong.entries.iter().find(|entry| entry.request_id == id).cloned().unwrap();
        wrong.entries.push(again);
    });
    sees(Promise::A3, &|wrong| wrong.effects.retain(|effect| effect.entry != id));
    // Answers are told of the other key.
    sees(Promise::V1, &|wrong| wrong.asked[refused].key = first);
    sees(Promise::S1, &|wrong| {
        let after = wrong.keys[second].spells[0].dead.as_ref().unwrap().0 + Duration::from_millis(1);
        (wrong.asked[taken].began, wrong.asked[taken].key) = (after, second);
    });
    sees(Promise::S5, &|wrong| wrong.revoked.clear());
}
