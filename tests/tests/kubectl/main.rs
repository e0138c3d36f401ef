//! The programs that people use, as they use them: kubectl, helm and Python's client, with the kubeconfig that the server
//! gives out and a key in the environment, over TLS, against a real Kubernetes in which pods run. On both databases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says what is wrong by failing")]

mod helm;
mod limits;
mod objects;
mod pods;
mod python;
mod refusals;
mod revocation;
mod rights;
mod running;
mod secrets;
mod spaces;
mod workloads;
mod world;
