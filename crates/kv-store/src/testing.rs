//! A database per test: fresh, of its own, gone afterwards. For tests alone, and therefore never polite: what fails,
//! panics with what to do about it.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot have its database has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test says by a variable where its server is, and names its database by the clock"
)]

use crate::{
    backend::{AnyConn, DatabaseUrl, Purpose, connect},
    migrate,
    store::{Opener, Store},
};
use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types,
};
use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};
use uuid::Uuid;

/// The URL of the maintenance database of a PostgreSQL server for tests.
pub const POSTGRES: &str = "KUBEVISION_TEST_POSTGRES";

/// What every test's PostgreSQL has besides: acts that move rights leave a cut, or fail.
const CUT_LEFT: &str = include_str!("testing/cut_left.sql");

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// A file in a folder of its own.
    Sqlite,
    /// A database of its own on the server that [`POSTGRES`] names.
    Postgres,
}

/// Makes two tests of each given function, one a database: `mod sqlite` and `mod postgres`.
///
/// The functions take a [`Backend`].
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { super::$name($crate::testing::Backend::Sqlite); })+
        }
        mod postgres {
            $(#[test] fn $name() { super::$name($crate::testing::Backend::Postgres); })+
        }
    };
}

/// A database for one test; it goes with this value.
#[derive(Debug)]
pub struct TestDatabase {
    /// Where it is.
    pub url: DatabaseUrl,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    Folder(#[allow(dead_code, reason = "held, for it removes the folder")] tempfile::TempDir),
    Database { server: String, name: String },
    Elsewhere,
}

impl TestDatabase {
    /// A database with the schema of this version and nothing else.
    ///
    /// # Panics
    /// Where it cannot be had; for PostgreSQL with the advice to run `cargo xtask test`.
    #[must_use]
    pub fn fresh(backend: Backend) -> Self {
        match backend {
            // Migrated by whoever opens it, in less time than a copy would take.
            Backend::Sqlite => Self::empty(backend),
            Backend::Postgres => {
                let server = server();
                let mut conn = maintenance(&server);
                let template = template(&server, &mut conn);
                Self::create(server, &mut conn, &format!("TEMPLATE {template}"))
            }
        }
    }

