//! Refusals of requests that show nothing a key could be: counted together, by address and reason, on their way into the
//! audit log. While one entry is written, those that arrive wait for the next one, which stands for all of them; so a flood
//! costs an entry a commit. Each is on disk before its answer.
//!
//! Never here: a key that somebody might have, unless it is not looked up for coming from a suspect. Where it is, its refusal
//! goes the way of every request with a key, in the same time.

use super::{Batcher, Replies};
use crate::patience::Unanswered;
use kv_store::admission::Request;
use parking_lot::Mutex;
use std::{collections::HashMap, net::IpAddr, num::NonZeroU16, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// How many are told at once, and how long the others wait for their turn: a flood's answers leave room between them for
/// everybody else, threads that wait for the same core included.
const AT_ONCE: usize = 32;
const TURN: Duration = Duration::from_millis(1);

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// Why it is refused.
    pub code: &'static str,
    /// How many turns those wait, at most, who come after one was written. Whoever sends many has time.
    pub turns: NonZeroU16,
}

/// Those who wait for one entry, and the entry: the first one's.
#[derive(Default)]
struct Gathered {
    request: Option<Request>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Gathered {
    fn add(&mut self, request: impl FnOnce() -> Request) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        self.waiting.push(tell);
        match &mut self.request {
            Some(first) => first.count = first.count.saturating_add(1),
            None => self.request = Some(request()),
        }
        told
    }
}

/// The refusals that wait.
#[derive(Default)]
pub struct Refusals(
    /// One for each that is being written: what comes next.
    Mutex<HashMap<Subject, Gathered>>,
);

impl std::fmt::Debug for Refusals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refusals")
    }
}

impl Refusals {
    /// Puts a refusal on record, alone or with others of its subject; the request is made for the first of them alone.
    ///
    /// # Errors
    /// [`Unanswered`]: it is not known to be on disk.
    pub async fn report(
        self: &Arc<Self>,
        (batcher, way): (Arc<Batcher>, Option<Replies>),
        subject: Subject,
        request: impl FnOnce() -> Request,
    ) -> Result<(), Unanswered> {
        let told = {
            let mut open = self.0.lock();
            match open.get_mut(&subject) {
                Some(next) => next.add(request),
                None => {
                    let mut first = Gathered::default();
                    let told = first.add(request);
                    open.insert(subject, Gathered::default());
                    drop(open);
                    // A task of its own: the one who began it may hang up.
                    let writing = Writing { refusals: self.clone(), subject, over: false };
                    drop(tokio::spawn(write(writing, batcher, way, first)));
                    told
                }
            }
        };
        told.await.map_err(|_| Unanswered)
    }
}

/// Somebody writes for a subject. When that ends, however it does, whoever still waits is told that nobody knows.
struct Writing {
    refusals: Arc<Refusals>,
    subject: Subject,
    /// Whether it has ended as it should; what is open for the subject then is somebody else's.
    over: bool,
}

impl Writing {
    /// Those who have come meanwhile; none if nobody has, and then the next one begins anew.
    fn next(&mut self) -> Option<Gathered> {
        let mut open = self.refusals.0.lock();
        let next = std::mem::take(open.get_mut(&self.subject)?);
        if next.request.is_none() {
            open.remove(&self.subject);
            self.over = true;
            return None;
        }
        Some(next)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.over {
            self.refusals.0.lock().remove(&self.subject);
        }
    }
}

async fn write(mut writing: Writing, batcher: Arc<Batcher>, way: Option<Replies>, first: Gathered) {
    let mut next = Some(first);
    while let Some(Gathered { request: Some(request), waiting }) = next {
        let turns = writing.subject.turns.get();
        let gathered = Instant::now() + TURN * u32::from(turns);
        // No more turns than it was gathered for: more would come meanwhile than are told.
        let at_once = (waiting.len() / usize::from(turns)).max(AT_ONCE);
        if batcher.admit(request, way.clone()).await.is_ok() {
            for (told, tell) in waiting.into_iter().enumerate() {
                // Who has hung up need not be told.
                let _ = tell.send(());
                if told % at_once == at_once - 1 {
                    tokio::time::sleep(TURN).await;
                }
            }
        }
        // The first is answered at once; a flood is not.
        tokio::time::sleep_until(gathered).await;
        next = writing.next();
    }
}
