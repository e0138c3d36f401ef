//! The store: opened once, shared by all threads. Hands out connections; the other rooms bring the queries.
//!
//! Its calls block; the server makes them off its request threads.

use crate::{
    backend::{AnyConn, CHECKOUT, DatabaseUrl, Manager, Pool, Pooled, Purpose, connect, pool},
    durability,
    error::{Result, StoreError},
    lock, migrate,
    pulse::Pulse,
    seals::Ledger,
    timeline::{self, Newest},
    transaction,
};
use parking_lot::FairMutex;
use std::{fmt, sync::Arc, time::Duration};

/// The most connections for all but admission.
const GENERAL: u32 = 4;

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
    newest: Arc<Newest>,
    pulses: Pulses,
    ledger: Ledger,
    /// SQLite has one writer. Waiting here is fair, where SQLite's own waiting is a lottery under load.
    writer: FairMutex<()>,
    lock: Option<lock::ServerLock>,
}

#[derive(Default)]
struct Pulses {
    admission: Pulse,
    reads: Pulse,
    writes: Pulse,
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
        let mut conn = connect(url, Purpose::Migration)?;
        durability::no_standby(&mut conn)?;
        migrate::run(&mut conn)?;
        drop(conn);
        let newest = Arc::<Newest>::default();
        Ok(Self(Arc::new(Inner {
            url: url.clone(),
            admission: pool(url, Purpose::Admission, admissions, &newest)?,
            general: pool(url, Purpose::General, GENERAL, &newest)?,
            newest,
            pulses: Pulses::default(),
            ledger: Ledger::default(),
            writer: FairMutex::new(()),
            lock: server_lock,
        })))
    }

    /// What waits to be sealed.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// Whether this process holds the SQLite file as its server.
    pub(crate) fn is_server(&self) -> bool {
        self.0.lock.is_some()
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

    /// Reads outside a transaction; tried again over another connection where one turns out dead. After a restart of
    /// the database all that the pool holds are.
    pub(crate) fn read<T>(&self, work: impl Fn(&mut AnyConn) -> Result<T>) -> Result<T> {
        let mut tries = 0;
        let call = || loop {
            match self.on(&self.0.general, |pooled| work(&mut pooled.conn)) {
                Err(error) if error.breaks_connection() && tries < GENERAL => tries += 1,
                done => return done,
            }
        };
        self.0.pulses.reads.during(call, StoreError::is_unavailable)
    }

    /// Writes in a transaction.
    pub(crate) fn write<T, E>(&self, work: impl FnOnce(&mut AnyConn) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError> + AsStoreError,
    {
        let call = || {
            let _turn = self.turn()?;
            let mut pooled = self.begin()?;
            let done = transaction::run(&mut pooled.conn, work);
            pooled.look_at(&done);
            done
        };
        self.0.pulses.writes.during(call, |error| error.as_store_error().is_some_and(StoreError::is_unavailable))
    }

    /// A connection with a transaction begun, which no dead connection does. What comes after is never tried again.
    fn begin(&self) -> Result<r2d2::PooledConnection<Manager>> {
        let mut tries = 0;
        loop {
            let mut pooled = self.checkout(&self.0.general)?;
            let begun = transaction::begin(&mut pooled.conn);
            pooled.look_at(&begun);
            match begun {
                Ok(()) => return Ok(pooled),
                Err(error) if error.breaks_connection() && tries < GENERAL => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs an admission statement, which is a transaction of its own.
    pub(crate) fn admission<T>(&self, work: impl FnOnce(&mut Pooled) -> Result<T>) -> Result<T> {
        let call = || {
            let _turn = self.turn()?;
            self.on(&self.0.admission, work)
        };
        self.0.pulses.admission.during(call, StoreError::is_unavailable)
    }

    /// Whether admission waits for a PostgreSQL that has fallen silent. SQLite has no link that could hang, and bounds its own
    /// waits.
    #[must_use]
    pub fn admission_is_silent(&self) -> bool {
        !self.0.url.is_sqlite() && self.0.pulses.admission.is_silent()
    }

    /// The same for reads and writes outside admission.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        !self.0.url.is_sqlite() && (self.0.pulses.reads.is_silent() || self.0.pulses.writes.is_silent())
    }

    /// Waits to be the one writer of SQLite, no longer than for a connection: while another process holds the file, the
    /// callers' waits would add up.
    pub(crate) fn turn(&self) -> Result<Option<parking_lot::FairMutexGuard<'_, ()>>> {
        if !self.0.url.is_sqlite() {
            return Ok(None);
        }
        let turn = self.0.writer.try_lock_for(CHECKOUT);
        turn.map(Some).ok_or_else(|| StoreError::unavailable("waiting to write", "other writers take too long"))
    }

    /// A turn to write, if hardly anybody waits for one.
    pub(crate) fn turn_now(&self) -> Option<parking_lot::FairMutexGuard<'_, ()>> {
        self.0.writer.try_lock_for(Duration::from_millis(5))
    }

    fn on<T, E>(&self, pool: &Pool, work: impl FnOnce(&mut Pooled) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError> + AsStoreError,
    {
        let mut pooled = self.checkout(pool)?;
        let done = work(&mut pooled);
        pooled.look_at(&done);
        // Seen by the lease meanwhile: then what the one before says may have been taken back on the new one.
        if done.is_ok() && self.0.newest.is_past(pooled.timeline) {
            pooled.broken = true;
            return Err(timeline::replaced().into());
        }
        done
    }

    /// A connection to the newest primary that is known.
    fn checkout(&self, pool: &Pool) -> Result<r2d2::PooledConnection<Manager>> {
        loop {
            let mut pooled = pool.get().map_err(|error| StoreError::unavailable("waiting for a connection", error))?;
            if !self.0.newest.is_past(pooled.timeline) {
                return Ok(pooled);
            }
            pooled.broken = true;
        }
    }

    /// The number of the newest primary that this process has seen: what was read from one before may not be so any more.
    #[must_use]
    pub fn timeline(&self) -> i64 {
        self.0.newest.get()
    }

    /// Takes note of the primary that a connection outside the pools leads to, and gives its number.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where another has taken its place.
    pub(crate) fn see(&self, conn: &mut AnyConn) -> Result<i64> {
        let timeline = timeline::of(conn)?;
        if self.0.newest.see(timeline) { Ok(timeline) } else { Err(timeline::replaced()) }
    }
}

impl Pooled {
    /// Has the pool drop the connection where `done` says that it is dead.
    fn look_at<T, E: AsStoreError>(&mut self, done: &Result<T, E>) {
        if let Err(error) = done
            && error.as_store_error().is_some_and(StoreError::breaks_connection)
        {
            self.broken = true;
        }
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
