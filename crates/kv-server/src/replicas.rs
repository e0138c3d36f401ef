//! This server among the others of its database: its lease is renewed, what others took away is ended here, and who takes
//! something away waits until it has ended everywhere.
//!
//! What is to be ended is in the database; a notification only has it looked for sooner. Nothing counts because of one.

mod keeper;
mod silence;

pub use silence::silence;

use crate::{
    admission::{GONE_AFTER, Interruption},
    app::App,
    broken::Rule,
    failure::Failure,
    operations::cut,
};
use keeper::{Joined, Keeper};
use kv_store::{NumberedCut, Replica, Store, StoreError, points::Point};
use parking_lot::{Condvar, Mutex};
use serde::Deserialize;
use std::{collections::BTreeSet, sync::Arc, thread, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use uuid::Uuid;

/// How long a start waits until the server has joined the others.
const JOINING: Duration = Duration::from_secs(2);
/// Between two looks whether the lease still holds.
const WATCH: Duration = Duration::from_millis(50);
/// Between two looks for sessions that are over.
const PAST: Duration = Duration::from_millis(500);
/// Whoever waits for the others looks at them after this, and then after twice as long each time.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// Up to this.
const LATER_LOOKS: Duration = Duration::from_millis(50);

/// Settings of servers that share a database.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReplicaSettings {
    /// Whether PostgreSQL tells of revocations by NOTIFY. Without it they are found within 0.7 seconds, as when one is lost.
    pub notify: bool,
}

impl Default for ReplicaSettings {
    fn default() -> Self {
        Self { notify: true }
    }
}

/// Waits until everything that was taken away before this call has ended on every server: each has said so, or its lease
/// has run out, after 2.2 seconds at most.
pub async fn settled(app: &Arc<App>) {
    Point::CutCommitted.reached();
    if !app.config.broken.leaves_out(Rule::WaitForServers) {
        wait_for_servers(app).await;
    }
    Point::CutSettled.reached();
}

async fn wait_for_servers(app: &Arc<App>) {
    let started = app.clock.since_boot();
    let (mut wait, mut wanted) = (FIRST_LOOK, None::<(i64, Vec<Replica>)>);
    loop {
        let me = app.replicas.id;
        match app.with_store(move |store| store.replicas(Some(me))).await {
            Ok((newest, others)) => {
                let (number, _) = wanted.get_or_insert_with(|| (newest, others.clone()));
                if app.replicas.have_ended(*number) && others.iter().all(|other| other.acknowledged >= *number) {
                    return;
                }
            }
            // Who cannot be asked is waited for.
            Err(error) => tracing::debug!(%error, "the other servers could not be looked at"),
        }
        let waited = app.clock.since_boot().saturating_sub(started);
        if waited >= GONE_AFTER {
            break;
        }
        tokio::time::sleep(wait.min(GONE_AFTER - waited)).await;
        wait = (wait * 2).min(LATER_LOOKS);
    }
    // A lease renewed before the commit has run out; one renewed after it knows of the cut.
    let (number, others) = wanted.unwrap_or_default();
    for other in others.into_iter().filter(|other| other.acknowledged < number && app.store.counts_renewals()) {
        let forgetting = app.with_store(move |store| {
            forget(store, &other);
            Ok::<_, StoreError>(())
        });
        if let Err(error) = forgetting.await {
            tracing::debug!(%error, "a silent server could not be removed");
        }
    }
}

/// Removes a server that has stood still for longer than a lease, unless it has renewed it after all.
fn forget(store: &Store, server: &Replica) {
    match store.remove_replica(server) {
        Ok(true) => tracing::warn!(server = %server.id, "a server has not renewed its lease, and counts as gone"),
        Ok(false) => {}
        Err(error) => tracing::debug!(%error, "a silent server could not be removed"),
    }
}

/// How far this server is with what it has to end.
#[derive(Debug, Default)]
struct Progress {
    /// Whether it has joined, and not left. A task never does.
    joined: bool,
    /// Whether there is something new, as somebody here knows.
    news: bool,
    /// Up to here everything is marked.
    marked: i64,
    /// Of that, what has still to let go.
    running: BTreeSet<i64>,
    stopping: bool,
}

impl Progress {
    /// Up to here everything has ended.
    fn ended(&self) -> i64 {
        self.running.first().map_or(self.marked, |first| first - 1)
    }
}

/// This process among the servers of its database.
#[derive(Debug)]
pub struct Replicas {
    /// Its id, new at every start.
    id: Uuid,
    progress: Mutex<Progress>,
    changed: Condvar,
    /// Since when the keeper of the lease waits for the database; none while it does not.
    asking: Mutex<Option<Duration>>,
}

impl Replicas {
    /// Not one of them yet.
    #[must_use]
    pub fn new(id: Uuid) -> Self {
        Self { id, progress: Mutex::default(), changed: Condvar::new(), asking: Mutex::default() }
    }

    /// How many cuts have still to end here.
    #[must_use]
    pub fn running(&self) -> usize {
        self.progress.lock().running.len()
    }

    /// Whether this process has ended everything up to a cut. If it has not, it looks at once what there is to end.
    fn have_ended(&self, number: i64) -> bool {
        let mut progress = self.progress.lock();
        let ended = !progress.joined || progress.ended() >= number;
        if !ended && progress.marked < number {
            progress.news = true;
            self.changed.notify_all();
        }
        ended
    }

