//! A PostgreSQL whose disk is full: its tables cannot grow, and then it ends, for it cannot write its log. Once there is room
//! again and it runs, the server goes on by itself.

use crate::world::World;
use kv_tests::{Disk, Node, Postgres, TestDatabase};
use std::{path::PathBuf, time::Duration};

/// In MiB: a new PostgreSQL, and a little.
const DISK: u32 = 128;

#[test]
fn a_full_disk_below_postgresql() {
    kv_tests::run(async {
        let postgres = tokio::task::spawn_blocking(|| Postgres::start(&["restart_after_crash=off"])).await.unwrap();
        let mut folder = postgres
            .database(Node::Primary)
            .texts("SELECT setting AS value FROM pg_settings WHERE name = 'data_directory'");
        let folder = PathBuf::from(folder.remove(0).unwrap());
        postgres.stop(Node::Primary).await;
        let disk = match Disk::under(&folder, DISK) {
            Ok(disk) => disk,
            Err(why) => return println!("no disk was full, for nothing can be mounted here: {why}"),
        };
        postgres.start_again(Node::Primary).await;
        let world = World::on(postgres).await;
        let begin = async || {
            world.postgres.keep(Node::Primary).await;
            disk.fill();
            // A log that is begun anew finds no room, whatever of the tables still has some. Whoever asks for it is lost too.
            let url = world.primary().url_text();
            let ends = tokio::task::spawn_blocking(move || {
                TestDatabase::at(&url)
                    .execute("SELECT pg_switch_wal(); CHECKPOINT; SELECT pg_switch_wal(); CHECKPOINT");
            });
            assert!(ends.await.is_err(), "it writes its log on a disk that is full");
        };
        let end = async || {
            disk.free();
            world.postgres.start_again(Node::Primary).await;
        };
        world.goes_through("disk full", Duration::from_secs(4), begin, end).await;
        world.is_on_record(&world.primary(), &[]);
        drop(disk);
    });
}
