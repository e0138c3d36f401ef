//! Login challenges: a password that was accepted waits for the second factor, and both are used up by one session.

use crate::{
    basis::ActError,
    error::Result,
    row::{bytes, id, micros, text},
    schema::login_challenges,
    second_factors::{FactorRefused, Proof, accept, by},
    sessions::{NewSession, hold_user, insert_session},
    store::Store,
};
use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use kv_authz::{
    UserId,
    audit::{Entry, Finish},
};
use time::OffsetDateTime;

/// A password that was accepted, waiting for the second factor.
#[derive(Debug, Clone)]
pub struct Challenge {
    /// The digest of its token.
    pub digest: Vec<u8>,
    /// Whose it is.
    pub user: UserId,
    /// The version of their rights when the password was checked.
    pub user_version: i64,
    /// The client it is for.
    pub user_agent: String,
    /// Until when it counts.
    pub expires_at: OffsetDateTime,
}

impl Store {
    /// Keeps a challenge and puts on record that a password was accepted.
    ///
    /// # Errors
    /// [`ActError::Unusable`] and [`ActError::Stale`] as for a session.
    pub fn begin_challenge(
        &self,
        challenge: &Challenge,
        entry: &Entry,
        now: OffsetDateTime,
    ) -> Result<(), ActError<FactorRefused>> {
        self.write(|conn| {
            hold_user(conn, challenge.user, challenge.user_version)?;
            // At most one waits for a user: the latest.
            let theirs = login_challenges::table.filter(login_challenges::user_id.eq(bytes(challenge.user)));
            let over = login_challenges::expires_at.le(micros(now)).or(login_challenges::used_at.is_not_null());
            diesel::delete(theirs.filter(over)).execute(conn)?;
            diesel::insert_into(login_challenges::table)
                .values((
                    login_challenges::digest.eq(&challenge.digest),
                    login_challenges::user_id.eq(bytes(challenge.user)),
                    login_challenges::user_version.eq(challenge.user_version),
                    login_challenges::user_agent.eq(text(&challenge.user_agent)),
                    login_challenges::expires_at.eq(micros(challenge.expires_at)),
                ))
                .execute(conn)?;
            self.insert_finished(conn, entry, Finish::with_status(202), now)?;
            Ok(())
        })
    }

    /// A challenge that waits for this client.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn find_challenge(&self, digest: &[u8], user_agent: &str, now: OffsetDateTime) -> Result<Option<Challenge>> {
        self.read(|conn| {
            let row: Option<(Vec<u8>, i64)> = login_challenges::table
                .find(digest)
                .filter(login_challenges::user_agent.eq(text(user_agent)))
                .filter(login_challenges::used_at.is_null())
                .filter(login_challenges::expires_at.gt(micros(now)))
                .select((login_challenges::user_id, login_challenges::user_version))
                .get_result(conn)
                .optional()?;
            let Some((user, user_version)) = row else { return Ok(None) };
            let (digest, user_agent) = (digest.to_vec(), user_agent.to_owned());
            Ok(Some(Challenge { digest, user: id(&user)?, user_version, user_agent, expires_at: now }))
        })
    }

    /// Begins a session by a challenge and a proof, both used up with it.
    ///
    /// # Errors
    /// [`ActError::Refused`]; [`ActError::Unusable`] and [`ActError::Stale`] where the user has changed since.
    pub fn begin_session_by_factor(
        &self,
        (challenge, proof): (&Challenge, &Proof),
        session: &NewSession,
        entry: &Entry,
        now: OffsetDateTime,
    ) -> Result<(), ActError<FactorRefused>> {
        let at = micros(now);
        self.write(|conn| {
            hold_user(conn, session.user, session.user_version)?;
            let waiting = login_challenges::table
                .filter(login_challenges::digest.eq(&challenge.digest))
                .filter(login_challenges::used_at.is_null())
                .filter(login_challenges::expires_at.gt(at));
            if diesel::update(waiting).set(login_challenges::used_at.eq(at)).execute(conn)? == 0 {
                return Err(ActError::Refused(FactorRefused::NoChallenge));
            }
            accept(conn, session.user, proof, at)?;
            insert_session(conn, session, entry, now)?;
            self.insert_finished(conn, entry, Finish::with_status(200).because(by(proof)), now)?;
            Ok(())
        })
    }
}
