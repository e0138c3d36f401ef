//! Outages: the database ends, hangs, is cut off, is busy, forbids writing. Attacks 222 and 229.

use crate::world::World;
use kv_tests::{Direction, Manner, Node, TestDatabase};
use std::time::Duration;

const LASTS: Duration = Duration::from_secs(4);

/// One test a trouble.
macro_rules! troubles {
    ($($name:ident),+ $(,)?) => {
        $(#[test] fn $name() { kv_tests::run(of::$name()); })+
    };
}

troubles!(
    a_restart,
    a_kill,
    a_cut_link,
    a_black_hole,
    a_black_hole_that_ends_in_resets,
    a_link_that_carries_one_way,
    a_server_that_is_frozen,
    a_pool_exhausted_by_slow_statements,
    a_primary_that_forbids_writing,
);

mod of {
    use super::*;

    pub(super) async fn a_restart() {
        let world = World::start().await;
        let (begin, end) = (
            async || world.postgres.stop(Node::Primary).await,
            async || world.postgres.start_again(Node::Primary).await,
        );
        world.goes_through("restart", LASTS, begin, end).await;
        world.is_on_record(&world.primary(), &[]);
    }

    pub(super) async fn a_kill() {
        let world = World::start().await;
        let (begin, end) = (
            async || world.postgres.kill(Node::Primary).await,
            async || world.postgres.start_again(Node::Primary).await,
        );
        world.goes_through("kill -9", LASTS, begin, end).await;
        world.is_on_record(&world.primary(), &[]);
    }

    pub(super) async fn a_cut_link() {
        goes_over_a_link("cut", Manner::Cut, false).await;
    }

    pub(super) async fn a_black_hole() {
        goes_over_a_link("black hole", Manner::BlackHole, false).await;
    }

    pub(super) async fn a_black_hole_that_ends_in_resets() {
        goes_over_a_link("black hole, then resets", Manner::BlackHole, true).await;
        goes_over_a_link("half open, then resets", Manner::HalfOpen, true).await;
    }

    pub(super) async fn a_link_that_carries_one_way() {
        goes_over_a_link("only to the server", Manner::Only(Direction::ToServer), false).await;
        goes_over_a_link("only to the client", Manner::Only(Direction::ToClient), false).await;
    }

    async fn goes_over_a_link(name: &str, manner: Manner, resets: bool) {
        let world = World::start().await;
        let (begin, end) = (
            async || world.link.set(manner),
            async || {
                world.link.pass();
                if resets {
                    world.link.reset();
                }
            },
        );
        world.goes_through(name, LASTS, begin, end).await;
        world.is_on_record(&world.primary(), &[]);
    }

    pub(super) async fn a_server_that_is_frozen() {
        let world = World::start().await;
        let (begin, end) =
            (async || world.postgres.freeze(Node::Primary).await, async || world.postgres.thaw(Node::Primary).await);
        world.goes_through("frozen", LASTS, begin, end).await;
        world.is_on_record(&world.primary(), &[]);
    }

    /// Every statement waits for a lock that somebody holds.
    pub(super) async fn a_pool_exhausted_by_slow_statements() {
        let mut world = World::start().await;
        // The lease is renewed all the time, so that people read on.
        world.people = false;
        let url = world.primary().url_text();
        let slow = std::cell::RefCell::new(None);
        let begin = async || {
            let held = tokio::task::spawn_blocking(move || {
                TestDatabase::at(&url).execute(
                    "BEGIN; LOCK TABLE users, api_keys, sessions, audit_entries IN ACCESS EXCLUSIVE MODE; \
                     SELECT pg_sleep(6); COMMIT",
                );
            });
            *slow.borrow_mut() = Some(held);
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        let end = async || {
            let held = slow.borrow_mut().take().unwrap();
            held.await.unwrap();
        };
        world.goes_through("slow statements", LASTS, begin, end).await;
        world.is_on_record(&world.primary(), &[]);
    }

    /// What is connected while writing is forbidden may not write later either, and must be left.
    pub(super) async fn a_primary_that_forbids_writing() {
        let world = World::start().await;
        let database = world.primary();
        let say = async |statements: &'static str| {
            let database = TestDatabase::at(&database.url_text());
            tokio::task::spawn_blocking(move || database.execute(statements)).await.unwrap();
        };
        let begin = async || {
            say("ALTER DATABASE postgres SET default_transaction_read_only = on").await;
            say("SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE application_name = 'kubevision' AND pid <> pg_backend_pid()")
            .await;
        };
        let end = async || {
            say("BEGIN READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only; COMMIT").await;
        };
        world.goes_through("read-only", LASTS, begin, end).await;
        world.is_on_record(&world.primary(), &[]);
    }
}
