//! A disk that is full, and a file that cannot grow, as on one: nothing is done that is not on record, and what was taken away stays so.

use crate::{
    SERVER,
    controller::{probe, revoke},
    history::What,
    load::{By, ask, steady},
    runs::{either, judge, run, seed},
    weather::Dice,
    world::World,
};
use kv_store::DatabaseUrl;
use kv_tests::{Backend, Disk, until};
use std::{
    collections::HashMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

/// Files may have so many blocks of 512 bytes: the database has its tables, and its log no room to be written back.
const BLOCKS: u32 = 1_200;

/// Has the server's next process end where its files end.
fn limited(world: &Arc<World>) {
    let script = world.folder().join("limited");
    // Ignored, the signal is an error of the write instead.
    fs::write(&script, format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f {BLOCKS}\nexec {SERVER}\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    *world.program.lock().unwrap() = script.display().to_string();
}

#[test]
fn a_full_disk_refuses_and_forgets_nothing() {
    run(async {
        let mut dice = Dice::new(seed());
        let world = World::start(Backend::Sqlite, 1).await;
        world.signal(0, "TERM");
        world.ended(0).await;
        limited(&world);
        world.run(0).await;
        let (living, dead) = (world.make_key(0, 0).await, world.make_key(1, 0).await);
        assert_eq!(ask(&world, By::Itself, dead, 0, What::Get).await.status, 200);
        revoke(&world, dead, 1, 0).await;
        world.in_use.lock().unwrap().extend([living, dead]);
        let load = steady(&world, 300, dice.fork());
        let refused = || {
            world
                .records
                .with(|history| history.asked.iter().filter(|one| one.key == living && one.status == 503).count())
        };
        until("the disk is full", || refused() > 20).await;
        // Its log begins anew as often as it can be written back, so that there is room now and then.
        probe(&world, dead, Instant::now()).await;
        world.over.store(true, Ordering::Relaxed);
        load.await.unwrap();
        // There is room again.
        world.signal(0, "KILL");
        world.ended(0).await;
        *world.program.lock().unwrap() = SERVER.to_owned();
        world.run(0).await;
        assert_eq!(ask(&world, By::Itself, living, 0, What::Patch).await.status, 200);
        assert_eq!(ask(&world, By::Itself, dead, 0, What::Get).await.status, 401);
        let start = world.start;
        judge("disk full", start, &world.end().await);
    });
}

/// The disk that the file is on. In MiB: the tables, their log, and a little.
const DISK: u32 = 8;

fn folder(world: &World) -> PathBuf {
    let DatabaseUrl::Sqlite(file) = &world.database().url else { panic!("a file") };
    file.parent().unwrap().to_owned()
}

/// The server goes on by itself when there is room again, and what it could not write down meanwhile it writes then.
#[test]
fn a_disk_that_was_full_is_forgotten_as_soon_as_there_is_room() {
    run(async {
        let mut dice = Dice::new(seed());
        let world = World::start(Backend::Sqlite, 1).await;
        let (living, dead) = (world.make_key(0, 0).await, world.make_key(1, 0).await);
        revoke(&world, dead, 1, 0).await;
        world.signal(0, "TERM");
        world.ended(0).await;
        let disk = match Disk::under(&folder(&world), DISK) {
            Ok(disk) => disk,
            Err(why) => return println!("no disk was full, only a file ended, for nothing can be mounted here: {why}"),
        };
        world.run(0).await;
        world.in_use.lock().unwrap().extend([living, dead]);
        let load = steady(&world, 250, dice.fork());
        let answered = |status: u16, since: Instant| {
            let is_one = |one: &&crate::history::Asked| one.key == living && one.status == status && one.began > since;
            world.records.with(|history| history.asked.iter().filter(is_one).count())
        };
        for _ in 0..either(2, 6) {
            let begun = Instant::now();
            counts("served", || answered(200, begun) > 20).await;
            disk.fill();
            let full = Instant::now();
            counts("refused", || answered(503, full) > 50).await;
            probe(&world, dead, Instant::now()).await;
            disk.free();
            let free = Instant::now();
            counts("served again", || answered(200, free) > 20).await;
            let patched = ask(&world, By::Itself, living, 0, What::Patch).await;
            let took = patched.ended - patched.began;
            assert_eq!(
                patched.status,
                200,
                "request {} after {took:?}, {:?} after there was room",
                patched.serial,
                free.elapsed()
            );
            // As fast as ever, and for good: what failed has left nothing behind.
            tokio::time::sleep(Duration::from_millis(500)).await;
            let calm = Instant::now();
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(answered(503, calm), 0, "nobody is refused while there is room");
            // Rights can be taken away again.
            let gone = world.make_key(0, 0).await;
            revoke(&world, gone, 0, 0).await;
            assert_eq!(ask(&world, By::Itself, gone, 0, What::Get).await.status, 401);
        }
        world.over.store(true, Ordering::Relaxed);
        load.await.unwrap();
        let start = world.start;
        let history = world.end().await;
        // Nobody was killed: what was answered has its outcome on record.
        let outcomes: HashMap<&str, &str> =
            history.entries.iter().map(|entry| (entry.request_id.as_str(), entry.outcome.as_str())).collect();
        for one in history.asked.iter().filter(|one| one.succeeded()) {
            assert_eq!(outcomes.get(one.request_id.as_str()), Some(&"succeeded"), "request {}", one.serial);
        }
        judge("disk full for a while", start, &history);
        drop(disk);
    });
}

/// Waits until many are, on a machine that may be busy.
async fn counts(what: &str, many: impl Fn() -> bool) {
    let began = Instant::now();
    while !many() {
        assert!(began.elapsed() < Duration::from_secs(60), "not many are {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
