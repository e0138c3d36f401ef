//! Sessions: begun by signing in, renewed, ended. Tokens come here as digests only; what names a session in a request is
//! the server's affair.

use crate::{
    audit::Occasion,
    backend::AnyConn,
    basis::{ActError, Basis, Credential, Never, confirm},
    cuts::{self, Cut},
    error::Result,
    row::{bytes, id, micros, text},
    schema::{refresh_tokens, sessions, users},
    store::Store,
};
use ::time::{Duration, OffsetDateTime};
use diesel::{ExpressionMethods, IntoSql, OptionalExtension, QueryDsl, RunQueryDsl, dsl::case_when, sql_types};
use kv_authz::{
    Action, Owner, Permit, SessionId, Unusable, UserId,
    audit::{Detail, Entry, Fact, Finish},
};
use std::sync::Arc;

/// How long a refresh token is still good after it was used: two tabs renew at once.
const GRACE: Duration = Duration::seconds(10);

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
    /// When a code was shown for it, if one was.
    pub factor_shown_at: Option<OffsetDateTime>,
    /// The digest of its opaque token: the one that renews it, or the cookie of a browser, which renews nothing.
    pub token: Vec<u8>,
}

/// A refresh token about to take another's place.
#[derive(Debug, Clone)]
pub struct Renewal {
    /// The digest of the one that was sent.
    pub sent: Vec<u8>,
    /// The digest of the next one.
    pub next: Vec<u8>,
    /// When the session ends now.
    pub expires_at: OffsetDateTime,
}

/// A session that was renewed, or the reason why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renewed {
    /// It goes on.
    Renewed {
        /// The session.
        id: SessionId,
        /// Whose it is.
        user: UserId,
    },
    /// Nobody has the token, or its session is over.
    Refused {
        /// Whose it was, where that is known.
        owner: Option<(UserId, String)>,
        /// Why.
        reason: Unusable,
    },
    /// The token was used before: somebody else has it too. The session is over.
    Reused {
        /// The session.
        id: SessionId,
        /// Whose it was.
        owner: (UserId, String),
    },
}

