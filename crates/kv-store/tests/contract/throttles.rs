//! Throttles: failures add up whoever asks, wait longer and longer, and are forgotten in the end.

use crate::world::{World, now};
use kv_store::testing::Backend;
use std::thread;
use time::Duration;

kv_store::on_both!(failures_wait_longer_and_are_forgotten, many_at_once_are_no_more_than_one_after_the_other);

fn failures_wait_longer_and_are_forgotten(backend: Backend) {
    let world = World::new(backend);
    let start = now();
    let count = |subject: &[u8], at| world.store.count_attempt(subject, at).unwrap();
    for _ in 0..10 {
        count(b"ann", start).unwrap();
    }
    assert_eq!(count(b"ann", start).unwrap_err().wait, Duration::seconds(1));
    // Another is another.
    count(b"bob", start).unwrap();
    // Each further failure doubles the wait.
    let mut at = start;
    for seconds in [1, 2, 4, 8] {
        assert!(count(b"ann", at + Duration::seconds(seconds) - Duration::MILLISECOND).is_err());
        at += Duration::seconds(seconds);
        count(b"ann", at).unwrap();
    }
    assert_eq!(count(b"ann", at).unwrap_err().wait, Duration::seconds(16));
    // A day without a failure, and all is forgotten; or its owner has come.
    let later = at + Duration::DAY + Duration::SECOND;
    for _ in 0..9 {
        count(b"ann", later).unwrap();
    }
    world.store.forget_failures(b"ann").unwrap();
    for _ in 0..10 {
        count(b"ann", later).unwrap();
    }
    assert_eq!(world.store.purge_throttles(later, 100).unwrap(), 1, "bob's");
    assert!(count(b"ann", later).is_err(), "and not ann's");
}

fn many_at_once_are_no_more_than_one_after_the_other(backend: Backend) {
    let world = World::new(backend);
    let at = now();
    let passed = thread::scope(|scope| {
        let world = &world;
        let threads: Vec<_> = (0..32)
            .map(|_| {
                scope.spawn(move || {
                    loop {
                        if let Ok(counted) = world.store.count_attempt(b"ann", at) {
                            return counted.is_ok();
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|&passed| passed).count()
    });
    assert_eq!(passed, 10);
}