    /// A database without a schema.
    ///
    /// # Panics
    /// As [`Self::fresh`].
    #[must_use]
    pub fn empty(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let folder = tempfile::Builder::new().prefix("kv-sqlite-").tempdir().expect("a temporary folder");
                let url = DatabaseUrl::Sqlite(folder.path().join("kv.db"));
                Self { url, kept: Kept::Folder(folder) }
            }
            Backend::Postgres => {
                let server = server();
                let mut conn = maintenance(&server);
                Self::create(server, &mut conn, "")
            }
        }
    }

    /// A database that is there, and stays.
    ///
    /// # Panics
    /// Where the URL names none.
    #[must_use]
    pub fn at(url: &str) -> Self {
        Self { url: DatabaseUrl::parse(url).expect("a database's URL"), kept: Kept::Elsewhere }
    }

    fn create(server: String, conn: &mut PgConnection, options: &str) -> Self {
        let name = unique_name();
        conn.batch_execute(&format!("CREATE DATABASE {name} {options}")).expect("a new database");
        let url = DatabaseUrl::Postgres(url_of(&server, &name));
        Self { url, kept: Kept::Database { server, name } }
    }

    /// The URL as an operator writes it.
    #[must_use]
    pub fn url_text(&self) -> String {
        match &self.url {
            DatabaseUrl::Sqlite(path) => format!("sqlite://{}", path.display()),
            DatabaseUrl::Postgres(url) => url.clone(),
        }
    }

    /// Opens it as a server does.
    ///
    /// # Panics
    /// Where that fails.
    #[must_use]
    pub fn open(&self) -> Store {
        Store::open(&self.url, Opener::Server).expect("the test's database opens")
    }

    /// Runs statements behind the store's back, over a connection of their own.
    ///
    /// # Panics
    /// Where they fail.
    pub fn execute(&self, statements: &str) {
        let mut conn = connect(&self.url, Purpose::Migration).expect("a connection");
        if !self.url.is_sqlite() {
            conn.batch_execute("SET trial.behind = 'yes'").expect("a setting");
        }
        conn.batch_execute(statements).unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// The rows of a query for one column named `value`, as text.
    ///
    /// # Panics
    /// Where it fails.
    #[must_use]
    pub fn texts(&self, query: &str) -> Vec<Option<String>> {
        #[derive(QueryableByName)]
        struct Row {
            #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
            value: Option<String>,
        }
        let mut conn = connect(&self.url, Purpose::Migration).expect("a connection");
        let query = format!("SELECT CAST(value AS TEXT) AS value FROM ({query}) AS rows");
        let rows: Vec<Row> = match &mut conn {
            AnyConn::Pg(pg) => sql_query(&query).load(pg),
            AnyConn::Sqlite(sqlite) => sql_query(&query).load(sqlite),
        }
        .unwrap_or_else(|error| panic!("{query}: {error}"));
        rows.into_iter().map(|row| row.value).collect()
    }

    /// How many rows a table has, of those that match.
    ///
    /// # Panics
    /// Where the query fails.
    #[must_use]
    pub fn count(&self, table: &str, condition: &str) -> i64 {
        let counted = self.texts(&format!("SELECT count(*) AS value FROM {table} WHERE {condition}"));
        counted.first().and_then(|value| value.as_deref()?.parse().ok()).expect("a number")
    }

    /// An id as a literal of this database's SQL.
    #[must_use]
    pub fn literal(&self, id: impl Into<Uuid>) -> String {
        let id = id.into().simple();
        if self.url.is_sqlite() { format!("x'{id}'") } else { format!("'\\x{id}'::bytea") }
    }

    /// Ends every connection to the database and lets nobody in until [`Self::admit_again`]. PostgreSQL only.
    ///
    /// # Panics
    /// On SQLite, which has no connections to end.
    pub fn shut_out(&self) {
        self.as_postgres(|conn, name| {
            conn.batch_execute(&format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))?;
            conn.batch_execute(&end_connections(name))
        });
    }

    /// Lets connections in again.
    ///
    /// # Panics
    /// On SQLite.
    pub fn admit_again(&self) {
        self.as_postgres(|conn, name| {
            conn.batch_execute(&format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"))
        });
    }

    /// Ends every connection to the database, as its restart would. PostgreSQL only.
    ///
    /// # Panics
    /// On SQLite.
    pub fn end_connections(&self) {
        self.as_postgres(|conn, name| conn.batch_execute(&end_connections(name)));
    }

    fn as_postgres(&self, work: impl FnOnce(&mut PgConnection, &str) -> diesel::QueryResult<()>) {
        let Kept::Database { server, name } = &self.kept else { panic!("this is SQLite") };
        work(&mut maintenance(server), name).expect("the server's administrator may");
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Kept::Database { server, name } = &self.kept
            && let Ok(mut conn) = PgConnection::establish(server)
        {
            // The whole server goes at the end of the run; a failure here must not hide the test's own.
            let _ = conn.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

fn server() -> String {
    std::env::var(POSTGRES).unwrap_or_else(|_| {
        panic!(
            "{POSTGRES} is not set: run the tests with `cargo xtask test`, which starts a PostgreSQL for them, or set \
             it to the URL of a server's database `postgres`"
        )
    })
}

fn maintenance(server: &str) -> PgConnection {
    PgConnection::establish(server).unwrap_or_else(|error| {
        panic!("the server that {POSTGRES} names does not answer; run `cargo xtask test`: {error}")
    })
}

/// The server's URL with another database.
fn url_of(server: &str, database: &str) -> String {
    let (server, options) = server.split_once('?').map_or((server, None), |(server, options)| (server, Some(options)));
    let (base, _) = server.rsplit_once('/').unwrap_or_else(|| panic!("{POSTGRES} must end in /postgres"));
    options.map_or(format!("{base}/{database}"), |options| format!("{base}/{database}?{options}"))
}

fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    format!("kv_test_{}_{nanos}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The database that has these very migrations, made by the first test that needs it. A copy of it takes half the time
/// of migrating an empty one.
fn template(server: &str, conn: &mut PgConnection) -> String {
    let name = format!("kv_template_{:016x}", fingerprint());
    let there = |conn: &mut PgConnection| {
        sql_query(format!("SELECT FROM pg_database WHERE datname = '{name}'"))
            .execute(conn)
            .expect("a list of databases")
    };
    if there(conn) == 1 {
        return name;
    }
    conn.batch_execute("SELECT pg_advisory_lock(8245938)").expect("a lock");
    if there(conn) == 0 {
        let making = unique_name();
        conn.batch_execute(&format!("CREATE DATABASE {making}")).expect("a new database");
        let url = DatabaseUrl::Postgres(url_of(server, &making));
        let mut made = connect(&url, Purpose::Migration).expect("a connection");
        migrate::run(&mut made).expect("the migrations run");
        made.batch_execute(CUT_LEFT).expect("triggers");
        drop(made);
        // Named only when it is whole. The migrating connection may still be on its way out.
        conn.batch_execute(&end_connections(&making)).expect("no connections");
        conn.batch_execute(&format!("ALTER DATABASE {making} RENAME TO {name}")).expect("a new name");
    }
    conn.batch_execute("SELECT pg_advisory_unlock(8245938)").expect("no lock");
    name
}

fn end_connections(database: &str) -> String {
    format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'")
}

/// Changes whenever the template would.
fn fingerprint() -> u64 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/postgres");
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the migrations")
        .map(|entry| entry.expect("a migration").path().join("up.sql"))
        .map(|file| (fs::read(&file).expect("a migration's statements"), file))
        .collect();
    files.sort_by(|a, b| a.1.cmp(&b.1));
    let mut hasher = DefaultHasher::new();
    (files, CUT_LEFT).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_without_a_cut_fails() {
        let database = TestDatabase::fresh(Backend::Postgres);
        let moved = "UPDATE revisions SET version = version + 1 WHERE name = 'clusters'";
        let refused = connect(&database.url, Purpose::Migration).unwrap().batch_execute(moved).unwrap_err();
        assert!(refused.to_string().contains("rights have moved in revisions without a cut"), "{refused}");
        database.execute(moved);
    }
}
