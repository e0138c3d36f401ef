//! The command line.

use clap::{Args, Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf};

/// KubeVision's tasks. Admin tasks read the server's own settings (`KUBEVISION_*`) and work beside a running server.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Show everything once: a server, a real Kubernetes, a key, the page's two curl calls, a revocation.
    Demo {
        /// End afterwards, with exit code 0 only if every step did what it should.
        #[arg(long)]
        once: bool,
    },
    /// Run every test, on real databases and a real Kubernetes; installs or builds what is missing.
    Test {
        /// A nextest filter expression, to run some of them.
        #[arg(short = 'E', long)]
        filter: Option<String>,
    },
    /// Measure, beside a baseline in the same run.
    Bench(BenchOptions),
    /// The baseline of `bench`: a bare actix-web server.
    #[command(hide = true)]
    BenchHello {
        /// Where it listens.
        #[arg(long)]
        listen: SocketAddr,
    },
    /// The long runs that `test` leaves out: many more cases, and every revocation test over and over. Some ten minutes.
    Faults,
    /// Check what the compiler does not: arrows between crates, headers of files, migrations alike.
    Tidy,
    /// The Kubernetes for tests.
    Kube {
        /// What to do with it.
        #[command(subcommand)]
        task: KubeTask,
    },
    /// Fill the database with users and keys, for measurements. Writes the keys, one a line, readable by you alone.
    Seed(SeedOptions),
    /// Administration.
    #[command(flatten)]
    Admin(AdminTask),
}

#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// Seconds each measurement takes.
    #[arg(long, default_value_t = 8)]
    pub(crate) seconds: u64,
    /// Connections.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// Keys in each database.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keys: u32,
    /// Only measurements whose name contains this: `sqlite` or `postgresql`, then `start`, `load` or `refusals`.
    #[arg(long)]
    pub(crate) only: Option<String>,
    /// Servers and load on cores of their own; with two cores and taskset it is so unless refused (`--pin=false`).
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) pin: Option<bool>,
}

#[derive(Debug, Args)]
pub(crate) struct SeedOptions {
    /// Users.
    #[arg(long)]
    pub(crate) users: u32,
    /// Keys, spread over the users.
    #[arg(long)]
    pub(crate) keys: u32,
    /// Where the keys are written.
    #[arg(long)]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum KubeTask {
    /// Start one, or find it running.
    Up {
        /// Its name.
        #[arg(default_value = "demo")]
        name: String,
    },
    /// End one.
    Down {
        /// Its name.
        #[arg(default_value = "demo")]
        name: String,
    },
    /// What is running.
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminTask {
    /// People.
    User {
        #[command(subcommand)]
        task: UserTask,
    },
    /// API keys.
    Key {
        #[command(subcommand)]
        task: KeyTask,
    },
    /// Clusters.
    Cluster {
        #[command(subcommand)]
        task: ClusterTask,
    },
    /// The audit log.
    Audit {
        #[command(subcommand)]
        task: AuditTask,
    },
    /// Bring the database's schema up to date.
    Migrate,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserTask {
    /// Make a user. Without a password nobody can sign in as them; keys can still be made for them.
    Create {
        /// Their name.
        name: String,
        /// admin, ops, dev or readonly.
        #[arg(long)]
        role: String,
        /// Read their password from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Assign a cluster to a user, whole or by namespaces.
    Assign {
        /// Their name.
        name: String,
        /// The cluster; `*` for every one.
        #[arg(long)]
        cluster: String,
        /// Namespaces, separated by commas; all if not given.
        #[arg(long, value_delimiter = ',')]
        namespaces: Option<Vec<String>>,
    },
    /// List the users.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a user and what they are assigned.
    Show {
        /// Their name.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Disable a user and revoke their keys.
    Disable {
        /// Their name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyTask {
    /// Make a key for a user and print it, once.
    Create {
        /// The user's name.
        #[arg(long)]
        user: String,
        /// The key's name.
        #[arg(long)]
        name: String,
        /// When it ends (RFC 3339, such as 2027-01-31T12:00:00Z).
        #[arg(long)]
        expires_at: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List a user's keys.
    List {
        /// The user's name.
        #[arg(long)]
        user: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key.
    Revoke {
        /// Its id.
        id: String,
        /// Why, for the audit log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Revoke all keys of a user.
    RevokeAll {
        /// The user's name.
        #[arg(long)]
        user: String,
        /// Why, for the audit log.
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterTask {
    /// Register a cluster.
    Add {
        /// Its name here.
        name: String,
        /// A kubeconfig file. Files it names are read and kept, sealed.
        #[arg(long)]
        kubeconfig: PathBuf,
        /// The context; its current one if not given.
        #[arg(long)]
        context: Option<String>,
    },
    /// List the clusters.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a cluster, with every assignment to it.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditTask {
    /// Show the newest entries.
    List {
        /// Of this user.
        #[arg(long)]
        user: Option<String>,
        /// Of the key or client of this name.
        #[arg(long)]
        agent: Option<String>,
        /// Entries, 1 to 200.
        #[arg(long, default_value_t = 20)]
        limit: u16,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}
