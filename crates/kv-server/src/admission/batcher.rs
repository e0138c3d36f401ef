//! The batcher: requests that wait for admission are taken to the database together. A request joins only a statement
//! that has not begun, so that the statement's snapshot is always younger than the request.

use super::{
    Outcomes,
    replies::{ByThread, Replies, Reply},
    together::together,
};
use crate::{
    clock::Clock,
    logging,
    patience::{self, Unanswered},
};
use kv_store::{
    Store,
    admission::{Decision, Request},
    points::Point,
};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::{collections::VecDeque, sync::Arc, thread, time::Duration};
use tokio::sync::oneshot;

/// The most requests a statement carries.
const BATCH: usize = 256;
/// So many waiting requests are worth a statement of their own beside one that is under way. Fewer wait for its end: a
/// statement has a price of its own, which each request of it shares.
const WORTH_ANOTHER: usize = 64;
/// Those who were answered together come again together. So many are worth waiting for, while they come.
const WORTH_A_WAIT: usize = 8;
/// Nobody has come for so long: nobody is waited for any more.
const PAUSE: Duration = Duration::from_micros(100);
/// A statement that takes longer is waited for no more.
const SLOW: Duration = Duration::from_millis(20);
/// The most requests that wait; more are turned away at once, for they would time out anyway.
const WAITING: usize = 8_192;
/// How long a request waits before it is told that the database is unavailable; less when that is silent.
const PATIENCE: Duration = Duration::from_secs(2);

struct Job {
    request: Request,
    reply: oneshot::Sender<Decision>,
    way: Option<Replies>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// How many lanes have a statement under way.
    under_way: usize,
    /// Whether a lane looks after those that are.
    watched: bool,
    /// Statements so far.
    statements: u64,
    /// How many the last statement carried.
    usual: usize,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
}

/// Takes requests to admission.
pub struct Batcher {
    shared: Arc<Shared>,
    store: Store,
    lanes: Vec<thread::JoinHandle<()>>,
}

impl std::fmt::Debug for Batcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Batcher")
    }
}

/// A request that was brought, and its answer.
pub struct Brought {
    answer: oneshot::Receiver<Decision>,
    store: Store,
}

impl Brought {
    /// Waits for the answer. Whoever stops waiting may wait again.
    ///
    /// # Errors
    /// [`Unanswered`]: the request must go no further.
    pub async fn decision(&mut self) -> Result<Decision, Unanswered> {
        let Self { answer, store } = self;
        patience::answer(answer, PATIENCE, || store.admission_is_silent()).await?.map_err(|_| Unanswered)
    }
}

impl std::fmt::Debug for Brought {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Brought")
    }
}

