//! Servers that end and begin again one after another, also where those that begin are of another version than those that run.
//! Whoever finds one gone goes to the next, and nobody who may is refused.

use crate::{
    controller::lane,
    history::What,
    load::{By, ask},
    runs::{either, judge, run, seed},
    weather::Dice,
    world::World,
};
use kv_tests::{Backend, TestDatabase};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

/// The program of an earlier version, where somebody has built one.
const OLDER: &str = "KUBEVISION_TEST_OLDER";
/// The statements that undo the migrations which it does not know.
const OLDER_SCHEMA: &str = "KUBEVISION_TEST_OLDER_SCHEMA";
/// What a later version may bring: columns that earlier ones leave alone, a table, an index, and that all this was done. A migration
/// changes one table in use; of several, each is one.
const NEWER: [&str; 7] = [
    "ALTER TABLE users ADD COLUMN later TEXT",
    "ALTER TABLE api_keys ADD COLUMN later BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE audit_entries ADD COLUMN later TEXT",
    "ALTER TABLE replicas ADD COLUMN later TEXT",
    "CREATE TABLE later (id BYTEA PRIMARY KEY)",
    "CREATE INDEX later_users ON users (created_at)",
    "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')",
];

#[test]
fn a_rolling_restart_refuses_nobody_who_may() {
    run(rolls("rolling restart", either(1, 4), async |_| {}, async |world, server| again(world, server).await));
}

/// Those of this version go on below a schema of a later one, and begin on it.
#[test]
fn a_schema_of_a_later_version_refuses_nobody_who_may() {
    run(rolls(
        "later schema",
        1,
        async |_| {},
        async |world, server| {
            if server == 1 {
                for change in NEWER {
                    execute(world, change.to_owned()).await;
                }
            }
            again(world, server).await;
        },
    ));
}

/// Servers of an earlier version on their own schema make way for those of this one, which bring theirs.
#[test]
fn servers_of_an_earlier_version_make_way() {
    let (Ok(older), Ok(schema)) = (std::env::var(OLDER), std::env::var(OLDER_SCHEMA)) else {
        return println!(
            "no earlier version was run: {OLDER} names none, and {OLDER_SCHEMA} nothing that undoes the later schema"
        );
    };
    let prepare = async |world: &Arc<World>| {
        for server in 0..3 {
            world.signal(server, "TERM");
            world.ended(server).await;
        }
        execute(world, schema.clone()).await;
        older.clone_into(&mut world.program.lock().unwrap());
        for server in 0..3 {
            world.run(server).await;
            world.has_joined(server).await;
        }
    };
    let began = AtomicUsize::new(0);
    // Restarted as they are, then as those of this version, and then as what they were, on a schema that they do not know.
    run(rolls("earlier version", 3, prepare, async |world, server| {
        let later = began.fetch_add(1, Ordering::SeqCst) / 3 == 1;
        let program = if later { crate::SERVER } else { &older };
        program.clone_into(&mut world.program.lock().unwrap());
        again(world, server).await;
    }));
}

async fn again(world: &Arc<World>, server: usize) {
    world.signal(server, "TERM");
    assert_eq!(world.ended(server).await, Some(0));
    world.run(server).await;
}

async fn execute(world: &Arc<World>, statements: String) {
    let url = world.database().url_text();
    tokio::task::spawn_blocking(move || TestDatabase::at(&url).execute(&statements)).await.unwrap();
}

/// Has each server take its turn so many times, while clients ask and keys are revoked.
async fn rolls(name: &str, times: usize, prepare: impl AsyncFn(&Arc<World>), turn: impl AsyncFn(&Arc<World>, usize)) {
    let mut dice = Dice::new(seed());
    let world = World::start(Backend::Postgres, 3).await;
    prepare(&world).await;
    let rounds = Arc::new(AtomicUsize::new(either(8, 24)));
    let living = world.make_key(0, 0).await;
    let clients: Vec<_> = (0..6).map(|client| asks(&world, living, client)).collect();
    let lanes: Vec<_> = (0..2).map(|_| lane(&world, &rounds, dice.fork())).collect();
    for _ in 0..times {
        for server in 0..3 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            turn(&world, server).await;
        }
    }
    for lane in lanes {
        lane.await.unwrap();
    }
    world.over.store(true, Ordering::Relaxed);
    let mut all = 0;
    for client in clients {
        let (refused, served) = client.await.unwrap();
        refused.iter().for_each(|(_, server, _)| println!("server {server} said: {}", world.words(*server)));
        assert_eq!(refused, [], "a valid request was refused");
        all += served;
    }
    assert!(all > 50, "{all} were served");
    let start = world.start;
    judge(name, start, &world.end().await);
}

/// A request that was refused: its number, its server, its status.
type Refused = (u64, usize, u16);

/// A client that asks again and again; what was refused, and how many were served.
fn asks(world: &Arc<World>, living: usize, client: usize) -> JoinHandle<(Vec<Refused>, usize)> {
    let world = world.clone();
    tokio::spawn(async move {
        let (mut refused, mut served) = (Vec::new(), 0);
        for turn in client.. {
            if world.is_over() {
                break;
            }
            let what = [What::Get, What::List][turn % 2];
            let mut tries = 0;
            let asked = loop {
                let asked = ask(&world, By::Itself, living, (turn + tries) % 3, what).await;
                // Not taken by anybody, or not answered: the next one is asked.
                if asked.status != 0 || tries == 6 {
                    break asked;
                }
                tries += 1;
            };
            if asked.succeeded() {
                served += 1;
            } else {
                refused.push((asked.serial, asked.server, asked.status));
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        (refused, served)
    })
}
