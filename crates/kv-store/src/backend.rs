//! The two databases behind one connection type, chosen by URL, and the pools of such connections.
//!
//! No query is written here, and no other room opens a connection.

use crate::{
    admission::Standings,
    error::{Result, StoreError},
    timeline::{self, Newest},
};
use diesel::{Connection, ConnectionError, connection::SimpleConnection, pg::PgMetadataLookup, result::Error};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub(crate) enum AnyConn {
    Pg(diesel::PgConnection),
    Sqlite(diesel::SqliteConnection),
}

/// Which database a URL names. Unprintable as a whole, for it may carry a password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file of this process alone.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(String),
}

impl DatabaseUrl {
    /// Reads `sqlite://<path>`, `postgres://…` or `postgresql://…`.
    ///
    /// # Errors
    /// [`StoreError::Setup`] for anything else, so that a typing error never makes an empty database.
    pub fn parse(url: &str) -> Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite://") {
            if path.is_empty() || path.contains('?') {
                return Err(StoreError::Setup("a SQLite URL is sqlite://<path of the file>, without options".into()));
            }
            return Ok(Self::Sqlite(PathBuf::from(path)));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        Err(StoreError::Setup("the database URL must begin with sqlite://, postgres:// or postgresql://".into()))
    }

    /// Whether this is SQLite.
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// `sqlite` or `postgresql`, for logs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.is_sqlite() { "sqlite" } else { "postgresql" }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// What a pool's connections are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The admission statement. Never cancelled: a cancelled wait for a synchronous standby reports success.
    Admission,
    /// Everything else; each statement bounded in time.
    General,
    /// Migrations, which may take as long as the tables are large, and wait for another server's.
    Migration,
    /// An operator's reading, which takes as long as the tables are large.
    Reading,
}

/// How long a caller waits for a connection before the database counts as unavailable.
pub(crate) const CHECKOUT: Duration = Duration::from_millis(900);
/// How long a pool waits for its first one: on a busy machine it takes longer than a request would wait for it, and a start
/// has that time.
const FIRST_CHECKOUT: Duration = Duration::from_millis(4_500);

/// Sooner gone than the callers' patience with one statement, so that a black hole frees its connection.
const POSTGRES_LIMITS: &[(&str, &str)] = &[
    ("connect_timeout", "2"),
    ("tcp_user_timeout", "3000"),
    ("keepalives_idle", "5"),
    ("keepalives_interval", "2"),
    ("keepalives_count", "2"),
    ("application_name", "kubevision"),
];

/// The type of our own that admission sends.
const ADMISSION_LINE: &str = "admission_line";

#[derive(Debug)]
pub(crate) struct Manager {
    url: DatabaseUrl,
    purpose: Purpose,
    pace: Pace,
    newest: Arc<Newest>,
}

/// How soon a lost connection is opened anew. Where opening itself fails, the pool paces it; this is for those that open well
/// and are of no use: a server that forbids writing, or one that ends them at the first statement.
#[derive(Debug, Default)]
struct Pace(AtomicU32);

impl Pace {
    /// As many may be lost at once as a pool holds, by a restart, and are opened without a pause.
    const FREE: u32 = 4;
    /// The longest pause, so that what works again is noticed soon.
    const LONGEST: Duration = Duration::from_millis(800);

    fn used(&self, broken: bool) {
        match broken {
            true => drop(self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lost| lost.checked_add(1))),
            false => self.0.store(0, Ordering::Relaxed),
        }
    }

    fn pause(&self) -> Duration {
        let beyond = self.0.load(Ordering::Relaxed).saturating_sub(Self::FREE);
        match beyond {
            0 => Duration::ZERO,
            beyond => Self::LONGEST.min(Duration::from_millis(25) * 2_u32.saturating_pow(beyond)),
        }
    }
}

/// A pooled connection and whether it has failed.
pub(crate) struct Pooled {
    pub(crate) conn: AnyConn,
    pub(crate) broken: bool,
    /// The primary it leads to.
    pub(crate) timeline: i64,
    /// What admission found over it.
    pub(crate) standings: Standings,
}

pub(crate) type Pool = r2d2::Pool<Manager>;

impl Manager {
    fn new(url: &DatabaseUrl, purpose: Purpose, newest: Arc<Newest>) -> Self {
        Self { url: url.clone(), purpose, pace: Pace::default(), newest }
    }
}

/// A connection of its own, outside every pool.
pub(crate) fn connect(url: &DatabaseUrl, purpose: Purpose) -> Result<AnyConn> {
    let connected = r2d2::ManageConnection::connect(&Manager::new(url, purpose, Arc::default()));
    Ok(connected.map_err(|error| StoreError::unavailable("connecting", error))?.conn)
}

