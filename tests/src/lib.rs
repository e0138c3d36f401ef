//! Tests against the running server: a server of its own for every test, on a fresh database of either kind, with
//! clients that can misbehave and clusters that do as they are told.
//!
//! Nothing here knows how the server works inside; it is reached by HTTP, and by the operator's own operations.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot have its world has failed"
)]

mod app;
mod authority;
pub mod browser;
mod carried;
mod certificate;
mod client;
mod cluster;
mod disk;
mod factor;
mod kubectl;
mod link;
mod pages;
mod postgres;
mod process;
mod programs;
mod served;
mod socket;
mod streaming;

pub use app::{Key, PASSWORD, Session, TestApp, User};
pub use authority::{Authority, Trust};
pub use carried::Carried;
pub use client::{Answer, Connection, Request};
pub use cluster::{Cluster, Reply, Seen};
pub use disk::Disk;
pub use factor::Factor;
pub use kubectl::{Kubectl, Said};
pub use kv_store::testing::{Backend, TestDatabase};
pub use link::{Direction, Link, Manner};
pub use pages::{Visitor, between};
pub use postgres::{Node, Postgres};
pub use process::{Ended, Process};
pub use socket::{Socket, websocket};
pub use streaming::Streams;

use std::{future::Future, time::Duration};

/// How long anything that must happen may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Makes two tests of each given async function, one a database: `mod sqlite` and `mod postgres`.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { $crate::run(super::$name($crate::Backend::Sqlite)); })+
        }
        mod postgres {
            $(#[test] fn $name() { $crate::run(super::$name($crate::Backend::Postgres)); })+
        }
    };
}

/// Runs a test, and ends it as failed if it hangs.
///
/// # Panics
/// When it takes longer than two minutes.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test hangs");
    });
    // Not waiting for what a failed test left behind.
    runtime.shutdown_background();
}

/// Waits until something is so.
///
/// # Panics
/// With the text when it does not become so in time.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(tokio::time::Instant::now() < deadline, "in vain waited until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
