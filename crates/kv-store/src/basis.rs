//! The basis of a decision: the credential and the versions of the rights it was made on. Confirmed by the database at
//! the moment that counts, inside the transaction that acts.

use crate::{
    admission::Verdict,
    backend::AnyConn,
    error::{Result, StoreError},
    row::{bytes, micros},
    schema::{api_keys, roles, sessions, users},
    store::AsStoreError,
    timeline,
    users::hold_role,
};
use diesel::{ExpressionMethods, JoinOnDsl, OptionalExtension, PgConnection, QueryDsl, RunQueryDsl, SqliteConnection};
use kv_authz::{KeyId, SessionId, Unusable, UserId};
use time::OffsetDateTime;

/// What a caller showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// An API key.
    Key(KeyId),
    /// A session.
    Session(SessionId),
}

/// What a decision was based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    /// The credential.
    pub credential: Credential,
    /// Its owner.
    pub user: UserId,
    /// The version of the owner's rights that were read.
    pub user_version: i64,
    /// The version of the owner's role that was read; none for a built-in one, which never changes.
    pub role_version: Option<i64>,
    /// The version of the list of clusters that was read; none if it played no part.
    pub clusters_version: Option<i64>,
    /// The primary that all of it was read from, by its number: on another, the same versions may be those of other rights. 0 on
    /// SQLite.
    pub timeline: i64,
}

/// Why an act was not done. `E` is what the act's own rules say.
#[derive(Debug, thiserror::Error)]
pub enum ActError<E> {
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller's credential no longer counts.
    #[error("the credential is refused: {0}")]
    Unusable(Unusable),
    /// The caller's rights have changed since they were read; decide again.
    #[error("the rights changed meanwhile")]
    Stale,
    /// The act's own rules refuse it.
    #[error("{0}")]
    Refused(E),
}

impl<E> From<diesel::result::Error> for ActError<E> {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(error.into())
    }
}

