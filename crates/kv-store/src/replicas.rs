//! The servers of one database: each has a row, renews its lease in it, and says there how far it has carried out what
//! was to be ended.
//!
//! How long a lease lasts, and by which clock, is not known here: servers count by their own.

use crate::{
    backend::{AnyConn, DatabaseUrl, Purpose, connect},
    cuts::{self, CHANNEL, NumberedCut},
    error::{Result, StoreError},
    lock,
    revisions::Revisions,
    row::{bytes, micros},
    schema::replicas,
    store::Store,
    transaction,
};
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, connection::SimpleConnection};
use time::OffsetDateTime;
use uuid::Uuid;

/// A server's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replica {
    /// Its id, new at every start.
    pub id: Uuid,
    /// What its last renewal is known by.
    pub renewals: i64,
    /// The number of the last cut that it has carried out, with all before.
    pub acknowledged: i64,
}

/// What there is to know since the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseNews {
    /// What is to be ended, in order.
    pub cuts: Vec<NumberedCut>,
    /// The numbers that decisions rest on, read after the cuts: the acts that left those have moved them.
    pub revisions: Revisions,
}

/// What a renewal brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRenewal {
    /// What is new.
    pub news: LeaseNews,
    /// The other servers.
    pub others: Vec<Replica>,
    /// How far the database knows that this server is.
    pub acknowledged: i64,
}

/// A server's connection for its lease and nothing else: no request waits for it, and it for none.
pub struct LeaseConnection {
    conn: AnyConn,
    store: Store,
    id: Uuid,
    /// The number of the primary that it leads to.
    timeline: i64,
    acknowledged: i64,
}

impl std::fmt::Debug for LeaseConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LeaseConnection").field(&self.id).finish()
    }
}

impl Store {
    /// Connects for the lease of server `id`. With `listens` it is told of new cuts, where the database can tell.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn connect_lease(&self, id: Uuid, listens: bool) -> Result<LeaseConnection> {
        let mut conn = connect(self.url(), Purpose::General)?;
        let timeline = self.see(&mut conn)?;
        match &mut conn {
            AnyConn::Pg(pg) if listens => pg.batch_execute(&format!("LISTEN {CHANNEL}"))?,
            AnyConn::Pg(_) => {}
            AnyConn::Sqlite(sqlite) => sqlite.batch_execute("PRAGMA busy_timeout=20")?,
        }
        // No acknowledgement is this low, so that the first one is written.
        Ok(LeaseConnection { conn, store: self.clone(), id, timeline, acknowledged: i64::MIN })
    }

    /// The number of the newest cut, and every server but `except`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn replicas(&self, except: Option<Uuid>) -> Result<(i64, Vec<Replica>)> {
        let alone = !self.is_served_by_another();
        // The number first: a server that comes in between begins with it, or a later one.
        self.read(|conn| Ok((cuts::newest(conn)?, if alone { Vec::new() } else { others(conn, except)? })))
    }

    /// Removes a server whose lease has run out, if it has not renewed since. From then on it has to begin anew.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn remove_replica(&self, gone: &Replica) -> Result<bool> {
        self.write(|conn| {
            if let AnyConn::Pg(pg) = conn {
                // A renewal that is under way holds the row: whoever it is lives, or is looked at next time.
                pg.batch_execute("SET LOCAL lock_timeout = '50ms'")?;
            }
            let row = replicas::table.find(bytes(gone.id)).filter(replicas::renewals.eq(gone.renewals));
            Ok(diesel::delete(row).execute(conn)? > 0)
        })
    }

    /// Whether another server may be running: on SQLite only one does, and holds the lock on the file.
    fn is_served_by_another(&self) -> bool {
        match self.url() {
            DatabaseUrl::Postgres(_) => true,
            DatabaseUrl::Sqlite(path) => !self.is_server() && lock::is_served(path),
        }
    }

    /// Whether renewals are written. On SQLite, which one server has to itself, looking at the file is enough.
    #[must_use]
    pub fn counts_renewals(&self) -> bool {
        !self.url().is_sqlite()
    }
}

fn others(conn: &mut AnyConn, except: Option<Uuid>) -> Result<Vec<Replica>> {
    let rows: Vec<(Vec<u8>, i64, i64)> = replicas::table
        .filter(replicas::id.ne(bytes(except.unwrap_or_default())))
        .select((replicas::id, replicas::renewals, replicas::acknowledged))
        .load(conn)?;
    let read = |(id, renewals, acknowledged): (Vec<u8>, i64, i64)| {
        Ok(Replica { id: crate::row::id(&id)?, renewals, acknowledged })
    };
    rows.into_iter().map(read).collect()
}

