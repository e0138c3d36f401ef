//! Verification: the whole audit log against its seals. Reads only, and says what it finds.
//!
//! Never over the connections that requests use, whose statements end after seconds: a log may be longer than that.

use crate::{
    audit::facts,
    backend::{AnyConn, Purpose, connect},
    error::Result,
    print::{Item, Kind},
    retention::written,
    row::micros,
    schema::{audit_entries, audit_outcomes, audit_seals},
    seals::{SealKey, mac},
    store::Store,
};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, RunQueryDsl, TextExpressionMethods};
use kv_authz::audit::{Detail, Event, Fact};
use std::collections::HashSet;
use time::OffsetDateTime;
use uuid::Uuid;

/// What looking the whole log through has found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Rows of the chains that were looked at.
    pub seals: u64,
    /// Entries and outcomes that are as they were when they were sealed.
    pub intact: u64,
    /// What is not as it should be, each in a sentence.
    pub findings: Vec<String>,
}

type SealColumns = (Vec<u8>, i64, i64, Vec<u8>, Vec<u8>, Vec<u8>);

/// What a seal holds a row by: its kind, its entry's id and its entry's time.
type Place = (Kind, Uuid, i64);

/// The pages in which rows that may be unsealed are read.
const PAGE: i64 = 5_000;

/// How long, from the moment that verification is told, an entry of a purge may wait for its seal; in microseconds.
const WAITS: i64 = 60_000_000;

/// What one walk over the seals has found out.
#[derive(Default)]
struct Walk {
    seals: u64,
    intact: u64,
    sealed: HashSet<Place>,
    /// Sealed entries of a purge that are as they were.
    purges: HashSet<Place>,
    /// Findings, each with the time it is about: what is older than the last purge is none.
    found: Vec<(i64, String)>,
}

impl Store {
    /// Looks the whole log through: each chain link by link, each sealed row against its print, and whether there are rows
    /// that nobody sealed. `until` is a moment ago: what is younger may still wait for its seal. `progress` hears of every
    /// few thousand rows.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn verify_audit(&self, key: &SealKey, until: OffsetDateTime, progress: &dyn Fn(u64)) -> Result<Verified> {
        let until = micros(until);
        let mark = self.purged_until()?;
        let mut reader = Reader::new(self)?;
        let claims = reader.purges_until(mark)?;
        let mut walk = Walk::default();
        reader.walk_seals(key, &claims, &mut walk, progress)?;
        let Walk { seals, intact, sealed, purges, found } = walk;
        let mut verified = Verified { seals, intact, findings: Vec::new() };
        let waits = |at: i64| (until..until + WAITS).contains(&at);
        // Who can write to the database can move the mark: it counts only where a purge put it on record.
        let is_proven = mark == 0 || claims.iter().any(|claim| waits(claim.2) || purges.contains(claim));
        let purged = if is_proven { mark } else { 0 };
        if !is_proven {
            verified.findings.push(format!(
                "the log is said to be purged until {}, and no sealed entry of a purge says so",
                written(mark)
            ));
        }
        verified.findings.extend(found.into_iter().filter(|(at, _)| *at >= purged).map(|(_, finding)| finding));
        reader.find_unsealed_entries(until, purged, &sealed, &mut verified)?;
        reader.find_unsealed_outcomes(until, purged, &sealed, &mut verified)?;
        Ok(verified)
    }
}

/// A connection of its own, on which nothing that is read ends for want of time.
struct Reader<'a> {
    store: &'a Store,
    conn: AnyConn,
}

impl<'a> Reader<'a> {
    fn new(store: &'a Store) -> Result<Self> {
        let mut conn = connect(store.url(), Purpose::Reading)?;
        store.see(&mut conn)?;
        Ok(Self { store, conn })
    }

    /// Reads; once more over another connection where this one turns out dead.
    fn read<T>(&mut self, work: impl Fn(&mut AnyConn) -> Result<T>) -> Result<T> {
        match work(&mut self.conn) {
            Err(error) if error.breaks_connection() => {
                *self = Self::new(self.store)?;
                work(&mut self.conn)
            }
            done => done,
        }
    }

    /// The entries of purges that say to have gone as far as the mark.
    fn purges_until(&mut self, mark: i64) -> Result<Vec<Place>> {
        let fact = facts(&Detail::none().with(Fact::Before, written(mark)));
        let names_it = format!("%{}%", fact.trim_matches(['{', '}']));
        let rows: Vec<(Vec<u8>, i64)> = self.read(|conn| {
            Ok(audit_entries::table
                .filter(audit_entries::action.eq(Event::AuditPurge.as_str()))
                .filter(audit_entries::detail.like(&names_it))
                .select((audit_entries::id, audit_entries::at))
                .load(conn)?)
        })?;
        Ok(rows.into_iter().map(|(id, at)| (Kind::Entry, Uuid::from_slice(&id).unwrap_or_default(), at)).collect())
    }

