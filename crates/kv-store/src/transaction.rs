//! Transactions that write. On SQLite they take the write lock at once: one that read first would fail as soon as two
//! of them overlap. Nothing slow happens inside: no hashing, no network.

use crate::{
    backend::AnyConn,
    error::{Result, StoreError},
};
use diesel::{
    Connection,
    connection::{AnsiTransactionManager, TransactionManager},
};

/// The step whose failure leaves open whether it was done.
pub(crate) const COMMITTING: &str = "committing";

type Manager = <AnyConn as Connection>::TransactionManager;

/// Several that wait for one row wait in a queue, each with a lock time-out of its own; this bounds all of it. It does not
/// count while committing: a wait for a standby is never given up.
const BEGIN_POSTGRES: &str = "BEGIN; SET LOCAL statement_timeout = '1800ms'";

/// Begins a transaction. Nothing has been done while this fails, so it may be tried again.
pub(crate) fn begin(conn: &mut AnyConn) -> Result<()> {
    let begun = match conn {
        AnyConn::Sqlite(sqlite) => AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE"),
        AnyConn::Pg(pg) => AnsiTransactionManager::begin_transaction_sql(pg, BEGIN_POSTGRES),
    };
    begun.map_err(|error| StoreError::unavailable("beginning a transaction", error))
}

/// The same without a limit of time, for what an operator waits for.
pub(crate) fn begin_unbounded(conn: &mut AnyConn) -> Result<()> {
    let begun = match conn {
        AnyConn::Sqlite(sqlite) => AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE"),
        AnyConn::Pg(pg) => AnsiTransactionManager::begin_transaction_sql(pg, "BEGIN"),
    };
    begun.map_err(|error| StoreError::unavailable("beginning a transaction", error))
}

/// Runs `work` in the transaction that was begun, and commits if it returns `Ok`.
pub(crate) fn run<T, E: From<StoreError>>(
    conn: &mut AnyConn,
    work: impl FnOnce(&mut AnyConn) -> Result<T, E>,
) -> Result<T, E> {
    match work(conn) {
        Ok(value) => {
            Manager::commit_transaction(conn).map_err(|error| StoreError::unavailable(COMMITTING, error))?;
            Ok(value)
        }
        Err(error) => {
            Manager::rollback_transaction(conn).map_err(|error| StoreError::unavailable("rolling back", error))?;
            Err(error)
        }
    }
}

/// Runs `work` in a transaction of its own.
pub(crate) fn write<T, E: From<StoreError>>(
    conn: &mut AnyConn,
    work: impl FnOnce(&mut AnyConn) -> Result<T, E>,
) -> Result<T, E> {
    begin(conn)?;
    run(conn, work)
}
