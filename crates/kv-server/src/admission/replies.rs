//! Replies: what a statement said, on its way to the requests that wait for it. Those of one request thread are handed over
//! together, and that thread tells them: woken by each of them, it would take the processor from the lane each time.
//!
//! Nothing is decided here. What reaches nobody is put right.

use super::Outcomes;
use kv_authz::{
    EntryId,
    audit::{Detail, Fact, Finish, Outcome},
};
use kv_store::admission::{Decision, EntryEnd, Request, Verdict};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// What a request was told, until it has heard it.
#[derive(Debug)]
pub(super) struct Reply {
    to: Option<oneshot::Sender<Decision>>,
    decision: Decision,
    /// What is on record without an end.
    begun: Option<(EntryId, Arc<Outcomes>)>,
}

impl Reply {
    pub(super) fn new(
        to: oneshot::Sender<Decision>,
        decision: Decision,
        request: &Request,
        outcomes: &Arc<Outcomes>,
    ) -> Self {
        let begun = decision.verdict == Verdict::Admitted && request.audited && request.finish.is_none();
        Self { to: Some(to), decision, begun: begun.then(|| (request.entry.id, outcomes.clone())) }
    }

    pub(super) fn tell(mut self) {
        if self.to.take().is_some_and(|to| to.send(self.decision).is_ok()) {
            self.begun = None;
        }
    }
}

impl Drop for Reply {
    /// The request gave up waiting, or its client hung up, while the database was admitting it: what it intended was not
    /// done. (A read that was written down with its end keeps it, though its answer reached nobody.)
    fn drop(&mut self) {
        if let Some((entry, outcomes)) = self.begun.take() {
            outcomes.push(EntryEnd {
                entry,
                entry_at: self.decision.at,
                finish: Finish {
                    outcome: Outcome::Failed,
                    status: 503,
                    detail: Detail::none().with(Fact::Code, "not_answered"),
                },
            });
        }
    }
}

/// The way to the requests of one thread.
#[derive(Debug, Clone)]
pub struct Replies(mpsc::UnboundedSender<Vec<Reply>>);

impl Replies {
    /// The way to those of this thread, which must run tasks of its own.
    #[must_use]
    pub fn of_this_thread() -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Vec<Reply>>();
        drop(actix_web::rt::spawn(async move {
            while let Some(replies) = receiver.recv().await {
                replies.into_iter().for_each(Reply::tell);
            }
        }));
        Self(sender)
    }
}

/// The replies of one statement, by the threads they go to.
#[derive(Debug, Default)]
pub(super) struct ByThread(Vec<(Replies, Vec<Reply>)>);

impl ByThread {
    pub(super) fn add(&mut self, way: Replies, reply: Reply) {
        match self.0.iter_mut().find(|(known, _)| known.0.same_channel(&way.0)) {
            Some((_, replies)) => replies.push(reply),
            None => self.0.push((way, vec![reply])),
        }
    }

    pub(super) fn hand_over(self) {
        for (way, replies) in self.0 {
            // A thread that has ended has nobody who waits.
            let _ = way.0.send(replies);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_authz::{
        Actor,
        audit::{Entry, Event, Origin, Target},
    };
    use time::OffsetDateTime;

    const ADMITTED: Decision = Decision { verdict: Verdict::Admitted, at: OffsetDateTime::UNIX_EPOCH, lasts: None };

    /// Work outside that is to be begun.
    fn request() -> Request {
        let entry = Entry {
            id: EntryId::from_parts(1, [1; 10]),
            actor: Actor::anonymous(),
            event: Event::AuthRefuse,
            target: Target::default(),
            origin: Origin::new(None, "", String::new()),
            detail: Detail::none(),
        };
        Request { entry, basis: None, finish: None, count: 1, audited: true }
    }

    #[actix_web::test]
    async fn all_of_a_thread_are_told() {
        let (outcomes, way, mut replies) = (Arc::default(), Replies::of_this_thread(), ByThread::default());
        let told: Vec<_> = (0..3)
            .map(|_| {
                let (to, told) = oneshot::channel();
                replies.add(way.clone(), Reply::new(to, ADMITTED, &request(), &outcomes));
                told
            })
            .collect();
        assert_eq!(replies.0.len(), 1, "one message");
        replies.hand_over();
        for told in told {
            assert_eq!(told.await, Ok(ADMITTED));
        }
        assert_eq!(outcomes.waiting(), 0);
    }

    #[actix_web::test]
    async fn what_reaches_nobody_is_put_right() {
        let outcomes = Arc::<Outcomes>::default();
        // Nobody waits for any of these.
        let reply = |request: &Request, decision| Reply::new(oneshot::channel().0, decision, request, &outcomes);
        reply(&request(), ADMITTED).tell();
        assert_eq!(outcomes.waiting(), 1);
        // The thread has ended.
        let ended = std::thread::spawn(|| actix_web::rt::System::new().block_on(async { Replies::of_this_thread() }));
        let (mut replies, (to, _waits)) = (ByThread::default(), oneshot::channel());
        replies.add(ended.join().unwrap(), Reply::new(to, ADMITTED, &request(), &outcomes));
        replies.hand_over();
        assert_eq!(outcomes.waiting(), 2);
        let put_right = outcomes.not_written();
        assert!(put_right.iter().all(|end| end.entry == request().entry.id && end.finish.status == 503));
        // What has its end, or was not admitted, has nothing to be put right.
        reply(&Request { finish: Some(Finish::with_status(200)), ..request() }, ADMITTED).tell();
        reply(&Request { audited: false, ..request() }, ADMITTED).tell();
        reply(&request(), Decision { verdict: Verdict::Stale, ..ADMITTED }).tell();
        assert_eq!(outcomes.waiting(), 2);
    }
}
