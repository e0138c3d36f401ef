//! Durability: whether the database keeps what it says it has committed, asked once when a server starts. A revocation that is
//! forgotten by a crash makes its key good again, and an audit entry that is forgotten never was.
//!
//! Asked over a connection opened as all others are, so that what is judged is what they have. Nothing is changed here.

use crate::{
    backend::AnyConn,
    error::{Result, StoreError},
    store::Store,
};
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types};

/// What a PostgreSQL says of itself.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
struct Settings {
    #[diesel(sql_type = sql_types::Bool)]
    standby: bool,
    #[diesel(sql_type = sql_types::Text)]
    fsync: String,
    #[diesel(sql_type = sql_types::Text)]
    synchronous_commit: String,
    #[diesel(sql_type = sql_types::Text)]
    full_page_writes: String,
    #[diesel(sql_type = sql_types::Text)]
    standby_names: String,
    /// Synchronous standbys that follow right now; and those of which this user is not told whether they are.
    #[diesel(sql_type = sql_types::BigInt)]
    following: i64,
}

const ASK: &str = "SELECT pg_is_in_recovery() AS standby, current_setting('fsync') AS fsync, \
    current_setting('synchronous_commit') AS synchronous_commit, current_setting('full_page_writes') AS full_page_writes, \
    current_setting('synchronous_standby_names') AS standby_names, \
    (SELECT count(*) FROM pg_stat_replication WHERE sync_state IS NULL OR sync_state IN ('sync', 'quorum')) AS following";

/// What a database's settings put at risk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Durability {
    /// What it must not be used with, unless for trials.
    pub refused: Vec<Weakness>,
    /// What its operator should know.
    pub warned: Vec<Weakness>,
}

/// Something that may lose what was committed. Its text says what is wrong, why it matters and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    /// It only follows another.
    #[error(
        "the database is a standby: it takes no writes, and revocations reach it late, so nobody can be admitted by it. Point \
         KUBEVISION_DATABASE_URL at the primary, or promote this server if the primary is lost"
    )]
    Standby,
    /// Nothing is forced to disk.
    #[error(
        "PostgreSQL runs with fsync=off: a crash of its machine can lose what it has acknowledged, or all of it. Keys that were \
         revoked would work again, and audit entries be missing. Set fsync=on in postgresql.conf and reload it"
    )]
    NoFsync,
    /// Commits are acknowledged before they are anywhere.
    #[error(
        "synchronous_commit is {0} on KubeVision's connections, though they ask for `on`: a crash loses commits that were \
         acknowledged, and keys that were revoked work again. Something between here and PostgreSQL drops `SET \
         synchronous_commit = on` (a pooler in transaction mode does): connect to PostgreSQL itself, or set \
         synchronous_commit=on in postgresql.conf"
    )]
    CommitNotDurable(String),
    /// Commits are acknowledged before a standby has them.
    #[error(
        "synchronous_commit is {mode} on KubeVision's connections, and synchronous_standby_names is {names:?}: commits are \
         acknowledged before a standby has them on disk, and a failover forgets the last of them, revocations included. \
         Something between here and PostgreSQL drops `SET synchronous_commit = on` (a pooler in transaction mode does): \
         connect to PostgreSQL itself, or set synchronous_commit=on in postgresql.conf"
    )]
    StandbyNotAwaited {
        /// What it is set to.
        mode: String,
        /// The standbys that are to be awaited.
        names: String,
    },
    /// Pages that were half written are not repaired.
    #[error(
        "PostgreSQL runs with full_page_writes=off: a page that was half written when its machine lost power stays broken. Set \
         full_page_writes=on in postgresql.conf and reload it, unless the file system under it never writes half a page"
    )]
    TornPages,
    /// There is nothing to fail over to without loss.
    #[error(
        "{replicas} servers share this database, and it has no synchronous standby (synchronous_standby_names is empty): if its \
         machine is lost, or a standby that lags is promoted, the last commits are forgotten, and keys that were revoked work \
         again. Add a standby and name it in synchronous_standby_names; docs/postgresql.md says how"
    )]
    NoStandby {
        /// How many servers use the database.
        replicas: u32,
    },
    /// Commits wait for a standby that does not follow.
    #[error(
        "synchronous_standby_names is {0:?}, and no such standby follows right now: every commit waits for one, and every \
         request is answered 503 meanwhile. Start the standby and look at pg_stat_replication, or, to do without it, empty \
         synchronous_standby_names in postgresql.conf and reload it"
    )]
    StandbyMissing(String),
}

