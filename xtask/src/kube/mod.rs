//! The Kubernetes for tests and the demo: a real etcd, kube-apiserver and kube-controller-manager as plain processes on
//! 127.0.0.1, no container engine, and one node whose kubelet is the small program in `kubelet/`: what a pod runs are
//! processes of this machine.
//!
//! `ensure` finds the programs or builds them once; `up` starts a named cluster and leaves it running; `down` ends it;
//! `status` tells what runs; `clients` finds or fetches kubectl, helm and Python's client. Never here: a process ended that
//! this module did not start, a machine's package configuration edited, a service of the machine started, anything printed
//! but through the caller's `progress`.

mod apt;
mod binaries;
mod build;
mod certificates;
mod clients;
mod cluster;
mod error;
mod folders;
mod openapi;
mod probe;
mod processes;
mod programs;
mod sources;
mod state;
mod steps;

pub(crate) use binaries::{Binaries, KUBELET, ensure};
pub(crate) use clients::clients;
pub(crate) use cluster::{Cluster, down, status, up};
pub(crate) use error::KubeError;
pub(crate) use folders::private_file;
