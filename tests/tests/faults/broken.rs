//! Servers that leave a rule out. Whatever that rule is there for is broken then, in a run that is like the others, and the checker
//! says so. With every rule in place the same run is right.

use crate::{
    checker::{Promise, check},
    controller::{flowing, revoke},
    history::What,
    load::{By, ask, steady},
    runs::{either, judge, run, seed},
    weather::Dice,
    world::World,
};
use kv_server::broken::Rule;
use kv_tests::{Backend, Link, Manner};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How a key's end comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// It is revoked.
    Plain,
    /// Everything takes long on its way to the clusters.
    Slow,
    /// Nothing gets to the clusters until it is revoked.
    Held,
    /// There are no clusters for a while before.
    Without,
    /// It is a session, and its end.
    Person,
    /// A server is out of touch with the database when it is revoked.
    Apart,
    /// A server has been out of touch for longer than its lease.
    Lapsed,
}

const SLOW: Manner = Manner::Delay { usual: Duration::from_millis(120), tail: Duration::from_millis(120) };

/// One test a rule: what the run is like, and what is broken.
macro_rules! without {
    ($($name:ident: $rule:ident, $scene:ident, $promises:expr;)+) => {
        $(#[test] fn $name() { run(is_seen(Rule::$rule, Scene::$scene, &$promises)); })+
    };
}

without! {
    admission_that_refuses_nobody_is_seen: Admission, Plain, [Promise::S1];
    a_server_that_cuts_nothing_is_seen: Cuts, Slow, [Promise::S2, Promise::S3, Promise::S4];
    an_answer_before_the_acknowledgements_is_seen: WaitForServers, Slow, [Promise::S3, Promise::S4];
    a_lease_that_never_ends_is_seen: LeaseRunsOut, Apart, [Promise::S4];
    a_call_without_the_gate_is_seen: EffectGate, Held, [Promise::S2];
    an_answer_before_the_commit_is_seen: CommitBeforeAnswer, Plain, [Promise::S1, Promise::S5];
    what_is_not_on_record_is_seen: Entries, Plain, [Promise::A1];
    an_entry_with_two_ends_is_seen: OneEnd, Plain, [Promise::A2];
    an_outcome_before_its_call_is_seen: OutcomeComesLast, Without, [Promise::A3];
    a_reader_who_reads_on_whatever_has_moved_is_seen: Numbers, Person, [Promise::S1];
    a_refusal_for_want_of_a_word_is_seen: SilenceIsNoRefusal, Lapsed, [Promise::V1];
}

async fn is_seen(rule: Rule, scene: Scene, promises: &[Promise]) {
    if either(false, true) {
        let history = Box::pin(history(None, scene)).await;
        judge(&format!("with {rule:?}"), history.0, &history.1);
    }
    let (start, history) = Box::pin(history(Some(rule), scene)).await;
    let (found, _) = check(&history);
    if !promises.iter().all(|promise| found.iter().any(|breach| breach.promise == *promise)) {
        println!("{}", history.of_key(0, start));
    }
    for promise in promises {
        let seen = found.iter().find(|breach| breach.promise == *promise);
        let seen = seen.unwrap_or_else(|| panic!("without {rule:?}, {promise:?} is broken: {found:?}"));
        println!("without {rule:?}: {promise:?}: {}", seen.text);
    }
}

/// Two servers, a load, and a key of it that is revoked.
async fn history(rule: Option<Rule>, scene: Scene) -> (std::time::Instant, crate::history::History) {
    let mut dice = Dice::new(seed());
    let mut trial = Vec::from_iter(rule.map(|rule| ("KV_TRIAL_WITHOUT", format!("{rule:?}"))));
    if rule == Some(Rule::WaitForServers) {
        // Who is not waited for would know in a millisecond.
        trial.push(("KUBEVISION_REPLICAS__NOTIFY", "false".to_owned()));
    }
    let world = World::on_trial(Backend::Postgres, 2, trial).await;
    let key = match scene {
        Scene::Person => world.make_session(0, 0).await,
        _ => world.make_key(0, 0).await,
    };
    world.in_use.lock().unwrap().push(key);
    let load = steady(&world, 60, dice.fork());
    for server in 0..2 {
        while ask(&world, By::Itself, key, server, What::Get).await.status != 200 {}
    }
    let mut streams = flowing(&world, key, 4).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    dies(&world, key, scene).await;
    for pause in [0, 200, 200] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let asks =
            (0..2).flat_map(|server| [What::List, What::Get].map(|what| ask(&world, By::Itself, key, server, what)));
        futures_util::future::join_all(asks).await;
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    world.over.store(true, Ordering::Relaxed);
    load.await.unwrap();
    let start = world.start;
    let (_, history) = tokio::join!(async { while streams.join_next().await.is_some() {} }, world.end());
    (start, history)
}

async fn dies(world: &Arc<World>, key: usize, scene: Scene) {
    let links = |manner: Manner| world.servers.iter().for_each(|server| server.cluster.set(manner));
    let database: &Link = world.servers[1].database.as_ref().unwrap();
    let wait = |millis| tokio::time::sleep(Duration::from_millis(millis));
    match scene {
        Scene::Plain | Scene::Person => revoke(world, key, 0, 0).await,
        Scene::Slow => {
            links(SLOW);
            wait(1_000).await;
            revoke(world, key, 0, 0).await;
        }
        Scene::Held => {
            links(Manner::BlackHole);
            wait(400).await;
            revoke(world, key, 0, 0).await;
            links(Manner::Pass);
        }
        Scene::Without => {
            links(Manner::Cut);
            wait(400).await;
            links(Manner::Pass);
            revoke(world, key, 0, 0).await;
        }
        Scene::Apart => {
            database.set(Manner::BlackHole);
            wait(100).await;
            revoke(world, key, 0, 0).await;
            wait(300).await;
            database.pass();
        }
        Scene::Lapsed => {
            database.set(Manner::BlackHole);
            wait(2_800).await;
            database.pass();
            wait(300).await;
            revoke(world, key, 0, 0).await;
        }
    }
}
