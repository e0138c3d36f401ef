//! Backup and restore: every row as a line of JSON, the same for both databases, so that a backup of one may be restored
//! into the other.
//!
//! A restore revives nothing that was taken since: what the database knows counts for what is restored, see `known.rs`, and
//! keys it knows nothing of are revoked unless the operator trusts them. Sessions all end. The audit log is added to, never
//! replaced.

use crate::{
    audit::Occasion,
    backend::AnyConn,
    cuts::{self, Cut},
    error::{Result, StoreError},
    known::{remember, revive_nothing, run},
    row::micros,
    store::Store,
};
use diesel::{
    QueryableByName, RunQueryDsl, SqliteConnection,
    connection::{DefaultLoadingMode, SimpleConnection},
    sql_query,
    sql_types::Text,
};
use kv_authz::audit::{Entry, Finish};
use serde_json::{Value, json};
use std::io::{BufRead, Write};

/// The tables of a backup, those first that others refer to; and those whose rows are only added.
const REPLACED: [&str; 10] = [
    "users",
    "clusters",
    "roles",
    "assignments",
    "sessions",
    "api_keys",
    "api_key_uses",
    "second_factors",
    "recovery_codes",
    "refresh_tokens",
];
const ADDED: [&str; 3] = ["audit_entries", "audit_outcomes", "audit_seals"];
/// The first line says what it is.
const VERSION: u64 = 3;
/// Rows fetched at once.
const ROWS: usize = 1_000;

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Rows put in place.
    pub rows: u64,
    /// Keys that were good in the backup, and are revoked now.
    pub keys_revoked: usize,
    /// People who were active in the backup, and are disabled or deleted now.
    pub users_disabled: usize,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
}

fn unreadable(_: impl std::fmt::Debug) -> StoreError {
    StoreError::Unreadable { what: "backup" }
}

fn failed(error: std::io::Error) -> StoreError {
    StoreError::unavailable("writing the backup", error)
}