/// A pool of up to `size` connections, opened as needed.
pub(crate) fn pool(url: &DatabaseUrl, purpose: Purpose, size: u32, newest: &Arc<Newest>) -> Result<Pool> {
    let pool = r2d2::Pool::builder()
        .max_size(size)
        .min_idle(Some(1))
        .connection_timeout(CHECKOUT)
        .test_on_check_out(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .error_handler(Box::new(LogOnce))
        .build_unchecked(Manager::new(url, purpose, newest.clone()));
    let opened = pool.get_timeout(FIRST_CHECKOUT).map(drop);
    opened.map_err(|error| StoreError::unavailable("opening the database", error))?;
    Ok(pool)
}

/// r2d2 tells of each failed attempt to connect; the requests that miss the connection tell it better.
#[derive(Debug)]
struct LogOnce;

impl<E: fmt::Display> r2d2::HandleError<E> for LogOnce {
    fn handle_error(&self, error: E) {
        tracing::debug!(%error, "connecting to the database failed");
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = Pooled;
    type Error = ConnectionError;

    fn connect(&self) -> Result<Pooled, ConnectionError> {
        // On one of the pool's own threads; who waits for the connection does not wait for this.
        thread::sleep(self.pace.pause());
        let mut conn = match &self.url {
            DatabaseUrl::Sqlite(path) => AnyConn::Sqlite(open_sqlite(path)?),
            DatabaseUrl::Postgres(url) => AnyConn::Pg(open_postgres(url, self.purpose)?),
        };
        let timeline = timeline::of(&mut conn).map_err(ConnectionError::CouldntSetupConfiguration)?;
        if !self.newest.see(timeline) {
            return Err(ConnectionError::BadConnection(timeline::replaced().to_string()));
        }
        Ok(Pooled { conn, broken: false, timeline, standings: Standings::on(timeline) })
    }

    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), ConnectionError> {
        pooled.conn.batch_execute("SELECT 1").map_err(ConnectionError::CouldntSetupConfiguration)
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        let broken = pooled.broken || thread::panicking();
        self.pace.used(broken);
        broken
    }
}

fn open_sqlite(path: &Path) -> Result<diesel::SqliteConnection, ConnectionError> {
    let path = path.to_str().ok_or_else(|| ConnectionError::InvalidConnectionUrl("the path is not UTF-8".into()))?;
    let mut conn = diesel::SqliteConnection::establish(path)?;
    // FULL: a commit that was acknowledged survives a power cut, which is what an audit log is for.
    conn.batch_execute(
        "PRAGMA busy_timeout=1000; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; \
         PRAGMA cell_size_check=ON;",
    )
    .map_err(ConnectionError::CouldntSetupConfiguration)?;
    // Once for the life of the file. Two that turn a new one at once are not made to wait for each other.
    let started = Instant::now();
    while let Err(error) = conn.batch_execute("PRAGMA journal_mode=WAL") {
        if started.elapsed() > CHECKOUT || !error.to_string().contains("locked") {
            return Err(ConnectionError::CouldntSetupConfiguration(error));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(conn)
}

fn open_postgres(url: &str, purpose: Purpose) -> Result<diesel::PgConnection, ConnectionError> {
    let mut url = url.to_owned();
    for (name, value) in POSTGRES_LIMITS {
        if !url.contains(&format!("{name}=")) {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&format!("{name}={value}"));
        }
    }
    let mut conn = diesel::PgConnection::establish(&url).map_err(without_url)?;
    let limits = match purpose {
        // One plan for all batches: planning it anew would cost more than running it. And always by index: the plan may
        // be made while the tables are small, and must still be right when they hold millions.
        Purpose::Admission => {
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET enable_hashjoin = off; \
             SET enable_mergejoin = off;"
        }
        Purpose::General => "SET statement_timeout = '5s'; SET lock_timeout = '1500ms';",
        Purpose::Migration => "SET statement_timeout = 0; SET lock_timeout = 0;",
        Purpose::Reading => "SET statement_timeout = 0; SET lock_timeout = 0; SET default_transaction_read_only = on;",
    };
    // A server that is lost in the middle of a transaction must not hold its rows for hours.
    let lost = "SET idle_in_transaction_session_timeout = '3s';";
    let lost = if purpose == Purpose::Migration { "" } else { lost };
    conn.batch_execute(&format!("SET timezone = 'UTC'; SET synchronous_commit = on; {limits} {lost}"))
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    if purpose == Purpose::Admission {
        // Asked now, and not in the middle of the first admission, over a connection that may be dead by then.
        let found = conn.lookup_type(ADMISSION_LINE, None).array_oid().map(drop);
        found.map_err(|error| ConnectionError::CouldntSetupConfiguration(Error::QueryBuilderError(error.into())))?;
    }
    Ok(conn)
}

/// libpq repeats a URL that it cannot read, password and all; what it says of a server it tried is harmless.
fn without_url(error: ConnectionError) -> ConnectionError {
    match error {
        ConnectionError::BadConnection(words) if words.starts_with("connection to server") => {
            ConnectionError::BadConnection(words)
        }
        _ => ConnectionError::BadConnection("the database URL cannot be read, or names no server".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_schemes_open_a_database() {
        assert!(DatabaseUrl::parse("sqlite:///var/lib/kv.db").unwrap().is_sqlite());
        assert_eq!(DatabaseUrl::parse("postgres://kv@db/kv").unwrap().kind(), "postgresql");
        for url in [
            "",
            "kv.db",
            "sqlite:kv.db",
            "sqlite://",
            "sqlite://kv.db?mode=memory",
            "\"postgres://kv@db\"",
            "mysql://kv@db",
        ] {
            assert!(DatabaseUrl::parse(url).is_err(), "{url:?}");
        }
    }

    #[test]
    fn a_connection_that_is_lost_time_and_again_is_opened_ever_later() {
        let pace = Pace::default();
        (0..Pace::FREE).for_each(|_| pace.used(true));
        assert_eq!(pace.pause(), Duration::ZERO, "as after a restart");
        let mut before = Duration::ZERO;
        for _ in 0..4 {
            pace.used(true);
            assert!(pace.pause() > before);
            before = pace.pause();
        }
        (0..100).for_each(|_| pace.used(true));
        assert_eq!(pace.pause(), Pace::LONGEST);
        pace.used(false);
        assert_eq!(pace.pause(), Duration::ZERO);
    }

    #[test]
    fn a_url_does_not_print_its_password() {
        let url = DatabaseUrl::parse("postgres://kv:hunter2@db/kv").unwrap();
        assert_eq!(format!("{url:?}"), "postgresql");
    }
}