    fn walk_seals(&mut self, key: &SealKey, claims: &[Place], walk: &mut Walk, progress: &dyn Fn(u64)) -> Result<()> {
        let (mut macs, mut links) = (HashSet::new(), Vec::new());
        let mut after: (Vec<u8>, i64) = (Vec::new(), i64::MIN);
        loop {
            let rows: Vec<SealColumns> = self.read(|conn| next_seals(conn, &after))?;
            if rows.is_empty() {
                break;
            }
            for (chain, number, at, items, previous, stored) in rows {
                let id = Uuid::from_slice(&chain).unwrap_or_default();
                let expected = if chain == after.0 { after.1 + 1 } else { 1 };
                after = (chain, number);
                if number != expected {
                    walk.found.push((at, format!("seals are missing before number {number} of chain {id}")));
                }
                if mac(key, id, number, at, &previous, &items) != stored {
                    walk.found.push((i64::MAX, format!("seal {number} of chain {id} is not as it was written")));
                    continue;
                }
                walk.seals += 1;
                macs.insert(stored);
                links.push((id, number, at, previous));
                self.verify_items(&items, claims, walk, progress)?;
            }
        }
        // A purge leaves what a younger seal follows.
        for (chain, number, at, previous) in links {
            if previous != [0; 32] && !macs.contains(&previous) {
                walk.found.push((at, format!("what seal {number} of chain {chain} follows is missing")));
            }
        }
        Ok(())
    }

    fn verify_items(&mut self, blob: &[u8], claims: &[Place], walk: &mut Walk, progress: &dyn Fn(u64)) -> Result<()> {
        for item in blob.chunks(Item::SIZE).filter_map(Item::read) {
            let place = (item.kind, item.id, item.at);
            walk.sealed.insert(place);
            let what = match item.kind {
                Kind::Entry => "entry",
                Kind::Outcome => "the outcome of entry",
            };
            match self.read(|conn| item.look(conn))? {
                Some(print) if Some(print) == item.print => {
                    walk.intact += 1;
                    if claims.contains(&place) {
                        walk.purges.insert(place);
                    }
                }
                Some(_) => walk.found.push((item.at, format!("{what} {} was changed", item.id))),
                None => walk.found.push((item.at, format!("{what} {} was removed", item.id))),
            }
            if walk.intact.is_multiple_of(5_000) {
                progress(walk.intact);
            }
        }
        Ok(())
    }

    fn find_unsealed_entries(
        &mut self,
        until: i64,
        purged: i64,
        sealed: &HashSet<Place>,
        verified: &mut Verified,
    ) -> Result<()> {
        let mut after = (Vec::new(), i64::MIN);
        loop {
            let later =
                audit_entries::id.gt(&after.0).or(audit_entries::id.eq(&after.0).and(audit_entries::at.gt(after.1)));
            let rows: Vec<(Vec<u8>, i64)> = self.read(|conn| {
                Ok(audit_entries::table
                    .filter(later)
                    .order((audit_entries::id, audit_entries::at))
                    .limit(PAGE)
                    .select((audit_entries::id, audit_entries::at))
                    .load(conn)?)
            })?;
            let Some(last) = rows.last() else { return Ok(()) };
            for (id, at) in &rows {
                let id = Uuid::from_slice(id).unwrap_or_default();
                if *at >= purged && *at < until && !sealed.contains(&(Kind::Entry, id, *at)) {
                    verified.findings.push(format!("entry {id} was never sealed"));
                }
            }
            after = last.clone();
        }
    }

    fn find_unsealed_outcomes(
        &mut self,
        until: i64,
        purged: i64,
        sealed: &HashSet<Place>,
        verified: &mut Verified,
    ) -> Result<()> {
        let mut after = (Vec::new(), i64::MIN);
        loop {
            let later = audit_outcomes::entry_id
                .gt(&after.0)
                .or(audit_outcomes::entry_id.eq(&after.0).and(audit_outcomes::entry_at.gt(after.1)));
            let rows: Vec<(Vec<u8>, i64, i64)> = self.read(|conn| {
                Ok(audit_outcomes::table
                    .filter(later)
                    .order((audit_outcomes::entry_id, audit_outcomes::entry_at))
                    .limit(PAGE)
                    .select((audit_outcomes::entry_id, audit_outcomes::entry_at, audit_outcomes::at))
                    .load(conn)?)
            })?;
            let Some((id, entry_at, _)) = rows.last() else { return Ok(()) };
            after = (id.clone(), *entry_at);
            for (id, entry_at, at) in rows {
                let id = Uuid::from_slice(&id).unwrap_or_default();
                if entry_at >= purged && at < until && !sealed.contains(&(Kind::Outcome, id, entry_at)) {
                    verified.findings.push(format!("the outcome of entry {id} was never sealed"));
                }
            }
        }
    }
}

fn next_seals(conn: &mut AnyConn, (chain, number): &(Vec<u8>, i64)) -> Result<Vec<SealColumns>> {
    let later = audit_seals::chain.gt(chain).or(audit_seals::chain.eq(chain).and(audit_seals::number.gt(*number)));
    Ok(audit_seals::table
        .filter(later)
        .order((audit_seals::chain, audit_seals::number))
        .limit(50)
        .select((
            audit_seals::chain,
            audit_seals::number,
            audit_seals::at,
            audit_seals::items,
            audit_seals::previous,
            audit_seals::mac,
        ))
        .load(conn)?)
}
