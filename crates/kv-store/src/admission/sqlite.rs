//! Admission on SQLite: one transaction of the one writer, checked and written row by row, committed once.

use super::{Decision, Request, Verdict};
use crate::{
    audit,
    backend::AnyConn,
    basis::{Credential, Standing, standing},
    clusters,
    error::Result,
    row::{self, bytes},
    schema::api_keys,
    transaction,
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};
use kv_authz::Unusable;

pub(super) fn admit(conn: &mut AnyConn, batch: &[Request], now: i64) -> Result<Vec<Decision>> {
    transaction::write(conn, |conn| {
        let clusters_version = clusters::version(conn)?;
        let at = row::time(now)?;
        batch
            .iter()
            .map(|request| {
                let verdict = match &request.basis {
                    Some(basis) => {
                        let verdict =
                            Standing::verdict(standing(conn, basis.credential)?, basis, clusters_version, now);
                        if verdict == Verdict::Refused(Unusable::Expired) {
                            mark_expired(conn, basis.credential, now)?;
                        }
                        verdict
                    }
                    None => Verdict::Admitted,
                };
                match verdict {
                    Verdict::Admitted if request.audited => audit::insert(conn, request, now)?,
                    Verdict::Refused(reason) => audit::insert_refusal(conn, request, reason, now)?,
                    Verdict::Admitted | Verdict::Stale => {}
                }
                Ok(Decision { verdict, at })
            })
            .collect()
    })
}

fn mark_expired(conn: &mut AnyConn, credential: Credential, now: i64) -> Result<()> {
    if let Credential::Key(id) = credential {
        let key = api_keys::table.filter(api_keys::id.eq(bytes(id))).filter(api_keys::expired_seen_at.is_null());
        diesel::update(key).set(api_keys::expired_seen_at.eq(now)).execute(conn)?;
    }
    Ok(())
}
