//! Migrations: embedded, the same list for both databases, run by whoever opens the database first.

use crate::{
    backend::AnyConn,
    error::{Result, StoreError},
    transaction,
};
use diesel::connection::SimpleConnection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

/// Guards the migrations of one PostgreSQL database; diesel_migrations takes no lock of its own.
const LOCK: i64 = 0x6b76_6d69_6772;

/// Brings the schema up to date; harmless when it is. Of several servers starting at once, one migrates.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(crate) fn run(conn: &mut AnyConn) -> Result<()> {
    let failed = |error| StoreError::unavailable("migrating the schema", error);
    match conn {
        AnyConn::Sqlite(sqlite) => {
            sqlite.batch_execute("PRAGMA busy_timeout=10000")?;
            if is_current(conn)? {
                return Ok(());
            }
            // The write lock first: of two that both found nothing, one would make the tables of the other.
            transaction::write(conn, |conn| match conn {
                AnyConn::Sqlite(sqlite) => sqlite.run_pending_migrations(SQLITE).map(drop).map_err(failed),
                AnyConn::Pg(_) => Ok(()),
            })
        }
        AnyConn::Pg(pg) => {
            // Let go of with the connection, which is this task's own.
            pg.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})"))?;
            pg.run_pending_migrations(POSTGRES).map(drop).map_err(failed)
        }
    }
}

/// Whether every migration of this version has run.
///
/// # Errors
/// [`StoreError::Unavailable`].
pub(crate) fn is_current(conn: &mut AnyConn) -> Result<bool> {
    let pending = match conn {
        AnyConn::Sqlite(sqlite) => sqlite.has_pending_migration(SQLITE),
        AnyConn::Pg(pg) => pg.has_pending_migration(POSTGRES),
    };
    pending.map(|pending| !pending).map_err(|error| StoreError::unavailable("reading the schema's version", error))
}

/// Undoes every migration, newest first; for the test that goes up, down and up again.
#[cfg(test)]
pub(crate) fn revert(conn: &mut AnyConn) -> Result<()> {
    let undone = match conn {
        AnyConn::Sqlite(sqlite) => sqlite.revert_all_migrations(SQLITE).map(drop),
        AnyConn::Pg(pg) => pg.revert_all_migrations(POSTGRES).map(drop),
    };
    undone.map_err(|error| StoreError::unavailable("reverting the schema", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backend::{Purpose, connect},
        testing::{Backend, TestDatabase},
    };

    crate::on_both!(up_down_and_up_again);

    fn up_down_and_up_again(backend: Backend) {
        let database = TestDatabase::empty(backend);
        let mut conn = connect(&database.url, Purpose::Migration).unwrap();
        let objects = || {
            let mut objects = database.texts(match backend {
                Backend::Sqlite => "SELECT type || ' ' || name || ' ' || coalesce(sql, '') AS value FROM sqlite_schema",
                Backend::Postgres => {
                    "SELECT relkind::text || ' ' || relname AS value FROM pg_class \
                     WHERE relnamespace = 'public'::regnamespace"
                }
            });
            objects.sort();
            objects
        };
        run(&mut conn).unwrap();
        assert!(is_current(&mut conn).unwrap());
        let up = objects();
        revert(&mut conn).unwrap();
        assert!(!is_current(&mut conn).unwrap());
        let left = objects();
        assert!(left.iter().flatten().all(|object| object.contains("__diesel_schema_migrations")), "{left:?}");
        run(&mut conn).unwrap();
        run(&mut conn).unwrap();
        assert_eq!(objects(), up);
    }
}
