//! The crate from outside. `attack_NN` in a name is the number of the case in the list of attacks and bad input.

#![allow(clippy::unwrap_used)]

mod digest;
mod frozen;
mod generate;
mod header;
mod memory;
mod parse;
mod support;
mod unprintable;
