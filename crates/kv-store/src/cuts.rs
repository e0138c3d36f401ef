//! Cuts: what an act that took rights away leaves for every server to end, written in the act's own transaction and
//! numbered in the order of the commits.
//!
//! Nothing is ended here; a server does that with what it has running.

use crate::{
    backend::AnyConn,
    basis::{Basis, Credential, Standing, standing},
    error::{Result, StoreError},
    points::Point,
    row::{bytes, id, micros, time},
    schema::{cuts, revisions, sessions},
    store::Store,
};
use ::time::OffsetDateTime;
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, sql_query};
use kv_authz::{ClusterId, RoleId, SessionId, UserId};

/// The row of `revisions` that holds the newest number.
const NEWEST: &str = "cuts";
/// The PostgreSQL channel on which servers hear that there is a new one.
pub(crate) const CHANNEL: &str = "kubevision_cuts";

/// Whose requests and streams are to be looked at, and ended as far as they may not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cut {
    /// A key or session that is over.
    Credential(Credential),
    /// A user with fewer rights, or fewer credentials.
    User(UserId),
    /// A custom role that holds less.
    Role(RoleId),
    /// A cluster that is gone, is called otherwise, or is new.
    Cluster(ClusterId),
    /// A cluster whose webhook token is another, or none.
    Webhook(ClusterId),
    /// Everybody: the database was restored.
    Everyone,
}

impl Cut {
    fn row(self) -> (&'static str, Option<Vec<u8>>) {
        match self {
            Self::Credential(Credential::Key(key)) => ("key", Some(bytes(key))),
            Self::Credential(Credential::Session(session)) => ("session", Some(bytes(session))),
            Self::User(user) => ("user", Some(bytes(user))),
            Self::Role(role) => ("role", Some(bytes(role))),
            Self::Cluster(cluster) => ("cluster", Some(bytes(cluster))),
            Self::Webhook(cluster) => ("webhook", Some(bytes(cluster))),
            Self::Everyone => ("everyone", None),
        }
    }

    fn read(kind: &str, subject: Option<&[u8]>) -> Result<Self> {
        let unreadable = StoreError::Unreadable { what: "cut" };
        Ok(match (kind, subject) {
            ("key", Some(key)) => Self::Credential(Credential::Key(id(key)?)),
            ("session", Some(session)) => Self::Credential(Credential::Session(id(session)?)),
            ("user", Some(user)) => Self::User(id(user)?),
            ("role", Some(role)) => Self::Role(id(role)?),
            ("cluster", Some(cluster)) => Self::Cluster(id(cluster)?),
            ("webhook", Some(cluster)) => Self::Webhook(id(cluster)?),
            ("everyone", None) => Self::Everyone,
            _ => return Err(unreadable),
        })
    }
}

/// A cut and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberedCut {
    /// Its place in the order of all.
    pub number: i64,
    /// What is to be ended. None where a newer version wrote what this one cannot read: then everything is.
    pub cut: Option<Cut>,
}

/// Writes a cut, as the last thing a transaction does: from here to the commit everybody else who writes one waits, so
/// that who sees a number sees all before it.
pub(crate) fn note(conn: &mut AnyConn, cut: Cut, now: OffsetDateTime) -> Result<()> {
    let newest_row = revisions::table.find(NEWEST);
    diesel::update(newest_row).set(revisions::version.eq(revisions::version + 1)).execute(conn)?;
    let number = newest(conn)?;
    let (kind, subject) = cut.row();
    diesel::insert_into(cuts::table)
        .values((cuts::number.eq(number), cuts::kind.eq(kind), cuts::subject.eq(subject), cuts::at.eq(micros(now))))
        .execute(conn)?;
    if let AnyConn::Pg(pg) = conn {
        // Told with the commit. Who does not hear it finds the row at the next renewal.
        sql_query(format!("NOTIFY {CHANNEL}")).execute(pg)?;
    }
    Point::CutWritten.reached();
    Ok(())
}

/// The newest number.
pub(crate) fn newest(conn: &mut AnyConn) -> Result<i64> {
    Ok(revisions::table.find(NEWEST).select(revisions::version).get_result(conn)?)
}

/// The cuts after a number, in their order.
pub(crate) fn after(conn: &mut AnyConn, number: i64) -> Result<Vec<NumberedCut>> {
    let rows: Vec<(i64, String, Option<Vec<u8>>)> = cuts::table
        .filter(cuts::number.gt(number))
        .order(cuts::number)
        .select((cuts::number, cuts::kind, cuts::subject))
        .load(conn)?;
    let read = |(number, kind, subject): (i64, String, Option<Vec<u8>>)| NumberedCut {
        number,
        cut: Cut::read(&kind, subject.as_deref()).ok(),
    };
    Ok(rows.into_iter().map(read).collect())
}

impl Store {
    /// Which of a user's credentials are good no longer at `now`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn dead_among(&self, user: UserId, credentials: &[Credential], now: OffsetDateTime) -> Result<Vec<Credential>> {
        self.read(|conn| {
            let mut dead = Vec::new();
            for &credential in credentials {
                let basis = Basis {
                    credential,
                    user,
                    user_version: 0,
                    role_version: None,
                    clusters_version: None,
                    timeline: 0,
                };
                if Standing::refuses(standing(conn, &basis)?.as_ref(), micros(now)).is_some() {
                    dead.push(credential);
                }
            }
            Ok(dead)
        })
    }

    /// Which of these sessions go on at `now`, and until when, as the database has it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn living_among(&self, wanted: &[SessionId], now: OffsetDateTime) -> Result<Vec<(SessionId, OffsetDateTime)>> {
        let wanted: Vec<Vec<u8>> = wanted.iter().map(|&session| bytes(session)).collect();
        self.read(|conn| {
            let rows: Vec<(Vec<u8>, i64)> = sessions::table
                .filter(sessions::id.eq_any(&wanted))
                .filter(sessions::ended_at.is_null())
                .filter(sessions::expires_at.gt(micros(now)))
                .select((sessions::id, sessions::expires_at))
                .load(conn)?;
            rows.into_iter().map(|(session, end)| Ok((id(&session)?, time(end)?))).collect()
        })
    }

    /// Forgets cuts from before `before`. A server that has not seen one of them has had no lease since.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_cuts(&self, before: OffsetDateTime) -> Result<usize> {
        self.write(|conn| Ok(diesel::delete(cuts::table.filter(cuts::at.lt(micros(before)))).execute(conn)?))
    }
}
