//! Admission on SQLite: one transaction of the one writer, checked and written row by row, committed once.

use super::{Decision, Request, Verdict, standings::Standings};
use crate::{
    audit,
    backend::AnyConn,
    basis::{Basis, Credential, Standing, standing},
    clusters,
    error::Result,
    points::Point,
    print::Item,
    revisions::STANDINGS,
    row::{self, bytes},
    schema::{api_keys, revisions},
    transaction,
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};
use kv_authz::{KeyId, Unusable, UserId};

pub(super) fn admit(
    conn: &mut AnyConn,
    standings: &mut Standings,
    batch: &[Request],
    now: i64,
) -> Result<(Vec<Decision>, Vec<Item>)> {
    transaction::write(conn, |conn| {
        // In the transaction that writes: nothing changes between these and its end.
        standings.at(revisions::table.find(STANDINGS).select(revisions::version).get_result(conn)?);
        let clusters_version = clusters::version(conn)?;
        let verdicts = batch.iter().map(|request| judge(conn, standings, request, clusters_version, now));
        let verdicts = verdicts.collect::<Result<Vec<_>>>()?;
        // In the order of the table, which is their ids': each goes to its end, and not in between two that came before.
        let mut order: Vec<usize> = (0..batch.len()).collect();
        order.sort_unstable_by_key(|&n| batch[n].entry.id);
        let mut written = Vec::with_capacity(batch.len());
        for n in order {
            match verdicts[n] {
                Verdict::Admitted if batch[n].audited => written.push(audit::insert(conn, &batch[n], now)?),
                Verdict::Refused(reason) => written.push(audit::insert_refusal(conn, &batch[n], reason, now)?),
                Verdict::Admitted | Verdict::Stale => {}
            }
        }
        let at = row::time(now)?;
        Point::IntentWritten.reached();
        let decided = |(request, verdict)| Decision { verdict, at, lasts: standings.lasts(request, verdict, now) };
        Ok((batch.iter().zip(verdicts).map(decided).collect(), written))
    })
}

fn judge(
    conn: &mut AnyConn,
    standings: &mut Standings,
    request: &Request,
    clusters_version: i64,
    now: i64,
) -> Result<Verdict> {
    let Some(basis) = &request.basis else {
        // Looked up all the same: the time does not tell an unknown key from a dead one.
        standing(conn, &NOBODY)?;
        return Ok(Verdict::Admitted);
    };
    let same_clusters = basis.clusters_version.is_none_or(|version| version == clusters_version);
    if same_clusters && standings.good_until(basis).is_some_and(|until| now < until) {
        return Ok(Verdict::Admitted);
    }
    let standing = standing(conn, basis)?;
    let (seen, expires_at) = match &standing {
        Some(standing) => (standing.gone.is_some(), standing.expires_at),
        None => (false, None),
    };
    let verdict = Standing::verdict(standing, basis, standings.are_of(basis), clusters_version, now);
    match verdict {
        Verdict::Admitted => standings.note(basis, expires_at.unwrap_or(i64::MAX)),
        Verdict::Refused(Unusable::Expired) if !seen => mark_expired(conn, basis.credential, now)?,
        Verdict::Refused(_) | Verdict::Stale => {}
    }
    Ok(verdict)
}

/// A basis of nobody's.
const NOBODY: Basis = Basis {
    credential: Credential::Key(KeyId::NIL),
    user: UserId::NIL,
    user_version: 0,
    role_version: None,
    clusters_version: None,
    timeline: 0,
};

fn mark_expired(conn: &mut AnyConn, credential: Credential, now: i64) -> Result<()> {
    if let Credential::Key(id) = credential {
        let key = api_keys::table.filter(api_keys::id.eq(bytes(id))).filter(api_keys::expired_seen_at.is_null());
        diesel::update(key).set(api_keys::expired_seen_at.eq(now)).execute(conn)?;
    }
    Ok(())
}
