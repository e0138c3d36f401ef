//! Held answers: a body that keeps its request in the registry until its last slice is handed over, and the socket below
//! it, so that a revocation reaches an answer that is under way, whether its client reads or not.

use crate::admission::Guard;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    dev::Extensions,
    rt::net::TcpStream,
    web,
};
use std::{
    any::Any,
    future::Future,
    net::Shutdown,
    os::fd::AsFd,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::oneshot;

/// Marks an answer whose body says something of its own when it is cut, within [`LAST_WORDS`].
#[derive(Debug, Clone, Copy)]
pub struct HasLastWords;

/// How long a body is given to say them, and its client to take them.
pub const LAST_WORDS: Duration = Duration::from_millis(20);

/// Holds an answer's body; `socket` is its connection's, if it is known.
pub(crate) fn hold(body: BoxBody, guard: Guard, socket: Option<Rc<Socket>>, has_last_words: bool) -> BoxBody {
    let grace = if has_last_words { LAST_WORDS } else { Duration::ZERO };
    let watched = match (body.size(), socket) {
        (BodySize::Sized(..=SLICE) | BodySize::None, _) | (_, None) => None,
        (_, Some(socket)) => Some(watch(socket, guard.clone(), grace)),
    };
    let words = if has_last_words { Words::ToCome } else { Words::Said };
    BoxBody::new(Held { body, rest: web::Bytes::new(), guard, words, _watched: watched })
}

/// Where a body is with its last words.
enum Words {
    /// Nothing has been cut yet.
    ToCome,
    /// It may speak until then.
    Until(Pin<Box<tokio::time::Sleep>>),
    /// They are on their way to the socket.
    Sending,
    /// There are none, or no more.
    Said,
}

/// A body that keeps its request in the registry until its last slice is handed to the connection's buffer, and breaks
/// off when the credential is revoked before.
struct Held {
    body: BoxBody,
    /// What is left of the body's last piece.
    rest: web::Bytes,
    guard: Guard,
    words: Words,
    /// Tells the watcher of a long answer that it is over.
    _watched: Option<oneshot::Sender<()>>,
}

/// A connection's socket, kept from its acceptance.
pub(crate) struct Socket(std::net::TcpStream);

/// Keeps the socket of a new connection, below TLS where that is spoken, so that a client that does not read can be cut
/// too.
pub fn keep_socket(connection: &dyn Any, data: &mut Extensions) {
    let plain = connection.downcast_ref::<TcpStream>();
    let below_tls = || connection.downcast_ref::<TlsStream<TcpStream>>().map(|stream| stream.get_ref().0);
    let Some(stream) = plain.or_else(below_tls) else { return };
    // An answer of several slices would wait with its last for a client's word that the others have come: 40 ms (RFC 896 with
    // RFC 1122 §4.2.3.2). Where that cannot be set, it waits.
    let _ = stream.set_nodelay(true);
    if let Ok(socket) = stream.as_fd().try_clone_to_owned() {
        data.insert(Rc::new(Socket(socket.into())));
    }
}

/// Watches over a long answer until what is returned is dropped. While its client does not read, nobody asks the body for
/// more; at a revocation the socket is closed then, and what waits for it is thrown away.
fn watch(socket: Rc<Socket>, guard: Guard, grace: Duration) -> oneshot::Sender<()> {
    let (over, is_over) = oneshot::channel();
    drop(actix_web::rt::spawn(async move {
        let cut = async {
            guard.revoked().await;
            tokio::time::sleep(grace).await;
        };
        tokio::select! {
            () = cut => drop(socket.0.shutdown(Shutdown::Both)),
            _ = is_over => {}
        }
    }));
    over
}

/// The most that is handed over at once, in bytes.
const SLICE: u64 = 16 * 1024;

/// The answer was cut: its credential was revoked.
#[derive(Debug, thiserror::Error)]
#[error("the credential was revoked")]
struct Cut;

impl MessageBody for Held {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<web::Bytes, Self::Error>>> {
        let this = self.get_mut();
        if this.guard.interruption().is_some() {
            return this.poll_last_words(context);
        }
        if this.rest.is_empty() {
            match Pin::new(&mut this.body).poll_next(context) {
                Poll::Ready(Some(Ok(piece))) => this.rest = piece,
                other => return other,
            }
        }
        // In slices, so that no more than one waits where a revocation cannot reach it.
        let slice = this.rest.split_to(this.rest.len().min(SLICE as usize));
        Poll::Ready(Some(Ok(slice)))
    }
}

impl Held {
    /// After a revocation: what the body still has to say of it, and then the end, which no client takes for a good one.
    fn poll_last_words(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<web::Bytes, Box<dyn std::error::Error>>>> {
        if let Words::ToCome = self.words {
            // Of a piece that was handed over in part nobody knows where it was cut: words would be taken for its rest.
            if !self.rest.is_empty() {
                self.words = Words::Said;
                return Poll::Ready(Some(Err(Box::new(Cut))));
            }
            self.words = Words::Until(Box::pin(tokio::time::sleep(LAST_WORDS)));
        }
        let may_speak = match &mut self.words {
            Words::Until(end) => end.as_mut().poll(context).is_pending(),
            _ => false,
        };
        if !may_speak {
            self.words = Words::Said;
            return Poll::Ready(Some(Err(Box::new(Cut))));
        }
        match Pin::new(&mut self.body).poll_next(context) {
            Poll::Ready(Some(Ok(words))) => Poll::Ready(Some(Ok(words))),
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => {
                // An error now would throw away what waits for the socket: once more around first.
                self.words = Words::Sending;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
