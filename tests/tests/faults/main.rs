//! The real thing under faults: server processes on one database, every link between the parties a proxy that goes wrong,
//! servers stopped and killed, keys revoked under load and tried at that very instant; and a checker that reads what was seen
//! from outside. Short here; `cargo xtask faults` runs the same for minutes, by two variables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what is wrong by failing")]
#![allow(clippy::print_stdout, reason = "what a run has seen is printed for the reader")]

mod answer;
mod broken;
mod checker;
mod clock;
mod controller;
mod disk;
mod history;
mod load;
mod marks;
mod points;
mod read;
mod rolling;
mod runs;
mod silence;
mod weather;
mod world;

/// The server's program, built with these tests.
const SERVER: &str = env!("CARGO_BIN_EXE_kv-server-under-test");
/// The same, that is killed where it is told to, or leaves out a rule.
const ON_TRIAL: &str = env!("CARGO_BIN_EXE_kv-server-on-trial");
