//! Refusals of requests that show nothing a key could be: counted together, by address and reason, on their way into the
//! audit log. While one entry is written, those that arrive wait for the next one, which stands for all of them; so a flood
//! costs an entry a commit. Each is on disk before its answer.
//!
//! Never here: a key that somebody might have, unless it is not looked up for coming from a suspect. Where it is, its refusal
//! goes the way of every request with a key, in the same time.

use super::{Batcher, Replies};
use crate::patience::Unanswered;
use kv_authz::EntryId;
use kv_store::admission::Request;
use parking_lot::Mutex;
use std::{collections::HashMap, net::IpAddr, num::NonZeroU16, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::Instant};

/// How long a turn is. In each some of those who wait are told, so that a flood's answers, and whatever its clients ask next,
/// leave room between them for everybody else, threads that wait for the same core included.
const TURN: Duration = Duration::from_millis(1);

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// Why it is refused.
    pub code: &'static str,
    /// How many turns it is, at most, from one entry to the next; over as many those who wait for an entry are told. Whoever
    /// sends many has time.
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

/// How many turns it takes until the next entry, between half of the most and all: those of many addresses, which began
/// together, are no longer written together then.
fn turns(most: NonZeroU16, first: EntryId) -> u16 {
    let (most, random) = (u32::from(most.get()), u32::from(first.as_bytes()[15]));
    u16::try_from((most * (256 + random)).div_ceil(512)).unwrap_or(u16::MAX)
}

async fn write(mut writing: Writing, batcher: Arc<Batcher>, way: Option<Replies>, first: Gathered) {
    let mut next = Some(first);
    while let Some(Gathered { request: Some(request), waiting }) = next {
        let turns = turns(writing.subject.turns, request.entry.id);
        let at_once = waiting.len().div_ceil(usize::from(turns));
        let is_recorded = batcher.admit(request, way.clone()).await.is_ok();
        let mut turn = Instant::now();
        let over = turn + TURN * u32::from(turns);
        if is_recorded {
            let mut waiting = waiting.into_iter();
            // The first is answered at once; a flood is not.
            while waiting.len() > 0 {
                tokio::time::sleep_until(turn).await;
                // Who has hung up need not be told.
                waiting.by_ref().take(at_once).for_each(|tell| _ = tell.send(()));
                turn += TURN;
            }
        }
        tokio::time::sleep_until(over).await;
        next = writing.next();
    }
}
