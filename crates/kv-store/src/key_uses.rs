//! Last uses of keys: when and from where, in a table of their own. Touches nothing that admission looks at, and never makes
//! or revives a key.

use crate::{
    backend::AnyConn,
    error::{Result, StoreError},
    fixed::fixed,
    row::micros,
    schema::api_key_uses::{key_id, last_used_at, last_used_ip, table},
    store::Store,
};
use diesel::{
    ExpressionMethods, PgConnection, RunQueryDsl, insert_into,
    query_dsl::methods::FilterDsl,
    sql_types::{BigInt, Binary, Nullable, Text},
    upsert::excluded,
};
use kv_authz::KeyId;
use time::OffsetDateTime;

fixed! {
    /// Writes a use where it is later than the one that is known.
    NoteUse,
    "INSERT INTO api_key_uses (key_id, last_used_at, last_used_ip) VALUES (" (
        key: Binary = &'a [u8],
        at: BigInt = i64,
        ip: Nullable<Text> = Option<&'a str>,
    ) ") ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at, last_used_ip = excluded.last_used_ip \
       WHERE last_used_at <= excluded.last_used_at"
}

/// The same for all, on PostgreSQL: another replica may have noted a later one.
fn note_on_postgres(conn: &mut PgConnection, uses: &[Use<'_>]) -> diesel::QueryResult<usize> {
    let rows = uses.iter().map(|(key, at, ip)| (key_id.eq(key.as_bytes()), last_used_at.eq(at), last_used_ip.eq(ip)));
    insert_into(table)
        .values(rows.collect::<Vec<_>>())
        .on_conflict(key_id)
        .do_update()
        .set((last_used_at.eq(excluded(last_used_at)), last_used_ip.eq(excluded(last_used_ip))))
        .filter(last_used_at.le(excluded(last_used_at)))
        .execute(conn)
}

type Use<'a> = (KeyId, i64, Option<&'a str>);

impl Store {
    /// Notes when and from where keys were last used, each key once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_uses(&self, uses: &[(KeyId, OffsetDateTime, Option<String>)]) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        // In one order everywhere, so that two replicas that note the same keys wait for each other, not in a circle.
        let mut uses: Vec<Use> = uses.iter().map(|(key, at, ip)| (*key, micros(*at), ip.as_deref())).collect();
        uses.sort_unstable();
        self.write(|conn| {
            match conn {
                // One statement for all: under load there are thousands a second.
                AnyConn::Pg(pg) => note_on_postgres(pg, &uses).map(drop)?,
                AnyConn::Sqlite(sqlite) => uses.iter().try_for_each(|(key, at, ip)| {
                    NoteUse { key: key.as_bytes(), at: *at, ip: *ip }.execute(sqlite).map(drop)
                })?,
            }
            Ok::<_, StoreError>(())
        })
    }
}
