//! The thread that keeps the lease: renews it, fetches what is to be ended, acknowledges what has been, and removes servers
//! that stand still.
//!
//! Nothing is ended here; what is fetched is handed on.

use super::forget;
use crate::{
    admission::{GONE_AFTER, Interruption, RENEW_EVERY},
    app::App,
    broken::Rule,
    clock::RandomError,
    logging,
};
use kv_store::{LeaseConnection, LeaseNews, NumberedCut, Replica, StoreError, points::Point};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Between two looks whether there is something new: at what has been heard, or, without hearing, at the database.
const TICK: Duration = Duration::from_millis(4);
/// The same where looking costs a query.
const SLOW_TICK: Duration = Duration::from_millis(20);
/// Between two attempts to connect.
const RECONNECT: Duration = Duration::from_millis(250);

/// A server that has joined.
pub(super) struct Joined {
    connection: LeaseConnection,
    known: i64,
}

impl Joined {
    pub(super) fn new(app: &App) -> Result<Self, StoreError> {
        let mut connection = app.store.connect_lease(app.replicas.id, app.config.replicas.notify)?;
        let sent = app.clock.since_boot();
        let (known, revisions) = connection.join(app.clock.now())?;
        app.readers.publish(revisions);
        app.in_flight.lease().renew(sent);
        Ok(Self { connection, known })
    }

    /// The newest cut when it did.
    pub(super) fn known(&self) -> i64 {
        self.known
    }
}

/// The thread that keeps the lease.
pub(super) struct Keeper {
    app: Arc<App>,
    connection: Option<LeaseConnection>,
    /// When a connection was last tried.
    tried: Duration,
    /// The last cut that is known here.
    known: i64,
    /// What the database was told of it.
    acknowledged: i64,
    /// Renewals that count as soon as everything up to a cut is marked, and when they were sent.
    unmarked: VecDeque<(i64, Duration)>,
    /// The other servers: their renewals, and since when there were no more.
    seen: HashMap<Uuid, (i64, Duration)>,
    /// When the lease is renewed next.
    due: Duration,
    /// The primary that the lease was last renewed at.
    timeline: i64,
    tell: mpsc::UnboundedSender<NumberedCut>,
}

impl Keeper {
    /// A keeper of the lease, which tells what is to be ended; of a server that has joined, or has still to.
    pub(super) fn new(app: Arc<App>, joined: Option<Joined>, tell: mpsc::UnboundedSender<NumberedCut>) -> Self {
        let timeline = app.store.timeline();
        let known = joined.as_ref().map_or(0, Joined::known);
        Self {
            app,
            connection: joined.map(|joined| joined.connection),
            tried: Duration::ZERO,
            known,
            acknowledged: known,
            unmarked: VecDeque::new(),
            seen: HashMap::new(),
            due: Duration::ZERO,
            timeline,
            tell,
        }
    }

    pub(super) fn run(mut self) {
        let (mut well, tick) = (true, if self.hears() { TICK } else { SLOW_TICK });
        while self.wait(tick) {
            *self.app.replicas.asking.lock() = Some(self.app.clock.since_boot());
            let done = self.step();
            *self.app.replicas.asking.lock() = None;
            match done {
                Ok(()) if !well && self.connection.is_some() => {
                    tracing::info!("the database answers again about revocations");
                    well = true;
                }
                Ok(()) => {}
                Err(error) => {
                    self.connection = None;
                    if well {
                        let error = logging::whole(&error);
                        tracing::warn!(
                            error,
                            "the database does not answer about revocations; the lease runs out if that goes on"
                        );
                    }
                    well = false;
                }
            }
        }
        if let Some(Err(error)) = self.connection.map(LeaseConnection::leave) {
            tracing::warn!(
                error = logging::whole(&error),
                "this server could not leave; others wait for it until its lease has run out"
            );
        }
    }

    fn hears(&self) -> bool {
        self.app.store.counts_renewals() && self.app.config.replicas.notify
    }

    /// Waits until there may be something to do; false once the server stops.
    fn wait(&mut self, tick: Duration) -> bool {
        let replicas = &self.app.replicas;
        let mut progress = replicas.progress.lock();
        let marked = self.unmarked.front().is_some_and(|&(through, _)| through <= progress.marked);
        let told = progress.ended() == self.acknowledged || !self.app.store.counts_renewals();
        let nothing_to_do = !progress.news && !marked && told;
        if !progress.stopping && (nothing_to_do || self.connection.is_none()) {
            let _ = replicas.changed.wait_for(&mut progress, tick);
        }
        let stopping = progress.stopping;
        let marked = progress.marked;
        drop(progress);
        self.count_renewals(marked);
        !stopping
    }

