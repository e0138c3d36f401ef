//! Seals: a keyed hash chain over the audit log, so that whoever changes, removes or slips in an entry behind the
//! server's back is found out. Each process has a chain of its own, begun on the last row of whatever was there.
//!
//! Not part of admission: entries are sealed a moment later, by a thread of the server's. What a crash left unsealed is
//! adopted at the next start.

use crate::{
    backend::AnyConn,
    error::{Result, StoreError},
    known::run,
    print::{Item, Kind},
    row::{bytes, micros},
    schema::{audit_entries, audit_outcomes, audit_seals, revisions},
    store::Store,
};
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, connection::SimpleConnection, dsl::max};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::Mutex;
use sha2::Sha256;
use std::{collections::HashSet, fmt};
use time::OffsetDateTime;
use uuid::Uuid;

/// The most that one row seals.
const MOST: usize = 10_000;
/// What is waited for an act whose transaction is still to be committed, in microseconds; none takes so long.
const PATIENCE: i64 = 10_000_000;

/// How long it is remembered where the chain is, in microseconds: less than the shortest retention.
const REMEMBERED: i64 = 12 * 3_600_000_000;

/// Where it is kept until when what a crash had left was adopted.
const ADOPTED: &str = "audit_adopted";
/// How far back a chain may have ended whose leavings are adopted, in microseconds.
const LOOKED_BACK: i64 = 7 * 24 * 3_600_000_000;
/// What a process may have written before its last seal and not sealed by it, in microseconds.
const MARGIN: i64 = 60_000_000;

/// The key of the chain. Cannot be printed.
#[derive(Clone)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// From 32 secret bytes that are kept outside the database.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self(key)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

/// What waits to be sealed, and where the chain of this process is.
#[derive(Default)]
pub(crate) struct Ledger {
    items: Mutex<Vec<Item>>,
    chain: Mutex<Option<Chain>>,
}

#[derive(Clone)]
struct Chain {
    id: Uuid,
    number: i64,
    mac: Vec<u8>,
    /// When its last row was written.
    at: i64,
}

impl Ledger {
    pub(crate) fn note(&self, item: Item) {
        self.items.lock().push(item);
    }

    pub(crate) fn note_all(&self, items: impl IntoIterator<Item = Item>) {
        self.items.lock().extend(items);
    }
}

impl Store {
    /// Seals what has been committed by this process since the last time, and tells how much that was. `chain` names the
    /// process.
    ///
    /// # Errors
    /// [`StoreError`]; what was not sealed waits for the next time.
    pub fn seal(&self, key: &SealKey, chain: Uuid, now: OffsetDateTime) -> Result<usize> {
        let mut sealed = 0;
        loop {
            let waiting = {
                let mut items = self.ledger().items.lock();
                let size = items.len().min(MOST);
                items.drain(..size).collect::<Vec<_>>()
            };
            if waiting.is_empty() {
                return Ok(sealed);
            }
            match self.seal_some(key, chain, &waiting, micros(now)) {
                Ok((count, too_early)) => {
                    sealed += count;
                    let all_too_early = too_early.len() == waiting.len();
                    self.ledger().note_all(too_early);
                    if count == 0 && all_too_early {
                        return Ok(sealed);
                    }
                    if waiting.len() < MOST {
                        return Ok(sealed);
                    }
                }
                Err(error) => {
                    self.ledger().note_all(waiting);
                    return Err(error);
                }
            }
        }
    }

    fn seal_some(&self, key: &SealKey, chain: Uuid, waiting: &[Item], now: i64) -> Result<(usize, Vec<Item>)> {
        let mut chain_now = self.ledger().chain.lock();
        let (mut blob, mut too_early) = (Vec::with_capacity(waiting.len() * Item::SIZE), Vec::new());
        let unread: Vec<&Item> = waiting.iter().filter(|item| item.print.is_none()).collect();
        let read = self.read(|conn| unread.iter().map(|item| item.look(conn)).collect::<Result<Vec<_>>>())?;
        for item in waiting.iter().filter(|item| item.print.is_some()) {
            item.write(item.print.unwrap_or_default(), &mut blob);
        }
        for (item, print) in unread.into_iter().zip(read) {
            match print {
                Some(print) => item.write(print, &mut blob),
                // Its transaction is not over yet; or it came to nothing.
                None if now - item.at < PATIENCE => too_early.push(*item),
                None => {}
            }
        }
        if blob.is_empty() {
            return Ok((0, too_early));
        }
        // Whether a write that failed came to be is not known: where the chain is, is looked up again. So it is where the
        // last row is so old that a purge may have taken it.
        let known = chain_now.take().filter(|chain| now - chain.at < REMEMBERED);
        let next = self.write(|conn| {
            let last = match &known {
                Some(chain) => chain.clone(),
                None => where_it_is(conn, chain)?,
            };
            let number = last.number + 1;
            let mac = mac(key, last.id, number, now, &last.mac, &blob);
            diesel::insert_into(audit_seals::table)
                .values((
                    audit_seals::chain.eq(bytes(last.id)),
                    audit_seals::number.eq(number),
                    audit_seals::at.eq(now),
                    audit_seals::items.eq(&blob),
                    audit_seals::previous.eq(&last.mac),
                    audit_seals::mac.eq(&mac),
                ))
                .execute(conn)?;
            Ok::<_, StoreError>(Chain { id: last.id, number, mac, at: now })
        })?;
        *chain_now = Some(next);
        Ok((blob.len() / Item::SIZE, too_early))
    }

