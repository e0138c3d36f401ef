//! The command line of administration.

use clap::Subcommand;
use kv_server::origin::Origin;
use std::path::PathBuf;

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
    /// Print a kubeconfig for a cluster, by which kubectl reaches it through the server with an API key. No secret is in it.
    Kubeconfig {
        /// The cluster.
        cluster: String,
        /// Where clients reach the server, such as https://kubevision.example.com; KUBEVISION_PUBLIC_URL if not given.
        #[arg(long)]
        server: Option<Origin>,
    },
    /// Custom roles.
    Role {
        #[command(subcommand)]
        task: RoleTask,
    },
    /// The audit log.
    Audit {
        #[command(subcommand)]
        task: AuditTask,
    },
    /// Put a new key in the place of one in the data folder. Nobody is signed out, and nothing is lost.
    Rotate {
        #[command(subcommand)]
        task: RotateTask,
    },
    /// Write everything in the database to a file, readable by you alone. The key files are not in it: keep them apart.
    Backup {
        /// The file, which must not be there yet.
        file: PathBuf,
    },
    /// Put what a backup holds in the place of what the database holds. The server must not run. Sessions end, and no
    /// key is good that the database knows to be revoked; without such knowledge none is.
    Restore {
        /// The file.
        file: PathBuf,
        /// Keep keys good that the database knows nothing of, such as after it was lost.
        #[arg(long)]
        trust_keys: bool,
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
    /// Take what a user has for a cluster.
    Unassign {
        /// Their name.
        name: String,
        /// The cluster; `*` for what was given for every one.
        #[arg(long)]
        cluster: String,
    },
    /// Give a user another role.
    SetRole {
        /// Their name.
        name: String,
        /// The role.
        #[arg(long)]
        role: String,
    },
    /// Disable a user: their sessions end and their keys are revoked.
    Disable {
        /// Their name.
        name: String,
    },
    /// Enable a user again.
    Enable {
        /// Their name.
        name: String,
        /// Make the keys good again that disabling revoked.
        #[arg(long)]
        restore_api_keys: bool,
    },
    /// Delete a user, with their keys, sessions and assignments.
    Delete {
        /// Their name.
        name: String,
    },
    /// Set a user's password, read from standard input. Their sessions end and their keys are revoked.
    ResetPassword {
        /// Their name.
        name: String,
        /// Leave their keys as they are.
        #[arg(long)]
        keep_api_keys: bool,
    },
    /// Take a user's second factor away, for one who has lost it. Their sessions end.
    ResetSecondFactor {
        /// Their name.
        name: String,
    },
    /// End a user's sessions.
    EndSessions {
        /// Their name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RoleTask {
    /// List the roles.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a role.
    Create {
        /// Its name: letters, digits, `-`, `_` and `.`.
        name: String,
        /// What it holds, `resource:action` each, with `*` for either.
        grants: Vec<String>,
    },
    /// Say what a role holds, in place of all it held.
    Set {
        /// Its name.
        name: String,
        /// What it holds from now on.
        grants: Vec<String>,
    },
    /// Delete a role. Who has it holds nothing.
    Delete {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RotateTask {
    /// The key that signs access tokens.
    Signing,
    /// The key under which clusters and second factors are sealed; they are sealed anew.
    Sealing,
}

/// The form of an export.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum AuditForm {
    /// Comma-separated values.
    Csv,
    /// One JSON object a line.
    Jsonl,
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

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Switch {
    /// It is so from now on.
    On,
    /// It is not.
    Off,
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
        /// Name the caller in every call, by impersonation; the account must be allowed to.
        #[arg(long)]
        impersonate: bool,
    },
    /// Change how a cluster is called.
    Set {
        /// Its name.
        name: String,
        /// Whether every call names the caller by impersonation.
        #[arg(long, value_name = "on|off")]
        impersonate: Switch,
    },
    /// Make the token by which a cluster is known when it asks about its callers, in the place of the one before.
    WebhookToken {
        /// The cluster's name.
        name: String,
        /// Take it away instead.
        #[arg(long)]
        remove: bool,
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
    /// Write the log to a file, the newest entry first.
    Export {
        /// The form.
        #[arg(long, value_enum)]
        form: AuditForm,
        /// The file, which must not be there yet.
        #[arg(long)]
        out: PathBuf,
        /// Not before this time (RFC 3339).
        #[arg(long)]
        since: Option<String>,
        /// Before this time (RFC 3339).
        #[arg(long)]
        until: Option<String>,
    },
    /// Look the whole log through: whether an entry was changed, removed or slipped in. Ends with 1 if so.
    Verify {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Delete what is older than the settings keep, now and not at the next full hour.
    Purge,
}
