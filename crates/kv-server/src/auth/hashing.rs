//! The thread that hashes passwords: one at a time, with less claim to a core than whatever answers requests, so that a
//! flood of sign-ins takes what the others leave. Nothing is hashed on any other thread.

use super::PasswordError;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};
use tokio::sync::{Semaphore, oneshot};

/// The most that wait for their turn: a second of them on an idle core, ten on a busy one. More would be a flood, and wait
/// in vain.
pub(super) const MOST_WAITING: usize = 64;

/// A tenth of the weight of a thread that answers (`sched(7)`): on a core that is never idle a hash still comes to its end.
const NICE: i32 = 10;

type Work = Box<dyn FnOnce() + Send>;

/// Counts as one that waits until it is dropped, for its client may hang up.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The thread, which ends with the last handle to it.
#[derive(Clone)]
pub(super) struct Hashing {
    thread: mpsc::Sender<Work>,
    turn: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

impl Hashing {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start() -> std::io::Result<Self> {
        let (thread, work) = mpsc::channel::<Work>();
        thread::Builder::new().name("passwords".into()).spawn(move || {
            // Linux knows a priority for each thread; without one this still works, only less considerately.
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                tracing::warn!(%error, "hashing passwords keeps the priority of requests");
            }
            for work in work {
                // Whoever waits for it is told by its reply, which a panic drops.
                let _ = catch_unwind(AssertUnwindSafe(work));
            }
        })?;
        Ok(Self { thread, turn: Arc::new(Semaphore::new(1)), waiting: Arc::default() })
    }

    /// How many wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Does the work when it is its turn.
    ///
    /// # Errors
    /// [`PasswordError::Busy`], [`PasswordError::Hashing`] when the work panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(PasswordError::Busy);
        }
        let waiting = Waiting(self.waiting.clone());
        // The turn goes along: a client that hangs up does not free it while its hash is still computed.
        let turn = self.turn.clone().acquire_owned().await.map_err(|_| PasswordError::Hashing)?;
        drop(waiting);
        let (reply, done) = oneshot::channel();
        let work = Box::new(move || {
            let _turn = turn;
            let _ = reply.send(work());
        });
        self.thread.send(work).map_err(|_| PasswordError::Hashing)?;
        done.await.map_err(|_| PasswordError::Hashing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_fails_its_own_work_alone() {
        let hashing = Hashing::start().unwrap();
        let failed = hashing.run(|| panic!("on purpose")).await;
        assert!(matches!(failed, Err::<(), _>(PasswordError::Hashing)));
        assert_eq!(hashing.run(|| 1).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn attack_244_the_thread_leaves_the_cores_to_requests() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let hashing = Hashing::start().unwrap();
        assert_eq!(hashing.run(nice).await.unwrap(), NICE.max(nice()));
        assert!(nice() < NICE, "this thread keeps its own");
    }
}
