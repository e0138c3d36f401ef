//! The pages as people meet them: in a browser, by mouse, by keyboard, and without scripts. What the API says beside them is
//! never asked here but to set a scene.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what is wrong by failing")]

mod clusters;
mod every;
mod harness;
mod keys;
mod log;
mod people;
mod person;
mod security;
mod unconfirmed;
mod world;