impl Store {
    /// Writes every row as one moment has them. `progress` hears of every few thousand.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn backup(&self, out: &mut dyn Write, progress: &dyn Fn(u64)) -> Result<u64> {
        let head = json!({"kubevision_backup": VERSION});
        writeln!(out, "{head}").map_err(failed)?;
        let mut rows = 0;
        let mut line = |table: &str, row: &str| {
            rows += 1;
            if rows % 5_000 == 0 {
                progress(rows);
            }
            writeln!(out, "{{\"table\":\"{table}\",\"row\":{row}}}").map_err(failed)
        };
        self.alone(|conn| {
            for table in REPLACED.into_iter().chain(ADDED) {
                match conn {
                    AnyConn::Sqlite(sqlite) => {
                        let query = format!("SELECT {} AS value FROM {table}", as_json(&columns(sqlite, table)?));
                        for row in sql_query(query).load_iter::<Line, DefaultLoadingMode>(sqlite)? {
                            line(table, &row?.value)?;
                        }
                    }
                    AnyConn::Pg(pg) => {
                        pg.batch_execute(&format!(
                            "DECLARE rows CURSOR FOR SELECT to_jsonb(t)::text AS value FROM {table} t"
                        ))?;
                        loop {
                            let some: Vec<Line> = sql_query(format!("FETCH {ROWS} FROM rows")).load(pg)?;
                            if some.is_empty() {
                                break;
                            }
                            some.iter().try_for_each(|row| line(table, &row.value))?;
                        }
                        pg.batch_execute("CLOSE rows")?;
                    }
                }
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// Puts the rows of a backup in the place of what is there, in one transaction, and puts that on record as `entry`.
    ///
    /// # Errors
    /// [`StoreError`]; then everything is as it was.
    pub fn restore(
        &self,
        from: &mut dyn BufRead,
        trust_keys: bool,
        (entry, occasion): (&Entry, &Occasion),
        progress: &dyn Fn(u64),
    ) -> Result<Restored> {
        let mut lines = from.lines();
        let head: Value = serde_json::from_str(&lines.next().ok_or("empty").map_err(unreadable)?.map_err(unreadable)?)
            .map_err(unreadable)?;
        if head["kubevision_backup"] != VERSION {
            return Err(StoreError::Setup("this is no backup, or one of another version".into()));
        }
        let now = micros(occasion.now);
        self.alone(|conn| {
            remember(conn)?;
            // Not in a backup, and they refer to users.
            run(conn, "DELETE FROM login_challenges")?;
            for table in REPLACED.iter().rev() {
                run(conn, &format!("DELETE FROM {table}"))?;
            }
            let mut restored = Restored::default();
            for text in lines {
                let line: Value = serde_json::from_str(&text.map_err(unreadable)?).map_err(unreadable)?;
                let table = line["table"].as_str().ok_or("no table").map_err(unreadable)?;
                let known = REPLACED.iter().chain(&ADDED).find(|&&known| known == table);
                insert(conn, known.ok_or("no such table").map_err(unreadable)?, &line["row"])?;
                restored.rows += 1;
                if restored.rows.is_multiple_of(5_000) {
                    progress(restored.rows);
                }
            }
            revive_nothing(conn, trust_keys, now, &mut restored)?;
            self.insert_finished(conn, entry, Finish::with_status(200), occasion.now)?;
            cuts::note(conn, Cut::Everyone, occasion.now)?;
            Ok(restored)
        })
    }

    /// One long transaction that sees one moment, over a connection without a limit of time.
    fn alone<T>(&self, work: impl FnOnce(&mut AnyConn) -> Result<T>) -> Result<T> {
        let mut conn = crate::backend::connect(self.url(), crate::backend::Purpose::Migration)?;
        if let AnyConn::Pg(pg) = &mut conn {
            pg.batch_execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
        }
        crate::transaction::begin_unbounded(&mut conn)?;
        crate::transaction::run(&mut conn, work)
    }
}

fn columns(sqlite: &mut SqliteConnection, table: &str) -> Result<Vec<Column>> {
    let query = format!("SELECT name, type AS kind FROM pragma_table_info('{table}') ORDER BY cid");
    Ok(sql_query(query).load(sqlite)?)
}

/// A row of SQLite as PostgreSQL's `to_jsonb` writes it: bytes as `\x` and hexadecimal.
fn as_json(columns: &[Column]) -> String {
    let field = |column: &Column| {
        let name = &column.name;
        match column.kind.as_str() {
            "BLOB" => {
                format!("'{name}', CASE WHEN \"{name}\" IS NULL THEN NULL ELSE '\\x' || lower(hex(\"{name}\")) END")
            }
            _ => format!("'{name}', \"{name}\""),
        }
    };
    format!("json_object({})", columns.iter().map(field).collect::<Vec<_>>().join(", "))
}

/// Inserts a row. One of the audit log that is there already stays as it is.
fn insert(conn: &mut AnyConn, table: &str, row: &Value) -> Result<()> {
    let text = row.to_string();
    match conn {
        AnyConn::Pg(pg) => {
            let into = format!(
                "INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, $1::jsonb) ON CONFLICT DO NOTHING"
            );
            sql_query(into).bind::<Text, _>(text).execute(pg)?;
        }
        AnyConn::Sqlite(sqlite) => {
            let columns = columns(sqlite, table)?;
            let value = |column: &Column| {
                let name = &column.name;
                match column.kind.as_str() {
                    "BLOB" => format!("unhex(substr(json_extract($1, '$.{name}'), 3))"),
                    _ => format!("json_extract($1, '$.{name}')"),
                }
            };
            let names = columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ");
            let values = columns.iter().map(value).collect::<Vec<_>>().join(", ");
            let into = format!("INSERT OR IGNORE INTO {table} ({names}) SELECT {values}");
            sql_query(into).bind::<Text, _>(text).execute(sqlite)?;
        }
    }
    Ok(())
}
