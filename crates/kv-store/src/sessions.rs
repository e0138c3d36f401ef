//! Sessions: begun by signing in, ended by signing out. The token that names one is the server's affair.

use crate::{
    audit::{self, Occasion},
    basis::{ActError, Basis, Never, confirm},
    error::Result,
    row::{bytes, micros, text},
    schema::{sessions, users},
    store::Store,
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};
use kv_authz::{
    Permit, SessionId, Unusable, UserId,
    action::EndSession,
    audit::{Entry, Finish},
};
use time::OffsetDateTime;

/// A session about to begin.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// The version of the user's rights when their password was checked.
    pub user_version: i64,
    /// When it ends by itself.
    pub expires_at: OffsetDateTime,
}

impl Store {
    /// Begins a session and puts the sign-in on record, unless the user has changed since their password was checked.
    ///
    /// # Errors
    /// [`ActError::Unusable`] where they may no longer sign in, [`ActError::Stale`] where they changed otherwise.
    pub fn begin_session(
        &self,
        session: &NewSession,
        entry: &Entry,
        now: OffsetDateTime,
    ) -> Result<(), ActError<Never>> {
        self.write(|conn| {
            let user = bytes(session.user);
            let unchanged = users::table
                .filter(users::id.eq(&user))
                .filter(users::version.eq(session.user_version))
                .filter(users::deleted_at.is_null());
            // Written, so that a change of the user waits until the session is there to be ended by it.
            if diesel::update(unchanged).set(users::version.eq(users::version)).execute(conn)? == 0 {
                return Err(ActError::Stale);
            }
            let disabled: Option<i64> = users::table.find(&user).select(users::disabled_at).first(conn)?;
            if disabled.is_some() {
                return Err(ActError::Unusable(Unusable::OwnerDisabled));
            }
            diesel::insert_into(sessions::table)
                .values((
                    sessions::id.eq(bytes(session.id)),
                    sessions::user_id.eq(&user),
                    sessions::created_at.eq(micros(now)),
                    sessions::expires_at.eq(micros(session.expires_at)),
                    sessions::ip.eq(entry.origin.ip.map(|ip| ip.to_string())),
                    sessions::user_agent.eq(text(&entry.origin.user_agent)),
                ))
                .execute(conn)?;
            audit::insert_finished(conn, entry, Finish::with_status(200), now)?;
            Ok(())
        })
    }

    /// Ends a session for good. The first time stands.
    ///
    /// # Errors
    /// [`ActError`].
    pub fn end_session(
        &self,
        permit: &Permit<EndSession>,
        basis: &Basis,
        session: SessionId,
        occasion: &Occasion,
    ) -> Result<(), ActError<Never>> {
        self.write(|conn| {
            confirm(conn, Some(basis), occasion.now)?;
            let open = sessions::table.filter(sessions::id.eq(bytes(session))).filter(sessions::ended_at.is_null());
            diesel::update(open).set(sessions::ended_at.eq(micros(occasion.now))).execute(conn)?;
            audit::insert_act(conn, permit, occasion, Finish::with_status(204))?;
            Ok(())
        })
    }
}
