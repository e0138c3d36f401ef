//! The store's contract, every part of it on both databases. `cargo xtask test` brings the PostgreSQL server.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod admission;
mod audit;
mod backups;
mod buckets;
mod clusters;
mod factors;
mod failures;
mod keys;
mod opening;
mod races;
mod retention;
mod roles;
mod schema;
mod seals;
mod sessions;
mod standings;
mod throttles;
mod user_changes;
mod users;
mod uses;
mod world;
