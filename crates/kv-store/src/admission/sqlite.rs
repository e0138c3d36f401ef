//! Admission on SQLite: one transaction of the one writer, checked and written row by row, committed once.

use super::{Decision, Request, Verdict};
use crate::{
    audit,
    backend::AnyConn,
    basis::{Basis, Credential, Standing, standing},
    clusters,
    error::Result,
    print::Item,
    row::{self, bytes},
    schema::api_keys,
    transaction,
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};
use kv_authz::{KeyId, Unusable, UserId};

pub(super) fn admit(conn: &mut AnyConn, batch: &[Request], now: i64) -> Result<(Vec<Decision>, Vec<Item>)> {
    transaction::write(conn, |conn| {
        let mut written = Vec::with_capacity(batch.len());
        let clusters_version = clusters::version(conn)?;
        let at = row::time(now)?;
        let decisions = batch
            .iter()
            .map(|request| {
                let verdict = match &request.basis {
                    Some(basis) => {
                        let standing = standing(conn, basis)?;
                        let seen = standing.as_ref().is_some_and(|standing| standing.gone.is_some());
                        let verdict = Standing::verdict(standing, basis, clusters_version, now);
                        if verdict == Verdict::Refused(Unusable::Expired) && !seen {
                            mark_expired(conn, basis.credential, now)?;
                        }
                        verdict
                    }
                    None => {
                        // Looked up all the same: the time does not tell an unknown key from a dead one.
                        standing(conn, &NOBODY)?;
                        Verdict::Admitted
                    }
                };
                match verdict {
                    Verdict::Admitted if request.audited => written.push(audit::insert(conn, request, now)?),
                    Verdict::Refused(reason) => written.push(audit::insert_refusal(conn, request, reason, now)?),
                    Verdict::Admitted | Verdict::Stale => {}
                }
                Ok(Decision { verdict, at })
            })
            .collect::<Result<_>>()?;
        Ok((decisions, written))
    })
}

/// A basis of nobody's.
const NOBODY: Basis = Basis {
    credential: Credential::Key(KeyId::NIL),
    user: UserId::NIL,
    user_version: 0,
    role_version: None,
    clusters_version: None,
};

fn mark_expired(conn: &mut AnyConn, credential: Credential, now: i64) -> Result<()> {
    if let Credential::Key(id) = credential {
        let key = api_keys::table.filter(api_keys::id.eq(bytes(id))).filter(api_keys::expired_seen_at.is_null());
        diesel::update(key).set(api_keys::expired_seen_at.eq(now)).execute(conn)?;
    }
    Ok(())
}
