//! Timelines: which primary a connection leads to. PostgreSQL numbers them, and a promoted standby begins the next. The one
//! before may still answer reads, and would say of a revoked key that it is good.
//!
//! Nothing is decided by the clock here: a timeline is newer because PostgreSQL says so.

use crate::{backend::AnyConn, error::StoreError};
use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::BigInt};
use std::sync::atomic::{AtomicI64, Ordering};

/// The newest timeline that this process has seen.
#[derive(Debug, Default)]
pub(crate) struct Newest(AtomicI64);

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    timeline: i64,
}

/// The first eight digits of a WAL file's name are the timeline. A standby writes none; it is refused elsewhere.
const ASK: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN 0 \
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint END AS timeline";

/// The timeline that a connection leads to; 0 on SQLite, which has none.
pub(crate) fn of(conn: &mut AnyConn) -> Result<i64, diesel::result::Error> {
    match conn {
        AnyConn::Sqlite(_) => Ok(0),
        AnyConn::Pg(pg) => Ok(sql_query(ASK).get_result::<Row>(pg)?.timeline),
    }
}

/// What a connection to a primary that was replaced is told to whoever asked over it.
pub(crate) fn replaced() -> StoreError {
    StoreError::unavailable("asking the primary", "another has taken its place; this one does not count any more")
}

impl Newest {
    /// Takes note of a timeline, and says whether it is as new as any.
    pub(crate) fn see(&self, timeline: i64) -> bool {
        self.0.fetch_max(timeline, Ordering::SeqCst) <= timeline
    }

    /// Whether a newer one has been seen.
    pub(crate) fn is_past(&self, timeline: i64) -> bool {
        timeline < self.get()
    }

    /// The newest.
    pub(crate) fn get(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_that_was_replaced_is_known_by_its_number() {
        let newest = Newest::default();
        assert!(newest.see(1) && newest.see(2));
        assert!(!newest.see(1) && newest.is_past(1) && !newest.is_past(2));
        assert_eq!(newest.get(), 2);
    }
}
