//! A cluster's answer that flows to its client, piece by piece.
//!
//! Never here: a piece of data once the request was cut, whatever waits in the queue. Only last words come then, and those
//! never in the middle of a line, where no client could tell them from it.

use crate::{
    admission::Guard,
    operations::kubernetes::{LastWords, Piece, Pieces},
};
use actix_web::{
    body::{BodySize, MessageBody},
    web::Bytes,
};
use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A body that flows. One that stops without its end breaks the connection, so that nobody takes it for whole.
pub(super) struct Flowing {
    pieces: Pieces,
    /// Until they are said.
    last_words: Option<LastWords>,
    guard: Guard,
    /// Whether what was handed on last ended within a line.
    mid_line: bool,
}

/// The cluster's answer did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("the cluster's answer broke off")]
struct BrokenOff;

type Handed = Option<Result<Bytes, Box<dyn Error>>>;

impl Flowing {
    pub(super) fn new(pieces: Pieces, last_words: Option<LastWords>, guard: Guard) -> Self {
        Self { pieces, last_words, guard, mid_line: false }
    }

    fn poll_last_words(&mut self, context: &mut Context<'_>) -> Poll<Handed> {
        let Some(words) = self.last_words.as_mut().filter(|_| !self.mid_line) else {
            return Poll::Ready(Some(Err(BrokenOff.into())));
        };
        let said = ready!(Pin::new(words).poll(context));
        self.last_words = None;
        Poll::Ready(Some(said.map_err(|_| BrokenOff.into())))
    }
}

impl MessageBody for Flowing {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Handed> {
        let this = self.get_mut();
        if this.guard.interruption().is_some() {
            return this.poll_last_words(context);
        }
        Poll::Ready(match ready!(this.pieces.poll_next(context)) {
            Some(Piece::Data(bytes)) => {
                if let Some(&last) = bytes.last() {
                    this.mid_line = last != b'\n';
                }
                Some(Ok(bytes))
            }
            Some(Piece::End) => None,
            None => Some(Err(BrokenOff.into())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admission::{InFlight, Lease},
        clock::Clock,
    };
    use kv_authz::{KeyId, UserId};
    use kv_store::Credential;
    use parking_lot::Mutex;
    use std::{future::poll_fn, sync::Arc, time::Duration};
    use tokio::sync::{mpsc, oneshot};

    async fn next(body: &mut Flowing) -> Handed {
        poll_fn(|context| Pin::new(&mut *body).poll_next(context)).await
    }

    fn text(handed: Handed) -> String {
        String::from_utf8(handed.unwrap().unwrap().to_vec()).unwrap()
    }

    /// A body of which one piece has been handed on when the lease lapses, with others in the queue.
    async fn lapsed(first: &'static str) -> (Flowing, oneshot::Sender<Bytes>) {
        let now = Arc::new(Mutex::new(Duration::from_secs(10)));
        let clock = now.clone();
        let lease = Lease::new(Clock::system().booted(move || *clock.lock()));
        lease.renew(Duration::from_secs(10));
        let registry = InFlight::new(lease);
        let guard = registry.enter(Credential::Key(KeyId::from_parts(1, [1; 10])), UserId::from_parts(1, [1; 10]));
        let (send, pieces) = mpsc::channel(4);
        for piece in [first, "queued\n", "queued\n"] {
            send.send(Piece::Data(Bytes::from_static(piece.as_bytes()))).await.unwrap();
        }
        let (tell, words) = oneshot::channel();
        let mut body = Flowing::new(Pieces::of(pieces), Some(words), guard);
        assert_eq!(text(next(&mut body).await), first);
        *now.lock() += Duration::from_secs(2);
        (body, tell)
    }

    #[tokio::test]
    async fn after_a_lapse_last_words_pass_and_what_was_queued_does_not() {
        let (mut body, tell) = lapsed("event\n").await;
        let (words, ()) = tokio::join!(next(&mut body), async { tell.send(Bytes::from_static(b"cut\n")).unwrap() });
        assert_eq!(text(words), "cut\n");
        assert!(next(&mut body).await.unwrap().is_err(), "and then nothing more");
        // In the middle of a line nobody would understand them.
        let (mut body, _tell) = lapsed("half an ev").await;
        assert!(next(&mut body).await.unwrap().is_err());
    }
}
