//! Retention: entries whose time is over are deleted, in bounded steps, and that is on record. On PostgreSQL whole days go,
//! each at once with its partition; row by row goes only what is in none. Nothing younger is ever touched.

use crate::{
    audit::Occasion,
    backend::AnyConn,
    basis::{ActError, Never},
    error::Result,
    known::run,
    row::{bytes, micros},
    schema::{audit_entries, audit_outcomes, revisions},
    store::Store,
};
use diesel::{
    ExpressionMethods, OptionalExtension, QueryDsl, QueryableByName, RunQueryDsl, connection::SimpleConnection,
    dsl::max, sql_query, sql_types,
};
use kv_authz::{
    EntryId, Permit,
    action::PurgeAuditLog,
    audit::{Detail, Fact, Finish},
};
use time::{Date, OffsetDateTime, Time, UtcOffset, macros::format_description};

/// Where it is kept until when entries have been deleted.
const MARK: &str = "audit_purged";

/// How far the clocks of two servers may be apart, in microseconds.
const CLOCKS_DIFFER: i64 = 3_600_000_000;

/// What one step deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Entries, one by one.
    pub entries: usize,
    /// Whole days.
    pub days: usize,
}

impl Purged {
    /// Whether there was nothing left to delete.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = sql_types::Text)]
    name: String,
}

impl Store {
    /// Deletes entries older than `cutoff`: on PostgreSQL those of the days before it, at most one day's partition and, of
    /// what lies outside the partitions, at most `most` rows; on SQLite at most `most` rows. Puts it on record where there
    /// was anything.
    ///
    /// # Errors
    /// [`ActError`]; nothing is deleted then.
    pub fn purge_audit(
        &self,
        permit: &Permit<PurgeAuditLog>,
        cutoff: OffsetDateTime,
        most: i64,
        occasion: &Occasion,
    ) -> Result<Purged, ActError<Never>> {
        // A day that has begun to be over waits until it can go as a whole.
        let cutoff =
            if self.url().is_sqlite() { cutoff } else { cutoff.to_offset(UtcOffset::UTC).replace_time(Time::MIDNIGHT) };
        let before = micros(cutoff);
        self.write(|conn| {
            let mut purged = Purged::default();
            if let AnyConn::Pg(pg) = conn {
                // Nobody waits long for the lock that a partition's end takes.
                pg.batch_execute("SET LOCAL lock_timeout = '1s'; SET LOCAL statement_timeout = '30s'")?;
                let names = sql_query(
                    "SELECT c.relname::text AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
                     WHERE i.inhparent = 'audit_entries'::regclass ORDER BY c.relname",
                );
                let names: Vec<Named> = names.load(pg)?;
                if let Some(day) = names.iter().filter_map(|named| day(&named.name)).find(|day| is_over(*day, cutoff)) {
                    let name = name_of(day);
                    pg.batch_execute(&format!(
                        "DROP TABLE IF EXISTS audit_outcomes_{name}; DROP TABLE audit_entries_{name}"
                    ))?;
                    purged.days = 1;
                }
            }
            purged.entries = delete_rows(conn, before, most)?;
            if purged.is_nothing() {
                return Ok(purged);
            }
            delete_seals(conn, before)?;
            mark(conn, before)?;
            let facts = Detail::none()
                // The mark to the microsecond: by this entry it is believed.
                .with(Fact::Before, written(before))
                .with(Fact::After, format!("{} entries and {} whole days deleted", purged.entries, purged.days));
            self.insert_act(conn, permit, occasion, Finish::with_status(200).because(facts))?;
            Ok(purged)
        })
    }

    /// When the newest entry was written, for a clock that wants to be sure of itself.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn newest_entry(&self) -> Result<Option<OffsetDateTime>> {
        self.read(|conn| {
            let id: Option<Vec<u8>> = audit_entries::table
                .order(audit_entries::id.desc())
                .select(audit_entries::id)
                .first(conn)
                .optional()?;
            let Some(id) = id else { return Ok(None) };
            let at: Option<i64> = audit_entries::table
                .filter(audit_entries::id.eq(id))
                .select(max(audit_entries::at))
                .get_result(conn)?;
            at.map(crate::row::time).transpose()
        })
    }

    /// Until when entries have been deleted, in microseconds; 0 if none has been.
    pub(crate) fn purged_until(&self) -> Result<i64> {
        self.read(|conn| {
            let mark = revisions::table.find(MARK).select(revisions::version).get_result(conn).optional()?;
            Ok(mark.unwrap_or(0))
        })
    }
}

/// A mark as entries of a purge write it.
pub(crate) fn written(mark: i64) -> String {
    crate::row::time(mark).map_or_else(|_| mark.to_string(), |time| time.to_string())
}

