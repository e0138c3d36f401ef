//! The store: opened once, shared by all threads. Hands out connections; the other rooms bring the queries.
//!
//! Its calls block; the server makes them off its request threads.

use crate::{
    backend::{AnyConn, DatabaseUrl, Pool, Purpose, pool},
    error::{Result, StoreError},
    lock, migrate, transaction,
};
use parking_lot::FairMutex;
use std::{fmt, sync::Arc};

/// Who opens the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    /// A server: on SQLite the only one.
    Server,
    /// An operator's task, beside a server or without one.
    Task,
}

/// The database.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    url: DatabaseUrl,
    admission: Pool,
    general: Pool,
    /// SQLite has one writer. Waiting here is fair, where SQLite's own waiting is a lottery under load.
    writer: FairMutex<()>,
    _lock: Option<lock::ServerLock>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.0.url).finish()
    }
}

impl Store {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Setup`] when another server has the SQLite file or it belongs to another system user,
    /// [`StoreError::Unavailable`] when the database cannot be reached or migrated.
    pub fn open(url: &DatabaseUrl, opener: Opener) -> Result<Self> {
        let mut server_lock = None;
        if let DatabaseUrl::Sqlite(path) = url {
            lock::own_file(path)?;
            if opener == Opener::Server {
                server_lock = Some(lock::server(path)?);
            }
        }
        // Two cores: two batches in flight on PostgreSQL, one writer on SQLite, four connections for the rest.
        let admissions = if url.is_sqlite() { 1 } else { 2 };
        let general = pool(url, Purpose::General, 4)?;
        {
            let mut pooled = general.get().map_err(|error| StoreError::unavailable("connecting", error))?;
            migrate::run(&mut pooled.conn)?;
        }
        Ok(Self(Arc::new(Inner {
            url: url.clone(),
            admission: pool(url, Purpose::Admission, admissions)?,
            general,
            writer: FairMutex::new(()),
            _lock: server_lock,
        })))
    }

    /// Which database this is.
    #[must_use]
    pub fn url(&self) -> &DatabaseUrl {
        &self.0.url
    }

    /// How many batches may be under way at once.
    #[must_use]
    pub fn admission_lanes(&self) -> usize {
        if self.0.url.is_sqlite() { 1 } else { 2 }
    }

    /// Whether the database answers and its schema is of this version.
    ///
    /// # Errors
    /// [`StoreError`] when it does not.
    pub fn check(&self) -> Result<()> {
        if self.read(migrate::is_current)? {
            return Ok(());
        }
        Err(StoreError::Setup("the database's schema is of another version; run `cargo xtask migrate`".into()))
    }

    /// Reads outside a transaction; tried once more over another connection if the first one turns out dead.
    pub(crate) fn read<T>(&self, work: impl Fn(&mut AnyConn) -> Result<T>) -> Result<T> {
        match self.on(&self.0.general, &work) {
            Err(error) if error.breaks_connection() => self.on(&self.0.general, &work),
            done => done,
        }
    }

    /// Writes in a transaction.
    pub(crate) fn write<T, E>(&self, work: impl FnOnce(&mut AnyConn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError> + AsStoreError,
    {
        let _turn = self.turn();
        self.on(&self.0.general, |conn| transaction::write(conn, work))
    }

    /// Runs an admission statement, which is a transaction of its own.
    pub(crate) fn admission<T>(&self, work: impl FnOnce(&mut AnyConn) -> Result<T>) -> Result<T> {
        let _turn = self.turn();
        self.on(&self.0.admission, work)
    }

    fn turn(&self) -> Option<parking_lot::FairMutexGuard<'_, ()>> {
        self.0.url.is_sqlite().then(|| self.0.writer.lock())
    }

    fn on<T, E>(&self, pool: &Pool, work: impl FnOnce(&mut AnyConn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError> + AsStoreError,
    {
        let mut pooled = pool.get().map_err(|error| StoreError::unavailable("waiting for a connection", error))?;
        let done = work(&mut pooled.conn);
        if let Err(error) = &done
            && error.as_store_error().is_some_and(StoreError::breaks_connection)
        {
            pooled.broken = true;
        }
        done
    }
}

/// Lets the store look for a broken connection in the errors of every room.
pub(crate) trait AsStoreError {
    fn as_store_error(&self) -> Option<&StoreError>;
}

impl AsStoreError for StoreError {
    fn as_store_error(&self) -> Option<&StoreError> {
        Some(self)
    }
}
