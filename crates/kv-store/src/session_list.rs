//! Sessions as they are read: listed, found, looked for by address. Never changed here; that is `sessions`.

use crate::{
    error::Result,
    page::{Page, PageRequest},
    row::{bytes, id, maybe_time, micros, time},
    schema::sessions,
    store::Store,
};
use ::time::OffsetDateTime;
use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};
use kv_authz::{SessionId, UserId};

/// A session as its owner sees it.
#[derive(Debug, Clone)]
pub struct SessionRecord {
    /// Its id.
    pub id: SessionId,
    /// When it began.
    pub created_at: OffsetDateTime,
    /// When it was last renewed.
    pub renewed_at: Option<OffsetDateTime>,
    /// When it ends by itself.
    pub expires_at: OffsetDateTime,
    /// When a code was last shown in it.
    pub factor_shown_at: Option<OffsetDateTime>,
    /// From where it was begun.
    pub ip: Option<String>,
    /// By what.
    pub user_agent: String,
}

type Columns = (Vec<u8>, i64, Option<i64>, i64, Option<i64>, Option<String>, String);

macro_rules! columns {
    () => {
        (
            sessions::id,
            sessions::created_at,
            sessions::renewed_at,
            sessions::expires_at,
            sessions::factor_shown_at,
            sessions::ip,
            sessions::user_agent,
        )
    };
}

impl Store {
    /// A user's sessions that go on, the newest first.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn list_sessions(&self, user: UserId, page: PageRequest, now: OffsetDateTime) -> Result<Page<SessionRecord>> {
        self.read(|conn| {
            let rows: Vec<Columns> = sessions::table
                .filter(sessions::user_id.eq(bytes(user)))
                .filter(sessions::ended_at.is_null())
                .filter(sessions::expires_at.gt(micros(now)))
                .filter(sessions::id.lt(page.below()))
                .order(sessions::id.desc())
                .limit(page.rows())
                .select(columns!())
                .load(conn)?;
            let items = rows.into_iter().map(record).collect::<Result<Vec<_>>>()?;
            Ok(page.page(items, |session| session.id.uuid()))
        })
    }

    /// One of a user's sessions that go on.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn find_session(&self, user: UserId, session: SessionId, now: OffsetDateTime) -> Result<Option<SessionRecord>> {
        self.read(|conn| {
            let row: Option<Columns> = sessions::table
                .find(bytes(session))
                .filter(sessions::user_id.eq(bytes(user)))
                .filter(sessions::ended_at.is_null())
                .filter(sessions::expires_at.gt(micros(now)))
                .select(columns!())
                .first(conn)
                .optional()?;
            row.map(record).transpose()
        })
    }

    /// Whether the user has signed in from this address before, since the given time.
    ///
    /// # Errors
    /// [`StoreError`](crate::StoreError).
    pub fn has_signed_in_from(&self, user: UserId, ip: &str, since: OffsetDateTime) -> Result<bool> {
        self.read(|conn| {
            let found: Option<Vec<u8>> = sessions::table
                .filter(sessions::user_id.eq(bytes(user)))
                .filter(sessions::ip.eq(ip))
                .filter(sessions::created_at.ge(micros(since)))
                .select(sessions::id)
                .first(conn)
                .optional()?;
            Ok(found.is_some())
        })
    }
}

fn record((session, created, renewed, expires, shown, ip, user_agent): Columns) -> Result<SessionRecord> {
    Ok(SessionRecord {
        id: id(&session)?,
        created_at: time(created)?,
        renewed_at: maybe_time(renewed)?,
        expires_at: time(expires)?,
        factor_shown_at: maybe_time(shown)?,
        ip,
        user_agent,
    })
}
