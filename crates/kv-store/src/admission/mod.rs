//! Admission: one statement that writes the audit intents of a batch and confirms, by the database's clock, that each
//! credential is alive and each decision was made on the rights as they are.
//!
//! A batch holds requests that have already arrived; nothing joins a statement under way. Why that is enough is told in
//! `docs/ARCHITECTURE.md`.

mod postgres;
mod sqlite;
mod standings;

pub(crate) use standings::Standings;

use crate::{audit, backend::AnyConn, basis::Basis, error::Result, print::Item, row, store::Store};
use kv_authz::{
    Unusable,
    audit::{Entry, Finish},
};
use std::time::Duration;
use time::OffsetDateTime;

/// One request before admission.
#[derive(Debug, Clone)]
pub struct Request {
    /// What goes on record.
    pub entry: Entry,
    /// What must still be true; none for entries that only report, such as an unknown key.
    pub basis: Option<Basis>,
    /// The end of the entry where it is known already; none if something is still to be done.
    pub finish: Option<Finish>,
    /// How many alike this entry stands for; at least 1.
    pub count: u32,
    /// Whether an admitted request leaves an entry. Refusals always do.
    pub audited: bool,
}

/// What the database says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on; the entry is on disk.
    Admitted,
    /// The credential no longer counts; the refusal is on disk.
    Refused(Unusable),
    /// The rights have changed since they were read; nothing was written, decide again.
    Stale,
}

/// The database's answer to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What it says.
    pub verdict: Verdict,
    /// The entry's time, by the database's clock.
    pub at: OffsetDateTime,
    /// How long it would say the same of another request on the same basis. None where it was refused, or leaves an entry.
    pub lasts: Option<Lasts>,
}

/// How long an admission lasts: as long as a number has not moved, and no longer than the credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasts {
    /// [`Revisions::standings`](crate::Revisions::standings), in the snapshot that admitted.
    pub standings: i64,
    /// What the credential had left then, by the database's clock.
    pub at_most: Duration,
}

/// The end of an entry that was begun by [`Store::admit`].
#[derive(Debug, Clone)]
pub struct EntryEnd {
    /// The entry.
    pub entry: kv_authz::EntryId,
    /// Its time, as admission gave it.
    pub entry_at: OffsetDateTime,
    /// How it ended.
    pub finish: Finish,
}

impl Store {
    /// Admits a batch, in its order. `now` is the clock on SQLite, where database and server are one process;
    /// PostgreSQL uses its own.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable): then nobody is admitted.
    pub fn admit(&self, batch: &[Request], now: OffsetDateTime) -> Result<Vec<Decision>> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let (decisions, written) = self.admission(|pooled| match &mut pooled.conn {
            AnyConn::Pg(pg) => postgres::admit(pg, &mut pooled.standings, batch),
            conn @ AnyConn::Sqlite(_) => sqlite::admit(conn, &mut pooled.standings, batch, row::micros(now)),
        })?;
        self.ledger().note_all(written);
        Ok(decisions)
    }

    /// Writes down how entries ended. Each at most once: a second end of the same entry is left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable): then none is written.
    pub fn end_entries(&self, ends: &[EntryEnd], now: OffsetDateTime) -> Result<()> {
        if ends.is_empty() {
            return Ok(());
        }
        let written: Vec<Item> = self.admission(|pooled| match &mut pooled.conn {
            AnyConn::Pg(pg) => postgres::end_entries(pg, ends, row::micros(now)),
            conn @ AnyConn::Sqlite(_) => crate::transaction::write(conn, |conn| {
                let written = ends.iter().map(|end| audit::insert_outcome(conn, end, row::micros(now)));
                Ok(written.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
            }),
        })?;
        self.ledger().note_all(written);
        Ok(())
    }
}

/// The reason as the PostgreSQL statement and the audit log write it.
fn reason(text: &str) -> Unusable {
    match text {
        "revoked" => Unusable::Revoked,
        "expired" => Unusable::Expired,
        "owner_disabled" => Unusable::OwnerDisabled,
        "owner_deleted" => Unusable::OwnerDeleted,
        "session_ended" => Unusable::SessionEnded,
        _ => Unusable::Unknown,
    }
}
