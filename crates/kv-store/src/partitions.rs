//! The days of the audit log on PostgreSQL: a partition each, made ahead of time. SQLite has no such thing.

use crate::{backend::AnyConn, error::Result, store::Store};
use diesel::connection::SimpleConnection;
use time::{Duration, OffsetDateTime, Time};

/// Days made ahead, so that a server that cannot make one for a while loses nothing.
const AHEAD: i64 = 7;

impl Store {
    /// Makes the partitions of today and the next days where they are missing.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError); entries then go to the default partition, and nothing is lost.
    pub fn prepare_audit_days(&self, now: OffsetDateTime) -> Result<()> {
        if self.url().is_sqlite() {
            return Ok(());
        }
        self.write(|conn| {
            let AnyConn::Pg(pg) = conn else { return Ok(()) };
            // One server at a time: two that make the same day at once would trip over each other. Each may have to look
            // through all of the default partition.
            pg.batch_execute("SET LOCAL statement_timeout = '30s'; SELECT pg_advisory_xact_lock(8245937)")?;
            let today = now.replace_time(Time::MIDNIGHT);
            for day in 0..=AHEAD {
                let from = today + Duration::days(day);
                let (start, end) = (crate::row::micros(from), crate::row::micros(from + Duration::DAY));
                let name = format!("{}{:02}{:02}", from.year(), u8::from(from.month()), from.day());
                for (table, at) in [("audit_entries", "at"), ("audit_outcomes", "entry_at")] {
                    // A day that was written to before it had a partition, such as the first one, stays in the default
                    // one: PostgreSQL would refuse, and the days after it would have none either.
                    pg.batch_execute(&format!(
                        "DO $$ BEGIN \
                         IF NOT EXISTS (SELECT FROM {table}_other WHERE {at} >= {start} AND {at} < {end}) THEN \
                         CREATE TABLE IF NOT EXISTS {table}_{name} PARTITION OF {table} \
                         FOR VALUES FROM ({start}) TO ({end}); \
                         END IF; END $$"
                    ))?;
                }
            }
            Ok(())
        })
    }
}
