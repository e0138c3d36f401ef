//! Throttles: failed attempts to prove who one is, by whose account and by what. Kept in the database, so that neither a
//! restart nor another address makes anyone forget; how long each makes the next one wait is kv-authz's arithmetic.

use crate::{backend::AnyConn, error::Result, row::micros, schema::throttles, store::Store};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use kv_authz::throttle::{FORGOTTEN, wait};
use time::{Duration, OffsetDateTime};

/// An attempt that is not looked at yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failed attempts; the next one counts in {wait}")]
pub struct TooSoon {
    /// How long to wait.
    pub wait: Duration,
}

impl Store {
    /// Counts an attempt as failed before it is looked at, so that many at once are no more than one after the other.
    /// Whoever succeeds says so with [`Self::forget_failures`].
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn count_attempt(&self, subject: &[u8], now: OffsetDateTime) -> Result<Result<(), TooSoon>> {
        self.write(|conn| {
            let at = micros(now);
            make(conn, subject, at)?;
            let row = throttles::table.find(subject);
            // Taken first: on PostgreSQL this is the lock.
            let counted = diesel::update(row.filter(throttles::free_at.le(at)))
                .set(throttles::failures.eq(throttles::failures + 1))
                .execute(conn)?;
            let (failures, last_at, free_at): (i64, i64, i64) =
                row.select((throttles::failures, throttles::last_at, throttles::free_at)).get_result(conn)?;
            if counted == 0 {
                return Ok(Err(TooSoon { wait: Duration::microseconds(free_at.saturating_sub(at)) }));
            }
            let old = at.saturating_sub(last_at) > FORGOTTEN.whole_microseconds() as i64;
            let failures = if old { 1 } else { failures };
            // None at all, not even until now: clocks of two replicas differ by more than nothing.
            let wait = wait(u32::try_from(failures).unwrap_or(u32::MAX));
            let free_at = if wait.is_zero() { 0 } else { at + wait.whole_microseconds() as i64 };
            diesel::update(row)
                .set((throttles::failures.eq(failures), throttles::last_at.eq(at), throttles::free_at.eq(free_at)))
                .execute(conn)?;
            Ok(Ok(()))
        })
    }

    /// Forgets the failures of a subject, for its owner has come.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn forget_failures(&self, subject: &[u8]) -> Result<()> {
        self.write(|conn| {
            diesel::delete(throttles::table.find(subject)).execute(conn)?;
            Ok(())
        })
    }

    /// Deletes what is forgotten anyway, at most so many rows, and tells how many there were.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn purge_throttles(&self, now: OffsetDateTime, most: i64) -> Result<usize> {
        let before = micros(now - FORGOTTEN);
        self.write(|conn| {
            let old: Vec<Vec<u8>> = throttles::table
                .filter(throttles::last_at.lt(before))
                .limit(most)
                .select(throttles::subject)
                .load(conn)?;
            Ok(diesel::delete(throttles::table.filter(throttles::subject.eq_any(old))).execute(conn)?)
        })
    }
}

/// A row for the subject, if it has none.
fn make(conn: &mut AnyConn, subject: &[u8], at: i64) -> Result<()> {
    let known = throttles::table.find(subject).select(throttles::failures).get_result::<i64>(conn).optional()?;
    if known.is_some() {
        return Ok(());
    }
    let insert = diesel::insert_into(throttles::table).values((
        throttles::subject.eq(subject),
        throttles::failures.eq(0),
        throttles::last_at.eq(at),
        throttles::free_at.eq(at),
    ));
    match conn {
        AnyConn::Pg(pg) => insert.on_conflict_do_nothing().execute(pg)?,
        AnyConn::Sqlite(sqlite) => insert.on_conflict_do_nothing().execute(sqlite)?,
    };
    Ok(())
}
