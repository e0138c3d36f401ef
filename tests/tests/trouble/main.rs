//! A PostgreSQL in trouble, and the server on it: 503 meanwhile, nothing done that is not on record, and everything well again
//! soon after. The figures that are printed are for the reader; what is asserted is generous, for machines that are busy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what is wrong by failing")]
#![allow(clippy::print_stdout, reason = "figures are printed where they are asked for")]

mod disk;
mod failover;
mod outages;
mod start;
mod world;

/// The server's program, built with these tests.
const SERVER: &str = env!("CARGO_BIN_EXE_kv-server-under-test");