/// Deletes the seals before the mark, but for those that a younger one follows: by them it is seen that nothing is missing
/// before it. Such a one is the next of its chain; or the first of another, begun while no younger seal was there.
fn delete_seals(conn: &mut AnyConn, before: i64) -> Result<()> {
    if let AnyConn::Pg(pg) = conn {
        // Nobody begins on a seal that is being deleted.
        pg.batch_execute("LOCK TABLE audit_seals IN SHARE ROW EXCLUSIVE MODE")?;
    }
    // Only there are such firsts, unless clocks differ by more; then verification finds too much, and never too little.
    let begun = format!(
        "SELECT f.previous FROM audit_seals f WHERE f.number = 1 AND f.at >= {before} \
         AND f.at <= {CLOCKS_DIFFER} + (SELECT min(m.at) FROM audit_seals m WHERE m.at >= {before})"
    );
    run(
        conn,
        &format!(
            "DELETE FROM audit_seals WHERE at < {before} AND mac NOT IN ({begun}) AND NOT EXISTS \
             (SELECT 1 FROM audit_seals n WHERE n.chain = audit_seals.chain AND n.number = audit_seals.number + 1 \
             AND n.at >= {before})"
        ),
    )?;
    Ok(())
}

fn mark(conn: &mut AnyConn, before: i64) -> Result<()> {
    let row = revisions::table.find(MARK);
    let known: Option<i64> = row.select(revisions::version).get_result(conn).optional()?;
    match known {
        None => {
            diesel::insert_into(revisions::table)
                .values((revisions::name.eq(MARK), revisions::version.eq(before)))
                .execute(conn)?;
        }
        Some(known) if known < before => {
            diesel::update(row).set(revisions::version.eq(before)).execute(conn)?;
        }
        Some(_) => {}
    }
    Ok(())
}

/// Deletes the oldest rows one by one; on PostgreSQL those that no day's partition holds. Ids begin with their time, so that
/// they are found without an index on it.
fn delete_rows(conn: &mut AnyConn, before: i64, most: i64) -> Result<usize> {
    // A minute more than the times say: an id is drawn before its entry is written.
    let millis = u64::try_from(before / 1_000 + 60_000).unwrap_or(0);
    let bound = bytes(EntryId::from_parts(millis, [0; 10]));
    if let AnyConn::Pg(pg) = conn {
        let rows = sql_query(OUTSIDE_THE_DAYS).bind::<sql_types::Binary, _>(bound);
        return Ok(rows.bind::<sql_types::BigInt, _>(before).bind::<sql_types::BigInt, _>(most).execute(pg)?);
    }
    let old: Vec<Vec<u8>> = audit_entries::table
        .filter(audit_entries::id.lt(bound))
        .filter(audit_entries::at.lt(before))
        .order(audit_entries::id)
        .limit(most)
        .select(audit_entries::id)
        .load(conn)?;
    let mut deleted = 0;
    for some in old.chunks(500) {
        let entries = audit_entries::table.filter(audit_entries::id.eq_any(some)).filter(audit_entries::at.lt(before));
        deleted += diesel::delete(entries).execute(conn)?;
        diesel::delete(audit_outcomes::table.filter(audit_outcomes::entry_id.eq_any(some))).execute(conn)?;
    }
    Ok(deleted)
}

/// Entries of the default partition, with their outcomes wherever those are.
const OUTSIDE_THE_DAYS: &str = "WITH old AS (SELECT id, at FROM audit_entries_other WHERE id < $1 AND at < $2 \
     ORDER BY id LIMIT $3), \
     ends AS (DELETE FROM audit_outcomes o USING old WHERE o.entry_id = old.id AND o.entry_at = old.at) \
     DELETE FROM audit_entries_other e USING old WHERE e.id = old.id AND e.at = old.at";

fn name_of(day: Date) -> String {
    format!("{}{:02}{:02}", day.year(), u8::from(day.month()), day.day())
}

fn day(name: &str) -> Option<Date> {
    let digits = name.strip_prefix("audit_entries_")?;
    Date::parse(digits, format_description!("[year][month][day]")).ok()
}

/// Whether all of a day is older.
fn is_over(day: Date, cutoff: OffsetDateTime) -> bool {
    day.next_day().is_some_and(|next| next.midnight().assume_utc() <= cutoff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::{date, datetime};

    #[test]
    fn a_day_is_over_with_its_last_microsecond() {
        let of = date!(2026 - 11 - 24);
        assert_eq!(day(&format!("audit_entries_{}", name_of(of))), Some(of));
        assert!(!is_over(of, datetime!(2026-11-24 23:59:59.999999 UTC)));
        assert!(is_over(of, datetime!(2026-11-25 0:00 UTC)));
        for name in ["audit_entries_other", "audit_entries_", "audit_outcomes_20261124", "audit_entries_20261324"] {
            assert_eq!(day(name), None, "{name}");
        }
    }
}