impl<E> AsStoreError for ActError<E> {
    fn as_store_error(&self) -> Option<&StoreError> {
        match self {
            ActError::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// An act that has no rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Never {}

/// The state of a credential and its owner, read from one row.
pub(crate) struct Standing {
    pub(crate) gone: Option<Unusable>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) version: i64,
    pub(crate) role_version: Option<i64>,
}

impl Standing {
    /// The verdict at `now` (microseconds), by the primary that the basis was read from or by another. The PostgreSQL statement
    /// says the same in SQL.
    pub(crate) fn verdict(
        standing: Option<Self>,
        basis: &Basis,
        same_primary: bool,
        clusters_version: i64,
        now: i64,
    ) -> Verdict {
        if let Some(reason) = Self::refuses(standing.as_ref(), now) {
            return Verdict::Refused(reason);
        }
        let Some(standing) = standing else { return Verdict::Refused(Unusable::Unknown) };
        let clusters_moved = basis.clusters_version.is_some_and(|version| version != clusters_version);
        let rights_moved = standing.version != basis.user_version || standing.role_version != basis.role_version;
        if rights_moved || clusters_moved || !same_primary {
            return Verdict::Stale;
        }
        Verdict::Admitted
    }

    /// Why a credential is no good at `now`, if it is none, whatever its owner may do.
    pub(crate) fn refuses(standing: Option<&Self>, now: i64) -> Option<Unusable> {
        let Some(standing) = standing else { return Some(Unusable::Unknown) };
        let expired = standing.expires_at.is_some_and(|end| end <= now).then_some(Unusable::Expired);
        standing.gone.or(expired)
    }
}

/// Reads the standing of a basis' credential and owner.
pub(crate) fn standing(conn: &mut AnyConn, basis: &Basis) -> Result<Option<Standing>> {
    match conn {
        AnyConn::Pg(pg) => standing_on_postgres(pg, basis),
        AnyConn::Sqlite(sqlite) => standing_on_sqlite(sqlite, basis),
    }
}

fn owner(disabled: Option<i64>, deleted: Option<i64>) -> Option<Unusable> {
    deleted.map(|_| Unusable::OwnerDeleted).or(disabled.map(|_| Unusable::OwnerDisabled))
}

/// The same queries over either connection itself. Over both as one, which is for what is not asked at every request, a
/// query costs twice as much.
macro_rules! standing {
    ($name:ident, $connection:ty) => {
        pub(crate) fn $name(conn: &mut $connection, basis: &Basis) -> Result<Option<Standing>> {
            // Looked at only where the decision rests on a custom role; whether the user still has it is in their version.
            let role_version = match basis.role_version {
                None => None,
                Some(_) => users::table
                    .inner_join(roles::table.on(roles::id.eq(users::role)))
                    .filter(users::id.eq(basis.user.as_bytes()))
                    .select(roles::version)
                    .get_result::<i64>(conn)
                    .optional()?,
            };
            type Columns = (Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i64>, i64);
            Ok(match &basis.credential {
                Credential::Key(id) => api_keys::table
                    .inner_join(users::table)
                    .filter(api_keys::id.eq(id.as_bytes()))
                    .select((
                        api_keys::revoked_at,
                        api_keys::expired_seen_at,
                        api_keys::expires_at,
                        users::disabled_at,
                        users::deleted_at,
                        users::version,
                    ))
                    .get_result::<Columns>(conn)
                    .optional()?
                    .map(|(revoked, seen, expires_at, disabled, deleted, version)| Standing {
                        gone: revoked
                            .map(|_| Unusable::Revoked)
                            .or(seen.map(|_| Unusable::Expired))
                            .or(owner(disabled, deleted)),
                        expires_at,
                        version,
                        role_version,
                    }),
                Credential::Session(id) => sessions::table
                    .inner_join(users::table)
                    .filter(sessions::id.eq(id.as_bytes()))
                    .select((
                        sessions::ended_at,
                        sessions::expires_at,
                        users::disabled_at,
                        users::deleted_at,
                        users::version,
                    ))
                    .get_result::<(Option<i64>, i64, Option<i64>, Option<i64>, i64)>(conn)
                    .optional()?
                    .map(|(ended, expires_at, disabled, deleted, version)| Standing {
                        gone: ended.map(|_| Unusable::SessionEnded).or(owner(disabled, deleted)),
                        expires_at: Some(expires_at),
                        version,
                        role_version,
                    }),
            })
        }
    };
}

standing!(standing_on_postgres, PgConnection);
standing!(standing_on_sqlite, SqliteConnection);

/// Confirms a basis inside a writing transaction and holds it until the end: whoever would revoke the credential or
/// change the owner's rights meanwhile waits. Nothing to confirm for the operator.
///
/// # Errors
/// [`ActError::Unusable`], [`ActError::Stale`].
pub(crate) fn confirm<E>(conn: &mut AnyConn, basis: Option<&Basis>, now: OffsetDateTime) -> Result<(), ActError<E>> {
    let Some(basis) = basis else { return Ok(()) };
    // Writing a row, even with its own value, locks it on PostgreSQL.
    let row = bytes(basis.user);
    let user = users::table.filter(users::id.eq(&row));
    diesel::update(user).set(users::version.eq(users::version)).execute(conn)?;
    match basis.credential {
        Credential::Key(id) => {
            let key = api_keys::table.filter(api_keys::id.eq(bytes(id)));
            diesel::update(key).set(api_keys::name.eq(api_keys::name)).execute(conn)?;
        }
        Credential::Session(id) => {
            let session = sessions::table.filter(sessions::id.eq(bytes(id)));
            diesel::update(session).set(sessions::user_agent.eq(sessions::user_agent)).execute(conn)?;
        }
    }
    if basis.role_version.is_some() {
        let role: Option<String> = user.select(users::role).get_result(conn).optional()?;
        hold_role(conn, role.as_deref().unwrap_or_default())?;
    }
    let clusters = match basis.clusters_version {
        Some(_) => crate::clusters::version(conn)?,
        None => 0,
    };
    let standing = standing(conn, basis)?;
    let same_primary = timeline::of(conn)? == basis.timeline;
    match Standing::verdict(standing, basis, same_primary, clusters, micros(now)) {
        Verdict::Admitted => Ok(()),
        Verdict::Stale => Err(ActError::Stale),
        Verdict::Refused(reason) => Err(ActError::Unusable(reason)),
    }
}