    /// From when on there may be entries that nobody has sealed. To be asked before this process seals anything.
    ///
    /// Whoever stopped had sealed all it wrote until a moment before its last seal. Others go on sealing, so that the
    /// newest seal says nothing of it: each chain counts by its own last one, and the earliest of them is the answer. Chains
    /// that ended before the last adoption were its business. Bounded by a week, for this is held in memory: what crashed
    /// longer ago, or crashed before its first seal while others went on, is not adopted, and verification names it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unsealed_since(&self) -> Result<OffsetDateTime> {
        let since = self.read(|conn| {
            let adopted =
                revisions::table.find(ADOPTED).select(revisions::version).get_result::<i64>(conn).optional()?;
            let Some(newest) = audit_seals::table.select(max(audit_seals::at)).get_result::<Option<i64>>(conn)? else {
                return Ok(0);
            };
            let from = adopted.unwrap_or(0).max(newest - LOOKED_BACK);
            let ends: Vec<Option<i64>> = audit_seals::table
                .filter(audit_seals::at.ge(from))
                .group_by(audit_seals::chain)
                .select(max(audit_seals::at))
                .load(conn)?;
            Ok(ends.into_iter().flatten().min().unwrap_or(newest) - MARGIN)
        })?;
        crate::row::time(since)
    }

    /// Keeps that everything written before `until` is sealed, or will never be.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn note_adopted(&self, until: OffsetDateTime) -> Result<()> {
        let until = micros(until);
        self.write(|conn| {
            let row = format!("INSERT INTO revisions (name, version) VALUES ('{ADOPTED}', {until})");
            run(conn, &format!("{row} ON CONFLICT (name) DO UPDATE SET version = excluded.version"))?;
            Ok(())
        })
    }

    /// Notes what nobody has sealed: the last moments before a crash, or a log that is older than its chain. Looks at what
    /// was written `since` then and before `until`, and tells how much it found.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn adopt_unsealed(&self, since: OffsetDateTime, until: OffsetDateTime) -> Result<usize> {
        let (from, until) = (micros(since), micros(until));
        let found = self.read(|conn| {
            let mut sealed = HashSet::new();
            let blobs: Vec<Vec<u8>> =
                audit_seals::table.filter(audit_seals::at.ge(from)).select(audit_seals::items).load(conn)?;
            for item in blobs.iter().flat_map(|blob| blob.chunks(Item::SIZE)).filter_map(Item::read) {
                sealed.insert((item.kind, item.id, item.at));
            }
            let entries: Vec<(Vec<u8>, i64)> = audit_entries::table
                .filter(audit_entries::at.ge(from))
                .filter(audit_entries::at.lt(until))
                .select((audit_entries::id, audit_entries::at))
                .load(conn)?;
            let outcomes: Vec<(Vec<u8>, i64)> = audit_outcomes::table
                .filter(audit_outcomes::at.ge(from))
                .filter(audit_outcomes::at.lt(until))
                .select((audit_outcomes::entry_id, audit_outcomes::entry_at))
                .load(conn)?;
            let kinds = [(Kind::Entry, entries), (Kind::Outcome, outcomes)];
            let all = kinds.into_iter().flat_map(|(kind, rows)| rows.into_iter().map(move |row| (kind, row)));
            let found = all.filter_map(|(kind, (id, at))| Some(Item::unread(kind, at, Uuid::from_slice(&id).ok()?)));
            Ok(found.filter(|item| !sealed.contains(&(item.kind, item.id, item.at))).collect::<Vec<_>>())
        })?;
        let count = found.len();
        self.ledger().note_all(found);
        Ok(count)
    }
}

/// The last row of a chain; of one that has none, what it begins on.
fn where_it_is(conn: &mut AnyConn, chain: Uuid) -> Result<Chain> {
    if let AnyConn::Pg(pg) = conn {
        // A purge deletes what nobody follows, and must not do so while this begins to.
        pg.batch_execute("LOCK TABLE audit_seals IN ROW EXCLUSIVE MODE")?;
    }
    let own: Option<(i64, Vec<u8>, i64)> = audit_seals::table
        .filter(audit_seals::chain.eq(bytes(chain)))
        .order(audit_seals::number.desc())
        .select((audit_seals::number, audit_seals::mac, audit_seals::at))
        .first(conn)
        .optional()?;
    Ok(match own {
        Some((number, mac, at)) => Chain { id: chain, number, mac, at },
        None => Chain { id: chain, number: 0, mac: last_mac(conn)?, at: 0 },
    })
}

/// The mac that a new chain follows.
fn last_mac(conn: &mut AnyConn) -> Result<Vec<u8>> {
    let last: Option<Vec<u8>> = audit_seals::table
        .order((audit_seals::at.desc(), audit_seals::number.desc()))
        .select(audit_seals::mac)
        .first(conn)
        .optional()?;
    Ok(last.unwrap_or_else(|| vec![0; 32]))
}

/// The link (HMAC-SHA-256, RFC 2104) over everything in the row but itself.
pub(crate) fn mac(key: &SealKey, chain: Uuid, number: i64, at: i64, previous: &[u8], items: &[u8]) -> Vec<u8> {
    // A key of any length is accepted, ours has 32 bytes.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else { return Vec::new() };
    mac.update(chain.as_bytes());
    mac.update(&number.to_be_bytes());
    mac.update(&at.to_be_bytes());
    mac.update(&(previous.len() as u64).to_be_bytes());
    mac.update(previous);
    mac.update(items);
    mac.finalize().into_bytes().to_vec()
}