    fn change(&self, how: impl FnOnce(&mut Progress)) {
        how(&mut self.progress.lock());
        self.changed.notify_all();
    }
}

/// This server's place among the others, kept until it leaves.
#[derive(Debug)]
pub struct Membership {
    app: Arc<App>,
    keeper: thread::JoinHandle<()>,
    tasks: [JoinHandle<()>; 3],
}

impl Membership {
    /// Joins, and keeps the lease from then on. Where the database takes long to let it, this returns all the same, and
    /// nobody is served until it does.
    ///
    /// # Errors
    /// [`Failure`] where the database cannot be reached, [`Failure::Internal`] where the system gives no thread.
    pub async fn begin(app: &Arc<App>) -> Result<Self, Failure> {
        let (tell, told) = oneshot::channel();
        let joining = app.clone();
        // On a thread of its own, that does not keep the process from ending: a commit may wait for a standby for ever.
        let thread =
            thread::Builder::new().name("joining".into()).spawn(move || drop(tell.send(Joined::new(&joining))));
        thread.map_err(|error| Failure::internal("starting a thread", error))?;
        let joined = match tokio::time::timeout(JOINING, told).await {
            Ok(joined) => Some(joined.map_err(|error| Failure::internal("joining the other servers", error))??),
            Err(_) => {
                tracing::warn!(
                    "the database does not end commits, so this server has no lease: requests are answered 503 until it does"
                );
                None
            }
        };
        app.replicas.change(|progress| {
            progress.marked = joined.as_ref().map_or(0, Joined::known);
            progress.joined = true;
        });
        let (tell, told) = mpsc::unbounded_channel();
        let keeper = Keeper::new(app.clone(), joined, tell);
        let thread = thread::Builder::new().name("lease".into()).spawn(move || keeper.run());
        let keeper = thread.map_err(|error| Failure::internal("starting the thread of the lease", error))?;
        let tasks = [
            tokio::spawn(carry_out(app.clone(), told)),
            tokio::spawn(end_at_a_lapse(app.clone())),
            tokio::spawn(end_what_is_past(app.clone())),
        ];
        Ok(Self { app: app.clone(), keeper, tasks })
    }

    /// Leaves without a word, for the database would not hear it. The keeper ends when it is answered, if ever.
    pub fn leave(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        self.app.replicas.change(|progress| progress.stopping = true);
    }

    /// Leaves, once nothing runs any more: nobody waits for this server from then on.
    pub async fn end(self) {
        self.app.replicas.change(|progress| progress.stopping = true);
        let Self { app, keeper, tasks } = self;
        let mut looks = 0;
        while !keeper.is_finished() && looks < 40 {
            tokio::time::sleep(WATCH).await;
            looks += 1;
        }
        if !keeper.is_finished() {
            tracing::warn!(
                "the database does not answer, so this server has not left; others wait until its lease has run out"
            );
        } else if keeper.join().is_err() {
            tracing::error!("the thread of the lease had panicked");
        }
        tasks.iter().for_each(JoinHandle::abort);
        app.replicas.change(|progress| progress.joined = false);
    }
}

/// Carries out what others took away, in its order.
async fn carry_out(app: Arc<App>, mut told: mpsc::UnboundedReceiver<NumberedCut>) {
    while let Some(NumberedCut { number, cut }) = told.recv().await {
        Point::CutFetched.reached();
        let marking = app.clone();
        let marked = tokio::spawn(async move {
            match cut {
                Some(cut) => cut::mark(&marking, cut).await,
                // It was written by a newer version. Nothing goes on that it may have meant, and nobody is called dead.
                None => marking.in_flight.mark_all(Interruption::Unconfirmed),
            }
        });
        let marked = marked.await;
        let marked = marked.unwrap_or_else(|error| {
            tracing::error!(%error, "marking what is to end panicked; everything has ended");
            app.in_flight.mark_all(Interruption::Unconfirmed)
        });
        Point::CutMarked.reached();
        app.replicas.change(|progress| {
            // A server that began anew meanwhile is further.
            progress.marked = progress.marked.max(number);
            progress.running.insert(number);
        });
        let app = app.clone();
        drop(tokio::spawn(async move {
            marked.let_go().await;
            app.replicas.change(|progress| _ = progress.running.remove(&number));
        }));
    }
}

/// Ends everything when the lease runs out. The gates refuse by themselves from that moment on; this wakes those who wait.
async fn end_at_a_lapse(app: Arc<App>) {
    let mut held = true;
    loop {
        tokio::time::sleep(WATCH).await;
        let holds = app.in_flight.lease().holds();
        if held && !holds {
            tracing::warn!(
                "the lease has run out: the database has not answered for two seconds; requests are answered 503, and \
                 streams have ended"
            );
            drop(app.in_flight.mark_all(Interruption::Unconfirmed));
        }
        if holds && !held {
            tracing::info!("the lease holds again");
        }
        held = holds;
    }
}

/// Ends what runs in sessions that are over by themselves. Nobody takes those away, so that no cut tells of them.
async fn end_what_is_past(app: Arc<App>) {
    loop {
        tokio::time::sleep(PAST).await;
        drop(cut::mark_past(&app).await);
    }
}
