//! Rate buckets on PostgreSQL: however many take from one, it gives no more than it holds.

use crate::world::{World, id};
use kv_authz::UserId;
use kv_store::{Terms, testing::Backend};
use std::{thread, time::Duration};

#[test]
fn a_bucket_gives_its_burst_and_then_its_rate() {
    let world = World::new(Backend::Postgres);
    assert!(world.store.shares_buckets());
    let terms = Terms { per_minute: 60, burst: 10 };
    let user: UserId = id();
    let taken = world.store.take_from_bucket(user, 4, terms).unwrap();
    assert_eq!((taken.granted, taken.left), (4, 6));
    let taken = world.store.take_from_bucket(user, 100, terms).unwrap();
    assert_eq!((taken.granted, taken.left), (6, 0));
    let empty = world.store.take_from_bucket(user, 1, terms).unwrap();
    assert_eq!(empty.granted, 0);
    assert!(empty.wait > Duration::from_millis(500) && empty.wait <= Duration::from_secs(1), "{empty:?}");
    thread::sleep(empty.wait + Duration::from_millis(20));
    assert_eq!(world.store.take_from_bucket(user, 5, terms).unwrap().granted, 1);
    // Another user has another.
    assert_eq!(world.store.take_from_bucket(id(), 100, terms).unwrap().granted, 10);
}

#[test]
fn many_at_once_get_no_more() {
    let world = World::new(Backend::Postgres);
    let terms = Terms { per_minute: 1, burst: 100 };
    for round in 0..5 {
        let user: UserId = id();
        let granted: u32 = thread::scope(|scope| {
            let world = &world;
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(move || {
                        (0..20).map(|_| world.store.take_from_bucket(user, 3, terms).unwrap().granted).sum::<u32>()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // The very first takings may each believe the bucket is new; they are in it all the same.
        assert!((100..=112).contains(&granted), "round {round}: {granted}");
    }
}

#[test]
fn sqlite_shares_none() {
    let world = World::new(Backend::Sqlite);
    assert!(!world.store.shares_buckets());
    assert!(world.store.take_from_bucket(id(), 1, Terms { per_minute: 1, burst: 1 }).is_err());
}