impl Batcher {
    /// Starts as many lanes as the store wants batches in flight.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(store: &Store, clock: &Clock, outcomes: &Arc<Outcomes>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), filled: Condvar::new() });
        let lanes = (0..store.admission_lanes()).map(|lane| {
            let (shared, store, clock, outcomes) = (shared.clone(), store.clone(), clock.clone(), outcomes.clone());
            let work = move || run(&shared, &store, &clock, &outcomes);
            thread::Builder::new().name(format!("admission-{lane}")).spawn(work)
        });
        Ok(Self { lanes: lanes.collect::<Result<_, _>>()?, shared, store: store.clone() })
    }

    /// Brings one request to the database, and gives what waits for its word, which comes by this way or by itself.
    ///
    /// The request is in the queue when this returns, and no part of what waits: that is copied from hand to hand.
    ///
    /// # Errors
    /// [`Unanswered`]: the request must go no further.
    pub fn admit(
        &self,
        request: Request,
        way: Option<Replies>,
    ) -> impl Future<Output = Result<Decision, Unanswered>> + use<> {
        let mut brought = self.bring(request, way);
        async move { brought.decision().await }
    }

    /// Brings one request to the database, whose word comes by this way or by itself. Whoever drops what is returned has
    /// given up: then it may be left out.
    pub fn bring(&self, request: Request, way: Option<Replies>) -> Brought {
        let (reply, answer) = oneshot::channel();
        let wakes = {
            let mut queue = self.shared.queue.lock();
            // Where it is not taken, its reply is dropped, which answers.
            if !queue.closed && queue.jobs.len() < WAITING {
                queue.jobs.push_back(Job { request, reply, way });
            }
            let waiting = queue.jobs.len();
            // The first wakes a lane, to take it or to wait for more; those in between would wake it for nothing. So would
            // all, while a lane is about to come back.
            waiting == WORTH_ANOTHER || (queue.under_way == 0 && (waiting == 1 || waiting == queue.usual))
        };
        if wakes {
            self.shared.filled.notify_one();
        }
        Brought { answer, store: self.store.clone() }
    }

    /// How many requests wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.queue.lock().jobs.len()
    }

    /// Takes no more requests, sees the waiting ones through and ends the lanes.
    pub fn stop(&mut self) {
        self.shared.queue.lock().closed = true;
        self.shared.filled.notify_all();
        for lane in self.lanes.drain(..) {
            if lane.join().is_err() {
                tracing::error!("an admission lane had panicked");
            }
        }
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(shared: &Shared, store: &Store, clock: &Clock, outcomes: &Arc<Outcomes>) {
    while let Some(jobs) = next_batch(shared) {
        let _lane = Lane(shared);
        let jobs = jobs.into_iter().map(|job| (job.request, (job.reply, job.way)));
        let (requests, replies): (Vec<Request>, Vec<_>) = jobs.unzip();
        let (requests, places) = together(requests);
        Point::IntentBrought.reached();
        match admit(store, &requests, clock) {
            Ok(decisions) => {
                Point::IntentCommitted.reached();
                let mut by_thread = ByThread::default();
                for (place, (to, way)) in places.into_iter().zip(replies) {
                    // A reply that is dropped tells as well, and admits nobody.
                    let Some(&Some(decision)) = decisions.get(place) else { continue };
                    let reply = Reply::new(to, decision, &requests[place], outcomes);
                    match way {
                        Some(way) => by_thread.add(way, reply),
                        None => reply.tell(),
                    }
                }
                by_thread.hand_over();
            }
            // Dropping the replies tells the waiting requests.
            Err(error) => tracing::warn!(
                error = logging::whole(&error),
                requests = requests.len(),
                "admission failed; the requests are answered 503"
            ),
        }
    }
}

/// One bad row must not fail its neighbours: a batch the database takes offence at is tried again row by row.
fn admit(store: &Store, requests: &[Request], clock: &Clock) -> Result<Vec<Option<Decision>>, kv_store::StoreError> {
    match store.admit(requests, clock.now()) {
        Err(kv_store::StoreError::Conflict | kv_store::StoreError::Unreadable { .. }) if requests.len() > 1 => {
            let one = |request| store.admit(std::slice::from_ref(request), clock.now()).ok()?.into_iter().next();
            Ok(requests.iter().map(one).collect())
        }
        done => done.map(|decisions| decisions.into_iter().map(Some).collect()),
    }
}

/// A lane with a statement under way, until this is dropped.
struct Lane<'a>(&'a Shared);

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().under_way -= 1;
    }
}

/// The next batch, its lane counted as under way.
fn next_batch(shared: &Shared) -> Option<Vec<Job>> {
    let mut queue = shared.queue.lock();
    loop {
        if queue.under_way > 0 && queue.jobs.len() < WORTH_ANOTHER && !queue.closed {
            if !watch(shared, &mut queue) {
                continue;
            }
        } else {
            gather(shared, &mut queue);
        }
        let size = queue.jobs.len().min(BATCH);
        // Who has given up waiting is spared the database, and the database them.
        let batch: Vec<Job> = queue.jobs.drain(..size).filter(|job| !job.reply.is_closed()).collect();
        if !batch.is_empty() {
            queue.under_way += 1;
            queue.statements += 1;
            queue.usual = batch.len();
            if !queue.watched || !queue.jobs.is_empty() {
                shared.filled.notify_one();
            }
            return Some(batch);
        }
        if queue.closed {
            return None;
        }
        if queue.jobs.is_empty() {
            shared.filled.wait(&mut queue);
            // Woken by the first of several that a request thread was about to bring: where that shares this core, it
            // brings the others before one statement is spent on the first alone. An idle core goes on at once.
            MutexGuard::unlocked(&mut queue, thread::yield_now);
        }
    }
}

/// Looks after a statement that is under way, and says whether it takes so long that those who wait are taken by another.
fn watch(shared: &Shared, queue: &mut MutexGuard<'_, Queue>) -> bool {
    if queue.watched {
        shared.filled.wait(queue);
        return false;
    }
    let statements = queue.statements;
    queue.watched = true;
    let waited = shared.filled.wait_for(queue, SLOW);
    queue.watched = false;
    waited.timed_out() && queue.statements == statements && !queue.jobs.is_empty()
}

/// Waits until as many are there as the last statement carried, while they come: its price is shared by all it carries.
fn gather(shared: &Shared, queue: &mut MutexGuard<'_, Queue>) {
    let wanted = queue.usual.min(WORTH_ANOTHER);
    let mut seen = 0;
    while wanted >= WORTH_A_WAIT && (seen + 1..wanted).contains(&queue.jobs.len()) && !queue.closed {
        seen = queue.jobs.len();
        shared.filled.wait_for(queue, PAUSE);
    }
}
