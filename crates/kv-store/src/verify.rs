//! Verification: the whole audit log against its seals. Reads only, and says what it finds.

use crate::{
    backend::AnyConn,
    error::Result,
    print::{Item, Kind},
    row::micros,
    schema::{audit_entries, audit_outcomes, audit_seals},
    seals::{SealKey, mac},
    store::Store,
};
use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, RunQueryDsl};
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

impl Store {
    /// Looks the whole log through: each chain link by link, each sealed row against its print, and whether there are rows
    /// that nobody sealed. `until` is a moment ago: what is younger may still wait for its seal. `progress` hears of every
    /// few thousand rows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn verify_audit(&self, key: &SealKey, until: OffsetDateTime, progress: &dyn Fn(u64)) -> Result<Verified> {
        let until = micros(until);
        let purged = self.purged_until()?;
        let mut verified = Verified::default();
        let (mut sealed, mut macs) = (HashSet::new(), HashSet::new());
        let mut links = Vec::new();
        let mut after: (Vec<u8>, i64) = (Vec::new(), i64::MIN);
        loop {
            let rows: Vec<SealColumns> = self.read(|conn| next_seals(conn, &after))?;
            let Some(last) = rows.last() else { break };
            let previous_of_chain = |chain: &[u8]| (chain == after.0).then_some(after.1);
            let mut last_number = previous_of_chain(&rows[0].0);
            let mut last_chain = rows[0].0.clone();
            for (chain, number, at, items, previous, stored) in &rows {
                let id = Uuid::from_slice(chain).unwrap_or_default();
                if *chain != last_chain {
                    (last_chain, last_number) = (chain.clone(), None);
                }
                // The beginning of a chain may have been deleted with the entries it sealed.
                if last_number.is_some_and(|last| last + 1 != *number)
                    || (last_number.is_none() && *number != 1 && purged == 0)
                {
                    verified.findings.push(format!("seals are missing before number {number} of chain {id}"));
                }
                last_number = Some(*number);
                if mac(key, id, *number, *at, previous, items) != *stored {
                    verified.findings.push(format!("seal {number} of chain {id} is not as it was written"));
                    continue;
                }
                verified.seals += 1;
                macs.insert(stored.clone());
                links.push((id, *number, previous.clone()));
                self.verify_items(items, purged, &mut sealed, &mut verified, progress)?;
            }
            after = (last.0.clone(), last.1);
        }
        let zero = vec![0; 32];
        for (chain, number, previous) in links {
            if previous != zero && !macs.contains(&previous) && purged == 0 {
                verified.findings.push(format!("what seal {number} of chain {chain} follows is missing"));
            }
        }
        self.find_unsealed(until, purged, &sealed, &mut verified)?;
        Ok(verified)
    }

    fn verify_items(
        &self,
        blob: &[u8],
        purged: i64,
        sealed: &mut HashSet<(Kind, Uuid)>,
        verified: &mut Verified,
        progress: &dyn Fn(u64),
    ) -> Result<()> {
        for item in blob.chunks(Item::SIZE).filter_map(Item::read) {
            sealed.insert((item.kind, item.id));
            if item.at < purged {
                continue;
            }
            let what = match item.kind {
                Kind::Entry => "entry",
                Kind::Outcome => "the outcome of entry",
            };
            match self.read(|conn| item.look(conn))? {
                Some(print) if Some(print) == item.print => verified.intact += 1,
                Some(_) => verified.findings.push(format!("{what} {} was changed", item.id)),
                None => verified.findings.push(format!("{what} {} was removed", item.id)),
            }
            if verified.intact.is_multiple_of(5_000) {
                progress(verified.intact);
            }
        }
        Ok(())
    }

    fn find_unsealed(
        &self,
        until: i64,
        purged: i64,
        sealed: &HashSet<(Kind, Uuid)>,
        verified: &mut Verified,
    ) -> Result<()> {
        let mut after = Vec::new();
        loop {
            let rows: Vec<(Vec<u8>, i64)> = self.read(|conn| {
                Ok(audit_entries::table
                    .filter(audit_entries::id.gt(&after))
                    .order(audit_entries::id)
                    .limit(5_000)
                    .select((audit_entries::id, audit_entries::at))
                    .load(conn)?)
            })?;
            let Some(last) = rows.last() else { break };
            for (id, at) in &rows {
                let id = Uuid::from_slice(id).unwrap_or_default();
                if *at >= purged && *at < until && !sealed.contains(&(Kind::Entry, id)) {
                    verified.findings.push(format!("entry {id} was never sealed"));
                }
            }
            after = last.0.clone();
        }
        let outcomes: Vec<(Vec<u8>, i64, i64)> = self.read(|conn| {
            Ok(audit_outcomes::table
                .filter(audit_outcomes::at.lt(until))
                .select((audit_outcomes::entry_id, audit_outcomes::entry_at, audit_outcomes::at))
                .load(conn)?)
        })?;
        for (id, entry_at, _) in outcomes {
            let id = Uuid::from_slice(&id).unwrap_or_default();
            if entry_at >= purged && !sealed.contains(&(Kind::Outcome, id)) {
                verified.findings.push(format!("the outcome of entry {id} was never sealed"));
            }
        }
        Ok(())
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