/// There is no such session of this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such session")]
pub struct NoSuchSession;

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
            hold_user(conn, session.user, session.user_version)?;
            insert_session(conn, session, entry, now)?;
            self.insert_finished(conn, entry, Finish::with_status(200), now)?;
            Ok(())
        })
    }

    /// Whose session a refresh token renews, whatever the state of token and session; that is [`Self::renew_session`]'s to
    /// judge.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn refresh_owner(&self, sent: &[u8]) -> Result<Option<Arc<Owner>>> {
        Ok(self.session_authority_by_token(sent)?.map(|authority| authority.owner))
    }

    /// Renews a session by its refresh token, once; a second time within ten seconds, and as a thief's later.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn renew_session(&self, renewal: &Renewal, entry: &Entry, now: OffsetDateTime) -> Result<Renewed> {
        type Columns = ((i64, Option<i64>), (Vec<u8>, i64, Option<i64>), (Vec<u8>, String, Option<i64>, Option<i64>));
        let at = micros(now);
        self.write(|conn| {
            let token = refresh_tokens::table.find(&renewal.sent);
            // Written, even with its own value: of two that come at once the second waits, and sees the first.
            diesel::update(token).set(refresh_tokens::expires_at.eq(refresh_tokens::expires_at)).execute(conn)?;
            let row: Option<Columns> = refresh_tokens::table
                .inner_join(sessions::table.inner_join(users::table))
                .filter(refresh_tokens::digest.eq(&renewal.sent))
                .select((
                    (refresh_tokens::expires_at, refresh_tokens::used_at),
                    (sessions::id, sessions::expires_at, sessions::ended_at),
                    (users::id, users::name, users::disabled_at, users::deleted_at),
                ))
                .get_result(conn)
                .optional()?;
            let Some(((expires_at, used_at), (session, ends_at, ended_at), (user, name, disabled, deleted))) = row
            else {
                return Ok(Renewed::Refused { owner: None, reason: Unusable::Unknown });
            };
            let (session, user): (SessionId, UserId) = (id(&session)?, id(&user)?);
            let refused = |reason| Ok(Renewed::Refused { owner: Some((user, name.clone())), reason });
            if ended_at.is_some() {
                return refused(Unusable::SessionEnded);
            }
            if deleted.is_some() {
                return refused(Unusable::OwnerDeleted);
            }
            if disabled.is_some() {
                return refused(Unusable::OwnerDisabled);
            }
            if expires_at <= at || ends_at <= at {
                return refused(Unusable::Expired);
            }
            let actor = kv_authz::Actor { user_id: Some(user), user: name.clone(), ..entry.actor.clone() };
            let entry = Entry { actor, ..entry.clone() };
            if used_at.is_some_and(|used| at - used > GRACE.whole_microseconds() as i64) {
                end(conn, session, "a refresh token was used twice", now)?;
                let facts = Detail::none().with(Fact::Reason, "a refresh token was used twice; the session is over");
                self.insert_finished(conn, &entry, Finish::with_status(401).because(facts), now)?;
                cuts::note(conn, Cut::Credential(Credential::Session(session)), now)?;
                return Ok(Renewed::Reused { id: session, owner: (user, name) });
            }
            let unused = token.filter(refresh_tokens::used_at.is_null());
            diesel::update(unused).set(refresh_tokens::used_at.eq(at)).execute(conn)?;
            insert_refresh(conn, &renewal.next, session, renewal.expires_at)?;
            // A session may go on without end, and its tokens must not heap up.
            let over = refresh_tokens::table
                .filter(refresh_tokens::session_id.eq(bytes(session)))
                .filter(refresh_tokens::expires_at.le(at));
            diesel::delete(over).execute(conn)?;
            // Of two that renew at once the later one to write may be the earlier one to have come: no time is taken back.
            let ends = micros(renewal.expires_at);
            let later = case_when(sessions::expires_at.lt(ends), ends.into_sql::<sql_types::BigInt>())
                .otherwise(sessions::expires_at);
            diesel::update(sessions::table.find(bytes(session)))
                .set((sessions::renewed_at.eq(at), sessions::expires_at.eq(later)))
                .execute(conn)?;
            self.insert_finished(conn, &entry, Finish::with_status(200), now)?;
            Ok(Renewed::Renewed { id: session, user })
        })
    }

    /// Ends a session of `owner` for good. The first time stands, and later calls succeed without effect.
    ///
    /// # Errors
    /// [`ActError::Refused`] where that user has no such session.
    pub fn end_session<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        (owner, session): (UserId, SessionId),
        occasion: &Occasion,
    ) -> Result<(), ActError<NoSuchSession>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let theirs = sessions::table.find(bytes(session)).filter(sessions::user_id.eq(bytes(owner)));
            if theirs.select(sessions::id).get_result::<Vec<u8>>(conn).optional()?.is_none() {
                return Err(ActError::Refused(NoSuchSession));
            }
            end(conn, session, &permit.actor().user, occasion.now)?;
            let facts = Detail::none().with(Fact::ObjectId, session.to_string()).with(Fact::Owner, owner.to_string());
            self.insert_act(conn, permit, occasion, Finish::with_status(204).because(facts))?;
            cuts::note(conn, Cut::Credential(Credential::Session(session)), occasion.now)?;
            Ok(())
        })
    }

    /// Ends every session of a user but the one given, and tells how many went on.
    ///
    /// # Errors
    /// [`ActError`].
    pub fn end_sessions<A: Action>(
        &self,
        permit: &Permit<A>,
        basis: Option<&Basis>,
        (owner, but): (UserId, Option<SessionId>),
        occasion: &Occasion,
    ) -> Result<usize, ActError<Never>> {
        self.write(|conn| {
            confirm(conn, basis, occasion.now)?;
            let ended = end_all(conn, (owner, but), &permit.actor().user, occasion.now)?;
            let facts = Detail::none()
                .with(Fact::Owner, owner.to_string())
                .with(Fact::After, format!("{ended} sessions ended"));
            self.insert_act(conn, permit, occasion, Finish::with_status(200).because(facts))?;
            cuts::note(conn, Cut::User(owner), occasion.now)?;
            Ok(ended)
        })
    }

    /// Deletes sessions that were over before the given time, with their refresh tokens; at most so many.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn purge_sessions(&self, before: OffsetDateTime, most: i64) -> Result<usize> {
        self.write(|conn| {
            let over: Vec<Vec<u8>> = sessions::table
                .filter(sessions::expires_at.lt(micros(before)))
                .limit(most)
                .select(sessions::id)
                .load(conn)?;
            Ok(diesel::delete(sessions::table.filter(sessions::id.eq_any(over))).execute(conn)?)
        })
    }
}

