//! Outcomes: how begun entries ended, written in batches behind the requests. None is dropped: while the database does
//! not take them they wait, and while too many wait no new work is begun. A crash leaves them `unknown`.

use crate::{clock::Clock, logging};
use kv_store::{Store, admission::EntryEnd, points::Point};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::{
    collections::VecDeque,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

const BATCH: usize = 256;
/// How long the first of a batch waits for others. Nobody waits for an outcome; but each commit is one that admission, for
/// which everybody waits, comes after.
const GATHER: Duration = Duration::from_millis(10);
/// The most outcomes that wait before no new work is begun.
const FULL: usize = 4_096;
/// Between two attempts while the database does not take them.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a stopping server still tries.
const LAST_TRIES: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Queue {
    ends: VecDeque<EntryEnd>,
    closed: bool,
}

/// The queue of outcomes.
#[derive(Default)]
pub struct Outcomes {
    queue: Mutex<Queue>,
    filled: Condvar,
    writer: Mutex<Option<thread::JoinHandle<()>>>,
}

impl std::fmt::Debug for Outcomes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outcomes")
    }
}

impl Outcomes {
    /// Starts the writer.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(store: &Store, clock: &Clock) -> std::io::Result<Arc<Self>> {
        let outcomes = Arc::new(Self::default());
        let (queue, store, clock) = (outcomes.clone(), store.clone(), clock.clone());
        let writer = thread::Builder::new().name("outcomes".into()).spawn(move || queue.run(&store, &clock))?;
        *outcomes.writer.lock() = Some(writer);
        Ok(outcomes)
    }

    /// Adds the end of an entry.
    pub fn push(&self, end: EntryEnd) {
        let mut queue = self.queue.lock();
        queue.ends.push_back(end);
        if queue.ends.len() == 1 {
            self.filled.notify_one();
        }
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.lock().ends.len()
    }

    /// Those that wait.
    #[must_use]
    pub fn not_written(&self) -> Vec<EntryEnd> {
        self.queue.lock().ends.iter().cloned().collect()
    }

    /// Whether so many wait that no new work may be begun.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting() >= FULL
    }

    /// Writes what waits and ends the writer. What the database does not take within seconds stays `unknown`.
    pub fn stop(&self) {
        self.queue.lock().closed = true;
        self.filled.notify_all();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of outcomes had panicked");
        }
    }

    fn run(&self, store: &Store, clock: &Clock) {
        let mut failing_since: Option<Instant> = None;
        loop {
            let batch: Vec<EntryEnd> = {
                let mut queue = self.queue.lock();
                while queue.ends.is_empty() {
                    if queue.closed {
                        return;
                    }
                    self.filled.wait(&mut queue);
                }
                if queue.ends.len() < BATCH && !queue.closed {
                    MutexGuard::unlocked(&mut queue, || thread::sleep(GATHER));
                }
                queue.ends.iter().take(BATCH).cloned().collect()
            };
            Point::OutcomeBrought.reached();
            match store.end_entries(&batch, clock.now()) {
                Ok(()) => {
                    Point::OutcomeCommitted.reached();
                    failing_since = None;
                    self.queue.lock().ends.drain(..batch.len());
                }
                Err(error) => {
                    let since = *failing_since.get_or_insert_with(|| {
                        tracing::warn!(error = logging::whole(&error), "outcomes wait for the database");
                        Instant::now()
                    });
                    if self.queue.lock().closed && since.elapsed() > LAST_TRIES {
                        tracing::error!(waiting = self.waiting(), "these outcomes stay unknown");
                        return;
                    }
                    thread::sleep(PAUSE);
                }
            }
        }
    }
}
