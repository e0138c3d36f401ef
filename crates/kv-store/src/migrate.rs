//! Migrations: embedded, the same list for both databases, run by whoever opens the database first.

use crate::{
    backend::AnyConn,
    error::{Result, StoreError},
    transaction,
};
use diesel::connection::SimpleConnection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use std::{
    thread,
    time::{Duration, Instant},
};

const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

/// Guards the migrations of one PostgreSQL database; diesel_migrations takes no lock of its own.
const LOCK: i64 = 0x6b76_6d69_6772;

/// How long a migration waits for a table on PostgreSQL: everybody else who wants it waits behind it. Less than those wait who
/// serve requests, and than PostgreSQL takes to find two that wait for each other, of which it ends either.
const TURN: Duration = Duration::from_millis(300);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// For how long it is tried: an export of the audit log may have to end first.
const PATIENCE: Duration = Duration::from_secs(600);

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
            pg.batch_execute(&format!("SET lock_timeout = '{}ms'", TURN.as_millis()))?;
            let started = Instant::now();
            loop {
                match pg.run_pending_migrations(POSTGRES) {
                    Ok(_) => return Ok(()),
                    Err(error) if is_in_the_way(&*error) && started.elapsed() < PATIENCE => thread::sleep(PAUSE),
                    Err(error) => return Err(failed(error)),
                }
            }
        }
    }
}

/// Whether others used a table for longer than a migration may wait.
fn is_in_the_way(error: &dyn std::error::Error) -> bool {
    let mut chain = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    chain.any(|text| text.contains("lock timeout") || text.contains("deadlock detected"))
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

    #[test]
    fn nobody_waits_behind_a_migration_that_waits() {
        let database = TestDatabase::fresh(Backend::Postgres);
        let mut conn = connect(&database.url, Purpose::Migration).unwrap();
        let AnyConn::Pg(pg) = &mut conn else { panic!("PostgreSQL") };
        // Down to where a migration changes a table that is there.
        for _ in 0..3 {
            pg.revert_last_migration(POSTGRES).unwrap();
        }
        thread::scope(|scope| {
            scope.spawn(|| database.execute("BEGIN; SELECT count(*) FROM clusters; SELECT pg_sleep(5); COMMIT"));
            thread::sleep(Duration::from_millis(500));
            scope.spawn(|| run(&mut conn).unwrap());
            thread::sleep(Duration::from_millis(100));
            for _ in 0..3 {
                let asked = Instant::now();
                assert_eq!(database.count("clusters", "1 = 1"), 0);
                assert!(asked.elapsed() < Duration::from_millis(2_500), "it took {:?}", asked.elapsed());
            }
        });
        let mut conn = connect(&database.url, Purpose::Migration).unwrap();
        assert!(is_current(&mut conn).unwrap());
    }
}
