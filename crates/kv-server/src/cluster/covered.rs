//! A connection to a cluster that carries nothing beyond the lease it was opened under, looked at in the very write: what
//! was handed to it before this process was stopped does not leave it afterwards.
//!
//! Whose request it is, is not known here; a mark ends that before.

use crate::admission::Cover;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

/// The connection.
pub(super) struct Covered<S> {
    inner: S,
    cover: Cover,
}

impl<S> Covered<S> {
    pub(super) fn new(inner: S, cover: Cover) -> Self {
        Self { inner, cover }
    }

    fn check(&self) -> io::Result<()> {
        let over = || io::Error::new(io::ErrorKind::ConnectionAborted, "the lease has run out");
        if self.cover.holds() { Ok(()) } else { Err(over()) }
    }
}

impl<S: Read + Unpin> Read for Covered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: Write + Unpin> Write for Covered<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS may have kept some of what was written.
        self.check()?;
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }
}

impl<S: Connection> Connection for Covered<S> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{admission::Lease, clock::Clock};
    use hyper_util::rt::TokioIo;
    use std::{future::poll_fn, sync::Arc, time::Duration};

    #[tokio::test]
    async fn nothing_is_written_beyond_the_lease_nor_in_the_next_one() {
        let now = Arc::new(parking_lot::Mutex::new(Duration::from_secs(10)));
        let clock = now.clone();
        let lease = Lease::new(Clock::system().booted(move || *clock.lock()));
        lease.renew(Duration::from_secs(10));
        let (near, _far) = tokio::io::duplex(1024);
        let mut covered = Covered::new(TokioIo::new(near), lease.cover());
        let mut write = async || poll_fn(|context| Pin::new(&mut covered).poll_write(context, b"GET")).await;
        assert_eq!(write().await.unwrap(), 3);
        *now.lock() += Duration::from_secs(2);
        assert_eq!(write().await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
        lease.renew(Duration::from_secs(12));
        assert!(lease.holds());
        assert_eq!(write().await.unwrap_err().kind(), io::ErrorKind::ConnectionAborted, "it is another term");
    }
}
