#![doc = include_str!("../README.md")]
//!
//! No SQL, no Diesel, no statics; the environment is read in `config` alone.

pub mod admission;
mod agent;
pub mod api;
pub mod app;
pub mod auth;
pub mod broken;
mod buckets;
pub mod caller;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod durability;
mod ended;
pub mod failure;
pub mod held;
pub mod keyfile;
pub mod known;
pub mod limit;
pub mod logging;
pub mod metrics;
pub mod operations;
pub mod origin;
pub mod pages;
pub mod paths;
pub mod patience;
pub mod pending;
pub mod pipeline;
pub mod problem;
pub mod replicas;
mod report;
pub mod routes;
pub mod seal;
pub mod server;
mod strangers;
pub mod streams;
pub mod tls;
pub mod upstreams;
pub mod uses;
pub mod view;
pub mod visitors;
