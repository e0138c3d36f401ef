//! Ten million keys beside the few that are used: whether a request costs more by them, and how much memory they take.
//!
//! Nobody has these keys: their digests are random.

use super::place::database;
use crate::{
    error::{Done, TaskError, Tried},
    output::progress,
};
use diesel::{
    Connection, PgConnection, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query, sql_types::BigInt,
};
use kv_store::DatabaseUrl;

/// How many a statement makes.
const STEP: u64 = 1_000_000;

/// In the order of their ids, as keys are made; the digests in none.
const SQLITE: &str = "WITH RECURSIVE counted (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM counted WHERE n + 1 < ?) \
    INSERT INTO api_keys (id, user_id, name, prefix, digest, created_at) \
    SELECT CAST(printf('%016x', n) AS BLOB), (SELECT id FROM users WHERE name = 'seed-00000'), 'many-' || n, \
    'kv_live_many', randomblob(33), 0 FROM counted";
const POSTGRES: &str = "INSERT INTO api_keys (id, user_id, name, prefix, digest, created_at) \
    SELECT decode(lpad(to_hex(n), 32, '0'), 'hex'), (SELECT id FROM users WHERE name = 'seed-00000'), 'many-' || n, \
    'kv_live_many', sha256(n::text::bytea), 0 FROM generate_series($1, $2 - 1) AS n";

/// Fills the database of this environment.
pub(crate) fn fill(keys: u64) -> Done {
    let keys = i64::try_from(keys).map_err(|_| TaskError::new("too many keys"))?;
    match database()? {
        DatabaseUrl::Sqlite(path) => {
            let mut conn = SqliteConnection::establish(&path.display().to_string()).tried("opening the database")?;
            // Of the cache in kibibytes: an index over random digests is walked through everywhere.
            conn.batch_execute("PRAGMA synchronous=NORMAL; PRAGMA cache_size=-2000000")
                .tried("opening the database")?;
            in_steps(keys, |from, to| {
                sql_query(SQLITE).bind::<BigInt, _>(from).bind::<BigInt, _>(to).execute(&mut conn)
            })
        }
        DatabaseUrl::Postgres(url) => {
            let mut conn = PgConnection::establish(&url).tried("opening the database")?;
            in_steps(keys, |from, to| {
                sql_query(POSTGRES).bind::<BigInt, _>(from).bind::<BigInt, _>(to).execute(&mut conn)
            })?;
            // As its own housekeeping would; each by itself, for neither can be part of a transaction.
            conn.batch_execute("VACUUM ANALYZE api_keys").tried("looking over the table")?;
            conn.batch_execute("CHECKPOINT").tried("looking over the table")
        }
    }
}

fn in_steps(keys: i64, mut insert: impl FnMut(i64, i64) -> diesel::QueryResult<usize>) -> Done {
    for from in (1..=keys).step_by(STEP as usize) {
        let to = (from + STEP.cast_signed()).min(keys + 1);
        insert(from, to).tried("making keys")?;
        progress(&format!("{} keys of {keys}", to - 1));
    }
    Ok(())
}
