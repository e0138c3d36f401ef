//! Everything that can be said of the server by HTTP, on both databases. The numbers are those of `attacks.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what is wrong by failing")]

mod administration;
mod audit;
mod clusters;
mod demands;
mod enumeration;
mod expiry;
mod exports;
mod factors;
mod flips;
mod grants;
mod headers;
mod identity;
mod keys;
mod kubeconfig;
mod leaks;
mod limits;
mod pages;
mod pages_answers;
mod pages_audit;
mod pages_clusters;
mod pages_kept;
mod pages_lists;
mod pages_roles;
mod pages_security;
mod pages_users;
mod pages_work;
mod passwords;
mod paths;
mod processes;
mod reading;
mod registering;
mod replicas;
mod revocation;
mod routes;
mod scopes;
mod sessions;
mod storage;
mod streams;
mod tls;
mod tunnels;
mod webhooks;
mod workloads;

/// The server's program, built with these tests.
const SERVER: &str = env!("CARGO_BIN_EXE_kv-server-under-test");
