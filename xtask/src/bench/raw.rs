//! Rows of the audit log written as plainly as a database takes them: one INSERT of some rows a commit, prepared once, by one
//! connection. Of 64 it is what audited requests are compared with; of one, what a request alone is.
//!
//! The rows are copies of one that the server wrote, but for their ids and times.

use super::{latencies::Latencies, place::database};
use crate::{
    error::{Done, TaskError, Tried},
    output::line,
};
use diesel::{
    Connection, PgConnection, QueryResult, QueryableByName, RunQueryDsl, SqliteConnection,
    connection::SimpleConnection,
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_query,
    sql_types::{BigInt, Binary, Nullable, Text},
    sqlite::Sqlite,
};
use kv_server::clock::Clock;
use kv_store::DatabaseUrl;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// What was measured.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Raw {
    pub(super) rows_a_second: f64,
    /// How long a commit took, with its statement.
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// Commits before it counts.
const WARM_UP: usize = 50;

/// What all rows have alike.
#[derive(QueryableByName)]
struct Pattern {
    #[diesel(sql_type = Nullable<Binary>)]
    user_id: Option<Vec<u8>>,
    #[diesel(sql_type = Text)]
    user_name: String,
    #[diesel(sql_type = Text)]
    agent: String,
    #[diesel(sql_type = Nullable<Binary>)]
    key_id: Option<Vec<u8>>,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Text)]
    resource: String,
    #[diesel(sql_type = Nullable<Text>)]
    ip: Option<String>,
    #[diesel(sql_type = Text)]
    user_agent: String,
    #[diesel(sql_type = Text)]
    request_id: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    status_code: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    outcome: Option<String>,
    #[diesel(sql_type = Text)]
    detail: String,
}

const PATTERN: &str = "SELECT user_id, user_name, agent, key_id, action, resource, ip, user_agent, request_id, count, \
                       status_code, outcome, detail FROM audit_entries WHERE key_id IS NOT NULL LIMIT 1";

/// Rows of one commit.
struct Rows<'a> {
    pattern: &'a Pattern,
    ids: Vec<[u8; 16]>,
    at: i64,
}

impl QueryId for Rows<'_> {
    // The text never varies, so that it is prepared once.
    type QueryId = Rows<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

/// The statement, which is the same on both.
macro_rules! insert {
    ($backend:ty, $connection:ty) => {
        impl RunQueryDsl<$connection> for Rows<'_> {}

        impl QueryFragment<$backend> for Rows<'_> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, $backend>) -> QueryResult<()> {
                out.push_sql(
                    "INSERT INTO audit_entries (id, at, user_id, user_name, agent, key_id, action, resource, ip, \
                     user_agent, request_id, count, status_code, outcome, detail) VALUES ",
                );
                let pattern = self.pattern;
                let mut between = "(";
                for id in &self.ids {
                    out.push_sql(std::mem::replace(&mut between, "), ("));
                    out.push_bind_param::<Binary, _>(id)?;
                    bind!(out: BigInt = self.at, Nullable<Binary> = pattern.user_id, Text = pattern.user_name);
                    bind!(out: Text = pattern.agent, Nullable<Binary> = pattern.key_id, Text = pattern.action);
                    bind!(out: Text = pattern.resource, Nullable<Text> = pattern.ip, Text = pattern.user_agent);
                    bind!(out: Text = pattern.request_id, BigInt = pattern.count);
                    bind!(out: Nullable<BigInt> = pattern.status_code, Nullable<Text> = pattern.outcome);
                    bind!(out: Text = pattern.detail);
                }
                out.push_sql(")");
                Ok(())
            }
        }
    };
}

/// Values that come after others.
macro_rules! bind {
    ($out:ident: $($sql:ty = $value:expr),+) => {
        $(
            $out.push_sql(", ");
            $out.push_bind_param::<$sql, _>(&$value)?;
        )+
    };
}

insert!(Sqlite, SqliteConnection);
insert!(Pg, PgConnection);

/// Writes rows, so many a commit, into the database of this environment for so long, and tells what was measured.
pub(crate) fn raw(seconds: u64, rows: usize) -> Done {
    let measured = measure(Duration::from_secs(seconds), rows.max(1))?;
    line(&serde_json::to_string(&measured).tried("telling what was measured")?);
    Ok(())
}

fn measure(took: Duration, number: usize) -> Done<Raw> {
    match database()? {
        DatabaseUrl::Sqlite(path) => {
            let mut conn = SqliteConnection::establish(&path.display().to_string()).tried("opening the database")?;
            conn.batch_execute("PRAGMA busy_timeout=1000; PRAGMA synchronous=FULL").tried("opening the database")?;
            let pattern = sql_query(PATTERN).get_result(&mut conn).tried("reading an entry")?;
            write(&pattern, (took, number), |rows| rows.execute(&mut conn))
        }
        DatabaseUrl::Postgres(url) => {
            let mut conn = PgConnection::establish(&url).tried("opening the database")?;
            conn.batch_execute("SET synchronous_commit = on; SET plan_cache_mode = force_generic_plan")
                .tried("opening the database")?;
            let pattern = sql_query(PATTERN).get_result(&mut conn).tried("reading an entry")?;
            write(&pattern, (took, number), |rows| rows.execute(&mut conn))
        }
    }
}

fn write(
    pattern: &Pattern,
    (took, number): (Duration, usize),
    mut insert: impl FnMut(Rows<'_>) -> QueryResult<usize>,
) -> Done<Raw> {
    let (clock, mut began, mut written, mut commits) = (Clock::system(), Instant::now(), 0_usize, Latencies::new());
    for commit in 0_usize.. {
        if commit == WARM_UP {
            (began, written, commits) = (Instant::now(), 0, Latencies::new());
        }
        if commit > WARM_UP && began.elapsed() >= took {
            break;
        }
        let at = i64::try_from(clock.now().unix_timestamp_nanos() / 1_000).unwrap_or_default();
        // In the order of time, as the server's are.
        let id = |n: usize| ((u128::from(at.cast_unsigned()) << 64) | (commit * number + n) as u128).to_be_bytes();
        let rows = Rows { pattern, ids: (0..number).map(id).collect(), at };
        let asked = Instant::now();
        written += insert(rows).tried("writing rows")?;
        commits.count(asked.elapsed());
    }
    match written {
        0 => Err(TaskError::new("no row was written")),
        rows => Ok(Raw {
            rows_a_second: rows as f64 / began.elapsed().as_secs_f64(),
            p50: commits.quantile(0.5),
            p99: commits.quantile(0.99),
        }),
    }
}