impl Settings {
    fn judge(&self, replicas: u32) -> Durability {
        let mut found = Durability::default();
        if self.standby {
            // All else is the primary's to say.
            found.refused.push(Weakness::Standby);
            return found;
        }
        let names = self.standby_names.trim();
        let mode = self.synchronous_commit.clone();
        if self.fsync != "on" {
            found.refused.push(Weakness::NoFsync);
        }
        match mode.as_str() {
            "on" | "remote_apply" => {}
            "local" | "remote_write" if names.is_empty() => {}
            "local" | "remote_write" => {
                found.warned.push(Weakness::StandbyNotAwaited { mode, names: names.to_owned() });
            }
            _ => found.refused.push(Weakness::CommitNotDurable(mode)),
        }
        if self.full_page_writes != "on" {
            found.warned.push(Weakness::TornPages);
        }
        match names.is_empty() {
            true if replicas > 1 => found.warned.push(Weakness::NoStandby { replicas }),
            false if self.following == 0 => found.warned.push(Weakness::StandbyMissing(names.to_owned())),
            _ => {}
        }
        found
    }
}

/// Refuses a standby, in which nothing else works either.
///
/// # Errors
/// [`StoreError::Setup`].
pub(crate) fn no_standby(conn: &mut AnyConn) -> Result<()> {
    let AnyConn::Pg(pg) = conn else { return Ok(()) };
    let settings: Settings = sql_query(ASK).get_result(pg)?;
    if settings.standby { Err(StoreError::Setup(Weakness::Standby.to_string())) } else { Ok(()) }
}

impl Store {
    /// Whether the database keeps what it commits, for so many servers that use it. SQLite is one process's, and opened so that
    /// it does.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be asked.
    pub fn durability(&self, replicas: u32) -> Result<Durability> {
        self.read(|conn| match conn {
            AnyConn::Sqlite(_) => Ok(Durability::default()),
            AnyConn::Pg(pg) => {
                let settings: Settings = sql_query(ASK).get_result(pg)?;
                Ok(settings.judge(replicas))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Settings {
        Settings {
            standby: false,
            fsync: "on".into(),
            synchronous_commit: "on".into(),
            full_page_writes: "on".into(),
            standby_names: "standby".into(),
            following: 1,
        }
    }

    fn alone() -> Settings {
        Settings { standby_names: String::new(), following: 0, ..sound() }
    }

    fn with_commit(mode: &str, settings: Settings) -> Settings {
        Settings { synchronous_commit: mode.into(), ..settings }
    }

    fn refused(settings: &Settings) -> Vec<Weakness> {
        settings.judge(1).refused
    }

    #[test]
    fn what_loses_commits_is_refused() {
        let off = |fsync: &str| Settings { fsync: fsync.into(), ..sound() };
        assert_eq!(refused(&off("off")), [Weakness::NoFsync]);
        assert_eq!(refused(&with_commit("off", sound())), [Weakness::CommitNotDurable("off".into())]);
        assert_eq!(refused(&Settings { standby: true, ..off("off") }), [Weakness::Standby]);
    }

    #[test]
    fn what_weakens_a_standby_is_told() {
        for mode in ["local", "remote_write"] {
            let told = with_commit(mode, sound()).judge(3);
            let weakness = Weakness::StandbyNotAwaited { mode: mode.into(), names: "standby".into() };
            assert_eq!(told, Durability { refused: vec![], warned: vec![weakness] });
            assert_eq!(with_commit(mode, alone()).judge(1), Durability::default(), "there is nothing to weaken");
        }
        assert_eq!(Settings { following: 0, ..sound() }.judge(1).warned, [Weakness::StandbyMissing("standby".into())]);
        assert_eq!(Settings { full_page_writes: "off".into(), ..sound() }.judge(1).warned, [Weakness::TornPages]);
    }

    #[test]
    fn several_servers_need_a_standby() {
        assert_eq!(alone().judge(2).warned, [Weakness::NoStandby { replicas: 2 }]);
        assert_eq!(alone().judge(1), Durability::default());
        for mode in ["on", "remote_apply"] {
            assert_eq!(with_commit(mode, sound()).judge(3), Durability::default());
        }
    }
}