/// Holds a user who may sign in and has not changed since they were read.
pub(crate) fn hold_user<E>(conn: &mut AnyConn, user: UserId, version: i64) -> Result<(), ActError<E>> {
    let user = bytes(user);
    let unchanged =
        users::table.filter(users::id.eq(&user)).filter(users::version.eq(version)).filter(users::deleted_at.is_null());
    // Written, so that a change of the user waits until the session is there to be ended by it.
    if diesel::update(unchanged).set(users::version.eq(users::version)).execute(conn)? == 0 {
        return Err(ActError::Stale);
    }
    let disabled: Option<i64> = users::table.find(&user).select(users::disabled_at).get_result(conn)?;
    match disabled {
        Some(_) => Err(ActError::Unusable(Unusable::OwnerDisabled)),
        None => Ok(()),
    }
}

/// Writes a session and its first refresh token.
pub(crate) fn insert_session(
    conn: &mut AnyConn,
    session: &NewSession,
    entry: &Entry,
    now: OffsetDateTime,
) -> Result<()> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::id.eq(bytes(session.id)),
            sessions::user_id.eq(bytes(session.user)),
            sessions::created_at.eq(micros(now)),
            sessions::expires_at.eq(micros(session.expires_at)),
            sessions::factor_shown_at.eq(session.factor_shown_at.map(micros)),
            sessions::ip.eq(entry.origin.ip.map(|ip| ip.to_string())),
            sessions::user_agent.eq(text(&entry.origin.user_agent)),
        ))
        .execute(conn)?;
    insert_refresh(conn, &session.token, session.id, session.expires_at)
}

fn insert_refresh(conn: &mut AnyConn, digest: &[u8], session: SessionId, expires_at: OffsetDateTime) -> Result<()> {
    diesel::insert_into(refresh_tokens::table)
        .values((
            refresh_tokens::digest.eq(digest),
            refresh_tokens::session_id.eq(bytes(session)),
            refresh_tokens::expires_at.eq(micros(expires_at)),
        ))
        .execute(conn)?;
    Ok(())
}

fn end(conn: &mut AnyConn, session: SessionId, by: &str, now: OffsetDateTime) -> Result<()> {
    let open = sessions::table.filter(sessions::id.eq(bytes(session))).filter(sessions::ended_at.is_null());
    diesel::update(open).set((sessions::ended_at.eq(micros(now)), sessions::ended_by.eq(text(by)))).execute(conn)?;
    Ok(())
}

/// Ends a user's sessions but the one given, and tells how many of them went on.
pub(crate) fn end_all(
    conn: &mut AnyConn,
    (owner, but): (UserId, Option<SessionId>),
    by: &str,
    now: OffsetDateTime,
) -> Result<usize> {
    let open = sessions::table
        .filter(sessions::user_id.eq(bytes(owner)))
        .filter(sessions::id.ne(bytes(but.unwrap_or(SessionId::NIL))))
        .filter(sessions::ended_at.is_null());
    let ending = (sessions::ended_at.eq(micros(now)), sessions::ended_by.eq(text(by)));
    // Those that are over by themselves are ended too, for the day the clock is set back, and are not counted.
    let over = diesel::update(open.clone().filter(sessions::expires_at.le(micros(now))));
    over.set(ending.clone()).execute(conn)?;
    Ok(diesel::update(open).set(ending).execute(conn)?)
}
