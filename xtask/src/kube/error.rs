//! What can go wrong between "no Kubernetes" and "a cluster answers", told so that the reader knows the step, the log and
//! the next move. Never here: a token, a key, or a source's own words repeated.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why there is no Kubernetes for tests.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KubeError {
    /// Neither variable that leads to a cache folder is set.
    #[error("no folder to keep Kubernetes in: set XDG_CACHE_HOME or HOME")]
    NoCacheFolder,

    /// The cluster's name cannot be a folder's name.
    #[error("{name:?} is no name for a cluster: 1 to 40 of a-z, 0-9 and '-', beginning with a letter or digit")]
    BadName {
        /// What was asked for.
        name: String,
    },

    /// A running cluster was asked for with other arguments than it was started with.
    #[error(
        "cluster {name} runs, and its API server was started with other arguments; end it first: cargo xtask kube down {name}"
    )]
    OtherArguments {
        /// The cluster.
        name: String,
    },

    /// The file system refused.
    #[error("could not {step} ({})", path.display())]
    File {
        /// What was being done.
        step: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A program could not be started at all.
    #[error("could not start {program} to {step}; is it installed?")]
    Start {
        /// The program.
        program: String,
        /// What it was to do.
        step: String,
        /// What the system said.
        source: io::Error,
    },

    /// A program of the build ran and failed.
    #[error("could not {step}: {status}; the whole log is {}, and it ends:\n{tail}", log.display())]
    Failed {
        /// What it was to do.
        step: String,
        /// How it ended.
        status: ExitStatus,
        /// Where all its words are.
        log: PathBuf,
        /// The last of them.
        tail: String,
    },

    /// Nothing to build with: the machine has no apt.
    #[error(
        "no Kubernetes here, and no apt-get to build one with: set KUBEBUILDER_ASSETS to a folder that holds etcd, \
         kube-apiserver and kube-controller-manager"
    )]
    NoApt,

    /// The machine's package sources do not name the suite that has the source package.
    #[error(
        "none of the machine's package sources in {} is Debian {suite} with its component main; only that suite has the \
         source of Kubernetes: build on Debian {suite}, or set KUBEBUILDER_ASSETS to a folder that holds etcd, \
         kube-apiserver and kube-controller-manager",
        folder.display()
    )]
    NoSuite {
        /// The suite that is needed.
        suite: &'static str,
        /// Where the sources were looked for.
        folder: PathBuf,
    },

    /// A package has to be installed, and this user may not.
    #[error("{program} is missing and only root can install it: run `sudo apt-get install {package}`, then try again")]
    NeedsRoot {
        /// The missing program.
        program: &'static str,
        /// The package that brings it.
        package: &'static str,
    },

    /// A client program cannot be had for this processor, and the machine has none that will do.
    #[error(
        "the {program} that the project fetches does not run here; install {program} {at_least} or later and put it on the PATH"
    )]
    NoClient {
        /// The program.
        program: &'static str,
        /// The oldest version that will do.
        at_least: String,
    },

    /// What was downloaded or built is not what the recipe expects.
    #[error("expected {what} in {} after having {step}; the log is {}", folder.display(), log.display())]
    Missing {
        /// What should be there.
        what: &'static str,
        /// The step that should have brought it.
        step: &'static str,
        /// Where it should be.
        folder: PathBuf,
        /// Where the step's words are.
        log: PathBuf,
    },

    /// Keys or certificates could not be made.
    #[error("could not make the cluster's {what}")]
    Certificate {
        /// Which of them.
        what: &'static str,
        /// What the certificate library said.
        source: rcgen::Error,
    },

    /// The client side of TLS could not be set up from the cluster's own CA.
    #[error("could not trust the cluster's CA {}; run `down` and `up` again", ca.display())]
    Trust {
        /// The CA's file.
        ca: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A cluster's own record of itself cannot be read.
    #[error("the cluster's record {} is damaged; end its processes by hand and remove its folder", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },

    /// No port of 127.0.0.1 was free.
    #[error("no free port on 127.0.0.1")]
    NoPort(#[source] io::Error),

    /// One of the cluster's processes ended while it was awaited.
    #[error("{process} ended while starting; its log is {}, and it ends:\n{tail}", log.display())]
    Died {
        /// Which process.
        process: &'static str,
        /// Where its words are.
        log: PathBuf,
        /// The last of them.
        tail: String,
    },

    /// The cluster did not come up in time.
    #[error(
        "no {awaited} after {seconds} s (last answer: {last}); the log of {process} is {}, and it ends:\n{tail}",
        log.display()
    )]
    Slow {
        /// What was awaited.
        awaited: &'static str,
        /// For how long.
        seconds: u64,
        /// What was heard last.
        last: String,
        /// Whose doing it would have been.
        process: &'static str,
        /// Where its words are.
        log: PathBuf,
        /// The last of them.
        tail: String,
    },

    /// A process of the cluster would not end.
    #[error("{process} (pid {pid}) would not end, not even killed; is it stuck on a disk?")]
    WouldNotEnd {
        /// Which process.
        process: String,
        /// Its pid.
        pid: u32,
    },
}

impl KubeError {
    /// For `map_err`: the file system refused `step` on `path`.
    pub(crate) fn file(step: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { step, path, source }
    }
}
