//! The store's contract, every part of it on both databases. `cargo xtask test` brings the PostgreSQL server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod admission;
mod audit;
mod clusters;
mod failures;
mod keys;
mod opening;
mod races;
mod schema;
mod sessions;
mod users;
mod uses;
mod world;
