//! The command line.

use crate::admin::cli::AdminTask;
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
    /// What audited requests are compared with in `bench`: rows of the audit log, written plainly.
    #[command(hide = true)]
    BenchRaw {
        /// For how many seconds.
        #[arg(long)]
        seconds: u64,
        /// How many a commit.
        #[arg(long, default_value_t = 64)]
        rows: usize,
    },
    /// Keys that nobody has, for `bench`.
    #[command(hide = true)]
    BenchFill {
        /// How many.
        #[arg(long)]
        keys: u64,
    },
    /// The long runs that `test` leaves out: many more cases, and servers, links and
    /// revocations under faults. Some ten minutes. `KUBEVISION_TEST_SEED` draws the same faults again.
    Faults,
    /// Check what the compiler does not: arrows between crates, headers of files, migrations alike.
    Tidy,
    /// Write the API's description anew, from what the handlers say of themselves, into `crates/kv-server/openapi.json`.
    Openapi,
    /// The Kubernetes for tests.
    Kube {
        /// What to do with it.
        #[command(subcommand)]
        task: KubeTask,
    },
    /// A PostgreSQL to be ill-treated: stopped, killed, frozen, failed over, by a line on standard input each.
    Postgres(PostgresOptions),
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
    /// Only measurements whose name contains this: `sqlite` or `postgresql`, then `start`, `load`, `refusals`, `flood`, `bogus`,
    /// `cluster`, `pages` or `revocations`; and `many`, ten million keys, which is not measured unless it is named.
    #[arg(long)]
    pub(crate) only: Option<String>,
    /// Servers and load on cores of their own; with two cores and taskset it is so unless refused (`--pin=false`).
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) pin: Option<bool>,
}

#[derive(Debug, Args)]
pub(crate) struct PostgresOptions {
    /// With a second server that has everything the first one has committed, before that says so.
    #[arg(long)]
    pub(crate) standby: bool,
    /// A setting of both beside the usual ones, such as `fsync=off`. May be given several times.
    #[arg(long = "setting", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<String>,
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
        /// One more argument for its API server, such as `--feature-gates=…`. May be given several times.
        #[arg(long = "api-server-argument", value_name = "ARGUMENT", allow_hyphen_values = true)]
        api_server_arguments: Vec<String>,
        /// Tell where it is as JSON.
        #[arg(long)]
        json: bool,
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