    /// Has those renewals count of which everything that they told is marked.
    fn count_renewals(&mut self, marked: i64) {
        while let Some(&(through, sent)) = self.unmarked.front()
            && through <= marked
        {
            let lease = self.app.in_flight.lease();
            if !lease.holds() {
                // What began before the gap does not go on, and is woken now. Nobody has begun after it.
                drop(self.app.in_flight.mark_all(Interruption::Unconfirmed));
            }
            lease.renew(sent);
            self.unmarked.pop_front();
        }
    }

    fn step(&mut self) -> Result<(), StoreError> {
        let now = self.app.clock.since_boot();
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None if now < self.tried + RECONNECT => return Ok(()),
            None => {
                self.tried = now;
                self.due = Duration::ZERO;
                self.app.store.connect_lease(self.app.replicas.id, self.app.config.replicas.notify)?
            }
        };
        let timeline = self.app.store.timeline();
        if timeline != self.timeline {
            tracing::warn!(timeline, "another PostgreSQL has taken the primary's place");
            self.app.forget_what_was_read();
            self.timeline = timeline;
        }
        self.use_connection(&mut connection)?;
        self.connection = Some(connection);
        Ok(())
    }

    fn use_connection(&mut self, connection: &mut LeaseConnection) -> Result<(), StoreError> {
        let (ended, news) = {
            let mut progress = self.app.replicas.progress.lock();
            (progress.ended(), std::mem::take(&mut progress.news))
        };
        // Of the boot clock, and before the renewal is sent.
        let sent = self.app.clock.since_boot();
        if sent < self.due && ended == self.acknowledged && self.app.store.counts_renewals() {
            if connection.has_news(self.known)? || news {
                let news = connection.news_after(self.known)?;
                self.take(news);
            }
            return Ok(());
        }
        Point::LeaseBrought.reached();
        let unlike = i64::from_le_bytes(self.app.random.bytes().map_err(no_number)?);
        match connection.renew(self.known, ended, unlike)? {
            Some(renewal) => {
                Point::LeaseCommitted.reached();
                if renewal.acknowledged > self.acknowledged {
                    Point::CutAcknowledged.reached();
                }
                self.acknowledged = renewal.acknowledged;
                self.take(renewal.news);
                // A later one of the same counts for longer.
                self.unmarked.retain(|&(through, _)| through != self.known);
                self.unmarked.push_back((self.known, sent));
                let marked = self.app.replicas.progress.lock().marked;
                self.count_renewals(marked);
                self.look_after(renewal.others, sent);
            }
            None => self.begin_anew(connection)?,
        }
        self.due = sent + RENEW_EVERY;
        Ok(())
    }

    fn take(&mut self, news: LeaseNews) {
        // First: what is acknowledged below was decided on by nobody who arrives later.
        if !self.app.config.broken.leaves_out(Rule::Numbers) {
            self.app.readers.publish(news.revisions);
        }
        for cut in news.cuts {
            self.known = cut.number;
            // Whoever carries them out ends after this thread.
            let _ = self.tell.send(cut);
        }
    }

    /// Others took this server for dead, and have gone on without it.
    fn begin_anew(&mut self, connection: &mut LeaseConnection) -> Result<(), StoreError> {
        tracing::warn!("this server counted as gone; everything it was doing has ended");
        self.app.in_flight.lease().give_up();
        drop(self.app.in_flight.mark_all(Interruption::Unconfirmed));
        self.unmarked.clear();
        let sent = self.app.clock.since_boot();
        let (known, revisions) = connection.join(self.app.clock.now())?;
        self.app.readers.publish(revisions);
        self.known = known;
        self.acknowledged = known;
        self.app.replicas.change(|progress| progress.marked = progress.marked.max(known));
        self.app.in_flight.lease().renew(sent);
        Ok(())
    }

    /// Removes servers that have stood still for too long, so that nobody waits for them.
    fn look_after(&mut self, others: Vec<Replica>, sent: Duration) {
        let seen_at = self.app.clock.since_boot();
        self.seen.retain(|id, _| others.iter().any(|other| other.id == *id));
        for other in others {
            let (renewals, since) = *self.seen.entry(other.id).or_insert((other.renewals, seen_at));
            if renewals != other.renewals {
                self.seen.insert(other.id, (other.renewals, seen_at));
            } else if sent.saturating_sub(since) >= GONE_AFTER {
                forget(&self.app.store, &other);
            }
        }
    }
}

fn no_number(error: RandomError) -> StoreError {
    StoreError::Unavailable { step: "numbering a renewal", source: Box::new(error) }
}
