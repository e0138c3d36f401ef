//! A file that cannot grow, as on a disk that is full: nothing is done that is not on record, and what was taken away stays so.

use crate::{
    SERVER,
    controller::{probe, revoke},
    history::What,
    load::{By, ask, steady},
    runs::{judge, run, seed},
    weather::Dice,
    world::World,
};
use kv_tests::{Backend, until};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{Arc, atomic::Ordering},
    time::Instant,
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