fn news(conn: &mut AnyConn, known: i64, timeline: i64) -> Result<LeaseNews> {
    // In this order, whatever was committed between the two.
    let cuts = cuts::after(conn, known)?;
    Ok(LeaseNews { cuts, revisions: Revisions::read(conn, timeline)? })
}

impl LeaseConnection {
    /// Joins, with nothing running yet, and tells the number of the newest cut: those up to it are of no concern. And the
    /// numbers that decisions rest on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn join(&mut self, now: OffsetDateTime) -> Result<(i64, Revisions)> {
        let (row, sqlite, timeline) = (bytes(self.id), self.store.url().is_sqlite(), self.timeline);
        let _turn = self.store.turn()?;
        let (newest, revisions) = transaction::write(&mut self.conn, |conn| {
            if sqlite {
                // Whoever they were: this server has the file now.
                diesel::delete(replicas::table).execute(conn)?;
            } else {
                diesel::delete(replicas::table.find(&row)).execute(conn)?;
            }
            let newest = cuts::newest(conn)?;
            diesel::insert_into(replicas::table)
                .values((
                    replicas::id.eq(&row),
                    // Unlike any before, so that who has not looked for long does not take a beginning for a standstill.
                    replicas::renewals.eq(micros(now)),
                    replicas::acknowledged.eq(newest),
                    replicas::joined_at.eq(micros(now)),
                ))
                .execute(conn)?;
            Ok::<_, StoreError>((newest, Revisions::read(conn, timeline)?))
        })?;
        self.acknowledged = newest;
        Ok((newest, revisions))
    }

    /// Renews the lease, says that everything up to `acknowledged` has been ended, and asks for the cuts after `known`.
    /// None where the row is gone: whoever removed it takes this server for dead.
    ///
    /// The renewal is known by `unlike`, which no other is known by: were they counted up, two could have the same on two
    /// primaries, and a server that lives would seem to stand still.
    ///
    /// The lease counts from before this is called; and from this answer only if every cut in it has been carried out,
    /// or is marked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn renew(&mut self, known: i64, acknowledged: i64, unlike: i64) -> Result<Option<LeaseRenewal>> {
        if self.store.url().is_sqlite() {
            let news = self.news_after(known)?;
            self.acknowledge(acknowledged)?;
            return Ok(Some(LeaseRenewal { news, others: Vec::new(), acknowledged: self.acknowledged }));
        }
        let (row, id, timeline) = (bytes(self.id), self.id, self.timeline);
        let renewal = transaction::write(&mut self.conn, |conn| {
            // First: from here on nobody can find this server silent, and see no cut that is not seen below.
            let there = diesel::update(replicas::table.find(&row))
                .set((replicas::renewals.eq(unlike), replicas::acknowledged.eq(acknowledged)))
                .execute(conn)?;
            if there == 0 {
                return Ok(None);
            }
            let (news, others) = (news(conn, known, timeline)?, others(conn, Some(id))?);
            Ok::<_, StoreError>(Some(LeaseRenewal { news, others, acknowledged }))
        })?;
        self.acknowledged = acknowledged;
        Ok(renewal)
    }

    /// On SQLite: writes how far this server is, for an operator's task that may be waiting. Not while others write: the
    /// lease would wait for them, and the next time comes soon.
    fn acknowledge(&mut self, acknowledged: i64) -> Result<()> {
        if self.acknowledged == acknowledged {
            return Ok(());
        }
        let Some(_turn) = self.store.turn_now() else { return Ok(()) };
        let row = bytes(self.id);
        let written = transaction::write(&mut self.conn, |conn| {
            let row = diesel::update(replicas::table.find(row));
            row.set(replicas::acknowledged.eq(acknowledged)).execute(conn)?;
            Ok::<_, StoreError>(())
        });
        match written {
            Ok(()) => self.acknowledged = acknowledged,
            // Another process writes.
            Err(error) => tracing::debug!(%error, "an acknowledgement was not written"),
        }
        Ok(())
    }

    /// What is new since a cut, without renewing the lease.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn news_after(&mut self, known: i64) -> Result<LeaseNews> {
        news(&mut self.conn, known, self.timeline)
    }

    /// Whether there may be cuts after `known`: asked often, and cheap.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn has_news(&mut self, known: i64) -> Result<bool> {
        match &mut self.conn {
            AnyConn::Pg(pg) => {
                let mut news = false;
                for told in pg.notifications_iter() {
                    told?;
                    news = true;
                }
                Ok(news)
            }
            AnyConn::Sqlite(_) => Ok(cuts::newest(&mut self.conn)? > known),
        }
    }

    /// Leaves: this server has nothing running any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn leave(mut self) -> Result<()> {
        let row = bytes(self.id);
        let _turn = self.store.turn()?;
        transaction::write(&mut self.conn, |conn| {
            diesel::delete(replicas::table.find(row)).execute(conn)?;
            Ok(())
        })
    }
}
