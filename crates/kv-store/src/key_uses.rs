//! Last uses of keys: when and from where, in a table of their own. Touches nothing that admission looks at, and never makes
//! or revives a key.

use crate::{
    backend::AnyConn,
    error::{Result, StoreError},
    row::{bytes, micros},
    schema::api_key_uses::{key_id, last_used_at, last_used_ip, table},
    store::Store,
};
use diesel::{ExpressionMethods, RunQueryDsl, insert_into, query_dsl::methods::FilterDsl, upsert::excluded};
use kv_authz::KeyId;
use time::OffsetDateTime;

/// Writes uses where they are later than the one that is known: another replica may have noted that.
macro_rules! upsert {
    ($uses:expr, $conn:expr) => {
        insert_into(table)
            .values($uses)
            .on_conflict(key_id)
            .do_update()
            .set((last_used_at.eq(excluded(last_used_at)), last_used_ip.eq(excluded(last_used_ip))))
            .filter(last_used_at.le(excluded(last_used_at)))
            .execute($conn)
    };
}

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
        let mut uses: Vec<_> = uses.iter().map(|(key, at, ip)| (bytes(*key), micros(*at), ip.as_deref())).collect();
        uses.sort_unstable();
        let mut rows = uses.into_iter().map(|(key, at, ip)| (key_id.eq(key), last_used_at.eq(at), last_used_ip.eq(ip)));
        self.write(|conn| {
            match conn {
                // One statement for all: under load there are thousands a second.
                AnyConn::Pg(pg) => upsert!(rows.collect::<Vec<_>>(), pg).map(drop)?,
                AnyConn::Sqlite(sqlite) => rows.try_for_each(|row| upsert!(row, sqlite).map(drop))?,
            }
            Ok::<_, StoreError>(())
        })
    }
}
